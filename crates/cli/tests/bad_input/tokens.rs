//! Wrong tokens, each with its own reason.

use bytes::Bytes;
use jjj_cli::client::Client;
use jjj_cli::identity::Identity;
use jjj_cli::sandbox::SERVER_NAME;
use jjj_cli::session::find;
use jjj_token::merkle::leaf_hash;
use jjj_token::request::{Confirmation, RequestClaims, sign_request};

use crate::world::{HEBEI, World};
use crate::{enrol, said};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_and_borrowed_tokens_are_refused_each_with_its_own_reason() {
    let mut world = World::start(None).await;
    world.settle().await;
    let before = world.fingerprint().await;
    let session = world.as_(HEBEI);
    let client = &session.client;
    let publish = find("RatingService/PublishRating").unwrap();
    let message = session.encode(publish, world.rating(world.name("i0"))).unwrap();
    let another = session.encode(publish, world.rating(world.name("i1"))).unwrap();
    let read = find("RatingService/ListRatings").unwrap();
    let now = client.now_us() / 1_000_000;
    let good = || RequestClaims {
        iss: HEBEI.into(),
        aud: world.config.origin.clone(),
        iat: now,
        exp: now + 120,
        jti: "0123456789abcdef".into(),
        path: publish.path.into(),
        cnf: Confirmation { certificate_sha256: client.identity().certificate_sha256 },
        root: Some(leaf_hash(&message)),
    };
    let own = |claims: RequestClaims| sign_request(&client.identity().signing, &claims).unwrap();
    let foreign = Identity::load(&world.foreign.identity_dir(HEBEI)).unwrap();
    let beijing = world.as_("regions/110000").client.identity();
    let of_beijing = Confirmation { certificate_sha256: beijing.certificate_sha256 };
    let table = [
        ("expired", own(RequestClaims { iat: now - 400, exp: now - 300, ..good() }), "TOKEN_EXPIRED"),
        ("not yet valid", own(RequestClaims { iat: now + 100, exp: now + 200, ..good() }), "TOKEN_NOT_YET_VALID"),
        ("too long-lived", own(RequestClaims { exp: now + 301, ..good() }), "TOKEN_TOO_LONG_LIVED"),
        ("for another gateway", own(RequestClaims { aud: "other".into(), ..good() }), "TOKEN_AUDIENCE_WRONG"),
        ("of another method", client.token(read.path, &message).unwrap(), "TOKEN_PATH_WRONG"),
        ("of another request", client.token(publish.path, &another).unwrap(), "TOKEN_CONTENT_MISMATCH"),
        ("that binds no content", own(RequestClaims { root: None, ..good() }), "TOKEN_CONTENT_NOT_BOUND"),
        (
            "in another region's name",
            own(RequestClaims { iss: "regions/110000".into(), ..good() }),
            "TOKEN_ISSUER_MISMATCH",
        ),
        (
            "in its administrator's name",
            own(RequestClaims { iss: "regions/130000/admins/ma".into(), ..good() }),
            "TOKEN_ISSUER_MISMATCH",
        ),
        ("by a foreign key", sign_request(&foreign.signing, &good()).unwrap(), "KEY_UNKNOWN"),
        (
            "of another region",
            sign_request(&beijing.signing, &RequestClaims { iss: "regions/110000".into(), ..good() }).unwrap(),
            "CERTIFICATE_OF_ANOTHER_PARTICIPANT",
        ),
        (
            "bound to another's certificate",
            own(RequestClaims { cnf: of_beijing, ..good() }),
            "TOKEN_CERTIFICATE_NOT_BOUND",
        ),
        (
            "signed by another's key in our name",
            sign_request(&beijing.signing, &good()).unwrap(),
            "TOKEN_ISSUER_MISMATCH",
        ),
        ("garbage", "x".into(), "TOKEN_NOT_COMPACT"),
        ("three parts of garbage", "a.b.c".into(), "TOKEN_HEADER_MALFORMED"),
    ];
    let mut faults = Vec::new();
    for (case, token, reason) in &table {
        let refused = client.call_with_token(publish.path, message.clone(), token).await.map_err(said);
        if refused != Err(format!("UNAUTHENTICATED {reason}")) {
            faults.push(format!("{case}: {refused:?}, not {reason}"));
        }
    }
    // A token that is right in all but the hand that sends it.
    let stolen = client.token(publish.path, &message).unwrap();
    let thief = &world.as_("regions/110000").client;
    let refused = thief.call_with_token(publish.path, message.clone(), &stolen).await.map_err(said);
    if refused != Err("UNAUTHENTICATED CERTIFICATE_OF_ANOTHER_PARTICIPANT".into()) {
        faults.push(format!("stolen: {refused:?}"));
    }
    let tampered = format!("{}A{}", &stolen[..stolen.len() - 2], &stolen[stolen.len() - 1..]);
    let tampered = if tampered == stolen {
        format!("{}B{}", &stolen[..stolen.len() - 2], &stolen[stolen.len() - 1..])
    } else {
        tampered
    };
    let refused = client.call_with_token(publish.path, message.clone(), &tampered).await.map_err(said);
    if refused != Err("UNAUTHENTICATED TOKEN_SIGNATURE_WRONG".into()) {
        faults.push(format!("signature altered: {refused:?}"));
    }
    // A suspended region's own token.
    let suspended = &world.as_("regions/120000").client;
    let refused = suspended.call_bytes(read.path, Bytes::new()).await.map_err(said);
    if refused != Err("PERMISSION_DENIED PARTICIPANT_SUSPENDED".into()) {
        faults.push(format!("suspended: {refused:?}"));
    }
    // A certificate of an authority that nobody registered ends at the handshake; no reason of ours.
    let identity = Identity { gateway_ca_pem: client.identity().gateway_ca_pem.clone(), ..foreign };
    let now = enrol::now(&world.clock);
    let stranger = Client::new(identity, &world.address(), SERVER_NAME, &world.config.origin, now).unwrap();
    let refused = stranger.call_bytes(read.path, Bytes::new()).await.unwrap_err();
    if tonic_types::StatusExt::get_details_error_info(&refused).is_some() {
        faults.push(format!("foreign certificate: {refused:?}"));
    }
    assert!(faults.is_empty(), "{faults:#?}");
    world.settle().await;
    assert_eq!(world.fingerprint().await, before, "nothing left a trace");
    world.close().await;
}
