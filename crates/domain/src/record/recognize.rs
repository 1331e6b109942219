//! Mutual recognition: a result valid at the issuer is accepted as if issued
//! locally. The issuer stays the sole authority; recipients cite, never edit
//! (DOMAIN.md §2).

use std::sync::Arc;

use super::{RecognitionRow, RecognitionState, RecordRow};
use crate::decision::{Call, Command, Decision};
use crate::key;
use crate::names::{Collection, Name, Participant};
use crate::person::PersonRow;
use crate::policy::{self, Agreement, GradeMap, PolicyKind, PolicyRow};
use crate::rejection::Reason;
use crate::rules::mapping::MappingQuality;
use crate::snapshot::{Snapshot, Stop};
use crate::text_enum;

/// All recognitions of a record.
pub(super) fn recognitions_of(snapshot: &Snapshot, record: &str) -> Result<Vec<Arc<RecognitionRow>>, Stop> {
    snapshot.list::<RecognitionRow>(&["record"], key![record.to_owned()])
}

/// Creates the recognitions that agreements in force call for.
///
/// An institution's record goes to every region with an agreement. A personal
/// record goes to the region that pays for the person and to no other: any
/// further region asks for it with [`DecideRecognition`] when she comes there.
pub(super) fn recognize_under_agreements(
    snapshot: &Snapshot,
    call: &Call,
    decision: &mut Decision,
    record: &RecordRow,
) -> Result<(), Stop> {
    let known: Vec<_> = recognitions_of(snapshot, &record.record)?.iter().map(|r| r.recognizer.clone()).collect();
    for recognizer in recognizers(snapshot, record)? {
        if !known.contains(&recognizer)
            && let Some(row) = under_agreement(snapshot, call, record, &recognizer)?
        {
            announce(decision, "recognition.created", &row);
        }
    }
    Ok(())
}

fn recognizers(snapshot: &Snapshot, record: &RecordRow) -> Result<Vec<Participant>, Stop> {
    if record.kind.is_personal() {
        let person = snapshot.get::<PersonRow>(key![record.subject.clone()])?;
        let payer = person.map(|p| p.household_region.clone());
        return Ok(payer.into_iter().filter(|p| *p != record.issuer).collect());
    }
    let agreements = snapshot.list::<PolicyRow>(&["kind"], key![PolicyKind::Agreement])?;
    let prefix = format!("{}>", record.issuer.code());
    let suffix = format!("/{}", record.kind);
    let mut recognizers: Vec<Participant> = agreements
        .iter()
        .filter_map(|row| row.scope.strip_prefix(&prefix)?.strip_suffix(&suffix))
        .filter_map(|code| format!("regions/{code}").parse().ok())
        .collect();
    recognizers.sort();
    recognizers.dedup();
    Ok(recognizers)
}

/// The recognition that the agreement in force today gives, if it covers the scheme and level.
fn under_agreement(
    snapshot: &Snapshot,
    call: &Call,
    record: &RecordRow,
    recognizer: &Participant,
) -> Result<Option<RecognitionRow>, Stop> {
    let scope = format!("{}>{}/{}", record.issuer.code(), recognizer.code(), record.kind);
    let today = call.now.date();
    let Some(agreement) = policy::find::<Agreement>(snapshot, &scope, today)? else { return Ok(None) };
    let Some(map) = mapped(&agreement, record) else { return Ok(None) };
    let cap = agreement.validity_cap_months.map(|months| record.decided_on.plus_months(months as i32));
    let id = recognition_name(record, recognizer);
    Ok(Some(RecognitionRow {
        recognition: id.to_string(),
        record: record.record.clone(),
        kind: record.kind,
        record_version: record.version,
        issuer: record.issuer.clone(),
        recognizer: recognizer.clone(),
        subject: record.subject.clone(),
        scheme: record.scheme.clone(),
        native_level: record.native_level,
        recognized_min: map.recognized,
        recognized_max: map.recognized_max.unwrap_or(map.recognized),
        quality: map.quality.parse().unwrap_or(MappingQuality::Ambiguous),
        valid_from: record.valid_from,
        valid_until: cap.map_or(record.valid_until, |cap| cap.min(record.valid_until)),
        state: if agreement.automatic { RecognitionState::Recognized } else { RecognitionState::Pending },
        effective_on: today,
        reason: agreement.source.clone(),
        agreement: policy::policy_name(PolicyKind::Agreement, &scope),
        recorded_at_us: call.now,
        version: 1,
    }))
}

fn mapped<'a>(agreement: &'a Agreement, record: &RecordRow) -> Option<&'a GradeMap> {
    agreement.schemes.get(&record.scheme)?.iter().find(|map| map.native == record.native_level)
}

/// `recognitions/{record uuid}-{region code}`.
fn recognition_name(record: &RecordRow, recognizer: &Participant) -> Name {
    let id = record.record.split_once('/').map_or(record.record.as_str(), |(_, id)| id);
    Name::of(Collection::Recognition, &format!("{id}-{}", recognizer.code()))
}

/// Brings a recognition in line with a new version of its record: same transaction, both told.
pub(super) fn follow(
    snapshot: &Snapshot,
    call: &Call,
    decision: &mut Decision,
    old: &RecognitionRow,
    record: &RecordRow,
) -> Result<(), Stop> {
    if !record.state.is_recognizable() {
        revoke(call, decision, old, record);
        return Ok(());
    }
    let Some(fresh) = under_agreement(snapshot, call, record, &old.recognizer)? else {
        // The new level or scheme is outside the agreement.
        revoke(call, decision, old, record);
        return Ok(());
    };
    // What the recognizing region itself decided stays its decision; what the issuer took away comes back.
    let state = match old.state {
        RecognitionState::Revoked => fresh.state,
        kept => kept,
    };
    let row = RecognitionRow { state, effective_on: record.effective_on, version: old.version + 1, ..fresh };
    announce(decision, "recognition.followed", &row);
    Ok(())
}

/// Ends a recognition because its record no longer holds.
pub(super) fn revoke(call: &Call, decision: &mut Decision, old: &RecognitionRow, record: &RecordRow) {
    let row = RecognitionRow {
        state: RecognitionState::Revoked,
        record_version: record.version,
        effective_on: record.effective_on,
        reason: format!("{}: {}", record.state, record.reason),
        recorded_at_us: call.now,
        version: old.version + 1,
        ..old.clone()
    };
    announce(decision, "recognition.revoked", &row);
}

fn announce(decision: &mut Decision, kind: &'static str, row: &RecognitionRow) {
    decision.leaf(kind, &row.recognition, row.version).put(row).tell(&row.recognizer).tell(&row.issuer);
}

text_enum! {
    /// What a recognizing region decides.
    pub enum Verdict {
        /// Recognizes a pending or declined record, or asks for a personal record's recognition.
        Accept = "ACCEPT",
        Decline = "DECLINE",
        /// Sets it aside (动态退出).
        Suspend = "SUSPEND",
        Reinstate = "REINSTATE",
    }
}

/// The recognizing region's own decision, with a reason. The caller is the recognizer.
#[derive(Clone, Debug)]
pub struct DecideRecognition {
    pub record: Name,
    pub verdict: Verdict,
    pub reason: String,
}

impl Command for DecideRecognition {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let record = snapshot
            .get::<RecordRow>(key![self.record.to_string()])?
            .ok_or_else(|| Reason::RecordNotFound.field("record").var("name", &self.record))?;
        let name = recognition_name(&record, call.participant());
        let mut decision = Decision::new(call);
        let Some(old) = snapshot.get::<RecognitionRow>(key![name.to_string()])? else {
            self.ask_for_it(snapshot, call, &record, &mut decision)?;
            return Ok(decision);
        };
        let (to, needed) = match self.verdict {
            Verdict::Accept => (RecognitionState::Recognized, [RecognitionState::Pending, RecognitionState::Declined]),
            Verdict::Decline => (RecognitionState::Declined, [RecognitionState::Pending, RecognitionState::Pending]),
            Verdict::Suspend => {
                (RecognitionState::Suspended, [RecognitionState::Recognized, RecognitionState::Recognized])
            }
            Verdict::Reinstate => {
                (RecognitionState::Recognized, [RecognitionState::Suspended, RecognitionState::Suspended])
            }
        };
        if !needed.contains(&old.state) {
            let fault = Reason::StateNotAllowed.field("verdict").var("name", &name).var("state", old.state);
            return Err(fault.var("needed", needed[0]).into());
        }
        let row = RecognitionRow {
            state: to,
            effective_on: call.now.date(),
            reason: self.reason.clone(),
            recorded_at_us: call.now,
            version: old.version + 1,
            ..(*old).clone()
        };
        announce(&mut decision, "recognition.decided", &row);
        Ok(decision)
    }
}

impl DecideRecognition {
    fn ask_for_it(
        &self,
        snapshot: &Snapshot,
        call: &Call,
        record: &RecordRow,
        decision: &mut Decision,
    ) -> Result<(), Stop> {
        let refused =
            || Reason::NotRecognized.field("record").var("name", &self.record).var("region", call.participant());
        if self.verdict != Verdict::Accept || record.issuer == *call.participant() || !record.state.is_recognizable() {
            return Err(refused().into());
        }
        let row = under_agreement(snapshot, call, record, call.participant())?.ok_or_else(refused)?;
        let row = RecognitionRow { state: RecognitionState::Recognized, reason: self.reason.clone(), ..row };
        announce(decision, "recognition.created", &row);
        Ok(())
    }
}
