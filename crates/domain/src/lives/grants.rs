//! Grants × every command, and money events.

use super::{Document, Outcome, Rows, accepted, outcome};
use crate::entitlement::{
    AllotBudget, ClawBackGrant, CreditOutcome, FundChannel, GrantRow, MoneyEventRow, RecordRecovery,
    ReportClawbackReturn, ReportCredit, ReportEstatePayout, ReportOutsideSpending, Spending,
};
use crate::names::Name;
use crate::payment::world::*;
use crate::person::{PersonRow, PersonState};
use crate::policy::PolicyKind;
use crate::rejection::Rejection;

type Step = fn(&mut World, &Name) -> Result<(), Rejection>;
type Life = fn(&mut World) -> Name;
type Event = fn(&mut World) -> Result<(), Rejection>;

const GRANTED_FEN: i64 = 60_000;

pub fn write(document: &mut Document) {
    document.heading("## Grants");
    let begin = [
        ("grant", granted as Life),
        ("grant, the balance of record being the gateway's", |w| {
            w.set(PolicyKind::Programme, "110000/care_subsidy", |body| body["balance_of_record"] = "GATEWAY".into());
            granted(w)
        }),
    ];
    let first = |world: &World| world.sim.all::<GrantRow>().first().map_or_else(|| "none".to_owned(), told);
    let begun = begin.map(|(title, life)| {
        let begin = |w: &mut World| {
            life(w);
            Ok(())
        };
        (title.to_owned(), outcome(funded(), begin, first))
    });
    document.table("Begin", begun.into());
    let states: Vec<(&str, Life)> = vec![
        ("`GRANTED`", granted),
        ("`CREDIT_FAILED`", |w| after(w, granted, fail)),
        ("`CREDITED`", |w| after(w, granted, |w, g| credit(w, g, GRANTED_FEN))),
        ("`CREDITED`, spent in part", |w| {
            let grant = after(w, granted, |w, g| credit(w, g, GRANTED_FEN));
            accepted(w, UNIONPAY, &ReportOutsideSpending(spending(w, 45_000, "S0"))).unwrap();
            grant
        }),
        ("`CLAWBACK_REQUESTED`", |w| after(w, |w| after(w, granted, |w, g| credit(w, g, GRANTED_FEN)), claw_back)),
        ("`CLAWED_BACK`, never credited", |w| after(w, granted, claw_back)),
        ("`CLAWED_BACK`, returned in part", |w| {
            let grant = after(w, |w| after(w, granted, |w, g| credit(w, g, GRANTED_FEN)), claw_back);
            returned(w, &grant, 20_000).unwrap();
            grant
        }),
    ];
    document.states(states.into_iter().map(|(state, life)| (state.to_owned(), rows(life))).collect());
    document.heading("## Budget, funding, spending, recovery");
    document.table("Event", events().into_iter().map(event).collect());
}

fn told(grant: &GrantRow) -> String {
    format!("`{}`", grant.state)
}

fn rows(life: Life) -> Rows {
    let commands: Vec<(&str, Step)> = vec![
        ("credit reported", |w, g| credit(w, g, GRANTED_FEN)),
        ("credit of another amount reported", |w, g| credit(w, g, GRANTED_FEN - 1)),
        ("failed credit reported", fail),
        ("clawback", claw_back),
        ("clawback after the year was closed", |w, g| {
            w.now = day("2027-01-04").starts_at();
            w.closed("2026-12");
            claw_back(w, g)
        }),
        ("channel returned all", |w, g| returned(w, g, GRANTED_FEN)),
        ("channel returned a part, the rest was spent", |w, g| returned(w, g, 20_000)),
        ("channel returned nothing", |w, g| returned(w, g, 0)),
        ("channel returned too much", |w, g| returned(w, g, GRANTED_FEN + 1)),
        ("grant of the same month", |w, _| accepted(w, BEIJING, &grant("2026-11"))),
    ];
    let one = |(title, command): (&str, Step)| {
        let mut world = funded();
        let grant = life(&mut world);
        let state = |world: &World| told(&world.grant(&grant));
        (title.to_owned(), outcome(world, |world| command(world, &grant), state))
    };
    commands.into_iter().map(one).collect()
}

fn event((title, command): (&str, Event)) -> (String, Outcome) {
    let state = |world: &World| format!("{} events", world.sim.all::<MoneyEventRow>().len());
    let mut outcome = outcome(World::funded(), command, state);
    // Two events have funded the world.
    outcome.then = outcome.then.replace("3 events", "recorded");
    (title.to_owned(), outcome)
}

fn events() -> Vec<(&'static str, Event)> {
    vec![
        ("budget allotted", |w| accepted(w, BEIJING, &budget("D2"))),
        ("budget allotted, the same reference again", |w| accepted(w, BEIJING, &budget("D1"))),
        ("channel funded", |w| accepted(w, BEIJING, &funding(UNIONPAY, "F2"))),
        ("channel funded, the same reference again", |w| accepted(w, BEIJING, &funding(UNIONPAY, "F1"))),
        ("channel funded that is not prefunded", |w| accepted(w, BEIJING, &funding(BANK, "F2"))),
        ("spent elsewhere", |w| accepted(w, UNIONPAY, &ReportOutsideSpending(spending(w, 45_000, "S1")))),
        ("spent elsewhere, more than there is", |w| {
            accepted(w, UNIONPAY, &ReportOutsideSpending(spending(w, 70_000, "S1")))
        }),
        ("paid to the estate", |w| {
            w.sim.given(&PersonRow { state: PersonState::Deceased, died_on: Some(day("2026-11-10")), ..elder(ELDER) });
            accepted(w, UNIONPAY, &ReportEstatePayout(spending(w, 60_000, "E1")))
        }),
        ("paid to the estate of the living", |w| accepted(w, UNIONPAY, &ReportEstatePayout(spending(w, 60_000, "E1")))),
        ("recovered", |w| {
            owe(w);
            accepted(w, BEIJING, &recovery(15_000))
        }),
        ("recovered, more than is owed", |w| accepted(w, BEIJING, &recovery(15_001))),
    ]
}

/// Budget and funding, nothing granted.
fn funded() -> World {
    let mut world = World::new();
    accepted(&mut world, BEIJING, &budget("D1")).unwrap();
    accepted(&mut world, BEIJING, &funding(UNIONPAY, "F1")).unwrap();
    world
}

fn granted(world: &mut World) -> Name {
    world.execute(BEIJING, &grant("2026-11")).unwrap().record()
}

fn after(world: &mut World, life: Life, step: Step) -> Name {
    let grant = life(world);
    step(world, &grant).unwrap();
    grant
}

/// The elder owes 150 yuan of a month taken back.
fn owe(world: &mut World) {
    let grant = name(&world.sim.all::<GrantRow>()[0].grant);
    claw_back(world, &grant).unwrap();
    returned(world, &grant, GRANTED_FEN - 15_000).unwrap();
}

fn credit(world: &mut World, grant: &Name, amount_fen: i64) -> Result<(), Rejection> {
    let outcome = CreditOutcome::Credited { amount_fen };
    accepted(world, UNIONPAY, &ReportCredit { grant: grant.clone(), outcome })
}

fn fail(world: &mut World, grant: &Name) -> Result<(), Rejection> {
    let outcome = CreditOutcome::Failed { reason: "account closed".into() };
    accepted(world, UNIONPAY, &ReportCredit { grant: grant.clone(), outcome })
}

fn claw_back(world: &mut World, grant: &Name) -> Result<(), Rejection> {
    accepted(world, BEIJING, &ClawBackGrant { grant: grant.clone(), reason: "wrong level".into() })
}

fn returned(world: &mut World, grant: &Name, returned_fen: i64) -> Result<(), Rejection> {
    accepted(world, UNIONPAY, &ReportClawbackReturn { grant: grant.clone(), returned_fen })
}

fn budget(reference: &str) -> AllotBudget {
    AllotBudget {
        programme: "care_subsidy".into(),
        funder_division: "110108".parse().unwrap(),
        year: 2026,
        amount_fen: 1_000_000,
        reference: reference.into(),
    }
}

fn funding(channel: &str, reference: &str) -> FundChannel {
    FundChannel {
        programme: "care_subsidy".into(),
        channel: who(channel),
        amount_fen: 500_000,
        reference: reference.into(),
    }
}

fn spending(world: &World, amount_fen: i64, reference: &str) -> Spending {
    Spending {
        person: name(ELDER),
        region: None,
        programme: "care_subsidy".into(),
        amount_fen,
        occurred_on: world.now.clearing_date(),
        reference: reference.into(),
    }
}

fn recovery(amount_fen: i64) -> RecordRecovery {
    RecordRecovery { programme: "care_subsidy".into(), elder: name(ELDER), amount_fen, reference: "R1".into() }
}
