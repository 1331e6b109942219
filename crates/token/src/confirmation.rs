//! An administrator's statement that a key's fingerprint was confirmed out of band
//! (DESIGN.md §5 "Keys"): a compact JWS that two people's registrations carry.
//!
//! Header: `typ` is `jjj-confirmation+jwt`. Claims: those of [`ConfirmationClaims`] and no others.

use serde::{Deserialize, Serialize};

use crate::jws::{self, JwsError, Unverified};
use crate::suite::{SignError, SigningKey, VerifyingKey};

/// The header's `typ`.
pub const CONFIRMATION_TYP: &str = "jjj-confirmation+jwt";

const CLAIMS: &[&str] = &["iss", "aud", "sub", "fingerprint", "iat"];

/// What the administrator states.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfirmationClaims {
    /// The administrator, `gateway/admins/{id}`.
    pub iss: String,
    /// The gateway's name.
    pub aud: String,
    /// The participant or administrator whose key it is.
    pub sub: String,
    /// The RFC 7638 thumbprint that was read out.
    pub fingerprint: String,
    /// When, seconds since 1970.
    pub iat: i64,
}

/// Signs a statement.
pub fn sign_confirmation(key: &SigningKey, claims: &ConfirmationClaims) -> Result<String, SignError> {
    jws::sign(key, CONFIRMATION_TYP, claims)
}

/// The key a statement claims to be signed with, unverified: good for finding it, and for nothing else.
pub fn decode_unverified_kid(statement: &str) -> Result<String, JwsError> {
    Ok(Unverified::parse(statement, CONFIRMATION_TYP)?.kid)
}

/// Checks type and signature. Whether the claims are those expected, and the key that
/// administrator's, is the caller's to compare.
pub fn verify_confirmation(statement: &str, key: &VerifyingKey) -> Result<ConfirmationClaims, JwsError> {
    Unverified::parse(statement, CONFIRMATION_TYP)?.verify(key, CLAIMS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::REQUEST_TYP;

    fn claims() -> ConfirmationClaims {
        let text = String::from;
        ConfirmationClaims {
            iss: text("gateway/admins/li"),
            aud: text("gateway.test"),
            sub: text("regions/110000"),
            fingerprint: text("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"),
            iat: 1_790_000_000,
        }
    }

    #[test]
    fn a_statement_is_good_under_its_key_and_no_other_and_no_other_kind_of_token_is_one() {
        let key = SigningKey::from_ed25519_seed(&[7; 32]).unwrap();
        let other = SigningKey::from_ed25519_seed(&[8; 32]).unwrap();
        let statement = sign_confirmation(&key, &claims()).unwrap();
        assert_eq!(verify_confirmation(&statement, key.verifying_key()).unwrap(), claims());
        assert_eq!(decode_unverified_kid(&statement).unwrap(), key.kid());
        assert!(verify_confirmation(&statement, other.verifying_key()).is_err());
        let disguised = jws::sign(&key, REQUEST_TYP, &claims()).unwrap();
        assert!(verify_confirmation(&disguised, key.verifying_key()).is_err());
    }
}
