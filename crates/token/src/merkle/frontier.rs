//! Appending with nothing but the right edge in memory.

use super::{EMPTY_ROOT, Hash, HashSource, node_hash};

/// The right edge of a growing tree: the roots of the complete nodes into which its size divides,
/// largest first. At most 64 hashes, whatever the size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    /// One hash for each one-bit of `size`, from the highest.
    edge: Vec<Hash>,
}

/// Why a frontier was not restored or extended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrontierError {
    /// The number of hashes does not belong to the size.
    #[error("an edge of {given} hashes does not belong to a tree of {size}")]
    EdgeMismatch {
        /// The size given.
        size: u64,
        /// The number of hashes given.
        given: usize,
    },
    /// The tree has 2^64 − 1 leaves.
    #[error("the tree is full")]
    Full,
}

impl FrontierError {
    /// The stable machine name of this error.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::EdgeMismatch { .. } => "MERKLE_EDGE_MISMATCH",
            Self::Full => "MERKLE_TREE_FULL",
        }
    }
}

impl Frontier {
    /// The empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// From a size and the hashes that [`Self::edge`] gave.
    ///
    /// # Errors
    /// [`FrontierError::EdgeMismatch`]. That the hashes are the right ones shows in the root.
    pub fn from_edge(size: u64, edge: Vec<Hash>) -> Result<Self, FrontierError> {
        if edge.len() == size.count_ones() as usize {
            Ok(Self { size, edge })
        } else {
            Err(FrontierError::EdgeMismatch { size, given: edge.len() })
        }
    }

    /// From the stored nodes of a tree of `size`.
    ///
    /// # Errors
    /// The source's own.
    pub fn load<S: HashSource>(source: &S, size: u64) -> Result<Self, S::Error> {
        let mut edge = Vec::new();
        let mut covered = 0u64;
        for level in (0..64).rev().filter(|level| size >> level & 1 == 1) {
            edge.push(source.node(level as u8, covered >> level)?);
            covered += 1 << level;
        }
        Ok(Self { size, edge })
    }

    /// Appends a leaf hash. `emit(level, index, hash)` is called for every node that this
    /// completes, the leaf itself first; these are the rows to store.
    ///
    /// # Errors
    /// [`FrontierError::Full`]; then nothing was emitted.
    pub fn push(&mut self, leaf: Hash, mut emit: impl FnMut(u8, u64, Hash)) -> Result<(), FrontierError> {
        let size = self.size.checked_add(1).ok_or(FrontierError::Full)?;
        let mut index = self.size;
        let mut hash = leaf;
        emit(0, index, hash);
        // Each trailing one-bit of the old size is a left sibling waiting at that level.
        for level in 1..=self.size.trailing_ones() as u8 {
            let Some(left) = self.edge.pop() else { break };
            hash = node_hash(&left, &hash);
            index >>= 1;
            emit(level, index, hash);
        }
        self.edge.push(hash);
        self.size = size;
        Ok(())
    }

    /// The number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root.
    pub fn root(&self) -> Hash {
        let folded = self.edge.iter().rev().copied();
        folded.reduce(|right, left| node_hash(&left, &right)).unwrap_or(EMPTY_ROOT)
    }

    /// The hashes of the right edge, largest node first.
    pub fn edge(&self) -> &[Hash] {
        &self.edge
    }
}
