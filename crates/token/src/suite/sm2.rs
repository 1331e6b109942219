//! SM2 with SM3 (GB/T 32918.2-2016, GM/T 0003.2-2012), by RustCrypto's `sm2`.
//!
//! The signer's ID, part of what is hashed, is always the default of GM/T 0009: keys are known by their
//! thumbprints, and an ID that a message could choose would be one more thing to check. Nonces are
//! derived (RFC 6979 with SM3), so that no weak randomness can give a key away.

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use sm2::SecretKey;
use sm2::dsa::signature::{Signer, Verifier};
use sm2::dsa::{self, Signature};
use sm2::pkcs8::{DecodePrivateKey, EncodePrivateKey};
use zeroize::Zeroizing;

use super::{KeyError, SignError};

/// The `alg` header: SM2-with-SM3 as a collision-resistant name (RFC 7515 §4.1.1), for none is registered.
pub(super) const JOSE_NAME: &str = "urn:oid:1.2.156.10197.1.501";
/// The `crv` of a JWK, likewise.
pub(super) const CURVE: &str = "urn:oid:1.2.156.10197.1.301";
/// The default ID of GM/T 0009-2012 §10.
const ID: &str = "1234567812345678";

pub(super) fn generate_pkcs8() -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let rng = SystemRandom::new();
    let mut scalar = Zeroizing::new([0; 32]);
    loop {
        rng.fill(scalar.as_mut()).map_err(|_| KeyError::Generation)?;
        // One in four thousand million is not below the order.
        if let Ok(secret) = SecretKey::from_slice(scalar.as_ref())
            && signing_key(&secret).is_ok()
        {
            let document = secret.to_pkcs8_der().map_err(|_| KeyError::Generation)?;
            return Ok(Zeroizing::new(document.as_bytes().to_vec()));
        }
    }
}

/// The key of a PKCS#8 document, and its point `04 ‖ x ‖ y`.
pub(super) fn from_pkcs8(der: &[u8]) -> Result<(dsa::SigningKey, [u8; 65]), KeyError> {
    let secret = SecretKey::from_pkcs8_der(der).map_err(|_| KeyError::PrivateKey)?;
    let key = signing_key(&secret)?;
    let point = key.verifying_key().to_sec1_bytes().as_ref().try_into().map_err(|_| KeyError::PrivateKey)?;
    Ok((key, point))
}

fn signing_key(secret: &SecretKey) -> Result<dsa::SigningKey, KeyError> {
    let key = dsa::SigningKey::new(ID, secret).map_err(|_| KeyError::PrivateKey)?;
    // The order less one is a scalar, and no key: 1 + d has no inverse (GB/T 32918.2 §6.1 excludes it).
    match sign(&key, b"") {
        Ok(_) => Ok(key),
        Err(_) => Err(KeyError::PrivateKey),
    }
}

/// From an uncompressed point `04 ‖ x ‖ y`, which must be on the curve.
pub(super) fn verifying_key(point: &[u8]) -> Result<dsa::VerifyingKey, KeyError> {
    dsa::VerifyingKey::from_sec1_bytes(ID, point).map_err(|_| KeyError::NotOnCurve)
}

pub(super) fn sign(key: &dsa::SigningKey, message: &[u8]) -> Result<Vec<u8>, SignError> {
    let signature: Signature = key.try_sign(message).map_err(|_| SignError::Failed)?;
    Ok(signature.to_bytes().to_vec())
}

/// `R` and `S` must be 1 to the order less one, in 32 bytes each; unlike with ECDSA, no other `S` goes with
/// the same `R`.
pub(super) fn verify(key: &dsa::VerifyingKey, message: &[u8], signature: &[u8]) -> bool {
    Signature::from_slice(signature).is_ok_and(|signature| key.verify(message, &signature).is_ok())
}
