//! Issuer's change × state of the recognition × agreement: what becomes of it, and who is told.

use super::*;

const SCOPE: &str = "130000>110000/RATING";
const TODAY: &str = "2025-06-01";

fn agreement(automatic: bool, grades: &[i64]) -> serde_json::Value {
    let line = |grade: &i64| serde_json::json!({"native": grade, "recognized": grade, "quality": "EXACT"});
    let lines: Vec<_> = grades.iter().map(line).collect();
    serde_json::json!({"automatic": automatic, "schemes": {"GB_T_37276": lines}, "source": "协议"})
}

/// A rating of grade 4, and Beijing's recognition of it as the region left it.
fn world(automatic: bool, state: RecognitionState) -> (World, Name) {
    use RecognitionState::{Declined, Pending, Recognized, Revoked, Superseded, Suspended};
    let mut world = World::on(TODAY);
    world.set_policy(PolicyKind::Agreement, SCOPE, agreement(automatic, &[3, 4, 5]));
    let name = world.publish(HEBEI, &rating("2025-01-02")).unwrap();
    if !automatic && !matches!(state, Pending | Declined) {
        world.decide(BEIJING, &name, Verdict::Accept).unwrap();
    }
    match state {
        Recognized => {}
        Declined => drop(world.decide(BEIJING, &name, Verdict::Decline).unwrap()),
        Suspended => drop(world.decide(BEIJING, &name, Verdict::Suspend).unwrap()),
        Revoked => drop(world.change(HEBEI, &change(&name, RecordState::Suspended, day(TODAY))).unwrap()),
        Pending if automatic => {
            let row = world.recognition(&name, BEIJING).unwrap();
            world.sim.given(&RecognitionRow { state: Pending, ..row });
        }
        Pending => {}
        Superseded => unreachable!("its record never changes again"),
    }
    assert_eq!(world.recognition_state(&name, BEIJING), Some(state));
    (world, name)
}

#[test]
fn every_change_of_the_issuers_in_every_state_under_either_agreement() {
    use RecognitionState::{Declined, Pending, Recognized, Revoked, Superseded, Suspended};
    let states = [Pending, Recognized, Declined, Suspended, Revoked];
    // What becomes of the five; the last column where the record comes back to be valid.
    let kept = [Pending, Recognized, Declined, Suspended];
    let ended = [Revoked, Revoked, Declined, Suspended];
    let replaced = [Revoked, Superseded, Declined, Suspended];
    let changes: [(&str, RecordState, Option<i64>, [RecognitionState; 4], u8); 9] = [
        ("faults to be rectified", RecordState::Rectifying, None, kept, 4),
        ("a better grade", RecordState::Upgraded, Some(5), kept, 5),
        ("a lower grade", RecordState::Downgraded, Some(3), kept, 3),
        ("a grade that is not agreed", RecordState::Downgraded, Some(2), ended, 4),
        ("a corrected particular", RecordState::Amended, None, kept, 4),
        ("suspended", RecordState::Suspended, None, ended, 4),
        ("revoked", RecordState::Revoked, None, ended, 4),
        ("closed", RecordState::Cancelled, None, ended, 4),
        ("another record", RecordState::Superseded, None, replaced, 4),
    ];
    for automatic in [true, false] {
        for (what, to, new_level, becomes, level) in changes {
            for (state, expected) in states.into_iter().zip(becomes) {
                let (mut world, name) = world(automatic, state);
                let decision = if to == RecordState::Superseded {
                    let new = world.publish(HEBEI, &rating("2025-05-01")).unwrap();
                    // The new record is recognized by itself: not past a word of the region's own.
                    let recognized = automatic && state == Recognized;
                    let by_itself = if recognized { Recognized } else { Pending };
                    assert_eq!(world.recognition_state(&new, BEIJING), Some(by_itself), "{what} {state} {automatic}");
                    world.sim.decisions.last().unwrap().clone()
                } else {
                    world.change(HEBEI, &ChangeRecord { new_level, ..change(&name, to, day(TODAY)) }).unwrap()
                };
                let row = world.recognition(&name, BEIJING).unwrap();
                assert_eq!(row.state, expected, "{what} {state} {automatic}");
                assert_eq!(row.record_version, 2, "whatever became of it, it names the version: {what} {state}");
                if expected == state {
                    assert_eq!(row.recognized_min, i64::from(level), "{what} {state} {automatic}");
                }
                // One event to either, about this recognition, caused by the issuer's leaf.
                let of_it: Vec<_> = decision.leaves.iter().filter(|leaf| leaf.record == row.recognition).collect();
                let [leaf] = of_it[..] else { panic!("{what} {state}: {} leaves", of_it.len()) };
                let told: Vec<_> = leaf.audience.iter().map(|(who, _)| who.as_str()).collect();
                assert_eq!(told, [BEIJING, HEBEI], "{what} {state} {automatic}");
                assert_eq!(leaf.cause.as_ref(), Some(&decision.leaves[0].leaf_id));
            }
        }
        // What the issuer took away it gives back, by the agreement.
        let (mut world, name) = world(automatic, Revoked);
        world.change(HEBEI, &change(&name, RecordState::Valid, day(TODAY))).unwrap();
        let back = if automatic { Recognized } else { Pending };
        assert_eq!(world.recognition_state(&name, BEIJING), Some(back));
    }
}

#[test]
fn an_issuer_does_not_come_past_what_a_region_set_aside() {
    use RecognitionState::{Pending, Recognized};
    for verdict in [Verdict::Suspend, Verdict::Decline] {
        let mut world = World::on(TODAY);
        let first = world.publish(HEBEI, &rating("2025-01-02")).unwrap();
        world.decide(BEIJING, &first, verdict).unwrap();
        let state = |world: &World, name: &Name| world.recognition_state(name, BEIJING).unwrap();
        // By publishing anew, and again; by toggling; by revoking before.
        let second = world.publish(HEBEI, &rating("2025-02-01")).unwrap();
        assert_eq!((state(&world, &second), world.recognition_state(&second, TIANJIN)), (Pending, Some(Recognized)));
        for to in [RecordState::Suspended, RecordState::Valid] {
            world.change(HEBEI, &change(&second, to, day(TODAY))).unwrap();
        }
        assert_eq!(state(&world, &second), Pending);
        let third = world.publish(HEBEI, &rating("2025-03-01")).unwrap();
        assert_eq!(state(&world, &third), Pending);
        world.change(HEBEI, &change(&third, RecordState::Revoked, day(TODAY))).unwrap();
        let fourth = world.publish(HEBEI, &rating("2025-04-01")).unwrap();
        assert_eq!(state(&world, &fourth), Pending);
        // Of another scheme the region said nothing.
        let stars = PublishRecord { scheme: "BEIJING_STAR".into(), ..rating("2025-01-02") };
        let stars = world.publish(HEBEI, &stars).unwrap();
        assert_eq!(state(&world, &stars), Recognized);
        // Once the region has accepted, what follows is recognized again.
        world.decide(BEIJING, &fourth, Verdict::Accept).unwrap();
        let fifth = world.publish(HEBEI, &rating("2025-05-01")).unwrap();
        assert_eq!(state(&world, &fifth), Recognized);
    }
}

#[test]
fn a_renewal_from_a_far_day_opens_no_way_past_what_was_set_aside() {
    use RecognitionState::{Pending, Recognized};
    let mut world = World::on(TODAY);
    let first = world.publish(HEBEI, &rating("2025-01-02")).unwrap();
    let renewal = world.publish(HEBEI, &rating("2026-01-02")).unwrap();
    assert_eq!(world.recognition_state(&renewal, BEIJING), Some(Recognized));
    world.decide(BEIJING, &first, Verdict::Suspend).unwrap();
    let short = |from: &str, until: &str| PublishRecord { valid_until: day(until), ..rating(from) };
    let between = world.publish(HEBEI, &short("2025-05-01", "2025-12-31")).unwrap();
    assert_eq!(world.recognition_state(&between, BEIJING), Some(Pending));
    assert_eq!(world.recognition_state(&between, TIANJIN), Some(Recognized));
    // Nor does one from before what is set aside.
    world.decide(BEIJING, &renewal, Verdict::Decline).unwrap();
    world.decide(BEIJING, &between, Verdict::Accept).unwrap();
    let another = world.publish(HEBEI, &short("2025-05-15", "2025-12-31")).unwrap();
    assert_eq!(world.recognition_state(&another, BEIJING), Some(Pending));
}

#[test]
fn a_later_version_of_the_agreement_counts_from_the_records_next_change() {
    use RecognitionState::{Recognized, Revoked};
    let version = |world: &World, name: &Name| world.recognition(name, BEIJING).unwrap().agreement;
    let mut world = World::on(TODAY);
    let name = world.publish(HEBEI, &rating("2025-01-02")).unwrap();
    let first = version(&world, &name);
    world.set_policy_from("2025-07-01", PolicyKind::Agreement, SCOPE, agreement(false, &[4]));
    world.pass_days(40);
    assert_eq!(world.recognition_state(&name, BEIJING), Some(Recognized));
    assert_eq!(version(&world, &name), first, "it stands on what it was made under");
    assert_eq!(world.standing(BEIJING, RecordKind::Rating, INSTITUTION, world.today()).len(), 1);
    let today = world.today();
    world.change(HEBEI, &change(&name, RecordState::Rectifying, today)).unwrap();
    assert_eq!(version(&world, &name), "policies/agreement/130000>110000/RATING/2025-07-01/2");
    assert_eq!(world.recognition_state(&name, BEIJING), Some(Recognized), "reviewed it need not be again");

    // Ended: what is recognized stands, nothing new is, and a change of the record is its end.
    let ending = serde_json::from_str(&crate::policy::Agreement::ending("终止")).unwrap();
    world.set_policy_from("2025-07-10", PolicyKind::Agreement, SCOPE, ending);
    world.pass_days(10);
    assert_eq!(world.standing(BEIJING, RecordKind::Rating, INSTITUTION, world.today()).len(), 1);
    let stars = PublishRecord { scheme: "BEIJING_STAR".into(), ..rating("2025-01-02") };
    let stars = world.publish(HEBEI, &stars).unwrap();
    assert_eq!(world.recognition(&stars, BEIJING), None);
    refused(world.decide(BEIJING, &stars, Verdict::Accept), Reason::NotRecognized, "record");
    // Dated back by the issuer, and yet lost by the agreement alone: what was paid up to today was paid rightly.
    world.change(HEBEI, &change(&name, RecordState::Valid, today)).unwrap();
    let row = world.recognition(&name, BEIJING).unwrap();
    assert_eq!((row.state, row.void_from()), (Revoked, Some(world.today().plus_days(1))));
    assert_eq!(world.standing(BEIJING, RecordKind::Rating, INSTITUTION, world.today()), []);
}

#[test]
fn a_grade_outside_every_version_is_lost_from_the_issuers_day() {
    let mut world = World::on(TODAY);
    world.set_policy(PolicyKind::Agreement, SCOPE, agreement(true, &[4]));
    let name = world.publish(HEBEI, &rating("2025-01-02")).unwrap();
    let down = ChangeRecord { new_level: Some(3), ..change(&name, RecordState::Downgraded, day("2025-05-01")) };
    world.change(HEBEI, &down).unwrap();
    assert_eq!(world.recognition(&name, BEIJING).unwrap().void_from(), Some(day("2025-05-01")));
}

#[test]
fn least_grades_and_exclusions() {
    let with = |member: &str, value: serde_json::Value| {
        let mut body = agreement(true, &[3, 4, 5]);
        body[member] = value;
        body
    };
    let out = |of: &str, what: &str| with("exclusions", serde_json::json!([{of: what, "reason": "查处"}]));
    let ambiguous = {
        let line = serde_json::json!({"native": 4, "recognized": 3, "recognized_max": 4, "quality": "AMBIGUOUS"});
        let mut body = with("min_grade", serde_json::json!(4));
        body["schemes"]["GB_T_37276"] = serde_json::json!([line]);
        body
    };
    for (what, body, recognized) in [
        ("as much as is needed", with("min_grade", serde_json::json!(4)), true),
        ("less", with("min_grade", serde_json::json!(5)), false),
        ("perhaps less", ambiguous, false),
        ("the institution", out("institution", INSTITUTION), false),
        ("another", out("institution", STATION), true),
        ("its county", out("division", "131082"), false),
        ("its prefecture", out("division", "1310"), false),
        ("its province", out("division", "13"), false),
        ("another prefecture", out("division", "1306"), true),
    ] {
        let mut world = World::on(TODAY);
        world.set_policy(PolicyKind::Agreement, SCOPE, body);
        let name = world.publish(HEBEI, &rating("2025-01-02")).unwrap();
        assert_eq!(world.recognition(&name, BEIJING).is_some(), recognized, "{what}");
        assert!(world.recognition(&name, TIANJIN).is_some());
        if !recognized {
            refused(world.decide(BEIJING, &name, Verdict::Accept), Reason::NotRecognized, "record");
        }
    }
}

#[test]
fn what_has_expired_is_neither_accepted_nor_reinstated() {
    let mut world = World::on(TODAY);
    world.set_policy(PolicyKind::Agreement, "130000>120000/RATING", agreement(false, &[4]));
    let name = world.publish(HEBEI, &rating("2022-06-10")).unwrap();
    world.decide(BEIJING, &name, Verdict::Suspend).unwrap();
    world.pass_days(30);
    refused(world.decide(BEIJING, &name, Verdict::Reinstate), Reason::StateNotAllowed, "record");
    refused(world.decide(TIANJIN, &name, Verdict::Accept), Reason::StateNotAllowed, "record");
    assert_eq!(world.recognition_state(&name, BEIJING), Some(RecognitionState::Suspended));
    assert_eq!(world.standing(BEIJING, RecordKind::Rating, INSTITUTION, world.today()), []);
    world.decide(TIANJIN, &name, Verdict::Decline).unwrap();
}

#[test]
fn the_day_of_setting_aside_stays_when_the_issuer_changes_the_record() {
    let mut world = World::on(TODAY);
    let name = world.publish(HEBEI, &rating("2025-01-02")).unwrap();
    world.decide(BEIJING, &name, Verdict::Suspend).unwrap();
    world.change(HEBEI, &change(&name, RecordState::Rectifying, day("2025-05-01"))).unwrap();
    let row = world.recognition(&name, BEIJING).unwrap();
    assert_eq!((row.state, row.effective_on), (RecognitionState::Suspended, day(TODAY)));
    assert_eq!(row.reason, "核查");
}
