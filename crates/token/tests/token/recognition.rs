use jjj_token::SigningKey;
use jjj_token::recognition::{
    RecognitionClaims, Recognized, Status, StatusListReference, decode_unverified_kid, sign_recognition,
    verify_recognition,
};
use jjj_token::request::{decode_unverified_issuer, sign_request};

use crate::support::{ed25519, forge, keys, p256, stranger};

pub const FROM_S: i64 = 1_767_225_600;
pub const UNTIL_S: i64 = FROM_S + 3 * 365 * 86_400;

pub fn claims() -> RecognitionClaims {
    RecognitionClaims {
        iss: "gateway.example".into(),
        sub: "recognitions/0195f2d0".into(),
        iat: FROM_S,
        nbf: FROM_S,
        exp: UNTIL_S,
        rec: Recognized {
            record: "ratings/0195f2cf".into(),
            version: 2,
            kind: "INSTITUTION_RATING".into(),
            issuer: "regions/130000".into(),
            recognizer: "regions/110000".into(),
            subject: "institutions/91130600MA07XXXXXX".into(),
            scheme: "GB_T_37276".into(),
            native: "GRADE_4".into(),
            recognized: "GRADE_4".into(),
            quality: "EXACT".into(),
        },
        status: Status { status_list: StatusListReference { idx: 17, uri: "https://gateway.example/status/1".into() } },
    }
}

fn reason(token: &str, key: &SigningKey, now_s: i64) -> Option<&'static str> {
    verify_recognition(token, key.verifying_key(), "gateway.example", now_s).err().map(|error| error.reason())
}

#[test]
fn signed_and_verified_with_each_algorithm() {
    for key in keys() {
        let token = sign_recognition(&key, &claims()).unwrap();
        assert_eq!(decode_unverified_kid(&token).unwrap(), key.kid());
        let verified = verify_recognition(&token, key.verifying_key(), "gateway.example", FROM_S);
        assert_eq!(verified, Ok(claims()));
    }
}

#[test]
fn golden_tokens() {
    let eddsa = include_str!("golden/recognition.eddsa.jwt").trim_end();
    assert_eq!(sign_recognition(&ed25519(), &claims()).unwrap(), eddsa);
    let es256 = include_str!("golden/recognition.es256.jwt").trim_end();
    assert_eq!(reason(es256, &p256(), FROM_S), None);
}

/// Validity ends on the second; only the beginning has leeway.
#[test]
fn validity() {
    let key = ed25519();
    let token = sign_recognition(&key, &claims()).unwrap();
    assert_eq!(reason(&token, &key, FROM_S - 31), Some("TOKEN_NOT_YET_VALID"));
    assert_eq!(reason(&token, &key, FROM_S - 30), None);
    assert_eq!(reason(&token, &key, UNTIL_S - 1), None);
    assert_eq!(reason(&token, &key, UNTIL_S), Some("TOKEN_EXPIRED"));
    let never = RecognitionClaims { exp: FROM_S, ..claims() };
    let never = sign_recognition(&key, &never).unwrap();
    assert_eq!(reason(&never, &key, FROM_S), Some("TOKEN_LIFETIME_INVALID"));
}

#[test]
fn refused() {
    let key = ed25519();
    let json = serde_json::to_string(&claims()).unwrap();
    let header = format!(r#"{{"typ":"jjj-recognition+jwt","alg":"EdDSA","kid":"{}"}}"#, key.kid());
    let signed = |claims: &str| forge(&key, &header, claims);
    let insert = |members: &str| signed(&json.replacen('{', &format!("{{{members},"), 1));
    let rec_start = json.find(r#""rec":{"#).unwrap() + 7;
    let in_rec = |members: &str| signed(&format!("{}{members},{}", &json[..rec_start], &json[rec_start..]));
    let table = [
        ("another gateway", signed(&json.replace("\"gateway.example\"", "\"other.example\"")), "TOKEN_ISSUER_MISMATCH"),
        ("an audience", insert(r#""aud":"anyone""#), "TOKEN_CLAIM_UNEXPECTED"),
        ("a name", insert(r#""name":"Wang""#), "TOKEN_CLAIM_UNEXPECTED"),
        ("scores", in_rec(r#""scores":[1,2]"#), "TOKEN_CLAIM_MALFORMED"),
        ("recognizer twice", in_rec(r#""recognizer":"regions/120000""#), "TOKEN_DUPLICATE_MEMBER"),
        (
            "no status",
            signed(
                &json.replace(r#","status":{"status_list":{"idx":17,"uri":"https://gateway.example/status/1"}}"#, ""),
            ),
            "TOKEN_CLAIM_MALFORMED",
        ),
        ("negative status index", signed(&json.replace("17", "-1")), "TOKEN_CLAIM_MALFORMED"),
        (
            "status as array",
            signed(&json.replace(
                r#"{"idx":17,"uri":"https://gateway.example/status/1"}"#,
                r#"[17,"https://gateway.example/status/1"]"#,
            )),
            "TOKEN_CLAIM_MALFORMED",
        ),
        ("typ JWT", forge(&key, &header.replace("jjj-recognition+jwt", "JWT"), &json), "TOKEN_TYPE_WRONG"),
        ("typ of a request", forge(&key, &header.replace("recognition", "request"), &json), "TOKEN_TYPE_WRONG"),
        ("another key's", sign_recognition(&stranger(), &claims()).unwrap(), "TOKEN_KEY_UNKNOWN"),
        ("forged", forge(&stranger(), &header, &json), "TOKEN_SIGNATURE_INVALID"),
    ];
    for (name, token, expected) in table {
        assert_eq!(reason(&token, &key, FROM_S), Some(expected), "{name}");
    }
}

/// A token of one kind never passes for the other.
#[test]
fn kinds_are_apart() {
    let key = ed25519();
    let recognition = sign_recognition(&key, &claims()).unwrap();
    let refused = decode_unverified_issuer(&recognition).unwrap_err();
    assert_eq!(refused.reason(), "TOKEN_TYPE_WRONG");
    let request = sign_request(&key, &crate::request::claims()).unwrap();
    assert_eq!(reason(&request, &key, FROM_S), Some("TOKEN_TYPE_WRONG"));
}
