//! Cosignatures of witnesses (c2sp.org/tlog-cosignature, `cosignature/v1` over Ed25519): "I saw this
//! head at that time, and it extends every head of this log that I saw before".
//!
//! A line like any other of a note: key id of type 4, then the time as 8 bytes big-endian and the
//! signature over `cosignature/v1`, `time <seconds>` and the note's text, each a line.

use super::{NoteError, NoteSignature, SignedNote, check_ed25519, check_name, parse_vkey, public_vkey, typed_key_id};
use crate::suite::{SigningKey, VerifyingKey};

/// The signature type of timestamped Ed25519 cosignatures.
const COSIGNATURE: &[u8] = &[0x04];
/// Time and signature.
const LEN: usize = 8 + 64;

/// A named key that verifies cosignatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CosignatureVerifier {
    name: String,
    id: [u8; 4],
    key: VerifyingKey,
}

impl CosignatureVerifier {
    /// A witness's key under its name.
    ///
    /// # Errors
    /// [`NoteError::KeyName`], [`NoteError::NotEd25519`].
    pub fn new(name: &str, key: &VerifyingKey) -> Result<Self, NoteError> {
        check_name(name)?;
        check_ed25519(key)?;
        Ok(Self { name: name.into(), id: typed_key_id(COSIGNATURE, name, key), key: key.clone() })
    }

    /// Reads a verifier key: `name+hex(id)+base64(04 ‖ public key)`.
    ///
    /// # Errors
    /// [`NoteError::VerifierKey`], [`NoteError::KeyName`], [`NoteError::Key`].
    pub fn from_vkey(vkey: &str) -> Result<Self, NoteError> {
        let (name, key) = parse_vkey(&[COSIGNATURE], vkey)?;
        Self::new(name, &key)
    }

    /// The verifier key as text, as [`Self::from_vkey`] reads it.
    pub fn vkey(&self) -> String {
        public_vkey(COSIGNATURE, &self.name, self.id, &self.key)
    }

    /// The witness's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key id: the first 4 bytes of SHA-256(name ‖ newline ‖ 04 ‖ public key).
    pub fn id(&self) -> [u8; 4] {
        self.id
    }
}

impl SignedNote {
    /// Cosigns the text at `time_s`, seconds since 1970, and gives the line; the note keeps it too.
    ///
    /// # Errors
    /// [`NoteError::KeyName`], [`NoteError::NotEd25519`], [`NoteError::Sign`].
    pub fn cosign(&mut self, name: &str, key: &SigningKey, time_s: u64) -> Result<NoteSignature, NoteError> {
        check_name(name)?;
        check_ed25519(key.verifying_key())?;
        let id = typed_key_id(COSIGNATURE, name, key.verifying_key());
        let signature = [&time_s.to_be_bytes()[..], &key.sign(&message(time_s, self.text()))?].concat();
        let line = NoteSignature { name: name.into(), id, signature };
        self.add(line.clone())?;
        Ok(line)
    }

    /// When this witness cosigned, seconds since 1970: of several lines of its, the latest. Every line
    /// that bears its name and id must verify.
    ///
    /// # Errors
    /// [`NoteError::Unsigned`], [`NoteError::BadSignature`], [`NoteError::Cosignature`].
    pub fn cosigned_by(&self, witness: &CosignatureVerifier) -> Result<u64, NoteError> {
        let mut latest = Err(NoteError::Unsigned);
        for line in self.signatures().iter().filter(|line| line.name == witness.name && line.id == witness.id) {
            let time_s = verify_line(self.text(), line, witness)?;
            latest = Ok(latest.map_or(time_s, |latest: u64| latest.max(time_s)));
        }
        latest
    }
}

fn verify_line(text: &str, line: &NoteSignature, witness: &CosignatureVerifier) -> Result<u64, NoteError> {
    let (time, signature) = line.signature.split_first_chunk::<8>().ok_or(NoteError::Cosignature)?;
    // A time of zero is how later kinds of cosignatures say that they have none.
    let time_s = u64::from_be_bytes(*time);
    if line.signature.len() != LEN || time_s == 0 {
        return Err(NoteError::Cosignature);
    }
    witness.key.verify(&message(time_s, text), signature)?;
    Ok(time_s)
}

fn message(time_s: u64, text: &str) -> Vec<u8> {
    format!("cosignature/v1\ntime {time_s}\n{text}").into_bytes()
}
