//! The file rule: a reservation ends when the complete files of its clearing date and of the
//! next both lack the order (DESIGN.md §3).

use std::collections::BTreeSet;

use super::super::booking::{BillMove, LedgerRow};
use super::StartRun;
use super::judge::Outcome;
use super::load::Day;
use crate::decision::Call;
use crate::ledger::Transfer;
use crate::payment::{PaymentRow, PaymentState};
use crate::snapshot::Stop;

/// A reservation that ended.
pub struct Expired {
    pub payment: PaymentRow,
    pub transfer: Transfer,
    pub bill_move: BillMove,
}

/// Of the last portion, in which all are that no line names.
pub fn reservations(run: &StartRun, day: &Day, outcomes: &[Outcome], call: &Call) -> Result<Vec<Expired>, Stop> {
    if !day.complete {
        return Ok(Vec::new());
    }
    let in_file: BTreeSet<&str> = outcomes
        .iter()
        .filter(|o| !o.unit.lines.is_empty())
        .flat_map(|o| o.unit.entries.iter().map(|e| e.record.as_str()))
        .collect();
    let mut expired = Vec::new();
    for row in day.rows.values() {
        let LedgerRow::Payment(payment) = row else { continue };
        let both_complete = payment.authorised_on == run.clearing_date.plus_days(-1)
            && day.complete_dates.contains(&payment.authorised_on)
            || payment.authorised_on == run.clearing_date
                && day.complete_dates.contains(&run.clearing_date.plus_days(1));
        let silent = payment.state == PaymentState::Reserved && !in_file.contains(payment.payment.as_str());
        if silent && both_complete {
            expired.push(Expired {
                transfer: payment.release(&payment.book()?, call.now.month()),
                bill_move: BillMove {
                    bill: payment.bill.clone(),
                    fee_type: payment.fee_type,
                    held_fen: -payment.amount_fen,
                    posted_fen: 0,
                },
                payment: PaymentRow {
                    state: PaymentState::Expired,
                    reason: "in neither settlement file".to_owned(),
                    version: payment.version + 1,
                    recorded_at_us: call.now,
                    ..(**payment).clone()
                },
            });
        }
    }
    Ok(expired)
}
