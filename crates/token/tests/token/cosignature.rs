//! Cosignatures of witnesses, as c2sp.org/tlog-cosignature writes them.

use jjj_token::note::{CosignatureVerifier, NoteError, NoteSignature, NoteVerifier, SignedNote};
use jjj_token::suite::BadSignature;

use crate::support::{ed25519, p256, stranger};

/// The specification's own example. It publishes no key for it.
const EXAMPLE: &str = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\
    \u{2014} example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n\
    \u{2014} witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n";
const NAME: &str = "witness.example";
const TIME_S: u64 = 1_679_315_147;

fn witness() -> CosignatureVerifier {
    CosignatureVerifier::new(NAME, ed25519().verifying_key()).unwrap()
}

fn head() -> SignedNote {
    let mut note = SignedNote::new(EXAMPLE.split_inclusive('\n').take(3).collect::<String>()).unwrap();
    note.sign("example.com/behind-the-sofa", &stranger()).unwrap();
    note
}

#[test]
fn the_specifications_example_is_read() {
    let note = SignedNote::parse(EXAMPLE).unwrap();
    assert_eq!(note.to_string(), EXAMPLE);
    let line = &note.signatures()[1];
    assert_eq!((line.name.as_str(), hex::encode(line.id)), ("witness.example.com/w1", "8d66cf3f".to_owned()));
    let (time, signature) = line.signature.split_first_chunk::<8>().unwrap();
    assert_eq!((u64::from_be_bytes(*time), signature.len()), (TIME_S, 64));
}

#[test]
fn a_cosignature_is_over_time_and_text() {
    let mut note = head();
    let line = note.cosign(NAME, &ed25519(), TIME_S).unwrap();
    // What is signed, by hand.
    let message = format!("cosignature/v1\ntime {TIME_S}\n{}", note.text());
    ed25519().verifying_key().verify(message.as_bytes(), &line.signature[8..]).unwrap();
    let read = SignedNote::parse(&note.to_string()).unwrap();
    assert_eq!(read.cosigned_by(&witness()), Ok(TIME_S));
    assert_eq!(NoteSignature::parse(&line.to_string()), Ok(line));
    // The log's own line is still there, and neither passes for the other.
    let log = NoteVerifier::new("example.com/behind-the-sofa", stranger().verifying_key()).unwrap();
    read.verify(&log).unwrap();
    assert_eq!(read.verify(&NoteVerifier::new(NAME, ed25519().verifying_key()).unwrap()), Err(NoteError::Unsigned));
    let as_witness = CosignatureVerifier::new("example.com/behind-the-sofa", stranger().verifying_key()).unwrap();
    assert_eq!(read.cosigned_by(&as_witness), Err(NoteError::Unsigned));
    // The latest of several.
    let mut later = read.clone();
    later.cosign(NAME, &ed25519(), TIME_S + 60).unwrap();
    assert_eq!(later.cosigned_by(&witness()), Ok(TIME_S + 60));
}

#[test]
fn what_was_changed_is_refused() {
    let line = head().cosign(NAME, &ed25519(), TIME_S).unwrap();
    let with = |change: &dyn Fn(&mut NoteSignature)| {
        let (mut note, mut line) = (head(), line.clone());
        change(&mut line);
        note.add(line).unwrap();
        note.cosigned_by(&witness())
    };
    assert_eq!(with(&|_| ()), Ok(TIME_S));
    assert_eq!(
        with(&|line| line.signature[7] ^= 1),
        Err(NoteError::BadSignature(BadSignature::Mismatch)),
        "another time"
    );
    assert_eq!(with(&|line| line.signature[..8].fill(0)), Err(NoteError::Cosignature), "no time");
    assert_eq!(
        with(&|line| line.signature[8] ^= 1),
        Err(NoteError::BadSignature(BadSignature::Mismatch)),
        "another signature"
    );
    assert_eq!(with(&|line| line.signature.truncate(71)), Err(NoteError::Cosignature), "a short one");
    assert_eq!(with(&|line| line.signature.push(0)), Err(NoteError::Cosignature), "a long one");
    assert_eq!(with(&|line| line.id[0] ^= 1), Err(NoteError::Unsigned), "another key's");
    assert_eq!(with(&|line| line.name = "other".into()), Err(NoteError::Unsigned), "another's");
    let plain = |line: &mut NoteSignature| line.signature = ed25519().sign(head().text().as_bytes()).unwrap();
    assert_eq!(with(&plain), Err(NoteError::Cosignature), "a signature of the text alone");
    let mut other =
        SignedNote::new("example.com/behind-the-sofa\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n").unwrap();
    other.add(line).unwrap();
    assert_eq!(other.cosigned_by(&witness()), Err(NoteError::BadSignature(BadSignature::Mismatch)), "of another head");
}

#[test]
fn verifier_keys_are_typed() {
    let vkey = witness().vkey();
    assert_eq!(CosignatureVerifier::from_vkey(&vkey).unwrap(), witness());
    let log_key = NoteVerifier::new(NAME, ed25519().verifying_key()).unwrap().vkey();
    assert_ne!(log_key, vkey);
    assert_eq!(CosignatureVerifier::from_vkey(&log_key), Err(NoteError::VerifierKey));
    assert_eq!(NoteVerifier::from_vkey(&vkey), Err(NoteError::VerifierKey));
    assert_eq!(CosignatureVerifier::new(NAME, p256().verifying_key()), Err(NoteError::NotEd25519));
    assert_eq!(head().cosign("a b", &ed25519(), 1).unwrap_err(), NoteError::KeyName);
}
