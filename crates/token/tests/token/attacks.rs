//! Forged, damaged, confused and stale: what every verifier here refuses, and the sentence with which it does.
//!
//! The table is `attacks.txt` beside this file, written by `UPDATE_SNAPSHOT=1` and read in review. No two
//! attacks on one kind of object get the same answer. What is done to the form of request tokens, letter by
//! letter, is in `request_forged.rs`; the fuzzer is `tests/fuzz_tokens.rs`.

mod files;
mod proofs;
mod sm2;
mod tokens;

use std::collections::BTreeSet;
use std::fmt::Write as _;

/// What was attacked, how, and what was answered.
pub type Row = (&'static str, &'static str, String);

/// The reason and the sentence of a refusal.
macro_rules! refused {
    ($verified:expr) => {
        match $verified {
            Ok(_) => panic!("believed: {}", stringify!($verified)),
            Err(error) => format!("{:<32} {error}", error.reason()),
        }
    };
}
pub(crate) use refused;

#[test]
fn every_attack_is_refused_for_its_own_reason() {
    let rows = [tokens::rows(), proofs::rows(), files::rows(), sm2::rows()].concat();
    assert!(rows.len() >= 90, "{} rows", rows.len());
    let mut seen = BTreeSet::new();
    let mut table = String::new();
    for (kind, attack, answer) in &rows {
        assert!(seen.insert((*kind, *attack)), "{kind}, {attack}: twice");
        assert!(seen.insert((*kind, answer.as_str())), "{kind}, {attack}: another attack has the answer {answer:?}");
        writeln!(table, "{kind:<18} {attack:<58} {answer}").unwrap();
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/token/attacks.txt");
    if std::env::var_os("UPDATE_SNAPSHOT").is_some() {
        std::fs::write(path, &table).unwrap();
    }
    let expected = std::fs::read_to_string(path).unwrap();
    for (made, expected) in table.lines().zip(expected.lines()) {
        assert_eq!(made, expected);
    }
    assert_eq!(table.lines().count(), expected.lines().count());
}
