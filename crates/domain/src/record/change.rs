//! Changes of a record by its issuer, and their cascade to every recognition.

use super::publish::check_level;
use super::recognize::{follow, recognitions_of, recognize_under_agreements};
use super::{RecordEvent, RecordRow};
use crate::decision::{Call, Command, Decision};
use crate::key;
use crate::names::Name;
use crate::policy::{self, RecordKindPolicy};
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
    pub change: RecordState,
    /// Required by `UPGRADED` and `DOWNGRADED`, optional with `AMENDED`, refused otherwise.
    pub new_level: Option<i64>,
    /// `AMENDED` only: a corrected last day of validity.
    pub new_valid_until: Option<Date>,
    pub reason: String,
    pub decided_by: String,
    pub document_number: String,
    pub effective_on: Date,
}

impl Command for ChangeRecord {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let record = snapshot
            .get::<RecordRow>(key![self.record.to_string()])?
            .ok_or_else(|| Reason::RecordNotFound.field("name").var("name", &self.record))?;
        if record.issuer != *call.participant() {
            return Err(Reason::NotYourRecord.field("name").var("name", &self.record).into());
        }
        if !record.state.can_become(self.change) {
            let fault = Reason::TransitionNotAllowed.field("new_state").var("name", &self.record);
            return Err(fault.var("from", record.state).var("to", self.change).into());
        }
        if self.effective_on < record.valid_from {
            return Err(Reason::DateOrder.field("effective_on").var("earlier", "valid_from").into());
        }
        let row = RecordRow {
            state: if self.change.marks_replaced() { RecordState::Valid } else { self.change },
            native_level: self.level_after(snapshot, &record)?,
            valid_until: self.new_valid_until.unwrap_or(record.valid_until),
            effective_on: self.effective_on,
            recorded_at_us: call.now,
            reason: self.reason.clone(),
            decided_by: self.decided_by.clone(),
            document_number: self.document_number.clone(),
            version: record.version + 1,
            ..(*record).clone()
        };
        let mut decision = Decision::new(call);
        let leaf = decision.leaf(record.kind.leaf_kind(RecordEvent::Changed), &record.record, row.version);
        leaf.put(&row).tell(&record.issuer);
        for recognition in recognitions_of(snapshot, &record.record)? {
            follow(snapshot, call, &mut decision, &recognition, &row)?;
        }
        if row.state.is_recognizable() && !record.state.is_recognizable() {
            recognize_under_agreements(snapshot, call, &mut decision, &row)?;
        }
        Ok(decision)
    }
}

impl ChangeRecord {
    fn level_after(&self, snapshot: &Snapshot, record: &RecordRow) -> Result<i64, Stop> {
        let wanted = match (self.change, self.new_level) {
            (RecordState::Upgraded | RecordState::Downgraded, None) => {
                return Err(Reason::FieldMissing.field("new_level").into());
            }
            (RecordState::Upgraded | RecordState::Downgraded | RecordState::Amended, Some(level)) => level,
            (_, Some(_)) => {
                return Err(Reason::FieldOutOfRange.field("new_level").var("range", "a change of level").into());
            }
            (_, None) => return Ok(record.native_level),
        };
        let direction_ok = match self.change {
            RecordState::Upgraded => wanted > record.native_level,
            RecordState::Downgraded => wanted < record.native_level,
            _ => true,
        };
        if !direction_ok {
            let range = if self.change == RecordState::Upgraded { "above" } else { "below" };
            let range = format!("{range} {}", record.native_level);
            return Err(Reason::FieldOutOfRange.field("new_level").var("range", range).into());
        }
        let scope = format!("{}/{}", record.kind, record.scheme);
        let rules: RecordKindPolicy = policy::in_force(snapshot, &scope, record.decided_on)?;
        check_level(&record.scheme, wanted, &rules)?;
        Ok(wanted)
    }
}
