//! Recognition tokens, status lists and key sets against a JOSE library that nobody here wrote: theirs
//! read ours, ours reads theirs. (PyJWT does so against a running gateway, `foreign_client`.)

use std::path::Path;
use std::process::Command;

use jjj_tests::gateway::workspace;
use jjj_token::recognition::{RecognitionClaims, Recognized, Status, sign_recognition, verify_recognition};
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

/// The folder with jose, fetched where it is not there yet.
fn jose() -> std::path::PathBuf {
    let folder = workspace().join("tests/js");
    let lock = std::fs::File::create(std::env::temp_dir().join("jjj-test-js.lock")).expect("a lock file");
    lock.lock().expect("a lock");
    if !folder.join("node_modules/jose").exists() {
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
    for algorithm in Algorithm::ALL {
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
