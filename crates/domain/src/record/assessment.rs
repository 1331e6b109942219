//! Ability assessments. They travel as level plus four dimension scores; item
//! answers and diagnoses stay home (data minimisation, DESIGN.md §5). The stored
//! content is [`Assessed`], which checks itself again when it is read.

use super::{PublishRecord, RecordKind, RecordRow, content};
use crate::row::StoredFault;
use crate::rules::assessment::Assessed;
use crate::value::canonical_json;

impl PublishRecord {
    /// An assessment whose arithmetic and levels were checked against its standard.
    pub fn assessment(envelope: PublishRecord, assessed: &Assessed) -> Self {
        Self {
            kind: RecordKind::Assessment,
            scheme: assessed.standard().as_str().to_owned(),
            native_level: assessed.final_level().into(),
            content: canonical_json(assessed),
            ..envelope
        }
    }
}

impl RecordRow {
    /// What an assessment states.
    pub fn assessed(&self) -> Result<Assessed, StoredFault> {
        content(self)
    }
}
