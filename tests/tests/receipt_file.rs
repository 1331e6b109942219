//! A record proven offline: the file that `jjj receipt` writes, what `jjj verify receipt` says of it, and
//! of every file that was tampered with; `jjj verify --receipts` and a promise that was not kept.

use jjj_tests::both_databases;
use jjj_tests::gateway::{Gateway, Site, jjj};
use jjj_tests::postgres::TestDatabase;
use jjj_tests::world::{self, BEIJING, Days, HEBEI, done};
use jjj_token::SigningKey;
use jjj_token::note::{CosignatureVerifier, NoteVerifier, SignedNote};
use jjj_token::offline::{OfflineError, Pins, Proven, ReceiptFile, RestsOn};
use jjj_token::receipt::{ReceiptBody, sign_receipts};
use serde_json::{Value, json};

both_databases!(a_record_is_proven_by_one_file_and_by_no_other, a_promise_that_the_log_did_not_keep_is_a_fault,);

/// Runs a command to its end; its standard output and whether it ended well.
fn run(args: &[&str]) -> (String, bool) {
    let output = jjj(args);
    let text = String::from_utf8([output.stdout, output.stderr].concat()).expect("UTF-8");
    (text, output.status.success())
}

/// Hebei publishes a rating; its name.
async fn published(gateway: &Gateway) -> String {
    let hebei = gateway.session(HEBEI);
    let register = done(&hebei, "InstitutionService/RegisterInstitution", world::institution(1)).await;
    let institution = register["institution"]["name"].as_str().expect("a name");
    let rating = world::rating(institution, &Days::now(&hebei));
    let answer = done(&hebei, "RatingService/PublishRating", rating).await;
    answer["rating"]["name"].as_str().expect("a name").to_owned()
}

/// The file of a record as one of the sandbox's people gets it.
fn collected(site: &Site, gateway: &Gateway, actor: &str, record: &str) -> ReceiptFile {
    let sandbox = site.dir().display().to_string();
    let args = ["receipt", record, "1", "--sandbox", &sandbox, "--as", actor, "--gateway", &gateway.address];
    let (text, ended_well) = run(&args);
    assert!(ended_well, "{text}");
    ReceiptFile::from_json(text.as_bytes()).expect("a receipt file")
}

fn kid(site: &Site, actor: &str) -> String {
    let dir = site.dir().join("identities").join(actor.replace('/', "-"));
    let pem = std::fs::read_to_string(dir.join("signing-key.pem")).expect("a key");
    SigningKey::from_pkcs8_pem(&pem).expect("a key").kid().to_owned()
}

fn reason(result: Result<Proven, OfflineError>) -> &'static str {
    result.expect_err("it must not be believed").reason()
}

async fn a_record_is_proven_by_one_file_and_by_no_other(db: TestDatabase) {
    let site = Site::init(db.url());
    let gateway = site.serve();
    let record = published(&gateway).await;
    let file = collected(&site, &gateway, HEBEI, &record);
    // Whoever recognizes the rating can prove it as well as its issuer.
    let beijings = collected(&site, &gateway, BEIJING, &record);
    assert_eq!((&beijings.record.leaf, &beijings.record.evidence), (&file.record.leaf, &file.record.evidence));
    let sandbox = site.dir().display().to_string();
    let (vkey, _) = run(&["keys", "gateway", "--sandbox", &sandbox, "--as", HEBEI, "--gateway", &gateway.address]);
    assert!(gateway.stop().success());

    // From here on nothing runs.
    let ours = NoteVerifier::from_vkey(vkey.trim()).expect("a verifier key");
    assert_eq!(
        ours,
        NoteVerifier::new(&file.record.receipt.as_ref().unwrap().origin, site.gateway_key().verifying_key()).unwrap()
    );
    let pins = Pins { gateway: vec![ours.clone()], ..Pins::default() };
    let proven = file.verify(&pins).expect("it is proven");
    assert_eq!((&proven.record, proven.version, proven.author.as_str()), (&record, 1, HEBEI));
    assert!(proven.request_shown && proven.promised_by_us.is_some());
    let li = "gateway/admins/li";
    let links: Vec<_> = proven.keys.iter().map(|link| (link.holder.as_str(), link.rests_on)).collect();
    assert_eq!(links, [(HEBEI, RestsOn::Registration), (li, RestsOn::Founding)]);
    for (pinned, expected) in [
        (kid(&site, HEBEI), vec![(HEBEI, RestsOn::Pinned)]),
        (kid(&site, li), vec![(HEBEI, RestsOn::Registration), (li, RestsOn::Pinned)]),
    ] {
        let proven = file.verify(&Pins { first_keys: vec![pinned], ..pins.clone() }).expect("it is proven");
        let links: Vec<_> = proven.keys.iter().map(|link| (link.holder.as_str(), link.rests_on)).collect();
        assert_eq!(links, expected);
    }

    // A witness's cosignature.
    let witness = SigningKey::from_ed25519_seed(&[3; 32]).unwrap();
    let known = CosignatureVerifier::new("witness.example", witness.verifying_key()).unwrap();
    let mut note = SignedNote::parse(&file.checkpoint).unwrap();
    note.cosign("witness.example", &witness, 1_790_000_000).unwrap();
    let cosigned = ReceiptFile { checkpoint: note.to_string(), ..file.clone() };
    let with_witness = Pins { witnesses: vec![known.clone()], quorum: 1, ..pins.clone() };
    assert_eq!(cosigned.verify(&with_witness).unwrap().witnesses, [("witness.example".to_owned(), 1_790_000_000)]);
    assert_eq!(reason(file.verify(&with_witness)), "RECEIPT_FILE_QUORUM_MISSED");
    let mut false_note = SignedNote::parse(&file.checkpoint).unwrap();
    let mut line = note.signatures().last().unwrap().clone();
    line.signature[7] ^= 1;
    false_note.add(line).unwrap();
    let back_dated = ReceiptFile { checkpoint: false_note.to_string(), ..file.clone() };
    assert_eq!(reason(back_dated.verify(&with_witness)), "NOTE_SIGNATURE_INVALID");

    tampered_files_are_refused(&file, &pins, &site);
    said_in_both_languages(&site, &file, vkey.trim(), &record);
}

fn tampered_files_are_refused(file: &ReceiptFile, pins: &Pins, site: &Site) {
    let stranger = SigningKey::from_ed25519_seed(&[9; 32]).unwrap();
    let strangers = NoteVerifier::new(pins.gateway[0].name(), stranger.verifying_key()).unwrap();
    let pinned_wrongly = Pins { gateway: vec![strangers], ..pins.clone() };
    assert_eq!(reason(file.verify(&pinned_wrongly)), "NOTE_UNSIGNED");
    let other_first_key = Pins { first_keys: vec![kid(site, BEIJING)], ..pins.clone() };
    assert_eq!(reason(file.verify(&other_first_key)), "RECEIPT_FILE_KEY_NOT_PINNED");

    type Tamper = fn(&mut ReceiptFile);
    let table: &[(&str, Tamper, &str)] = &[
        (
            "the grade",
            |f| f.record.leaf = f.record.leaf.replace(r#""native_level":"4""#, r#""native_level":"5""#),
            "PROOF_ROOT_MISMATCH",
        ),
        ("another number", |f| f.record.index += 1, "PROOF_ROOT_MISMATCH"),
        ("a negative number", |f| f.record.index = -1, "PROOF_INDEX_OUT_OF_RANGE"),
        ("a number beyond the log", |f| f.record.index = i64::MAX, "PROOF_INDEX_OUT_OF_RANGE"),
        ("a short proof", |f| f.record.path.truncate(1), "PROOF_TOO_SHORT"),
        ("a long proof", |f| f.record.path.push([0; 32]), "PROOF_TOO_LONG"),
        ("another head", |f| f.checkpoint = f.checkpoint.replacen('\n', "\n1", 1), "NOTE_SIGNATURE_INVALID"),
        ("no head", |f| f.checkpoint.clear(), "NOTE_SIGNATURE_LINE_MALFORMED"),
        (
            "a receipt for another version",
            |f| f.record.receipt.as_mut().unwrap().version = 2,
            "RECEIPT_FILE_RECEIPT_MISMATCH",
        ),
        (
            "a receipt of another gateway",
            |f| f.record.receipt.as_mut().unwrap().origin += "x",
            "RECEIPT_FILE_RECEIPT_MISMATCH",
        ),
        ("a later deadline", |f| f.record.receipt.as_mut().unwrap().log_deadline_us += 1, "RECEIPT_SIGNATURE_INVALID"),
        ("no evidence", |f| f.record.evidence = None, "RECEIPT_FILE_EVIDENCE_MISSING"),
        ("another request", |f| f.record.evidence.as_mut().unwrap().request[3] ^= 1, "RECEIPT_FILE_EVIDENCE_MISMATCH"),
        ("another token", |f| f.record.evidence.as_mut().unwrap().token.push('A'), "RECEIPT_FILE_EVIDENCE_MISMATCH"),
        ("a way to another root", |f| f.record.evidence.as_mut().unwrap().path.push([0; 32]), "PROOF_TOO_LONG"),
        ("no keys", |f| f.keys.clear(), "RECEIPT_FILE_KEY_UNKNOWN"),
        ("the administrator's key left out", |f| f.keys.truncate(1), "RECEIPT_FILE_KEY_UNKNOWN"),
        (
            "another key registered",
            |f| f.keys[0].leaf = f.keys[0].leaf.replacen(r#"\"x\":\""#, r#"\"x\":\"A"#, 1),
            "PROOF_ROOT_MISMATCH",
        ),
        ("a registration that nobody signed", |f| f.keys[0].evidence = None, "RECEIPT_FILE_EVIDENCE_MISSING"),
    ];
    for (name, tamper, expected) in table {
        let mut tampered = file.clone();
        tamper(&mut tampered);
        assert_ne!(tampered, *file, "{name}");
        assert_eq!(reason(tampered.verify(pins)), *expected, "{name}");
    }
    let text = serde_json::to_value(file).unwrap();
    let with = |member: &str, value: Value| {
        let mut text = text.clone();
        text[member] = value;
        ReceiptFile::from_json(text.to_string().as_bytes()).unwrap_err().reason()
    };
    assert_eq!(with("format", json!("jjj-receipt-file-v2")), "RECEIPT_FILE_FORMAT_UNKNOWN");
    assert_eq!(with("note", json!("")), "RECEIPT_FILE_MALFORMED");
    assert_eq!(with("record", json!([])), "RECEIPT_FILE_MALFORMED");
}

fn said_in_both_languages(site: &Site, file: &ReceiptFile, vkey: &str, record: &str) {
    let path = site.dir().join("rating.json");
    std::fs::write(&path, serde_json::to_string(file).unwrap()).unwrap();
    let path = path.display().to_string();
    let first_key = kid(site, HEBEI);
    let check = ["verify", "receipt", &path, "--gateway-key", vkey, "--first-key", &first_key];
    let (zh, ended_well) = run(&check);
    assert!(
        ended_well && zh.contains(&format!("成立：{record} 第 1 版")) && zh.contains("由 regions/130000 签名"),
        "{zh}"
    );
    let (en, ended_well) = run(&[&check[..], &["--lang", "en"]].concat());
    assert!(ended_well && en.contains("PROVEN: ") && en.contains("is one that you pinned"), "{en}");
    let (machine, _) = run(&[&check[..], &["--json"]].concat());
    let machine: Value = serde_json::from_str(&machine).unwrap();
    assert_eq!(machine["proven"]["author"], HEBEI);
    let short = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, &short[..short.len() - 2]).unwrap();
    let (text, ended_well) = run(&[&check[..], &["--lang", "en"]].concat());
    assert!(!ended_well && text.contains("NOT PROVEN: RECEIPT_FILE_MALFORMED"), "{text}");
}

/// The gateway's key promises what its log then lacks: whoever kept the receipt can show it.
async fn a_promise_that_the_log_did_not_keep_is_a_fault(db: TestDatabase) {
    let site = Site::init(db.url());
    let gateway = site.serve();
    let record = published(&gateway).await;
    let file = collected(&site, &gateway, HEBEI, &record);
    let hebei = gateway.session(HEBEI);
    let answer = done(&hebei, "InstitutionService/RegisterInstitution", world::institution(2)).await;
    // The file of `jjj receipt`, an answer as `jjj call` prints it, and the receipt by itself.
    let kept = site.dir().join("receipts");
    std::fs::create_dir(&kept).unwrap();
    let receipt = file.record.receipt.clone().unwrap();
    std::fs::write(kept.join("file.json"), serde_json::to_string(&file).unwrap()).unwrap();
    std::fs::write(kept.join("answer.json"), answer.to_string()).unwrap();
    std::fs::write(kept.join("receipt.json"), serde_json::to_string(&receipt).unwrap()).unwrap();
    assert!(gateway.stop().success());
    let folder = kept.display().to_string();
    let check = ["verify", "--db", site.database_url(), "--receipts", &folder];
    let (text, ended_well) = run(&check);
    assert!(ended_well, "{text}");

    let promise = |log_deadline_us| ReceiptBody { leaf_hash: [7; 32], log_deadline_us, ..receipt.body() };
    let now_us = receipt.log_deadline_us;
    for (name, deadline_us, found) in
        [("past.json", now_us - 10_000_000, true), ("future.json", now_us + 3_600_000_000, false)]
    {
        let broken = sign_receipts(&site.gateway_key(), &receipt.origin, &[promise(deadline_us)]).unwrap();
        std::fs::write(kept.join(name), serde_json::to_string(&broken[0]).unwrap()).unwrap();
        let (text, ended_well) = run(&check);
        assert_eq!(!ended_well, found, "{text}");
        assert_eq!(text.contains("its leaf is not in the log"), found, "{text}");
        std::fs::remove_file(kept.join(name)).unwrap();
    }
    let mut forged = receipt.clone();
    forged.signature[0] ^= 1;
    std::fs::write(kept.join("forged.json"), serde_json::to_string(&forged).unwrap()).unwrap();
    let (text, ended_well) = run(&check);
    assert!(!ended_well && text.contains("forged.json") && text.contains("does not verify"), "{text}");
}
