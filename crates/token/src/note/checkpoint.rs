//! The head of the log as a note.

use super::{NoteError, NoteVerifier, SignedNote, check_ed25519};
use crate::encoding::{base64_std, from_base64_std};
use crate::merkle::Hash;
use crate::suite::{SignError, SigningKey};

/// The head of a log (c2sp.org/tlog-checkpoint).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's identity, one line; also the name of the key that signs.
    pub origin: String,
    /// The number of leaves.
    pub size: u64,
    /// The RFC 6962 root over them.
    pub root: Hash,
    /// Further lines, none of them empty. The gateway writes none.
    pub extensions: Vec<String>,
}

/// Why a text is no checkpoint, or a checkpoint is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The note is malformed, unsigned or wrongly signed.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// Fewer than three lines, or an empty one.
    #[error("the checkpoint has fewer than three lines, or an empty one")]
    Lines,
    /// The second line is not a decimal number below 2^64 without leading zeros.
    #[error("the checkpoint's size is malformed")]
    Size,
    /// The third line is not base64 of 32 bytes.
    #[error("the checkpoint's root is malformed")]
    Root,
    /// Another log's.
    #[error("the checkpoint is of another log")]
    OriginMismatch,
}

impl From<SignError> for CheckpointError {
    fn from(error: SignError) -> Self {
        Self::Note(error.into())
    }
}

impl CheckpointError {
    /// The stable machine name of this error.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Note(error) => error.reason(),
            Self::Lines => "CHECKPOINT_LINES_MALFORMED",
            Self::Size => "CHECKPOINT_SIZE_MALFORMED",
            Self::Root => "CHECKPOINT_ROOT_MALFORMED",
            Self::OriginMismatch => "CHECKPOINT_ORIGIN_MISMATCH",
        }
    }
}

impl Checkpoint {
    /// The note text.
    ///
    /// # Errors
    /// [`CheckpointError::Lines`] when the origin or an extension is empty or has a newline.
    pub fn to_text(&self) -> Result<String, CheckpointError> {
        let mut text = format!("{}\n{}\n{}\n", self.origin, self.size, base64_std(self.root));
        for line in &self.extensions {
            text.push_str(line);
            text.push('\n');
        }
        // What cannot be read back as it was is not written.
        if Self::parse(&text)? == *self { Ok(text) } else { Err(CheckpointError::Lines) }
    }

    /// Reads a note text.
    ///
    /// # Errors
    /// [`CheckpointError::Lines`], [`CheckpointError::Size`], [`CheckpointError::Root`].
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let body = text.strip_suffix('\n').ok_or(CheckpointError::Lines)?;
        let mut lines = body.split('\n');
        if lines.clone().any(str::is_empty) {
            return Err(CheckpointError::Lines);
        }
        let mut line = || lines.next().ok_or(CheckpointError::Lines);
        let (origin, size, root) = (line()?, line()?, line()?);
        let root = from_base64_std(root).and_then(|bytes| bytes.try_into().ok());
        Ok(Self {
            origin: origin.into(),
            size: parse_size(size).ok_or(CheckpointError::Size)?,
            root: root.ok_or(CheckpointError::Root)?,
            extensions: lines.map(Into::into).collect(),
        })
    }
}

/// Signs a checkpoint as its origin.
///
/// # Errors
/// [`CheckpointError::Lines`]; [`CheckpointError::Note`] when the origin is no key name or the
/// key no Ed25519 key.
pub fn sign_checkpoint(key: &SigningKey, checkpoint: &Checkpoint) -> Result<SignedNote, CheckpointError> {
    check_ed25519(key.verifying_key())?;
    let mut note = SignedNote::new(checkpoint.to_text()?)?;
    note.sign(&checkpoint.origin, key)?;
    Ok(note)
}

/// Reads and verifies a checkpoint of the log whose origin is the verifier's name. The note is
/// returned for its other lines.
///
/// # Errors
/// See [`CheckpointError`].
pub fn open_checkpoint(note: &str, log: &NoteVerifier) -> Result<(Checkpoint, SignedNote), CheckpointError> {
    let note = SignedNote::parse(note)?;
    note.verify(log)?;
    let checkpoint = Checkpoint::parse(note.text())?;
    if checkpoint.origin != log.name() {
        return Err(CheckpointError::OriginMismatch);
    }
    Ok((checkpoint, note))
}

fn parse_size(text: &str) -> Option<u64> {
    let size: u64 = text.parse().ok()?;
    // `parse` takes "+1" and "01" too.
    (size.to_string() == text).then_some(size)
}
