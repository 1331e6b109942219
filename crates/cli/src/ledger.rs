//! `jjj ledger`.

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::json;

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
    /// Accounts and balances. Filter, for example: `book = "110000/care_subsidy" AND kind = "clearing"`.
    Accounts {
        #[arg(long, default_value = "")]
        filter: String,
    },
    /// Journal entries.
    Entries {
        #[arg(long, default_value = "")]
        filter: String,
    },
    /// Trial balance of a book, of one booking month or to date.
    TrialBalance {
        /// `110000/care_subsidy`.
        book: String,
        /// `2026-11`; absent: to date.
        #[arg(long, default_value = "")]
        month: String,
    },
    /// The log's newest signed checkpoint.
    Checkpoint,
    /// Proof that a record's version is in the log.
    Proof {
        record: String,
        // Every command has a --version of its own.
        #[arg(id = "record_version", value_name = "VERSION")]
        version: i64,
    },
    /// The signed request behind a record's version.
    Evidence {
        record: String,
        #[arg(id = "record_version", value_name = "VERSION")]
        version: i64,
    },
}

pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let session = args.connect.session()?;
    let (list, fields): (_, &[&str]) = match args.what {
        What::Accounts { filter } => {
            let fields = &["book", "kind", "first_dimension", "second_dimension", "posted_fen", "held_fen"];
            (session.list("LedgerService/ListAccounts", &filter, "accounts").await?, fields)
        }
        What::Entries { filter } => {
            let fields =
                &["booking_month", "clearing_date", "layer", "kind", "debit_account", "credit_account", "amount_fen"];
            (session.list("LedgerService/ListEntries", &filter, "entries").await?, fields)
        }
        What::TrialBalance { book, month } => {
            let request = json!({"book": book, "booking_month": month});
            let balance = session.call("LedgerService/GetTrialBalance", request).await?;
            if args.json {
                output::json(&balance);
                return Ok(ExitCode::SUCCESS);
            }
            if !month.is_empty() {
                let accounts = balance["accounts"].as_array().cloned().unwrap_or_default();
                output::table(&accounts, &["account", "opening_fen", "debit_fen", "credit_fen", "closing_fen"]);
                return Ok(ExitCode::SUCCESS);
            }
            let lines = balance["lines"].as_array().cloned().unwrap_or_default();
            (lines, &["kind", "debit_fen", "credit_fen", "balance_fen", "held_fen"])
        }
        What::Checkpoint => {
            let checkpoint = session.call("LedgerService/GetCheckpoint", json!({})).await?;
            if args.json {
                output::json(&checkpoint);
            } else {
                print!("{}", checkpoint["note"].as_str().unwrap_or_default());
            }
            return Ok(ExitCode::SUCCESS);
        }
        What::Proof { record, version } => {
            let request = json!({"record": record, "version": version.to_string()});
            output::json(&session.call("LedgerService/GetInclusionProof", request).await?);
            return Ok(ExitCode::SUCCESS);
        }
        What::Evidence { record, version } => {
            let request = json!({"record": record, "version": version.to_string()});
            output::json(&session.call("LedgerService/GetEvidence", request).await?);
            return Ok(ExitCode::SUCCESS);
        }
    };
    output::show_all(args.json, list, fields);
    Ok(ExitCode::SUCCESS)
}
