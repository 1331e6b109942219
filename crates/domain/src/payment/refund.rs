//! Refunds (退货): up to eleven months, partial allowed, back to the same restricted account.

use super::contradiction::Said;
use super::end::payment_of_channel;
use super::order::{happened, take_order};
use super::{PaymentRow, PaymentState, RefundRow, RefundState};
use crate::decision::{Call, Command, Decision};
use crate::guard;
use crate::id::OrderId;
use crate::ledger::EntryKind;
use crate::names::{Collection, Name};
use crate::policy::{self, ChannelPolicy};
use crate::rejection::Reason;
use crate::snapshot::{Snapshot, Stop};
use crate::time::{Date, Timestamp};

/// The channel refunded part or all of a confirmed payment. The caller is the channel.
#[derive(Clone, Debug)]
pub struct RefundPayment {
    pub payment: Name,
    /// The refund's own order id.
    pub order_id: OrderId,
    pub amount_fen: i64,
    pub transaction_time: Timestamp,
    /// The channel's; absent: from its time.
    pub clearing_date: Option<Date>,
    /// Up to 200 characters; may be empty.
    pub reason: String,
}

impl Command for RefundPayment {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        guard::fen("amount_fen", self.amount_fen, 1)?;
        guard::optional_text("reason", &self.reason, 200)?;
        happened(self.transaction_time, call)?;
        let payment = payment_of_channel(snapshot, call, &self.payment)?;
        if payment.state != PaymentState::Confirmed {
            return Said::Refunded.unfit(snapshot, call, &payment);
        }
        let name = Name::created(Collection::Refund, call.request_id);
        let order = take_order(snapshot, call.participant(), &self.order_id, &name)?;
        let date = self.date(snapshot, call, &payment)?;
        let refundable = payment.amount_fen - payment.refunded_fen;
        if self.amount_fen > refundable {
            return Err(Reason::RefundExceedsPayment.field("amount_fen").var("refundable", refundable).into());
        }
        let refund = RefundRow {
            refund: name.to_string(),
            payment: payment.payment.clone(),
            channel: payment.channel.clone(),
            merchant_id: payment.merchant_id.clone(),
            order_id: self.order_id.to_string(),
            region: payment.region.clone(),
            institution_region: payment.institution_region.clone(),
            amount_fen: self.amount_fen,
            state: RefundState::Confirmed,
            transaction_time_us: self.transaction_time,
            clearing_date: date,
            matched_by: None,
            reason: self.reason.clone(),
            recorded_at_us: call.now,
            version: 1,
        };
        let (book, month) = (payment.book()?, call.now.month());
        let line = payment.line_moved(snapshot, 0, -self.amount_fen)?;
        let back = payment.give_back(&book, EntryKind::RefundConfirmed, self.amount_fen, date, month);
        let row = PaymentRow { refunded_fen: payment.refunded_fen + self.amount_fen, ..payment.next(call) };
        let mut decision = Decision::new(call);
        let leaf = decision.leaf("refund.confirmed", &refund.refund, 1);
        leaf.put(&refund).put(&order).book(back);
        row.tell(leaf);
        let leaf = decision.leaf("payment.refunded", &row.payment, row.version);
        leaf.put(&row).put(&line);
        row.tell(leaf);
        Ok(decision)
    }
}

impl RefundPayment {
    /// The refund's clearing date: from the payment's on, as long as the channel allows, by tomorrow.
    fn date(&self, snapshot: &Snapshot, call: &Call, payment: &PaymentRow) -> Result<Date, Stop> {
        let terms = policy::in_force::<ChannelPolicy>(snapshot, payment.channel.code(), call.now.date())?;
        let date = self.clearing_date.unwrap_or(self.transaction_time.clearing_date());
        let field = if self.clearing_date.is_some() { "clearing_date" } else { "transaction_time_us" };
        guard::not_before(field, date, payment.clearing_date)?;
        if date > payment.clearing_date.plus_months(terms.refund_months as i32) {
            return Err(Reason::RefundTooLate.field("payment").var("months", terms.refund_months).into());
        }
        let latest = call.now.clearing_date().plus_days(1);
        if date > latest {
            return Err(guard::out_of_range(field, format!("..{latest}")).into());
        }
        Ok(date)
    }
}
