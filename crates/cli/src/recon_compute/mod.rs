//! `jjj recon compute`: a day's views from an export of ledger rows and the channel's files,
//! offline; the very bytes and roots of the gateway's run.
//!
//! Both sides are read at once, each sorted by order id, in bounded memory: what is over the
//! limit is spilled, sorted, and merged. A join in that order feeds two workers, which render and
//! hash; trees grow as hashes come back in order. What no end-to-end key joins is kept for the
//! other rules, which need it as a whole.

mod merge;
mod read;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

use anyhow::{Context, bail, ensure};
use jjj_domain::ledger::Book;
use jjj_domain::names::Participant;
use jjj_domain::recon::booking::Place;
use jjj_domain::recon::file::ControlTotals;
use jjj_domain::recon::matching::{MatchRule, Terms};
use jjj_domain::recon::regional::{Leg, RegionalBook};
use jjj_domain::recon::stream::{Assigned, Batch, Day, Found, LineRows, Rest, Views, order_of};
use jjj_domain::recon::view::run_root;
use jjj_domain::recon::{LegCounts, RunTerms};
use jjj_domain::time::Date;
use serde::{Deserialize, Serialize};

use merge::Merge;

/// What a day is computed under, beside its rows: `day.json` of an export.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DayFile {
    /// `channels/{id}`.
    pub channel: Participant,
    pub clearing_date: Date,
    /// The run that the export is about; absent when a region writes its own.
    #[serde(default)]
    pub run: Option<String>,
    pub terms: RunTerms,
    /// The run's files by name and digest; empty: whatever is given.
    #[serde(default)]
    pub files: Vec<KnownFile>,
    /// Lines that no row of the export explains, and what the run says of them.
    #[serde(default)]
    pub lines: Vec<KnownLine>,
    /// Regions' books of the run.
    #[serde(default)]
    pub books: Vec<KnownBook>,
}

/// A region's book of the run.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownBook {
    pub region: Participant,
    /// Of its bytes, 64 hex digits.
    pub sha256: String,
    /// `breaks/…` about it that are resolved.
    #[serde(default)]
    pub resolved: BTreeSet<String>,
}

/// A file of the run.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownFile {
    pub file: String,
    /// Of its bytes, 64 hex digits.
    pub sha256: String,
}

/// A line without a row in the export.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownLine {
    /// `{file}#{line}`.
    pub row: String,
    #[serde(default)]
    pub region: Option<Participant>,
    #[serde(default)]
    pub programme: Option<String>,
    #[serde(default)]
    pub institution_region: Option<Participant>,
    /// As in the export's column of that name.
    #[serde(default)]
    pub known: String,
}

impl KnownLine {
    fn assigned(&self) -> anyhow::Result<Assigned> {
        let place = match (&self.region, &self.programme) {
            (Some(region), Some(programme)) => Some(Place {
                book: Book::new(region.clone(), programme)
                    .map_err(|_| anyhow::anyhow!("{programme} is no programme"))?,
                institution_region: self.institution_region.clone(),
                person: None,
                record: None,
            }),
            _ => None,
        };
        let known = self.known.parse().map_err(|_| anyhow::anyhow!("{}: known is {:?}", self.row, self.known))?;
        Ok(Assigned { place, known })
    }
}

/// What to compute.
#[derive(Clone, Debug)]
pub struct Options {
    pub day: PathBuf,
    pub ledger: PathBuf,
    pub files: Vec<PathBuf>,
    /// Regions' books, told apart by their digests; without any known to the day, the region's own.
    pub books: Vec<PathBuf>,
    /// One region's view; `None`: all views and the whole.
    pub region: Option<Participant>,
    /// Where the rows of the view (or of the whole) go, one a line.
    pub rows: Option<PathBuf>,
    /// Most memory for the rows of either side, bytes, at most 2 GiB; more is spilled beside the
    /// ledger's file.
    pub side_bytes: usize,
}

/// The memory for either side, when nothing else is said: a million rows fit.
pub const SIDE_BYTES: usize = 168 << 20;

/// A record's place in memory is 32 bits.
const MAX_SIDE_BYTES: usize = 2 << 30;

/// One view computed.
#[derive(Clone, Debug, Serialize)]
pub struct ComputedView {
    pub participant: Participant,
    pub rows: u64,
    pub debit_fen: i64,
    pub credit_fen: i64,
    /// 64 hex digits.
    pub root: String,
}

/// A day computed.
#[derive(Clone, Debug, Serialize)]
pub struct Computed {
    pub views: Vec<ComputedView>,
    /// The run's root, when all views were computed.
    pub root: Option<String>,
    /// Units with a difference, by class.
    pub breaks: BTreeMap<String, i64>,
    /// Counts of regions' books.
    pub region_legs: BTreeMap<Participant, LegCounts>,
    /// Lines of the files that were set aside.
    pub rejected_rows: i64,
    /// Whether every file's trailer agrees with its lines.
    pub totals_agree: bool,
}

/// Computes. Errors name the file and, of a ledger row at fault, its line and field.
pub fn compute(options: &Options) -> anyhow::Result<Computed> {
    let text = std::fs::read(&options.day).with_context(|| format!("reading {}", options.day.display()))?;
    let day: DayFile = serde_json::from_slice(&text).with_context(|| format!("reading {}", options.day.display()))?;
    let assigned: BTreeMap<String, Assigned> =
        day.lines.iter().map(|line| Ok((line.row.clone(), line.assigned()?))).collect::<anyhow::Result<_>>()?;
    if let Some(fee) = &day.terms.fee {
        ensure!(fee.min_fen <= fee.max_fen, "{}: the least fee is above the most", options.day.display());
    }
    let sums = day.terms.fallbacks.contains(&MatchRule::GroupedSum);
    ensure!(
        options.region.is_none() || !sums,
        "GROUPED_SUM: one region's rows do not show every line of a sum; compute all views"
    );
    let side_bytes = options.side_bytes;
    ensure!(side_bytes <= MAX_SIDE_BYTES, "more than {MAX_SIDE_BYTES} bytes for either side");
    let (ledger, file) = std::thread::scope(|scope| {
        let ledger = scope.spawn(|| read::ledger(&options.ledger, side_bytes));
        let file = read::files(&options.files, &day.files, side_bytes);
        (ledger.join().unwrap_or_else(|_| bail!("reading the ledger rows stopped")), file)
    });
    let (mut ledger, mut file) = (ledger?, file?);
    let (ledger_side, file_side) = (ledger.take_side(), file.take_side());
    let books = read::books(&options.books, &day, options.region.as_ref())?;
    let terms = Terms::of(day.clearing_date, day.terms.clone(), Default::default());
    let rendering = Day {
        terms: &terms,
        files: &file.names,
        assigned: &assigned,
        region: options.region.as_ref(),
        books: &books,
        ledger: &ledger.rows,
        lines: &file.rows,
    };
    let mut out = Output::new(options, &books)?;
    let mut rest = Rest::default();
    let mut known_orders = Vec::new();
    std::thread::scope(|scope| -> anyhow::Result<()> {
        let (batches, received) = sync_channel(WAITING);
        let (results, found) = sync_channel(WAITING);
        let received = Arc::new(Mutex::new(received));
        let (day, wants) = (&rendering, out.rows.is_some());
        for _ in 0..WORKERS {
            let (received, results) = (received.clone(), results.clone());
            scope.spawn(move || work(day, &received, &results, wants));
        }
        // The channels end with those who use them.
        drop((received, results));
        let lines = &file.rows;
        let join = scope.spawn(move || join(ledger_side.merge()?, file_side.merge()?, lines, &batches));
        out.in_order(&found, &mut rest)?;
        known_orders = join.join().unwrap_or_else(|_| bail!("joining stopped"))?;
        Ok(())
    })?;
    let terms = Terms { known_orders: known_orders.into_iter().collect(), ..terms.clone() };
    let last = Day { terms: &terms, ..rendering };
    out.take(&mut last.rest(&rest, out.rows.is_some()), &mut Rest::default())?;
    out.legs(&day)?;
    Ok(Computed { rejected_rows: file.rejected, totals_agree: file.totals_agree, ..out.end()? })
}

const WORKERS: usize = 2;
/// Batches that may wait on either side of the workers.
const WAITING: usize = 8;
const BATCH_BYTES: usize = 128 << 10;

type Numbered<T> = (usize, T);

fn work<'a>(
    day: &Day<'a>,
    batches: &Mutex<Receiver<Numbered<Batch>>>,
    results: &SyncSender<Numbered<Found<'a>>>,
    bodies: bool,
) {
    loop {
        let Ok(Ok((number, batch))) = batches.lock().map(|batches| batches.recv()) else { return };
        if results.send((number, day.work(&batch, bodies))).is_err() {
            return;
        }
    }
}

/// Joins the sides by order id into batches; the order ids of payments that lines refund.
fn join(
    mut ledger: Merge<'_>,
    mut file: Merge<'_>,
    lines: &LineRows,
    batches: &SyncSender<Numbered<Batch>>,
) -> anyhow::Result<Vec<String>> {
    let mut known_orders = Vec::new();
    let (mut number, mut batch) = (0, Batch::default());
    let mut order = Vec::new();
    loop {
        let first = match (ledger.current(), file.current()) {
            (None, None) => break,
            (Some(entry), None) => order_of(entry),
            (None, Some(line)) => order_of(line),
            (Some(entry), Some(line)) => order_of(entry).min(order_of(line)),
        };
        order.clear();
        order.extend_from_slice(first);
        batch.begin();
        while let Some(entry) = ledger.current().filter(|entry| order_of(entry) == order) {
            batch.take(entry, false);
            if lines.refunds(entry) {
                known_orders.push(String::from_utf8_lossy(&order).into_owned());
            }
            ledger.advance()?;
        }
        while let Some(line) = file.current().filter(|line| order_of(line) == order) {
            batch.take(line, true);
            file.advance()?;
        }
        if batch.len_bytes() >= BATCH_BYTES {
            if batches.send((number, std::mem::take(&mut batch))).is_err() {
                return Ok(known_orders);
            }
            number += 1;
        }
    }
    // Nobody takes it when the collecting side has failed, which then says why.
    let _ = batches.send((number, batch));
    Ok(known_orders)
}

/// Where rendered rows go.
struct Output<'a> {
    views: Views,
    legs: Vec<Leg<&'a RegionalBook>>,
    counts: BTreeMap<Participant, LegCounts>,
    only: Option<Participant>,
    rows: Option<BufWriter<File>>,
}

impl<'a> Output<'a> {
    fn new(options: &Options, books: &'a [RegionalBook]) -> anyhow::Result<Self> {
        let create = |path: &PathBuf| File::create(path).with_context(|| format!("creating {}", path.display()));
        let rows = options.rows.as_ref().map(create).transpose()?.map(BufWriter::new);
        let legs = books.iter().map(Leg::new).collect();
        Ok(Self { views: Views::default(), legs, counts: BTreeMap::new(), only: options.region.clone(), rows })
    }

    /// What the books come to, after all units.
    fn legs(&mut self, day: &DayFile) -> anyhow::Result<()> {
        for leg in std::mem::take(&mut self.legs) {
            let known = day.books.iter().find(|known| known.region == leg.book.region);
            let is_resolved = |name: &str| known.is_some_and(|known| known.resolved.contains(name));
            let leg = leg.end(&day.channel, day.clearing_date, |name, _| is_resolved(name));
            self.views.add_leg(&leg, self.only.as_ref());
            if let Some(rows) = &mut self.rows {
                leg.bodies().try_for_each(|body| writeln!(rows, "{body}")).context("writing the rows")?;
            }
            self.counts.insert(leg.region, leg.counts);
        }
        Ok(())
    }

    /// Takes in what the workers find, in the order of the batches.
    fn in_order(&mut self, found: &Receiver<Numbered<Found<'_>>>, rest: &mut Rest) -> anyhow::Result<()> {
        let (mut next, mut early) = (0, BTreeMap::new());
        for (number, batch) in found {
            early.insert(number, batch);
            while let Some(mut batch) = early.remove(&next) {
                self.take(&mut batch, rest)?;
                next += 1;
            }
        }
        ensure!(early.is_empty(), "a worker stopped");
        Ok(())
    }

    fn take(&mut self, found: &mut Found<'_>, rest: &mut Rest) -> anyhow::Result<()> {
        self.views.add(found, self.only.as_ref());
        found.leave(rest, &mut self.legs);
        if let Some(rows) = &mut self.rows {
            rows.write_all(&found.bodies).context("writing the rows")?;
        }
        Ok(())
    }

    fn end(mut self) -> anyhow::Result<Computed> {
        if let Some(rows) = &mut self.rows {
            rows.flush().context("writing the rows")?;
        }
        self.views.of.entry(self.only.clone().unwrap_or_else(Participant::gateway)).or_default();
        let views: Vec<ComputedView> = self
            .views
            .of
            .iter()
            .map(|(participant, view)| ComputedView {
                participant: participant.clone(),
                rows: view.rows(),
                debit_fen: view.debit_fen,
                credit_fen: view.credit_fen,
                root: hex::encode(view.root()),
            })
            .collect();
        let whole = self.only.is_none();
        Ok(Computed {
            root: whole.then(|| run_root(views.iter().map(|v| (&v.participant, v.root.as_str())))),
            views,
            breaks: self.views.breaks.iter().map(|(class, n)| (class.to_string(), *n)).collect(),
            region_legs: self.counts,
            rejected_rows: 0,
            totals_agree: true,
        })
    }
}

/// Totals of a file as they are read.
#[derive(Default)]
struct Totals {
    read: ControlTotals,
    rejected: i64,
    trailer: Option<ControlTotals>,
    disordered: bool,
}
