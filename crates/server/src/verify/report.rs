//! What verification says: faults, which make it fail, and notices, which do not.

use std::fmt;

use serde::Serialize;

/// More faults than anybody reads; the rest is counted.
const MAX_FAULTS: usize = 10_000;
const MAX_NOTICES: usize = 1_000;
/// The longest stored value that a fault quotes, in characters.
const MAX_QUOTE: usize = 60;

/// Which promise does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Check {
    /// A leaf is canonical, of a known format, and hashes to what it says.
    Leaf,
    /// Tables hold exactly what the leaves say.
    Fold,
    /// Private rows open their commitments.
    Private,
    /// Requests were signed by their authors.
    Evidence,
    /// The gateway signed what it promised, and keeps it.
    Receipt,
    /// One order, contiguous, causes first, versions in sequence.
    Order,
    /// The Merkle tree and its signed heads.
    Tree,
    /// Files are as they were received.
    File,
    /// Agreements in force are what their two regions signed, or were shipped.
    Agreed,
    /// The identities of LEDGER.md.
    Ledger,
}

/// A promise that does not hold, and where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Fault {
    pub check: Check,
    pub table: String,
    /// The row's key columns, joined by `, `. Of a private row the beginning of each.
    pub key: String,
    /// Absent when a whole row is at fault.
    pub column: Option<String>,
    pub problem: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { table, key, column, problem, .. } = self;
        match column {
            Some(column) => write!(f, "{table} [{key}] {column}: {problem}"),
            None => write!(f, "{table} [{key}]: {problem}"),
        }
    }
}

/// Something worth knowing that breaks no promise.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Notice {
    pub kind: NoticeKind,
    /// A person, a leaf.
    pub subject: String,
    pub detail: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum NoticeKind {
    /// A person whose key, salt and private rows were erased by a leaf.
    Erased,
    /// Signed with a key that was later withdrawn, after it became suspect.
    Suspect,
    /// Sealed later than promised.
    SealedLate,
    /// The log goes on under another name since a restore.
    Succeeded,
}

/// What was looked at, and what was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// The moment that deadlines were judged by, UTC microseconds.
    pub at_us: i64,
    pub origin: Option<String>,
    pub leaves: u64,
    /// Of these, numbered.
    pub numbered: u64,
    /// Leaves under the newest checkpoint that verified.
    pub sealed: u64,
    pub checkpoints: u64,
    /// Signed requests.
    pub evidence: u64,
    /// Tokens under which those requests were signed.
    pub tokens: u64,
    /// Rows compared with the leaves.
    pub rows: u64,
    /// Private rows that opened their commitments.
    pub private_rows: u64,
    pub transfers: u64,
    pub erased_persons: u64,
    pub faults: Vec<Fault>,
    /// Faults beyond the list.
    pub faults_omitted: u64,
    pub notices: Vec<Notice>,
    pub notices_omitted: u64,
}

impl VerifyReport {
    pub fn is_clean(&self) -> bool {
        self.faults.is_empty()
    }
}

/// Collects what is found.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub faults: Vec<Fault>,
    pub faults_omitted: u64,
    pub notices: Vec<Notice>,
    pub notices_omitted: u64,
}

impl Findings {
    pub fn row(&mut self, check: Check, table: &str, key: impl fmt::Display, problem: impl fmt::Display) {
        self.fault(check, table, key.to_string(), None, problem.to_string());
    }

    pub fn column(
        &mut self,
        check: Check,
        table: &str,
        key: impl fmt::Display,
        column: &str,
        problem: impl fmt::Display,
    ) {
        self.fault(check, table, key.to_string(), Some(column.to_owned()), problem.to_string());
    }

    fn fault(&mut self, check: Check, table: &str, key: String, column: Option<String>, problem: String) {
        if self.faults.len() == MAX_FAULTS {
            self.faults_omitted += 1;
        } else {
            self.faults.push(Fault { check, table: table.to_owned(), key, column, problem });
        }
    }

    pub fn notice(&mut self, kind: NoticeKind, subject: impl fmt::Display, detail: impl fmt::Display) {
        if self.notices.len() == MAX_NOTICES {
            self.notices_omitted += 1;
        } else {
            self.notices.push(Notice { kind, subject: subject.to_string(), detail: detail.to_string() });
        }
    }

    pub fn append(&mut self, other: Self) {
        let room = MAX_FAULTS - self.faults.len();
        self.faults_omitted += other.faults_omitted + other.faults.len().saturating_sub(room) as u64;
        self.faults.extend(other.faults.into_iter().take(room));
        let room = MAX_NOTICES - self.notices.len();
        self.notices_omitted += other.notices_omitted + other.notices.len().saturating_sub(room) as u64;
        self.notices.extend(other.notices.into_iter().take(room));
    }

    /// Whether more detail would be thrown away.
    pub fn is_full(&self) -> bool {
        self.faults.len() == MAX_FAULTS
    }
}

/// A stored value as a fault quotes it.
pub(super) fn quote(value: impl fmt::Display) -> String {
    let text = value.to_string();
    match text.char_indices().nth(MAX_QUOTE) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
