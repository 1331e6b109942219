//! Private keys.

use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use zeroize::Zeroizing;

use super::{Algorithm, Jwk, KeyError, SignError, VerifyingKey, jwt, sm2};
use crate::encoding::{base64_std, base64url};

/// A private key that signs. Its `Debug` shows the name and the algorithm only.
pub struct SigningKey {
    secret: Secret,
    public: VerifyingKey,
}

/// Where the secret is; with it, as jsonwebtoken takes it (wiped when dropped).
enum Secret {
    Ed25519(Ed25519KeyPair, jsonwebtoken::EncodingKey),
    P256(EcdsaKeyPair, jsonwebtoken::EncodingKey),
    Sm2(Box<::sm2::dsa::SigningKey>),
    Elsewhere(Box<dyn Custodian>),
}

/// Keeps a secret that this process never sees, and signs with it: a PKCS #11 module. May block.
pub trait Custodian: Send + Sync {
    /// Signs a message as [`SigningKey::sign`] does: 64 bytes, `R ‖ S` for ES256.
    ///
    /// # Errors
    /// [`SignError`].
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError>;
}

impl SigningKey {
    /// A new key as PKCS#8 in PEM, which OpenSSL and others read too. The randomness is the
    /// crypto library's.
    ///
    /// # Errors
    /// [`KeyError::Generation`].
    pub fn generate_pkcs8_pem(algorithm: Algorithm) -> Result<Zeroizing<String>, KeyError> {
        let rng = SystemRandom::new();
        let document = match algorithm {
            // Version 1 has no public key inside; OpenSSL before 3 reads nothing else.
            Algorithm::EdDsa => Ed25519KeyPair::generate_pkcs8v1(&rng),
            Algorithm::Es256 => EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &rng),
            Algorithm::Sm2 => return sm2::generate_pkcs8().map(|document| private_pem(&document)),
        }
        .map_err(|_| KeyError::Generation)?;
        Ok(private_pem(document.as_ref()))
    }

    /// Reads an unencrypted PKCS#8 `PRIVATE KEY` block. The algorithm is the key's own.
    ///
    /// # Errors
    /// [`KeyError::Pem`] when there is no such block, [`KeyError::PrivateKey`] when it holds no
    /// Ed25519, P-256 or SM2 key.
    pub fn from_pkcs8_pem(pem: &str) -> Result<Self, KeyError> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| KeyError::Pem)?;
        Self::from_pkcs8_der(der.secret_pkcs8_der())
    }

    /// As [`Self::from_pkcs8_pem`], from DER.
    ///
    /// # Errors
    /// [`KeyError::PrivateKey`].
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, KeyError> {
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8(der) {
            return Self::ed25519(pair);
        }
        // The document names its curve: it is a key of one of them only.
        let Ok(pair) = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der) else {
            let (key, point) = sm2::from_pkcs8(der)?;
            let public = VerifyingKey::from_jwk(&Jwk::sm2(&point))?;
            return Ok(Self { secret: Secret::Sm2(Box::new(key)), public });
        };
        let point: &[u8; 65] = pair.public_key().as_ref().try_into().map_err(|_| KeyError::PrivateKey)?;
        let public = VerifyingKey::from_jwk(&Jwk::p256(point))?;
        let jwt = jsonwebtoken::EncodingKey::from_ec_der(der);
        Ok(Self { secret: Secret::P256(pair, jwt), public })
    }

    /// The Ed25519 key of a 32-byte seed (RFC 8032 §5.1.5): for keys that must be the same in
    /// every run, such as test vectors.
    ///
    /// # Errors
    /// [`KeyError::PrivateKey`].
    pub fn from_ed25519_seed(seed: &[u8; 32]) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| KeyError::PrivateKey)?;
        Self::ed25519(pair)
    }

    /// A key whose secret is kept elsewhere. That the two halves belong together shows with each signature,
    /// which is verified before it is given out.
    ///
    /// # Errors
    /// See [`VerifyingKey::from_jwk`].
    pub fn kept_by(custodian: Box<dyn Custodian>, public: &Jwk) -> Result<Self, KeyError> {
        Ok(Self { secret: Secret::Elsewhere(custodian), public: VerifyingKey::from_jwk(public)? })
    }

    /// Whether signing may block: asynchronous callers then sign on a thread that may.
    pub fn may_block(&self) -> bool {
        matches!(self.secret, Secret::Elsewhere(_))
    }

    /// The key's name: the RFC 7638 thumbprint of its public half, 43 characters.
    pub fn kid(&self) -> &str {
        self.public.kid()
    }

    /// The algorithm it signs with.
    pub fn algorithm(&self) -> Algorithm {
        self.public.algorithm()
    }

    /// The public half as JSON.
    pub fn public_jwk(&self) -> &Jwk {
        self.public.jwk()
    }

    /// The public half, ready to verify.
    pub fn verifying_key(&self) -> &VerifyingKey {
        &self.public
    }

    /// Signs a message that is no JWS (a note, a receipt): 64 bytes for each algorithm.
    ///
    /// Callers separate their purposes by what they sign: a JWS signing input is all base64url
    /// and dots, a note has no control character but the newline, and a receipt's message starts
    /// with its context and a zero byte. No message of one kind is one of another.
    ///
    /// # Errors
    /// [`SignError`].
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let signature = match &self.secret {
            Secret::Ed25519(pair, _) => pair.try_sign(message),
            Secret::P256(pair, _) => pair.sign(&SystemRandom::new(), message),
            Secret::Sm2(key) => return sm2::sign(key, message),
            Secret::Elsewhere(custodian) => {
                let signature = custodian.sign(message)?;
                // A module with another key under the name, or a fault injected, must not leave this process.
                return self.public.verify(message, &signature).map(|()| signature).map_err(|_| SignError::Failed);
            }
        };
        Ok(signature.map_err(|_| SignError::Failed)?.as_ref().to_vec())
    }

    /// Signs a JWS signing input, through jsonwebtoken where it can; the signature as base64url.
    pub(crate) fn sign_jws(&self, signing_input: &str) -> Result<String, SignError> {
        match &self.secret {
            Secret::Ed25519(_, jwt) => jwt::sign(jsonwebtoken::Algorithm::EdDSA, jwt, signing_input),
            Secret::P256(_, jwt) => jwt::sign(jsonwebtoken::Algorithm::ES256, jwt, signing_input),
            Secret::Sm2(_) | Secret::Elsewhere(_) => self.sign(signing_input.as_bytes()).map(base64url),
        }
    }

    fn ed25519(pair: Ed25519KeyPair) -> Result<Self, KeyError> {
        let public = VerifyingKey::from_jwk(&Jwk::ed25519(pair.public_key().as_ref()))?;
        let der = pair.to_pkcs8v1().map_err(|_| KeyError::PrivateKey)?;
        let jwt = jsonwebtoken::EncodingKey::from_ed_der(der.as_ref());
        Ok(Self { secret: Secret::Ed25519(pair, jwt), public })
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("kid", &self.kid())
            .field("algorithm", &self.algorithm())
            .field("secret", &"[redacted]")
            .finish()
    }
}

/// RFC 7468: lines of 64 characters between the labels.
fn private_pem(der: &[u8]) -> Zeroizing<String> {
    let body = Zeroizing::new(base64_std(der));
    let mut pem = Zeroizing::new(String::with_capacity(body.len() + body.len() / 64 + 64));
    pem.push_str("-----BEGIN PRIVATE KEY-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = tail;
    }
    pem.push_str("-----END PRIVATE KEY-----\n");
    pem
}
