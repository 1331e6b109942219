//! Disability certificates (残疾人证): an eligibility basis beside the assessment.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{PublishRecord, RecordKind, RecordRow, content};
use crate::rejection::{Reason, Rejection};
use crate::row::StoredFault;
use crate::rules::disability::DisabilityCategory;
use crate::value::canonical_json;

/// What a certificate adds to the envelope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DisabilityCertificateContent {
    /// One category, or several where the disability is multiple.
    pub categories: BTreeSet<DisabilityCategory>,
}

impl DisabilityCertificateContent {
    pub fn is_multiple(&self) -> bool {
        self.categories.len() > 1 || self.categories.contains(&DisabilityCategory::Multiple)
    }
}

impl PublishRecord {
    /// The one national scheme; the level is the grade, 1 (worst) to 4.
    pub fn disability_certificate(
        envelope: PublishRecord,
        categories: BTreeSet<DisabilityCategory>,
    ) -> Result<Self, Rejection> {
        if categories.is_empty() {
            return Err(Reason::FieldMissing.field("categories"));
        }
        let content = DisabilityCertificateContent { categories };
        Ok(Self {
            kind: RecordKind::DisabilityCertificate,
            scheme: "NATIONAL".into(),
            content: canonical_json(&content),
            ..envelope
        })
    }
}

impl RecordRow {
    /// What a disability certificate states.
    pub fn disability(&self) -> Result<DisabilityCertificateContent, StoredFault> {
        content(self)
    }
}
