//! `jjj settle`: statements of a cycle, payouts.

use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;
use jjj_cli::session::{CallError, Session};
use serde_json::{Value, json};

use crate::connect::Connect;
use crate::output::{self, Format};

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
    /// Make the statements of a cycle that ends with a clearing date: the newest that was run.
    Prepare {
        /// `channels/unionpay`.
        channel: String,
        date: String,
    },
    /// Settlement statements; filter, for example: `state = "OPEN" AND channel = "channels/unionpay"`.
    Statements {
        #[arg(long, default_value = "")]
        filter: String,
        /// How to print them.
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Report a payout (as the channel).
    Pay {
        /// The channel's own reference, once.
        reference: String,
        /// Fen; negative: collected.
        #[arg(allow_negative_numbers = true)]
        amount_fen: i64,
        /// Day of the payout, YYYY-MM-DD.
        #[arg(long)]
        on: String,
        /// Of the statement; without it, statements are found by sum.
        #[arg(long, default_value = "")]
        end_to_end_id: String,
        /// `institutions/{uscc}`.
        #[arg(long, default_value = "")]
        institution: String,
        /// Last 4 digits of the account paid.
        #[arg(long, default_value = "")]
        account_last4: String,
    },
    /// Payouts; filter, for example: `state = "UNMATCHED"`.
    Payouts {
        #[arg(long, default_value = "")]
        filter: String,
    },
    /// Look again for the statements of an unmatched payout.
    Match { payout: String },
}

const STATEMENT: &[&str] =
    &["name", "state", "gross_fen", "refunds_fen", "fees_fen", "brought_forward_fen", "net_fen", "due_on", "paid_fen"];
const STATEMENT_CSV: &[&str] = &[
    "name",
    "channel",
    "region",
    "programme",
    "institution",
    "from_date",
    "clearing_date",
    "gross_fen",
    "refunds_fen",
    "fees_fen",
    "adjustments_fen",
    "brought_forward_fen",
    "withheld_fen",
    "net_fen",
    "settlement_account",
    "account_last4",
    "end_to_end_id",
    "due_on",
    "state",
    "paid_fen",
    "payout",
];
const PAYOUT: &[&str] =
    &["name", "reference", "amount_fen", "paid_on", "state", "rule", "proof", "reconciliation_break"];

pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let session = args.connect.session()?;
    let show = |value: &Value, fields: &[&str]| output::show(args.json, value, fields);
    match args.what {
        What::Prepare { channel, date } => {
            let cycle = prepare(&session, &channel, &date).await?;
            let statements = statements_of(&session, &channel, &date).await?;
            if args.json {
                output::json(&json!({"cycle": cycle, "statements": statements}));
            } else {
                output::table(&statements, STATEMENT);
            }
        }
        What::Statements { filter, format } => {
            let found = session.list("SettlementService/ListSettlementStatements", &filter, "statements").await?;
            match format {
                Format::Csv => output::csv(&found, STATEMENT_CSV)?,
                Format::Json | Format::Text => output::show_all(args.json || format == Format::Json, found, STATEMENT),
            }
        }
        What::Pay { reference, amount_fen, on, end_to_end_id, institution, account_last4 } => {
            let request = json!({
                "reference": reference, "amount_fen": amount_fen.to_string(), "paid_on": on,
                "end_to_end_id": end_to_end_id, "institution": institution, "account_last4": account_last4,
            });
            let answer = session.call("SettlementService/ReportPayout", request).await?;
            show(&answer["payout"], PAYOUT);
        }
        What::Payouts { filter } => {
            let found = session.list("SettlementService/ListPayouts", &filter, "payouts").await?;
            output::show_all(args.json, found, PAYOUT);
        }
        What::Match { payout } => {
            let answer = session.call("SettlementService/MatchPayout", json!({"payout": payout})).await?;
            show(&answer["payout"], PAYOUT);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes a cycle's statements. Books that move meanwhile are read again, for some seconds: the request and
/// its id stay the same.
pub async fn prepare(session: &Session, channel: &str, date: &str) -> Result<Value, CallError> {
    const TRIES: usize = 10;
    let request = json!({
        "request_id": session.client.request_id(), "channel": channel, "clearing_date": date,
    });
    for _ in 1..TRIES {
        match session.call("SettlementService/PrepareSettlement", request.clone()).await {
            Err(refused) if refused.reason == "BOOKS_MOVED" => tokio::time::sleep(Duration::from_millis(300)).await,
            answer => return Ok(answer?["cycle"].take()),
        }
    }
    Ok(session.call("SettlementService/PrepareSettlement", request).await?["cycle"].take())
}

/// The statements of a cycle.
pub async fn statements_of(session: &Session, channel: &str, date: &str) -> Result<Vec<Value>, CallError> {
    let filter = format!("channel = \"{channel}\" AND clearing_date = \"{date}\"");
    session.list("SettlementService/ListSettlementStatements", &filter, "statements").await
}
