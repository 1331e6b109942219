//! What the issuer does reaches every recognition; what a region decided for itself stays.

use super::*;

#[test]
fn each_change_reaches_both_recognitions_in_one_decision() {
    use RecognitionState::{Recognized, Revoked};
    let mut world = World::on("2025-06-01");
    let name = world.publish(HEBEI, &rating("2025-01-02")).unwrap();
    let steps = [
        (RecordState::Rectifying, None, Recognized, 4, "recognition.followed"),
        (RecordState::Downgraded, Some(3), Recognized, 3, "recognition.followed"),
        (RecordState::Suspended, None, Revoked, 3, "recognition.revoked"),
        (RecordState::Valid, None, Recognized, 3, "recognition.followed"),
        (RecordState::Upgraded, Some(5), Recognized, 5, "recognition.followed"),
        (RecordState::Revoked, None, Revoked, 5, "recognition.revoked"),
    ];
    for (version, (to, new_level, state, level, kind)) in (2..).zip(steps) {
        let command = ChangeRecord { new_level, ..change(&name, to, day("2025-06-01")) };
        let decision = world.change(HEBEI, &command).unwrap();
        assert_eq!(told(&decision, kind), [BEIJING, HEBEI, TIANJIN].map(String::from).into(), "{to}");
        assert!(decision.leaves[1..].iter().all(|leaf| leaf.by_gateway && leaf.cause.is_some()));
        for recognizer in [BEIJING, TIANJIN] {
            let row = world.recognition(&name, recognizer).unwrap();
            assert_eq!((row.state, row.recognized_min, row.version), (state, level, version), "{to} at {recognizer}");
            assert_eq!(row.record_version, version);
        }
    }
}

#[test]
fn what_a_region_declined_or_set_aside_stays() {
    let mut world = World::on("2025-06-01");
    let name = world.publish(HEBEI, &rating("2025-01-02")).unwrap();
    world.decide(BEIJING, &name, Verdict::Suspend).unwrap();
    world.decide(TIANJIN, &name, Verdict::Decline).unwrap();
    let states = |world: &World| [BEIJING, TIANJIN].map(|at| world.recognition_state(&name, at).unwrap());
    let own = [RecognitionState::Suspended, RecognitionState::Declined];
    assert_eq!(world.standing(BEIJING, RecordKind::Rating, INSTITUTION, day("2025-06-01")), []);
    for (to, level) in [
        (RecordState::Downgraded, Some(2)),
        (RecordState::Suspended, None),
        (RecordState::Valid, None),
        (RecordState::Rectifying, None),
    ] {
        world.change(HEBEI, &ChangeRecord { new_level: level, ..change(&name, to, day("2025-06-01")) }).unwrap();
        assert_eq!(states(&world), own, "{to}");
    }
    world.decide(BEIJING, &name, Verdict::Reinstate).unwrap();
    world.decide(TIANJIN, &name, Verdict::Accept).unwrap();
    assert_eq!(states(&world), [RecognitionState::Recognized; 2]);
    assert_eq!(world.recognition(&name, TIANJIN).unwrap().recognized_min, 2);
}

#[test]
fn a_region_reinstates_only_what_holds() {
    let mut world = World::on("2025-06-01");
    let name = world.publish(HEBEI, &rating("2025-01-02")).unwrap();
    world.decide(BEIJING, &name, Verdict::Suspend).unwrap();
    world.change(HEBEI, &change(&name, RecordState::Revoked, day("2025-06-01"))).unwrap();
    refused(world.decide(BEIJING, &name, Verdict::Reinstate), Reason::StateNotAllowed, "record");
    refused(world.decide(TIANJIN, &name, Verdict::Accept), Reason::StateNotAllowed, "record");
    refused(world.decide(TIANJIN, &name, Verdict::Suspend), Reason::StateNotAllowed, "verdict");
}

#[test]
fn every_state_and_verdict() {
    use RecognitionState::{Declined, Pending, Recognized, Revoked, Superseded, Suspended};
    for state in RecognitionState::ALL.iter().copied() {
        for verdict in Verdict::ALL.iter().copied() {
            let mut world = World::on("2025-06-01");
            let name = world.publish(HEBEI, &rating("2025-01-02")).unwrap();
            let row = world.recognition(&name, BEIJING).unwrap();
            world.sim.given(&RecognitionRow { state, ..row });
            let expected = match (state, verdict) {
                (Pending | Declined | Revoked, Verdict::Accept) | (Suspended, Verdict::Reinstate) => Some(Recognized),
                (Pending | Recognized, Verdict::Decline) => Some(Declined),
                (Recognized, Verdict::Suspend) => Some(Suspended),
                (Superseded, _) | (_, _) => None,
            };
            let decided = world.decide(BEIJING, &name, verdict);
            match expected {
                Some(to) => {
                    assert_eq!(
                        told(&decided.unwrap(), "recognition.decided"),
                        [BEIJING, HEBEI].map(String::from).into()
                    );
                    assert_eq!(world.recognition_state(&name, BEIJING), Some(to), "{state} {verdict}");
                    assert_eq!(world.recognition_state(&name, TIANJIN), Some(Recognized));
                }
                None => refused(decided, Reason::StateNotAllowed, "verdict"),
            }
        }
    }
}

fn agreement(automatic: bool, grades: &[i64], cap: Option<i64>) -> serde_json::Value {
    let line = |grade: &i64| serde_json::json!({"native": grade, "recognized": grade, "quality": "EXACT"});
    let lines: Vec<_> = grades.iter().map(line).collect();
    serde_json::json!({
        "automatic": automatic, "schemes": {"GB_T_37276": lines}, "validity_cap_months": cap, "source": "协议",
    })
}

#[test]
fn an_agreement_under_review_waits() {
    use RecognitionState::{Declined, Pending, Recognized, Revoked};
    let mut world = World::on("2025-06-01");
    world.set_policy(PolicyKind::Agreement, "130000>110000/RATING", agreement(false, &[3, 4], None));
    let name = world.publish(HEBEI, &rating("2025-01-02")).unwrap();
    let state = |world: &World| world.recognition_state(&name, BEIJING).unwrap();
    assert_eq!((state(&world), world.recognition_state(&name, TIANJIN)), (Pending, Some(Recognized)));
    assert_eq!(world.standing(BEIJING, RecordKind::Rating, INSTITUTION, day("2025-06-01")), []);
    world.decide(BEIJING, &name, Verdict::Decline).unwrap();
    assert_eq!(state(&world), Declined);
    world.decide(BEIJING, &name, Verdict::Accept).unwrap();
    assert_eq!(world.standing(BEIJING, RecordKind::Rating, INSTITUTION, day("2025-06-01")).len(), 1);
    // Taken away and given back by the issuer: Beijing looks at it again.
    world.change(HEBEI, &change(&name, RecordState::Suspended, day("2025-06-01"))).unwrap();
    assert_eq!(state(&world), Revoked);
    world.change(HEBEI, &change(&name, RecordState::Valid, day("2025-06-01"))).unwrap();
    assert_eq!(state(&world), Pending);
}

#[test]
fn a_grade_outside_the_agreement_is_not_recognized() {
    let mut world = World::on("2025-06-01");
    world.set_policy(PolicyKind::Agreement, "130000>110000/RATING", agreement(true, &[3, 4, 5], None));
    let low = world.publish(HEBEI, &PublishRecord { native_level: 2, ..rating("2025-01-02") }).unwrap();
    assert!(world.recognition(&low, BEIJING).is_none());
    refused(world.decide(BEIJING, &low, Verdict::Accept), Reason::NotRecognized, "record");
    let up = ChangeRecord { new_level: Some(3), ..change(&low, RecordState::Upgraded, day("2025-06-01")) };
    world.change(HEBEI, &up).unwrap();
    assert_eq!(world.recognition_state(&low, BEIJING), Some(RecognitionState::Recognized));
    let down = ChangeRecord { new_level: Some(1), ..change(&low, RecordState::Downgraded, day("2025-06-01")) };
    world.change(HEBEI, &down).unwrap();
    assert_eq!(world.recognition_state(&low, BEIJING), Some(RecognitionState::Revoked));
    assert_eq!(world.recognition_state(&low, TIANJIN), Some(RecognitionState::Recognized));
}

#[test]
fn an_agreement_caps_the_validity() {
    let mut world = World::on("2025-06-01");
    world.set_policy(PolicyKind::Agreement, "130000>110000/RATING", agreement(true, &[4], Some(12)));
    let name = world.publish(HEBEI, &rating("2025-01-02")).unwrap();
    let row = world.recognition(&name, BEIJING).unwrap();
    assert_eq!((row.valid_until, row.agreement.rsplit('/').next()), (day("2026-01-02"), Some("2")));
    assert_eq!(world.recognition(&name, TIANJIN).unwrap().valid_until, day("2028-01-01"));
}
