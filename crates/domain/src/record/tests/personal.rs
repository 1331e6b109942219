//! Assessments and certificates: for whom they are recognized, and as what.

use super::*;
use crate::rules::disability::DisabilityCategory;

#[test]
fn only_the_paying_region_recognizes_unasked() {
    let mut world = World::on("2025-06-01");
    let from_hebei = assessment(&claim(Standard::Gb42195), "2025-06-01", "2028-05-31");
    let name = world.publish(HEBEI, &from_hebei).unwrap();
    assert_eq!(world.recognition_state(&name, BEIJING), Some(RecognitionState::Recognized));
    assert!(world.recognition(&name, TIANJIN).is_none());
    let decision = world.decide(TIANJIN, &name, Verdict::Accept).unwrap();
    assert_eq!(told(&decision, "recognition.created"), [HEBEI, TIANJIN].map(String::from).into());
    assert_eq!(world.recognition_state(&name, TIANJIN), Some(RecognitionState::Recognized));
    // The payer's own assessment is recognized by nobody unasked.
    let own = world.publish(BEIJING, &from_hebei).unwrap();
    assert!([TIANJIN, HEBEI].iter().all(|at| world.recognition(&own, at).is_none()));
    for verdict in [Verdict::Decline, Verdict::Suspend, Verdict::Reinstate] {
        refused(world.decide(HEBEI, &own, verdict), Reason::NotRecognized, "record");
    }
    refused(world.decide(BEIJING, &own, Verdict::Accept), Reason::NotRecognized, "record");
}

#[test]
fn an_old_severe_is_ambiguous() {
    let mut world = World::on("2025-06-01");
    let old = world.publish(HEBEI, &assessment(&claim(Standard::Mz039), "2025-06-01", "2025-11-30")).unwrap();
    let row = world.recognition(&old, BEIJING).unwrap();
    let read_as = (row.native_level, row.recognized_min, row.recognized_max, row.quality);
    assert_eq!(read_as, (3, 3, 4, MappingQuality::Ambiguous));
    let found = world.standing(BEIJING, RecordKind::Assessment, ELDER, day("2025-06-01"));
    assert_eq!(found, [(3, 4, row.recognition)]);
    let content = world.record(&old).assessed().unwrap();
    assert_eq!((content.standard(), content.preliminary_level()), (Standard::Mz039, None));
}

#[test]
fn an_elder_has_one_level_whatever_the_standard() {
    let mut world = World::on("2025-06-01");
    let first = world.publish(BEIJING, &assessment(&claim(Standard::Gb42195), "2025-01-02", "2027-01-01")).unwrap();
    let second = world.publish(BEIJING, &assessment(&claim(Standard::Db11_1754), "2025-06-01", "2028-05-31")).unwrap();
    let hebeis = world.publish(HEBEI, &assessment(&claim(Standard::Gb42195), "2025-06-01", "2028-05-31")).unwrap();
    assert_eq!(world.record(&first).state, RecordState::Superseded);
    assert_eq!(world.record(&second).supersedes, Some(first.to_string()));
    for name in [&second, &hebeis] {
        assert_eq!(world.record(name).state, RecordState::Valid);
    }
}

#[test]
fn severe_disability_from_a_geriatric_syndrome_is_looked_at_again_within_a_year() {
    let mut worse = claim(Standard::Db11_1754);
    worse.change_reasons = [LevelChangeReason::GeriatricSyndrome].into();
    worse.final_level = Some(4);
    let mut other = claim(Standard::Db11_1754);
    other.change_reasons = [LevelChangeReason::CareRiskEvents].into();
    other.final_level = Some(4);
    let mut mild = worse.clone();
    (mild.self_care_score, mild.total_score) = (Some(30), Some(51));
    (mild.preliminary_level, mild.final_level) = (Some(2), Some(3));
    let mut milder = mild.clone();
    (milder.mobility_score, milder.total_score) = (Some(15), Some(61));
    (milder.perception_social_score, milder.total_score) = (Some(15), Some(70));
    (milder.preliminary_level, milder.final_level) = (Some(1), Some(2));
    for (claim, until, ok) in [
        (&worse, "2026-06-01", true),
        (&worse, "2026-06-02", false),
        (&mild, "2026-06-02", false),
        (&milder, "2028-06-01", true),
        (&other, "2028-06-01", true),
        (&other, "2028-06-02", false),
    ] {
        let mut world = World::on("2025-06-01");
        let published = world.publish(BEIJING, &assessment(claim, "2025-06-01", until));
        match ok {
            true => drop(published.unwrap()),
            false => refused(published, Reason::ValidityTooLong, "valid_until"),
        }
    }
}

#[test]
fn an_assessment_keeps_its_result() {
    use RecordState::*;
    let mut world = World::on("2025-06-01");
    let name = world.publish(BEIJING, &assessment(&claim(Standard::Gb42195), "2025-01-02", "2027-01-01")).unwrap();
    for to in [Upgraded, Downgraded, Rectifying] {
        let command = ChangeRecord { new_level: Some(4), ..change(&name, to, day("2025-06-01")) };
        refused(world.change(BEIJING, &command), Reason::TransitionNotAllowed, "new_state");
    }
    let amend = ChangeRecord { new_level: Some(4), ..change(&name, Amended, day("2025-06-01")) };
    refused(world.change(BEIJING, &amend), Reason::FieldNotApplicable, "new_grade");
    for to in [Suspended, Valid, Revoked] {
        world.change(BEIJING, &change(&name, to, day("2025-06-01"))).unwrap();
        assert_eq!(world.record(&name).state, to);
    }
}

fn certificate(grade: i64, categories: &[DisabilityCategory]) -> Result<PublishRecord, Rejection> {
    let envelope = PublishRecord { subject: ELDER.parse().unwrap(), native_level: grade, ..rating("2025-01-02") };
    PublishRecord::disability_certificate(envelope, categories.iter().copied().collect())
}

#[test]
fn certificates() {
    use DisabilityCategory::{Hearing, Limb, Multiple};
    let mut world = World::on("2025-06-01");
    let name = world.publish(HEBEI, &certificate(2, &[Limb, Hearing]).unwrap()).unwrap();
    let content = world.record(&name).disability().unwrap();
    assert!(content.is_multiple() && content.categories == [Limb, Hearing].into());
    assert!(certificate(1, &[Multiple]).is_ok());
    refused(certificate(1, &[]), Reason::FieldMissing, "categories");
    refused(world.publish(HEBEI, &certificate(5, &[Limb]).unwrap()), Reason::GradeUnknown, "grade");
    assert_eq!(world.recognition(&name, BEIJING).map(|r| r.recognized_min), Some(2));
    let command = ChangeRecord { new_level: Some(1), ..change(&name, RecordState::Downgraded, day("2025-06-01")) };
    world.change(HEBEI, &command).unwrap();
    assert_eq!(world.recognition(&name, BEIJING).map(|r| r.recognized_min), Some(1));
}

#[test]
fn records_of_a_merged_person_are_in_one_line() {
    let mut world = World::on("2025-06-01");
    let older = "elders/01930000-0000-7000-8000-0000000001d1";
    world.sim.given(&elder(older, BEIJING, world.now));
    let first = assessment(&claim(Standard::Gb42195), "2025-01-02", "2027-01-01");
    let first = world.publish(HEBEI, &PublishRecord { subject: older.parse().unwrap(), ..first }).unwrap();
    let merged =
        PersonRow { state: PersonState::Merged, merged_into: Some(ELDER.into()), ..elder(older, BEIJING, world.now) };
    world.sim.given(&merged);
    world.publish(HEBEI, &assessment(&claim(Standard::Gb42195), "2025-06-01", "2027-06-01")).unwrap();
    assert_eq!(world.record(&first).state, RecordState::Superseded);
    let late = assessment(&claim(Standard::Gb42195), "2025-06-01", "2027-06-01");
    let late = PublishRecord { subject: older.parse().unwrap(), ..late };
    refused(world.publish(HEBEI, &late), Reason::PersonMerged, "elder");
}
