//! Keys, and the algorithms they sign with.
//!
//! Every signature in the gateway is made by a [`SigningKey`] and checked by a [`VerifyingKey`]:
//! those of JWTs through jsonwebtoken (`jwt`), those of notes and receipts by aws-lc-rs, which is
//! also what jsonwebtoken runs on; SM2's by RustCrypto's `sm2` (`sm2.rs` beside). The algorithm is a
//! property of the key and never read from what is being verified (RFC 8725 §3.1).
//!
//! Absent on purpose: RSA, HMAC, `none`; batch verification (it accepts what single verification
//! refuses, and evidence must mean the same to everybody).

mod jwk;
mod jwt;
mod signing;
mod sm2;
mod verifying;

pub use jwk::Jwk;
pub use signing::{Custodian, SigningKey};
pub use verifying::VerifyingKey;

/// A signature algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// Ed25519 (RFC 8032), in JOSE `EdDSA` (RFC 8037). 64-byte deterministic signatures.
    EdDsa,
    /// ECDSA over P-256 with SHA-256, in JOSE `ES256` (RFC 7518 §3.4). 64-byte signatures `R ‖ S`.
    Es256,
    /// SM2 with SM3 (GB/T 32918.2, GM/T 0003.2) and the default ID `1234567812345678`. 64-byte deterministic
    /// signatures `R ‖ S`. No JOSE name is registered: ours is the object identifier (docs/tokens.md).
    Sm2,
}

impl Algorithm {
    /// All algorithms, in a stable order.
    pub const ALL: [Self; 3] = [Self::EdDsa, Self::Es256, Self::Sm2];
    /// Those registered for JOSE, which standard libraries know.
    pub const JOSE: [Self; 2] = [Self::EdDsa, Self::Es256];

    /// The value of the `alg` header of a JWS.
    pub fn jose_name(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
            Self::Sm2 => sm2::JOSE_NAME,
        }
    }

    /// Why a signature that did not verify did not, as far as its form tells.
    fn why_bad(self, signature: &[u8]) -> BadSignature {
        // Big-endian: the orders of Ed25519's group (RFC 8032 §5.1), of P-256 (FIPS 186-5) and of SM2's curve
        // (GB/T 32918.5).
        const ED25519_ORDER: [u8; 32] = [
            0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x14, 0xde, 0xf9, 0xde, 0xa2, 0xf7, 0x9c, 0xd6, 0x58,
            0x12, 0x63, 0x1a, 0x5c, 0xf5, 0xd3, 0xed,
        ];
        const P256_ORDER: [u8; 32] = [
            0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad,
            0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
        ];
        const SM2_ORDER: [u8; 32] = [
            0xff, 0xff, 0xff, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x72, 0x03,
            0xdf, 0x6b, 0x21, 0xc6, 0x05, 0x2b, 0x53, 0xbb, 0xf4, 0x09, 0x39, 0xd5, 0x41, 0x23,
        ];
        if signature.len() != 64 {
            return BadSignature::Length { found: signature.len() };
        }
        let (first, second) = signature.split_at(32);
        let of_pair = |order: &[u8; 32]| {
            let in_order = |n: &[u8]| n.iter().any(|byte| *byte != 0) && n.iter().lt(order);
            [("r", first), ("s", second)].into_iter().find(|(_, n)| !in_order(n)).map(|(name, _)| name)
        };
        let out_of_range = match self {
            // Little-endian on the wire.
            Self::EdDsa => (!second.iter().rev().lt(&ED25519_ORDER)).then_some("S"),
            Self::Es256 => of_pair(&P256_ORDER),
            Self::Sm2 => of_pair(&SM2_ORDER),
        };
        out_of_range.map_or(BadSignature::Mismatch, |number| BadSignature::Range { number })
    }
}

/// Why a key was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The text is not a JSON object with exactly the members `kty`, `crv`, `x` and, for EC, `y`.
    #[error("the key is not a JWK of the members kty, crv, x and y")]
    JwkMalformed,
    /// `kty` and `crv` name no algorithm of the suite.
    #[error("keys of type {kty} on curve {crv} are not supported")]
    Unsupported {
        /// The JWK's `kty`.
        kty: String,
        /// The JWK's `crv`.
        crv: String,
    },
    /// A coordinate is not canonical base64url of 32 bytes, or is there when it must not be.
    #[error("coordinate {name} of the key is malformed")]
    Coordinate {
        /// `x` or `y`.
        name: &'static str,
    },
    /// An Ed25519 key of small order or in a non-canonical encoding: signatures would verify
    /// that nobody made.
    #[error("the key is a weak Ed25519 point")]
    WeakPoint,
    /// The coordinates are not a point of the curve.
    #[error("the key is not a point of its curve")]
    NotOnCurve,
    /// The text is not one unencrypted `PRIVATE KEY` block (PKCS#8 in PEM).
    #[error("the private key is not unencrypted PKCS#8 in PEM")]
    Pem,
    /// The PKCS#8 document holds no key of the suite, or is damaged.
    #[error("the private key is damaged or of an unsupported algorithm")]
    PrivateKey,
    /// The crypto library could not make a key.
    #[error("no key could be generated")]
    Generation,
}

impl KeyError {
    /// The stable machine name of this error.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::JwkMalformed => "KEY_JWK_MALFORMED",
            Self::Unsupported { .. } => "KEY_UNSUPPORTED",
            Self::Coordinate { .. } => "KEY_COORDINATE_MALFORMED",
            Self::WeakPoint => "KEY_WEAK_POINT",
            Self::NotOnCurve => "KEY_NOT_ON_CURVE",
            Self::Pem => "KEY_PEM_MALFORMED",
            Self::PrivateKey => "KEY_PRIVATE_MALFORMED",
            Self::Generation => "KEY_GENERATION_FAILED",
        }
    }
}

/// The key would not sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// A fault: of the crypto library, or of a module that made a signature which does not verify.
    #[error("the key could not sign")]
    Failed,
    /// The module that keeps the key does not answer now; it is asked anew the next time.
    #[error("the module that keeps the key cannot be reached")]
    Unreachable,
}

impl SignError {
    /// The stable machine name of this error.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Failed => "SIGNING_FAILED",
            Self::Unreachable => "SIGNING_KEY_UNREACHABLE",
        }
    }
}

/// The signature is not one of this key over this message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSignature {
    /// Not the 64 bytes that each algorithm has: cut short, in DER, or of something else.
    #[error("the signature has {found} bytes, not 64")]
    Length {
        /// How many it has.
        found: usize,
    },
    /// A number in it is out of range: `S` of Ed25519 at least the group's order (RFC 8032 §5.1.7), which
    /// would be a second signature out of the first; `r` or `s` of ES256 or SM2 zero or at least the order.
    #[error("the signature's {number} is out of its range")]
    Range {
        /// `S`, or `r` or `s`.
        number: &'static str,
    },
    /// Of another key, or over another message.
    #[error("the signature does not verify")]
    Mismatch,
}

impl BadSignature {
    /// The stable machine name of this error.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Length { .. } => "SIGNATURE_LENGTH_WRONG",
            Self::Range { .. } => "SIGNATURE_OUT_OF_RANGE",
            Self::Mismatch => "SIGNATURE_INVALID",
        }
    }
}
