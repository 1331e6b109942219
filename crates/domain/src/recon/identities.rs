//! LEDGER.md's identities over a whole ledger, as pure folds: rows in, violations out, each
//! naming the rows at fault. Used by tests and by `jjj verify`, which streams the rows in.
//!
//! Identity 3 is checked as "below zero only with an open finding" and 7 likewise: whether a
//! balance was enough *at* an authorisation is the decision's own rule. Identity 8 is about
//! evidence and is the store's.

use std::collections::{BTreeMap, BTreeSet};

use super::finding::{account_subject, bill_line_subject};
use super::rows::{BreakClass, BreakRow};
use super::stake::Stake;
use crate::care::bill::BillLineRow;
use crate::close::CloseRow;
use crate::ledger::{
    Account, AccountKind, AccountRow, Book, CashDayRow, GeneralLedgerRow, Layer, TransferRow, Turnover,
};
use crate::names::Participant;
use crate::payment::{PaymentRow, PaymentState};
use crate::time::{Date, Month};
use crate::value::Value;

/// An identity that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// 1 to 9, as LEDGER.md numbers them.
    pub identity: i64,
    pub book: Option<Book>,
    pub difference_fen: i64,
    /// Accounts, transfers, payments at fault.
    pub rows: Vec<String>,
    pub detail: String,
}

/// Everything folded from the journal, one transfer at a time.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    balances: BTreeMap<(Account, Layer), i64>,
    /// By key, see [`GeneralLedgerRow`].
    general: BTreeMap<Vec<Value>, GeneralLedgerRow>,
    cash: BTreeMap<(String, Date), CashDayRow>,
    pub violations: Vec<Violation>,
}

impl Journal {
    /// Identity 1, and takes the transfer into the balances.
    pub fn add(&mut self, row: &TransferRow) {
        let one_book = row.debit.book == row.book && row.credit.book == row.book;
        if !one_book || row.amount_fen <= 0 || row.debit == row.credit || row.region != *row.book.region() {
            self.violations.push(Violation {
                identity: 1,
                book: Some(row.book.clone()),
                difference_fen: row.amount_fen,
                rows: vec![format!("{}#{}", row.leaf_id, row.line)],
                detail: "one debit, one credit, one positive amount, inside one book".to_owned(),
            });
        }
        for (account, delta) in row.deltas() {
            *self.balances.entry((account.clone(), row.layer)).or_default() += delta;
        }
        GeneralLedgerRow::add_to(&mut self.general, row);
        CashDayRow::add_to(&mut self.cash, row);
    }

    /// The general ledger as the journal makes it.
    pub fn general_ledger(&self) -> impl Iterator<Item = &GeneralLedgerRow> {
        self.general.values()
    }

    /// Money by day as the journal makes it.
    pub fn cash_days(&self) -> impl Iterator<Item = &CashDayRow> {
        self.cash.values()
    }

    /// An account's balance on its normal side.
    pub fn balance(&self, account: &Account, layer: Layer) -> i64 {
        self.balances.get(&(account.clone(), layer)).copied().unwrap_or(0)
    }

    /// Identity 2: stored balances are the sums of their entries.
    pub fn check_accounts<'a>(&self, rows: impl IntoIterator<Item = &'a AccountRow>) -> Vec<Violation> {
        let mut stored: BTreeMap<(Account, Layer), i64> = BTreeMap::new();
        for row in rows {
            stored.insert((row.account.clone(), Layer::Posted), row.posted_fen);
            stored.insert((row.account.clone(), Layer::Held), row.held_fen);
        }
        let keys: BTreeSet<_> = stored.keys().chain(self.balances.keys()).collect();
        let off = |key: &&(Account, Layer)| {
            let difference = stored.get(key).copied().unwrap_or(0) - self.balances.get(key).copied().unwrap_or(0);
            (difference != 0).then(|| violation(2, &key.0, difference, format!("{} balance", key.1)))
        };
        keys.iter().filter_map(off).collect()
    }

    /// Identity 4, for each channel that is prefunded.
    pub fn check_prefund(&self, is_prefunded: impl Fn(&str) -> bool) -> Vec<Violation> {
        let mut actual: BTreeMap<(Book, String), i64> = BTreeMap::new();
        for ((account, layer), balance) in &self.balances {
            let Some((channel, sign)) = account.at_channel() else { continue };
            if *layer == Layer::Posted {
                *actual.entry((account.book.clone(), channel.to_owned())).or_default() += sign * balance;
            }
        }
        let mut expected: BTreeMap<(Book, String), i64> = BTreeMap::new();
        for row in self.general.values() {
            if let Some((channel, placed_fen)) = row.placed_fen() {
                *expected.entry((row.book.clone(), channel.to_owned())).or_default() += placed_fen;
            }
        }
        let keys: BTreeSet<_> = actual.keys().chain(expected.keys()).collect();
        let check = |key: &&(Book, String)| {
            let of = |map: &BTreeMap<(Book, String), i64>| map.get(key).copied().unwrap_or(0);
            let difference = of(&actual) - of(&expected);
            (is_prefunded(&key.1) && difference != 0).then(|| Violation {
                identity: 4,
                book: Some(key.0.clone()),
                difference_fen: difference,
                rows: vec![format!("channels/{}", key.1)],
                detail: "prefund + suspense - entitlement - clearing - payable - fee_payable".to_owned(),
            })
        };
        keys.iter().filter_map(check).collect()
    }

    /// Identity 9: every book and month sums to zero, and a closed month is as it was closed.
    pub fn check_trial<'a>(&self, closes: impl IntoIterator<Item = &'a CloseRow>) -> Vec<Violation> {
        let mut months: BTreeMap<(&Book, Month), Turnover> = BTreeMap::new();
        for row in self.general.values() {
            months.entry((&row.book, row.booking_month)).or_default().add(row);
        }
        let mut violations = Vec::new();
        for ((book, month), turnover) in &months {
            let sum: i64 = turnover.0.values().map(|(debit, credit)| debit - credit).sum();
            if sum != 0 {
                let rows = turnover.0.keys().map(Account::to_string).collect();
                let detail = format!("trial balance of {month}");
                let book = Some((*book).clone());
                violations.push(Violation { identity: 9, book, difference_fen: sum, rows, detail });
            }
        }
        let empty = Turnover::default();
        for close in closes.into_iter().filter(|close| close.is_closed()) {
            let now = months.get(&(&close.book, close.month)).unwrap_or(&empty);
            let changed = close.changed(now);
            let detail = format!("changed after the close of {}", close.month);
            violations.extend(changed.into_iter().map(|(account, fen)| violation(9, account, fen, detail.clone())));
        }
        violations
    }

    /// Identity 3: an entitlement below zero has an open `OVERSPENT` finding.
    pub fn check_entitlements(&self, open: &[BreakRow]) -> Vec<Violation> {
        let excused: BTreeSet<&str> = subjects(open, BreakClass::Overspent).collect();
        let mut available: BTreeMap<&Account, i64> = BTreeMap::new();
        for ((account, _), balance) in &self.balances {
            if account.kind == AccountKind::Entitlement {
                *available.entry(account).or_default() += balance;
            }
        }
        let below = |(account, balance): (&Account, i64)| {
            let unexcused = balance < 0 && !excused.contains(account_subject(&account.to_string()).as_str());
            unexcused.then(|| violation(3, account, balance, "below zero without an open finding".to_owned()))
        };
        available.into_iter().filter_map(below).collect()
    }

    /// Identity 5. `late` are late confirmations that no run has seen yet; `judged` says whether
    /// a clearing date is past its grace and has had a complete run.
    pub fn check_breaks(
        &self,
        open: &[BreakRow],
        late: &[PaymentRow],
        judged: impl Fn(&str, Date) -> bool,
    ) -> Vec<Violation> {
        let mut suspense: BTreeMap<Account, i64> = BTreeMap::new();
        let mut clearing: BTreeMap<Account, i64> = BTreeMap::new();
        let seen: BTreeSet<&str> = subjects(open, BreakClass::LateConfirmation).collect();
        for (channel, stake) in stakes(open) {
            *suspense.entry(Account::suspense(&stake.book, channel)).or_default() += stake.suspense_fen();
            let account = Account::clearing(&stake.book, channel, stake.clearing_date);
            *clearing.entry(account).or_default() += stake.clearing_fen();
        }
        for payment in late.iter().filter(|p| p.state == PaymentState::Late && !seen.contains(p.payment.as_str())) {
            if let Ok(book) = payment.book() {
                *suspense.entry(Account::suspense(&book, &payment.channel)).or_default() += payment.amount_fen;
            }
        }
        let mut violations = self.compare(5, AccountKind::Suspense, &suspense, "open amounts of its rows", |_| true);
        let dated = |account: &Account| account.b.parse().is_ok_and(|date| judged(&account.a, date));
        violations.extend(self.compare(
            5,
            AccountKind::Clearing,
            &clearing,
            "open ledger-only and file-less amounts",
            dated,
        ));
        violations
    }

    /// Identity 6: holds are open reservations and late confirmations kept.
    pub fn check_holds(&self, payments: &[PaymentRow]) -> Vec<Violation> {
        let mut held: BTreeMap<Account, i64> = BTreeMap::new();
        for payment in payments.iter().filter(|p| p.state == PaymentState::Reserved) {
            if let Ok(book) = payment.book() {
                let account = Account::clearing(&book, &payment.channel, payment.authorised_on);
                *held.entry(account).or_default() += payment.amount_fen;
            }
        }
        let mut violations =
            self.compare_layer(6, AccountKind::Clearing, Layer::Held, &held, "open reservations", |_| true);
        let mut kept: BTreeMap<Account, i64> = BTreeMap::new();
        for payment in payments.iter().filter(|p| p.state == PaymentState::Late) {
            if let Ok(book) = payment.book() {
                // Keeping credits suspense, whose normal side is debit.
                *kept.entry(Account::suspense(&book, &payment.channel)).or_default() -= payment.kept_fen;
            }
        }
        let what = "late confirmations kept";
        violations.extend(self.compare_layer(6, AccountKind::Suspense, Layer::Held, &kept, what, |_| true));
        violations
    }

    fn compare(
        &self,
        identity: i64,
        kind: AccountKind,
        wanted: &BTreeMap<Account, i64>,
        what: &str,
        applies: impl Fn(&Account) -> bool,
    ) -> Vec<Violation> {
        self.compare_layer(identity, kind, Layer::Posted, wanted, what, applies)
    }

    /// Every account of a kind has the balance wanted, zero where none is.
    fn compare_layer(
        &self,
        identity: i64,
        kind: AccountKind,
        layer: Layer,
        wanted: &BTreeMap<Account, i64>,
        what: &str,
        applies: impl Fn(&Account) -> bool,
    ) -> Vec<Violation> {
        let own = self.balances.keys().filter(|(a, l)| a.kind == kind && *l == layer).map(|(a, _)| a);
        let accounts: BTreeSet<&Account> = own.chain(wanted.keys()).filter(|a| applies(a)).collect();
        let off = |account: &&Account| {
            let difference = self.balance(account, layer) - wanted.get(account).copied().unwrap_or(0);
            (difference != 0).then(|| violation(identity, account, difference, format!("{layer} balance less {what}")))
        };
        accounts.iter().filter_map(off).collect()
    }
}

/// Identity 6, second half: no reservation outlives its file rule. `complete` says whether a
/// channel's date has had a run with complete files.
pub fn check_reservations(payments: &[PaymentRow], complete: impl Fn(&Participant, Date) -> bool) -> Vec<Violation> {
    let outlived = |p: &&PaymentRow| {
        p.state == PaymentState::Reserved
            && complete(&p.channel, p.authorised_on)
            && complete(&p.channel, p.authorised_on.plus_days(1))
    };
    let of = |p: &PaymentRow| Violation {
        identity: 6,
        book: p.book().ok(),
        difference_fen: p.amount_fen,
        rows: vec![p.payment.clone()],
        detail: "reserved although both complete files lack the order".to_owned(),
    };
    payments.iter().filter(outlived).map(of).collect()
}

/// Identity 7: a bill line with more than is due has a `BILL_EXCEEDED` finding.
pub fn check_bill_lines<'a>(lines: impl IntoIterator<Item = &'a BillLineRow>, findings: &[BreakRow]) -> Vec<Violation> {
    let known: BTreeSet<&str> =
        findings.iter().filter(|b| b.class == BreakClass::BillExceeded).map(|b| b.subject.as_str()).collect();
    let exceeded = |line: &&BillLineRow| line.open_fen() < 0 && !known.contains(bill_line_subject(line).as_str());
    let of = |line: &BillLineRow| Violation {
        identity: 7,
        book: None,
        difference_fen: -line.open_fen(),
        rows: vec![bill_line_subject(line)],
        detail: "more than is due, without a finding".to_owned(),
    };
    lines.into_iter().filter(exceeded).map(of).collect()
}

fn subjects(breaks: &[BreakRow], class: BreakClass) -> impl Iterator<Item = &str> {
    breaks.iter().filter(move |b| b.class == class && b.is_open()).map(|b| b.subject.as_str())
}

fn stakes(breaks: &[BreakRow]) -> impl Iterator<Item = (&Participant, &Stake)> {
    let open = breaks.iter().filter(|b| b.is_open());
    open.filter_map(|b| b.channel.as_ref().map(|c| (c, b))).flat_map(|(c, b)| b.stakes.0.iter().map(move |s| (c, s)))
}

fn violation(identity: i64, account: &Account, difference_fen: i64, detail: String) -> Violation {
    let rows = vec![account.to_string()];
    Violation { identity, book: Some(account.book.clone()), difference_fen, rows, detail }
}
