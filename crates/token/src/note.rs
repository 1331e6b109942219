//! C2SP signed notes (c2sp.org/signed-note) and, as their main use, checkpoints
//! (c2sp.org/tlog-checkpoint).
//!
//! A note is a text and any number of signature lines under it. Lines of unknown keys are kept
//! and ignored: that is how cosignatures, further algorithms and key rotation fit in.

mod checkpoint;
mod cosignature;

use std::fmt;

use sha2::{Digest, Sha256};

pub use checkpoint::{Checkpoint, CheckpointError, open_checkpoint, sign_checkpoint};
pub use cosignature::CosignatureVerifier;

use crate::encoding::{base64_std, from_base64_std};
use crate::suite::{Algorithm, BadSignature, Jwk, KeyError, SignError, SigningKey, VerifyingKey};

/// The longest note that is read, in bytes.
pub const MAX_NOTE_LEN: usize = 256 * 1024;
/// The most signature lines that are read.
pub const MAX_SIGNATURES: usize = 64;

/// The signature type of plain Ed25519 notes.
const ED25519: &[u8] = &[0x01];
/// That of SM2 with SM3: C2SP assigns none, so `ff` and a name that does not collide, its object identifier.
const SM2: &[u8] = b"\xff1.2.156.10197.1.501";
const SIGNATURE_START: &str = "\u{2014} ";

/// What is wrong with a note, its key, or its signatures.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Longer than [`MAX_NOTE_LEN`] or with more lines than [`MAX_SIGNATURES`].
    #[error("the note is too long")]
    TooLong,
    /// The text is empty, does not end in a newline, or has control characters.
    #[error("the note's text is empty, unterminated or has control characters")]
    Text,
    /// No blank line with signature lines after it, or one of them is malformed.
    #[error("a signature line of the note is missing or malformed")]
    SignatureLine,
    /// A key name is empty or has a space or a plus.
    #[error("the key name is empty or has a space or a plus")]
    KeyName,
    /// A verifier key is not `name+id+base64` of an Ed25519 or SM2 key, or its id is not its own.
    #[error("the verifier key is malformed")]
    VerifierKey,
    /// Heads and cosignatures are signed with Ed25519 keys; beside them a note may have lines of SM2 keys.
    #[error("the key is not an Ed25519 key")]
    NotEd25519,
    /// The key was not accepted.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The key would not sign.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// No line is of this key.
    #[error("the note has no signature of this key")]
    Unsigned,
    /// A line of this key does not verify.
    #[error("the note: {0}")]
    BadSignature(#[from] BadSignature),
    /// A cosignature that says no time, or is not time and signature.
    #[error("the cosignature is not a time and a signature")]
    Cosignature,
}

impl NoteError {
    /// The stable machine name of this error.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::TooLong => "NOTE_TOO_LONG",
            Self::Text => "NOTE_TEXT_MALFORMED",
            Self::SignatureLine => "NOTE_SIGNATURE_LINE_MALFORMED",
            Self::KeyName => "NOTE_KEY_NAME_MALFORMED",
            Self::VerifierKey => "NOTE_VERIFIER_KEY_MALFORMED",
            Self::NotEd25519 => "NOTE_KEY_NOT_ED25519",
            Self::Key(error) => error.reason(),
            Self::Sign(error) => error.reason(),
            Self::Unsigned => "NOTE_UNSIGNED",
            Self::BadSignature(BadSignature::Length { .. }) => "NOTE_SIGNATURE_LENGTH_WRONG",
            Self::BadSignature(BadSignature::Range { .. }) => "NOTE_SIGNATURE_OUT_OF_RANGE",
            Self::BadSignature(BadSignature::Mismatch) => "NOTE_SIGNATURE_INVALID",
            Self::Cosignature => "NOTE_COSIGNATURE_MALFORMED",
        }
    }
}

/// A named key that verifies notes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteVerifier {
    name: String,
    id: [u8; 4],
    key: VerifyingKey,
}

impl NoteVerifier {
    /// A key under a name.
    ///
    /// # Errors
    /// [`NoteError::KeyName`], [`NoteError::NotEd25519`].
    pub fn new(name: &str, key: &VerifyingKey) -> Result<Self, NoteError> {
        check_name(name)?;
        let id = typed_key_id(signature_type(key)?, name, key);
        Ok(Self { name: name.into(), id, key: key.clone() })
    }

    /// Reads a verifier key: `name+hex(id)+base64(01 ‖ public key)`; for SM2, instead of `01`, `ff` and its
    /// object identifier.
    ///
    /// # Errors
    /// [`NoteError::VerifierKey`], [`NoteError::KeyName`], [`NoteError::Key`].
    pub fn from_vkey(vkey: &str) -> Result<Self, NoteError> {
        let (name, key) = parse_vkey(&[ED25519, SM2], vkey)?;
        Self::new(name, &key)
    }

    /// The verifier key as text, as [`Self::from_vkey`] reads it.
    pub fn vkey(&self) -> String {
        let kind = if self.key.algorithm() == Algorithm::Sm2 { SM2 } else { ED25519 };
        public_vkey(kind, &self.name, self.id, &self.key)
    }

    /// The key's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key itself.
    pub fn key(&self) -> &VerifyingKey {
        &self.key
    }

    /// The key id: the first 4 bytes of SHA-256(name ‖ newline ‖ type ‖ public key).
    pub fn id(&self) -> [u8; 4] {
        self.id
    }
}

/// One signature line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteSignature {
    /// The name of the key.
    pub name: String,
    /// The id of the key.
    pub id: [u8; 4],
    /// What follows the id: for Ed25519 and SM2, 64 bytes.
    pub signature: Vec<u8>,
}

/// A text and its signature lines, in order. `Display` gives the note's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedNote {
    text: String,
    signatures: Vec<NoteSignature>,
}

impl SignedNote {
    /// A note that nobody has signed yet.
    ///
    /// # Errors
    /// [`NoteError::Text`]: the text must end in a newline and have no other control character.
    pub fn new(text: impl Into<String>) -> Result<Self, NoteError> {
        let text = text.into();
        check_text(&text)?;
        Ok(Self { text, signatures: Vec::new() })
    }

    /// Reads a note with at least one signature line. **Nothing is verified.**
    ///
    /// # Errors
    /// [`NoteError::TooLong`], [`NoteError::Text`], [`NoteError::SignatureLine`].
    pub fn parse(note: &str) -> Result<Self, NoteError> {
        if note.len() > MAX_NOTE_LEN {
            return Err(NoteError::TooLong);
        }
        let blank = note.rfind("\n\n").ok_or(NoteError::SignatureLine)?;
        let (text, lines) = (&note[..=blank], &note[blank + 2..]);
        check_text(text)?;
        let lines = lines.strip_suffix('\n').ok_or(NoteError::SignatureLine)?;
        if lines.split('\n').nth(MAX_SIGNATURES).is_some() {
            return Err(NoteError::TooLong);
        }
        let signatures: Option<Vec<_>> = lines.split('\n').map(parse_line).collect();
        let signatures = signatures.ok_or(NoteError::SignatureLine)?;
        Ok(Self { text: text.into(), signatures })
    }

    /// The text, ending in a newline. Believe it after [`Self::verify`].
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signature lines, known and unknown.
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// Signs the text and adds the line.
    ///
    /// # Errors
    /// [`NoteError::KeyName`], [`NoteError::NotEd25519`], [`NoteError::Sign`].
    pub fn sign(&mut self, name: &str, key: &SigningKey) -> Result<(), NoteError> {
        check_name(name)?;
        let id = typed_key_id(signature_type(key.verifying_key())?, name, key.verifying_key());
        let signature = key.sign(self.text.as_bytes())?;
        self.add(NoteSignature { name: name.into(), id, signature })
    }

    /// Adds a line that another made, unless it is there already.
    ///
    /// # Errors
    /// [`NoteError::KeyName`]; [`NoteError::SignatureLine`] when it has no signature.
    pub fn add(&mut self, signature: NoteSignature) -> Result<(), NoteError> {
        check_name(&signature.name)?;
        if signature.signature.is_empty() {
            return Err(NoteError::SignatureLine);
        }
        if !self.signatures.contains(&signature) {
            self.signatures.push(signature);
        }
        Ok(())
    }

    /// Checks that this key signed the text. Every line that bears its name and id must verify.
    ///
    /// # Errors
    /// [`NoteError::Unsigned`], [`NoteError::BadSignature`].
    pub fn verify(&self, verifier: &NoteVerifier) -> Result<(), NoteError> {
        let mut verified = Err(NoteError::Unsigned);
        for line in &self.signatures {
            if line.name != verifier.name || line.id != verifier.id {
                continue;
            }
            verifier.key.verify(self.text.as_bytes(), &line.signature)?;
            verified = Ok(());
        }
        verified
    }
}

impl fmt::Display for SignedNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// The line without its newline.
impl fmt::Display for NoteSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let signature = base64_std([&self.id[..], &self.signature].concat());
        write!(f, "{SIGNATURE_START}{} {signature}", self.name)
    }
}

impl NoteSignature {
    /// Reads one signature line, without its newline. **Nothing is verified.**
    ///
    /// # Errors
    /// [`NoteError::SignatureLine`].
    pub fn parse(line: &str) -> Result<Self, NoteError> {
        parse_line(line).ok_or(NoteError::SignatureLine)
    }
}

fn parse_line(line: &str) -> Option<NoteSignature> {
    let (name, signature) = line.strip_prefix(SIGNATURE_START)?.split_once(' ')?;
    check_name(name).ok()?;
    let bytes = from_base64_std(signature)?;
    let (id, signature) = bytes.split_first_chunk::<4>()?;
    let (id, signature) = (*id, signature.to_vec());
    (!signature.is_empty()).then(|| NoteSignature { name: name.into(), id, signature })
}

fn signature_type(key: &VerifyingKey) -> Result<&'static [u8], NoteError> {
    match key.algorithm() {
        Algorithm::EdDsa => Ok(ED25519),
        Algorithm::Sm2 => Ok(SM2),
        Algorithm::Es256 => Err(NoteError::NotEd25519),
    }
}

fn check_ed25519(key: &VerifyingKey) -> Result<(), NoteError> {
    if key.algorithm() == Algorithm::EdDsa { Ok(()) } else { Err(NoteError::NotEd25519) }
}

/// The first 4 bytes of SHA-256(name ‖ newline ‖ type ‖ public key).
fn typed_key_id(kind: &[u8], name: &str, key: &VerifyingKey) -> [u8; 4] {
    let hash = Sha256::new().chain_update(name).chain_update(b"\n").chain_update(kind);
    let digest = hash.chain_update(key.public_bytes()).finalize();
    [digest[0], digest[1], digest[2], digest[3]]
}

/// Name and key of `name+hex(id)+base64(type ‖ public key)`; the id must be its own.
fn parse_vkey<'a>(kinds: &[&[u8]], vkey: &'a str) -> Result<(&'a str, VerifyingKey), NoteError> {
    let mut parts = vkey.splitn(3, '+');
    let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(NoteError::VerifierKey);
    };
    check_name(name)?;
    let key = from_base64_std(key).ok_or(NoteError::VerifierKey)?;
    let found = kinds.iter().find_map(|kind| Some((*kind, key.strip_prefix(*kind)?)));
    let (kind, public) = found.ok_or(NoteError::VerifierKey)?;
    let jwk = match <&[u8; 65]>::try_from(public) {
        Ok(point) if kind == SM2 && point[0] == 4 => Jwk::sm2(point),
        _ if kind != SM2 && public.len() == 32 => Jwk::ed25519(public),
        _ => return Err(NoteError::VerifierKey),
    };
    let key = VerifyingKey::from_jwk(&jwk)?;
    if id == hex::encode(typed_key_id(kind, name, &key)) { Ok((name, key)) } else { Err(NoteError::VerifierKey) }
}

fn public_vkey(kind: &[u8], name: &str, id: [u8; 4], key: &VerifyingKey) -> String {
    let key = [kind, key.public_bytes()].concat();
    format!("{name}+{}+{}", hex::encode(id), base64_std(key))
}

fn check_name(name: &str) -> Result<(), NoteError> {
    let forbidden = |c: char| c.is_whitespace() || c == '+' || c < '\u{20}';
    if name.is_empty() || name.contains(forbidden) { Err(NoteError::KeyName) } else { Ok(()) }
}

fn check_text(text: &str) -> Result<(), NoteError> {
    let forbidden = |c: char| c < '\u{20}' && c != '\n';
    if !text.ends_with('\n') || text.contains(forbidden) { Err(NoteError::Text) } else { Ok(()) }
}
