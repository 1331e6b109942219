//! The gate: every condition in every mode, and what each condition looks at.

use super::super::world::*;
use super::super::*;
use crate::care::bill::{BillRow, BillState};
use crate::care::contract::{ContractEvidence, ContractRow, ContractState};
use crate::care::stay::{StayRow, StayState};
use crate::key;
use crate::person::{PersonRow, PersonState};
use crate::policy::{Mode, PolicyKind};
use crate::record::{RecognitionRow, RecognitionState, RecordKind, RecordRow};
use crate::rejection::Reason;
use crate::rules::rating::RecordState;
use crate::time::Timestamp;

/// Makes a condition unmet; says what the payment then asks for.
fn unmeet(world: &mut World, condition: Condition) -> Ask {
    let mut asked = ask(10_000);
    match condition {
        Condition::Contract => {
            world.sim.given(&ContractRow { state: ContractState::Voided, ..contract() });
        }
        Condition::ContractEvidence => {
            world.sim.given(&ContractRow { evidence: ContractEvidence::None, ..contract() });
        }
        Condition::Stay => {
            let left = Some(day("2026-11-01"));
            world.sim.given(&StayRow { left_on: left, ..stay("stays/s1", ELDER, "2026-01-05") });
        }
        Condition::Rating => {
            world.sim.given(&RecognitionRow { state: RecognitionState::Suspended, ..recognition() });
        }
        Condition::Basis => {
            let assessment = record("assessments/a1", RecordKind::Assessment, 4);
            world.sim.given(&RecordRow { state: RecordState::Revoked, ..assessment });
        }
        Condition::FeeType => asked.fee_type = FeeType::Meal,
        Condition::Bill => world.sim.given(&BillRow { state: BillState::Voided, ..bill(BILL, "2026-11") }),
        Condition::Funds => asked.amount_fen = 60_001,
    }
    asked
}

#[test]
fn every_condition_in_every_mode() {
    for condition in Condition::ALL {
        for mode in Mode::ALL {
            let mut world = World::funded();
            world.mode(*condition, *mode);
            let command =
                AuthorizePayment { ask: unmeet(&mut world, *condition), ..authorise(world.now, "ORDER0001", 1) };
            let result = world.execute(UNIONPAY, &command);
            // Identities 3 and 7 rest on these two: no policy lets them pass.
            let always = matches!(condition, Condition::Bill | Condition::Funds);
            match (mode, always) {
                (Mode::Enforce, _) | (_, true) => {
                    let refusal = result.expect_err("enforced");
                    if *condition == Condition::Funds {
                        assert_eq!(refusal.reason, Reason::InsufficientFunds);
                    } else {
                        assert_eq!(refusal.reason, Reason::ConditionUnmet);
                        assert_eq!(refusal.vars[0], ("condition", condition.to_string()));
                    }
                    assert!(world.sim.all::<PaymentRow>().is_empty());
                }
                (Mode::Warn, false) => {
                    let row = world.payment(&result.unwrap().record());
                    let unmet: Vec<_> = row.unmet.0.iter().map(|u| u.condition).collect();
                    assert_eq!(unmet, [*condition]);
                }
                (Mode::Off, false) => {
                    let row = world.payment(&result.unwrap().record());
                    assert_eq!(row.unmet.0, []);
                }
            }
            world.check_identities();
        }
    }
}

#[test]
fn an_advice_is_booked_whatever_is_unmet() {
    for condition in Condition::ALL {
        let mut world = World::funded();
        let command = AdvisePayment {
            ask: unmeet(&mut world, *condition),
            merchant_id: "M1".into(),
            order_id: "ADVICE0001".parse().unwrap(),
            transaction_time: world.now,
            clearing_date: None,
        };
        let row = world.execute(UNIONPAY, &command).unwrap().record();
        let unmet: Vec<_> = world.payment(&row).unmet.0.iter().map(|u| u.condition).collect();
        assert!(unmet.contains(condition), "{condition}: {unmet:?}");
        world.check_identities();
    }
}

/// What `CheckPayment` computes from.
fn judged(world: &World, ask: &Ask, now: Timestamp) -> Judgement {
    world.sim.read(|snapshot| judge(snapshot, ask, now)).unwrap()
}

#[test]
fn all_met_stands_on_each_record_once() {
    let world = World::funded();
    let judgement = judged(&world, &ask(10_000), world.now);
    let stands_on: Vec<_> = judgement.stands_on().into_iter().map(|s| format!("{}@{}", s.record, s.version)).collect();
    assert_eq!(stands_on, ["contracts/c1@3", "stays/s1@1", "recognitions/r1-110000@1", "assessments/a1@1"]);
    assert!(judgement.conditions.iter().all(|c| c.is_met() && c.mode == Mode::Enforce));
    assert_eq!((judgement.open_fen, judgement.available_fen, judgement.payable_fen()), (200_000, 60_000, 60_000));
}

#[test]
fn nothing_is_payable_past_an_enforced_condition() {
    for (condition, mode, payable_fen) in [
        (Condition::Stay, Mode::Enforce, 0),
        (Condition::Stay, Mode::Warn, 60_000),
        (Condition::Stay, Mode::Off, 60_000),
        (Condition::Funds, Mode::Enforce, 60_000),
        (Condition::Bill, Mode::Enforce, 0),
    ] {
        let mut world = World::funded();
        world.mode(condition, mode);
        let asked = unmeet(&mut world, condition);
        assert_eq!(judged(&world, &asked, world.now).payable_fen(), payable_fen, "{condition} {mode}");
    }
}

#[test]
fn every_lack_explains_itself_in_both_languages() {
    for kind in LackKind::ALL {
        let lack = Lack::new(*kind, "x42");
        for text in [lack.message_en(), lack.message_zh()] {
            assert!(!text.contains('{'), "{text}");
        }
        assert_eq!(lack.message_en().contains("x42"), lack.message_zh().contains("x42"));
        assert_eq!(lack.to_string(), format!("{} (x42)", kind.code()));
    }
}

fn detail(world: &World, condition: Condition, at: &str) -> Option<String> {
    let now = day(at).starts_at().plus_us(crate::time::HOUR_US);
    let judged = judged(world, &ask(1), now).conditions;
    judged.into_iter().find(|c| c.condition == condition).and_then(|c| c.lack).map(|lack| lack.to_string())
}

#[test]
fn the_contract_counts_by_the_bills_month() {
    let ended = |on: &str| ContractRow { state: ContractState::Terminated, ended_on: Some(day(on)), ..contract() };
    let table = [
        (contract(), true),
        (ContractRow { state: ContractState::Signed, activated_on: None, ..contract() }, false),
        (ContractRow { state: ContractState::Voided, ..contract() }, false),
        (ContractRow { activated_on: Some(day("2026-11-30")), ..contract() }, true),
        (ContractRow { starts_on: day("2026-12-01"), ..contract() }, false),
        (ContractRow { ends_on: day("2026-11-01"), ..contract() }, true),
        (ContractRow { ends_on: day("2026-10-31"), ..contract() }, false),
        // Its last bill is paid after it has ended.
        (ended("2026-11-10"), true),
        (ended("2026-11-02"), true),
        (ended("2026-11-01"), false),
    ];
    for (row, met) in table {
        let mut world = World::new();
        world.sim.given(&row);
        assert_eq!(detail(&world, Condition::Contract, "2026-12-15").is_none(), met, "{row:?}");
    }
}

#[test]
fn the_stay_counts_by_the_bills_month_under_any_name_of_the_elder() {
    let own =
        |admitted: &str, left: Option<&str>| StayRow { left_on: left.map(day), ..stay("stays/s1", ELDER, admitted) };
    let table = [
        (own("2026-11-30", None), true),
        (own("2026-12-01", None), false),
        (own("2026-01-01", Some("2026-11-02")), true),
        (own("2026-01-01", Some("2026-11-01")), false),
        (StayRow { state: StayState::Voided, ..own("2026-01-01", None) }, false),
        (StayRow { institution: "institutions/52110108XXXX00019Q".into(), ..own("2026-01-01", None) }, false),
        (StayRow { person: "elders/merged".into(), ..own("2026-01-01", None) }, true),
        (StayRow { person: "elders/other".into(), ..own("2026-01-01", None) }, false),
    ];
    for (row, met) in table {
        let mut world = World::new();
        world.sim.given(&merged());
        world.sim.given(&row);
        assert_eq!(detail(&world, Condition::Stay, TODAY).is_none(), met, "{row:?}");
    }
}

fn merged() -> PersonRow {
    PersonRow { state: PersonState::Merged, merged_into: Some(ELDER.into()), ..elder("elders/merged") }
}

#[test]
fn the_rating_counts_as_recognized_by_the_payer_today() {
    let table = [
        (recognition(), 1, None),
        (recognition(), 5, Some("GRADE_TOO_LOW (4)")),
        (RecognitionRow { recognized_min: 3, ..recognition() }, 4, Some("GRADE_TOO_LOW (3)")),
        (RecognitionRow { recognizer: who("regions/120000"), ..recognition() }, 1, Some("RATING_NOT_RECOGNIZED")),
        (RecognitionRow { state: RecognitionState::Pending, ..recognition() }, 1, Some("RATING_NOT_RECOGNIZED")),
        (RecognitionRow { state: RecognitionState::Revoked, ..recognition() }, 1, Some("RATING_NOT_RECOGNIZED")),
        (RecognitionRow { valid_until: day("2026-11-19"), ..recognition() }, 1, Some("RATING_NOT_RECOGNIZED")),
        (RecognitionRow { valid_from: day("2026-11-21"), ..recognition() }, 1, Some("RATING_NOT_RECOGNIZED")),
    ];
    for (row, min_grade, expected) in table {
        let mut world = World::new();
        world.set(PolicyKind::Gate, "110000/care_subsidy", |body| body["min_grade"] = min_grade.into());
        world.sim.given(&row);
        let found = detail(&world, Condition::Rating, TODAY);
        assert_eq!(found.is_none(), expected.is_none(), "{found:?}");
        assert!(found.unwrap_or_default().starts_with(expected.unwrap_or_default()));
    }
    // A rating of the payer's own needs no recognition.
    let mut world = World::new();
    world.sim.given(&RecognitionRow { state: RecognitionState::Revoked, ..recognition() });
    world.sim.given(&RecordRow { issuer: who(BEIJING), ..rating() });
    assert_eq!(detail(&world, Condition::Rating, TODAY), None);
}

#[test]
fn the_basis_serves_its_month_and_the_bills_of_its_time() {
    let assessment = || record("assessments/a1", RecordKind::Assessment, 4);
    let until = |on: &str| RecordRow { valid_until: day(on), ..assessment() };
    let from = |on: &str| RecordRow { valid_from: day(on), ..assessment() };
    // The record, the day of payment, the bill's month, met.
    let table = [
        (assessment(), TODAY, "2026-11", true),
        (RecordRow { native_level: 2, ..assessment() }, TODAY, "2026-11", false),
        (RecordRow { issuer: who(HEBEI), ..assessment() }, TODAY, "2026-11", false),
        (RecordRow { subject: "elders/merged".into(), ..assessment() }, TODAY, "2026-11", true),
        // It ran out on the 10th: the month is still hers, and so are the bills of earlier months.
        (until("2026-11-10"), "2026-11-30", "2026-11", true),
        (until("2026-11-10"), "2026-12-01", "2026-11", true),
        (until("2026-11-10"), "2026-12-01", "2026-12", false),
        (until("2026-10-31"), TODAY, "2026-10", true),
        (until("2026-10-31"), TODAY, "2026-11", false),
        // New this month: from the day it holds.
        (from("2026-11-20"), "2026-11-20", "2026-11", true),
        (from("2026-11-21"), "2026-11-20", "2026-11", false),
        // Withdrawn: nothing any more, from the moment it is recorded.
        (RecordRow { state: RecordState::Revoked, ..assessment() }, TODAY, "2026-10", false),
        (RecordRow { state: RecordState::Suspended, ..assessment() }, TODAY, "2026-11", false),
        // Replaced by a better assessment: the months before that one are still covered.
        (superseded("2026-11-10"), "2026-11-30", "2026-11", true),
        (superseded("2026-11-01"), "2026-11-30", "2026-11", false),
    ];
    for (row, today, month, met) in table {
        let mut world = World::new();
        world.sim.given(&merged());
        world.sim.given(&bill(BILL, month));
        world.sim.given(&row);
        assert_eq!(detail(&world, Condition::Basis, today).is_none(), met, "{row:?} on {today} for {month}");
    }
}

fn superseded(effective_on: &str) -> RecordRow {
    let assessment = record("assessments/a1", RecordKind::Assessment, 4);
    RecordRow { state: RecordState::Superseded, effective_on: day(effective_on), ..assessment }
}

#[test]
fn after_a_death_the_last_bill_can_be_paid() {
    let mut world = World::funded();
    let died = PersonRow { state: PersonState::Deceased, died_on: Some(day("2026-11-12")), ..elder(ELDER) };
    world.sim.given(&died);
    let last = StayRow { left_on: Some(day("2026-11-13")), ..stay("stays/s1", ELDER, "2026-01-05") };
    world.sim.given(&last);
    let assessment = record("assessments/a1", RecordKind::Assessment, 4);
    world.sim.given(&RecordRow { valid_until: day("2026-11-15"), ..assessment });
    world.now = day("2027-02-01").starts_at();
    world.execute(UNIONPAY, &authorise(world.now, "ORDER0001", 10_000)).unwrap();
    world.sim.given(&bill(BILL, "2026-12"));
    let refusal = world.execute(UNIONPAY, &authorise(world.now, "ORDER0002", 10_000)).unwrap_err();
    assert_eq!(refusal.vars[0], ("condition", "STAY".into()));
}

#[test]
fn of_merged_names_the_account_with_most_pays() {
    let mut world = World::funded();
    // Everything is under the name that was merged; the bill names the survivor.
    world.sim.given(&PersonRow { state: PersonState::Merged, merged_into: Some("elders/new".into()), ..elder(ELDER) });
    world.sim.given(&elder("elders/new"));
    world.sim.given(&BillRow { person: "elders/new".into(), ..bill(BILL, "2026-11") });
    let payment = world.authorised("ORDER0001", 40_000);
    assert_eq!(payment.person, ELDER);
    assert_eq!(world.held(&money()), -40_000);
    assert!(world.sim.get::<PaymentRow>(key![payment.payment]).is_some());
    world.check_identities();
}
