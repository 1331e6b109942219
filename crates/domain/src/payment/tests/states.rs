//! Every command in every state: where it leads, or that it is refused and changes nothing.

use PaymentState::*;

use super::super::world::*;
use super::super::*;
use super::journal::refund;
use crate::decision::Command;
use crate::key;
use crate::rejection::Reason;

/// A payment in a state, reached by commands alone where they can reach it.
fn in_state(state: PaymentState, origin: Origin) -> (World, PaymentRow) {
    let mut world = World::funded();
    let payment = match origin {
        Origin::Instructed => {
            let command = InstructPayment {
                mandate: name(MANDATE),
                bill: name(BILL),
                fee_type: FeeType::Bed,
                amount_fen: 40_000,
            };
            let decision = world.execute(BEIJING, &command).unwrap();
            world.payment(&decision.record())
        }
        Origin::Authorised | Origin::Advised => world.authorised("ORDER0001", 40_000),
    };
    let confirm = confirm(&world, &payment);
    let end = |end| EndReservation { payment: name(&payment.payment), end, reason: "r".into() };
    match state {
        Reserved => {}
        Confirmed => drop(world.execute(UNIONPAY, &confirm).unwrap()),
        Reversed => drop(world.execute(UNIONPAY, &end(ReservationEnd::Reversed)).unwrap()),
        Rejected => drop(world.execute(UNIONPAY, &end(ReservationEnd::Rejected)).unwrap()),
        Cancelled => drop(world.execute(BEIJING, &end(ReservationEnd::Cancelled)).unwrap()),
        Voided => {
            world.execute(UNIONPAY, &confirm).unwrap();
            world.execute(UNIONPAY, &VoidPayment { payment: name(&payment.payment), reason: "r".into() }).unwrap();
        }
        Late => {
            world.execute(UNIONPAY, &end(ReservationEnd::Reversed)).unwrap();
            world.execute(UNIONPAY, &confirm).unwrap();
        }
        // The run expires; as far as commands can tell it is a reversal by another name.
        Expired => {
            world.execute(UNIONPAY, &end(ReservationEnd::Reversed)).unwrap();
            let row = world.payment(&name(&payment.payment));
            world.sim.given(&PaymentRow { state: Expired, ..row });
        }
    }
    let row = world.payment(&name(&payment.payment));
    assert_eq!(row.state, state);
    (world, row)
}

fn confirm(world: &World, payment: &PaymentRow) -> ConfirmPayment {
    let transaction_time = (payment.origin == Origin::Instructed).then_some(world.now);
    let (payment, amount_fen) = (name(&payment.payment), payment.amount_fen);
    ConfirmPayment { payment, amount_fen, transaction_time, clearing_date: None }
}

#[test]
fn states_times_commands() {
    // In the order of the columns of the table in `payment/mod.rs`.
    let table = [
        (Reserved, [Some(Confirmed), Some(Reversed), Some(Rejected), Some(Cancelled), None, None]),
        (Confirmed, [None, None, None, None, Some(Voided), Some(Confirmed)]),
        (Reversed, [Some(Late), None, None, None, None, None]),
        (Rejected, [Some(Late), None, None, None, None, None]),
        (Cancelled, [Some(Late), None, None, None, None, None]),
        (Expired, [Some(Late), None, None, None, None, None]),
        (Late, [None; 6]),
        (Voided, [None; 6]),
    ];
    assert_eq!(table.len(), PaymentState::ALL.len());
    for (state, expected) in table {
        for (column, expected) in expected.into_iter().enumerate() {
            let (mut world, row) = in_state(state, Origin::Instructed);
            let end = |end| EndReservation { payment: name(&row.payment), end, reason: "r".into() };
            let commands: [(&str, Box<dyn Command>); 6] = [
                (UNIONPAY, Box::new(confirm(&world, &row))),
                (UNIONPAY, Box::new(end(ReservationEnd::Reversed))),
                (UNIONPAY, Box::new(end(ReservationEnd::Rejected))),
                (BEIJING, Box::new(end(ReservationEnd::Cancelled))),
                (UNIONPAY, Box::new(VoidPayment { payment: name(&row.payment), reason: "r".into() })),
                (UNIONPAY, Box::new(refund(&world, &row, "REFUND0001", 10_000))),
            ];
            let (caller, command) = &commands[column];
            let before = world.sim.transfers.len();
            let result = world.execute(caller, command.as_ref());
            let after = world.payment(&name(&row.payment));
            match expected {
                Some(expected) => {
                    result.unwrap_or_else(|e| panic!("{state} column {column}: {e}"));
                    assert_eq!((after.state, after.version), (expected, row.version + 1), "{state} column {column}");
                }
                None => {
                    assert_eq!(said(result), reason(Reason::StateNotAllowed, "payment"), "{state} column {column}");
                    assert_eq!((after, world.sim.transfers.len()), (row, before));
                }
            }
            world.check_identities();
        }
    }
}

#[test]
fn only_what_was_instructed_is_rejected_or_cancelled() {
    let (mut world, row) = in_state(Reserved, Origin::Authorised);
    for (caller, how) in [(UNIONPAY, ReservationEnd::Rejected), (BEIJING, ReservationEnd::Cancelled)] {
        let command = EndReservation { payment: name(&row.payment), end: how, reason: "r".into() };
        let refusal = world.execute(caller, &command).unwrap_err();
        assert_eq!(refusal.reason, Reason::StateNotAllowed);
        assert!(refusal.message_en().contains("AUTHORISED"), "{refusal}");
    }
}

#[test]
fn a_refunded_or_matched_payment_is_not_voided() {
    let (mut world, row) = in_state(Confirmed, Origin::Authorised);
    world.execute(UNIONPAY, &refund(&world, &row, "REFUND0001", 100)).unwrap();
    let void = VoidPayment { payment: name(&row.payment), reason: "r".into() };
    assert!(world.execute(UNIONPAY, &void).unwrap_err().message_en().contains("REFUNDED"));

    let (mut world, row) = in_state(Confirmed, Origin::Authorised);
    world.sim.given(&PaymentRow { matched_by: Some("files/f#2".into()), ..row });
    assert!(world.execute(UNIONPAY, &void).unwrap_err().message_en().contains("MATCHED"));
}

#[test]
fn cancelling_tells_the_channel_and_confirming_tells_all() {
    let (mut world, row) = in_state(Reserved, Origin::Instructed);
    let command = EndReservation { payment: name(&row.payment), end: ReservationEnd::Cancelled, reason: "r".into() };
    let decision = world.execute(BEIJING, &command).unwrap();
    let told: Vec<String> = decision.leaves[0].audience.iter().map(|(p, topic)| format!("{p} {topic}")).collect();
    let expected =
        ["channels/unionpay EVENT", "channels/unionpay INSTRUCTION", "regions/110000 EVENT", "regions/130000 EVENT"];
    assert_eq!(told, expected);
    assert!(world.sim.get::<PaymentRow>(key![row.payment]).is_some());
}
