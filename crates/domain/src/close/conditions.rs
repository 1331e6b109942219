//! What must hold before a month can be closed.

use std::collections::BTreeSet;

use super::{MONTH, last_closed, open_months};
use crate::decision::Call;
use crate::key;
use crate::ledger::{Account, AccountKind, AccountRow, Book, GeneralLedgerRow};
use crate::names::Participant;
use crate::policy::{self, AccountingPolicy, ChannelPolicy, PolicyKind, PolicyRow};
use crate::recon::run::Gather;
use crate::recon::{AlertRow, AlertState, BreakRow, BreakState, RunRow, RunState, ViewRow, ViewState};
use crate::rejection::Reason;
use crate::settlement::{CycleRow, StatementRow, StatementState};
use crate::snapshot::{Snapshot, Stop};
use crate::text_enum;
use crate::time::{Date, Month};

text_enum! {
    /// In the order in which they are checked.
    pub enum CloseCondition {
        /// The month is over, and the policy's day of the next one has come.
        MonthOver = "MONTH_OVER",
        /// Every month before in which anything was booked is closed.
        MonthBefore = "MONTH_BEFORE",
        /// Every day of every channel with money in the book has a run that is not incomplete.
        DaysRun = "DAYS_RUN",
        /// No view of these runs is disputed.
        NotDisputed = "NOT_DISPUTED",
        /// No break of the month is open above the policy's amount, nor any of the book's that a region's book has no room for.
        NoOpenBreak = "NO_OPEN_BREAK",
        /// All that files stated is in statements, and those of cycles that began by then are settled or carried.
        Settled = "SETTLED",
    }
}

struct Check<'a> {
    snapshot: &'a Snapshot,
    call: &'a Call,
    book: &'a Book,
    month: Month,
    policy: std::sync::Arc<AccountingPolicy>,
}

/// `CLOSE_CONDITION_UNMET` with the first condition that is not met.
pub fn check(snapshot: &Snapshot, call: &Call, book: &Book, month: Month) -> Result<(), Stop> {
    let policy = AccountingPolicy::of_book(snapshot, book, call.now.date())?;
    let check = Check { snapshot, call, book, month, policy };
    check.month_over()?;
    check.month_before()?;
    let channels = check.channels()?;
    check.runs(&channels)?;
    check.breaks(&channels)?;
    check.statements(&channels)
}

impl Check<'_> {
    fn unmet<T>(&self, condition: CloseCondition, detail: impl std::fmt::Display) -> Result<T, Stop> {
        let refused = Reason::CloseConditionUnmet.field("month").var("book", self.book).var("month", self.month);
        Err(refused.var("condition", condition).var("detail", detail).into())
    }

    fn month_over(&self) -> Result<(), Stop> {
        let from = self.month.plus(1).first_day().plus_days(self.policy.close_from_day - 1);
        if self.call.now.date() < from { self.unmet(CloseCondition::MonthOver, from) } else { Ok(()) }
    }

    fn month_before(&self) -> Result<(), Stop> {
        let last = last_closed(self.snapshot, self.book, Some(self.month))?;
        let mut gather = Gather::default();
        let mut open = None;
        for month in open_months(last.as_deref(), self.month) {
            let booked = self.snapshot.list::<GeneralLedgerRow>(MONTH, key![self.book.clone(), month]);
            if !gather.all(booked)?.is_empty() {
                open.get_or_insert(month);
            }
        }
        gather.end()?;
        match open {
            Some(month) => self.unmet(CloseCondition::MonthBefore, month),
            None => Ok(()),
        }
    }

    /// Channels with money in the book that month.
    fn channels(&self) -> Result<BTreeSet<Participant>, Stop> {
        let rows = self.snapshot.list::<GeneralLedgerRow>(MONTH, key![self.book.clone(), self.month])?;
        let accounts = rows.iter().flat_map(|row| [&row.debit, &row.credit]);
        let codes = accounts.filter(|a| matches!(a.kind, AccountKind::Clearing | AccountKind::Payable));
        let codes = codes.filter_map(|a| a.at_channel().map(|(code, _)| format!("channels/{code}")));
        Ok(codes.filter_map(|name| name.parse().ok()).collect())
    }

    fn days(&self) -> impl Iterator<Item = Date> + use<> {
        let first = self.month.first_day();
        (0..=self.month.last_day().days_since(first)).map(move |n| first.plus_days(n))
    }

    fn runs(&self, channels: &BTreeSet<Participant>) -> Result<(), Stop> {
        let mut gather = Gather::default();
        let mut last_runs = Vec::new();
        let mut lacking = Vec::new();
        for channel in channels {
            for date in self.days() {
                let runs = self.snapshot.list::<RunRow>(&["channel", "clearing_date"], key![channel.clone(), date]);
                let runs = gather.all(runs)?;
                let clearing = Account::clearing(self.book, channel, date);
                let is_used = gather.ask(self.snapshot.get::<AccountRow>(key![clearing]))?.flatten().is_some();
                match runs.into_iter().max_by_key(|run| run.number) {
                    Some(run) if run.state == RunState::Incomplete => lacking.push(run.run.clone()),
                    Some(run) => last_runs.push(run),
                    None if is_used || self.policy.every_day => lacking.push(format!("{channel} {date}")),
                    None => {}
                }
            }
        }
        gather.end()?;
        if let Some(lacking) = lacking.first() {
            return self.unmet(CloseCondition::DaysRun, lacking);
        }
        let mut gather = Gather::default();
        let mut disputed = None;
        for run in last_runs {
            let views = gather.all(self.snapshot.list::<ViewRow>(&["run"], key![run.run.clone()]))?;
            let view = views.iter().find(|view| view.state == ViewState::Disputed);
            disputed = disputed.or_else(|| view.map(|view| format!("{} {}", view.run, view.participant)));
        }
        gather.end()?;
        match disputed {
            Some(view) => self.unmet(CloseCondition::NotDisputed, view),
            None => Ok(()),
        }
    }

    fn breaks(&self, channels: &BTreeSet<Participant>) -> Result<(), Stop> {
        let stating = self.stating()?;
        let mut gather = Gather::default();
        let (mut open, mut alerts) = (Vec::new(), Vec::new());
        for channel in channels.union(&stating) {
            for state in BreakState::OPEN {
                let of_state = key![state, channel.clone()];
                open.extend(gather.all(self.snapshot.list::<BreakRow>(&["state", "channel"], of_state))?);
            }
            let of_state = key![AlertState::Open, channel.clone()];
            alerts.extend(gather.all(self.snapshot.list::<AlertRow>(&["state", "channel"], of_state))?);
        }
        gather.end()?;
        let is_ours = |row: &BreakRow| {
            row.region.as_ref().is_none_or(|region| region == self.book.region())
                && row.programme.as_deref().is_none_or(|programme| programme == self.book.programme())
        };
        let keeps_open = |row: &&std::sync::Arc<BreakRow>| {
            row.clearing_date <= self.month.last_day()
                && row.amount_fen > self.policy.most_open_break_fen
                && is_ours(row)
        };
        // What would be such a break, if a region's book had not so many.
        let is_beyond = |alert: &&std::sync::Arc<AlertRow>| {
            alert.clearing_date <= self.month.last_day()
                && alert.most_unopened_of(self.book) > self.policy.most_open_break_fen
        };
        let beyond = alerts.iter().find(is_beyond).map(|alert| &alert.alert);
        match open.iter().find(keeps_open).map(|row| &row.break_name).or(beyond) {
            Some(name) => self.unmet(CloseCondition::NoOpenBreak, name),
            None => Ok(()),
        }
    }

    /// Channels that deliver statements of the book's bank accounts.
    fn stating(&self) -> Result<BTreeSet<Participant>, Stop> {
        let policies = self.snapshot.list::<PolicyRow>(&["kind"], key![PolicyKind::Channel])?;
        let codes: BTreeSet<&str> = policies.iter().map(|row| row.scope.as_str()).collect();
        let mut gather = Gather::default();
        let mut stating = BTreeSet::new();
        for code in codes {
            let terms = policy::find::<ChannelPolicy>(self.snapshot, code, self.month.last_day());
            let terms = gather.ask(terms)?.flatten();
            if terms.is_some_and(|terms| terms.bank_accounts.iter().any(|bank| bank.books.contains(self.book))) {
                stating.extend(format!("channels/{code}").parse::<Participant>().ok());
            }
        }
        gather.end()?;
        Ok(stating)
    }

    fn statements(&self, channels: &BTreeSet<Participant>) -> Result<(), Stop> {
        let mut gather = Gather::default();
        let mut unsettled = None;
        let payable = self.snapshot.list::<GeneralLedgerRow>(MONTH, key![self.book.clone(), self.month])?;
        for channel in channels {
            let open = key![channel.clone(), StatementState::Open];
            let open = gather.all(self.snapshot.list::<StatementRow>(&["channel", "state"], open))?;
            // A cycle that ends in a later month has this one's rows too.
            let unpaid = open.iter().find(|s| s.account.book == *self.book && s.from_date <= self.month.last_day());
            unsettled = unsettled.or_else(|| unpaid.map(|s| s.statement.clone()));
            // What the month's files stated must be in statements.
            let is_stated = |row: &GeneralLedgerRow| {
                let touches = [&row.debit, &row.credit]
                    .into_iter()
                    .any(|a| a.kind == AccountKind::Payable && a.b == channel.code());
                touches && !row.entry.is_operating_subsidy()
            };
            if payable.iter().any(|row| is_stated(row)) {
                let cycle = gather.ask(self.snapshot.get::<CycleRow>(key![channel.clone()]))?.flatten();
                let until = self.until(channel, &mut gather)?;
                if cycle.is_none_or(|cycle| cycle.clearing_date < until) {
                    unsettled = unsettled.or_else(|| Some(format!("{channel} {until}")));
                }
            }
        }
        gather.end()?;
        match unsettled {
            Some(what) => self.unmet(CloseCondition::Settled, what),
            None => Ok(()),
        }
    }

    /// The month's last clearing date with a run of the channel.
    fn until(&self, channel: &Participant, gather: &mut Gather) -> Result<Date, Stop> {
        let mut until = self.month.first_day();
        for date in self.days() {
            let runs = self.snapshot.list::<RunRow>(&["channel", "clearing_date"], key![channel.clone(), date]);
            if !gather.all(runs)?.is_empty() {
                until = until.max(date);
            }
        }
        Ok(until)
    }
}
