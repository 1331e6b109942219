//! One root over the items of a call, and each item's own proof.

use super::{EMPTY_ROOT, Hash, MemoryTree, ProofError, inclusion_proof, leaf_hash, root_of, verify_inclusion};

/// The root over items' exact bytes, and for each item its inclusion proof: with it, one item's
/// evidence reveals no other item. A single message is one item with an empty proof.
///
/// No items have the root of the empty tree and no proofs.
pub fn items_root(items: &[&[u8]]) -> (Hash, Vec<Vec<Hash>>) {
    let tree = MemoryTree::new(items.iter().map(|item| leaf_hash(item)));
    let size = tree.size();
    // The tree holds every node that is asked for, so neither call fails.
    let root = root_of(&tree, size).unwrap_or(EMPTY_ROOT);
    let paths = (0..size).map(|index| inclusion_proof(&tree, index, size).unwrap_or_default());
    (root, paths.collect())
}

/// Checks that the item with this leaf hash is number `index` of `size` under the root.
///
/// # Errors
/// See [`ProofError`].
pub fn verify_item(item_leaf_hash: &Hash, index: u64, size: u64, path: &[Hash], root: &Hash) -> Result<(), ProofError> {
    verify_inclusion(item_leaf_hash, index, size, path, root)
}
