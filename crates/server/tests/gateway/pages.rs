//! Page tokens that clients made up: refused, whatever they say.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jjj_tests::both_databases;
use jjj_tests::postgres::TestDatabase;
use jjj_wire::pb;
use sha2::{Digest, Sha256};

use crate::harness::World;
use crate::rating::{PUBLISH, request};
use crate::talk::method;

both_databases!(a_page_token_that_was_made_up_is_refused,);

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

    let key = format!("regions/130000/keys/{}", world.hebei.key.kid());
    let signatures = method!("ParticipantService/ListSignatures");
    let token = token(signatures, &format!("{key} 0"), r#"["-9223372036854775808"]"#);
    let request = pb::ListSignaturesRequest { key, page_token: token, ..Default::default() };
    let refused = world.refusal(&world.hebei, signatures, &request).await;
    assert_eq!(refused, "PAGE_TOKEN_MALFORMED page_token");
}
