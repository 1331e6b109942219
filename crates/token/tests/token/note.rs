use jjj_token::SigningKey;
use jjj_token::note::{
    Checkpoint, CheckpointError, NoteError, NoteSignature, NoteVerifier, SignedNote, open_checkpoint, sign_checkpoint,
};
use jjj_token::suite::BadSignature;
use proptest::prelude::*;

use crate::support::{ed25519, hash, p256, stranger};

/// From the documentation and the tests of golang.org/x/mod/sumdb/note.
const PETER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const ENOCH: &str = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop";
const TEXT: &str = "If you think cryptography is the answer to your problem,\n\
                    then you don't know what your problem is.\n";
const PETER_LINE: &str = "\u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1F\
                          FYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
const ENOCH_LINE: &str = "\u{2014} EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF\
                          1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n";

/// The seed within Go's `PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz`.
fn peter() -> SigningKey {
    let seed = hash("810a1402d5146c8d84f2443330f54080ebf98ee17d9c74f6252fc5d5c7283173");
    SigningKey::from_ed25519_seed(&seed).unwrap()
}

#[test]
fn go_vectors() {
    let (peter_key, enoch_key) = (NoteVerifier::from_vkey(PETER).unwrap(), NoteVerifier::from_vkey(ENOCH).unwrap());
    assert_eq!((peter_key.name(), hex::encode(peter_key.id()).as_str()), ("PeterNeumann", "c74f20a3"));
    assert_eq!((peter_key.vkey().as_str(), enoch_key.vkey().as_str()), (PETER, ENOCH));

    let mut note = SignedNote::new(TEXT).unwrap();
    note.sign("PeterNeumann", &peter()).unwrap();
    assert_eq!(note.to_string(), format!("{TEXT}\n{PETER_LINE}"));

    let both = format!("{TEXT}\n{PETER_LINE}{ENOCH_LINE}");
    let note = SignedNote::parse(&both).unwrap();
    assert_eq!(note.text(), TEXT);
    assert_eq!(note.to_string(), both);
    note.verify(&peter_key).unwrap();
    note.verify(&enoch_key).unwrap();
}

/// The verifier key of Go's checksum database: its id is its own.
#[test]
fn sum_golang_org_key() {
    let vkey = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";
    assert_eq!(NoteVerifier::from_vkey(vkey).unwrap().vkey(), vkey);
}

#[test]
fn verifier_keys_refused() {
    let reason = |vkey: &str| NoteVerifier::from_vkey(vkey).unwrap_err().reason();
    for end in 0..PETER.len() {
        assert!(NoteVerifier::from_vkey(&PETER[..end]).is_err(), "{}", &PETER[..end]);
    }
    assert_eq!(reason(&PETER.replace("c74f20a3", "c74f20a4")), "NOTE_VERIFIER_KEY_MALFORMED");
    assert_eq!(reason(&PETER.replace("c74f20a3", "C74F20A3")), "NOTE_VERIFIER_KEY_MALFORMED");
    assert_eq!(reason(&PETER.replace("Peter", "peter")), "NOTE_VERIFIER_KEY_MALFORMED");
    assert_eq!(reason(&PETER.replace("+ARpc", "+AhpC")), "NOTE_VERIFIER_KEY_MALFORMED");
    assert_eq!(reason(&PETER.replace("PeterNeumann", "")), "NOTE_KEY_NAME_MALFORMED");
    assert_eq!(reason(&PETER.replace("Peter", "Peter ")), "NOTE_KEY_NAME_MALFORMED");
    let weak = format!("a+00000000+AQ{}=", "A".repeat(41));
    assert!(NoteVerifier::from_vkey(&weak).is_err());
    let refused = NoteVerifier::new("a", p256().verifying_key()).unwrap_err();
    assert_eq!(refused, NoteError::NotEd25519);
}

#[test]
fn notes_refused() {
    let good = format!("{TEXT}\n{PETER_LINE}");
    let many = format!("{TEXT}\n{}", PETER_LINE.repeat(65));
    let table = [
        ("", "NOTE_SIGNATURE_LINE_MALFORMED"),
        (TEXT, "NOTE_SIGNATURE_LINE_MALFORMED"),
        (&format!("{TEXT}\n"), "NOTE_SIGNATURE_LINE_MALFORMED"),
        (good.trim_end(), "NOTE_SIGNATURE_LINE_MALFORMED"),
        (&good.replace('\u{2014}', "-"), "NOTE_SIGNATURE_LINE_MALFORMED"),
        (&good.replace("PeterNeumann ", "PeterNeumann  "), "NOTE_SIGNATURE_LINE_MALFORMED"),
        (&good.replace("AM=", "AM"), "NOTE_SIGNATURE_LINE_MALFORMED"),
        (&good.replace("x08go/ZJ", "x08gow==\n"), "NOTE_SIGNATURE_LINE_MALFORMED"),
        (&format!("{good}x\n"), "NOTE_SIGNATURE_LINE_MALFORMED"),
        (&good.replace("cryptography", "crypto\tgraphy"), "NOTE_TEXT_MALFORMED"),
        (&good.replace("problem,\n", "problem,\r\n"), "NOTE_TEXT_MALFORMED"),
        (&format!("{}\n{PETER_LINE}", "x\n".repeat(200_000)), "NOTE_TOO_LONG"),
        (&many, "NOTE_TOO_LONG"),
    ];
    for (note, reason) in table {
        assert_eq!(SignedNote::parse(note).unwrap_err().reason(), reason, "{note:.200}");
    }
}

#[test]
fn signatures_refused() {
    let peter_key = NoteVerifier::from_vkey(PETER).unwrap();
    let verify = |note: String| SignedNote::parse(&note).unwrap().verify(&peter_key);
    assert_eq!(verify(format!("{TEXT}\n{PETER_LINE}")), Ok(()));
    assert_eq!(verify(format!("{TEXT}\n{ENOCH_LINE}")), Err(NoteError::Unsigned));
    // The same name under another id is another key; unknown keys are ignored.
    let other_id = PETER_LINE.replace("x08go", "x08gp");
    assert_eq!(verify(format!("{TEXT}\n{other_id}")), Err(NoteError::Unsigned));
    assert_eq!(verify(format!("{TEXT}\n{other_id}{PETER_LINE}")), Ok(()));
    let changed = TEXT.replace("cryptography", "cryptographY");
    assert_eq!(verify(format!("{changed}\n{PETER_LINE}")), Err(NoteError::BadSignature(BadSignature::Mismatch)));
    // A bad line of a known key spoils the note, also beside a good one.
    let bad = PETER_LINE.replace("JnAM=", "JnAI=");
    assert_eq!(verify(format!("{TEXT}\n{PETER_LINE}{bad}")), Err(NoteError::BadSignature(BadSignature::Mismatch)));
}

fn checkpoint() -> Checkpoint {
    Checkpoint {
        origin: "gateway.example/log".into(),
        size: 20_852_163,
        root: hash("0ac5181a91863e3a1d90c8080149a89bf5da8e3ee1d9f0763cc0f78f68f1ab62"),
        extensions: vec![],
    }
}

#[test]
fn checkpoint_signed_and_opened() {
    let note = sign_checkpoint(&ed25519(), &checkpoint()).unwrap();
    let text = "gateway.example/log\n20852163\nCsUYGpGGPjodkMgIAUmom/Xajj7h2fB2PMD3j2jxq2I=\n";
    assert_eq!(note.text(), text);
    let log = NoteVerifier::new("gateway.example/log", ed25519().verifying_key()).unwrap();
    let (opened, _) = open_checkpoint(&note.to_string(), &log).unwrap();
    assert_eq!(opened, checkpoint());

    // A witness's line, of a type that this crate does not know, is kept and does no harm.
    let mut cosigned = note.clone();
    let line = NoteSignature { name: "regions/110000".into(), id: [1, 2, 3, 4], signature: vec![9; 72] };
    cosigned.add(line.clone()).unwrap();
    cosigned.add(line.clone()).unwrap();
    let (_, reopened) = open_checkpoint(&cosigned.to_string(), &log).unwrap();
    assert_eq!(reopened.signatures().len(), 2);
    assert_eq!(reopened.signatures()[1], line);
}

/// The example of the tlog-checkpoint specification.
#[test]
fn checkpoint_of_the_specification() {
    let note = "example.com/behind-the-sofa\n20852163\n\
                CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\
                \u{2014} example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5\
                /Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n";
    let note = SignedNote::parse(note).unwrap();
    let checkpoint = Checkpoint::parse(note.text()).unwrap();
    assert_eq!(checkpoint.size, 20_852_163);
    assert_eq!(checkpoint.to_text().unwrap(), note.text());
}

#[test]
fn checkpoints_refused() {
    let good = checkpoint().to_text().unwrap();
    let table = [
        (String::new(), "CHECKPOINT_LINES_MALFORMED"),
        ("a\n1\n".into(), "CHECKPOINT_LINES_MALFORMED"),
        (good.trim_end().into(), "CHECKPOINT_LINES_MALFORMED"),
        (good.replacen("gateway.example/log", "", 1), "CHECKPOINT_LINES_MALFORMED"),
        (format!("{good}\n"), "CHECKPOINT_LINES_MALFORMED"),
        (format!("{good}\nextension\n"), "CHECKPOINT_LINES_MALFORMED"),
        (good.replace("20852163", "020852163"), "CHECKPOINT_SIZE_MALFORMED"),
        (good.replace("20852163", "+20852163"), "CHECKPOINT_SIZE_MALFORMED"),
        (good.replace("20852163", "-1"), "CHECKPOINT_SIZE_MALFORMED"),
        (good.replace("20852163", "18446744073709551616"), "CHECKPOINT_SIZE_MALFORMED"),
        (good.replace("q2I=", "q2I"), "CHECKPOINT_ROOT_MALFORMED"),
        (good.replace("q2I=", "q2J="), "CHECKPOINT_ROOT_MALFORMED"),
        (good.replace("q2I=", ""), "CHECKPOINT_ROOT_MALFORMED"),
    ];
    for (text, reason) in table {
        assert_eq!(Checkpoint::parse(&text).unwrap_err().reason(), reason, "{text:?}");
    }
    let extended = Checkpoint::parse(&format!("{good}extension\n")).unwrap();
    assert_eq!(extended.extensions, ["extension"]);

    let injected = Checkpoint { origin: "a\n5".into(), ..checkpoint() };
    assert!(injected.to_text().is_err());
    let injected = Checkpoint { extensions: vec!["a\nb".into()], ..checkpoint() };
    assert_eq!(injected.to_text(), Err(CheckpointError::Lines));
}

#[test]
fn checkpoints_of_others_refused() {
    let note = sign_checkpoint(&ed25519(), &checkpoint()).unwrap();
    let log = NoteVerifier::new("gateway.example/log", stranger().verifying_key()).unwrap();
    let refused = open_checkpoint(&note.to_string(), &log).unwrap_err();
    assert_eq!(refused.reason(), "NOTE_UNSIGNED");
    // One log's key under its own name, over another log's head.
    let mut note = SignedNote::new(checkpoint().to_text().unwrap()).unwrap();
    note.sign("other.example/log", &ed25519()).unwrap();
    let log = NoteVerifier::new("other.example/log", ed25519().verifying_key()).unwrap();
    let refused = open_checkpoint(&note.to_string(), &log).unwrap_err();
    assert_eq!(refused, CheckpointError::OriginMismatch);
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "(\\PC|\n|\u{2014} )*") {
        if let Ok(note) = SignedNote::parse(&text) {
            prop_assert_eq!(note.to_string(), text.clone());
        }
        if let Ok(checkpoint) = Checkpoint::parse(&text) {
            prop_assert_eq!(checkpoint.to_text().unwrap(), text);
        }
    }
}
