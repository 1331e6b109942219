//! `jjj demo`: the day of DESIGN through real clients over mutual TLS. Nobody calls
//! internals; only the sandbox's clock is ours to move.

mod books;
mod cast;
mod day;
mod morning;
mod people;
mod scale;
mod stage;

use std::process::ExitCode;

use clap::ValueEnum;

use self::stage::{Narrator, Stage};
use crate::output::{self, Lang};

#[derive(clap::Args)]
pub struct Args {
    /// Print a summary for machines instead of the story.
    #[arg(long)]
    json: bool,
    /// Language of the story.
    #[arg(long, value_enum, default_value_t = Lang::Zh)]
    lang: Lang,
    /// Run on this empty database and leave it there to look at; default: a temporary SQLite file.
    #[arg(long, value_name = "URL")]
    db: Option<String>,
    /// Play a published year end instead of one day.
    #[arg(long, value_enum)]
    scale: Option<Scale>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scale {
    /// 北京市老龄事业发展报告（2024）: its integers, equal to the gateway's own counts, or the demo fails.
    #[value(name = "report-2024")]
    Report2024,
}

pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let narrator = Narrator::new(args.lang, !args.json);
    let summary = match args.scale {
        None => {
            let stage = Stage::open(args.db, day::START, narrator).await?;
            let summary = day::play(&stage).await?;
            stage.close(summary).await?
        }
        Some(Scale::Report2024) => {
            let stage = Stage::open(args.db, scale::START, narrator).await?;
            let summary = scale::play(&stage).await?;
            stage.close(summary).await?
        }
    };
    if args.json {
        output::json(&summary);
    }
    Ok(if summary["ok"] == true { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
