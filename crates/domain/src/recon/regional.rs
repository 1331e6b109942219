//! The third leg: a region's own book of a clearing date against the ledger and the channel
//! (DESIGN.md §7).
//!
//! A book is CSV with the header of [`super::file`]; fees and times in it are not compared. Its rows join a
//! unit of ledger and channel by kind and order id. Of each unit a side says what money it moved: how
//! much, of which merchants, for which institutions, or none; rows of one order add up. Three answers
//! stand to each other in one of the five ways of [`ThreeWay`]. The book is at fault where neither of the
//! others bears it out: only then it has a difference, the first that holds. Where ledger and channel
//! differ and the book sides with one of them, the unit's own difference says all there is to do.
//!
//! A region's view has, after its units, a line on the book as a whole and one for each unit that is not
//! `ALL_AGREE`: what is not listed agrees on three sides.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::breaks::difference_name;
use super::file::{LineKind, LineStatus, ParsedFile};
use super::matching::{LedgerEntry, Matched, Standing, Unit};
use super::packed::LineRef;
use super::rows::{BreakClass, FieldDifference, LegCounts};
use crate::names::Participant;
use crate::text_enum;
use crate::time::Date;
use crate::value::canonical_json;

text_enum! {
    /// How the three sides of a unit stand to each other.
    pub enum ThreeWay {
        AllAgree = "ALL_AGREE",
        /// Channel and region agree.
        LedgerApart = "LEDGER_APART",
        /// Ledger and region agree.
        ChannelApart = "CHANNEL_APART",
        /// Ledger and channel agree: the region's book is at fault.
        RegionApart = "REGION_APART",
        /// Each says something else.
        AllApart = "ALL_APART",
    }
}

impl ThreeWay {
    fn of(ledger_channel: bool, ledger_region: bool, channel_region: bool) -> Self {
        match (ledger_channel, ledger_region, channel_region) {
            (true, true, _) => Self::AllAgree,
            (true, false, _) => Self::RegionApart,
            (false, true, _) => Self::ChannelApart,
            (false, false, true) => Self::LedgerApart,
            (false, false, false) => Self::AllApart,
        }
    }

    const fn faults_the_book(self) -> bool {
        matches!(self, Self::RegionApart | Self::AllApart)
    }
}

/// The money that a side says a unit moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Moved {
    pub amount_fen: String,
    /// Unified social credit codes of the payees, sorted.
    pub institutions: Vec<String>,
    /// Merchant numbers, sorted; a side that knows none leaves them to the others.
    pub merchants: Vec<String>,
}

impl Moved {
    /// Of rows as merchant, institution and amount; `None`: no money moved.
    fn sum<'a>(rows: impl Iterator<Item = (&'a str, &'a str, i64)>) -> Option<Self> {
        let (mut amount_fen, mut count) = (0, 0);
        let (mut institutions, mut merchants) = (BTreeSet::new(), BTreeSet::new());
        for (merchant, institution, fen) in rows {
            amount_fen += fen;
            count += 1;
            institutions.insert(institution.to_owned());
            merchants.extend((!merchant.is_empty()).then(|| merchant.to_owned()));
        }
        let texts = |set: BTreeSet<String>| set.into_iter().collect();
        (count > 0).then(|| Self {
            amount_fen: i64::to_string(&amount_fen),
            institutions: texts(institutions),
            merchants: texts(merchants),
        })
    }

    fn same_merchants(&self, other: &Self) -> bool {
        self.merchants.is_empty() || other.merchants.is_empty() || self.merchants == other.merchants
    }

    fn agree(a: Option<&Self>, b: Option<&Self>) -> bool {
        match (a, b) {
            (None, None) => true,
            (Some(a), Some(b)) => {
                a.amount_fen == b.amount_fen && a.institutions == b.institutions && a.same_merchants(b)
            }
            _ => false,
        }
    }

    fn fen(side: Option<&Self>) -> i64 {
        side.and_then(|moved| moved.amount_fen.parse().ok()).unwrap_or(0)
    }
}

/// A region's book of a clearing date, as read.
#[derive(Debug)]
pub struct RegionalBook {
    pub region: Participant,
    /// `files/{uuid}`.
    pub file: String,
    /// Of its bytes, 64 hex digits.
    pub sha256: String,
    parsed: Arc<ParsedFile>,
    /// Its lines by order id and kind, then in the file's order: the book's rows.
    rows: Vec<u32>,
}

impl RegionalBook {
    pub fn new(region: Participant, file: &str, sha256: &str, parsed: Arc<ParsedFile>) -> Self {
        let mut rows: Vec<u32> = (0..parsed.lines.len() as u32).collect();
        rows.sort_unstable_by_key(|line| {
            let row = parsed.lines.get(*line as usize);
            (row.order_id, row.kind, row.line, *line)
        });
        Self { region, file: file.to_owned(), sha256: sha256.to_owned(), parsed, rows }
    }

    fn row(&self, row: usize) -> LineRef<'_> {
        self.parsed.lines.get(self.rows[row] as usize)
    }

    /// The numbers of an order's rows.
    fn of_order(&self, kind: LineKind, order_id: &str) -> std::ops::Range<usize> {
        let key = |line: u32| {
            let row = self.parsed.lines.get(line as usize);
            (row.order_id, row.kind)
        };
        let from = self.rows.partition_point(|line| key(*line) < (order_id, kind));
        from..from + self.rows[from..].iter().take_while(|line| key(**line) == (order_id, kind)).count()
    }

    fn moved(&self, rows: &[usize]) -> Option<Moved> {
        let rows = rows.iter().map(|row| self.row(*row)).filter(|row| row.moves_money);
        Moved::sum(rows.map(|row| (row.merchant_id, row.institution, row.amount_fen)))
    }

    /// The number of the one row that says what ledger and channel say of an order. `None`: there
    /// is no such row, or more than one, and [`Self::compare`] must say.
    pub fn plain_row(
        &self,
        kind: LineKind,
        order_id: &str,
        [merchant, institution]: [&str; 2],
        amount_fen: i64,
    ) -> Option<usize> {
        let rows = self.of_order(kind, order_id);
        let row = (rows.len() == 1).then(|| self.row(rows.start))?;
        let same = (row.merchant_id, row.institution, row.amount_fen) == (merchant, institution, amount_fen);
        (same && row.moves_money).then_some(rows.start)
    }

    /// What three sides say of a unit of the region's view. `None`: the book need not have it, being
    /// of another clearing date by the ledger, and has not.
    pub fn compare(&self, unit: &Unit, date: Date) -> Option<Compared> {
        let in_file = unit.money_lines().next().is_some();
        let has_moved = |e: &&LedgerEntry| match e.standing {
            Standing::Posted => true,
            // As the run leaves it: a reservation found in the file is confirmed by it.
            Standing::Held => in_file,
            Standing::Gone => false,
        };
        let mut orders: BTreeSet<(LineKind, &str)> =
            unit.entries.iter().map(|e| (e.key.kind, e.key.order_id.as_str())).collect();
        orders.extend(unit.lines.iter().map(|l| (l.line.kind, l.line.order_id.as_str())));
        let rows: Vec<usize> = orders.into_iter().flat_map(|(kind, order)| self.of_order(kind, order)).collect();
        let of_other_date = |e: &LedgerEntry| e.clearing_date != date && !(in_file && e.standing == Standing::Held);
        if rows.is_empty() && !unit.entries.is_empty() && unit.entries.iter().all(of_other_date) {
            return None;
        }
        let entries = unit.entries.iter().filter(has_moved);
        let ledger = Moved::sum(entries.map(|e| (e.key.merchant_id.as_str(), e.institution.as_str(), e.amount_fen)));
        let lines = unit.money_lines().map(|l| &l.line);
        let stated = Moved::sum(lines.map(|l| (l.merchant_id.as_str(), l.institution.as_str(), l.amount_fen)));
        // In grace, or matched by another file, the channel has not said no.
        let elsewhere = unit.lines.is_empty() && unit.entries.iter().any(|e| e.matched != Matched::No);
        let waits = unit.difference == Some(BreakClass::Cutoff);
        let channel = if elsewhere || waits { ledger.clone() } else { stated };
        let mut compared = self.compared(unit.key.kind, &unit.key.order_id, rows, [ledger, channel]);
        compared.subject = match (unit.entries.first(), unit.lines.first()) {
            (Some(entry), _) => entry.record.clone(),
            (None, Some(line)) => line.reference(),
            (None, None) => String::new(),
        };
        if compared.class == Some(BreakClass::RegionOnly) {
            // Ledger or channel has it and says that no money moved.
            compared.class = Some(BreakClass::StatusMismatch);
            let ledger = unit.entries.first().map_or_else(String::new, |e| e.state.clone());
            let channel = unit.lines.first().map_or_else(String::new, |l| l.line.status.to_string());
            compared.fields = vec![field("status", [ledger, channel, LineStatus::Success.to_string()])];
        }
        Some(compared)
    }

    fn compared(
        &self,
        kind: LineKind,
        order_id: &str,
        rows: Vec<usize>,
        [ledger, channel]: [Option<Moved>; 2],
    ) -> Compared {
        let region = self.moved(&rows);
        let agree = |a: &Option<Moved>, b: &Option<Moved>| Moved::agree(a.as_ref(), b.as_ref());
        let result = ThreeWay::of(agree(&ledger, &channel), agree(&ledger, &region), agree(&channel, &region));
        let mut compared = Compared {
            kind,
            order_id: order_id.to_owned(),
            ledger,
            channel,
            region,
            result,
            class: None,
            fields: Vec::new(),
            subject: String::new(),
            references: rows.iter().map(|row| format!("{}#{}", self.file, self.row(*row).line)).collect(),
            rows,
        };
        if result.faults_the_book() {
            compared.judge();
        }
        compared
    }
}

fn field(name: &str, [ledger, channel, region]: [String; 3]) -> FieldDifference {
    FieldDifference { field: name.to_owned(), ledger, channel, region }
}

/// A unit as three sides have it.
#[derive(Clone, Debug)]
pub struct Compared {
    pub kind: LineKind,
    pub order_id: String,
    pub ledger: Option<Moved>,
    pub channel: Option<Moved>,
    pub region: Option<Moved>,
    pub result: ThreeWay,
    /// The book's difference, whatever has become of its break.
    pub class: Option<BreakClass>,
    /// Fields of the book that differ.
    pub fields: Vec<FieldDifference>,
    /// The ledger's record, else the line of the channel or of the book.
    pub subject: String,
    /// The book's rows, `{file}#{line}`.
    pub references: Vec<String>,
    rows: Vec<usize>,
}

impl Compared {
    /// The first difference that holds, against the ledger, or the channel where the ledger has nothing.
    fn judge(&mut self) {
        let (Some(book), Some(other)) = (&self.region, self.ledger.as_ref().or(self.channel.as_ref())) else {
            self.class = Some(match (&self.region, self.rows.is_empty()) {
                (Some(_), _) => BreakClass::RegionOnly,
                (None, true) => BreakClass::RegionMissing,
                (None, false) => {
                    let of = |side: &Option<Moved>| side.as_ref().map_or("", |_| LineStatus::Success.as_str());
                    let sides = [of(&self.ledger), of(&self.channel), LineStatus::Failed.as_str()];
                    self.fields = vec![field("status", sides.map(str::to_owned))];
                    BreakClass::StatusMismatch
                }
            });
            return;
        };
        let values = |of: &dyn Fn(&Moved) -> String| {
            [&self.ledger, &self.channel, &self.region].map(|side| side.as_ref().map_or_else(String::new, of))
        };
        let mut fields = Vec::new();
        if book.institutions != other.institutions {
            fields.push(field("institution", values(&|side| side.institutions.join(" "))));
        }
        if !book.same_merchants(other) {
            fields.push(field("merchant_id", values(&|side| side.merchants.join(" "))));
        }
        let is_other_party = !fields.is_empty();
        if book.amount_fen != other.amount_fen {
            fields.push(field("amount_fen", values(&|side| side.amount_fen.clone())));
        }
        self.class = Some(if is_other_party { BreakClass::PartyMismatch } else { BreakClass::AmountMismatch });
        self.fields = fields;
    }

    /// The amount at stake: by how much the book is off, or all of it.
    pub fn amount_fen(&self) -> i64 {
        let other = self.ledger.as_ref().or(self.channel.as_ref());
        let (book, other) = (Moved::fen(self.region.as_ref()), Moved::fen(other));
        if self.class == Some(BreakClass::AmountMismatch) { (book - other).abs() } else { book.max(other) }
    }

    fn order(&self, other: &Self) -> Ordering {
        (&self.order_id, self.kind).cmp(&(&other.order_id, other.kind))
    }
}

/// The name of the break of a book's difference: from channel, date, region and order, not from its class.
pub fn break_name(channel: &Participant, date: Date, region: &Participant, compared: &Compared) -> String {
    difference_name(channel, date, &format!("{region}|{}|{}", compared.kind, compared.order_id))
}

/// A line of a view on one unit that three sides do not all agree on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThreeWayLine {
    /// The region whose book it is.
    pub book: Participant,
    pub clearing_date: Date,
    pub kind: LineKind,
    pub order_id: String,
    /// `null`: no money moved.
    pub ledger: Option<Moved>,
    pub channel: Option<Moved>,
    pub region: Option<Moved>,
    pub result: ThreeWay,
    /// Absent when the book is borne out, or its difference is resolved.
    pub difference: Option<BreakClass>,
}

/// The line of a view on a book as a whole; counts in decimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BookLine {
    pub book: Participant,
    pub clearing_date: Date,
    pub sha256: String,
    pub rows: String,
    pub matched: String,
    pub broken: String,
    pub rejected: String,
    pub debit_fen: String,
    pub credit_fen: String,
}

/// What is known of a row of a book by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum RowState {
    Unseen,
    Matched,
    Broken,
}

/// A book as the units of its region's view come by, in any order.
#[derive(Debug)]
pub struct Leg<B> {
    pub book: B,
    rows: Vec<RowState>,
    apart: Vec<Compared>,
}

impl<B: Deref<Target = RegionalBook> + Clone> Leg<B> {
    pub fn new(book: B) -> Self {
        let rows = vec![RowState::Unseen; book.rows.len()];
        Self { book, rows, apart: Vec::new() }
    }

    /// A row that [`RegionalBook::plain_row`] found.
    pub fn agree(&mut self, row: usize) {
        self.see(&[row], RowState::Matched);
    }

    /// A unit that [`RegionalBook::compare`] compared.
    pub fn add(&mut self, compared: Compared) {
        self.see(&compared.rows, RowState::Matched);
        if compared.result != ThreeWay::AllAgree {
            self.apart.push(compared);
        }
    }

    fn see(&mut self, rows: &[usize], state: RowState) {
        for row in rows {
            self.rows[*row] = self.rows[*row].max(state);
        }
    }

    /// Rows that no unit has are the region's alone. `is_resolved` says of a difference, with its break's
    /// name, whether it is.
    pub fn end(
        mut self,
        channel: &Participant,
        date: Date,
        is_resolved: impl Fn(&str, &Compared) -> bool,
    ) -> LegResult {
        let book = self.book.clone();
        let unseen: Vec<usize> = (0..self.rows.len()).filter(|row| self.rows[*row] == RowState::Unseen).collect();
        let of_order = |a: &usize, b: &usize| {
            let (a, b) = (book.row(*a), book.row(*b));
            (a.order_id, a.kind) == (b.order_id, b.kind)
        };
        for rows in unseen.chunk_by(of_order) {
            let first = book.row(rows[0]);
            let mut alone = book.compared(first.kind, first.order_id, rows.to_vec(), [None, None]);
            alone.subject = alone.references[0].clone();
            self.add(alone);
        }
        let mut lines = Vec::with_capacity(self.apart.len());
        for compared in std::mem::take(&mut self.apart) {
            let name = break_name(channel, date, &book.region, &compared);
            let difference = compared.class.filter(|_| !is_resolved(&name, &compared));
            if difference.is_some() {
                self.see(&compared.rows, RowState::Broken);
            }
            let line = ThreeWayLine {
                book: book.region.clone(),
                clearing_date: date,
                kind: compared.kind,
                order_id: compared.order_id.clone(),
                ledger: compared.ledger.clone(),
                channel: compared.channel.clone(),
                region: compared.region.clone(),
                result: compared.result,
                difference,
            };
            let body = canonical_json(&line);
            lines.push(LegLine { break_name: compared.class.is_some().then_some(name), compared, difference, body });
        }
        lines.sort_by(|a, b| a.compared.order(&b.compared).then_with(|| a.body.cmp(&b.body)));
        let counts = self.counts();
        let text = |n: i64| n.to_string();
        let whole = BookLine {
            book: book.region.clone(),
            clearing_date: date,
            sha256: book.sha256.clone(),
            rows: text(counts.rows),
            matched: text(counts.matched),
            broken: text(counts.broken),
            rejected: text(counts.rejected),
            debit_fen: text(counts.debit_fen),
            credit_fen: text(counts.credit_fen),
        };
        LegResult { region: book.region.clone(), counts, whole: canonical_json(&whole), lines }
    }

    fn counts(&self) -> LegCounts {
        let rejected = self.book.parsed.rejected.len() as i64;
        let mut counts = LegCounts { rejected, ..LegCounts::default() };
        for (row, state) in self.rows.iter().enumerate() {
            let row = self.book.row(row);
            *(if *state == RowState::Broken { &mut counts.broken } else { &mut counts.matched }) += 1;
            let sum = if row.kind == LineKind::Refund { &mut counts.credit_fen } else { &mut counts.debit_fen };
            *sum += row.amount_fen;
        }
        counts.rows = counts.matched + counts.broken + counts.rejected;
        counts
    }
}

/// What became of a book.
#[derive(Clone, Debug)]
pub struct LegResult {
    pub region: Participant,
    pub counts: LegCounts,
    /// The view's line on the book as a whole.
    pub whole: String,
    pub lines: Vec<LegLine>,
}

/// A line of the view on one unit.
#[derive(Clone, Debug)]
pub struct LegLine {
    pub compared: Compared,
    /// Its break's, when the book was found at fault.
    pub break_name: Option<String>,
    /// Its difference, when it is not resolved.
    pub difference: Option<BreakClass>,
    /// Canonical JSON.
    pub body: String,
}

impl LegResult {
    /// The lines of a view, in their order: the book as a whole, then unit by unit.
    pub fn bodies(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.whole.as_str()).chain(self.lines.iter().map(|line| line.body.as_str()))
    }
}
