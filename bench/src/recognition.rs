//! What a JWT's signature costs, in microseconds: aws-lc-rs alone, jsonwebtoken around it, and our
//! whole reading of a recognition token beside jsonwebtoken's bare `decode`.
//!
//! `cargo run --release -p jjj-token --example jwt_cost`

use std::hint::black_box;
use std::time::Instant;

use jjj_token::recognition::{
    RecognitionClaims, Recognized, Status, StatusListReference, sign_recognition, verify_recognition,
};
use jjj_token::{Algorithm, SigningKey};
use jsonwebtoken::{DecodingKey, Validation, crypto};

const ROUNDS: u32 = 5_000;

fn main() {
    for algorithm in Algorithm::ALL {
        let pem = SigningKey::generate_pkcs8_pem(algorithm).expect("a new key");
        let key = SigningKey::from_pkcs8_pem(&pem).expect("the same key");
        let token = sign_recognition(&key, &claims()).expect("a token");
        let (input, signature) = token.rsplit_once('.').expect("three parts");
        let raw = key.sign(input.as_bytes()).expect("a signature");
        let public = key.verifying_key();
        let (foreign, name) = match algorithm {
            Algorithm::EdDsa => (DecodingKey::from_ed_der(public.public_bytes()), jsonwebtoken::Algorithm::EdDSA),
            Algorithm::Es256 => (DecodingKey::from_ec_der(public.public_bytes()), jsonwebtoken::Algorithm::ES256),
        };
        let mut validation = Validation::new(name);
        validation.validate_exp = false;
        validation.validate_aud = false;

        println!("{}", algorithm.jose_name());
        report("sign, aws-lc-rs alone", || drop(black_box(key.sign(input.as_bytes()))));
        report("sign, whole token through jsonwebtoken", || drop(black_box(sign_recognition(&key, &claims()))));
        report("verify, aws-lc-rs alone", || {
            let _ = black_box(public.verify(input.as_bytes(), &raw));
        });
        report("verify, jsonwebtoken::crypto::verify", || {
            drop(black_box(crypto::verify(signature, input.as_bytes(), &foreign, name)));
        });
        report("jsonwebtoken::decode, bare", || {
            drop(black_box(jsonwebtoken::decode::<RecognitionClaims>(&token, &foreign, &validation)));
        });
        report("verify_recognition", || drop(black_box(verify_recognition(&token, public, "gateway.test", 1_500))));
        verify_recognition(&token, public, "gateway.test", 1_500).expect("the measured token verifies");
    }
}

/// The best of seven passes: what others do on the machine only ever adds.
fn report(what: &str, mut work: impl FnMut()) {
    let pass = |work: &mut dyn FnMut()| {
        let start = Instant::now();
        (0..ROUNDS).for_each(|_| work());
        start.elapsed().as_secs_f64() * 1e6 / f64::from(ROUNDS)
    };
    let best = (0..7).map(|_| pass(&mut work)).fold(f64::INFINITY, f64::min);
    println!("  {what:<40} {best:>7.1} µs");
}

fn claims() -> RecognitionClaims {
    RecognitionClaims {
        iss: "gateway.test".into(),
        sub: "recognitions/0198aaaa-0000-7000-8000-000000000001-110000".into(),
        iat: 1_000,
        nbf: 1_000,
        exp: 2_000,
        rec: Recognized {
            record: "ratings/0198aaaa-0000-7000-8000-000000000001".into(),
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
        status: Status { status_list: StatusListReference { idx: 7, uri: "https://gateway.test/status/0".into() } },
    }
}
