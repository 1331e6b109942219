//! Checking proofs, step by step as RFC 9162 writes them.

use super::{EMPTY_ROOT, Hash, node_hash};

/// Why a proof does not prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The leaf's index is not below the size.
    #[error("the index is not below the tree's size")]
    IndexOutOfRange,
    /// The first size exceeds the second.
    #[error("the first tree is larger than the second")]
    SizesReversed,
    /// Too few hashes for these sizes: cut short.
    #[error("the proof has too few hashes for these sizes")]
    TooShort,
    /// Too many hashes for these sizes.
    #[error("the proof has too many hashes for these sizes")]
    TooLong,
    /// It leads to another root: of the tree, or of the second tree.
    #[error("the proof leads to another root")]
    RootMismatch,
    /// It leads to another root of the first tree: the tree was rewritten.
    #[error("the proof does not start from the first root")]
    FirstRootMismatch,
}

impl ProofError {
    /// The stable machine name of this error.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::IndexOutOfRange => "PROOF_INDEX_OUT_OF_RANGE",
            Self::SizesReversed => "PROOF_SIZES_REVERSED",
            Self::TooShort => "PROOF_TOO_SHORT",
            Self::TooLong => "PROOF_TOO_LONG",
            Self::RootMismatch => "PROOF_ROOT_MISMATCH",
            Self::FirstRootMismatch => "PROOF_FIRST_ROOT_MISMATCH",
        }
    }
}

/// The root to which an inclusion proof leads (RFC 9162 §2.1.3.2).
///
/// # Errors
/// [`ProofError::IndexOutOfRange`], [`ProofError::TooShort`] or [`ProofError::TooLong`].
pub fn root_from_path(leaf: &Hash, index: u64, size: u64, path: &[Hash]) -> Result<Hash, ProofError> {
    if index >= size {
        return Err(ProofError::IndexOutOfRange);
    }
    // RFC 9162 calls them `fn` and `sn`: the node's index in its level, and the last one's.
    let (mut node, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for sibling in path {
        if last == 0 {
            return Err(ProofError::TooLong);
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            rise_to_odd(&mut node, &mut last);
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last == 0 { Ok(hash) } else { Err(ProofError::TooShort) }
}

/// Checks that the leaf is at `index` of the tree of `size` with this root.
///
/// # Errors
/// See [`ProofError`].
pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, path: &[Hash], root: &Hash) -> Result<(), ProofError> {
    if root_from_path(leaf, index, size, path)? == *root { Ok(()) } else { Err(ProofError::RootMismatch) }
}

/// Checks that the tree of `first` leaves is a beginning of the tree of `second` leaves
/// (RFC 9162 §2.1.4.2). Two trees of one size are consistent when their roots are equal; the empty
/// tree is a beginning of every tree. Both with an empty proof.
///
/// # Errors
/// See [`ProofError`].
pub fn verify_consistency(
    first: u64,
    first_root: &Hash,
    second: u64,
    second_root: &Hash,
    path: &[Hash],
) -> Result<(), ProofError> {
    if first > second {
        return Err(ProofError::SizesReversed);
    }
    if first == 0 || first == second {
        return verify_trivial(first, first_root, second, second_root, path);
    }
    // The proof leaves out the first root where it is a node of the second tree.
    let (seed, rest) =
        if first.is_power_of_two() { (first_root, path) } else { path.split_first().ok_or(ProofError::TooShort)? };
    let (mut node, mut last) = (first - 1, second - 1);
    if node & 1 == 1 {
        let shift = node.trailing_ones();
        // A power of two, 2^63 at most, leaves a shift below 64.
        node >>= shift;
        last >>= shift;
    }
    let (mut first_hash, mut second_hash) = (*seed, *seed);
    for sibling in rest {
        if last == 0 {
            return Err(ProofError::TooLong);
        }
        if node & 1 == 1 || node == last {
            first_hash = node_hash(sibling, &first_hash);
            second_hash = node_hash(sibling, &second_hash);
            rise_to_odd(&mut node, &mut last);
        } else {
            second_hash = node_hash(&second_hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::TooShort);
    }
    if first_hash != *first_root {
        return Err(ProofError::FirstRootMismatch);
    }
    if second_hash != *second_root {
        return Err(ProofError::RootMismatch);
    }
    Ok(())
}

fn verify_trivial(
    first: u64,
    first_root: &Hash,
    second: u64,
    second_root: &Hash,
    path: &[Hash],
) -> Result<(), ProofError> {
    if !path.is_empty() {
        return Err(ProofError::TooLong);
    }
    if first == 0 && *first_root != EMPTY_ROOT {
        return Err(ProofError::FirstRootMismatch);
    }
    if second == 0 && *second_root != EMPTY_ROOT {
        return Err(ProofError::RootMismatch);
    }
    if first == second && first_root != second_root {
        return Err(ProofError::RootMismatch);
    }
    Ok(())
}

/// "If LSB(fn) is not set, right-shift both until LSB(fn) is set or fn is 0": a node without a
/// right neighbour is its own parent.
fn rise_to_odd(node: &mut u64, last: &mut u64) {
    while *node & 1 == 0 && *node != 0 {
        *node >>= 1;
        *last >>= 1;
    }
}
