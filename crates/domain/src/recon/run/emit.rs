//! A run as leaves of the log: one for the run and its views, the views' rows and the bookings in
//! chunks by the pair of regions that they concern, one per break (its versions are the break's history), one per
//! reservation that ended.

use std::collections::{BTreeMap, BTreeSet};

use super::super::breaks::due_on;
use super::super::regional::LegResult;
use super::super::rows::{ExpectedFile, RunRow, RunState, UnitRow, ViewRow, ViewState};
use super::super::view::{self, ViewLine};
use super::judge::Outcome;
use super::load::Day;
use super::{Assembled, StartRun, UNITS_PER_LEAF};
use crate::decision::{Call, Decision, Leaf};
use crate::names::Participant;
use crate::participant::ParticipantRow;
use crate::settlement::PayoutProofState;
use crate::snapshot::Stop;
use crate::value::Json;

/// Working days in which a region signs (DESIGN.md §7).
const SIGNING_WORKING_DAYS: i64 = 2;

pub fn decision(run: &StartRun, day: &Day, mut found: Assembled, call: &Call) -> Result<Decision, Stop> {
    let name = run.run_name(day);
    let views = views(run, day, &found, &name, call);
    let mut decision = Decision::new(call);
    let leaf = decision.leaf("reconciliation.run", &name, 1);
    // The number of the next run rests on there being no other: runs of a channel wait for each other.
    leaf.guard::<ParticipantRow>(crate::key![run.channel.clone()]);
    leaf.put(&run_row(run, day, &found, &name, &views, call)).tell(&run.channel);
    for view in &views {
        leaf.put(view).tell(&view.participant);
    }
    units(&name, run, &found, &mut decision);
    bookings(&name, &mut found, &mut decision);
    breaks(&found, &mut decision);
    for alert in &found.alerts {
        decision.leaf("alert.counted", &alert.alert, alert.version).put(alert).tell(&alert.channel);
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

fn views(run: &StartRun, day: &Day, found: &Assembled, name: &str, call: &Call) -> Vec<ViewRow> {
    let mut of: BTreeMap<Participant, Vec<ViewLine>> = BTreeMap::new();
    of.insert(Participant::gateway(), Vec::new());
    for outcome in &found.outcomes {
        let line = ViewLine::of(&outcome.unit, outcome.class, outcome.place.as_ref(), run.clearing_date);
        for region in regions_of(outcome) {
            of.entry(region).or_default().push(line.clone());
        }
        of.entry(Participant::gateway()).or_default().push(line);
    }
    for leg in &found.regions.legs {
        of.entry(leg.region.clone()).or_default();
    }
    let sign_by = due_on(&*day.calendar, call.now.date(), SIGNING_WORKING_DAYS);
    let row = |(participant, lines): (Participant, Vec<ViewLine>)| {
        let (debit_fen, credit_fen) = view::totals(&lines);
        let mut bodies: Vec<String> = lines.iter().map(ViewLine::body).collect();
        let whole = participant == Participant::gateway();
        let legs = found.regions.legs.iter().filter(|leg| whole || leg.region == participant);
        bodies.extend(legs.flat_map(LegResult::bodies).map(str::to_owned));
        ViewRow {
            run: name.to_owned(),
            participant,
            rows: bodies.len() as i64,
            debit_fen,
            credit_fen,
            root: view::root_of(bodies.iter().map(String::as_str)),
            state: ViewState::Open,
            sign_by,
            signed_by: None,
            signed_at_us: None,
            differences: Json(Vec::new()),
            // The run's leaf holds it; its own leaves begin with its signature.
            version: 0,
        }
    };
    of.into_iter().map(row).collect()
}

pub(super) fn regions_of(outcome: &Outcome) -> BTreeSet<Participant> {
    let place = outcome.place.as_ref();
    let paying = place.map(|p| p.book.region().clone());
    paying.into_iter().chain(place.and_then(|p| p.institution_region.clone())).collect()
}

/// The rows of the views, told to the regions whose views they are in.
fn units(name: &str, run: &StartRun, found: &Assembled, decision: &mut Decision) {
    let mut by_regions: BTreeMap<BTreeSet<Participant>, Vec<UnitRow>> = BTreeMap::new();
    for (position, outcome) in found.outcomes.iter().enumerate() {
        let body = ViewLine::of(&outcome.unit, outcome.class, outcome.place.as_ref(), run.clearing_date).body();
        let place = outcome.place.as_ref();
        let row = UnitRow {
            run: name.to_owned(),
            position: position as i64,
            region: place.map(|p| p.book.region().clone()),
            institution_region: place.and_then(|p| p.institution_region.clone()),
            body,
            break_name: outcome.class.and_then(|_| outcome.break_name.clone()),
        };
        by_regions.entry(regions_of(outcome)).or_default().push(row);
    }
    for (position, line) in (found.outcomes.len() as i64..).zip(found.regions.lines()) {
        let row = UnitRow {
            run: name.to_owned(),
            position,
            region: Some(line.region.clone()),
            institution_region: None,
            body: line.body.to_owned(),
            break_name: line.break_name.map(str::to_owned),
        };
        by_regions.entry([line.region.clone()].into()).or_default().push(row);
    }
    let mut n = 0;
    for (regions, rows) in by_regions {
        for chunk in rows.chunks(UNITS_PER_LEAF) {
            n += 1;
            let leaf = decision.leaf("reconciliation.units", format!("{name}/units/{n}"), 1);
            for region in &regions {
                leaf.tell(region);
            }
            for row in chunk {
                leaf.put(row);
            }
        }
    }
}

fn bookings(run: &str, found: &mut Assembled, decision: &mut Decision) {
    let mut by_regions: BTreeMap<BTreeSet<Participant>, Vec<usize>> = BTreeMap::new();
    for (i, outcome) in found.outcomes.iter().enumerate() {
        if outcome.plan != Default::default() {
            by_regions.entry(regions_of(outcome)).or_default().push(i);
        }
    }
    let mut n = 0;
    for (regions, units) in by_regions {
        for chunk in units.chunks(UNITS_PER_LEAF) {
            n += 1;
            let leaf = decision.leaf("reconciliation.booked", format!("{run}/bookings/{n}"), 1);
            for region in &regions {
                leaf.tell(region);
            }
            for i in chunk {
                book_unit(leaf, &mut found.outcomes[*i]);
                let moves = found.outcomes[*i].plan.bill_moves.clone();
                move_bills(leaf, &moves, &mut found.bill_lines);
            }
        }
    }
}

/// Books a unit's transfers and notes with each stake which one made it.
fn book_unit(leaf: &mut Leaf, outcome: &mut Outcome) {
    let plan = &mut outcome.plan;
    for planned in &plan.transfers {
        if let Some(stake) = planned.stake {
            plan.stakes[stake].booked = Some(format!("{}#{}", leaf.leaf_id, leaf.transfers.len()));
        }
        leaf.book(planned.transfer.clone());
    }
    for row in &plan.payments {
        leaf.put(row);
    }
    for row in &plan.refunds {
        leaf.put(row);
    }
    for row in &plan.claims {
        leaf.put(row);
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

fn breaks(found: &Assembled, decision: &mut Decision) {
    let of_units =
        found.outcomes.iter().filter_map(|o| o.change.as_ref().map(|change| (change, o.plan.stakes.as_slice())));
    let others = found.others.iter().map(|change| (change, &[][..]));
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
