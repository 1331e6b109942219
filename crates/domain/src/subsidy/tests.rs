//! The life of an operating subsidy: counted, approved, paid, returned, paid again.

use EntryKind::*;

use super::*;
use crate::care::stay::{StayRow, StayState};
use crate::decision::Command;
use crate::institution::InstitutionRow;
use crate::ledger::EntryKind;
use crate::names::Name;
use crate::payment::world::*;
use crate::person::{PersonRow, PersonState};
use crate::policy::PolicyKind;
use crate::record::{RecordKind, RecordRow};
use crate::rejection::Reason;
use crate::rules::rating::RecordState;

const PAYABLE: &str = "payable[institution, bank]";
const CLEARING: &str = "clearing[bank, 2026-11-20]";

fn refused(world: &mut World, caller: &str, command: &dyn Command, expected: Reason, field: &str) {
    let before = world.sim.transfers.len();
    assert_eq!(said(world.execute(caller, command)), reason(expected, field));
    assert_eq!(world.sim.transfers.len(), before);
}

fn claim() -> CreateClaim {
    CreateClaim { institution: name(INSTITUTION), payer: who(BEIJING), month: "2026-10".parse().unwrap() }
}

fn approve(claim: &Name, amount_fen: i64) -> ApproveClaim {
    let funder_division = "110108".parse().unwrap();
    ApproveClaim { claim: claim.clone(), amount_fen, funder_division, channel: who(BANK) }
}

fn confirm(claim: &Name, order: &str) -> ConfirmPayout {
    ConfirmPayout {
        claim: claim.clone(),
        order_id: order.parse().unwrap(),
        amount_fen: 70_000,
        clearing_date: day(TODAY),
    }
}

fn row(world: &World, claim: &Name) -> ClaimRow {
    world.sim.get(crate::key![claim.to_string()]).unwrap()
}

/// Fen for October's stays, or `None` where nothing is due.
fn amount(world: &mut World) -> Option<i64> {
    match world.execute(HEBEI, &claim()) {
        Ok(decision) => Some(row(world, &decision.record()).amount_fen),
        Err(refusal) => {
            assert_eq!(refusal.reason, Reason::NoRate);
            None
        }
    }
}

#[test]
fn counted_by_elder_days_and_level() {
    let own =
        |admitted: &str, left: Option<&str>| StayRow { left_on: left.map(day), ..stay("stays/s1", ELDER, admitted) };
    let second = |admitted: &str, left: &str| StayRow { left_on: Some(day(left)), ..stay("stays/s2", ELDER, admitted) };
    let other = |who: &str| stay("stays/s3", who, "2026-01-01");
    let table: Vec<(Vec<StayRow>, Option<i64>)> = vec![
        (vec![own("2026-01-05", None)], Some(70_000)),
        (vec![own("2026-10-17", None)], Some(70_000)),
        (vec![own("2026-10-18", None)], None),
        (vec![own("2026-01-05", Some("2026-10-16"))], Some(70_000)),
        (vec![own("2026-01-05", Some("2026-10-15"))], None),
        // Twice in the same institution is one elder.
        (vec![own("2026-01-05", Some("2026-10-09")), second("2026-10-20", "2026-10-31")], Some(70_000)),
        (vec![own("2026-01-05", Some("2026-10-20")), second("2026-10-20", "2026-11-30")], Some(70_000)),
        (
            vec![
                own("2026-01-05", None),
                StayRow { person: "elders/merged".into(), ..second("2026-01-01", "2026-11-01") },
            ],
            Some(70_000),
        ),
        (vec![StayRow { state: StayState::Voided, ..own("2026-01-05", None) }], None),
        (vec![StayRow { household_region: who("regions/120000"), ..own("2026-01-05", None) }], None),
        // An elder without an assessment takes the lowest rate.
        (vec![own("2026-01-05", None), other("elders/second")], Some(100_000)),
    ];
    for (stays, expected) in table {
        let mut world = World::new();
        world.sim.given(&elder("elders/second"));
        world.sim.given(&PersonRow {
            state: PersonState::Merged,
            merged_into: Some(ELDER.into()),
            ..elder("elders/merged")
        });
        for stay in &stays {
            world.sim.given(stay);
        }
        assert_eq!(amount(&mut world), expected, "{stays:?}");
    }
    for (level, expected) in [(0, 30_000), (1, 30_000), (2, 50_000), (3, 70_000), (4, 70_000)] {
        let mut world = World::new();
        world.sim.given(&record("assessments/a1", RecordKind::Assessment, level));
        assert_eq!(amount(&mut world), Some(expected), "level {level}");
    }
}

#[test]
fn its_whole_life_with_a_return_before_the_statement() {
    let mut world = World::new();
    let decision = world.execute(HEBEI, &claim()).unwrap();
    let claim = decision.record();
    assert_eq!(entries(&decision), []);
    assert_eq!(row(&world, &claim).stays.0, ["stays/s1"]);

    let decision = world.execute(BEIJING, &approve(&claim, 70_000)).unwrap();
    let cost = "expense[110108, 2026]";
    assert_eq!(entries(&decision), [entry(OperatingSubsidyApproved, "posted", cost, PAYABLE, 70_000)]);

    let decision = world.execute(BANK, &confirm(&claim, "PAYOUT0001")).unwrap();
    assert_eq!(entries(&decision), [entry(OperatingSubsidyConfirmed, "posted", PAYABLE, CLEARING, 70_000)]);
    let paid = row(&world, &claim);
    assert_eq!(
        (paid.state, paid.order_id.as_deref(), paid.clearing_date),
        (ClaimState::Paid, Some("PAYOUT0001"), Some(day(TODAY)))
    );

    let back = ReturnPayout { claim: claim.clone(), reason: "account closed".into() };
    let decision = world.execute(BANK, &back).unwrap();
    assert_eq!(entries(&decision), [entry(OperatingSubsidyReturned, "posted", CLEARING, PAYABLE, 70_000)]);
    refused(&mut world, BANK, &back, Reason::StateNotAllowed, "claim");
    // It is owed still: the same month cannot be claimed, the bank pays again.
    refused(&mut world, HEBEI, &super::tests::claim(), Reason::RecordExists, "month");
    let decision = world.execute(BANK, &confirm(&claim, "PAYOUT0002")).unwrap();
    assert_eq!(entries(&decision), [entry(OperatingSubsidyConfirmed, "posted", PAYABLE, CLEARING, 70_000)]);
}

#[test]
fn returned_after_the_statement() {
    let mut world = World::new();
    let claim = world.execute(HEBEI, &claim()).unwrap().record();
    world.execute(BEIJING, &approve(&claim, 70_000)).unwrap();
    world.execute(BANK, &confirm(&claim, "PAYOUT0001")).unwrap();
    let paid = row(&world, &claim);
    world.sim.given(&ClaimRow { state: ClaimState::OnStatement, ..paid });
    let back = ReturnPayout { claim: claim.clone(), reason: "account closed".into() };
    let decision = world.execute(BANK, &back).unwrap();
    let expected = [
        entry(OperatingSubsidyReturned, "posted", "bank", CLEARING, 70_000),
        entry(OperatingSubsidyReturned, "posted", CLEARING, PAYABLE, 70_000),
    ];
    assert_eq!(entries(&decision), expected);
}

#[test]
fn refusals_of_a_claim_and_its_decision() {
    let mut world = World::new();
    let month = |month: &str| CreateClaim { month: month.parse().unwrap(), ..claim() };
    let table = [
        (
            HEBEI,
            CreateClaim { institution: name("institutions/52110108XXXX00019Q"), ..claim() },
            Reason::RecordNotFound,
            "institution",
        ),
        (BEIJING, claim(), Reason::NotYourRecord, "institution"),
        (HEBEI, month("2026-11"), Reason::MonthInFuture, "month"),
        (HEBEI, CreateClaim { payer: who("regions/120000"), ..claim() }, Reason::PolicyMissing, ""),
        (HEBEI, month("2025-12"), Reason::NoRate, "month"),
    ];
    for (caller, command, expected, field) in table {
        refused(&mut world, caller, &command, expected, field);
    }
    let name_of = world.execute(HEBEI, &claim()).unwrap().record();
    refused(&mut world, HEBEI, &claim(), Reason::RecordExists, "month");

    let ok = approve(&name_of, 70_000);
    let none = name("operatingSubsidyClaims/none");
    let table = [
        (BEIJING, ApproveClaim { claim: none.clone(), ..ok.clone() }, Reason::RecordNotFound, "claim"),
        (HEBEI, ok.clone(), Reason::NotYourRecord, "claim"),
        (BEIJING, ApproveClaim { amount_fen: 70_001, ..ok.clone() }, Reason::AmountMismatch, "amount_fen"),
        (
            BEIJING,
            ApproveClaim { channel: who("channels/none"), ..ok.clone() },
            Reason::ParticipantNotActive,
            "channel",
        ),
    ];
    for (caller, command, expected, field) in table {
        refused(&mut world, caller, &command, expected, field);
    }
    // The records say otherwise by now: decline, claim anew.
    let own = record("assessments/a1", RecordKind::Assessment, 4);
    world.sim.given(&RecordRow { state: RecordState::Revoked, ..own });
    refused(&mut world, BEIJING, &ok, Reason::AmountMismatch, "amount_fen");
    let decline = DeclineClaim { claim: name_of.clone(), reason: "assessment void".into() };
    refused(&mut world, HEBEI, &decline, Reason::NotYourRecord, "claim");
    refused(
        &mut world,
        BEIJING,
        &DeclineClaim { reason: String::new(), ..decline.clone() },
        Reason::FieldMissing,
        "reason",
    );
    world.execute(BEIJING, &decline).unwrap();
    refused(&mut world, BEIJING, &decline, Reason::StateNotAllowed, "claim");
    refused(&mut world, BEIJING, &ok, Reason::StateNotAllowed, "claim");
    let again = world.execute(HEBEI, &claim()).unwrap();
    let guards: Vec<_> = again.guards().iter().map(|(spec, key)| format!("{} {}", spec.name, key[0])).collect();
    assert_eq!(guards, [format!("institutions {INSTITUTION}")]);
    assert_eq!(row(&world, &again.record()).amount_fen, 30_000);
    assert!(world.sim.get::<InstitutionRow>(crate::key![INSTITUTION.to_owned()]).is_some());
}

#[test]
fn refusals_of_a_payout() {
    let mut world = World::new();
    let claim = world.execute(HEBEI, &claim()).unwrap().record();
    refused(&mut world, BANK, &confirm(&claim, "PAYOUT0001"), Reason::NotYourRecord, "claim");
    world.execute(BEIJING, &approve(&claim, 70_000)).unwrap();
    let back = ReturnPayout { claim: claim.clone(), reason: "r".into() };
    refused(&mut world, BANK, &back, Reason::StateNotAllowed, "claim");
    world.sim.given(&crate::payment::OrderRow {
        channel: who(BANK),
        order_id: "TAKEN00001".into(),
        record: "payments/1".into(),
    });
    let ok = confirm(&claim, "PAYOUT0001");
    let table = [
        (UNIONPAY, ok.clone(), Reason::NotYourRecord, "claim"),
        (BANK, ConfirmPayout { amount_fen: 69_999, ..ok.clone() }, Reason::AmountMismatch, "amount_fen"),
        (
            BANK,
            ConfirmPayout { clearing_date: day("2026-11-22"), ..ok.clone() },
            Reason::FieldOutOfRange,
            "clearing_date",
        ),
        (BANK, ConfirmPayout { clearing_date: day("2026-10-30"), ..ok.clone() }, Reason::DateOrder, "clearing_date"),
        (BANK, confirm(&claim, "TAKEN00001"), Reason::OrderIdTaken, "order_id"),
    ];
    for (caller, command, expected, field) in table {
        refused(&mut world, caller, &command, expected, field);
    }
    world.execute(BANK, &ok).unwrap();
    refused(&mut world, BANK, &ok, Reason::StateNotAllowed, "claim");
}

#[test]
fn another_rate_table_another_amount() {
    let mut world = World::new();
    world.set(PolicyKind::OperatingSubsidy, "110000", |body| body["by_level"]["4"] = 99_900.into());
    assert_eq!(amount(&mut world), Some(99_900));
}
