//! What happens to a payment when the world around it changes, and when messages contradict it.

use super::super::world::*;
use super::super::*;
use super::journal::{confirm, confirmed, end, refund};
use crate::care::bill::{AmendBill, BillRow, NewLine, VoidBill};
use crate::care::contract::{TerminateContract, TerminationReason, VoidContract};
use crate::care::stay::VoidStay;
use crate::decision::Command;
use crate::entitlement::{ClawBackGrant, CreditOutcome, GrantState, ReportCredit};
use crate::key;
use crate::ledger::{Account, EntryKind};
use crate::names::Name;
use crate::recon::file::{LineKind, SettlementLine};
use crate::recon::resolve::{DecideResolution, ProposeResolution};
use crate::recon::{BreakClass, BreakRow, BreakState, Resolution, RunRow, RunState};
use crate::rejection::Reason;
use crate::time::{DAY_US, HOUR_US};

fn open(world: &World) -> Vec<BreakClass> {
    let rows = world.sim.all::<BreakRow>();
    let mut classes: Vec<_> = rows.iter().filter(|b| b.is_open()).map(|b| b.class).collect();
    classes.sort();
    classes
}

/// The run of a date in the morning after it.
fn run(world: &mut World, date: &str, lines: Vec<SettlementLine>) -> RunState {
    world.now = day(date).plus_days(1).starts_at().plus_us(9 * HOUR_US);
    let run = world.run(day(date), lines).unwrap().record();
    world.check_identities();
    world.sim.get::<RunRow>(key![run.to_string()]).unwrap().state
}

/// Proposed by one, approved by another.
fn resolve(world: &mut World, class: BreakClass, resolution: Resolution) {
    let found = world.sim.all::<BreakRow>().into_iter().find(|b| b.class == class && b.is_open()).unwrap();
    let (break_name, reason) = (found.break_name, "looked into".to_owned());
    let propose = ProposeResolution { break_name: break_name.clone(), resolution, reason: reason.clone(), elder: None };
    world.execute("regions/110000/admins/wang", &propose).unwrap();
    let decide = DecideResolution { break_name, expected_version: 0, approve: true, reason };
    world.execute("gateway/admins/li", &decide).unwrap();
    world.check_identities();
}

/// A reservation outlives what it stands on; its confirmation posts, and the day's run finds it.
#[test]
fn contract_or_stay_ended_under_an_open_reservation() {
    let text = |text: &str| text.to_owned();
    let ends: Vec<Box<dyn Command>> = vec![
        Box::new(VoidContract { contract: name(CONTRACT), reason: text("forged"), document_number: text("D1") }),
        Box::new(TerminateContract {
            contract: name(CONTRACT),
            termination_reason: TerminationReason::Agreement,
            ended_on: day("2026-10-31"),
            reason: text("moved out"),
        }),
        Box::new(VoidStay { stay: name("stays/s1"), reason: text("never came") }),
    ];
    for (n, ended) in ends.iter().enumerate() {
        let mut world = World::funded();
        let payment = world.authorised("ORDER0001", 40_000);
        world.execute(HEBEI, ended.as_ref()).unwrap();
        assert_eq!(open(&world), [], "{n}: nothing was paid yet");
        assert_eq!(said(world.execute(UNIONPAY, &authorise(world.now, "ORDER0002", 100))).0, Reason::ConditionUnmet);
        world.execute(UNIONPAY, &confirm(&payment)).unwrap();
        let payment = world.payment(&name(&payment.payment));
        assert_eq!(payment.state, PaymentState::Confirmed, "{n}");
        assert_eq!(run(&mut world, TODAY, vec![line_of(&payment)]), RunState::WithBreaks, "{n}");
        assert_eq!(open(&world), [BreakClass::PaidAfterRevocation], "{n}");
    }
}

/// A bill cannot fall below what is reserved on it. Void after the reservation's end, it has
/// nothing due that a late confirmation could be for.
#[test]
fn a_bill_changed_around_a_reservation() {
    let mut world = World::funded();
    let payment = world.authorised("ORDER0001", 40_000);
    let bed = |due_fen| NewLine { fee_type: FeeType::Bed, due_fen, paid_elsewhere_fen: 0 };
    let amend = |due_fen| AmendBill {
        bill: name(BILL),
        expected_version: 0,
        lines: vec![bed(due_fen)],
        reason: "fewer days".into(),
    };
    let void = VoidBill { bill: name(BILL), reason: "wrong elder".into() };
    assert_eq!(said(world.execute(HEBEI, &amend(39_999))).0, Reason::BillLineBelowPaid);
    assert_eq!(said(world.execute(HEBEI, &void)).0, Reason::BillLineBelowPaid);
    world.execute(HEBEI, &amend(40_000)).unwrap();
    assert_eq!(world.line(FeeType::Bed).open_fen(), 0);

    world.execute(UNIONPAY, &end(&payment, ReservationEnd::Reversed)).unwrap();
    world.execute(HEBEI, &void).unwrap();
    world.execute(UNIONPAY, &confirm(&payment)).unwrap();
    let late = world.payment(&name(&payment.payment));
    run(&mut world, TODAY, vec![line_of(&late)]);
    assert_eq!(open(&world), [BreakClass::LateConfirmation]);
    resolve(&mut world, BreakClass::LateConfirmation, Resolution::Accept);
    run(&mut world, TODAY, vec![line_of(&late)]);
    assert_eq!(open(&world), [BreakClass::BillExceeded], "paid on a void bill");
    assert!(world.sim.get::<BillRow>(key![BILL.to_owned()]).is_some());
}

/// In the file, then refunded in parts over months, the refunds in the files of their own dates.
#[test]
fn refunded_long_after_it_was_matched() {
    let mut world = World::funded();
    let payment = confirmed(&mut world);
    assert_eq!(run(&mut world, TODAY, vec![line_of(&payment)]), RunState::Balanced);
    let payable = Account::payable(&book(), name(INSTITUTION).id(), &who(UNIONPAY));
    let paid_out = world.posted(&payable);
    for (date, order, amount_fen) in [("2026-12-10", "REFUND0001", 15_000), ("2027-10-20", "REFUND0002", 25_000)] {
        world.now = day(date).starts_at().plus_us(10 * HOUR_US);
        world.execute(UNIONPAY, &refund(&world, &payment, order, amount_fen)).unwrap();
        let line = SettlementLine {
            kind: LineKind::Refund,
            order_id: order.into(),
            transaction_time: world.now,
            amount_fen,
            fee_fen: 0,
            original_order_id: Some(payment.order_id.clone()),
            ..line_of(&payment)
        };
        assert_eq!(run(&mut world, date, vec![line]), RunState::Balanced, "{date}");
        assert_eq!(world.posted(&Account::clearing(&book(), &who(UNIONPAY), day(date))), 0);
    }
    assert_eq!(world.posted(&money()), 60_000, "all of it is the elder's again");
    assert_eq!(paid_out - world.posted(&payable), 40_000, "and the institution's no more");
    assert_eq!((world.line(FeeType::Bed).posted_fen, open(&world)), (0, vec![]));
}

fn contradiction(world: &World) -> BreakRow {
    world.sim.all::<BreakRow>().into_iter().find(|b| b.class == BreakClass::Contradiction).unwrap()
}

/// Reversed after it was confirmed: refused, moving nothing, and kept until somebody has looked into it.
#[test]
fn a_contradictory_message_is_refused_and_kept() {
    let mut world = World::funded();
    let payment = confirmed(&mut world);
    let before = world.sim.transfers.len();
    let reverse = end(&payment, ReservationEnd::Reversed);
    let decision = world.execute(UNIONPAY, &reverse).unwrap();
    assert_eq!((decision.leaves.len(), decision.leaves[0].kind), (1, CONTRADICTED));
    let kept = contradiction(&world);
    let answer = refusal_of_contradiction(&kept).unwrap();
    assert_eq!((answer.reason, answer.field.as_deref()), (Reason::StateNotAllowed, Some("payment")));
    assert!(answer.message_en().contains("is CONFIRMED; this needs RESERVED"), "{answer}");
    assert_eq!((kept.subject.as_str(), kept.amount_fen, kept.version), (payment.payment.as_str(), 40_000, 1));

    // Again, and another: one finding, a version for each message.
    world.execute(UNIONPAY, &reverse).unwrap();
    assert_eq!((contradiction(&world).version, open(&world)), (2, vec![BreakClass::Contradiction]));
    assert_eq!(world.payment(&name(&payment.payment)), payment);
    assert_eq!(world.sim.transfers.len(), before);

    // The day is not green with it, is when it is resolved, and a new message opens it again.
    assert_eq!(run(&mut world, TODAY, vec![line_of(&payment)]), RunState::WithBreaks);
    resolve(&mut world, BreakClass::Contradiction, Resolution::Justified);
    assert_eq!(run(&mut world, TODAY, vec![line_of(&payment)]), RunState::Balanced);
    world.execute(UNIONPAY, &reverse).unwrap();
    let again = contradiction(&world);
    assert_eq!((again.state, again.version, again.resolution), (BreakState::New, 5, None));
    // What somebody else says of it is not even looked at.
    let own = said(world.execute(BANK, &reverse));
    assert_eq!(own, reason(Reason::NotYourRecord, "payment"));
}

/// Credited, though the month was taken back meanwhile: booked, and asked back. Not credited after
/// all: kept.
#[test]
fn a_credit_against_a_clawback_and_a_failure_after_a_credit() {
    let mut world = World::funded();
    let grant: Name = world.execute(BEIJING, &grant("2026-12")).unwrap().record();
    world.execute(BEIJING, &ClawBackGrant { grant: grant.clone(), reason: "wrong level".into() }).unwrap();
    let report = |outcome| ReportCredit { grant: grant.clone(), outcome };
    let credited = report(CreditOutcome::Credited { amount_fen: 60_000 });
    let decision = world.execute(UNIONPAY, &credited).unwrap();
    let booked: Vec<EntryKind> = entries(&decision).into_iter().map(|(entry, ..)| entry).collect();
    assert_eq!(booked, [EntryKind::MonthGranted, EntryKind::Credited]);
    let row = world.grant(&grant);
    assert_eq!((row.state, row.credited_fen, row.clawed_back_fen), (GrantState::ClawbackRequested, 60_000, 0));
    assert!(
        decision.leaves[0]
            .audience
            .iter()
            .any(|(to, topic)| to.as_str() == UNIONPAY && topic.as_str() == "INSTRUCTION")
    );
    assert_eq!(world.posted(&money()), 120_000);
    world.check_identities();

    let failed = report(CreditOutcome::Failed { reason: "returned".into() });
    let decision = world.execute(UNIONPAY, &failed).unwrap();
    assert_eq!((decision.leaves[0].kind, entries(&decision)), (CONTRADICTED, vec![]));
    let answer = refusal_of_contradiction(&contradiction(&world)).unwrap();
    assert_eq!(answer.field.as_deref(), Some("grant"));
    assert_eq!(world.grant(&grant), row);
}

/// A failed credit is a finding at once, whether or not a run meets the elder, until it succeeds.
#[test]
fn a_failed_credit_is_found_at_once() {
    let mut world = World::funded();
    let grant = world.execute(BEIJING, &grant("2026-12")).unwrap().record();
    let failed = ReportCredit { grant: grant.clone(), outcome: CreditOutcome::Failed { reason: "closed".into() } };
    for _ in 0..2 {
        world.execute(UNIONPAY, &failed).unwrap();
        assert_eq!(open(&world), [BreakClass::CreditFailed]);
    }
    // A payment's run finds nothing that is not known.
    let payment = confirmed(&mut world);
    run(&mut world, TODAY, vec![line_of(&payment)]);
    assert_eq!(world.sim.all::<BreakRow>().len(), 1);
    world.now = world.now.plus_us(DAY_US);
    let credited = ReportCredit { grant, outcome: CreditOutcome::Credited { amount_fen: 60_000 } };
    world.execute(UNIONPAY, &credited).unwrap();
    assert_eq!(open(&world), []);
}
