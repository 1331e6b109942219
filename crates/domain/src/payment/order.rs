//! A channel's order ids and times.

use super::{PaymentRow, RefundRow};
use crate::decision::Call;
use crate::guard;
use crate::id::OrderId;
use crate::key;
use crate::names::Participant;
use crate::rejection::{Reason, Rejection};
use crate::snapshot::{Snapshot, Stop};
use crate::subsidy::ClaimRow;
use crate::time::{DAY_US, HOUR_US, Timestamp};

/// `ORDER_ID_TAKEN` when the channel has used the id for a payment, a refund or a payout.
///
/// Nothing stands for an unused id, so there is no row to lock: two replicas that race
/// are kept apart by the tables' `unique [channel, order_id]`.
pub fn refuse_known_order(snapshot: &Snapshot, channel: &Participant, order_id: &OrderId) -> Result<(), Stop> {
    let by = &["channel", "order_id"];
    let values = || key![channel.clone(), order_id.to_string()];
    let payments = snapshot.list::<PaymentRow>(by, values());
    let refunds = snapshot.list::<RefundRow>(by, values());
    let claims = snapshot.list::<ClaimRow>(by, values());
    let known = payments?.first().map(|p| p.payment.clone());
    let known = known.or(refunds?.first().map(|r| r.refund.clone()));
    match known.or(claims?.first().map(|c| c.claim.clone())) {
        Some(name) => Err(Reason::OrderIdTaken.field("order_id").var("name", name).into()),
        None => Ok(()),
    }
}

/// A merchant number: 1 to 15 letters and digits.
pub(super) fn merchant(merchant_id: &str) -> Result<(), Rejection> {
    let plain = merchant_id.bytes().all(|b| b.is_ascii_alphanumeric());
    match merchant_id.len() {
        0 => Err(Reason::FieldMissing.field("merchant_id")),
        1..=15 if plain => Ok(()),
        _ => Err(Reason::FieldMalformed.field("merchant_id").var("expected", "1 to 15 letters and digits")),
    }
}

/// How far a channel's clock may be ahead of ours.
const AHEAD_US: i64 = HOUR_US / 12;

/// A channel's time: not in our future, but for five minutes of its clock.
pub(super) fn happened(at: Timestamp, call: &Call) -> Result<(), Rejection> {
    guard::not_in_future("transaction_time_us", at.plus_us(-AHEAD_US), call)
}

/// The time of an order about which the channel asks now: not a day old either.
pub(super) fn is_now(at: Timestamp, call: &Call) -> Result<(), Rejection> {
    let (low, high) = (call.now.plus_us(-DAY_US).0, call.now.plus_us(AHEAD_US).0);
    guard::range("transaction_time_us", at.0, low, high)
}
