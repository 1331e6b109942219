//! The general ledger (总账): running sums by booking month, entry and control accounts. Trial balances,
//! vouchers, closes and a run's identities read it, so none of them goes through the journal.

use std::collections::BTreeMap;

use super::account::{Account, AccountKind, Book};
use super::entry::{EntryKind, Layer, Transfer, TransferRow};
use crate::names::Participant;
use crate::row::Row;
use crate::table;
use crate::time::Month;
use crate::value::Value;

impl Account {
    /// Its control account (统驭科目): without elder, party, institution and date, of which there are many.
    pub fn control(&self) -> Self {
        let (kind, a, b) = self.control_parts();
        Self { book: self.book.clone(), kind, a: a.to_owned(), b: b.to_owned() }
    }

    fn control_parts(&self) -> (AccountKind, &str, &str) {
        let (a, b): (&str, &str) = match self.kind {
            AccountKind::Bank
            | AccountKind::Prefund
            | AccountKind::Expense
            | AccountKind::Suspense
            | AccountKind::Appropriation
            | AccountKind::FeePayable => (&self.a, &self.b),
            AccountKind::Receivable | AccountKind::Granted => ("", ""),
            AccountKind::Entitlement | AccountKind::Payable => ("", &self.b),
            AccountKind::Clearing => (&self.a, ""),
        };
        (self.kind, a, b)
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
        // Alike by what they borrow: no key is made for each transfer.
        let mut alike = BTreeMap::new();
        for t in transfers.into_iter().filter(|t| t.layer == Layer::Posted) {
            let key = (&t.book, t.booking_month, t.entry, t.debit.control_parts(), t.credit.control_parts());
            alike.entry(key).or_insert_with(|| Self::empty(t)).add(t);
        }
        let mut sums: Vec<Self> = alike.into_values().collect();
        sums.sort_by_cached_key(Self::key);
        sums
    }

    /// Adds a transfer to sums by key.
    pub fn add_to(sums: &mut BTreeMap<Vec<Value>, Self>, transfer: &TransferRow) {
        if transfer.layer == Layer::Posted {
            let empty = Self::empty(transfer);
            sums.entry(empty.key()).or_insert(empty).add(transfer);
        }
    }

    fn empty(transfer: &TransferRow) -> Self {
        Self {
            book: transfer.book.clone(),
            booking_month: transfer.booking_month,
            entry: transfer.entry,
            debit: transfer.debit.control(),
            credit: transfer.credit.control(),
            region: transfer.region.clone(),
            amount_fen: 0,
            transfers: 0,
        }
    }

    fn add(&mut self, transfer: &TransferRow) {
        self.amount_fen += transfer.amount_fen;
        self.transfers += 1;
    }

    fn key(&self) -> Vec<Value> {
        Self::spec().key_of(&self.to_values())
    }

    /// What it adds to the right side of identity 4, and of which channel.
    pub fn placed_fen(&self) -> Option<(&str, i64)> {
        placed(self.entry, &self.debit, &self.credit, self.amount_fen)
    }
}

impl Transfer {
    /// What it adds to the right side of identity 4, and of which channel.
    pub fn placed_fen(&self) -> Option<(&str, i64)> {
        placed(self.entry, &self.debit, &self.credit, self.amount_fen)
    }
}

/// Funded − credited − shortfalls charged to receivable − suspense written off (LEDGER.md, identity 4).
fn placed<'a>(entry: EntryKind, debit: &'a Account, credit: &'a Account, amount_fen: i64) -> Option<(&'a str, i64)> {
    match entry {
        EntryKind::ChannelFunded => Some((&debit.a, amount_fen)),
        EntryKind::Credited => Some((&credit.b, -amount_fen)),
        EntryKind::LateShortfall => Some((&credit.a, -amount_fen)),
        EntryKind::WrittenOff if credit.kind == AccountKind::Suspense => Some((&credit.a, -amount_fen)),
        _ => None,
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
