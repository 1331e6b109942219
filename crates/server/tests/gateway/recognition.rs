//! Records of persons, who reads them, and recognitions of all kinds.

use jjj_domain::person::{IdentifierKind, NewIdentifier, NewPerson, RegisterElder};
use jjj_tests::both_databases;
use jjj_tests::postgres::TestDatabase;
use jjj_token::recognition::{RecognitionClaims, verify_recognition};
use jjj_token::sd_jwt::{Challenge, bind};
use jjj_token::sd_recognition::{present_sd_recognition, verify_sd_recognition};
use jjj_token::status_list::{TokenStatus, status_of, verify_status_list};
use jjj_wire::pb;
use prost::Message;
use tonic::Code;

use crate::harness::{Client, ORIGIN, World, reason};
use crate::rating;

const PUBLISH_ASSESSMENT: &str = "/jjj.gateway.v1.AssessmentService/PublishAssessment";
const CHANGE_ASSESSMENT: &str = "/jjj.gateway.v1.AssessmentService/ChangeAssessment";
const GET_ASSESSMENT: &str = "/jjj.gateway.v1.AssessmentService/GetAssessment";
const LIST_ASSESSMENTS: &str = "/jjj.gateway.v1.AssessmentService/ListAssessments";
const ASSESSMENT_VERSIONS: &str = "/jjj.gateway.v1.AssessmentService/ListAssessmentVersions";
const PUBLISH_CERTIFICATE: &str = "/jjj.gateway.v1.DisabilityCertificateService/PublishDisabilityCertificate";
const LIST_CERTIFICATES: &str = "/jjj.gateway.v1.DisabilityCertificateService/ListDisabilityCertificates";
const DECIDE: &str = "/jjj.gateway.v1.RecognitionService/DecideRecognition";
const BATCH_DECIDE: &str = "/jjj.gateway.v1.RecognitionService/BatchDecideRecognitions";
const GET: &str = "/jjj.gateway.v1.RecognitionService/GetRecognition";
const LIST: &str = "/jjj.gateway.v1.RecognitionService/ListRecognitions";
const VERSIONS: &str = "/jjj.gateway.v1.RecognitionService/ListRecognitionVersions";
const STATUS_LIST: &str = "/jjj.gateway.v1.RecognitionService/GetStatusList";
const SD_JWT: &str = "/jjj.gateway.v1.RecognitionService/GetSdRecognition";
const TOKEN: &str = "/jjj.gateway.v1.RecognitionService/GetRecognitionToken";

both_databases!(
    a_personal_record_is_read_by_its_issuer_and_those_who_recognize_it,
    assessments_are_refused_by_field,
    certificates_are_filtered_by_category,
    a_recognition_is_decided_listed_and_proven,
    a_status_list_says_what_became_of_a_token,
    a_recognition_is_shown_without_its_scores,
);

fn fresh(world: &World) -> String {
    jjj_server::bootstrap::fresh_id(&world.clock).to_string()
}

/// An elder of Beijing.
async fn elder(world: &World) -> String {
    let identifier =
        NewIdentifier { kind: IdentifierKind::ResidentId, lookup_hash: "ab".repeat(32), ciphertext: "AAAA".into() };
    let person = NewPerson {
        identifiers: vec![identifier],
        ciphertext: "AAAA".into(),
        wrapped_key: "AAAA".into(),
        salt: "17".repeat(32),
    };
    let command = RegisterElder { household_division: "110108".parse().unwrap(), person };
    format!("elders/{}", world.decide("regions/110000", command).await)
}

/// Level 3 by 31 points, for a year.
fn assessment(world: &World, elder: &str) -> pb::PublishAssessmentRequest {
    let today = world.clock.now().date();
    pb::PublishAssessmentRequest {
        request_id: fresh(world),
        elder: elder.into(),
        standard: pb::AssessmentStandard::GbT421952022.into(),
        assessment_reason: pb::AssessmentReason::Initial.into(),
        self_care_score: Some(10),
        mobility_score: Some(5),
        mental_state_score: Some(10),
        perception_social_score: Some(6),
        total_score: Some(31),
        preliminary_level: Some(3),
        final_level: Some(3),
        state: pb::RecordState::Valid.into(),
        document_number: "评〔2026〕1号".into(),
        decided_by: "评估中心".into(),
        decided_on: today.to_string(),
        valid_from: today.to_string(),
        valid_until: today.plus_months(12).to_string(),
        ..Default::default()
    }
}

async fn call<A: Message + Default>(
    world: &World,
    client: &Client,
    path: &'static str,
    message: &impl Message,
) -> Result<A, tonic::Status> {
    let answer = client.call(path, &message.encode_to_vec(), world.now_s()).await?;
    Ok(A::decode(answer).unwrap())
}

async fn listed(world: &World, client: &Client, filter: &str) -> Vec<String> {
    let q = pb::ListAssessmentsRequest { filter: filter.into(), ..Default::default() };
    let page: pb::ListAssessmentsResponse = call(world, client, LIST_ASSESSMENTS, &q).await.unwrap();
    page.assessments.into_iter().map(|a| a.name).collect()
}

async fn a_personal_record_is_read_by_its_issuer_and_those_who_recognize_it(database: TestDatabase) {
    let mut world = World::start(database).await;
    let elder = elder(&world).await;
    let wanted = assessment(&world, &elder);
    let answer: pb::PublishAssessmentResponse = call(&world, &world.hebei, PUBLISH_ASSESSMENT, &wanted).await.unwrap();
    let from_hebei = answer.assessment.unwrap();
    assert_eq!((from_hebei.total_score, from_hebei.final_level), (Some(31), Some(3)));
    let beijings = assessment(&world, &elder);
    let answer: pb::PublishAssessmentResponse =
        call(&world, &world.beijing, PUBLISH_ASSESSMENT, &beijings).await.unwrap();
    let from_beijing = answer.assessment.unwrap();

    // Beijing pays for her and recognizes what Hebei assessed; what Beijing assessed is nobody else's.
    let get = |name: &str| pb::GetAssessmentRequest { name: name.into() };
    let read: pb::Assessment = call(&world, &world.beijing, GET_ASSESSMENT, &get(&from_hebei.name)).await.unwrap();
    assert_eq!(read, from_hebei);
    let refused = call::<pb::Assessment>(&world, &world.hebei, GET_ASSESSMENT, &get(&from_beijing.name)).await;
    assert_eq!(reason(&refused.unwrap_err()), "RECORD_NOT_FOUND");
    let versions = pb::ListAssessmentVersionsRequest { name: from_beijing.name.clone(), ..Default::default() };
    let refused =
        call::<pb::ListAssessmentVersionsResponse>(&world, &world.hebei, ASSESSMENT_VERSIONS, &versions).await;
    assert_eq!(reason(&refused.unwrap_err()), "RECORD_NOT_FOUND");
    let refused = call::<pb::Assessment>(&world, &world.unionpay, GET_ASSESSMENT, &get(&from_hebei.name)).await;
    assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied);
    let mut both = vec![from_hebei.name.clone(), from_beijing.name.clone()];
    both.sort();
    assert_eq!(listed(&world, &world.beijing, "").await, both);
    assert_eq!(listed(&world, &world.gateway_admin, r#"final_level = "3" AND in_force = "true""#).await, both);
    assert_eq!(listed(&world, &world.hebei, "").await, std::slice::from_ref(&from_hebei.name));
    assert_eq!(
        listed(&world, &world.beijing, r#"issuer = "regions/110000""#).await,
        std::slice::from_ref(&from_beijing.name)
    );

    // Hebei asks for it, since she lives there.
    let ask = pb::DecideRecognitionRequest {
        request_id: fresh(&world),
        record: from_beijing.name.clone(),
        verdict: pb::RecognitionVerdict::Accept.into(),
        reason: "在冀入住".into(),
    };
    let answer: pb::DecideRecognitionResponse = call(&world, &world.hebei, DECIDE, &ask).await.unwrap();
    let recognition = answer.recognition.unwrap();
    assert_eq!(recognition.state(), pb::RecognitionState::Recognized);
    assert_eq!((recognition.recognizer.as_str(), recognition.recognized_min), ("regions/130000", Some(3)));
    assert_eq!(listed(&world, &world.hebei, "").await, both);
    let page: pb::ListAssessmentVersionsResponse =
        call(&world, &world.hebei, ASSESSMENT_VERSIONS, &versions).await.unwrap();
    assert_eq!(page.assessments, [from_beijing]);
    world.stop().await;
}

async fn assessments_are_refused_by_field(database: TestDatabase) {
    type Spoil = fn(&mut pb::PublishAssessmentRequest);
    let mut world = World::start(database).await;
    let elder = elder(&world).await;
    let table: &[(Spoil, &str, &str)] = &[
        (|q| q.elder = "parties/1".into(), "FIELD_MALFORMED", "elder"),
        (|q| q.standard = 0, "ENUM_UNSPECIFIED", "standard"),
        (|q| q.assessment_reason = 9, "ENUM_UNSPECIFIED", "assessment_reason"),
        (|q| q.self_care_score = None, "FIELD_MISSING", "self_care_score"),
        (|q| q.mobility_score = Some(16), "DIMENSION_SCORE", "mobility_score"),
        (|q| q.daily_living_rating = Some(1), "FIELD_NOT_APPLICABLE", "daily_living_rating"),
        (|q| q.total_score = Some(32), "TOTAL_MISMATCH", "total_score"),
        (|q| q.preliminary_level = Some(2), "PRELIMINARY_LEVEL_MISMATCH", "preliminary_level"),
        (|q| q.final_level = Some(4), "FINAL_LEVEL_MISMATCH", "final_level"),
        (|q| q.final_level = None, "FIELD_MISSING", "final_level"),
        (|q| q.change_reasons = vec![1, 0], "ENUM_UNSPECIFIED", "change_reasons[1]"),
        (|q| q.change_reasons = vec![1, 1], "FIELD_REPEATED", "change_reasons"),
        (|q| q.change_reasons = vec![5], "CHANGE_REASON_NOT_ALLOWED", "change_reasons"),
        (|q| q.state = pb::RecordState::Revoked.into(), "FIELD_OUT_OF_RANGE", "state"),
        (|q| q.decided_by.clear(), "FIELD_MISSING", "decided_by"),
        (|q| q.reason = "\u{7}".into(), "FIELD_MALFORMED", "reason"),
        (|q| q.valid_until = "2999-01-01".into(), "VALIDITY_TOO_LONG", "valid_until"),
    ];
    let leaves = world.leaves().await;
    for (spoil, expected, field) in table {
        let mut wanted = assessment(&world, &elder);
        spoil(&mut wanted);
        let refused = call::<pb::PublishAssessmentResponse>(&world, &world.hebei, PUBLISH_ASSESSMENT, &wanted).await;
        let status = refused.unwrap_err();
        use tonic_types::StatusExt;
        let fields = status.get_details_bad_request().unwrap().field_violations;
        assert_eq!((reason(&status).as_str(), fields[0].field.as_str()), (*expected, *field));
    }
    assert_eq!(world.leaves().await, leaves);
    world.stop().await;
}

async fn certificates_are_filtered_by_category(database: TestDatabase) {
    let mut world = World::start(database).await;
    let elder = elder(&world).await;
    let today = world.clock.now().date();
    let wanted = pb::PublishDisabilityCertificateRequest {
        request_id: fresh(&world),
        elder,
        categories: vec![pb::DisabilityCategory::Limb.into(), pb::DisabilityCategory::Hearing.into()],
        grade: 2,
        state: pb::RecordState::Valid.into(),
        document_number: "残〔2026〕1号".into(),
        decided_by: "残疾人联合会".into(),
        decided_on: today.to_string(),
        valid_from: today.to_string(),
        valid_until: today.plus_months(60).to_string(),
        reason: String::new(),
    };
    let answer: pb::PublishDisabilityCertificateResponse =
        call(&world, &world.beijing, PUBLISH_CERTIFICATE, &wanted).await.unwrap();
    assert_eq!(answer.disability_certificate.unwrap().categories, [2, 4]);
    for (filter, count) in [
        (r#"categories = "LIMB""#, 1),
        (r#"categories = "MENTAL""#, 0),
        (r#"categories != "MENTAL""#, 1),
        (r#"categories != "HEARING""#, 0),
        (r#"grade <= "2" AND categories = "HEARING" AND in_force = "true""#, 1),
    ] {
        let q = pb::ListDisabilityCertificatesRequest { filter: filter.into(), ..Default::default() };
        let page: pb::ListDisabilityCertificatesResponse =
            call(&world, &world.beijing, LIST_CERTIFICATES, &q).await.unwrap();
        assert_eq!(page.disability_certificates.len(), count, "{filter}");
    }
    world.stop().await;
}

async fn a_recognition_is_decided_listed_and_proven(database: TestDatabase) {
    let mut world = World::start(database).await;
    let wanted = rating::request(&world);
    let record = format!("ratings/{}", wanted.request_id);
    let name = format!("recognitions/{}-110000", wanted.request_id);
    let _: pb::PublishRatingResponse = call(&world, &world.hebei, rating::PUBLISH, &wanted).await.unwrap();

    let token = pb::GetRecognitionTokenRequest { name: name.clone() };
    let proven: pb::RecognitionToken = call(&world, &world.beijing, TOKEN, &token).await.unwrap();
    let key = world.gateway().keys.signing.verifying_key().clone();
    let claims = verify_recognition(&proven.token, &key, ORIGIN, world.now_s()).unwrap();
    assert_eq!((claims.sub.as_str(), claims.rec.record.as_str()), (name.as_str(), record.as_str()));
    let levels = (claims.rec.native.as_str(), claims.rec.recognized.as_str(), claims.rec.quality.as_str());
    assert_eq!(levels, ("4", "4", "EXACT"));
    assert_eq!(claims.status.status_list.uri, format!("https://{ORIGIN}/status/0"));
    assert_eq!(claims.status.status_list.idx as i64, proven.status_list_index);
    assert_eq!((proven.kid.as_str(), claims.exp * 1_000_000), (key.kid(), proven.expire_time_us));
    // The other recognition of the same rating has a place of its own; it is not Beijing's to ask for.
    let tianjins = pb::GetRecognitionTokenRequest { name: name.replace("110000", "120000") };
    let other: pb::RecognitionToken = call(&world, &world.hebei, TOKEN, &tianjins).await.unwrap();
    assert_ne!(other.status_list_index, proven.status_list_index);
    let refused = call::<pb::RecognitionToken>(&world, &world.beijing, TOKEN, &tianjins).await;
    assert_eq!(reason(&refused.unwrap_err()), "RECORD_NOT_FOUND");

    let decide = |verdict: pb::RecognitionVerdict| pb::DecideRecognitionRequest {
        request_id: fresh(&world),
        record: record.clone(),
        verdict: verdict.into(),
        reason: "抽查".into(),
    };
    let suspend = decide(pb::RecognitionVerdict::Suspend);
    let answer: pb::DecideRecognitionResponse = call(&world, &world.beijing, DECIDE, &suspend).await.unwrap();
    assert_eq!(answer.recognition.unwrap().state(), pb::RecognitionState::Suspended);
    let refused = call::<pb::RecognitionToken>(&world, &world.beijing, TOKEN, &token).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "NOT_RECOGNIZED"));
    let items = [pb::RecognitionVerdict::Suspend, pb::RecognitionVerdict::Reinstate].map(|v| decide(v).encode_to_vec());
    let answer = world.beijing.call_batch(BATCH_DECIDE, &items, world.now_s()).await.unwrap();
    use pb::batch_mutate_result::Outcome;
    assert!(matches!(answer.results[0].outcome, Some(Outcome::Status(_))));
    assert!(matches!(answer.results[1].outcome, Some(Outcome::Response(_))));

    let get = pb::GetRecognitionRequest { name: name.clone() };
    let read: pb::Recognition = call(&world, &world.hebei, GET, &get).await.unwrap();
    assert_eq!((read.version, read.in_force, read.state()), (3, true, pb::RecognitionState::Recognized));
    assert_eq!(read.agreement, "policies/agreement/130000>110000/RATING/2024-03-01/1");
    for (client, filter, count) in [
        (&world.beijing, "", 1),
        (&world.hebei, "", 2),
        (&world.hebei, r#"recognizer = "regions/120000""#, 1),
        (&world.hebei, r#"kind = "RATING" AND in_force = "true" AND recognized_min >= "4""#, 2),
        (&world.hebei, r#"state = "SUSPENDED""#, 0),
    ] {
        let q = pb::ListRecognitionsRequest { filter: filter.into(), ..Default::default() };
        let page: pb::ListRecognitionsResponse = call(&world, client, LIST, &q).await.unwrap();
        assert_eq!(page.recognitions.len(), count, "{filter}");
    }
    let versions = pb::ListRecognitionVersionsRequest { name, ..Default::default() };
    let page: pb::ListRecognitionVersionsResponse = call(&world, &world.beijing, VERSIONS, &versions).await.unwrap();
    let states: Vec<_> = page.recognitions.iter().map(|r| (r.version, r.state())).collect();
    use pb::RecognitionState::{Recognized, Suspended};
    assert_eq!(states, [(3, Recognized), (2, Suspended), (1, Recognized)]);

    // A rating is no assessment.
    let revoke = pb::ChangeAssessmentRequest { request_id: fresh(&world), name: record, ..Default::default() };
    let refused = call::<pb::ChangeAssessmentResponse>(&world, &world.hebei, CHANGE_ASSESSMENT, &revoke).await;
    assert_eq!(reason(&refused.unwrap_err()), "FIELD_MALFORMED");
    world.stop().await;
}

/// A region's own decision is seen in the list, and undone there; what the issuer changes ends the
/// token for good, and a new one has a place of its own.
async fn a_status_list_says_what_became_of_a_token(database: TestDatabase) {
    let mut world = World::start(database).await;
    let key = world.gateway().keys.signing.verifying_key().clone();
    let wanted = rating::request(&world);
    let record = format!("ratings/{}", wanted.request_id);
    let name = format!("recognitions/{}-110000", wanted.request_id);
    let _: pb::PublishRatingResponse = call(&world, &world.hebei, rating::PUBLISH, &wanted).await.unwrap();
    let ask = pb::GetRecognitionTokenRequest { name };
    let token = async || {
        let token: pb::RecognitionToken = call(&world, &world.beijing, TOKEN, &ask).await.unwrap();
        verify_recognition(&token.token, &key, ORIGIN, world.now_s()).unwrap()
    };
    // As a verifier sees it whose copy has just run out.
    let status = async |token: &RecognitionClaims| {
        world.clock.advance_us(60_000_000);
        let list: pb::StatusList =
            call(&world, &world.unionpay, STATUS_LIST, &pb::GetStatusListRequest { list: 0 }).await.unwrap();
        let place = &token.status.status_list;
        let (claims, read) = verify_status_list(&list.token, &key, &place.uri, world.now_s()).unwrap();
        assert_eq!((claims.exp - claims.iat, claims.ttl, list.kid.as_str()), (60, 55, key.kid()));
        assert_eq!((claims.sub.as_str(), claims.exp * 1_000_000), (list.uri.as_str(), list.expire_time_us));
        status_of(&claims, &read, place).unwrap()
    };
    let first = token().await;
    assert_eq!(status(&first).await, TokenStatus::Valid);

    let decide = async |verdict: pb::RecognitionVerdict| {
        let request = pb::DecideRecognitionRequest {
            request_id: fresh(&world),
            record: record.clone(),
            verdict: verdict.into(),
            reason: "抽查".into(),
        };
        let _: pb::DecideRecognitionResponse = call(&world, &world.beijing, DECIDE, &request).await.unwrap();
    };
    decide(pb::RecognitionVerdict::Suspend).await;
    assert_eq!(status(&first).await, TokenStatus::Suspended);
    decide(pb::RecognitionVerdict::Reinstate).await;
    assert_eq!(status(&first).await, TokenStatus::Valid);
    assert_eq!(token().await.status, first.status, "it states the same");

    let change = |state: pb::RecordState, new_grade| pb::ChangeRatingRequest {
        request_id: fresh(&world),
        name: record.clone(),
        new_state: state.into(),
        new_grade,
        reason: "复核".into(),
        decided_by: "评定委员会".into(),
        document_number: "评〔2026〕2号".into(),
        effective_on: world.clock.now().date().to_string(),
        ..Default::default()
    };
    const CHANGE: &str = "/jjj.gateway.v1.RatingService/ChangeRating";
    let downgraded = change(pb::RecordState::Downgraded, Some(3));
    let _: pb::ChangeRatingResponse = call(&world, &world.hebei, CHANGE, &downgraded).await.unwrap();
    let second = token().await;
    assert_eq!((second.rec.recognized.as_str(), second.rec.version), ("3", 2));
    assert_eq!(status(&first).await, TokenStatus::Invalid, "it says grade 4");
    assert_eq!(status(&second).await, TokenStatus::Valid);

    let revoked = change(pb::RecordState::Revoked, None);
    let _: pb::ChangeRatingResponse = call(&world, &world.hebei, CHANGE, &revoked).await.unwrap();
    assert_eq!(status(&second).await, TokenStatus::Invalid);

    for list in [-1, 1, i64::MAX] {
        let request = pb::GetStatusListRequest { list };
        let refused = call::<pb::StatusList>(&world, &world.beijing, STATUS_LIST, &request).await.unwrap_err();
        assert_eq!(reason(&refused), "FIELD_OUT_OF_RANGE");
    }
    world.stop().await;
    world.verify().await;
}

/// As an SD-JWT: the scores of the version that is recognized, each shown or not; the token's own place in
/// the status list; bound by the holder's key where it was given.
async fn a_recognition_is_shown_without_its_scores(database: TestDatabase) {
    let mut world = World::start(database).await;
    let elder = elder(&world).await;
    let wanted = assessment(&world, &elder);
    let _: pb::PublishAssessmentResponse = call(&world, &world.hebei, PUBLISH_ASSESSMENT, &wanted).await.unwrap();
    let key = world.gateway().keys.signing.verifying_key().clone();
    let name = format!("recognitions/{}-110000", wanted.request_id);
    let ask = |jwk: &str| pb::GetSdRecognitionRequest { name: name.clone(), holder_jwk: jwk.into() };

    let issued: pb::SdRecognition = call(&world, &world.beijing, SD_JWT, &ask("")).await.unwrap();
    let verify = |text: &str, asked: Option<&Challenge<'_>>| {
        verify_sd_recognition(text, &key, ORIGIN, world.now_s(), asked).map_err(|error| error.reason())
    };
    let whole = verify(&issued.sd_jwt, None).unwrap();
    let scores = [("mental_state", 10), ("mobility", 5), ("perception_social", 6), ("self_care", 10)];
    assert_eq!(whole.rec.scores, scores.map(|(name, score)| (name.to_owned(), score)).into());
    assert_eq!((whole.rec.subject.as_deref(), whole.cnf), (Some(elder.as_str()), None));
    let token: pb::RecognitionToken =
        call(&world, &world.beijing, TOKEN, &pb::GetRecognitionTokenRequest { name: name.clone() }).await.unwrap();
    let token_claims = verify_recognition(&token.token, &key, ORIGIN, world.now_s()).unwrap();
    assert_eq!((&whole.status, whole.exp), (&token_claims.status, token_claims.exp));
    assert_eq!((issued.status_list_index, &issued.kid), (token.status_list_index, &token.kid));
    let nothing = present_sd_recognition(&issued.sd_jwt, |_| false).unwrap();
    let shown = verify(&nothing, None).unwrap();
    assert_eq!((shown.rec.recognized.as_str(), shown.rec.scores.len(), shown.rec.subject), ("3", 0, None));
    // Salts are fresh: two holders' digests cannot be compared.
    let again: pb::SdRecognition = call(&world, &world.beijing, SD_JWT, &ask("")).await.unwrap();
    let disclosures = |text: &str| text.split('~').skip(1).map(str::to_owned).collect::<Vec<_>>();
    let (first, second) = (disclosures(&issued.sd_jwt), disclosures(&again.sd_jwt));
    assert!(first.len() == 6 && first.iter().all(|one| one.is_empty() || !second.contains(one)));

    let holder = jjj_token::SigningKey::from_ed25519_seed(&[3; 32]).unwrap();
    let bound: pb::SdRecognition =
        call(&world, &world.hebei, SD_JWT, &ask(&holder.public_jwk().to_json())).await.unwrap();
    let asked = Challenge { aud: "https://canteen.example", nonce: "n-1" };
    let presentation = bind(&bound.sd_jwt, &holder, &asked, world.now_s()).unwrap();
    assert_eq!(verify(&presentation, Some(&asked)).unwrap().cnf.unwrap().jwk, *holder.public_jwk());
    assert_eq!(verify(&bound.sd_jwt, Some(&asked)), Err("SD_JWT_BINDING_MISSING"));

    let private = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","d":"AA"}"#;
    let refused = call::<pb::SdRecognition>(&world, &world.hebei, SD_JWT, &ask(private)).await.unwrap_err();
    assert_eq!(reason(&refused), "FIELD_MALFORMED");
    let refused = call::<pb::SdRecognition>(&world, &world.unionpay, SD_JWT, &ask("")).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let decline = pb::DecideRecognitionRequest {
        request_id: fresh(&world),
        record: format!("assessments/{}", wanted.request_id),
        verdict: pb::RecognitionVerdict::Decline.into(),
        reason: "复核".into(),
    };
    let _: pb::DecideRecognitionResponse = call(&world, &world.beijing, DECIDE, &decline).await.unwrap();
    let refused = call::<pb::SdRecognition>(&world, &world.hebei, SD_JWT, &ask("")).await.unwrap_err();
    assert_eq!(reason(&refused), "NOT_RECOGNIZED");
    world.stop().await;
}
