//! A channel's order ids and times.

use crate::decision::Call;
use crate::guard;
use crate::id::OrderId;
use crate::key;
use crate::names::Participant;
use crate::rejection::{Reason, Rejection};
use crate::snapshot::{Snapshot, Stop};
use crate::table;
use crate::time::{DAY_US, HOUR_US, Timestamp};

table! {
    /// Order ids that a channel has used, one space for payments, refunds and payouts.
    ///
    /// Append-only and keyed by the id: two replicas that race for one both insert, and the one
    /// that loses decides anew.
    pub struct OrderRow in "orders", AppendOnly
    key [channel, order_id] readers [channel]
    {
        pub channel: Participant,
        pub order_id: String,
        /// The payment, refund or claim it was used for.
        pub record: String,
    }
}

/// The row that takes an order id for a record; `ORDER_ID_TAKEN` when the channel has used it.
pub fn take_order(
    snapshot: &Snapshot,
    channel: &Participant,
    order_id: &OrderId,
    record: impl ToString,
) -> Result<OrderRow, Stop> {
    match snapshot.get::<OrderRow>(key![channel.clone(), order_id.to_string()])? {
        Some(taken) => Err(Reason::OrderIdTaken.field("order_id").var("name", &taken.record).into()),
        None => Ok(OrderRow { channel: channel.clone(), order_id: order_id.to_string(), record: record.to_string() }),
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
