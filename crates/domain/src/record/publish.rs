//! Publishing a record: the issuer's statement, the records it supersedes, and
//! the recognitions that follow from agreements in force.

use super::recognize::{follow, recognitions_of, recognize_under_agreements, replace};
use super::validity::Terms;
use super::{RecordEvent, RecordKind, RecordRow};
use crate::decision::{Call, Command, Decision, Leaf};
use crate::guard;
use crate::institution::{InstitutionKind, InstitutionRow, InstitutionState};
use crate::key;
use crate::names::Name;
use crate::person::{PersonRow, find_person, names_of, resolve_person};
use crate::rejection::Reason;
use crate::rules::rating::RecordState;
use crate::snapshot::{Snapshot, Stop};
use crate::time::Date;

/// Publishes a new record. The caller is its issuer.
///
/// Earlier records of the same issuer and subject, in the same scheme, end where
/// a valid one begins, in the same transaction.
#[derive(Clone, Debug)]
pub struct PublishRecord {
    pub kind: RecordKind,
    pub subject: Name,
    pub scheme: String,
    pub native_level: i64,
    /// `APPLIED`, `PUBLICIZED` or `VALID`.
    pub state: RecordState,
    /// Up to 100 characters.
    pub document_number: String,
    /// Up to 200 characters.
    pub decided_by: String,
    pub decided_on: Date,
    pub valid_from: Date,
    pub valid_until: Date,
    /// Up to 1,000 characters; may be empty.
    pub reason: String,
    /// Canonical JSON of the kind's own content.
    pub content: String,
}

impl Command for PublishRecord {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let record = Name::created(self.kind.collection(), call.request_id);
        guard::absent(&snapshot.get::<RecordRow>(key![record.to_string()])?, &record)?;
        self.check_texts()?;
        self.check_subject(snapshot, call)?;
        self.check_terms(snapshot, call)?;

        let mut row = RecordRow {
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
        let line = Line::of(snapshot, &row)?;
        if let Some(later) = &line.later {
            guard::not_before("valid_from", row.valid_from, later.valid_from)?;
        }
        row.supersedes = line.replaced();
        let mut decision = Decision::new(call);
        let leaf = decision.leaf(self.kind.leaf_kind(RecordEvent::Published), &record, 1);
        guard_subject(leaf.put(&row).tell(call.participant()), snapshot, &row)?;
        take_effect(snapshot, call, &mut decision, &line, &row)?;
        Ok(decision)
    }
}

impl PublishRecord {
    fn check_texts(&self) -> Result<(), Stop> {
        if !self.state.can_begin() {
            return Err(guard::out_of_range("state", "APPLIED, PUBLICIZED, VALID").into());
        }
        guard::text("document_number", &self.document_number, 100)?;
        guard::text("decided_by", &self.decided_by, 200)?;
        guard::optional_text("reason", &self.reason, 1_000)?;
        Ok(())
    }

    fn check_subject(&self, snapshot: &Snapshot, call: &Call) -> Result<(), Stop> {
        let field = self.kind.subject_field();
        if self.kind.is_personal() {
            find_person(snapshot, field, &self.subject)?.living(field)?;
            return Ok(());
        }
        let institution = snapshot.get::<InstitutionRow>(key![self.subject.to_string()])?;
        let institution = guard::found(institution, field, &self.subject)?;
        guard::own(call, &institution.region, field, &self.subject)?;
        let open = [InstitutionState::Operating, InstitutionState::Suspended];
        guard::state(institution.state, &open, field, &self.subject)?;
        // Station stars and institution grades are separate schemes (DOMAIN.md §2): never mixed.
        let is_station_scheme = self.scheme == "COMMUNITY_STATION_STAR";
        if is_station_scheme != (institution.kind == InstitutionKind::CommunityStation) {
            return Err(Reason::FieldNotApplicable.field(field).var("scheme", &self.scheme).into());
        }
        Ok(())
    }

    fn check_terms(&self, snapshot: &Snapshot, call: &Call) -> Result<(), Stop> {
        guard::not_after_today("decided_on", self.decided_on, call)?;
        let terms = Terms {
            kind: self.kind,
            scheme: &self.scheme,
            level: self.native_level,
            content: &self.content,
            decided_on: self.decided_on,
            valid_from: self.valid_from,
            valid_until: self.valid_until,
        };
        terms.check(snapshot, self.kind.level_field(), "valid_until")
    }
}

/// Locks the subject: whatever may become valid, or be superseded, goes one after the other.
pub(super) fn guard_subject(leaf: &mut Leaf, snapshot: &Snapshot, row: &RecordRow) -> Result<(), Stop> {
    if row.kind.is_personal() {
        leaf.guard::<PersonRow>(key![resolve_person(snapshot, &row.subject)?.person.clone()]);
    } else {
        leaf.guard::<InstitutionRow>(key![row.subject.clone()]);
    }
    Ok(())
}

/// What the issuer has already awarded to the subject and would go on beside a valid record.
pub(super) struct Line {
    /// In the order in which they began. They end where the new one begins.
    earlier: Vec<RecordRow>,
    /// One that begins after the new one, which therefore cannot be valid so long.
    pub later: Option<RecordRow>,
}

impl Line {
    pub(super) fn of(snapshot: &Snapshot, new: &RecordRow) -> Result<Self, Stop> {
        let mut line = Self { earlier: Vec::new(), later: None };
        if new.state != RecordState::Valid {
            return Ok(line);
        }
        for subject in subjects(snapshot, new.kind, &new.subject)? {
            let all = snapshot.list::<RecordRow>(&["subject", "kind"], key![subject, new.kind])?;
            line.earlier.extend(all.iter().filter(|r| goes_on_beside(r, new)).map(|r| (**r).clone()));
        }
        line.earlier.sort_by(|a, b| (a.valid_from, &a.record).cmp(&(b.valid_from, &b.record)));
        line.later = line.earlier.pop_if(|last| last.valid_from > new.valid_from);
        Ok(line)
    }

    /// The record that the new one names as replaced.
    pub(super) fn replaced(&self) -> Option<String> {
        self.earlier.last().map(|r| r.record.clone())
    }
}

fn goes_on_beside(old: &RecordRow, new: &RecordRow) -> bool {
    let same_line = old.record != new.record
        && old.issuer == new.issuer
        && (old.scheme == new.scheme || !new.kind.keeps_schemes_apart());
    let awarded = matches!(old.state, RecordState::Valid | RecordState::Rectifying | RecordState::Suspended);
    same_line && awarded && old.valid_until >= new.valid_from && old.valid_from <= new.valid_until
}

/// The names under which a subject's records may stand: a person's merged ones too.
pub(super) fn subjects(snapshot: &Snapshot, kind: RecordKind, subject: &str) -> Result<Vec<String>, Stop> {
    if kind.is_personal() {
        let person = resolve_person(snapshot, subject)?;
        names_of(snapshot, &person.person)
    } else {
        Ok(vec![subject.to_owned()])
    }
}

/// What follows when a record has become valid: earlier ones end, agreements apply.
pub(super) fn take_effect(
    snapshot: &Snapshot,
    call: &Call,
    decision: &mut Decision,
    line: &Line,
    new: &RecordRow,
) -> Result<(), Stop> {
    for old in &line.earlier {
        if new.valid_from > call.now.date() {
            shorten(snapshot, call, decision, old, new)?;
        } else {
            supersede(snapshot, call, decision, old, new)?;
        }
    }
    if new.state.is_recognizable() {
        recognize_under_agreements(snapshot, call, decision, new)?;
    }
    Ok(())
}

/// The new record has begun: the old one is at its end.
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
        replace(call, decision, &recognition, &row);
    }
    Ok(())
}

/// The new record begins later: the old one stays what it is, until the day before. So its
/// issuer can still suspend or revoke it, and no timer has to end it.
fn shorten(
    snapshot: &Snapshot,
    call: &Call,
    decision: &mut Decision,
    old: &RecordRow,
    new: &RecordRow,
) -> Result<(), Stop> {
    let row = RecordRow {
        valid_until: new.valid_from.plus_days(-1),
        recorded_at_us: call.now,
        reason: format!("ends where {} begins", new.record),
        version: old.version + 1,
        ..old.clone()
    };
    decision.leaf(old.kind.leaf_kind(RecordEvent::Changed), &old.record, row.version).put(&row).tell(&old.issuer);
    for recognition in recognitions_of(snapshot, &old.record)? {
        follow(snapshot, call, decision, &recognition, &row)?;
    }
    Ok(())
}
