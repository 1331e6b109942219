//! Public keys.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey};

use super::{Algorithm, BadSignature, Jwk, KeyError, jwt};
use crate::encoding::from_base64url;

/// A public key, parsed once and then used any number of times, from any thread.
///
/// It holds the key twice: as jsonwebtoken takes it, for JWTs, and as the crypto library has
/// parsed it, for notes and receipts. Both come from the same checked bytes.
#[derive(Clone, Debug)]
pub struct VerifyingKey {
    algorithm: Algorithm,
    parsed: ParsedPublicKey,
    jwt: jsonwebtoken::DecodingKey,
    jwk: Jwk,
    kid: String,
}

impl VerifyingKey {
    /// Parses a public key.
    ///
    /// # Errors
    /// See [`KeyError`]. Weak Ed25519 points and P-256 points off the curve are refused here. An
    /// Ed25519 encoding that is no point at all is accepted and then verifies nothing.
    pub fn from_jwk(jwk: &Jwk) -> Result<Self, KeyError> {
        let (algorithm, bytes) = jwk.parse()?;
        let jwt = jwt::decoding_key(algorithm, &bytes);
        let parsed = match algorithm {
            Algorithm::EdDsa => ParsedPublicKey::new(&ED25519, bytes),
            Algorithm::Es256 => ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, bytes),
        }
        .map_err(|_| KeyError::NotOnCurve)?;
        Ok(Self { algorithm, parsed, jwt, jwk: jwk.clone(), kid: jwk.thumbprint() })
    }

    /// The key's name: its RFC 7638 thumbprint, 43 characters.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The one algorithm this key verifies.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The key as JSON.
    pub fn jwk(&self) -> &Jwk {
        &self.jwk
    }

    /// The public key's bytes: 32 of Ed25519, or the 65 of an uncompressed SEC1 point.
    pub fn public_bytes(&self) -> &[u8] {
        self.parsed.as_ref()
    }

    /// Checks one signature over a message that is no JWS, by itself.
    ///
    /// ES256 accepts both `S` and `n − S`, as JOSE libraries make either: the bytes of a
    /// signature do not identify what was signed, its message does.
    ///
    /// # Errors
    /// See [`BadSignature`].
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        self.parsed.verify_sig(message, signature).map_err(|_| self.algorithm.why_bad(signature))
    }

    /// Checks the signature (base64url) of a JWS, through jsonwebtoken, with this key's algorithm.
    pub(crate) fn verify_jws(&self, signing_input: &str, signature: &str) -> Result<(), BadSignature> {
        jwt::verify(self.algorithm, &self.jwt, signing_input, signature)
            .map_err(|error| from_base64url(signature).map_or(error, |bytes| self.algorithm.why_bad(&bytes)))
    }
}

impl PartialEq for VerifyingKey {
    fn eq(&self, other: &Self) -> bool {
        self.jwk == other.jwk
    }
}

impl Eq for VerifyingKey {}
