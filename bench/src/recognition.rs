//! What an offline verifier pays: a recognition token read whole and verified by us, beside jsonwebtoken's
//! own `decode` of the same token, which checks less (docs/tokens.md has the order of our checks).

use std::hint::black_box;
use std::time::Instant;

use anyhow::ensure;
use jjj_token::recognition::{
    RecognitionClaims, Recognized, Status, StatusListReference, sign_recognition, verify_recognition,
};
use jjj_token::{Algorithm, SigningKey};
use jsonwebtoken::{DecodingKey, Validation, crypto};

use crate::Options;
use crate::report::{Measurement, Report};

/// Verifications in a turn: both take turns, so that what else the machine does meets both.
const TURN: u32 = 250;
const TURNS: usize = 40;

pub fn measure(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    for algorithm in Algorithm::JOSE {
        let mut to = Measurement::new(format!("Verifying a recognition token offline, {}", algorithm.jose_name()));
        for _ in 0..options.runs {
            one(algorithm, &mut to)?;
        }
        report.push(to);
    }
    Ok(())
}

fn one(algorithm: Algorithm, to: &mut Measurement) -> anyhow::Result<()> {
    let key = SigningKey::from_pkcs8_pem(&SigningKey::generate_pkcs8_pem(algorithm)?)?;
    let token = sign_recognition(&key, &claims())?;
    let public = key.verifying_key();
    let (foreign, name) = match algorithm {
        Algorithm::EdDsa => (DecodingKey::from_ed_der(public.public_bytes()), jsonwebtoken::Algorithm::EdDSA),
        Algorithm::Es256 => (DecodingKey::from_ec_der(public.public_bytes()), jsonwebtoken::Algorithm::ES256),
        Algorithm::Sm2 => anyhow::bail!("jsonwebtoken does not know SM2"),
    };
    let mut validation = Validation::new(name);
    // Their clock is the system's.
    validation.validate_exp = false;
    validation.validate_aud = false;
    let (input, signature) = token.rsplit_once('.').expect("three parts");
    // Both believe it, or nothing is measured.
    ensure!(verify_recognition(&token, public, "gateway.test", 1_500)? == claims(), "ours");
    let decoded = jsonwebtoken::decode::<RecognitionClaims>(&token, &foreign, &validation)?;
    ensure!(decoded.claims == claims(), "jsonwebtoken's");

    let mut ours = || drop(black_box(verify_recognition(&token, public, "gateway.test", 1_500)));
    let mut theirs = || drop(black_box(jsonwebtoken::decode::<RecognitionClaims>(&token, &foreign, &validation)));
    let mut signature_alone = || drop(black_box(crypto::verify(signature, input.as_bytes(), &foreign, name)));
    let [mut best_ours, mut best_theirs, mut best_signature] = [f64::INFINITY; 3];
    // The best of many turns: what others do on the machine only ever adds.
    for _ in 0..TURNS {
        best_ours = best_ours.min(turn(&mut ours));
        best_theirs = best_theirs.min(turn(&mut theirs));
        best_signature = best_signature.min(turn(&mut signature_alone));
    }
    to.add("verify_recognition, µs", best_ours);
    to.add("jsonwebtoken::decode, µs", best_theirs);
    to.add("jsonwebtoken's signature alone, µs", best_signature);
    to.add("ratio to jsonwebtoken::decode", best_ours / best_theirs);
    Ok(())
}

/// Microseconds a call.
fn turn(work: &mut dyn FnMut()) -> f64 {
    let start = Instant::now();
    (0..TURN).for_each(|_| work());
    start.elapsed().as_secs_f64() * 1e6 / f64::from(TURN)
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
