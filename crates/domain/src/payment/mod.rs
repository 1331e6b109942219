//! Payments: one decision for every origin.
//!
//! What every command does in every state is `docs/payments.md`, written by the test in
//! `crate::lives`. A message that a state does not allow answers `STATE_NOT_ALLOWED`; one that
//! contradicts what the ledger has is kept as a finding. A repeated request gets its first answer.
//! While a payment is reserved, the channel is queried, which moves nothing.

mod advise;
mod authorise;
mod confirm;
mod contradiction;
mod end;
mod gate;
mod instruct;
mod lack;
mod order;
mod post;
mod query;
pub mod quota;
mod refund;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) mod world;

pub use advise::AdvisePayment;
pub use authorise::AuthorizePayment;
pub use confirm::ConfirmPayment;
pub use contradiction::{CONTRADICTED, Said, refusal as refusal_of_contradiction};
pub use end::{EndReservation, ReservationEnd, VoidPayment};
pub use gate::{Ask, Judged, Judgement, judge};
pub use instruct::InstructPayment;
pub use lack::{Lack, LackKind};
pub use order::{OrderRow, take_order};
pub use query::{PaymentQueryRow, QueryPayment, shortest_wait_us};
pub use refund::RefundPayment;

use serde::{Deserialize, Serialize};

use crate::care::bill::FeeType;
use crate::care::contract::ContractRow;
use crate::care::mandate::MandateRow;
use crate::care::stay::StayRow;
use crate::decision::Leaf;
use crate::key;
use crate::names::{Collection, Participant};
use crate::policy::Condition;
use crate::record::{RecognitionRow, RecordRow};
use crate::time::{Date, Timestamp};
use crate::value::Json;
use crate::{table, text_enum};

text_enum! {
    /// How a payment came about.
    pub enum Origin {
        /// The channel asked in real time.
        Authorised = "AUTHORISED",
        /// A region instructed it under a mandate.
        Instructed = "INSTRUCTED",
        /// The channel reported it afterwards.
        Advised = "ADVISED",
    }
}

text_enum! {
    pub enum PaymentState {
        /// Approved or instructed; the amount is reserved.
        Reserved = "RESERVED",
        /// Money moved.
        Confirmed = "CONFIRMED",
        /// Declined or undone by the channel before confirmation.
        Reversed = "REVERSED",
        /// The channel rejected an instruction.
        Rejected = "REJECTED",
        /// The region withdrew its instruction.
        Cancelled = "CANCELLED",
        /// Neither file knew the order.
        Expired = "EXPIRED",
        /// Voided on its clearing date.
        Voided = "VOIDED",
        /// Confirmed when nothing was held any more: in suspense.
        Late = "LATE",
    }
}

/// A condition that was not met when the payment was decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unmet {
    pub condition: Condition,
    /// `{LACK} ({what})`, see [`Lack`].
    pub detail: String,
}

/// A record the decision relied on, as it stood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandsOn {
    pub record: String,
    pub version: i64,
}

impl StandsOn {
    /// Locks the record against change until the decision that stands on it is written.
    pub(crate) fn lock(&self, leaf: &mut Leaf) {
        let key = key![self.record.clone()];
        match self.record.split_once('/').map(|(collection, _)| collection.parse()) {
            Some(Ok(Collection::Contract)) => leaf.rely_on::<ContractRow>(key),
            Some(Ok(Collection::Stay)) => leaf.rely_on::<StayRow>(key),
            Some(Ok(Collection::Mandate)) => leaf.rely_on::<MandateRow>(key),
            Some(Ok(Collection::Recognition)) => leaf.rely_on::<RecognitionRow>(key),
            _ => leaf.rely_on::<RecordRow>(key),
        };
    }
}

table! {
    /// Payments of care fees from an entitlement.
    pub struct PaymentRow in "payments", Head
    key [payment] index [order_id, channel] index [clearing_date, channel] index [bill] index [contract] index [mandate] index [institution, authorised_on] index [person, authorised_on] unique [order_id, channel] readers [region, institution_region, channel]
    {
        pub payment: String,
        pub origin: Origin,
        pub channel: Participant,
        /// Merchant number at the channel; empty when instructed to an institution without one.
        pub merchant_id: String,
        pub order_id: String,
        /// The elder whose account pays: of merged persons the one with the balance.
        pub person: String,
        pub contract: String,
        pub bill: String,
        pub fee_type: FeeType,
        pub institution: String,
        pub institution_region: Participant,
        /// The paying region.
        pub region: Participant,
        pub programme: String,
        pub amount_fen: i64,
        pub state: PaymentState,
        /// The channel's time of the order; of an instructed payment, from its confirmation.
        pub transaction_time_us: Timestamp,
        /// The channel's clearing date: from its confirmation, else from its time.
        pub clearing_date: Date,
        /// Clearing date of the authorisation; holds are booked and reversed on it.
        pub authorised_on: Date,
        pub mandate: Option<String>,
        pub stands_on: Json<Vec<StandsOn>>,
        /// Conditions unmet under `WARN`, or of an advice.
        pub unmet: Json<Vec<Unmet>>,
        pub consent_sha256: Option<String>,
        pub refunded_fen: i64,
        /// What is held in `suspense` for a late confirmation; 0 otherwise.
        pub kept_fen: i64,
        /// The file row that matched it: `{file}#{row}`.
        pub matched_by: Option<String>,
        /// Why reversed, rejected, cancelled or voided.
        pub reason: String,
        pub recorded_at_us: Timestamp,
        pub version: i64,
    }
}

text_enum! {
    pub enum RefundState {
        Confirmed = "CONFIRMED",
        /// Found in the channel's file.
        Matched = "MATCHED",
    }
}

table! {
    /// Refunds (退货) of confirmed payments, partial or full.
    pub struct RefundRow in "refunds", Head
    key [refund] index [order_id, channel] index [clearing_date, channel] index [payment] unique [order_id, channel] readers [region, institution_region, channel]
    {
        pub refund: String,
        pub payment: String,
        pub channel: Participant,
        /// The payment's.
        pub merchant_id: String,
        /// The refund's own.
        pub order_id: String,
        pub region: Participant,
        pub institution_region: Participant,
        pub amount_fen: i64,
        pub state: RefundState,
        pub transaction_time_us: Timestamp,
        pub clearing_date: Date,
        pub matched_by: Option<String>,
        /// Why it was made; may be empty.
        pub reason: String,
        pub recorded_at_us: Timestamp,
        pub version: i64,
    }
}
