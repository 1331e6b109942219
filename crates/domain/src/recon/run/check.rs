//! The identities of LEDGER.md for every book that a run touches: 5 and 6 here, the others in
//! [`super::books`]. `super::super::identities` checks them all on a whole database.

use std::collections::{BTreeMap, BTreeSet};

use super::super::booking::LedgerRow;
use super::super::rows::{BreakRow, IdentityResult};
use super::super::stake::{Stake, StakeKind};
use super::books;
use super::expire::Expired;
use super::judge::{BreakChange, Outcome};
use super::load::{Day, Gather};
use super::{BillLines, StartRun};
use crate::decision::Call;
use crate::key;
use crate::ledger::{Account, AccountRow, Book, Layer, Transfer};
use crate::payment::PaymentState;
use crate::snapshot::{Snapshot, Stop};

/// What the run has found.
pub struct Found<'a> {
    pub outcomes: &'a [Outcome],
    pub others: &'a [BreakChange],
    pub expired: &'a [Expired],
    /// The channel's breaks as the run leaves them.
    pub after: &'a BTreeMap<String, BreakRow>,
    pub bill_lines: &'a BillLines,
}

pub fn identities(
    run: &StartRun,
    day: &Day,
    found: &Found<'_>,
    snapshot: &Snapshot,
    call: &Call,
) -> Result<Vec<IdentityResult>, Stop> {
    let Found { outcomes, others, expired, after, bill_lines } = *found;
    let transfers: Vec<&Transfer> = transfers(outcomes, others, expired).collect();
    let touched = transfers.iter().map(|t| t.debit.book.clone());
    let at_stake = open_stakes(after.values()).map(|s| s.book.clone());
    let books: BTreeSet<Book> = touched.chain(at_stake).collect();
    let mut gather = Gather::default();
    let left = books::Left { transfers: &transfers, outcomes, breaks: after, bill_lines };
    let mut results = gather.ask(books::identities(run, day, &books, &left, snapshot, call))?.unwrap_or_default();
    for book in &books {
        let check = BookCheck { run, day, book, transfers: &transfers };
        let clearing = Account::clearing(book, &run.channel, run.clearing_date);
        let before = gather.ask(snapshot.get::<AccountRow>(key![clearing.clone()]))?.flatten();
        let (posted, held) = before.map_or((0, 0), |row| (row.posted_fen, row.held_fen));
        results.push(check.suspense(after));
        if day.missing_files == 0 {
            results.push(check.clearing(posted, after));
        }
        results.push(check.holds(held, outcomes, expired));
    }
    gather.end()?;
    Ok(results)
}

/// Everything that the run books.
pub fn transfers<'a>(
    outcomes: &'a [Outcome],
    others: &'a [BreakChange],
    expired: &'a [Expired],
) -> impl Iterator<Item = &'a Transfer> {
    let planned = outcomes.iter().flat_map(|o| o.plan.transfers.iter().map(|p| &p.transfer));
    let changes = outcomes.iter().filter_map(|o| o.change.as_deref()).chain(others);
    planned.chain(changes.flat_map(|c| &c.take_back)).chain(expired.iter().map(|e| &e.transfer))
}

fn open_stakes<'a>(breaks: impl Iterator<Item = &'a BreakRow>) -> impl Iterator<Item = &'a Stake> {
    breaks.filter(|b| b.is_open()).flat_map(|b| &b.stakes.0)
}

struct BookCheck<'a> {
    run: &'a StartRun,
    day: &'a Day,
    book: &'a Book,
    transfers: &'a [&'a Transfer],
}

impl BookCheck<'_> {
    fn result(&self, number: i64, account: &Account, difference_fen: i64) -> IdentityResult {
        let holds = difference_fen == 0;
        let detail = if holds { String::new() } else { account.to_string() };
        IdentityResult { number, book: self.book.to_string(), holds, difference_fen, detail }
    }

    /// The change of an account's balance on its normal side.
    fn delta(&self, account: &Account, layer: Layer) -> i64 {
        let deltas = self.transfers.iter().filter(|t| t.layer == layer).flat_map(|t| t.deltas());
        deltas.filter(|(of, _)| *of == account).map(|(_, delta)| delta).sum()
    }

    /// 5: what the run moves through suspense is what its breaks say. A late confirmation went
    /// there before the run.
    fn suspense(&self, after: &BTreeMap<String, BreakRow>) -> IdentityResult {
        let account = Account::suspense(self.book, &self.run.channel);
        let sum = |breaks: &mut dyn Iterator<Item = &BreakRow>| -> i64 {
            let of_book = open_stakes(breaks).filter(|s| s.book == *self.book && s.kind != StakeKind::Late);
            of_book.map(Stake::suspense_fen).sum()
        };
        let before = sum(&mut self.day.breaks.values().map(AsRef::as_ref));
        let now = sum(&mut after.values());
        self.result(5, &account, self.delta(&account, Layer::Posted) - (now - before))
    }

    /// 5: what is left in the date's clearing account is what its breaks say.
    fn clearing(&self, posted_before: i64, after: &BTreeMap<String, BreakRow>) -> IdentityResult {
        let account = Account::clearing(self.book, &self.run.channel, self.run.clearing_date);
        let of_date = |s: &&Stake| s.book == *self.book && s.clearing_date == self.run.clearing_date;
        let open: i64 = open_stakes(after.values()).filter(of_date).map(Stake::clearing_fen).sum();
        self.result(5, &account, posted_before + self.delta(&account, Layer::Posted) - open)
    }

    /// 6: what is held on the date is what is still reserved.
    fn holds(&self, held_before: i64, outcomes: &[Outcome], expired: &[Expired]) -> IdentityResult {
        let account = Account::clearing(self.book, &self.run.channel, self.run.clearing_date);
        let changed = outcomes.iter().flat_map(|o| &o.plan.payments).chain(expired.iter().map(|e| &e.payment));
        let changed: BTreeSet<&str> = changed.map(|p| p.payment.as_str()).collect();
        let reserved = self.day.rows.values().filter_map(|row| match row {
            LedgerRow::Payment(p) if p.state == PaymentState::Reserved => Some(p),
            _ => None,
        });
        let reserved: i64 = reserved
            .filter(|p| p.authorised_on == self.run.clearing_date && !changed.contains(p.payment.as_str()))
            .filter(|p| p.book().is_ok_and(|book| book == *self.book))
            .map(|p| p.amount_fen)
            .sum();
        self.result(6, &account, held_before + self.delta(&account, Layer::Held) - reserved)
    }
}
