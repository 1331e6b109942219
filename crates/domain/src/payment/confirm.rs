//! Confirmation: the channel moved money, in time or late.

use super::contradiction::Said;
use super::end::payment_of_channel;
use super::order::happened;
use super::{Origin, PaymentRow, PaymentState};
use crate::decision::{Call, Command, Decision};
use crate::guard;
use crate::key;
use crate::ledger::{Account, AccountRow, EntryKind, Transfer};
use crate::names::Name;
use crate::rejection::Reason;
use crate::snapshot::{Snapshot, Stop};
use crate::time::{Date, Timestamp};

/// The channel confirms that money moved. The caller is the payment's channel.
///
/// A fact is always booked: confirmed when nothing is held any more, it goes
/// through suspense, keeps what the elder still has, and is a `LATE_CONFIRMATION`.
#[derive(Clone, Debug)]
pub struct ConfirmPayment {
    pub payment: Name,
    /// Must be the payment's amount.
    pub amount_fen: i64,
    /// The channel's time of an instructed payment, which completes its end-to-end key;
    /// `FIELD_MISSING` without. Absent for any other: it bears its own.
    pub transaction_time: Option<Timestamp>,
    /// The channel's clearing date; absent: from the transaction time.
    pub clearing_date: Option<Date>,
}

impl Command for ConfirmPayment {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let payment = payment_of_channel(snapshot, call, &self.payment)?;
        if self.amount_fen != payment.amount_fen {
            let fault = Reason::AmountMismatch.field("amount_fen").var("amount", self.amount_fen);
            return Err(fault.var("expected", payment.amount_fen).into());
        }
        let at = self.time(&payment, call)?;
        let date = self.clearing_date.unwrap_or(at.clearing_date());
        let (earliest, latest) = (payment.authorised_on.plus_days(-1), call.now.clearing_date().plus_days(1));
        if date < earliest || date > latest {
            return Err(guard::out_of_range("clearing_date", format!("{earliest}..{latest}")).into());
        }
        let row = PaymentRow { transaction_time_us: at, clearing_date: date, ..payment.next(call) };
        match payment.state {
            PaymentState::Reserved => in_time(snapshot, call, row),
            PaymentState::Reversed | PaymentState::Rejected | PaymentState::Cancelled | PaymentState::Expired => {
                late(snapshot, call, row)
            }
            PaymentState::Confirmed | PaymentState::Voided | PaymentState::Late => {
                Said::Confirmed.unfit(snapshot, call, &payment)
            }
        }
    }
}

impl ConfirmPayment {
    fn time(&self, payment: &PaymentRow, call: &Call) -> Result<Timestamp, Stop> {
        let Some(at) = self.transaction_time else {
            return match payment.origin {
                Origin::Instructed => Err(Reason::FieldMissing.field("transaction_time_us").into()),
                Origin::Authorised | Origin::Advised => Ok(payment.transaction_time_us),
            };
        };
        if payment.origin != Origin::Instructed && at != payment.transaction_time_us {
            let own = payment.transaction_time_us.0;
            return Err(guard::out_of_range("transaction_time_us", format!("{own}..{own}")).into());
        }
        happened(at, call)?;
        Ok(at)
    }
}

fn in_time(snapshot: &Snapshot, call: &Call, row: PaymentRow) -> Result<Decision, Stop> {
    let (book, month) = (row.book()?, call.now.month());
    let row = PaymentRow { state: PaymentState::Confirmed, ..row };
    let line = row.line_moved(snapshot, -row.amount_fen, row.amount_fen)?;
    let mut decision = Decision::new(call);
    let leaf = decision.leaf("payment.confirmed", &row.payment, row.version);
    leaf.put(&row).put(&line).book(row.release(&book, month));
    leaf.book(row.charge(&book, EntryKind::Confirmed, row.clearing_date, month));
    row.tell(leaf);
    Ok(decision)
}

fn late(snapshot: &Snapshot, call: &Call, row: PaymentRow) -> Result<Decision, Stop> {
    let (book, month) = (row.book()?, call.now.month());
    let entitlement = row.entitlement(&book);
    let left = snapshot.get::<AccountRow>(key![entitlement.clone()])?.map_or(0, |row| row.available_fen());
    let row = PaymentRow { state: PaymentState::Late, kept_fen: left.clamp(0, row.amount_fen), ..row };
    let suspense = Account::suspense(&book, &row.channel);
    let clearing = Account::clearing(&book, &row.channel, row.clearing_date);
    let (entry, date) = (EntryKind::LateConfirmation, row.clearing_date);
    let mut decision = Decision::new(call);
    let leaf = decision.leaf("payment.confirmed_late", &row.payment, row.version);
    // What is kept is decided from the balance, even when it is nothing.
    leaf.put(&row).guard::<AccountRow>(key![entitlement.clone()]);
    leaf.book(Transfer::posted(entry, suspense.clone(), clearing, row.amount_fen, month).on(date));
    leaf.book(Transfer::held(EntryKind::LateKept, entitlement, suspense, row.kept_fen, month).on(date));
    row.tell(leaf);
    Ok(decision)
}
