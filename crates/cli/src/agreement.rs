//! `jjj agreement`: what one region recognizes of another's records, proposed by one, accepted by the other.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, ensure};
use clap::{Subcommand, ValueEnum};
use jjj_cli::session::Session;
use jjj_domain::agreement::terms_sha256;
use jjj_domain::record::RecordKind;
use serde_json::{Value, json};

use crate::connect::Connect;
use crate::output;

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
    /// Propose a version to the other region (提议). The file holds the terms as JSON, as `show` prints them.
    Propose {
        #[command(flatten)]
        between: Between,
        /// First day in force; today or later.
        #[arg(long)]
        from: String,
        #[arg(long)]
        reason: String,
        file: PathBuf,
    },
    /// Accept what the other region has proposed (同意): in force from its first day on.
    Accept {
        /// `agreements/…`
        name: String,
        #[arg(long)]
        reason: String,
        /// The digest that was reviewed, as `list` and `show` print it: nothing else is accepted.
        #[arg(long, value_name = "SHA256")]
        terms: Option<String>,
    },
    /// Decline what the other region has proposed (拒绝).
    Decline {
        /// `agreements/…`
        name: String,
        #[arg(long)]
        reason: String,
    },
    /// Take an own proposal back before it is answered (撤回).
    Withdraw {
        /// `agreements/…`
        name: String,
        #[arg(long)]
        reason: String,
    },
    /// End what is in force from a day on, alone, at the notice that its terms name (终止).
    End {
        #[command(flatten)]
        between: Between,
        /// First day on which nothing is recognized any more.
        #[arg(long)]
        from: String,
        #[arg(long)]
        reason: String,
    },
    /// Agreements; filter, for example: `state = "PROPOSED"`.
    List {
        #[arg(long, default_value = "")]
        filter: String,
    },
    /// One agreement: its terms; with --json all of it and every version.
    Show {
        /// `agreements/…`
        name: String,
    },
}

#[derive(clap::Args)]
struct Between {
    /// Whose records are recognized: `130000`.
    #[arg(long)]
    issuer: String,
    /// Who recognizes them: `110000`.
    #[arg(long)]
    recognizer: String,
    #[arg(long, value_enum)]
    kind: Kind,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    Rating,
    Assessment,
    DisabilityCertificate,
}

impl Kind {
    fn record_kind(self) -> RecordKind {
        match self {
            Self::Rating => RecordKind::Rating,
            Self::Assessment => RecordKind::Assessment,
            Self::DisabilityCertificate => RecordKind::DisabilityCertificate,
        }
    }
}

impl Between {
    fn request(&self, from: &str, reason: &str) -> Value {
        let region = |code: &str| format!("regions/{code}");
        json!({"issuer": region(&self.issuer), "recognizer": region(&self.recognizer),
               "record_kind": format!("RECORD_KIND_{}", self.kind.record_kind()), "effective_from": from, "reason": reason})
    }
}

const COLUMNS: &[&str] =
    &["name", "issuer", "recognizer", "record_kind", "effective_from", "state", "proposed_by", "answered_by", "policy"];

pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let session = args.connect.session()?;
    let show = |value: &Value| output::show(args.json, value, COLUMNS);
    let step = async |method: &str, request: Value| -> anyhow::Result<Value> {
        Ok(session.call(&format!("AgreementService/{method}"), request).await?["agreement"].take())
    };
    match args.what {
        What::Propose { between, from, reason, file } => {
            let body = std::fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
            let mut request = between.request(&from, &reason);
            request["body"] = body.into();
            show(&step("ProposeAgreement", request).await?);
        }
        What::Accept { name, reason, terms } => {
            let digest = digest_of(&session.call("AgreementService/GetAgreement", json!({"name": name})).await?)?;
            if let Some(reviewed) = terms {
                ensure!(reviewed == digest, "{name} has other terms than those reviewed: {digest}");
            }
            let request = json!({"agreement": name, "terms_sha256": digest, "reason": reason});
            show(&step("AcceptAgreement", request).await?);
        }
        What::Decline { name, reason } => {
            show(&step("DeclineAgreement", json!({"agreement": name, "reason": reason})).await?);
        }
        What::Withdraw { name, reason } => {
            show(&step("WithdrawAgreement", json!({"agreement": name, "reason": reason})).await?);
        }
        What::End { between, from, reason } => show(&step("EndAgreement", between.request(&from, &reason)).await?),
        What::List { filter } => {
            let found = session.list("AgreementService/ListAgreements", &filter, "agreements").await?;
            output::show_all(args.json, found, COLUMNS);
        }
        What::Show { name } => shown(&session, &name, args.json).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn shown(session: &Session, name: &str, all: bool) -> anyhow::Result<()> {
    let agreement = session.call("AgreementService/GetAgreement", json!({"name": name})).await?;
    if all {
        let versions = session.call("AgreementService/ListAgreementVersions", json!({"name": name})).await?;
        output::json(&json!({"agreement": agreement, "versions": versions["agreements"]}));
        return Ok(());
    }
    let body: Value = serde_json::from_str(agreement["body"].as_str().unwrap_or("null"))?;
    output::json(&body);
    eprintln!("{}: {}; terms {}", name, text(&agreement, "state"), digest_of(&agreement)?);
    Ok(())
}

fn text<'a>(agreement: &'a Value, member: &str) -> &'a str {
    agreement[member].as_str().unwrap_or_default()
}

/// The digest of the terms as they were told: what is signed is what was read, whatever digest came with it.
fn digest_of(agreement: &Value) -> anyhow::Result<String> {
    let kind = text(agreement, "record_kind");
    let kind = kind.strip_prefix("RECORD_KIND_").unwrap_or(kind);
    Ok(terms_sha256(
        &text(agreement, "issuer").parse()?,
        &text(agreement, "recognizer").parse()?,
        kind.parse().map_err(|_| anyhow::anyhow!("{kind} is no kind of records"))?,
        text(agreement, "effective_from").parse()?,
        text(agreement, "body"),
    ))
}
