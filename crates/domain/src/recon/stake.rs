//! Stakes: money of a break whose final place in the ledger waits for the
//! resolution. They say what identity 5 of LEDGER.md must find in `suspense` and
//! `clearing`, and from them a resolution knows what to book.

use serde::{Deserialize, Serialize};

use crate::ledger::{Account, Book, EntryKind};
use crate::names::Participant;
use crate::text_enum;
use crate::time::Date;

text_enum! {
    /// Where the money is meanwhile.
    pub enum StakeKind {
        /// A payment row of the file without a payment: suspense → payable is booked.
        RowInSuspense = "ROW_IN_SUSPENSE",
        /// A further row of a payment that is in the file already: suspense → payable is booked.
        DuplicateInSuspense = "DUPLICATE_IN_SUSPENSE",
        /// The file has more than the payment: the difference, suspense → payable, is booked.
        AmountInSuspense = "AMOUNT_IN_SUSPENSE",
        /// The agreed fee is less than the file's: the difference, suspense → fee payable, is booked.
        FeeInSuspense = "FEE_IN_SUSPENSE",
        /// A refund row without a refund: payable → suspense is booked.
        RefundInSuspense = "REFUND_IN_SUSPENSE",
        /// A line of the bank's statement without a claim: suspense → bank is booked.
        StatementInSuspense = "STATEMENT_IN_SUSPENSE",
        /// The fee of a row in suspense: payable → fee payable is booked.
        FeeOfRow = "FEE_OF_ROW",
        /// Confirmed, but not in the file: still in clearing.
        InClearing = "IN_CLEARING",
        /// A refund that is not in the file: clearing is short of it.
        RefundInClearing = "REFUND_IN_CLEARING",
        /// A subsidy transfer that is not on the statement: still in clearing.
        ClaimInClearing = "CLAIM_IN_CLEARING",
        /// The agreed fee was booked, the file has less: the difference.
        FeeBookedMore = "FEE_BOOKED_MORE",
        /// A late confirmation: suspense → clearing is booked, `held_fen` is kept for it.
        Late = "LATE",
    }
}

/// One amount at stake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stake {
    pub kind: StakeKind,
    pub book: Book,
    /// Unified social credit code of the payee that the file names (else the ledger).
    pub institution: String,
    /// `elders/…`, when known.
    pub person: Option<String>,
    /// The payment, refund or claim, when known.
    pub record: Option<String>,
    /// The file row, for rows in suspense.
    pub row: Option<String>,
    /// The date of the clearing account concerned.
    pub clearing_date: Date,
    pub amount_fen: i64,
    /// Held for a late confirmation.
    pub held_fen: i64,
    /// The transfer that put it there, `{leaf}#{line}`.
    pub booked: Option<String>,
}

impl Stake {
    /// The entry that puts the money there; `None` for what stays where it was.
    pub fn entry(&self, channel: &Participant) -> Option<(EntryKind, Account, Account)> {
        let suspense = Account::suspense(&self.book, channel);
        let payable = Account::payable(&self.book, &self.institution, channel);
        let fee_payable = Account::fee_payable(&self.book, channel);
        match self.kind {
            StakeKind::RowInSuspense => Some((EntryKind::ChannelOnly, suspense, payable)),
            StakeKind::DuplicateInSuspense => Some((EntryKind::Duplicate, suspense, payable)),
            StakeKind::AmountInSuspense => Some((EntryKind::AmountFileMore, suspense, payable)),
            StakeKind::FeeInSuspense => Some((EntryKind::FeeFileMore, suspense, fee_payable)),
            StakeKind::RefundInSuspense => Some((EntryKind::RefundOrphan, payable, suspense)),
            StakeKind::StatementInSuspense => Some((EntryKind::ChannelOnly, suspense, Account::bank(&self.book))),
            StakeKind::FeeOfRow => Some((EntryKind::FeeInstitution, payable, fee_payable)),
            StakeKind::InClearing
            | StakeKind::RefundInClearing
            | StakeKind::ClaimInClearing
            | StakeKind::FeeBookedMore
            | StakeKind::Late => None,
        }
    }

    /// What it contributes to `suspense[channel]` while it is open.
    pub fn suspense_fen(&self) -> i64 {
        match self.kind {
            StakeKind::RowInSuspense
            | StakeKind::DuplicateInSuspense
            | StakeKind::AmountInSuspense
            | StakeKind::FeeInSuspense
            | StakeKind::StatementInSuspense
            | StakeKind::Late => self.amount_fen,
            StakeKind::RefundInSuspense => -self.amount_fen,
            StakeKind::FeeOfRow
            | StakeKind::InClearing
            | StakeKind::RefundInClearing
            | StakeKind::ClaimInClearing
            | StakeKind::FeeBookedMore => 0,
        }
    }

    /// What it contributes to `clearing[channel, date]` while it is open, past grace.
    pub fn clearing_fen(&self) -> i64 {
        match self.kind {
            StakeKind::InClearing | StakeKind::ClaimInClearing => self.amount_fen,
            StakeKind::RefundInClearing => -self.amount_fen,
            _ => 0,
        }
    }

    /// The same money, wherever it was booked.
    pub fn same_as(&self, other: &Self) -> bool {
        let strip = |s: &Self| Self { booked: None, row: None, ..s.clone() };
        strip(self) == strip(other)
    }
}
