//! Ratings.

use jjj_domain::names::Collection;
use jjj_domain::record::{ChangeRecord, PublishRecord, RecordKind, RecordRow};
use jjj_domain::rejection::Rejection;
use jjj_domain::rules::rating::Scheme;
use jjj_domain::time::Date;

use crate::enums::enum_value;
use crate::parse::{choice, date, name, optional, text};
use crate::pb;
use crate::record::{envelope, expected_version, level};

impl TryFrom<&pb::PublishRatingRequest> for PublishRecord {
    type Error = Rejection;
    fn try_from(request: &pb::PublishRatingRequest) -> Result<Self, Rejection> {
        let scheme: Scheme = choice::<pb::RatingScheme, _>("scheme", request.scheme)?;
        Ok(PublishRecord::rating(Self {
            kind: RecordKind::Rating,
            subject: name("institution", &request.institution, Collection::Institution)?,
            scheme: scheme.to_string(),
            native_level: request.native_grade.into(),
            state: choice::<pb::RecordState, _>("state", request.state)?,
            document_number: text("document_number", &request.document_number)?,
            decided_by: text("decided_by", &request.decided_by)?,
            decided_on: date("decided_on", &request.decided_on)?,
            valid_from: date("valid_from", &request.valid_from)?,
            valid_until: date("valid_until", &request.valid_until)?,
            reason: text("reason", &request.reason)?,
            content: String::new(),
        }))
    }
}

impl TryFrom<&pb::ChangeRatingRequest> for ChangeRecord {
    type Error = Rejection;
    fn try_from(request: &pb::ChangeRatingRequest) -> Result<Self, Rejection> {
        Ok(Self {
            record: name("name", &request.name, Collection::Rating)?,
            expected_version: expected_version(request.expected_version)?,
            change: choice::<pb::RecordState, _>("new_state", request.new_state)?,
            new_level: request.new_grade.map(i64::from),
            new_valid_until: optional(&request.new_valid_until, |t| date("new_valid_until", t))?,
            reason: text("reason", &request.reason)?,
            decided_by: text("decided_by", &request.decided_by)?,
            document_number: text("document_number", &request.document_number)?,
            effective_on: date("effective_on", &request.effective_on)?,
        })
    }
}

/// A rating as of a day.
pub fn rating(row: &RecordRow, on: Date) -> pb::Rating {
    pb::Rating {
        name: row.record.clone(),
        envelope: Some(envelope(row, on)),
        scheme: enum_value::<pb::RatingScheme>(&row.scheme),
        native_grade: level(row.native_level),
    }
}
