use super::*;
use crate::care::testing::{World, date, identifier, new_person};
use crate::decision::{Command, Decision};
use crate::names::{Collection, Name};
use crate::row::Row;
use crate::snapshot::Load;

const BEIJING: &str = "regions/110000";
const TIANJIN: &str = "regions/120000";

fn elder_of(division: &str, who: &str) -> RegisterElder {
    RegisterElder { household_division: division.parse().unwrap(), person: new_person(who) }
}

fn merge(elder: &Name, into: &Name) -> MergePersons {
    MergePersons { elder: elder.clone(), into: into.clone(), reason: "同一人两次登记".into() }
}

fn death(elder: &Name) -> RecordDeath {
    RecordDeath { elder: elder.clone(), died_on: date("2026-06-01"), document_number: "京-17".into() }
}

fn erase(person: &Name) -> ErasePerson {
    ErasePerson { person: person.clone(), reason: "个人信息保护法第四十七条".into() }
}

fn amend(elder: &Name, division: &str) -> AmendElder {
    AmendElder {
        elder: elder.clone(),
        expected_version: 0,
        household_division: division.parse().unwrap(),
        ciphertext: "sealed anew".into(),
    }
}

fn add(elder: &Name, kind: IdentifierKind, who: &str) -> AddIdentifier {
    AddIdentifier { elder: elder.clone(), identifier: identifier(kind, who) }
}

fn private_rows(world: &World) -> [usize; 3] {
    let sim = &world.sim;
    [sim.all::<IdentifierRow>().len(), sim.all::<PersonDataRow>().len(), sim.all::<PersonKeyRow>().len()]
}

#[test]
fn an_elder_is_registered_by_whom_it_meets_and_paid_for_by_its_household() {
    let mut world = World::new();
    let decision = world.ok("regions/130000", &elder_of("110108", "wang"));
    let leaf = &decision.leaves[0];
    assert_eq!((leaf.kind, leaf.version), ("person.registered", 1));
    let told: Vec<_> = leaf.audience.iter().map(|(who, _)| who.as_str()).collect();
    assert_eq!(told, [BEIJING, "regions/130000"]);
    // Whatever is private is committed to under the person's salt, and nothing else is.
    for write in &leaf.writes {
        let private = write.spec.kind == crate::row::TableKind::Private;
        assert_eq!(write.person.as_deref(), private.then_some(leaf.record.as_str()), "{}", write.spec.name);
    }
    let row: PersonRow = world.sim.get(key![leaf.record.clone()]).unwrap();
    assert_eq!((row.household_region.as_str(), row.household_division.as_str()), (BEIJING, "110108"));
    assert_eq!(private_rows(&world), [1, 1, 1]);
}

#[test]
fn registrations_refused() {
    let mut world = World::new();
    let owner = world.name(BEIJING, &elder_of("110108", "wang"));
    let with = |change: &dyn Fn(&mut RegisterElder)| -> Box<dyn Command> {
        let mut command = elder_of("110108", "li");
        command.person.identifiers.push(identifier(IdentifierKind::SocialSecurityCard, "card of li"));
        change(&mut command);
        Box::new(command)
    };
    use Reason::*;
    world.refuses(vec![
        ("no identifier", BEIJING, with(&|r| r.person.identifiers.clear()), FieldMissing, "identifiers"),
        (
            "a kind twice",
            BEIJING,
            with(&|r| r.person.identifiers[1].kind = IdentifierKind::ResidentId),
            FieldRepeated,
            "identifiers",
        ),
        (
            "too many",
            BEIJING,
            with(&|r| r.person.identifiers = vec![r.person.identifiers[0].clone(); 11]),
            FieldOutOfRange,
            "identifiers",
        ),
        (
            "taken",
            TIANJIN,
            with(&|r| r.person.identifiers[1].lookup_hash = "hash of wang".into()),
            IdentifierTaken,
            "identifiers[1]",
        ),
        (
            "taken, added later",
            BEIJING,
            Box::new(add(&owner, IdentifierKind::SeniorDisabilityCard, "wang")),
            IdentifierTaken,
            "identifier",
        ),
    ]);
    let refused = world.run(TIANJIN, &elder_of("120101", "wang")).unwrap_err();
    assert!(refused.message_en().contains(owner.as_str()), "it names whom: {refused}");
    // A party is looked up apart: a guardian may become an elder.
    world.ok(TIANJIN, &RegisterParty { person: new_person("wang") });
    world.refuses(vec![(
        "taken by a party",
        BEIJING,
        Box::new(RegisterParty { person: new_person("wang") }),
        IdentifierTaken,
        "identifiers[0]",
    )]);
}

#[test]
fn the_same_request_creates_one_person() {
    let mut world = World::new();
    let call = world.call(BEIJING);
    world.sim.execute(&call, &elder_of("110108", "wang")).unwrap();
    let again = world.sim.execute(&call, &elder_of("110108", "li")).unwrap_err();
    assert_eq!(again.reason, Reason::RecordExists);
}

/// Whatever has become of a person, what may still be written?
#[test]
fn every_state_and_every_command() {
    let mut world = World::new();
    let [active, dead, merged, erased, survivor] = [(); 5].map(|()| world.elder());
    world.ok(BEIJING, &death(&dead));
    world.ok(BEIJING, &merge(&merged, &survivor));
    world.ok(BEIJING, &erase(&erased));
    use Reason::*;
    let (gone, away) = (Err(PersonErased), Err(PersonMerged));
    // Add an identifier, amend, record the death, merge into another, be merged into, erase.
    let table = [
        (&active, [Ok(()), Ok(()), Ok(()), Ok(()), Ok(()), Ok(())]),
        (&dead, [Ok(()), Ok(()), Err(StateNotAllowed), Err(StateNotAllowed), Ok(()), Ok(())]),
        (&merged, [away, away, away, away, away, away]),
        (&erased, [gone, gone, gone, gone, gone, gone]),
    ];
    for (person, outcomes) in table {
        let commands: [Box<dyn Command>; 6] = [
            Box::new(add(person, IdentifierKind::SocialSecurityCard, "a card")),
            Box::new(amend(person, "110105")),
            Box::new(death(person)),
            Box::new(merge(person, &survivor)),
            Box::new(merge(&survivor, person)),
            Box::new(erase(person)),
        ];
        for (n, (command, expected)) in commands.iter().zip(outcomes).enumerate() {
            let mut world = world.clone();
            let outcome = world.run(BEIJING, &**command).map(drop).map_err(|refused| refused.reason);
            assert_eq!(outcome, expected, "{person} command {n}");
            if outcome.is_err() {
                continue;
            }
            let versions = world.sim.decisions.last().unwrap().leaves.iter().map(|leaf| leaf.version);
            assert!(versions.into_iter().all(|version| version >= 2));
        }
        for command in commands {
            let (reason, _) = world.refused("regions/120000", &*command);
            assert!([NotYourRecord, PersonMerged, PersonErased].contains(&reason), "{reason:?}");
        }
    }
}

#[test]
fn changes_refused() {
    let mut world = World::new();
    let (elder, tianjin) = (world.elder(), world.name(TIANJIN, &elder_of("120101", "tian")));
    let party = world.party();
    let unknown = Name::of(Collection::Elder, "nobody");
    let tomorrow = RecordDeath { died_on: world.today().plus_days(1), ..death(&elder) };
    let seen = AmendElder { expected_version: 2, ..amend(&elder, "110105") };
    let silent = MergePersons { reason: String::new(), ..merge(&elder, &tianjin) };
    let groundless = ErasePerson { reason: " ".into(), ..erase(&elder) };
    use Reason::*;
    world.refuses(vec![
        ("unknown", BEIJING, Box::new(death(&unknown)), RecordNotFound, "elder"),
        ("another's", TIANJIN, Box::new(death(&elder)), NotYourRecord, "elder"),
        ("in the future", BEIJING, Box::new(tomorrow), FieldOutOfRange, "died_on"),
        ("seen another", BEIJING, Box::new(seen), StateNotAllowed, "expected_version"),
        ("into itself", BEIJING, Box::new(merge(&elder, &elder)), FieldMalformed, "into"),
        ("into a party", BEIJING, Box::new(merge(&elder, &party)), FieldMalformed, "into"),
        ("into nobody", BEIJING, Box::new(merge(&elder, &unknown)), RecordNotFound, "into"),
        ("into another household region", BEIJING, Box::new(merge(&elder, &tianjin)), NotYourRecord, "into"),
        ("no reason", BEIJING, Box::new(silent), FieldMissing, "reason"),
        ("no ground", BEIJING, Box::new(groundless), FieldMissing, "reason"),
        ("a party of another's", TIANJIN, Box::new(erase(&party)), NotYourRecord, "party"),
    ]);
}

/// Runs a reading rule against the world's rows.
fn ask<T>(world: &World, rule: impl Fn(&Snapshot) -> Result<T, Stop>) -> T {
    let mut snapshot = Snapshot::default();
    loop {
        match rule(&snapshot) {
            Ok(answer) => return answer,
            Err(Stop::Reject(refused)) => panic!("{refused}"),
            Err(Stop::Miss) => {
                for load in snapshot.take_misses() {
                    let matches = |row: &PersonRow| load.spec.pick(load.columns, &row.to_values()) == load.values;
                    let rows = world.sim.all::<PersonRow>();
                    let rows = rows.iter().filter(|row| matches(row)).map(Row::to_values).collect();
                    snapshot.insert(load, rows).unwrap();
                }
            }
        }
    }
}

#[test]
fn merged_names_lead_to_the_survivor() {
    let mut world = World::new();
    let [a, b, c] = ["a", "b", "c"].map(|who| world.name(BEIJING, &elder_of("110108", who)));
    world.ok(BEIJING, &merge(&a, &b));
    let decision = world.ok(BEIJING, &merge(&b, &c));
    let kinds: Vec<_> = decision.leaves.iter().map(|leaf| leaf.kind).collect();
    assert_eq!(kinds, ["person.merged", "person.absorbed"]);
    for name in [&a, &b, &c] {
        assert_eq!(ask(&world, |s| resolve_person(s, name)).person, c.as_str());
    }
    let names = ask(&world, |s| names_of(s, c.as_str()));
    assert_eq!(names, [&c, &b, &a].map(Name::to_string));
    // The old identifiers stay taken, and the survivor is named.
    let refused = world.run(TIANJIN, &elder_of("120101", "a")).unwrap_err();
    assert_eq!((refused.reason, refused.vars[0].1.as_str()), (Reason::IdentifierTaken, c.as_str()));
    // A merged one cannot become the survivor of its survivor.
    assert_eq!(world.refused(BEIJING, &merge(&c, &a)), (Reason::PersonMerged, Some("into".into())));
}

#[test]
fn a_death_is_told_to_the_regions_of_the_contracts() {
    let mut world = World::new();
    let (home, elder) = (world.home(), world.elder());
    world.contract(&home, &elder);
    let decision = world.ok(BEIJING, &death(&elder));
    let told: Vec<_> = decision.leaves[0].audience.iter().map(|(who, _)| who.as_str()).collect();
    assert_eq!(told, [BEIJING, "regions/130000"]);
    let row: PersonRow = world.sim.get(key![elder]).unwrap();
    assert_eq!((row.state, row.died_on), (PersonState::Deceased, Some(date("2026-06-01"))));
}

#[test]
fn a_household_moves_and_both_regions_hear_of_it() {
    let mut world = World::new();
    let elder = world.elder();
    let decision = world.ok(BEIJING, &amend(&elder, "120101"));
    let told: Vec<_> = decision.leaves[0].audience.iter().map(|(who, _)| who.as_str()).collect();
    assert_eq!(told, [BEIJING, TIANJIN]);
    let row: PersonRow = world.sim.get(key![elder.clone()]).unwrap();
    assert_eq!((row.region.as_str(), row.household_region.as_str()), (BEIJING, TIANJIN));
    let data: PersonDataRow = world.sim.get(key![elder]).unwrap();
    assert_eq!(data.ciphertext, "sealed anew");
}

#[test]
fn amending_a_party_replaces_its_identifiers() {
    let mut world = World::new();
    let mut person = new_person("mei");
    person.identifiers.push(identifier(IdentifierKind::SocialSecurityCard, "card of mei"));
    let party = world.name(BEIJING, &RegisterParty { person });
    let amend = |identifiers| AmendParty { party: party.clone(), identifiers, ciphertext: "sealed anew".into() };
    let kept = identifier(IdentifierKind::ResidentId, "mei");
    let renewed = identifier(IdentifierKind::SocialSecurityCard, "new card of mei");
    let decision = world.ok(BEIJING, &amend(vec![kept, renewed]));
    assert_eq!(decision.leaves[0].erasures.len(), 1);
    let hashes: Vec<_> = world.sim.all::<IdentifierRow>().into_iter().map(|row| row.lookup_hash).collect();
    assert_eq!(hashes, ["hash of mei", "hash of new card of mei"]);
    world.ok(BEIJING, &amend(Vec::new()));
    assert_eq!(private_rows(&world), [0, 1, 1]);
    // What she no longer has is free.
    world.ok(TIANJIN, &RegisterParty { person: new_person("mei") });
}

#[test]
fn erasing_the_survivor_erases_those_merged_into_it() {
    let mut world = World::new();
    let [a, b, other] = ["a", "b", "other"].map(|who| world.name(BEIJING, &elder_of("110108", who)));
    world.ok(BEIJING, &merge(&a, &b));
    let decision = world.ok(BEIJING, &erase(&b));
    let erased: Vec<_> = decision.leaves.iter().map(|leaf| (leaf.record.as_str(), leaf.erasures.len())).collect();
    assert_eq!(erased, [(b.as_str(), 3), (a.as_str(), 3)]);
    assert_eq!(private_rows(&world), [1, 1, 1]);
    for name in [&a, &b] {
        assert_eq!(world.sim.get::<PersonRow>(key![name.clone()]).unwrap().state, PersonState::Erased);
    }
    assert_eq!(world.sim.get::<PersonDataRow>(key![other.clone()]).unwrap().person, other.to_string());
    // The number may be registered again: as somebody new.
    world.ok(BEIJING, &elder_of("110108", "a"));
}

/// In one batch, what a command erased is gone for the next.
#[test]
fn a_snapshot_forgets_what_was_erased() {
    let mut world = World::new();
    let elder = world.elder();
    let person = elder.to_string();
    let rows = world.sim.all::<IdentifierRow>();
    let by_hash = Load {
        spec: IdentifierRow::spec(),
        columns: IdentifierRow::spec().key,
        values: key![PersonKind::Elder, rows[0].lookup_hash.clone()],
    };
    let by_person =
        Load { spec: IdentifierRow::spec(), columns: IdentifierRow::spec().indexes[0], values: key![person.clone()] };
    let mut snapshot = Snapshot::default();
    for load in [by_hash.clone(), by_person] {
        snapshot.insert(load, rows.iter().map(Row::to_values).collect()).unwrap();
    }
    let decision: Decision = world.ok(BEIJING, &erase(&elder));
    snapshot.apply(&decision.leaves).unwrap();
    assert!(snapshot.get::<IdentifierRow>(by_hash.values).unwrap().is_none());
    assert!(snapshot.list::<IdentifierRow>(&["person"], key![person]).unwrap().is_empty());
    assert!(snapshot.take_misses().is_empty());
}
