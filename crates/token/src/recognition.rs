//! The recognition token: what is recognized, by whom, for whom, until when, as a JWT that anyone
//! can check offline with the gateway's public keys.
//!
//! Header: `typ` is `jjj-recognition+jwt`, `alg` and `kid` as in every token. Claims: those of
//! [`RecognitionClaims`] and no others. There is no `aud`: it is for whoever is shown it. Nothing
//! personal is in it: persons and institutions appear under their resource names, levels without
//! scores.
//!
//! A valid token says what held when it was issued. Whether it still does, the status list at
//! `status.status_list.uri` says (IETF Token Status List): the verifier's next step,
//! [`crate::status_list`].

use serde::{Deserialize, Serialize};

use crate::jws::{self, JwsError, Unverified};
use crate::strict;
use crate::suite::{SignError, SigningKey, VerifyingKey};

/// The `typ` header of recognition tokens.
pub const RECOGNITION_TYP: &str = "jjj-recognition+jwt";
/// How far the verifier's clock may lag behind the gateway's, in seconds. There is no leeway at
/// the end of validity, which is a date that the record states.
pub const LEEWAY_S: i64 = 30;

const CLAIMS: &[&str] = &["iss", "sub", "iat", "nbf", "exp", "rec", "status"];

/// The claims of a recognition token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecognitionClaims {
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
    pub rec: Recognized,
    /// Where to ask whether it still is.
    #[serde(deserialize_with = "strict::object")]
    pub status: Status,
}

/// What is recognized: the `rec` claim. All names are resource names, never names of people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recognized {
    /// The recognized record.
    pub record: String,
    /// Its version.
    pub version: i64,
    /// Its kind, such as `INSTITUTION_RATING`.
    pub kind: String,
    /// The region that issued it.
    pub issuer: String,
    /// The region that recognizes it.
    pub recognizer: String,
    /// The institution or pseudonymous person it is about.
    pub subject: String,
    /// The scheme of the record, such as `GB_T_37276`.
    pub scheme: String,
    /// The grade or level as issued.
    pub native: String,
    /// The grade or level that the recognizer gives it.
    pub recognized: String,
    /// How well the two agree: `EXACT`, `NOMINAL` or `AMBIGUOUS`.
    pub quality: String,
}

/// The `status` claim (IETF Token Status List).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Status {
    /// The one mechanism used.
    #[serde(deserialize_with = "strict::object")]
    pub status_list: StatusListReference,
}

/// A place in a status list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatusListReference {
    /// The index of this token in the list.
    pub idx: u64,
    /// Where the list is.
    pub uri: String,
}

/// Why a recognition token is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecognitionTokenError {
    /// Damaged, of another kind, or not signed by this key.
    #[error(transparent)]
    Jws(#[from] JwsError),
    /// Issued by another gateway.
    #[error("the token's issuer is not the expected gateway")]
    IssuerMismatch,
    /// `exp` is not after `nbf`.
    #[error("the token's validity ends before it begins")]
    LifetimeInvalid,
    /// `nbf` or `iat` is in the future.
    #[error("the recognition is not valid yet at {now_s}")]
    NotYetValid {
        /// The verifier's time, seconds since 1970.
        now_s: i64,
    },
    /// `exp` has passed.
    #[error("the recognition ended at {exp}; the time is {now_s}")]
    Expired {
        /// When, seconds since 1970.
        exp: i64,
        /// The verifier's time, seconds since 1970.
        now_s: i64,
    },
}

impl RecognitionTokenError {
    /// The stable machine name of this error.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Jws(error) => error.reason(),
            Self::IssuerMismatch => "TOKEN_ISSUER_MISMATCH",
            Self::LifetimeInvalid => "TOKEN_LIFETIME_INVALID",
            Self::NotYetValid { .. } => "TOKEN_NOT_YET_VALID",
            Self::Expired { .. } => "TOKEN_EXPIRED",
        }
    }
}

/// Signs a recognition token.
///
/// # Errors
/// [`SignError`].
pub fn sign_recognition(key: &SigningKey, claims: &RecognitionClaims) -> Result<String, SignError> {
    jws::sign(key, RECOGNITION_TYP, claims)
}

/// The `kid` of a token, so that the key can be looked up. **Nothing is verified.**
///
/// # Errors
/// [`RecognitionTokenError::Jws`] when the token is malformed or of another kind.
pub fn decode_unverified_kid(token: &str) -> Result<String, RecognitionTokenError> {
    Ok(Unverified::parse(token, RECOGNITION_TYP)?.kid)
}

/// Verifies a recognition token of the gateway `issuer`, at `now_s` (seconds since 1970).
///
/// # Errors
/// See [`RecognitionTokenError`]. Revocation is not checked here.
pub fn verify_recognition(
    token: &str,
    key: &VerifyingKey,
    issuer: &str,
    now_s: i64,
) -> Result<RecognitionClaims, RecognitionTokenError> {
    let unverified = Unverified::parse(token, RECOGNITION_TYP)?;
    let claims: RecognitionClaims = unverified.verify(key, CLAIMS)?;
    check_stated(&claims.iss, [claims.iat, claims.nbf, claims.exp], issuer, now_s)?;
    Ok(claims)
}

/// Whether the gateway `issuer` states it, and of `now_s`. The times are `iat`, `nbf` and `exp`.
pub(crate) fn check_stated(
    iss: &str,
    [iat, nbf, exp]: [i64; 3],
    issuer: &str,
    now_s: i64,
) -> Result<(), RecognitionTokenError> {
    if iss != issuer {
        return Err(RecognitionTokenError::IssuerMismatch);
    }
    if exp <= nbf {
        return Err(RecognitionTokenError::LifetimeInvalid);
    }
    if iat.max(nbf) > now_s.saturating_add(LEEWAY_S) {
        return Err(RecognitionTokenError::NotYetValid { now_s });
    }
    if now_s >= exp {
        return Err(RecognitionTokenError::Expired { exp, now_s });
    }
    Ok(())
}
