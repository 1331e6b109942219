//! Disability certificates.

use jjj_domain::guard;
use jjj_domain::names::Collection;
use jjj_domain::record::{ChangeRecord, PublishRecord, RecordKind, RecordRow};
use jjj_domain::rejection::Rejection;
use jjj_domain::row::StoredFault;
use jjj_domain::rules::disability::DisabilityCategory;
use jjj_domain::time::Date;

use crate::enums::enum_value;
use crate::parse::{choice, date, each, name, optional, text};
use crate::pb;
use crate::record::{envelope, expected_version, level};

impl TryFrom<&pb::PublishDisabilityCertificateRequest> for PublishRecord {
    type Error = Rejection;
    fn try_from(request: &pb::PublishDisabilityCertificateRequest) -> Result<Self, Rejection> {
        let categories: Vec<DisabilityCategory> =
            each("categories", &request.categories, |path, n| choice::<pb::DisabilityCategory, _>(path, *n))?;
        guard::distinct("categories", &categories)?;
        let envelope = Self {
            kind: RecordKind::DisabilityCertificate,
            subject: name("elder", &request.elder, Collection::Elder)?,
            scheme: String::new(),
            native_level: request.grade.into(),
            state: choice::<pb::RecordState, _>("state", request.state)?,
            document_number: text("document_number", &request.document_number)?,
            decided_by: text("decided_by", &request.decided_by)?,
            decided_on: date("decided_on", &request.decided_on)?,
            valid_from: date("valid_from", &request.valid_from)?,
            valid_until: date("valid_until", &request.valid_until)?,
            reason: text("reason", &request.reason)?,
            content: String::new(),
        };
        PublishRecord::disability_certificate(envelope, categories.into_iter().collect())
    }
}

impl TryFrom<&pb::ChangeDisabilityCertificateRequest> for ChangeRecord {
    type Error = Rejection;
    fn try_from(request: &pb::ChangeDisabilityCertificateRequest) -> Result<Self, Rejection> {
        Ok(Self {
            record: name("name", &request.name, Collection::DisabilityCertificate)?,
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

/// A certificate as of a day.
pub fn disability_certificate(row: &RecordRow, on: Date) -> Result<pb::DisabilityCertificate, StoredFault> {
    let categories = row.disability()?.categories;
    Ok(pb::DisabilityCertificate {
        name: row.record.clone(),
        envelope: Some(envelope(row, on)),
        categories: categories.iter().map(|c| enum_value::<pb::DisabilityCategory>(c.as_str())).collect(),
        grade: level(row.native_level),
    })
}
