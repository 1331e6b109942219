//! Mutual recognition: a result valid at the issuer is accepted as if issued
//! locally (DOMAIN.md §2). The module above has the table.

use std::sync::Arc;

use super::publish::subjects;
use super::{RecognitionRow, RecognitionState, RecordRow};
use crate::agreement::{scope_of, version_name};
use crate::decision::{Call, Command, Decision, Leaf};
use crate::guard;
use crate::institution::InstitutionRow;
use crate::key;
use crate::names::{Collection, Name, Participant};
use crate::person::resolve_person;
use crate::policy::{self, Agreement, PolicyKind, PolicyRow};
use crate::rejection::Reason;
use crate::rules::mapping::RecognizedLevels;
use crate::rules::rating::RecordState;
use crate::snapshot::{Snapshot, Stop};
use crate::text_enum;
use crate::time::Date;

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
    let scope = scope_of(&record.issuer, recognizer, record.kind);
    let today = call.now.date();
    let Some((terms, agreement)) = policy::find_version::<Agreement>(snapshot, &scope, today)? else { return Ok(None) };
    let Some(levels) = mapped(snapshot, &terms, record)? else { return Ok(None) };
    let waits = !terms.automatic || has_set_aside(snapshot, record, recognizer)?;
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
        state: if waits { RecognitionState::Pending } else { RecognitionState::Recognized },
        effective_on: today,
        reason: terms.source.clone(),
        agreement,
        recorded_at_us: call.now,
        stated_since: 1,
        version: 1,
    }))
}

/// The levels as which terms have a record recognized. A line whose quality contradicts its range maps
/// nothing: what it would prove is unknown.
fn mapped(snapshot: &Snapshot, terms: &Agreement, record: &RecordRow) -> Result<Option<RecognizedLevels>, Stop> {
    let lines = terms.schemes.get(&record.scheme);
    let line = lines.and_then(|lines| lines.iter().find(|line| line.native == record.native_level));
    let levels = line
        .and_then(|line| {
            RecognizedLevels::new(line.recognized, line.recognized_max.unwrap_or(line.recognized), line.quality)
        })
        .filter(|levels| terms.min_grade.is_none_or(|least| least <= levels.min()));
    Ok(if levels.is_some() && excludes(snapshot, terms, record)? { None } else { levels })
}

fn excludes(snapshot: &Snapshot, terms: &Agreement, record: &RecordRow) -> Result<bool, Stop> {
    if terms.exclusions.is_empty() {
        return Ok(false);
    }
    let institution = snapshot.get::<InstitutionRow>(key![record.subject.clone()])?;
    let division = institution.as_ref().map_or("", |row| row.division.as_str());
    Ok(terms.exclusions.iter().any(|out| {
        out.institution.as_deref() == Some(record.subject.as_str())
            || out.division.as_deref().is_some_and(|code| division.starts_with(code))
    }))
}

/// Whether the region has set aside, or has yet to review, a record of this issuer's line about the subject: then
/// another does not come past it by itself, unless one between the two, by their first days, was recognized. One
/// that begins only after the new record says nothing for it, and what the issuer has taken away says nothing.
fn has_set_aside(snapshot: &Snapshot, record: &RecordRow, recognizer: &Participant) -> Result<bool, Stop> {
    use RecognitionState::{Declined, Pending, Recognized, Revoked, Superseded, Suspended};
    // Of each the latest first day.
    let (mut set_aside, mut recognized): (Option<Date>, Option<Date>) = (None, None);
    for subject in subjects(snapshot, record.kind, &record.subject)? {
        let known = snapshot.list::<RecognitionRow>(&["subject", "recognizer"], key![subject, recognizer.clone()])?;
        let of_line = known.iter().filter(|other| {
            let same_line = other.kind == record.kind
                && other.issuer == record.issuer
                && (other.scheme == record.scheme || !record.kind.keeps_schemes_apart());
            same_line && other.record != record.record
        });
        for other in of_line {
            let day = Some(other.valid_from);
            match other.state {
                Declined | Suspended | Pending => set_aside = set_aside.max(day),
                Recognized | Superseded if other.valid_from <= record.valid_from => recognized = recognized.max(day),
                Recognized | Superseded | Revoked => {}
            }
        }
    }
    Ok(set_aside.is_some() && set_aside >= recognized)
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
        // The record ended, or the agreement does not cover it as it is now.
        let ended = Ended { state: RecognitionState::Revoked, from: lost_from(snapshot, call, old, record)? };
        return Ok(end(call, decision, old, record, ended));
    };
    // What the recognizing region itself decided stays its decision; what the issuer took away comes back.
    let kept = old.state != RecognitionState::Revoked;
    let own_word = matches!(old.state, RecognitionState::Declined | RecognitionState::Suspended);
    let row = RecognitionRow {
        state: if kept { old.state } else { fresh.state },
        reason: if kept { old.reason.clone() } else { fresh.reason },
        effective_on: if own_word { old.effective_on } else { record.effective_on },
        ..fresh
    }
    .following(old);
    announce(decision, "recognition.followed", &row);
    Ok(row)
}

/// From when on a recognition is lost that its record, or the agreement, no longer carries. A record that the
/// version it stands on would still recognize is lost by the agreement alone: what was paid on it up to today stands.
fn lost_from(snapshot: &Snapshot, call: &Call, old: &RecognitionRow, record: &RecordRow) -> Result<Date, Stop> {
    if record.state.is_recognizable() {
        let scope = scope_of(&record.issuer, &old.recognizer, record.kind);
        let versions = snapshot.list::<PolicyRow>(&["kind", "scope"], key![PolicyKind::Agreement, scope])?;
        let stood_on =
            versions.iter().find(|row| version_name(&row.scope, row.effective_from, row.version) == old.agreement);
        let terms: Option<Agreement> = stood_on.and_then(|row| serde_json::from_str(&row.body).ok());
        if let Some(terms) = terms
            && mapped(snapshot, &terms, record)?.is_some()
        {
            return Ok(call.now.date().plus_days(1));
        }
    }
    Ok(record.effective_on)
}

/// Ends a recognition whose record another one replaced.
pub(super) fn replace(call: &Call, decision: &mut Decision, old: &RecognitionRow, record: &RecordRow) {
    let state = match old.state {
        RecognitionState::Recognized => RecognitionState::Superseded,
        _ => RecognitionState::Revoked,
    };
    end(call, decision, old, record, Ended { state, from: record.effective_on });
}

/// What becomes of a recognition, and its first day as that.
struct Ended {
    state: RecognitionState,
    from: Date,
}

/// Ends a recognition that nothing carries any more. Nothing is left to end of one that the region declined or
/// set aside: it only notes the version. One that is revoked may turn out to be so from earlier.
fn end(call: &Call, decision: &mut Decision, old: &RecognitionRow, record: &RecordRow, ended: Ended) -> RecognitionRow {
    let reason = || format!("{}: {}", record.state, record.reason);
    let (kind, row) = match old.state {
        RecognitionState::Pending | RecognitionState::Recognized => {
            let kind = match ended.state {
                RecognitionState::Superseded => "recognition.superseded",
                _ => "recognition.revoked",
            };
            (kind, RecognitionRow { state: ended.state, effective_on: ended.from, reason: reason(), ..old.clone() })
        }
        RecognitionState::Revoked if record.void_from().is_some_and(|from| from < old.effective_on) => {
            ("recognition.followed", RecognitionRow { effective_on: ended.from, reason: reason(), ..old.clone() })
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
    /// What the agreement in force makes of a record that holds, or will.
    fn fresh(&self, snapshot: &Snapshot, call: &Call, record: &RecordRow) -> Result<RecognitionRow, Stop> {
        let needed = [RecordState::Valid, RecordState::Rectifying];
        guard::state(record.state, &needed, "record", &self.record)?;
        let fresh = under_agreement(snapshot, call, record, call.participant())?;
        let fresh = fresh.ok_or_else(|| self.not_recognized(call))?;
        if fresh.valid_until < call.now.date() {
            return Err(guard::wrong_state("EXPIRED", guard::either(&needed), "record", &self.record).into());
        }
        Ok(fresh)
    }

    fn not_recognized(&self, call: &Call) -> crate::rejection::Rejection {
        Reason::NotRecognized.field("record").var("name", &self.record).var("region", call.participant())
    }
}
