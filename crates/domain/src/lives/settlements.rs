//! Statements and payouts.

use super::{Document, Rows, accepted, outcome};
use crate::payment::world::{UNIONPAY, World, name};
use crate::settlement::tests::{pay, prepare, refund, report, run_day, statements};
use crate::settlement::{ReportPayout, StatementRow, StatementState};

const ADMIN: &str = "regions/110000/admins/chen";

/// A day paid and run.
fn run() -> World {
    let mut world = World::funded();
    pay(&mut world, "ORDER0001", 20_000).unwrap();
    run_day(&mut world);
    world
}

/// Also stated.
fn stated(mut world: World) -> World {
    let date = world.now.clearing_date().plus_days(-1);
    let command = prepare(&world, date);
    world.execute(ADMIN, &command).unwrap();
    world
}

/// Paid, and a refund stated after that.
fn carried() -> World {
    let mut world = stated(run());
    let open = of(&world, false);
    world.execute(UNIONPAY, &report("P1", open.net_fen, Some(&open), &world)).unwrap();
    let payment = world.sim.all::<crate::payment::PaymentRow>().remove(0);
    refund(&mut world, &payment, "REFUND001", 5_000).unwrap();
    run_day(&mut world);
    stated(world)
}

/// The last statement of the institution, or of the channel's fee.
fn of(world: &World, fee: bool) -> StatementRow {
    statements(world).into_iter().rfind(|s| s.institution.is_none() == fee).expect("a statement")
}

fn state(world: &World) -> String {
    let last = statements(world).into_iter().rfind(|s| s.institution.is_some());
    last.map_or_else(|| "not stated".to_owned(), |s| format!("`{}`", s.state))
}

pub fn write(document: &mut Document) {
    document.heading("## Settlement: what a channel pays institutions");
    document
        .line("A payout that is not as stated opens a break; the next statement takes what is left, of either sign.\n");
    let prepared = outcome(
        run(),
        |world| {
            let command = prepare(world, world.now.clearing_date().plus_days(-1));
            accepted(world, ADMIN, &command)
        },
        state,
    );
    let mut rows: Rows = vec![("a cycle is prepared".to_owned(), prepared)];
    type Change = fn(&StatementRow, ReportPayout) -> ReportPayout;
    let payouts: [(&str, bool, Change); 5] = [
        ("paid as stated", false, |_, payout| payout),
        ("paid less", false, |_, payout| ReportPayout { amount_fen: payout.amount_fen - 100, ..payout }),
        ("paid to another account", false, |_, payout| ReportPayout { account_last4: "9999".into(), ..payout }),
        ("paid for no statement", false, |_, payout| ReportPayout {
            end_to_end_id: String::new(),
            institution: Some(name("institutions/x")),
            ..payout
        }),
        ("the channel's fee is settled", true, |_, payout| payout),
    ];
    for (what, fee, change) in payouts {
        let world = stated(run());
        let open = of(&world, fee);
        let payout = change(&open, report("P1", open.net_fen, Some(&open), &world));
        let done = outcome(world, |world| accepted(world, UNIONPAY, &payout), state);
        rows.push((what.to_owned(), done));
    }
    let world = carried();
    let last = of(&world, false);
    assert_eq!(last.state, StatementState::Carried);
    let payout = report("P2", last.net_fen, Some(&last), &world);
    let done = outcome(world, |world| accepted(world, UNIONPAY, &payout), state);
    rows.push(("a carried statement is collected".to_owned(), done));
    document.table("What", rows);
}
