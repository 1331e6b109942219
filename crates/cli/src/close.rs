//! `jjj close`: the end of a book's month, by two people; its vouchers.

use std::process::ExitCode;

use clap::Subcommand;
use jjj_cli::session::{CallError, Session};
use serde_json::{Value, json};

use crate::connect::Connect;
use crate::report::Rendering;
use crate::{output, report};

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
    /// Propose to close a month; says what is missing.
    Propose {
        /// `110000/care_subsidy`.
        book: String,
        /// `2026-11`.
        month: String,
        #[arg(long)]
        reason: String,
    },
    /// Close a month that another administrator has proposed. It never changes again.
    Approve {
        book: String,
        month: String,
        #[arg(long)]
        reason: String,
    },
    /// Decline a proposal; the month may be proposed again.
    Decline {
        book: String,
        month: String,
        #[arg(long)]
        reason: String,
    },
    /// Closes and proposals; filter, for example: `book = "110000/care_subsidy"`.
    List {
        #[arg(long, default_value = "")]
        filter: String,
    },
    /// The month's vouchers (记账凭证), in the region's chart of accounts: `jjj report vouchers`.
    Vouchers {
        book: String,
        month: String,
        #[command(flatten)]
        rendering: Rendering,
    },
}

const CLOSE: &[&str] = &["name", "state", "transfers", "proposed_by", "decided_by"];

pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let session = args.connect.session()?;
    let show = |value: &Value| output::show(args.json, value, CLOSE);
    match args.what {
        What::Propose { book, month, reason } => show(&propose(&session, &book, &month, &reason).await?),
        What::Approve { book, month, reason } => show(&decide(&session, &book, &month, true, &reason).await?),
        What::Decline { book, month, reason } => show(&decide(&session, &book, &month, false, &reason).await?),
        What::List { filter } => {
            output::show_all(args.json, session.list("MonthCloseService/ListCloses", &filter, "closes").await?, CLOSE);
        }
        What::Vouchers { book, month, rendering } => {
            report::deliver(&session, report::vouchers(&book, &month), &rendering, args.json).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn propose(session: &Session, book: &str, month: &str, reason: &str) -> Result<Value, CallError> {
    let request = json!({"book": book, "month": month, "reason": reason});
    Ok(session.call("MonthCloseService/ProposeClose", request).await?["month_close"].take())
}

async fn decide(session: &Session, book: &str, month: &str, approve: bool, reason: &str) -> Result<Value, CallError> {
    let name = format!("monthCloses/{book}/{month}");
    let request = json!({"month_close": name, "approve": approve, "reason": reason});
    Ok(session.call("MonthCloseService/DecideClose", request).await?["month_close"].take())
}
