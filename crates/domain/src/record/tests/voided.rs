//! What was paid on a record that is taken away with effect from earlier.

use super::*;
use crate::care::bill::FeeType;
use crate::payment::{Origin, PaymentRow, PaymentState, StandsOn};
use crate::recon::{BreakClass, BreakRow};
use crate::value::Json;

/// A payment of a day at noon that stands on some records as they are now.
fn paid(world: &World, id: &str, on: &str, state: PaymentState, stands_on: Vec<StandsOn>) -> PaymentRow {
    let at = day(on).starts_at().plus_us(12 * HOUR_US);
    PaymentRow {
        payment: format!("payments/{id}"),
        origin: Origin::Authorised,
        channel: "channels/unionpay".parse().unwrap(),
        merchant_id: "898110000000001".into(),
        order_id: id.into(),
        person: ELDER.into(),
        contract: "contracts/1".into(),
        bill: "bills/1".into(),
        fee_type: FeeType::Bed,
        institution: INSTITUTION.into(),
        institution_region: region(HEBEI),
        region: region(BEIJING),
        programme: "care_subsidy".into(),
        amount_fen: 60_000,
        state,
        transaction_time_us: at,
        clearing_date: at.clearing_date(),
        authorised_on: at.clearing_date(),
        mandate: None,
        stands_on: Json(stands_on),
        unmet: Json(Vec::new()),
        consent_sha256: None,
        refunded_fen: 0,
        kept_fen: 0,
        matched_by: None,
        reason: String::new(),
        recorded_at_us: world.now,
        version: 2,
    }
}

fn stands_on(record: &str, version: i64) -> Vec<StandsOn> {
    vec![StandsOn { record: record.into(), version }]
}

/// The payments that have a finding.
fn found(world: &World) -> Vec<String> {
    let breaks: Vec<BreakRow> = world.sim.all();
    assert!(breaks.iter().all(|b| b.class == BreakClass::PaidAfterRevocation && b.amount_fen == 60_000));
    let mut subjects: Vec<_> = breaks.into_iter().map(|b| b.subject).collect();
    subjects.sort();
    subjects
}

#[test]
fn payments_on_a_recognition_of_a_rating_revoked_from_earlier() {
    use PaymentState::{Confirmed, Expired, Late, Reserved, Reversed};
    let mut world = World::on("2025-06-10");
    let name = world.publish(HEBEI, &rating("2025-01-02")).unwrap();
    let recognition = world.recognition(&name, BEIJING).unwrap().recognition;
    let on_it = || stands_on(&recognition, 1);
    for (id, on, state, relied) in [
        ("a-before", "2025-05-31", Confirmed, on_it()),
        ("b-first-day", "2025-06-01", Confirmed, on_it()),
        ("c-late", "2025-06-05", Late, on_it()),
        ("d-reserved", "2025-06-05", Reserved, on_it()),
        ("e-reversed", "2025-06-05", Reversed, on_it()),
        ("f-expired", "2025-06-05", Expired, on_it()),
        ("g-other", "2025-06-05", Confirmed, stands_on("contracts/1", 1)),
        ("h-today", "2025-06-10", Confirmed, on_it()),
    ] {
        world.sim.given(&paid(&world, id, on, state, relied));
    }
    let decision = world.change(HEBEI, &change(&name, RecordState::Revoked, day("2025-06-01"))).unwrap();
    assert_eq!(found(&world), ["payments/b-first-day", "payments/c-late", "payments/h-today"]);
    assert_eq!(told(&decision, "break.opened"), [BEIJING, HEBEI].map(String::from).into());
    let row: BreakRow = world.sim.all().remove(0);
    let detail: Vec<_> = row.fields.0.iter().map(|d| (d.field.as_str(), d.ledger.as_str())).collect();
    assert_eq!(detail, [(recognition.as_str(), "version 1")]);
    assert!(row.fields.0[0].channel.starts_with("REVOKED since 2025-06-01"), "{row:?}");
}

#[test]
fn suspended_reinstated_and_suspended_again_finds_each_payment_once() {
    let mut world = World::on("2025-06-10");
    let name = world.publish(HEBEI, &rating("2025-01-02")).unwrap();
    let recognition = world.recognition(&name, BEIJING).unwrap().recognition;
    world.sim.given(&paid(&world, "a", "2025-06-05", PaymentState::Confirmed, stands_on(&recognition, 1)));
    for to in [RecordState::Suspended, RecordState::Valid, RecordState::Suspended] {
        world.change(HEBEI, &change(&name, to, day("2025-06-01"))).unwrap();
        assert_eq!(found(&world), ["payments/a"]);
    }
    // What was paid on a later version is not touched by the first suspension.
    world.change(HEBEI, &change(&name, RecordState::Valid, day("2025-06-10"))).unwrap();
    let version = world.recognition(&name, BEIJING).unwrap().version;
    world.sim.given(&paid(&world, "b", "2025-06-10", PaymentState::Confirmed, stands_on(&recognition, version)));
    world.change(HEBEI, &change(&name, RecordState::Revoked, day("2025-06-10"))).unwrap();
    assert_eq!(found(&world), ["payments/a", "payments/b"]);
}

#[test]
fn own_records_and_persons() {
    let mut world = World::on("2025-06-10");
    let name = world.publish(BEIJING, &assessment(&claim(Standard::Gb42195), "2025-01-02", "2027-01-01")).unwrap();
    world.sim.given(&paid(&world, "a", "2025-06-05", PaymentState::Confirmed, stands_on(name.as_str(), 1)));
    // Suspended from today: what was paid before stands.
    world.change(BEIJING, &change(&name, RecordState::Suspended, day("2025-06-10"))).unwrap();
    assert_eq!(found(&world), [""; 0]);
    world.change(BEIJING, &change(&name, RecordState::Cancelled, day("2025-06-05"))).unwrap();
    assert_eq!(found(&world), ["payments/a"]);
}

#[test]
fn a_validity_cut_short_finds_what_was_paid_after_it() {
    let mut world = World::on("2025-06-10");
    let name = world.publish(HEBEI, &rating("2025-01-02")).unwrap();
    let recognition = world.recognition(&name, BEIJING).unwrap().recognition;
    for (id, on) in [("a", "2025-06-01"), ("b", "2025-06-02")] {
        world.sim.given(&paid(&world, id, on, PaymentState::Confirmed, stands_on(&recognition, 1)));
    }
    let amend = ChangeRecord {
        new_valid_until: Some(day("2025-06-01")),
        ..change(&name, RecordState::Amended, day("2025-06-01"))
    };
    world.change(HEBEI, &amend).unwrap();
    assert_eq!(found(&world), ["payments/b"]);
}

#[test]
fn what_is_replaced_downgraded_or_set_aside_by_the_recognizer_finds_nothing() {
    let mut world = World::on("2025-06-10");
    let name = world.publish(HEBEI, &rating("2025-01-02")).unwrap();
    let recognition = world.recognition(&name, BEIJING).unwrap().recognition;
    world.sim.given(&paid(&world, "a", "2025-06-10", PaymentState::Confirmed, stands_on(&recognition, 1)));
    let down = ChangeRecord { new_level: Some(2), ..change(&name, RecordState::Downgraded, day("2025-06-01")) };
    world.change(HEBEI, &down).unwrap();
    world.decide(BEIJING, &name, Verdict::Suspend).unwrap();
    world.publish(HEBEI, &rating("2025-06-01")).unwrap();
    assert_eq!(found(&world), [""; 0]);
}

#[test]
fn findings_reach_four_hundred_days_back() {
    let mut world = World::on("2025-06-10");
    let name = world.publish(HEBEI, &rating("2023-06-10")).unwrap();
    let recognition = world.recognition(&name, BEIJING).unwrap().recognition;
    let last = world.today();
    for (id, days) in [("a", 401), ("b", 400)] {
        let on = last.plus_days(-days).to_string();
        world.sim.given(&paid(&world, id, &on, PaymentState::Confirmed, stands_on(&recognition, 1)));
    }
    world.change(HEBEI, &change(&name, RecordState::Revoked, day("2023-06-10"))).unwrap();
    assert_eq!(found(&world), ["payments/b"]);
}

#[test]
fn what_was_paid_before_the_region_set_it_aside_is_found_all_the_same() {
    for verdict in [Verdict::Suspend, Verdict::Decline] {
        let mut world = World::on("2025-06-10");
        let name = world.publish(HEBEI, &rating("2025-01-02")).unwrap();
        let recognition = world.recognition(&name, BEIJING).unwrap().recognition;
        world.sim.given(&paid(&world, "a", "2025-06-05", PaymentState::Confirmed, stands_on(&recognition, 1)));
        world.decide(BEIJING, &name, verdict).unwrap();
        assert_eq!(found(&world), [""; 0], "the region's own word takes nothing away");
        world.change(HEBEI, &change(&name, RecordState::Revoked, day("2025-06-01"))).unwrap();
        assert_eq!(found(&world), ["payments/a"], "{verdict}");
    }
}

#[test]
fn a_revocation_dated_back_further_finds_more() {
    let mut world = World::on("2025-06-10");
    let name = world.publish(HEBEI, &rating("2025-01-02")).unwrap();
    let recognition = world.recognition(&name, BEIJING).unwrap().recognition;
    for (id, on) in [("a", "2025-05-10"), ("b", "2025-06-05")] {
        world.sim.given(&paid(&world, id, on, PaymentState::Confirmed, stands_on(&recognition, 1)));
    }
    world.change(HEBEI, &change(&name, RecordState::Suspended, day("2025-06-01"))).unwrap();
    assert_eq!(found(&world), ["payments/b"]);
    world.change(HEBEI, &change(&name, RecordState::Revoked, day("2025-05-01"))).unwrap();
    assert_eq!(found(&world), ["payments/a", "payments/b"]);
    assert_eq!(world.recognition(&name, BEIJING).unwrap().void_from(), Some(day("2025-05-01")));
}
