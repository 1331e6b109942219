//! A clearing day reconciled from exports: `jjj recon compute`, beside DuckDB, which reads the same two
//! files and joins them fully outer.
//!
//! The day is generated with as many breaks of each class as `--rows` has thousands; what is computed
//! must be what was planted, or nothing is reported.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use jjj_domain::id::Uscc;
use jjj_domain::recon::file::HEADER;
use jjj_domain::recon::stream::LEDGER_HEADER;
use serde_json::{Value, json};

use crate::Options;
use crate::report::{Measurement, Report};

const DATE: &str = "2026-11-16";
const FEE_BASIS_POINTS: i64 = 20;
const INSTITUTIONS: u64 = 500;
/// Rows joined, and rows that only one side has; the sums keep every column read.
const DUCKDB: &str = r#"
import sys, time
try:
    import duckdb
except ImportError:
    sys.exit(3)
ledger, file = sys.argv[1:]
begun = time.perf_counter()
found = duckdb.sql(f"""
SELECT count(*), count(*) FILTER (l.record IS NULL), count(*) FILTER (f.order_id IS NULL),
       count(*) FILTER (l.amount_fen <> f.amount_fen), count(*) FILTER (l.institution <> f.institution),
       count(*) FILTER (f.status <> 'SUCCESS'), sum(f.fee_fen)
FROM read_csv('{ledger}') l FULL OUTER JOIN (SELECT * FROM read_csv('{file}', all_varchar = false) WHERE kind <> 'TRAILER') f
ON l.kind = f.kind AND l.merchant_id = f.merchant_id AND l.order_id = f.order_id
   AND l.transaction_time = f.transaction_time
""").fetchall()
print(time.perf_counter() - begun, flush=True)
sys.stdin.read()
"#;

pub fn measure(options: &Options, rows: u64, python: &Path, report: &mut Report) -> anyhow::Result<()> {
    let folder = tempfile::Builder::new().prefix("jjj-bench-recon-").tempdir()?;
    let jjj = match &options.jjj {
        Some(jjj) => jjj.clone(),
        None => std::env::current_exe()?.with_file_name("jjj"),
    };
    let day = Planted::write(folder.path(), rows)?;
    let mut measurement =
        Measurement::new(format!("reconciliation from exports, {rows} rows, {} of each class", rows / 1_000));
    let mut duckdb = true;
    for _ in 0..options.runs {
        for (name, memory, region) in [
            ("jjj recon compute, all views, s", "… peak memory MiB", None),
            ("jjj recon compute, one region's view, s", "… its peak memory MiB", Some("regions/110000")),
        ] {
            let mut command = Command::new(&jjj);
            command.args(["recon", "compute", "--json", "--ledger"]).arg(&day.ledger).arg("--file").arg(&day.file);
            command.args(region.iter().flat_map(|region| ["--region", *region]));
            let begun = Instant::now();
            let (output, peak_mib) = watched(command, Ends::ByItself)?;
            measurement.add(name, begun.elapsed().as_secs_f64());
            measurement.add(memory, peak_mib);
            if region.is_none() {
                let computed: Value = serde_json::from_slice(&output).context("what was computed")?;
                ensure!(computed["breaks"] == day.breaks, "planted {}, computed {}", day.breaks, computed["breaks"]);
            }
        }
        if duckdb {
            match duckdb_join(python, &day.ledger, &day.file) {
                Ok((seconds, peak_mib)) => {
                    measurement.add("DuckDB, the statement alone, s", seconds);
                    measurement.add("… its peak memory MiB, Python included", peak_mib);
                }
                Err(error) => {
                    eprintln!("jjj-bench: not beside DuckDB: {error:#}");
                    duckdb = false;
                }
            }
        }
    }
    report.push(measurement);
    Ok(())
}

/// The seconds that DuckDB's statement takes, and the peak memory MiB of its process.
pub fn duckdb_join(python: &Path, ledger: &Path, file: &Path) -> anyhow::Result<(f64, f64)> {
    let mut command = Command::new(python);
    command.args(["-c", DUCKDB]).arg(ledger).arg(file);
    let (output, peak_mib) = watched(command, Ends::WhenTold)?;
    Ok((String::from_utf8_lossy(&output).trim().parse()?, peak_mib))
}

#[derive(PartialEq, Eq)]
pub enum Ends {
    ByItself,
    /// After its one line, when its input ends: so its peak can be read.
    WhenTold,
}

/// What a process prints, and its peak resident memory, MiB.
pub fn watched(mut command: Command, ends: Ends) -> anyhow::Result<(Vec<u8>, f64)> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("starting a process")?;
    let mut stdout = child.stdout.take().context("its output")?;
    let status = PathBuf::from(format!("/proc/{}/status", child.id()));
    let reader = std::thread::spawn(move || {
        let mut output = Vec::new();
        let mut byte = [0; 4096];
        loop {
            match std::io::Read::read(&mut stdout, &mut byte) {
                Ok(0) | Err(_) => return output,
                Ok(n) => output.extend_from_slice(&byte[..n]),
            }
            if ends == Ends::WhenTold && output.ends_with(b"\n") {
                return output;
            }
        }
    });
    let mut peak_kib = 0.0;
    while !reader.is_finished() {
        peak_kib = f64::max(peak_kib, high_water_kib(&status));
        std::thread::sleep(Duration::from_millis(2));
    }
    peak_kib = f64::max(peak_kib, high_water_kib(&status));
    drop(child.stdin.take());
    let output = reader.join().unwrap_or_default();
    let ended = child.wait()?;
    ensure!(ended.success(), "it ended with {ended} (3: the module duckdb is not there)");
    Ok((output, peak_kib / 1024.0))
}

fn high_water_kib(status: &Path) -> f64 {
    let text = std::fs::read_to_string(status).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0.0)
}

/// A generated day.
struct Planted {
    ledger: PathBuf,
    file: PathBuf,
    /// By class, as `jjj recon compute` counts them.
    breaks: Value,
}

/// What a row of the day is.
const CLASSES: [&str; 9] = [
    "CHANNEL_ONLY",
    "LEDGER_ONLY",
    "DUPLICATE",
    "AMOUNT_MISMATCH",
    "FEE_MISMATCH",
    "PARTY_MISMATCH",
    "STATUS_MISMATCH",
    "AMBIGUOUS",
    "REFUND_ORPHAN",
];

impl Planted {
    fn write(folder: &Path, rows: u64) -> anyhow::Result<Self> {
        let (ledger, file) = (folder.join("ledger.csv"), folder.join("file.csv"));
        let mut breaks: BTreeMap<&str, u64> = BTreeMap::new();
        let institutions = institutions();
        let mut into_ledger = BufWriter::with_capacity(1 << 20, File::create(&ledger)?);
        let mut into_file = BufWriter::with_capacity(1 << 20, File::create(&file)?);
        writeln!(into_ledger, "{}", LEDGER_HEADER.join(","))?;
        writeln!(into_file, "{}", HEADER.join(","))?;
        let mut totals = [0, 0, 0];
        for row in 0..rows {
            // One in a thousand of each class, spread over the day.
            let class = CLASSES.get(((mixed(row / 1_000 * 1_000) % 1_000 + row) % 1_000) as usize).copied();
            if let Some(class) = class {
                *breaks.entry(class).or_default() += 1;
            }
            let drawn = mixed(row);
            let institution = (drawn % INSTITUTIONS) as usize;
            let payee = &institutions[institution];
            let merchant = format!("7772900581{:05}", institution);
            let order = format!("{:016X}{:08}", mixed(row ^ 0xabcd), row);
            let second = row * 86_399 / rows;
            let time = format!("20261116{:02}{:02}{:02}", second / 3_600, second / 60 % 60, second % 60);
            let amount = 1_000 + (drawn >> 20) as i64 % 600_000;
            let fee = (amount * FEE_BASIS_POINTS + 5_000) / 10_000;
            let (region, other) = [("110000", "130000"), ("120000", "130000"), ("110000", "120000")][institution % 3];
            if !matches!(class, Some("CHANNEL_ONLY" | "REFUND_ORPHAN")) {
                let record = format!("payments/0193a0b4-7c00-7000-8{:03x}-{row:012x}", drawn >> 52);
                writeln!(
                    into_ledger,
                    "PAYMENT,{record},{merchant},{order},{time},{amount},{payee},POSTED,{DATE},regions/{region},care_subsidy,regions/{other},,"
                )?;
            }
            let mut line =
                |kind: &str, time: &str, amount: i64, fee: i64, status: &str, payee: &str, original: &str| {
                    totals[0] += 1;
                    totals[1] += amount;
                    totals[2] += fee;
                    writeln!(into_file, "{kind},{merchant},{order},{time},{amount},{fee},{status},{payee},{original}")
                };
            let other_payee = &institutions[(institution + 1) % institutions.len()];
            match class {
                Some("LEDGER_ONLY") => {}
                Some("DUPLICATE") => {
                    line("PAYMENT", &time, amount, fee, "SUCCESS", payee, "")?;
                    line("PAYMENT", &time, amount, fee, "SUCCESS", payee, "")?;
                }
                Some("AMOUNT_MISMATCH") => {
                    let fee = ((amount + 1) * FEE_BASIS_POINTS + 5_000) / 10_000;
                    line("PAYMENT", &time, amount + 1, fee, "SUCCESS", payee, "")?;
                }
                Some("FEE_MISMATCH") => line("PAYMENT", &time, amount, fee + 1, "SUCCESS", payee, "")?,
                Some("PARTY_MISMATCH") => line("PAYMENT", &time, amount, fee, "SUCCESS", other_payee, "")?,
                Some("STATUS_MISMATCH") => line("PAYMENT", &time, amount, fee, "FAILED", payee, "")?,
                Some("AMBIGUOUS") => {
                    line("PAYMENT", "20261115230001", amount, fee, "SUCCESS", payee, "")?;
                    line("PAYMENT", "20261115230002", amount, fee, "SUCCESS", payee, "")?;
                }
                Some("REFUND_ORPHAN") => line("REFUND", &time, amount, 0, "SUCCESS", payee, "NEVERSEEN0001")?,
                _ => line("PAYMENT", &time, amount, fee, "SUCCESS", payee, "")?,
            }
        }
        writeln!(into_file, "TRAILER,{},{},{},,,,,", totals[0], totals[1], totals[2])?;
        into_ledger.flush()?;
        into_file.flush()?;
        let day = json!({
            "channel": "channels/unionpay",
            "clearing_date": DATE,
            "terms": {
                "in_grace": false,
                "fee": {"basis_points": FEE_BASIS_POINTS, "min_fen": 0, "max_fen": 1_000_000},
                "fallbacks": ["ORDER_ID"],
                "tolerances": [],
            },
        });
        std::fs::write(folder.join("day.json"), day.to_string())?;
        Ok(Self { ledger, file, breaks: json!(breaks) })
    }
}

/// Numbers that look random and are the same every time (SplitMix64).
fn mixed(n: u64) -> u64 {
    let mut z = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Unified social credit codes with right check characters.
fn institutions() -> Vec<String> {
    const ALPHABET: &str = "0123456789ABCDEFGHJKLMNPQRTUWXY";
    let code = |n: u64| {
        let checks = ALPHABET.chars().flat_map(|a| ALPHABET.chars().map(move |b| [a, b]));
        let mut codes = checks.map(|[a, b]| format!("52131082{n:08}{a}{b}"));
        codes.find(|code| code.parse::<Uscc>().is_ok())
    };
    (0..INSTITUTIONS * 2).filter_map(code).take(INSTITUTIONS as usize).collect()
}
