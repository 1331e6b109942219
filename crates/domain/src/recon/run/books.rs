//! The identities of a book that a run touches, beside those of its date ([`super::check`]): 1 to 4 and 7
//! to 9, from balances, running sums and what the run itself moves. How much history the database holds
//! makes no difference.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::super::booking::LedgerRow;
use super::judge::Outcome;
use super::load::{Day, Gather};
use super::{BillLines, RunFile, StartRun};
use crate::care::bill::FeeType;
use crate::close::{Trial, last_closed, trial};
use crate::decision::Call;
use crate::key;
use crate::ledger::{Account, AccountKind, AccountRow, Book, GeneralLedgerRow, Layer, Side, Transfer, Turnover};
use crate::names::Participant;
use crate::recon::finding::{account_subject, bill_line_subject};
use crate::recon::{BreakClass, BreakRow, IdentityResult};
use crate::snapshot::{Snapshot, Stop};
use crate::time::Month;

/// What the run leaves behind, as far as identities ask.
pub struct Left<'a> {
    pub transfers: &'a [&'a Transfer],
    pub outcomes: &'a [Outcome],
    /// The channel's breaks.
    pub breaks: &'a BTreeMap<String, BreakRow>,
    pub bill_lines: &'a BillLines,
}

struct Books<'a> {
    run: &'a StartRun,
    left: &'a Left<'a>,
    snapshot: &'a Snapshot,
}

pub fn identities(
    run: &StartRun,
    day: &Day,
    books: &BTreeSet<Book>,
    left: &Left<'_>,
    snapshot: &Snapshot,
    call: &Call,
) -> Result<Vec<IdentityResult>, Stop> {
    let check = Books { run, left, snapshot };
    let mut gather = Gather::default();
    let mut results = vec![check.evidence()];
    results.extend(gather.ask(check.bill_lines())?);
    for book in books {
        results.push(check.transfers(book));
        results.extend(gather.ask(check.entitlements(book))?);
        if let Some(trial) = gather.ask(trial(snapshot, book, call.now.month()))? {
            results.extend(gather.ask(check.balances(book, &trial))?);
            if day.policy.prefunded {
                results.push(check.placed(book, &trial));
            }
        }
        results.extend(gather.ask(check.last_close(book))?.flatten());
    }
    gather.end()?;
    Ok(results)
}

/// Asks for what the identities of these books read, before a day is judged: a miss then costs no judging.
pub fn foresee(
    run: &StartRun,
    books: &BTreeSet<Book>,
    snapshot: &Snapshot,
    call: &Call,
    gather: &mut Gather,
) -> Result<(), Stop> {
    for book in books {
        gather.ask(trial(snapshot, book, call.now.month()))?;
        if let Some(last) = gather.ask(last_closed(snapshot, book, None))?.flatten() {
            gather.all(of_month(snapshot, book, last.month))?;
        }
        let clearing = Account::clearing(book, &run.channel, run.clearing_date);
        for account in singles(book, &run.channel).into_iter().chain([clearing]) {
            gather.ask(snapshot.get::<AccountRow>(key![account]))?;
        }
    }
    Ok(())
}

/// The accounts of which a book has one, or one with the channel.
fn singles(book: &Book, channel: &Participant) -> [Account; 4] {
    [
        Account::bank(book),
        Account::prefund(book, channel),
        Account::suspense(book, channel),
        Account::fee_payable(book, channel),
    ]
}

fn of_month(snapshot: &Snapshot, book: &Book, month: Month) -> Result<Vec<Arc<GeneralLedgerRow>>, Stop> {
    snapshot.list::<GeneralLedgerRow>(&["book", "booking_month"], key![book.clone(), month])
}

fn result(number: i64, book: Option<&Book>, off: Vec<(String, i64)>) -> IdentityResult {
    IdentityResult {
        number,
        book: book.map(Book::to_string).unwrap_or_default(),
        holds: off.is_empty(),
        difference_fen: off.iter().map(|(_, fen)| fen).sum(),
        detail: off.into_iter().map(|(what, _)| what).take(10).collect::<Vec<_>>().join("; "),
    }
}

impl Books<'_> {
    fn of_book<'b>(&'b self, book: &'b Book) -> impl Iterator<Item = &'b Transfer> {
        self.left.transfers.iter().copied().filter(move |t| t.debit.book == *book)
    }

    /// 1: what the run books.
    fn transfers(&self, book: &Book) -> IdentityResult {
        let off = self.of_book(book).filter(|t| t.credit.book != *book || t.debit == t.credit || t.amount_fen < 0);
        result(1, Some(book), off.map(|t| (t.debit.to_string(), t.amount_fen)).collect())
    }

    /// 2: the accounts of which a book has one are what the running sums say.
    fn balances(&self, book: &Book, trial: &Trial) -> Result<IdentityResult, Stop> {
        let mut gather = Gather::default();
        let mut off = Vec::new();
        for account in singles(book, &self.run.channel) {
            let posted = gather.ask(self.snapshot.get::<AccountRow>(key![account.clone()]))?.flatten();
            let posted_fen = posted.map_or(0, |row| row.posted_fen);
            let line = trial.lines.iter().find(|line| line.account == account);
            let normal = if account.kind.normal_side() == Side::Debit { 1 } else { -1 };
            let difference = posted_fen - normal * line.map_or(0, |line| line.closing_fen());
            if difference != 0 {
                off.push((account.to_string(), difference));
            }
        }
        gather.end()?;
        Ok(result(2, Some(book), off))
    }

    /// 3: no account that the run debits is below zero without its finding.
    fn entitlements(&self, book: &Book) -> Result<IdentityResult, Stop> {
        let excused: BTreeSet<&str> = self.subjects(BreakClass::Overspent).collect();
        let mut moved: BTreeMap<&Account, i64> = BTreeMap::new();
        for transfer in self.of_book(book) {
            for (account, sign) in [(&transfer.debit, -1), (&transfer.credit, 1)] {
                if account.kind == AccountKind::Entitlement {
                    *moved.entry(account).or_default() += sign * transfer.amount_fen;
                }
            }
        }
        let mut gather = Gather::default();
        let mut off = Vec::new();
        for (account, fen) in moved {
            let row = gather.ask(self.snapshot.get::<AccountRow>(key![account.clone()]))?.flatten();
            let available_fen = fen + row.map_or(0, |row| row.available_fen());
            if available_fen < 0 && fen < 0 && !excused.contains(account_subject(&account.to_string()).as_str()) {
                off.push((account.to_string(), available_fen));
            }
        }
        gather.end()?;
        Ok(result(3, Some(book), off))
    }

    /// 4: what is with the channel is what was placed there and not credited, with what the run moves.
    fn placed(&self, book: &Book, trial: &Trial) -> IdentityResult {
        let code = self.run.channel.code();
        let mut difference = trial.at_channels_fen().get(code).copied().unwrap_or(0);
        difference -= trial.placed_fen.get(code).copied().unwrap_or(0);
        let posted = self.of_book(book).filter(|t| t.layer == Layer::Posted);
        for transfer in posted {
            for (account, delta) in transfer.deltas() {
                difference += account.at_channel().filter(|(at, _)| *at == code).map_or(0, |(_, sign)| sign * delta);
            }
            difference -= transfer.placed_fen().filter(|(at, _)| *at == code).map_or(0, |(_, fen)| fen);
        }
        let off = (difference != 0).then(|| (self.run.channel.to_string(), difference));
        result(4, Some(book), off.into_iter().collect())
    }

    /// 7: no bill line that the run moves has more than is due, without its finding.
    fn bill_lines(&self) -> Result<IdentityResult, Stop> {
        let moves = self.left.outcomes.iter().flat_map(|o| &o.plan.bill_moves);
        let mut moved: BTreeMap<(String, FeeType), i64> = BTreeMap::new();
        for m in moves {
            *moved.entry((m.bill.clone(), m.fee_type)).or_default() += m.held_fen + m.posted_fen;
        }
        let mut gather = Gather::default();
        let mut off = Vec::new();
        for (key, fen) in moved.iter().filter(|(_, fen)| **fen > 0) {
            let Some(line) = self.left.bill_lines.get(key).filter(|line| line.open_fen() < *fen) else { continue };
            let subject = bill_line_subject(line);
            let found = gather.all(self.snapshot.list::<BreakRow>(&["subject"], key![subject.clone()]))?;
            let is_known = found.iter().any(|b| b.class == BreakClass::BillExceeded);
            if !is_known && !self.subjects(BreakClass::BillExceeded).any(|known| known == subject) {
                off.push((subject, fen - line.open_fen()));
            }
        }
        gather.end()?;
        Ok(result(7, None, off))
    }

    /// 8: every movement that the run books for a unit has a row of the file, and no row moves two.
    fn evidence(&self) -> IdentityResult {
        let mut seen = BTreeSet::new();
        let mut off = Vec::new();
        for outcome in self.left.outcomes {
            let posts = outcome.plan.transfers.iter().any(|planned| planned.transfer.layer == Layer::Posted);
            if !posts {
                continue;
            }
            let mut rows: Vec<String> = outcome.unit.money_lines().map(|line| line.reference()).collect();
            if rows.is_empty() {
                // What a corrected file no longer says is taken back on the row of the file that it replaces.
                rows.extend(outcome.rows.iter().filter_map(|row| self.replaced(row)).map(str::to_owned));
            }
            if rows.is_empty() {
                off.push((outcome.unit.key.text(), 0));
            }
            off.extend(rows.into_iter().filter_map(|row| (!seen.insert(row.clone())).then_some((row, 0))));
        }
        result(8, None, off)
    }

    /// The file row that matched a ledger row before, when a file of this run replaces that file.
    fn replaced<'r>(&self, row: &'r LedgerRow) -> Option<&'r str> {
        let matched_by = row.matched_by()?;
        let (file, _) = matched_by.split_once('#')?;
        let supersedes = |new: &RunFile| new.supersedes.iter().any(|old| old == file);
        self.run.files.iter().any(supersedes).then_some(matched_by)
    }

    /// 9: the month closed last is as it was closed.
    fn last_close(&self, book: &Book) -> Result<Option<IdentityResult>, Stop> {
        let Some(last) = last_closed(self.snapshot, book, None)? else { return Ok(None) };
        let rows = of_month(self.snapshot, book, last.month)?;
        let now = Turnover::of(rows.iter().map(|row| &**row));
        let off = last.changed(&now).into_iter().map(|(account, fen)| (account.to_string(), fen));
        Ok(Some(result(9, Some(book), off.collect())))
    }

    fn subjects(&self, class: BreakClass) -> impl Iterator<Item = &str> {
        self.left.breaks.values().filter(move |b| b.class == class && b.is_open()).map(|b| b.subject.as_str())
    }
}
