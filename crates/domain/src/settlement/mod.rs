//! Settlement (结算): what a channel is to pay each institution for the rows matched in a cycle, and what it
//! did pay. A channel's own fee is settled like an institution's money: its payee is the channel.
//!
//! | State | Comes from | Goes to |
//! |---|---|---|
//! | `OPEN` | a cycle with something to pay | `SETTLED` by a payout |
//! | `CARRIED` | refunds and fees outweigh the payments | `TAKEN` by the next statement, or `SETTLED` when the channel collects it |
//! | `SETTLED` | a payout; or nothing to pay | |
//!
//! The ledger says what is owed: a statement takes all that is in the payee's account and in no open
//! statement. So a short or excessive payout, a correction and a refund after the settlement all come to the
//! next one by themselves.

mod payout;
mod prepare;
#[cfg(test)]
pub(crate) mod tests;

pub use payout::{MatchPayout, ReportPayout};
pub use prepare::{Activity, MOST_DAYS, PrepareSettlement};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::ledger::{Account, AccountKind};
use crate::names::Participant;
use crate::recon::proof::ProofRule;
use crate::time::{Date, Timestamp};
use crate::value::Json;
use crate::{table, text_enum};

text_enum! {
    pub enum StatementState {
        /// Awaits its payout.
        Open = "OPEN",
        /// Paid, or nothing to pay.
        Settled = "SETTLED",
        /// Less than nothing to pay: the next statement takes it.
        Carried = "CARRIED",
        /// Was carried; a later statement has taken it.
        Taken = "TAKEN",
    }
}

text_enum! {
    pub enum PayoutState {
        /// Statements account for it.
        Matched = "MATCHED",
        /// None does, or not for this account; nothing is booked.
        Unmatched = "UNMATCHED",
    }
}

text_enum! {
    /// How a payout found its statements, in the order in which they are tried.
    pub enum PayoutRule {
        /// The statement's own end-to-end id (ISO 20022 EndToEndId).
        EndToEndId = "END_TO_END_ID",
        /// The only open statement of this amount.
        Amount = "AMOUNT",
        /// All open statements of the payee sum to it.
        Payee = "PAYEE",
        /// All open statements of the cycle sum to it: a bulk entry.
        Cycle = "CYCLE",
        /// All open statements of the channel sum to it.
        Channel = "CHANNEL",
        /// None of these.
        None = "NONE",
    }
}

text_enum! {
    /// Whether a bank's statement shows a payout.
    pub enum PayoutProofState {
        /// The channel's policy expected none when it was reported.
        NotExpected = "NOT_EXPECTED",
        /// None does yet.
        Awaited = "AWAITED",
        Proven = "PROVEN",
    }
}

/// A district's part of a statement: payments and refunds of the elders whose household it registers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FunderShare {
    /// GB/T 2260 division code.
    pub division: String,
    pub payments: i64,
    pub gross_fen: i64,
    pub refunds: i64,
    pub refunds_fen: i64,
}

table! {
    /// Where a channel's settlement stands: the last cycle, and the ledger number up to which it has taken in the journal.
    pub struct CycleRow in "settlement_cycles", Head
    key [channel] readers [channel]
    {
        pub channel: Participant,
        /// Last clearing date of the last cycle.
        pub clearing_date: Date,
        pub cut: i64,
        pub recorded_at_us: Timestamp,
        pub version: i64,
    }
}

table! {
    /// What of a payee's account is stated: the balance at the last cut, and how much of it open statements have.
    pub struct PositionRow in "settlement_positions", Head
    key [account] readers [region, channel]
    {
        /// `payable` of an institution, or `fee_payable`.
        pub account: Account,
        pub channel: Participant,
        pub region: Participant,
        /// The last statement; empty before the first.
        pub statement: String,
        /// Posted balance at the channel's last cut.
        pub balance_fen: i64,
        /// Sum of open statements.
        pub open_fen: i64,
        /// Operating subsidies in the balance: they have payouts of their own.
        pub subsidy_fen: i64,
        pub version: i64,
    }
}

table! {
    /// Settlement statements (结算单) of a channel, cycle, book and payee.
    pub struct StatementRow in "settlement_statements", Head
    key [statement] index [channel, state] readers [region, institution_region, channel]
    {
        /// `settlementStatements/{channel}-{YYYYMMDD}-{region}-{programme}-{uscc or fee}`.
        pub statement: String,
        pub channel: Participant,
        /// Paying region and programme: the book.
        pub region: Participant,
        pub programme: String,
        /// The payee's account in the book.
        pub account: Account,
        /// `institutions/{uscc}`; absent: the channel's fee.
        pub institution: Option<String>,
        pub institution_region: Option<Participant>,
        /// First and last clearing date of the cycle.
        pub from_date: Date,
        pub clearing_date: Date,
        /// Payments and rows in suspense, as the files state them.
        pub gross_fen: i64,
        pub refunds_fen: i64,
        /// Fees that the institution bears.
        pub fees_fen: i64,
        /// Corrections of earlier cycles, from either side.
        pub adjustments_fen: i64,
        /// What earlier statements left: negative when they were carried.
        pub brought_forward_fen: i64,
        /// Fees beyond those agreed that the channel keeps until their break is resolved; negative when the file had less.
        pub withheld_fen: i64,
        /// gross − refunds − fees + adjustments + brought forward − withheld.
        pub net_fen: i64,
        pub funders: Json<Vec<FunderShare>>,
        /// `settlementAccounts/…` in force; absent when the institution has none at this channel.
        pub settlement_account: Option<String>,
        pub account_last4: String,
        /// For the payout (ISO 20022 EndToEndId, 32 characters).
        pub end_to_end_id: String,
        /// Last day on which the payout is in time.
        pub due_on: Date,
        pub state: StatementState,
        /// What was paid.
        pub paid_fen: i64,
        pub payout: Option<String>,
        pub recorded_at_us: Timestamp,
        pub version: i64,
    }
}

table! {
    /// Payouts as channels report them.
    pub struct PayoutRow in "payouts", Head
    key [payout] index [channel, reference] index [proof, channel] index [proof_file] index [proven_on, channel] unique [channel, reference] readers [channel, region]
    {
        /// `payouts/{request id}`.
        pub payout: String,
        pub channel: Participant,
        /// The channel's own, once.
        pub reference: String,
        /// Of the statement; empty on bulk payouts.
        pub end_to_end_id: String,
        /// `institutions/{uscc}` paid; absent on bulk payouts.
        pub institution: Option<String>,
        /// Last digits of the account paid; empty when the channel does not say.
        pub account_last4: String,
        /// Negative: collected from the institution.
        pub amount_fen: i64,
        pub paid_on: Date,
        pub state: PayoutState,
        pub rule: PayoutRule,
        pub statements: Json<Vec<String>>,
        /// The paying region of the statements, when it is one.
        pub region: Option<Participant>,
        /// `breaks/…` that it opened.
        pub break_name: Option<String>,
        pub proof: PayoutProofState,
        pub proof_rule: Option<ProofRule>,
        /// The file whose statement shows it, `files/{uuid}`.
        pub proof_file: Option<String>,
        /// That statement's entries: `files/{uuid}#{entry}`, of one transaction of a bulk entry with `.{part}`.
        pub bank_entries: Json<Vec<String>>,
        /// When the bank booked it, the last of them.
        pub proven_on: Option<Date>,
        pub recorded_at_us: Timestamp,
        pub version: i64,
    }
}

/// A statement's end-to-end id: the first 32 hex digits of its name's SHA-256.
pub(crate) fn end_to_end_id(statement: &str) -> String {
    hex::encode(Sha256::digest(statement))[..32].to_owned()
}

/// Whether an account's balance is settled with this channel.
pub fn is_settled_with(account: &Account, channel: &Participant) -> bool {
    match account.kind {
        AccountKind::Payable => account.b == channel.code(),
        AccountKind::FeePayable => account.a == channel.code(),
        _ => false,
    }
}
