//! What a witness cosigns, and what it refuses: forks, rollbacks, other logs.

use jjj_token::merkle::{MemoryTree, ProofError, consistency_proof, leaf_hash, root_of};
use jjj_token::note::{Checkpoint, NoteVerifier, sign_checkpoint};
use jjj_token::witness::{AddCheckpoint, Head, WitnessError};

use crate::support::{ed25519, stranger};

const ORIGIN: &str = "gateway.test";

fn tree(first: u32) -> MemoryTree {
    MemoryTree::new((0..40u32).map(|n| leaf_hash(&(if n == 0 { first } else { n }).to_be_bytes())))
}

fn request(tree: &MemoryTree, old_size: u64, size: u64) -> AddCheckpoint {
    let root = root_of(tree, size).unwrap();
    let checkpoint = Checkpoint { origin: ORIGIN.into(), size, root, extensions: Vec::new() };
    let proof = if old_size <= size { consistency_proof(tree, old_size, size).unwrap() } else { Vec::new() };
    AddCheckpoint { old_size, proof, note: sign_checkpoint(&ed25519(), &checkpoint).unwrap() }
}

fn log() -> NoteVerifier {
    NoteVerifier::new(ORIGIN, ed25519().verifying_key()).unwrap()
}

#[test]
fn a_log_is_followed_from_nothing_to_any_size() {
    let tree = tree(0);
    let mut known = Head::EMPTY;
    for size in [0, 1, 1, 2, 7, 8, 8, 31, 40] {
        let asked = request(&tree, known.size, size);
        assert_eq!(AddCheckpoint::parse(&asked.to_string()), Ok(asked.clone()));
        known = asked.check(&log(), known).unwrap();
        assert_eq!(known, Head { size, root: root_of(&tree, size).unwrap() });
    }
}

#[test]
fn what_does_not_extend_what_is_known_is_refused() {
    let (ours, fork) = (tree(0), tree(77));
    let known = Head { size: 20, root: root_of(&ours, 20).unwrap() };
    let check = |asked: &AddCheckpoint| asked.check(&log(), known).unwrap_err();
    assert_eq!(check(&request(&ours, 10, 30)), WitnessError::Conflict { size: 20 }, "from another size");
    assert_eq!(check(&request(&ours, 0, 30)), WitnessError::Conflict { size: 20 }, "from the beginning");
    assert_eq!(check(&request(&ours, 10, 15)), WitnessError::RolledBack { size: 20 }, "rolled back");
    assert_eq!(check(&request(&ours, 20, 15)), WitnessError::Malformed, "rolled back, said openly");
    assert_eq!(check(&request(&fork, 20, 20)), WitnessError::Forked { size: 20 }, "a fork of the same size");
    assert_eq!(
        check(&request(&fork, 20, 30)),
        WitnessError::Inconsistent(ProofError::FirstRootMismatch),
        "a longer fork"
    );
    let mut short = request(&ours, 20, 30);
    short.proof.pop();
    assert_eq!(check(&short), WitnessError::Inconsistent(ProofError::TooShort), "a short proof");
    let mut long = request(&ours, 20, 20);
    long.proof.push([0; 32]);
    assert_eq!(check(&long), WitnessError::Inconsistent(ProofError::TooLong), "a proof where none is needed");
    let other = NoteVerifier::new("other.test", ed25519().verifying_key()).unwrap();
    assert_eq!(request(&ours, 20, 30).check(&other, known), Err(WitnessError::UnknownLog));
    let strangers = NoteVerifier::new(ORIGIN, stranger().verifying_key()).unwrap();
    assert_eq!(request(&ours, 20, 30).check(&strangers, known).unwrap_err().http_status(), 403);
}

#[test]
fn malformed_requests_are_refused() {
    let good = request(&tree(0), 20, 30).to_string();
    let (old, rest) = good.split_once('\n').unwrap();
    assert_eq!(old, "old 20");
    let long_proof = format!("old 20\n{}{rest}", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n".repeat(64));
    for bad in [
        String::new(),
        rest.to_owned(),
        format!("old 020\n{rest}"),
        format!("old +20\n{rest}"),
        format!("old -1\n{rest}"),
        format!("old 18446744073709551616\n{rest}"),
        format!("old 20\nAAAA\n{rest}"),
        long_proof,
        good[..good.len() - 1].to_owned(),
        format!("{good}{}", "A".repeat(jjj_token::witness::MAX_REQUEST_LEN)),
    ] {
        assert_eq!(AddCheckpoint::parse(&bad), Err(WitnessError::Malformed), "{bad:.80}");
    }
}
