//! What ends a payment without keeping the money: reversal, rejection,
//! cancellation of a reservation, and the void of a confirmed payment.

use super::contradiction::Said;
use super::{Origin, PaymentRow, PaymentState, quota};
use crate::decision::{Call, Command, Decision};
use crate::guard::{self, found, wrong_state};
use crate::key;
use crate::ledger::EntryKind;
use crate::names::Name;
use crate::rejection::Reason;
use crate::snapshot::{Snapshot, Stop};

pub(super) fn payment_of_channel(snapshot: &Snapshot, call: &Call, name: &Name) -> Result<PaymentRow, Stop> {
    let payment = find(snapshot, name)?;
    guard::own(call, &payment.channel, "payment", name)?;
    Ok(payment)
}

fn find(snapshot: &Snapshot, name: &Name) -> Result<PaymentRow, Stop> {
    let payment = found(snapshot.get::<PaymentRow>(key![name.to_string()])?, "payment", name)?;
    Ok((*payment).clone())
}

/// How a reservation ends without money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReservationEnd {
    /// The channel declined or reversed.
    Reversed,
    /// The channel rejected an instruction.
    Rejected,
    /// The paying region withdrew its instruction. The channel is told on its
    /// instruction stream; if it paid all the same, its confirmation is a late one.
    Cancelled,
}

/// Ends a reservation. The caller is the channel, or for `Cancelled` the paying region.
#[derive(Clone, Debug)]
pub struct EndReservation {
    pub payment: Name,
    pub end: ReservationEnd,
    /// Up to 200 characters.
    pub reason: String,
}

impl Command for EndReservation {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        guard::text("reason", &self.reason, 200)?;
        let payment = find(snapshot, &self.payment)?;
        let (owner, state, kind) = match self.end {
            ReservationEnd::Reversed => (&payment.channel, PaymentState::Reversed, "payment.reversed"),
            ReservationEnd::Rejected => (&payment.channel, PaymentState::Rejected, "payment.rejected"),
            ReservationEnd::Cancelled => (&payment.region, PaymentState::Cancelled, "payment.cancelled"),
        };
        guard::own(call, owner, "payment", &self.payment)?;
        if self.end != ReservationEnd::Reversed && payment.origin != Origin::Instructed {
            return Err(wrong_state(payment.origin, Origin::Instructed, "payment", &self.payment).into());
        }
        match self.end {
            _ if payment.state == PaymentState::Reserved => {}
            ReservationEnd::Reversed => return Said::Reversed.unfit(snapshot, call, &payment),
            ReservationEnd::Rejected => return Said::Rejected.unfit(snapshot, call, &payment),
            // A wish, not a fact.
            ReservationEnd::Cancelled => {
                return Err(wrong_state(payment.state, PaymentState::Reserved, "payment", &self.payment).into());
            }
        }
        let book = payment.book()?;
        let row = PaymentRow { state, reason: self.reason.clone(), ..payment.next(call) };
        let line = payment.line_moved(snapshot, -payment.amount_fen, 0)?;
        let drawn = quota::give_back(snapshot, call, &payment.channel, payment.authorised_on, payment.amount_fen)?;
        let mut decision = Decision::new(call);
        let leaf = decision.leaf(kind, &self.payment, row.version);
        drawn.put(leaf.put(&row).put(&line).book(payment.release(&book, call.now.month())));
        row.tell(leaf);
        if self.end == ReservationEnd::Cancelled {
            leaf.instruct(&row.channel);
        }
        Ok(decision)
    }
}

/// 消费撤销: the full amount, on the same clearing date, not after a refund. The caller is the channel.
#[derive(Clone, Debug)]
pub struct VoidPayment {
    pub payment: Name,
    /// Up to 200 characters.
    pub reason: String,
}

impl Command for VoidPayment {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        guard::text("reason", &self.reason, 200)?;
        let payment = payment_of_channel(snapshot, call, &self.payment)?;
        if payment.state != PaymentState::Confirmed {
            return Said::Voided.unfit(snapshot, call, &payment);
        }
        if payment.refunded_fen > 0 || payment.matched_by.is_some() {
            let state = if payment.refunded_fen > 0 { "REFUNDED" } else { "MATCHED" };
            return Err(wrong_state(state, PaymentState::Confirmed, "payment", &self.payment).into());
        }
        if payment.clearing_date < call.now.clearing_date() {
            return Err(Reason::ClearingDatePassed.field("payment").var("date", payment.clearing_date).into());
        }
        let (book, month) = (payment.book()?, call.now.month());
        let row = PaymentRow { state: PaymentState::Voided, reason: self.reason.clone(), ..payment.next(call) };
        let line = payment.line_moved(snapshot, 0, -payment.amount_fen)?;
        let drawn = quota::give_back(snapshot, call, &payment.channel, payment.authorised_on, payment.amount_fen)?;
        let back = payment.give_back(&book, EntryKind::Voided, payment.amount_fen, payment.clearing_date, month);
        let mut decision = Decision::new(call);
        let leaf = decision.leaf("payment.voided", &self.payment, row.version);
        drawn.put(leaf.put(&row).put(&line).book(back));
        row.tell(leaf);
        Ok(decision)
    }
}
