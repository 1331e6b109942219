//! Propose, accept, decline, withdraw, end.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{AgreementRow, AgreementState, scope_of, version_name};
use crate::decision::{Call, Command, Decision, Leaf};
use crate::guard;
use crate::key;
use crate::names::{Collection, Name, Participant, ParticipantKind};
use crate::participant::{ParticipantRow, active_participant};
use crate::policy::{self, Agreement, PolicyKind, PolicyRow, RecordKindPolicy};
use crate::record::RecordKind;
use crate::rejection::{Reason, Rejection};
use crate::snapshot::{Snapshot, Stop};
use crate::time::Date;

/// Proposes a version of an agreement. The caller is one of its two regions.
#[derive(Clone, Debug)]
pub struct ProposeAgreement {
    pub issuer: Participant,
    pub recognizer: Participant,
    pub record_kind: RecordKind,
    /// First day; today or later.
    pub effective_from: Date,
    /// JSON of an [`Agreement`].
    pub body: String,
    /// Up to 1,000 characters.
    pub reason: String,
}

impl Command for ProposeAgreement {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        guard::text("reason", &self.reason, 1_000)?;
        let scope = parties(call, &self.issuer, &self.recognizer, self.record_kind)?;
        active_participant(snapshot, "issuer", &self.issuer)?;
        active_participant(snapshot, "recognizer", &self.recognizer)?;
        guard::not_before("effective_from", self.effective_from, call.now.date())?;
        let body: serde_json::Value = serde_json::from_str(&self.body).map_err(unread)?;
        let body = policy::check_body(PolicyKind::Agreement, &body)?;
        check_terms(snapshot, self.record_kind, self.effective_from, &body)?;
        let row = AgreementRow {
            agreement: Name::created(Collection::Agreement, call.request_id).to_string(),
            scope,
            issuer: self.issuer.clone(),
            recognizer: self.recognizer.clone(),
            record_kind: self.record_kind,
            effective_from: self.effective_from,
            body,
            state: AgreementState::Proposed,
            proposed_by: call.actor.clone(),
            proposed_at_us: call.now,
            answered_by: None,
            reason: self.reason.clone(),
            policy: None,
            recorded_at_us: call.now,
            version: 1,
        };
        let mut decision = Decision::new(call);
        announce(&mut decision, "agreement.proposed", &row);
        supersede(snapshot, call, &mut decision, &row)?;
        Ok(decision)
    }
}

/// Accepts what the other region has proposed: from its first day on it is in force.
#[derive(Clone, Debug)]
pub struct AcceptAgreement {
    pub agreement: Name,
    /// [`AgreementRow::terms_sha256`] of what is accepted.
    pub terms_sha256: String,
    /// Up to 1,000 characters.
    pub reason: String,
}

impl Command for AcceptAgreement {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let row = answered(snapshot, call, &self.agreement, &self.reason)?;
        active_participant(snapshot, "agreement", row.proposed_by.participant())?;
        if row.effective_from < call.now.date() {
            return Err(guard::wrong_state("LAPSED", AgreementState::Proposed, "agreement", &row.agreement).into());
        }
        if self.terms_sha256 != row.terms_sha256() {
            return Err(Reason::DigestMismatch.field("terms_sha256").into());
        }
        // What it names may have been changed since it was proposed.
        check_terms(snapshot, row.record_kind, row.effective_from, &row.body)?;
        let version = next_version(snapshot, &row.scope)?;
        let accepted = AgreementRow {
            policy: Some(version_name(&row.scope, row.effective_from, version)),
            ..answer(call, &row, AgreementState::Accepted, &self.reason)
        };
        let mut decision = Decision::new(call);
        announce(&mut decision, "agreement.accepted", &accepted);
        put_in_force(&mut decision, call, &accepted, accepted.effective_from, version);
        Ok(decision)
    }
}

/// Declines what the other region has proposed.
#[derive(Clone, Debug)]
pub struct DeclineAgreement {
    pub agreement: Name,
    /// Up to 1,000 characters.
    pub reason: String,
}

impl Command for DeclineAgreement {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let row = answered(snapshot, call, &self.agreement, &self.reason)?;
        let mut decision = Decision::new(call);
        let declined = answer(call, &row, AgreementState::Declined, &self.reason);
        announce(&mut decision, "agreement.declined", &declined);
        Ok(decision)
    }
}

/// Takes the caller's own proposal back, before it is answered.
#[derive(Clone, Debug)]
pub struct WithdrawAgreement {
    pub agreement: Name,
    /// Up to 1,000 characters.
    pub reason: String,
}

impl Command for WithdrawAgreement {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let row = proposed(snapshot, call, &self.agreement, &self.reason)?;
        guard::own(call, row.proposed_by.participant(), "agreement", &row.agreement)?;
        let mut decision = Decision::new(call);
        let withdrawn = answer(call, &row, AgreementState::Withdrawn, &self.reason);
        announce(&mut decision, "agreement.withdrawn", &withdrawn);
        Ok(decision)
    }
}

/// Ends what is in force between two regions from a day on, and with it what was agreed for later days.
/// The caller is one of the two; the other need not accept.
#[derive(Clone, Debug)]
pub struct EndAgreement {
    pub issuer: Participant,
    pub recognizer: Participant,
    pub record_kind: RecordKind,
    /// First day on which nothing is recognized any more; at the earliest after the notice that each version names
    /// that is in force on it or ended before its own first day.
    pub effective_from: Date,
    /// Up to 1,000 characters.
    pub reason: String,
}

impl Command for EndAgreement {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        guard::text("reason", &self.reason, 1_000)?;
        let scope = parties(call, &self.issuer, &self.recognizer, self.record_kind)?;
        let later = versions(snapshot, &scope)?.into_iter().map(|row| row.effective_from);
        let days: BTreeSet<Date> =
            later.filter(|day| *day > self.effective_from).chain([self.effective_from]).collect();
        let mut recognizing = Vec::new();
        for day in days {
            recognizing.extend(in_force(snapshot, &scope, day)?.map(|terms| (day, terms)));
        }
        let Some((begins, _)) = recognizing.first() else {
            return Err(guard::wrong_state(AgreementState::Ended, "in force", "effective_from", &scope).into());
        };
        // Each at its own notice, of which a version that is yet to begin wants all before its first day.
        let notices = recognizing.iter().map(|(day, terms)| (day, call.now.date().plus_days(terms.notice_days)));
        if let Some(earliest) = notices.filter(|(day, noticed)| noticed > *day).map(|(_, noticed)| noticed).max() {
            guard::not_before("effective_from", self.effective_from, earliest)?;
        }
        let first = next_version(snapshot, &scope)?;
        let row = AgreementRow {
            agreement: Name::created(Collection::Agreement, call.request_id).to_string(),
            policy: Some(version_name(&scope, *begins, first)),
            scope,
            issuer: self.issuer.clone(),
            recognizer: self.recognizer.clone(),
            record_kind: self.record_kind,
            effective_from: self.effective_from,
            body: Agreement::ending(&self.reason),
            state: AgreementState::Ended,
            proposed_by: call.actor.clone(),
            proposed_at_us: call.now,
            answered_by: None,
            reason: self.reason.clone(),
            recorded_at_us: call.now,
            version: 1,
        };
        let mut decision = Decision::new(call);
        announce(&mut decision, "agreement.ended", &row);
        for (version, (day, _)) in (first..).zip(&recognizing) {
            put_in_force(&mut decision, call, &row, *day, version);
        }
        supersede(snapshot, call, &mut decision, &row)?;
        Ok(decision)
    }
}

/// The scope, if the caller is one of the two regions.
fn parties(call: &Call, issuer: &Participant, recognizer: &Participant, kind: RecordKind) -> Result<String, Rejection> {
    for (field, region) in [("issuer", issuer), ("recognizer", recognizer)] {
        if region.kind() != ParticipantKind::Region {
            return Err(Reason::FieldMalformed.field(field).var("expected", "regions/{6 digits}"));
        }
    }
    let scope = scope_of(issuer, recognizer, kind);
    if issuer == recognizer {
        return Err(Reason::FieldRepeated.field("recognizer").var("item", recognizer));
    }
    if call.participant() != issuer && call.participant() != recognizer {
        return Err(Reason::NotYourRecord.field("issuer").var("name", scope));
    }
    Ok(scope)
}

/// Schemes and grades that nobody publishes would never be recognized, and nobody would notice.
fn check_terms(snapshot: &Snapshot, kind: RecordKind, on: Date, body: &str) -> Result<(), Stop> {
    let invalid = |problem: String| Stop::from(Reason::PolicyBodyInvalid.field("body").var("problem", problem));
    let terms: Agreement = serde_json::from_str(body).map_err(unread)?;
    if kind.is_personal() && !terms.exclusions.is_empty() {
        return Err(invalid(format!("exclusions name institutions, {kind} is of persons")));
    }
    for (scheme, lines) in &terms.schemes {
        let known = policy::find::<RecordKindPolicy>(snapshot, &format!("{kind}/{scheme}"), on)?;
        let known = known.ok_or_else(|| invalid(format!("{kind} has no scheme {scheme}")))?;
        let unknown = lines.iter().find(|line| !(known.min_level..=known.max_level).contains(&line.native));
        if let Some(line) = unknown {
            return Err(invalid(format!("{scheme} has no grade {}", line.native)));
        }
    }
    Ok(())
}

fn unread(error: serde_json::Error) -> Rejection {
    Reason::PolicyBodyInvalid.field("body").var("problem", error)
}

/// A proposal that waits. Of one between others the caller learns nothing.
fn proposed(snapshot: &Snapshot, call: &Call, name: &Name, reason: &str) -> Result<Arc<AgreementRow>, Stop> {
    guard::text("reason", reason, 1_000)?;
    let row = snapshot.get::<AgreementRow>(key![name.to_string()])?;
    let row = guard::found(row.filter(|row| row.concerns(call.participant())), "agreement", name)?;
    guard::state(row.state, &[AgreementState::Proposed], "agreement", name)?;
    Ok(row)
}

/// As [`proposed`], by the other region.
fn answered(snapshot: &Snapshot, call: &Call, name: &Name, reason: &str) -> Result<Arc<AgreementRow>, Stop> {
    let row = proposed(snapshot, call, name, reason)?;
    if row.proposed_by.participant() == call.participant() {
        return Err(Reason::SameOrganisation.field("agreement").var("name", call.participant()).into());
    }
    Ok(row)
}

fn answer(call: &Call, row: &AgreementRow, state: AgreementState, reason: &str) -> AgreementRow {
    AgreementRow {
        state,
        answered_by: Some(call.actor.clone()),
        reason: reason.to_owned(),
        recorded_at_us: call.now,
        version: row.version + 1,
        ..row.clone()
    }
}

fn versions(snapshot: &Snapshot, scope: &str) -> Result<Vec<Arc<PolicyRow>>, Stop> {
    snapshot.list::<PolicyRow>(&["kind", "scope"], key![PolicyKind::Agreement, scope.to_owned()])
}

/// The terms in force on a day, if anything is recognized on it.
fn in_force(snapshot: &Snapshot, scope: &str, on: Date) -> Result<Option<Arc<Agreement>>, Stop> {
    Ok(policy::find::<Agreement>(snapshot, scope, on)?.filter(|terms| terms.recognizes()))
}

fn next_version(snapshot: &Snapshot, scope: &str) -> Result<i64, Stop> {
    Ok(1 + versions(snapshot, scope)?.iter().map(|row| row.version).max().unwrap_or(0))
}

/// Both regions are told. Whatever concerns a scope goes one after the other: that none other waits, and
/// which version is the next, rests on absence.
fn announce<'a>(decision: &'a mut Decision, kind: &'static str, row: &AgreementRow) -> &'a mut Leaf {
    let leaf = decision.leaf(kind, &row.agreement, row.version).put(row).tell(&row.issuer).tell(&row.recognizer);
    leaf.guard::<ParticipantRow>(key![row.issuer.clone()])
}

/// The policy version, by the gateway: its cause is the leaf that a region signed.
fn put_in_force(decision: &mut Decision, call: &Call, row: &AgreementRow, effective_from: Date, version: i64) {
    let in_force = PolicyRow {
        kind: PolicyKind::Agreement,
        scope: row.scope.clone(),
        effective_from,
        version,
        body: row.body.clone(),
        set_by: call.actor.clone(),
        reason: row.reason.clone(),
        agreement: Some(row.agreement.clone()),
        recorded_at_us: call.now,
    };
    let name = policy::policy_name(PolicyKind::Agreement, &row.scope);
    decision.leaf("policy.set", name, version).put(&in_force).tell(&row.issuer).tell(&row.recognizer);
}

/// What waits of the same scope is not to be accepted any more.
fn supersede(snapshot: &Snapshot, call: &Call, decision: &mut Decision, by: &AgreementRow) -> Result<(), Stop> {
    let waiting = key![by.scope.clone(), AgreementState::Proposed];
    for old in snapshot.list::<AgreementRow>(&["scope", "state"], waiting)? {
        let row = AgreementRow {
            state: AgreementState::Superseded,
            reason: format!("superseded by {}", by.agreement),
            recorded_at_us: call.now,
            version: old.version + 1,
            ..(*old).clone()
        };
        announce(decision, "agreement.superseded", &row);
    }
    Ok(())
}
