//! Changes of a record by its issuer, and their cascade to every recognition.

use super::publish::{Line, guard_subject, take_effect};
use super::recognize::{follow, recognitions_of};
use super::validity::Terms;
use super::voided::open_findings;
use super::{RecordEvent, RecordRow};
use crate::decision::{Call, Command, Decision};
use crate::guard;
use crate::key;
use crate::names::Name;
use crate::rejection::Reason;
use crate::rules::rating::RecordState;
use crate::snapshot::{Snapshot, Stop};
use crate::time::Date;

/// A new immutable version of a record with reason, decider, effective date, document number.
///
/// `UPGRADED`, `DOWNGRADED` and `AMENDED` mark the version they replace; the new
/// version is `VALID` with the new level (DOMAIN.md §2). An effective date in the
/// past never undoes a payment: it opens findings.
#[derive(Clone, Debug)]
pub struct ChangeRecord {
    pub record: Name,
    /// The version the caller has seen; 0: any.
    pub expected_version: i64,
    pub change: RecordState,
    /// Required by `UPGRADED` and `DOWNGRADED`, optional with `AMENDED`, refused otherwise.
    pub new_level: Option<i64>,
    /// `AMENDED` only: a corrected last day of validity.
    pub new_valid_until: Option<Date>,
    /// Up to 1,000 characters.
    pub reason: String,
    /// Up to 200 characters.
    pub decided_by: String,
    /// Up to 100 characters.
    pub document_number: String,
    /// Not in the future, unless the validity begins there.
    pub effective_on: Date,
}

impl Command for ChangeRecord {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let record = snapshot.get::<RecordRow>(key![self.record.to_string()])?;
        let record = guard::found(record, "name", &self.record)?;
        guard::own(call, &record.issuer, "name", &self.record)?;
        guard::seen_version(self.expected_version, record.version, &self.record)?;
        self.check_texts()?;
        self.check_step(&record)?;
        self.check_effective_on(&record, call)?;

        let mut row = RecordRow {
            state: if self.change.marks_replaced() { RecordState::Valid } else { self.change },
            native_level: self.level_after(&record)?,
            valid_until: self.new_valid_until.unwrap_or(record.valid_until),
            effective_on: self.effective_on,
            recorded_at_us: call.now,
            reason: self.reason.clone(),
            decided_by: self.decided_by.clone(),
            document_number: self.document_number.clone(),
            version: record.version + 1,
            ..(*record).clone()
        };
        self.check_terms(snapshot, &row)?;
        let line = Line::of(snapshot, &row)?;
        self.check_nothing_later(&line)?;
        row.supersedes = line.replaced().or(row.supersedes);
        let mut decision = Decision::new(call);
        let leaf = decision.leaf(record.kind.leaf_kind(RecordEvent::Changed), &record.record, row.version);
        guard_subject(leaf.put(&row).tell(&record.issuer), snapshot, &row)?;
        let mut recognitions = Vec::new();
        for recognition in recognitions_of(snapshot, &record.record)? {
            recognitions.push(follow(snapshot, call, &mut decision, &recognition, &row)?);
        }
        take_effect(snapshot, call, &mut decision, &line, &row)?;
        open_findings(snapshot, call, &mut decision, &record, &row, &recognitions)?;
        Ok(decision)
    }
}

impl ChangeRecord {
    fn check_texts(&self) -> Result<(), Stop> {
        guard::text("reason", &self.reason, 1_000)?;
        guard::text("decided_by", &self.decided_by, 200)?;
        guard::text("document_number", &self.document_number, 100)?;
        Ok(())
    }

    fn check_step(&self, record: &RecordRow) -> Result<(), Stop> {
        if record.state.can_become(self.change) && record.kind.allows(self.change) {
            return Ok(());
        }
        let fault = Reason::TransitionNotAllowed.field("new_state").var("name", &self.record);
        Err(fault.var("from", record.state).var("to", self.change).into())
    }

    fn check_effective_on(&self, record: &RecordRow, call: &Call) -> Result<(), Stop> {
        guard::not_before("effective_on", self.effective_on, record.valid_from)?;
        let latest = call.now.date().max(record.valid_from);
        if self.effective_on > latest {
            return Err(guard::out_of_range("effective_on", format!("..{latest}")).into());
        }
        if self.new_valid_until.is_some() && self.change != RecordState::Amended {
            return Err(Reason::FieldNotApplicable.field("new_valid_until").var("scheme", self.change).into());
        }
        Ok(())
    }

    fn check_terms(&self, snapshot: &Snapshot, row: &RecordRow) -> Result<(), Stop> {
        if self.new_level.is_none() && self.new_valid_until.is_none() {
            return Ok(());
        }
        let terms = Terms {
            kind: row.kind,
            scheme: &row.scheme,
            level: row.native_level,
            content: &row.content,
            decided_on: row.decided_on,
            valid_from: row.valid_from,
            valid_until: row.valid_until,
        };
        terms.check(snapshot, "new_grade", "new_valid_until")
    }

    fn check_nothing_later(&self, line: &Line) -> Result<(), Stop> {
        let Some(later) = &line.later else { return Ok(()) };
        if self.new_valid_until.is_some() {
            let latest = later.valid_from.plus_days(-1);
            return Err(guard::out_of_range("new_valid_until", format!("..{latest}")).into());
        }
        Err(guard::wrong_state(later.state, "no record that begins later", "new_state", &later.record).into())
    }

    fn level_after(&self, record: &RecordRow) -> Result<i64, Stop> {
        let is_step = matches!(self.change, RecordState::Upgraded | RecordState::Downgraded);
        let may_amend = self.change == RecordState::Amended && record.kind.allows(RecordState::Upgraded);
        let wanted = match self.new_level {
            None if is_step => return Err(Reason::FieldMissing.field("new_grade").into()),
            None => return Ok(record.native_level),
            Some(_) if !is_step && !may_amend => {
                return Err(Reason::FieldNotApplicable.field("new_grade").var("scheme", self.change).into());
            }
            Some(wanted) => wanted,
        };
        let (direction_ok, side) = match self.change {
            RecordState::Upgraded => (wanted > record.native_level, "above"),
            RecordState::Downgraded => (wanted < record.native_level, "below"),
            _ => (true, ""),
        };
        if direction_ok {
            Ok(wanted)
        } else {
            Err(guard::out_of_range("new_grade", format!("{side} {}", record.native_level)).into())
        }
    }
}
