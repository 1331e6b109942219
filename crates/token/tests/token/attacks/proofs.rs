//! The log: proofs, heads, cosignatures, and the witness that is asked for one.

use jjj_token::merkle::{MemoryTree, consistency_proof, inclusion_proof, leaf_hash, root_of};
use jjj_token::merkle::{verify_consistency, verify_inclusion};
use jjj_token::note::{Checkpoint, CosignatureVerifier, NoteVerifier, SignedNote, open_checkpoint, sign_checkpoint};
use jjj_token::receipt::{Receipt, ReceiptBody, sign_receipts};
use jjj_token::witness::{AddCheckpoint, Head};

use super::{Row, refused};
use crate::support::{ed25519, p256, stranger};

const ORIGIN: &str = "gateway.example";
const OTHER: &str = "other.example";
const WITNESS: &str = "witness.example";

pub fn rows() -> Vec<Row> {
    [inclusion(), consistency(), checkpoints(), cosignatures(), witnesses(), receipts()].concat()
}

/// A log of 40 leaves, whose sixth is what is given.
fn tree(sixth: &[u8]) -> MemoryTree {
    MemoryTree::new((0..40u8).map(|n| leaf_hash(if n == 5 { sixth } else { std::slice::from_ref(&n) })))
}

fn inclusion() -> Vec<Row> {
    let tree = tree(&[5]);
    let path = inclusion_proof(&tree, 5, 40).unwrap();
    let root = root_of(&tree, 40).unwrap();
    let leaf = leaf_hash(&[5]);
    let verify = |index, size, path: &[_]| verify_inclusion(&leaf, index, size, path, &root);
    let kind = "inclusion proof";
    vec![
        (kind, "cut short", refused!(verify(5, 40, &path[..path.len() - 1]))),
        (kind, "with a hash more", refused!(verify(5, 40, &[&path[..], &[leaf]].concat()))),
        (kind, "for another place", refused!(verify(6, 40, &path))),
        (kind, "for a place beyond the log", refused!(verify(40, 40, &path))),
    ]
}

fn consistency() -> Vec<Row> {
    let (ours, fork) = (tree(&[5]), tree(b"rewritten"));
    let root = |tree: &MemoryTree, size| root_of(tree, size).unwrap();
    let proof = consistency_proof(&ours, 20, 40).unwrap();
    let forged = consistency_proof(&fork, 20, 40).unwrap();
    let (old, new) = (root(&ours, 20), root(&ours, 40));
    let verify = |first, second, new, path: &[_]| verify_consistency(first, &old, second, &new, path);
    let kind = "consistency proof";
    vec![
        (kind, "a fork: the past rewritten", refused!(verify(20, 40, root(&fork, 40), &forged))),
        (kind, "rolled back", refused!(verify(20, 15, root(&ours, 15), &[]))),
        (kind, "cut short", refused!(verify(20, 40, new, &proof[..proof.len() - 1]))),
        (kind, "with a hash more", refused!(verify(20, 40, new, &[&proof[..], &[old]].concat()))),
        (kind, "to another head", refused!(verify(20, 40, root(&fork, 40), &proof))),
    ]
}

fn head(origin: &str, tree: &MemoryTree, size: u64) -> SignedNote {
    let root = root_of(tree, size).unwrap();
    let head = Checkpoint { origin: origin.into(), size, root, extensions: Vec::new() };
    sign_checkpoint(&ed25519(), &head).unwrap()
}

fn checkpoints() -> Vec<Row> {
    let tree = tree(&[5]);
    let log = NoteVerifier::new(ORIGIN, ed25519().verifying_key()).unwrap();
    let good = head(ORIGIN, &tree, 40).to_string();
    let open = |note: &str| refused!(open_checkpoint(note, &log));
    let by = |key| {
        let mut note = SignedNote::new(SignedNote::parse(&good).unwrap().text()).unwrap();
        note.sign(ORIGIN, key).unwrap();
        note.to_string()
    };
    let mut borrowed = SignedNote::new(head(OTHER, &tree, 40).text()).unwrap();
    borrowed.sign(ORIGIN, &ed25519()).unwrap();
    let mut malleable = SignedNote::parse(&good).unwrap().signatures()[0].clone();
    malleable.signature[63] |= 0xe0;
    let (text, _) = good.split_once("\n\n").unwrap();
    let signed = |text: &str| {
        let mut note = SignedNote::new(text).unwrap();
        note.sign(ORIGIN, &ed25519()).unwrap();
        note.to_string()
    };
    let kind = "checkpoint";
    vec![
        (kind, "by a stranger under the log's name", open(&by(&stranger()))),
        (kind, "of more leaves than were signed", open(&good.replacen("\n40\n", "\n41\n", 1))),
        (kind, "of another log, signed with our key", open(&borrowed.to_string())),
        (kind, "its signature made into another one", open(&format!("{text}\n\n{malleable}\n"))),
        (kind, "its size spelt in another way", open(&signed(&format!("{text}\n").replacen("\n40\n", "\n040\n", 1)))),
        (kind, "its root cut short", open(&signed(&format!("{ORIGIN}\n40\nAAAA\n")))),
        (kind, "without a root", open(&signed(&format!("{ORIGIN}\n40\n")))),
        (kind, "without its signature", open(&format!("{text}\n\n"))),
        (kind, "with a thousand signatures", open(&format!("{text}\n\n{}", "\u{2014} a AAAAAAA=\n".repeat(1_000)))),
        (kind, "its text with a carriage return", open(&good.replacen('\n', "\r\n", 1))),
        (
            "log's key",
            "ES256, that C2SP notes do not have",
            refused!(NoteVerifier::new(ORIGIN, p256().verifying_key())),
        ),
    ]
}

fn cosignatures() -> Vec<Row> {
    let tree = tree(&[5]);
    let known = CosignatureVerifier::new(WITNESS, stranger().verifying_key()).unwrap();
    let seen = |origin: &str| head(origin, &tree, 40).cosign(WITNESS, &stranger(), 1_790_000_000).unwrap();
    let read = |line: jjj_token::note::NoteSignature| {
        let mut note = head(ORIGIN, &tree, 40);
        note.add(line).unwrap();
        refused!(note.cosigned_by(&known))
    };
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut line = seen(ORIGIN);
        change(&mut line.signature);
        read(line)
    };
    let as_log = CosignatureVerifier::new(ORIGIN, ed25519().verifying_key()).unwrap();
    let log_key = NoteVerifier::new(WITNESS, stranger().verifying_key()).unwrap().vkey();
    let kind = "cosignature";
    vec![
        (kind, "of a head of another origin", read(seen(OTHER))),
        (kind, "without a time", changed(&|line| line[..8].fill(0))),
        (kind, "its number S out of range", changed(&|line| line[71] |= 0xe0)),
        (kind, "the log's own line for a witness's", refused!(head(ORIGIN, &tree, 40).cosigned_by(&as_log))),
        ("witness's key", "a log's key for a witness's", refused!(CosignatureVerifier::from_vkey(&log_key))),
    ]
}

fn witnesses() -> Vec<Row> {
    let (ours, fork) = (tree(&[5]), tree(b"rewritten"));
    let log = NoteVerifier::new(ORIGIN, ed25519().verifying_key()).unwrap();
    let known = Head { size: 20, root: root_of(&ours, 20).unwrap() };
    let asked = |origin: &str, tree: &MemoryTree, old_size: u64, size: u64| AddCheckpoint {
        old_size,
        proof: if old_size <= size { consistency_proof(tree, old_size, size).unwrap() } else { Vec::new() },
        note: head(origin, tree, size),
    };
    let check = |asked: AddCheckpoint| refused!(asked.check(&log, known));
    let unproven = AddCheckpoint { proof: Vec::new(), ..asked(ORIGIN, &ours, 20, 40) };
    let mut unsigned = asked(ORIGIN, &ours, 20, 40);
    unsigned.note = SignedNote::new(unsigned.note.text()).unwrap();
    unsigned.note.sign(ORIGIN, &stranger()).unwrap();
    let kind = "witness";
    vec![
        (kind, "a head from before: rolled back", check(asked(ORIGIN, &ours, 10, 15))),
        (kind, "another log of the same size", check(asked(ORIGIN, &fork, 20, 20))),
        (kind, "another log, longer", check(asked(ORIGIN, &fork, 20, 40))),
        (kind, "a longer log, unproven", check(unproven)),
        (kind, "proven from another size", check(asked(ORIGIN, &ours, 10, 40))),
        (kind, "a log it does not know", check(asked(OTHER, &ours, 20, 40))),
        (kind, "a head that the log did not sign", check(unsigned)),
        (kind, "proven from beyond the head", check(asked(ORIGIN, &ours, 40, 30))),
    ]
}

fn receipts() -> Vec<Row> {
    let body = |n: u8| ReceiptBody {
        record: format!("ratings/{n}"),
        version: 1,
        leaf_hash: leaf_hash(&[n]),
        log_deadline_us: 1_790_000_000_000_000,
    };
    let key = ed25519();
    let bodies: Vec<_> = (0..5).map(body).collect();
    let batch = sign_receipts(&key, ORIGIN, &bodies).unwrap();
    let changed = |change: &dyn Fn(&mut Receipt)| {
        let mut receipt = batch[1].clone();
        change(&mut receipt);
        refused!(receipt.verify(key.verifying_key()))
    };
    let twice = serde_json::to_string(&batch[1]).unwrap().replacen('{', r#"{"record":"ratings/9","#, 1);
    let kind = "receipt";
    vec![
        (kind, "parts swapped: another's record", changed(&|r| r.record = batch[2].record.clone())),
        (kind, "parts swapped: another key's signature", changed(&|r| r.kid = stranger().kid().into())),
        (kind, "a way cut short", changed(&|r| r.path.truncate(1))),
        (kind, "a way with a hash more", changed(&|r| r.path.push([0; 32]))),
        (kind, "of a place beyond its batch", changed(&|r| r.batch_index = 5)),
        (kind, "its signature made into another one", changed(&|r| r.signature[63] |= 0xe0)),
        (kind, "its signature cut short", changed(&|r| r.signature.truncate(32))),
        (kind, "a name that reads as two lines", changed(&|r| r.record = "ratings/1\n2".into())),
        (kind, "its record said twice", refused!(Receipt::from_json(twice.as_bytes()))),
    ]
}
