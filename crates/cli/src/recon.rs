//! `jjj recon`: an administrator's morning.

mod statements;
mod work;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use clap::Subcommand;
use jjj_cli::session::{CallError, Session};
use jjj_token::Hash;
use jjj_token::merkle::{leaf_hash, root};
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
    let show = |value: &Value, fields: &[&str]| show(args.json, value, fields);
    let show_all = |values: Vec<Value>, fields: &[&str]| show_all(args.json, values, fields);
    const RUN: &[&str] = &["name", "state", "breaks_opened", "breaks_open", "reservations_expired"];
    match args.what {
        What::Work(work) => work::run(&session, work, args.json).await?,
        What::Statements(asked) => statements::run(&session, asked, args.json).await?,
        What::Upload { date, file, format, content, merchant, channel } => {
            let bytes = std::fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
            let delivery = Delivery {
                date: &date,
                file: &file,
                format: &format,
                content: content.as_deref(),
                merchant: &merchant,
                channel: &channel,
            };
            let answer = upload(&session, &delivery, &bytes).await?;
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

fn show(json: bool, value: &Value, fields: &[&str]) {
    if json { output::json(value) } else { output::table(std::slice::from_ref(value), fields) }
}

fn show_all(json: bool, values: Vec<Value>, fields: &[&str]) {
    if json { output::json(&values.into()) } else { output::table(&values, fields) }
}

/// Delivers a settlement file, a bank's statement or a region's book.
pub async fn upload(session: &Session, delivery: &Delivery<'_>, bytes: &[u8]) -> Result<Value, CallError> {
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
    deliver(session, begin, delivery.file, bytes).await
}

/// Delivers a file: begin with size and digest, chunks, complete.
async fn deliver(session: &Session, mut request: Value, file: &Path, bytes: &[u8]) -> Result<Value, CallError> {
    const CHUNK_BYTES: usize = 1 << 20;
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    request["file_name"] = file.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default().into();
    request["size_bytes"] = bytes.len().to_string().into();
    request["sha256"] = hex::encode(digest).into();
    let begun = session.call("ChannelService/BeginUpload", request).await?;
    let name = begun["file"]["name"].clone();
    for (i, chunk) in bytes.chunks(CHUNK_BYTES).enumerate() {
        let offset = (i * CHUNK_BYTES).to_string();
        let request = json!({"file": name, "offset": offset, "data": BASE64_STANDARD.encode(chunk)});
        session.call("ChannelService/UploadChunk", request).await?;
    }
    Ok(session.call("ChannelService/CompleteUpload", json!({"file": name})).await?["file"].take())
}

/// Signs a view: agreement, or a difference about the whole of it. What is signed is the root of
/// the rows as read here; a gateway that states another root is told so, and nothing is signed.
pub async fn sign_view(session: &Session, view: &str, dispute: Option<&str>) -> anyhow::Result<Value> {
    let (rows, stated) = view_rows(session, view).await?;
    let root = root_of(&rows);
    anyhow::ensure!(stated == root, "{view}: the rows shown do not have the root stated; not signed");
    let differences: Vec<Value> = dispute.map(|note| json!({"note": note})).into_iter().collect();
    let request = json!({"view": view, "root_hash": root, "differences": differences});
    Ok(session.call("ReconciliationService/SignView", request).await?["view"].take())
}

/// RFC 6962 root over a view's rows, base64.
fn root_of(rows: &[String]) -> String {
    let leaves: Vec<Hash> = rows.iter().map(|row| leaf_hash(row.as_bytes())).collect();
    BASE64_STANDARD.encode(root(&leaves))
}

/// A view's rows, in order, and the root that the gateway states.
async fn view_rows(session: &Session, view: &str) -> anyhow::Result<(Vec<String>, Value)> {
    let mut rows = Vec::new();
    let mut token = String::new();
    loop {
        let request = json!({"name": view, "page_size": 1_000, "page_token": token});
        let page = session.call("ReconciliationService/GetView", request).await?;
        let bodies = page["page_rows"].as_array().into_iter().flatten().filter_map(|row| row["body"].as_str());
        rows.extend(bodies.map(str::to_owned));
        token = page["next_page_token"].as_str().unwrap_or_default().to_owned();
        if token.is_empty() {
            return Ok((rows, page["root_hash"].clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::root_of;

    #[test]
    fn a_views_root_is_that_of_its_rows_in_their_order() {
        let rows = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
        let two = root_of(&rows(&["{\"a\":\"1\"}", "{\"b\":\"2\"}"]));
        for other in
            [&["{\"b\":\"2\"}", "{\"a\":\"1\"}"][..], &["{\"a\":\"1\"}"], &["{\"a\":\"1\"}", "{\"b\":\"3\"}"], &[]]
        {
            assert_ne!(root_of(&rows(other)), two, "{other:?}");
        }
        // SHA-256 of nothing: the root of an empty view.
        assert_eq!(root_of(&[]), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    }
}
