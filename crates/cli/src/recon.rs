//! `jjj recon`: an administrator's morning.

mod statements;
mod work;

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use clap::Subcommand;
use jjj_cli::session::{CallError, Session};
use jjj_domain::recon::tree::{Frontier, leaf_hash};
use serde_json::{Value, json};

use crate::connect::Connect;
use crate::{output, recon_offline, write_file};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    connect: Connect,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    #[command(flatten)]
    Work(work::Work),
    /// Deliver a settlement file or a bank's statement (as the channel), or your own book of a date (as a region).
    Upload {
        /// Clearing date, YYYY-MM-DD.
        date: String,
        file: PathBuf,
        /// csv, unionpay_zip, unionpay_zm, unionpay_zme, camt_053 or camt_054.
        #[arg(long, default_value = "csv")]
        format: String,
        /// settlement, statement or regional_book; default: a region's book, a statement for camt, else settlement.
        #[arg(long)]
        content: Option<String>,
        /// The merchant that it covers; default: all, or the one in a zip's name.
        #[arg(long, default_value = "")]
        merchant: String,
        /// The channel that a region's book is about, `channels/unionpay`.
        #[arg(long, default_value = "")]
        channel: String,
    },
    /// Bank statements as files state them; with a name, one and its transactions.
    Statements(statements::Args),
    /// Write a settlement file in any format from lines in CSV, offline: for the sandbox and tests.
    WriteFile(write_file::Args),
    /// Reconcile a channel's clearing date.
    Run {
        /// `channels/unionpay`.
        channel: String,
        date: String,
        /// Run although an expected file has not arrived; the run is INCOMPLETE.
        #[arg(long)]
        allow_missing_files: bool,
    },
    /// Runs.
    Runs {
        #[arg(long, default_value = "")]
        filter: String,
    },
    /// Breaks; filter, for example: `state != "RESOLVED"`.
    Breaks {
        #[arg(long, default_value = "")]
        filter: String,
    },
    /// Propose a resolution of a break, or of every member of an alert: ACCEPT, REPAY, RELEASE, INSTITUTION_BEARS, WRITE_OFF, CORRECT_RECORD, JUSTIFIED.
    Propose {
        /// `breaks/…` or `alerts/…`
        name: String,
        resolution: String,
        #[arg(long)]
        reason: String,
        /// `elders/…` whose account it is, where the break does not know.
        #[arg(long, default_value = "")]
        elder: String,
    },
    /// Approve another administrator's proposal, or every one of an alert's; its entries are booked.
    Approve {
        name: String,
        #[arg(long)]
        reason: String,
    },
    /// Decline a proposal; the break stays open.
    Decline {
        name: String,
        #[arg(long)]
        reason: String,
    },
    /// Sign your region's view of a run, after computing its root from its rows.
    Sign {
        run: String,
        /// Do not agree, and say why.
        #[arg(long, value_name = "NOTE")]
        dispute: Option<String>,
        /// Region code or `gateway`; default: the signer's own.
        #[arg(long)]
        view: Option<String>,
    },
    /// Write what a run's views can be computed from: `ledger.csv` and `day.json`.
    Export(recon_offline::ExportArgs),
    /// Compute views and their roots, offline, from ledger rows and the channel's files.
    Compute(recon_offline::ComputeArgs),
}

pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.what {
        What::WriteFile(write) => return write_file::write(&write),
        What::Compute(compute) => return recon_offline::compute(compute, args.json),
        _ => {}
    }
    let session = args.connect.session()?;
    let show = |value: &Value, fields: &[&str]| output::show(args.json, value, fields);
    let show_all = |values: Vec<Value>, fields: &[&str]| output::show_all(args.json, values, fields);
    const RUN: &[&str] = &["name", "state", "breaks_opened", "breaks_open", "reservations_expired"];
    match args.what {
        What::Work(work) => work::run(&session, work, args.json).await?,
        What::Statements(asked) => statements::run(&session, asked, args.json).await?,
        What::Upload { date, file, format, content, merchant, channel } => {
            let content_of = File::open(&file).with_context(|| format!("reading {}", file.display()))?;
            let delivery = Delivery {
                date: &date,
                file: &file,
                format: &format,
                content: content.as_deref(),
                merchant: &merchant,
                channel: &channel,
            };
            let answer = upload(&session, &delivery, content_of).await?;
            show(
                &answer,
                &[
                    "name",
                    "state",
                    "rows",
                    "rejected_rows",
                    "refusal",
                    "refusal_detail",
                    "refusal_message_zh",
                    "sha256",
                ],
            );
            let earlier = answer["superseded_by"].as_str().unwrap_or_default();
            if !args.json && !earlier.is_empty() {
                eprintln!("the same file came before, as {earlier}: nothing changes");
            }
            let rejections = answer["rejections"].as_array().cloned().unwrap_or_default();
            if !args.json && !rejections.is_empty() {
                output::table(&rejections, &["line", "byte_offset", "field", "reason", "message_zh", "message_en"]);
            }
        }
        What::WriteFile(_) | What::Compute(_) => unreachable!("need no session"),
        What::Run { channel, date, allow_missing_files } => {
            let request =
                json!({"channel": channel, "clearing_date": date, "allow_missing_files": allow_missing_files});
            let answer = session.call("ReconciliationService/StartRun", request).await?;
            show(&answer["run"], RUN);
        }
        What::Runs { filter } => {
            show_all(session.list("ReconciliationService/ListRuns", &filter, "runs").await?, RUN);
        }
        What::Breaks { filter } => {
            show_all(session.list("ReconciliationService/ListBreaks", &filter, "breaks").await?, BREAK);
        }
        What::Propose { name, resolution, reason, elder } => {
            let resolution = format!("RESOLUTION_{}", resolution.to_uppercase());
            let request = |name: &Value| json!({"reconciliation_break": name, "resolution": resolution, "reason": reason, "elder": elder});
            if name.starts_with("alerts/") {
                let open = work::members(&session, &name, r#"state != "PROPOSED" AND state != "RESOLVED""#).await?;
                let requests = open.iter().map(|member| request(&member["name"])).collect();
                return together(&session, "ProposeResolution", requests, args.json).await;
            }
            let request = request(&name.into());
            let answer = session.call("ReconciliationService/ProposeResolution", request).await?;
            show(&answer["reconciliation_break"], BREAK);
        }
        What::Approve { name, reason } if name.starts_with("alerts/") => {
            let proposed = work::members(&session, &name, r#"state = "PROPOSED""#).await?;
            let requests = proposed.iter().map(|member| decision(&member["name"], &member["version"], true, &reason));
            return together(&session, "DecideResolution", requests.collect(), args.json).await;
        }
        What::Approve { name, reason } => show(&decide(&session, &name, true, &reason).await?, BREAK),
        What::Decline { name, reason } => show(&decide(&session, &name, false, &reason).await?, BREAK),
        What::Sign { run, dispute, view } => {
            let own = session.client.participant().rsplit('/').next().unwrap_or_default();
            let view = view.unwrap_or_else(|| own.to_owned());
            let answer = sign_view(&session, &format!("{run}/views/{view}"), dispute.as_deref()).await?;
            show(&answer, &["name", "state", "rows", "signed_by"]);
        }
        What::Export(export) => show(&recon_offline::export(&session, &export).await?, &["run", "rows", "lines"]),
    }
    Ok(ExitCode::SUCCESS)
}

async fn decide(session: &Session, name: &str, approve: bool, reason: &str) -> Result<Value, CallError> {
    let known = session.call("ReconciliationService/GetBreak", json!({"name": name})).await?;
    let request = decision(&known["name"], &known["version"], approve, reason);
    Ok(session.call("ReconciliationService/DecideResolution", request).await?["reconciliation_break"].take())
}

/// A file to deliver.
pub struct Delivery<'a> {
    /// Clearing date, YYYY-MM-DD.
    pub date: &'a str,
    /// Only its name is sent.
    pub file: &'a Path,
    pub format: &'a str,
    /// By default what the format states.
    pub content: Option<&'a str>,
    /// Empty: all merchants.
    pub merchant: &'a str,
    /// Of a region's book; else empty.
    pub channel: &'a str,
}

impl<'a> Delivery<'a> {
    /// A settlement file in CSV, of all merchants.
    pub fn csv(date: &'a str, file: &'a Path) -> Self {
        Self { date, file, format: "csv", content: None, merchant: "", channel: "" }
    }
}

fn decision(name: &Value, version: &Value, approve: bool, reason: &str) -> Value {
    json!({"reconciliation_break": name, "expected_version": version, "approve": approve, "reason": reason})
}

/// The same for every member of an alert, each decided by itself; says how many were done and what
/// was refused.
async fn together(session: &Session, method: &str, requests: Vec<Value>, json: bool) -> anyhow::Result<ExitCode> {
    let (mut done, mut refused) = (0, Vec::new());
    let results = session.batch(&format!("ReconciliationService/{method}"), requests.clone()).await?;
    for (request, result) in requests.iter().zip(results) {
        match result {
            Ok(_) => done += 1,
            Err(error) => {
                refused.push(json!({"name": request["reconciliation_break"], "refused": error.to_string()}));
            }
        }
    }
    let ending = if refused.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    if json {
        output::json(&json!({"done": done, "refused": refused}));
    } else {
        println!("done: {done}");
        if !refused.is_empty() {
            output::table(&refused, &["name", "refused"]);
        }
    }
    Ok(ending)
}

const BREAK: &[&str] =
    &["name", "break_class", "state", "priority", "age_days", "amount_fen", "due_on", "subject", "resolution"];

/// Delivers a settlement file, a bank's statement or a region's book.
pub async fn upload(session: &Session, delivery: &Delivery<'_>, from: impl Read + Seek) -> anyhow::Result<Value> {
    let format = delivery.format.to_uppercase();
    let states = match format.as_str() {
        _ if session.client.participant().starts_with("regions/") => "REGIONAL_BOOK",
        "CAMT_053" | "CAMT_054" => "STATEMENT",
        _ => "SETTLEMENT",
    };
    let content = delivery.content.map_or_else(|| states.to_owned(), str::to_uppercase);
    let begin = json!({
        "clearing_date": delivery.date,
        "format": format!("FILE_FORMAT_{format}"),
        "content": format!("FILE_CONTENT_{content}"),
        "merchant_id": delivery.merchant,
        "channel": delivery.channel,
    });
    deliver(session, begin, delivery.file, from).await
}

/// Delivers a file: begin with size and digest, chunks, complete. It is read twice, in bounded memory; one that
/// changes meanwhile has another digest than was said, and is refused.
async fn deliver(
    session: &Session,
    mut request: Value,
    file: &Path,
    mut from: impl Read + Seek,
) -> anyhow::Result<Value> {
    let named = || format!("reading {}", file.display());
    let mut hashed = Hashed::new(std::io::sink());
    let size_bytes = std::io::copy(&mut from, &mut hashed).with_context(named)?;
    request["file_name"] = file.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default().into();
    request["size_bytes"] = size_bytes.to_string().into();
    request["sha256"] = hashed.ended().1.into();
    let begun = session.call("ChannelService/BeginUpload", request).await?;
    let name = begun["file"]["name"].clone();
    from.rewind().with_context(named)?;
    let (mut chunk, mut offset) = (Vec::new(), 0);
    loop {
        chunk.clear();
        from.by_ref().take(CHUNK_BYTES).read_to_end(&mut chunk).with_context(named)?;
        if chunk.is_empty() {
            break;
        }
        let request = json!({"file": name, "offset": offset.to_string(), "data": BASE64_STANDARD.encode(&chunk)});
        session.call("ChannelService/UploadChunk", request).await?;
        offset += chunk.len();
    }
    Ok(session.call("ChannelService/CompleteUpload", json!({"file": name})).await?["file"].take())
}

const CHUNK_BYTES: u64 = 1 << 20;

/// Hashes what is written.
struct Hashed<W> {
    inner: W,
    digest: aws_lc_rs::digest::Context,
}

impl<W> Hashed<W> {
    fn new(inner: W) -> Self {
        Self { inner, digest: aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256) }
    }

    /// What was written to, and the SHA-256 of all that was written, 64 hex digits.
    fn ended(self) -> (W, String) {
        (self.inner, hex::encode(self.digest.finish()))
    }
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let n = self.inner.write(bytes)?;
        self.digest.update(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

/// Signs a view: agreement, or a difference about the whole of it. What is signed is the root of
/// the rows as read here; a gateway that states another root is told so, and nothing is signed.
pub async fn sign_view(session: &Session, view: &str, dispute: Option<&str>) -> anyhow::Result<Value> {
    let mut tree = Frontier::default();
    let mut stated = Value::Null;
    let mut pages = session.pages("ReconciliationService/GetView", json!({"name": view}));
    while let Some(mut page) = pages.next().await? {
        take_rows(&mut tree, page["page_rows"].as_array().into_iter().flatten().filter_map(|row| row["body"].as_str()));
        stated = page["root_hash"].take();
    }
    let root = BASE64_STANDARD.encode(tree.root());
    anyhow::ensure!(stated == root, "{view}: the rows shown do not have the root stated; not signed");
    let differences: Vec<Value> = dispute.map(|note| json!({"note": note})).into_iter().collect();
    let request = json!({"view": view, "root_hash": root, "differences": differences});
    Ok(session.call("ReconciliationService/SignView", request).await?["view"].take())
}

/// Rows of a view as leaves of its RFC 6962 tree.
fn take_rows<'a>(tree: &mut Frontier, rows: impl Iterator<Item = &'a str>) {
    tree.extend(rows.map(|row| leaf_hash(row.as_bytes())));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_views_root_is_that_of_its_rows_in_their_order() {
        let root_of = |rows: &[&str]| {
            let mut tree = Frontier::default();
            take_rows(&mut tree, rows.iter().copied());
            BASE64_STANDARD.encode(tree.root())
        };
        let two = root_of(&["{\"a\":\"1\"}", "{\"b\":\"2\"}"]);
        for other in
            [&["{\"b\":\"2\"}", "{\"a\":\"1\"}"][..], &["{\"a\":\"1\"}"], &["{\"a\":\"1\"}", "{\"b\":\"3\"}"], &[]]
        {
            assert_ne!(root_of(other), two, "{other:?}");
        }
        // SHA-256 of nothing: the root of an empty view.
        assert_eq!(root_of(&[]), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    }
}
