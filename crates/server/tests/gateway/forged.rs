//! Wrong, expired, unbound and borrowed tokens: each refused with its own reason, none leaving a trace.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use jjj_tests::both_databases;
use jjj_tests::postgres::TestDatabase;
use jjj_token::merkle::leaf_hash;
use jjj_token::request::{RequestClaims, sign_request};
use jjj_token::{Algorithm, SigningKey};
use jjj_wire::pb;
use prost::Message;
use tonic::{Code, Request};

use crate::harness::{Authority, World, reason};
use crate::rating::{PUBLISH, request};

both_databases!(
    forged_calls_are_refused_each_with_its_own_reason,
    no_message_is_read_before_its_token_and_none_without_bounds,
    a_suspended_participant_is_refused_at_once,
    a_certificate_that_runs_out_ends_an_open_connection,
);

async fn forged_calls_are_refused_each_with_its_own_reason(database: TestDatabase) {
    let mut world = World::start(database).await;
    let message = request(&world).encode_to_vec();
    let now = world.now_s();
    let leaves = world.leaves().await;
    let good = || world.hebei.claims(PUBLISH, Some(leaf_hash(&message)), now);
    let stranger =
        Arc::new(SigningKey::from_pkcs8_pem(&SigningKey::generate_pkcs8_pem(Algorithm::Es256).unwrap()).unwrap());
    let signed = |key: &SigningKey, claims: RequestClaims| sign_request(key, &claims).unwrap();
    let own = |claims: RequestClaims| signed(&world.hebei.key, claims);

    let cases = [
        ("expired", own(RequestClaims { iat: now - 400, exp: now - 300, ..good() }), "TOKEN_EXPIRED"),
        ("from the future", own(RequestClaims { iat: now + 100, exp: now + 200, ..good() }), "TOKEN_NOT_YET_VALID"),
        ("too long-lived", own(RequestClaims { exp: now + 301, ..good() }), "TOKEN_TOO_LONG_LIVED"),
        ("for another gateway", own(RequestClaims { aud: "other.test".into(), ..good() }), "TOKEN_AUDIENCE_WRONG"),
        (
            "for another method",
            own(RequestClaims { path: "/jjj.gateway.v1.RatingService/ChangeRating".into(), ..good() }),
            "TOKEN_PATH_WRONG",
        ),
        (
            "for other content",
            own(RequestClaims { root: Some(leaf_hash(b"other")), ..good() }),
            "TOKEN_CONTENT_MISMATCH",
        ),
        ("for no content", own(RequestClaims { root: None, ..good() }), "TOKEN_CONTENT_NOT_BOUND"),
        ("in another's name", own(RequestClaims { iss: "regions/110000".into(), ..good() }), "TOKEN_ISSUER_MISMATCH"),
        ("by an unknown key", signed(&stranger, good()), "KEY_UNKNOWN"),
        (
            "by another's key over this connection",
            signed(&world.beijing.key, RequestClaims { iss: "regions/110000".into(), ..good() }),
            "CERTIFICATE_OF_ANOTHER_PARTICIPANT",
        ),
        (
            "bound to another connection",
            own(RequestClaims { cnf: world.beijing.claims(PUBLISH, None, now).cnf, ..good() }),
            "TOKEN_CERTIFICATE_NOT_BOUND",
        ),
        ("no token at all", "x".into(), "TOKEN_NOT_COMPACT"),
    ];
    for (case, token, expected) in cases {
        let refused = world.hebei.send(PUBLISH, &message, &token).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Unauthenticated, expected), "{case}");
    }

    let bare = Request::new(Bytes::from(message.clone()));
    assert_eq!(reason(&world.hebei.send_request(PUBLISH, bare).await.unwrap_err()), "TOKEN_MISSING");

    let foreign = world.connect("regions/130000", &Authority::new(), world.hebei.key.clone());
    // A handshake that fails is no refusal of ours: it has no reason, and the code is the transport's.
    let unconnected = foreign.call(PUBLISH, &message, now).await.unwrap_err();
    assert!(reason(&unconnected).starts_with("none"), "{unconnected:?}");

    let token = sign_request(&world.hebei.key, &good()).unwrap();
    let mut compressed = Request::new(Bytes::from(message.clone()));
    compressed.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    compressed.metadata_mut().insert("grpc-encoding", "gzip".parse().unwrap());
    let refused = world.hebei.send_request(PUBLISH, compressed).await.unwrap_err();
    assert_eq!(reason(&refused), "COMPRESSION_NOT_ALLOWED");
    let large = vec![0; 4 * 1024 * 1024 + 1];
    let refused = world.hebei.call(PUBLISH, &large, now).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::ResourceExhausted, "MESSAGE_TOO_LARGE"));

    let refused = world.unionpay.call(PUBLISH, &message, now).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::PermissionDenied, "ROLE_NOT_ALLOWED"));
    let refused = world.hebei.call("/jjj.gateway.v1.RatingService/DropRatings", &message, now).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Unimplemented, "METHOD_UNKNOWN"));
    let refused =
        world.hebei.call_batch("/jjj.gateway.v1.RatingService/BatchPublishRatings", &[], now).await.unwrap_err();
    assert_eq!(reason(&refused), "BATCH_SIZE");

    assert_eq!(world.leaves().await, leaves, "nothing left a trace");
    world.stop().await;
}

async fn no_message_is_read_before_its_token_and_none_without_bounds(database: TestDatabase) {
    let mut world = World::start(database).await;
    // Who does not say who calls is refused though the message never ends.
    let endless = world.hebei.begin(PUBLISH, Bytes::from_static(b"x"), None);
    let refused = tokio::time::timeout(Duration::from_secs(15), endless).await.expect("an answer at once");
    assert_eq!(reason(&refused.unwrap_err()), "TOKEN_MISSING");

    // Eight of the largest messages that do not end fill a connection, and no other.
    let now = world.now_s();
    let large = Bytes::from(vec![0; 4 * 1024 * 1024]);
    let token = || sign_request(&world.hebei.key, &world.hebei.claims(PUBLISH, Some(leaf_hash(&large)), now)).unwrap();
    let mut held: FuturesUnordered<_> =
        (0..9).map(|_| world.hebei.begin(PUBLISH, large.clone(), Some(token()))).collect();
    let refused = tokio::time::timeout(Duration::from_secs(15), held.next()).await.expect("one at once").unwrap();
    assert_eq!(reason(&refused.unwrap_err()), "CONNECTION_BUSY");
    let get = pb::GetPolicyRequest { name: "policies/calendar/CN".into(), as_of: String::new() }.encode_to_vec();
    world.beijing.call("/jjj.gateway.v1.PolicyService/GetPolicy", &get, now).await.unwrap();
    drop(held);
    world.stop().await;
}

async fn a_suspended_participant_is_refused_at_once(database: TestDatabase) {
    let mut world = World::start(database).await;
    let get = pb::GetPolicyRequest { name: "policies/calendar/CN".into(), as_of: String::new() }.encode_to_vec();
    let path = "/jjj.gateway.v1.PolicyService/GetPolicy";
    world.hebei.call(path, &get, world.now_s()).await.unwrap();
    world.suspend("regions/130000").await;
    for client in [&world.hebei, &world.hebei_admin] {
        let refused = client.call(path, &get, world.now_s()).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::PermissionDenied, "PARTICIPANT_SUSPENDED"));
    }
    world.beijing.call(path, &get, world.now_s()).await.unwrap();
    world.stop().await;
}

async fn a_certificate_that_runs_out_ends_an_open_connection(database: TestDatabase) {
    let mut world = World::start(database).await;
    let get = pb::GetPolicyRequest { name: "policies/calendar/CN".into(), as_of: String::new() }.encode_to_vec();
    let path = "/jjj.gateway.v1.PolicyService/GetPolicy";
    world.hebei.call(path, &get, world.now_s()).await.unwrap();
    world.clock.advance_us(80 * 366 * 86_400 * 1_000_000);
    let refused = world.hebei.call(path, &get, world.now_s()).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Unauthenticated, "CERTIFICATE_NOT_IN_DATE"));
    world.stop().await;
}
