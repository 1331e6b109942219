//! Entitlements: budget, funding, monthly grants, credits, clawbacks, outside spending.

use crate::names::Participant;
use crate::time::{Date, Month, Timestamp};
use crate::{table, text_enum};

text_enum! {
    pub enum GrantState {
        /// Promised, not credited yet.
        Granted = "GRANTED",
        Credited = "CREDITED",
        /// The channel could not credit it; it stays granted.
        CreditFailed = "CREDIT_FAILED",
        ClawedBack = "CLAWED_BACK",
    }
}

table! {
    /// An elder's entitlement of a month.
    pub struct GrantRow in "grants", Head
    key [grant] index [person, programme, month] index [region, month] readers [region, channel]
    {
        pub grant: String,
        pub person: String,
        pub region: Participant,
        pub programme: String,
        pub month: Month,
        pub channel: Participant,
        /// District that bears the cost.
        pub funder_division: String,
        pub tier: String,
        pub amount_fen: i64,
        /// The record it rests on (`assessments/…`, `disabilityCertificates/…`) and its version then.
        pub basis: String,
        pub basis_version: i64,
        pub state: GrantState,
        pub credited_fen: i64,
        pub clawed_back_fen: i64,
        pub recorded_at_us: Timestamp,
        pub version: i64,
    }
}

text_enum! {
    /// Movements of programme money that are no payment.
    pub enum MoneyEventKind {
        BudgetAllotted = "BUDGET_ALLOTTED",
        ChannelFunded = "CHANNEL_FUNDED",
        SpentElsewhere = "SPENT_ELSEWHERE",
        PaidToEstate = "PAID_TO_ESTATE",
        Recovered = "RECOVERED",
    }
}

table! {
    /// Allotments, fundings, outside spending, estate payouts, recoveries.
    pub struct MoneyEventRow in "money_events", Head
    key [event] index [region, programme] index [channel, channel_reference] readers [region, channel]
    {
        pub event: String,
        pub kind: MoneyEventKind,
        pub region: Participant,
        pub programme: String,
        pub channel: Option<Participant>,
        pub person: Option<String>,
        pub funder_division: Option<String>,
        pub amount_fen: i64,
        pub occurred_on: Date,
        /// The channel's or bank's own reference.
        pub channel_reference: String,
        pub recorded_at_us: Timestamp,
        pub version: i64,
    }
}
