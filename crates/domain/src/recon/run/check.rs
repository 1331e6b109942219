//! The identities of LEDGER.md for every book that a run touches: 5 and 6 here, the others in
//! [`super::books`]. `super::super::identities` checks them all on a whole database.

use std::collections::BTreeSet;

use super::super::rows::{BreakRow, IdentityResult};
use super::super::stake::{Stake, StakeKind};
use super::StartRun;
use super::books;
use super::load::{Day, Gather, Survey};
use super::so_far::SoFar;
use crate::decision::Call;
use crate::key;
use crate::ledger::{Account, AccountRow, Book, Layer};
use crate::snapshot::{Snapshot, Stop};

pub fn identities(
    run: &StartRun,
    day: &Day,
    survey: &Survey,
    so_far: &SoFar,
    snapshot: &Snapshot,
    call: &Call,
) -> Result<Vec<IdentityResult>, Stop> {
    let at_stake = open_stakes(so_far.breaks(day)).map(|s| &s.book);
    let books: BTreeSet<Book> = so_far.moved.books().chain(at_stake).cloned().collect();
    let mut gather = Gather::default();
    let mut results = gather.ask(books::identities(run, day, &books, so_far, snapshot, call))?.unwrap_or_default();
    for book in &books {
        let check = BookCheck { run, day, book, so_far };
        let clearing = Account::clearing(book, &run.channel, run.clearing_date);
        let before = gather.ask(snapshot.get::<AccountRow>(key![clearing.clone()]))?.flatten();
        let (posted, held) = before.map_or((0, 0), |row| (row.posted_fen, row.held_fen));
        results.push(check.suspense());
        if day.missing_files == 0 {
            results.push(check.clearing(posted));
        }
        results.push(check.holds(held, survey));
    }
    gather.end()?;
    Ok(results)
}

fn open_stakes<'a>(breaks: impl Iterator<Item = &'a BreakRow>) -> impl Iterator<Item = &'a Stake> {
    breaks.filter(|b| b.is_open()).flat_map(|b| &b.stakes.0)
}

struct BookCheck<'a> {
    run: &'a StartRun,
    day: &'a Day,
    book: &'a Book,
    so_far: &'a SoFar,
}

impl BookCheck<'_> {
    fn result(&self, number: i64, account: &Account, difference_fen: i64) -> IdentityResult {
        let holds = difference_fen == 0;
        let detail = if holds { String::new() } else { account.to_string() };
        IdentityResult { number, book: self.book.to_string(), holds, difference_fen, detail }
    }

    /// 5: what the run moves through suspense is what its breaks say. A late confirmation went
    /// there before the run.
    fn suspense(&self) -> IdentityResult {
        let account = Account::suspense(self.book, &self.run.channel);
        let sum = |breaks: &mut dyn Iterator<Item = &BreakRow>| -> i64 {
            let of_book = open_stakes(breaks).filter(|s| s.book == *self.book && s.kind != StakeKind::Late);
            of_book.map(Stake::suspense_fen).sum()
        };
        let before = sum(&mut self.day.breaks.values().map(AsRef::as_ref));
        let now = sum(&mut self.so_far.breaks(self.day));
        self.result(5, &account, self.so_far.moved.of(&account, Layer::Posted) - (now - before))
    }

    /// 5: what is left in the date's clearing account is what its breaks say.
    fn clearing(&self, posted_before: i64) -> IdentityResult {
        let account = Account::clearing(self.book, &self.run.channel, self.run.clearing_date);
        let of_date = |s: &&Stake| s.book == *self.book && s.clearing_date == self.run.clearing_date;
        let open: i64 = open_stakes(self.so_far.breaks(self.day)).filter(of_date).map(Stake::clearing_fen).sum();
        self.result(5, &account, posted_before + self.so_far.moved.of(&account, Layer::Posted) - open)
    }

    /// 6: what is held on the date is what is still reserved.
    fn holds(&self, held_before: i64, survey: &Survey) -> IdentityResult {
        let account = Account::clearing(self.book, &self.run.channel, self.run.clearing_date);
        let of_book = |fen: &std::collections::BTreeMap<Book, i64>| fen.get(self.book).copied().unwrap_or(0);
        let reserved = of_book(&survey.reserved_fen) - of_book(&self.so_far.unreserved_fen);
        self.result(6, &account, held_before + self.so_far.moved.of(&account, Layer::Held) - reserved)
    }
}
