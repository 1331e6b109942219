//! Public keys as JSON (RFC 7517, RFC 7518 §6.2, RFC 8037 §2) and their names (RFC 7638).

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Algorithm, KeyError, sm2};
use crate::encoding::{base64url, from_base64url};
use crate::strict;

/// A public key as JSON: exactly `kty`, `crv`, `x` and, for EC keys, `y`.
///
/// No `kid`, `alg` or `use`: the name of a key is always its computed thumbprint, and its
/// algorithm follows from its type. What the text claims beyond that would have to be checked or
/// believed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Jwk {
    /// `OKP` or `EC`.
    pub kty: String,
    /// `Ed25519`, `P-256`, or SM2's curve by its object identifier, `urn:oid:1.2.156.10197.1.301`.
    pub crv: String,
    /// 32 bytes, base64url without padding.
    pub x: String,
    /// 32 bytes, base64url without padding; EC keys only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub y: Option<String>,
}

impl Jwk {
    /// Reads a JWK strictly: an object, no other members, none twice.
    ///
    /// # Errors
    /// [`KeyError::JwkMalformed`]. Whether the members make a key, `VerifyingKey::from_jwk` says.
    pub fn from_json(json: &[u8]) -> Result<Self, KeyError> {
        strict::from_object(json).ok_or(KeyError::JwkMalformed)
    }

    /// The JSON text, members in the order of RFC 7638 (which makes it the thumbprint's input).
    pub fn to_json(&self) -> String {
        let Self { kty, crv, x, y } = self;
        let text = |value: &str| serde_json::Value::from(value).to_string();
        let (crv, kty, x) = (text(crv), text(kty), text(x));
        match y.as_deref().map(text) {
            None => format!(r#"{{"crv":{crv},"kty":{kty},"x":{x}}}"#),
            Some(y) => format!(r#"{{"crv":{crv},"kty":{kty},"x":{x},"y":{y}}}"#),
        }
    }

    /// The SHA-256 thumbprint, base64url (RFC 7638 §3): 43 characters, the key's `kid`.
    ///
    /// Meaningful for keys that [`super::VerifyingKey::from_jwk`] accepts.
    pub fn thumbprint(&self) -> String {
        base64url(Sha256::digest(self.to_json()))
    }

    pub(crate) fn ed25519(public: &[u8]) -> Self {
        Self { kty: "OKP".into(), crv: "Ed25519".into(), x: base64url(public), y: None }
    }

    /// From an uncompressed SEC1 point, `04 ‖ x ‖ y`.
    pub(super) fn p256(point: &[u8; 65]) -> Self {
        Self::ec("P-256", point)
    }

    /// From an uncompressed SEC1 point of SM2's curve.
    pub(crate) fn sm2(point: &[u8; 65]) -> Self {
        Self::ec(sm2::CURVE, point)
    }

    fn ec(crv: &str, point: &[u8; 65]) -> Self {
        Self { kty: "EC".into(), crv: crv.into(), x: base64url(&point[1..33]), y: Some(base64url(&point[33..])) }
    }

    /// The algorithm, and the public key as the crypto library takes it: 32 bytes of Ed25519, or
    /// an uncompressed SEC1 point.
    pub(super) fn parse(&self) -> Result<(Algorithm, Vec<u8>), KeyError> {
        match (self.kty.as_str(), self.crv.as_str()) {
            ("OKP", "Ed25519") => {
                let public = coordinate("x", &self.x)?;
                if self.y.is_some() {
                    return Err(KeyError::Coordinate { name: "y" });
                }
                if is_weak_ed25519(&public) {
                    return Err(KeyError::WeakPoint);
                }
                Ok((Algorithm::EdDsa, public.to_vec()))
            }
            ("EC", crv @ ("P-256" | sm2::CURVE)) => {
                let x = coordinate("x", &self.x)?;
                let y = self.y.as_deref().ok_or(KeyError::Coordinate { name: "y" })?;
                let y = coordinate("y", y)?;
                let algorithm = if crv == sm2::CURVE { Algorithm::Sm2 } else { Algorithm::Es256 };
                Ok((algorithm, [&[4][..], &x, &y].concat()))
            }
            _ => Err(KeyError::Unsupported {
                kty: self.kty.chars().take(16).collect(),
                crv: self.crv.chars().take(16).collect(),
            }),
        }
    }
}

fn coordinate(name: &'static str, text: &str) -> Result<[u8; 32], KeyError> {
    from_base64url(text).and_then(|bytes| bytes.try_into().ok()).ok_or(KeyError::Coordinate { name })
}

/// Whether an Ed25519 public key is one of the eight points of small order, or encodes its `y`
/// with a value of the field's prime or more.
///
/// Verification with such a key (RFC 8032 §5.1.7, as libraries do it) accepts signatures over
/// messages that nobody signed. Honest keys are never of this kind.
fn is_weak_ed25519(public: &[u8; 32]) -> bool {
    // The `y` of the points of order 4, 1, 8, 8 and 2, little-endian.
    const SMALL_ORDER: [[u8; 32]; 5] = [
        [0; 32],
        {
            let mut one = [0; 32];
            one[0] = 1;
            one
        },
        [
            0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf,
            0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
        ],
        [
            0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20,
            0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
        ],
        {
            let mut minus_one = [0xff; 32];
            minus_one[0] = 0xec;
            minus_one[31] = 0x7f;
            minus_one
        },
    ];
    let mut y = *public;
    // The top bit is the sign of `x`.
    y[31] &= 0x7f;
    // The prime is 2^255 − 19.
    let not_reduced = y[0] >= 0xed && y[1..31].iter().all(|byte| *byte == 0xff) && y[31] == 0x7f;
    not_reduced || SMALL_ORDER.contains(&y)
}
