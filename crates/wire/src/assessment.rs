//! Assessments.

use jjj_domain::guard;
use jjj_domain::names::Collection;
use jjj_domain::record::{ChangeRecord, PublishRecord, RecordKind, RecordRow};
use jjj_domain::rejection::Rejection;
use jjj_domain::row::StoredFault;
use jjj_domain::rules::assessment::{Assessed, Claim, LevelChangeReason};
use jjj_domain::time::Date;

use crate::enums::enum_value;
use crate::parse::{choice, date, each, name, optional, text};
use crate::pb;
use crate::record::{envelope, expected_version, level};

/// What an assessment states about itself, unchecked.
impl TryFrom<&pb::PublishAssessmentRequest> for Claim {
    type Error = Rejection;
    fn try_from(request: &pb::PublishAssessmentRequest) -> Result<Self, Rejection> {
        let reasons: Vec<LevelChangeReason> =
            each("change_reasons", &request.change_reasons, |path, n| choice::<pb::LevelChangeReason, _>(path, *n))?;
        guard::distinct("change_reasons", &reasons)?;
        Ok(Self {
            standard: choice::<pb::AssessmentStandard, _>("standard", request.standard)?,
            assessment_reason: choice::<pb::AssessmentReason, _>("assessment_reason", request.assessment_reason)?,
            self_care_score: request.self_care_score.map(i64::from),
            mobility_score: request.mobility_score.map(i64::from),
            mental_state_score: request.mental_state_score.map(i64::from),
            perception_social_score: request.perception_social_score.map(i64::from),
            total_score: request.total_score.map(i64::from),
            preliminary_level: request.preliminary_level.map(i64::from),
            daily_living_rating: request.daily_living_rating.map(i64::from),
            mental_state_rating: request.mental_state_rating.map(i64::from),
            perception_communication_rating: request.perception_communication_rating.map(i64::from),
            social_participation_rating: request.social_participation_rating.map(i64::from),
            change_reasons: reasons.into_iter().collect(),
            final_level: request.final_level.map(i64::from),
        })
    }
}

impl TryFrom<&pb::PublishAssessmentRequest> for PublishRecord {
    type Error = Rejection;
    fn try_from(request: &pb::PublishAssessmentRequest) -> Result<Self, Rejection> {
        let envelope = Self {
            kind: RecordKind::Assessment,
            subject: name("elder", &request.elder, Collection::Elder)?,
            scheme: String::new(),
            native_level: 0,
            state: choice::<pb::RecordState, _>("state", request.state)?,
            document_number: text("document_number", &request.document_number)?,
            decided_by: text("decided_by", &request.decided_by)?,
            decided_on: date("decided_on", &request.decided_on)?,
            valid_from: date("valid_from", &request.valid_from)?,
            valid_until: date("valid_until", &request.valid_until)?,
            reason: text("reason", &request.reason)?,
            content: String::new(),
        };
        Ok(PublishRecord::assessment(envelope, &Assessed::check(&Claim::try_from(request)?)?))
    }
}

impl TryFrom<&pb::ChangeAssessmentRequest> for ChangeRecord {
    type Error = Rejection;
    fn try_from(request: &pb::ChangeAssessmentRequest) -> Result<Self, Rejection> {
        Ok(Self {
            record: name("name", &request.name, Collection::Assessment)?,
            expected_version: expected_version(request.expected_version)?,
            change: choice::<pb::RecordState, _>("new_state", request.new_state)?,
            new_level: None,
            new_valid_until: optional(&request.new_valid_until, |t| date("new_valid_until", t))?,
            reason: text("reason", &request.reason)?,
            decided_by: text("decided_by", &request.decided_by)?,
            document_number: text("document_number", &request.document_number)?,
            effective_on: date("effective_on", &request.effective_on)?,
        })
    }
}

/// An assessment as of a day.
pub fn assessment(row: &RecordRow, on: Date) -> Result<pb::Assessment, StoredFault> {
    let claim = Claim::from(row.assessed()?);
    let some = |value: Option<i64>| value.map(level);
    let change_reasons = claim.change_reasons.iter().map(|r| enum_value::<pb::LevelChangeReason>(r.as_str()));
    Ok(pb::Assessment {
        name: row.record.clone(),
        envelope: Some(envelope(row, on)),
        standard: enum_value::<pb::AssessmentStandard>(claim.standard.as_str()),
        assessment_reason: enum_value::<pb::AssessmentReason>(claim.assessment_reason.as_str()),
        self_care_score: some(claim.self_care_score),
        mobility_score: some(claim.mobility_score),
        mental_state_score: some(claim.mental_state_score),
        perception_social_score: some(claim.perception_social_score),
        total_score: some(claim.total_score),
        preliminary_level: some(claim.preliminary_level),
        daily_living_rating: some(claim.daily_living_rating),
        mental_state_rating: some(claim.mental_state_rating),
        perception_communication_rating: some(claim.perception_communication_rating),
        social_participation_rating: some(claim.social_participation_rating),
        change_reasons: change_reasons.collect(),
        final_level: some(claim.final_level),
    })
}
