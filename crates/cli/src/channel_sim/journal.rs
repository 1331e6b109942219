//! The channel's own books, on disk: a line of JSON for each change, appended before anything is
//! sent. A channel that is killed goes on with the same request ids, from the cursor it had.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::manner::Manner;

/// What an order is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Work {
    /// A payment that the channel asked for.
    Ask,
    Pay,
    Credit,
    ClawBack,
    PayOut,
    /// A payment that the channel was asked about and does not know.
    Unknown,
}

/// When a call is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum When {
    Now,
    /// So long after the call before it.
    AfterMs(u64),
    /// When the order was asked about so often.
    AtQuery(u64),
}

/// A call to be made, whole, with its request id.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Step {
    pub when: When,
    /// `Service/Method`.
    pub method: String,
    pub request: Value,
}

/// A call that was answered.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Made {
    pub method: String,
    /// The refusal's reason; `None`: accepted.
    pub refused: Option<String>,
}

/// One order: what is left to do and what was done.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Order {
    /// The payment's name; of grants and claims with the version that was instructed.
    pub key: String,
    pub work: Work,
    /// Among its kind of work, from 0: what is drawn for it is drawn by this number.
    pub number: u64,
    pub manner: Manner,
    pub order_id: String,
    pub amount_fen: i64,
    /// How often the gateway asked about it.
    pub queries: u64,
    pub steps: VecDeque<Step>,
    pub made: Vec<Made>,
    /// The accepted answer to repeat when asked again.
    pub answer: Option<Step>,
    /// The record's state as the gateway last said; empty before, `REFUSED` when it was not approved.
    pub state: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Order(Order),
    Told { cursor: i64, kind: String },
}

/// Everything the channel knows.
pub struct Journal {
    file: File,
    pub orders: BTreeMap<String, Order>,
    /// Of instructions taken for the first time, in order.
    pub cursors: Vec<i64>,
    /// Instructions taken, by kind.
    pub told: BTreeMap<String, u64>,
    pub redelivered: u64,
    /// Orders taken so far, by kind.
    numbers: BTreeMap<Work, u64>,
}

impl Journal {
    /// Reads what an earlier run left. A last line that was not finished was not acted upon.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let context = || format!("the state file {}", path.display());
        let options = OpenOptions::new().create(true).append(true).read(true).open(path);
        let file = options.with_context(context)?;
        let bytes = std::fs::read(path).with_context(context)?;
        let mut journal = Self {
            file,
            orders: BTreeMap::new(),
            cursors: Vec::new(),
            told: BTreeMap::new(),
            redelivered: 0,
            numbers: BTreeMap::new(),
        };
        // A torn line may end inside a character, so it is cut off before anything is decoded.
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        journal.file.set_len(whole as u64).with_context(context)?;
        for line in bytes[..whole].split_inclusive(|byte| *byte == b'\n') {
            match serde_json::from_slice(line).with_context(context)? {
                Line::Order(order) => journal.enter(order),
                Line::Told { cursor, kind } => journal.count(cursor, kind),
            }
        }
        Ok(journal)
    }

    /// The last instruction taken, 0 before the first.
    pub fn cursor(&self) -> i64 {
        self.cursors.last().copied().unwrap_or(0)
    }

    /// The number of the next order of a kind.
    pub fn next_number(&self, work: Work) -> u64 {
        self.numbers.get(&work).copied().unwrap_or(0)
    }

    pub fn keep(&mut self, order: Order) -> anyhow::Result<()> {
        self.enter(order.clone());
        self.append(&Line::Order(order))
    }

    fn enter(&mut self, order: Order) {
        let work = order.work;
        if self.orders.insert(order.key.clone(), order).is_none() {
            *self.numbers.entry(work).or_default() += 1;
        }
    }

    /// An instruction is dealt with: what it asks stands in the orders.
    pub fn told(&mut self, cursor: i64, kind: String) -> anyhow::Result<()> {
        self.count(cursor, kind.clone());
        self.append(&Line::Told { cursor, kind })
    }

    fn count(&mut self, cursor: i64, kind: String) {
        if cursor > self.cursor() {
            self.cursors.push(cursor);
            *self.told.entry(kind).or_default() += 1;
        } else {
            self.redelivered += 1;
        }
    }

    fn append(&mut self, line: &Line) -> anyhow::Result<()> {
        let mut text = serde_json::to_string(line)?;
        text.push('\n');
        self.file.write_all(text.as_bytes()).context("writing the state file")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(key: &str, state: &str) -> Order {
        Order {
            key: key.into(),
            work: Work::Pay,
            number: 0,
            manner: Manner::Plain,
            order_id: "0".repeat(32),
            amount_fen: 1,
            queries: 0,
            steps: VecDeque::new(),
            made: Vec::new(),
            answer: None,
            state: state.into(),
        }
    }

    #[test]
    fn what_was_kept_is_read_again_but_for_a_torn_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.jsonl");
        let mut journal = Journal::open(&path).unwrap();
        journal.keep(order("payments/1", "RESERVED")).unwrap();
        journal.keep(order("payments/1", "CONFIRMED")).unwrap();
        for cursor in [5, 9, 5] {
            journal.told(cursor, "PAY".into()).unwrap();
        }
        for torn in [&b"{\"order\":{\"key\":\"pay"[..], "{\"told\":{\"kind\":\"付".as_bytes(), &"付".as_bytes()[..2]]
        {
            journal.file.write_all(torn).unwrap();
            let mut again = Journal::open(&path).unwrap();
            assert_eq!((again.cursor(), again.cursors.len(), again.redelivered), (9, 2, 1));
            assert_eq!(again.told["PAY"], 2);
            assert_eq!((again.orders.len(), again.orders["payments/1"].state.as_str()), (1, "CONFIRMED"));
            assert_eq!(again.next_number(Work::Pay), 1);
            again.keep(order("payments/1", "CONFIRMED")).unwrap();
        }
    }
}
