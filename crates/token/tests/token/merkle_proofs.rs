//! Proofs against the definitions of RFC 9162 written out, for every size up to 70; at sizes near
//! 2^64; tampered with; and at random.

use std::convert::Infallible;
use std::sync::LazyLock;

use jjj_token::Hash;
use jjj_token::merkle::{
    EMPTY_ROOT, HashSource, MemoryTree, ProofError, consistency_proof, inclusion_proof, leaf_hash, node_hash, root,
    root_of, verify_consistency, verify_inclusion,
};
use proptest::prelude::*;

const MAX: usize = 70;

fn leaves(size: usize) -> Vec<Hash> {
    (0..size as u64).map(|number| leaf_hash(&number.to_le_bytes())).collect()
}

/// The largest power of two below `size`.
fn split(size: usize) -> usize {
    (0..).map(|bit| 1 << bit).take_while(|power| *power < size).last().unwrap()
}

/// PATH(m, D[n]) of RFC 9162 §2.1.3.1.
fn path(index: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() == 1 {
        return vec![];
    }
    let (left, right) = leaves.split_at(split(leaves.len()));
    let (mut path, sibling) = if index < left.len() {
        (path(index, left), root(right))
    } else {
        (path(index - left.len(), right), root(left))
    };
    path.push(sibling);
    path
}

/// SUBPROOF(m, D[n], b) of RFC 9162 §2.1.4.1.
fn subproof(first: usize, leaves: &[Hash], whole: bool) -> Vec<Hash> {
    if first == leaves.len() {
        return if whole { vec![] } else { vec![root(leaves)] };
    }
    let (left, right) = leaves.split_at(split(leaves.len()));
    let (mut proof, sibling) = if first <= left.len() {
        (subproof(first, left, whole), root(right))
    } else {
        (subproof(first - left.len(), right, false), root(left))
    };
    proof.push(sibling);
    proof
}

#[test]
fn inclusion_at_every_size() {
    let tree = MemoryTree::new(leaves(MAX));
    for size in 1..=MAX {
        let leaves = leaves(size);
        let root = root(&leaves);
        assert_eq!(root_of(&tree, size as u64), Ok(root));
        for index in 0..size {
            let proof = inclusion_proof(&tree, index as u64, size as u64).unwrap();
            assert_eq!(proof, path(index, &leaves), "{index} of {size}");
            let verify = |leaf: &Hash, index: usize, size: usize, proof: &[Hash]| {
                verify_inclusion(leaf, index as u64, size as u64, proof, &root)
            };
            assert_eq!(verify(&leaves[index], index, size, &proof), Ok(()));
            for other in (0..size).filter(|other| *other != index) {
                assert!(verify(&leaves[index], other, size, &proof).is_err(), "{index} as {other}");
            }
            assert_eq!(verify(&EMPTY_ROOT, index, size, &proof), Err(ProofError::RootMismatch));
            tampered(&proof, |proof| verify(&leaves[index], index, size, proof));
        }
        let beyond = verify_inclusion(&leaves[0], size as u64, size as u64, &[], &root);
        assert_eq!(beyond, Err(ProofError::IndexOutOfRange));
        let refused = inclusion_proof(&tree, size as u64, size as u64).unwrap_err();
        assert_eq!(refused.reason(), "MERKLE_NO_SUCH_LEAF");
    }
    assert_eq!(verify_inclusion(&EMPTY_ROOT, 0, 0, &[], &EMPTY_ROOT), Err(ProofError::IndexOutOfRange));
}

#[test]
fn consistency_at_every_pair_of_sizes() {
    let all = leaves(MAX);
    let tree = MemoryTree::new(all.clone());
    let roots: Vec<Hash> = (0..=MAX).map(|size| root(&all[..size])).collect();
    for second in 0..=MAX {
        for first in 0..=second {
            let proof = consistency_proof(&tree, first as u64, second as u64).unwrap();
            if first > 0 {
                assert_eq!(proof, subproof(first, &all[..second], true), "{first} in {second}");
            }
            let verify = |first_root: &Hash, second_root: &Hash, proof: &[Hash]| {
                let (first, second) = (first as u64, second as u64);
                verify_consistency(first, first_root, second, second_root, proof)
            };
            let (old, new) = (&roots[first], &roots[second]);
            assert_eq!(verify(old, new, &proof), Ok(()), "{first} in {second}");
            let other = leaf_hash(b"another tree");
            assert!(verify(&other, new, &proof).is_err(), "{first} in {second}");
            if first > 0 {
                assert!(verify(old, &other, &proof).is_err(), "{first} in {second}");
            }
            if !proof.is_empty() {
                tampered(&proof, |proof| verify(old, new, proof));
            }
            assert_eq!(verify(old, new, &[&proof[..], &[other]].concat()), Err(ProofError::TooLong));
        }
    }
    let refused = consistency_proof(&tree, 2, 1).unwrap_err();
    assert_eq!(refused.reason(), "MERKLE_SIZES_REVERSED");
    let refused = verify_consistency(2, &roots[2], 1, &roots[1], &[]);
    assert_eq!(refused, Err(ProofError::SizesReversed));
}

/// A tree whose past was rewritten has no proof from the old root, whichever leaf it was.
#[test]
fn a_rewritten_past_is_not_consistent() {
    let honest = leaves(40);
    for changed in 0..25 {
        let mut forged = honest.clone();
        forged[changed] = leaf_hash(b"rewritten");
        let proof = consistency_proof(&MemoryTree::new(forged.clone()), 25, 40).unwrap();
        let verified = verify_consistency(25, &root(&honest[..25]), 40, &root(&forged), &proof);
        assert_eq!(verified, Err(ProofError::FirstRootMismatch));
    }
}

/// Every single change to a proof makes it prove nothing.
fn tampered(proof: &[Hash], verify: impl Fn(&[Hash]) -> Result<(), ProofError>) {
    for at in 0..proof.len() {
        let mut changed = proof.to_vec();
        changed[at][31] ^= 1;
        assert!(verify(&changed).is_err());
        let mut shorter = proof.to_vec();
        shorter.remove(at);
        assert!(verify(&shorter).is_err());
        let mut longer = proof.to_vec();
        longer.insert(at, proof[at]);
        assert!(verify(&longer).is_err());
        if at > 0 && proof[at] != proof[at - 1] {
            let mut swapped = proof.to_vec();
            swapped.swap(at, at - 1);
            assert!(verify(&swapped).is_err());
        }
    }
    assert!(verify(&[proof, &[EMPTY_ROOT]].concat()).is_err());
}

/// A tree of any size whose leaves are all alike, so that a node depends on its level only.
struct Uniform;

static BY_LEVEL: LazyLock<Vec<Hash>> = LazyLock::new(|| {
    let leaf = leaf_hash(b"same");
    std::iter::successors(Some(leaf), |hash| Some(node_hash(hash, hash))).take(64).collect()
});

impl HashSource for Uniform {
    type Error = Infallible;

    fn node(&self, level: u8, _: u64) -> Result<Hash, Infallible> {
        Ok(BY_LEVEL[usize::from(level)])
    }
}

fn big_size() -> impl Strategy<Value = u64> {
    let powers = (0..64u32, -2..=2i64).prop_map(|(bit, off)| (1u64 << bit).wrapping_add_signed(off));
    prop_oneof![1..=u64::MAX, powers, (0..100u64).prop_map(|below| u64::MAX - below)].prop_map(|size| size.max(1))
}

proptest! {
    #[test]
    fn proofs_hold_at_any_size(size in big_size(), at in any::<u64>(), first in any::<u64>()) {
        let (index, first) = (at % size, first % size);
        let root = root_of(&Uniform, size).unwrap();
        let proof = inclusion_proof(&Uniform, index, size).unwrap();
        prop_assert!(proof.len() <= 64);
        prop_assert_eq!(verify_inclusion(&leaf_hash(b"same"), index, size, &proof, &root), Ok(()));
        let proof = consistency_proof(&Uniform, first, size).unwrap();
        prop_assert!(proof.len() <= 65);
        let first_root = root_of(&Uniform, first).unwrap();
        prop_assert_eq!(verify_consistency(first, &first_root, size, &root, &proof), Ok(()));
    }

    #[test]
    fn hostile_proofs_prove_nothing(
        first in prop_oneof![any::<u64>(), 0..9u64, big_size()],
        second in prop_oneof![any::<u64>(), 0..9u64, big_size()],
        proof in prop::collection::vec(any::<Hash>(), 0..80),
        hash in any::<Hash>(),
    ) {
        let root = leaf_hash(b"root");
        prop_assert!(verify_inclusion(&hash, first, second, &proof, &root).is_err());
        prop_assert!(verify_consistency(first, &hash, second, &root, &proof).is_err());
    }
}
