//! What a run reads. Everything of one stage is asked for before the first miss ends the
//! decision, so that a day loads in a few rounds however many rows it has.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use foldhash::HashSet;

use super::super::booking::{LedgerRow, id_of};
use super::super::breaks;
use super::super::file::LineKind;
use super::super::finding::{self, Finding};
use super::super::matching::FileLine;
use super::super::rows::{AlertRow, AlertState, BreakRow, BreakState, RunRow, RunState};
use super::expire::Expired;
use super::judge::Outcome;
use super::{BillLines, StartRun, bank, books};
use crate::care::bill::BillLineRow;
use crate::decision::Call;
use crate::institution::InstitutionRow;
use crate::key;
use crate::names::Participant;
use crate::payment::{PaymentRow, RefundRow};
use crate::person::PersonRow;
use crate::policy::{self, CalendarPolicy, ChannelPolicy, FeeBearer};
use crate::rejection::Reason;
use crate::snapshot::{Snapshot, Stop};
use crate::subsidy::ClaimRow;
use crate::time::Date;

/// Notes misses and goes on, so that a whole stage is loaded at once.
#[derive(Default)]
pub struct Gather {
    missed: bool,
}

impl Gather {
    pub fn ask<T>(&mut self, answer: Result<T, Stop>) -> Result<Option<T>, Stop> {
        match answer {
            Ok(found) => Ok(Some(found)),
            Err(Stop::Miss) => {
                self.missed = true;
                Ok(None)
            }
            Err(stop) => Err(stop),
        }
    }

    pub fn all<T>(&mut self, answer: Result<Vec<T>, Stop>) -> Result<Vec<T>, Stop> {
        Ok(self.ask(answer)?.unwrap_or_default())
    }

    /// Ends the stage: `Miss` when anything was missing.
    pub fn end(self) -> Result<(), Stop> {
        if self.missed { Err(Stop::Miss) } else { Ok(()) }
    }
}

/// The day as the run sees it.
pub struct Day {
    date: Date,
    pub policy: Arc<ChannelPolicy>,
    pub calendar: Arc<CalendarPolicy>,
    /// How the date's breaks are judged.
    pub terms: breaks::Terms,
    /// First date on which a one-sided row is no longer in grace.
    pub due_on: Date,
    /// This run's number.
    pub number: i64,
    /// Ledger rows of the date and its neighbours, and of orders that lines name, by record.
    pub rows: BTreeMap<String, LedgerRow>,
    pub lines: Vec<FileLine>,
    pub rejected: i64,
    /// Payments that refund lines refer to, by order id.
    pub originals: BTreeMap<String, Arc<PaymentRow>>,
    /// The date's breaks, and the channel's open ones of any date.
    pub breaks: BTreeMap<String, Arc<BreakRow>>,
    /// Regions of institutions that lines name, by unified social credit code.
    pub institutions: BTreeMap<String, Participant>,
    /// Elder → funding district, when the region bears the fees.
    pub funders: BTreeMap<String, String>,
    pub missing_files: i64,
    /// Merchants whose own files are among the missing.
    pub missing_merchants: Vec<String>,
    /// All expected files, whole, nothing set aside.
    pub complete: bool,
    /// Dates whose last run had complete files.
    pub complete_dates: BTreeSet<Date>,
    /// This run's files and those they supersede.
    pub own_files: BTreeSet<String>,
    /// What is found about the date's payments, by name, as they were before this run; of others there is nothing.
    found: BTreeMap<String, Vec<Finding>>,
}

impl Day {
    pub fn load(run: &StartRun, snapshot: &Snapshot, call: &Call) -> Result<Self, Stop> {
        let (channel, date) = (&run.channel, run.clearing_date);
        let dates = [date.plus_days(-1), date, date.plus_days(1)];
        let mut gather = Gather::default();
        let policy = gather.ask(policy::in_force::<ChannelPolicy>(snapshot, channel.code(), date))?;
        let calendar = gather.ask(policy::in_force::<CalendarPolicy>(snapshot, "CN", call.now.date()))?;
        let terms = gather.ask(breaks::Terms::load(snapshot, channel, date))?;
        let (mut payments, mut refunds, mut claims, mut runs) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for d in dates {
            const DATE: &[&str] = &["clearing_date", "channel"];
            let by_date = || key![d, channel.clone()];
            payments.extend(gather.all(snapshot.list::<PaymentRow>(DATE, by_date()))?);
            refunds.extend(gather.all(snapshot.list::<RefundRow>(DATE, by_date()))?);
            claims.extend(gather.all(snapshot.list::<ClaimRow>(DATE, by_date()))?);
            let of_date = snapshot.list::<RunRow>(&["channel", "clearing_date"], key![channel.clone(), d]);
            runs.push((d, gather.all(of_date)?));
        }
        let mut found =
            gather.all(snapshot.list::<BreakRow>(&["channel", "clearing_date"], key![channel.clone(), date]))?;
        for state in BreakState::OPEN {
            found.extend(gather.all(snapshot.list::<BreakRow>(&["state", "channel"], key![state, channel.clone()]))?);
        }
        gather.end()?;
        let terms = terms.expect("gathered");
        let policy = policy.expect("gathered");
        let calendar = calendar.expect("gathered");
        let faultless = run.files.iter().all(|f| f.parsed.rejected.is_empty() && f.parsed.totals_agree());
        let (missing_files, missing_merchants) = policy.lacking(run.files.iter().map(|f| f.merchant_id.as_str()));
        let own = run.files.iter().flat_map(|f| std::iter::once(&f.file).chain(&f.supersedes)).cloned();
        let mut day = Self {
            date,
            due_on: breaks::due_on(&*calendar, date, policy.grace_working_days),
            number: runs[1].1.iter().map(|r| r.number).max().unwrap_or(0) + 1,
            rows: BTreeMap::new(),
            lines: run.files.iter().flat_map(lines_of).collect(),
            rejected: run.files.iter().map(|f| f.parsed.rejected.len() as i64).sum(),
            originals: BTreeMap::new(),
            breaks: found.into_iter().map(|b| (b.break_name.clone(), b)).collect(),
            institutions: BTreeMap::new(),
            funders: BTreeMap::new(),
            missing_files,
            missing_merchants,
            complete: missing_files == 0 && faultless,
            complete_dates: runs.iter().filter(|(_, of_date)| last_complete(of_date)).map(|(d, _)| *d).collect(),
            own_files: own.collect(),
            found: BTreeMap::new(),
            policy,
            calendar,
            terms,
        };
        day.load_named_orders(channel, snapshot, &mut payments, &mut refunds, &mut claims)?;
        day.take_in(snapshot, payments, refunds, claims)?;
        day.load_places(snapshot)?;
        Ok(day)
    }

    /// Judges each payment of the day by itself and asks for what the whole will be judged by: matching and booking a
    /// large day takes long, and is not to be done again for every miss.
    pub fn foresee(&mut self, run: &StartRun, snapshot: &Snapshot, call: &Call) -> Result<(), Stop> {
        let named: HashSet<&str> = self.lines.iter().map(|l| l.line.order_id.as_str()).collect();
        let mut gather = Gather::default();
        let mut books = BTreeSet::new();
        let mut found = BTreeMap::new();
        for row in self.rows.values() {
            let LedgerRow::Payment(payment) = row else { continue };
            if payment.clearing_date == run.clearing_date || named.contains(payment.order_id.as_str()) {
                let findings = gather.all(finding::of_payment(snapshot, payment))?;
                if !findings.is_empty() && payment.clearing_date == run.clearing_date {
                    found.insert(payment.payment.clone(), findings);
                }
                let book = payment.book()?;
                if !books.contains(&book) {
                    books.insert(book);
                }
            }
        }
        books::foresee(run, &books, snapshot, call, &mut gather)?;
        gather.ask(bank::judge(run, self, &[], snapshot, call))?;
        let open = key![AlertState::Open, run.channel.clone()];
        gather.all(snapshot.list::<AlertRow>(&["state", "channel"], open))?;
        gather.end()?;
        self.found = found;
        Ok(())
    }

    /// What is found about a payment, as this run leaves it.
    pub fn findings(&self, snapshot: &Snapshot, payment: &PaymentRow) -> Result<Cow<'_, [Finding]>, Stop> {
        let judged = |p: &PaymentRow| (p.state, p.clearing_date, p.transaction_time_us, p.amount_fen);
        match self.rows.get(&payment.payment) {
            Some(LedgerRow::Payment(before))
                if before.clearing_date == self.date && judged(before) == judged(payment) =>
            {
                Ok(self.found.get(&payment.payment).map_or(&[][..], Vec::as_slice).into())
            }
            _ => Ok(finding::of_payment(snapshot, payment)?.into()),
        }
    }

    /// The files that are missing: the merchant of each, empty where any would do.
    pub fn missing(&self) -> impl Iterator<Item = &str> {
        let named = self.missing_merchants.iter().map(String::as_str);
        named.chain(std::iter::repeat("")).take(self.missing_files as usize)
    }

    /// Orders that lines name and no row of these dates has: they may be of any date.
    fn load_named_orders(
        &mut self,
        channel: &Participant,
        snapshot: &Snapshot,
        payments: &mut Vec<Arc<PaymentRow>>,
        refunds: &mut Vec<Arc<RefundRow>>,
        claims: &mut Vec<Arc<ClaimRow>>,
    ) -> Result<(), Stop> {
        let paid: BTreeMap<String, Arc<PaymentRow>> =
            payments.iter().map(|p| (p.order_id.clone(), p.clone())).collect();
        let refunded: BTreeSet<String> = refunds.iter().map(|r| r.order_id.clone()).collect();
        let claimed: BTreeSet<String> = claims.iter().filter_map(|c| c.order_id.clone()).collect();
        let mut gather = Gather::default();
        for FileLine { line, .. } in &self.lines {
            let by_order = |order: &str| key![order.to_owned(), channel.clone()];
            const ORDER: &[&str] = &["order_id", "channel"];
            match line.kind {
                LineKind::Payment if !paid.contains_key(&line.order_id) => {
                    payments.extend(gather.all(snapshot.list::<PaymentRow>(ORDER, by_order(&line.order_id)))?);
                }
                LineKind::Refund => {
                    if !refunded.contains(&line.order_id) {
                        refunds.extend(gather.all(snapshot.list::<RefundRow>(ORDER, by_order(&line.order_id)))?);
                    }
                    let original = line.original_order_id.as_deref().unwrap_or_default();
                    let known = match paid.get(original) {
                        Some(payment) => Some(payment.clone()),
                        None => gather.all(snapshot.list::<PaymentRow>(ORDER, by_order(original)))?.into_iter().next(),
                    };
                    self.originals.extend(known.map(|payment| (original.to_owned(), payment)));
                }
                LineKind::OperatingSubsidy if !claimed.contains(&line.order_id) => {
                    let by_order = by_order(&line.order_id);
                    claims.extend(gather.all(snapshot.list::<ClaimRow>(ORDER, by_order))?);
                }
                LineKind::Payment | LineKind::OperatingSubsidy => {}
            }
        }
        gather.end()
    }

    fn take_in(
        &mut self,
        snapshot: &Snapshot,
        payments: Vec<Arc<PaymentRow>>,
        refunds: Vec<Arc<RefundRow>>,
        claims: Vec<Arc<ClaimRow>>,
    ) -> Result<(), Stop> {
        let mut gather = Gather::default();
        for refund in refunds {
            let payment = gather.ask(snapshot.get::<PaymentRow>(key![refund.payment.clone()]))?;
            if let Some(Some(payment)) = payment {
                self.rows.insert(refund.refund.clone(), LedgerRow::Refund(refund, payment));
            }
        }
        gather.end()?;
        self.rows.extend(payments.into_iter().map(|p| (p.payment.clone(), LedgerRow::Payment(p))));
        self.rows.extend(claims.into_iter().map(|c| (c.claim.clone(), LedgerRow::Claim(c))));
        Ok(())
    }

    fn load_places(&mut self, snapshot: &Snapshot) -> Result<(), Stop> {
        let mut gather = Gather::default();
        let known: BTreeSet<&str> = self.rows.values().map(|row| id_of(row.institution())).collect();
        let unknown = self.lines.iter().map(|l| l.line.institution.as_str()).filter(|i| !known.contains(i));
        for uscc in unknown.collect::<BTreeSet<_>>() {
            let row = gather.ask(snapshot.get::<InstitutionRow>(key![format!("institutions/{uscc}")]))?;
            if let Some(Some(row)) = row {
                self.institutions.insert(uscc.to_owned(), row.region.clone());
            }
        }
        if self.policy.fee_bearer == FeeBearer::Region {
            let payers = self.rows.values().filter_map(|row| match row {
                LedgerRow::Payment(p) => Some(p.person.clone()),
                LedgerRow::Refund(..) | LedgerRow::Claim(_) => None,
            });
            for person in payers.collect::<BTreeSet<_>>() {
                if let Some(Some(row)) = gather.ask(snapshot.get::<PersonRow>(key![person.clone()]))? {
                    self.funders.insert(person, row.household_division.clone());
                }
            }
        }
        for row in self.rows.values() {
            if let Ok(place) = row.place()
                && let Some(region) = place.institution_region
            {
                self.institutions.insert(id_of(row.institution()).to_owned(), region);
            }
        }
        gather.end()
    }
}

fn lines_of(file: &super::RunFile) -> impl Iterator<Item = FileLine> {
    let name: Arc<str> = file.file.as_str().into();
    file.parsed.lines.iter().map(move |line| FileLine { file: name.clone(), line: line.clone() })
}

fn last_complete(runs: &[Arc<RunRow>]) -> bool {
    let last = runs.iter().max_by_key(|r| r.number);
    last.is_some_and(|r| r.files_complete && r.state != RunState::Incomplete)
}

/// The bill lines that the run moves.
pub fn bill_lines(snapshot: &Snapshot, outcomes: &[Outcome], expired: &[Expired]) -> Result<BillLines, Stop> {
    let mut gather = Gather::default();
    let mut lines = BillLines::new();
    let moves = outcomes.iter().flat_map(|o| &o.plan.bill_moves).chain(expired.iter().map(|e| &e.bill_move));
    for bill_move in moves {
        let (bill, fee_type) = (bill_move.bill.clone(), bill_move.fee_type);
        match gather.ask(snapshot.get::<BillLineRow>(key![bill.clone(), fee_type]))? {
            Some(Some(line)) => drop(lines.insert((bill, fee_type), (*line).clone())),
            Some(None) => return Err(Reason::RecordNotFound.field("bill").var("name", bill).into()),
            None => {}
        }
    }
    gather.end()?;
    Ok(lines)
}
