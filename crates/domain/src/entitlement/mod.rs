//! Entitlements: budget, funding, monthly grants, credits, clawbacks, outside spending.

mod basis;
mod clawback;
mod credit;
mod funding;
mod grant;
mod money;
#[cfg(test)]
mod tests;

pub use basis::{bases, best_rate, rate_for};
pub use clawback::{ClawBackGrant, RecordRecovery, ReportClawbackReturn};
pub use credit::{CreditOutcome, ReportCredit};
pub use funding::Funding;
pub use grant::GrantEntitlement;
pub use money::{AllotBudget, FundChannel, ReportEstatePayout, ReportOutsideSpending, Spending};

use crate::close;
use crate::decision::Call;
use crate::guard::found;
use crate::key;
use crate::ledger::{Account, Book};
use crate::names::{Name, Participant};
use crate::rejection::{Reason, Rejection};
use crate::snapshot::{Snapshot, Stop};
use crate::time::{Date, Month, Timestamp};
use crate::{table, text_enum};

text_enum! {
    pub enum GrantState {
        /// Promised, not credited yet.
        Granted = "GRANTED",
        Credited = "CREDITED",
        /// The channel could not credit it; it stays granted.
        CreditFailed = "CREDIT_FAILED",
        /// Credited, to be taken back: the channel has to say what it returned.
        ClawbackRequested = "CLAWBACK_REQUESTED",
        /// Taken back. The month can be granted anew.
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
        /// The record or recognition it rests on, and its version then.
        pub basis: String,
        pub basis_version: i64,
        pub state: GrantState,
        pub credited_fen: i64,
        pub clawed_back_fen: i64,
        /// Of what was clawed back: what the channel returned. The rest of a credited month is owed.
        pub returned_fen: i64,
        /// Why the credit failed, or why it is taken back.
        pub reason: String,
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
    key [event] index [region, programme] index [reporter, programme, kind, reference, funder_division] unique [reporter, programme, kind, reference, funder_division] readers [region, channel]
    {
        pub event: String,
        pub kind: MoneyEventKind,
        /// The paying region.
        pub region: Participant,
        pub programme: String,
        /// Who says so: the region, or the channel.
        pub reporter: Participant,
        pub channel: Option<Participant>,
        /// The elder concerned.
        pub person: Option<String>,
        /// The funder whose budget it is; empty for what is no budget.
        pub funder_division: String,
        pub amount_fen: i64,
        pub occurred_on: Date,
        /// The reporter's own reference, once per kind (and funder).
        pub reference: String,
        pub recorded_at_us: Timestamp,
        pub version: i64,
    }
}

/// The book of a region's programme, refusing a malformed programme name.
pub fn book(region: &Participant, programme: &str) -> Result<Book, Rejection> {
    if programme.is_empty() {
        return Err(Reason::FieldMissing.field("programme"));
    }
    Book::new(region.clone(), programme)
        .map_err(|_| Reason::FieldMalformed.field("programme").var("expected", "a snake_case identifier"))
}

impl GrantRow {
    /// The id part of the elder's name, as accounts carry it.
    pub fn elder_id(&self) -> &str {
        elder_id(&self.person)
    }

    /// What bears it: the expense of the grant's year; of a closed year, that year's adjustment.
    fn cost_account(&self, snapshot: &Snapshot, book: &Book, call: &Call) -> Result<Account, Stop> {
        close::cost_account(snapshot, book, &self.funder_division, self.month.year(), call)
    }
}

/// The id part of a person's name.
pub fn elder_id(person: &str) -> &str {
    person.split_once('/').map_or(person, |(_, id)| id)
}

fn find_grant(snapshot: &Snapshot, name: &Name) -> Result<GrantRow, Stop> {
    let grant = found(snapshot.get::<GrantRow>(key![name.to_string()])?, "grant", name)?;
    Ok((*grant).clone())
}
