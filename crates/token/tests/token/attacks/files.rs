//! Receipt files: parts that are true each by itself, put together into something that never happened.

use std::sync::LazyLock;

use jjj_token::merkle::{MemoryTree, inclusion_proof, leaf_hash, root_of};
use jjj_token::note::{Checkpoint, CosignatureVerifier, NoteVerifier, SignedNote, sign_checkpoint};
use jjj_token::offline::{Entry, Evidence, FORMAT, Pins, ReceiptFile};
use jjj_token::receipt::{ReceiptBody, sign_receipts};
use jjj_token::request::{RequestClaims, sign_request};
use jjj_token::{SigningKey, VerifyingKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::tokens::other_s;
use super::{Row, refused};
use crate::request::{self, NOW_S, PATH};
use crate::support::{base64url, ed25519, from_base64url, p256, stranger};

const ORIGIN: &str = "jjj-gateway.example";
const WITNESS: &str = "witness.example";
const REQUEST: &[u8] = b"the request";

const ADD_KEY: &str = "/jjj.gateway.v1.ParticipantService/AddKey";
const LI: &str = "gateway/admins/li";

/// A log of four leaves: the founding registers an administrator's key, the administrator the region's;
/// a rating, and another one.
struct Story {
    founding: Value,
    registration: Value,
    registering: String,
    rating: Value,
    token: String,
    origin: &'static str,
}

impl Story {
    fn honest() -> Self {
        // Signed once: ES256 makes another signature each time.
        static TOKEN: LazyLock<String> = LazyLock::new(|| sign_request(&p256(), &request::claims()).unwrap());
        Self::under(TOKEN.clone())
    }

    /// As if the gateway had recorded a rating under this token.
    fn under(token: String) -> Self {
        static REGISTERING: LazyLock<String> = LazyLock::new(|| {
            let claims = RequestClaims { iss: LI.into(), path: ADD_KEY.into(), ..request::claims() };
            sign_request(&li(), &claims).unwrap()
        });
        let key = |key: &SigningKey, holder: &str| {
            json!([{"t": "keys", "r": {
                "kid": key.kid(), "holder": holder, "jwk": key.public_jwk().to_json(), "version": "1",
                "added_at_us": "1", "ended_at_us": null, "suspect_from_us": null,
            }}])
        };
        let leaf = |record: &str, author: &str, evidence: Value, rows: Value| {
            json!({"v": "1", "kind": "rating.published", "record": record, "version": "1", "author": author,
                "recorded_at_us": (NOW_S * 1_000_000).to_string(), "evidence": evidence, "rows": rows, "cause": null})
        };
        let said = |path: &str, token: &str| {
            json!({
                "path": path, "item": hex::encode(leaf_hash(REQUEST)), "index": "0", "count": "1",
                "token": hex::encode(Sha256::digest(token)),
            })
        };
        Self {
            founding: leaf("gateway", "gateway", Value::Null, key(&li(), LI)),
            registration: leaf("keys/1", LI, said(ADD_KEY, &REGISTERING), key(&p256(), "regions/110000")),
            registering: REGISTERING.clone(),
            rating: leaf("ratings/1", "regions/110000", said(PATH, &token), json!([])),
            token,
            origin: ORIGIN,
        }
    }

    fn changed(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// What `jjj receipt` would write of it.
    fn told(&self) -> ReceiptFile {
        let leaves = [&self.founding, &self.registration, &self.rating, &json!({})].map(Value::to_string);
        let tree = MemoryTree::new(leaves.iter().map(|leaf| leaf_hash(leaf.as_bytes())));
        let root = root_of(&tree, 4).unwrap();
        let head = Checkpoint { origin: self.origin.into(), size: 4, root, extensions: Vec::new() };
        let entry = |at: usize| Entry {
            leaf: leaves[at].clone(),
            index: at as i64,
            path: inclusion_proof(&tree, at as u64, 4).unwrap(),
            evidence: None,
            receipt: None,
        };
        let evidence = |token: &str| Some(Evidence { request: REQUEST.into(), token: token.into(), path: Vec::new() });
        let promised = ReceiptBody {
            record: "ratings/1".into(),
            version: 1,
            leaf_hash: leaf_hash(leaves[2].as_bytes()),
            log_deadline_us: NOW_S * 1_000_000,
        };
        let receipt = sign_receipts(&ed25519(), self.origin, &[promised]).unwrap().remove(0);
        ReceiptFile {
            format: FORMAT.into(),
            checkpoint: sign_checkpoint(&ed25519(), &head).unwrap().to_string(),
            record: Entry { evidence: evidence(&self.token), receipt: Some(receipt), ..entry(2) },
            keys: vec![entry(0), Entry { evidence: evidence(&self.registering), ..entry(1) }],
        }
    }
}

fn li() -> SigningKey {
    SigningKey::from_ed25519_seed(&[8; 32]).unwrap()
}

fn pins() -> Pins {
    let under = |origin: &str| NoteVerifier::new(origin, ed25519().verifying_key()).unwrap();
    Pins { gateway: vec![under(ORIGIN)], ..Pins::default() }
}

fn witness(key: &VerifyingKey) -> Pins {
    Pins { witnesses: vec![CosignatureVerifier::new(WITNESS, key).unwrap()], quorum: 1, ..pins() }
}

/// The same token with the other of an ES256 signature's two values of `S`.
fn twin(token: &str) -> String {
    let (input, signature) = token.rsplit_once('.').unwrap();
    let mut signature = from_base64url(signature);
    let other = other_s(&signature[32..]);
    signature[32..].copy_from_slice(&other);
    format!("{input}.{}", base64url(signature))
}

/// JOSE libraries make either `S`, so a verifier takes both: the twin says what was signed and nothing
/// else. It is no second piece of evidence: a leaf commits to the token that came (a row below).
#[test]
fn a_high_s_twin_says_what_was_signed() {
    let token = sign_request(&p256(), &request::claims()).unwrap();
    assert_ne!(twin(&token), token);
    assert_eq!(request::verify(&twin(&token), &p256(), NOW_S), Ok(request::claims()));
    assert_eq!(twin(&twin(&token)), token);
}

pub fn rows() -> Vec<Row> {
    let good = Story::honest().told();
    let proven = good.verify(&pins()).expect("the honest story");
    assert_eq!((proven.author.as_str(), proven.keys.len()), ("regions/110000", 2));
    [swapped(&good), recorded(), pinned(&good)].concat()
}

/// Parts of a true file exchanged for others.
fn swapped(good: &ReceiptFile) -> Vec<Row> {
    let changed = |change: &dyn Fn(&mut ReceiptFile)| {
        let mut file = good.clone();
        change(&mut file);
        refused!(file.verify(&pins()))
    };
    let with = |change: &dyn Fn(&mut Evidence)| changed(&|f| change(f.record.evidence.as_mut().unwrap()));
    let other = Story::honest().changed(|story| story.rating["record"] = json!("ratings/2")).told();
    let foreign = Story::honest().changed(|story| story.origin = "other.example").told();
    let forged = {
        let mut receipt = good.record.receipt.clone().unwrap();
        receipt.log_deadline_us += 1;
        receipt
    };
    let member = |member: &str, value: Value| {
        let mut file = serde_json::to_value(good).unwrap();
        file[member] = value;
        refused!(ReceiptFile::from_json(file.to_string().as_bytes()))
    };
    let kind = "receipt file";
    vec![
        (kind, "the token's twin: high S", with(&|e| e.token = twin(&e.token))),
        (kind, "another request", with(&|e| e.request = b"another".to_vec())),
        (kind, "a way from the request to another root", with(&|e| e.path.push([0; 32]))),
        (kind, "without its evidence", changed(&|f| f.record.evidence = None)),
        (kind, "another record's receipt", changed(&|f| f.record.receipt = Some(renamed(f)))),
        (kind, "the receipt of another leaf", changed(&|f| f.record.receipt = other.record.receipt.clone())),
        (kind, "another gateway's receipt", changed(&|f| f.record.receipt = foreign.record.receipt.clone())),
        (kind, "a receipt with another deadline", changed(&|f| f.record.receipt = Some(forged.clone()))),
        (kind, "a leaf of another log", changed(&|f| f.record = other.record.clone())),
        (kind, "a proof cut short", changed(&|f| f.record.path.truncate(1))),
        (kind, "a number before the log's first", changed(&|f| f.record.index = -1)),
        (kind, "the registration left out", changed(&|f| f.keys.clear())),
        (kind, "of a later format", member("format", json!("jjj-receipt-file-v2"))),
        (kind, "with a member more", member("note", json!(""))),
    ]
}

fn renamed(file: &ReceiptFile) -> jjj_token::receipt::Receipt {
    let mut receipt = file.record.receipt.clone().unwrap();
    receipt.record = "ratings/2".into();
    receipt
}

/// A gateway that records what was never said, under its own true log.
fn recorded() -> Vec<Row> {
    let claims = |change: &dyn Fn(&mut RequestClaims)| {
        let mut claims = request::claims();
        change(&mut claims);
        refused!(Story::under(sign_request(&p256(), &claims).unwrap()).told().verify(&pins()))
    };
    let story = |change: &dyn Fn(&mut Story)| refused!(Story::honest().changed(change).told().verify(&pins()));
    let key = |column: &'static str, value: String| {
        story(&move |story| story.registration["rows"][0]["r"][column] = json!(value))
    };
    let unknown = Story::under(sign_request(&stranger(), &request::claims()).unwrap());
    let kind = "recorded";
    vec![
        (kind, "a token of another gateway", claims(&|c| c.aud = "other.example".into())),
        (kind, "a token of another method", claims(&|c| c.path = "/jjj.gateway.v1.RatingService/RevokeRating".into())),
        (kind, "a token of another author", claims(&|c| c.iss = "regions/130000".into())),
        (kind, "a stale token, hours later", claims(&|c| (c.iat, c.exp) = (NOW_S - 7_200, NOW_S - 7_000))),
        (kind, "a token that binds other content", claims(&|c| c.root = Some(leaf_hash(b"other")))),
        (kind, "a token that binds nothing", claims(&|c| c.root = None)),
        (kind, "a key that nobody registered", refused!(unknown.told().verify(&pins()))),
        (kind, "a key that another region registered", story(&|s| s.registration["author"] = json!("regions/130000"))),
        (kind, "a key that the gateway registered alone", story(&|s| s.registration = alone(&s.registration))),
        (kind, "a key that had ended", key("ended_at_us", "2".into())),
        (kind, "a key whose registration says another key", key("jwk", stranger().public_jwk().to_json())),
        (kind, "as its own what a region signed", story(&|s| s.rating["author"] = json!("gateway"))),
        (kind, "a leaf of a later format", story(&|s| s.rating["v"] = json!("2"))),
    ]
}

/// The same leaf, as if the gateway had written it of itself.
fn alone(leaf: &Value) -> Value {
    let mut leaf = leaf.clone();
    (leaf["author"], leaf["evidence"]) = (json!("gateway"), Value::Null);
    leaf
}

/// What the verifier holds beforehand.
fn pinned(good: &ReceiptFile) -> Vec<Row> {
    let key = |key: &SigningKey| NoteVerifier::new(ORIGIN, key.verifying_key()).unwrap();
    let cosigned_for = |origin: &'static str| {
        let story = Story::honest().changed(|story| story.origin = origin).told();
        SignedNote::parse(&story.checkpoint).unwrap().cosign(WITNESS, &stranger(), 1_790_000_000).unwrap()
    };
    let mut note = SignedNote::parse(&good.checkpoint).unwrap();
    note.add(cosigned_for("other.example")).unwrap();
    let borrowed = ReceiptFile { checkpoint: note.to_string(), ..good.clone() };
    let mut note = SignedNote::parse(&good.checkpoint).unwrap();
    note.add(cosigned_for(ORIGIN)).unwrap();
    let cosigned = ReceiptFile { checkpoint: note.to_string(), ..good.clone() };
    cosigned.verify(&witness(stranger().verifying_key())).expect("the witness's own line");
    let first_keys = vec![stranger().kid().to_owned()];
    let kind = "pins";
    vec![
        (kind, "another gateway key", refused!(good.verify(&Pins { gateway: vec![key(&stranger())], ..pins() }))),
        (kind, "a first key that it does not rest on", refused!(good.verify(&Pins { first_keys, ..pins() }))),
        (kind, "a witness who did not see it", refused!(good.verify(&witness(stranger().verifying_key())))),
        (kind, "a witness's line for another origin", refused!(borrowed.verify(&witness(stranger().verifying_key())))),
    ]
}
