//! A recognition as an SD-JWT at the command line: a region fetches it, its holder shows a part of it, and
//! somebody without a connection checks what is shown.

use std::process::Command;
use std::time::Duration;

use jjj_tests::gateway::{Site, binary};
use jjj_tests::postgres::TestDatabase;
use jjj_tests::world::{HEBEI, Systems, World, done};
use serde_json::{Value, json};

/// Whether it ended well, and what it printed.
fn jjj(site: &Site, args: &[&str]) -> (bool, String) {
    let mut command = Command::new(binary());
    command.args(args).env("JJJ_SANDBOX", site.dir()).env("JJJ_AS", HEBEI).env("RUST_BACKTRACE", "0");
    let output = command.output().expect("jjj runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout) + &text(&output.stderr))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn issued_presented_verified() {
    let database = TestDatabase::sqlite();
    let site = Site::init(database.url());
    let gateway = site.serve();
    let systems = Systems::of(&gateway);
    let world = World::build(&systems, 1, 1).await;
    let decide = |verdict| json!({"record": world.assessments[0], "verdict": verdict, "reason": "在冀入住"});
    let hebei = gateway.session(HEBEI);
    let recognized = done(&hebei, "RecognitionService/DecideRecognition", decide("RECOGNITION_VERDICT_ACCEPT")).await;
    let name = recognized["recognition"]["name"].as_str().unwrap();

    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let write = |name: &str, text: &str| std::fs::write(path(name), text).unwrap();
    let good = |args: &[&str]| {
        let (ended_well, said) = jjj(&site, args);
        assert!(ended_well, "{args:?}: {said}");
        said
    };
    let mut jwk: Value = serde_json::from_str(&site.gateway_key().public_jwk().to_json()).unwrap();
    jwk["use"] = "sig".into();
    write("jwks.json", &json!({"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB"}, jwk]}).to_string());

    good(&["keys", "new", &path("holder.pem"), "--algorithm", "ES256"]);
    let (issued, shown) = (path("issued.sd"), path("shown.sd"));
    let at = gateway.address.as_str();
    let holder = path("holder.pem.jwk.json");
    good(&["recognition", "issue", name, "--gateway", at, "--holder", &holder, "--out", &issued]);
    let (aud, nonce) = ("https://canteen.example", "n-0123456789");
    let present = ["recognition", "present", &issued, "--show", "mobility", "--out", &shown];
    let by_key = ["--key", &path("holder.pem"), "--aud", aud, "--nonce", nonce];
    good(&[&present[..], &by_key].concat());
    let unbound = ["recognition", "present", &issued, "--aud", aud, "--nonce", nonce, "--out", &path("unbound.sd")];
    let (ended_well, said) = jjj(&site, &unbound);
    assert!(!ended_well && said.contains("--key") && !std::path::Path::new(&path("unbound.sd")).exists(), "{said}");
    let (ended_well, said) = jjj(&site, &["recognition", "present", &issued, "--show", "wealth"]);
    assert!(!ended_well && said.contains("mental_state, mobility, perception_social, self_care, subject"), "{said}");
    let (ended_well, said) = jjj(&site, &["recognition", "present", &shown]);
    assert!(!ended_well && said.contains("SD_JWT_BOUND_ALREADY"), "{said}");

    let list = async || {
        let list = done(&hebei, "RecognitionService/GetStatusList", json!({"list": "0"})).await;
        write("status.jwt", list["token"].as_str().unwrap());
    };
    list().await;
    let (jwks, status) = (path("jwks.json"), path("status.jwt"));
    let verify = |file: &str, more: &[&str]| {
        let args = ["recognition", "verify", file, "--jwks", &jwks, "--issuer", &gateway.origin, "--lang", "en"];
        jjj(&site, &[&args[..], more].concat())
    };
    let asked = ["--aud", aud, "--nonce", nonce, "--status", &status];
    let (ended_well, said) = verify(&shown, &[&asked[..], &["--json"]].concat());
    assert!(ended_well, "{said}");
    let stated: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&stated["status"], &stated["bound"]), (&json!("VALID"), &json!(true)));
    let rec = stated["claims"]["rec"].as_object().unwrap();
    assert_eq!(rec["scores"].as_object().unwrap().keys().collect::<Vec<_>>(), ["mobility"]);
    assert!(!rec.contains_key("subject") && !said.contains(&world.elders[0]), "{said}");
    let (ended_well, said) = verify(&shown, &asked);
    assert!(ended_well, "{said}");
    for told in ["regions/130000 recognizes the ASSESSMENT", "About whom is not shown.", "mobility: ", "Status: VALID."]
    {
        assert!(said.contains(told), "{told}: {said}");
    }
    let (ended_well, said) = verify(&issued, &[]);
    assert!(ended_well && said.contains(&world.elders[0]) && said.contains("was not checked"), "{said}");

    // The same command reads recognition tokens.
    let token = done(&hebei, "RecognitionService/GetRecognitionToken", json!({"name": name})).await;
    write("token.jwt", token["token"].as_str().unwrap());
    let (ended_well, said) = verify(&path("token.jwt"), &["--status", &status]);
    assert!(ended_well && said.contains("Status: VALID."), "{said}");

    for (file, more, reason) in [
        (&shown, vec!["--aud", aud, "--nonce", "another"], "SD_JWT_BINDING_NONCE_MISMATCH"),
        (&issued, vec!["--aud", aud, "--nonce", nonce], "SD_JWT_BINDING_MISSING"),
        (&path("token.jwt"), vec!["--aud", aud, "--nonce", nonce], "SD_JWT_FORM"),
        (&issued, vec!["--at", "2099-01-01T00:00:00Z"], "TOKEN_EXPIRED"),
        (&issued, vec!["--status", &jwks], "TOKEN_NOT_COMPACT"),
        (&jwks, vec![], "TOKEN_NOT_COMPACT"),
    ] {
        let (ended_well, said) = verify(file, &more);
        assert!(!ended_well && said.contains(reason), "{reason}: {said}");
    }

    done(&hebei, "RecognitionService/DecideRecognition", decide("RECOGNITION_VERDICT_SUSPEND")).await;
    // Lists are kept for five seconds.
    tokio::time::sleep(Duration::from_secs(6)).await;
    list().await;
    let (ended_well, said) = verify(&shown, &asked);
    assert!(!ended_well && said.contains("Status: SUSPENDED."), "{said}");
    let (ended_well, said) = jjj(&site, &["recognition", "issue", name, "--gateway", at]);
    assert!(!ended_well && said.contains("NOT_RECOGNIZED"), "{said}");
    assert!(gateway.stop().success());
    site.verify();
}
