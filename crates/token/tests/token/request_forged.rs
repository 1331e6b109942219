//! Every forged or damaged request token is refused, each for its own reason.

use jjj_token::request::{
    Expected, RequestClaims, decode_unverified_issuer, sign_request, verify_evidence, verify_request,
};
use jjj_token::{SigningKey, merkle};
use proptest::prelude::*;

use crate::request::{NOW_S, PATH, certificate, claims, root, verify};
use crate::support::{base64url, ed25519, forge, p256, stranger};

fn header(key: &SigningKey) -> String {
    let alg = key.algorithm().jose_name();
    format!(r#"{{"typ":"jjj-request+jwt","alg":"{alg}","kid":"{}"}}"#, key.kid())
}

fn claims_json() -> String {
    serde_json::to_string(&claims()).unwrap()
}

/// Inserts members at the front of a JSON object.
fn with(object: &str, members: &str) -> String {
    object.replacen('{', &format!("{{{members},"), 1)
}

fn assert_refused(table: &[(&str, String, &str)], key: &SigningKey) {
    for (name, token, reason) in table {
        let refused = verify(token, key, NOW_S).expect_err(name);
        assert_eq!(refused.reason(), *reason, "{name}: {refused}");
        assert!(verify_evidence(token, key.verifying_key(), &root()).is_err() || claims_only(reason));
    }
}

/// Reasons that do not concern evidence, which outlives the connection and the moment.
fn claims_only(reason: &str) -> bool {
    [
        "TOKEN_ISSUER_MISMATCH",
        "TOKEN_AUDIENCE_WRONG",
        "TOKEN_PATH_WRONG",
        "TOKEN_CERTIFICATE_NOT_BOUND",
        "TOKEN_EXPIRED",
        "TOKEN_NOT_YET_VALID",
    ]
    .contains(&reason)
}

#[test]
fn headers() {
    let key = ed25519();
    let other = p256();
    let head = header(&key);
    let body = claims_json();
    let signed = |header: &str| forge(&key, header, &body);
    let unexpected = |member: &str| signed(&with(&head, member));
    let none = head.replace("EdDSA", "none");
    let jwk = format!(r#""jwk":{}"#, stranger().public_jwk().to_json());
    let table = [
        ("alg none, unsigned", format!("{}.{}.", base64url(&none), base64url(&body)), "TOKEN_ALGORITHM_MISMATCH"),
        ("alg none, signed", signed(&none), "TOKEN_ALGORITHM_MISMATCH"),
        ("alg HS256 with the public key", signed(&head.replace("EdDSA", "HS256")), "TOKEN_ALGORITHM_MISMATCH"),
        ("alg of the other key type", signed(&head.replace("EdDSA", "ES256")), "TOKEN_ALGORITHM_MISMATCH"),
        ("alg in other case", signed(&head.replace("EdDSA", "eddsa")), "TOKEN_ALGORITHM_MISMATCH"),
        ("embedded key", unexpected(&jwk), "TOKEN_HEADER_UNEXPECTED"),
        ("jku", unexpected(r#""jku":"https://evil.example/jwks""#), "TOKEN_HEADER_UNEXPECTED"),
        ("x5u", unexpected(r#""x5u":"https://evil.example/c""#), "TOKEN_HEADER_UNEXPECTED"),
        ("x5c", unexpected(r#""x5c":["AA"]"#), "TOKEN_HEADER_UNEXPECTED"),
        ("x5t", unexpected(r#""x5t":"AA""#), "TOKEN_HEADER_UNEXPECTED"),
        ("crit", unexpected(r#""crit":["b64"],"b64":false"#), "TOKEN_HEADER_UNEXPECTED"),
        ("zip", unexpected(r#""zip":"DEF""#), "TOKEN_HEADER_UNEXPECTED"),
        ("cty", unexpected(r#""cty":"JWT""#), "TOKEN_HEADER_UNEXPECTED"),
        ("typ of a recognition", signed(&head.replace("request", "recognition")), "TOKEN_TYPE_WRONG"),
        ("typ JWT", signed(&head.replace("jjj-request+jwt", "JWT")), "TOKEN_TYPE_WRONG"),
        ("typ as media type", signed(&head.replace("jjj-", "application/jjj-")), "TOKEN_TYPE_WRONG"),
        ("no typ", signed(&head.replace(r#""typ":"jjj-request+jwt","#, "")), "TOKEN_HEADER_MISSING"),
        ("no alg", signed(&head.replace(r#""alg":"EdDSA","#, "")), "TOKEN_HEADER_MISSING"),
        ("no kid", signed(&head.replace(&format!(r#","kid":"{}""#, key.kid()), "")), "TOKEN_HEADER_MISSING"),
        ("kid null", signed(&head.replace(&format!(r#""{}""#, key.kid()), "null")), "TOKEN_HEADER_MISSING"),
        ("kid with a path", signed(&head.replace(key.kid(), "../../keys/admin")), "TOKEN_KEY_ID_MALFORMED"),
        ("kid with SQL", signed(&head.replace(key.kid(), "' OR 1=1 --")), "TOKEN_KEY_ID_MALFORMED"),
        ("kid of another key", signed(&head.replace(key.kid(), other.kid())), "TOKEN_KEY_UNKNOWN"),
        ("typ twice", unexpected(r#""typ":"JWT""#), "TOKEN_DUPLICATE_MEMBER"),
        ("alg twice, escaped", unexpected(r#""\u0061lg":"none""#), "TOKEN_DUPLICATE_MEMBER"),
        ("two objects", signed(&format!("{head}{head}")), "TOKEN_NOT_JSON"),
        ("array", signed(&format!(r#"["jjj-request+jwt","EdDSA","{}"]"#, key.kid())), "TOKEN_NOT_JSON"),
        ("no JSON", signed("hello"), "TOKEN_NOT_JSON"),
        ("empty", signed(""), "TOKEN_NOT_JSON"),
        ("deep nesting", signed(&format!(r#"{{"a":{}"#, "[".repeat(2000))), "TOKEN_NOT_JSON"),
    ];
    assert_refused(&table, &key);
}

#[test]
fn structure() {
    let key = ed25519();
    let good = sign_request(&key, &claims()).unwrap();
    let (input, signature) = good.rsplit_once('.').unwrap();
    let (head, body) = input.split_once('.').unwrap();
    // The last character carries stray bits: 64 bytes leave two of six used.
    let stray = format!("{}{}", &good[..good.len() - 1], {
        let last = good.as_bytes()[good.len() - 1];
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let value = alphabet.iter().position(|byte| *byte == last).unwrap();
        alphabet[value ^ 1] as char
    });
    let table = [
        ("empty", String::new(), "TOKEN_NOT_COMPACT"),
        ("no dots", "token".into(), "TOKEN_NOT_COMPACT"),
        ("two parts", input.into(), "TOKEN_NOT_COMPACT"),
        ("four parts", format!("{good}.AAAA"), "TOKEN_NOT_COMPACT"),
        ("JSON serialization", format!(r#"{{"payload":"{body}"}}"#), "TOKEN_NOT_COMPACT"),
        ("newline at the end", format!("{good}\n"), "TOKEN_NOT_BASE64URL"),
        ("garbage at the end", format!("{good}!"), "TOKEN_NOT_BASE64URL"),
        ("Bearer in front", format!("Bearer {good}"), "TOKEN_NOT_BASE64URL"),
        ("padded signature", format!("{good}=="), "TOKEN_NOT_BASE64URL"),
        ("padded header", format!("{head}=.{body}.{signature}"), "TOKEN_NOT_BASE64URL"),
        ("stray bits", stray, "TOKEN_NOT_BASE64URL"),
        ("no signature", format!("{input}."), "TOKEN_SIGNATURE_LENGTH_WRONG"),
        ("truncated signature", format!("{input}.{}", &signature[..84]), "TOKEN_SIGNATURE_LENGTH_WRONG"),
        ("zero signature", format!("{input}.{}", base64url([0; 64])), "TOKEN_SIGNATURE_INVALID"),
        ("too long", format!("{good}{}", "A".repeat(4096)), "TOKEN_TOO_LONG"),
        (
            "other claims, old signature",
            {
                let body = base64url(claims_json().replace("110000", "130000"));
                format!("{head}.{body}.{signature}")
            },
            "TOKEN_SIGNATURE_INVALID",
        ),
        (
            "signed by another, named as ours",
            forge(&stranger(), &header(&key), &claims_json()),
            "TOKEN_SIGNATURE_INVALID",
        ),
        ("another's own token", sign_request(&stranger(), &claims()).unwrap(), "TOKEN_KEY_UNKNOWN"),
    ];
    assert_refused(&table, &key);
}

#[test]
fn claims_malformed() {
    let key = ed25519();
    let body = claims_json();
    let signed = |claims: &str| forge(&key, &header(&key), claims);
    let without = |name: &str| {
        let mut object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&body).unwrap();
        object.remove(name).unwrap();
        signed(&serde_json::to_string(&object).unwrap())
    };
    let x5t = base64url(certificate());
    let cnf = format!(r#"{{"x5t#S256":"{x5t}"}}"#);
    let content = base64url(root());
    let table = [
        ("unknown claim", signed(&with(&body, r#""admin":true"#)), "TOKEN_CLAIM_UNEXPECTED"),
        ("nbf", signed(&with(&body, r#""nbf":0"#)), "TOKEN_CLAIM_UNEXPECTED"),
        ("sub", signed(&with(&body, r#""sub":"x""#)), "TOKEN_CLAIM_UNEXPECTED"),
        ("iss twice", signed(&with(&body, r#""iss":"regions/130000""#)), "TOKEN_DUPLICATE_MEMBER"),
        (
            "thumbprint twice",
            signed(&body.replace(&cnf, &format!(r#"{{"x5t#S256":"{x5t}","x5t#S256":"{x5t}"}}"#))),
            "TOKEN_DUPLICATE_MEMBER",
        ),
        ("no iss", without("iss"), "TOKEN_CLAIM_MALFORMED"),
        ("no aud", without("aud"), "TOKEN_CLAIM_MALFORMED"),
        ("no exp", without("exp"), "TOKEN_CLAIM_MALFORMED"),
        ("no iat", without("iat"), "TOKEN_CLAIM_MALFORMED"),
        ("no jti", without("jti"), "TOKEN_CLAIM_MALFORMED"),
        ("no path", without("path"), "TOKEN_CLAIM_MALFORMED"),
        ("no cnf", without("cnf"), "TOKEN_CLAIM_MALFORMED"),
        ("no root", without("root"), "TOKEN_CONTENT_NOT_BOUND"),
        ("root null", signed(&body.replace(&format!(r#""{content}""#), "null")), "TOKEN_CLAIM_MALFORMED"),
        ("root in hexadecimal", signed(&body.replace(&content, &hex::encode(root()))), "TOKEN_CLAIM_MALFORMED"),
        ("root padded", signed(&body.replace(&content, &format!("{content}="))), "TOKEN_CLAIM_MALFORMED"),
        ("cnf as array", signed(&body.replace(&cnf, &format!(r#"["{x5t}"]"#))), "TOKEN_CLAIM_MALFORMED"),
        (
            "cnf with jkt",
            signed(&body.replace(&cnf, &format!(r#"{{"x5t#S256":"{x5t}","jkt":"a"}}"#))),
            "TOKEN_CLAIM_MALFORMED",
        ),
        ("cnf empty", signed(&body.replace(&cnf, "{}")), "TOKEN_CLAIM_MALFORMED"),
        (
            "aud as list",
            signed(&body.replace(r#""jjj-gateway.example""#, r#"["jjj-gateway.example"]"#)),
            "TOKEN_CLAIM_MALFORMED",
        ),
        ("exp as text", signed(&body.replace(&format!("{}", NOW_S + 300), r#""1767225900""#)), "TOKEN_CLAIM_MALFORMED"),
        (
            "exp as fraction",
            signed(&body.replace(&format!("{}", NOW_S + 300), "1767225900.0")),
            "TOKEN_CLAIM_MALFORMED",
        ),
        ("exp beyond 64 bits", signed(&body.replace(&format!("{}", NOW_S + 300), "1e30")), "TOKEN_CLAIM_MALFORMED"),
        ("claims as array", signed("[]"), "TOKEN_NOT_JSON"),
        ("garbage after the claims", signed(&format!("{body}x")), "TOKEN_NOT_JSON"),
        (
            "invalid UTF-8",
            {
                let input = format!("{}.{}", base64url(header(&key)), base64url(b"{\"iss\":\"\xff\"}"));
                let signature = key.sign(input.as_bytes()).unwrap();
                format!("{input}.{}", base64url(signature))
            },
            "TOKEN_NOT_JSON",
        ),
    ];
    assert_refused(&table, &key);
}

#[test]
fn claims_wrong() {
    let key = ed25519();
    let signed = |change: fn(&mut RequestClaims)| {
        let mut claims = claims();
        change(&mut claims);
        sign_request(&key, &claims).unwrap()
    };
    let table = [
        ("another region", signed(|c| c.iss = "regions/130000".into()), "TOKEN_ISSUER_MISMATCH"),
        (
            "an administrator's key for the region",
            signed(|c| c.iss = "regions/110000/admins/wang".into()),
            "TOKEN_ISSUER_MISMATCH",
        ),
        ("another gateway", signed(|c| c.aud = "other.example".into()), "TOKEN_AUDIENCE_WRONG"),
        (
            "another method",
            signed(|c| c.path = "/jjj.gateway.v1.RatingService/RevokeRating".into()),
            "TOKEN_PATH_WRONG",
        ),
        ("path without slash", signed(|c| c.path = PATH[1..].into()), "TOKEN_PATH_WRONG"),
        ("another certificate", signed(|c| c.cnf.certificate_sha256[0] ^= 1), "TOKEN_CERTIFICATE_NOT_BOUND"),
        ("other content", signed(|c| c.root = Some(merkle::leaf_hash(b"other"))), "TOKEN_CONTENT_MISMATCH"),
        ("no content", signed(|c| c.root = None), "TOKEN_CONTENT_NOT_BOUND"),
        ("expired", signed(|c| (c.iat, c.exp) = (NOW_S - 400, NOW_S - 100)), "TOKEN_EXPIRED"),
        ("from the future", signed(|c| (c.iat, c.exp) = (NOW_S + 100, NOW_S + 400)), "TOKEN_NOT_YET_VALID"),
        ("lives 301 seconds", signed(|c| c.exp = c.iat + 301), "TOKEN_TOO_LONG_LIVED"),
        ("expires when issued", signed(|c| c.exp = c.iat), "TOKEN_LIFETIME_INVALID"),
        ("expires before", signed(|c| c.exp = c.iat - 1), "TOKEN_LIFETIME_INVALID"),
        ("no id", signed(|c| c.jti = String::new()), "TOKEN_ID_MALFORMED"),
        ("short id", signed(|c| c.jti = "1234567".into()), "TOKEN_ID_MALFORMED"),
        ("long id", signed(|c| c.jti = "a".repeat(65)), "TOKEN_ID_MALFORMED"),
        ("id with a control character", signed(|c| c.jti = "12345678\n".into()), "TOKEN_ID_MALFORMED"),
    ];
    assert_refused(&table, &key);
}

/// ES256 tokens: the R and S of zero that broke other libraries, DER instead of `R ‖ S`, and an
/// Ed25519 signature under an ES256 header.
#[test]
fn es256_signatures() {
    let key = p256();
    let input = {
        let good = sign_request(&key, &claims()).unwrap();
        good.rsplit_once('.').unwrap().0.to_owned()
    };
    let signed = |signature: &[u8]| format!("{input}.{}", base64url(signature));
    let der = hex::decode("3006020101020101").unwrap();
    let table = [
        ("zero", signed(&[0; 64]), "TOKEN_SIGNATURE_OUT_OF_RANGE"),
        ("ones", signed(&[0xff; 64]), "TOKEN_SIGNATURE_OUT_OF_RANGE"),
        ("DER", signed(&der), "TOKEN_SIGNATURE_LENGTH_WRONG"),
        ("Ed25519", signed(&ed25519().sign(input.as_bytes()).unwrap()), "TOKEN_SIGNATURE_INVALID"),
    ];
    assert_refused(&table, &key);
}

proptest! {
    /// One changed byte anywhere, and the token is refused. Nothing panics.
    #[test]
    fn any_changed_byte_is_refused(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let key = ed25519();
        let good = sign_request(&key, &claims()).unwrap();
        let mut bytes = good.clone().into_bytes();
        let at = at.index(bytes.len());
        prop_assume!(bytes[at] != byte);
        bytes[at] = byte;
        if let Ok(token) = String::from_utf8(bytes) {
            prop_assert!(verify(&token, &key, NOW_S).is_err());
            let _ = decode_unverified_issuer(&token);
        }
    }

    #[test]
    fn any_text_is_refused(token in "\\PC*|[A-Za-z0-9_-]*\\.[A-Za-z0-9_-]*\\.[A-Za-z0-9_-]*") {
        prop_assert!(decode_unverified_issuer(&token).is_err());
        prop_assert!(verify(&token, &ed25519(), NOW_S).is_err());
    }

    #[test]
    fn any_header_and_claims_are_refused(header in "\\{\\PC*\\}", claims in "\\{\\PC*\\}") {
        let key = ed25519();
        let expected = Expected {
            issuer: "regions/110000",
            audience: "jjj-gateway.example",
            path: PATH,
            certificate_sha256: &certificate(),
            now_s: NOW_S,
        };
        let token = forge(&key, &header, &claims);
        prop_assert!(verify_request(&token, key.verifying_key(), &expected).is_err());
    }
}
