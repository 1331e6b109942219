//! LEDGER.md's entries, one row per event: accounts and amounts.

use EntryKind::*;

use super::super::world::*;
use super::super::*;
use crate::ledger::EntryKind;
use crate::names::Name;
use crate::time::DAY_US;

const ACCOUNT: &str = "entitlement[elder, unionpay]";
const TODAYS: &str = "clearing[unionpay, 2026-11-20]";
const TOMORROWS: &str = "clearing[unionpay, 2026-11-21]";
const SUSPENSE: &str = "suspense[unionpay]";

pub fn confirm(payment: &PaymentRow) -> ConfirmPayment {
    ConfirmPayment {
        payment: name(&payment.payment),
        amount_fen: payment.amount_fen,
        transaction_time: None,
        clearing_date: None,
    }
}

pub fn end(payment: &PaymentRow, end: ReservationEnd) -> EndReservation {
    EndReservation { payment: name(&payment.payment), end, reason: "declined".into() }
}

/// An authorised payment of 400 yuan, confirmed.
pub fn confirmed(world: &mut World) -> PaymentRow {
    let payment = world.authorised("ORDER0001", 40_000);
    world.execute(UNIONPAY, &confirm(&payment)).unwrap();
    world.payment(&name(&payment.payment))
}

fn spend(world: &mut World, amount_fen: i64) {
    let advice = AdvisePayment {
        ask: ask(amount_fen),
        merchant_id: "M1".into(),
        order_id: "ADVICE0001".parse().unwrap(),
        transaction_time: world.now,
        clearing_date: None,
    };
    world.execute(UNIONPAY, &advice).unwrap();
}

#[test]
fn authorised() {
    let mut world = World::funded();
    let decision = world.execute(UNIONPAY, &authorise(world.now, "ORDER0001", 40_000)).unwrap();
    assert_eq!(entries(&decision), [entry(Authorised, "held", ACCOUNT, TODAYS, 40_000)]);
    world.check_identities();
}

#[test]
fn rejected_reversed_cancelled() {
    use ReservationEnd::{Cancelled, Rejected, Reversed};
    for (how, caller) in [(Reversed, UNIONPAY), (Rejected, UNIONPAY), (Cancelled, BEIJING)] {
        let mut world = World::funded();
        let payment = instructed(&mut world);
        let decision = world.execute(caller, &end(&payment, how)).unwrap();
        assert_eq!(entries(&decision), [entry(HoldReversed, "held", TODAYS, ACCOUNT, 40_000)], "{how:?}");
        assert_eq!((world.held(&money()), world.posted(&money())), (0, 60_000));
        assert_eq!(world.payment(&name(&payment.payment)).reason, "declined");
        world.check_identities();
    }
}

pub fn instructed(world: &mut World) -> PaymentRow {
    let command =
        InstructPayment { mandate: name(MANDATE), bill: name(BILL), fee_type: FeeType::Bed, amount_fen: 40_000 };
    let decision = world.execute(BEIJING, &command).unwrap();
    assert_eq!(entries(&decision), [entry(Authorised, "held", ACCOUNT, TODAYS, 40_000)]);
    world.payment(&decision.record())
}

#[test]
fn confirmed_posts_on_the_channels_date_and_reverses_the_hold_on_its_own() {
    let mut world = World::funded();
    let payment = world.authorised("ORDER0001", 40_000);
    let command = ConfirmPayment { clearing_date: Some(day("2026-11-21")), ..confirm(&payment) };
    let decision = world.execute(UNIONPAY, &command).unwrap();
    let expected =
        [entry(HoldReversed, "held", TODAYS, ACCOUNT, 40_000), entry(Confirmed, "posted", ACCOUNT, TOMORROWS, 40_000)];
    assert_eq!(entries(&decision), expected);
    let row = world.payment(&name(&payment.payment));
    assert_eq!((row.clearing_date, row.authorised_on), (day("2026-11-21"), day(TODAY)));
    assert_eq!((world.held(&money()), world.posted(&money())), (0, 20_000));
    world.check_identities();
}

#[test]
fn an_instructed_payment_gets_the_channels_time() {
    let mut world = World::funded();
    let payment = instructed(&mut world);
    assert_eq!(payment.order_id.len(), 32);
    let later = world.now.plus_us(60_000_000);
    world.now = world.now.plus_us(120_000_000);
    assert_eq!(
        said(world.execute(UNIONPAY, &confirm(&payment))),
        reason(crate::rejection::Reason::FieldMissing, "transaction_time_us")
    );
    let command = ConfirmPayment { transaction_time: Some(later), ..confirm(&payment) };
    world.execute(UNIONPAY, &command).unwrap();
    assert_eq!(world.payment(&name(&payment.payment)).transaction_time_us, later);
}

#[test]
fn advice_overdraws_and_exceeds_the_bill() {
    let mut world = World::funded();
    let advice = AdvisePayment {
        ask: ask(250_000),
        merchant_id: "M1".into(),
        order_id: "ADVICE0001".parse().unwrap(),
        transaction_time: world.now,
        clearing_date: None,
    };
    let decision = world.execute(UNIONPAY, &advice).unwrap();
    assert_eq!(entries(&decision), [entry(Advised, "posted", ACCOUNT, TODAYS, 250_000)]);
    assert_eq!(world.posted(&money()), -190_000);
    assert_eq!(world.line(FeeType::Bed).open_fen(), -50_000);
    let unmet: Vec<String> = world.payment(&decision.record()).unmet.0.into_iter().map(|u| u.detail).collect();
    assert_eq!(unmet, ["LINE_EXCEEDED (200000)", "FUNDS_SHORT (60000)"]);
    world.check_identities();
}

#[test]
fn voided_the_same_clearing_date() {
    let mut world = World::funded();
    let payment = confirmed(&mut world);
    let void = VoidPayment { payment: name(&payment.payment), reason: "wrong elder".into() };
    let decision = world.execute(UNIONPAY, &void).unwrap();
    assert_eq!(entries(&decision), [entry(Voided, "posted", TODAYS, ACCOUNT, 40_000)]);
    assert_eq!(world.posted(&money()), 60_000);
    world.check_identities();
}

#[test]
fn refunded_in_parts_to_the_same_account() {
    let mut world = World::funded();
    let payment = confirmed(&mut world);
    world.now = world.now.plus_us(DAY_US);
    for (order, amount_fen) in [("REFUND0001", 15_000), ("REFUND0002", 25_000)] {
        let decision = world.execute(UNIONPAY, &refund(&world, &payment, order, amount_fen)).unwrap();
        assert_eq!(entries(&decision), [entry(RefundConfirmed, "posted", TOMORROWS, ACCOUNT, amount_fen)]);
        let kinds: Vec<_> = decision.leaves.iter().map(|leaf| leaf.kind).collect();
        assert_eq!(kinds, ["refund.confirmed", "payment.refunded"]);
    }
    let row = world.payment(&name(&payment.payment));
    assert_eq!((row.refunded_fen, row.state, row.version), (40_000, PaymentState::Confirmed, 4));
    assert_eq!(world.posted(&money()), 60_000);
    world.check_identities();
}

pub fn refund(world: &World, payment: &PaymentRow, order: &str, amount_fen: i64) -> RefundPayment {
    RefundPayment {
        payment: name(&payment.payment),
        order_id: order.parse().unwrap(),
        amount_fen,
        transaction_time: world.now,
        clearing_date: None,
        reason: String::new(),
    }
}

/// Late: suspense → clearing, and what the elder still has of it is kept.
#[test]
fn late_confirmation() {
    for (spent, kept) in [(0, 40_000), (45_000, 15_000), (60_000, 0), (80_000, 0)] {
        let mut world = World::funded();
        let payment = world.authorised("ORDER0001", 40_000);
        world.execute(UNIONPAY, &end(&payment, ReservationEnd::Reversed)).unwrap();
        if spent > 0 {
            spend(&mut world, spent);
        }
        let decision = world.execute(UNIONPAY, &confirm(&payment)).unwrap();
        let mut expected = vec![entry(LateConfirmation, "posted", SUSPENSE, TODAYS, 40_000)];
        if kept > 0 {
            expected.push(entry(LateKept, "held", ACCOUNT, SUSPENSE, kept));
        }
        assert_eq!(entries(&decision), expected, "spent {spent}");
        let row = world.payment(&name(&payment.payment));
        assert_eq!((row.state, row.kept_fen), (PaymentState::Late, kept));
        assert_eq!(world.line(FeeType::Bed).posted_fen, spent, "a late payment is on no bill yet");
        world.check_identities();
    }
}

/// What the engine locks beside the rows written: the account, and what the decision stands on.
#[test]
fn what_is_locked() {
    let mut world = World::funded();
    let decision = world.execute(UNIONPAY, &authorise(world.now, "ORDER0001", 40_000)).unwrap();
    let named = |keys: Vec<(&'static crate::row::TableSpec, Vec<crate::value::Value>)>| {
        keys.into_iter().map(|(spec, key)| format!("{} {}", spec.name, key[0])).collect::<Vec<_>>()
    };
    assert_eq!(named(decision.guards()), [format!("accounts {}", money())]);
    let relied_on = named(decision.relied_on().cloned().collect());
    let expected =
        ["contracts contracts/c1", "stays stays/s1", "recognitions recognitions/r1-110000", "records assessments/a1"];
    assert_eq!(relied_on, expected);
    let command: Name = name(MANDATE);
    let instruct = InstructPayment { mandate: command, bill: name(BILL), fee_type: FeeType::Bed, amount_fen: 100 };
    let decision = world.execute(BEIJING, &instruct).unwrap();
    assert!(named(decision.guards()).contains(&format!("mandates {MANDATE}")));
    let december = world.execute(BEIJING, &grant("2026-12")).unwrap();
    assert_eq!(named(december.guards()), [format!("persons {ELDER}")]);
}
