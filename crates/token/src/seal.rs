//! Personal data at rest: encrypted under a key of its own, that key wrapped under the master
//! key; found again by keyed hash; committed to in the log by salted hash.
//!
//! Destroying the wrapped key destroys the data, wherever copies of the ciphertext are.
//!
//! # Format
//!
//! A sealed value is `01 ‖ nonce (12 bytes) ‖ ciphertext ‖ tag (16 bytes)`: AES-256-GCM
//! (NIST SP 800-38D). The first byte names the algorithm. The associated data is the caller's and
//! binds the value to its place: the table, the row, the purpose. The master key itself encrypts
//! nothing; each use has a key of its own, derived with HKDF-SHA-256 (RFC 5869).
//!
//! Nonces are random and a parameter. Under one key at most 2^32 values may be sealed (SP 800-38D
//! §8.3); for a person's or a file's key that is out of reach, and for the wrapping key it bounds
//! the number of persons and files.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::{hkdf, hmac};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::merkle::Hash;

/// The length of a nonce, in bytes.
pub const NONCE_LEN: usize = 12;
/// The length of a commitment's salt, in bytes.
pub const SALT_LEN: usize = 32;
/// How much longer a sealed value is than what it seals, in bytes.
pub const OVERHEAD_LEN: usize = 1 + NONCE_LEN + TAG_LEN;

const AES_256_GCM_V1: u8 = 0x01;
const TAG_LEN: usize = 16;

/// Why a value was not sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Shorter than any sealed value.
    #[error("the sealed value is truncated")]
    Truncated,
    /// Sealed by an algorithm that this version does not know.
    #[error("the sealed value has an unknown format")]
    UnknownFormat,
    /// Another key, other associated data, or altered: the three cannot be told apart.
    #[error("the sealed value does not open with this key and this associated data")]
    Unauthentic,
    /// What was unwrapped is not a key of 32 bytes.
    #[error("the wrapped value is not a key")]
    NotAKey,
    /// The crypto library refused, as it does for more than 64 GiB.
    #[error("the value could not be sealed")]
    Failed,
}

impl SealError {
    /// The stable machine name of this error.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Truncated => "SEAL_TRUNCATED",
            Self::UnknownFormat => "SEAL_FORMAT_UNKNOWN",
            Self::Unauthentic => "SEAL_NOT_AUTHENTIC",
            Self::NotAKey => "SEAL_NOT_A_KEY",
            Self::Failed => "SEAL_FAILED",
        }
    }
}

/// The key above all others, kept outside the database. Only its derived keys stay in memory.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct MasterKey {
    wrap: [u8; 32],
    lookup: [u8; 32],
}

impl MasterKey {
    /// Takes 32 random bytes. The caller's copy is the caller's to erase.
    pub fn new(secret: &[u8; 32]) -> Self {
        let derived = hkdf::Salt::new(hkdf::HKDF_SHA256, b"jjj-master-v1").extract(secret);
        Self { wrap: expand(&derived, b"jjj-wrap-v1"), lookup: expand(&derived, b"jjj-lookup-v1") }
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey([redacted])")
    }
}

/// The key of one person or one file.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct DataKey([u8; 32]);

impl DataKey {
    /// Takes 32 random bytes. The caller's copy is the caller's to erase.
    pub fn new(secret: &[u8; 32]) -> Self {
        Self(*secret)
    }

    /// A new key; `fill` fills a buffer with random bytes.
    pub fn generate(fill: &mut dyn FnMut(&mut [u8])) -> Self {
        let mut key = Self([0; 32]);
        fill(&mut key.0);
        key
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey([redacted])")
    }
}

/// Wraps a data key under the master key: 61 bytes. `aad` names whose key it is.
///
/// # Errors
/// [`SealError::Failed`].
pub fn wrap_key(master: &MasterKey, key: &DataKey, aad: &[u8], nonce: [u8; NONCE_LEN]) -> Result<Vec<u8>, SealError> {
    seal(&master.wrap, aad, nonce, &key.0)
}

/// Unwraps a data key.
///
/// # Errors
/// All of [`SealError`] but [`SealError::Failed`].
pub fn unwrap_key(master: &MasterKey, aad: &[u8], wrapped: &[u8]) -> Result<DataKey, SealError> {
    let secret = open(&master.wrap, aad, wrapped)?;
    let secret: &[u8; 32] = secret.as_slice().try_into().map_err(|_| SealError::NotAKey)?;
    Ok(DataKey::new(secret))
}

/// Encrypts under a data key. `aad` names what this is, so that it cannot stand for another value.
///
/// # Errors
/// [`SealError::Failed`].
pub fn encrypt(key: &DataKey, aad: &[u8], nonce: [u8; NONCE_LEN], plaintext: &[u8]) -> Result<Vec<u8>, SealError> {
    seal(&key.0, aad, nonce, plaintext)
}

/// Decrypts. The plaintext is erased from memory when dropped.
///
/// # Errors
/// [`SealError::Truncated`], [`SealError::UnknownFormat`], [`SealError::Unauthentic`].
pub fn decrypt(key: &DataKey, aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
    open(&key.0, aad, sealed)
}

/// The keyed hash by which an identifier is found: HMAC-SHA-256 in 64 lower-case hexadecimal
/// digits, over the length of `kind` (4 bytes, big-endian), `kind` and `identifier`. Without the
/// master key, identifiers cannot be tried against it.
///
/// `identifier` is the caller's to normalise: another spelling is another hash.
pub fn lookup_hash(master: &MasterKey, kind: &str, identifier: &str) -> String {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &master.lookup));
    context.update(&(kind.len() as u32).to_be_bytes());
    context.update(kind.as_bytes());
    context.update(identifier.as_bytes());
    hex::encode(context.sign())
}

/// What a leaf of the log holds of personal data: SHA-256(salt ‖ bytes). Without the salt nothing
/// can be tried against it, and with salt and bytes erased it says nothing.
///
/// The salt has one fixed length, so that no part of the bytes can pass for a part of the salt.
pub fn commitment(salt: &[u8; SALT_LEN], canonical_bytes: &[u8]) -> Hash {
    Sha256::new().chain_update(salt).chain_update(canonical_bytes).finalize().into()
}

fn expand(derived: &hkdf::Prk, purpose: &'static [u8]) -> [u8; 32] {
    let mut key = [0; 32];
    derived
        .expand(&[purpose], hkdf::HKDF_SHA256)
        .and_then(|output| output.fill(&mut key))
        .expect("HKDF-SHA-256 gives 32 bytes");
    key
}

fn seal(key: &[u8; 32], aad: &[u8], nonce: [u8; NONCE_LEN], plaintext: &[u8]) -> Result<Vec<u8>, SealError> {
    let mut sealed = Vec::with_capacity(plaintext.len() + OVERHEAD_LEN);
    sealed.push(AES_256_GCM_V1);
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(plaintext);
    let body = &mut sealed[1 + NONCE_LEN..];
    let tag = aead(key)
        .ok_or(SealError::Failed)?
        .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), body)
        .map_err(|_| SealError::Failed)?;
    sealed.extend_from_slice(tag.as_ref());
    Ok(sealed)
}

fn open(key: &[u8; 32], aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let (&format, rest) = sealed.split_first().ok_or(SealError::Truncated)?;
    if format != AES_256_GCM_V1 {
        return Err(SealError::UnknownFormat);
    }
    let (nonce, body) = rest.split_first_chunk::<NONCE_LEN>().ok_or(SealError::Truncated)?;
    if body.len() < TAG_LEN {
        return Err(SealError::Truncated);
    }
    let mut body = Zeroizing::new(body.to_vec());
    let plaintext_len = aead(key)
        .ok_or(SealError::Unauthentic)?
        .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(aad), &mut body)
        .map_err(|_| SealError::Unauthentic)?
        .len();
    body.truncate(plaintext_len);
    Ok(body)
}

fn aead(key: &[u8; 32]) -> Option<LessSafeKey> {
    UnboundKey::new(&AES_256_GCM, key).ok().map(LessSafeKey::new)
}
