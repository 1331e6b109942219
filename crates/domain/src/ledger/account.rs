//! Accounts (LEDGER.md, "Accounts").

use std::fmt;
use std::str::FromStr;

use crate::names::{NotAName, Participant};
use crate::time::Date;
use crate::{table, text_column, text_enum};

/// One paying region's programme: `110000/care_subsidy`. Every transfer stays inside one book.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Book {
    region: Participant,
    programme: String,
}

impl Book {
    /// `programme` is a snake_case identifier of policy data, for example `care_subsidy`.
    pub fn new(region: Participant, programme: &str) -> Result<Self, NotAName> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        let ok = (1..=32).contains(&programme.len()) && programme.bytes().all(plain);
        if ok { Ok(Self { region, programme: programme.to_owned() }) } else { Err(NotAName) }
    }

    pub fn region(&self) -> &Participant {
        &self.region
    }

    pub fn programme(&self) -> &str {
        &self.programme
    }
}

impl fmt::Display for Book {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.region.code(), self.programme)
    }
}

impl FromStr for Book {
    type Err = NotAName;
    fn from_str(text: &str) -> Result<Self, NotAName> {
        let (region, programme) = text.split_once('/').ok_or(NotAName)?;
        Self::new(format!("regions/{region}").parse()?, programme)
    }
}

text_column!(Book);

/// The side on which an account's balance is positive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Debit,
    Credit,
}

text_enum! {
    /// The accounts of LEDGER.md.
    pub enum AccountKind {
        /// The programme's money at the region's bank.
        Bank = "bank",
        /// `[channel]` money placed with the channel beforehand.
        Prefund = "prefund",
        /// `[funder division, year]` cost borne, by budget year.
        Expense = "expense",
        /// `[party]` wrongly paid, to be recovered.
        Receivable = "receivable",
        /// `[channel]` cause not known yet.
        Suspense = "suspense",
        /// `[funder division, year]` budget allotted.
        Appropriation = "appropriation",
        /// `[elder]` promised for a month, not credited yet.
        Granted = "granted",
        /// `[elder, channel]` credited to the restricted account, spendable.
        Entitlement = "entitlement",
        /// `[channel, clearing date]` confirmed, not in the file yet.
        Clearing = "clearing",
        /// `[institution, channel]` in the file, not paid out yet.
        Payable = "payable",
        /// `[channel]` the channel's fees.
        FeePayable = "fee_payable",
    }
}

impl AccountKind {
    pub fn normal_side(self) -> Side {
        match self {
            Self::Bank | Self::Prefund | Self::Expense | Self::Receivable | Self::Suspense => Side::Debit,
            Self::Appropriation
            | Self::Granted
            | Self::Entitlement
            | Self::Clearing
            | Self::Payable
            | Self::FeePayable => Side::Credit,
        }
    }
}

/// An account of a book.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Account {
    pub book: Book,
    pub kind: AccountKind,
    /// First dimension (elder, channel, division, institution, party), empty when none.
    pub a: String,
    /// Second dimension (channel, year, clearing date), empty when none.
    pub b: String,
}

impl Account {
    fn new(book: &Book, kind: AccountKind, a: impl ToString, b: impl ToString) -> Self {
        Self { book: book.clone(), kind, a: a.to_string(), b: b.to_string() }
    }
    pub fn bank(book: &Book) -> Self {
        Self::new(book, AccountKind::Bank, "", "")
    }
    pub fn prefund(book: &Book, channel: &Participant) -> Self {
        Self::new(book, AccountKind::Prefund, channel.code(), "")
    }
    pub fn expense(book: &Book, funder_division: &str, year: i16) -> Self {
        Self::new(book, AccountKind::Expense, funder_division, year)
    }
    pub fn receivable(book: &Book, party: &str) -> Self {
        Self::new(book, AccountKind::Receivable, party, "")
    }
    pub fn suspense(book: &Book, channel: &Participant) -> Self {
        Self::new(book, AccountKind::Suspense, channel.code(), "")
    }
    pub fn appropriation(book: &Book, funder_division: &str, year: impl ToString) -> Self {
        Self::new(book, AccountKind::Appropriation, funder_division, year)
    }
    /// `elder` is the id part of the elder's name.
    pub fn granted(book: &Book, elder: &str) -> Self {
        Self::new(book, AccountKind::Granted, elder, "")
    }
    pub fn entitlement(book: &Book, elder: &str, channel: &Participant) -> Self {
        Self::new(book, AccountKind::Entitlement, elder, channel.code())
    }
    pub fn clearing(book: &Book, channel: &Participant, date: Date) -> Self {
        Self::new(book, AccountKind::Clearing, channel.code(), date)
    }
    /// The channel whose money the account tells of, and whether as placed there (1) or as owed from
    /// it (-1): the terms of identity 4. What is left of what was placed can still be credited.
    pub fn at_channel(&self) -> Option<(&str, i64)> {
        match self.kind {
            AccountKind::Prefund | AccountKind::Suspense => Some((&self.a, 1)),
            AccountKind::Entitlement | AccountKind::Payable => Some((&self.b, -1)),
            AccountKind::Clearing | AccountKind::FeePayable => Some((&self.a, -1)),
            AccountKind::Bank
            | AccountKind::Expense
            | AccountKind::Receivable
            | AccountKind::Appropriation
            | AccountKind::Granted => None,
        }
    }
    /// `institution` is its unified social credit code.
    pub fn payable(book: &Book, institution: &str, channel: &Participant) -> Self {
        Self::new(book, AccountKind::Payable, institution, channel.code())
    }
    pub fn fee_payable(book: &Book, channel: &Participant) -> Self {
        Self::new(book, AccountKind::FeePayable, channel.code(), "")
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}:{}", self.book, self.kind, self.a, self.b)
    }
}

impl FromStr for Account {
    type Err = NotAName;
    fn from_str(text: &str) -> Result<Self, NotAName> {
        let mut parts = text.splitn(4, ':');
        let mut next = || parts.next().ok_or(NotAName);
        let book = next()?.parse()?;
        let kind = next()?.parse().map_err(|_| NotAName)?;
        Ok(Self { book, kind, a: next()?.to_owned(), b: next()?.to_owned() })
    }
}

text_column!(Account);

table! {
    /// Account balances on the normal side, per layer; `balance + delta`, last before commit.
    pub struct AccountRow in "accounts", Derived
    key [account] index [book] readers [region]
    {
        pub account: Account,
        pub book: Book,
        pub region: Participant,
        pub kind: AccountKind,
        pub posted_fen: i64,
        pub held_fen: i64,
    }
}

impl AccountRow {
    /// An account nothing was booked to yet.
    pub fn empty(account: Account) -> Self {
        Self {
            book: account.book.clone(),
            region: account.book.region().clone(),
            kind: account.kind,
            account,
            posted_fen: 0,
            held_fen: 0,
        }
    }

    /// What can still be spent: posted less reserved. Holds debit an entitlement,
    /// so its held balance on the credit side is negative.
    pub fn available_fen(&self) -> i64 {
        self.posted_fen + self.held_fen
    }
}
