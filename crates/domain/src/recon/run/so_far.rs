//! What a run has come to by the parts decided so far: all that views, counts, identities and alerts need of them at the end.
//! It grows with accounts, breaks and what is left over, not with the rows that match.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::super::booking::{BillMove, LedgerRow};
use super::super::file::LineKind;
use super::super::rows::{BreakRow, LegCounts};
use super::super::tree::{Frontier, Hash};
use super::StartRun;
use super::expire::Expired;
use super::judge::{BreakChange, Outcome};
use super::load::Day;
use super::regions::Legs;
use crate::care::bill::{BillLineRow, FeeType};
use crate::ledger::{Account, AccountKind, Book, Layer, Transfer};
use crate::names::Participant;
use crate::payment::PaymentState;
use crate::recon::finding::bill_line_subject;
use crate::time::Date;

#[derive(Default)]
pub struct SoFar {
    /// Leaves made, beside the run's own.
    pub leaves: usize,
    /// Of them, those of units and of bookings, by which they are named.
    pub unit_leaves: usize,
    pub booking_leaves: usize,
    /// Units rendered.
    pub units: usize,
    pub views: BTreeMap<Participant, View>,
    pub ledger_leg: LegCounts,
    pub channel_leg: LegCounts,
    /// Breaks that units show, changed or not.
    pub shown: BTreeSet<String>,
    /// Breaks as the run leaves them, where it changes them.
    pub changed: BTreeMap<String, BreakRow>,
    /// Of them, those that it opened.
    pub opened: i64,
    /// Money in the file that no book was found for.
    pub unbooked: bool,
    pub moved: Moved,
    pub bills: Bills,
    pub evidence: Evidence,
    /// By book, what was reserved on the date and is not any more.
    pub unreserved_fen: BTreeMap<Book, i64>,
    pub legs: Legs,
}

impl SoFar {
    /// Units, what was found about their payments, and what they book.
    pub fn take_units(&mut self, run: &StartRun, outcomes: &[Outcome], findings: &[BreakChange]) {
        for outcome in outcomes {
            self.count(outcome);
            self.shown.extend(outcome.break_name.clone());
            self.unbooked |= outcome.unbooked;
            outcome.plan.transfers.iter().for_each(|planned| self.moved.take(&planned.transfer, &run.channel));
            self.bills.take(&outcome.plan.bill_moves);
            self.evidence.take(run, outcome);
            self.unreserve(run, outcome);
            if let Some(change) = &outcome.change {
                self.take_change(run, change);
                if let Some(row) = self.changed.get_mut(&change.row.break_name) {
                    row.stakes.0.extend(outcome.plan.stakes.iter().cloned());
                }
            }
        }
        self.legs.take(run, outcomes);
        self.take_changes(run, findings);
    }

    pub fn take_changes(&mut self, run: &StartRun, changes: &[BreakChange]) {
        changes.iter().for_each(|change| self.take_change(run, change));
    }

    pub fn take_expired(&mut self, run: &StartRun, expired: &[Expired]) {
        for ended in expired {
            self.moved.take(&ended.transfer, &run.channel);
            if ended.payment.authorised_on == run.clearing_date
                && let Ok(book) = ended.payment.book()
            {
                *self.unreserved_fen.entry(book).or_default() += ended.payment.amount_fen;
            }
        }
    }

    fn take_change(&mut self, run: &StartRun, change: &BreakChange) {
        change.take_back.iter().for_each(|transfer| self.moved.take(transfer, &run.channel));
        self.opened += i64::from(change.row.version == 1);
        self.changed.insert(change.row.break_name.clone(), change.row.clone());
    }

    pub fn view(&mut self, of: &Participant) -> &mut View {
        if !self.views.contains_key(of) {
            self.views.insert(of.clone(), View::default());
        }
        self.views.get_mut(of).expect("put there")
    }

    /// The channel's breaks as the run leaves them.
    pub fn breaks<'a>(&'a self, day: &'a Day) -> impl Iterator<Item = &'a BreakRow> {
        let same = day.breaks.iter().filter(|(name, _)| !self.changed.contains_key(*name)).map(|(_, row)| &**row);
        same.chain(self.changed.values())
    }

    /// Rows = matched + broken + rejected, per leg.
    fn count(&mut self, outcome: &Outcome) {
        let is_broken = outcome.class.is_some();
        let count = |leg: &mut LegCounts, kind: LineKind, amount_fen: i64| {
            leg.rows += 1;
            *(if is_broken { &mut leg.broken } else { &mut leg.matched }) += 1;
            *(if kind == LineKind::Refund { &mut leg.credit_fen } else { &mut leg.debit_fen }) += amount_fen;
        };
        for entry in &outcome.unit.entries {
            count(&mut self.ledger_leg, entry.key.kind, entry.amount_fen);
        }
        for line in &outcome.unit.lines {
            count(&mut self.channel_leg, line.line.kind, line.line.amount_fen);
        }
    }

    fn unreserve(&mut self, run: &StartRun, outcome: &Outcome) {
        for changed in &outcome.plan.payments {
            let before = outcome.rows.iter().find_map(|row| match row {
                LedgerRow::Payment(before) if before.payment == changed.payment => Some(before),
                _ => None,
            });
            let Some(before) = before else { continue };
            let was_reserved = before.state == PaymentState::Reserved && before.authorised_on == run.clearing_date;
            if let (true, Ok(book)) = (was_reserved, before.book()) {
                *self.unreserved_fen.entry(book).or_default() += before.amount_fen;
            }
        }
    }
}

/// What a view is made of, as its rows come by.
#[derive(Default)]
pub struct View {
    pub tree: Frontier,
    pub debit_fen: i64,
    pub credit_fen: i64,
}

impl View {
    pub fn take(&mut self, leaf: Hash, is_refund: bool, amount_fen: i64) {
        self.tree.push(leaf);
        *(if is_refund { &mut self.credit_fen } else { &mut self.debit_fen }) += amount_fen;
    }
}

/// What a run books, summed.
#[derive(Default)]
pub struct Moved {
    /// By account, layer and day on which it moved, on the account's normal side.
    sums: BTreeMap<Account, BTreeMap<(Layer, Date), i64>>,
    books: BTreeMap<Book, BookMoved>,
}

/// Of one book.
#[derive(Default)]
pub struct BookMoved {
    /// Transfers that are none: of two books, of one account, of less than nothing.
    pub wrong: Vec<(String, i64)>,
    /// Of each entitlement, on whatever layer.
    pub entitlements: BTreeMap<Account, i64>,
    /// By how much what is with the channel moves more than what was placed there (identity 4).
    pub placed_fen: i64,
}

impl Moved {
    fn take(&mut self, transfer: &Transfer, channel: &Participant) {
        let on = (transfer.layer, transfer.moved_on());
        for (account, delta) in transfer.deltas() {
            let of_account = match self.sums.get_mut(account) {
                Some(of_account) => of_account,
                None => self.sums.entry(account.clone()).or_default(),
            };
            *of_account.entry(on).or_default() += delta;
        }
        let of_book = match self.books.get_mut(&transfer.debit.book) {
            Some(of_book) => of_book,
            None => self.books.entry(transfer.debit.book.clone()).or_default(),
        };
        of_book.take(transfer, channel.code());
    }

    /// The change of an account's balance.
    pub fn of(&self, account: &Account, layer: Layer) -> i64 {
        self.up_to(account, layer, None)
    }

    /// … by what moved on or before a day.
    pub fn until(&self, account: &Account, layer: Layer, last: Date) -> i64 {
        self.up_to(account, layer, Some(last))
    }

    fn up_to(&self, account: &Account, layer: Layer, last: Option<Date>) -> i64 {
        let sums = self.sums.get(account).into_iter().flatten();
        sums.filter(|((of, on), _)| *of == layer && last.is_none_or(|last| *on <= last)).map(|(_, fen)| fen).sum()
    }

    /// The books that it moves money of.
    pub fn books(&self) -> impl Iterator<Item = &Book> {
        self.books.keys()
    }

    pub fn of_book(&self, book: &Book) -> Option<&BookMoved> {
        self.books.get(book)
    }
}

impl BookMoved {
    fn take(&mut self, transfer: &Transfer, channel: &str) {
        let Transfer { debit, credit, amount_fen, .. } = transfer;
        if credit.book != debit.book || debit == credit || *amount_fen < 0 {
            self.wrong.push((debit.to_string(), *amount_fen));
        }
        for (account, sign) in [(debit, -1), (credit, 1)] {
            if account.kind == AccountKind::Entitlement {
                *self.entitlements.entry(account.clone()).or_default() += sign * amount_fen;
            }
        }
        if transfer.layer == Layer::Posted {
            for (account, delta) in transfer.deltas() {
                let at_channel = account.at_channel().filter(|(at, _)| *at == channel);
                self.placed_fen += at_channel.map_or(0, |(_, sign)| sign * delta);
            }
            self.placed_fen -= transfer.placed_fen().filter(|(at, _)| *at == channel).map_or(0, |(_, fen)| fen);
        }
    }
}

type BillLine = (String, FeeType);

/// The bill lines that a run moves.
#[derive(Default)]
pub struct Bills {
    /// As its leaves so far leave them.
    lines: BTreeMap<BillLine, BillLineRow>,
    /// By line: what was open of it before, and how much units move.
    moved: BTreeMap<BillLine, (i64, i64)>,
}

impl Bills {
    /// Whether the line has been loaded.
    pub fn knows(&self, of: &BillMove) -> bool {
        self.lines.contains_key(&key_of(of))
    }

    /// A line as it was before the run.
    pub fn know(&mut self, line: BillLineRow) {
        let key = (line.bill.clone(), line.fee_type);
        self.moved.entry(key.clone()).or_insert((line.open_fen(), 0));
        self.lines.entry(key).or_insert(line);
    }

    fn take(&mut self, moves: &[BillMove]) {
        for of in moves {
            let (_, fen) = self.moved.get_mut(&key_of(of)).expect("loaded with the moves");
            *fen += of.held_fen + of.posted_fen;
        }
    }

    /// Moves a line, as a leaf does.
    pub fn after(&mut self, of: &BillMove) -> &BillLineRow {
        let line = self.lines.get_mut(&key_of(of)).expect("loaded with the moves");
        line.held_fen += of.held_fen;
        line.posted_fen += of.posted_fen;
        line
    }

    /// Lines of which units move more than is open, by their subject, and how much more.
    pub fn exceeded(&self) -> impl Iterator<Item = (String, i64)> {
        let over = self.moved.iter().filter(|(_, (open_fen, fen))| *fen > 0 && open_fen < fen);
        over.map(|(key, (open_fen, fen))| (bill_line_subject(&self.lines[key]), fen - open_fen))
    }
}

fn key_of(of: &BillMove) -> BillLine {
    (of.bill.clone(), of.fee_type)
}

/// Which rows of files have moved money, so that none moves it twice.
#[derive(Default)]
pub struct Evidence {
    /// By file, a bit for each line.
    seen: HashMap<String, Vec<u64>>,
    /// What moves money without a row, and rows that move it twice.
    pub off: Vec<(String, i64)>,
}

impl Evidence {
    fn take(&mut self, run: &StartRun, outcome: &Outcome) {
        let is_posted = |layer| layer == Layer::Posted;
        if !outcome.plan.transfers.iter().any(|planned| is_posted(planned.transfer.layer)) {
            return;
        }
        let mut is_any = false;
        for line in outcome.unit.money_lines() {
            is_any = true;
            if !self.see(&line.file, line.line.line) {
                self.off.push((line.reference(), 0));
            }
        }
        if is_any {
            return;
        }
        // What a corrected file no longer says is taken back on the row of the file that it replaces.
        let replaced: Vec<(&str, &str)> = outcome.rows.iter().filter_map(|row| replaced(run, row)).collect();
        if replaced.is_empty() {
            self.off.push((outcome.unit.key.text(), 0));
        }
        for (file, line) in replaced {
            let is_new = line.parse().is_ok_and(|line| self.see(file, line));
            if !is_new {
                self.off.push((format!("{file}#{line}"), 0));
            }
        }
    }

    /// Whether the row is seen for the first time.
    fn see(&mut self, file: &str, line: i64) -> bool {
        let Ok(line) = usize::try_from(line) else { return false };
        let lines = match self.seen.get_mut(file) {
            Some(lines) => lines,
            None => self.seen.entry(file.to_owned()).or_default(),
        };
        let (word, bit) = (line / 64, 1u64 << (line % 64));
        if lines.len() <= word {
            lines.resize(word + 1, 0);
        }
        let is_new = lines[word] & bit == 0;
        lines[word] |= bit;
        is_new
    }
}

/// File and line of the row that matched a ledger row before, when a file of this run replaces that file.
fn replaced<'r>(run: &StartRun, row: &'r LedgerRow) -> Option<(&'r str, &'r str)> {
    let (file, line) = row.matched_by()?.split_once('#')?;
    run.files.iter().any(|new| new.supersedes.iter().any(|old| old == file)).then_some((file, line))
}
