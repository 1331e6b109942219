//! `jjj recon`: an administrator's morning.

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
use crate::{output, recon_offline};

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
    /// Deliver a settlement file (as the channel).
    Upload {
        /// Clearing date, YYYY-MM-DD.
        date: String,
        file: PathBuf,
    },
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
    /// Propose a break's resolution: ACCEPT, REPAY, RELEASE, INSTITUTION_BEARS, WRITE_OFF, CORRECT_RECORD, JUSTIFIED, CLEARED.
    Propose {
        name: String,
        resolution: String,
        #[arg(long)]
        reason: String,
    },
    /// Approve another administrator's proposal; its entries are booked.
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
    /// The run's report.
    Report {
        run: String,
        /// text, json or csv.
        #[arg(long, default_value = "text")]
        format: String,
        /// zh or en.
        #[arg(long, default_value = "zh")]
        lang: String,
    },
}

pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    if let What::Compute(compute) = args.what {
        return recon_offline::compute(compute, args.json);
    }
    let session = args.connect.session()?;
    let show = |value: &Value, fields: &[&str]| {
        if args.json { output::json(value) } else { output::table(std::slice::from_ref(value), fields) }
    };
    let show_all = |values: Vec<Value>, fields: &[&str]| {
        if args.json { output::json(&values.into()) } else { output::table(&values, fields) }
    };
    const RUN: &[&str] = &["name", "state", "breaks_opened", "breaks_open", "reservations_expired"];
    const BREAK: &[&str] =
        &["name", "break_class", "state", "priority", "age_days", "amount_fen", "due_on", "subject", "resolution"];
    match args.what {
        What::Upload { date, file } => {
            let bytes = std::fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
            let answer = upload(&session, &date, &file, &bytes).await?;
            show(&answer, &["name", "state", "rows", "rejected_rows", "sha256"]);
        }
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
        What::Propose { name, resolution, reason } => {
            let resolution = format!("RESOLUTION_{}", resolution.to_uppercase());
            let request = json!({"reconciliation_break": name, "resolution": resolution, "reason": reason});
            let answer = session.call("ReconciliationService/ProposeResolution", request).await?;
            show(&answer["reconciliation_break"], BREAK);
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
        What::Compute(_) => unreachable!("needs no session"),
        What::Report { run, format, lang } => {
            let report = report(&session, &run, &format, &lang).await?;
            print!("{}", String::from_utf8_lossy(&report));
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn decide(session: &Session, name: &str, approve: bool, reason: &str) -> Result<Value, CallError> {
    let known = session.call("ReconciliationService/GetBreak", json!({"name": name})).await?;
    let request = json!({
        "reconciliation_break": name, "expected_version": known["version"], "approve": approve, "reason": reason,
    });
    Ok(session.call("ReconciliationService/DecideResolution", request).await?["reconciliation_break"].take())
}

/// Delivers a settlement file: begin with size and digest, chunks, complete.
pub async fn upload(session: &Session, date: &str, file: &Path, bytes: &[u8]) -> Result<Value, CallError> {
    const CHUNK_BYTES: usize = 1 << 20;
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    let request = json!({
        "clearing_date": date,
        "format": "FILE_FORMAT_CSV",
        "content": "FILE_CONTENT_SETTLEMENT",
        "file_name": file.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default(),
        "size_bytes": bytes.len().to_string(),
        "sha256": hex::encode(digest),
    });
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

/// A run's report, as bytes.
pub async fn report(session: &Session, run: &str, format: &str, lang: &str) -> anyhow::Result<Vec<u8>> {
    let request = json!({
        "run": run,
        "format": format!("REPORT_FORMAT_{}", format.to_uppercase()),
        "language": format!("REPORT_LANGUAGE_{}", lang.to_uppercase()),
    });
    let report = session.call("ReconciliationService/GetReport", request).await?;
    BASE64_STANDARD.decode(report["content"].as_str().unwrap_or_default()).context("the report's content")
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
