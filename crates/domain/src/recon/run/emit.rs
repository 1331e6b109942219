//! A run as leaves of the log: one for the run and its views, the views' rows and the bookings in
//! chunks by the pair of regions that they concern, one per break (its versions are the break's history), one per
//! reservation that ended.

use std::collections::{BTreeMap, BTreeSet};

use super::super::booking::Plan;
use super::super::breaks::due_on;
use super::super::file::LineKind;
use super::super::rows::{ExpectedFile, RunRow, RunState, UnitRow, ViewRow, ViewState};
use super::super::tree::{Frontier, leaf_hash};
use super::super::view::{self, Rendered};
use super::judge::{BreakChange, Outcome};
use super::load::Day;
use super::{Assembled, Judged, StartRun, UNITS_PER_LEAF};
use crate::decision::{Call, Decision, Leaf};
use crate::names::Participant;
use crate::participant::ParticipantRow;
use crate::settlement::PayoutProofState;
use crate::snapshot::Stop;
use crate::time::Timestamp;
use crate::value::Json;

/// Working days in which a region signs (DESIGN.md §7).
const SIGNING_WORKING_DAYS: i64 = 2;

pub fn decision(run: &StartRun, judged: Judged, mut found: Assembled, call: &Call) -> Result<Decision, Stop> {
    let Judged { day, mut outcomes, .. } = judged;
    let name = run.run_name(&day);
    let of_unit = |o: &Outcome| Rendered::of(&o.unit, o.class, o.place.as_ref(), run.clearing_date);
    let rendered: Vec<Rendered> = outcomes.iter().map(of_unit).collect();
    let views = views(&day, &outcomes, &found, &rendered, &name, call);
    let mut decision = Decision::new(call);
    let leaf = decision.leaf("reconciliation.run", &name, 1);
    // The number of the next run rests on there being no other: runs of a channel wait for each other.
    leaf.guard::<ParticipantRow>(crate::key![run.channel.clone()]);
    leaf.put(&run_row(run, &day, &found, &name, &views, call)).tell(&run.channel);
    for view in &views {
        leaf.put(view).tell(&view.participant);
    }
    // A large day's rows are not kept beside the leaves that say what became of them.
    drop(day);
    for outcome in &mut outcomes {
        outcome.unit.entries = Vec::new();
        outcome.unit.lines = Vec::new();
        outcome.rows = Vec::new();
    }
    units(&name, &outcomes, &found, rendered, &mut decision);
    bookings(&name, &mut outcomes, &mut found.bill_lines, call.now, &mut decision);
    breaks(&outcomes, &found.others, &mut decision);
    for alert in &found.alerts {
        let concerned = alert.book_region().unwrap_or_else(|| alert.channel.clone());
        decision.leaf("alert.counted", &alert.alert, alert.version).put(alert).tell(&concerned);
    }
    for payout in &found.payouts {
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
    for expired in &found.expired {
        let payment = &expired.payment;
        let leaf = decision.leaf("payment.expired", &payment.payment, payment.version);
        leaf.put(payment).book(expired.transfer.clone());
        move_bills(leaf, std::slice::from_ref(&expired.bill_move), &mut found.bill_lines);
        leaf.tell(&payment.region).tell(&payment.institution_region).tell(&payment.channel);
    }
    Ok(decision)
}

fn run_row(run: &StartRun, day: &Day, found: &Assembled, name: &str, views: &[ViewRow], call: &Call) -> RunRow {
    let closed = found.identities.iter().all(|i| i.holds);
    let totals = run.files.iter().all(|f| f.parsed.totals_agree());
    let state = if day.missing_files > 0 || !totals || found.unbooked || !closed {
        RunState::Incomplete
    } else if found.breaks_open > 0 {
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
        run: name.to_owned(),
        channel: run.channel.clone(),
        clearing_date: run.clearing_date,
        number: day.number,
        state,
        expected_files: Json(here.chain(absent).collect()),
        files_complete: day.complete,
        cut: run.cut,
        ledger_leg: Json(found.ledger_leg),
        channel_leg: Json(found.channel_leg),
        region_legs: Json(found.regions.stated(run, day)),
        identities: Json(found.identities.clone()),
        breaks_opened: found.breaks_opened,
        breaks_open: found.breaks_open,
        reservations_expired: found.expired.len() as i64,
        terms: Json(super::terms(run, day, call).stated()),
        root: view::run_root(views.iter().map(|v| (&v.participant, v.root.as_str()))),
        started_by: call.actor.clone(),
        recorded_at_us: call.now,
        version: 1,
    }
}

/// What a view is made of, as its rows come by.
#[derive(Default)]
struct View {
    tree: Frontier,
    debit_fen: i64,
    credit_fen: i64,
}

fn views(
    day: &Day,
    outcomes: &[Outcome],
    found: &Assembled,
    rows: &[Rendered],
    name: &str,
    call: &Call,
) -> Vec<ViewRow> {
    let gateway = Participant::gateway();
    let mut of: BTreeMap<&Participant, View> = BTreeMap::from([(&gateway, View::default())]);
    for (outcome, row) in outcomes.iter().zip(rows) {
        let leaf = leaf_hash(row.body.as_bytes());
        for participant in concerned(outcome).into_iter().flatten().chain([&gateway]) {
            let view = of.entry(participant).or_default();
            view.tree.push(leaf);
            let is_refund = outcome.unit.key.kind == LineKind::Refund;
            *(if is_refund { &mut view.credit_fen } else { &mut view.debit_fen }) += row.amount_fen;
        }
    }
    for leg in &found.regions.legs {
        let leaves: Vec<_> = leg.bodies().map(|body| leaf_hash(body.as_bytes())).collect();
        for participant in [&leg.region, &gateway] {
            of.entry(participant).or_default().tree.extend(leaves.iter().copied());
        }
    }
    let sign_by = due_on(&*day.calendar, call.now.date(), SIGNING_WORKING_DAYS);
    let row = |(participant, view): (&Participant, View)| ViewRow {
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
    of.into_iter().map(row).collect()
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

/// The rows of the views, told to the regions whose views they are in.
fn units(name: &str, outcomes: &[Outcome], found: &Assembled, mut rendered: Vec<Rendered>, decision: &mut Decision) {
    let lines: Vec<_> = found.regions.lines().collect();
    let first_line = outcomes.len();
    let mut row = |at: usize| {
        let unit = || UnitRow {
            run: name.to_owned(),
            position: at as i64,
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
    for (at, line) in (first_line..).zip(&lines) {
        by_regions.entry([Some(line.region), None]).or_default().push(at);
    }
    let mut n = 0;
    for (regions, positions) in by_regions {
        for chunk in positions.chunks(UNITS_PER_LEAF) {
            n += 1;
            let leaf = decision.leaf("reconciliation.units", format!("{name}/units/{n}"), 1);
            for region in regions.into_iter().flatten() {
                leaf.tell(region);
            }
            for at in chunk {
                leaf.put(&row(*at));
            }
        }
    }
}

fn bookings(run: &str, outcomes: &mut [Outcome], bill_lines: &mut BillLines, now: Timestamp, decision: &mut Decision) {
    let by_regions: Vec<(BTreeSet<Participant>, Vec<usize>)> = by_regions(outcomes, |o| o.plan != Plan::default())
        .into_iter()
        .map(|(regions, units)| (regions.into_iter().flatten().cloned().collect(), units))
        .collect();
    let mut n = 0;
    for (regions, units) in by_regions {
        for chunk in units.chunks(UNITS_PER_LEAF) {
            n += 1;
            let leaf = decision.leaf("reconciliation.booked", format!("{run}/bookings/{n}"), 1);
            for region in &regions {
                leaf.tell(region);
            }
            for at in chunk {
                let outcome = &mut outcomes[*at];
                book_unit(leaf, outcome, now);
                move_bills(leaf, &outcome.plan.bill_moves, bill_lines);
            }
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

type BillLines = BTreeMap<(String, crate::care::bill::FeeType), crate::care::bill::BillLineRow>;

fn move_bills(leaf: &mut Leaf, moves: &[super::super::booking::BillMove], lines: &mut BillLines) {
    for bill_move in moves {
        let line = lines.get_mut(&(bill_move.bill.clone(), bill_move.fee_type)).expect("loaded with the moves");
        line.held_fen += bill_move.held_fen;
        line.posted_fen += bill_move.posted_fen;
        leaf.put(line);
    }
}

fn breaks(outcomes: &[Outcome], others: &[BreakChange], decision: &mut Decision) {
    let of_units = outcomes.iter().filter_map(|o| o.change.as_deref().map(|change| (change, o.plan.stakes.as_slice())));
    let others = others.iter().map(|change| (change, &[][..]));
    for (change, stakes) in of_units.chain(others) {
        let mut row = change.row.clone();
        row.stakes.0.extend_from_slice(stakes);
        let leaf = decision.leaf(row.step.leaf_kind(), &row.break_name, row.version);
        leaf.put(&row);
        for transfer in &change.take_back {
            leaf.book(transfer.clone());
        }
        row.tell(leaf);
    }
}
