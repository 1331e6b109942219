//! A run as leaves of the log: one for the run and its views, the views' rows and the bookings in
//! chunks by the pair of regions that they concern, one per break (its versions are the break's history), one per
//! reservation that ended.

use std::collections::{BTreeMap, BTreeSet};

use super::super::booking::{BillMove, Plan};
use super::super::breaks::due_on;
use super::super::file::LineKind;
use super::super::rows::{
    AlertRow, ExpectedFile, IdentityResult, LegCounts, RunRow, RunState, UnitRow, ViewRow, ViewState,
};
use super::super::tree::leaf_hash;
use super::super::view::{self, Rendered};
use super::judge::{BreakChange, Outcome};
use super::load::Day;
use super::parts::Ending;
use super::regions::Line;
use super::so_far::{Bills, SoFar, View};
use super::{StartRun, UNITS_PER_LEAF};
use crate::decision::{Call, Decision, Leaf};
use crate::names::Participant;
use crate::settlement::PayoutProofState;
use crate::time::Timestamp;
use crate::value::Json;

/// Working days in which a region signs (DESIGN.md §7).
const SIGNING_WORKING_DAYS: i64 = 2;

/// What rests on all of a run.
pub struct Found {
    pub identities: Vec<IdentityResult>,
    pub alerts: Vec<AlertRow>,
}

/// The units of a portion, and the breaks found about them.
pub fn portion(
    run: &StartRun,
    day: &Day,
    outcomes: Vec<Outcome>,
    others: &[BreakChange],
    so_far: &mut SoFar,
    call: &Call,
) -> Decision {
    let name = run.run_name(day);
    let mut decision = Decision::part(call, so_far.leaves);
    let rendered = rendered(run, &outcomes, so_far);
    Emitter { name: &name, so_far, decision: &mut decision }.all(outcomes, rendered, &[], others, call);
    so_far.leaves += decision.leaves.len();
    decision
}

/// The last portion, and the run.
pub fn end(run: &StartRun, ending: Ending, found: Found, mut so_far: SoFar, call: &Call) -> Decision {
    let name = run.run_name(&ending.day);
    let rendered = rendered(run, &ending.outcomes, &mut so_far);
    for leg in &ending.regions.legs {
        for body in leg.bodies() {
            let leaf = leaf_hash(body.as_bytes());
            for participant in [&leg.region, &Participant::gateway()] {
                so_far.view(participant).tree.push(leaf);
            }
        }
    }
    let views = views(&ending.day, &mut so_far, &name, call);
    let mut decision = Decision::last(call, so_far.leaves);
    let leaf = decision.leaf("reconciliation.run", &name, 1);
    leaf.put(&run_row(run, &ending, &found, &so_far, &views, call)).tell(&run.channel);
    for view in &views {
        leaf.put(view).tell(&view.participant);
    }
    let Ending { outcomes, others, regions, expired, bank, .. } = ending;
    let lines: Vec<Line> = regions.lines().collect();
    let mut emitter = Emitter { name: &name, so_far: &mut so_far, decision: &mut decision };
    emitter.all(outcomes, rendered, &lines, &others, call);
    for alert in &found.alerts {
        let concerned = alert.book_region().unwrap_or_else(|| alert.channel.clone());
        decision.leaf("alert.counted", &alert.alert, alert.version).put(alert).tell(&concerned);
    }
    for payout in bank.iter().flat_map(|bank| &bank.payouts) {
        let kind = match payout.proof {
            PayoutProofState::Proven => "payout.proven",
            PayoutProofState::Awaited | PayoutProofState::NotExpected => "payout.unproven",
        };
        let leaf = decision.leaf(kind, &payout.payout, payout.version);
        leaf.put(payout).tell(&payout.channel);
        if let Some(region) = &payout.region {
            leaf.tell(region);
        }
    }
    for expired in &expired {
        let payment = &expired.payment;
        let leaf = decision.leaf("payment.expired", &payment.payment, payment.version);
        leaf.put(payment).book(expired.transfer.clone());
        move_bills(leaf, std::slice::from_ref(&expired.bill_move), &mut so_far.bills);
        leaf.tell(&payment.region).tell(&payment.institution_region).tell(&payment.channel);
    }
    decision
}

fn run_row(run: &StartRun, ending: &Ending, found: &Found, so_far: &SoFar, views: &[ViewRow], call: &Call) -> RunRow {
    let Ending { day, regions, expired, .. } = ending;
    let closed = found.identities.iter().all(|i| i.holds);
    let totals = run.files.iter().all(|f| f.parsed.totals_agree());
    let breaks_open = so_far.breaks(day).filter(|b| b.clearing_date == run.clearing_date && b.is_open()).count();
    let state = if day.missing_files > 0 || !totals || so_far.unbooked || !closed {
        RunState::Incomplete
    } else if breaks_open > 0 {
        RunState::WithBreaks
    } else {
        RunState::Balanced
    };
    let here = run.files.iter().map(|f| ExpectedFile {
        merchant_id: f.merchant_id.clone(),
        file: Some(f.file.clone()),
        sha256: Some(f.sha256.clone()),
    });
    let absent =
        day.missing().map(|merchant| ExpectedFile { merchant_id: merchant.to_owned(), file: None, sha256: None });
    RunRow {
        run: run.run_name(day),
        channel: run.channel.clone(),
        clearing_date: run.clearing_date,
        number: day.number,
        state,
        expected_files: Json(here.chain(absent).collect()),
        files_complete: day.complete,
        cut: run.cut,
        ledger_leg: Json(so_far.ledger_leg),
        channel_leg: Json(LegCounts {
            rows: so_far.channel_leg.rows + day.rejected,
            rejected: day.rejected,
            ..so_far.channel_leg
        }),
        region_legs: Json(regions.stated(run, day)),
        identities: Json(found.identities.clone()),
        breaks_opened: so_far.opened,
        breaks_open: breaks_open as i64,
        reservations_expired: expired.len() as i64,
        terms: Json(super::terms(run, day, call).stated()),
        root: view::run_root(views.iter().map(|v| (&v.participant, v.root.as_str()))),
        started_by: call.actor.clone(),
        recorded_at_us: call.now,
        version: 1,
    }
}

/// Units as rows of views, which take them in.
fn rendered(run: &StartRun, outcomes: &[Outcome], so_far: &mut SoFar) -> Vec<Rendered> {
    let gateway = Participant::gateway();
    let mut rows = Vec::with_capacity(outcomes.len());
    for outcome in outcomes {
        let row = Rendered::of(&outcome.unit, outcome.class, outcome.place.as_ref(), run.clearing_date);
        let leaf = leaf_hash(row.body.as_bytes());
        let is_refund = outcome.unit.key.kind == LineKind::Refund;
        for participant in concerned(outcome).into_iter().flatten().chain([&gateway]) {
            so_far.view(participant).take(leaf, is_refund, row.amount_fen);
        }
        rows.push(row);
    }
    rows
}

fn views(day: &Day, so_far: &mut SoFar, name: &str, call: &Call) -> Vec<ViewRow> {
    // The whole has a view, though nothing be in it.
    so_far.view(&Participant::gateway());
    let sign_by = due_on(&*day.calendar, call.now.date(), SIGNING_WORKING_DAYS);
    let row = |(participant, view): (&Participant, &View)| ViewRow {
        run: name.to_owned(),
        participant: participant.clone(),
        rows: view.tree.rows() as i64,
        debit_fen: view.debit_fen,
        credit_fen: view.credit_fen,
        root: hex::encode(view.tree.root()),
        state: ViewState::Open,
        sign_by,
        signed_by: None,
        signed_at_us: None,
        differences: Json(Vec::new()),
        // The run's leaf holds it; its own leaves begin with its signature.
        version: 0,
    };
    so_far.views.iter().map(row).collect()
}

/// The regions in whose views a unit is, in their order: none, one or two.
pub(super) fn concerned(outcome: &Outcome) -> [Option<&Participant>; 2] {
    let Some(place) = &outcome.place else { return [None, None] };
    let paying = place.book.region();
    match &place.institution_region {
        Some(other) if other < paying => [Some(other), Some(paying)],
        Some(other) if other > paying => [Some(paying), Some(other)],
        Some(_) | None => [Some(paying), None],
    }
}

/// Positions of units by the regions that they concern.
type ByRegions<'a> = BTreeMap<[Option<&'a Participant>; 2], Vec<usize>>;

fn by_regions(outcomes: &[Outcome], wanted: impl Fn(&Outcome) -> bool) -> ByRegions<'_> {
    let mut by_regions = ByRegions::new();
    for (at, outcome) in outcomes.iter().enumerate().filter(|(_, outcome)| wanted(outcome)) {
        by_regions.entry(concerned(outcome)).or_default().push(at);
    }
    by_regions
}

/// Leaves of units, of what they book, and of breaks.
struct Emitter<'a> {
    name: &'a str,
    so_far: &'a mut SoFar,
    decision: &'a mut Decision,
}

impl Emitter<'_> {
    fn all(
        &mut self,
        mut outcomes: Vec<Outcome>,
        rendered: Vec<Rendered>,
        lines: &[Line],
        others: &[BreakChange],
        call: &Call,
    ) {
        self.units(&outcomes, rendered, lines);
        self.bookings(&mut outcomes, call.now);
        self.breaks(&outcomes, others);
    }

    /// The rows of the views, told to the regions whose views they are in. Behind units stand lines of books.
    fn units(&mut self, outcomes: &[Outcome], mut rendered: Vec<Rendered>, lines: &[Line]) {
        let (first_row, first_line) = (self.so_far.units, outcomes.len());
        self.so_far.units += outcomes.len() + lines.len();
        let mut row = |at: usize| {
            let unit = || UnitRow {
                run: self.name.to_owned(),
                position: (first_row + at) as i64,
                region: None,
                institution_region: None,
                body: String::new(),
                break_name: None,
            };
            let Some(outcome) = outcomes.get(at) else {
                let line = &lines[at - first_line];
                let (region, break_name) = (Some(line.region.clone()), line.break_name.map(str::to_owned));
                return UnitRow { region, break_name, body: line.body.to_owned(), ..unit() };
            };
            let place = outcome.place.as_ref();
            UnitRow {
                region: place.map(|p| p.book.region().clone()),
                institution_region: place.and_then(|p| p.institution_region.clone()),
                body: std::mem::take(&mut rendered[at].body),
                break_name: outcome.class.and_then(|_| outcome.break_name.clone()),
                ..unit()
            }
        };
        let mut by_regions = by_regions(outcomes, |_| true);
        for (at, line) in (first_line..).zip(lines) {
            by_regions.entry([Some(line.region), None]).or_default().push(at);
        }
        for (regions, positions) in by_regions {
            for chunk in positions.chunks(UNITS_PER_LEAF) {
                self.so_far.unit_leaves += 1;
                let record = format!("{}/units/{}", self.name, self.so_far.unit_leaves);
                let leaf = self.decision.leaf("reconciliation.units", record, 1);
                for region in regions.into_iter().flatten() {
                    leaf.tell(region);
                }
                for at in chunk {
                    leaf.put(&row(*at));
                }
            }
        }
    }

    fn bookings(&mut self, outcomes: &mut [Outcome], now: Timestamp) {
        let by_regions: Vec<(BTreeSet<Participant>, Vec<usize>)> = by_regions(outcomes, |o| o.plan != Plan::default())
            .into_iter()
            .map(|(regions, units)| (regions.into_iter().flatten().cloned().collect(), units))
            .collect();
        for (regions, units) in by_regions {
            for chunk in units.chunks(UNITS_PER_LEAF) {
                self.so_far.booking_leaves += 1;
                let record = format!("{}/bookings/{}", self.name, self.so_far.booking_leaves);
                let leaf = self.decision.leaf("reconciliation.booked", record, 1);
                for region in &regions {
                    leaf.tell(region);
                }
                for at in chunk {
                    let outcome = &mut outcomes[*at];
                    book_unit(leaf, outcome, now);
                    move_bills(leaf, &outcome.plan.bill_moves, &mut self.so_far.bills);
                }
            }
        }
    }

    fn breaks(&mut self, outcomes: &[Outcome], others: &[BreakChange]) {
        let of_units =
            outcomes.iter().filter_map(|o| o.change.as_deref().map(|change| (change, o.plan.stakes.as_slice())));
        let others = others.iter().map(|change| (change, &[][..]));
        for (change, stakes) in of_units.chain(others) {
            let mut row = change.row.clone();
            row.stakes.0.extend_from_slice(stakes);
            let leaf = self.decision.leaf(row.step.leaf_kind(), &row.break_name, row.version);
            leaf.put(&row);
            for transfer in &change.take_back {
                leaf.book(transfer.clone());
            }
            row.tell(leaf);
        }
    }
}

/// Books a unit's transfers and notes with each stake which one made it.
fn book_unit(leaf: &mut Leaf, outcome: &mut Outcome, now: Timestamp) {
    let plan = &mut outcome.plan;
    for planned in std::mem::take(&mut plan.transfers) {
        if let Some(stake) = planned.stake {
            plan.stakes[stake].booked = Some(format!("{}#{}", leaf.leaf_id, leaf.transfers.len()));
        }
        leaf.book(planned.transfer);
    }
    for row in std::mem::take(&mut plan.payments) {
        leaf.put(&row);
    }
    for matched in std::mem::take(&mut plan.matched) {
        leaf.put(&matched.row(now));
    }
    for row in std::mem::take(&mut plan.refunds) {
        leaf.put(&row);
    }
    for row in std::mem::take(&mut plan.claims) {
        leaf.put(&row);
    }
}

fn move_bills(leaf: &mut Leaf, moves: &[BillMove], bills: &mut Bills) {
    for bill_move in moves {
        leaf.put(bills.after(bill_move));
    }
}
