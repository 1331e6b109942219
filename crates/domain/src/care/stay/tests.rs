use super::*;
use crate::care::contract::VoidContract;
use crate::care::testing::{World, date, new_institution};
use crate::decision::Command;
use crate::key;
use crate::names::{Collection, Name};
use crate::payment::PaymentState;
use crate::person::{MergePersons, RecordDeath};
use crate::recon::BreakClass;
use crate::rejection::Reason;

const BEIJING: &str = "regions/110000";
const HEBEI: &str = "regions/130000";

fn admit(elder: &Name, home: &Name, on: &str) -> AdmitElder {
    AdmitElder { elder: elder.clone(), institution: home.clone(), contract: None, admitted_on: date(on) }
}

fn end(stay: &Name, left_on: &str) -> EndStay {
    EndStay { stay: stay.clone(), left_on: date(left_on), end_reason: StayEndReason::Left }
}

fn amend(stay: &Name, admitted_on: &str, left_on: Option<&str>) -> AmendStay {
    AmendStay {
        stay: stay.clone(),
        expected_version: 0,
        contract: None,
        admitted_on: date(admitted_on),
        left_on: left_on.map(date),
        reason: "更正日期".into(),
    }
}

fn void(stay: &Name) -> VoidStay {
    VoidStay { stay: stay.clone(), reason: "误登".into() }
}

#[test]
fn admitted_moved_and_back_again() {
    let mut world = World::new();
    let (home, elder) = (world.home(), world.elder());
    let other = world.name(HEBEI, &new_institution("91130606XXXX000518", "130606"));
    let contract = world.contract(&home, &elder);
    let first = world.name(HEBEI, &AdmitElder { contract: Some(contract), ..admit(&elder, &home, "2026-02-01") });
    world.refuses(vec![(
        "still there",
        HEBEI,
        Box::new(admit(&elder, &other, "2026-05-01")),
        Reason::StayOverlaps,
        "admitted_on",
    )]);
    // On the day of the move the one ends as the other begins.
    world.ok(HEBEI, &end(&first, "2026-05-01"));
    world.refuses(vec![(
        "a day too early",
        HEBEI,
        Box::new(admit(&elder, &other, "2026-04-30")),
        Reason::StayOverlaps,
        "admitted_on",
    )]);
    let second = world.name(HEBEI, &admit(&elder, &other, "2026-05-01"));
    let row = |world: &World, name: &Name| world.sim.get::<StayRow>(key![name.clone()]).unwrap();
    for (month, days) in [("2026-01", 0), ("2026-02", 28), ("2026-04", 30), ("2026-05", 0)] {
        assert_eq!(row(&world, &first).days_in(month.parse().unwrap()), days, "{month}");
    }
    assert!(row(&world, &second).covers(date("2026-05-01")) && !row(&world, &first).covers(date("2026-05-01")));
    // Recorded in error, it is in nobody's way.
    world.ok(HEBEI, &void(&second));
    assert_eq!(row(&world, &second).days_in("2026-05".parse().unwrap()), 0);
    let decision = world.ok(HEBEI, &admit(&elder, &home, "2026-05-01"));
    let told: Vec<_> = decision.leaves[0].audience.iter().map(|(who, _)| who.as_str()).collect();
    assert_eq!(told, [BEIJING, HEBEI]);
}

#[test]
fn stays_of_merged_persons_overlap() {
    let mut world = World::new();
    let (home, a, b) = (world.home(), world.elder(), world.elder());
    world.ok(HEBEI, &admit(&a, &home, "2026-02-01"));
    world.ok(BEIJING, &MergePersons { elder: a.clone(), into: b.clone(), reason: "同一人".into() });
    world.refuses(vec![
        ("under the old name", HEBEI, Box::new(admit(&a, &home, "2026-03-01")), Reason::PersonMerged, "elder"),
        ("under the new", HEBEI, Box::new(admit(&b, &home, "2026-03-01")), Reason::StayOverlaps, "admitted_on"),
    ]);
}

#[test]
fn admissions_refused() {
    let mut world = World::new();
    let (home, elder, dead) = (world.home(), world.elder(), world.elder());
    let (foreign, voided) = (world.contract(&home, &dead), world.contract(&home, &elder));
    world
        .ok(BEIJING, &VoidContract { contract: voided.clone(), reason: "欺诈".into(), document_number: String::new() });
    world
        .ok(BEIJING, &RecordDeath { elder: dead.clone(), died_on: date("2026-06-01"), document_number: String::new() });
    let tomorrow = world.today().plus_days(1).to_string();
    let with = |contract: &Name| AdmitElder { contract: Some(contract.clone()), ..admit(&elder, &home, "2026-06-01") };
    let nobody = Name::of(Collection::Elder, "nobody");
    let nowhere = Name::of(Collection::Institution, "12110105XXXX00027C");
    use Reason::*;
    world.refuses(vec![
        ("another region", BEIJING, Box::new(admit(&elder, &home, "2026-06-01")), NotYourRecord, "institution"),
        ("unknown institution", HEBEI, Box::new(admit(&elder, &nowhere, "2026-06-01")), RecordNotFound, "institution"),
        ("unknown elder", HEBEI, Box::new(admit(&nobody, &home, "2026-06-01")), RecordNotFound, "elder"),
        ("dead", HEBEI, Box::new(admit(&dead, &home, "2026-06-02")), PersonDeceased, "elder"),
        ("in the future", HEBEI, Box::new(admit(&elder, &home, &tomorrow)), FieldOutOfRange, "admitted_on"),
        ("another's contract", HEBEI, Box::new(with(&foreign)), FieldMalformed, "contract"),
        ("a void contract", HEBEI, Box::new(with(&voided)), StateNotAllowed, "contract"),
        (
            "unknown contract",
            HEBEI,
            Box::new(with(&Name::of(Collection::Contract, "none"))),
            RecordNotFound,
            "contract",
        ),
    ]);
    // One who has died since is recorded late.
    world.ok(HEBEI, &admit(&dead, &home, "2026-05-01"));
}

/// Every state, every command.
#[test]
fn states() {
    let mut world = World::new();
    let (home, elder) = (world.home(), world.elder());
    let admitted = world.name(HEBEI, &admit(&elder, &home, "2026-04-01"));
    let [mut ended, mut voided] = [world.clone(), world.clone()];
    ended.ok(HEBEI, &end(&admitted, "2026-05-01"));
    voided.ok(HEBEI, &void(&admitted));
    use StayState::*;
    let no = Err(Reason::StateNotAllowed);
    let table = [
        (&world, [Ok(Ended), Ok(Admitted), no, Ok(Voided)]),
        (&ended, [no, Err(Reason::FieldMissing), Ok(Ended), Ok(Voided)]),
        (&voided, [no, no, no, no]),
    ];
    for (given, outcomes) in table {
        let commands: [Box<dyn Command>; 4] = [
            Box::new(end(&admitted, "2026-05-02")),
            Box::new(amend(&admitted, "2026-04-02", None)),
            Box::new(amend(&admitted, "2026-04-02", Some("2026-05-02"))),
            Box::new(void(&admitted)),
        ];
        for (n, (command, expected)) in commands.iter().zip(outcomes).enumerate() {
            let mut world = given.clone();
            let outcome = world.run(HEBEI, &**command).map_err(|refused| refused.reason);
            let row: StayRow = world.sim.get(key![admitted.clone()]).unwrap();
            assert_eq!(outcome.map(|_| row.state), expected, "command {n}");
        }
    }
}

#[test]
fn ends_and_corrections_refused() {
    let mut world = World::new();
    let (home, elder) = (world.home(), world.elder());
    let first = world.name(HEBEI, &admit(&elder, &home, "2026-02-01"));
    world.ok(HEBEI, &end(&first, "2026-03-01"));
    let second = world.name(HEBEI, &admit(&elder, &home, "2026-04-01"));
    let unknown = Name::of(Collection::Stay, "none");
    let seen = AmendStay { expected_version: 9, ..amend(&second, "2026-04-01", None) };
    let silent = AmendStay { reason: String::new(), ..amend(&second, "2026-04-01", None) };
    let silent_void = VoidStay { reason: String::new(), ..void(&second) };
    use Reason::*;
    world.refuses(vec![
        ("another region", BEIJING, Box::new(end(&second, "2026-05-01")), NotYourRecord, "stay"),
        ("unknown", HEBEI, Box::new(end(&unknown, "2026-05-01")), RecordNotFound, "stay"),
        ("left before", HEBEI, Box::new(end(&second, "2026-03-31")), DateOrder, "left_on"),
        // Today, the 10th, may be the last day; not tomorrow.
        ("in the future", HEBEI, Box::new(end(&second, "2026-06-12")), FieldOutOfRange, "left_on"),
        ("seen another", HEBEI, Box::new(seen), StateNotAllowed, "expected_version"),
        ("no reason", HEBEI, Box::new(silent), FieldMissing, "reason"),
        ("no reason", HEBEI, Box::new(silent_void), FieldMissing, "reason"),
        ("into the first", HEBEI, Box::new(amend(&second, "2026-02-28", None)), StayOverlaps, "admitted_on"),
        (
            "into the second",
            HEBEI,
            Box::new(amend(&first, "2026-02-01", Some("2026-04-02"))),
            StayOverlaps,
            "admitted_on",
        ),
        ("in the future", HEBEI, Box::new(amend(&second, "2026-06-11", None)), FieldOutOfRange, "admitted_on"),
        ("backwards", HEBEI, Box::new(amend(&first, "2026-02-01", Some("2026-01-31"))), DateOrder, "left_on"),
    ]);
    world.ok(HEBEI, &amend(&second, "2026-03-01", None));
    world.ok(HEBEI, &end(&second, "2026-06-11"));
}

/// A May bill paid on a stay: what becomes of it when the stay turns out otherwise.
#[test]
fn payments_on_a_stay_that_was_not_surface() {
    let paid = [BreakClass::PaidAfterRevocation];
    let cases: [(&str, &dyn Fn(&Name) -> Box<dyn Command>, &[BreakClass]); 5] = [
        ("void", &|s| Box::new(void(s)), &paid),
        ("left in April", &|s| Box::new(end(s, "2026-05-01")), &paid),
        ("left in May", &|s| Box::new(end(s, "2026-05-02")), &[]),
        ("came in June", &|s| Box::new(amend(s, "2026-06-01", None)), &paid),
        ("came in May", &|s| Box::new(amend(s, "2026-05-31", None)), &[]),
    ];
    for (title, change, expected) in cases {
        let mut world = World::new();
        let (home, elder) = (world.home(), world.elder());
        let contract = world.contract(&home, &elder);
        let stay = world.name(HEBEI, &admit(&elder, &home, "2026-02-01"));
        let bill = world.bill(&home, &elder, &contract);
        world.pays(&bill, (&stay, 1), "2026-05-20", PaymentState::Confirmed);
        world.ok(HEBEI, &*change(&stay));
        let found: Vec<_> = world.breaks().into_iter().map(|(class, ..)| class).collect();
        assert_eq!(found, expected, "{title}");
    }
}
