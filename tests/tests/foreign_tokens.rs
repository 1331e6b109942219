//! Recognition tokens, status lists and key sets against a JOSE library that nobody here wrote: theirs
//! read ours, ours reads theirs. (PyJWT does so against a running gateway, `foreign_client`.) SD-JWTs
//! (RFC 9901) likewise, with one library of JavaScript and one of Python.

use std::path::Path;
use std::process::Command;

use jjj_tests::gateway::workspace;
use jjj_tests::python::python;
use jjj_token::recognition::{RecognitionClaims, Recognized, Status, sign_recognition, verify_recognition};
use jjj_token::sd_jwt::{Challenge, bind};
use jjj_token::sd_recognition::{present_sd_recognition, sign_sd_recognition, verify_sd_recognition};
use jjj_token::status_list::{
    StatusList, StatusListClaims, TokenStatus, sign_status_list, status_of, status_place, verify_status_list,
};
use jjj_token::{Algorithm, Jwk, SigningKey, VerifyingKey};
use serde_json::{Value, json};

const NOW_S: i64 = 1_790_000_010;

fn claims() -> RecognitionClaims {
    let text = String::from;
    RecognitionClaims {
        iss: text("gateway.test"),
        sub: text("recognitions/r-110000"),
        iat: 1_790_000_000,
        nbf: 1_790_000_000,
        exp: 1_890_000_000,
        rec: Recognized {
            record: text("ratings/r"),
            version: 1,
            kind: text("RATING"),
            issuer: text("regions/130000"),
            recognizer: text("regions/110000"),
            subject: text("institutions/52131082XXXX00043X"),
            scheme: text("GB_T_37276"),
            native: text("4"),
            recognized: text("4"),
            quality: text("EXACT"),
        },
        status: Status { status_list: status_place("https://gateway.test", 1_000_006) },
    }
}

/// The folder with jose and @sd-jwt/core, fetched where it is not there yet.
fn jose() -> std::path::PathBuf {
    let folder = workspace().join("tests/js");
    let lock = std::fs::File::create(std::env::temp_dir().join("jjj-test-js.lock")).expect("a lock file");
    lock.lock().expect("a lock");
    if !folder.join("node_modules/@sd-jwt/core").exists() {
        let npm =
            Command::new("npm").args(["install", "--no-audit", "--no-fund", "--silent"]).current_dir(&folder).status();
        assert!(npm.is_ok_and(|status| status.success()), "npm install in tests/js: is npm installed?");
    }
    folder
}

#[test]
fn jose_reads_ours_and_ours_reads_jose() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let mut list = StatusList::new();
    list.set(1_000_006, TokenStatus::Valid);
    list.set(1_000_007, TokenStatus::Suspended);
    let status = StatusListClaims {
        sub: claims().status.status_list.uri,
        iat: 1_790_000_000,
        exp: 1_790_000_060,
        ttl: 55,
        status_list: list.encode(),
    };
    for algorithm in Algorithm::JOSE {
        let key = SigningKey::from_pkcs8_pem(&SigningKey::generate_pkcs8_pem(algorithm).unwrap()).unwrap();
        // As the public listener serves it.
        let mut jwk: Value = serde_json::from_str(&key.public_jwk().to_json()).unwrap();
        jwk["kid"] = key.kid().into();
        jwk["alg"] = algorithm.jose_name().into();
        jwk["use"] = "sig".into();
        write("jwks.json", &json!({ "keys": [jwk] }).to_string());
        write("token.jwt", &sign_recognition(&key, &claims()).unwrap());
        write("status.jwt", &sign_status_list(&key, &status).unwrap());
        let output =
            Command::new("node").arg(jose().join("tokens.mjs")).arg(folder.path()).output().expect("node runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        made_by_jose(folder.path());
    }
}

fn made_by_jose(folder: &Path) {
    let made: Vec<Value> = serde_json::from_slice(&std::fs::read(folder.join("foreign.json")).unwrap()).unwrap();
    assert_eq!(made.len(), 2, "EdDSA and ES256");
    for made in made {
        let jwk = Jwk::from_json(made["jwk"].to_string().as_bytes()).unwrap();
        let key = VerifyingKey::from_jwk(&jwk).unwrap();
        let token = verify_recognition(made["token"].as_str().unwrap(), &key, "gateway.test", NOW_S).unwrap();
        assert_eq!(token, claims());
        let place = &token.status.status_list;
        let (claims, list) = verify_status_list(made["status"].as_str().unwrap(), &key, &place.uri, NOW_S).unwrap();
        assert_eq!(status_of(&claims, &list, place), Ok(TokenStatus::Valid));
        assert_eq!(list.get(place.idx + 1), Some(TokenStatus::Suspended));
        assert_eq!(list.get(place.idx + 2), Some(TokenStatus::Invalid));
    }
}

const SCORES: [(&str, i64); 4] = [("self_care", 12), ("mobility", 7), ("mental_state", 9), ("perception_social", 3)];
const ASKED: Challenge<'static> = Challenge { aud: "https://canteen.example", nonce: "n-0123456789" };

/// An assessment, with scores to keep back.
fn assessment() -> RecognitionClaims {
    let rec = Recognized {
        record: "assessments/a".into(),
        kind: "ASSESSMENT".into(),
        subject: "elders/e".into(),
        scheme: "GB_T_42195_2022".into(),
        native: "3".into(),
        recognized: "3".into(),
        ..claims().rec
    };
    RecognitionClaims { rec, ..claims() }
}

#[test]
fn sd_jwt_js_reads_ours_and_ours_reads_it() {
    let script = jose().join("sd_jwt.mjs");
    sd_jwts_both_ways(|folder| Command::new("node").arg(&script).arg(folder).output().expect("node runs"));
}

#[test]
fn sd_jwt_python_reads_ours_and_ours_reads_it() {
    let (python, script) = (python(), workspace().join("tests/python/sd_jwt_recognition.py"));
    sd_jwts_both_ways(|folder| {
        let mut command = Command::new(&python);
        command.arg(&script).arg(folder).env("PYTHONDONTWRITEBYTECODE", "1").output().expect("python runs")
    });
}

fn sd_jwts_both_ways(foreign: impl Fn(&Path) -> std::process::Output) {
    let folder = tempfile::tempdir().unwrap();
    let new = |algorithm| SigningKey::from_pkcs8_pem(&SigningKey::generate_pkcs8_pem(algorithm).unwrap()).unwrap();
    for (of_key, of_holder) in [(Algorithm::EdDsa, Algorithm::Es256), (Algorithm::Es256, Algorithm::EdDsa)] {
        let (key, holder) = (new(of_key), new(of_holder));
        let mut salt = 0;
        let salts = || {
            salt += 1;
            [salt; 16]
        };
        let issued = sign_sd_recognition(&key, &assessment(), &SCORES, Some(holder.public_jwk()), salts).unwrap();
        let shown = present_sd_recognition(&issued, |pointer| pointer == "/rec/subject").unwrap();
        let given = json!({
            "now_s": NOW_S, "aud": ASKED.aud, "nonce": ASKED.nonce, "holder": of_holder.jose_name(), "issued": issued,
            "jwk": serde_json::from_str::<Value>(&key.public_jwk().to_json()).unwrap(),
            "nothing": present_sd_recognition(&issued, |_| false).unwrap(),
            "bound": bind(&shown, &holder, &ASKED, NOW_S).unwrap(),
        });
        std::fs::write(folder.path().join("sd.json"), given.to_string()).unwrap();
        let output = foreign(folder.path());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        foreign_sd_jwts(folder.path());
    }
}

fn foreign_sd_jwts(folder: &Path) {
    let made: Vec<Value> = serde_json::from_slice(&std::fs::read(folder.join("foreign_sd.json")).unwrap()).unwrap();
    assert_eq!(made.len(), 2, "EdDSA and ES256");
    for made in made {
        let jwk = Jwk::from_json(made["jwk"].to_string().as_bytes()).unwrap();
        let key = VerifyingKey::from_jwk(&jwk).unwrap();
        let read = |member: &str, now_s, asked| {
            verify_sd_recognition(made[member].as_str().unwrap(), &key, "gateway.test", now_s, asked)
        };
        let whole = read("issued", NOW_S, None).unwrap();
        assert_eq!(whole.rec.scores, SCORES.map(|(name, score)| (name.to_owned(), score)).into());
        assert_eq!((whole.sub, whole.rec.subject), (assessment().sub, Some("elders/e".into())));
        // The Python library binds by its own clock.
        let text = made["presented"].as_str().unwrap();
        let iat = bound_at(text);
        let presented = read("presented", NOW_S, None).unwrap();
        assert_eq!((presented.rec.subject, presented.rec.scores), (None, [("mobility".to_owned(), 7)].into()));
        read("presented", iat, Some(&ASKED)).unwrap();
        let other = read("presented", iat, Some(&Challenge { nonce: "another", ..ASKED }));
        assert_eq!(other.unwrap_err().reason(), "SD_JWT_BINDING_NONCE_MISMATCH");
    }
}

/// When a holder signed, as they say.
fn bound_at(presentation: &str) -> i64 {
    use base64::Engine;
    let claims = presentation.rsplit_once('~').unwrap().1.split('.').nth(1).unwrap();
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(claims).unwrap();
    serde_json::from_slice::<Value>(&claims).unwrap()["iat"].as_i64().unwrap()
}
