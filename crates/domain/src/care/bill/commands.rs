//! Bills: published, amended, voided; by the institution's region.

use std::sync::Arc;

use super::{BillLineRow, BillRow, BillState, FeeType};
use crate::care::contract::{ContractRow, find_contract};
use crate::care::found::open_excess;
use crate::care::stay::StayRow;
use crate::decision::{Call, Command, Decision, Leaf};
use crate::guard;
use crate::institution::own_institution;
use crate::key;
use crate::names::{Collection, Name};
use crate::person::{PersonRow, names_of, resolve_person};
use crate::rejection::{Reason, Rejection};
use crate::snapshot::{Snapshot, Stop};
use crate::time::Month;

const MAX_LINES: usize = 10;

/// One fee of a bill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewLine {
    pub fee_type: FeeType,
    /// From 1.
    pub due_fen: i64,
    /// From 0, at most what is due.
    pub paid_elsewhere_fen: i64,
}

/// Publishes what an elder owes an institution for a month, under a contract in force on
/// some day of it. One bill at a time per contract and month.
#[derive(Clone, Debug)]
pub struct PublishBill {
    pub institution: Name,
    pub elder: Name,
    pub contract: Name,
    /// Absent: the stay of that month is found, if there is one.
    pub stay: Option<Name>,
    pub month: Month,
    pub lines: Vec<NewLine>,
    pub bill_number: String,
}

impl Command for PublishBill {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let name = Name::created(Collection::Bill, call.request_id).to_string();
        let known = snapshot.get::<BillRow>(key![name.clone()]);
        let of_month = snapshot.list::<BillRow>(&["contract", "month"], key![self.contract.clone(), self.month]);
        let (contract, elder) = (find_contract(snapshot, &self.contract), resolve_person(snapshot, &self.elder));
        let institution = own_institution(snapshot, call, &self.institution)?;
        let (contract, elder) = (contract?, elder?);
        guard::absent(&known?, &name)?;
        check_lines(&self.lines)?;
        guard::optional_text("bill_number", &self.bill_number, 64)?;
        if self.month > call.now.month().plus(1) {
            return Err(Reason::MonthInFuture.field("month").var("month", self.month).into());
        }
        if contract.institution != institution.institution
            || resolve_person(snapshot, &contract.person)?.person != elder.person
        {
            let expected = format!("a contract of {} with {}", self.institution, self.elder);
            return Err(Reason::FieldMalformed.field("contract").var("expected", expected).into());
        }
        if !contract.in_force_within(self.month.first_day(), self.month.last_day()) {
            let needed = format!("in force in {}", self.month);
            return Err(guard::wrong_state(contract.state, needed, "contract", &self.contract).into());
        }
        if let Some(open) = of_month?.iter().find(|bill| bill.state == BillState::Issued) {
            return Err(Reason::RecordExists.field("month").var("name", &open.bill).into());
        }
        let row = BillRow {
            bill: name,
            contract: contract.contract.clone(),
            institution: institution.institution.clone(),
            person: elder.person.clone(),
            institution_region: institution.region.clone(),
            household_region: elder.household_region.clone(),
            stay: self.stay(snapshot, &elder)?,
            month: self.month,
            bill_number: self.bill_number.clone(),
            state: BillState::Issued,
            reason: String::new(),
            recorded_at_us: call.now,
            version: 1,
        };
        let mut decision = Decision::new(call);
        let leaf = leaf(&mut decision, "bill.published", &row);
        // That the month has no bill yet rests on absence: rivals meet at the contract.
        leaf.guard::<ContractRow>(key![row.contract.clone()]);
        for line in &self.lines {
            leaf.put(&line.row(&row, None));
        }
        Ok(decision)
    }
}

impl PublishBill {
    /// The stay of the month: the one named, which must be that elder's there and then, or the
    /// latest one found.
    fn stay(&self, snapshot: &Snapshot, elder: &PersonRow) -> Result<Option<String>, Stop> {
        let stays: Vec<_> = names_of(snapshot, &elder.person)?
            .into_iter()
            .map(|name| snapshot.list::<StayRow>(&["person"], key![name]))
            .collect();
        let mut of_month = Vec::new();
        for stays in stays {
            let there = |s: &Arc<StayRow>| s.institution == self.institution.as_str() && s.days_in(self.month) > 0;
            of_month.extend(stays?.into_iter().filter(there));
        }
        match &self.stay {
            None => Ok(of_month.iter().max_by_key(|s| s.admitted_on).map(|s| s.stay.clone())),
            Some(name) if of_month.iter().any(|s| s.stay == name.as_str()) => Ok(Some(name.to_string())),
            Some(name) => {
                guard::found(snapshot.get::<StayRow>(key![name.clone()])?, "stay", name)?;
                let expected = format!("a stay of {} at {} in {}", self.elder, self.institution, self.month);
                Err(Reason::FieldMalformed.field("stay").var("expected", expected).into())
            }
        }
    }
}

/// Replaces all lines. A line left out stays with nothing due.
#[derive(Clone, Debug)]
pub struct AmendBill {
    pub bill: Name,
    /// 0: any.
    pub expected_version: i64,
    pub lines: Vec<NewLine>,
    pub reason: String,
}

impl Command for AmendBill {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let old_lines = snapshot.list::<BillLineRow>(&["bill"], key![self.bill.clone()]);
        let bill = own_bill(snapshot, call, &self.bill)?;
        guard::seen_version(self.expected_version, bill.version, &self.bill)?;
        guard::state(bill.state, &[BillState::Issued], "bill", &self.bill)?;
        check_lines(&self.lines)?;
        guard::text("reason", &self.reason, 1_000)?;
        let old_lines = old_lines?;
        let row = BillRow { reason: self.reason.clone(), ..next(&bill, call) };
        let mut decision = Decision::new(call);
        let leaf = leaf(&mut decision, "bill.amended", &row);
        let mut changed = Vec::new();
        for (at, line) in self.lines.iter().enumerate() {
            let old = old_lines.iter().find(|old| old.fee_type == line.fee_type);
            let new = line.row(&row, old.map(Arc::as_ref));
            not_below_paid(&new, &format!("lines[{at}].due_fen"))?;
            leaf.put(&new);
            changed.push(new);
        }
        for old in old_lines.iter().filter(|old| !self.lines.iter().any(|line| line.fee_type == old.fee_type)) {
            let dropped = BillLineRow { due_fen: 0, paid_elsewhere_fen: 0, ..(**old).clone() };
            not_below_paid(&dropped, "lines")?;
            leaf.put(&dropped);
        }
        for line in &changed {
            open_excess(snapshot, call, &mut decision, line)?;
        }
        Ok(decision)
    }
}

/// Voids a bill on which nothing is paid or held through the gateway.
#[derive(Clone, Debug)]
pub struct VoidBill {
    pub bill: Name,
    pub reason: String,
}

impl Command for VoidBill {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let lines = snapshot.list::<BillLineRow>(&["bill"], key![self.bill.clone()]);
        let bill = own_bill(snapshot, call, &self.bill)?;
        guard::state(bill.state, &[BillState::Issued], "bill", &self.bill)?;
        guard::text("reason", &self.reason, 1_000)?;
        let lines = lines?;
        for line in &lines {
            not_below_paid(&BillLineRow { due_fen: 0, ..(**line).clone() }, "bill")?;
        }
        let row = BillRow { state: BillState::Voided, reason: self.reason.clone(), ..next(&bill, call) };
        let mut decision = Decision::new(call);
        let leaf = leaf(&mut decision, "bill.voided", &row);
        // Written unchanged: the version is whole, and a payment that reserves on a line meanwhile
        // is not overlooked.
        for line in &lines {
            leaf.put(&**line);
        }
        Ok(decision)
    }
}

impl NewLine {
    /// The line as it will stand, keeping what went through the gateway.
    fn row(&self, bill: &BillRow, old: Option<&BillLineRow>) -> BillLineRow {
        BillLineRow {
            bill: bill.bill.clone(),
            fee_type: self.fee_type,
            institution_region: bill.institution_region.clone(),
            household_region: bill.household_region.clone(),
            due_fen: self.due_fen,
            paid_elsewhere_fen: self.paid_elsewhere_fen,
            posted_fen: old.map_or(0, |old| old.posted_fen),
            held_fen: old.map_or(0, |old| old.held_fen),
        }
    }
}

fn check_lines(lines: &[NewLine]) -> Result<(), Rejection> {
    if lines.is_empty() {
        return Err(Reason::FieldMissing.field("lines"));
    }
    if lines.len() > MAX_LINES {
        return Err(guard::out_of_range("lines", format!("1..{MAX_LINES} items")));
    }
    guard::distinct("lines", &lines.iter().map(|line| line.fee_type).collect::<Vec<_>>())?;
    for (at, line) in lines.iter().enumerate() {
        guard::fen(&format!("lines[{at}].due_fen"), line.due_fen, 1)?;
        guard::range(&format!("lines[{at}].paid_elsewhere_fen"), line.paid_elsewhere_fen, 0, line.due_fen)?;
    }
    Ok(())
}

fn not_below_paid(line: &BillLineRow, field: &str) -> Result<(), Rejection> {
    let paid = line.through_gateway_fen();
    if line.due_fen >= paid {
        return Ok(());
    }
    Err(Reason::BillLineBelowPaid.field(field).var("line", line.fee_type).var("paid", paid))
}

fn own_bill(snapshot: &Snapshot, call: &Call, name: &Name) -> Result<Arc<BillRow>, Stop> {
    let row = snapshot.get::<BillRow>(key![name.clone()])?;
    let row = guard::found(row, "bill", name)?;
    guard::own(call, &row.institution_region, "bill", name)?;
    Ok(row)
}

fn next(bill: &BillRow, call: &Call) -> BillRow {
    BillRow { version: bill.version + 1, recorded_at_us: call.now, ..bill.clone() }
}

fn leaf<'a>(decision: &'a mut Decision, kind: &'static str, row: &BillRow) -> &'a mut Leaf {
    let leaf = decision.leaf(kind, &row.bill, row.version);
    leaf.put(row).tell(&row.institution_region).tell(&row.household_region)
}
