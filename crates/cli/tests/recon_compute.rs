//! `jjj recon compute` without a gateway: what memory does not hold, what is quoted, and what is refused.

use std::fs;
use std::path::{Path, PathBuf};

use jjj_cli::recon_compute::{Computed, Options, SIDE_BYTES, compute};
use jjj_domain::names::Participant;
use jjj_domain::recon::file::{ControlTotals, HEADER, render_trailer};
use jjj_domain::recon::stream::LEDGER_HEADER;
use serde_json::{Value, json};

const DATE: &str = "2026-11-18";
const INSTITUTION: &str = "52131082XXXX00043X";

/// A day in a folder: both sides in an order of their own, with differences of several classes.
struct Day {
    folder: tempfile::TempDir,
    ledger: Vec<String>,
    lines: Vec<String>,
    terms: Value,
}

impl Day {
    fn of(orders: usize) -> Self {
        // A prime: each number once, in an order that is neither side's.
        let turned = |by: usize| (0..orders).map(move |n| n * by % orders);
        let order = |n: usize| format!("ORDER{n:08}");
        let time = |n: usize| format!("20261118{:02}{:02}{:02}", n / 3_600 % 23, n / 60 % 60, n % 60);
        let entry = |n: usize| {
            let (order, time, region) = (order(n), time(n), ["110000", "120000"][n % 2]);
            format!(
                "PAYMENT,payments/p{n},898110000000001,{order},{time},{},{INSTITUTION},POSTED,{DATE},regions/{region},care_subsidy,regions/130000,,",
                1_000 + n
            )
        };
        let line = |n: usize| {
            let amount = 1_000 + n + usize::from(n % 10 == 7);
            format!("PAYMENT,898110000000001,{},{},{amount},2,SUCCESS,{INSTITUTION},", order(n), time(n))
        };
        let ledger = turned(7_919).filter(|n| n % 13 != 5).map(entry).collect();
        let mut lines: Vec<String> = turned(104_729).filter(|n| n % 11 != 3).map(line).collect();
        // Some stand in the file once more, far from the first.
        lines.extend((0..orders).step_by(17).map(line));
        let terms = json!({"in_grace": false, "fee": null, "fallbacks": ["ORDER_ID"], "tolerances": []});
        Self { folder: tempfile::tempdir().expect("a folder"), ledger, lines, terms }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        fs::write(self.path(name), text).expect("a file");
        self.path(name)
    }

    /// Header, lines, trailer.
    fn file(&self) -> String {
        let amount = |line: &String| line.split(',').nth(4).and_then(|fen| fen.parse::<i64>().ok()).expect("an amount");
        let totals = ControlTotals {
            rows: self.lines.len() as i64,
            amount_fen: self.lines.iter().map(amount).sum(),
            fee_fen: 2 * self.lines.len() as i64,
        };
        [&[HEADER.join(",")], &self.lines[..], &[render_trailer(totals).join(","), String::new()]].concat().join("\n")
    }

    /// Writes both sides and the day, with `known` added to it.
    fn options(&self, known: Value) -> Options {
        let mut day = json!({"channel": "channels/unionpay", "clearing_date": DATE, "terms": self.terms});
        day.as_object_mut().expect("an object").extend(known.as_object().expect("an object").clone());
        let ledger = [&[LEDGER_HEADER.join(",")], &self.ledger[..], &[String::new()]].concat().join("\n");
        Options {
            day: self.write("day.json", &day.to_string()),
            ledger: self.write("ledger.csv", &ledger),
            files: vec![self.write("day.csv", &self.file())],
            books: Vec::new(),
            region: None,
            rows: Some(self.path("rows.jsonl")),
            side_bytes: SIDE_BYTES,
        }
    }
}

/// What came of it as JSON, and the rows that its root covers.
fn computed(options: &Options) -> (Value, String) {
    let computed: Computed = compute(options).expect("computed");
    let rows = fs::read_to_string(options.rows.as_ref().expect("rows are wanted")).expect("rows");
    (serde_json::to_value(computed).expect("JSON"), rows)
}

fn refused(options: &Options) -> String {
    format!("{:#}", compute(options).expect_err("refused"))
}

fn sha256(path: &Path) -> String {
    let bytes = fs::read(path).expect("a file");
    hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &bytes))
}

fn region(code: &str) -> Option<Participant> {
    Some(format!("regions/{code}").parse().expect("a region"))
}

#[test]
fn what_memory_does_not_hold_is_spilled_and_merged_to_the_same_bytes() {
    let day = Day::of(3_001);
    for only in [None, region("110000"), region("130000")] {
        let options = Options { region: only, ..day.options(json!({})) };
        let whole = computed(&options);
        let classes = whole.0["breaks"].as_object().map_or(0, serde_json::Map::len);
        assert!(classes >= if options.region.is_none() { 4 } else { 2 }, "{:#}", whole.0);
        for side_bytes in [100 << 10, 16 << 10, 5_000] {
            let ledger_bytes = fs::metadata(&options.ledger).expect("a file").len();
            assert!(ledger_bytes > 3 * side_bytes, "it is spilled several times");
            let spilled = computed(&Options { side_bytes: side_bytes as usize, ..options.clone() });
            assert_eq!(spilled.0, whole.0, "{side_bytes}");
            assert!(spilled.1 == whole.1, "{side_bytes}: other rows");
        }
    }
    // Spilled files have no names: nothing is left of them.
    let mut left: Vec<_> = fs::read_dir(day.folder.path()).expect("the folder").flatten().collect();
    left.retain(|file| {
        !["day.json", "ledger.csv", "day.csv", "rows.jsonl"].iter().any(|name| file.file_name() == *name)
    });
    assert!(left.is_empty(), "{left:?}");
    let beyond = Options { side_bytes: (2 << 30) + 1, ..day.options(json!({})) };
    assert!(refused(&beyond).contains("more than 2147483648 bytes"));
}

#[test]
fn quoted_fields_are_read_as_plain_ones() {
    let day = Day::of(101);
    let plain = day.options(json!({}));
    let expected = computed(&plain);
    let quoted = |text: &str| -> String {
        let line =
            |line: &str| line.split(',').map(|field| format!("\"{field}\"")).collect::<Vec<_>>().join(",") + "\n";
        text.lines().map(line).collect()
    };
    let read = |path: &Path| fs::read_to_string(path).expect("a file");
    let file = day.write("quoted.csv", &quoted(&day.file()));
    let ledger = day.write("quoted-ledger.csv", &quoted(&read(&plain.ledger)));
    assert_eq!(computed(&Options { files: vec![file], ledger, ..plain.clone() }), expected);

    // A field with a comma or a line's end in it makes its row a damaged one, in the file.
    let order = day.lines[0].split(',').nth(2).expect("an order");
    for odd in [format!("\"{order},\""), format!("\"{order}\n\"")] {
        let damaged = day.write("damaged.csv", &day.file().replacen(order, &odd, 1));
        let (value, _) = computed(&Options { files: vec![damaged], ..plain.clone() });
        assert_eq!(value["rejected_rows"], 1, "{odd:?}");
    }
    // Of the ledger none may be.
    let damaged = day.write("damaged-ledger.csv", &read(&plain.ledger).replacen("POSTED", "\"POSTED,\"", 1));
    let said = refused(&Options { ledger: damaged, ..plain.clone() });
    assert!(said.contains("damaged-ledger.csv: line 2"), "{said}");

    // Neither a row without end, quoted or not, nor another header.
    let endless = "x".repeat(200_000);
    for text in [format!("{}\"{endless}", day.file()), format!("{}{endless}", day.file())] {
        let path = day.write("endless.csv", &text);
        let said = refused(&Options { files: vec![path], ..plain.clone() });
        assert!(said.contains("endless.csv: a line is longer than 65536 bytes"), "{said}");
    }
    let other = day.write("other.csv", "\"kind\",\"amount\"\n");
    assert!(refused(&Options { files: vec![other], ..plain }).contains("the first line is not kind,merchant_id"));
}

#[test]
fn a_sum_over_several_rows_is_no_business_of_one_region() {
    let mut day = Day::of(11);
    day.terms["fallbacks"] = json!(["ORDER_ID", "GROUPED_SUM"]);
    let options = day.options(json!({}));
    assert_eq!(computed(&options).0["views"].as_array().map(Vec::len), Some(4), "the gateway's and three regions'");
    let said = refused(&Options { region: region("110000"), ..options });
    assert!(said.starts_with("GROUPED_SUM: "), "{said}");
}

#[test]
fn files_are_those_of_the_run_each_once() {
    let day = Day::of(11);
    let path = day.options(json!({})).files.remove(0);
    let (sha256, other) = (sha256(&path), "0".repeat(64));
    let ours = json!({"file": "files/1", "sha256": sha256});
    let options = day.options(json!({"files": [ours]}));
    assert_eq!(computed(&options).0["totals_agree"], true);
    let said = refused(&Options { files: vec![path.clone(), path.clone()], ..options.clone() });
    assert!(said.ends_with("day.csv is given twice"), "{said}");
    let stranger = day.write("stranger.csv", &day.file().replacen(",2,", ",3,", 1));
    let said = refused(&Options { files: vec![stranger], ..options });
    assert!(said.ends_with("stranger.csv is none of the run's files"), "{said}");
    let two = day.options(json!({"files": [ours, {"file": "files/2", "sha256": other}]}));
    let said = refused(&two);
    assert_eq!(said, format!("the run's files/2 (SHA-256 {other}) is not given"));
}

#[test]
fn books_are_those_of_the_run_one_a_region() {
    let day = Day::of(11);
    let plain = day.options(json!({}));
    let book = day.write("book.csv", &day.file());
    let given = |options: &Options, books: &[&PathBuf], only: Option<Participant>| Options {
        books: books.iter().map(|path| (*path).clone()).collect(),
        region: only,
        ..options.clone()
    };
    // A region's own, when the day knows of none.
    let own = computed(&given(&plain, &[&book], region("130000"))).0;
    assert_eq!(own["region_legs"]["regions/130000"]["rows"], day.lines.len() as i64, "{own:#}");
    let said = refused(&given(&plain, &[&book, &book], region("130000")));
    assert_eq!(said, "regions/130000: two books are given");
    // Whose it is, nobody says.
    let said = refused(&given(&plain, &[&book], None));
    assert!(said.ends_with("book.csv is none of the run's books"), "{said}");

    let sha256 = sha256(&book);
    let known = day.options(json!({"books": [{"region": "regions/130000", "sha256": sha256}]}));
    let by_all = computed(&given(&known, &[&book], None)).0;
    assert_eq!(by_all["region_legs"], own["region_legs"]);
    let said = refused(&given(&known, &[], region("130000")));
    assert_eq!(said, format!("the run's book of regions/130000 (SHA-256 {sha256}) is not given"));
    // Another region neither needs nor has it.
    assert_eq!(computed(&given(&known, &[], region("110000"))).0["region_legs"], json!({}));
    let said = refused(&given(&known, &[&book], region("110000")));
    assert!(said.ends_with("book.csv is none of the run's books"), "{said}");
    let altered = day.write("altered.csv", &day.file().replacen(",2,", ",3,", 1));
    let said = refused(&given(&known, &[&altered], None));
    assert!(said.ends_with("altered.csv is none of the run's books"), "{said}");
}
