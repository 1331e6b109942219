//! Transfers and the entries of LEDGER.md they stand for.

use super::account::{Account, Book, Side};
use crate::names::Participant;
use crate::time::{Date, Month};
use crate::{table, text_enum};

text_enum! {
    /// The two layers. A transfer lives in one.
    pub enum Layer {
        /// Reservations.
        Held = "held",
        /// Money.
        Posted = "posted",
    }
}

text_enum! {
    /// Which line of LEDGER.md's table a transfer is.
    pub enum EntryKind {
        BudgetAllotted = "BUDGET_ALLOTTED",
        MonthGranted = "MONTH_GRANTED",
        ChannelFunded = "CHANNEL_FUNDED",
        Credited = "CREDITED",
        Authorised = "AUTHORISED",
        HoldReversed = "HOLD_REVERSED",
        Confirmed = "CONFIRMED",
        Advised = "ADVISED",
        Matched = "MATCHED",
        HeldButInFile = "HELD_BUT_IN_FILE",
        FeeInstitution = "FEE_INSTITUTION",
        FeeRegion = "FEE_REGION",
        Settled = "SETTLED",
        SettledFee = "SETTLED_FEE",
        Voided = "VOIDED",
        RefundConfirmed = "REFUND_CONFIRMED",
        RefundInFile = "REFUND_IN_FILE",
        LateConfirmation = "LATE_CONFIRMATION",
        LateKept = "LATE_KEPT",
        LateAccepted = "LATE_ACCEPTED",
        LateShortfall = "LATE_SHORTFALL",
        LateRefunded = "LATE_REFUNDED",
        ChannelOnly = "CHANNEL_ONLY",
        Duplicate = "DUPLICATE",
        LedgerOnlyCleared = "LEDGER_ONLY_CLEARED",
        AmountFileLess = "AMOUNT_FILE_LESS",
        AmountFileMore = "AMOUNT_FILE_MORE",
        SuspenseRepaid = "SUSPENSE_REPAID",
        FeeFileMore = "FEE_FILE_MORE",
        FeeMoreAccepted = "FEE_MORE_ACCEPTED",
        FeeMoreRepaid = "FEE_MORE_REPAID",
        FeeFileLess = "FEE_FILE_LESS",
        RefundOrphan = "REFUND_ORPHAN",
        RefundOrphanAccepted = "REFUND_ORPHAN_ACCEPTED",
        ClawbackUncredited = "CLAWBACK_UNCREDITED",
        ClawbackReturned = "CLAWBACK_RETURNED",
        ClawbackSpent = "CLAWBACK_SPENT",
        Recovered = "RECOVERED",
        SpentElsewhere = "SPENT_ELSEWHERE",
        PaidToEstate = "PAID_TO_ESTATE",
        WrittenOff = "WRITTEN_OFF",
        OperatingSubsidyApproved = "OPERATING_SUBSIDY_APPROVED",
        OperatingSubsidyConfirmed = "OPERATING_SUBSIDY_CONFIRMED",
        OperatingSubsidyOnStatement = "OPERATING_SUBSIDY_ON_STATEMENT",
        OperatingSubsidyReturned = "OPERATING_SUBSIDY_RETURNED",
    }
}

impl EntryKind {
    /// Whether it is of a region's grant to an institution, which has payouts of its own (LEDGER.md).
    pub const fn is_operating_subsidy(self) -> bool {
        matches!(
            self,
            Self::OperatingSubsidyApproved
                | Self::OperatingSubsidyConfirmed
                | Self::OperatingSubsidyOnStatement
                | Self::OperatingSubsidyReturned
        )
    }
}

/// A movement between two accounts of one book.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    pub entry: EntryKind,
    pub layer: Layer,
    pub debit: Account,
    pub credit: Account,
    /// Not negative; zero books nothing.
    pub amount_fen: i64,
    /// Of money at a bank, the day it moved.
    pub clearing_date: Option<Date>,
    pub booking_month: Month,
    /// `{leaf id}#{line}` of the transfer that this one corrects or reverses.
    pub corrects: Option<String>,
}

impl Transfer {
    /// A posted transfer. Panics when the accounts are of different books: a rule's bug.
    pub fn posted(entry: EntryKind, debit: Account, credit: Account, amount_fen: i64, booking_month: Month) -> Self {
        Self::new(entry, Layer::Posted, debit, credit, amount_fen, booking_month)
    }

    /// A held transfer.
    pub fn held(entry: EntryKind, debit: Account, credit: Account, amount_fen: i64, booking_month: Month) -> Self {
        Self::new(entry, Layer::Held, debit, credit, amount_fen, booking_month)
    }

    fn new(
        entry: EntryKind,
        layer: Layer,
        debit: Account,
        credit: Account,
        amount_fen: i64,
        booking_month: Month,
    ) -> Self {
        assert_eq!(debit.book, credit.book, "a transfer stays inside one book");
        assert!(amount_fen >= 0, "a transfer's amount is not negative");
        Self { entry, layer, debit, credit, amount_fen, clearing_date: None, booking_month, corrects: None }
    }

    pub fn on(mut self, clearing_date: Date) -> Self {
        self.clearing_date = Some(clearing_date);
        self
    }

    pub fn correcting(mut self, transfer: impl Into<String>) -> Self {
        self.corrects = Some(transfer.into());
        self
    }

    /// The change of each account's balance on its normal side.
    pub fn deltas(&self) -> [(&Account, i64); 2] {
        deltas(&self.debit, &self.credit, self.amount_fen)
    }

    pub fn into_row(self, leaf_id: &str, line: i64) -> TransferRow {
        TransferRow {
            leaf_id: leaf_id.to_owned(),
            line,
            book: self.debit.book.clone(),
            region: self.debit.book.region().clone(),
            entry: self.entry,
            layer: self.layer,
            debit: self.debit,
            credit: self.credit,
            amount_fen: self.amount_fen,
            clearing_date: self.clearing_date,
            booking_month: self.booking_month,
            corrects: self.corrects,
        }
    }
}

fn deltas<'a>(debit: &'a Account, credit: &'a Account, amount_fen: i64) -> [(&'a Account, i64); 2] {
    let signed = |account: &Account, side: Side| {
        if account.kind.normal_side() == side { amount_fen } else { -amount_fen }
    };
    [(debit, signed(debit, Side::Debit)), (credit, signed(credit, Side::Credit))]
}

table! {
    /// The journal: one debit, one credit, one positive amount, inside one book and layer.
    pub struct TransferRow in "transfers", AppendOnly
    key [leaf_id, line] index [debit] index [credit] index [book, booking_month] readers [region]
    {
        pub leaf_id: String,
        pub line: i64,
        pub book: Book,
        pub region: Participant,
        pub entry: EntryKind,
        pub layer: Layer,
        pub debit: Account,
        pub credit: Account,
        pub amount_fen: i64,
        pub clearing_date: Option<Date>,
        pub booking_month: Month,
        pub corrects: Option<String>,
    }
}

impl TransferRow {
    /// The change of each account's balance on its normal side.
    pub fn deltas(&self) -> [(&Account, i64); 2] {
        deltas(&self.debit, &self.credit, self.amount_fen)
    }
}
