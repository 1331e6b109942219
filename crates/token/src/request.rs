//! The request token: who makes this call, over which connection, to which method, with what
//! content. One compact JWS per call, in the metadata of the call.
//!
//! | Header | Value |
//! |---|---|
//! | `typ` | `jjj-request+jwt` |
//! | `alg` | `EdDSA` or `ES256`, the algorithm of the key |
//! | `kid` | RFC 7638 SHA-256 thumbprint of the key |
//!
//! | Claim | Value |
//! |---|---|
//! | `iss` | the caller: `regions/110000`, `regions/110000/admins/wang`, `channels/unionpay` |
//! | `aud` | the gateway's name, one string |
//! | `iat`, `exp` | seconds since 1970, integers; `exp` at most 300 after `iat` |
//! | `jti` | unique per token: 8 to 64 letters, digits, `-` or `_` (a UUID will do) |
//! | `path` | the full gRPC path, `/jjj.gateway.v1.RatingService/PublishRating` |
//! | `cnf` | `{"x5t#S256": …}`: SHA-256 of the client certificate in use, base64url (RFC 8705 §3.1) |
//! | `root` | RFC 6962 root over the call's items, base64url; required on mutations and reads of personal data |
//!
//! Nothing else is allowed in either. A call with one message is one leaf over its exact bytes; a
//! batch call has one leaf for each of its items, in order (see [`crate::merkle::items_root`]).
//!
//! Verification is staged: [`decode_unverified_issuer`] says who it claims to be from, the caller
//! looks the key up, [`verify_request`] checks everything with that key. Later, and offline,
//! [`verify_evidence`] checks what does not depend on the moment.

use serde::{Deserialize, Serialize};

use crate::encoding::{base64url_hash, base64url_optional_hash};
use crate::jws::{self, JwsError, Unverified};
use crate::merkle::Hash;
use crate::strict;
use crate::suite::{SignError, SigningKey, VerifyingKey};

/// The `typ` header of request tokens.
pub const REQUEST_TYP: &str = "jjj-request+jwt";
/// The longest allowed time from `iat` to `exp`, in seconds.
pub const MAX_LIFETIME_S: i64 = 300;
/// How far the caller's clock may be off, in seconds, at either end.
pub const LEEWAY_S: i64 = 30;

const CLAIMS: &[&str] = &["iss", "aud", "iat", "exp", "jti", "path", "cnf", "root"];

/// The claims of a request token. See the table in the module's documentation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestClaims {
    /// The caller's resource name.
    pub iss: String,
    /// The gateway's name.
    pub aud: String,
    /// Issued at, seconds since 1970.
    pub iat: i64,
    /// Expires at, seconds since 1970.
    pub exp: i64,
    /// The token's own id.
    pub jti: String,
    /// The full gRPC path.
    pub path: String,
    /// The connection it is bound to.
    #[serde(deserialize_with = "strict::object")]
    pub cnf: Confirmation,
    /// Root over the call's items; `None` on calls that neither change anything nor read personal data.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "base64url_optional_hash")]
    pub root: Option<Hash>,
}

/// The `cnf` claim (RFC 7800 §3.1, RFC 8705 §3.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confirmation {
    /// SHA-256 over the DER of the client certificate.
    #[serde(rename = "x5t#S256", with = "base64url_hash")]
    pub certificate_sha256: Hash,
}

/// Whom an unverified token claims to be from. Good for finding a key, and for nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnverifiedIssuer {
    /// The claimed `iss`.
    pub iss: String,
    /// The `kid` header, in form a thumbprint.
    pub kid: String,
}

/// What the gateway knows about the call that a token came with.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The participant or administrator to whom the verifying key belongs, by the registry.
    pub issuer: &'a str,
    /// The gateway's own name.
    pub audience: &'a str,
    /// The gRPC path that was called.
    pub path: &'a str,
    /// SHA-256 of the client certificate of this connection.
    pub certificate_sha256: &'a Hash,
    /// The gateway's time, seconds since 1970.
    pub now_s: i64,
}

/// Why a request token is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestTokenError {
    /// Damaged, of another kind, or not signed by this key.
    #[error(transparent)]
    Jws(#[from] JwsError),
    /// `iss` is not the owner of the key.
    #[error("the token's issuer is not the owner of its key")]
    IssuerMismatch,
    /// `jti` is not 8 to 64 letters, digits, `-` or `_`.
    #[error("the token's jti must be 8 to 64 letters, digits, '-' or '_'")]
    IdMalformed,
    /// `exp` is not after `iat`.
    #[error("the token expires before it is issued")]
    LifetimeInvalid,
    /// `exp` is more than [`MAX_LIFETIME_S`] after `iat`.
    #[error("the token's lifetime exceeds {MAX_LIFETIME_S} seconds")]
    TooLongLived,
    /// `exp` and the leeway have passed.
    #[error("the token expired at {exp}; the gateway's time is {now_s}")]
    Expired {
        /// When, seconds since 1970.
        exp: i64,
        /// The gateway's time, seconds since 1970.
        now_s: i64,
    },
    /// `iat` is further ahead than the leeway.
    #[error("the token is issued at {iat}, in the future; the gateway's time is {now_s}")]
    NotYetValid {
        /// When, seconds since 1970.
        iat: i64,
        /// The gateway's time, seconds since 1970.
        now_s: i64,
    },
    /// For another gateway.
    #[error("the token's audience is not this gateway")]
    WrongAudience,
    /// For another method.
    #[error("the token is for another method")]
    WrongPath,
    /// For another connection.
    #[error("the token is not bound to the client certificate of this connection")]
    CertificateNotBound,
    /// A mutation, or a read of personal data, without `root`.
    #[error("the token does not bind the content of the call")]
    ContentNotBound,
    /// `root` is not the root over what was sent.
    #[error("the token binds other content than was sent")]
    ContentMismatch,
}

impl RequestTokenError {
    /// The stable machine name of this error.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Jws(error) => error.reason(),
            Self::IssuerMismatch => "TOKEN_ISSUER_MISMATCH",
            Self::IdMalformed => "TOKEN_ID_MALFORMED",
            Self::LifetimeInvalid => "TOKEN_LIFETIME_INVALID",
            Self::TooLongLived => "TOKEN_TOO_LONG_LIVED",
            Self::Expired { .. } => "TOKEN_EXPIRED",
            Self::NotYetValid { .. } => "TOKEN_NOT_YET_VALID",
            Self::WrongAudience => "TOKEN_AUDIENCE_WRONG",
            Self::WrongPath => "TOKEN_PATH_WRONG",
            Self::CertificateNotBound => "TOKEN_CERTIFICATE_NOT_BOUND",
            Self::ContentNotBound => "TOKEN_CONTENT_NOT_BOUND",
            Self::ContentMismatch => "TOKEN_CONTENT_MISMATCH",
        }
    }
}

/// Signs a request token. Claims are signed as given; the gateway judges them.
///
/// # Errors
/// [`SignError`].
pub fn sign_request(key: &SigningKey, claims: &RequestClaims) -> Result<String, SignError> {
    jws::sign(key, REQUEST_TYP, claims)
}

/// Whom the token claims to be from, so that a key can be looked up. **Nothing is verified.**
///
/// # Errors
/// [`RequestTokenError::Jws`] when the token is malformed or of another kind.
pub fn decode_unverified_issuer(token: &str) -> Result<UnverifiedIssuer, RequestTokenError> {
    let unverified = Unverified::parse(token, REQUEST_TYP)?;
    let claims: RequestClaims = unverified.claims_unverified(CLAIMS)?;
    Ok(UnverifiedIssuer { iss: claims.iss, kid: unverified.kid })
}

/// Verifies a token against the call it came with. `jti` is the caller's to remember; the content is for [`check_root`].
///
/// # Errors
/// See [`RequestTokenError`]. The signature comes before anything that the claims say, and the
/// first check that fails is the answer.
pub fn verify_request(
    token: &str,
    key: &VerifyingKey,
    expected: &Expected<'_>,
) -> Result<RequestClaims, RequestTokenError> {
    let claims: RequestClaims = Unverified::parse(token, REQUEST_TYP)?.verify(key, CLAIMS)?;
    if claims.iss != expected.issuer {
        return Err(RequestTokenError::IssuerMismatch);
    }
    check_form(&claims)?;
    check_time(&claims, expected.now_s)?;
    if claims.aud != expected.audience {
        return Err(RequestTokenError::WrongAudience);
    }
    if claims.path != expected.path {
        return Err(RequestTokenError::WrongPath);
    }
    if claims.cnf.certificate_sha256 != *expected.certificate_sha256 {
        return Err(RequestTokenError::CertificateNotBound);
    }
    Ok(claims)
}

/// Verifies that the owner of `key` signed a request with this content: signature, type, form and
/// `root`. For evidence, at any later time and offline.
///
/// Not checked, because only the caller can: that the key was in force for the returned `iss` at
/// the returned `iat`, and that `aud` and `path` are those of the record it is evidence for. The
/// time and the certificate are not checked; the gateway did so when it accepted the call.
///
/// # Errors
/// See [`RequestTokenError`].
pub fn verify_evidence(token: &str, key: &VerifyingKey, root: &Hash) -> Result<RequestClaims, RequestTokenError> {
    let claims: RequestClaims = Unverified::parse(token, REQUEST_TYP)?.verify(key, CLAIMS)?;
    check_form(&claims)?;
    check_root(&claims, root)?;
    Ok(claims)
}

fn check_form(claims: &RequestClaims) -> Result<(), RequestTokenError> {
    let id = claims.jti.as_bytes();
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if !(8..=64).contains(&id.len()) || !id.iter().all(allowed) {
        return Err(RequestTokenError::IdMalformed);
    }
    if claims.exp <= claims.iat {
        return Err(RequestTokenError::LifetimeInvalid);
    }
    if claims.exp.saturating_sub(claims.iat) > MAX_LIFETIME_S {
        return Err(RequestTokenError::TooLongLived);
    }
    Ok(())
}

fn check_time(claims: &RequestClaims, now_s: i64) -> Result<(), RequestTokenError> {
    let RequestClaims { iat, exp, .. } = *claims;
    if now_s >= exp.saturating_add(LEEWAY_S) {
        return Err(RequestTokenError::Expired { exp, now_s });
    }
    if iat > now_s.saturating_add(LEEWAY_S) {
        return Err(RequestTokenError::NotYetValid { iat, now_s });
    }
    Ok(())
}

/// Whether a verified token binds this content, as on every mutation and every read of personal data it must. On other
/// calls a `root` is not looked at.
///
/// # Errors
/// [`RequestTokenError::ContentNotBound`], [`RequestTokenError::ContentMismatch`].
pub fn check_root(claims: &RequestClaims, root: &Hash) -> Result<(), RequestTokenError> {
    match &claims.root {
        None => Err(RequestTokenError::ContentNotBound),
        Some(bound) if bound != root => Err(RequestTokenError::ContentMismatch),
        Some(_) => Ok(()),
    }
}
