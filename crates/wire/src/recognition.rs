//! Recognitions.

use jjj_domain::names::{Collection, Name};
use jjj_domain::record::{DecideRecognition, RecognitionRow};
use jjj_domain::rejection::Rejection;
use jjj_domain::time::Date;

use crate::enums::enum_value;
use crate::parse::{choice, text};
use crate::pb;
use crate::record::level;

impl TryFrom<&pb::DecideRecognitionRequest> for DecideRecognition {
    type Error = Rejection;
    fn try_from(request: &pb::DecideRecognitionRequest) -> Result<Self, Rejection> {
        let kinds = [Collection::Rating, Collection::Assessment, Collection::DisabilityCertificate];
        Ok(Self {
            record: Name::parse_field("record", &request.record, &kinds)?,
            verdict: choice::<pb::RecognitionVerdict, _>("verdict", request.verdict)?,
            reason: text("reason", &request.reason)?,
        })
    }
}

/// A recognition as of a day.
pub fn recognition(row: &RecognitionRow, on: Date) -> pb::Recognition {
    pb::Recognition {
        name: row.recognition.clone(),
        kind: enum_value::<pb::RecordKind>(row.kind.as_str()),
        record: row.record.clone(),
        record_version: row.record_version,
        subject: row.subject.clone(),
        issuer: row.issuer.to_string(),
        recognizer: row.recognizer.to_string(),
        version: row.version,
        state: enum_value::<pb::RecognitionState>(row.state.as_str()),
        in_force: row.holds_on(on),
        scheme: row.scheme.clone(),
        native_grade: Some(level(row.native_level)),
        recognized_min: Some(level(row.recognized_min)),
        recognized_max: Some(level(row.recognized_max)),
        mapping_quality: enum_value::<pb::MappingQuality>(row.quality.as_str()),
        valid_from: row.valid_from.to_string(),
        valid_until: row.valid_until.to_string(),
        agreement: row.agreement.clone(),
        reason: row.reason.clone(),
        effective_on: row.effective_on.to_string(),
        recorded_time_us: row.recorded_at_us.0,
    }
}
