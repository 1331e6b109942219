//! `jjj recon statements`: what banks' files stated.

use jjj_cli::session::{CallError, Session};
use serde_json::{Value, json};

use crate::output;

#[derive(clap::Args)]
pub struct Args {
    /// One of them, with its transactions: `files/…/statements/0`.
    name: Option<String>,
    /// Of statements, for example: `account = "11001…" AND clearing_date >= "2026-11-01"`; of one's transactions:
    /// `direction = "DEBIT"`.
    #[arg(long, default_value = "")]
    filter: String,
}

const STATEMENT: &[&str] = &[
    "name",
    "file_state",
    "clearing_date",
    "account",
    "opening_fen",
    "credit_fen",
    "debit_fen",
    "closing_fen",
    "entries",
];
const ENTRY: &[&str] =
    &["name", "direction", "amount_fen", "status", "booked_on", "end_to_end_id", "bank_reference", "counterparty"];

pub async fn run(session: &Session, args: Args, json: bool) -> Result<(), CallError> {
    let Some(name) = args.name else {
        let found = session.list("ChannelService/ListBankStatements", &args.filter, "statements").await?;
        output::show_all(json, found, STATEMENT);
        return Ok(());
    };
    let mut statement = whole(session, &name, &args.filter).await?;
    if json {
        output::json(&statement);
    } else {
        let entries = statement["page_entries"].take();
        output::table(&[statement], STATEMENT);
        println!();
        output::table(entries.as_array().map_or(&[], Vec::as_slice), ENTRY);
    }
    Ok(())
}

/// A statement with all its transactions that pass the filter.
async fn whole(session: &Session, name: &str, filter: &str) -> Result<Value, CallError> {
    let mut request = json!({"name": name, "filter": filter, "page_size": 1_000});
    let mut entries = Vec::new();
    loop {
        let mut page = session.call("ChannelService/GetBankStatement", request.clone()).await?;
        entries.extend(page["page_entries"].as_array_mut().map(std::mem::take).unwrap_or_default());
        request["page_token"] = page["next_page_token"].take();
        if request["page_token"].as_str().is_none_or(str::is_empty) {
            page["page_entries"] = entries.into();
            page["next_page_token"] = "".into();
            return Ok(page);
        }
    }
}
