//! SM2 with SM3: the standard's own example, OpenSSL both ways, what is refused, and every kind of token.

use std::path::Path;
use std::process::Command;

use jjj_token::note::{Checkpoint, CosignatureVerifier, NoteVerifier, SignedNote, open_checkpoint, sign_checkpoint};
use jjj_token::{Algorithm, Jwk, SigningKey, VerifyingKey};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;

use crate::support::{base64url, ed25519, forge, hash, p256, sm2};

const CURVE: &str = "urn:oid:1.2.156.10197.1.301";
const NAME: &str = "urn:oid:1.2.156.10197.1.501";
/// The order of the group.
const ORDER: &str = "fffffffeffffffffffffffffffffffff7203df6b21c6052b53bbf40939d54123";

fn key(x: &[u8], y: &[u8]) -> Jwk {
    Jwk { kty: "EC".into(), crv: CURVE.into(), x: base64url(x), y: Some(base64url(y)) }
}

/// GB/T 32918.5-2017 (GM/T 0003.5-2012) Appendix A, with the default ID.
#[test]
fn the_standards_example() {
    let x = hash("09f9df311e5421a150dd7d161e4bc5c672179fad1833fc076bb08ff356f35020");
    let y = hash("ccea490ce26775a52dc6ea718cc1aa600aed05fbf35e084a6632f6072da9ad13");
    let key = VerifyingKey::from_jwk(&key(&x, &y)).unwrap();
    assert_eq!(key.algorithm(), Algorithm::Sm2);
    let r = hash("f5a03b0648d2c4630eeac513e1bb81a15944da3827d5b74143ac7eaceee720b3");
    let s = hash("b1b6aa29df212fd8763182bc0d421ca1bb9038fd1f7f42d4840b69c485bbc1aa");
    key.verify(b"message digest", &[r, s].concat()).unwrap();
    assert!(key.verify(b"message digesT", &[r, s].concat()).is_err());
}

/// Big-endian `a − b` of 32 bytes.
fn minus(a: &[u8], b: &[u8]) -> [u8; 32] {
    let (mut difference, mut borrow) = ([0; 32], 0);
    for at in (0..32).rev() {
        let digit = i16::from(a[at]) - i16::from(b[at]) + borrow;
        (difference[at], borrow) = (digit as u8, digit >> 8);
    }
    difference
}

/// There is one signature for a nonce: none with another `S`, none outside 1 to the order less one.
#[test]
fn malleable_and_out_of_range_signatures_refused() {
    let (key, order) = (sm2(), hash(ORDER));
    let signature = key.sign(b"message").unwrap();
    let (r, s) = signature.split_at(32);
    let verify = |r: &[u8], s: &[u8]| key.verifying_key().verify(b"message", &[r, s].concat()).is_ok();
    assert!(verify(r, s));
    assert!(!verify(s, r));
    assert!(!verify(r, &minus(&order, s)) && !verify(&minus(&order, r), s));
    // t = r + s must not be a multiple of the order.
    assert!(!verify(r, &minus(&order, r)));
    for value in [[0; 32], order, [0xff; 32]] {
        assert!(!verify(&value, s) && !verify(r, &value), "{value:02x?}");
    }
    assert!(!verify(&[], s) && !verify(r, &s[1..]) && !verify(r, &[s, &[0]].concat()));
}

#[test]
fn keys_refused() {
    let jwk = sm2().public_jwk().clone();
    let reason = |jwk: &Jwk| VerifyingKey::from_jwk(jwk).unwrap_err().reason();
    assert_eq!(reason(&Jwk { crv: "P-256".into(), ..jwk.clone() }), "KEY_NOT_ON_CURVE");
    assert_eq!(reason(&Jwk { crv: CURVE.into(), ..p256().public_jwk().clone() }), "KEY_NOT_ON_CURVE");
    assert_eq!(reason(&key(&[0; 32], &[0; 32])), "KEY_NOT_ON_CURVE");
    assert_eq!(reason(&Jwk { y: None, ..jwk.clone() }), "KEY_COORDINATE_MALFORMED");
    assert_eq!(reason(&Jwk { kty: "OKP".into(), ..jwk.clone() }), "KEY_UNSUPPORTED");
    assert_eq!(reason(&Jwk { crv: "SM2".into(), ..jwk }), "KEY_UNSUPPORTED");
    let pem = include_str!("keys/sm2.pem");
    let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).unwrap().secret_pkcs8_der().to_vec();
    assert!(SigningKey::from_pkcs8_der(&der).is_ok());
    // ECPrivateKey: version 1, then the scalar as an octet string of 32 bytes.
    let at = der.windows(5).position(|bytes| bytes == [2, 1, 1, 4, 32]).unwrap() + 5;
    let mut one = [0; 32];
    one[31] = 1;
    // The order is no scalar, and the order less one can sign nothing.
    for scalar in [[0; 32], hash(ORDER), minus(&hash(ORDER), &one)] {
        let der = [&der[..at], &scalar, &der[at + 32..]].concat();
        assert_eq!(SigningKey::from_pkcs8_der(&der).unwrap_err().reason(), "KEY_PRIVATE_MALFORMED");
    }
}

fn openssl(folder: &Path, args: &[&str]) -> bool {
    let output =
        Command::new("openssl").args(args).current_dir(folder).output().expect("openssl runs: is it installed?");
    output.status.success()
}

/// `SEQUENCE { INTEGER r, INTEGER s }`, as OpenSSL writes signatures.
fn to_der(signature: &[u8]) -> Vec<u8> {
    let integer = |bytes: &[u8]| {
        let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len() - 1);
        let sign = if bytes[start] & 0x80 == 0 { &[][..] } else { &[0][..] };
        let value = [sign, &bytes[start..]].concat();
        [&[2, value.len() as u8][..], &value].concat()
    };
    let body = [integer(&signature[..32]), integer(&signature[32..])].concat();
    [&[0x30, body.len() as u8][..], &body].concat()
}

fn from_der(der: &[u8]) -> Vec<u8> {
    let integer = |at: usize| {
        let (len, from) = (der[at + 1] as usize, at + 2);
        let value: Vec<u8> = der[from..from + len].iter().copied().skip_while(|byte| *byte == 0).collect();
        ([vec![0; 32 - value.len()], value].concat(), from + len)
    };
    let (r, next) = integer(2);
    [r, integer(next).0].concat()
}

/// Keys and signatures of ours by OpenSSL, and OpenSSL's by ours; with the default ID, and with no other.
#[test]
fn openssl_reads_ours_and_ours_reads_openssl() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    let run = |args: &[&str]| openssl(folder.path(), args);
    let message = "京津冀养老互通".as_bytes();
    write("message", message);
    let signing = ["pkeyutl", "-rawin", "-digest", "sm3", "-in", "message"];
    let with = |more: &[&'static str]| run(&[&signing[..], more].concat());
    assert!(run(&["genpkey", "-algorithm", "SM2", "-out", "theirs.pem"]));
    assert!(run(&["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:SM2", "-out", "named.pem"]));
    write("ours.pem", SigningKey::generate_pkcs8_pem(Algorithm::Sm2).unwrap().as_bytes());
    for name in ["theirs.pem", "named.pem", "ours.pem"] {
        std::fs::rename(folder.path().join(name), folder.path().join("key.pem")).unwrap();
        let pem = std::fs::read_to_string(folder.path().join("key.pem")).unwrap();
        let key = SigningKey::from_pkcs8_pem(&pem).unwrap();
        assert_eq!(key.algorithm(), Algorithm::Sm2, "{name}");
        assert!(run(&["pkey", "-in", "key.pem", "-pubout", "-out", "public.pem"]), "{name}");
        write("signature", &to_der(&key.sign(message).unwrap()));
        let verify = ["-verify", "-pubin", "-inkey", "public.pem", "-sigfile", "signature"];
        let id = ["-pkeyopt", "distid:1234567812345678"];
        assert!(with(&[&verify[..], &id].concat()), "{name}");
        assert!(!with(&[&verify[..], &["-pkeyopt", "distid:ALICE123@YAHOO.COM"]].concat()), "{name}");

        let sign = ["-sign", "-inkey", "key.pem", "-out", "signature"];
        assert!(with(&[&sign[..], &id].concat()), "{name}");
        let signature = || from_der(&std::fs::read(folder.path().join("signature")).unwrap());
        key.verifying_key().verify(message, &signature()).unwrap();
        assert!(key.verifying_key().verify(b"another", &signature()).is_err());
        assert!(with(&[&sign[..], &["-pkeyopt", "distid:ALICE123@YAHOO.COM"]].concat()), "{name}");
        assert!(key.verifying_key().verify(message, &signature()).is_err(), "another ID");
    }
}

/// The key decides: no name of another algorithm makes its signature good, none makes another's good for it.
#[test]
fn the_key_decides_the_algorithm() {
    let key = sm2();
    let claims = serde_json::to_string(&crate::recognition::claims()).unwrap();
    let header = |alg: &str| format!(r#"{{"typ":"jjj-recognition+jwt","alg":"{alg}","kid":"{}"}}"#, key.kid());
    let reason = |token: &str| {
        let now_s = crate::recognition::claims().iat;
        jjj_token::recognition::verify_recognition(token, key.verifying_key(), "gateway.example", now_s)
            .map_err(|error| error.reason())
    };
    assert_eq!(reason(&forge(&key, &header(NAME), &claims)), Ok(crate::recognition::claims()));
    for alg in ["ES256", "EdDSA", "none", "SM2", "SM2-with-SM3", ""] {
        assert_eq!(reason(&forge(&key, &header(alg), &claims)), Err("TOKEN_ALGORITHM_MISMATCH"), "{alg}");
    }
    for other in [ed25519(), p256()] {
        assert_eq!(reason(&forge(&other, &header(NAME), &claims)), Err("TOKEN_SIGNATURE_INVALID"));
    }
}

/// A line under the head beside Ed25519's; never instead of it.
#[test]
fn a_second_line_under_a_checkpoint() {
    const ORIGIN: &str = "gateway.example";
    let (log, key) = (ed25519(), sm2());
    let head = Checkpoint { origin: ORIGIN.into(), size: 3, root: [7; 32], extensions: Vec::new() };
    let mut note = sign_checkpoint(&log, &head).unwrap();
    note.sign(ORIGIN, &key).unwrap();
    let text = note.to_string();
    let by_ed25519 = NoteVerifier::new(ORIGIN, log.verifying_key()).unwrap();
    let by_sm2 = NoteVerifier::new(ORIGIN, key.verifying_key()).unwrap();
    assert_eq!(NoteVerifier::from_vkey(&by_sm2.vkey()), Ok(by_sm2.clone()));
    assert_ne!(by_sm2.id(), by_ed25519.id());
    for verifier in [&by_ed25519, &by_sm2] {
        assert_eq!(open_checkpoint(&text, verifier).unwrap().0, head);
    }
    let other = SigningKey::from_pkcs8_pem(&SigningKey::generate_pkcs8_pem(Algorithm::Sm2).unwrap()).unwrap();
    let stranger = NoteVerifier::new(ORIGIN, other.verifying_key()).unwrap();
    assert_eq!(open_checkpoint(&text, &stranger).unwrap_err().reason(), "NOTE_UNSIGNED");
    // The same line under another head.
    let mut forged = sign_checkpoint(&log, &Checkpoint { size: 4, ..head.clone() }).unwrap();
    forged.add(note.signatures()[1].clone()).unwrap();
    let forged = open_checkpoint(&forged.to_string(), &by_sm2).unwrap_err();
    assert_eq!(forged.reason(), "NOTE_SIGNATURE_INVALID");

    assert_eq!(sign_checkpoint(&key, &head).unwrap_err().reason(), "NOTE_KEY_NOT_ED25519");
    assert_eq!(CosignatureVerifier::new("w", key.verifying_key()).unwrap_err().reason(), "NOTE_KEY_NOT_ED25519");
    let mut note = SignedNote::new("head\n").unwrap();
    assert_eq!(note.cosign("w", &key, 1).unwrap_err().reason(), "NOTE_KEY_NOT_ED25519");
    for (from, to) in [("AQ", "Ag"), ("/z", "/j")] {
        let vkey = by_sm2.vkey();
        let (start, public) = vkey.rsplit_once('+').unwrap();
        let damaged = format!("{start}+{}", public.replacen(from, to, 1));
        assert!(damaged == vkey || NoteVerifier::from_vkey(&damaged).is_err(), "{damaged}");
    }
}
