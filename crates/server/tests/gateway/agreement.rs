//! Agreements between regions: proposed, answered, in force, ended; who reads them, and what `jjj verify` says of
//! those that no two regions signed.

use jjj_domain::agreement::{AcceptAgreement, ProposeAgreement};
use jjj_domain::names::{Collection, Name};
use jjj_domain::policy::{PolicyKind, SetPolicy};
use jjj_domain::record::RecordKind;
use jjj_server::verify::{Check, verify};
use jjj_tests::both_databases;
use jjj_tests::postgres::TestDatabase;
use jjj_wire::pb;
use serde_json::json;
use tonic::Status;

use crate::harness::{Client, World, ask, reason};
use crate::ledger::events;
use crate::rating;

macro_rules! service {
    ($method:literal) => {
        concat!("/jjj.gateway.v1.AgreementService/", $method)
    };
}

const SCOPE: &str = "130000>110000/RATING";

both_databases!(
    what_two_regions_agree_on_is_in_force_and_each_step_is_told_to_both,
    one_of_two_answers_that_come_at_once_counts,
    a_reinstatement_and_a_revocation_at_once_leave_nothing_recognized,
    nobody_unconcerned_reads_an_agreement,
    what_no_two_regions_signed_is_noticed,
);

fn id(world: &World) -> String {
    jjj_server::bootstrap::fresh_id(&world.clock).to_string()
}

fn terms(grades: &[i64]) -> String {
    let lines: Vec<_> = grades.iter().map(|g| json!({"native": g, "recognized": g, "quality": "EXACT"})).collect();
    json!({"automatic": true, "schemes": {"GB_T_37276": lines}, "notice_days": 2, "source": "京冀协议"}).to_string()
}

fn proposal(world: &World, days_ahead: i64, grades: &[i64]) -> pb::ProposeAgreementRequest {
    pb::ProposeAgreementRequest {
        request_id: id(world),
        issuer: "regions/130000".into(),
        recognizer: "regions/110000".into(),
        record_kind: pb::RecordKind::Rating.into(),
        effective_from: world.clock.now().date().plus_days(days_ahead).to_string(),
        body: terms(grades),
        reason: "联席会议".into(),
    }
}

async fn propose(world: &World, client: &Client, days_ahead: i64, grades: &[i64]) -> pb::Agreement {
    let request = proposal(world, days_ahead, grades);
    let answer: pb::ProposeAgreementResponse =
        ask(world, client, service!("ProposeAgreement"), &request).await.unwrap();
    answer.agreement.unwrap()
}

fn acceptance(world: &World, of: &pb::Agreement) -> pb::AcceptAgreementRequest {
    pb::AcceptAgreementRequest {
        request_id: id(world),
        agreement: of.name.clone(),
        terms_sha256: of.terms_sha256.clone(),
        reason: "同意".into(),
    }
}

async fn accept(world: &World, client: &Client, of: &pb::Agreement) -> Result<pb::Agreement, Status> {
    let request = acceptance(world, of);
    let answer: pb::AcceptAgreementResponse = ask(world, client, service!("AcceptAgreement"), &request).await?;
    Ok(answer.agreement.unwrap())
}

/// Kinds of the events that name a record of these collections, in order.
async fn told(world: &World, client: &Client) -> Vec<String> {
    // Numbered within some 20 ms.
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let events = events(world, client, 0).await.unwrap();
    assert!(events.windows(2).all(|pair| pair[0].cursor < pair[1].cursor), "each once, in order");
    let is_agreed = |record: &str| record.starts_with("agreements/") || record.starts_with("policies/agreement/");
    events.into_iter().filter(|e| is_agreed(&e.record)).map(|e| e.kind).collect()
}

async fn what_two_regions_agree_on_is_in_force_and_each_step_is_told_to_both(database: TestDatabase) {
    let mut world = World::start(database).await;
    let first = propose(&world, &world.hebei_admin, 0, &[4, 5]).await;
    assert_eq!((first.state(), first.version), (pb::AgreementState::Proposed, 1));
    assert_eq!(first.proposed_by, "regions/130000/admins/wang");
    // Beijing answers with other terms: Hebei's offer is off, Beijing's stands.
    let counter = propose(&world, &world.beijing, 0, &[3, 4]).await;
    assert_eq!(reason(&accept(&world, &world.beijing, &first).await.unwrap_err()), "STATE_NOT_ALLOWED");
    assert_eq!(reason(&accept(&world, &world.beijing, &counter).await.unwrap_err()), "SAME_ORGANISATION");
    let other_terms = pb::Agreement { terms_sha256: first.terms_sha256.clone(), ..counter.clone() };
    assert_eq!(reason(&accept(&world, &world.hebei, &other_terms).await.unwrap_err()), "DIGEST_MISMATCH");
    let request = acceptance(&world, &counter);
    let path = service!("AcceptAgreement");
    let accepted: pb::AcceptAgreementResponse = ask(&world, &world.hebei, path, &request).await.unwrap();
    let again: pb::AcceptAgreementResponse = ask(&world, &world.hebei, path, &request).await.unwrap();
    assert_eq!(accepted, again, "a repeated request gets the first answer");
    let accepted = accepted.agreement.unwrap();
    assert_eq!((accepted.state(), accepted.version), (pb::AgreementState::Accepted, 2));
    assert_eq!((accepted.proposed_by.as_str(), accepted.answered_by.as_str()), ("regions/110000", "regions/130000"));

    // In force, and what is recognized names it.
    let get = pb::GetPolicyRequest { name: format!("policies/agreement/{SCOPE}"), as_of: String::new() };
    let policy: pb::Policy =
        ask(&world, &world.beijing, "/jjj.gateway.v1.PolicyService/GetPolicy", &get).await.unwrap();
    assert_eq!((policy.version, policy.agreement.as_str(), &policy.body), (2, accepted.name.as_str(), &accepted.body));
    let published: pb::PublishRatingResponse =
        ask(&world, &world.hebei, rating::PUBLISH, &rating::request(&world)).await.unwrap();
    let record = published.rating.unwrap().name;
    let recognition = format!("recognitions/{}-110000", record.split_once('/').unwrap().1);
    let get = pb::GetRecognitionRequest { name: recognition };
    let path = "/jjj.gateway.v1.RecognitionService/GetRecognition";
    let recognized: pb::Recognition = ask(&world, &world.beijing, path, &get).await.unwrap();
    assert_eq!(recognized.agreement, accepted.policy);

    // Declined, withdrawn, ended.
    let declined = propose(&world, &world.hebei, 5, &[5]).await;
    let request =
        pb::DeclineAgreementRequest { request_id: id(&world), agreement: declined.name, reason: "不同意".into() };
    let answer: pb::DeclineAgreementResponse =
        ask(&world, &world.beijing, service!("DeclineAgreement"), &request).await.unwrap();
    assert_eq!(answer.agreement.unwrap().state(), pb::AgreementState::Declined);
    let withdrawn = propose(&world, &world.hebei, 5, &[5]).await;
    let request = pb::WithdrawAgreementRequest {
        request_id: id(&world),
        agreement: withdrawn.name.clone(),
        reason: "撤回".into(),
    };
    let refused =
        ask::<pb::WithdrawAgreementResponse>(&world, &world.beijing, service!("WithdrawAgreement"), &request).await;
    assert_eq!(reason(&refused.unwrap_err()), "NOT_YOUR_RECORD");
    let answer: pb::WithdrawAgreementResponse =
        ask(&world, &world.hebei, service!("WithdrawAgreement"), &request).await.unwrap();
    assert_eq!(answer.agreement.unwrap().state(), pb::AgreementState::Withdrawn);
    let end = |days: i64| pb::EndAgreementRequest {
        request_id: id(&world),
        issuer: "regions/130000".into(),
        recognizer: "regions/110000".into(),
        record_kind: pb::RecordKind::Rating.into(),
        effective_from: world.clock.now().date().plus_days(days).to_string(),
        reason: "终止".into(),
    };
    let refused = ask::<pb::EndAgreementResponse>(&world, &world.beijing, service!("EndAgreement"), &end(1)).await;
    assert_eq!(reason(&refused.unwrap_err()), "DATE_ORDER", "two days' notice");
    let answer: pb::EndAgreementResponse =
        ask(&world, &world.beijing, service!("EndAgreement"), &end(2)).await.unwrap();
    assert_eq!(answer.agreement.unwrap().state(), pb::AgreementState::Ended);

    let steps = [
        "agreement.proposed",
        "agreement.proposed",
        "agreement.superseded",
        "agreement.accepted",
        "policy.set",
        "agreement.proposed",
        "agreement.declined",
        "agreement.proposed",
        "agreement.withdrawn",
        "agreement.ended",
        "policy.set",
    ];
    for client in [&world.hebei, &world.beijing] {
        assert_eq!(told(&world, client).await, steps, "{}", client.actor);
    }
    assert!(told(&world, &world.unionpay).await.is_empty());
    let versions = pb::ListAgreementVersionsRequest { name: accepted.name.clone(), ..Default::default() };
    let versions: pb::ListAgreementVersionsResponse =
        ask(&world, &world.hebei, service!("ListAgreementVersions"), &versions).await.unwrap();
    assert_eq!(versions.agreements, [accepted, counter]);
    world.stop().await;
    world.verify().await;
}

/// An acceptance and a withdrawal on two replicas; two acceptances of one proposal.
async fn one_of_two_answers_that_come_at_once_counts(database: TestDatabase) {
    let mut world = World::start(database).await;
    let (replica, stop) = world.replica().await;
    let elsewhere = world.reconnect(&world.hebei, &world.hebei_ca, &replica);
    for round in 0..6 {
        let proposed = propose(&world, &world.hebei, round, &[4]).await;
        let request = pb::WithdrawAgreementRequest {
            request_id: id(&world),
            agreement: proposed.name.clone(),
            reason: "撤回".into(),
        };
        let withdraw =
            ask::<pb::WithdrawAgreementResponse>(&world, &elsewhere, service!("WithdrawAgreement"), &request);
        let (first, second, withdrawn) = tokio::join!(
            accept(&world, &world.beijing, &proposed),
            accept(&world, &world.beijing, &proposed),
            withdraw
        );
        let refusals: Vec<String> =
            [first.err(), second.err(), withdrawn.err()].into_iter().flatten().map(|e| reason(&e)).collect();
        assert_eq!(refusals, ["STATE_NOT_ALLOWED"; 2], "round {round}");
    }
    drop(stop);
    replica.join().await;
    world.stop().await;
    world.verify().await;
}

/// Beijing reinstates at one gateway what Hebei revokes at another: whichever comes first, it is not recognized
/// afterwards, and either region hears each step once, in the same order.
async fn a_reinstatement_and_a_revocation_at_once_leave_nothing_recognized(database: TestDatabase) {
    let mut world = World::start(database).await;
    let (replica, stop) = world.replica().await;
    let elsewhere = world.reconnect(&world.hebei, &world.hebei_ca, &replica);
    const DECIDE: &str = "/jjj.gateway.v1.RecognitionService/DecideRecognition";
    const REVOKE: &str = "/jjj.gateway.v1.RatingService/ChangeRating";
    const GET: &str = "/jjj.gateway.v1.RecognitionService/GetRecognition";
    let decide = |record: &str, verdict: pb::RecognitionVerdict| pb::DecideRecognitionRequest {
        request_id: id(&world),
        record: record.to_owned(),
        verdict: verdict.into(),
        reason: "动态管理".into(),
    };
    let mut steps = Vec::new();
    for _ in 0..8 {
        let published: pb::PublishRatingResponse =
            ask(&world, &world.hebei, rating::PUBLISH, &rating::request(&world)).await.unwrap();
        let record = published.rating.unwrap().name;
        // After what it set aside last time it is asked again.
        let accept = decide(&record, pb::RecognitionVerdict::Accept);
        let _ = ask::<pb::DecideRecognitionResponse>(&world, &world.beijing, DECIDE, &accept).await;
        let suspend = decide(&record, pb::RecognitionVerdict::Suspend);
        ask::<pb::DecideRecognitionResponse>(&world, &world.beijing, DECIDE, &suspend).await.unwrap();
        let reinstate = decide(&record, pb::RecognitionVerdict::Reinstate);
        let revoke = pb::ChangeRatingRequest {
            request_id: id(&world),
            name: record.clone(),
            new_state: pb::RecordState::Revoked.into(),
            reason: "查处".into(),
            decided_by: "河北省民政厅".into(),
            document_number: "冀民〔2026〕9号".into(),
            effective_on: world.clock.now().date().to_string(),
            ..Default::default()
        };
        let (reinstated, revoked) = tokio::join!(
            ask::<pb::DecideRecognitionResponse>(&world, &world.beijing, DECIDE, &reinstate),
            ask::<pb::ChangeRatingResponse>(&world, &elsewhere, REVOKE, &revoke)
        );
        revoked.unwrap();
        let name = format!("recognitions/{}-110000", record.split_once('/').unwrap().1);
        let get = pb::GetRecognitionRequest { name: name.clone() };
        let row: pb::Recognition = ask(&world, &world.beijing, GET, &get).await.unwrap();
        match reinstated {
            Ok(_) => assert_eq!(row.state(), pb::RecognitionState::Revoked),
            Err(refused) => {
                assert_eq!(reason(&refused), "STATE_NOT_ALLOWED");
                assert_eq!(row.state(), pb::RecognitionState::Suspended);
            }
        }
        assert!(!row.in_force);
        steps.push((name, row.version));
    }
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    let (at_beijing, at_hebei) =
        (events(&world, &world.beijing, 0).await.unwrap(), events(&world, &elsewhere, 0).await.unwrap());
    for (name, newest) in &steps {
        let versions = |events: &[pb::Event]| -> Vec<i64> {
            events.iter().filter(|e| e.record == *name).map(|e| e.version).collect()
        };
        let each_once: Vec<i64> = (1..=*newest).collect();
        assert_eq!((versions(&at_beijing), versions(&at_hebei)), (each_once.clone(), each_once), "{name}");
    }
    drop(stop);
    replica.join().await;
    world.stop().await;
    world.verify().await;
}

async fn nobody_unconcerned_reads_an_agreement(database: TestDatabase) {
    let mut world = World::start(database).await;
    let proposed = propose(&world, &world.hebei, 3, &[4]).await;
    accept(&world, &world.beijing, &proposed).await.unwrap();
    let get = pb::GetAgreementRequest { name: proposed.name.clone() };
    let versions = pb::ListAgreementVersionsRequest { name: proposed.name.clone(), ..Default::default() };
    let list = pb::ListAgreementsRequest { filter: format!("scope = \"{SCOPE}\""), ..Default::default() };
    let policy = pb::GetPolicyRequest { name: format!("policies/agreement/{SCOPE}"), as_of: String::new() };
    let policies =
        pb::ListPoliciesRequest { filter: "kind = \"agreement\"".into(), page_size: 1_000, ..Default::default() };
    let evidence = pb::GetEvidenceRequest { record: proposed.name.clone(), version: 1 };
    let in_force = pb::GetEvidenceRequest { record: format!("policies/agreement/{SCOPE}"), version: 2 };
    const POLICY: &str = "/jjj.gateway.v1.PolicyService/GetPolicy";
    const POLICIES: &str = "/jjj.gateway.v1.PolicyService/ListPolicies";
    const EVIDENCE: &str = "/jjj.gateway.v1.LedgerService/GetEvidence";
    for client in [&world.hebei, &world.beijing, &world.hebei_admin, &world.gateway_admin] {
        let whole: pb::Agreement = ask(&world, client, service!("GetAgreement"), &get).await.unwrap();
        assert_eq!((&whole.body, &whole.terms_sha256), (&proposed.body, &proposed.terms_sha256));
        let listed: pb::ListAgreementsResponse = ask(&world, client, service!("ListAgreements"), &list).await.unwrap();
        assert_eq!(listed.agreements, [pb::Agreement { body: String::new(), ..whole }], "without the terms");
        let kept: pb::ListAgreementVersionsResponse =
            ask(&world, client, service!("ListAgreementVersions"), &versions).await.unwrap();
        assert!(kept.agreements.len() == 2 && kept.agreements.iter().all(|version| version.body == proposed.body));
        ask::<pb::Policy>(&world, client, POLICY, &policy).await.unwrap();
        // Of three regions' eighteen, a region is party to twelve.
        let listed: pb::ListPoliciesResponse = ask(&world, client, POLICIES, &policies).await.unwrap();
        assert_eq!(listed.policies.len(), if client.actor == "gateway/admins/li" { 18 } else { 12 });
        let signed: pb::Evidence = ask(&world, client, EVIDENCE, &evidence).await.unwrap();
        assert_eq!(signed.author, "regions/130000");
        let made: pb::Evidence = ask(&world, client, EVIDENCE, &in_force).await.unwrap();
        assert!(made.method.is_empty() && !made.cause.is_empty(), "it names the leaf that Beijing signed");
    }
    let refused = ask::<pb::Agreement>(&world, &world.unionpay, service!("GetAgreement"), &get).await.unwrap_err();
    assert_eq!(reason(&refused), "ROLE_NOT_ALLOWED");
    let refused = ask::<pb::Policy>(&world, &world.unionpay, POLICY, &policy).await.unwrap_err();
    assert_eq!(reason(&refused), "POLICY_MISSING");
    let listed: pb::ListPoliciesResponse = ask(&world, &world.unionpay, POLICIES, &policies).await.unwrap();
    assert!(listed.policies.is_empty());
    let refused = ask::<pb::Evidence>(&world, &world.unionpay, EVIDENCE, &evidence).await.unwrap_err();
    assert_eq!(reason(&refused), "NOT_YOUR_RECORD");
    world.stop().await;
}

/// With the gateway's keys: a version of its own, an acceptance that nobody signed, a proposal that nobody signed.
async fn what_no_two_regions_signed_is_noticed(database: TestDatabase) {
    let mut world = World::start(database).await;
    let today = world.clock.now().date();
    let forged = SetPolicy {
        kind: PolicyKind::Agreement,
        scope: SCOPE.into(),
        effective_from: today,
        body: serde_json::from_str(&terms(&[1])).unwrap(),
        reason: "shipped default".into(),
    };
    world.decide("gateway", forged).await;
    // Hebei has proposed; that Beijing accepted says the gateway alone.
    let proposed = propose(&world, &world.hebei, 1, &[2]).await;
    let name: Name = proposed.name.parse().unwrap();
    let accept_it =
        AcceptAgreement { agreement: name, terms_sha256: proposed.terms_sha256.clone(), reason: "同意".into() };
    world.decide("regions/110000", accept_it).await;
    // That Hebei proposed says the gateway alone; Beijing has accepted.
    let put = ProposeAgreement {
        issuer: "regions/130000".parse().unwrap(),
        recognizer: "regions/110000".parse().unwrap(),
        record_kind: RecordKind::Rating,
        effective_from: today.plus_days(2),
        body: terms(&[3]),
        reason: "联席会议".into(),
    };
    let put = Name::created(Collection::Agreement, world.decide("regions/130000", put).await).to_string();
    let get = pb::GetAgreementRequest { name: put.clone() };
    let read: pb::Agreement = ask(&world, &world.beijing, service!("GetAgreement"), &get).await.unwrap();
    accept(&world, &world.beijing, &read).await.unwrap();
    // And one as it should be.
    let good = propose(&world, &world.beijing, 3, &[4]).await;
    accept(&world, &world.hebei, &good).await.unwrap();
    world.stop().await;

    let report = verify(&world.store().await, &Default::default()).await.unwrap();
    let found: Vec<(&str, &str)> = report
        .faults
        .iter()
        .filter(|fault| fault.check == Check::Agreed)
        .map(|fault| (fault.table.as_str(), fault.key.as_str()))
        .collect();
    let version = |n: i64| format!("agreement, {SCOPE}, {}, {}", today.plus_days(n), n + 2);
    let act = |name: &str, version: i64| format!("{name}, version {version}");
    let mut expected = vec![
        ("agreements", act(&proposed.name, 2)),
        ("agreements", act(&put, 1)),
        ("agreements", act(&put, 2)),
        ("policies", version(0)),
        ("policies", version(1)),
        ("policies", version(2)),
    ];
    expected.sort();
    let mut found: Vec<_> = found.into_iter().map(|(table, key)| (table, key.to_owned())).collect();
    found.sort();
    assert_eq!(found, expected);
}
