//! Mutational fuzzing of every parser, on stable Rust: the golden files and what came of them,
//! damaged in ways that keep some of their structure. An input whose outcome is new joins the
//! corpus, so that damage piles up on damage. Nothing may panic, and what is accepted must write
//! back equal. 3,000 executions a parser in `./test`, ten million in `./campaign`, which compiles for
//! speed; `JJJ_EXECUTIONS` sets another number, `JJJ_SEED` begins with a printed seed again.

#[path = "../../../tests/src/campaign.rs"]
mod campaign;

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::LazyLock;
use std::time::Instant;

use campaign::{executions, seed};
use fastrand::Rng;
use jjj_domain::policy::TransactionCodes;
use jjj_domain::recon::FileFormat;
use jjj_domain::recon::file::{parse_line, render_line};
use jjj_domain::time::Timestamp;
use jjj_formats::camt::{self, Message, Statement};
use jjj_formats::unionpay::Kind;
use jjj_formats::{Context, Record, fixed, rows, zip};

/// The largest input.
const MAX_LEN: usize = 16 * 1024;
/// The most inputs kept.
const MAX_CORPUS: usize = 2_000;

fn golden(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)).unwrap()
}

/// What came of one input: the kinds of its rows, faults and refusal, each as a hash.
#[derive(Default, PartialEq, Eq, Hash)]
struct Outcome {
    kinds: Vec<u64>,
    /// An entry of a bank's was set aside.
    has_entry_fault: bool,
}

impl Outcome {
    fn note(&mut self, kind: impl Hash) {
        let mut hasher = DefaultHasher::new();
        kind.hash(&mut hasher);
        let kind = hasher.finish();
        if !self.kinds.contains(&kind) {
            self.kinds.push(kind);
        }
    }
}

static CONTEXT: LazyLock<Context> =
    LazyLock::new(|| Context { clearing_date: "2026-11-18".parse().unwrap(), codes: TransactionCodes::default() });

fn run(format: FileFormat, bytes: &[u8]) -> (Outcome, Vec<Record>) {
    let (mut outcome, mut records) = (Outcome::default(), Vec::new());
    for (n, row) in rows(format, bytes, CONTEXT.clone()).enumerate() {
        // A zip unpacks to more than it is, within its ratio; nothing else has more rows than bytes.
        let most = if format == FileFormat::UnionpayZip { 1 << 20 } else { bytes.len() + 1 };
        assert!(n <= most, "{n} rows of {} bytes", bytes.len());
        match row {
            Ok(Ok(record)) => {
                outcome.note(std::mem::discriminant(&record));
                records.push(record);
            }
            Ok(Err(fault)) => {
                assert!(fault.byte_offset >= 0 && fault.line >= 1, "{fault:?}");
                outcome.has_entry_fault |= fault.field.starts_with("Ntry");
                outcome.note((fault.field, fault.reason.as_str()));
            }
            Err(refusal) => {
                outcome.note(refusal.reason.as_str());
                records.clear();
            }
        }
    }
    (outcome, records)
}

/// What is accepted writes back equal.
fn check(format: FileFormat, bytes: &[u8], outcome: &Outcome, records: Vec<Record>) {
    match format {
        FileFormat::Csv => {
            for line in
                records.iter().filter_map(|record| if let Record::Line(line) = record { Some(line) } else { None })
            {
                let fields = render_line(line);
                let fields = fields.each_ref().map(String::as_str);
                assert_eq!(parse_line(&fields, line.line, line.byte_offset).as_ref(), Ok(line));
            }
        }
        FileFormat::UnionpayZm | FileFormat::UnionpayZme => {
            let kind = if format == FileFormat::UnionpayZm { Kind::Zm } else { Kind::Zme };
            for row in bytes.split(|b| *b == b'\n') {
                if let Ok(texts) = fixed::split(kind.fields(), row) {
                    assert_eq!(fixed::join(kind.fields(), &texts).as_deref(), Ok(row));
                }
            }
        }
        FileFormat::UnionpayZip | FileFormat::Other => {}
        FileFormat::Camt053 | FileFormat::Camt054 => {
            let is_whole = records.iter().any(|record| matches!(record, Record::Statement(_)));
            if !is_whole || outcome.has_entry_fault {
                return;
            }
            let message = if format == FileFormat::Camt053 { Message::Statement } else { Message::Notification };
            let (mut statements, mut entries) = (Vec::new(), Vec::new());
            for record in &records {
                match record {
                    Record::Entry(entry) => entries.push(entry.clone()),
                    Record::Statement(statement) => statements
                        .push(Statement { statement: statement.clone(), entries: std::mem::take(&mut entries) }),
                    other => panic!("{other:?}"),
                }
            }
            let mut written = Vec::new();
            camt::write(message, "FUZZ", Timestamp(0), &statements, &mut written).unwrap();
            let again = run(format, &written);
            assert_eq!(again.1, records, "{}", String::from_utf8_lossy(&written));
        }
    }
}

const TOKENS: [&[u8]; 40] = [
    b"<!DOCTYPE a [<!ENTITY b \"c\">]>",
    b"&b;",
    b"&#0;",
    b"&#13;",
    b"&amp;",
    b"<![CDATA[",
    b"]]>",
    b"<!--",
    b"-->",
    b"<?x?>",
    b"<Ntry>",
    b"</Ntry>",
    b"<TxDtls>",
    b"</TxDtls>",
    b"<Bal>",
    b"<a>",
    b"</a>",
    b"<a/>",
    b" xmlns=\"b\"",
    b"<NtryDtls/>",
    b"\0",
    b"\r\n",
    b"\n",
    b"\t",
    b"\"",
    b",",
    b"'",
    b"=1+1",
    b"TRAILER,",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\x81\x30\x81\x30",
    b"\x80",
    b"S22",
    b"S32",
    b"D",
    b"0229",
    b"PK\x03\x04",
    b"PK\x01\x02",
    b"PK\x07\x08",
];

fn mutate(rng: &mut Rng, bytes: &mut Vec<u8>, other: &[u8]) {
    for _ in 0..1 + rng.usize(..4) {
        let len = bytes.len();
        let at = rng.usize(..=len);
        let most = if rng.bool() { 8 } else { 800 };
        let span = rng.usize(..=(len - at).min(most));
        match rng.usize(..10) {
            0 if at < len => bytes[at] ^= 1 << rng.usize(..8),
            1 if at < len => bytes[at] = rng.u8(..),
            2 => drop(bytes.drain(at..at + span)),
            3 => {
                let copy = bytes[at..at + span].to_vec();
                let to = rng.usize(..=len);
                bytes.splice(to..to, copy);
            }
            4 => drop(bytes.splice(at..at, TOKENS[rng.usize(..TOKENS.len())].iter().copied())),
            5 => {
                // In place: fixed widths stay.
                let token = TOKENS[rng.usize(..TOKENS.len())];
                let end = (at + token.len()).min(len);
                bytes[at..end].copy_from_slice(&token[..end - at]);
            }
            6 => {
                // Another digit for a digit: sums and dates change, forms stay.
                if let Some(digit) = bytes[at..].iter().position(u8::is_ascii_digit) {
                    bytes[at + digit] = rng.u8(b'0'..=b'9');
                }
            }
            7 => {
                let from = rng.usize(..=other.len());
                let n = rng.usize(..=(other.len() - from).min(800));
                bytes.splice(at..at, other[from..from + n].iter().copied());
            }
            8 if at < len => bytes.truncate(at),
            _ => {
                let unit = bytes[at..at + span].to_vec();
                let times = rng.usize(..40);
                bytes.splice(at..at, unit.repeat(times));
            }
        }
        bytes.truncate(MAX_LEN);
    }
}

fn fuzz(format: FileFormat, corpus: Vec<Vec<u8>>) {
    let (mut rng, begun, executions) = (Rng::with_seed(seed()), Instant::now(), executions(3_000));
    let mut corpus = corpus;
    let members = ["zm.txt", "zme.txt"].map(golden);
    let mut seen: HashSet<Outcome> = corpus.iter().map(|bytes| run(format, bytes).0).collect();
    assert!(corpus.iter().all(|bytes| !run(format, bytes).1.is_empty()), "the golden files are read");
    let mut accepted = 0u64;
    for _ in 0..executions {
        let mut bytes = corpus[rng.usize(..corpus.len())].clone();
        let other = &corpus[rng.usize(..corpus.len())];
        mutate(&mut rng, &mut bytes, other);
        if format == FileFormat::UnionpayZip && rng.bool() {
            // A whole zip around damaged members.
            let mut writer = zip::Writer::new(Vec::new());
            writer.member(["ZM_1", "ZME_1", "INN"][rng.usize(..3)], &mut &bytes[..]).unwrap();
            let mut member = members[rng.usize(..2)].clone();
            mutate(&mut rng, &mut member, &bytes);
            writer.member("INN_ZM_2", &mut &member[..]).unwrap();
            bytes = writer.finish().unwrap();
        }
        let (outcome, records) = run(format, &bytes);
        accepted += u64::from(!records.is_empty());
        check(format, &bytes, &outcome, records);
        if corpus.len() < MAX_CORPUS && seen.insert(outcome) {
            corpus.push(bytes);
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    let a_second = executions as f64 / seconds;
    println!(
        "{format}: {executions} executions in {seconds:.0} s ({a_second:.0} a second), {accepted} with rows, {} outcomes",
        seen.len()
    );
}

#[test]
fn csv() {
    fuzz(FileFormat::Csv, vec![golden("settlement.csv")]);
}

#[test]
fn zm() {
    fuzz(FileFormat::UnionpayZm, vec![golden("zm.txt")]);
}

#[test]
fn zme() {
    fuzz(FileFormat::UnionpayZme, vec![golden("zme.txt")]);
}

#[test]
fn zip_of_both() {
    fuzz(FileFormat::UnionpayZip, vec![golden("898131082990001_20261118.zip")]);
}

#[test]
fn camt053() {
    fuzz(FileFormat::Camt053, vec![golden("camt053.xml")]);
}

#[test]
fn camt054() {
    fuzz(FileFormat::Camt054, vec![golden("camt054.xml")]);
}
