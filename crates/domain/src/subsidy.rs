//! Operating subsidies (运营补贴): claimed from stays, approved by rate rule, paid by a bank.

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
        Returned = "RETURNED",
    }
}

table! {
    /// An institution's claim for a month, from the stays of the paying region's elders.
    pub struct ClaimRow in "operating_subsidy_claims", Head
    key [claim] index [institution, payer, month] index [channel, order_id] index [channel, clearing_date] readers [region, payer, channel]
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
        pub funder_division: String,
        /// The paying bank.
        pub channel: Participant,
        /// The bank's order id, from its confirmation.
        pub order_id: Option<String>,
        pub clearing_date: Option<Date>,
        pub reason: String,
        pub recorded_at_us: Timestamp,
        pub version: i64,
    }
}
