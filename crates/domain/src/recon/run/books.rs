//! The identities of a book that a run touches, beside those of its date ([`super::check`]): 1 to 4 and 7
//! to 9 (8, that every movement which a unit books has a row of the file and no row moves two, is [`super::so_far::Evidence`]), from balances, running sums and what the run itself moves. How much history the database holds
//! makes no difference.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::StartRun;
use super::load::{Day, Gather};
use super::so_far::SoFar;
use crate::close::{Trial, last_closed, trial};
use crate::decision::Call;
use crate::key;
use crate::ledger::{Account, AccountRow, Book, GeneralLedgerRow, Side, Turnover};
use crate::names::Participant;
use crate::recon::finding::account_subject;
use crate::recon::{BreakClass, BreakRow, IdentityResult};
use crate::snapshot::{Snapshot, Stop};
use crate::time::Month;

struct Books<'a> {
    run: &'a StartRun,
    day: &'a Day,
    so_far: &'a SoFar,
    snapshot: &'a Snapshot,
}

pub fn identities(
    run: &StartRun,
    day: &Day,
    books: &BTreeSet<Book>,
    so_far: &SoFar,
    snapshot: &Snapshot,
    call: &Call,
) -> Result<Vec<IdentityResult>, Stop> {
    let check = Books { run, day, so_far, snapshot };
    let mut gather = Gather::default();
    let mut results = vec![result(8, None, so_far.evidence.off.clone())];
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
    /// 1: what the run books.
    fn transfers(&self, book: &Book) -> IdentityResult {
        let wrong = self.so_far.moved.of_book(book).map(|moved| moved.wrong.clone());
        result(1, Some(book), wrong.unwrap_or_default())
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
        let mut gather = Gather::default();
        let mut off = Vec::new();
        let moved = self.so_far.moved.of_book(book);
        for (account, fen) in moved.iter().flat_map(|moved| &moved.entitlements) {
            let row = gather.ask(self.snapshot.get::<AccountRow>(key![account.clone()]))?.flatten();
            let available_fen = fen + row.map_or(0, |row| row.available_fen());
            if available_fen < 0 && *fen < 0 && !excused.contains(account_subject(&account.to_string()).as_str()) {
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
        difference += self.so_far.moved.of_book(book).map_or(0, |moved| moved.placed_fen);
        let off = (difference != 0).then(|| (self.run.channel.to_string(), difference));
        result(4, Some(book), off.into_iter().collect())
    }

    /// 7: no bill line that the run moves has more than is due, without its finding.
    fn bill_lines(&self) -> Result<IdentityResult, Stop> {
        let mut gather = Gather::default();
        let mut off = Vec::new();
        for (subject, fen) in self.so_far.bills.exceeded() {
            let found = gather.all(self.snapshot.list::<BreakRow>(&["subject"], key![subject.clone()]))?;
            let is_known = found.iter().any(|b| b.class == BreakClass::BillExceeded);
            if !is_known && !self.subjects(BreakClass::BillExceeded).any(|known| known == subject) {
                off.push((subject, fen));
            }
        }
        gather.end()?;
        Ok(result(7, None, off))
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
        self.so_far.breaks(self.day).filter(move |b| b.class == class && b.is_open()).map(|b| b.subject.as_str())
    }
}
