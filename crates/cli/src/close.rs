//! `jjj close`: the end of a book's month, by two people; its vouchers.

use std::process::ExitCode;

use clap::{Subcommand, ValueEnum};
use jjj_cli::session::{CallError, Session};
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
    /// The month's vouchers (记账凭证), in the region's chart of accounts.
    Vouchers {
        book: String,
        month: String,
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
        /// zh or en.
        #[arg(long, default_value = "zh")]
        lang: String,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
    Csv,
}

const CLOSE: &[&str] = &["name", "state", "transfers", "proposed_by", "decided_by"];

pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let session = args.connect.session()?;
    let show = |value: &Value| {
        if args.json { output::json(value) } else { output::table(std::slice::from_ref(value), CLOSE) }
    };
    match args.what {
        What::Propose { book, month, reason } => show(&propose(&session, &book, &month, &reason).await?),
        What::Approve { book, month, reason } => show(&decide(&session, &book, &month, true, &reason).await?),
        What::Decline { book, month, reason } => show(&decide(&session, &book, &month, false, &reason).await?),
        What::List { filter } => {
            let found = session.list("MonthCloseService/ListCloses", &filter, "closes").await?;
            if args.json { output::json(&found.into()) } else { output::table(&found, CLOSE) }
        }
        What::Vouchers { book, month, format, lang } => {
            let request = json!({"book": book, "month": month});
            let answer = session.call("MonthCloseService/ListVouchers", request).await?;
            let format = if args.json { Format::Json } else { format };
            let rows = voucher_rows(&answer["vouchers"], &lang);
            match format {
                Format::Json => output::json(&answer),
                Format::Csv => output::csv(&rows, COLUMNS)?,
                Format::Text => {
                    output::table(&rows, COLUMNS);
                    if answer["closed"] != true {
                        eprintln!("{month} is not closed: these vouchers are not final");
                    }
                }
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub async fn propose(session: &Session, book: &str, month: &str, reason: &str) -> Result<Value, CallError> {
    let request = json!({"book": book, "month": month, "reason": reason});
    Ok(session.call("MonthCloseService/ProposeClose", request).await?["month_close"].take())
}

pub async fn decide(
    session: &Session,
    book: &str,
    month: &str,
    approve: bool,
    reason: &str,
) -> Result<Value, CallError> {
    let name = format!("monthCloses/{book}/{month}");
    let request = json!({"month_close": name, "approve": approve, "reason": reason});
    Ok(session.call("MonthCloseService/DecideClose", request).await?["month_close"].take())
}

/// The columns of [`voucher_rows`].
pub const COLUMNS: &[&str] =
    &["voucher", "date", "summary", "account", "title", "detail", "debit", "credit", "attachments"];

/// One record per voucher line, amounts in yuan; what [`COLUMNS`] names.
pub fn voucher_rows(vouchers: &Value, lang: &str) -> Vec<Value> {
    let lang = if lang == "en" { "en" } else { "zh" };
    let fen = |value: &Value| value.as_str().and_then(|text| text.parse::<i64>().ok()).unwrap_or(0);
    let yuan = |value: &Value| if fen(value) == 0 { String::new() } else { output::yuan(fen(value)) };
    let mut rows = Vec::new();
    for voucher in vouchers.as_array().into_iter().flatten() {
        for line in voucher["lines"].as_array().into_iter().flatten() {
            rows.push(json!({
                "voucher": format!("记-{:04}", fen(&voucher["number"])),
                "date": voucher["date"],
                "summary": voucher[format!("summary_{lang}")],
                "account": line["account_code"],
                "title": line[format!("account_{lang}")],
                "detail": line["detail"],
                "debit": yuan(&line["debit_fen"]),
                "credit": yuan(&line["credit_fen"]),
                "attachments": voucher["attachments"],
            }));
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_voucher_is_a_row_a_line() {
        let line = |debit: &str, credit: &str| {
            json!({"account_code": "1002", "account_zh": "银行存款", "account_en": "bank", "detail": "",
                   "debit_fen": debit, "credit_fen": credit})
        };
        let vouchers = json!([{"number": "7", "date": "2026-11-30", "summary_zh": "收到拨款", "summary_en": "budget",
                               "lines": [line("12345", "0"), line("0", "12345")], "attachments": "2"}]);
        let rows = voucher_rows(&vouchers, "zh");
        assert_eq!(rows.len(), 2);
        assert_eq!(
            (&rows[0]["voucher"], &rows[0]["title"], &rows[0]["debit"], &rows[0]["credit"]),
            (&json!("记-0007"), &json!("银行存款"), &json!("123.45"), &json!(""))
        );
        assert_eq!((&rows[1]["debit"], &rows[1]["credit"]), (&json!(""), &json!("123.45")));
        assert_eq!(voucher_rows(&vouchers, "en")[0]["summary"], "budget");
    }
}
