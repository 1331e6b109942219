//! A gateway that states by SM2, as the command line and OpenSSL see it: receipts and recognition tokens verify
//! with both, and what OpenSSL signs is believed here.

use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jjj_tests::both_databases;
use jjj_tests::gateway::{Site, jjj};
use jjj_tests::postgres::TestDatabase;
use jjj_tests::world::{self, Days, HEBEI, done};
use jjj_token::merkle::leaf_hash;
use jjj_token::offline::ReceiptFile;
use serde_json::{Value, json};

both_databases!(what_the_gateway_states_by_sm2_verifies_here_and_by_openssl);

const ID: &str = "distid:1234567812345678";

/// A key of SM2 in a folder, as OpenSSL uses it.
struct Openssl<'a>(&'a Site);

impl Openssl<'_> {
    fn run(&self, args: &[&str]) -> bool {
        let output = Command::new("openssl").args(args).current_dir(self.0.dir()).output();
        output.expect("openssl runs: ./test gets it").status.success()
    }

    fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let files = [("message", message), ("signature", &der(signature)[..])];
        files.iter().for_each(|(name, bytes)| std::fs::write(self.0.dir().join(name), bytes).unwrap());
        let public = ["pkey", "-in", "sm2.pem", "-pubout", "-out", "public.pem"];
        let verify = ["-verify", "-pubin", "-inkey", "public.pem", "-sigfile", "signature", "-pkeyopt", ID];
        self.run(&public)
            && self.run(&[&["pkeyutl", "-rawin", "-digest", "sm3", "-in", "message"][..], &verify[..]].concat())
    }

    /// `R ‖ S`.
    fn sign(&self, message: &[u8]) -> Vec<u8> {
        std::fs::write(self.0.dir().join("message"), message).unwrap();
        let sign = ["-sign", "-inkey", "sm2.pem", "-out", "signature", "-pkeyopt", ID];
        assert!(self.run(&[&["pkeyutl", "-rawin", "-digest", "sm3", "-in", "message"][..], &sign[..]].concat()));
        let der = std::fs::read(self.0.dir().join("signature")).unwrap();
        let integer = |at: usize| {
            let end = at + 2 + usize::from(der[at + 1]);
            let value: Vec<u8> = der[at + 2..end].iter().copied().skip_while(|byte| *byte == 0).collect();
            ([vec![0; 32 - value.len()], value].concat(), end)
        };
        let (r, end) = integer(2);
        [r, integer(end).0].concat()
    }
}

/// `SEQUENCE { INTEGER r, INTEGER s }`.
fn der(signature: &[u8]) -> Vec<u8> {
    let integer = |bytes: &[u8]| {
        let value: Vec<u8> = bytes.iter().copied().skip_while(|byte| *byte == 0).collect();
        let value = if value.first().is_none_or(|byte| byte & 0x80 != 0) { [vec![0], value].concat() } else { value };
        [vec![2, value.len() as u8], value].concat()
    };
    let body = [integer(&signature[..32]), integer(&signature[32..])].concat();
    [vec![0x30, body.len() as u8], body].concat()
}

fn run(args: &[&str]) -> (String, bool) {
    let output = jjj(args);
    let text = String::from_utf8([output.stdout, output.stderr].concat()).expect("UTF-8");
    (text, output.status.success())
}

fn good(args: &[&str]) -> String {
    let (said, ended_well) = run(args);
    assert!(ended_well, "{args:?}: {said}");
    said
}

async fn what_the_gateway_states_by_sm2_verifies_here_and_by_openssl(db: TestDatabase) {
    let site = Site::init(db.url());
    let at = |file: &str| site.dir().join(file).display().to_string();
    let configured = |lines: &str| {
        let config = std::fs::read_to_string(at("jjj.toml")).unwrap();
        std::fs::write(at("jjj.toml"), config.replacen("[keys]\n", &format!("[keys]\n{lines}"), 1)).unwrap();
    };
    configured("sm2 = true\n");
    let kid = good(&["keys", "new", &at("sm2.pem"), "--algorithm", "SM2"]);
    let gateway = site.serve();
    let sandbox = at("");
    let as_li = ["--sandbox", &sandbox, "--as", "gateway/admins/li", "--gateway", &gateway.address];
    let add = ["keys", "add", "gateway", &at("sm2.pem.jwk.json"), "--fingerprint", kid.trim()];
    good(&[&add[..], &as_li].concat());
    assert!(gateway.stop().success());
    configured("sm2_signing = \"sm2.pem\"\nsm2_statements = true\n");
    let kept = good(&["keys", "kept", "--config", &at("jjj.toml")]);
    assert!(kept.contains("keys.sm2_signing") && kept.contains(kid.trim()), "{kept}");

    let gateway = site.serve();
    let hebei = gateway.session(HEBEI);
    let register = done(&hebei, "InstitutionService/RegisterInstitution", world::institution(1)).await;
    let rating = world::rating(register["institution"]["name"].as_str().unwrap(), &Days::now(&hebei));
    let published = done(&hebei, "RatingService/PublishRating", rating).await;
    let record = published["rating"]["name"].as_str().unwrap().to_owned();
    let name = format!("recognitions/{}-110000", record.rsplit('/').next().unwrap());
    let token = done(&hebei, "RecognitionService/GetRecognitionToken", json!({"name": name})).await;
    let list = done(&hebei, "RecognitionService/GetStatusList", json!({"list": "0"})).await;
    let as_hebei = ["--sandbox", &sandbox, "--as", HEBEI, "--gateway", &gateway.address];
    let file = good(&[&["receipt", &record, "1"][..], &as_hebei].concat());
    let vkeys = good(&[&["keys", "gateway"][..], &as_hebei].concat());
    let origin = gateway.origin.clone();
    assert!(gateway.stop().success());
    site.verify();

    // From here on nothing runs. A receipt file, with both keys pinned.
    std::fs::write(at("receipt.json"), &file).unwrap();
    let vkeys: Vec<_> = vkeys.split_whitespace().flat_map(|vkey| ["--gateway-key", vkey]).collect();
    assert_eq!(vkeys.len(), 4, "Ed25519 and SM2");
    let verify = ["verify", "receipt", &at("receipt.json"), "--lang", "en"];
    let said = good(&[&verify[..], &vkeys].concat());
    assert!(said.contains("PROVEN"), "{said}");
    // The SM2 key signed the receipt and the head's second line; the Ed25519 key its first line alone.
    let is_ed25519 = |pin: &[&str]| pin[1].splitn(3, '+').nth(2).is_some_and(|key| key.starts_with('A'));
    let [ed25519, sm2] = [true, false].map(|wanted| vkeys.chunks(2).find(|pin| is_ed25519(pin) == wanted).unwrap());
    assert!(good(&[&verify[..], sm2].concat()).contains("PROVEN"));
    let (said, ended_well) = run(&[&verify[..], ed25519].concat());
    assert!(!ended_well && said.contains("RECEIPT_KEY_UNKNOWN"), "{said}");
    let openssl = Openssl(&site);
    let receipt = ReceiptFile::from_json(file.as_bytes()).unwrap().record.receipt.unwrap();
    let leaf_text = format!(
        "jjj-receipt-v1\n{}\n{}\n{}\n{}\n{}\n",
        receipt.origin,
        receipt.record,
        receipt.version,
        hex::encode(receipt.leaf_hash),
        receipt.log_deadline_us
    );
    assert_eq!((receipt.kid.as_str(), receipt.batch_size), (kid.trim(), 1));
    let message = |leaf: &str| [&b"jjj-receipt-v1\0\0\0\0\0\0\0\0\x01"[..], &leaf_hash(leaf.as_bytes())].concat();
    assert!(openssl.verifies(&message(&leaf_text), &receipt.signature));
    assert!(!openssl.verifies(&message(&leaf_text.replace('1', "2")), &receipt.signature));

    // A recognition token and its status list, by a JWK Set.
    let mut jwk: Value = serde_json::from_slice(&std::fs::read(at("sm2.pem.jwk.json")).unwrap()).unwrap();
    jwk["use"] = "sig".into();
    std::fs::write(at("jwks.json"), json!({"keys": [jwk]}).to_string()).unwrap();
    let token = token["token"].as_str().unwrap();
    std::fs::write(at("status.jwt"), list["token"].as_str().unwrap()).unwrap();
    let check = |token: &str| {
        std::fs::write(at("token.jwt"), token).unwrap();
        let (token, jwks, status) = (at("token.jwt"), at("jwks.json"), at("status.jwt"));
        run(&["recognition", "verify", &token, "--jwks", &jwks, "--issuer", &origin, "--status", &status, "--json"])
    };
    let (said, ended_well) = check(token);
    assert!(ended_well && said.contains("VALID"), "{said}");
    let (input, signature) = token.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    assert!(openssl.verifies(input.as_bytes(), &signature));
    let by_openssl = |input: &str| format!("{input}.{}", URL_SAFE_NO_PAD.encode(openssl.sign(input.as_bytes())));
    let (said, ended_well) = check(&by_openssl(input));
    assert!(ended_well, "{said}");
    // The same bytes under another's signature.
    good(&["keys", "new", &at("other.pem"), "--algorithm", "SM2"]);
    std::fs::rename(at("other.pem"), at("sm2.pem")).unwrap();
    let (said, ended_well) = check(&by_openssl(input));
    assert!(!ended_well && said.contains("TOKEN_SIGNATURE_INVALID"), "{said}");
}
