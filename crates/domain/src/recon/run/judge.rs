//! Judging units against what earlier runs have booked and opened.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::super::booking::{self, BookingTerms, LedgerRow, Place, Plan};
use super::super::breaks;
use super::super::file::LineKind;
use super::super::finding;
use super::super::matching::{FileLine, Joined, MatchRule, Matched, Standing, Terms, Unit, UnitKey, join, match_rows};
use super::super::rows::{BreakCategory, BreakClass, BreakRow, BreakStep, FieldDifference, Resolution};
use super::super::stake::{Stake, StakeKind};
use super::corrected::{self, Corrected};
use super::load::{Day, Gather, Survey};
use super::so_far::SoFar;
use super::{StartRun, regions};
use crate::decision::Call;
use crate::key;
use crate::ledger::{Book, Transfer};
use crate::names::Participant;
use crate::payment::PaymentRow;
use crate::snapshot::{Snapshot, Stop};
use crate::value::Json;

/// A break that the run writes, with entries that take back what it had in suspense.
#[derive(Clone, Debug)]
pub struct BreakChange {
    pub row: BreakRow,
    pub take_back: Vec<Transfer>,
}

/// A unit, what it books, and what becomes of its break.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub unit: Unit,
    /// The rows behind the unit's entries, in their order.
    pub rows: Vec<LedgerRow>,
    pub place: Option<Place>,
    /// Its difference now; `None` when matched or resolved.
    pub class: Option<BreakClass>,
    pub plan: Plan,
    /// The unit's break after this run, changed or not.
    pub break_name: Option<String>,
    /// Few units have one, and it is large.
    pub change: Option<Box<BreakChange>>,
    pub unbooked: bool,
}

/// How a portion of the day is judged.
pub enum Portion<'a> {
    /// What its end-to-end keys join.
    Joined,
    /// All of it, with what the portions before it left over.
    Last(&'a Places),
}

/// A portion, judged.
#[derive(Default)]
pub struct Judged {
    pub outcomes: Vec<Outcome>,
    /// What is left for the last portion.
    pub rows: Vec<LedgerRow>,
    pub lines: Vec<FileLine>,
}

/// Matches the portion at hand and judges its units.
pub fn units(run: &StartRun, day: &Day, portion: &Portion, snapshot: &Snapshot, call: &Call) -> Result<Judged, Stop> {
    let terms = super::terms(run, day, call);
    let settling = settling_breaks(day);
    let settled_by = |line: &FileLine| {
        // Usually there are none, and no line's name need be computed.
        let name = || breaks::difference_name(&run.channel, run.clearing_date, &line.key().text());
        if settling.is_empty() { None } else { settling.get(name().as_str()).copied() }
    };
    let (mut settled, open): (Vec<FileLine>, Vec<FileLine>) =
        day.lines.iter().cloned().partition(|line| settled_by(line).is_some());
    let ours = |row: &str| row.split_once('#').is_some_and(|(file, _)| day.own_files.contains(file));
    let entries = day.rows.values().map(|row| row.entry(run.clearing_date, ours)).collect();
    let mut judged = Judged::default();
    let (units, places) = match portion {
        Portion::Joined => {
            let Joined { units, entries, lines } = join(entries, open, &terms);
            judged.rows = entries.iter().map(|entry| day.rows[&entry.record].clone()).collect();
            judged.lines = lines;
            judged.lines.append(&mut settled);
            (units, None)
        }
        Portion::Last(places) => (match_rows(entries, open, &terms), Some(*places)),
    };
    let judge = Judge { run, day, terms: &terms, call, places };
    let mut gather = Gather::default();
    judged.outcomes.reserve(units.len());
    for unit in units {
        judged.outcomes.extend(gather.ask(judge.unit(unit, snapshot))?);
    }
    gather.end()?;
    let mut by_key: BTreeMap<UnitKey, Vec<FileLine>> = BTreeMap::new();
    for line in settled {
        by_key.entry(line.key()).or_default().push(line);
    }
    for lines in by_key.into_values() {
        let broken = settled_by(&lines[0]).map(|b| b.break_name.clone());
        judged.outcomes.push(judge.settled(lines, broken));
    }
    judged.outcomes.sort_by(|a, b| a.unit.order(&b.unit));
    Ok(judged)
}

/// Breaks that have settled a line for good, by name: it takes no further part in matching.
fn settling_breaks(day: &Day) -> BTreeMap<&str, &BreakRow> {
    let settling = |b: &&Arc<BreakRow>| {
        let unknown = b.stakes.0.iter().any(|s| s.row.is_some() && s.kind != StakeKind::FeeOfRow);
        let by_money = b.resolution.is_some_and(Resolution::moves_money);
        !b.is_open() && by_money && unknown && b.rule == MatchRule::None.as_str()
    };
    day.breaks.values().filter(settling).map(|b| (b.break_name.as_str(), &**b)).collect()
}

impl Resolution {
    /// Whether it books entries.
    pub const fn moves_money(self) -> bool {
        match self {
            Self::Accept | Self::Repay | Self::Release | Self::InstitutionBears | Self::WriteOff => true,
            Self::CorrectRecord | Self::Justified | Self::Cleared => false,
        }
    }
}

struct Judge<'a> {
    run: &'a StartRun,
    day: &'a Day,
    terms: &'a Terms,
    call: &'a Call,
    /// Where lines go that no ledger row explains: there are none among what is joined.
    places: Option<&'a Places>,
}

impl Judge<'_> {
    fn unit(&self, unit: Unit, snapshot: &Snapshot) -> Result<Outcome, Stop> {
        let rows: Vec<LedgerRow> = unit.entries.iter().map(|e| self.day.rows[&e.record].clone()).collect();
        let place = match rows.first() {
            Some(row) => Some(row.place()?),
            // A line without money and without a row concerns nobody.
            None => unit.money_lines().next().and_then(|line| self.place_of(line)),
        };
        let existing = self.existing(&unit, snapshot)?;
        if let Some(place) = &place
            && let Some(corrected) =
                corrected::unit(self.run, &unit, &rows, place, existing.as_deref(), &self.booking_terms())
        {
            return Ok(self.corrected(corrected, rows, place.clone(), existing.as_deref()));
        }
        let mut outcome = Outcome {
            class: existing.as_ref().filter(|b| b.is_open()).map(|b| b.class),
            break_name: existing.as_ref().map(|b| b.break_name.clone()),
            unit,
            rows,
            place,
            plan: Plan::default(),
            change: None,
            unbooked: false,
        };
        if let Some(known) = existing.as_deref().filter(|b| b.is_open())
            && self.restate_further_rows(&mut outcome, known)
        {
            return Ok(outcome);
        }
        if self.is_known(&outcome.unit, existing.as_deref()) {
            return Ok(outcome);
        }
        Ok(self.fresh(outcome, existing.as_deref()))
    }

    fn place_of(&self, line: &FileLine) -> Option<Place> {
        self.places.and_then(|places| places.of_line(line, self.day))
    }

    /// A unit of which a corrected file says something else.
    fn corrected(
        &self,
        corrected: Corrected,
        rows: Vec<LedgerRow>,
        place: Place,
        existing: Option<&BreakRow>,
    ) -> Outcome {
        let Corrected { unit, plan } = corrected;
        let mut outcome = Outcome {
            class: unit.difference,
            break_name: existing.map(|b| b.break_name.clone()),
            unit,
            rows,
            place: Some(place),
            plan,
            change: None,
            unbooked: false,
        };
        // What further rows of the replaced file put into suspense, it has no more.
        let open = existing.filter(|b| b.is_open()).map_or(&[][..], |b| &b.stakes.0);
        let further: Vec<Stake> = open.iter().filter(|s| s.row.is_some()).cloned().collect();
        let take_back = booking::take_back(&further, &self.run.channel, self.call.now.month());
        outcome.change = self.change(&outcome, existing, Vec::new(), take_back);
        self.named(outcome)
    }

    /// A matched unit whose further rows were in a file that this run's replaces, and are others now, or none: what they
    /// put into suspense is taken back, and what there is now put there. `false`: it is as it was.
    fn restate_further_rows(&self, outcome: &mut Outcome, known: &BreakRow) -> bool {
        let is_replaced = |stake: &Stake| {
            let file = stake.row.as_deref().and_then(|row| row.split_once('#')).map(|(file, _)| file);
            file.is_some_and(|of| self.day.own_files.contains(of) && self.run.files.iter().all(|f| f.file != of))
        };
        let matched = outcome.unit.entries.first().map(|e| e.matched);
        let (further, kept): (Vec<Stake>, Vec<Stake>) = known.stakes.0.iter().cloned().partition(|s| s.row.is_some());
        let (Some(place), Some(Matched::Here)) = (&outcome.place, matched) else { return false };
        if !further.iter().any(is_replaced) {
            return false;
        }
        let plan = booking::plan(&outcome.unit, &outcome.rows, place, 0, &self.booking_terms());
        if same_stakes(&further, &plan.stakes) {
            return false;
        }
        outcome.class = outcome.unit.difference;
        outcome.plan = plan;
        let take_back = booking::take_back(&further, &self.run.channel, self.call.now.month());
        outcome.change = self.change(outcome, Some(known), kept, take_back);
        true
    }

    /// Lines of one key settled by a resolution.
    fn settled(&self, lines: Vec<FileLine>, break_name: Option<String>) -> Outcome {
        let place = self.place_of(&lines[0]);
        let unit = Unit {
            key: lines[0].key(),
            entries: Vec::new(),
            lines,
            rule: MatchRule::Earlier,
            tolerances: Vec::new(),
            difference: None,
            fields: Vec::new(),
        };
        Outcome {
            unit,
            rows: Vec::new(),
            place,
            class: None,
            plan: Plan::default(),
            break_name,
            change: None,
            unbooked: false,
        }
    }

    /// The clearing date under which the unit's break is kept.
    fn break_date(&self, unit: &Unit) -> crate::time::Date {
        match unit.entries.first() {
            Some(entry) if entry.matched == Matched::Elsewhere && !unit.lines.is_empty() => self.run.clearing_date,
            // A reservation found in the file takes the file's date.
            Some(entry) if entry.standing == Standing::Held => self.run.clearing_date,
            Some(entry) => entry.clearing_date,
            None => self.run.clearing_date,
        }
    }

    fn existing(&self, unit: &Unit, snapshot: &Snapshot) -> Result<Option<Arc<BreakRow>>, Stop> {
        let date = self.break_date(unit);
        let other_date = date != self.run.clearing_date;
        let plain = unit.difference.is_none() && !other_date && self.day.breaks.is_empty();
        if plain {
            return Ok(None);
        }
        let mut keys = vec![unit.key.text()];
        keys.extend(unit.lines.iter().map(|l| l.key().text()).filter(|k| *k != keys[0]).collect::<BTreeSet<_>>());
        for key in keys {
            for date in [date, self.run.clearing_date] {
                let name = breaks::difference_name(&self.run.channel, date, &key);
                let known = self.day.breaks.get(&name).cloned();
                let found = match known {
                    None if date != self.run.clearing_date => snapshot.get::<BreakRow>(key![name])?,
                    known => known,
                };
                if found.is_some() {
                    return Ok(found);
                }
            }
        }
        Ok(None)
    }

    /// Whether earlier runs have booked all there is: nothing new, nothing to judge again.
    fn is_known(&self, unit: &Unit, existing: Option<&BreakRow>) -> bool {
        let resolved = existing.is_some_and(|b| !b.is_open());
        if resolved && unit.entries.first().is_some_and(|e| e.standing == Standing::Gone) {
            return unit.money_lines().count() <= booked_rows(existing);
        }
        if unit.difference == Some(BreakClass::Ambiguous) {
            return resolved && existing.is_some_and(|b| b.rows.0 == references(unit));
        }
        let matched = unit.entries.first().map_or(Matched::No, |e| e.matched);
        if matched == Matched::No {
            return false;
        }
        if unit.rule == MatchRule::GroupedSum {
            return true;
        }
        let further = unit.money_lines().count().saturating_sub(usize::from(matched == Matched::Here));
        further <= booked_rows(existing)
    }

    fn fresh(&self, mut outcome: Outcome, existing: Option<&BreakRow>) -> Outcome {
        outcome.class = outcome.unit.difference;
        let one_sided = matches!(outcome.class, Some(BreakClass::Cutoff | BreakClass::LedgerOnly));
        if one_sided && self.day.missing_files > 0 {
            // An absent file is not an empty one: the row waits for it.
            return outcome;
        }
        let matched = outcome.unit.entries.first().map_or(Matched::No, |e| e.matched);
        let Some(place) = outcome.place.clone() else {
            outcome.unbooked = outcome.class.is_some();
            outcome.change = self.change(&outcome, existing, Vec::new(), Vec::new());
            return self.named(outcome);
        };
        let booked = if matched == Matched::No { 0 } else { booked_rows(existing) };
        let plan = booking::plan(&outcome.unit, &outcome.rows, &place, booked, &self.booking_terms());
        let open = existing.filter(|b| b.is_open());
        let had: &[Stake] = open.map_or(&[], |b| &b.stakes.0);
        let is_staked = plan.transfers.iter().all(|t| t.stake.is_some());
        let same = same_stakes(had, &plan.stakes) && is_staked && !plan.changes_rows();
        let (stakes, take_back) = if matched != Matched::No {
            let before = existing.map_or(&[][..], |b| &b.stakes.0);
            outcome.plan = plan;
            (before.to_vec(), Vec::new())
        } else if open.is_some() && same {
            (had.to_vec(), Vec::new())
        } else {
            outcome.plan = plan;
            (Vec::new(), booking::take_back(had, &self.run.channel, self.call.now.month()))
        };
        outcome.change = self.change(&outcome, existing, stakes, take_back);
        self.named(outcome)
    }

    fn named(&self, mut outcome: Outcome) -> Outcome {
        if let Some(change) = &outcome.change {
            outcome.break_name = Some(change.row.break_name.clone());
        }
        outcome
    }

    /// The unit's break as it should stand; `None` when nothing about it changes. `stakes` are
    /// those kept; the plan's are added when it is booked.
    fn change(
        &self,
        outcome: &Outcome,
        existing: Option<&BreakRow>,
        stakes: Vec<Stake>,
        take_back: Vec<Transfer>,
    ) -> Option<Box<BreakChange>> {
        let run = self.run.run_name(self.day);
        let Some(class) = outcome.class else {
            let open = existing.filter(|b| b.is_open())?;
            let row = BreakRow { stakes: Json(Vec::new()), ..breaks::clear(open, &run, self.call.now) };
            return Some(Box::new(BreakChange { row, take_back }));
        };
        let unit = &outcome.unit;
        let place = outcome.place.as_ref();
        let date = self.break_date(unit);
        let subject = match unit.entries.first() {
            Some(entry) => entry.record.clone(),
            None => unit.lines[0].reference(),
        };
        let name = breaks::difference_name(&self.run.channel, date, &unit.key.text());
        let before = existing.cloned().unwrap_or_else(|| breaks::open(name, class, &subject, date, self.call.now));
        let all_stakes: Vec<&Stake> = stakes.iter().chain(&outcome.plan.stakes).collect();
        let amount_fen = amount_of(unit, &all_stakes);
        let cause = breaks::cause_of(&unit.fields);
        let row = self.day.terms.judged(BreakRow {
            class,
            channel: Some(self.run.channel.clone()),
            region: place.map(|p| p.book.region().clone()),
            programme: place.map(|p| p.book.programme().to_owned()),
            institution_region: place.and_then(|p| p.institution_region.clone()),
            subject,
            // Else whom a proposal names.
            person: place.and_then(|p| p.person.clone()).or(before.person),
            fields: Json(unit.fields.clone()),
            rows: Json(references(unit)),
            rule: unit.rule.to_string(),
            cause: if cause.is_empty() { unit.key.merchant_id.clone() } else { cause },
            amount_fen,
            stakes: Json(stakes),
            ..before
        });
        let same = existing.is_some_and(|b| b.is_open() && *b == row);
        let unchanged = same && outcome.plan.stakes.is_empty() && take_back.is_empty();
        if unchanged {
            return None;
        }
        Some(Box::new(BreakChange { row: breaks::next(existing, row, &run, self.call), take_back }))
    }

    fn booking_terms(&self) -> BookingTerms<'_> {
        BookingTerms {
            channel: &self.run.channel,
            clearing_date: self.run.clearing_date,
            month: self.call.now.month(),
            now: self.call.now,
            matching: self.terms,
            fee_bearer: self.day.policy.fee_bearer,
            funders: &self.day.funders,
        }
    }
}

fn references(unit: &Unit) -> Vec<String> {
    unit.lines.iter().map(FileLine::reference).collect()
}

/// Further rows of a unit that are in suspense, or were and have been resolved.
fn booked_rows(existing: Option<&BreakRow>) -> usize {
    let rows = |b: &BreakRow| b.stakes.0.iter().filter(|s| s.row.is_some() && s.kind != StakeKind::FeeOfRow).count();
    existing.map_or(0, rows)
}

fn same_stakes(had: &[Stake], now: &[Stake]) -> bool {
    had.len() == now.len() && had.iter().zip(now).all(|(a, b)| a.same_as(b))
}

fn amount_of(unit: &Unit, stakes: &[&Stake]) -> i64 {
    let at_stake: i64 = stakes.iter().filter(|s| s.kind != StakeKind::FeeOfRow).map(|s| s.amount_fen).sum();
    let of_rows = || match (unit.entries.first(), unit.lines.first()) {
        (Some(entry), _) => entry.amount_fen,
        (None, Some(line)) => line.line.amount_fen,
        (None, None) => 0,
    };
    if at_stake != 0 { at_stake } else { of_rows() }
}

/// Books of merchants and institutions, from the rows of these days.
pub struct Places {
    by_merchant: BTreeMap<String, Book>,
    by_institution: BTreeMap<String, Book>,
    default: Option<Book>,
}

impl Places {
    pub fn of(run: &StartRun, survey: &Survey) -> Self {
        Self {
            by_merchant: most_frequent(&survey.by_merchant),
            by_institution: most_frequent(&survey.by_institution),
            default: run.default_book.clone(),
        }
    }

    fn of_line(&self, line: &FileLine, day: &Day) -> Option<Place> {
        let stated = &line.line;
        let institution_region = day.institutions.get(&stated.institution).cloned();
        if let Some(payment) = stated.original_order_id.as_ref().and_then(|order| day.originals.get(order)) {
            return LedgerRow::Payment(payment.clone()).place().ok();
        }
        let known = match stated.kind {
            LineKind::OperatingSubsidy => None,
            LineKind::Payment | LineKind::Refund => self.by_merchant.get(&stated.merchant_id),
        };
        let book = known.or_else(|| self.by_institution.get(&stated.institution)).or(self.default.as_ref())?;
        Some(Place { book: book.clone(), institution_region, person: None, record: None })
    }
}

/// The commonest book of each; of equals the first by name.
fn most_frequent(counts: &BTreeMap<String, BTreeMap<Book, i64>>) -> BTreeMap<String, Book> {
    let commonest = |books: &BTreeMap<Book, i64>| {
        books.iter().min_by_key(|(book, n)| (-**n, (*book).clone())).map(|(book, _)| book.clone())
    };
    counts.iter().filter_map(|(name, books)| Some((name.clone(), commonest(books)?))).collect()
}

/// Absent files, control totals that disagree, rows set aside; and those of earlier runs that are over.
pub fn file_faults(run: &StartRun, day: &Day, call: &Call) -> Vec<BreakChange> {
    let mut now: BTreeMap<String, BreakRow> = BTreeMap::new();
    type Fields = Vec<(String, String, String)>;
    let mut fault = |class: BreakClass, about: String, subject: &str, region: Option<&Participant>, fields: Fields| {
        let name = breaks::fault_name(class, &run.channel, run.clearing_date, &about);
        let fields = fields.into_iter().map(|(field, ledger, channel)| FieldDifference::of(&field, ledger, channel));
        let row = day.terms.judged(BreakRow {
            channel: Some(run.channel.clone()),
            region: region.cloned(),
            book_region: region.cloned(),
            fields: Json(fields.collect()),
            rule: class.to_string(),
            cause: about,
            opened_by: Some(run.run_name(day)),
            seen_by: Some(run.run_name(day)),
            ..breaks::open(name.clone(), class, subject, run.clearing_date, call.now)
        });
        now.insert(name, row);
    };
    for (n, merchant) in (0..).zip(day.missing()) {
        let of_date = format!("{} {}", run.channel, run.clearing_date);
        let (about, subject) = match merchant {
            "" => ((day.policy.expected_files - n).to_string(), of_date),
            merchant => (merchant.to_owned(), format!("{of_date} {merchant}")),
        };
        fault(BreakClass::FileMissing, about, &subject, None, Vec::new());
    }
    for region in regions::lacking(run, day) {
        let subject = format!("{} {} {region}", run.channel, run.clearing_date);
        fault(BreakClass::FileMissing, region.to_string(), &subject, Some(&region), Vec::new());
    }
    let books = run.books.iter().map(|book| (Some(&book.region), &book.file));
    for (region, file) in run.files.iter().map(|file| (None, file)).chain(books) {
        let (stated, read) = (file.parsed.trailer.unwrap_or_default(), file.parsed.totals());
        if !file.parsed.totals_agree() {
            let pair = |name: &str, read: i64, stated: i64| (name.to_owned(), read.to_string(), stated.to_string());
            let fields = vec![
                pair("rows", read.rows, stated.rows),
                pair("amount_fen", read.amount_fen, stated.amount_fen),
                pair("fee_fen", read.fee_fen, stated.fee_fen),
            ];
            fault(BreakClass::ControlTotal, file.file.clone(), &file.file, region, fields);
        }
        if !file.parsed.rejected.is_empty() {
            let named = file.parsed.rejected.iter().take(100);
            let fields = named.map(|r| {
                (format!("line {} byte {}: {}", r.line, r.byte_offset, r.field), String::new(), r.reason.to_string())
            });
            fault(BreakClass::MissingField, file.file.clone(), &file.file, region, fields.collect());
        }
    }
    let over = day.breaks.values().filter(|b| {
        b.category == BreakCategory::FileFault
            // A balance is a matter of its account, whatever the date.
            && b.class != BreakClass::BalanceMismatch
            && b.is_open()
            && b.clearing_date == run.clearing_date
            && !now.contains_key(&b.break_name)
    });
    let mut changes: Vec<BreakChange> =
        over.map(|b| unencumbered(breaks::clear(b, &run.run_name(day), call.now))).collect();
    // One that an earlier run cleared is there again under its name.
    changes.extend(now.into_values().filter_map(|b| match day.breaks.get(&b.break_name) {
        None => Some(unencumbered(b)),
        Some(known) if known.is_open() || known.resolution != Some(Resolution::Cleared) => None,
        Some(known) => Some(unencumbered(breaks::reopen(known, b))),
    }));
    changes
}

fn unencumbered(row: BreakRow) -> BreakChange {
    BreakChange { row, take_back: Vec::new() }
}

/// Findings about the portion's payments that are not known yet, and that no earlier portion has found: several payments
/// may show that one account is overspent.
pub fn findings(
    run: &StartRun,
    day: &Day,
    outcomes: &[Outcome],
    so_far: &SoFar,
    snapshot: &Snapshot,
    call: &Call,
) -> Result<Vec<BreakChange>, Stop> {
    let mut gather = Gather::default();
    let mut found: BTreeMap<String, BreakRow> = BTreeMap::new();
    for payment in payments_of(outcomes) {
        for finding in gather.all(finding::of_payment(snapshot, payment))? {
            let name = finding.break_name();
            let known = gather.ask(snapshot.get::<BreakRow>(key![name.clone()]))?.flatten();
            if known.is_none() && !found.contains_key(&name) && !so_far.changed.contains_key(&name) {
                let row = gather.ask(finding.of(snapshot, payment, Some(&run.run_name(day)), call.now))?;
                found.extend(row.map(|row| (name, row)));
            }
        }
    }
    gather.end()?;
    Ok(found.into_values().map(unencumbered).collect())
}

/// The payments behind the units, as this run leaves them.
fn payments_of(outcomes: &[Outcome]) -> Vec<&PaymentRow> {
    let changed: BTreeMap<&str, &PaymentRow> =
        outcomes.iter().flat_map(|o| &o.plan.payments).map(|p| (p.payment.as_str(), p)).collect();
    let rows = outcomes.iter().flat_map(|o| &o.rows).filter_map(|row| match row {
        LedgerRow::Payment(p) => Some(changed.get(p.payment.as_str()).copied().unwrap_or(p)),
        LedgerRow::Refund(..) | LedgerRow::Claim(_) => None,
    });
    rows.collect()
}

/// Breaks that no unit of this run shows: the date's differences that are gone, and cut-offs of
/// earlier dates whose grace is over.
pub fn carried_forward(run: &StartRun, day: &Day, shown: &BTreeSet<String>, call: &Call) -> Vec<BreakChange> {
    let name = run.run_name(day);
    let mut changes = Vec::new();
    let of_units = |b: &&Arc<BreakRow>| b.category == BreakCategory::Difference && b.book_region.is_none();
    for row in day.breaks.values().filter(|b| b.is_open()).filter(of_units) {
        if shown.contains(&row.break_name) {
            continue;
        }
        if row.clearing_date == run.clearing_date && day.complete {
            let take_back = booking::take_back(&row.stakes.0, &run.channel, call.now.month());
            let row = BreakRow { stakes: Json(Vec::new()), ..breaks::clear(row, &name, call.now) };
            changes.push(BreakChange { row, take_back });
        } else if row.class == BreakClass::Cutoff && call.now.date() >= row.due_on {
            let changed = row.step(BreakStep::Changed, &call.actor, call.now, &name);
            let (class, seen_by) = (BreakClass::LedgerOnly, Some(name.clone()));
            changes.push(unencumbered(day.terms.judged(BreakRow { class, seen_by, ..changed })));
        }
    }
    changes
}
