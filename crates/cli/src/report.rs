//! `jjj report`: what an administrator hands on, as text, JSON, CSV, a workbook or a printable page.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use clap::{Subcommand, ValueEnum};
use indicatif::ProgressBar;
use jjj_cli::session::Session;
use serde_json::{Value, json};

use crate::connect::Connect;
use crate::output::Lang;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    connect: Connect,
    #[command(flatten)]
    rendering: Rendering,
    /// The same as --format json.
    #[arg(long, global = true, conflicts_with = "format")]
    json: bool,
    #[command(subcommand)]
    what: What,
}

/// How a report is rendered, and where it goes.
#[derive(clap::Args)]
pub struct Rendering {
    /// Default: text, or what --out ends with.
    #[arg(long, global = true, value_enum)]
    format: Option<Format>,
    /// zh or en.
    #[arg(long, global = true, value_enum, default_value_t = Lang::Zh)]
    lang: Lang,
    /// Where to write it: a file, or a folder (one that ends with `/` is made), in which it gets its own name.
    /// Default: standard output.
    #[arg(long, global = true, value_name = "PATH")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
    Csv,
    Xlsx,
    Html,
}

impl Format {
    const fn of_wire(self) -> &'static str {
        match self {
            Self::Text => "TEXT",
            Self::Json => "JSON",
            Self::Csv => "CSV",
            Self::Xlsx => "XLSX",
            Self::Html => "HTML",
        }
    }
}

#[derive(Subcommand)]
enum What {
    /// A reconciliation run: result, breaks, files, identities, signatures.
    Run {
        /// `runs/unionpay-20261118-1`.
        run: String,
    },
    /// Open breaks by age, class and channel.
    Ageing {
        /// Of one channel, `channels/unionpay`.
        #[arg(long, default_value = "")]
        channel: String,
    },
    /// Breaks one by one; without dates those that are open.
    Breaks {
        #[arg(long, default_value = "")]
        channel: String,
        /// First clearing date, YYYY-MM-DD.
        #[arg(long, default_value = "")]
        from: String,
        /// Last clearing date.
        #[arg(long, default_value = "")]
        to: String,
    },
    /// Both sides of every account kind of a book.
    TrialBalance {
        /// `110000/care_subsidy`.
        book: String,
        /// Booking month, YYYY-MM; default: everything so far.
        #[arg(long, default_value = "")]
        month: String,
    },
    /// A month by region and programme, funder and institution.
    Month {
        /// YYYY-MM.
        month: String,
    },
    /// Settlement statements, by channel and day, institution and funder; without dates what is not settled yet.
    Settlement {
        /// Of one channel, `channels/unionpay`.
        #[arg(long, default_value = "")]
        channel: String,
        /// First clearing date that a statement may end on, YYYY-MM-DD.
        #[arg(long, default_value = "")]
        from: String,
        /// Last clearing date.
        #[arg(long, default_value = "")]
        to: String,
    },
    /// Vouchers of a book's month; final once it is closed.
    Vouchers {
        /// `110000/care_subsidy`.
        book: String,
        /// YYYY-MM.
        month: String,
    },
}

/// Which report a book's month of vouchers is.
pub fn vouchers(book: &str, month: &str) -> Value {
    json!({"kind": "REPORT_KIND_VOUCHERS", "book": book, "month": month})
}

impl What {
    fn request(&self) -> Value {
        match self {
            Self::Run { run } => json!({"kind": "REPORT_KIND_RUN", "run": run}),
            Self::Ageing { channel } => json!({"kind": "REPORT_KIND_AGEING", "channel": channel}),
            Self::Breaks { channel, from, to } => {
                json!({"kind": "REPORT_KIND_BREAKS", "channel": channel, "from_date": from, "to_date": to})
            }
            Self::TrialBalance { book, month } => {
                json!({"kind": "REPORT_KIND_TRIAL_BALANCE", "book": book, "month": month})
            }
            Self::Month { month } => json!({"kind": "REPORT_KIND_MONTH", "month": month}),
            Self::Settlement { channel, from, to } => {
                json!({"kind": "REPORT_KIND_SETTLEMENT", "channel": channel, "from_date": from, "to_date": to})
            }
            Self::Vouchers { book, month } => vouchers(book, month),
        }
    }
}

pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    deliver(&args.connect.session()?, args.what.request(), &args.rendering, args.json).await?;
    Ok(ExitCode::SUCCESS)
}

/// Fetches a report and writes it where it is wanted. `request` says which; without a format, `json` is one.
pub async fn deliver(session: &Session, request: Value, rendering: &Rendering, json: bool) -> anyhow::Result<()> {
    let Rendering { format, lang, out } = rendering;
    anyhow::ensure!(
        !json || matches!(format, None | Some(Format::Json)),
        "--json and another --format contradict each other: say one of them"
    );
    let by_name = out.as_deref().and_then(Path::extension).and_then(|ending| ending.to_str());
    let format = match (*format, json, by_name) {
        (Some(format), ..) => format,
        (None, true, _) | (None, _, Some("json")) => Format::Json,
        (None, _, Some("csv")) => Format::Csv,
        (None, _, Some("xlsx")) => Format::Xlsx,
        (None, _, Some("html")) => Format::Html,
        (None, _, _) => Format::Text,
    };
    let to_terminal = out.is_none() && std::io::stdout().is_terminal();
    anyhow::ensure!(format != Format::Xlsx || !to_terminal, "a workbook is no text: say --out FILE.xlsx");
    // Drawn only on a terminal; a large month takes the gateway a while.
    let waiting = ProgressBar::new_spinner().with_message(lang.say("正在生成报表", "the report is being made"));
    waiting.enable_steady_tick(std::time::Duration::from_millis(100));
    let made = fetch(session, request, format.of_wire(), *lang).await;
    waiting.finish_and_clear();
    let (file_name, content) = made?;
    let Some(out) = out else { return Ok(std::io::stdout().write_all(&content)?) };
    if out.to_string_lossy().ends_with(std::path::is_separator) {
        std::fs::create_dir_all(out).with_context(|| out.display().to_string())?;
    }
    let path = if out.is_dir() { out.join(file_name) } else { out.clone() };
    std::fs::write(&path, content).with_context(|| path.display().to_string())?;
    eprintln!("{}", path.display());
    Ok(())
}

/// A report's own file name, and its bytes. `request` says which; format and language are added.
pub async fn fetch(
    session: &Session,
    mut request: Value,
    format: &str,
    lang: Lang,
) -> anyhow::Result<(String, Vec<u8>)> {
    request["format"] = format!("REPORT_FORMAT_{format}").into();
    request["language"] = lang.say("REPORT_LANGUAGE_ZH", "REPORT_LANGUAGE_EN").into();
    let report = session.call("ReportService/GetReport", request).await?;
    let content = BASE64_STANDARD.decode(report["content"].as_str().unwrap_or_default());
    let name = report["file_name"].as_str().unwrap_or_default().to_owned();
    Ok((name, content.context("the report's content")?))
}
