//! The general ledger (总账): running sums by booking month, entry and control accounts. Trial balances,
//! vouchers, closes and a run's identities read it, so none of them goes through the journal.

use std::collections::BTreeMap;

use super::account::{Account, AccountKind, Book};
use super::entry::{EntryKind, Layer, TransferRow};
use crate::names::Participant;
use crate::row::Row;
use crate::table;
use crate::time::Month;
use crate::value::Value;

impl Account {
    /// Its control account (统驭科目): without elder, party, institution and date, of which there are many.
    pub fn control(&self) -> Self {
        let (a, b) = match self.kind {
            AccountKind::Bank
            | AccountKind::Prefund
            | AccountKind::Expense
            | AccountKind::Suspense
            | AccountKind::Appropriation
            | AccountKind::FeePayable => (self.a.clone(), self.b.clone()),
            AccountKind::Receivable | AccountKind::Granted => (String::new(), String::new()),
            AccountKind::Entitlement | AccountKind::Payable => (String::new(), self.b.clone()),
            AccountKind::Clearing => (self.a.clone(), String::new()),
        };
        Self { book: self.book.clone(), kind: self.kind, a, b }
    }
}

table! {
    /// What each entry moved between two control accounts in a booking month, posted layer, running: `sum + delta`, last before commit.
    pub struct GeneralLedgerRow in "general_ledger", Derived
    key [book, booking_month, entry, debit, credit] index [book, booking_month] readers [region]
    {
        pub book: Book,
        pub booking_month: Month,
        pub entry: EntryKind,
        /// Control accounts, see [`Account::control`].
        pub debit: Account,
        pub credit: Account,
        pub region: Participant,
        pub amount_fen: i64,
        /// How many transfers.
        pub transfers: i64,
    }
}

impl GeneralLedgerRow {
    /// Adds up transfers: one row for each key, in the order of keys.
    pub fn sums<'a>(transfers: impl IntoIterator<Item = &'a TransferRow>) -> Vec<Self> {
        let mut sums: BTreeMap<Vec<Value>, Self> = BTreeMap::new();
        for transfer in transfers.into_iter().filter(|t| t.layer == Layer::Posted) {
            let row = Self {
                book: transfer.book.clone(),
                booking_month: transfer.booking_month,
                entry: transfer.entry,
                debit: transfer.debit.control(),
                credit: transfer.credit.control(),
                region: transfer.region.clone(),
                amount_fen: 0,
                transfers: 0,
            };
            let sum = sums.entry(Self::spec().key_of(&row.to_values())).or_insert(row);
            sum.amount_fen += transfer.amount_fen;
            sum.transfers += 1;
        }
        sums.into_values().collect()
    }

    /// What it adds to the right side of identity 4, and of which channel: funded − credited − shortfalls
    /// charged to receivable − suspense written off.
    pub fn placed_fen(&self) -> Option<(&str, i64)> {
        match self.entry {
            EntryKind::ChannelFunded => Some((&self.debit.a, self.amount_fen)),
            EntryKind::Credited => Some((&self.credit.b, -self.amount_fen)),
            EntryKind::LateShortfall => Some((&self.credit.a, -self.amount_fen)),
            EntryKind::WrittenOff if self.credit.kind == AccountKind::Suspense => {
                Some((&self.credit.a, -self.amount_fen))
            }
            _ => None,
        }
    }
}

/// Both sides of every control account, posted layer, fen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turnover(pub BTreeMap<Account, (i64, i64)>);

impl Turnover {
    pub fn of<'a>(rows: impl IntoIterator<Item = &'a GeneralLedgerRow>) -> Self {
        let mut turnover = Self::default();
        rows.into_iter().for_each(|row| turnover.add(row));
        turnover
    }

    pub fn add(&mut self, row: &GeneralLedgerRow) {
        self.0.entry(row.debit.clone()).or_default().0 += row.amount_fen;
        self.0.entry(row.credit.clone()).or_default().1 += row.amount_fen;
    }

    /// Debits less credits.
    pub fn net_debit_fen(&self, account: &Account) -> i64 {
        self.0.get(account).map_or(0, |(debit, credit)| debit - credit)
    }
}
