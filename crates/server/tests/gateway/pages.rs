//! Page tokens that clients made up: refused, whatever they say.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jjj_domain::participant::AddKey;
use jjj_tests::both_databases;
use jjj_tests::postgres::TestDatabase;
use jjj_tests::raw::Raw;
use jjj_token::{Algorithm, SigningKey};
use jjj_wire::pb;
use sha2::{Digest, Sha256};

use crate::harness::{World, new_key};
use crate::rating::{PUBLISH, request};
use crate::talk::method;

both_databases!(a_page_token_that_was_made_up_is_refused, signatures_of_one_of_two_keys_are_paged,);

const VERSIONS: &str = method!("RatingService/ListRatingVersions");

/// A token as the gateway makes them.
fn token(method: &str, bound: &str, values: &str) -> String {
    let binding = Sha256::new().chain_update(method).chain_update([0]).chain_update(bound).finalize();
    URL_SAFE_NO_PAD.encode([&binding[..8], values.as_bytes()].concat())
}

async fn a_page_token_that_was_made_up_is_refused(database: TestDatabase) {
    let world = World::start(database).await;
    let published: pb::PublishRatingResponse = world.ask(&world.hebei, PUBLISH, &request(&world)).await;
    let name = published.rating.unwrap().name;
    let of = |values: &str| pb::ListRatingVersionsRequest {
        page_token: token(VERSIONS, &name, values),
        name: name.clone(),
        page_size: 10,
    };
    let whole: pb::ListRatingVersionsResponse = world.ask(&world.hebei, VERSIONS, &of(r#"["1"]"#)).await;
    assert_eq!(whole.ratings.len(), 1, "the token is as the gateway makes them");
    for values in [r#"["-9223372036854775808"]"#, r#"["-5"]"#, r#"["0"]"#, r#"["2"]"#, "[null]", r#"["1","1"]"#, "{}"] {
        let refused = world.refusal(&world.hebei, VERSIONS, &of(values)).await;
        assert_eq!(refused, "PAGE_TOKEN_MALFORMED page_token", "{values}");
    }

    let ratings = method!("RatingService/ListRatings");
    let page_token = token(ratings, "", "[null]");
    let request = pb::ListRatingsRequest { page_token, ..Default::default() };
    assert_eq!(world.refusal(&world.hebei, ratings, &request).await, "PAGE_TOKEN_MALFORMED page_token");

    let key = format!("regions/130000/keys/{}", world.hebei.key.kid());
    let signatures = method!("ParticipantService/ListSignatures");
    let token = token(signatures, &format!("{key} 0"), r#"["-9223372036854775808"]"#);
    let request = pb::ListSignaturesRequest { key, page_token: token, ..Default::default() };
    let refused = world.refusal(&world.hebei, signatures, &request).await;
    assert_eq!(refused, "PAGE_TOKEN_MALFORMED page_token");
}

/// The log is searched by author; what another key of the same author signed is passed over.
async fn signatures_of_one_of_two_keys_are_paged(database: TestDatabase) {
    const SIGNATURES: &str = method!("ParticipantService/ListSignatures");
    let world = World::start(database).await;
    let new = Arc::new(SigningKey::from_pkcs8_pem(&SigningKey::generate_pkcs8_pem(Algorithm::Es256).unwrap()).unwrap());
    let owner = "regions/130000".parse().unwrap();
    world.decide("regions/130000", AddKey { owner, key: new_key(&new), confirmations: Vec::new() }).await;
    let renewed = world.connect("regions/130000", &world.hebei_ca, new.clone());
    let mut signed = Vec::new();
    for by in [&world.hebei, &renewed, &renewed, &world.hebei, &renewed, &world.hebei, &world.hebei] {
        let published: pb::PublishRatingResponse = world.ask(by, PUBLISH, &request(&world)).await;
        signed.push((by.key.kid().to_owned(), published.rating.unwrap().name));
    }
    for kid in [new.kid(), world.hebei.key.kid()] {
        let key = format!("regions/130000/keys/{kid}");
        for page_size in [1, 2, 100] {
            let mut found = Vec::new();
            let mut asked = pb::ListSignaturesRequest { key: key.clone(), page_size, ..Default::default() };
            loop {
                let page: pb::ListSignaturesResponse = world.ask(&world.hebei, SIGNATURES, &asked).await;
                assert!(page.signatures.len() <= page_size as usize);
                found.extend(page.signatures.into_iter().map(|signature| signature.record));
                asked.page_token = page.next_page_token;
                if asked.page_token.is_empty() {
                    break;
                }
            }
            let own: Vec<_> = signed.iter().filter(|(by, _)| by == kid).map(|(_, record)| record.clone()).collect();
            assert_eq!(found, own, "{page_size} at a time");
        }
    }
}

/// Where the log numbers nothing, what a key signed last is unknown: the list says so instead of leaving it out.
#[tokio::test]
async fn signatures_that_the_log_does_not_number_are_not_left_out() {
    const SIGNATURES: &str = method!("ParticipantService/ListSignatures");
    let world = World::start(TestDatabase::postgres()).await;
    let key = format!("regions/130000/keys/{}", world.hebei.key.kid());
    let asked = pb::ListSignaturesRequest { key, ..Default::default() };
    let mut other = Raw::connect(&world.database).await;
    // What one gateway at a time takes to number.
    other.run("SELECT pg_advisory_lock(30087452421058407)").await;
    let published: pb::PublishRatingResponse = world.ask(&world.hebei, PUBLISH, &request(&world)).await;
    // Who may not ask does not wait to be told.
    let began = std::time::Instant::now();
    assert_eq!(world.refusal(&world.beijing, SIGNATURES, &asked).await, "NOT_YOUR_RECORD key");
    assert!(began.elapsed() < std::time::Duration::from_secs(4));
    assert_eq!(world.refusal(&world.hebei, SIGNATURES, &asked).await.trim(), "GATEWAY_UNAVAILABLE");
    other.run("SELECT pg_advisory_unlock(30087452421058407)").await;
    let listed: pb::ListSignaturesResponse = world.ask(&world.hebei, SIGNATURES, &asked).await;
    let last = listed.signatures.last().expect("a signature");
    assert_eq!(last.record, published.rating.unwrap().name);
}
