//! What a change to a contract, a stay or a bill shows about payments already made: a
//! finding for each, opened in the same transaction. No payment changes.
//!
//! A payment that is still reserved is judged by the run of its clearing date, if it is
//! ever confirmed.

use std::sync::Arc;

use crate::care::bill::{BillLineRow, BillRow};
use crate::decision::{Call, Decision};
use crate::key;
use crate::payment::{PaymentRow, PaymentState};
use crate::recon::finding::{self, Finding};
use crate::recon::{BreakClass, BreakRow, FieldDifference};
use crate::snapshot::{Snapshot, Stop};
use crate::time::{Date, Month};

/// The version of a contract or a stay that carries fewer payments than the one before.
pub(super) struct Shortened<'a> {
    pub record: &'a str,
    pub version: i64,
    /// What it says now.
    pub says: String,
}

impl Shortened<'_> {
    /// Opens a `PAID_AFTER_REVOCATION` finding for each payment that stands on an earlier version
    /// and that this one does not carry, by the day of the payment and the month of its bill.
    pub fn open_findings(
        &self,
        snapshot: &Snapshot,
        call: &Call,
        decision: &mut Decision,
        payments: &[Arc<PaymentRow>],
        carries: impl Fn(Date, Month) -> bool,
    ) -> Result<(), Stop> {
        let stands = |p: &&Arc<PaymentRow>| {
            matches!(p.state, PaymentState::Confirmed | PaymentState::Late)
                && p.stands_on.0.iter().any(|s| s.record == self.record && s.version < self.version)
        };
        let standing: Vec<_> = payments.iter().filter(stands).collect();
        let bills: Vec<_> = standing.iter().map(|p| snapshot.get::<BillRow>(key![p.bill.clone()])).collect();
        for (payment, bill) in standing.into_iter().zip(bills) {
            let month = bill?.map_or(payment.clearing_date.month(), |bill| bill.month);
            if !carries(payment.transaction_time_us.date(), month) {
                let finding = finding::paid_after_revocation(payment, &[(self.record, &self.says)]);
                open(snapshot, call, decision, finding, payment)?;
            }
        }
        Ok(())
    }
}

/// Opens a `BILL_EXCEEDED` finding for a line that is now paid more than is due.
pub(super) fn open_excess(
    snapshot: &Snapshot,
    call: &Call,
    decision: &mut Decision,
    line: &BillLineRow,
) -> Result<(), Stop> {
    if line.excess_fen() == 0 {
        return Ok(());
    }
    let payments = snapshot.list::<PaymentRow>(&["bill"], key![line.bill.clone()])?;
    let of_line = payments.iter().filter(|p| p.fee_type == line.fee_type);
    // What exceeds went through the gateway, so some payment names the book it is of.
    let Some(payment) = of_line.max_by_key(|p| (p.recorded_at_us, &p.payment)) else { return Ok(()) };
    let paid = line.through_gateway_fen() + line.paid_elsewhere_fen;
    let due = FieldDifference::of("due_fen", line.due_fen.to_string(), paid.to_string());
    let finding = Finding {
        class: BreakClass::BillExceeded,
        condition: None,
        subject: finding::bill_line_subject(line),
        amount_fen: line.excess_fen(),
        detail: vec![due],
        stakes: Vec::new(),
    };
    open(snapshot, call, decision, finding, payment)
}

fn open(
    snapshot: &Snapshot,
    call: &Call,
    decision: &mut Decision,
    finding: Finding,
    payment: &PaymentRow,
) -> Result<(), Stop> {
    if snapshot.get::<BreakRow>(key![finding.break_name()])?.is_none() {
        let row = finding.of(snapshot, payment, None, call.now)?;
        let leaf = decision.leaf("break.opened", &row.break_name, row.version);
        leaf.put(&row);
        row.tell(leaf);
    }
    Ok(())
}
