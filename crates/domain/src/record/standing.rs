//! What a region may rely on: its own records and its recognitions, on a date.

use std::sync::Arc;

use super::{RecognitionRow, RecordKind, RecordRow};
use crate::key;
use crate::names::Participant;
use crate::payment::StandsOn;
use crate::snapshot::{Snapshot, Stop};
use crate::time::Date;

/// The level a region may rely on for a subject, and the record that says so.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The record itself (own or recognized), for its content.
    pub record: Arc<RecordRow>,
    /// Lowest and highest level; they differ only where the mapping is ambiguous.
    pub level_min: i64,
    pub level_max: i64,
    /// What the decision names: the own record, or the recognition.
    pub stands_on: StandsOn,
}

/// Everything the region may rely on for a subject and kind on a date, best level first. A
/// merged person's other names are asked for one by one.
pub fn standing(
    snapshot: &Snapshot,
    region: &Participant,
    kind: RecordKind,
    subject: &str,
    on: Date,
) -> Result<Vec<Standing>, Stop> {
    let mut found = Vec::new();
    let own = snapshot.list::<RecordRow>(&["subject", "kind"], key![subject.to_owned(), kind])?;
    for record in own.into_iter().filter(|r| r.issuer == *region && r.holds_on(on)) {
        let stands_on = StandsOn { record: record.record.clone(), version: record.version };
        found.push(Standing { level_min: record.native_level, level_max: record.native_level, record, stands_on });
    }
    let recognized =
        snapshot.list::<RecognitionRow>(&["subject", "recognizer"], key![subject.to_owned(), region.clone()])?;
    for recognition in recognized.into_iter().filter(|r| r.kind == kind && r.holds_on(on)) {
        let record = snapshot.get::<RecordRow>(key![recognition.record.clone()])?;
        let Some(record) = record.filter(|r| r.holds_on(on)) else { continue };
        let stands_on = StandsOn { record: recognition.recognition.clone(), version: recognition.version };
        found.push(Standing {
            record,
            level_min: recognition.recognized_min,
            level_max: recognition.recognized_max,
            stands_on,
        });
    }
    found.sort_by(|a, b| b.level_min.cmp(&a.level_min).then_with(|| a.stands_on.record.cmp(&b.stands_on.record)));
    Ok(found)
}
