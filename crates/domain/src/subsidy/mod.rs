//! Operating subsidies (运营补贴): claimed from stays, approved by rate rule, paid by a bank.
//!
//! | State | the payer | the bank confirms | the bank returns | the statement |
//! |---|---|---|---|---|
//! | `CLAIMED` | `APPROVED`, `DECLINED` | | | |
//! | `APPROVED` `RETURNED` | | `PAID` | | |
//! | `PAID` | | | `RETURNED` | `ON_STATEMENT` |
//! | `ON_STATEMENT` | | | `RETURNED` | |
//!
//! A returned transfer is still owed: the bank makes it again, and confirms it again.

mod claim;
mod payout;
#[cfg(test)]
mod tests;

pub use claim::{ApproveClaim, CreateClaim, DeclineClaim};
pub use payout::{ConfirmPayout, ReturnPayout};

use crate::names::Participant;
use crate::time::{Date, Month, Timestamp};
use crate::value::Json;
use crate::{table, text_enum};

text_enum! {
    pub enum ClaimState {
        Claimed = "CLAIMED",
        Approved = "APPROVED",
        Declined = "DECLINED",
        /// The bank confirmed the transfer.
        Paid = "PAID",
        OnStatement = "ON_STATEMENT",
        /// The transfer came back; it is to be made again.
        Returned = "RETURNED",
    }
}

table! {
    /// An institution's claim for a month, from the stays of the paying region's elders.
    pub struct ClaimRow in "operating_subsidy_claims", Head
    key [claim] index [institution, payer, month] index [order_id, channel] index [clearing_date, channel] unique [order_id, channel] readers [region, payer, channel]
    {
        pub claim: String,
        /// The institution's region, which claims.
        pub region: Participant,
        /// The region that pays.
        pub payer: Participant,
        pub programme: String,
        pub institution: String,
        pub month: Month,
        pub stays: Json<Vec<String>>,
        pub amount_fen: i64,
        pub state: ClaimState,
        /// Whose budget pays; from the approval.
        pub funder_division: Option<String>,
        /// The bank that pays; from the approval.
        pub channel: Option<Participant>,
        /// The bank's order id, from its confirmation.
        pub order_id: Option<String>,
        pub clearing_date: Option<Date>,
        /// Why declined or returned.
        pub reason: String,
        pub recorded_at_us: Timestamp,
        pub version: i64,
    }
}
