//! Seeded mutations against every decoder of `jjj-token`: none panics, and none believes what was not
//! signed. Twenty thousand of each in `./test`, ten million in `./campaign`, which compiles for speed.

#[path = "../../../tests/src/campaign.rs"]
mod campaign;

use std::time::Instant;

use campaign::{executions, seed};
use fastrand::Rng;
use jjj_token::confirmation::{ConfirmationClaims, sign_confirmation, verify_confirmation};
use jjj_token::note::{
    Checkpoint, CosignatureVerifier, NoteSignature, NoteVerifier, SignedNote, open_checkpoint, sign_checkpoint,
};
use jjj_token::offline::{Entry, FORMAT, Pins, ReceiptFile};
use jjj_token::receipt::{Receipt, ReceiptBody, sign_receipts};
use jjj_token::recognition::{RecognitionClaims, Recognized, Status, sign_recognition, verify_recognition};
use jjj_token::request::{Confirmation, RequestClaims, sign_request, verify_evidence};
use jjj_token::sd_jwt::{Challenge, bind};
use jjj_token::sd_recognition::{present_sd_recognition, sign_sd_recognition, verify_sd_recognition};
use jjj_token::status_list::{
    EncodedList, StatusList, StatusListClaims, TokenStatus, sign_status_list, status_place, verify_status_list,
};
use jjj_token::{Jwk, SigningKey, VerifyingKey, merkle};

const NOW_S: i64 = 1_790_000_000;
const ORIGIN: &str = "gateway.test";

fn key() -> SigningKey {
    SigningKey::from_ed25519_seed(&[7; 32]).unwrap()
}

/// Mutates `good` again and again; `believed` says whether the decoder believes a text, and must not say
/// so of anything that means something else than `good`.
fn fuzz(name: &str, good: &str, believed: impl Fn(&str) -> bool) {
    assert!(believed(good), "{name}: the original");
    let mut random = Rng::with_seed(seed() ^ name.len() as u64);
    again_and_again(name, || {
        let bytes = mutated(good.as_bytes(), &mut random);
        let Ok(text) = String::from_utf8(bytes) else { return };
        if text != good && believed(&text) {
            panic!("{name}: believed {text:?}");
        }
    });
}

/// As often as the tier wants, and says how fast.
fn again_and_again(name: &str, mut execute: impl FnMut()) {
    let (executions, begun) = (executions(20_000), Instant::now());
    (0..executions).for_each(|_| execute());
    let seconds = begun.elapsed().as_secs_f64();
    println!("{name}: {executions} executions in {seconds:.0} s ({:.0} a second)", executions as f64 / seconds);
}

/// One to four small changes.
fn mutated(good: &[u8], random: &mut Rng) -> Vec<u8> {
    const SPECIAL: &[u8] = b"\0\n\r \".,:;{}[]\\/=-_+0129aAzZ\xe2\x80\x94\xff";
    let mut bytes = good.to_vec();
    for _ in 0..random.usize(1..=4) {
        let at = random.usize(..=bytes.len());
        let len = random.usize(..16).min(bytes.len() - at);
        match random.u8(..7) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.u8(..7),
            1 if at < bytes.len() => bytes[at] = SPECIAL[random.usize(..SPECIAL.len())],
            2 => bytes.insert(at, SPECIAL[random.usize(..SPECIAL.len())]),
            3 => drop(bytes.drain(at..at + len)),
            4 => {
                let piece = bytes[at..at + len].to_vec();
                let to = random.usize(..=bytes.len());
                bytes.splice(to..to, piece);
            }
            5 => bytes.truncate(at),
            _ => bytes[at..at + len].reverse(),
        }
    }
    bytes
}

#[test]
fn request_tokens() {
    let root = merkle::leaf_hash(b"message");
    let claims = RequestClaims {
        iss: "regions/110000".into(),
        aud: ORIGIN.into(),
        iat: NOW_S,
        exp: NOW_S + 120,
        jti: "0123456789abcdef".into(),
        path: "/jjj.gateway.v1.RatingService/PublishRating".into(),
        cnf: Confirmation { certificate_sha256: [1; 32] },
        root: Some(root),
    };
    let key = key();
    let token = sign_request(&key, &claims).unwrap();
    fuzz("request token", &token, |text| verify_evidence(text, key.verifying_key(), &root).is_ok());
}

fn recognition() -> RecognitionClaims {
    RecognitionClaims {
        iss: ORIGIN.into(),
        sub: "recognitions/r-110000".into(),
        iat: NOW_S,
        nbf: NOW_S,
        exp: NOW_S + 1_000,
        rec: Recognized {
            record: "ratings/r".into(),
            version: 1,
            kind: "RATING".into(),
            issuer: "regions/130000".into(),
            recognizer: "regions/110000".into(),
            subject: "institutions/52131082XXXX00043X".into(),
            scheme: "GB_T_37276".into(),
            native: "4".into(),
            recognized: "4".into(),
            quality: "EXACT".into(),
        },
        status: Status { status_list: status_place("https://gateway.test", 7) },
    }
}

#[test]
fn recognition_tokens() {
    let key = key();
    let token = sign_recognition(&key, &recognition()).unwrap();
    fuzz("recognition token", &token, |text| verify_recognition(text, key.verifying_key(), ORIGIN, NOW_S).is_ok());
}

const ASKED: Challenge<'static> = Challenge { aud: "canteen", nonce: "n-1" };

fn sd_recognition() -> String {
    let key = key();
    let scores = [("self_care", 12), ("mobility", 7)];
    sign_sd_recognition(&key, &recognition(), &scores, Some(key.public_jwk()), || [1; 16]).unwrap()
}

/// Disclosures may be left out, or come in another order: then less is believed, never anything else.
#[test]
fn sd_recognitions() {
    let key = key();
    let verify = |text: &str| verify_sd_recognition(text, key.verifying_key(), ORIGIN, NOW_S, None);
    let good = sd_recognition();
    let whole = verify(&good).unwrap();
    fuzz("SD-JWT", &good, |text| {
        let _ = present_sd_recognition(text, |_| true);
        let Ok(mut read) = verify(text) else { return false };
        assert!(read.rec.scores.iter().all(|score| whole.rec.scores.iter().any(|known| known == score)), "{text:?}");
        assert!(read.rec.subject.is_none() || read.rec.subject == whole.rec.subject, "{text:?}");
        read.rec = jjj_token::sd_recognition::SdRecognized {
            subject: whole.rec.subject.clone(),
            scores: whole.rec.scores.clone(),
            ..read.rec
        };
        assert_eq!(read, whole, "believed {text:?}");
        text == good
    });
}

/// What a holder bound is believed as it was bound.
#[test]
fn sd_presentations() {
    let key = key();
    let shown = present_sd_recognition(&sd_recognition(), |pointer| pointer != "/rec/subject").unwrap();
    let bound = bind(&shown, &key, &ASKED, NOW_S).unwrap();
    fuzz("SD-JWT with key binding", &bound, |text| {
        verify_sd_recognition(text, key.verifying_key(), ORIGIN, NOW_S, Some(&ASKED)).is_ok()
    });
}

#[test]
fn status_lists() {
    let key = key();
    let mut list = StatusList::new();
    (0..64).for_each(|idx| list.set(idx * 7, TokenStatus::Valid));
    let uri = "https://gateway.test/status/0";
    let status_list = list.encode();
    let claims = StatusListClaims { sub: uri.into(), iat: NOW_S, exp: NOW_S + 60, ttl: 55, status_list };
    let token = sign_status_list(&key, &claims).unwrap();
    fuzz("status list", &token, |text| verify_status_list(text, key.verifying_key(), uri, NOW_S).is_ok());
}

/// The compressed form by itself: what is not signed may mean anything, and must not panic or grow.
#[test]
fn compressed_lists() {
    let mut list = StatusList::new();
    (0..64).for_each(|idx| list.set(idx * 7, TokenStatus::Valid));
    let good = list.encode();
    let mut random = Rng::with_seed(seed());
    again_and_again("compressed list", || {
        let lst = String::from_utf8_lossy(&mutated(good.lst.as_bytes(), &mut random)).into_owned();
        if let Ok(read) = StatusList::decode(&EncodedList { bits: 1 << random.u8(..4), lst }) {
            assert_eq!(read.get(8 << 20), None, "no list is longer than a mebibyte");
        }
    });
}

#[test]
fn confirmations() {
    let key = key();
    let claims = ConfirmationClaims {
        iss: "gateway/admins/li".into(),
        aud: ORIGIN.into(),
        sub: "regions/110000".into(),
        fingerprint: key.kid().into(),
        iat: NOW_S,
    };
    let statement = sign_confirmation(&key, &claims).unwrap();
    fuzz("confirmation", &statement, |text| verify_confirmation(text, key.verifying_key()).is_ok());
}

fn receipt() -> Receipt {
    let body = |n: u8| ReceiptBody {
        record: format!("ratings/{n}"),
        version: 1,
        leaf_hash: [n; 32],
        log_deadline_us: NOW_S * 1_000_000,
    };
    sign_receipts(&key(), ORIGIN, &[body(0), body(1), body(2)]).unwrap().remove(1)
}

/// Spaces between a receipt's members do not change it.
#[test]
fn receipts() {
    let (key, good) = (key(), receipt());
    fuzz("receipt", &serde_json::to_string(&good).unwrap(), |text| {
        let read = Receipt::from_json(text.as_bytes());
        let verified = read.as_ref().is_ok_and(|read| read.verify(key.verifying_key()).is_ok());
        assert!(!verified || read.as_ref() == Ok(&good), "believed {text:?}");
        verified && read.as_ref() != Ok(&good) || text == serde_json::to_string(&good).unwrap()
    });
}

fn checkpoint(root: merkle::Hash) -> String {
    let head = Checkpoint { origin: ORIGIN.into(), size: 1, root, extensions: Vec::new() };
    let mut note = sign_checkpoint(&key(), &head).unwrap();
    note.cosign("witness.test", &key(), NOW_S as u64).unwrap();
    note.to_string()
}

/// Lines of unknown keys may stand under a head; the head and the known lines are as they were.
#[test]
fn checkpoints() {
    let key = key();
    let log = NoteVerifier::new(ORIGIN, key.verifying_key()).unwrap();
    let witness = CosignatureVerifier::new("witness.test", key.verifying_key()).unwrap();
    let good = checkpoint([5; 32]);
    let head = SignedNote::parse(&good).unwrap().text().to_owned();
    fuzz("checkpoint", &good, |text| {
        let opened = open_checkpoint(text, &log);
        let Ok((_, note)) = opened else { return false };
        assert_eq!(note.text(), head, "believed {text:?}");
        assert!(note.cosigned_by(&witness).is_ok_and(|at| at == NOW_S as u64) || note.cosigned_by(&witness).is_err());
        text == good
    });
}

#[test]
fn public_keys() {
    let key = key();
    let good = key.public_jwk().to_json();
    fuzz("JWK", &good, |text| {
        let read = Jwk::from_json(text.as_bytes()).and_then(|jwk| VerifyingKey::from_jwk(&jwk));
        // Another key is another key: only its name must follow from it.
        read.is_ok_and(|read| read.kid() == key.kid() && read.jwk() != key.public_jwk()) || text == good
    });
}

#[test]
fn verifier_keys() {
    let key = key();
    let vkey = NoteVerifier::new(ORIGIN, key.verifying_key()).unwrap().vkey();
    fuzz("verifier key", &vkey, |text| NoteVerifier::from_vkey(text).is_ok());
}

#[test]
fn cosigner_keys() {
    let key = key();
    let cosigner = CosignatureVerifier::new(ORIGIN, key.verifying_key()).unwrap().vkey();
    fuzz("cosigner key", &cosigner, |text| CosignatureVerifier::from_vkey(text).is_ok());
}

#[test]
fn signature_lines() {
    let line = SignedNote::parse(&checkpoint([5; 32])).unwrap().signatures()[1].to_string();
    fuzz("signature line", &line, |text| {
        // Another line is another line: only its text must be its own.
        NoteSignature::parse(text).is_ok_and(|read| read.to_string() != text) || text == line
    });
}

#[test]
fn private_keys() {
    let pem = SigningKey::generate_pkcs8_pem(jjj_token::Algorithm::EdDsa).unwrap();
    let kid = SigningKey::from_pkcs8_pem(&pem).unwrap().kid().to_owned();
    fuzz("private key", &pem, |text| {
        // What is around the block is nobody's.
        let _ = SigningKey::from_pkcs8_pem(text).map(|read| read.kid() == kid);
        text == *pem
    });
}

#[test]
fn receipt_files() {
    let leaf = r#"{"audience":[],"author":"gateway","cause":null,"content":null,"erased":[],"evidence":null,"id":"1","kind":"gateway.founded","record":"gateway","recorded_at_us":"1790000000000000","request_id":"1","rows":[],"transfers":[],"v":"1","version":"1"}"#;
    let record = Entry { leaf: leaf.into(), index: 0, path: Vec::new(), evidence: None, receipt: None };
    let checkpoint = checkpoint(merkle::leaf_hash(leaf.as_bytes()));
    let file = ReceiptFile { format: FORMAT.into(), checkpoint, record, keys: Vec::new() };
    let pins = Pins { gateway: vec![NoteVerifier::new(ORIGIN, key().verifying_key()).unwrap()], ..Pins::default() };
    let proven = file.verify(&pins).unwrap();
    let good = serde_json::to_string(&file).unwrap();
    fuzz("receipt file", &good, |text| {
        let Ok(read) = ReceiptFile::from_json(text.as_bytes()).and_then(|file| file.verify(&pins)) else {
            return false;
        };
        assert_eq!(read, proven, "believed {text:?}");
        text == good
    });
}
