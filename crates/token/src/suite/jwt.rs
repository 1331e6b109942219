//! The signatures of JWTs: jsonwebtoken, and nothing of it but the signature.
//!
//! Header and claims are read by `crate::jws`, before: jsonwebtoken takes header members that we
//! refuse (`jwk`, `jku`, `x5c`), ignores members given twice, and cannot say what exactly was
//! wrong. The algorithm handed to it is the key's, never the token's.
//!
//! Cost, by `jjj-bench recognition` on two shared cores: verifying
//! costs what aws-lc-rs costs alone (EdDSA 57 to 67 µs, ES256 102 to 104 µs, the order changing
//! between runs), and a recognition token read whole costs 1.0 times jsonwebtoken's bare `decode`
//! (71 µs and 71, 107 and 110). A signer is made anew from PKCS#8 for each token, which adds
//! about 16 µs to EdDSA's 18 and 23 µs to ES256's 32; claims and encoding are part of that.

use std::sync::Once;

use jsonwebtoken::crypto::{self, aws_lc};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};

use super::SignError;

pub(super) fn sign(algorithm: Algorithm, key: &EncodingKey, signing_input: &str) -> Result<String, SignError> {
    install_provider();
    crypto::sign(signing_input.as_bytes(), key, algorithm).map_err(|_| SignError::Failed)
}

/// `false` and an error of jsonwebtoken are the same to us: the signature does not verify.
pub(super) fn verify(algorithm: Algorithm, key: &DecodingKey, signing_input: &str, signature: &str) -> bool {
    install_provider();
    crypto::verify(signature, signing_input.as_bytes(), key, algorithm).unwrap_or(false)
}

/// jsonwebtoken finds its provider by its crate features and panics when another crate of the
/// build turns on a second one; so it is named here, once for the process.
fn install_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // An error means that the embedding program has installed one before: it stays.
        let _ = aws_lc::DEFAULT_PROVIDER.install_default();
    });
}
