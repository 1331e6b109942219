//! The SHA-256 thumbprint of a certificate: `x5t#S256` (RFC 7515 §4.1.8, RFC 8705 §3.1).

use sha2::{Digest, Sha256};

use crate::encoding::{base64url, hash_from_base64url};
use crate::merkle::Hash;

/// SHA-256 over the certificate's DER bytes, as they came in the TLS handshake.
pub fn certificate_sha256(der: &[u8]) -> Hash {
    Sha256::digest(der).into()
}

/// The thumbprint as tokens carry it: 43 characters of base64url.
pub fn x5t_s256(der: &[u8]) -> String {
    base64url(certificate_sha256(der))
}

/// Reads a thumbprint from its 43 characters; `None` when it is not one.
pub fn parse_x5t_s256(text: &str) -> Option<Hash> {
    hash_from_base64url(text)
}
