//! Entitlements on the simulated world: rates, months, back-pay, credits, clawbacks, money events.

use std::collections::BTreeSet;

use EntryKind::*;

use super::*;
use crate::decision::Command;
use crate::guard;
use crate::ledger::{AccountRow, EntryKind};
use crate::payment::world::*;
use crate::payment::{AdvisePayment, PaymentRow};
use crate::person::{PersonRow, PersonState};
use crate::policy::PolicyKind;
use crate::recon::{BreakClass, BreakRow, BreakState};
use crate::record::{DisabilityCertificateContent, RecognitionRow, RecordKind, RecordRow};
use crate::rejection::Reason;
use crate::rules::rating::RecordState;
use crate::value::canonical_json;

const ACCOUNT: &str = "entitlement[elder, unionpay]";
const GRANTED: &str = "granted[elder]";
const COST: &str = "expense[110108, 2026]";

fn refused(world: &mut World, caller: &str, command: &dyn Command, expected: Reason, field: &str) {
    let before = world.sim.transfers.len();
    assert_eq!(said(world.execute(caller, command)), reason(expected, field));
    assert_eq!(world.sim.transfers.len(), before);
}

fn certificate(categories: &[&str], grade: i64) -> RecordRow {
    let categories: BTreeSet<_> = categories.iter().map(|c| c.parse().unwrap()).collect();
    RecordRow {
        scheme: "NATIONAL".into(),
        content: canonical_json(&DisabilityCertificateContent { categories }),
        ..record("disabilityCertificates/d1", RecordKind::DisabilityCertificate, grade)
    }
}

/// The month's grant: tier and fen, or `None` where no rate applies.
fn granted(world: &mut World, month: &str) -> Option<(String, i64)> {
    match world.execute(BEIJING, &grant(month)) {
        Ok(decision) => {
            let row: GrantRow = world.grant(&decision.record());
            Some((row.tier, row.amount_fen))
        }
        Err(refusal) => {
            assert_eq!((refusal.reason, refusal.field.as_deref()), (Reason::NoRate, Some("elder")));
            None
        }
    }
}

/// DOMAIN.md §4, every tier.
#[test]
fn the_rate_table() {
    let tier = |tier: &str, fen| Some((tier.to_owned(), fen));
    let assessed = |level| record("assessments/a1", RecordKind::Assessment, level);
    let table = [
        (assessed(4), tier("1", 60_000)),
        (assessed(3), tier("1", 60_000)),
        (assessed(2), None),
        (assessed(0), None),
        (certificate(&["VISUAL"], 1), tier("1", 60_000)),
        (certificate(&["LIMB"], 1), tier("1", 60_000)),
        (certificate(&["INTELLECTUAL"], 1), tier("1", 60_000)),
        (certificate(&["MENTAL"], 1), tier("1", 60_000)),
        (certificate(&["MENTAL", "HEARING"], 2), tier("1", 60_000)),
        (certificate(&["INTELLECTUAL", "LIMB"], 2), tier("1", 60_000)),
        (certificate(&["VISUAL"], 2), tier("2", 40_000)),
        (certificate(&["LIMB"], 2), tier("2", 40_000)),
        (certificate(&["INTELLECTUAL"], 2), tier("2", 40_000)),
        (certificate(&["MENTAL"], 2), tier("2", 40_000)),
        (certificate(&["INTELLECTUAL"], 3), tier("2", 40_000)),
        (certificate(&["MENTAL"], 3), tier("2", 40_000)),
        (certificate(&["HEARING"], 1), tier("3", 20_000)),
        (certificate(&["HEARING"], 2), tier("3", 20_000)),
        (certificate(&["SPEECH"], 1), tier("3", 20_000)),
        (certificate(&["SPEECH"], 2), tier("3", 20_000)),
        (certificate(&["HEARING"], 3), None),
        (certificate(&["VISUAL"], 3), None),
        (certificate(&["LIMB"], 4), None),
        (certificate(&["MENTAL"], 4), None),
    ];
    for (basis, expected) in table {
        let mut world = World::new();
        world.sim.given(&RecordRow { state: RecordState::Revoked, ..assessed(4) });
        world.sim.given(&basis);
        assert_eq!(granted(&mut world, "2026-11"), expected, "{basis:?}");
    }
}

#[test]
fn the_highest_rate_applies_unless_a_basis_is_named() {
    let mut world = World::new();
    world.sim.given(&certificate(&["HEARING"], 1));
    let on_certificate = GrantEntitlement { basis: Some(name("disabilityCertificates/d1")), ..grant("2026-10") };
    let low = world.execute(BEIJING, &on_certificate).unwrap().record();
    assert_eq!(world.grant(&low).amount_fen, 20_000);
    let best = world.execute(BEIJING, &grant("2026-11")).unwrap().record();
    let best = world.grant(&best);
    assert_eq!((best.amount_fen, best.basis.as_str(), best.basis_version), (60_000, "assessments/a1", 1));
}

#[test]
fn an_ambiguous_level_earns_only_what_all_it_may_stand_for_earn() {
    let recognized = |min, max| RecognitionRow {
        recognition: "recognitions/a2-110000".into(),
        record: "assessments/a2".into(),
        kind: RecordKind::Assessment,
        subject: ELDER.into(),
        recognized_min: min,
        recognized_max: max,
        ..recognition()
    };
    for (min, max, expected) in [(3, 4, Some(60_000)), (2, 3, None), (4, 4, Some(60_000))] {
        let mut world = World::new();
        let own = record("assessments/a1", RecordKind::Assessment, 4);
        world.sim.given(&RecordRow { state: RecordState::Revoked, ..own });
        world.sim.given(&RecordRow { issuer: who(HEBEI), ..record("assessments/a2", RecordKind::Assessment, 3) });
        world.sim.given(&recognized(min, max));
        assert_eq!(granted(&mut world, "2026-11").map(|(_, fen)| fen), expected, "{min}..{max}");
        if expected.is_some() {
            let row = world.sim.all::<GrantRow>().remove(0);
            assert_eq!(row.basis, "recognitions/a2-110000", "the payer's own decision is the basis");
        }
    }
}

/// Changes apply from the following month: the basis must hold on the month's first day.
#[test]
fn the_monthly_rule() {
    let own = || record("assessments/a1", RecordKind::Assessment, 4);
    let table = [
        (RecordRow { valid_from: day("2026-11-01"), ..own() }, true),
        (RecordRow { valid_from: day("2026-11-02"), ..own() }, false),
        (RecordRow { valid_until: day("2026-11-01"), ..own() }, true),
        (RecordRow { valid_until: day("2026-10-31"), ..own() }, false),
        (RecordRow { state: RecordState::Rectifying, ..own() }, true),
        (RecordRow { state: RecordState::Suspended, ..own() }, false),
        (RecordRow { state: RecordState::Superseded, effective_on: day("2026-11-02"), ..own() }, true),
        (RecordRow { state: RecordState::Superseded, effective_on: day("2026-11-01"), ..own() }, false),
        (RecordRow { issuer: who(HEBEI), ..own() }, false),
    ];
    for (basis, holds) in table {
        let mut world = World::new();
        world.sim.given(&basis);
        assert_eq!(granted(&mut world, "2026-11").is_some(), holds, "{basis:?}");
        let named = GrantEntitlement { basis: Some(name("assessments/a1")), ..grant("2026-12") };
        if !holds && basis.valid_from < day("2026-11-01") {
            refused(&mut world, BEIJING, &named, Reason::BasisNotValid, "basis");
        }
    }
}

/// Next month by this month's end; back-pay six months, at the rates of then.
#[test]
fn months_and_back_pay() {
    let table = [
        ("2027-01", Some(Reason::MonthInFuture)),
        ("2026-12", None),
        ("2026-11", None),
        ("2026-05", None),
        ("2026-04", Some(Reason::BackPayTooOld)),
    ];
    for (month, expected) in table {
        let mut world = World::new();
        match expected {
            None => assert!(granted(&mut world, month).is_some(), "{month}"),
            Some(expected) => refused(&mut world, BEIJING, &grant(month), expected, "month"),
        }
    }
    let mut world = World::new();
    let scope = "110000/care_subsidy";
    let default = crate::policy::defaults().into_iter().find(|d| d.kind == PolicyKind::Programme && d.scope == scope);
    let mut raised = default.unwrap();
    raised.body["rates"][0]["amount_fen"] = 66_000.into();
    raised.effective_from = day("2026-10-01");
    world.execute("regions/110000/admins/setup", &raised).unwrap();
    assert_eq!(granted(&mut world, "2026-09").unwrap().1, 60_000);
    assert_eq!(granted(&mut world, "2026-10").unwrap().1, 66_000);
}

#[test]
fn death_stops_grants_from_the_next_month() {
    let mut world = World::new();
    let died = PersonRow { state: PersonState::Deceased, died_on: Some(day("2026-10-31")), ..elder(ELDER) };
    world.sim.given(&died);
    assert!(granted(&mut world, "2026-10").is_some());
    refused(&mut world, BEIJING, &grant("2026-11"), Reason::PersonDeceased, "elder");
}

#[test]
fn refusals_of_a_grant() {
    let mut world = World::new();
    let ok = || grant("2026-11");
    let named = |basis: &str| GrantEntitlement { basis: Some(name(basis)), ..ok() };
    let table = [
        (BEIJING, GrantEntitlement { person: name("elders/none"), ..ok() }, Reason::RecordNotFound, "elder"),
        (HEBEI, ok(), Reason::NotYourRecord, "elder"),
        (BEIJING, GrantEntitlement { programme: "none".into(), ..ok() }, Reason::PolicyMissing, ""),
        (BEIJING, GrantEntitlement { programme: "no such".into(), ..ok() }, Reason::FieldMalformed, "programme"),
        (BEIJING, GrantEntitlement { channel: who("channels/none"), ..ok() }, Reason::ParticipantNotActive, "channel"),
        (BEIJING, named("assessments/none"), Reason::BasisNotValid, "basis"),
    ];
    for (caller, command, expected, field) in table {
        refused(&mut world, caller, &command, expected, field);
    }
    world.sim.given(&PersonRow { state: PersonState::Erased, ..elder(ELDER) });
    refused(&mut world, BEIJING, &ok(), Reason::PersonErased, "elder");
}

#[test]
fn a_month_is_granted_once_under_all_names_until_clawed_back() {
    let mut world = World::new();
    let first = world.execute(BEIJING, &grant("2026-11")).unwrap().record();
    refused(&mut world, BEIJING, &grant("2026-11"), Reason::AlreadyGranted, "month");
    let merged = PersonRow { state: PersonState::Merged, merged_into: Some("elders/new".into()), ..elder(ELDER) };
    world.sim.given(&merged);
    world.sim.given(&elder("elders/new"));
    for person in [ELDER, "elders/new"] {
        let again = GrantEntitlement { person: name(person), ..grant("2026-11") };
        refused(&mut world, BEIJING, &again, Reason::AlreadyGranted, "month");
    }
    world.execute(BEIJING, &ClawBackGrant { grant: first, reason: "wrong level".into() }).unwrap();
    let again = world.execute(BEIJING, &grant("2026-11")).unwrap().record();
    assert_eq!(world.grant(&again).person, "elders/new");
}

#[test]
fn journal_of_grants_and_credits() {
    let mut world = World::new();
    let decision = world.execute(BEIJING, &grant("2026-11")).unwrap();
    assert_eq!(entries(&decision), [entry(MonthGranted, "posted", COST, GRANTED, 60_000)]);
    let grant = decision.record();
    let failed = ReportCredit { grant: grant.clone(), outcome: CreditOutcome::Failed { reason: "closed".into() } };
    let decision = world.execute(UNIONPAY, &failed).unwrap();
    assert_eq!((entries(&decision), world.grant(&grant).state), (vec![], GrantState::CreditFailed));
    let credit = ReportCredit { grant: grant.clone(), outcome: CreditOutcome::Credited { amount_fen: 60_000 } };
    let decision = world.execute(UNIONPAY, &credit).unwrap();
    assert_eq!(entries(&decision), [entry(Credited, "posted", GRANTED, ACCOUNT, 60_000)]);
    let row = world.grant(&grant);
    assert_eq!((row.state, row.credited_fen, row.reason.as_str(), row.version), (GrantState::Credited, 60_000, "", 3));
    refused(&mut world, UNIONPAY, &credit, Reason::StateNotAllowed, "grant");
    world.check_identities();
}

#[test]
fn where_the_gateway_keeps_the_balance_a_grant_credits_at_once() {
    let mut world = World::new();
    let scope = "110000/care_subsidy";
    world.set(PolicyKind::Programme, scope, |body| body["balance_of_record"] = "GATEWAY".into());
    let decision = world.execute(BEIJING, &grant("2026-11")).unwrap();
    let expected =
        [entry(MonthGranted, "posted", COST, GRANTED, 60_000), entry(Credited, "posted", GRANTED, ACCOUNT, 60_000)];
    assert_eq!(entries(&decision), expected);
    assert_eq!(world.grant(&decision.record()).state, GrantState::Credited);
}

#[test]
fn refusals_of_a_credit() {
    let mut world = World::new();
    let grant = world.execute(BEIJING, &grant("2026-11")).unwrap().record();
    let credited = |amount_fen| CreditOutcome::Credited { amount_fen };
    let failed = |reason: &str| CreditOutcome::Failed { reason: reason.into() };
    let table = [
        (UNIONPAY, "grants/none", credited(60_000), Reason::RecordNotFound, "grant"),
        (BANK, grant.as_str(), credited(60_000), Reason::NotYourRecord, "grant"),
        (UNIONPAY, grant.as_str(), credited(59_999), Reason::AmountMismatch, "amount_fen"),
        (UNIONPAY, grant.as_str(), failed(""), Reason::FieldMissing, "reason"),
        (UNIONPAY, grant.as_str(), failed(&"x".repeat(201)), Reason::FieldTooLong, "reason"),
    ];
    for (caller, grant, outcome, expected, field) in table {
        refused(&mut world, caller, &ReportCredit { grant: name(grant), outcome }, expected, field);
    }
}

#[test]
fn journal_of_clawbacks() {
    // Uncredited: at once.
    let mut world = World::new();
    let grant_name = world.execute(BEIJING, &grant("2026-11")).unwrap().record();
    let claw = ClawBackGrant { grant: grant_name.clone(), reason: "wrong level".into() };
    let decision = world.execute(BEIJING, &claw).unwrap();
    assert_eq!(entries(&decision), [entry(ClawbackUncredited, "posted", GRANTED, COST, 60_000)]);
    refused(&mut world, BEIJING, &claw, Reason::StateNotAllowed, "grant");

    // Credited: asked, then what the channel returned and what was spent.
    for (returned_fen, expected) in [
        (
            60_000,
            vec![(ClawbackReturned, ACCOUNT, COST, 60_000), (ClawbackReturned, "bank", "prefund[unionpay]", 60_000)],
        ),
        (
            45_000,
            vec![
                (ClawbackReturned, ACCOUNT, COST, 45_000),
                (ClawbackReturned, "bank", "prefund[unionpay]", 45_000),
                (ClawbackSpent, "receivable[elder]", COST, 15_000),
            ],
        ),
        (0, vec![(ClawbackSpent, "receivable[elder]", COST, 60_000)]),
    ] {
        let mut world = World::funded();
        let grant = world.sim.all::<GrantRow>().remove(0);
        let claw = ClawBackGrant { grant: name(&grant.grant), reason: "wrong level".into() };
        let report = ReportClawbackReturn { grant: name(&grant.grant), returned_fen };
        refused(&mut world, UNIONPAY, &report, Reason::StateNotAllowed, "grant");
        let decision = world.execute(BEIJING, &claw).unwrap();
        assert_eq!(entries(&decision), []);
        refused(&mut world, BEIJING, &claw, Reason::StateNotAllowed, "grant");
        refused(&mut world, BEIJING, &report, Reason::NotYourRecord, "grant");
        let too_much = ReportClawbackReturn { returned_fen: 60_001, ..report.clone() };
        refused(&mut world, UNIONPAY, &too_much, Reason::FieldOutOfRange, "returned_fen");
        let decision = world.execute(UNIONPAY, &report).unwrap();
        let expected: Vec<Entry> =
            expected.into_iter().map(|(kind, debit, credit, fen)| entry(kind, "posted", debit, credit, fen)).collect();
        assert_eq!(entries(&decision), expected);
        let row = world.grant(&name(&grant.grant));
        assert_eq!((row.state, row.clawed_back_fen, row.returned_fen), (GrantState::ClawedBack, 60_000, returned_fen));
        refused(&mut world, UNIONPAY, &report, Reason::StateNotAllowed, "grant");
        world.check_identities();
    }
}

#[test]
fn a_month_of_a_closed_year_goes_back_to_that_years_adjustment() {
    let mut world = World::new();
    let grant_name = world.execute(BEIJING, &grant("2026-12")).unwrap().record();
    world.now = day("2027-01-04").starts_at();
    let claw = ClawBackGrant { grant: grant_name, reason: "moved".into() };
    // Until December is closed, the year is open.
    let decision = world.clone().execute(BEIJING, &claw).unwrap();
    let expense = "expense[110108, 2026]";
    assert_eq!(entries(&decision), [entry(ClawbackUncredited, "posted", GRANTED, expense, 60_000)]);
    world.closed("2026-12");
    let decision = world.execute(BEIJING, &claw).unwrap();
    let adjusted = "appropriation[110108, 2026-prior-year-adjustment]";
    assert_eq!(entries(&decision), [entry(ClawbackUncredited, "posted", GRANTED, adjusted, 60_000)]);
}

#[test]
fn what_was_spent_is_owed_and_recovered() {
    let mut world = World::funded();
    let grant = name(&world.sim.all::<GrantRow>()[0].grant);
    world.execute(BEIJING, &ClawBackGrant { grant: grant.clone(), reason: "moved".into() }).unwrap();
    world.execute(UNIONPAY, &ReportClawbackReturn { grant, returned_fen: 20_000 }).unwrap();
    let recover = |amount_fen, reference: &str| RecordRecovery {
        programme: "care_subsidy".into(),
        elder: name(ELDER),
        amount_fen,
        reference: reference.into(),
    };
    refused(&mut world, BEIJING, &recover(40_001, "R1"), Reason::FieldOutOfRange, "amount_fen");
    refused(&mut world, BEIJING, &recover(0, "R1"), Reason::FieldOutOfRange, "amount_fen");
    refused(&mut world, BEIJING, &recover(1, ""), Reason::FieldMissing, "reference");
    refused(&mut world, HEBEI, &recover(1, "R1"), Reason::PolicyMissing, "");
    let decision = world.execute(BEIJING, &recover(40_000, "R1")).unwrap();
    assert_eq!(entries(&decision), [entry(Recovered, "posted", "bank", "receivable[elder]", 40_000)]);
    refused(&mut world, BEIJING, &recover(1, "R1"), Reason::RecordExists, "reference");
    refused(&mut world, BEIJING, &recover(1, "R2"), Reason::FieldOutOfRange, "amount_fen");
    world.check_identities();
}

#[test]
fn journal_of_budget_funding_and_spending() {
    let mut world = World::new();
    let budget = AllotBudget {
        programme: "care_subsidy".into(),
        funder_division: "110108".parse().unwrap(),
        year: 2026,
        amount_fen: 900,
        reference: "D1".into(),
    };
    let decision = world.execute(BEIJING, &budget).unwrap();
    assert_eq!(entries(&decision), [entry(BudgetAllotted, "posted", "bank", "appropriation[110108, 2026]", 900)]);
    refused(&mut world, BEIJING, &budget, Reason::RecordExists, "reference");
    // One document may allot to several funders.
    world.execute(BEIJING, &AllotBudget { funder_division: "110105".parse().unwrap(), ..budget.clone() }).unwrap();
    refused(&mut world, BEIJING, &AllotBudget { year: 1999, ..budget.clone() }, Reason::FieldOutOfRange, "budget_year");
    refused(&mut world, BEIJING, &AllotBudget { amount_fen: 0, ..budget }, Reason::FieldOutOfRange, "amount_fen");

    let funding = FundChannel {
        programme: "care_subsidy".into(),
        channel: who(UNIONPAY),
        amount_fen: 800,
        reference: "F1".into(),
    };
    let decision = world.execute(BEIJING, &funding).unwrap();
    assert_eq!(entries(&decision), [entry(ChannelFunded, "posted", "prefund[unionpay]", "bank", 800)]);
    refused(&mut world, BEIJING, &funding, Reason::RecordExists, "reference");
    // A month of a whole programme is more than any elder's field holds.
    let month = FundChannel { amount_fen: guard::MAX_PROGRAMME_FEN, reference: "F3".into(), ..funding.clone() };
    assert_eq!(world.execute(BEIJING, &month).unwrap().leaves.len(), 1);
    let more = FundChannel { amount_fen: guard::MAX_PROGRAMME_FEN + 1, reference: "F4".into(), ..funding.clone() };
    refused(&mut world, BEIJING, &more, Reason::FieldOutOfRange, "amount_fen");
    let by_bank = FundChannel { channel: who(BANK), reference: "F2".into(), ..funding.clone() };
    refused(&mut world, BEIJING, &by_bank, Reason::FieldOutOfRange, "channel");
    let unknown = FundChannel { channel: who("channels/none"), reference: "F2".into(), ..funding };
    refused(&mut world, BEIJING, &unknown, Reason::ParticipantNotActive, "channel");

    let spending = |reference: &str| Spending {
        person: name(ELDER),
        region: None,
        programme: "care_subsidy".into(),
        amount_fen: 70,
        occurred_on: day(TODAY),
        reference: reference.into(),
    };
    // A fact: it overdraws.
    let decision = world.execute(UNIONPAY, &ReportOutsideSpending(spending("S1"))).unwrap();
    assert_eq!(entries(&decision), [entry(SpentElsewhere, "posted", ACCOUNT, "prefund[unionpay]", 70)]);
    assert_eq!(world.posted(&money()), -70);
    let [overspent]: [BreakRow; 1] = world.sim.all().try_into().unwrap();
    assert_eq!((overspent.class, overspent.amount_fen, overspent.version), (BreakClass::Overspent, 70, 1));
    world.sim.given(&BreakRow { state: BreakState::Resolved, ..overspent.clone() });
    world.execute(UNIONPAY, &ReportOutsideSpending(spending("S0"))).unwrap();
    world.execute(UNIONPAY, &ReportOutsideSpending(spending("S-1"))).unwrap();
    let [again]: [BreakRow; 1] = world.sim.all().try_into().unwrap();
    assert_eq!((&again.break_name, again.amount_fen, again.version), (&overspent.break_name, 140, 2));
    refused(&mut world, UNIONPAY, &ReportOutsideSpending(spending("S1")), Reason::RecordExists, "reference");
    let later = Spending { occurred_on: day("2026-11-22"), ..spending("S2") };
    refused(&mut world, UNIONPAY, &ReportOutsideSpending(later), Reason::FieldOutOfRange, "occurred_on");
    let unknown = Spending { person: name("elders/none"), ..spending("S2") };
    refused(&mut world, UNIONPAY, &ReportOutsideSpending(unknown), Reason::RecordNotFound, "elder");

    refused(&mut world, UNIONPAY, &ReportEstatePayout(spending("S1")), Reason::StateNotAllowed, "elder");
    let died = PersonRow { state: PersonState::Deceased, died_on: Some(day("2026-10-31")), ..elder(ELDER) };
    world.sim.given(&died);
    let decision = world.execute(UNIONPAY, &ReportEstatePayout(spending("S1"))).unwrap();
    assert_eq!(entries(&decision), [entry(PaidToEstate, "posted", ACCOUNT, "prefund[unionpay]", 70)]);
}

/// The month grants, the authorisation spends: nothing that was revoked later is undone.
#[test]
fn a_revocation_undoes_nothing_and_a_clawback_may_overdraw() {
    let mut world = World::funded();
    let payment = world.authorised("ORDER0001", 50_000);
    let own = record("assessments/a1", RecordKind::Assessment, 4);
    world.sim.given(&RecordRow { state: RecordState::Revoked, effective_on: day("2026-01-01"), ..own });
    let confirm = crate::payment::ConfirmPayment {
        payment: name(&payment.payment),
        amount_fen: 50_000,
        transaction_time: None,
        clearing_date: None,
    };
    world.execute(UNIONPAY, &confirm).unwrap();
    let grant = name(&world.sim.all::<GrantRow>()[0].grant);
    world.execute(BEIJING, &ClawBackGrant { grant: grant.clone(), reason: "void assessment".into() }).unwrap();
    world.execute(UNIONPAY, &ReportClawbackReturn { grant, returned_fen: 60_000 }).unwrap();
    let account: AccountRow = world.sim.get(crate::key![money()]).unwrap();
    assert_eq!(account.posted_fen, -50_000, "the channel said so");
    world.check_identities();
    let advice = AdvisePayment {
        ask: ask(1),
        merchant_id: "M1".into(),
        order_id: "ADVICE0001".parse().unwrap(),
        transaction_time: world.now,
        clearing_date: None,
    };
    let row: PaymentRow = {
        let n = world.execute(UNIONPAY, &advice).unwrap().record();
        world.payment(&n)
    };
    assert_eq!(row.unmet.0.len(), 2, "{:?}", row.unmet.0);
}
