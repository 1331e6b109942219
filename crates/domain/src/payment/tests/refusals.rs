//! Every refusal of every payment command: reason and field.

use super::super::world::*;
use super::super::*;
use super::journal::refund;
use crate::care::bill::{BillLineRow, BillRow, BillState};
use crate::care::mandate::{MandateRow, MandateState};
use crate::decision::Command;
use crate::person::PersonRow;
use crate::rejection::Reason;
use crate::time::{DAY_US, HOUR_US};

fn refused(world: &mut World, caller: &str, command: &dyn Command, expected: Reason, field: &str) {
    let before = world.sim.transfers.len();
    assert_eq!(said(world.execute(caller, command)), reason(expected, field));
    assert_eq!(world.sim.transfers.len(), before);
    world.check_identities();
}

#[test]
fn authorisation() {
    let mut world = World::funded();
    world.authorised("TAKEN00001", 1_000);
    let now = world.now;
    let ok = || authorise(now, "ORDER0001", 1_000);
    let asks = |change: fn(&mut Ask)| {
        let mut command = ok();
        change(&mut command.ask);
        command
    };
    let other = |change: fn(&mut AuthorizePayment)| {
        let mut command = ok();
        change(&mut command);
        command
    };
    let table = [
        (asks(|a| a.amount_fen = 0), Reason::FieldOutOfRange, "amount_fen"),
        (asks(|a| a.amount_fen = i64::MAX), Reason::FieldOutOfRange, "amount_fen"),
        (asks(|a| a.bill = name("bills/none")), Reason::RecordNotFound, "bill"),
        (asks(|a| a.fee_type = FeeType::Other), Reason::RecordNotFound, "fee_type"),
        (asks(|a| a.programme = "Care".into()), Reason::FieldMalformed, "programme"),
        (asks(|a| a.programme = String::new()), Reason::FieldMissing, "programme"),
        (asks(|a| a.programme = "none".into()), Reason::PolicyMissing, ""),
        (asks(|a| a.region = Some(who("regions/150000"))), Reason::PolicyMissing, ""),
        (asks(|a| a.amount_fen = 60_000), Reason::InsufficientFunds, "amount_fen"),
        (asks(|a| a.fee_type = FeeType::Meal), Reason::ConditionUnmet, ""),
        (other(|c| c.order_id = "TAKEN00001".parse().unwrap()), Reason::OrderIdTaken, "order_id"),
        (other(|c| c.merchant_id = String::new()), Reason::FieldMissing, "merchant_id"),
        (other(|c| c.merchant_id = "M-1".into()), Reason::FieldMalformed, "merchant_id"),
        (other(|c| c.merchant_id = "1".repeat(16)), Reason::FieldMalformed, "merchant_id"),
        (
            other(|c| c.transaction_time = c.transaction_time.plus_us(HOUR_US)),
            Reason::FieldOutOfRange,
            "transaction_time_us",
        ),
        (
            other(|c| c.transaction_time = c.transaction_time.plus_us(-25 * HOUR_US)),
            Reason::FieldOutOfRange,
            "transaction_time_us",
        ),
    ];
    for (command, expected, field) in table {
        refused(&mut world, UNIONPAY, &command, expected, field);
    }
}

#[test]
fn the_bill_line_and_a_void_bill() {
    let mut world = World::funded();
    let line = world.line(FeeType::Bed);
    world.sim.given(&BillLineRow { due_fen: 30_000, paid_elsewhere_fen: 10_000, ..line });
    let now = world.now;
    refused(&mut world, UNIONPAY, &authorise(now, "ORDER0001", 20_001), Reason::BillLineExceeded, "amount_fen");
    world.authorised("ORDER0002", 15_000);
    refused(&mut world, UNIONPAY, &authorise(now, "ORDER0001", 5_001), Reason::BillLineExceeded, "amount_fen");
    world.authorised("ORDER0003", 5_000);
    world.sim.given(&BillRow { state: BillState::Voided, ..bill(BILL, "2026-11") });
    refused(&mut world, UNIONPAY, &authorise(now, "ORDER0001", 1), Reason::ConditionUnmet, "");
}

#[test]
fn confirmation() {
    let mut world = World::funded();
    let payment = world.authorised("ORDER0001", 40_000);
    let ok = ConfirmPayment {
        payment: name(&payment.payment),
        amount_fen: 40_000,
        transaction_time: None,
        clearing_date: None,
    };
    let table = [
        (UNIONPAY, ConfirmPayment { payment: name("payments/none"), ..ok.clone() }, Reason::RecordNotFound, "payment"),
        (BANK, ok.clone(), Reason::NotYourRecord, "payment"),
        (UNIONPAY, ConfirmPayment { amount_fen: 39_999, ..ok.clone() }, Reason::AmountMismatch, "amount_fen"),
        (
            UNIONPAY,
            ConfirmPayment { clearing_date: Some(day("2026-11-18")), ..ok.clone() },
            Reason::FieldOutOfRange,
            "clearing_date",
        ),
        (
            UNIONPAY,
            ConfirmPayment { clearing_date: Some(day("2026-11-22")), ..ok.clone() },
            Reason::FieldOutOfRange,
            "clearing_date",
        ),
        (
            UNIONPAY,
            ConfirmPayment { transaction_time: Some(world.now.plus_us(1)), ..ok.clone() },
            Reason::FieldOutOfRange,
            "transaction_time_us",
        ),
    ];
    for (caller, command, expected, field) in table {
        refused(&mut world, caller, &command, expected, field);
    }
}

#[test]
fn ends() {
    let mut world = World::funded();
    let payment = world.authorised("ORDER0001", 40_000);
    let ok = EndReservation { payment: name(&payment.payment), end: ReservationEnd::Reversed, reason: "r".into() };
    let table = [
        (UNIONPAY, EndReservation { payment: name("payments/none"), ..ok.clone() }, Reason::RecordNotFound, "payment"),
        (BANK, ok.clone(), Reason::NotYourRecord, "payment"),
        (HEBEI, EndReservation { end: ReservationEnd::Cancelled, ..ok.clone() }, Reason::NotYourRecord, "payment"),
        (UNIONPAY, EndReservation { reason: String::new(), ..ok.clone() }, Reason::FieldMissing, "reason"),
        (UNIONPAY, EndReservation { reason: "长".repeat(201), ..ok.clone() }, Reason::FieldTooLong, "reason"),
    ];
    for (caller, command, expected, field) in table {
        refused(&mut world, caller, &command, expected, field);
    }
}

#[test]
fn void_after_its_date_and_refund_out_of_its_time() {
    let mut world = World::funded();
    let payment = world.authorised("ORDER0001", 40_000);
    let confirm = ConfirmPayment {
        payment: name(&payment.payment),
        amount_fen: 40_000,
        transaction_time: None,
        clearing_date: None,
    };
    world.execute(UNIONPAY, &confirm).unwrap();
    let void = VoidPayment { payment: name(&payment.payment), reason: "r".into() };
    refused(&mut world, BANK, &void, Reason::NotYourRecord, "payment");
    refused(&mut world, UNIONPAY, &VoidPayment { reason: " ".into(), ..void.clone() }, Reason::FieldMissing, "reason");
    let ok = refund(&world, &payment, "REFUND0001", 1_000);
    let table = [
        (UNIONPAY, RefundPayment { amount_fen: 0, ..ok.clone() }, Reason::FieldOutOfRange, "amount_fen"),
        (UNIONPAY, RefundPayment { amount_fen: 40_001, ..ok.clone() }, Reason::RefundExceedsPayment, "amount_fen"),
        (UNIONPAY, RefundPayment { payment: name("payments/none"), ..ok.clone() }, Reason::RecordNotFound, "payment"),
        (BANK, ok.clone(), Reason::NotYourRecord, "payment"),
        (
            UNIONPAY,
            RefundPayment { order_id: "ORDER0001".parse().unwrap(), ..ok.clone() },
            Reason::OrderIdTaken,
            "order_id",
        ),
        (
            UNIONPAY,
            RefundPayment { clearing_date: Some(day("2026-11-19")), ..ok.clone() },
            Reason::DateOrder,
            "clearing_date",
        ),
        (
            UNIONPAY,
            RefundPayment { clearing_date: Some(day("2026-11-22")), ..ok.clone() },
            Reason::FieldOutOfRange,
            "clearing_date",
        ),
        (
            UNIONPAY,
            RefundPayment { transaction_time: world.now.plus_us(HOUR_US), ..ok.clone() },
            Reason::FieldOutOfRange,
            "transaction_time_us",
        ),
        (UNIONPAY, RefundPayment { reason: "x".repeat(201), ..ok.clone() }, Reason::FieldTooLong, "reason"),
    ];
    for (caller, command, expected, field) in table {
        refused(&mut world, caller, &command, expected, field);
    }
    world.now = world.now.plus_us(13 * HOUR_US);
    refused(&mut world, UNIONPAY, &void, Reason::ClearingDatePassed, "payment");
    // Eleven months: on 2027-10-20 still, on the 21st no more.
    world.now = day("2027-10-20").starts_at().plus_us(HOUR_US);
    world.execute(UNIONPAY, &refund(&world, &payment, "REFUND0002", 100)).unwrap();
    world.now = world.now.plus_us(DAY_US);
    let late = refund(&world, &payment, "REFUND0003", 100);
    refused(&mut world, UNIONPAY, &late, Reason::RefundTooLate, "payment");
}

#[test]
fn instruction_and_the_mandates_cap() {
    let mut world = World::funded();
    let ok = InstructPayment { mandate: name(MANDATE), bill: name(BILL), fee_type: FeeType::Bed, amount_fen: 30_000 };
    world.sim.given(&BillRow { contract: "contracts/c2".into(), ..bill("bills/other", "2026-11") });
    world.sim.given(&crate::care::contract::ContractRow { contract: "contracts/c2".into(), ..contract() });
    world.sim.given(&line("bills/other", FeeType::Bed, 200_000));
    let table = [
        (BEIJING, InstructPayment { amount_fen: 0, ..ok.clone() }, Reason::FieldOutOfRange, "amount_fen"),
        (BEIJING, InstructPayment { mandate: name("mandates/none"), ..ok.clone() }, Reason::RecordNotFound, "mandate"),
        (HEBEI, ok.clone(), Reason::NotYourRecord, "mandate"),
        (BEIJING, InstructPayment { fee_type: FeeType::Meal, ..ok.clone() }, Reason::FieldOutOfRange, "fee_type"),
        (BEIJING, InstructPayment { bill: name("bills/none"), ..ok.clone() }, Reason::RecordNotFound, "bill"),
        (BEIJING, InstructPayment { bill: name("bills/other"), ..ok.clone() }, Reason::FieldOutOfRange, "bill"),
        (BEIJING, InstructPayment { amount_fen: 50_001, ..ok.clone() }, Reason::MandateCapExceeded, "amount_fen"),
        (BEIJING, InstructPayment { amount_fen: 60_001, ..ok.clone() }, Reason::InsufficientFunds, "amount_fen"),
    ];
    for (caller, command, expected, field) in table {
        refused(&mut world, caller, &command, expected, field);
    }
    for change in [
        MandateRow { state: MandateState::Revoked, ..mandate() },
        MandateRow { valid_until: day("2026-11-19"), ..mandate() },
        MandateRow { valid_from: day("2026-11-21"), ..mandate() },
    ] {
        world.sim.given(&change);
        refused(&mut world, BEIJING, &ok, Reason::StateNotAllowed, "mandate");
    }
    world.sim.given(&mandate());
    let first = world.execute(BEIJING, &ok).unwrap().record();
    refused(
        &mut world,
        BEIJING,
        &InstructPayment { amount_fen: 20_001, ..ok.clone() },
        Reason::MandateCapExceeded,
        "amount_fen",
    );
    // What is rejected frees the cap; another month has its own.
    let reject = EndReservation { payment: first, end: ReservationEnd::Rejected, reason: "r".into() };
    world.execute(UNIONPAY, &reject).unwrap();
    world.execute(BEIJING, &InstructPayment { amount_fen: 50_000, ..ok.clone() }).unwrap();
    world.sim.given(&bill("bills/december", "2026-12"));
    world.sim.given(&line("bills/december", FeeType::Bed, 200_000));
    world.execute(BEIJING, &InstructPayment { bill: name("bills/december"), amount_fen: 10_000, ..ok }).unwrap();
}

#[test]
fn advice() {
    let mut world = World::funded();
    world.authorised("TAKEN00001", 1_000);
    let ok = AdvisePayment {
        ask: ask(1_000),
        merchant_id: "M1".into(),
        order_id: "ADVICE0001".parse().unwrap(),
        transaction_time: world.now,
        clearing_date: None,
    };
    let table = [
        (AdvisePayment { ask: ask(0), ..ok.clone() }, Reason::FieldOutOfRange, "amount_fen"),
        (
            AdvisePayment { ask: Ask { bill: name("bills/none"), ..ask(1) }, ..ok.clone() },
            Reason::RecordNotFound,
            "bill",
        ),
        (AdvisePayment { merchant_id: "_".into(), ..ok.clone() }, Reason::FieldMalformed, "merchant_id"),
        (AdvisePayment { order_id: "TAKEN00001".parse().unwrap(), ..ok.clone() }, Reason::OrderIdTaken, "order_id"),
        (
            AdvisePayment { transaction_time: world.now.plus_us(HOUR_US), ..ok.clone() },
            Reason::FieldOutOfRange,
            "transaction_time_us",
        ),
        (
            AdvisePayment { clearing_date: Some(day("2026-11-18")), ..ok.clone() },
            Reason::FieldOutOfRange,
            "clearing_date",
        ),
        (
            AdvisePayment { clearing_date: Some(day("2026-11-22")), ..ok.clone() },
            Reason::FieldOutOfRange,
            "clearing_date",
        ),
    ];
    for (command, expected, field) in table {
        refused(&mut world, UNIONPAY, &command, expected, field);
    }
    // A duplicate moves nothing twice and does not vanish: it is refused by name.
    world.execute(UNIONPAY, &ok).unwrap();
    refused(&mut world, UNIONPAY, &ok, Reason::OrderIdTaken, "order_id");
}

#[test]
fn an_elder_who_moved_spends_what_the_former_region_granted() {
    let mut world = World::funded();
    let moved =
        PersonRow { household_region: who("regions/120000"), household_division: "120101".into(), ..elder(ELDER) };
    world.sim.given(&moved);
    let mut command = authorise(world.now, "ORDER0001", 10_000);
    assert!(world.execute(UNIONPAY, &command).is_err(), "Tianjin has granted nothing");
    command.ask.region = Some(who(BEIJING));
    let decision = world.execute(UNIONPAY, &command).unwrap();
    assert_eq!(world.payment(&decision.record()).region, who(BEIJING));
}
