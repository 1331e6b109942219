//! The Merkle tree of RFC 6962 §2.1 (RFC 9162 §2.1) over SHA-256.
//!
//! A node is named by its level, 0 for leaves, and its index within the level: node `(l, i)` covers
//! the leaves `i·2^l` to `(i+1)·2^l − 1`. Only nodes whose leaves all exist, *complete* ones, are
//! ever stored; they never change. Everything else, roots and proofs for any size, is computed
//! from them. Sizes are any `u64`.
//!
//! Verification takes hostile input: it never panics, and never does more than 64 steps.

mod frontier;
mod items;
mod proof;
mod source;
mod tile;
mod verify;

use sha2::{Digest, Sha256};

pub use frontier::{Frontier, FrontierError};
pub use items::{items_root, verify_item};
pub use proof::{ProofRequestError, consistency_proof, inclusion_proof, root_of};
pub use source::{HashSource, MemoryTree, NotStored};
pub use tile::{TILE_HEIGHT, TILE_WIDTH, Tile};
pub use verify::{ProofError, root_from_path, verify_consistency, verify_inclusion};

/// A SHA-256 value.
pub type Hash = [u8; 32];

/// The root of the tree without leaves: SHA-256 of nothing.
pub const EMPTY_ROOT: Hash = [
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27, 0xae, 0x41,
    0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
];

/// The hash of a leaf: SHA-256(`00` ‖ bytes).
pub fn leaf_hash(bytes: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(bytes).finalize().into()
}

/// The hash of an inner node: SHA-256(`01` ‖ left ‖ right).
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// The root over leaf hashes.
pub fn root(leaf_hashes: &[Hash]) -> Hash {
    match leaf_hashes {
        [] => EMPTY_ROOT,
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaf_hashes.split_at(split_point(leaf_hashes.len() as u64) as usize);
            node_hash(&root(left), &root(right))
        }
    }
}

/// The largest power of two below `size`, where a tree of that size divides. `size` is at least 2.
fn split_point(size: u64) -> u64 {
    1 << (size - 1).ilog2()
}
