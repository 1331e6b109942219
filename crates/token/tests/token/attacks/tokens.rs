//! Keys, signatures, and the tokens that they sign.

use std::io::Write as _;

use aws_lc_rs::hmac;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use jjj_token::confirmation::{ConfirmationClaims, sign_confirmation, verify_confirmation};
use jjj_token::recognition::{RecognitionClaims, StatusListReference, sign_recognition, verify_recognition};
use jjj_token::request::{RequestClaims, sign_request, verify_evidence};
use jjj_token::status_list::{
    EncodedList, MAX_STATUS_LIST_LEN, STATUS_LIST_LEN, StatusList, StatusListClaims, sign_status_list, status_of,
    verify_status_list,
};
use jjj_token::{Jwk, MAX_TOKEN_LEN, SigningKey, VerifyingKey, merkle};

use super::{Row, refused};
use crate::recognition::{self, FROM_S, UNTIL_S};
use crate::request::{self, NOW_S};
use crate::support::{base64url, ed25519, forge, from_base64url, p256, stranger};

const URI: &str = "https://gateway.example/status/1";
const GATEWAY: &str = "gateway.example";

pub fn rows() -> Vec<Row> {
    [keys(), signatures(), recognition_tokens(), status_lists(), request_tokens(), confirmations()].concat()
}

fn keys() -> Vec<Row> {
    let ed = ed25519().public_jwk().clone();
    let ec = p256().public_jwk().clone();
    let parsed = |jwk: Jwk| VerifyingKey::from_jwk(&jwk);
    let order_4 = base64url([0; 32]);
    let twisted = ec.y.clone().map(|y| y.replacen(&y[..1], if y.starts_with('A') { "B" } else { "A" }, 1));
    let with_secret = ed.to_json().replacen('{', r#"{"d":"AAAA","#, 1);
    vec![
        ("key", "Ed25519, a point of small order", refused!(parsed(Jwk { x: order_4, ..ed.clone() }))),
        ("key", "P-256, a point of another curve", refused!(parsed(Jwk { y: twisted, ..ec.clone() }))),
        ("key", "P-256, compressed: no y", refused!(parsed(Jwk { y: None, ..ec }))),
        (
            "key",
            "the same key in a second spelling: stray bits",
            refused!(parsed(Jwk { x: stray(&ed.x), ..ed.clone() })),
        ),
        ("key", "X25519, that signs nothing", refused!(parsed(Jwk { crv: "X25519".into(), ..ed.clone() }))),
        ("key", "a shared secret, for HMAC", refused!(parsed(Jwk { kty: "oct".into(), ..ed.clone() }))),
        ("key", "RSA", refused!(parsed(Jwk { kty: "RSA".into(), ..ed }))),
        ("key", "with its private half", refused!(Jwk::from_json(with_secret.as_bytes()))),
    ]
}

/// The last character of base64url of 32 bytes carries two bits that mean nothing.
fn stray(text: &str) -> String {
    let (head, last) = text.split_at(text.len() - 1);
    format!("{head}{}", char::from(last.as_bytes()[0] + 1))
}

/// A little-endian number of 32 bytes and the order of Ed25519's group.
fn plus_order(number: &mut [u8]) {
    let order = hex::decode("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010").unwrap();
    let mut carry = 0u16;
    for (byte, add) in number.iter_mut().zip(order) {
        carry += u16::from(*byte) + u16::from(add);
        *byte = carry as u8;
        carry >>= 8;
    }
}

/// `n − s` for a big-endian number of 32 bytes: the other half of an ES256 signature's `S`.
pub fn other_s(s: &[u8]) -> Vec<u8> {
    let order = hex::decode(P256_ORDER).unwrap();
    let mut borrow = 0i16;
    let mut digits: Vec<u8> = order
        .iter()
        .zip(s)
        .rev()
        .map(|(n, s)| {
            let digit = i16::from(*n) - i16::from(*s) - borrow;
            borrow = i16::from(digit < 0);
            digit as u8
        })
        .collect();
    digits.reverse();
    digits
}

const P256_ORDER: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";

fn signatures() -> Vec<Row> {
    let signed = |key: &SigningKey, change: &dyn Fn(&mut Vec<u8>)| {
        let token = sign_request(key, &request::claims()).unwrap();
        let (input, signature) = token.rsplit_once('.').unwrap();
        let mut signature = from_base64url(signature);
        change(&mut signature);
        let token = format!("{input}.{}", base64url(signature));
        refused!(verify_evidence(&token, key.verifying_key(), &request::root()))
    };
    let order = hex::decode(P256_ORDER).unwrap();
    let (ed, ec) = (ed25519(), p256());
    let identity = |s: &mut Vec<u8>| {
        *s = vec![0; 64];
        s[0] = 1;
    };
    let message = signed(&ed, &|s| *s = ed25519().sign(b"another message").unwrap());
    let (kind, ec_kind) = ("Ed25519 signature", "ES256 signature");
    vec![
        (kind, "made into another one: S plus the order", signed(&ed, &|s| plus_order(&mut s[32..]))),
        (kind, "R of small order, S zero: good under a weak key", signed(&ed, &identity)),
        (kind, "cut short", signed(&ed, &|s| s.truncate(63))),
        (kind, "prolonged", signed(&ed, &|s| s.push(0))),
        (kind, "absent", signed(&ed, &|s| s.clear())),
        (ec_kind, "zeros, that other libraries took", signed(&ec, &|s| s.fill(0))),
        (ec_kind, "s of the order", signed(&ec, &|s| s[32..].copy_from_slice(&order))),
        (ec_kind, "in DER", signed(&ec, &|s| *s = hex::decode("3006020101020101").unwrap())),
        (ec_kind, "r and s exchanged", signed(&ec, &|s| s.rotate_left(32))),
        ("signature", "of another message, by the same key", message),
    ]
}

fn header(key: &SigningKey, typ: &str) -> String {
    format!(r#"{{"typ":"{typ}","alg":"{}","kid":"{}"}}"#, key.algorithm().jose_name(), key.kid())
}

fn recognition_tokens() -> Vec<Row> {
    let key = ed25519();
    let good = recognition::claims();
    let json = serde_json::to_string(&good).unwrap();
    let head = header(&key, "jjj-recognition+jwt");
    let at = |token: &str, now_s: i64| verify_recognition(token, key.verifying_key(), GATEWAY, now_s);
    let read = |token: String| refused!(at(&token, FROM_S));
    let headed = |header: &str| read(forge(&key, header, &json));
    let extra = |member: &str| headed(&head.replacen('{', &format!("{{{member},"), 1));
    let said = |claims: &str| read(forge(&key, &head, claims));
    let token = sign_recognition(&key, &good).unwrap();
    let unsigned = format!("{}.{}.", base64url(head.replace("EdDSA", "none")), base64url(&json));
    let by_hmac = {
        let input = format!("{}.{}", base64url(head.replace("EdDSA", "HS256")), base64url(&json));
        let secret = hmac::Key::new(hmac::HMAC_SHA256, key.verifying_key().public_bytes());
        format!("{input}.{}", base64url(hmac::sign(&secret, input.as_bytes())))
    };
    let jwk = format!(r#""jwk":{}"#, stranger().public_jwk().to_json());
    let raised = RecognitionClaims { exp: UNTIL_S * 2, ..good.clone() };
    let raised = {
        let (header, rest) = token.split_once('.').unwrap();
        let (_, signature) = rest.split_once('.').unwrap();
        format!("{header}.{}.{signature}", base64url(serde_json::to_string(&raised).unwrap()))
    };
    let never = sign_recognition(&key, &RecognitionClaims { exp: FROM_S, ..good.clone() });
    let kind = "recognition token";
    vec![
        (kind, "alg none, unsigned", read(unsigned)),
        (kind, "alg HS256, the public key as the secret", read(by_hmac)),
        (kind, "alg RS256", headed(&head.replace("EdDSA", "RS256"))),
        (kind, "alg ES256 over an Ed25519 key", headed(&head.replace("EdDSA", "ES256"))),
        (kind, "brings its own key: jwk", extra(&jwk)),
        (kind, "says where its key is: jku", extra(r#""jku":"https://evil.example/jwks""#)),
        (kind, "brings a certificate: x5c", extra(r#""x5c":["AA"]"#)),
        (kind, "says where its certificate is: x5u", extra(r#""x5u":"https://evil.example/c""#)),
        (kind, "changes what is signed: crit b64", extra(r#""crit":["b64"]"#)),
        (kind, "compressed: zip", extra(r#""zip":"DEF""#)),
        (kind, "kid as a path", headed(&head.replace(key.kid(), "../../keys/admin"))),
        (kind, "kid of another key", headed(&head.replace(key.kid(), p256().kid()))),
        (kind, "kid null", headed(&head.replace(&format!(r#""{}""#, key.kid()), "null"))),
        (kind, "typ JWT", headed(&head.replace("jjj-recognition+jwt", "JWT"))),
        (kind, "no typ", headed(&head.replace(r#""typ":"jjj-recognition+jwt","#, ""))),
        (kind, "alg said twice", extra(r#""\u0061lg":"none""#)),
        (kind, "is a status list", read(sign_status_list(&key, &list_claims()).unwrap())),
        (kind, "is a request token", read(sign_request(&key, &request::claims()).unwrap())),
        (kind, "is a confirmation", read(sign_confirmation(&key, &confirmation()).unwrap())),
        (kind, "prolonged after it was signed", read(raised)),
        (kind, "cut at its last dot", read(token.rsplit_once('.').unwrap().0.into())),
        (kind, "padded", read(format!("{token}="))),
        (kind, "header in standard base64", read(format!("+{}", &token[1..]))),
        (kind, "longer than tokens are", read("a".repeat(MAX_TOKEN_LEN + 1))),
        (kind, "header of 2,500 brackets", headed(&format!(r#"{{"a":{}"#, "[".repeat(2_500)))),
        (kind, "another gateway's", said(&json.replace("\"gateway.example\"", "\"other.example\""))),
        (kind, "for an audience", said(&json.replacen('{', r#"{"aud":"anyone","#, 1))),
        (kind, "subject said twice", said(&json.replacen('{', r#"{"sub":"recognitions/other","#, 1))),
        (kind, "with scores", said(&json.replacen(r#""rec":{"#, r#""rec":{"scores":[1],"#, 1))),
        (kind, "claims followed by others", said(&format!("{json}{json}"))),
        (kind, "ends as it begins", read(never.unwrap())),
        (kind, "stale: its validity is over", refused!(at(&token, UNTIL_S))),
        (kind, "early: its validity has not begun", refused!(at(&token, FROM_S - 31))),
    ]
}

fn list_claims() -> StatusListClaims {
    let status_list = StatusList::new().encode();
    StatusListClaims { sub: URI.into(), iat: FROM_S, exp: FROM_S + 60, ttl: 55, status_list }
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut to = ZlibEncoder::new(Vec::new(), Compression::best());
    to.write_all(bytes).unwrap();
    to.finish().unwrap()
}

fn status_lists() -> Vec<Row> {
    let key = ed25519();
    let at = |claims: &StatusListClaims, now_s: i64| {
        verify_status_list(&sign_status_list(&key, claims).unwrap(), key.verifying_key(), URI, now_s)
    };
    let read = |token: &str| refused!(verify_status_list(token, key.verifying_key(), URI, FROM_S));
    let packed = |bits: u8, lst: String| {
        refused!(at(&StatusListClaims { status_list: EncodedList { bits, lst }, ..list_claims() }, FROM_S))
    };
    let unending = serde_json::to_string(&list_claims()).unwrap().replace(&format!(r#""exp":{},"#, FROM_S + 60), "");
    let twice = [zlib(&[0x55; 8]), zlib(&[0; 8])].concat();
    let short = zlib(&[0x55; 800]);
    let (claims, list) = at(&list_claims(), FROM_S).unwrap();
    let beyond = StatusListReference { idx: STATUS_LIST_LEN, uri: URI.into() };
    let elsewhere = StatusListReference { idx: 0, uri: "https://evil.example/status/1".into() };
    let retired = sign_status_list(&stranger(), &list_claims()).unwrap();
    let kind = "status list";
    vec![
        (kind, "stale: an old one, from before the revocation", refused!(at(&list_claims(), FROM_S + 60))),
        (kind, "of the future", refused!(at(&list_claims(), FROM_S - 31))),
        (kind, "without an end", read(&forge(&key, &header(&key, "statuslist+jwt"), &unending))),
        (kind, "another list", refused!(at(&StatusListClaims { sub: "x".into(), ..list_claims() }, FROM_S))),
        (kind, "of a key that is not the gateway's", read(&retired)),
        (kind, "is a recognition token", read(&sign_recognition(&key, &recognition::claims()).unwrap())),
        (kind, "is a request token", read(&sign_request(&key, &request::claims()).unwrap())),
        (kind, "a bomb: 64 MiB in 64 KiB", packed(2, base64url(zlib(&vec![0; 64 << 20])))),
        (kind, "two lists in one, for two readers", packed(2, base64url(twice))),
        (kind, "cut short", packed(2, base64url(&short[..short.len() - 5]))),
        (kind, "three bits to a place", packed(3, base64url(zlib(&[0; 8])))),
        (kind, "longer than lists are", read(&"a".repeat(MAX_STATUS_LIST_LEN + 1))),
    ]
    .into_iter()
    .chain([
        ("status", "a place beyond the list's end", refused!(status_of(&claims, &list, &beyond))),
        ("status", "a place in a list of somebody else's", refused!(status_of(&claims, &list, &elsewhere))),
    ])
    .collect()
}

fn request_tokens() -> Vec<Row> {
    let key = ed25519();
    let good = request::claims();
    let root = request::root();
    let evidence = |token: &str| refused!(verify_evidence(token, key.verifying_key(), &root));
    let at = |now_s| refused!(request::verify(&sign_request(&key, &good).unwrap(), &key, now_s));
    let changed = |change: &dyn Fn(&mut RequestClaims)| {
        let mut claims = good.clone();
        change(&mut claims);
        refused!(request::verify(&sign_request(&key, &claims).unwrap(), &key, NOW_S))
    };
    let by_stranger = forge(&stranger(), &header(&key, "jjj-request+jwt"), &serde_json::to_string(&good).unwrap());
    let kind = "request token";
    vec![
        (kind, "stale: seen before, sent again later", at(NOW_S + 331)),
        (kind, "of the future", at(NOW_S - 31)),
        (kind, "for a year", changed(&|c| c.exp = c.iat + 31_536_000)),
        (kind, "ends before it begins", changed(&|c| c.exp = c.iat - 1)),
        (kind, "over another's connection", changed(&|c| c.cnf.certificate_sha256[0] ^= 1)),
        (kind, "of another call", changed(&|c| c.root = Some(merkle::leaf_hash(b"other")))),
        (kind, "that reads, for a call that writes", changed(&|c| c.root = None)),
        (kind, "for another method", changed(&|c| c.path = "/jjj.gateway.v1.RatingService/RevokeRating".into())),
        (kind, "for another gateway", changed(&|c| c.aud = "other.example".into())),
        (kind, "in another region's name", changed(&|c| c.iss = "regions/130000".into())),
        (kind, "by a stranger, named as ours", evidence(&by_stranger)),
        (kind, "by a stranger, in its own name", evidence(&sign_request(&stranger(), &good).unwrap())),
        (kind, "is a recognition token", evidence(&sign_recognition(&key, &recognition::claims()).unwrap())),
        (kind, "is a confirmation", evidence(&sign_confirmation(&key, &confirmation()).unwrap())),
    ]
}

fn confirmation() -> ConfirmationClaims {
    ConfirmationClaims {
        iss: "gateway/admins/li".into(),
        aud: GATEWAY.into(),
        sub: "regions/110000".into(),
        fingerprint: stranger().kid().into(),
        iat: NOW_S,
    }
}

fn confirmations() -> Vec<Row> {
    let key = ed25519();
    let read = |token: &str| refused!(verify_confirmation(token, key.verifying_key()));
    let good = sign_confirmation(&key, &confirmation()).unwrap();
    let another = serde_json::to_string(&confirmation()).unwrap().replace(stranger().kid(), key.kid());
    let (head, rest) = good.split_once('.').unwrap();
    let (_, signature) = rest.split_once('.').unwrap();
    let kind = "confirmation";
    vec![
        (kind, "of another fingerprint than was read out", read(&format!("{head}.{}.{signature}", base64url(another)))),
        (kind, "by the same person twice: another's key", read(&sign_confirmation(&p256(), &confirmation()).unwrap())),
        (kind, "is a request token", read(&sign_request(&key, &request::claims()).unwrap())),
    ]
}
