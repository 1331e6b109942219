//! `jjj policy`: policy is data, changed here without a release.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Subcommand;
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
    /// Policies; filter, for example: `kind = "gate"`.
    List {
        #[arg(long, default_value = "")]
        filter: String,
    },
    /// The body in force on a date.
    Show {
        /// `gate`, `programme`, `agreement`, …
        kind: String,
        /// `110000/care_subsidy`, `130000>110000/RATING`, …
        scope: String,
        /// YYYY-MM-DD; default today.
        #[arg(long, default_value = "")]
        on: String,
    },
    /// Set a body from a date on: a new version, logged. The file holds the body as JSON.
    Set {
        kind: String,
        scope: String,
        /// First day in force.
        #[arg(long)]
        from: String,
        #[arg(long)]
        reason: String,
        file: PathBuf,
    },
}

pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let session = args.connect.session()?;
    match args.what {
        What::List { filter } => {
            let policies = session.list("PolicyService/ListPolicies", &filter, "policies").await?;
            output::show_all(args.json, policies, &["kind", "scope", "effective_from", "version", "author"]);
        }
        What::Show { kind, scope, on } => {
            let request = json!({"name": format!("policies/{kind}/{scope}"), "as_of": on});
            let policy = session.call("PolicyService/GetPolicy", request).await?;
            if args.json {
                output::json(&policy);
            } else {
                let body: Value = serde_json::from_str(policy["body"].as_str().unwrap_or("null"))?;
                output::json(&body);
            }
        }
        What::Set { kind, scope, from, reason, file } => {
            let body = std::fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
            let request = json!({"kind": kind, "scope": scope, "effective_from": from, "body": body, "reason": reason});
            let answer = session.call("PolicyService/SetPolicy", request).await?;
            output::json(&answer["policy"]);
        }
    }
    Ok(ExitCode::SUCCESS)
}
