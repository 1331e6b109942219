//! Payments: every state and origin × every command.

use super::{Document, Rows, accepted, outcome};
use crate::care::bill::FeeType;
use crate::names::Name;
use crate::payment::world::*;
use crate::payment::{
    AdvisePayment, ConfirmPayment, EndReservation, InstructPayment, Origin, PaymentRow, PaymentState, RefundPayment,
    ReservationEnd, VoidPayment,
};
use crate::recon::file::{LineStatus, SettlementLine};
use crate::rejection::Rejection;
use crate::time::{DAY_US, HOUR_US};

type Command = fn(&mut World, &PaymentRow) -> Result<(), Rejection>;
type Life = fn(&mut World) -> Name;

const ORDER: &str = "ORDER0001";
const AMOUNT_FEN: i64 = 40_000;

pub fn write(document: &mut Document) {
    document.heading("## Payments");
    let mut begun: Rows = Vec::new();
    for (name, life) in [("authorise", authorised as Life), ("instruct", instructed), ("advise", advised)] {
        let begin = |world: &mut World| {
            life(world);
            Ok(())
        };
        begun.push((name.to_owned(), outcome(World::funded(), begin, only)));
    }
    document.table("Begin", begun);
    document.states(states().into_iter().map(|(state, life)| (state.to_owned(), rows(life))).collect());
}

/// The state of the only payment there is.
fn only(world: &World) -> String {
    world.sim.all::<PaymentRow>().first().map_or_else(|| "none".to_owned(), told)
}

fn told(payment: &PaymentRow) -> String {
    let mut state = format!("`{}`", payment.state);
    if payment.matched_by.is_some() {
        state += ", matched";
    }
    match payment.refunded_fen {
        0 => {}
        part if part < payment.amount_fen => state += ", refunded in part",
        _ => state += ", refunded in full",
    }
    state
}

fn rows(life: Life) -> Rows {
    let one = |(name, command): (&str, Command)| {
        let mut world = World::funded();
        let payment = life(&mut world);
        let row = world.payment(&payment);
        let state = |world: &World| told(&world.payment(&payment));
        (name.to_owned(), outcome(world, |world| command(world, &row), state))
    };
    commands().into_iter().map(one).collect()
}

fn states() -> Vec<(&'static str, Life)> {
    vec![
        ("`RESERVED`, authorised", authorised),
        ("`RESERVED`, instructed", instructed),
        ("`CONFIRMED`, authorised", |w| confirmed(w, authorised)),
        ("`CONFIRMED`, instructed", |w| confirmed(w, instructed)),
        ("`CONFIRMED`, advised", advised),
        ("`CONFIRMED`, refunded in part", |w| refunded(w, 10_000)),
        ("`CONFIRMED`, refunded in full", |w| refunded(w, AMOUNT_FEN)),
        ("`CONFIRMED`, matched", matched),
        ("`CONFIRMED`, matched, refunded in part", |w| {
            let payment = matched(w);
            refund(w, &w.payment(&payment), 10_000).unwrap();
            payment
        }),
        ("`REVERSED`", |w| ended(w, authorised, ReservationEnd::Reversed)),
        ("`REVERSED`, instructed", |w| ended(w, instructed, ReservationEnd::Reversed)),
        ("`REJECTED`", |w| ended(w, instructed, ReservationEnd::Rejected)),
        ("`CANCELLED`", |w| ended(w, instructed, ReservationEnd::Cancelled)),
        ("`EXPIRED`", |w| {
            let payment = authorised(w);
            neither(w, &w.payment(&payment)).unwrap();
            // What follows is asked on the day of the authorisation, as of every other state.
            w.now = World::new().now;
            payment
        }),
        ("`VOIDED`", |w| {
            let payment = confirmed(w, authorised);
            w.execute(UNIONPAY, &VoidPayment { payment: payment.clone(), reason: "wrong elder".into() }).unwrap();
            payment
        }),
        ("`LATE`", |w| {
            let payment = ended(w, authorised, ReservationEnd::Reversed);
            confirm(w, &w.payment(&payment)).unwrap();
            payment
        }),
    ]
}

fn commands() -> Vec<(&'static str, Command)> {
    vec![
        ("confirm", confirm),
        ("confirm another amount", |w, p| confirm(w, &PaymentRow { amount_fen: p.amount_fen - 1, ..p.clone() })),
        ("reverse", |w, p| end(w, p, ReservationEnd::Reversed)),
        ("reject", |w, p| end(w, p, ReservationEnd::Rejected)),
        ("cancel", |w, p| end(w, p, ReservationEnd::Cancelled)),
        ("void on its clearing date", void),
        ("void on the next", |w, p| {
            w.now = w.now.plus_us(DAY_US);
            void(w, p)
        }),
        ("refund a part", |w, p| refund(w, p, 1_000)),
        ("refund the rest", |w, p| refund(w, p, (p.amount_fen - p.refunded_fen).max(1))),
        ("refund too much", |w, p| refund(w, p, p.amount_fen - p.refunded_fen + 1)),
        ("refund after eleven months", |w, p| {
            w.now = w.now.plus_us(335 * DAY_US);
            refund(w, p, 1_000)
        }),
        ("authorise its order id again", |w, p| {
            let again = authorise(w.now, &p.order_id, 1_000);
            w.execute(UNIONPAY, &again).map(drop)
        }),
        ("advise its order id", |w, p| {
            let order_id = p.order_id.parse().unwrap();
            w.execute(UNIONPAY, &AdvisePayment { order_id, ..advice(w) }).map(drop)
        }),
        ("run: in the file", |w, p| run(w, 1, vec![line(p)])),
        ("run: in the file as failed", |w, p| {
            run(w, 1, vec![SettlementLine { status: LineStatus::Failed, ..line(p) }])
        }),
        ("run: twice in the file", |w, p| run(w, 1, vec![line(p), SettlementLine { line: 3, ..line(p) }])),
        ("run: in the file with more", |w, p| {
            run(w, 1, vec![SettlementLine { amount_fen: p.amount_fen + 500, ..line(p) }])
        }),
        ("run: not in the file, within grace", |w, _| run(w, 1, vec![])),
        ("run: not in the file, after it", |w, _| run(w, 5, vec![])),
        ("runs: in neither file of its date and the next", neither),
    ]
}

fn authorised(world: &mut World) -> Name {
    name(&world.authorised(ORDER, AMOUNT_FEN).payment)
}

fn instructed(world: &mut World) -> Name {
    let (mandate, bill) = (name(MANDATE), name(BILL));
    let command = InstructPayment { mandate, bill, fee_type: FeeType::Bed, amount_fen: AMOUNT_FEN };
    world.execute(BEIJING, &command).unwrap().record()
}

fn advised(world: &mut World) -> Name {
    world.execute(UNIONPAY, &advice(world)).unwrap().record()
}

fn advice(world: &World) -> AdvisePayment {
    AdvisePayment {
        ask: ask(AMOUNT_FEN),
        merchant_id: "M1".into(),
        order_id: ORDER.parse().unwrap(),
        transaction_time: world.now,
        clearing_date: None,
    }
}

fn confirmed(world: &mut World, life: Life) -> Name {
    let payment = life(world);
    confirm(world, &world.payment(&payment)).unwrap();
    payment
}

fn ended(world: &mut World, life: Life, how: ReservationEnd) -> Name {
    let payment = life(world);
    end(world, &world.payment(&payment), how).unwrap();
    payment
}

fn refunded(world: &mut World, amount_fen: i64) -> Name {
    let payment = confirmed(world, authorised);
    refund(world, &world.payment(&payment), amount_fen).unwrap();
    payment
}

/// Found in the next morning's file.
fn matched(world: &mut World) -> Name {
    let (payment, evening) = (confirmed(world, authorised), world.now);
    run(world, 1, vec![line(&world.payment(&payment))]).unwrap();
    assert_eq!(world.payment(&payment).state, PaymentState::Confirmed);
    world.now = evening;
    payment
}

fn confirm(world: &mut World, payment: &PaymentRow) -> Result<(), Rejection> {
    let command = ConfirmPayment {
        payment: name(&payment.payment),
        amount_fen: payment.amount_fen,
        transaction_time: (payment.origin == Origin::Instructed).then_some(world.now),
        clearing_date: None,
    };
    accepted(world, UNIONPAY, &command)
}

fn end(world: &mut World, payment: &PaymentRow, end: ReservationEnd) -> Result<(), Rejection> {
    let caller = if end == ReservationEnd::Cancelled { BEIJING } else { UNIONPAY };
    accepted(world, caller, &EndReservation { payment: name(&payment.payment), end, reason: "declined".into() })
}

fn void(world: &mut World, payment: &PaymentRow) -> Result<(), Rejection> {
    accepted(world, UNIONPAY, &VoidPayment { payment: name(&payment.payment), reason: "wrong elder".into() })
}

fn refund(world: &mut World, payment: &PaymentRow, amount_fen: i64) -> Result<(), Rejection> {
    let command = RefundPayment {
        payment: name(&payment.payment),
        order_id: format!("REFUND{amount_fen:06}").parse().unwrap(),
        amount_fen,
        transaction_time: world.now,
        clearing_date: None,
        reason: String::new(),
    };
    accepted(world, UNIONPAY, &command)
}

/// The line of the file that states the payment as the ledger has it.
fn line(payment: &PaymentRow) -> SettlementLine {
    SettlementLine { merchant_id: "M1".into(), ..line_of(payment) }
}

/// The run of the payment's date, in the morning after so many days.
fn run(world: &mut World, days: i64, lines: Vec<SettlementLine>) -> Result<(), Rejection> {
    world.now = day(TODAY).plus_days(days).starts_at().plus_us(9 * HOUR_US);
    world.run(day(TODAY), lines).map(drop)
}

/// Complete files of its date and of the next, without it.
fn neither(world: &mut World, _: &PaymentRow) -> Result<(), Rejection> {
    world.now = day(TODAY).plus_days(2).starts_at().plus_us(9 * HOUR_US);
    world.run(day(TODAY), vec![])?;
    world.run(day(TODAY).plus_days(1), vec![]).map(drop)
}
