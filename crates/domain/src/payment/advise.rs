//! Advices: payments a channel made without asking. Booked as facts, judged as findings.

use super::authorise::payment_row;
use super::gate::{Ask, judge};
use super::order::{happened, merchant, take_order};
use super::{Origin, PaymentRow, PaymentState};
use crate::decision::{Call, Command, Decision};
use crate::guard;
use crate::id::OrderId;
use crate::ledger::EntryKind;
use crate::names::{Collection, Name};
use crate::recon::overspent::Debit;
use crate::snapshot::{Snapshot, Stop};
use crate::time::{Date, Timestamp};

/// A payment reported after the fact (事后通知). The caller is the channel.
///
/// It may overdraw the account or exceed the bill: nothing is refused but a
/// duplicate order, a bill that does not exist, or a date that cannot be.
#[derive(Clone, Debug)]
pub struct AdvisePayment {
    pub ask: Ask,
    pub merchant_id: String,
    pub order_id: OrderId,
    pub transaction_time: Timestamp,
    /// The channel's; absent: from its time.
    pub clearing_date: Option<Date>,
}

impl Command for AdvisePayment {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        guard::fen("amount_fen", self.ask.amount_fen, 1)?;
        merchant(&self.merchant_id)?;
        happened(self.transaction_time, call)?;
        let own = self.transaction_time.clearing_date();
        let date = self.clearing_date.unwrap_or(own);
        if date < own.plus_days(-1) || date > call.now.clearing_date().plus_days(1) {
            let range = format!("{}..{}", own.plus_days(-1), call.now.clearing_date().plus_days(1));
            return Err(guard::out_of_range("clearing_date", range).into());
        }
        let name = Name::created(Collection::Payment, call.request_id);
        let order = take_order(snapshot, &self.ask.channel, &self.order_id, name);
        let judgement = judge(snapshot, &self.ask, call.now);
        let order = order?;
        let judgement = judgement?;
        let row = PaymentRow {
            origin: Origin::Advised,
            merchant_id: self.merchant_id.clone(),
            order_id: self.order_id.to_string(),
            state: PaymentState::Confirmed,
            transaction_time_us: self.transaction_time,
            clearing_date: date,
            authorised_on: date,
            ..payment_row(call, &self.ask, &judgement)
        };
        let mut line = (*judgement.line).clone();
        line.posted_fen += row.amount_fen;
        let mut decision = Decision::new(call);
        let leaf = decision.leaf("payment.advised", &row.payment, 1);
        leaf.put(&row).put(&order).put(&line);
        leaf.book(row.charge(&judgement.book, EntryKind::Advised, date, call.now.month()));
        row.tell(leaf);
        for stands_on in &row.stands_on.0 {
            stands_on.lock(leaf);
        }
        let debit = Debit {
            account: row.entitlement(&judgement.book),
            amount_fen: row.amount_fen,
            region: &row.region,
            programme: &row.programme,
            channel: &row.channel,
            person: &row.person,
            clearing_date: date,
        };
        debit.open_finding(snapshot, call, &mut decision)?;
        Ok(decision)
    }
}
