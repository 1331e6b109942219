//! What a report is, whoever renders it.

use std::collections::BTreeMap;

use jjj_domain::recon::report::Language;
use jjj_domain::time::Date;

/// A report in one language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Stable for machines: `run`, `ageing`, ….
    pub id: &'static str,
    pub language: Language,
    pub title: String,
    /// What it is about: a run, a channel and its date, a month.
    pub subject: String,
    /// The day it was made on; ages count to it.
    pub as_of: Date,
    /// The moment of the log that it shows.
    pub ledger_number: i64,
    /// The few things to know first.
    pub facts: Vec<Fact>,
    pub charts: Vec<Chart>,
    /// The first is the main one: CSV has it alone.
    pub tables: Vec<Table>,
}

/// One thing to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    pub id: &'static str,
    pub title: String,
    pub value: Cell,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    pub id: &'static str,
    pub title: String,
    pub columns: Vec<Column>,
    pub rows: Vec<Vec<Cell>>,
    /// Rows left out because there were too many; sums are of those shown.
    pub omitted: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Stable for machines; ends with the unit, `amount_fen`.
    pub id: &'static str,
    pub title: String,
    pub kind: ColumnKind,
    /// Has a sum below.
    pub sums: bool,
}

/// What a column's cells are; decides their place and format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnKind {
    Text,
    /// A name of the API or a digest: long, and not to be read aloud.
    Code,
    State,
    Count,
    /// Money in fen, shown as yuan.
    Fen,
    Date,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell {
    Empty,
    Text(String),
    Count(i64),
    Fen(i64),
    Date(Date),
    /// One of a closed set: its stable text, what people call it, and whether that is good.
    State {
        code: String,
        title: String,
        tone: Tone,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    Plain,
    Good,
    Warn,
    Bad,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chart {
    pub title: String,
    pub shape: Shape,
    /// Whether the values are fen; else they are counts.
    pub is_money: bool,
    pub parts: Vec<Part>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One bar for each part, one below the other.
    Bars,
    /// One bar, divided.
    Shares,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    pub title: String,
    /// Not negative.
    pub value: i64,
    pub tone: Tone,
}

impl Table {
    pub fn new(id: &'static str, title: &str, columns: Vec<Column>) -> Self {
        Self { id, title: title.to_owned(), columns, rows: Vec::new(), omitted: 0 }
    }

    /// The sums below the rows, when a column has one. A sum beyond an `i64` is left empty.
    pub fn total(&self) -> Option<Vec<Cell>> {
        if self.rows.is_empty() || !self.columns.iter().any(|column| column.sums) {
            return None;
        }
        let sum = |at: usize| {
            self.rows.iter().try_fold(0i64, |sum, row| match row.get(at) {
                Some(Cell::Count(n) | Cell::Fen(n)) => sum.checked_add(*n),
                _ => Some(sum),
            })
        };
        let cell = |(at, column): (usize, &Column)| match (column.sums, column.kind) {
            (false, _) => Cell::Empty,
            (true, ColumnKind::Fen) => sum(at).map_or(Cell::Empty, Cell::Fen),
            (true, _) => sum(at).map_or(Cell::Empty, Cell::Count),
        };
        Some(self.columns.iter().enumerate().map(cell).collect())
    }

    /// Keeps the first rows and counts the others.
    #[must_use]
    pub fn at_most(mut self, rows: usize) -> Self {
        self.omitted += self.rows.len().saturating_sub(rows) as u64;
        self.rows.truncate(rows);
        self
    }
}

impl Column {
    fn new(id: &'static str, title: &str, kind: ColumnKind) -> Self {
        Self { id, title: title.to_owned(), kind, sums: false }
    }
    pub fn text(id: &'static str, title: &str) -> Self {
        Self::new(id, title, ColumnKind::Text)
    }
    pub fn code(id: &'static str, title: &str) -> Self {
        Self::new(id, title, ColumnKind::Code)
    }
    pub fn state(id: &'static str, title: &str) -> Self {
        Self::new(id, title, ColumnKind::State)
    }
    pub fn count(id: &'static str, title: &str) -> Self {
        Self::new(id, title, ColumnKind::Count)
    }
    pub fn fen(id: &'static str, title: &str) -> Self {
        Self::new(id, title, ColumnKind::Fen)
    }
    pub fn date(id: &'static str, title: &str) -> Self {
        Self::new(id, title, ColumnKind::Date)
    }

    #[must_use]
    pub fn summed(self) -> Self {
        Self { sums: true, ..self }
    }

    /// Numbers stand to the right.
    pub fn is_number(&self) -> bool {
        matches!(self.kind, ColumnKind::Count | ColumnKind::Fen)
    }
}

impl Cell {
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// Empty when there is none.
    pub fn maybe(text: Option<impl ToString>) -> Self {
        text.map_or(Self::Empty, |text| Self::Text(text.to_string()))
    }
}

impl Chart {
    /// Bars of the largest sums of money, and one for the others together.
    pub fn largest(title: &str, sums: BTreeMap<String, i64>) -> Self {
        const SHOWN: usize = 9;
        let mut parts: Vec<Part> =
            sums.into_iter().map(|(title, value)| Part::new(title, value, Tone::Plain)).collect();
        parts.sort_by_key(|part| std::cmp::Reverse(part.value));
        if parts.len() > SHOWN + 1 {
            let rest = parts.drain(SHOWN..).map(|part| part.value).fold(0, i64::saturating_add);
            parts.push(Part::new("…", rest, Tone::Plain));
        }
        Self { title: title.to_owned(), shape: Shape::Bars, is_money: true, parts }
    }
}

impl Part {
    pub fn new(title: impl Into<String>, value: i64, tone: Tone) -> Self {
        Self { title: title.into(), value: value.max(0), tone }
    }
}
