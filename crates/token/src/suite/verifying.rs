//! Public keys.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey};

use super::{Algorithm, BadSignature, Jwk, KeyError, jwt, sm2};
use crate::encoding::from_base64url;

/// A public key, parsed once and then used any number of times, from any thread.
///
/// What jsonwebtoken knows it holds twice: as jsonwebtoken takes it, for JWTs, and as the crypto library
/// has parsed it, for notes and receipts. Both come from the same checked bytes.
#[derive(Clone, Debug)]
pub struct VerifyingKey {
    algorithm: Algorithm,
    verifier: Verifier,
    public: Vec<u8>,
    jwk: Jwk,
    kid: String,
}

#[derive(Clone, Debug)]
enum Verifier {
    AwsLc { parsed: ParsedPublicKey, jose: jsonwebtoken::Algorithm, jwt: jsonwebtoken::DecodingKey },
    Sm2(Box<::sm2::dsa::VerifyingKey>),
}

impl VerifyingKey {
    /// Parses a public key.
    ///
    /// # Errors
    /// See [`KeyError`]. Weak Ed25519 points, and points off the curve of P-256 or SM2, are refused here. An
    /// Ed25519 encoding that is no point at all is accepted and then verifies nothing.
    pub fn from_jwk(jwk: &Jwk) -> Result<Self, KeyError> {
        use jsonwebtoken::{Algorithm as Jose, DecodingKey};

        let (algorithm, public) = jwk.parse()?;
        let of_aws_lc = |parsed: Result<ParsedPublicKey, _>, jose, jwt| match parsed {
            Ok(parsed) => Ok(Verifier::AwsLc { parsed, jose, jwt }),
            Err(_) => Err(KeyError::NotOnCurve),
        };
        let verifier = match algorithm {
            Algorithm::EdDsa => {
                of_aws_lc(ParsedPublicKey::new(&ED25519, &public), Jose::EdDSA, DecodingKey::from_ed_der(&public))?
            }
            Algorithm::Es256 => {
                let parsed = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &public);
                of_aws_lc(parsed, Jose::ES256, DecodingKey::from_ec_der(&public))?
            }
            Algorithm::Sm2 => Verifier::Sm2(Box::new(sm2::verifying_key(&public)?)),
        };
        Ok(Self { algorithm, verifier, public, jwk: jwk.clone(), kid: jwk.thumbprint() })
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
        &self.public
    }

    /// Checks one signature over a message that is no JWS, by itself.
    ///
    /// ES256 accepts both `S` and `n − S`, as JOSE libraries make either: the bytes of a
    /// signature do not identify what was signed, its message does. EdDSA and SM2 accept one.
    ///
    /// # Errors
    /// See [`BadSignature`].
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        let checked = match &self.verifier {
            Verifier::AwsLc { parsed, .. } => parsed.verify_sig(message, signature).is_ok(),
            Verifier::Sm2(key) => sm2::verify(key, message, signature),
        };
        if checked { Ok(()) } else { Err(self.algorithm().why_bad(signature)) }
    }

    /// Checks the signature (base64url) of a JWS, through jsonwebtoken where it can, with this key's algorithm.
    pub(crate) fn verify_jws(&self, signing_input: &str, signature: &str) -> Result<(), BadSignature> {
        let bytes = || from_base64url(signature);
        let checked = match &self.verifier {
            Verifier::AwsLc { jose, jwt, .. } => jwt::verify(*jose, jwt, signing_input, signature),
            Verifier::Sm2(key) => bytes().is_some_and(|bytes| sm2::verify(key, signing_input.as_bytes(), &bytes)),
        };
        if checked {
            return Ok(());
        }
        Err(bytes().map_or(BadSignature::Mismatch, |bytes| self.algorithm().why_bad(&bytes)))
    }
}

impl PartialEq for VerifyingKey {
    fn eq(&self, other: &Self) -> bool {
        self.jwk == other.jwk
    }
}

impl Eq for VerifyingKey {}
