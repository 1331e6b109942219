//! Mutual recognition: a result valid at the issuer is accepted as if issued
//! locally (DOMAIN.md §2). The module above has the table.

use std::sync::Arc;

use super::{RecognitionRow, RecognitionState, RecordRow};
use crate::decision::{Call, Command, Decision, Leaf};
use crate::guard;
use crate::key;
use crate::names::{Collection, Name, Participant};
use crate::person::resolve_person;
use crate::policy::{self, Agreement, PolicyKind, PolicyRow};
use crate::rejection::Reason;
use crate::rules::mapping::RecognizedLevels;
use crate::rules::rating::RecordState;
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
        let payer = resolve_person(snapshot, &record.subject)?.household_region.clone();
        return Ok(if payer == record.issuer { Vec::new() } else { vec![payer] });
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
    let Some((terms, agreement)) = policy::find_version::<Agreement>(snapshot, &scope, today)? else { return Ok(None) };
    let Some(levels) = mapped(&terms, record) else { return Ok(None) };
    let cap = terms.validity_cap_months.map(|months| record.decided_on.plus_months(months as i32));
    Ok(Some(RecognitionRow {
        recognition: recognition_name(&record.record, recognizer).to_string(),
        record: record.record.clone(),
        kind: record.kind,
        record_version: record.version,
        issuer: record.issuer.clone(),
        recognizer: recognizer.clone(),
        subject: record.subject.clone(),
        scheme: record.scheme.clone(),
        native_level: record.native_level,
        recognized_min: levels.min(),
        recognized_max: levels.max(),
        quality: levels.quality(),
        valid_from: record.valid_from,
        valid_until: cap.map_or(record.valid_until, |cap| cap.min(record.valid_until)),
        state: if terms.automatic { RecognitionState::Recognized } else { RecognitionState::Pending },
        effective_on: today,
        reason: terms.source.clone(),
        agreement,
        recorded_at_us: call.now,
        stated_since: 1,
        version: 1,
    }))
}

/// A line whose quality contradicts its range maps nothing: what it would prove is unknown.
fn mapped(agreement: &Agreement, record: &RecordRow) -> Option<RecognizedLevels> {
    let map = agreement.schemes.get(&record.scheme)?.iter().find(|map| map.native == record.native_level)?;
    RecognizedLevels::new(map.recognized, map.recognized_max.unwrap_or(map.recognized), map.quality)
}

/// `recognitions/{record uuid}-{region code}`.
pub fn recognition_name(record: &str, recognizer: &Participant) -> Name {
    let id = record.split_once('/').map_or(record, |(_, id)| id);
    Name::of(Collection::Recognition, &format!("{id}-{}", recognizer.code()))
}

/// Brings a recognition in line with a new version of its record: same transaction, both told.
pub(super) fn follow(
    snapshot: &Snapshot,
    call: &Call,
    decision: &mut Decision,
    old: &RecognitionRow,
    record: &RecordRow,
) -> Result<RecognitionRow, Stop> {
    let fresh = match record.state.is_recognizable() {
        true => under_agreement(snapshot, call, record, &old.recognizer)?,
        false => None,
    };
    let Some(fresh) = fresh else {
        // The record ended, or its new level is outside the agreement.
        return Ok(end(call, decision, old, record, RecognitionState::Revoked));
    };
    // What the recognizing region itself decided stays its decision; what the issuer took away comes back.
    let kept = old.state != RecognitionState::Revoked;
    let row = RecognitionRow {
        state: if kept { old.state } else { fresh.state },
        reason: if kept { old.reason.clone() } else { fresh.reason },
        effective_on: record.effective_on,
        ..fresh
    }
    .following(old);
    announce(decision, "recognition.followed", &row);
    Ok(row)
}

/// Ends a recognition whose record another one replaced.
pub(super) fn replace(call: &Call, decision: &mut Decision, old: &RecognitionRow, record: &RecordRow) {
    let state = match old.state {
        RecognitionState::Recognized => RecognitionState::Superseded,
        _ => RecognitionState::Revoked,
    };
    end(call, decision, old, record, state);
}

/// Ends a recognition because its record no longer holds. Nothing is left to end of one that the
/// region declined or set aside: it only notes the version.
fn end(
    call: &Call,
    decision: &mut Decision,
    old: &RecognitionRow,
    record: &RecordRow,
    state: RecognitionState,
) -> RecognitionRow {
    let (kind, row) = match old.state {
        RecognitionState::Pending | RecognitionState::Recognized => {
            let kind = match state {
                RecognitionState::Superseded => "recognition.superseded",
                _ => "recognition.revoked",
            };
            let reason = format!("{}: {}", record.state, record.reason);
            (kind, RecognitionRow { state, effective_on: record.effective_on, reason, ..old.clone() })
        }
        RecognitionState::Declined
        | RecognitionState::Suspended
        | RecognitionState::Revoked
        | RecognitionState::Superseded => ("recognition.followed", old.clone()),
    };
    let row = RecognitionRow { record_version: record.version, recorded_at_us: call.now, ..row }.following(old);
    announce(decision, kind, &row);
    row
}

fn announce<'a>(decision: &'a mut Decision, kind: &'static str, row: &RecognitionRow) -> &'a mut Leaf {
    decision.leaf(kind, &row.recognition, row.version).put(row).tell(&row.recognizer).tell(&row.issuer)
}

text_enum! {
    /// What a recognizing region decides.
    pub enum Verdict {
        /// Recognizes a record that waits, or was declined, or for which it has to be asked.
        Accept = "ACCEPT",
        Decline = "DECLINE",
        /// Sets it aside (动态退出).
        Suspend = "SUSPEND",
        Reinstate = "REINSTATE",
    }
}

impl Verdict {
    fn needed(self) -> &'static [RecognitionState] {
        use RecognitionState::{Declined, Pending, Recognized, Revoked, Suspended};
        match self {
            Self::Accept => &[Pending, Declined, Revoked],
            Self::Decline => &[Pending, Recognized],
            Self::Suspend => &[Recognized],
            Self::Reinstate => &[Suspended],
        }
    }
}

/// The recognizing region's own decision, with a reason. The caller is the recognizer.
#[derive(Clone, Debug)]
pub struct DecideRecognition {
    pub record: Name,
    pub verdict: Verdict,
    /// Up to 1,000 characters.
    pub reason: String,
}

impl Command for DecideRecognition {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        guard::text("reason", &self.reason, 1_000)?;
        let record = snapshot.get::<RecordRow>(key![self.record.to_string()])?;
        let record = guard::found(record, "record", &self.record)?;
        let name = recognition_name(&record.record, call.participant());
        let old = snapshot.get::<RecognitionRow>(key![name.to_string()])?;
        match &old {
            Some(old) => guard::state(old.state, self.verdict.needed(), "verdict", &name)?,
            None if self.verdict == Verdict::Accept && record.issuer != *call.participant() => {}
            None => return Err(self.not_recognized(call).into()),
        }
        let (base, state) = match (self.verdict, &old) {
            (Verdict::Decline, Some(old)) => ((**old).clone(), RecognitionState::Declined),
            (Verdict::Suspend, Some(old)) => ((**old).clone(), RecognitionState::Suspended),
            _ => (self.fresh(snapshot, call, &record)?, RecognitionState::Recognized),
        };
        let row = RecognitionRow {
            state,
            effective_on: call.now.date(),
            reason: self.reason.clone(),
            recorded_at_us: call.now,
            ..base
        };
        let row = match &old {
            Some(old) => row.following(old),
            None => row,
        };
        let mut decision = Decision::new(call);
        let kind = if row.version == 1 { "recognition.created" } else { "recognition.decided" };
        // The first one has no row yet to be locked: whoever decides about the record waits for another.
        announce(&mut decision, kind, &row).guard::<RecordRow>(key![record.record.clone()]);
        Ok(decision)
    }
}

impl DecideRecognition {
    /// What the agreement in force makes of a record that holds.
    fn fresh(&self, snapshot: &Snapshot, call: &Call, record: &RecordRow) -> Result<RecognitionRow, Stop> {
        guard::state(record.state, &[RecordState::Valid, RecordState::Rectifying], "record", &self.record)?;
        let fresh = under_agreement(snapshot, call, record, call.participant())?;
        fresh.ok_or_else(|| self.not_recognized(call).into())
    }

    fn not_recognized(&self, call: &Call) -> crate::rejection::Rejection {
        Reason::NotRecognized.field("record").var("name", &self.record).var("region", call.participant())
    }
}
