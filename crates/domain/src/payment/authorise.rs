//! Authorisation: the channel asks in real time; approval reserves.

use super::gate::{Ask, Judgement, judge};
use super::order::{is_now, merchant, take_order};
use super::{Origin, PaymentRow, PaymentState, quota};
use crate::decision::{Call, Command, Decision};
use crate::guard;
use crate::id::{Digest, OrderId};
use crate::names::{Collection, Name};
use crate::snapshot::{Snapshot, Stop};
use crate::time::Timestamp;
use crate::value::Json;

/// The channel's question whether a payment may be made. The caller is the channel.
#[derive(Clone, Debug)]
pub struct AuthorizePayment {
    pub ask: Ask,
    pub merchant_id: String,
    pub order_id: OrderId,
    pub transaction_time: Timestamp,
    /// SHA-256 of the payer's consent as the channel keeps it.
    pub consent: Digest,
}

impl Command for AuthorizePayment {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        guard::fen("amount_fen", self.ask.amount_fen, 1)?;
        merchant(&self.merchant_id)?;
        is_now(self.transaction_time, call)?;
        let name = Name::created(Collection::Payment, call.request_id);
        let order = take_order(snapshot, &self.ask.channel, &self.order_id, name);
        let judgement = judge(snapshot, &self.ask, call.now);
        let order = order?;
        let judgement = judgement?;
        judgement.enforce()?;
        let row = PaymentRow {
            merchant_id: self.merchant_id.clone(),
            order_id: self.order_id.to_string(),
            transaction_time_us: self.transaction_time,
            clearing_date: self.transaction_time.clearing_date(),
            consent_sha256: Some(self.consent.to_string()),
            ..payment_row(call, &self.ask, &judgement)
        };
        let drawn = quota::draw(snapshot, call, &row.channel, row.amount_fen)?;
        let mut decision = reserve(call, &judgement, row, "payment.authorised")?;
        drawn.put(decision.leaves[0].put(&order));
        Ok(decision)
    }
}

/// What every origin records alike.
pub(super) fn payment_row(call: &Call, ask: &Ask, judgement: &Judgement) -> PaymentRow {
    PaymentRow {
        payment: Name::created(Collection::Payment, call.request_id).to_string(),
        origin: Origin::Authorised,
        channel: ask.channel.clone(),
        merchant_id: String::new(),
        order_id: String::new(),
        person: judgement.payer.clone(),
        contract: judgement.contract.contract.clone(),
        bill: judgement.bill.bill.clone(),
        fee_type: ask.fee_type,
        institution: judgement.bill.institution.clone(),
        institution_region: judgement.bill.institution_region.clone(),
        region: judgement.book.region().clone(),
        programme: ask.programme.clone(),
        amount_fen: ask.amount_fen,
        state: PaymentState::Reserved,
        transaction_time_us: call.now,
        clearing_date: call.now.clearing_date(),
        authorised_on: call.now.clearing_date(),
        mandate: None,
        stands_on: Json(judgement.stands_on()),
        unmet: Json(judgement.unmet()),
        consent_sha256: None,
        refunded_fen: 0,
        kept_fen: 0,
        matched_by: None,
        reason: String::new(),
        recorded_at_us: call.now,
        version: 1,
    }
}

/// Reserves an approved payment: the hold, the bill line, the record.
pub(super) fn reserve(
    call: &Call,
    judgement: &Judgement,
    row: PaymentRow,
    kind: &'static str,
) -> Result<Decision, Stop> {
    let mut line = (*judgement.line).clone();
    line.held_fen += row.amount_fen;
    let mut decision = Decision::new(call);
    let leaf = decision.leaf(kind, &row.payment, 1);
    leaf.put(&row).put(&line).book(row.hold(&judgement.book, call.now.month()));
    row.tell(leaf);
    for stands_on in &row.stands_on.0 {
        stands_on.lock(leaf);
    }
    Ok(decision)
}
