use jjj_token::SigningKey;
use jjj_token::recognition::{
    RecognitionClaims, Recognized, Status, StatusListReference, sign_recognition, verify_recognition,
};
use jjj_token::sd_jwt::{Challenge, bind};
use jjj_token::sd_recognition::{
    SdRecognitionClaims, SdRecognitionError, decode_unverified, decode_unverified_kid, present_sd_recognition,
    sign_sd_recognition, verify_sd_recognition,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::{base64url, ed25519, forge, keys, p256, sm2, stranger};

const FROM_S: i64 = 1_767_225_600;
const UNTIL_S: i64 = FROM_S + 365 * 86_400;
const GATEWAY: &str = "gateway.example";
const SCORES: [(&str, i64); 4] = [("self_care", 12), ("mobility", 7), ("mental_state", 9), ("perception_social", 3)];
const ASKED: Challenge<'static> = Challenge { aud: "https://canteen.example", nonce: "n-1" };

fn claims() -> RecognitionClaims {
    let text = String::from;
    RecognitionClaims {
        iss: GATEWAY.into(),
        sub: text("recognitions/0195f2d0-130000"),
        iat: FROM_S,
        nbf: FROM_S,
        exp: UNTIL_S,
        rec: Recognized {
            record: text("assessments/0195f2d0"),
            version: 2,
            kind: text("ASSESSMENT"),
            issuer: text("regions/110000"),
            recognizer: text("regions/130000"),
            subject: text("elders/0195f2cf"),
            scheme: text("GB_T_42195_2022"),
            native: text("3"),
            recognized: text("3"),
            quality: text("EXACT"),
        },
        status: Status { status_list: StatusListReference { idx: 17, uri: text("https://gateway.example/status/1") } },
    }
}

fn salts() -> impl FnMut() -> [u8; 16] {
    let mut next = 0;
    move || {
        next += 1;
        [next; 16]
    }
}

fn issued(key: &SigningKey, holder: Option<&SigningKey>) -> String {
    sign_sd_recognition(key, &claims(), &SCORES, holder.map(SigningKey::public_jwk), salts()).unwrap()
}

fn verified(
    text: &str,
    key: &SigningKey,
    asked: Option<&Challenge<'_>>,
) -> Result<SdRecognitionClaims, SdRecognitionError> {
    verify_sd_recognition(text, key.verifying_key(), GATEWAY, FROM_S, asked)
}

fn reason(text: &str, key: &SigningKey, asked: Option<&Challenge<'_>>) -> &'static str {
    verified(text, key, asked).expect_err("refused").reason()
}

#[test]
fn the_holder_shows_level_and_validity_and_what_they_choose() {
    for key in keys() {
        let text = issued(&key, None);
        assert_eq!(decode_unverified_kid(&text).unwrap(), key.kid());
        let (all, pointers) = decode_unverified(&text).unwrap();
        assert_eq!(verified(&text, &key, None).unwrap(), all);
        assert_eq!(all.rec.subject.as_deref(), Some("elders/0195f2cf"));
        assert_eq!(all.rec.scores, SCORES.map(|(name, score)| (name.to_owned(), score)).into());
        let mut expected = vec!["/rec/subject".to_owned()];
        expected.extend(SCORES.map(|(name, _)| format!("/rec/scores/{name}")));
        let sorted = |mut pointers: Vec<String>| {
            pointers.sort();
            pointers
        };
        assert_eq!(sorted(pointers), sorted(expected));

        let nothing = present_sd_recognition(&text, |_| false).unwrap();
        let shown = verified(&nothing, &key, None).unwrap();
        assert_eq!((shown.rec.recognized.as_str(), shown.exp), ("3", UNTIL_S));
        assert_eq!((shown.rec.subject, shown.rec.scores.len()), (None, 0));
        let one = present_sd_recognition(&text, |pointer| pointer == "/rec/scores/mobility").unwrap();
        let shown = verified(&one, &key, None).unwrap();
        assert_eq!((shown.rec.subject, shown.rec.scores), (None, [("mobility".to_owned(), 7)].into()));
        // What was kept back is in no form in what was shown.
        for hidden in ["elders/0195f2cf", "self_care"] {
            assert!(!readable(&one).contains(hidden), "{hidden}");
        }
        assert!(readable(&text).contains("elders/0195f2cf"));
    }
}

/// All parts, decoded.
fn readable(text: &str) -> String {
    use base64::Engine;
    let decode = |part| base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).unwrap_or_default();
    text.split(['~', '.']).map(|part| String::from_utf8_lossy(&decode(part)).into_owned()).collect()
}

/// The randomness is the caller's: the same makes the same text, other makes other digests.
#[test]
fn salts_are_given() {
    let key = ed25519();
    assert_eq!(issued(&key, None), issued(&key, None));
    let other = sign_sd_recognition(&key, &claims(), &SCORES, None, || [9; 16]).unwrap();
    assert_ne!(issued(&key, None), other);
    assert_eq!(issued(&key, None).trim_end(), include_str!("golden/sd_recognition.eddsa.txt").trim_end());
}

#[test]
fn a_recognition_without_scores() {
    let key = ed25519();
    let text = sign_sd_recognition(&key, &claims(), &[], None, salts()).unwrap();
    let shown = verified(&text, &key, None).unwrap();
    assert!(shown.rec.scores.is_empty() && shown.rec.subject.is_some());
    assert_eq!(decode_unverified(&text).unwrap().1, ["/rec/subject"]);
}

/// By a holder who has a key; the verifier decides whether it matters.
#[test]
fn key_binding() {
    for (key, holder) in [(ed25519(), p256()), (p256(), ed25519()), (sm2(), sm2())] {
        let text = issued(&key, Some(&holder));
        let shown = present_sd_recognition(&text, |pointer| pointer == "/rec/subject").unwrap();
        let bound = bind(&shown, &holder, &ASKED, FROM_S).unwrap();
        let claims = verified(&bound, &key, Some(&ASKED)).unwrap();
        assert_eq!(claims.cnf.unwrap().jwk, *holder.public_jwk());
        assert!(verified(&bound, &key, None).is_ok());
        assert_eq!(reason(&shown, &key, Some(&ASKED)), "SD_JWT_BINDING_MISSING");
        let other = Challenge { nonce: "n-2", ..ASKED };
        assert_eq!(reason(&bound, &key, Some(&other)), "SD_JWT_BINDING_NONCE_MISMATCH");
        let stolen = bind(&shown, &stranger(), &ASKED, FROM_S).unwrap();
        let is_ed25519 = holder.algorithm() == stranger().algorithm();
        let expected = if is_ed25519 { "TOKEN_SIGNATURE_INVALID" } else { "TOKEN_ALGORITHM_MISMATCH" };
        assert_eq!(reason(&stolen, &key, Some(&ASKED)), expected);
        // A verifier who was shown one presentation cannot add to it, take from it, or show it again.
        let (presentation, binding) = bound.rsplit_once('~').unwrap();
        let more = format!("{}{binding}", present_sd_recognition(&text, |_| true).unwrap());
        assert_eq!(reason(&more, &key, Some(&ASKED)), "SD_JWT_BINDING_HASH_MISMATCH");
        let fewer = format!("{}~{binding}", presentation.split_once('~').unwrap().0);
        assert_eq!(reason(&fewer, &key, Some(&ASKED)), "SD_JWT_BINDING_HASH_MISMATCH");
        assert_eq!(present_sd_recognition(&bound, |_| true).unwrap_err().reason(), "SD_JWT_BOUND_ALREADY");
        // Nobody's key where the issuer named none.
        let bearer = bind(&issued(&key, None), &holder, &ASKED, FROM_S).unwrap();
        assert_eq!(reason(&bearer, &key, Some(&ASKED)), "SD_JWT_BINDING_KEY_MISSING");
    }
}

fn disclosure(contents: &Value) -> (String, String) {
    let text = base64url(contents.to_string());
    let digest = base64url(Sha256::digest(&text));
    (text, digest)
}

#[test]
fn refused() {
    let key = ed25519();
    let header = format!(r#"{{"typ":"jjj-recognition+sd-jwt","alg":"EdDSA","kid":"{}"}}"#, key.kid());
    let with = |change: &dyn Fn(&mut Value)| {
        let mut payload = serde_json::to_value(claims()).unwrap();
        payload["_sd_alg"] = "sha-256".into();
        change(&mut payload);
        forge(&key, &header, &payload.to_string())
    };
    // A claim moved from where it must stand into a disclosure, and the text with it.
    let disclosed = |at: &str, name: &str, value: Value| {
        let (text, digest) = disclosure(&json!(["salt", name, value]));
        let jwt = with(&|payload| {
            let object = payload.pointer_mut(at).unwrap().as_object_mut().unwrap();
            object.remove(name);
            object.insert("_sd".into(), json!([digest]));
        });
        format!("{jwt}~{text}~")
    };
    let good = format!("{}~", with(&|_| {}));
    assert_eq!(verified(&good, &key, None).unwrap().rec.subject.as_deref(), Some("elders/0195f2cf"));
    let table = [
        ("a recognition token", sign_recognition(&key, &claims()).unwrap(), "SD_JWT_FORM"),
        ("and a tilde", sign_recognition(&key, &claims()).unwrap() + "~", "TOKEN_TYPE_WRONG"),
        ("another key's", issued(&stranger(), None), "TOKEN_KEY_UNKNOWN"),
        (
            "forged",
            forge(&stranger(), &header, &serde_json::to_string(&claims()).unwrap()) + "~",
            "TOKEN_SIGNATURE_INVALID",
        ),
        (
            "none",
            good.replacen(&base64url(&header), &base64url(header.replace("EdDSA", "none")), 1),
            "TOKEN_ALGORITHM_MISMATCH",
        ),
        ("another gateway", with(&|payload| payload["iss"] = "x".into()) + "~", "TOKEN_ISSUER_MISMATCH"),
        ("over", with(&|payload| payload["exp"] = FROM_S.into()) + "~", "TOKEN_LIFETIME_INVALID"),
        ("a claim more", with(&|payload| payload["name"] = "Wang".into()) + "~", "TOKEN_CLAIM_UNEXPECTED"),
        ("digests at the top", disclosed("", "exp", UNTIL_S.into()), "TOKEN_CLAIM_UNEXPECTED"),
        ("the level disclosed", disclosed("/rec", "recognized", "1".into()), "SD_JWT_CLAIM_NOT_DISCLOSABLE"),
        ("the scores as one", disclosed("/rec", "scores", json!({"mobility": 1})), "SD_JWT_CLAIM_NOT_DISCLOSABLE"),
        ("status disclosed", disclosed("/status", "status_list", json!({})), "SD_JWT_CLAIM_NOT_DISCLOSABLE"),
        (
            "an unknown score",
            with(&|payload| payload["rec"]["scores"] = json!({"wealth": 1})) + "~",
            "TOKEN_CLAIM_MALFORMED",
        ),
        (
            "a score of no integer",
            with(&|payload| payload["rec"]["scores"] = json!({"mobility": 1.5})) + "~",
            "TOKEN_CLAIM_MALFORMED",
        ),
        ("no scores at all", with(&|payload| payload["rec"]["scores"] = Value::Null) + "~", "TOKEN_CLAIM_MALFORMED"),
        ("no key", with(&|payload| payload["cnf"] = Value::Null) + "~", "TOKEN_CLAIM_MALFORMED"),
        ("a key by name", with(&|payload| payload["cnf"] = json!({"kid": "a"})) + "~", "TOKEN_CLAIM_MALFORMED"),
        ("the subject twice", issued(&key, None).replacen('~', "~~", 1), "SD_JWT_FORM"),
    ];
    for (name, text, expected) in table {
        assert_eq!(reason(&text, &key, None), expected, "{name}");
    }
    let weak =
        with(&|payload| payload["cnf"] = json!({"jwk": {"kty": "OKP", "crv": "Ed25519", "x": base64url([0; 32])}}));
    assert_eq!(reason(&format!("{weak}~"), &key, Some(&ASKED)), "KEY_WEAK_POINT");
    let late = verify_sd_recognition(&good, key.verifying_key(), GATEWAY, UNTIL_S, None);
    assert_eq!(late.unwrap_err().reason(), "TOKEN_EXPIRED");
}

/// Neither passes for the other, whatever is cut off.
#[test]
fn kinds_are_apart() {
    let key = ed25519();
    let text = issued(&key, None);
    let jwt = text.split('~').next().unwrap();
    for token in [text.as_str(), jwt] {
        let refused = verify_recognition(token, key.verifying_key(), GATEWAY, FROM_S);
        assert_eq!(refused.unwrap_err().reason(), "TOKEN_TYPE_WRONG");
    }
}
