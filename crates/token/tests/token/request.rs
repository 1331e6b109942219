use jjj_token::merkle::items_root;
use jjj_token::request::{
    Confirmation, Expected, RequestClaims, RequestTokenError, check_root, decode_unverified_issuer, sign_request,
    verify_evidence, verify_request,
};
use jjj_token::{Hash, SigningKey, thumbprint};

use crate::support::{ed25519, keys, p256};

pub const NOW_S: i64 = 1_767_225_600;
pub const PATH: &str = "/jjj.gateway.v1.RatingService/PublishRating";

pub fn certificate() -> Hash {
    thumbprint::certificate_sha256(b"a certificate")
}

pub fn root() -> Hash {
    items_root(&[b"the request"]).0
}

pub fn claims() -> RequestClaims {
    RequestClaims {
        iss: "regions/110000".into(),
        aud: "jjj-gateway.example".into(),
        iat: NOW_S,
        exp: NOW_S + 300,
        jti: "0195f2d0-7c1e-7a3b-9d55-3f1c2b4a5d6e".into(),
        path: PATH.into(),
        cnf: Confirmation { certificate_sha256: certificate() },
        root: Some(root()),
    }
}

/// Runs the full check for a call made at `now_s` with the content of [`root`].
pub fn verify(token: &str, key: &SigningKey, now_s: i64) -> Result<RequestClaims, RequestTokenError> {
    let expected = Expected {
        issuer: "regions/110000",
        audience: "jjj-gateway.example",
        path: PATH,
        certificate_sha256: &certificate(),
        now_s,
    };
    let claims = verify_request(token, key.verifying_key(), &expected)?;
    check_root(&claims, &root())?;
    Ok(claims)
}

#[test]
fn signed_and_verified_with_each_algorithm() {
    for key in keys() {
        let token = sign_request(&key, &claims()).unwrap();
        let issuer = decode_unverified_issuer(&token).unwrap();
        assert_eq!((issuer.iss.as_str(), issuer.kid.as_str()), ("regions/110000", key.kid()));
        assert_eq!(verify(&token, &key, NOW_S), Ok(claims()));
        let evidence = verify_evidence(&token, key.verifying_key(), &root());
        assert_eq!(evidence, Ok(claims()));
    }
}

/// Frozen on the day the format was: what a region signed then must verify for ever.
#[test]
fn golden_tokens() {
    let eddsa = include_str!("golden/request.eddsa.jwt").trim_end();
    assert_eq!(sign_request(&ed25519(), &claims()).unwrap(), eddsa);
    assert_eq!(verify(eddsa, &ed25519(), NOW_S), Ok(claims()));
    let es256 = include_str!("golden/request.es256.jwt").trim_end();
    assert_eq!(verify(es256, &p256(), NOW_S), Ok(claims()));
}

/// jsonwebtoken accepts ours, and we accept jsonwebtoken's.
#[test]
fn interoperates_with_jsonwebtoken() {
    use jsonwebtoken as foreign;
    let algorithms = [foreign::Algorithm::EdDSA, foreign::Algorithm::ES256];
    let pem = [include_str!("keys/ed25519.pem"), include_str!("keys/p256.pem")];
    for (algorithm, pem) in algorithms.into_iter().zip(pem) {
        let key = SigningKey::from_pkcs8_pem(pem).unwrap();
        let jwk: foreign::jwk::Jwk = serde_json::from_str(&key.public_jwk().to_json()).unwrap();
        let mut validation = foreign::Validation::new(algorithm);
        validation.set_audience(&["jjj-gateway.example"]);
        validation.validate_exp = false;
        let token = sign_request(&key, &claims()).unwrap();
        let decoding = foreign::DecodingKey::from_jwk(&jwk).unwrap();
        let read = foreign::decode::<RequestClaims>(&token, &decoding, &validation).unwrap();
        assert_eq!(read.claims, claims());
        assert_eq!(read.header.typ.as_deref(), Some("jjj-request+jwt"));

        let mut header = foreign::Header::new(algorithm);
        header.typ = Some("jjj-request+jwt".into());
        header.kid = Some(key.kid().into());
        let encoding = match algorithm {
            foreign::Algorithm::ES256 => foreign::EncodingKey::from_ec_pem(pem.as_bytes()),
            _ => foreign::EncodingKey::from_ed_pem(pem.as_bytes()),
        };
        let token = foreign::encode(&header, &claims(), &encoding.unwrap()).unwrap();
        assert_eq!(verify(&token, &key, NOW_S), Ok(claims()));
    }
}

#[test]
fn time_is_judged_with_thirty_seconds_of_leeway() {
    let key = ed25519();
    let token = sign_request(&key, &claims()).unwrap();
    let reason = |now_s| verify(&token, &key, now_s).err().map(|error| error.reason());
    assert_eq!(reason(NOW_S - 31), Some("TOKEN_NOT_YET_VALID"));
    assert_eq!(reason(NOW_S - 30), None);
    assert_eq!(reason(NOW_S + 329), None);
    assert_eq!(reason(NOW_S + 330), Some("TOKEN_EXPIRED"));
    assert_eq!(reason(i64::MAX), Some("TOKEN_EXPIRED"));
    assert_eq!(reason(i64::MIN), Some("TOKEN_NOT_YET_VALID"));
}

#[test]
fn extreme_times_do_not_overflow() {
    let key = ed25519();
    let table = [
        (i64::MIN, i64::MAX, "TOKEN_TOO_LONG_LIVED"),
        (i64::MAX, i64::MIN, "TOKEN_LIFETIME_INVALID"),
        (i64::MAX - 1, i64::MAX, "TOKEN_NOT_YET_VALID"),
        (i64::MIN, i64::MIN + 1, "TOKEN_EXPIRED"),
    ];
    for (iat, exp, reason) in table {
        let token = sign_request(&key, &RequestClaims { iat, exp, ..claims() }).unwrap();
        assert_eq!(verify(&token, &key, NOW_S).unwrap_err().reason(), reason);
    }
}

/// A call that changes nothing need not bind its content, and may.
#[test]
fn reads_need_no_root() {
    let key = ed25519();
    for root in [None, Some(root())] {
        let claims = RequestClaims { root, ..claims() };
        let token = sign_request(&key, &claims).unwrap();
        let expected = Expected {
            issuer: &claims.iss,
            audience: &claims.aud,
            path: PATH,
            certificate_sha256: &certificate(),
            now_s: NOW_S,
        };
        let verified = verify_request(&token, key.verifying_key(), &expected);
        assert_eq!(verified, Ok(claims.clone()));
    }
}

/// Evidence outlives the token and the certificate, but not its content.
#[test]
fn evidence_is_about_content() {
    let key = p256();
    let token = sign_request(&key, &claims()).unwrap();
    let other = items_root(&[b"another request"]).0;
    let reason = |root: &Hash, key: &SigningKey| {
        verify_evidence(&token, key.verifying_key(), root).err().map(|error| error.reason())
    };
    assert_eq!(reason(&root(), &key), None);
    assert_eq!(reason(&other, &key), Some("TOKEN_CONTENT_MISMATCH"));
    assert_eq!(reason(&root(), &ed25519()), Some("TOKEN_KEY_UNKNOWN"));
    let unbound = sign_request(&key, &RequestClaims { root: None, ..claims() }).unwrap();
    let refused = verify_evidence(&unbound, key.verifying_key(), &root()).unwrap_err();
    assert_eq!(refused, RequestTokenError::ContentNotBound);
}
