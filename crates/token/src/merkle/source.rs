//! Where the hashes of complete nodes come from.

use super::{Hash, node_hash};

/// Gives the hashes of complete nodes: a table, tiles, or memory.
pub trait HashSource {
    /// Why a hash could not be had.
    type Error;

    /// The hash of node `index` of `level`. Asked for complete nodes only.
    ///
    /// # Errors
    /// Whatever the source fails with; also when it lacks the node.
    fn node(&self, level: u8, index: u64) -> Result<Hash, Self::Error>;
}

impl<S: HashSource + ?Sized> HashSource for &S {
    type Error = S::Error;

    fn node(&self, level: u8, index: u64) -> Result<Hash, S::Error> {
        (**self).node(level, index)
    }
}

/// The source lacks a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("node {index} of level {level} is not stored")]
pub struct NotStored {
    /// The level, 0 for leaves.
    pub level: u8,
    /// The index within the level.
    pub index: u64,
}

impl NotStored {
    /// The stable machine name of this error.
    pub fn reason(&self) -> &'static str {
        "MERKLE_NODE_NOT_STORED"
    }
}

/// All complete nodes of a tree, in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryTree {
    /// By level, then by index.
    levels: Vec<Vec<Hash>>,
}

impl MemoryTree {
    /// The tree over these leaf hashes.
    pub fn new(leaf_hashes: impl IntoIterator<Item = Hash>) -> Self {
        let mut tree = Self::default();
        leaf_hashes.into_iter().for_each(|leaf| tree.push(leaf));
        tree
    }

    /// Appends a leaf hash.
    pub fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        for level in 0.. {
            if level == self.levels.len() {
                self.levels.push(Vec::new());
            }
            let nodes = &mut self.levels[level];
            nodes.push(hash);
            match nodes.as_slice() {
                [.., left, right] if nodes.len().is_multiple_of(2) => hash = node_hash(left, right),
                _ => return,
            }
        }
    }

    /// The number of leaves.
    pub fn size(&self) -> u64 {
        self.levels.first().map_or(0, |leaves| leaves.len() as u64)
    }
}

impl HashSource for MemoryTree {
    type Error = NotStored;

    fn node(&self, level: u8, index: u64) -> Result<Hash, NotStored> {
        self.levels
            .get(usize::from(level))
            .zip(usize::try_from(index).ok())
            .and_then(|(nodes, index)| nodes.get(index))
            .copied()
            .ok_or(NotStored { level, index })
    }
}
