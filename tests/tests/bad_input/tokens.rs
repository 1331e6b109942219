//! Wrong, expired, unbound and borrowed tokens, each refused with its own reason.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use bytes::Bytes;
use jjj_cli::client::Client;
use jjj_cli::enrol;
use jjj_cli::identity::Identity;
use jjj_cli::sandbox::SERVER_NAME;
use jjj_cli::session::find;
use jjj_tests::postgres::TestDatabase;
use jjj_tests::world::{self, BEIJING, HEBEI};
use jjj_token::merkle::leaf_hash;
use jjj_token::request::{Confirmation, RequestClaims, sign_request};
use serde_json::{Value, json};

use crate::rows::said;
use crate::scene::LI;
use crate::stage::{Stage, changed};

pub async fn wrong_and_borrowed_tokens_are_refused_each_with_its_own_reason(database: TestDatabase) {
    let mut stage = Stage::open(database).await;
    let suspend = json!({"participant": "regions/120000", "reason": "演练"});
    stage.call(LI, "ParticipantService/SuspendParticipant", suspend).await;
    stage.settle().await;
    let before = stage.digests().await;

    let session = stage.as_(HEBEI);
    let (client, beijing) = (&session.client, &stage.as_(BEIJING).client);
    let foreign = Identity::load(&stage.foreign.identity_dir(HEBEI)).unwrap();
    let register = find("InstitutionService/RegisterInstitution").unwrap();
    let list = find("InstitutionService/ListInstitutions").unwrap();
    let batch = find("InstitutionService/BatchRegisterInstitutions").unwrap();
    let message = session.encode(register, world::institution(1)).unwrap();
    let another = session.encode(register, world::institution(2)).unwrap();
    let now = client.now_us() / 1_000_000;
    let certificate = |client: &Client| Confirmation { certificate_sha256: client.identity().certificate_sha256 };
    let good = || RequestClaims {
        iss: HEBEI.into(),
        aud: stage.config.origin.clone(),
        iat: now,
        exp: now + 120,
        jti: "0123456789abcdef".into(),
        path: register.path.into(),
        cnf: certificate(client),
        root: Some(leaf_hash(&message)),
    };
    let own = |claims: RequestClaims| sign_request(&client.identity().signing, &claims).unwrap();
    let by_beijing = |claims: RequestClaims| sign_request(&beijing.identity().signing, &claims).unwrap();
    let right = own(good());

    #[rustfmt::skip]
    let sent_by_hebei = [
        ("expired", own(RequestClaims { iat: now - 400, exp: now - 300, ..good() }), "TOKEN_EXPIRED"),
        ("not yet valid", own(RequestClaims { iat: now + 100, exp: now + 200, ..good() }), "TOKEN_NOT_YET_VALID"),
        ("of more than five minutes", own(RequestClaims { exp: now + 301, ..good() }), "TOKEN_TOO_LONG_LIVED"),
        ("that ends before it begins", own(RequestClaims { exp: now - 1, ..good() }), "TOKEN_LIFETIME_INVALID"),
        ("without a proper id", own(RequestClaims { jti: "1".into(), ..good() }), "TOKEN_ID_MALFORMED"),
        ("for another gateway", own(RequestClaims { aud: "other".into(), ..good() }), "TOKEN_AUDIENCE_WRONG"),
        ("of another method", client.token(list.path, &message).unwrap(), "TOKEN_PATH_WRONG"),
        ("of the batch method", own(RequestClaims { path: batch.path.into(), ..good() }), "TOKEN_PATH_WRONG"),
        ("of another request", client.token(register.path, &another).unwrap(), "TOKEN_CONTENT_MISMATCH"),
        ("that binds no content", own(RequestClaims { root: None, ..good() }), "TOKEN_CONTENT_NOT_BOUND"),
        ("in another region's name", own(RequestClaims { iss: BEIJING.into(), ..good() }), "TOKEN_ISSUER_MISMATCH"),
        ("in its administrator's name", own(RequestClaims { iss: "regions/130000/admins/ma".into(), ..good() }), "TOKEN_ISSUER_MISMATCH"),
        ("by a key that nobody registered", sign_request(&foreign.signing, &good()).unwrap(), "KEY_UNKNOWN"),
        ("of another region, by its key", by_beijing(RequestClaims { iss: BEIJING.into(), ..good() }), "CERTIFICATE_OF_ANOTHER_PARTICIPANT"),
        ("in our name, by another's key", by_beijing(good()), "TOKEN_ISSUER_MISMATCH"),
        ("bound to another's certificate", own(RequestClaims { cnf: certificate(beijing), ..good() }), "TOKEN_CERTIFICATE_NOT_BOUND"),
        ("of no algorithm", altered(&right, 0, |header| header["alg"] = "none".into()), "TOKEN_ALGORITHM_MISMATCH"),
        ("of another algorithm", altered(&right, 0, |header| header["alg"] = "ES256".into()), "TOKEN_ALGORITHM_MISMATCH"),
        ("of another type", altered(&right, 0, |header| header["typ"] = "JWT".into()), "TOKEN_TYPE_WRONG"),
        ("that brings its own key", altered(&right, 0, |header| header["jwk"] = json!({})), "TOKEN_HEADER_UNEXPECTED"),
        ("without a key id", altered(&right, 0, |header| drop(header.as_object_mut().unwrap().remove("kid"))), "TOKEN_HEADER_MISSING"),
        ("with a key id that is none", altered(&right, 0, |header| header["kid"] = "1".into()), "TOKEN_KEY_ID_MALFORMED"),
        ("altered after signing", altered(&right, 1, |claims| claims["exp"] = (now + 121).into()), "TOKEN_SIGNATURE_INVALID"),
        ("that claims more", altered(&right, 1, |claims| claims["role"] = "admin".into()), "TOKEN_CLAIM_UNEXPECTED"),
        ("with a header that is no JSON", format!("YQ.{}", right.split_once('.').unwrap().1), "TOKEN_NOT_JSON"),
        ("padded", format!("{right}="), "TOKEN_NOT_BASE64URL"),
        ("of two parts", right.rsplit_once('.').unwrap().0.into(), "TOKEN_NOT_COMPACT"),
        ("too long", "a".repeat(4_097), "TOKEN_TOO_LONG"),
        ("that is none", "x".into(), "TOKEN_NOT_COMPACT"),
    ];
    let mut faults = Vec::new();
    let mut check = |case: &str, refused: Result<Bytes, tonic::Status>, expected: &str| {
        let refused = refused.map_err(said);
        if refused.as_ref().err().map(String::as_str) != Some(expected) {
            faults.push(format!("a token {case}: {refused:?}, not {expected}"));
        }
    };
    for (case, token, reason) in &sent_by_hebei {
        let refused = client.call_with_token(register.path, message.clone(), token).await;
        check(case, refused, &format!("UNAUTHENTICATED | {reason}"));
    }
    let stolen = beijing.call_with_token(register.path, message.clone(), &right).await;
    // The certificate in use is not the one that it is bound to.
    check("stolen from another's connection", stolen, "UNAUTHENTICATED | TOKEN_CERTIFICATE_NOT_BOUND");
    let tianjin = &stage.as_("regions/120000").client;
    let suspended = tianjin.call_bytes(list.path, Bytes::new()).await;
    check("of a suspended region", suspended, "PERMISSION_DENIED | PARTICIPANT_SUSPENDED");
    let administrator = stage.as_("regions/120000/admins/wu").client.call_bytes(list.path, Bytes::new()).await;
    check("of its administrator", administrator, "PERMISSION_DENIED | PARTICIPANT_SUSPENDED");

    // A certificate of an authority that nobody registered ends at the handshake: no reason of ours.
    let identity = Identity { gateway_ca_pem: client.identity().gateway_ca_pem.clone(), ..foreign };
    let now = enrol::now(&stage.clock);
    let stranger = Client::new(identity, &stage.address(), SERVER_NAME, &stage.config.origin, now).unwrap();
    let refused = stranger.call_bytes(list.path, Bytes::new()).await.unwrap_err();
    assert!(tonic_types::StatusExt::get_details_error_info(&refused).is_none(), "{refused:?}");

    assert!(faults.is_empty(), "{faults:#?}");
    stage.settle().await;
    assert_eq!(changed(&before, &stage.digests().await), Vec::<&str>::new(), "nothing leaves a trace");

    // What all of them were made from is right: the token, its connection and its message.
    let answer = stage.as_(HEBEI).client.call_with_token(register.path, message.clone(), &right).await;
    answer.expect("the right token opens");
    stage.close().await;
}

/// A token with one of its JSON parts altered, under the signature that it had.
fn altered(token: &str, part: usize, change: impl FnOnce(&mut Value)) -> String {
    let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    let mut json = serde_json::from_slice(&BASE64URL.decode(&parts[part]).unwrap()).unwrap();
    change(&mut json);
    parts[part] = BASE64URL.encode(json.to_string());
    parts.join(".")
}
