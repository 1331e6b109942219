//! What a state allows beside the table of `docs/payments.md`, and who is told.

use super::super::world::*;
use super::super::*;
use super::journal::{end, instructed, refund};
use crate::key;
use crate::rejection::Reason;

#[test]
fn only_what_was_instructed_is_rejected_or_cancelled() {
    let mut world = World::funded();
    let row = world.authorised("ORDER0001", 40_000);
    for (caller, how) in [(UNIONPAY, ReservationEnd::Rejected), (BEIJING, ReservationEnd::Cancelled)] {
        let refusal = world.execute(caller, &end(&row, how)).unwrap_err();
        assert_eq!(refusal.reason, Reason::StateNotAllowed);
        assert!(refusal.message_en().contains("AUTHORISED"), "{refusal}");
    }
}

#[test]
fn a_refunded_or_matched_payment_is_not_voided() {
    let mut world = World::funded();
    let row = super::journal::confirmed(&mut world);
    world.execute(UNIONPAY, &refund(&world, &row, "REFUND0001", 100)).unwrap();
    let void = VoidPayment { payment: name(&row.payment), reason: "r".into() };
    assert!(world.execute(UNIONPAY, &void).unwrap_err().message_en().contains("REFUNDED"));

    let mut world = World::funded();
    let row = super::journal::confirmed(&mut world);
    world.sim.given(&PaymentRow { matched_by: Some("files/f#2".into()), ..row });
    assert!(world.execute(UNIONPAY, &void).unwrap_err().message_en().contains("MATCHED"));
}

#[test]
fn cancelling_tells_the_channel_and_confirming_tells_all() {
    let mut world = World::funded();
    let row = instructed(&mut world);
    let decision = world.execute(BEIJING, &end(&row, ReservationEnd::Cancelled)).unwrap();
    let told: Vec<String> = decision.leaves[0].audience.iter().map(|(p, topic)| format!("{p} {topic}")).collect();
    let expected =
        ["channels/unionpay EVENT", "channels/unionpay INSTRUCTION", "regions/110000 EVENT", "regions/130000 EVENT"];
    assert_eq!(told, expected);
    assert!(world.sim.get::<PaymentRow>(key![row.payment]).is_some());
}
