//! Every refusal with its reason and field; nothing changes.

use super::*;

#[test]
fn publications() {
    use Reason::*;
    type Spoil = fn(&mut PublishRecord);
    let table: &[(Spoil, Reason, &str)] = &[
        (|r| r.state = RecordState::Suspended, FieldOutOfRange, "state"),
        (|r| r.state = RecordState::Superseded, FieldOutOfRange, "state"),
        (|r| r.document_number = " ".into(), FieldMissing, "document_number"),
        (|r| r.document_number = "文".repeat(101), FieldTooLong, "document_number"),
        (|r| r.decided_by = String::new(), FieldMissing, "decided_by"),
        (|r| r.decided_by = "文".repeat(201), FieldTooLong, "decided_by"),
        (|r| r.reason = "文".repeat(1_001), FieldTooLong, "reason"),
        (|r| r.subject = "institutions/91120116XXXX000354".parse().unwrap(), RecordNotFound, "institution"),
        (|r| r.subject = STATION.parse().unwrap(), NotYourRecord, "institution"),
        (|r| r.scheme = "COMMUNITY_STATION_STAR".into(), FieldNotApplicable, "institution"),
        (|r| r.decided_on = day("2025-06-02"), FieldOutOfRange, "decided_on"),
        (|r| r.native_level = 0, GradeUnknown, "native_grade"),
        (|r| r.native_level = 6, GradeUnknown, "native_grade"),
        (|r| r.valid_until = day("2025-01-01"), DateOrder, "valid_until"),
        (|r| r.valid_until = day("2028-01-03"), ValidityTooLong, "valid_until"),
    ];
    let mut world = World::on("2025-06-01");
    for (spoil, reason, field) in table {
        let mut command = rating("2025-01-02");
        spoil(&mut command);
        refused(world.publish(HEBEI, &command), *reason, field);
    }
    let mut unknown = rating("2025-01-02");
    unknown.scheme = "NO_SUCH_SCHEME".into();
    assert_eq!(world.publish(HEBEI, &unknown).unwrap_err().reason, PolicyMissing);
    // One that begins earlier cannot go on beside a later one; one that ended before may be added.
    world.publish(HEBEI, &rating("2025-01-02")).unwrap();
    refused(world.publish(HEBEI, &rating("2024-06-01")), DateOrder, "valid_from");
    world.publish(HEBEI, &rating("2022-01-02")).unwrap();
    assert!(world.sim.all::<RecordRow>().iter().all(|r| r.version == 1));
}

#[test]
fn stations_and_institutions() {
    let mut world = World::on("2025-06-01");
    let two_years =
        |from: &str| PublishRecord { valid_until: day(from).plus_months(24), native_level: 3, ..rating(from) };
    let station = PublishRecord { subject: STATION.parse().unwrap(), ..two_years("2025-01-02") };
    refused(world.publish(BEIJING, &station), Reason::FieldNotApplicable, "institution");
    let stars = PublishRecord { scheme: "COMMUNITY_STATION_STAR".into(), ..station };
    let four = PublishRecord { native_level: 4, ..stars.clone() };
    refused(world.publish(BEIJING, &four), Reason::GradeUnknown, "native_grade");
    let name = world.publish(BEIJING, &stars).unwrap();
    // No agreement names the scheme.
    assert!(world.recognition(&name, HEBEI).is_none());
    let closed = institution(STATION, BEIJING, InstitutionKind::CommunityStation, world.now);
    world.sim.given(&InstitutionRow { state: InstitutionState::Closed, ..closed });
    refused(world.publish(BEIJING, &stars), Reason::StateNotAllowed, "institution");
}

#[test]
fn persons() {
    let mut world = World::on("2025-06-01");
    let command = assessment(&claim(Standard::Gb42195), "2025-06-01", "2028-05-31");
    let stranger = PublishRecord { subject: "elders/0".parse().unwrap(), ..command.clone() };
    refused(world.publish(BEIJING, &stranger), Reason::RecordNotFound, "elder");
    for (state, reason) in [
        (PersonState::Deceased, Reason::PersonDeceased),
        (PersonState::Merged, Reason::PersonMerged),
        (PersonState::Erased, Reason::PersonErased),
    ] {
        let merged_into = (state == PersonState::Merged).then(|| "elders/1".to_owned());
        world.sim.given(&PersonRow { state, merged_into, ..elder(ELDER, BEIJING, world.now) });
        refused(world.publish(BEIJING, &command), reason, "elder");
    }
    let scores = {
        let mut claim = claim(Standard::Gb42195);
        claim.self_care_score = Some(33);
        Assessed::check(&claim)
    };
    refused(scores, Reason::DimensionScore, "self_care_score");
}

#[test]
fn changes() {
    use Reason::*;
    type Spoil = fn(&mut ChangeRecord);
    let table: &[(Spoil, Reason, &str)] = &[
        (|c| c.record = "ratings/0".parse().unwrap(), RecordNotFound, "name"),
        (|c| c.expected_version = 2, StateNotAllowed, "expected_version"),
        (|c| c.reason = String::new(), FieldMissing, "reason"),
        (|c| c.reason = "文".repeat(1_001), FieldTooLong, "reason"),
        (|c| c.decided_by = String::new(), FieldMissing, "decided_by"),
        (|c| c.decided_by = "文".repeat(201), FieldTooLong, "decided_by"),
        (|c| c.document_number = String::new(), FieldMissing, "document_number"),
        (|c| c.document_number = "文".repeat(101), FieldTooLong, "document_number"),
        (|c| c.change = RecordState::Superseded, TransitionNotAllowed, "new_state"),
        (|c| c.change = RecordState::Publicized, TransitionNotAllowed, "new_state"),
        (|c| c.effective_on = day("2025-06-02"), FieldOutOfRange, "effective_on"),
        (|c| c.effective_on = day("2025-01-01"), DateOrder, "effective_on"),
        (|c| c.new_valid_until = Some(day("2026-01-01")), FieldNotApplicable, "new_valid_until"),
        (|c| c.new_level = Some(3), FieldNotApplicable, "new_grade"),
        (|c| c.change = RecordState::Upgraded, FieldMissing, "new_grade"),
        (|c| (c.change, c.new_level) = (RecordState::Upgraded, Some(4)), FieldOutOfRange, "new_grade"),
        (|c| (c.change, c.new_level) = (RecordState::Upgraded, Some(6)), GradeUnknown, "new_grade"),
        (|c| (c.change, c.new_level) = (RecordState::Downgraded, Some(4)), FieldOutOfRange, "new_grade"),
        (|c| (c.change, c.new_level) = (RecordState::Downgraded, Some(0)), GradeUnknown, "new_grade"),
    ];
    let mut world = World::on("2025-06-01");
    let name = world.publish(HEBEI, &rating("2025-01-02")).unwrap();
    for (spoil, reason, field) in table {
        let mut command = change(&name, RecordState::Suspended, day("2025-06-01"));
        spoil(&mut command);
        refused(world.change(HEBEI, &command), *reason, field);
    }
    refused(world.change(TIANJIN, &change(&name, RecordState::Revoked, day("2025-06-01"))), NotYourRecord, "name");
    assert_eq!((world.record(&name).version, world.recognition(&name, BEIJING).unwrap().version), (1, 1));
    let seen = ChangeRecord { expected_version: 1, ..change(&name, RecordState::Suspended, day("2025-06-01")) };
    world.change(HEBEI, &seen).unwrap();
    refused(world.change(HEBEI, &seen), StateNotAllowed, "expected_version");
}

#[test]
fn a_record_that_has_not_begun_is_revoked_from_its_first_day() {
    let mut world = World::on("2025-06-01");
    let name = world.publish(HEBEI, &rating("2025-09-01")).unwrap();
    let command = change(&name, RecordState::Revoked, day("2025-06-01"));
    refused(world.change(HEBEI, &command), Reason::DateOrder, "effective_on");
    world.change(HEBEI, &change(&name, RecordState::Revoked, day("2025-09-01"))).unwrap();
    assert_eq!(world.recognition_state(&name, BEIJING), Some(RecognitionState::Revoked));
}

#[test]
fn decisions() {
    let mut world = World::on("2025-06-01");
    let name = world.publish(HEBEI, &rating("2025-01-02")).unwrap();
    let call = world.call(BEIJING);
    let decide = |reason: &str, record: &str| DecideRecognition {
        record: record.parse().unwrap(),
        verdict: Verdict::Suspend,
        reason: reason.into(),
    };
    refused(world.sim.execute(&call, &decide("", name.as_str())), Reason::FieldMissing, "reason");
    refused(world.sim.execute(&call, &decide(&"文".repeat(1_001), name.as_str())), Reason::FieldTooLong, "reason");
    refused(world.sim.execute(&call, &decide("核查", "ratings/0")), Reason::RecordNotFound, "record");
    for verdict in Verdict::ALL.iter().copied() {
        refused(world.decide(HEBEI, &name, verdict), Reason::NotRecognized, "record");
    }
}

#[test]
fn one_request_publishes_one_record() {
    let mut world = World::on("2025-06-01");
    let call = world.call(HEBEI);
    world.sim.execute(&call, &rating("2025-01-02")).unwrap();
    let again = world.sim.execute(&call, &rating("2025-01-02")).unwrap_err();
    assert_eq!(again.reason, Reason::RecordExists);
    assert_eq!(world.today(), day("2025-06-01"));
}
