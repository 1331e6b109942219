//! The run's third leg: regions' books ([`regional`](super::super::regional)), their breaks, their counts. It books
//! nothing, and no money waits for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::super::alert::Unopened;
use super::super::booking::Place;
use super::super::breaks;
use super::super::file::LineKind;
use super::super::regional::{Compared, Leg, LegLine, LegResult, RegionalBook};
use super::super::rows::{BreakCategory, BreakRow, LegCounts, RegionLeg, Resolution};
use super::emit::concerned;
use super::judge::{BreakChange, Outcome};
use super::load::Day;
use super::{RunFile, StartRun};
use crate::decision::Call;
use crate::names::Participant;
use crate::value::Json;

/// What the run makes of the books.
pub struct Regions {
    /// By region.
    pub legs: Vec<LegResult>,
    /// Breaks opened, changed and cleared.
    pub changes: Vec<BreakChange>,
    /// Differences beyond those that may have breaks.
    pub unopened: Unopened,
}

/// A line that a book adds to its region's view and to the whole.
pub struct Line<'a> {
    pub region: &'a Participant,
    pub body: &'a str,
    pub break_name: Option<&'a str>,
}

/// Regions whose expected books are absent.
pub fn lacking(run: &StartRun, day: &Day) -> Vec<Participant> {
    day.policy.lacking_books(&run.books.iter().map(|book| &book.region).collect())
}

/// The books as the run's units come by.
#[derive(Default)]
pub struct Legs {
    legs: Vec<Leg<Arc<RegionalBook>>>,
    /// Where the money of units belongs that three sides do not all agree on, by kind and order.
    places: Vec<BTreeMap<(LineKind, String), Place>>,
}

impl Legs {
    pub fn of(run: &StartRun) -> Self {
        let books: BTreeMap<&Participant, &RunFile> = run.books.iter().map(|book| (&book.region, &book.file)).collect();
        let book = |(region, file): (&Participant, &RunFile)| {
            RegionalBook::new(region.clone(), &file.file, &file.sha256, file.parsed.clone())
        };
        let legs: Vec<_> = books.into_iter().map(book).map(Arc::new).map(Leg::new).collect();
        Self { places: vec![BTreeMap::new(); legs.len()], legs }
    }

    pub fn take(&mut self, run: &StartRun, outcomes: &[Outcome]) {
        for (leg, places) in self.legs.iter_mut().zip(&mut self.places) {
            let region = leg.book.region.clone();
            for outcome in outcomes.iter().filter(|outcome| concerned(outcome).contains(&Some(&region))) {
                let Some(compared) = leg.book.compare(&outcome.unit, run.clearing_date) else { continue };
                if compared.class.is_some()
                    && let Some(place) = &outcome.place
                {
                    let key = (outcome.unit.key.kind, outcome.unit.key.order_id.clone());
                    places.insert(key, Place { record: None, ..place.clone() });
                }
                leg.add(compared);
            }
        }
    }

    /// What becomes of them, once all units have come by.
    pub fn end(self, run: &StartRun, day: &Day, call: &Call) -> Regions {
        let mut found = Regions { legs: Vec::new(), changes: Vec::new(), unopened: Unopened::new() };
        for (leg, places) in self.legs.into_iter().zip(self.places) {
            let region = leg.book.region.clone();
            let is_resolved = |name: &str, compared: &Compared| {
                day.breaks.get(name).is_some_and(|known| stays_resolved(known, compared))
            };
            let mut leg = leg.end(&run.channel, run.clearing_date, is_resolved);
            let judge = Judge { run, day, region: &region, call };
            found.changes.extend(judge.breaks(&mut leg, &places, &mut found.unopened));
            found.legs.push(leg);
        }
        found
    }
}

impl Regions {
    /// Lines of views, in their order.
    pub fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        self.legs.iter().flat_map(|leg| {
            let whole = std::iter::once((leg.whole.as_str(), None));
            let units = leg.lines.iter().map(|line| {
                let open = line.difference.and(line.break_name.as_deref());
                (line.body.as_str(), open)
            });
            whole.chain(units).map(|(body, break_name)| Line { region: &leg.region, body, break_name })
        })
    }

    /// What the run states of them.
    pub fn stated(&self, run: &StartRun, day: &Day) -> Vec<RegionLeg> {
        let file = |region: &Participant| run.books.iter().find(|book| book.region == *region).map(|book| &book.file);
        let here = self.legs.iter().map(|leg| RegionLeg {
            region: leg.region.clone(),
            file: file(&leg.region).map(|file| file.file.clone()),
            sha256: file(&leg.region).map(|file| file.sha256.clone()),
            counts: leg.counts,
        });
        let absent = lacking(run, day).into_iter().map(|region| {
            let counts = LegCounts::default();
            RegionLeg { region, file: None, sha256: None, counts }
        });
        let mut legs: Vec<RegionLeg> = here.chain(absent).collect();
        legs.sort_by(|a, b| a.region.cmp(&b.region));
        legs
    }
}

/// Whether people or policy have settled the very same difference.
fn stays_resolved(known: &BreakRow, compared: &Compared) -> bool {
    let settled = !known.is_open() && known.resolution != Some(Resolution::Cleared);
    settled && Some(known.class) == compared.class && known.fields.0 == compared.fields
}

struct Judge<'a> {
    run: &'a StartRun,
    day: &'a Day,
    region: &'a Participant,
    call: &'a Call,
}

impl Judge<'_> {
    /// The book's breaks as they should stand; those of the date that no line shows are over. What is more than
    /// the policy allows has none.
    fn breaks(
        &self,
        leg: &mut LegResult,
        places: &BTreeMap<(LineKind, String), Place>,
        unopened: &mut Unopened,
    ) -> Vec<BreakChange> {
        let mut changes = Vec::new();
        let at_fault = |line: &LegLine| line.break_name.clone().filter(|_| line.difference.is_some());
        let place_of = |line: &LegLine| places.get(&(line.compared.kind, line.compared.order_id.clone()));
        let is_open = |name: &String| self.day.breaks.get(name).is_some_and(|b| b.is_open());
        let names: BTreeSet<String> = leg.lines.iter().filter_map(at_fault).collect();
        let open = names.iter().filter(|name| is_open(name)).count() as i64;
        let mut room = self.day.terms.most_book_breaks - open;
        let mut seen = BTreeSet::new();
        for line in &mut leg.lines {
            let (Some(name), Some(class)) = (at_fault(line), line.difference) else { continue };
            let is_known = is_open(&name) || seen.contains(&name);
            if !is_known && room <= 0 {
                let book = place_of(line).map(|place| &place.book);
                let beyond = unopened.entry((class, self.cause(line))).or_default();
                beyond.add(book, self.region, line.compared.amount_fen());
                line.break_name = None;
                continue;
            }
            room -= i64::from(!is_known);
            // Two units of one order have one break, the first one's.
            if seen.insert(name.clone()) {
                changes.extend(self.change(name, line, place_of(line)));
            }
        }
        let run = self.run.run_name(self.day);
        let is_over = |b: &&BreakRow| {
            b.category == BreakCategory::Difference
                && b.is_open()
                && b.clearing_date == self.run.clearing_date
                && b.book_region.as_ref() == Some(self.region)
                && !seen.contains(&b.break_name)
        };
        let over = self.day.breaks.values().map(AsRef::as_ref).filter(is_over);
        let cleared = over.map(|b| breaks::clear(b, &run, self.call.now));
        changes.extend(cleared.map(|row| BreakChange { row, take_back: Vec::new() }));
        changes
    }

    fn cause(&self, line: &LegLine) -> String {
        format!("{} {}", self.region, breaks::cause_of(&line.compared.fields)).trim_end().to_owned()
    }

    fn change(&self, name: String, line: &LegLine, place: Option<&Place>) -> Option<BreakChange> {
        let (run, compared, class) = (self.run.run_name(self.day), &line.compared, line.difference?);
        let existing = self.day.breaks.get(&name).map(AsRef::as_ref);
        let (date, now) = (self.run.clearing_date, self.call.now);
        let before = existing.cloned().unwrap_or_else(|| breaks::open(name, class, &compared.subject, date, now));
        let paying = place.map(|p| p.book.region().clone());
        let row = self.day.terms.judged(BreakRow {
            class,
            channel: Some(self.run.channel.clone()),
            // Of what the region alone has nobody else knows.
            region: paying.or_else(|| Some(self.region.clone())),
            programme: place.map(|p| p.book.programme().to_owned()),
            institution_region: place.and_then(|p| p.institution_region.clone()),
            book_region: Some(self.region.clone()),
            subject: compared.subject.clone(),
            fields: Json(compared.fields.clone()),
            rows: Json(compared.references.clone()),
            rule: compared.result.to_string(),
            cause: self.cause(line),
            amount_fen: compared.amount_fen(),
            ..before
        });
        if existing.is_some_and(|known| known.is_open() && *known == row) {
            return None;
        }
        Some(BreakChange { row: breaks::next(existing, row, &run, self.call), take_back: Vec::new() })
    }
}
