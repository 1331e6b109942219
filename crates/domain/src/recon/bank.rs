//! Bank statements (ISO 20022 camt.053) and debit or credit notices (camt.054) as rows: written when
//! such a file is completed, never changed. What replaces a file leaves its rows; whose rows count
//! says the file's state.

use super::rows::FileRow;
use crate::decision::Decision;
use crate::names::Participant;
use crate::time::Date;
use crate::{table, text_enum};

/// The most entries and details that the statements of one file may have: they become rows in one
/// transaction.
pub const MAX_ENTRIES: usize = 50_000;
/// The most rows in one leaf.
const ROWS_PER_LEAF: usize = 500;

text_enum! {
    /// Seen from the account's owner (`CdtDbtInd`).
    pub enum EntryDirection {
        /// Money came in (`CRDT`).
        Credit = "CREDIT",
        /// Money went out (`DBIT`).
        Debit = "DEBIT",
    }
}

impl EntryDirection {
    /// An amount with this direction's sign: credit plus, debit minus.
    pub const fn signed(self, amount_fen: i64) -> i64 {
        match self {
            Self::Credit => amount_fen,
            Self::Debit => -amount_fen,
        }
    }
}

text_enum! {
    /// Whether the bank has booked an entry (`Sts`).
    pub enum EntryStatus {
        Booked = "BOOKED",
        /// Announced; in no balance.
        Pending = "PENDING",
        /// For information only; in no balance.
        Information = "INFORMATION",
    }
}

table! {
    /// Statements of one bank account, as a file states them; their balances add up with their entries.
    pub struct BankStatementRow in "bank_statements", AppendOnly
    key [file, statement] index [channel, clearing_date] readers [channel]
    {
        /// `files/{uuid}`.
        pub file: String,
        /// Position in the file, from 0.
        pub statement: i64,
        pub channel: Participant,
        /// The file's.
        pub clearing_date: Date,
        /// The bank's id of the statement (`Stmt/Id`).
        pub reference: String,
        /// The account as the bank names it (`Acct/Id`).
        pub account: String,
        /// Opening booked balance (`OPBD`, else `PRCD`), below zero in debit; absent in a notice.
        pub opening_fen: Option<i64>,
        pub opening_on: Option<Date>,
        /// Closing booked balance (`CLBD`); absent in a notice.
        pub closing_fen: Option<i64>,
        pub closing_on: Option<Date>,
        /// Sum of the booked credit entries.
        pub credit_fen: i64,
        /// Sum of the booked debit entries.
        pub debit_fen: i64,
        pub entries: i64,
    }
}

table! {
    /// The transactions of bank statements: those of one bulk entry share its `entry`.
    pub struct BankEntryRow in "bank_entries", AppendOnly
    key [file, entry, part] index [file] index [end_to_end_id] index [channel, booked_on] readers [channel]
    {
        /// `files/{uuid}`.
        pub file: String,
        /// Position of the entry (`Ntry`) in the file, from 1.
        pub entry: i64,
        /// Position of the transaction (`TxDtls`) in its entry, from 1; 0 where the entry has none.
        pub part: i64,
        /// Position of its statement in the file, from 0.
        pub statement: i64,
        pub channel: Participant,
        pub direction: EntryDirection,
        /// The transaction's.
        pub amount_fen: i64,
        /// What the whole entry moves the account by: credit plus, debit minus.
        pub entry_fen: i64,
        pub entry_status: EntryStatus,
        /// It takes back an earlier entry (`RvslInd`).
        pub is_reversal: bool,
        /// The entry's booking date, else the file's clearing date.
        pub booked_on: Date,
        pub value_on: Option<Date>,
        /// `EndToEndId`; empty where none was given.
        pub end_to_end_id: String,
        /// The bank's reference (`AcctSvcrRef`); may be empty.
        pub bank_reference: String,
        /// Unified social credit code of the other side; empty where the bank does not state it.
        pub counterparty: String,
        /// The last four characters of the other side's account; may be empty.
        pub counterparty_last4: String,
    }
}

impl BankStatementRow {
    /// `{file}/statements/{n}`, the file's statements counted from 0.
    pub fn name(&self) -> String {
        format!("{}/statements/{}", self.file, self.statement)
    }

    /// File and position that a statement's name is of.
    pub fn position_of(name: &str) -> Option<(&str, i64)> {
        let (file, statement) = name.split_once("/statements/")?;
        Some((file, statement.parse().ok()?))
    }
}

impl BankEntryRow {
    /// `{file}#{entry}`, of one transaction of a bulk entry `{file}#{entry}.{part}`.
    pub fn name(&self) -> String {
        match self.part {
            0 => format!("{}#{}", self.file, self.entry),
            part => format!("{}#{}.{part}", self.file, self.entry),
        }
    }
}

/// File, entry and part that an entry's name is of.
pub fn position_of(name: &str) -> Option<(&str, i64, i64)> {
    let (file, position) = name.split_once('#')?;
    let (entry, part) = position.split_once('.').unwrap_or((position, "0"));
    Some((file, entry.parse().ok()?, part.parse().ok()?))
}

/// A balance at the end or the beginning of a day, below zero in debit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Balance {
    pub on: Date,
    pub amount_fen: i64,
}

/// A statement as read from a file, without its entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BankStatement {
    pub reference: String,
    pub account: String,
    pub opening: Option<Balance>,
    pub closing: Option<Balance>,
    pub credit_fen: i64,
    pub debit_fen: i64,
    pub entries: i64,
}

/// One transaction of a statement, as read from a file; the fields are [`BankEntryRow`]'s.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BankEntry {
    pub entry: i64,
    pub part: i64,
    pub statement: i64,
    pub direction: EntryDirection,
    pub amount_fen: i64,
    pub entry_fen: i64,
    pub entry_status: EntryStatus,
    pub is_reversal: bool,
    pub booked_on: Option<Date>,
    pub value_on: Option<Date>,
    pub end_to_end_id: String,
    pub bank_reference: String,
    pub counterparty: String,
    /// As stated; only its end is kept.
    pub counterparty_account: String,
}

/// What the bank statements of one file came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BankFile {
    pub statements: Vec<BankStatement>,
    pub entries: Vec<BankEntry>,
}

impl BankFile {
    /// Adds the file's rows to the decision that completes it.
    pub(super) fn record(&self, file: &FileRow, decision: &mut Decision) {
        let statements: Vec<BankStatementRow> =
            (0..).zip(&self.statements).map(|(at, statement)| statement.row(file, at)).collect();
        let entries: Vec<BankEntryRow> = self.entries.iter().map(|entry| entry.row(file)).collect();
        for (n, rows) in statements.chunks(ROWS_PER_LEAF).enumerate() {
            let leaf = decision.leaf("file.statements", format!("{}/statements/{}", file.file, n + 1), 1);
            leaf.tell(&file.channel);
            for row in rows {
                leaf.put(row);
            }
        }
        for (n, rows) in entries.chunks(ROWS_PER_LEAF).enumerate() {
            let leaf = decision.leaf("file.entries", format!("{}/entries/{}", file.file, n + 1), 1);
            leaf.tell(&file.channel);
            for row in rows {
                leaf.put(row);
            }
        }
    }
}

impl BankStatement {
    fn row(&self, file: &FileRow, statement: i64) -> BankStatementRow {
        BankStatementRow {
            file: file.file.clone(),
            statement,
            channel: file.channel.clone(),
            clearing_date: file.clearing_date,
            reference: self.reference.clone(),
            account: self.account.clone(),
            opening_fen: self.opening.map(|b| b.amount_fen),
            opening_on: self.opening.map(|b| b.on),
            closing_fen: self.closing.map(|b| b.amount_fen),
            closing_on: self.closing.map(|b| b.on),
            credit_fen: self.credit_fen,
            debit_fen: self.debit_fen,
            entries: self.entries,
        }
    }
}

impl BankEntry {
    fn row(&self, file: &FileRow) -> BankEntryRow {
        let account = &self.counterparty_account;
        let last4 = account.char_indices().rev().nth(3).map_or(0, |(at, _)| at);
        BankEntryRow {
            file: file.file.clone(),
            entry: self.entry,
            part: self.part,
            statement: self.statement,
            channel: file.channel.clone(),
            direction: self.direction,
            amount_fen: self.amount_fen,
            entry_fen: self.entry_fen,
            entry_status: self.entry_status,
            is_reversal: self.is_reversal,
            booked_on: self.booked_on.unwrap_or(file.clearing_date),
            value_on: self.value_on,
            end_to_end_id: self.end_to_end_id.clone(),
            bank_reference: self.bank_reference.clone(),
            counterparty: self.counterparty.clone(),
            counterparty_last4: account[last4..].to_owned(),
        }
    }
}
