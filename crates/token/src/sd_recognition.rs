//! A recognition as an SD-JWT (RFC 9901): the claims of a recognition token ([`crate::recognition`]), and
//! an assessment's dimension scores. The holder shows level and validity, and of the rest what they
//! choose to: whom it is about, and each score by itself.
//!
//! Header: `typ` is `jjj-recognition+sd-jwt`, `alg` and `kid` as in every token. Claims of the issuer's
//! JWT: those of a recognition token, `_sd_alg`, and `cnf` where the holder has a key. Disclosable are
//! `rec.subject` and the members of `rec.scores`, and nothing else: what a verifier must know in order
//! to refuse (who states it, validity, status) is always there (RFC 9901 §9.7).
//!
//! The status list and the place in it are those of the recognition token.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::jws::{self, JwsError, Unverified};
use crate::recognition::{RecognitionClaims, RecognitionTokenError, Status, check_stated};
use crate::sd_jwt::{Challenge, Revealed, SALT_LEN, SdJwt, SdJwtError, conceal};
use crate::strict;
use crate::suite::{Jwk, SignError, SigningKey, VerifyingKey};

/// The `typ` header of recognitions as SD-JWTs.
pub const SD_RECOGNITION_TYP: &str = "jjj-recognition+sd-jwt";

/// The dimensions of the assessment standards: GB/T 42195 and DB11/T 1754 score the first four, MZ/T 039
/// rates `mental_state` and the last three.
pub const SCORES: [&str; 7] = [
    "self_care",
    "mobility",
    "mental_state",
    "perception_social",
    "daily_living",
    "perception_communication",
    "social_participation",
];

const CLAIMS: &[&str] = &["iss", "sub", "iat", "nbf", "exp", "rec", "status", "cnf", "_sd_alg"];
const SUBJECT: &str = "/rec/subject";
const SCORES_AT: &str = "/rec/scores/";

/// What a presentation states, as far as it was disclosed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SdRecognitionClaims {
    /// The gateway's origin.
    pub iss: String,
    /// The recognition's resource name.
    pub sub: String,
    /// Issued at, seconds since 1970.
    pub iat: i64,
    /// Recognized from, seconds since 1970.
    pub nbf: i64,
    /// Recognized until, seconds since 1970, exclusive.
    pub exp: i64,
    /// What is recognized.
    #[serde(deserialize_with = "strict::object")]
    pub rec: SdRecognized,
    /// Where to ask whether it still is.
    #[serde(deserialize_with = "strict::object")]
    pub status: Status,
    /// The holder's key, where they have one.
    #[serde(default, deserialize_with = "some_object", skip_serializing_if = "Option::is_none")]
    pub cnf: Option<HolderKey>,
}

/// What is recognized: as [`crate::recognition::Recognized`], and an assessment's scores.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "named and described in `Recognized`")]
pub struct SdRecognized {
    pub record: String,
    pub version: i64,
    pub kind: String,
    pub issuer: String,
    pub recognizer: String,
    /// Absent: not disclosed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    pub scheme: String,
    pub native: String,
    pub recognized: String,
    pub quality: String,
    /// Of an assessment, those disclosed, by [`SCORES`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub scores: BTreeMap<String, i64>,
}

/// The `cnf` claim (RFC 7800 §3.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HolderKey {
    /// The holder's public key.
    #[serde(deserialize_with = "strict::object")]
    pub jwk: Jwk,
}

/// Why a recognition as an SD-JWT is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SdRecognitionError {
    /// The issuer's JWT, or what it states, is refused.
    #[error(transparent)]
    Token(#[from] RecognitionTokenError),
    /// A disclosure or the key binding is refused.
    #[error(transparent)]
    SdJwt(#[from] SdJwtError),
    /// A claim was disclosed that must always be there, or that there is none of.
    #[error("the claim {pointer} cannot be disclosed")]
    NotDisclosable {
        /// Where, as a JSON pointer (RFC 6901), cut to 64 characters.
        pointer: String,
    },
    /// A holder was given a presentation with key binding (RFC 9901 §7.2).
    #[error("the SD-JWT is a presentation bound to a verifier, and not to be presented again")]
    BoundAlready,
}

impl SdRecognitionError {
    /// The stable machine name of this error.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Token(error) => error.reason(),
            Self::SdJwt(error) => error.reason(),
            Self::NotDisclosable { .. } => "SD_JWT_CLAIM_NOT_DISCLOSABLE",
            Self::BoundAlready => "SD_JWT_BOUND_ALREADY",
        }
    }
}

impl From<JwsError> for SdRecognitionError {
    fn from(error: JwsError) -> Self {
        Self::Token(error.into())
    }
}

/// Signs a recognition as an SD-JWT with all its disclosures, to be handed to its holder.
///
/// `scores` are the record's, by [`SCORES`]; `holder` the key of a holder who has one. `salt` gives
/// fresh randomness at every call.
///
/// # Errors
/// [`SignError`].
pub fn sign_sd_recognition(
    key: &SigningKey,
    claims: &RecognitionClaims,
    scores: &[(&'static str, i64)],
    holder: Option<&Jwk>,
    mut salt: impl FnMut() -> [u8; SALT_LEN],
) -> Result<String, SignError> {
    let mut payload = serde_json::to_value(claims).map_err(|_| SignError::Failed)?;
    payload["_sd_alg"] = "sha-256".into();
    if let Some(jwk) = holder {
        payload["cnf"] = serde_json::json!({ "jwk": jwk });
    }
    let rec = payload["rec"].as_object_mut().ok_or(SignError::Failed)?;
    let mut disclosures = vec![conceal(rec, "subject", salt()).ok_or(SignError::Failed)?];
    if !scores.is_empty() {
        let mut concealed: Map<_, _> =
            scores.iter().map(|(name, score)| ((*name).to_owned(), (*score).into())).collect();
        for (name, _) in scores {
            disclosures.push(conceal(&mut concealed, name, salt()).ok_or(SignError::Failed)?);
        }
        rec.insert("scores".to_owned(), concealed.into());
    }
    let jwt = jws::sign(key, SD_RECOGNITION_TYP, &payload)?;
    Ok(format!("{jwt}~{}~", disclosures.join("~")))
}

/// The `kid` of its issuer's JWT, so that the key can be looked up. **Nothing is verified.**
///
/// # Errors
/// [`SdRecognitionError::SdJwt`], and [`SdRecognitionError::Token`] when the JWT is malformed or of another kind.
pub fn decode_unverified_kid(text: &str) -> Result<String, SdRecognitionError> {
    Ok(Unverified::parse(SdJwt::parse(text)?.jwt(), SD_RECOGNITION_TYP)?.kid)
}

/// Verifies a recognition of the gateway `issuer` at `now_s` (seconds since 1970), with as much as is
/// disclosed of it.
///
/// With `asked`, it must be bound to that challenge by the holder's key. Without, key binding is not
/// looked at: whether it matters is for the verifier to know, never for the presentation to say
/// (RFC 9901 §7.3).
///
/// # Errors
/// See [`SdRecognitionError`]. Revocation is not checked here ([`crate::status_list`]).
pub fn verify_sd_recognition(
    text: &str,
    key: &VerifyingKey,
    issuer: &str,
    now_s: i64,
    asked: Option<&Challenge<'_>>,
) -> Result<SdRecognitionClaims, SdRecognitionError> {
    let sd_jwt = SdJwt::parse(text)?;
    let payload = Unverified::parse(sd_jwt.jwt(), SD_RECOGNITION_TYP)?.verify(key, CLAIMS)?;
    let claims = read(sd_jwt.reveal(payload)?)?;
    check_stated(&claims.iss, [claims.iat, claims.nbf, claims.exp], issuer, now_s)?;
    if let Some(asked) = asked {
        let holder = claims.cnf.as_ref().ok_or(SdJwtError::BindingKeyMissing)?;
        let holder = VerifyingKey::from_jwk(&holder.jwk).map_err(SdJwtError::from)?;
        sd_jwt.verify_binding(&holder, asked, now_s)?;
    }
    Ok(claims)
}

/// What the holder has and may show: the claims, and the pointers of those that they may keep to
/// themselves. **The signature is not verified.**
///
/// # Errors
/// See [`SdRecognitionError`]; [`SdRecognitionError::BoundAlready`].
pub fn decode_unverified(text: &str) -> Result<(SdRecognitionClaims, Vec<String>), SdRecognitionError> {
    let (_, revealed) = unverified(text)?;
    let pointers = revealed.disclosed.iter().map(|disclosed| disclosed.pointer.clone()).collect();
    Ok((read(revealed)?, pointers))
}

/// A presentation that shows only those of the disclosable claims whose pointer is kept
/// (`/rec/subject`, `/rec/scores/mobility`). **The signature is not verified.**
///
/// # Errors
/// See [`SdRecognitionError`]; [`SdRecognitionError::BoundAlready`].
pub fn present_sd_recognition(text: &str, keep: impl Fn(&str) -> bool) -> Result<String, SdRecognitionError> {
    let (sd_jwt, revealed) = unverified(text)?;
    let presentation = sd_jwt.present(&revealed, keep);
    read(revealed)?;
    Ok(presentation)
}

fn unverified(text: &str) -> Result<(SdJwt<'_>, Revealed), SdRecognitionError> {
    let sd_jwt = SdJwt::parse(text)?;
    if sd_jwt.is_bound() {
        return Err(SdRecognitionError::BoundAlready);
    }
    let payload = Unverified::parse(sd_jwt.jwt(), SD_RECOGNITION_TYP)?.claims_unverified(CLAIMS)?;
    let revealed = sd_jwt.reveal(payload)?;
    Ok((sd_jwt, revealed))
}

fn read(revealed: Revealed) -> Result<SdRecognitionClaims, SdRecognitionError> {
    let is_disclosable = |pointer: &str| {
        pointer == SUBJECT || pointer.strip_prefix(SCORES_AT).is_some_and(|name| SCORES.contains(&name))
    };
    if let Some(other) = revealed.disclosed.iter().find(|disclosed| !is_disclosable(&disclosed.pointer)) {
        return Err(SdRecognitionError::NotDisclosable { pointer: other.pointer.chars().take(64).collect() });
    }
    let claims: SdRecognitionClaims =
        serde_json::from_value(Value::Object(revealed.claims)).map_err(|_| JwsError::Claims)?;
    let is_known = claims.rec.scores.keys().all(|name| SCORES.contains(&name.as_str()));
    if is_known { Ok(claims) } else { Err(JwsError::Claims.into()) }
}

/// serde: an object that is there; `null` is refused.
fn some_object<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<HolderKey>, D::Error> {
    strict::object(deserializer).map(Some)
}
