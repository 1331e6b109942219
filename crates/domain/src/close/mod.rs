//! Month close (月结): when a book's month is complete, two people end it. A closed month never changes.
//!
//! Everything is booked in the month in which it is recorded, so what comes after a close is in the open
//! month by itself. What concerns a closed *year* debits or credits no expense any more but the
//! appropriation's prior-year adjustment, see [`cost_account`].

mod conditions;
mod voucher;

pub use conditions::CloseCondition;
pub use voucher::{Voucher, VoucherLine, vouchers};

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::decision::{Call, Command, Decision};
use crate::guard;
use crate::key;
use crate::ledger::{Account, Book, GeneralLedgerRow, Side, Turnover};
use crate::names::{Actor, Collection, Name, Participant};
use crate::recon::run::Gather;
use crate::rejection::{Reason, Rejection};
use crate::snapshot::{Snapshot, Stop};
use crate::time::{Month, Timestamp};
use crate::value::Json;
use crate::{table, text_enum};

text_enum! {
    pub enum CloseState {
        /// Awaits the second person.
        Proposed = "PROPOSED",
        /// Final.
        Closed = "CLOSED",
        /// May be proposed again.
        Declined = "DECLINED",
    }
}

/// A control account in a trial balance, fen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrialLine {
    pub account: Account,
    /// Debits less credits of all months before.
    pub opening_fen: i64,
    pub debit_fen: i64,
    pub credit_fen: i64,
}

impl TrialLine {
    /// Debits less credits up to the end of the month.
    pub fn closing_fen(&self) -> i64 {
        self.opening_fen + self.debit_fen - self.credit_fen
    }
}

table! {
    /// Month closes of a book, with the trial balance as it was closed.
    pub struct CloseRow in "month_closes", Head
    key [book, month] index [book] readers [region]
    {
        pub book: Book,
        pub month: Month,
        pub region: Participant,
        pub state: CloseState,
        /// Of the closed month; empty before.
        pub trial: Json<Vec<TrialLine>>,
        /// Transfers booked in the month, posted layer.
        pub transfers: i64,
        /// By channel: funded − credited − shortfalls charged to receivable − suspense written off, of all
        /// months up to this (identity 4).
        pub placed_fen: Json<BTreeMap<String, i64>>,
        pub proposed_by: Actor,
        pub proposal_reason: String,
        pub decided_by: Option<Actor>,
        pub decision_reason: Option<String>,
        pub recorded_at_us: Timestamp,
        pub version: i64,
    }
}

impl CloseRow {
    /// `monthCloses/{region}/{programme}/{month}`.
    pub fn name(book: &Book, month: Month) -> String {
        Name::of(Collection::MonthClose, &format!("{book}/{month}")).to_string()
    }

    /// Reads a name.
    pub fn parse_name(field: &str, text: &str) -> Result<(Book, Month), Rejection> {
        let name = Name::parse_field(field, text, &[Collection::MonthClose])?;
        let parts =
            name.id().rsplit_once('/').and_then(|(book, month)| Some((book.parse().ok()?, month.parse().ok()?)));
        parts.ok_or_else(|| {
            Reason::FieldMalformed.field(field).var("expected", "monthCloses/{6 digits}/{programme}/{YYYY-MM}")
        })
    }

    pub fn is_closed(&self) -> bool {
        self.state == CloseState::Closed
    }

    /// Control accounts whose month is another one now, and by how much, debits less credits (identity 9).
    pub fn changed<'a>(&'a self, now: &'a Turnover) -> Vec<(&'a Account, i64)> {
        let then: BTreeMap<&Account, (i64, i64)> =
            self.trial.0.iter().map(|line| (&line.account, (line.debit_fen, line.credit_fen))).collect();
        let accounts: BTreeSet<&Account> = then.keys().copied().chain(now.0.keys()).collect();
        let off = accounts.into_iter().filter_map(|account| {
            let (debit, credit) = now.0.get(account).copied().unwrap_or_default();
            let was = then.get(account).copied().unwrap_or_default();
            ((debit, credit) != was).then_some((account, debit - credit - (was.0 - was.1)))
        });
        off.collect()
    }

    /// The sum of all closing balances: zero.
    pub fn closing_sum_fen(&self) -> i64 {
        self.trial.0.iter().map(TrialLine::closing_fen).sum()
    }
}

/// The close of a month, if it is closed.
pub fn closed(snapshot: &Snapshot, book: &Book, month: Month) -> Result<Option<Arc<CloseRow>>, Stop> {
    Ok(snapshot.get::<CloseRow>(key![book.clone(), month])?.filter(|row| row.is_closed()))
}

/// `MONTH_CLOSED` when a decision books into a month that is closed.
///
/// The month of the decision itself is open: only a month that is over can be closed. So what books now,
/// and that is nearly everything, costs no look-up.
pub fn check_open(snapshot: &Snapshot, call: &Call, decision: &Decision) -> Result<(), Stop> {
    for transfer in decision.leaves.iter().flat_map(|leaf| &leaf.transfers) {
        let (book, month) = (&transfer.book, transfer.booking_month);
        if month != call.now.month() && closed(snapshot, book, month)?.is_some() {
            return Err(Reason::MonthClosed.var("book", book).var("month", month).into());
        }
    }
    Ok(())
}

/// Where a cost of a budget year is taken back, or borne late: the year's expense; of a closed year the
/// appropriation's prior-year adjustment (LEDGER.md). A year is closed with its December.
pub fn cost_account(
    snapshot: &Snapshot,
    book: &Book,
    funder_division: &str,
    year: i16,
    call: &Call,
) -> Result<Account, Stop> {
    let december: Month = crate::time::Date::new(year, 12, 1).expect("a year has a December").month();
    if year < call.now.month().year() && closed(snapshot, book, december)?.is_some() {
        return Ok(Account::appropriation(book, funder_division, format!("{year}-prior-year-adjustment")));
    }
    Ok(Account::expense(book, funder_division, year))
}

/// A book up to the end of a month.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trial {
    pub lines: Vec<TrialLine>,
    /// Transfers of the month, posted layer.
    pub transfers: i64,
    /// By channel, what identity 4 says its accounts must come to.
    pub placed_fen: BTreeMap<String, i64>,
}

impl Trial {
    fn place(&mut self, row: &GeneralLedgerRow) {
        if let Some((channel, placed_fen)) = row.placed_fen() {
            *self.placed_fen.entry(channel.to_owned()).or_default() += placed_fen;
        }
    }

    /// By channel, what its accounts come to: the left side of identity 4.
    pub fn at_channels_fen(&self) -> BTreeMap<&str, i64> {
        let mut sums: BTreeMap<&str, i64> = BTreeMap::new();
        for line in &self.lines {
            if let Some((channel, sign)) = line.account.at_channel() {
                let normal = if line.account.kind.normal_side() == Side::Debit { 1 } else { -1 };
                *sums.entry(channel).or_default() += sign * normal * line.closing_fen();
            }
        }
        sums
    }
}

/// The trial balance of a month: what came before is taken from the last close before it, so that it does
/// not depend on how much history there is.
pub fn trial(snapshot: &Snapshot, book: &Book, month: Month) -> Result<Trial, Stop> {
    let last = last_closed(snapshot, book, Some(month))?;
    let (mut opening, mut trial) = (Turnover::default(), Trial::default());
    if let Some(last) = &last {
        let closing = last.trial.0.iter().map(|line| (line.account.clone(), (line.closing_fen(), 0)));
        opening.0.extend(closing);
        trial.placed_fen = last.placed_fen.0.clone();
    }
    let mut gather = Gather::default();
    for before in open_months(last.as_deref(), month) {
        for row in gather.all(snapshot.list::<GeneralLedgerRow>(MONTH, key![book.clone(), before]))? {
            opening.add(&row);
            trial.place(&row);
        }
    }
    let rows = gather.all(snapshot.list::<GeneralLedgerRow>(MONTH, key![book.clone(), month]))?;
    gather.end()?;
    rows.iter().for_each(|row| trial.place(row));
    trial.transfers = rows.iter().map(|row| row.transfers).sum();
    let turnover = Turnover::of(rows.iter().map(|row| &**row));
    let accounts: BTreeSet<&Account> = opening.0.keys().chain(turnover.0.keys()).collect();
    let line = |account: &Account| {
        let (debit_fen, credit_fen) = turnover.0.get(account).copied().unwrap_or_default();
        TrialLine { account: account.clone(), opening_fen: opening.net_debit_fen(account), debit_fen, credit_fen }
    };
    let lines = accounts.into_iter().map(line).filter(|l| (l.opening_fen, l.debit_fen, l.credit_fen) != (0, 0, 0));
    trial.lines = lines.collect();
    Ok(trial)
}

const MONTH: &[&str] = &["book", "booking_month"];

/// The last close of a book: of those before a month, or of all.
pub fn last_closed(snapshot: &Snapshot, book: &Book, before: Option<Month>) -> Result<Option<Arc<CloseRow>>, Stop> {
    let closes = snapshot.list::<CloseRow>(&["book"], key![book.clone()])?;
    let closed = closes.into_iter().filter(|row| row.is_closed() && before.is_none_or(|month| row.month < month));
    Ok(closed.max_by_key(|row| row.month))
}

/// The months between the last close and a month, in their order.
fn open_months(last: Option<&CloseRow>, month: Month) -> impl Iterator<Item = Month> {
    let first = last.map_or_else(|| month.plus(-OLDEST_MONTHS), |last| last.month.plus(1));
    (0..month.months_since(first)).map(move |n| first.plus(n))
}

/// Without a close to begin with, bookings are looked for in the ten years before.
const OLDEST_MONTHS: i32 = 120;

/// Proposes to close a month. The caller is an administrator of the book's region.
///
/// Every condition must hold: `CLOSE_CONDITION_UNMET` names the first that does not.
#[derive(Clone, Debug)]
pub struct ProposeClose {
    pub book: Book,
    pub month: Month,
    /// 1 to 1,000 characters.
    pub reason: String,
}

impl Command for ProposeClose {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        guard::text("reason", &self.reason, 1_000)?;
        let name = CloseRow::name(&self.book, self.month);
        guard::own(call, self.book.region(), "book", &self.book)?;
        let known = snapshot.get::<CloseRow>(key![self.book.clone(), self.month])?;
        if let Some(known) = &known {
            guard::state(known.state, &[CloseState::Declined], "month", &name)?;
        }
        conditions::check(snapshot, call, &self.book, self.month)?;
        let row = CloseRow {
            book: self.book.clone(),
            month: self.month,
            region: self.book.region().clone(),
            state: CloseState::Proposed,
            trial: Json(Vec::new()),
            transfers: 0,
            placed_fen: Json(BTreeMap::new()),
            proposed_by: call.actor.clone(),
            proposal_reason: self.reason.clone(),
            decided_by: None,
            decision_reason: None,
            recorded_at_us: call.now,
            version: known.map_or(1, |row| row.version + 1),
        };
        let mut decision = Decision::new(call);
        decision.leaf("month.close_proposed", &name, row.version).put(&row).tell(&row.region);
        Ok(decision)
    }
}

/// The second person's decision. The conditions are checked again.
#[derive(Clone, Debug)]
pub struct DecideClose {
    pub book: Book,
    pub month: Month,
    pub approve: bool,
    /// 1 to 1,000 characters.
    pub reason: String,
}

impl Command for DecideClose {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        guard::text("reason", &self.reason, 1_000)?;
        let name = CloseRow::name(&self.book, self.month);
        guard::own(call, self.book.region(), "month_close", &name)?;
        let row = snapshot.get::<CloseRow>(key![self.book.clone(), self.month])?;
        let row = guard::found(row, "month_close", &name)?;
        guard::state(row.state, &[CloseState::Proposed], "month_close", &name)?;
        if row.proposed_by == call.actor {
            return Err(Reason::SamePerson.field("month_close").var("name", &call.actor).into());
        }
        let trial = match self.approve {
            true => {
                conditions::check(snapshot, call, &self.book, self.month)?;
                trial(snapshot, &self.book, self.month)?
            }
            false => Trial::default(),
        };
        let row = CloseRow {
            state: if self.approve { CloseState::Closed } else { CloseState::Declined },
            trial: Json(trial.lines),
            transfers: trial.transfers,
            placed_fen: Json(trial.placed_fen),
            decided_by: Some(call.actor.clone()),
            decision_reason: Some(self.reason.clone()),
            recorded_at_us: call.now,
            version: row.version + 1,
            ..(*row).clone()
        };
        let mut decision = Decision::new(call);
        let kind = if self.approve { "month.closed" } else { "month.close_declined" };
        decision.leaf(kind, &name, row.version).put(&row).tell(&row.region);
        Ok(decision)
    }
}
