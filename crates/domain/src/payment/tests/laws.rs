//! Laws: whatever happens in whatever order, the ledger's identities hold, nothing
//! authorised overdraws or exceeds a bill, and nothing accepted can happen twice.

use proptest::prelude::*;

use super::super::world::*;
use super::super::*;
use super::journal::refund;
use crate::decision::Command;
use crate::entitlement::{
    ClawBackGrant, CreditOutcome, GrantRow, ReportClawbackReturn, ReportCredit, ReportOutsideSpending, Spending,
};
use crate::time::HOUR_US;

/// One step; numbers choose among what exists.
#[derive(Clone, Debug)]
enum Step {
    Authorise(i64, bool),
    Instruct(i64),
    Advise(i64),
    Confirm(usize),
    End(usize, u8),
    Void(usize),
    Refund(usize, i64),
    Grant(i32),
    Credit(usize, bool),
    ClawBack(usize),
    Returned(usize, i64),
    Spend(i64),
    Wait(i64),
}

fn step() -> impl Strategy<Value = Step> {
    let fen = || 1..70_000i64;
    let pick = || 0..8usize;
    prop_oneof![
        4 => (fen(), any::<bool>()).prop_map(|(fen, bed)| Step::Authorise(fen, bed)),
        2 => fen().prop_map(Step::Instruct),
        1 => fen().prop_map(Step::Advise),
        5 => pick().prop_map(Step::Confirm),
        3 => (pick(), 0..3u8).prop_map(|(at, how)| Step::End(at, how)),
        1 => pick().prop_map(Step::Void),
        3 => (pick(), fen()).prop_map(|(at, fen)| Step::Refund(at, fen)),
        2 => (-7..3i32).prop_map(Step::Grant),
        3 => (pick(), any::<bool>()).prop_map(|(at, ok)| Step::Credit(at, ok)),
        1 => pick().prop_map(Step::ClawBack),
        1 => (pick(), 0..60_001i64).prop_map(|(at, fen)| Step::Returned(at, fen)),
        1 => fen().prop_map(Step::Spend),
        1 => (1..30i64).prop_map(Step::Wait),
    ]
}

/// The command of a step, by whom, and whether it reserves.
fn command(world: &World, step: &Step, n: usize) -> Option<(&'static str, Box<dyn Command>, bool)> {
    let order = format!("ORDER{n:06}");
    let payments = world.sim.all::<PaymentRow>();
    let grants = world.sim.all::<GrantRow>();
    let payment = |at: usize| payments.get(at % payments.len().max(1)).map(|p| (name(&p.payment), p.clone()));
    let grant_at = |at: usize| grants.get(at % grants.len().max(1)).map(|g| name(&g.grant));
    let boxed = |caller, command: Box<dyn Command>| Some((caller, command, false));
    match *step {
        Step::Authorise(fen, bed) => {
            let mut command = authorise(world.now, &order, fen);
            command.ask.fee_type = if bed { FeeType::Bed } else { FeeType::Nursing };
            Some((UNIONPAY, Box::new(command), true))
        }
        Step::Instruct(amount_fen) => {
            let (mandate, bill) = (name(MANDATE), name(BILL));
            Some((BEIJING, Box::new(InstructPayment { mandate, bill, fee_type: FeeType::Bed, amount_fen }), true))
        }
        Step::Advise(fen) => boxed(
            UNIONPAY,
            Box::new(AdvisePayment {
                ask: ask(fen),
                merchant_id: "M1".into(),
                order_id: order.parse().unwrap(),
                transaction_time: world.now,
                clearing_date: None,
            }),
        ),
        Step::Confirm(at) => {
            let (payment, row) = payment(at)?;
            let transaction_time = (row.origin == Origin::Instructed).then_some(world.now);
            let command = ConfirmPayment { payment, amount_fen: row.amount_fen, transaction_time, clearing_date: None };
            boxed(UNIONPAY, Box::new(command))
        }
        Step::End(at, how) => {
            let (payment, _) = payment(at)?;
            let (caller, end) = [
                (UNIONPAY, ReservationEnd::Reversed),
                (UNIONPAY, ReservationEnd::Rejected),
                (BEIJING, ReservationEnd::Cancelled),
            ][usize::from(how)];
            boxed(caller, Box::new(EndReservation { payment, end, reason: "r".into() }))
        }
        Step::Void(at) => boxed(UNIONPAY, Box::new(VoidPayment { payment: payment(at)?.0, reason: "r".into() })),
        Step::Refund(at, fen) => boxed(UNIONPAY, Box::new(refund(world, &payment(at)?.1, &order, fen))),
        Step::Grant(months) => boxed(BEIJING, Box::new(grant(&world.now.month().plus(months).to_string()))),
        Step::Credit(at, ok) => {
            let outcome = match ok {
                true => CreditOutcome::Credited { amount_fen: 60_000 },
                false => CreditOutcome::Failed { reason: "account closed".into() },
            };
            boxed(UNIONPAY, Box::new(ReportCredit { grant: grant_at(at)?, outcome }))
        }
        Step::ClawBack(at) => boxed(BEIJING, Box::new(ClawBackGrant { grant: grant_at(at)?, reason: "r".into() })),
        Step::Returned(at, returned_fen) => {
            boxed(UNIONPAY, Box::new(ReportClawbackReturn { grant: grant_at(at)?, returned_fen }))
        }
        Step::Spend(amount_fen) => {
            let spending = Spending {
                person: name(ELDER),
                region: None,
                programme: "care_subsidy".into(),
                amount_fen,
                occurred_on: world.now.clearing_date(),
                reference: order,
            };
            boxed(UNIONPAY, Box::new(ReportOutsideSpending(spending)))
        }
        Step::Wait(_) => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens(steps in prop::collection::vec(step(), 1..40)) {
        let mut world = World::funded();
        for (n, step) in steps.iter().enumerate() {
            if let Step::Wait(hours) = step {
                world.now = world.now.plus_us(hours * HOUR_US);
            }
            let Some((caller, command, reserves)) = command(&world, step, n) else { continue };
            let before = world.sim.transfers.len();
            match world.execute(caller, command.as_ref()) {
                Err(_) => prop_assert_eq!(world.sim.transfers.len(), before, "a refusal changes nothing"),
                Ok(decision) if decision.leaves[0].kind == CONTRADICTED => {
                    prop_assert_eq!(world.sim.transfers.len(), before, "a contradiction moves nothing");
                }
                Ok(decision) => {
                    if reserves {
                        // Identities 3 and 7, at every authorisation.
                        let row = world.payment(&decision.record());
                        prop_assert!(world.posted(&money()) + world.held(&money()) >= 0);
                        prop_assert!(world.line(row.fee_type).open_fen() >= 0);
                    }
                    let booked = world.sim.transfers.len();
                    // The same once more, under another request id. Instructions and failed credits
                    // are no facts about one thing: they may repeat within their limits.
                    let repeats = matches!(step, Step::Instruct(_) | Step::Credit(_, false));
                    if !repeats {
                        prop_assert!(world.execute(caller, command.as_ref()).is_err(), "{:?} twice", step);
                        prop_assert_eq!(world.sim.transfers.len(), booked);
                    }
                }
            }
            world.check_identities();
        }
    }
}
