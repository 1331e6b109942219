//! A witness of the log (c2sp.org/tlog-witness): what it is asked, and whether it may cosign.
//!
//! A witness remembers the last head of each log it knows and cosigns a head only when that one is
//! proven to extend it. Its answer is decided here; remembering it, durably and before anything is
//! signed, is the caller's.

use std::fmt;

use crate::encoding::{base64_std, from_base64_std};
use crate::merkle::{EMPTY_ROOT, Hash, ProofError, verify_consistency};
use crate::note::{Checkpoint, NoteError, NoteVerifier, SignedNote};

/// The longest request that is read, in bytes.
pub const MAX_REQUEST_LEN: usize = 64 * 1024;
/// The most hashes of a consistency proof.
pub const MAX_PROOF_LEN: usize = 63;

/// The body of `POST {prefix}/add-checkpoint`: `old {size}`, the consistency proof's hashes in
/// base64, a line each, an empty line, and the checkpoint. `Display` writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// The size from which the proof leads: the last one that the witness is thought to know.
    pub old_size: u64,
    /// The consistency proof from there to the checkpoint's size.
    pub proof: Vec<Hash>,
    /// The log's signed head.
    pub note: SignedNote,
}

/// A head that a witness remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The number of leaves.
    pub size: u64,
    /// Their root.
    pub root: Hash,
}

impl Head {
    /// Of a log that was never seen.
    pub const EMPTY: Self = Self { size: 0, root: EMPTY_ROOT };
}

/// Why a witness does not cosign.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WitnessError {
    /// Not of the form above, or a proof from a size beyond the checkpoint's.
    #[error("the request is malformed")]
    Malformed,
    /// A log that the witness does not know.
    #[error("the log is not known to this witness")]
    UnknownLog,
    /// The checkpoint is not signed with the log's key.
    #[error("the checkpoint is not signed by its log: {0}")]
    NotSigned(NoteError),
    /// The witness knows another size than `old`.
    #[error("the witness knows size {size}")]
    Conflict {
        /// The size that it knows.
        size: u64,
    },
    /// A head shorter than the one that the witness knows: the log went back.
    #[error("the checkpoint goes back behind size {size}, which the witness knows")]
    RolledBack {
        /// The size that it knows.
        size: u64,
    },
    /// Another root at the size that the witness knows: two logs under one name.
    #[error("the checkpoint has another root at size {size} than the witness knows")]
    Forked {
        /// The size that it knows.
        size: u64,
    },
    /// The checkpoint is not proven to extend what the witness knows: a fork, or no proof.
    #[error("the checkpoint does not extend what the witness knows: {0}")]
    Inconsistent(ProofError),
}

impl WitnessError {
    /// The stable machine name of this error.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Malformed => "WITNESS_REQUEST_MALFORMED",
            Self::UnknownLog => "WITNESS_LOG_UNKNOWN",
            Self::NotSigned(_) => "WITNESS_CHECKPOINT_UNSIGNED",
            Self::Conflict { .. } => "WITNESS_SIZE_CONFLICT",
            Self::RolledBack { .. } => "WITNESS_ROLLED_BACK",
            Self::Forked { .. } => "WITNESS_FORKED",
            Self::Inconsistent(ProofError::FirstRootMismatch) => "WITNESS_HISTORY_REWRITTEN",
            Self::Inconsistent(_) => "WITNESS_NOT_PROVEN",
        }
    }

    /// The HTTP status of the specification.
    pub fn http_status(&self) -> u16 {
        match self {
            Self::Malformed => 400,
            Self::UnknownLog => 404,
            Self::NotSigned(_) => 403,
            Self::Conflict { .. } | Self::RolledBack { .. } | Self::Forked { .. } => 409,
            Self::Inconsistent(_) => 422,
        }
    }

    /// The size that the witness knows, where that is its answer (409).
    pub fn known_size(&self) -> Option<u64> {
        match *self {
            Self::Conflict { size } | Self::RolledBack { size } | Self::Forked { size } => Some(size),
            Self::Malformed | Self::UnknownLog | Self::NotSigned(_) | Self::Inconsistent(_) => None,
        }
    }
}

impl AddCheckpoint {
    /// Reads a request. **Nothing is verified.**
    ///
    /// # Errors
    /// [`WitnessError::Malformed`].
    pub fn parse(body: &str) -> Result<Self, WitnessError> {
        if body.len() > MAX_REQUEST_LEN {
            return Err(WitnessError::Malformed);
        }
        Self::read(body).ok_or(WitnessError::Malformed)
    }

    fn read(body: &str) -> Option<Self> {
        let (head, note) = body.split_once("\n\n")?;
        let mut lines = head.split('\n');
        let size = lines.next()?.strip_prefix("old ")?;
        let old_size: u64 = size.parse().ok()?;
        let proof: Vec<Hash> = lines.map(|line| from_base64_std(line)?.try_into().ok()).collect::<Option<_>>()?;
        let canonical = old_size.to_string() == size && proof.len() <= MAX_PROOF_LEN;
        canonical.then_some(Self { old_size, proof, note: SignedNote::parse(note).ok()? })
    }

    /// Whether the witness that remembers `known` of the log `log` may cosign: then the head to
    /// remember first.
    ///
    /// # Errors
    /// See [`WitnessError`], in the specification's order.
    pub fn check(&self, log: &NoteVerifier, known: Head) -> Result<Head, WitnessError> {
        let checkpoint = Checkpoint::parse(self.note.text()).map_err(|_| WitnessError::Malformed)?;
        if checkpoint.origin != log.name() {
            return Err(WitnessError::UnknownLog);
        }
        self.note.verify(log).map_err(WitnessError::NotSigned)?;
        if self.old_size > checkpoint.size {
            return Err(WitnessError::Malformed);
        }
        if checkpoint.size < known.size {
            return Err(WitnessError::RolledBack { size: known.size });
        }
        if self.old_size != known.size {
            return Err(WitnessError::Conflict { size: known.size });
        }
        if checkpoint.size == known.size && checkpoint.root != known.root {
            return Err(WitnessError::Forked { size: known.size });
        }
        verify_consistency(known.size, &known.root, checkpoint.size, &checkpoint.root, &self.proof)
            .map_err(WitnessError::Inconsistent)?;
        Ok(Head { size: checkpoint.size, root: checkpoint.root })
    }
}

impl fmt::Display for AddCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old_size)?;
        self.proof.iter().try_for_each(|hash| writeln!(f, "{}", base64_std(hash)))?;
        write!(f, "\n{}", self.note)
    }
}

/// The origin of a request's checkpoint, unverified: good for finding the log's key.
pub fn origin_unverified(request: &AddCheckpoint) -> Option<String> {
    Some(Checkpoint::parse(request.note.text()).ok()?.origin)
}
