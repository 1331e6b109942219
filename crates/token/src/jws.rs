//! Compact JWS (RFC 7515 §3.1) as this crate's tokens use it: three canonical base64url parts, a
//! header of exactly `typ`, `alg` and `kid`, one strict JSON object as the payload.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::encoding::{base64url, from_base64url, hash_from_base64url};
use crate::strict::{self, StrictError};
use crate::suite::{BadSignature, SignError, SigningKey, VerifyingKey};

/// The longest token that is looked at, in bytes. Ours have fewer than 1,500.
pub const MAX_TOKEN_LEN: usize = 4096;

/// A part of a compact JWS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The protected header.
    Header,
    /// The payload.
    Claims,
    /// The signature.
    Signature,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Header => "header",
            Self::Claims => "payload",
            Self::Signature => "signature",
        })
    }
}

/// What is wrong with a token as a signed object, whatever it says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwsError {
    /// Longer than tokens of its kind are, [`MAX_TOKEN_LEN`] of most.
    #[error("the token is longer than tokens of its kind")]
    TooLong,
    /// Not three parts between two dots.
    #[error("the token is not three parts separated by dots")]
    NotCompact,
    /// A part is not canonical base64url without padding.
    #[error("the token's {0} is not base64url without padding")]
    Base64(Part),
    /// A part is not one JSON object.
    #[error("the token's {0} is not a JSON object")]
    Json(Part),
    /// A member stands twice in one object.
    #[error("the token's {part} says {name} twice")]
    Duplicate {
        /// Where.
        part: Part,
        /// The member, cut to 32 characters.
        name: String,
    },
    /// A header member other than `typ`, `alg` and `kid`: an embedded key or certificate, a
    /// reference to one, or an extension that would have to be understood.
    #[error("the token's header must not have {name}")]
    UnexpectedHeader {
        /// The member, cut to 32 characters.
        name: String,
    },
    /// `typ`, `alg` or `kid` is absent or no string.
    #[error("the token's header lacks the text {name}")]
    HeaderMissing {
        /// The member.
        name: &'static str,
    },
    /// A token of another kind (RFC 8725 §3.11).
    #[error("the token's typ is {found}, not {expected}")]
    WrongType {
        /// What it must be.
        expected: &'static str,
        /// What it is, cut to 32 characters.
        found: String,
    },
    /// `kid` is not a SHA-256 thumbprint: 43 characters of base64url.
    #[error("the token's kid is not a SHA-256 thumbprint")]
    KeyIdMalformed,
    /// `kid` names another key than the one it is verified with.
    #[error("the token names a key that is not in force for its issuer")]
    UnknownKey,
    /// `alg` is not the key's algorithm; so also `none`.
    #[error("the token's alg is {found}, not {expected}, the algorithm of its key")]
    AlgorithmMismatch {
        /// The key's algorithm.
        expected: &'static str,
        /// What the token says, cut to 32 characters.
        found: String,
    },
    /// The signature does not verify.
    #[error("the token: {0}")]
    BadSignature(#[from] BadSignature),
    /// A claim that this kind of token does not have.
    #[error("the token must not claim {name}")]
    UnexpectedClaim {
        /// The claim, cut to 32 characters.
        name: String,
    },
    /// A claim is absent or of the wrong type or form.
    #[error("a claim of the token is missing or malformed")]
    Claims,
}

impl JwsError {
    /// The stable machine name of this error.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::TooLong => "TOKEN_TOO_LONG",
            Self::NotCompact => "TOKEN_NOT_COMPACT",
            Self::Base64(_) => "TOKEN_NOT_BASE64URL",
            Self::Json(_) => "TOKEN_NOT_JSON",
            Self::Duplicate { .. } => "TOKEN_DUPLICATE_MEMBER",
            Self::UnexpectedHeader { .. } => "TOKEN_HEADER_UNEXPECTED",
            Self::HeaderMissing { .. } => "TOKEN_HEADER_MISSING",
            Self::WrongType { .. } => "TOKEN_TYPE_WRONG",
            Self::KeyIdMalformed => "TOKEN_KEY_ID_MALFORMED",
            Self::UnknownKey => "TOKEN_KEY_UNKNOWN",
            Self::AlgorithmMismatch { .. } => "TOKEN_ALGORITHM_MISMATCH",
            Self::BadSignature(BadSignature::Length { .. }) => "TOKEN_SIGNATURE_LENGTH_WRONG",
            Self::BadSignature(BadSignature::Range { .. }) => "TOKEN_SIGNATURE_OUT_OF_RANGE",
            Self::BadSignature(BadSignature::Mismatch) => "TOKEN_SIGNATURE_INVALID",
            Self::UnexpectedClaim { .. } => "TOKEN_CLAIM_UNEXPECTED",
            Self::Claims => "TOKEN_CLAIM_MALFORMED",
        }
    }
}

/// A token taken apart, its header checked for form, nothing verified yet.
pub(crate) struct Unverified<'a> {
    pub(crate) kid: String,
    algorithm: String,
    signing_input: &'a str,
    claims: Vec<u8>,
    signature: &'a str,
}

impl<'a> Unverified<'a> {
    pub(crate) fn parse(token: &'a str, typ: &'static str) -> Result<Self, JwsError> {
        Self::parse_up_to(MAX_TOKEN_LEN, token, typ)
    }

    /// As [`Self::parse`], of tokens that are longer by their nature.
    pub(crate) fn parse_up_to(max_len: usize, token: &'a str, typ: &'static str) -> Result<Self, JwsError> {
        Self::split(max_len, token, |header| read_header(header, typ, &["typ", "alg", "kid"]))
    }

    /// As [`Self::parse`], of tokens that name no key, because what they belong to names it.
    pub(crate) fn parse_unnamed(token: &'a str, typ: &'static str, kid: &str) -> Result<Self, JwsError> {
        Self::split(MAX_TOKEN_LEN, token, |header| {
            let (algorithm, _) = read_header(header, typ, &["typ", "alg"])?;
            Ok((algorithm, kid.to_owned()))
        })
    }

    fn split(
        max_len: usize,
        token: &'a str,
        read_header: impl FnOnce(&[u8]) -> Result<(String, String), JwsError>,
    ) -> Result<Self, JwsError> {
        if token.len() > max_len {
            return Err(JwsError::TooLong);
        }
        let (signing_input, signature) = token.rsplit_once('.').ok_or(JwsError::NotCompact)?;
        let (header, claims) = signing_input.split_once('.').ok_or(JwsError::NotCompact)?;
        if claims.contains('.') {
            return Err(JwsError::NotCompact);
        }
        let bytes = |part, text| from_base64url(text).ok_or(JwsError::Base64(part));
        let (algorithm, kid) = read_header(&bytes(Part::Header, header)?)?;
        let claims = bytes(Part::Claims, claims)?;
        bytes(Part::Signature, signature)?;
        Ok(Self { kid, algorithm, signing_input, claims, signature })
    }

    /// Reads the claims before anything is verified. Only what finds the key may rest on them.
    pub(crate) fn claims_unverified<T: DeserializeOwned>(&self, known: &[&str]) -> Result<T, JwsError> {
        let names = members(Part::Claims, &self.claims)?;
        if let Some(name) = names.iter().find(|name| !known.contains(&name.as_str())) {
            return Err(JwsError::UnexpectedClaim { name: cut(name) });
        }
        serde_json::from_slice(&self.claims).map_err(|_| JwsError::Claims)
    }

    /// Verifies the signature with the key's own algorithm, then reads the claims.
    pub(crate) fn verify<T: DeserializeOwned>(&self, key: &VerifyingKey, known: &[&str]) -> Result<T, JwsError> {
        if self.kid != key.kid() {
            return Err(JwsError::UnknownKey);
        }
        let expected = key.algorithm().jose_name();
        if self.algorithm != expected {
            return Err(JwsError::AlgorithmMismatch { expected, found: cut(&self.algorithm) });
        }
        key.verify_jws(self.signing_input, self.signature)?;
        self.claims_unverified(known)
    }
}

/// Signs claims as a compact JWS. The same claims always make the same signing input.
pub(crate) fn sign<T: Serialize>(key: &SigningKey, typ: &'static str, claims: &T) -> Result<String, SignError> {
    let (algorithm, kid) = (key.algorithm().jose_name(), key.kid());
    sign_under(&format!(r#"{{"typ":"{typ}","alg":"{algorithm}","kid":"{kid}"}}"#), key, claims)
}

/// As [`sign`], of tokens that name no key.
pub(crate) fn sign_unnamed<T: Serialize>(key: &SigningKey, typ: &'static str, claims: &T) -> Result<String, SignError> {
    sign_under(&format!(r#"{{"typ":"{typ}","alg":"{}"}}"#, key.algorithm().jose_name()), key, claims)
}

fn sign_under<T: Serialize>(header: &str, key: &SigningKey, claims: &T) -> Result<String, SignError> {
    let claims = serde_json::to_vec(claims).map_err(|_| SignError::Failed)?;
    let mut token = format!("{}.{}", base64url(header), base64url(claims));
    let signature = key.sign_jws(&token)?;
    token.push('.');
    token.push_str(&signature);
    Ok(token)
}

/// `alg` and `kid` of a header that has these members and no others; `kid` is empty where it is none of them.
fn read_header(json: &[u8], typ: &'static str, known: &[&str]) -> Result<(String, String), JwsError> {
    #[derive(serde::Deserialize)]
    struct Header {
        typ: Option<serde_json::Value>,
        alg: Option<serde_json::Value>,
        kid: Option<serde_json::Value>,
    }

    let names = members(Part::Header, json)?;
    if let Some(name) = names.iter().find(|name| !known.contains(&name.as_str())) {
        return Err(JwsError::UnexpectedHeader { name: cut(name) });
    }
    let header: Header = serde_json::from_slice(json).map_err(|_| JwsError::Json(Part::Header))?;
    let text = |name, value| match value {
        Some(serde_json::Value::String(text)) => Ok(text),
        _ => Err(JwsError::HeaderMissing { name }),
    };
    let found = text("typ", header.typ)?;
    if found != typ {
        return Err(JwsError::WrongType { expected: typ, found: cut(&found) });
    }
    let algorithm = text("alg", header.alg)?;
    if !known.contains(&"kid") {
        return Ok((algorithm, String::new()));
    }
    let kid = text("kid", header.kid)?;
    if hash_from_base64url(&kid).is_none() {
        return Err(JwsError::KeyIdMalformed);
    }
    Ok((algorithm, kid))
}

fn members(part: Part, json: &[u8]) -> Result<Vec<String>, JwsError> {
    strict::member_names(json).map_err(|error| match error {
        StrictError::Syntax => JwsError::Json(part),
        StrictError::Duplicate(name) => JwsError::Duplicate { part, name: cut(&name) },
    })
}

fn cut(name: &str) -> String {
    name.chars().take(32).collect()
}
