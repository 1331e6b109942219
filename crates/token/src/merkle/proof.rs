//! Roots and proofs, computed from complete nodes.

use super::{EMPTY_ROOT, Hash, HashSource, node_hash, split_point};

/// Why no proof was made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofRequestError<E> {
    /// The leaf is not in a tree of this size.
    #[error("there is no leaf {index} in a tree of {size}")]
    NoSuchLeaf {
        /// The index asked for.
        index: u64,
        /// The size asked for.
        size: u64,
    },
    /// The first size exceeds the second.
    #[error("a tree of {first} is not a beginning of a tree of {second}")]
    SizesReversed {
        /// The earlier size.
        first: u64,
        /// The later size.
        second: u64,
    },
    /// The source failed.
    #[error("a node of the tree could not be read")]
    Source(#[source] E),
}

impl<E> ProofRequestError<E> {
    /// The stable machine name of this error.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoSuchLeaf { .. } => "MERKLE_NO_SUCH_LEAF",
            Self::SizesReversed { .. } => "MERKLE_SIZES_REVERSED",
            Self::Source(_) => "MERKLE_SOURCE_FAILED",
        }
    }
}

/// The root of the first `size` leaves.
///
/// # Errors
/// The source's own.
pub fn root_of<S: HashSource>(source: &S, size: u64) -> Result<Hash, S::Error> {
    if size == 0 { Ok(EMPTY_ROOT) } else { subtree(source, 0, size) }
}

/// The inclusion proof of leaf `index` in the tree of `size` (RFC 9162 §2.1.3.1), leaf side first.
///
/// # Errors
/// See [`ProofRequestError`].
pub fn inclusion_proof<S: HashSource>(
    source: &S,
    index: u64,
    size: u64,
) -> Result<Vec<Hash>, ProofRequestError<S::Error>> {
    if index >= size {
        return Err(ProofRequestError::NoSuchLeaf { index, size });
    }
    let (mut start, mut width) = (0, size);
    let mut path = Vec::new();
    while width > 1 {
        let left = split_point(width);
        let sibling = if index - start < left {
            let sibling = subtree(source, start + left, width - left);
            width = left;
            sibling
        } else {
            let sibling = subtree(source, start, left);
            start += left;
            width -= left;
            sibling
        };
        path.push(sibling.map_err(ProofRequestError::Source)?);
    }
    path.reverse();
    Ok(path)
}

/// The proof that the tree of `first` leaves is a beginning of the tree of `second`
/// (RFC 9162 §2.1.4.1). Empty when `first` is 0 or equals `second`.
///
/// # Errors
/// See [`ProofRequestError`].
pub fn consistency_proof<S: HashSource>(
    source: &S,
    first: u64,
    second: u64,
) -> Result<Vec<Hash>, ProofRequestError<S::Error>> {
    if first > second {
        return Err(ProofRequestError::SizesReversed { first, second });
    }
    if first == 0 || first == second {
        return Ok(Vec::new());
    }
    // Descend along the right edge of the first tree; `edge` is how much of it is left.
    let (mut start, mut width, mut edge) = (0, second, first);
    let mut path = Vec::new();
    while edge != width {
        let left = split_point(width);
        let sibling = if edge <= left {
            let sibling = subtree(source, start + left, width - left);
            width = left;
            sibling
        } else {
            let sibling = subtree(source, start, left);
            start += left;
            width -= left;
            edge -= left;
            sibling
        };
        path.push(sibling.map_err(ProofRequestError::Source)?);
    }
    // At the very left, the subtree reached is the whole first tree, whose root is known.
    if start != 0 {
        path.push(subtree(source, start, width).map_err(ProofRequestError::Source)?);
    }
    path.reverse();
    Ok(path)
}

/// The root over leaves `start` to `start + width − 1`, where `start` is a multiple of the largest
/// power of two within `width`, so that every part is a complete node.
fn subtree<S: HashSource>(source: &S, start: u64, width: u64) -> Result<Hash, S::Error> {
    if width.is_power_of_two() {
        let level = width.ilog2();
        return source.node(level as u8, start >> level);
    }
    let left = split_point(width);
    let left_hash = subtree(source, start, left)?;
    let right_hash = subtree(source, start + left, width - left)?;
    Ok(node_hash(&left_hash, &right_hash))
}
