//! SM2 where Ed25519 is expected and the other way round, under another signer's ID, and with numbers that are none.

use ::sm2::dsa::signature::Signer;
use ::sm2::pkcs8::DecodePrivateKey;
use jjj_token::SigningKey;
use jjj_token::receipt::{ReceiptBody, sign_receipts};
use jjj_token::recognition::verify_recognition;
use jjj_token::request::{sign_request, verify_evidence};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;

use super::{Row, refused};
use crate::recognition::{self, FROM_S};
use crate::request;
use crate::support::{base64url, ed25519, forge, from_base64url, hash, sm2};

const NAME: &str = "urn:oid:1.2.156.10197.1.501";
const ORDER: &str = "fffffffeffffffffffffffffffffffff7203df6b21c6052b53bbf40939d54123";

pub fn rows() -> Vec<Row> {
    [tokens(), signatures(), receipts()].concat()
}

fn tokens() -> Vec<Row> {
    let claims = serde_json::to_string(&recognition::claims()).unwrap();
    let said = |key: &SigningKey, by: &SigningKey, alg: &str| {
        let header = format!(r#"{{"typ":"jjj-recognition+jwt","alg":"{alg}","kid":"{}"}}"#, key.kid());
        let token = forge(by, &header, &claims);
        refused!(verify_recognition(&token, key.verifying_key(), "gateway.example", FROM_S))
    };
    let (sm2, ed) = (sm2(), ed25519());
    vec![
        ("SM2 token", "alg EdDSA over an SM2 key", said(&sm2, &sm2, "EdDSA")),
        ("SM2 token", "alg ES256 over an SM2 key", said(&sm2, &sm2, "ES256")),
        ("SM2 token", "alg none over an SM2 key", said(&sm2, &sm2, "none")),
        ("SM2 token", "alg by a name that nobody registered", said(&sm2, &sm2, "SM2")),
        ("SM2 token", "alg of SM2 over an Ed25519 key", said(&ed, &ed, NAME)),
        ("SM2 token", "an Ed25519 key's signature under the SM2 key's name", said(&sm2, &ed, NAME)),
    ]
}

/// The key's own signature under another signer's ID than the profile's.
fn under_another_id(message: &[u8]) -> Vec<u8> {
    let pem = include_str!("../keys/sm2.pem");
    let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).unwrap();
    let secret = ::sm2::SecretKey::from_pkcs8_der(der.secret_pkcs8_der()).unwrap();
    let key = ::sm2::dsa::SigningKey::new("ALICE123@YAHOO.COM", &secret).unwrap();
    let signature: ::sm2::dsa::Signature = key.sign(message);
    signature.to_bytes().to_vec()
}

fn signatures() -> Vec<Row> {
    let key = sm2();
    let token = sign_request(&key, &request::claims()).unwrap();
    let (input, signature) = token.rsplit_once('.').unwrap();
    let signed = |signature: &[u8]| {
        let token = format!("{input}.{}", base64url(signature));
        refused!(verify_evidence(&token, key.verifying_key(), &request::root()))
    };
    let signature = from_base64url(signature);
    let (r, s) = signature.split_at(32);
    let kind = "SM2 signature";
    vec![
        (kind, "r zero", signed(&[&[0; 32], s].concat())),
        (kind, "s of the order", signed(&[r, &hash(ORDER)].concat())),
        (kind, "in DER", signed(&hex::decode("3006020101020101").unwrap())),
        (kind, "under another signer's ID", signed(&under_another_id(input.as_bytes()))),
    ]
}

fn receipts() -> Vec<Row> {
    let key = sm2();
    let body = ReceiptBody { record: "ratings/1".into(), version: 1, leaf_hash: [7; 32], log_deadline_us: 1 };
    let good = sign_receipts(&key, "gateway.example", std::slice::from_ref(&body)).unwrap().remove(0);
    good.verify(key.verifying_key()).unwrap();
    let signed = |signature: Vec<u8>| {
        let mut receipt = good.clone();
        receipt.signature = signature;
        refused!(receipt.verify(key.verifying_key()))
    };
    let (r, s) = good.signature.split_at(32);
    let by_ed25519 = sign_receipts(&ed25519(), "gateway.example", &[body]).unwrap().remove(0);
    let kind = "SM2 receipt";
    vec![
        (kind, "r beyond the order", signed([&[0xff; 32], s].concat())),
        (kind, "s zero", signed([r, &[0; 32]].concat())),
        (kind, "an Ed25519 key's signature under the SM2 key's name", signed(by_ed25519.signature.clone())),
        (kind, "of the Ed25519 key beside it", refused!(by_ed25519.verify(key.verifying_key()))),
    ]
}
