//! Keys in a PKCS #11 module, SoftHSM here: the gateway, a witness and a participant sign with keys that never
//! leave their token; what is wrong is said at the start, and a token that is gone comes back by itself.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use jjj_tests::both_databases;
use jjj_tests::gateway::{Site, binary, jjj};
use jjj_tests::postgres::TestDatabase;
use jjj_tests::world::{self, BEIJING, HEBEI, done};
use jjj_token::note::NoteVerifier;
use prost::Message as _;
use serde_json::{Value, json};

both_databases!(the_gateway_signs_with_a_key_in_a_module);

const PIN: &str = "24680";

/// A SoftHSM of a test's own, with one token.
struct Tokens {
    folder: PathBuf,
    config: String,
    module: String,
}

impl Tokens {
    fn new(site: &Site) -> Self {
        let module = ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"]
            .into_iter()
            .chain(["/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so", "/usr/lib64/softhsm/libsofthsm2.so"])
            .find(|path| std::path::Path::new(path).exists());
        let folder = site.dir().join("tokens");
        std::fs::create_dir(&folder).unwrap();
        let config = site.dir().join("softhsm2.conf");
        std::fs::write(&config, format!("directories.tokendir = {}\nlog.level = ERROR\n", folder.display())).unwrap();
        let module = module.expect("SoftHSM is installed: ./test gets it").to_owned();
        let tokens = Self { folder, config: config.display().to_string(), module };
        tokens.util(&["--init-token", "--free", "--label", "jjj", "--so-pin", "12345678", "--pin", PIN]);
        site.secret("pin", PIN);
        tokens
    }

    fn util(&self, args: &[&str]) {
        let output = Command::new("softhsm2-util").args(args).env("SOFTHSM2_CONF", &self.config).output();
        let output = output.expect("softhsm2-util runs: ./test gets it");
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// A key of a file, put into the token.
    fn import(&self, file: &str, label: &str, id: &str) {
        self.util(&["--import", file, "--token", "jjj", "--label", label, "--id", id, "--pin", PIN]);
    }

    fn env(&self) -> [(&str, &str); 1] {
        [("SOFTHSM2_CONF", &self.config)]
    }

    /// The URI of a key, its PIN in a file of the sandbox.
    fn uri(&self, key: &str, pin: &str) -> String {
        format!("pkcs11:{key}?module-path={}&pin-source=file:{pin}", self.module)
    }

    fn jjj(&self, args: &[&str]) -> (String, bool) {
        let output = Command::new(binary()).args(args).env("SOFTHSM2_CONF", &self.config).output();
        said(&output.expect("jjj runs"))
    }
}

trait Secrets {
    fn at(&self, file: &str) -> String;
    fn secret(&self, file: &str, text: &str) -> String;
}

impl Secrets for Site {
    fn at(&self, file: &str) -> String {
        self.dir().join(file).display().to_string()
    }

    fn secret(&self, file: &str, text: &str) -> String {
        use std::os::unix::fs::PermissionsExt;
        std::fs::write(self.at(file), text).unwrap();
        std::fs::set_permissions(self.at(file), std::fs::Permissions::from_mode(0o600)).unwrap();
        self.at(file)
    }
}

fn said(output: &Output) -> (String, bool) {
    let text = String::from_utf8([&output.stdout[..], &output.stderr].concat()).expect("UTF-8");
    (text, output.status.success())
}

/// Names another key in the gateway's configuration.
fn configure(site: &Site, signing: &str) {
    let path = site.at("jjj.toml");
    let config = std::fs::read_to_string(&path).unwrap();
    let lines = config.lines().map(|line| match line.starts_with("signing = ") {
        true => format!("signing = {}\n", json!(signing)),
        false => format!("{line}\n"),
    });
    std::fs::write(&path, lines.collect::<String>()).unwrap();
}

async fn the_gateway_signs_with_a_key_in_a_module(db: TestDatabase) {
    let site = Site::init(db.url());
    let tokens = Tokens::new(&site);
    let key = site.gateway_key();
    // What is registered is what the token has from now on, and nobody else.
    tokens.import(&site.at("gateway/signing-key.pem"), "gateway 1", "0a");
    std::fs::remove_file(site.at("gateway/signing-key.pem")).unwrap();
    configure(&site, &tokens.uri("token=jjj;object=gateway%201", "pin"));
    let (kept, good) = tokens.jjj(&["keys", "kept", "--config", &site.at("jjj.toml"), "--json"]);
    assert!(good, "{kept}");
    let kept: Value = serde_json::from_str(&kept).unwrap();
    assert_eq!((&kept[0]["kept"], &kept[0]["kid"]), (&json!("MODULE"), &json!(key.kid())));
    assert_eq!(kept[0]["place"], "pkcs11:token=jjj;object=gateway%201", "neither module nor PIN");

    let gateway = site.serve_with(&[], &tokens.env());
    let register = "InstitutionService/RegisterInstitution";
    let hebei = gateway.session(HEBEI);
    let receipt = |answer: Value| {
        let bytes = jjj_cli::session::encode("Receipt", answer["receipt"].clone()).expect("a receipt");
        let receipt = jjj_wire::pb::Receipt::decode(bytes).expect("a receipt");
        let receipt = jjj_server::receipt::from_wire(receipt).expect("a receipt in its form");
        receipt.verify(key.verifying_key()).expect("the token's key signed it");
    };
    receipt(done(&hebei, register, world::institution(1)).await);
    let list = done(&hebei, "RecognitionService/GetStatusList", json!({"list": "0"})).await;
    assert_eq!(list["kid"], key.kid());

    // Taken out: nothing is recorded, what is known is told, and the gateway stays.
    let away = tokens.folder.with_extension("away");
    std::fs::rename(&tokens.folder, &away).unwrap();
    let mut second = world::institution(2);
    second["request_id"] = hebei.client.request_id().into();
    let refused = hebei.call(register, second.clone()).await.unwrap_err();
    assert_eq!((refused.code.as_str(), refused.reason.as_str()), ("UNAVAILABLE", "GATEWAY_KEY_UNREACHABLE"));
    assert!(!refused.message_zh.is_empty());
    let named = json!({"page_size": 10});
    let known = done(&hebei, "InstitutionService/ListInstitutions", named).await;
    assert_eq!(known["institutions"].as_array().map(Vec::len), Some(1));
    // Put back: the same request goes through, and heads follow.
    std::fs::rename(&away, &tokens.folder).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    let answer = loop {
        match hebei.call(register, second.clone()).await {
            Ok(answer) => break answer,
            Err(error) => assert!(error.reason == "GATEWAY_KEY_UNREACHABLE" && Instant::now() < deadline, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    receipt(answer);
    let log = NoteVerifier::new(&gateway.origin, key.verifying_key()).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    let (mut sealed, mut grown) = (0, 1);
    while sealed < grown {
        assert!(Instant::now() < deadline, "{sealed} of {grown} leaves are sealed");
        tokio::time::sleep(Duration::from_millis(200)).await;
        let answer = done(&gateway.session(BEIJING), "LedgerService/GetCheckpoint", json!({})).await;
        let note = answer["note"].as_str().expect("a note");
        sealed = jjj_token::note::open_checkpoint(note, &log).expect("the token's key signed it").0.size;
        grown = leaves(&site).await;
    }
    assert!(gateway.stop().success());
    let log = site.log();
    assert!(log.contains("a module does not sign") && !log.contains(PIN), "{log}");
    site.verify();
}

async fn leaves(site: &Site) -> u64 {
    let store = jjj_store::Store::open(site.database_url()).await.unwrap();
    let size = store.read().await.unwrap().tree_size().await.unwrap();
    store.close().await;
    size.unsigned_abs()
}

/// What is wrong with a place is said in its own words, and starts nothing. Needs no database of its own kind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_place_starts_nothing() {
    let db = TestDatabase::sqlite();
    let site = Site::init(db.url());
    let tokens = Tokens::new(&site);
    tokens.import(&site.at("gateway/signing-key.pem"), "gateway", "01");
    let other = |name: &str, algorithm: &str| {
        assert!(jjj(&["keys", "new", &site.at(name), "--algorithm", algorithm]).status.success());
        site.at(name)
    };
    tokens.import(&other("p256.pem", "ES256"), "p256", "02");
    tokens.import(&other("another.pem", "EdDSA"), "another", "03");
    let rsa = Command::new("openssl").args(["genpkey", "-algorithm", "RSA", "-out", &site.at("rsa.pem")]).output();
    assert!(rsa.unwrap().status.success());
    tokens.import(&site.at("rsa.pem"), "rsa", "04");
    site.secret("wrong-pin", "13579");
    std::fs::write(site.at("open-pin"), PIN).unwrap();

    let good = tokens.uri("token=jjj;object=gateway", "pin");
    for (signing, problem) in [
        (tokens.uri("token=jjj;object=gateway", "wrong-pin"), "the token refuses the PIN in"),
        (tokens.uri("token=jjj;object=gateway", "open-pin"), "it must be 0600"),
        (tokens.uri("token=jjj;object=gateway", "no-pin"), "No such file"),
        (tokens.uri("token=jjj;object=nobody", "pin"), "the token has no such private key"),
        (tokens.uri("token=jjj;id=%01;object=p256", "pin"), "the token has no such private key"),
        (tokens.uri("token=other;object=gateway", "pin"), "the module has no such token"),
        (tokens.uri("slot-id=7;object=gateway", "pin"), "the module has no such token"),
        (good.replace("libsofthsm2", "libnone"), "the module /"),
        (good.replace(&tokens.module, &site.at("jjj.toml")), "the module /"),
        (tokens.uri("token=jjj;object=rsa", "pin"), "neither an Ed25519 nor a P-256 key"),
        (tokens.uri("token=jjj;object=p256", "pin"), "must be an Ed25519 key"),
        (tokens.uri("token=jjj;object=another", "pin"), "is not registered as one of the gateway's in force"),
        (format!("{good}&pin-value={PIN}"), "must not hold the PIN"),
    ] {
        configure(&site, &signing);
        let (said, started) = tokens.jjj(&["serve", "--config", &site.at("jjj.toml")]);
        assert!(!started && said.contains(problem), "{signing}: {said}");
        assert!(!said.contains(PIN) && !said.contains("13579"), "{said}");
    }
    // Nor does a command line repeat it.
    let (said, shown) = tokens.jjj(&["keys", "kept", &format!("{good}&pin-value={PIN}")]);
    assert!(!shown && said.contains("must not hold the PIN") && !said.contains(PIN), "{said}");
    // After all of that the right one starts: the token was not locked.
    configure(&site, &good);
    assert!(site.serve_with(&[], &tokens.env()).stop().success());
}

/// Made in the token by `jjj keys new`: a participant's request tokens, a witness's verifier key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_made_in_a_module_and_sign_from_there() {
    let db = TestDatabase::sqlite();
    let site = Site::init(db.url());
    let tokens = Tokens::new(&site);
    let pin = site.at("pin");
    let gateway = site.serve();
    let sandbox = site.dir().display().to_string();
    let as_hebei = ["--sandbox", &sandbox, "--as", HEBEI, "--gateway", &gateway.address];
    for algorithm in ["EdDSA", "ES256"] {
        let (uri, public) =
            (tokens.uri(&format!("object=hebei-{algorithm}"), &pin), site.at(&format!("{algorithm}.jwk")));
        let make = ["keys", "new", &uri, "--algorithm", algorithm, "--public", &public];
        let (kid, good) = tokens.jjj(&make);
        assert!(good, "{kid}");
        let add = ["keys", "add", HEBEI, &public, "--fingerprint", kid.trim()];
        let (said, good) = tokens.jjj(&[&add[..], &as_hebei].concat());
        assert!(good, "{said}");
        let (said, good) = tokens.jjj(&make);
        assert!(!good && said.contains("File exists"), "{said}");
        let elsewhere = site.at("elsewhere.jwk");
        let (said, good) = tokens.jjj(&["keys", "new", &uri, "--algorithm", algorithm, "--public", &elsewhere]);
        assert!(!good && said.contains("there is such a key already"), "{said}");
        assert!(!std::path::Path::new(&elsewhere).exists());
        let list = ["keys", "list", "--json", "--signing-key", &uri];
        let (said, good) = tokens.jjj(&[&list[..], &as_hebei].concat());
        assert!(good && said.contains(kid.trim()), "{said}");
        // Where it is kept is told, and its public half, as when it was made.
        let (kept, good) = tokens.jjj(&["keys", "kept", &uri, "--json"]);
        let kept: Value = serde_json::from_str(&kept).unwrap_or_else(|e| panic!("{good} {e}: {kept}"));
        assert_eq!((&kept[0]["kept"], &kept[0]["algorithm"]), (&json!("MODULE"), &json!(algorithm)));
        assert_eq!(kept[0]["jwk"].as_str().unwrap(), std::fs::read_to_string(&public).unwrap());
    }
    assert!(gateway.stop().success());
    let sm2 = ["keys", "new", &tokens.uri("object=sm2", &pin), "--algorithm", "SM2", "--public", &site.at("sm2.jwk")];
    let (said, good) = tokens.jjj(&sm2);
    assert!(!good && said.contains("PKCS #11 has no mechanism of SM2"), "{said}");
    let witness = ["witness", "key", "--name", "witness.test", "--key", &tokens.uri("object=hebei-EdDSA", &pin)];
    let (vkey, good) = tokens.jjj(&witness);
    assert!(good, "{vkey}");
    let jwk = std::fs::read(site.at("EdDSA.jwk")).unwrap();
    let key = jjj_token::VerifyingKey::from_jwk(&jjj_token::Jwk::from_json(&jwk).unwrap()).unwrap();
    let verifier = jjj_token::note::CosignatureVerifier::new("witness.test", &key).unwrap();
    assert_eq!(vkey.trim(), verifier.vkey());
    site.verify();
}
