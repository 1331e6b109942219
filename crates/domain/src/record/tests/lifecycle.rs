//! The lifecycle by command: every state and change, supersession, dates.

use super::*;

/// A rating brought into a state, on 2025-06-01.
fn rating_in(state: RecordState) -> (World, Name) {
    use RecordState::*;
    let mut world = World::on("2025-06-01");
    let begins = if state.can_begin() { state } else { Valid };
    let name = world.publish(HEBEI, &PublishRecord { state: begins, ..rating("2025-01-02") }).unwrap();
    match state {
        Rectifying | Suspended | Revoked | Cancelled => {
            world.change(HEBEI, &change(&name, state, day("2025-06-01"))).unwrap();
        }
        Superseded => drop(world.publish(HEBEI, &rating("2025-05-01")).unwrap()),
        _ => {}
    }
    (world, name)
}

#[test]
fn every_state_and_change() {
    use RecordState::*;
    for state in [Applied, Publicized, Valid, Rectifying, Suspended, Revoked, Superseded, Cancelled] {
        for to in RecordState::ALL.iter().copied() {
            let (mut world, name) = rating_in(state);
            assert_eq!(world.record(&name).state, state);
            let new_level = match to {
                Upgraded => Some(5),
                Downgraded => Some(3),
                _ => None,
            };
            let command = ChangeRecord { new_level, ..change(&name, to, day("2025-06-01")) };
            let changed = world.change(HEBEI, &command);
            if !state.successors().contains(&to) || to == Superseded {
                refused(changed, Reason::TransitionNotAllowed, "new_state");
                continue;
            }
            changed.unwrap();
            let row = world.record(&name);
            let becomes = if to.marks_replaced() { Valid } else { to };
            let level = new_level.unwrap_or(4);
            assert_eq!((row.state, row.native_level), (becomes, level), "{state} to {to}");
            for recognizer in [BEIJING, TIANJIN] {
                let expected = match (becomes.is_recognizable(), state.is_recognizable() || state == Suspended) {
                    (true, _) => Some(RecognitionState::Recognized),
                    (false, true) => Some(RecognitionState::Revoked),
                    (false, false) => None,
                };
                assert_eq!(world.recognition_state(&name, recognizer), expected, "{state} to {to} at {recognizer}");
            }
        }
    }
}

#[test]
fn an_application_becomes_a_recognized_rating() {
    let mut world = World::on("2025-06-01");
    let older = world.publish(HEBEI, &rating("2024-06-01")).unwrap();
    let name = world.publish(HEBEI, &PublishRecord { state: RecordState::Applied, ..rating("2025-06-01") }).unwrap();
    assert!(world.recognition(&name, BEIJING).is_none());
    world.change(HEBEI, &change(&name, RecordState::Publicized, day("2025-06-01"))).unwrap();
    assert_eq!(world.record(&older).state, RecordState::Valid);
    let decision = world.change(HEBEI, &change(&name, RecordState::Valid, day("2025-06-01"))).unwrap();
    assert_eq!(world.record(&older).state, RecordState::Superseded);
    assert_eq!(world.recognition_state(&older, BEIJING), Some(RecognitionState::Superseded));
    assert_eq!(world.record(&name).supersedes.as_deref(), Some(older.as_str()));
    let row = world.recognition(&name, BEIJING).unwrap();
    assert_eq!((row.state, row.recognized_min, row.recognized_max), (RecognitionState::Recognized, 4, 4));
    assert_eq!(row.agreement, "policies/agreement/130000>110000/RATING/2024-03-01/1");
    assert_eq!(told(&decision, "recognition.created"), [BEIJING, HEBEI, TIANJIN].map(String::from).into());
}

#[test]
fn a_renewal_ends_the_old_rating_where_it_begins() {
    let mut world = World::on("2025-06-01");
    let old = world.publish(HEBEI, &rating("2022-09-01")).unwrap();
    // Announced three months ahead: the old one holds until the day before, and its issuer can still act on it.
    let new = world.publish(HEBEI, &rating("2025-08-01")).unwrap();
    let row = world.record(&old);
    assert_eq!((row.state, row.valid_until), (RecordState::Valid, day("2025-07-31")));
    assert_eq!(world.recognition(&old, BEIJING).unwrap().valid_until, day("2025-07-31"));
    for (on, relies_on) in [("2025-06-01", &old), ("2025-07-31", &old), ("2025-08-01", &new)] {
        let found = world.standing(HEBEI, RecordKind::Rating, INSTITUTION, day(on));
        assert_eq!(found, [(4, 4, relies_on.to_string())], "{on}");
        let at_beijing = world.standing(BEIJING, RecordKind::Rating, INSTITUTION, day(on));
        assert_eq!(at_beijing.len(), 1, "{on}");
    }
    world.change(HEBEI, &change(&old, RecordState::Revoked, day("2025-06-01"))).unwrap();
    assert_eq!(world.standing(BEIJING, RecordKind::Rating, INSTITUTION, day("2025-06-02")), []);
}

#[test]
fn a_rating_that_follows_the_old_ones_last_day_changes_nothing_about_it() {
    let mut world = World::on("2025-06-01");
    let old = world.publish(HEBEI, &rating("2022-09-01")).unwrap();
    let new = world.publish(HEBEI, &rating("2025-09-01")).unwrap();
    assert_eq!((world.record(&old).version, world.record(&new).supersedes), (1, None));
}

#[test]
fn what_stood_on_a_superseded_record_stands() {
    let mut world = World::on("2025-06-01");
    let old = world.publish(HEBEI, &rating("2024-06-01")).unwrap();
    let new = world.publish(HEBEI, &rating("2025-05-01")).unwrap();
    let (row, recognition) = (world.record(&old), world.recognition(&old, BEIJING).unwrap());
    assert_eq!((row.state, row.effective_on, row.void_from()), (RecordState::Superseded, day("2025-05-01"), None));
    assert_eq!((recognition.state, recognition.void_from()), (RecognitionState::Superseded, None));
    assert!(row.holds_on(day("2025-04-30")) && !row.holds_on(day("2025-05-01")));
    assert!(recognition.holds_on(day("2025-04-30")) && !recognition.holds_on(day("2025-05-01")));
    let relies_on = |found: Vec<(i64, i64, String)>| found.into_iter().map(|(_, _, on)| on).collect::<Vec<_>>();
    let on = |world: &mut World, d| relies_on(world.standing(HEBEI, RecordKind::Rating, INSTITUTION, day(d)));
    assert_eq!(on(&mut world, "2025-04-30"), [old.to_string()]);
    assert_eq!(on(&mut world, "2025-05-01"), [new.to_string()]);
}

#[test]
fn schemes_are_kept_apart() {
    let mut world = World::on("2025-06-01");
    let national = world.publish(HEBEI, &rating("2025-01-02")).unwrap();
    let stars = PublishRecord { scheme: "BEIJING_STAR".into(), native_level: 5, ..rating("2025-01-02") };
    let stars = world.publish(HEBEI, &stars).unwrap();
    for name in [&national, &stars] {
        assert_eq!(world.record(name).state, RecordState::Valid);
    }
    let quality = |world: &World, name| world.recognition(name, BEIJING).map(|r| r.quality);
    assert_eq!(quality(&world, &national), Some(MappingQuality::Exact));
    assert_eq!(quality(&world, &stars), Some(MappingQuality::Nominal));
}

#[test]
fn expiry_follows_from_dates() {
    let mut world = World::on("2025-06-01");
    let name = world.publish(HEBEI, &rating("2022-06-02")).unwrap();
    assert_eq!(world.record(&name).valid_until, day("2025-06-01"));
    assert_eq!(world.standing(BEIJING, RecordKind::Rating, INSTITUTION, day("2025-06-01")).len(), 1);
    assert_eq!(world.standing(BEIJING, RecordKind::Rating, INSTITUTION, day("2025-06-02")), []);
    // A lapsed rating is not replaced by the next one.
    world.pass_days(10);
    world.publish(HEBEI, &rating("2025-06-11")).unwrap();
    assert_eq!(world.record(&name).state, RecordState::Valid);
}

#[test]
fn an_amendment_moves_the_last_day_within_bounds() {
    let mut world = World::on("2025-06-01");
    let name = world.publish(HEBEI, &rating("2025-01-02")).unwrap();
    let amend = |until: &str| ChangeRecord {
        new_valid_until: Some(day(until)),
        ..change(&name, RecordState::Amended, day("2025-06-01"))
    };
    refused(world.change(HEBEI, &amend("2028-01-03")), Reason::ValidityTooLong, "new_valid_until");
    refused(world.change(HEBEI, &amend("2025-01-01")), Reason::DateOrder, "new_valid_until");
    world.change(HEBEI, &amend("2025-07-01")).unwrap();
    assert_eq!(world.recognition(&name, TIANJIN).unwrap().valid_until, day("2025-07-01"));
    world.publish(HEBEI, &rating("2025-07-02")).unwrap();
    refused(world.change(HEBEI, &amend("2025-07-02")), Reason::FieldOutOfRange, "new_valid_until");
}

#[test]
fn publications_for_one_subject_wait_for_one_another() {
    let mut world = World::on("2025-06-01");
    let name = world.publish(HEBEI, &rating("2025-01-02")).unwrap();
    let guards = |decision: &Decision| decision.guards().into_iter().map(|(spec, key)| (spec.name, key)).collect();
    let on_institution: Vec<_> = vec![("institutions", key![INSTITUTION.to_owned()])];
    let published: Vec<_> = guards(world.sim.decisions.last().unwrap());
    assert_eq!(published, on_institution);
    let changed: Vec<_> =
        guards(&world.change(HEBEI, &change(&name, RecordState::Suspended, day("2025-06-01"))).unwrap());
    assert_eq!(changed, on_institution);
    world.change(HEBEI, &change(&name, RecordState::Valid, day("2025-06-01"))).unwrap();
    let decided: Vec<_> = guards(&world.decide(BEIJING, &name, Verdict::Suspend).unwrap());
    assert_eq!(decided, [("records", key![name.to_string()])]);
    let assessed = claim(Standard::Gb42195);
    world.publish(BEIJING, &assessment(&assessed, "2025-06-01", "2026-05-31")).unwrap();
    let published: Vec<_> = guards(world.sim.decisions.last().unwrap());
    assert_eq!(published, [("persons", key![ELDER.to_owned()])]);
}
