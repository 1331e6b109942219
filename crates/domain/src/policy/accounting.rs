//! A book's chart of accounts, and when its months may be closed.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::body::within;
use super::{PolicyBody, PolicyKind, find, in_force};
use crate::guard::MAX_PROGRAMME_FEN;
use crate::ledger::{AccountKind, Book};
use crate::snapshot::{Snapshot, Stop};
use crate::time::Date;

/// The scope of the chart that serves every book without one of its own.
pub(super) const DEFAULT_SCOPE: &str = "default";

/// What a ledger account is called in the region's chart of accounts (会计科目).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountTitle {
    pub code: String,
    pub title_zh: String,
    pub title_en: String,
}

/// How a book's months are closed and exported.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountingPolicy {
    /// First day of the next month on which a month may be closed, 2 to 28: no transaction that began in a
    /// month is still under way then.
    pub close_from_day: i64,
    /// An open break above this amount keeps a month open, fen.
    pub most_open_break_fen: i64,
    /// Every clearing date of the month needs a complete run; otherwise only those with money on them.
    pub every_day: bool,
    /// By account kind of the ledger; all of them.
    pub chart: BTreeMap<String, AccountTitle>,
    pub source: String,
}

impl AccountingPolicy {
    /// Of a book on a date: its own, else the default.
    pub fn of_book(snapshot: &Snapshot, book: &Book, on: Date) -> Result<Arc<Self>, Stop> {
        match find::<Self>(snapshot, &book.to_string(), on)? {
            Some(own) => Ok(own),
            None => in_force::<Self>(snapshot, DEFAULT_SCOPE, on),
        }
    }

    pub fn title(&self, kind: AccountKind) -> AccountTitle {
        self.chart.get(kind.as_str()).cloned().expect("checked when it was set")
    }
}

impl PolicyBody for AccountingPolicy {
    const KIND: PolicyKind = PolicyKind::Accounting;

    fn check(&self) -> Result<(), String> {
        within("close_from_day", self.close_from_day, 2..=28)?;
        within("most_open_break_fen", self.most_open_break_fen, 0..=MAX_PROGRAMME_FEN)?;
        if let Some(unknown) = self.chart.keys().find(|kind| kind.parse::<AccountKind>().is_err()) {
            return Err(format!("chart: the ledger has no account {unknown}"));
        }
        match AccountKind::ALL.iter().find(|kind| !self.chart.contains_key(kind.as_str())) {
            Some(missing) => Err(format!("chart: {missing} is missing")),
            None => Ok(()),
        }
    }
}
