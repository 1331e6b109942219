use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jjj_token::sd_jwt::{Challenge, MAX_DEPTH, MAX_DISCLOSURES, MAX_SD_JWT_LEN, SdJwt, SdJwtError, bind, conceal};
use jjj_token::{Jwk, SigningKey, VerifyingKey};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::support::{base64url, ed25519, keys, p256, stranger};

fn decode(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

fn jwk(jwk: &Value) -> VerifyingKey {
    VerifyingKey::from_jwk(&Jwk::from_json(jwk.to_string().as_bytes()).unwrap()).unwrap()
}

/// Every whole SD-JWT of RFC 9901: the issuer's signature, what it reveals, the holder's signature.
#[test]
fn rfc_9901_examples() {
    let file: Value = serde_json::from_str(include_str!("rfc9901/examples.json")).unwrap();
    let issuer = jwk(&file["issuer"]);
    let examples = file["examples"].as_array().unwrap();
    assert_eq!(examples.len(), 8);
    for example in examples {
        let (name, text) = (&example["name"], example["sd_jwt"].as_str().unwrap());
        let sd_jwt = SdJwt::parse(text).unwrap();
        let (input, signature) = sd_jwt.jwt().rsplit_once('.').unwrap();
        issuer.verify(input.as_bytes(), &decode(signature)).unwrap();
        let payload: Map<_, _> = serde_json::from_slice(&decode(input.split_once('.').unwrap().1)).unwrap();
        let revealed = sd_jwt.reveal(payload).unwrap();
        assert_eq!(revealed.disclosed.len() as u64, example["disclosures"].as_u64().unwrap(), "{name}");
        if let Some(claims) = example.get("claims") {
            assert_eq!(&Value::Object(revealed.claims.clone()), claims, "{name}");
        }
        assert_eq!(sd_jwt.is_bound(), example.get("binding").is_some(), "{name}");
        if let Some(binding) = example.get("binding") {
            let holder = jwk(&revealed.claims["cnf"]["jwk"]);
            let (aud, nonce) = (binding["aud"].as_str().unwrap(), binding["nonce"].as_str().unwrap());
            let asked = Challenge { aud, nonce };
            let now_s = binding["iat"].as_i64().unwrap() + 300;
            assert_eq!(sd_jwt.verify_binding(&holder, &asked, now_s), Ok(()), "{name}");
            let late = sd_jwt.verify_binding(&holder, &asked, now_s + 1);
            assert_eq!(late.unwrap_err().reason(), "SD_JWT_BINDING_STALE", "{name}");
            let fewer = text.replacen(text.split('~').nth(1).unwrap(), "", 1).replacen("~~", "~", 1);
            let fewer = SdJwt::parse(&fewer).unwrap().verify_binding(&holder, &asked, now_s);
            assert_eq!(fewer, Err(SdJwtError::BindingHash), "{name}");
        }
    }
}

/// The holder of the RFC's section 5 shows what its presentation shows.
#[test]
fn rfc_9901_presentation() {
    let file: Value = serde_json::from_str(include_str!("rfc9901/examples.json")).unwrap();
    let text = |example: usize| file["examples"][example]["sd_jwt"].as_str().unwrap();
    let sd_jwt = SdJwt::parse(text(0)).unwrap();
    let payload = serde_json::from_slice(&decode(sd_jwt.jwt().split('.').nth(1).unwrap())).unwrap();
    let revealed = sd_jwt.reveal(payload).unwrap();
    let shown = ["/family_name", "/address", "/given_name", "/nationalities/0"];
    let presentation = sd_jwt.present(&revealed, |pointer| shown.contains(&pointer));
    let sorted = |text: &str| {
        let mut parts: Vec<_> = text.rsplit_once('~').unwrap().0.split('~').map(str::to_owned).collect();
        parts.sort();
        parts
    };
    assert_eq!(sorted(&presentation), sorted(text(1)));
}

fn disclosure(contents: &Value) -> String {
    base64url(contents.to_string())
}

fn digest(disclosure: &str) -> String {
    base64url(Sha256::digest(disclosure))
}

fn refused(payload: Value, disclosures: &[&str]) -> &'static str {
    let text = format!("jwt~{}", disclosures.iter().map(|d| format!("{d}~")).collect::<String>());
    let Value::Object(payload) = payload else { panic!("an object") };
    let refused = SdJwt::parse(&text).and_then(|sd_jwt| sd_jwt.reveal(payload).map(drop));
    refused.expect_err("refused").reason()
}

#[test]
fn disclosures_refused() {
    let member = disclosure(&json!(["salt", "name", "value"]));
    let element = disclosure(&json!(["salt", "value"]));
    let (of_member, of_element) = (digest(&member), digest(&element));
    let named = |name: &str| disclosure(&json!(["salt", name, 1]));
    let (digests, hidden, hash, again) = (named("_sd"), named("..."), named("_sd_alg"), named("name"));
    let within = disclosure(&json!(["salt", "outer", {"_sd": [of_member]}]));
    let table = [
        ("unreferenced", json!({}), vec![&member], "SD_JWT_DISCLOSURE_UNREFERENCED"),
        ("the outer kept back", json!({"_sd": [digest(&within)]}), vec![&member], "SD_JWT_DISCLOSURE_UNREFERENCED"),
        ("given twice", json!({"_sd": [of_member]}), vec![&member, &member], "SD_JWT_DISCLOSURE_REPEATED"),
        ("digest twice", json!({"_sd": [of_member, of_member]}), vec![&member], "SD_JWT_DIGEST_REPEATED"),
        (
            "digest in two objects",
            json!({"a": {"_sd": [of_member]}, "_sd": [of_member]}),
            vec![&member],
            "SD_JWT_DIGEST_REPEATED",
        ),
        (
            "digest here and in a disclosure",
            json!({"_sd": [digest(&within), of_member]}),
            vec![&within, &member],
            "SD_JWT_DIGEST_REPEATED",
        ),
        ("decoy twice", json!({"_sd": [digest("x")], "a": [{"...": digest("x")}]}), vec![], "SD_JWT_DIGEST_REPEATED"),
        ("a member's for an element", json!({"a": [{"...": of_member}]}), vec![&member], "SD_JWT_DISCLOSURE_MISPLACED"),
        ("an element's for a member", json!({"_sd": [of_element]}), vec![&element], "SD_JWT_DISCLOSURE_MISPLACED"),
        ("names _sd", json!({"_sd": [digest(&digests)]}), vec![&digests], "SD_JWT_NAME_RESERVED"),
        ("names ...", json!({"_sd": [digest(&hidden)]}), vec![&hidden], "SD_JWT_NAME_RESERVED"),
        ("names _sd_alg", json!({"_sd": [digest(&hash)]}), vec![&hash], "SD_JWT_NAME_RESERVED"),
        ("_sd_alg within", json!({"a": {"_sd_alg": "sha-256"}}), vec![], "SD_JWT_NAME_RESERVED"),
        ("... as a member", json!({"a": {"...": of_member}}), vec![], "SD_JWT_NAME_RESERVED"),
        ("there already", json!({"_sd": [of_member], "name": 1}), vec![&member], "SD_JWT_NAME_TAKEN"),
        ("disclosed twice", json!({"_sd": [of_member, digest(&again)]}), vec![&member, &again], "SD_JWT_NAME_TAKEN"),
        ("digests no array", json!({"_sd": of_member}), vec![], "SD_JWT_DIGESTS_MALFORMED"),
        ("digest no text", json!({"_sd": [1]}), vec![], "SD_JWT_DIGESTS_MALFORMED"),
        ("digest too short", json!({"_sd": [&of_member[..42]]}), vec![], "SD_JWT_DIGESTS_MALFORMED"),
        ("element with more", json!({"a": [{"...": of_element, "b": 1}]}), vec![], "SD_JWT_DIGESTS_MALFORMED"),
        ("element's digest no text", json!({"a": [{"...": [of_element]}]}), vec![], "SD_JWT_DIGESTS_MALFORMED"),
        ("another hash", json!({"_sd_alg": "sha-512"}), vec![], "SD_JWT_HASH_UNSUPPORTED"),
        ("a hash that is no text", json!({"_sd_alg": null}), vec![], "SD_JWT_HASH_UNSUPPORTED"),
    ];
    for (name, payload, disclosures, reason) in table {
        let disclosures: Vec<&str> = disclosures.into_iter().map(String::as_str).collect();
        assert_eq!(refused(payload, &disclosures), reason, "{name}");
    }
}

#[test]
fn malformed_disclosures_refused() {
    let contents = [
        "1",
        "{}",
        "[]",
        r#"["salt"]"#,
        r#"["salt","name",1,2]"#,
        r#"[1,"name",1]"#,
        r#"["salt",1,1]"#,
        r#"["salt","name",{"a":1,"a":2}]"#,
        r#"["salt","name",1] x"#,
        r#"["salt","name",1"#,
        "\u{ff}",
    ];
    for contents in contents {
        assert_eq!(refused(json!({}), &[&base64url(contents)]), "SD_JWT_DISCLOSURE_MALFORMED", "{contents}");
    }
    let good = disclosure(&json!(["salt", "name", 1]));
    for bad in [format!("{good}="), format!("{good} "), format!("+{good}")] {
        assert_eq!(refused(json!({}), &[&bad]), "SD_JWT_DISCLOSURE_MALFORMED", "{bad}");
    }
    for (text, reason) in [
        (String::new(), "SD_JWT_FORM"),
        ("jwt".into(), "SD_JWT_FORM"),
        ("~".into(), "SD_JWT_FORM"),
        (format!("~{good}~"), "SD_JWT_FORM"),
        (format!("jwt~~{good}~"), "SD_JWT_FORM"),
        (format!("jwt~{good}~~"), "SD_JWT_FORM"),
        (format!("jwt~{}", format!("{good}~").repeat(MAX_DISCLOSURES + 1)), "SD_JWT_TOO_MANY_DISCLOSURES"),
        (format!("jwt~{}", "~".repeat(MAX_SD_JWT_LEN)), "SD_JWT_TOO_LONG"),
    ] {
        assert_eq!(SdJwt::parse(&text).unwrap_err().reason(), reason, "{text:.40}");
    }
}

/// Depth counts what is disclosed, however it was split among disclosures.
#[test]
fn too_deep() {
    let nested = |levels: usize| (0..levels).fold(json!(1), |inner, _| json!([inner]));
    let reveal = |payload: Value, disclosures: &str| {
        let text = format!("jwt~{disclosures}");
        let Value::Object(payload) = payload else { panic!("an object") };
        SdJwt::parse(&text).unwrap().reveal(payload).map(drop)
    };
    assert_eq!(reveal(json!({"a": nested(MAX_DEPTH - 1)}), ""), Ok(()));
    assert_eq!(reveal(json!({"a": nested(MAX_DEPTH)}), ""), Err(SdJwtError::TooDeep));
    let mut disclosures = String::new();
    let mut inner = disclosure(&json!(["salt", "a", 1]));
    for level in 1..=MAX_DEPTH {
        disclosures.push_str(&format!("{inner}~"));
        assert_eq!(reveal(json!({"_sd": [digest(&inner)]}), &disclosures), Ok(()), "{level}");
        inner = disclosure(&json!(["salt", "a", {"_sd": [digest(&inner)]}]));
    }
    disclosures.push_str(&format!("{inner}~"));
    assert_eq!(reveal(json!({"_sd": [digest(&inner)]}), &disclosures), Err(SdJwtError::TooDeep));
}

/// What is taken out comes back where it was; a disclosure brings those that it stands in.
#[test]
fn concealed_and_revealed() {
    let claims = json!({"a/b~": {"c": {"d": [1, {"e": null}]}}, "f": "g"});
    let mut payload = claims.as_object().unwrap().clone();
    let inner = conceal(payload["a/b~"].as_object_mut().unwrap(), "c", [1; 16]).unwrap();
    let outer = conceal(&mut payload, "a/b~", [2; 16]).unwrap();
    assert_eq!(conceal(&mut payload, "a/b~", [3; 16]), None);
    assert_eq!(conceal(&mut payload, "_sd", [3; 16]), None);
    let mut damaged = json!({"_sd": 1, "a": 2}).as_object().unwrap().clone();
    assert_eq!(conceal(&mut damaged, "a", [3; 16]), None);
    assert_eq!(damaged, *json!({"_sd": 1, "a": 2}).as_object().unwrap());
    assert_eq!(payload, *json!({"_sd": [digest(&outer)], "f": "g"}).as_object().unwrap());
    let text = format!("jwt~{inner}~{outer}~");
    let sd_jwt = SdJwt::parse(&text).unwrap();
    let revealed = sd_jwt.reveal(payload.clone()).unwrap();
    assert_eq!(Value::Object(revealed.claims.clone()), claims);
    let pointers: Vec<_> = revealed.disclosed.iter().map(|disclosed| disclosed.pointer.as_str()).collect();
    assert_eq!(pointers, ["/a~1b~0", "/a~1b~0/c"]);
    assert_eq!(sd_jwt.present(&revealed, |pointer| pointer == "/a~1b~0/c"), text);
    let outer_only = sd_jwt.present(&revealed, |pointer| pointer == "/a~1b~0");
    assert_eq!(outer_only, format!("jwt~{outer}~"));
    let revealed = SdJwt::parse(&outer_only).unwrap().reveal(payload).unwrap();
    assert_eq!(Value::Object(revealed.claims), json!({"a/b~": {}, "f": "g"}));
    assert_eq!(sd_jwt.present(&SdJwt::parse("jwt~").unwrap().reveal(Map::new()).unwrap(), |_| true), "jwt~");
}

const ASKED: Challenge<'static> = Challenge { aud: "verifier", nonce: "n-1" };
const NOW_S: i64 = 1_790_000_000;

fn binding(text: &str, key: &SigningKey, asked: &Challenge<'_>, now_s: i64) -> Result<(), SdJwtError> {
    SdJwt::parse(text).unwrap().verify_binding(key.verifying_key(), asked, now_s)
}

#[test]
fn bound_by_each_algorithm() {
    for key in keys() {
        let text = bind("jwt~", &key, &ASKED, NOW_S).unwrap();
        assert_eq!(binding(&text, &key, &ASKED, NOW_S), Ok(()));
        assert_eq!(binding(&text, &key, &ASKED, NOW_S + 300), Ok(()));
        assert_eq!(binding(&text, &key, &ASKED, NOW_S - 30), Ok(()));
    }
}

#[test]
fn bindings_refused() {
    let key = ed25519();
    let text = bind("jwt~", &key, &ASKED, NOW_S).unwrap();
    let other = |aud, nonce| binding(&text, &key, &Challenge { aud, nonce }, NOW_S).unwrap_err().reason();
    assert_eq!(other("another", "n-1"), "SD_JWT_BINDING_AUDIENCE_MISMATCH");
    assert_eq!(other("verifier", "n-2"), "SD_JWT_BINDING_NONCE_MISMATCH");
    let reason = |text: &str, now_s| binding(text, &key, &ASKED, now_s).unwrap_err().reason();
    assert_eq!(reason(&text, NOW_S + 301), "SD_JWT_BINDING_STALE");
    assert_eq!(reason(&text, NOW_S - 31), "SD_JWT_BINDING_STALE");
    assert_eq!(reason("jwt~", NOW_S), "SD_JWT_BINDING_MISSING");
    assert_eq!(reason(&text.replacen("jwt", "JWT", 1), NOW_S), "SD_JWT_BINDING_HASH_MISMATCH");
    assert_eq!(reason(&bind("jwt~", &stranger(), &ASKED, NOW_S).unwrap(), NOW_S), "TOKEN_SIGNATURE_INVALID");
    assert_eq!(reason(&bind("jwt~", &p256(), &ASKED, NOW_S).unwrap(), NOW_S), "TOKEN_ALGORITHM_MISMATCH");
    let forged = |header: &str, claims: &str| format!("jwt~{}", crate::support::forge(&key, header, claims));
    let header = r#"{"typ":"kb+jwt","alg":"EdDSA"}"#;
    let claims = format!(r#"{{"iat":{NOW_S},"aud":"verifier","nonce":"n-1","sd_hash":"{}"}}"#, digest("jwt~"));
    assert_eq!(binding(&forged(header, &claims), &key, &ASKED, NOW_S), Ok(()));
    for (header, claims, expected) in [
        (header.replace("kb+jwt", "jwt"), claims.clone(), "TOKEN_TYPE_WRONG"),
        (header.replace("EdDSA", "none"), claims.clone(), "TOKEN_ALGORITHM_MISMATCH"),
        (header.replace('}', r#","jwk":{}}"#), claims.clone(), "TOKEN_HEADER_UNEXPECTED"),
        (header.replace('}', &format!(r#","kid":"{}"}}"#, key.kid())), claims.clone(), "TOKEN_HEADER_UNEXPECTED"),
        (header.into(), claims.replace('}', r#","x":1}"#), "TOKEN_CLAIM_UNEXPECTED"),
        (header.into(), claims.replace(r#""verifier""#, r#"["verifier"]"#), "TOKEN_CLAIM_MALFORMED"),
        (header.into(), claims.replace(r#""iat":1"#, r#""iat":"1""#), "TOKEN_NOT_JSON"),
    ] {
        assert_eq!(reason(&forged(&header, &claims), NOW_S), expected, "{header} {claims}");
    }
}
