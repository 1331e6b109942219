//! Queries: when a channel is asked, whom it is told, and when it ends.

use super::super::world::*;
use super::super::*;
use crate::key;
use crate::policy::PolicyKind;
use crate::rejection::Reason;
use crate::time::HOUR_US;

const MINUTE_US: i64 = 60_000_000;

fn ask(world: &mut World, payment: &PaymentRow) -> Result<crate::decision::Decision, crate::rejection::Rejection> {
    world.execute("gateway", &QueryPayment { payment: name(&payment.payment) })
}

fn is_due(world: &World, payment: &PaymentRow) -> bool {
    let query = QueryPayment { payment: name(&payment.payment) };
    world.sim.read(|snapshot| query.is_due(snapshot, world.now)).unwrap()
}

/// Lets time pass up to the query: refused a microsecond before, asked then; how long it took.
fn wait_and_ask(world: &mut World, payment: &PaymentRow, wait_us: i64) {
    let due = world.now.plus_us(wait_us);
    world.now = due.plus_us(-1);
    assert!(!is_due(world, payment), "not before {wait_us}");
    assert_eq!(said(ask(world, payment)), reason(Reason::StateNotAllowed, "payment"));
    world.now = due;
    assert!(is_due(world, payment), "after {wait_us}");
    ask(world, payment).unwrap();
    assert!(!is_due(world, payment));
}

#[test]
fn intervals_double_up_to_the_most() {
    let mut world = World::funded();
    let payment = world.authorised("ORDER0001", 10_000);
    for minutes in [1, 2, 4, 8, 16, 32, 64, 128, 256, 360, 360] {
        wait_and_ask(&mut world, &payment, minutes * MINUTE_US);
    }
    let query: PaymentQueryRow = world.sim.get(key![payment.payment.clone()]).unwrap();
    assert_eq!((query.times_asked, query.due_at_us), (11, world.now.plus_us(6 * HOUR_US)));
    assert_eq!(world.payment(&name(&payment.payment)), payment, "a question leaves the payment as it is");
    world.check_identities();
}

#[test]
fn intervals_are_the_channels_policy_of_the_day() {
    let mut world = World::funded();
    let shortest = |world: &World| world.sim.read(|s| shortest_wait_us(s, world.now.date())).unwrap();
    assert_eq!(shortest(&world), MINUTE_US);
    world.set(PolicyKind::Channel, "unionpay", |body| {
        body["queries"] = serde_json::json!({"first_s": 10, "most_s": 15});
    });
    assert_eq!(shortest(&world), MINUTE_US / 6);
    let payment = world.authorised("ORDER0001", 10_000);
    for seconds in [10, 15, 15] {
        wait_and_ask(&mut world, &payment, seconds * 1_000_000);
    }
    // A policy from before there were queries asks by the default.
    world.set(PolicyKind::Channel, "unionpay", |body| drop(body.as_object_mut().unwrap().remove("queries")));
    let other = world.authorised("ORDER0002", 10_000);
    wait_and_ask(&mut world, &other, MINUTE_US);
}

#[test]
fn the_region_is_told_and_the_channel_instructed() {
    let mut world = World::funded();
    let payment = world.authorised("ORDER0001", 10_000);
    for times in 1..=2 {
        world.now = world.now.plus_us(HOUR_US);
        let decision = ask(&mut world, &payment).unwrap();
        let [leaf] = &decision.leaves[..] else { panic!("one leaf") };
        let record = payment.payment.replace("payments/", "paymentQueries/");
        assert_eq!((leaf.kind, leaf.record.as_str(), leaf.version), ("payment.queried", record.as_str(), times));
        let told: Vec<String> = leaf.audience.iter().map(|(p, topic)| format!("{p} {topic}")).collect();
        assert_eq!(told, ["channels/unionpay INSTRUCTION", "regions/110000 EVENT"]);
        assert!(leaf.transfers.is_empty());
    }
}

#[test]
fn an_answered_payment_is_asked_about_no_more() {
    let end = |end| {
        move |payment: &PaymentRow| -> Box<dyn crate::decision::Command> {
            Box::new(EndReservation { payment: name(&payment.payment), end, reason: "r".into() })
        }
    };
    let confirm = |payment: &PaymentRow| -> Box<dyn crate::decision::Command> {
        let (payment, amount_fen) = (name(&payment.payment), payment.amount_fen);
        Box::new(ConfirmPayment { payment, amount_fen, transaction_time: None, clearing_date: None })
    };
    type Answer = Box<dyn Fn(&PaymentRow) -> Box<dyn crate::decision::Command>>;
    let answers: [Answer; 2] = [Box::new(confirm), Box::new(end(ReservationEnd::Reversed))];
    for (asked_before, answer) in [false, true].into_iter().flat_map(|b| answers.iter().map(move |a| (b, a))) {
        let mut world = World::funded();
        let payment = world.authorised("ORDER0001", 10_000);
        if asked_before {
            wait_and_ask(&mut world, &payment, MINUTE_US);
        }
        world.execute(UNIONPAY, &*answer(&payment)).unwrap();
        world.now = world.now.plus_us(HOUR_US);
        assert!(!is_due(&world, &payment));
        assert_eq!(said(ask(&mut world, &payment)), reason(Reason::StateNotAllowed, "payment"));
        world.check_identities();
    }
}
