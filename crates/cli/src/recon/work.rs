//! `jjj recon`, the work on breaks: who has them, what is said and shown about them, alerts, and how
//! the dates stand.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use clap::Subcommand;
use jjj_cli::session::{CallError, Session};
use jjj_domain::time::Timestamp;
use serde_json::{Value, json};

use super::{BREAK, Hashed, deliver};
use crate::output::{show, show_all};

#[derive(Subcommand)]
pub enum Work {
    /// How the clearing dates stand: files, runs, open breaks, signatures, what the gateway runs when.
    Status {
        /// `channels/unionpay`; default: all.
        #[arg(long, default_value = "")]
        channel: String,
        /// How many dates back from yesterday, up to 100.
        #[arg(long, default_value_t = 7)]
        days: u32,
    },
    /// Systemic alerts: floods of alike breaks.
    Alerts {
        #[arg(long, default_value = "")]
        filter: String,
    },
    /// Give a break to an administrator, of the gateway or of a region concerned.
    Assign { name: String, assignee: String },
    /// Say something about a break.
    Comment { name: String, text: String },
    /// Upload a document and attach it to a break.
    Attach {
        name: String,
        file: PathBuf,
        /// What it shows.
        #[arg(long, default_value = "")]
        note: String,
    },
    /// Fetch a document attached to a break.
    Evidence {
        name: String,
        /// `files/…`
        file: String,
        #[arg(long)]
        out: PathBuf,
    },
    /// A break's history: who did what when, the newest last.
    History { name: String },
    /// Take your own proposal back.
    Withdraw {
        name: String,
        #[arg(long)]
        reason: String,
    },
}

const DAY: &[&str] =
    &["channel", "clearing_date", "files", "books", "run", "run_state", "breaks_open", "signatures", "runs_by_itself"];
const ALERT: &[&str] = &["name", "state", "clearing_date", "break_class", "members", "unopened", "amount_fen", "cause"];
const STEP: &[&str] = &["version", "at", "step", "step_by", "state", "break_class", "resolution", "note"];

pub async fn run(session: &Session, work: Work, json: bool) -> anyhow::Result<()> {
    match work {
        Work::Status { channel, days } => {
            let request = json!({"channel": channel, "days": days});
            let mut answer = session.call("ReconciliationService/ListClearingDays", request).await?;
            let days = answer["days"].as_array_mut().map(std::mem::take).unwrap_or_default();
            let days = if json { days } else { days.into_iter().map(readable_day).collect() };
            show_all(json, days, DAY);
        }
        Work::Alerts { filter } => {
            show_all(json, session.list("ReconciliationService/ListAlerts", &filter, "alerts").await?, ALERT);
        }
        Work::Assign { name, assignee } => {
            step(session, "AssignBreak", json!({"reconciliation_break": name, "assignee": assignee}), json).await?;
        }
        Work::Comment { name, text } => {
            step(session, "CommentBreak", json!({"reconciliation_break": name, "text": text}), json).await?;
        }
        Work::Attach { name, file, note } => {
            let known = session.call("ReconciliationService/GetBreak", json!({"name": name})).await?;
            let from = File::open(&file).with_context(|| format!("reading {}", file.display()))?;
            let begin = json!({
                "clearing_date": known["clearing_date"],
                "format": "FILE_FORMAT_OTHER",
                "content": "FILE_CONTENT_EVIDENCE",
            });
            let uploaded = deliver(session, begin, &file, from).await?;
            let request = json!({"reconciliation_break": name, "file": uploaded["name"], "note": note});
            step(session, "AttachEvidence", request, json).await?;
        }
        Work::Evidence { name, file, out } => {
            let size_bytes = fetch(session, &name, &file, &out).await?;
            show(json, &json!({"file": file, "size_bytes": size_bytes}), &["file", "size_bytes"]);
        }
        Work::History { name } => {
            // Newest first.
            let pages = session.pages("ReconciliationService/ListBreakVersions", json!({"name": name}));
            let mut versions = pages.all("breaks").await?;
            versions.reverse();
            let versions = if json { versions } else { versions.into_iter().map(readable_step).collect() };
            show_all(json, versions, STEP);
        }
        Work::Withdraw { name, reason } => {
            step(session, "WithdrawProposal", json!({"reconciliation_break": name, "reason": reason}), json).await?;
        }
    }
    Ok(())
}

/// Writes a document attached to a break, and its size. It is there whole, the very bytes that were attached,
/// or not at all.
async fn fetch(session: &Session, name: &str, file: &str, out: &Path) -> anyhow::Result<u64> {
    let known = session.call("ReconciliationService/GetBreak", json!({"name": name})).await?;
    let attached = known["attachments"].as_array().into_iter().flatten().find(|attached| attached["file"] == file);
    let attached = attached.with_context(|| format!("{file} is not attached to {name}"))?;
    let written = || format!("writing {}", out.display());
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut into = Hashed::new(tempfile::NamedTempFile::new_in(folder).with_context(written)?);
    let mut size_bytes = 0;
    for chunk in 0.. {
        let request = json!({"reconciliation_break": name, "file": file, "chunk": chunk.to_string()});
        let answer = session.call("ReconciliationService/ReadAttachment", request).await?;
        let data = BASE64_STANDARD.decode(answer["data"].as_str().unwrap_or_default())?;
        if data.is_empty() {
            break;
        }
        into.write_all(&data).with_context(written)?;
        size_bytes += data.len() as u64;
    }
    let (temporary, sha256) = into.ended();
    ensure!(attached["sha256"] == sha256, "{file}: these are not the bytes that were attached; not written");
    temporary.persist(out).with_context(written)?;
    Ok(size_bytes)
}

async fn step(session: &Session, method: &str, request: Value, json: bool) -> Result<(), CallError> {
    let answer = session.call(&format!("ReconciliationService/{method}"), request).await?;
    show(json, &answer["reconciliation_break"], BREAK);
    Ok(())
}

/// Beijing time to the minute.
fn minute(time_us: &Value) -> String {
    let us = time_us.as_str().and_then(|text| text.parse::<i64>().ok()).unwrap_or(0);
    if us == 0 {
        return String::new();
    }
    let at = Timestamp(us);
    let minutes = (at.0 - at.date().starts_at().0) / 60_000_000;
    format!("{} {:02}:{:02}", at.date(), minutes / 60, minutes % 60)
}

/// With its files as `arrived/expected`, its regional books likewise with what the newest run made of
/// them, and each side's signature.
fn readable_day(mut day: Value) -> Value {
    let signature = |s: &Value| {
        let side = s["participant"].as_str().unwrap_or_default().rsplit('/').next().unwrap_or_default().to_owned();
        let state = s["state"].as_str().unwrap_or_default().trim_start_matches("VIEW_STATE_").to_owned();
        format!("{side} {state}")
    };
    let signatures: Vec<String> = day["signatures"].as_array().into_iter().flatten().map(signature).collect();
    let count = |field: &str| day[field].as_i64().unwrap_or(0);
    let files = format!("{}/{}", count("arrived_files"), count("expected_files"));
    let leg = |leg: &Value| {
        let region = leg["region"].as_str().unwrap_or_default().rsplit('/').next().unwrap_or_default().to_owned();
        let count = |field: &str| leg[field].as_str().unwrap_or("0").to_owned();
        match leg["sha256"].as_str().unwrap_or_default() {
            "" => format!("{region} absent"),
            _ => format!("{region} {}/{}", count("matched"), count("rows")),
        }
    };
    let legs: Vec<String> = day["region_legs"].as_array().into_iter().flatten().map(leg).collect();
    let mut books = vec![format!("{}/{}", count("arrived_books"), count("expected_books"))];
    books.extend((!legs.is_empty()).then(|| legs.join(", ")));
    let due = minute(&day["run_due_time_us"]);
    day["signatures"] = signatures.join(", ").into();
    day["files"] = files.into();
    day["books"] = books.join(" ").into();
    day["runs_by_itself"] = due.into();
    day
}

fn readable_step(mut version: Value) -> Value {
    version["at"] = minute(&version["step_time_us"]).into();
    version
}

/// The members of an alert that are in a state, by name with their versions.
pub async fn members(session: &Session, alert: &str, state: &str) -> Result<Vec<Value>, CallError> {
    let filter = format!(r#"alert = "{alert}" AND {state}"#);
    session.list("ReconciliationService/ListBreaks", &filter, "breaks").await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_reads_at_a_glance() {
        let day = readable_day(json!({
            "arrived_files": 1, "expected_files": 2, "arrived_books": 1, "expected_books": 1,
            "region_legs": [
                {"region": "regions/120000"},
                {"region": "regions/130000", "sha256": "11", "rows": "3", "matched": "2", "broken": "1"},
            ],
            "run_due_time_us": "1795050000000000",
            "signatures": [
                {"participant": "regions/110000", "state": "VIEW_STATE_AGREED"},
                {"participant": "gateway", "state": "VIEW_STATE_OPEN"},
            ],
        }));
        assert_eq!(day["files"], "1/2");
        assert_eq!(day["books"], "1/1 120000 absent, 130000 2/3");
        assert_eq!(day["signatures"], "110000 AGREED, gateway OPEN");
        assert_eq!(day["runs_by_itself"], "2026-11-19 09:00");
        assert_eq!(minute(&"0".into()), "");
    }
}
