//! Publishing a record: the issuer's statement, the records it supersedes, and
//! the recognitions that follow from agreements in force.

use super::recognize::{recognitions_of, recognize_under_agreements, revoke};
use super::{RecordEvent, RecordKind, RecordRow};
use crate::decision::{Call, Command, Decision};
use crate::institution::{InstitutionKind, InstitutionRow};
use crate::key;
use crate::names::Name;
use crate::person::PersonRow;
use crate::policy::{self, RecordKindPolicy};
use crate::rejection::{Reason, Rejection};
use crate::rules::rating::RecordState;
use crate::snapshot::{Snapshot, Stop};
use crate::time::Date;

/// Publishes a new record. The caller is its issuer.
///
/// An earlier record of the same issuer, subject, kind and scheme that still
/// holds is superseded in the same transaction.
#[derive(Clone, Debug)]
pub struct PublishRecord {
    pub kind: RecordKind,
    pub subject: Name,
    pub scheme: String,
    pub native_level: i64,
    /// `APPLIED`, `PUBLICIZED` or `VALID`.
    pub state: RecordState,
    pub document_number: String,
    pub decided_by: String,
    pub decided_on: Date,
    pub valid_from: Date,
    pub valid_until: Date,
    pub reason: String,
    /// Canonical JSON of the kind's own content.
    pub content: String,
}

impl Command for PublishRecord {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let record = Name::created(self.kind.collection(), call.request_id);
        if snapshot.get::<RecordRow>(key![record.to_string()])?.is_some() {
            return Err(Reason::RecordExists.var("name", &record).into());
        }
        self.check_subject(snapshot, call)?;
        self.check_dates_and_level(snapshot, call)?;

        let row = RecordRow {
            record: record.to_string(),
            kind: self.kind,
            issuer: call.participant().clone(),
            subject: self.subject.to_string(),
            scheme: self.scheme.clone(),
            native_level: self.native_level,
            state: self.state,
            document_number: self.document_number.clone(),
            decided_by: self.decided_by.clone(),
            decided_on: self.decided_on,
            valid_from: self.valid_from,
            valid_until: self.valid_until,
            effective_on: self.valid_from,
            recorded_at_us: call.now,
            reason: self.reason.clone(),
            supersedes: None,
            content: self.content.clone(),
            version: 1,
        };
        let mut decision = Decision::new(call);
        let replaced = self.replaced(snapshot, call)?;
        let row = RecordRow { supersedes: replaced.last().map(|r| r.record.clone()), ..row };
        decision.leaf(self.kind.leaf_kind(RecordEvent::Published), &record, 1).put(&row).tell(call.participant());
        for old in &replaced {
            supersede(snapshot, call, &mut decision, old, &row)?;
        }
        if self.state.is_recognizable() {
            recognize_under_agreements(snapshot, call, &mut decision, &row)?;
        }
        Ok(decision)
    }
}

impl PublishRecord {
    fn check_subject(&self, snapshot: &Snapshot, call: &Call) -> Result<(), Stop> {
        let not_found = || Reason::RecordNotFound.field("subject").var("name", &self.subject);
        if self.kind.is_personal() {
            let person = snapshot.get::<PersonRow>(key![self.subject.to_string()])?.ok_or_else(not_found)?;
            if let Some(into) = &person.merged_into {
                return Err(Reason::PersonMerged.var("name", &self.subject).var("into", into).into());
            }
            return Ok(());
        }
        let institution = snapshot.get::<InstitutionRow>(key![self.subject.to_string()])?.ok_or_else(not_found)?;
        if institution.region != *call.participant() {
            return Err(Reason::NotYourRecord.field("institution").var("name", &self.subject).into());
        }
        // Station stars and institution grades are separate schemes (DOMAIN.md §2): never mixed.
        let is_station_scheme = self.scheme == "COMMUNITY_STATION_STAR";
        if is_station_scheme != (institution.kind == InstitutionKind::CommunityStation) {
            let fault = Reason::GradeUnknown.field("scheme").var("scheme", &self.scheme);
            return Err(fault.var("grade", institution.kind).into());
        }
        Ok(())
    }

    fn check_dates_and_level(&self, snapshot: &Snapshot, call: &Call) -> Result<(), Stop> {
        let order = |field: &str, earlier: &str| Reason::DateOrder.field(field).var("earlier", earlier);
        if self.decided_on > call.now.date() {
            return Err(Reason::FieldOutOfRange.field("decided_on").var("range", "the past").into());
        }
        if self.valid_until < self.valid_from {
            return Err(order("valid_until", "valid_from").into());
        }
        let scope = format!("{}/{}", self.kind, self.scheme);
        let rules: RecordKindPolicy = policy::in_force(snapshot, &scope, self.decided_on)?;
        check_level(&self.scheme, self.native_level, &rules)?;
        // Three years from 1 January end on 31 December: the day before the anniversary, at the latest the anniversary.
        if self.valid_until > self.valid_from.plus_months(rules.validity_months as i32) {
            let fault = Reason::ValidityTooLong.field("valid_until").var("until", self.valid_until);
            return Err(fault.var("scheme", &self.scheme).var("months", rules.validity_months).into());
        }
        Ok(())
    }

    /// The issuer's earlier records of the subject in this scheme that still hold.
    fn replaced(&self, snapshot: &Snapshot, call: &Call) -> Result<Vec<RecordRow>, Stop> {
        if self.state != RecordState::Valid {
            return Ok(Vec::new());
        }
        let all = snapshot.list::<RecordRow>(&["subject", "kind"], key![self.subject.to_string(), self.kind])?;
        let same = all.iter().filter(|r| r.issuer == *call.participant() && r.scheme == self.scheme);
        Ok(same.filter(|r| r.state.is_recognizable()).map(|r| (**r).clone()).collect())
    }
}

pub(super) fn check_level(scheme: &str, level: i64, rules: &RecordKindPolicy) -> Result<(), Rejection> {
    if (rules.min_level..=rules.max_level).contains(&level) {
        Ok(())
    } else {
        Err(Reason::GradeUnknown.field("level").var("scheme", scheme).var("grade", level))
    }
}

fn supersede(
    snapshot: &Snapshot,
    call: &Call,
    decision: &mut Decision,
    old: &RecordRow,
    new: &RecordRow,
) -> Result<(), Stop> {
    let row = RecordRow {
        state: RecordState::Superseded,
        effective_on: new.valid_from,
        recorded_at_us: call.now,
        reason: format!("superseded by {}", new.record),
        version: old.version + 1,
        ..old.clone()
    };
    decision.leaf(old.kind.leaf_kind(RecordEvent::Superseded), &old.record, row.version).put(&row).tell(&old.issuer);
    for recognition in recognitions_of(snapshot, &old.record)? {
        revoke(call, decision, &recognition, &row);
    }
    Ok(())
}
