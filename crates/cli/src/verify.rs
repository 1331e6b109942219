//! `jjj verify`: whether a database is what its signed log says. Ends with 1 when it is not, and
//! names every row at fault. Needs no gateway and no secret.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use jjj_domain::time::Timestamp;
use jjj_server::verify::{VerifyOptions, VerifyReport, verify};
use jjj_store::Store;
use jjj_token::note::{Checkpoint, SignedNote};
use jjj_token::offline::ReceiptFile;
use jjj_token::receipt::Receipt;
use prost::Message as _;

use crate::{output, verify_receipt};

#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Args {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    database: Database,
}

#[derive(clap::Subcommand)]
enum What {
    /// Check a file of `jjj receipt` offline, and say what it proves and by whom.
    Receipt(verify_receipt::Args),
}

#[derive(clap::Args)]
struct Database {
    /// `sqlite:FILE` or `postgres://…`; only read.
    #[arg(long, value_name = "URL", required = true)]
    db: Option<String>,
    /// Judge deadlines as of this moment, RFC 3339; absent: the database's clock.
    #[arg(long, value_name = "TIME")]
    at: Option<jiff::Timestamp>,
    /// The gateway's name; absent: that of the oldest checkpoint.
    #[arg(long, value_name = "NAME")]
    origin: Option<String>,
    /// Thumbprint of a key that the gateway's signatures are believed from; absent: those that the
    /// database itself registers for the gateway. May be repeated.
    #[arg(long = "gateway-key", value_name = "KID")]
    gateway_keys: Vec<String>,
    /// A checkpoint of this log that you kept; the log must extend it. Its signature is not checked:
    /// you vouch for the file. May be repeated.
    #[arg(long = "checkpoint", value_name = "FILE")]
    checkpoints: Vec<PathBuf>,
    /// A folder of receipts that you kept (`*.json`: files of `jjj receipt`, or answers of `jjj call`);
    /// the log must have kept each promise.
    #[arg(long, value_name = "DIR")]
    receipts: Option<PathBuf>,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    if let Some(What::Receipt(args)) = &args.what {
        return verify_receipt::run(args);
    }
    let args = args.database;
    let url = args.db.unwrap_or_default();
    let bar = bar();
    let options = VerifyOptions {
        at: args.at.map(|at| Timestamp(at.as_microsecond())),
        origin: args.origin,
        gateway_keys: args.gateway_keys,
        checkpoints: args.checkpoints.iter().map(kept).collect::<Result<_, _>>()?,
        receipts: args.receipts.as_deref().map(receipts).transpose()?.unwrap_or_default(),
        progress: Some(Box::new({
            let bar = bar.clone();
            move |done, total| {
                bar.set_length(total);
                bar.set_position(done);
            }
        })),
    };
    let report = report(&url, &options).await?;
    bar.finish_and_clear();
    if args.json {
        output::json(&serde_json::to_value(&report)?);
    } else {
        print(&report);
    }
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Verifies a database as of a moment; the report as JSON.
pub async fn check(url: &str, now: Timestamp) -> anyhow::Result<serde_json::Value> {
    let options = VerifyOptions { at: Some(now), ..VerifyOptions::default() };
    Ok(serde_json::to_value(report(url, &options).await?)?)
}

async fn report(url: &str, options: &VerifyOptions) -> anyhow::Result<VerifyReport> {
    // Opening would create it, and an empty database has nothing wrong.
    if let Some(file) = url.strip_prefix("sqlite:") {
        let path = file.split('?').next().unwrap_or_default().trim_start_matches("//");
        anyhow::ensure!(std::path::Path::new(path).exists(), "there is no database {path}");
    }
    let store = Store::open(url).await.context("opening the database")?;
    store.check_schema().await.context("the database's schema")?;
    let report = verify(&store, options).await.context("reading the database");
    store.close().await;
    report
}

fn kept(path: &PathBuf) -> anyhow::Result<Checkpoint> {
    let named = || path.display().to_string();
    let note = std::fs::read_to_string(path).with_context(named)?;
    let note = SignedNote::parse(&note).with_context(named)?;
    Checkpoint::parse(note.text()).with_context(named)
}

/// Every receipt in a folder, with its file's name.
fn receipts(dir: &Path) -> anyhow::Result<Vec<(String, Receipt)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let name = path.display().to_string();
        let bytes = std::fs::read(&path).with_context(|| name.clone())?;
        found.push((name.clone(), receipt_in(&bytes).with_context(|| format!("{name} holds no receipt"))?));
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(found)
}

/// The receipt of a file of `jjj receipt`, of an answer, or by itself.
fn receipt_in(bytes: &[u8]) -> Option<Receipt> {
    if let Ok(file) = ReceiptFile::from_json(bytes) {
        return file.record.receipt;
    }
    if let Ok(receipt) = Receipt::from_json(bytes) {
        return Some(receipt);
    }
    let mut answer: serde_json::Value = serde_json::from_slice(bytes).ok()?;
    let receipt = jjj_cli::session::encode("Receipt", answer["receipt"].take()).ok()?;
    jjj_server::receipt::from_wire(jjj_wire::pb::Receipt::decode(receipt).ok()?)
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{elapsed_precise} [{bar:40}] {pos}/{len} leaves");
    let bar = ProgressBar::new(0);
    style.into_iter().for_each(|style| bar.set_style(style));
    bar
}

fn print(report: &VerifyReport) {
    let VerifyReport { leaves, numbered, sealed, evidence, tokens, rows, private_rows, transfers, .. } = report;
    println!("log:      {leaves} leaves, {numbered} numbered, {sealed} under the newest checkpoint");
    println!("          of {}", report.origin.as_deref().unwrap_or("no origin: there is no checkpoint"));
    println!("evidence: {evidence} signed requests under {tokens} tokens");
    println!("tables:   {rows} rows, {private_rows} private ones, {transfers} transfers");
    for notice in &report.notices {
        println!("notice:   {} {}", notice.subject, notice.detail);
    }
    more(report.notices_omitted, "notices");
    for fault in &report.faults {
        println!("FAULT:    {fault}");
    }
    more(report.faults_omitted, "faults");
    match report.faults.len() as u64 + report.faults_omitted {
        0 => println!("Everything is as the log says."),
        count => println!("{count} faults."),
    }
}

fn more(omitted: u64, what: &str) {
    if omitted > 0 {
        println!("          … and {omitted} more {what}");
    }
}
