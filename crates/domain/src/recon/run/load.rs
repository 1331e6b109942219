//! What a run reads: what holds for all of the date ([`Day::load`]), the date's ledger rows one by one ([`Survey`]), and
//! portion by portion the rows of the orders that the files name ([`Day::load_portion`]). Everything of one stage is asked
//! for before the first miss ends the decision, so that each loads in a few rounds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::super::booking::{LedgerRow, Place, id_of};
use super::super::breaks;
use super::super::file::LineKind;
use super::super::matching::{FileLine, Standing};
use super::super::packed::PackedLines;
use super::super::rows::{BreakRow, BreakState, RunRow, RunState};
use super::so_far::Bills;
use super::{RunFile, StartRun};
use crate::care::bill::BillLineRow;
use crate::decision::Call;
use crate::institution::InstitutionRow;
use crate::key;
use crate::ledger::Book;
use crate::names::Participant;
use crate::payment::{PaymentRow, PaymentState, RefundRow};
use crate::person::PersonRow;
use crate::policy::{self, CalendarPolicy, ChannelPolicy, FeeBearer};
use crate::recon::booking::BillMove;
use crate::rejection::Reason;
use crate::row::{Row, StoredFault};
use crate::snapshot::{Load, Snapshot, Stop};
use crate::subsidy::ClaimRow;
use crate::time::Date;
use crate::value::{Column, Value};

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
    pub policy: Arc<ChannelPolicy>,
    pub calendar: Arc<CalendarPolicy>,
    /// How the date's breaks are judged.
    pub terms: breaks::Terms,
    /// First date on which a one-sided row is no longer in grace.
    pub due_on: Date,
    /// This run's number.
    pub number: i64,
    pub rejected: i64,
    /// The date's breaks, and the channel's open ones of any date.
    pub breaks: BTreeMap<String, Arc<BreakRow>>,
    pub missing_files: i64,
    /// Merchants whose own files are among the missing.
    pub missing_merchants: Vec<String>,
    /// All expected files, whole, nothing set aside.
    pub complete: bool,
    /// Dates whose last run had complete files.
    pub complete_dates: BTreeSet<Date>,
    /// This run's files and those they supersede.
    pub own_files: BTreeSet<String>,
    /// Of the portion at hand: lines, and the ledger rows that they name, by record.
    pub lines: Vec<FileLine>,
    pub rows: BTreeMap<String, LedgerRow>,
    /// Elder → funding district, when the region bears the fees.
    pub funders: BTreeMap<String, String>,
    /// Of the last portion: payments that refund lines refer to, by order id.
    pub originals: BTreeMap<String, Arc<PaymentRow>>,
    /// … and regions of institutions that lines name, by unified social credit code.
    pub institutions: BTreeMap<String, Participant>,
}

impl Day {
    pub fn load(run: &StartRun, snapshot: &Snapshot, call: &Call) -> Result<Self, Stop> {
        let (channel, date) = (&run.channel, run.clearing_date);
        let mut gather = Gather::default();
        let policy = gather.ask(policy::in_force::<ChannelPolicy>(snapshot, channel.code(), date))?;
        let calendar = gather.ask(policy::in_force::<CalendarPolicy>(snapshot, "CN", call.now.date()))?;
        let terms = gather.ask(breaks::Terms::load(snapshot, channel, date))?;
        let mut runs = Vec::new();
        for d in around(date) {
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
        Ok(Self {
            due_on: breaks::due_on(&*calendar, date, policy.grace_working_days),
            number: runs[1].1.iter().map(|r| r.number).max().unwrap_or(0) + 1,
            rejected: run.files.iter().map(|f| f.parsed.rejected.len() as i64).sum(),
            breaks: found.into_iter().map(|b| (b.break_name.clone(), b)).collect(),
            missing_files,
            missing_merchants,
            complete: missing_files == 0 && faultless,
            complete_dates: runs.iter().filter(|(_, of_date)| last_complete(of_date)).map(|(d, _)| *d).collect(),
            own_files: own.collect(),
            lines: Vec::new(),
            rows: BTreeMap::new(),
            funders: BTreeMap::new(),
            originals: BTreeMap::new(),
            institutions: BTreeMap::new(),
            policy,
            calendar,
            terms,
        })
    }

    /// The files that are missing: the merchant of each, empty where any would do.
    pub fn missing(&self) -> impl Iterator<Item = &str> {
        let named = self.missing_merchants.iter().map(String::as_str);
        named.chain(std::iter::repeat("")).take(self.missing_files as usize)
    }

    /// The ledger rows that these lines name, of whatever date, the payments of `orders`, and `others` that are here already.
    pub fn load_portion(
        &mut self,
        channel: &Participant,
        lines: Vec<FileLine>,
        orders: &[String],
        others: Vec<LedgerRow>,
        snapshot: &Snapshot,
    ) -> Result<(), Stop> {
        let mut gather = Gather::default();
        let named = lines.iter().map(|FileLine { line, .. }| (line.kind, line.order_id.as_str()));
        let NamedRows { mut payments, refunds, claims } = NamedRows::of_lines(channel, named, snapshot, &mut gather)?;
        for order in orders {
            // By their orders, not their names: what is read by name is locked, and most of it is not written.
            payments.extend(gather.all(snapshot.list::<PaymentRow>(ORDER, key![order.clone(), channel.clone()]))?);
        }
        gather.end()?;
        let mut rows: Vec<LedgerRow> = payments.into_iter().map(LedgerRow::Payment).collect();
        rows.extend(with_payments(snapshot, refunds)?);
        rows.extend(claims.into_iter().map(LedgerRow::Claim));
        rows.extend(others);
        self.load_funders(&rows, snapshot)?;
        self.lines = lines;
        self.rows = rows.into_iter().map(|row| (row.record().to_owned(), row)).collect();
        Ok(())
    }

    fn load_funders(&mut self, rows: &[LedgerRow], snapshot: &Snapshot) -> Result<(), Stop> {
        if self.policy.fee_bearer != FeeBearer::Region {
            return Ok(());
        }
        let mut gather = Gather::default();
        let payers = rows.iter().filter_map(|row| match row {
            LedgerRow::Payment(p) => Some(p.person.clone()),
            LedgerRow::Refund(..) | LedgerRow::Claim(_) => None,
        });
        let mut funders = BTreeMap::new();
        for person in payers.collect::<BTreeSet<_>>() {
            if let Some(Some(row)) = gather.ask(snapshot.get::<PersonRow>(key![person.clone()]))? {
                funders.insert(person, row.household_division.clone());
            }
        }
        gather.end()?;
        self.funders = funders;
        Ok(())
    }

    /// What lines are judged by that belong to no ledger row.
    pub fn load_places(&mut self, channel: &Participant, survey: &Survey, snapshot: &Snapshot) -> Result<(), Stop> {
        let known = survey.institutions.iter().map(|(uscc, (_, region))| (uscc.clone(), region.clone()));
        let mut institutions: BTreeMap<String, Participant> = known.collect();
        for row in self.rows.values() {
            if let Ok(Place { institution_region: Some(region), .. }) = row.place() {
                institutions.insert(id_of(row.institution()).to_owned(), region);
            }
        }
        let mut gather = Gather::default();
        let unknown = self.lines.iter().map(|l| &l.line.institution).filter(|i| !institutions.contains_key(*i));
        for uscc in unknown.cloned().collect::<BTreeSet<_>>() {
            let row = gather.ask(snapshot.get::<InstitutionRow>(key![format!("institutions/{uscc}")]))?;
            institutions.extend(row.flatten().map(|row| (uscc, row.region.clone())));
        }
        let mut originals = BTreeMap::new();
        for original in self.lines.iter().filter_map(|l| l.line.original_order_id.as_ref()) {
            let by_order = key![original.clone(), channel.clone()];
            let known = gather.all(snapshot.list::<PaymentRow>(ORDER, by_order))?.into_iter().next();
            originals.extend(known.map(|payment| (original.clone(), payment)));
        }
        gather.end()?;
        (self.institutions, self.originals) = (institutions, originals);
        Ok(())
    }
}

/// The ledger rows that lines name.
#[derive(Default)]
struct NamedRows {
    payments: Vec<Arc<PaymentRow>>,
    refunds: Vec<Arc<RefundRow>>,
    claims: Vec<Arc<ClaimRow>>,
}

impl NamedRows {
    /// As far as they are loaded.
    fn of_lines<'l>(
        channel: &Participant,
        lines: impl Iterator<Item = (LineKind, &'l str)>,
        snapshot: &Snapshot,
        gather: &mut Gather,
    ) -> Result<Self, Stop> {
        let mut named = Self::default();
        for (kind, order) in lines {
            let by_order = key![order.to_owned(), channel.clone()];
            match kind {
                LineKind::Payment => named.payments.extend(gather.all(snapshot.list(ORDER, by_order))?),
                LineKind::Refund => named.refunds.extend(gather.all(snapshot.list(ORDER, by_order))?),
                LineKind::OperatingSubsidy => named.claims.extend(gather.all(snapshot.list(ORDER, by_order))?),
            }
        }
        Ok(named)
    }
}

/// What [`Day::load_portion`] will ask for first of a portion with such lines.
pub fn ahead<'l>(channel: &Participant, lines: impl Iterator<Item = (LineKind, &'l str)>) -> Vec<Load> {
    let nothing = Snapshot::default();
    // It misses all.
    let _ = NamedRows::of_lines(channel, lines, &nothing, &mut Gather::default());
    nothing.take_misses()
}

const DATE: &[&str] = &["clearing_date", "channel"];
const ORDER: &[&str] = &["order_id", "channel"];

/// A date and its neighbours.
fn around(date: Date) -> [Date; 3] {
    [date.plus_days(-1), date, date.plus_days(1)]
}

fn with_payments(snapshot: &Snapshot, refunds: Vec<Arc<RefundRow>>) -> Result<Vec<LedgerRow>, Stop> {
    let mut gather = Gather::default();
    let mut rows = Vec::with_capacity(refunds.len());
    for refund in refunds {
        let payment = gather.ask(snapshot.get::<PaymentRow>(key![refund.payment.clone()]))?;
        rows.extend(payment.flatten().map(|payment| LedgerRow::Refund(refund, payment)));
    }
    gather.end()?;
    Ok(rows)
}

/// The lines of a run's files, by order id.
#[derive(Default)]
pub struct Lines<'a> {
    files: &'a [RunFile],
    names: Vec<Arc<str>>,
    /// File and line.
    sorted: Vec<(u32, u32)>,
}

impl<'a> Lines<'a> {
    pub fn of(files: &'a [RunFile]) -> Self {
        let names = files.iter().map(|file| file.file.as_str().into()).collect();
        let mut lines = Self { files, names, sorted: Vec::new() };
        let mut sorted = Vec::with_capacity(files.iter().map(|file| file.parsed.lines.len()).sum());
        for (n, file) in (0..).zip(files) {
            sorted.extend((0..file.parsed.lines.len() as u32).map(|line| (n, line)));
        }
        sorted.sort_unstable_by(|a, b| (lines.order(*a), a).cmp(&(lines.order(*b), b)));
        lines.sorted = sorted;
        lines
    }

    fn of_file(&self, file: u32) -> &'a PackedLines {
        &self.files[file as usize].parsed.lines
    }

    fn order(&self, (file, line): (u32, u32)) -> &'a str {
        self.of_file(file).get(line as usize).order_id
    }

    /// Whether a line of this kind names the order.
    pub fn has_order(&self, kind: LineKind, order: &str) -> bool {
        let from = self.sorted.partition_point(|at| self.order(*at) < order);
        self.sorted[from..]
            .iter()
            .take_while(|at| self.order(**at) == order)
            .any(|at| self.of_file(at.0).get(at.1 as usize).kind == kind)
    }

    pub fn len(&self) -> usize {
        self.sorted.len()
    }

    /// Where a portion ends that begins there: after so many lines, and with all those of an order.
    pub fn end_of_portion(&self, from: usize, lines: usize) -> usize {
        let Some(last) = self.sorted.get(from.saturating_add(lines.max(1)) - 1) else { return self.len() };
        let order = self.order(*last);
        from + self.sorted[from..].partition_point(|at| self.order(*at) <= order)
    }

    /// What these lines are of, and the orders that they name.
    pub fn kinds_and_orders(&self, lines: std::ops::Range<usize>) -> impl Iterator<Item = (LineKind, &'a str)> {
        let line = |(file, line): &(u32, u32)| {
            let seen = self.of_file(*file).get(*line as usize);
            (seen.kind, seen.order_id)
        };
        self.sorted[lines].iter().map(line)
    }

    pub fn portion(&self, lines: std::ops::Range<usize>) -> impl Iterator<Item = FileLine> {
        let line = |(file, line): &(u32, u32)| FileLine {
            file: self.names[*file as usize].clone(),
            line: self.of_file(*file).unpack(*line as usize).into(),
        };
        self.sorted[lines].iter().map(line)
    }
}

/// What the survey needs of a payment: few of its columns, and none of those that are large.
pub struct Glance {
    payment: String,
    merchant_id: String,
    order_id: String,
    institution: String,
    institution_region: Participant,
    region: Participant,
    programme: String,
    amount_fen: i64,
    state: PaymentState,
    clearing_date: Date,
    authorised_on: Date,
}

impl Glance {
    pub const COLUMNS: &[&str] = &[
        "payment",
        "merchant_id",
        "order_id",
        "institution",
        "institution_region",
        "region",
        "programme",
        "amount_fen",
        "state",
        "clearing_date",
        "authorised_on",
    ];

    /// Of the values of [`Self::COLUMNS`].
    pub fn of(values: Vec<Value>) -> Result<Self, StoredFault> {
        let mut values = Self::COLUMNS.iter().zip(values);
        Ok(Self {
            payment: take(&mut values, "payment")?,
            merchant_id: take(&mut values, "merchant_id")?,
            order_id: take(&mut values, "order_id")?,
            institution: take(&mut values, "institution")?,
            institution_region: take(&mut values, "institution_region")?,
            region: take(&mut values, "region")?,
            programme: take(&mut values, "programme")?,
            amount_fen: take(&mut values, "amount_fen")?,
            state: take(&mut values, "state")?,
            clearing_date: take(&mut values, "clearing_date")?,
            authorised_on: take(&mut values, "authorised_on")?,
        })
    }
}

fn take<T: Column>(
    values: &mut dyn Iterator<Item = (&&'static str, Value)>,
    column: &'static str,
) -> Result<T, StoredFault> {
    let (shown, value) = values.next().expect("a value for each column asked for");
    debug_assert_eq!(*shown, column);
    T::from_value(value).map_err(|problem| StoredFault { table: PaymentRow::spec().name, column, problem })
}

/// The ledger's rows of a date and its neighbours, as they come by: where they place rows that nobody knows, what of them
/// is reserved, and the few that no line names.
#[derive(Default)]
pub struct Survey {
    /// By merchant, and by institution, how many rows each book has.
    pub by_merchant: BTreeMap<String, BTreeMap<Book, i64>>,
    pub by_institution: BTreeMap<String, BTreeMap<Book, i64>>,
    /// Regions of institutions, by unified social credit code; of several the one of the record that is last by name,
    /// whatever order rows come in.
    institutions: BTreeMap<String, (String, Participant)>,
    /// By book, what is reserved on the date.
    pub reserved_fen: BTreeMap<Book, i64>,
    /// Rows that no line names and that something may become of: payments by their orders, and the others.
    pub unnamed_orders: Vec<String>,
    pub unnamed: Vec<LedgerRow>,
}

impl Survey {
    /// The rows to be seen.
    pub fn loads(run: &StartRun) -> Vec<Load> {
        let of_date = |date| Load {
            spec: PaymentRow::spec(),
            columns: PaymentRow::spec().indexes.iter().find(|ix| **ix == DATE).expect("an index of the table"),
            values: key![date, run.channel.clone()],
        };
        around(run.clearing_date).map(of_date).to_vec()
    }

    pub fn see(&mut self, payment: &Glance, run: &StartRun, lines: &Lines) {
        let date = run.clearing_date;
        let is_reserved = payment.state == PaymentState::Reserved;
        let may_expire = is_reserved && payment.authorised_on <= date;
        if let Ok(book) = Book::new(payment.region.clone(), &payment.programme) {
            if is_reserved && payment.authorised_on == date {
                *self.reserved_fen.entry(book.clone()).or_default() += payment.amount_fen;
            }
            let region = Some(&payment.institution_region);
            self.count(&payment.payment, &payment.merchant_id, &payment.institution, &book, region);
        }
        let is_of_date = payment.clearing_date == date && payment.state.standing() != Standing::Gone;
        if (is_of_date || may_expire) && !lines.has_order(LineKind::Payment, &payment.order_id) {
            self.unnamed_orders.push(payment.order_id.clone());
        }
    }

    fn count(&mut self, record: &str, merchant: &str, institution: &str, book: &Book, region: Option<&Participant>) {
        let count = |rows: &mut BTreeMap<String, BTreeMap<Book, i64>>, name: &str| {
            let books = match rows.get_mut(name) {
                Some(books) => books,
                None => rows.entry(name.to_owned()).or_default(),
            };
            match books.get_mut(book) {
                Some(count) => *count += 1,
                None => drop(books.insert(book.clone(), 1)),
            }
        };
        if !merchant.is_empty() {
            count(&mut self.by_merchant, merchant);
        }
        let institution = id_of(institution);
        count(&mut self.by_institution, institution);
        let Some(region) = region else { return };
        match self.institutions.get_mut(institution) {
            Some((known, _)) if known.as_str() >= record => {}
            Some(known) => *known = (record.to_owned(), region.clone()),
            None => drop(self.institutions.insert(institution.to_owned(), (record.to_owned(), region.clone()))),
        }
    }

    /// Refunds and claims: few, beside payments.
    pub fn end(&mut self, run: &StartRun, lines: &Lines, snapshot: &Snapshot) -> Result<(), Stop> {
        let (channel, date) = (&run.channel, run.clearing_date);
        let mut gather = Gather::default();
        let (mut refunds, mut claims) = (Vec::new(), Vec::new());
        for d in around(date) {
            refunds.extend(gather.all(snapshot.list::<RefundRow>(DATE, key![d, channel.clone()]))?);
            claims.extend(gather.all(snapshot.list::<ClaimRow>(DATE, key![d, channel.clone()]))?);
        }
        gather.end()?;
        let refunds = with_payments(snapshot, refunds)?;
        for row in refunds.into_iter().chain(claims.into_iter().map(LedgerRow::Claim)) {
            if let Ok(place) = row.place() {
                let region = place.institution_region.as_ref();
                self.count(row.record(), row.merchant_id(), row.institution(), &place.book, region);
            }
            let key = row.key();
            if row.clearing_date(date) == date && !lines.has_order(key.kind, &key.order_id) {
                self.unnamed.push(row);
            }
        }
        Ok(())
    }
}

fn last_complete(runs: &[Arc<RunRow>]) -> bool {
    let last = runs.iter().max_by_key(|r| r.number);
    last.is_some_and(|r| r.files_complete && r.state != RunState::Incomplete)
}

/// Asks for bill lines that moves are of.
pub fn bill_lines<'m>(
    snapshot: &Snapshot,
    moves: impl Iterator<Item = &'m BillMove>,
    bills: &mut Bills,
) -> Result<(), Stop> {
    let mut gather = Gather::default();
    for bill_move in moves {
        if bills.knows(bill_move) {
            continue;
        }
        let key = key![bill_move.bill.clone(), bill_move.fee_type];
        match gather.ask(snapshot.get::<BillLineRow>(key))? {
            Some(Some(line)) => bills.know((*line).clone()),
            Some(None) => return Err(Reason::RecordNotFound.field("bill").var("name", &bill_move.bill).into()),
            None => {}
        }
    }
    gather.end()
}
