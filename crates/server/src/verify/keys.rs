//! The keys that were ever registered, and when each was in force. Read from the table, which the
//! fold proves to be what the key leaves say.

use std::collections::HashMap;

use jjj_domain::participant::{KeyRow, KeyState};
use jjj_domain::row::Row;
use jjj_store::{Session, StoreError};
use jjj_token::note::NoteVerifier;
use jjj_token::request::LEEWAY_S;
use jjj_token::{Algorithm, Jwk, VerifyingKey};

use super::report::{Check, Findings};
use super::scan::Scan;

/// How long a request may be under way between the check of its token and its record, and how far
/// the database's clock may be from the gateway's.
const UNDER_WAY_US: i64 = 60_000_000;
const SECOND_US: i64 = 1_000_000;

pub struct KnownKey {
    pub key: VerifyingKey,
    pub holder: String,
    added_at_us: i64,
    ended_at_us: Option<i64>,
    suspect_from_us: Option<i64>,
}

impl KnownKey {
    /// Whether some moment between these two, give or take the leeway, had the key in force.
    pub fn in_force(&self, from_us: i64, until_us: i64) -> bool {
        let ended = self.ended_at_us.unwrap_or(i64::MAX);
        is_added_by(self.added_at_us, until_us) && from_us.saturating_sub(LEEWAY_S * SECOND_US) <= ended
    }

    pub fn suspect_at(&self, us: i64) -> bool {
        self.suspect_from_us.is_some_and(|from| us >= from)
    }
}

#[derive(Default)]
pub struct Keys {
    by_kid: HashMap<String, KnownKey>,
    /// Keys that the gateway's signatures are believed from; empty: all of the gateway's own.
    pinned: Vec<String>,
}

impl Keys {
    pub(super) async fn load(
        session: &mut Session,
        pinned: &[String],
        findings: &mut Findings,
    ) -> Result<Self, StoreError> {
        let mut keys = Self { by_kid: HashMap::new(), pinned: pinned.to_vec() };
        let mut scan = Scan::of(KeyRow::spec());
        while let Some(page) = scan.page(session).await? {
            for values in page {
                match parse(values) {
                    Ok((kid, key)) => drop(keys.by_kid.insert(kid, key)),
                    Err((kid, column, problem)) => findings.column(Check::Evidence, "keys", kid, column, problem),
                }
            }
        }
        Ok(keys)
    }

    pub fn get(&self, kid: &str) -> Option<&KnownKey> {
        self.by_kid.get(kid)
    }

    /// A key of the gateway's system that its receipts and checkpoints may bear.
    pub fn gateway(&self, kid: &str) -> Option<&KnownKey> {
        let trusted = self.pinned.is_empty() || self.pinned.iter().any(|p| p == kid);
        self.get(kid).filter(|key| key.holder == "gateway" && trusted)
    }

    /// The gateway's keys as verifiers of notes by this name.
    pub fn note_verifiers(&self, origin: &str) -> Vec<NoteVerifier> {
        self.verifiers(origin, Algorithm::EdDsa)
    }

    /// Those that sign a second line under a head, never the only one.
    pub fn second_verifiers(&self, origin: &str) -> Vec<NoteVerifier> {
        self.verifiers(origin, Algorithm::Sm2)
    }

    fn verifiers(&self, origin: &str, algorithm: Algorithm) -> Vec<NoteVerifier> {
        let own = self.by_kid.keys().filter_map(|kid| self.gateway(kid));
        let signs_notes = own.filter(|key| key.key.algorithm() == algorithm);
        signs_notes.filter_map(|key| NoteVerifier::new(origin, &key.key).ok()).collect()
    }
}

/// Whether a key was registered by this moment, give or take the leeway.
pub fn is_added_by(added_at_us: i64, until_us: i64) -> bool {
    added_at_us <= until_us.saturating_add(LEEWAY_S * SECOND_US)
}

/// Whether a token's time fits the moment at which its request was recorded.
pub fn fits(iat_s: i64, exp_s: i64, recorded_at_us: i64) -> bool {
    let early = iat_s.saturating_sub(LEEWAY_S).saturating_mul(SECOND_US) - UNDER_WAY_US;
    let late = exp_s.saturating_add(LEEWAY_S).saturating_mul(SECOND_US).saturating_add(UNDER_WAY_US);
    (early..=late).contains(&recorded_at_us)
}

type Unreadable = (String, &'static str, String);

fn parse(values: Vec<jjj_domain::value::Value>) -> Result<(String, KnownKey), Unreadable> {
    let named = values[0].to_string();
    let row = KeyRow::from_values(values).map_err(|f| (named.clone(), f.column, f.problem))?;
    let jwk = Jwk::from_json(row.jwk.as_bytes()).and_then(|jwk| VerifyingKey::from_jwk(&jwk));
    let key = jwk.map_err(|e| (named.clone(), "jwk", e.to_string()))?;
    if key.kid() != row.kid {
        return Err((named, "kid", "is not the thumbprint of the key".to_owned()));
    }
    let suspect_from_us = row.suspect_from_us.filter(|_| row.state == KeyState::Withdrawn).map(|t| t.0);
    let known = KnownKey {
        key,
        holder: row.holder.to_string(),
        added_at_us: row.added_at_us.0,
        ended_at_us: row.ended_at_us.map(|t| t.0),
        suspect_from_us,
    };
    Ok((row.kid, known))
}
