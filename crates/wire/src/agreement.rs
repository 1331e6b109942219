//! Agreements between two regions.

use jjj_domain::agreement::{
    AcceptAgreement, AgreementRow, DeclineAgreement, EndAgreement, ProposeAgreement, WithdrawAgreement,
};
use jjj_domain::names::{Actor, Collection, Participant};
use jjj_domain::rejection::{Reason, Rejection};

use crate::enums::enum_value;
use crate::parse::{choice, date, name, or_empty, text, who};
use crate::pb;

/// The longest terms, in bytes.
const MAX_BODY_LEN: usize = 256 * 1024;

fn region(field: &str, text: &str) -> Result<Participant, Rejection> {
    who(field, text, "regions/{6 digits}")
}

impl TryFrom<&pb::ProposeAgreementRequest> for ProposeAgreement {
    type Error = Rejection;
    fn try_from(request: &pb::ProposeAgreementRequest) -> Result<Self, Rejection> {
        if request.body.is_empty() {
            return Err(Reason::FieldMissing.field("body"));
        }
        if request.body.len() > MAX_BODY_LEN {
            return Err(Reason::FieldTooLong.field("body").var("limit", MAX_BODY_LEN));
        }
        Ok(Self {
            issuer: region("issuer", &request.issuer)?,
            recognizer: region("recognizer", &request.recognizer)?,
            record_kind: choice::<pb::RecordKind, _>("record_kind", request.record_kind)?,
            effective_from: date("effective_from", &request.effective_from)?,
            body: request.body.clone(),
            reason: text("reason", &request.reason)?,
        })
    }
}

impl TryFrom<&pb::AcceptAgreementRequest> for AcceptAgreement {
    type Error = Rejection;
    fn try_from(request: &pb::AcceptAgreementRequest) -> Result<Self, Rejection> {
        if request.terms_sha256.is_empty() {
            return Err(Reason::FieldMissing.field("terms_sha256"));
        }
        Ok(Self {
            agreement: name("agreement", &request.agreement, Collection::Agreement)?,
            terms_sha256: request.terms_sha256.clone(),
            reason: text("reason", &request.reason)?,
        })
    }
}

impl TryFrom<&pb::DeclineAgreementRequest> for DeclineAgreement {
    type Error = Rejection;
    fn try_from(request: &pb::DeclineAgreementRequest) -> Result<Self, Rejection> {
        Ok(Self {
            agreement: name("agreement", &request.agreement, Collection::Agreement)?,
            reason: text("reason", &request.reason)?,
        })
    }
}

impl TryFrom<&pb::WithdrawAgreementRequest> for WithdrawAgreement {
    type Error = Rejection;
    fn try_from(request: &pb::WithdrawAgreementRequest) -> Result<Self, Rejection> {
        Ok(Self {
            agreement: name("agreement", &request.agreement, Collection::Agreement)?,
            reason: text("reason", &request.reason)?,
        })
    }
}

impl TryFrom<&pb::EndAgreementRequest> for EndAgreement {
    type Error = Rejection;
    fn try_from(request: &pb::EndAgreementRequest) -> Result<Self, Rejection> {
        Ok(Self {
            issuer: region("issuer", &request.issuer)?,
            recognizer: region("recognizer", &request.recognizer)?,
            record_kind: choice::<pb::RecordKind, _>("record_kind", request.record_kind)?,
            effective_from: date("effective_from", &request.effective_from)?,
            reason: text("reason", &request.reason)?,
        })
    }
}

/// As [`agreement`], without the terms but with their digest.
pub fn listed(row: &AgreementRow) -> pb::Agreement {
    pb::Agreement { body: String::new(), ..agreement(row) }
}

/// An agreement as it stands.
pub fn agreement(row: &AgreementRow) -> pb::Agreement {
    pb::Agreement {
        name: row.agreement.clone(),
        issuer: row.issuer.to_string(),
        recognizer: row.recognizer.to_string(),
        record_kind: enum_value::<pb::RecordKind>(row.record_kind.as_str()),
        effective_from: row.effective_from.to_string(),
        body: row.body.clone(),
        terms_sha256: row.terms_sha256(),
        state: enum_value::<pb::AgreementState>(row.state.as_str()),
        proposed_by: row.proposed_by.to_string(),
        proposed_time_us: row.proposed_at_us.0,
        answered_by: or_empty::<Actor>(&row.answered_by),
        reason: row.reason.clone(),
        policy: row.policy.clone().unwrap_or_default(),
        recorded_time_us: row.recorded_at_us.0,
        version: row.version,
    }
}
