//! Operating subsidies: claims × every command, and the bank's statement.

use super::{Document, Rows, accepted, outcome};
use crate::names::Name;
use crate::payment::world::*;
use crate::recon::file::{LineKind, SettlementLine};
use crate::rejection::Rejection;
use crate::subsidy::{ApproveClaim, ClaimRow, ConfirmPayout, CreateClaim, DeclineClaim, ReturnPayout};
use crate::time::HOUR_US;

type Step = fn(&mut World, &Name) -> Result<(), Rejection>;
type Life = fn(&mut World) -> Name;

const AMOUNT_FEN: i64 = 70_000;

pub fn write(document: &mut Document) {
    document.heading("## Operating subsidies");
    let first = |world: &World| world.sim.all::<ClaimRow>().first().map_or_else(|| "none".to_owned(), told);
    let begin = |world: &mut World| {
        claimed(world);
        Ok(())
    };
    document.table("Begin", vec![("claim".to_owned(), outcome(World::new(), begin, first))]);
    let states: Vec<(&str, Life)> = vec![
        ("`CLAIMED`", claimed),
        ("`DECLINED`", |w| after(w, claimed, decline)),
        ("`APPROVED`", |w| after(w, claimed, approve)),
        ("`PAID`", paid),
        ("`ON_STATEMENT`", on_statement),
        ("`RETURNED`", |w| after(w, paid, give_back)),
        ("`RETURNED`, after the statement", |w| after(w, on_statement, give_back)),
    ];
    document.states(states.into_iter().map(|(state, life)| (state.to_owned(), rows(life))).collect());
}

fn told(claim: &ClaimRow) -> String {
    format!("`{}`", claim.state)
}

fn rows(life: Life) -> Rows {
    let commands: Vec<(&str, Step)> = vec![
        ("claim of the same month", |w, _| accepted(w, HEBEI, &claim())),
        ("approve", approve),
        ("decline", decline),
        ("bank confirms", |w, c| confirm(w, c, "PAYOUT0002")),
        ("bank confirms under an order id used before", |w, c| confirm(w, c, "PAYOUT0001")),
        ("bank returns", give_back),
        ("run: on the statement", |w, c| statement(w, 1, vec![stated(w, c, 0)])),
        ("run: on the statement with more", |w, c| statement(w, 1, vec![stated(w, c, 500)])),
        ("run: not on it, after its grace", |w, _| statement(w, 5, vec![])),
    ];
    let one = |(title, command): (&str, Step)| {
        let mut world = World::new();
        let claim = life(&mut world);
        let state = |world: &World| told(&row(world, &claim));
        (title.to_owned(), outcome(world, |world| command(world, &claim), state))
    };
    commands.into_iter().map(one).collect()
}

fn row(world: &World, claim: &Name) -> ClaimRow {
    world.sim.get(crate::key![claim.to_string()]).unwrap()
}

fn claim() -> CreateClaim {
    CreateClaim { institution: name(INSTITUTION), payer: who(BEIJING), month: "2026-10".parse().unwrap() }
}

fn claimed(world: &mut World) -> Name {
    world.execute(HEBEI, &claim()).unwrap().record()
}

fn paid(world: &mut World) -> Name {
    after(world, |w| after(w, claimed, approve), |w, c| confirm(w, c, "PAYOUT0001"))
}

fn on_statement(world: &mut World) -> Name {
    let (claim, evening) = (paid(world), world.now);
    statement(world, 1, vec![stated(world, &claim, 0)]).unwrap();
    world.now = evening;
    claim
}

fn after(world: &mut World, life: Life, step: Step) -> Name {
    let claim = life(world);
    step(world, &claim).unwrap();
    claim
}

fn approve(world: &mut World, claim: &Name) -> Result<(), Rejection> {
    let (funder_division, channel) = ("110108".parse().unwrap(), who(BANK));
    accepted(world, BEIJING, &ApproveClaim { claim: claim.clone(), amount_fen: AMOUNT_FEN, funder_division, channel })
}

fn decline(world: &mut World, claim: &Name) -> Result<(), Rejection> {
    accepted(world, BEIJING, &DeclineClaim { claim: claim.clone(), reason: "wrong stays".into() })
}

fn confirm(world: &mut World, claim: &Name, order: &str) -> Result<(), Rejection> {
    let order_id = order.parse().unwrap();
    let command = ConfirmPayout { claim: claim.clone(), order_id, amount_fen: AMOUNT_FEN, clearing_date: day(TODAY) };
    accepted(world, BANK, &command)
}

fn give_back(world: &mut World, claim: &Name) -> Result<(), Rejection> {
    accepted(world, BANK, &ReturnPayout { claim: claim.clone(), reason: "account closed".into() })
}

/// The statement's line of the claim's transfer.
fn stated(world: &World, claim: &Name, more_fen: i64) -> SettlementLine {
    let row = row(world, claim);
    SettlementLine {
        line: 2,
        byte_offset: 100,
        kind: LineKind::OperatingSubsidy,
        merchant_id: String::new(),
        order_id: row.order_id.unwrap_or_else(|| "PAYOUT0001".to_owned()),
        transaction_time: world.now,
        amount_fen: row.amount_fen + more_fen,
        fee_fen: 0,
        status: crate::recon::file::LineStatus::Success,
        institution: name(INSTITUTION).id().to_owned(),
        original_order_id: None,
    }
}

fn statement(world: &mut World, days: i64, lines: Vec<SettlementLine>) -> Result<(), Rejection> {
    world.now = day(TODAY).plus_days(days).starts_at().plus_us(9 * HOUR_US);
    world.run_of(BANK, day(TODAY), lines).map(drop)
}
