//! What no gateway can do without: one signature made by the client, one verified by the server,
//! for each call.

use std::time::{Duration, Instant};

use jjj_token::merkle::items_root;
use jjj_token::request::{
    Confirmation, Expected, RequestClaims, decode_unverified_issuer, sign_request, verify_request,
};
use jjj_token::{Algorithm, SigningKey};

use crate::Options;
use crate::load::AUTHORIZE;
use crate::machine::cores;
use crate::report::{Measurement, Report};

const FOR: Duration = Duration::from_millis(1_500);

pub fn measure(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let mut measurement = Measurement::new("Signatures alone: request tokens of single calls, EdDSA");
    for _ in 0..options.runs {
        one(&mut measurement)?;
    }
    report.push(measurement);
    Ok(())
}

fn one(to: &mut Measurement) -> anyhow::Result<()> {
    let key = SigningKey::from_pkcs8_pem(&SigningKey::generate_pkcs8_pem(Algorithm::EdDsa)?)?;
    let message = [7u8; 290];
    let token = sign_request(&key, &claims(&message))?;
    let sign = || drop(sign_request(&key, &claims(&message)).expect("a good key signs"));
    let verify = || check(&token, &key, &message);
    to.add("sign, one core, per second", rate(1, sign));
    to.add("sign, all cores, per second", rate(cores(), sign));
    to.add("verify, one core, per second", rate(1, verify));
    to.add("verify, all cores, per second", rate(cores(), verify));
    let both = || {
        sign();
        verify();
    };
    to.add("sign and verify, all cores, per second", rate(cores(), both));
    Ok(())
}

/// What the gateway's door does with a token.
fn check(token: &str, key: &SigningKey, message: &[u8]) {
    decode_unverified_issuer(token).expect("a token of ours");
    let expected = Expected {
        issuer: "channels/unionpay",
        audience: "gateway.test",
        path: AUTHORIZE,
        certificate_sha256: &[1; 32],
        now_s: 1_000,
    };
    let claims = verify_request(token, key.verifying_key(), &expected).expect("a token of ours");
    assert_eq!(claims.root, Some(items_root(&[message]).0));
}

fn claims(message: &[u8]) -> RequestClaims {
    RequestClaims {
        iss: "channels/unionpay".into(),
        aud: "gateway.test".into(),
        iat: 1_000,
        exp: 1_120,
        jti: uuid::Uuid::now_v7().simple().to_string(),
        path: AUTHORIZE.into(),
        cnf: Confirmation { certificate_sha256: [1; 32] },
        root: Some(items_root(&[message]).0),
    }
}

/// How often `threads` threads together do this in a second.
fn rate(threads: usize, work: impl Fn() + Sync) -> f64 {
    let started = Instant::now();
    let count: u64 = std::thread::scope(|scope| {
        let run = || {
            let mut count = 0;
            while started.elapsed() < FOR {
                work();
                count += 1;
            }
            count
        };
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or(0)).sum()
    });
    count as f64 / started.elapsed().as_secs_f64()
}
