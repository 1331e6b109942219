//! `jjj month`: a month's end for a whole programme. Every grant, funding and credit is a request signed by
//! whom it is the business of, so the work is done here, at the client, over the batch methods; [`job`] says
//! how it survives being killed.

mod job;
mod plan;
mod results;
mod send;
mod show;
mod tally;
mod task;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};
use jjj_domain::names::Participant;
use jjj_domain::time::Month;

use self::job::{Job, Standing, Terms};
use self::send::{Caller, send};
use self::task::Task;
use crate::connect::Connect;
use crate::output;

const EXAMPLES: &str = "\
Examples, with JJJ_SANDBOX or --identity saying where to connect:
  jjj month grant   --as regions/110000   --programme care_subsidy --month 2026-12 --channel channels/unionpay --job grant-12
  jjj month fund    --as regions/110000   --programme care_subsidy --month 2026-12 --channel channels/unionpay --dry-run
  jjj month fund    --as regions/110000   --programme care_subsidy --month 2026-12 --channel channels/unionpay --reference ICBC-1201 --job fund-12
  jjj month credits --as channels/unionpay --region regions/110000 --programme care_subsidy --month 2026-12 --out credits.csv
  jjj month report  --as channels/unionpay --file results.csv --job report-12
  jjj month status  --job grant-12

A job that was stopped, however it was, is continued by the same command; the file it was planned
from is not read again.";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
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
    /// Grant a month to many elders (as the paying region).
    ///
    /// Refusals do not stop the job: refused.csv in its folder lists them, elder,reason,text. Elders who have
    /// the month already are counted apart, so a second job for the same month does no harm.
    Grant {
        #[command(flatten)]
        of: Programme,
        /// File of elders, one name `elders/…` a line, instead of all in the region's register who are alive
        /// or died in or after the month.
        #[arg(long, value_name = "FILE")]
        elders: Option<PathBuf>,
        #[command(flatten)]
        job: JobArgs,
    },
    /// Place with a channel what the month's credits need (as the paying region).
    ///
    /// Needed are the grants not credited yet, less what is placed and free: prefund + suspense - entitlement -
    /// clearing - payable - fee_payable of the channel, as the ledger has them.
    Fund {
        #[command(flatten)]
        of: Programme,
        /// Grants from this month on that are not credited yet count too; default: six months before.
        #[arg(long, value_name = "YYYY-MM")]
        since: Option<Month>,
        /// The bank's reference, up to 64 characters, used once.
        #[arg(long, required_unless_present = "dry_run", default_value = "")]
        reference: String,
        /// Print what is needed and place nothing.
        #[arg(long)]
        dry_run: bool,
        /// The job's folder; made when it is not there.
        #[arg(long = "job", value_name = "DIR", required_unless_present = "dry_run")]
        dir: Option<PathBuf>,
        #[command(flatten)]
        pace: Pace,
    },
    /// Write the file of what is to be credited (as the channel): CSV with the header
    /// grant,elder,programme,month,amount_fen,region.
    Credits {
        /// Paying region, `regions/110000`.
        #[arg(long)]
        region: Participant,
        #[arg(long)]
        programme: String,
        /// YYYY-MM
        #[arg(long)]
        month: Month,
        /// The file to write; replaced when it is there.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Also what could not be credited before.
        #[arg(long)]
        with_failed: bool,
        #[command(flatten)]
        pace: Pace,
    },
    /// Report what became of credits (as the channel), from CSV with the header grant,outcome,amount_fen,reason:
    /// CREDITED with its amount, or FAILED with a reason.
    ///
    /// A damaged row is set aside in damaged.csv with its line and field and stops nothing. At the end
    /// rows = credited + failed + refused + damaged.
    Report {
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        job: JobArgs,
    },
    /// How far a job is, from its folder alone.
    Status {
        #[arg(long = "job", value_name = "DIR")]
        dir: PathBuf,
    },
}

#[derive(clap::Args)]
struct Programme {
    /// Programme of the region's, `care_subsidy`.
    #[arg(long)]
    programme: String,
    /// YYYY-MM
    #[arg(long)]
    month: Month,
    /// `channels/unionpay`
    #[arg(long)]
    channel: Participant,
}

#[derive(clap::Args)]
struct JobArgs {
    /// The job's folder; made when it is not there.
    #[arg(long = "job", value_name = "DIR")]
    dir: PathBuf,
    /// Requests in a call. Fixed once the job is planned.
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    per_call: u64,
    /// Calls under way at once.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=64))]
    in_flight: u64,
    #[command(flatten)]
    pace: Pace,
}

#[derive(clap::Args)]
struct Pace {
    /// Repeat a call for so long when the gateway is busy or away, seconds.
    #[arg(long, value_name = "S", default_value_t = 600)]
    patience_s: u64,
}

pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { connect, json, what } = args;
    let caller = |pace: &Pace| {
        let patience = Duration::from_secs(pace.patience_s);
        anyhow::Ok(Caller { client: connect.session()?.client, patience, bar: planning() })
    };
    match what {
        What::Grant { of, elders, job } => {
            let Programme { programme, month, channel } = of;
            let task = Task::Grant { programme, month: month.to_string(), channel: channel.to_string(), elders };
            work(&caller(&job.pace)?, task, &job.dir, job.per_call, job.in_flight, json).await?;
        }
        What::Fund { of, since, dry_run: true, pace, .. } => {
            let since = since.unwrap_or_else(|| of.month.plus(-6));
            let need = plan::funding(&caller(&pace)?, &of.programme, since, of.month, &of.channel).await?;
            if json { output::json(&show::funding_json(&need)) } else { show::funding(&need) }
        }
        What::Fund { of, since, reference, dir, pace, .. } => {
            let task = Task::Fund {
                since: since.unwrap_or_else(|| of.month.plus(-6)).to_string(),
                programme: of.programme,
                month: of.month.to_string(),
                channel: of.channel.to_string(),
                reference,
            };
            work(&caller(&pace)?, task, &dir.unwrap_or_default(), 1, 1, json).await?;
        }
        What::Credits { region, programme, month, out, with_failed, pace } => {
            let caller = caller(&pace)?;
            let (rows, amount_fen) = plan::credits(&caller, &region, &programme, month, with_failed, &out).await?;
            show::credits(rows, amount_fen, &out, json);
        }
        What::Report { file, job } => {
            work(&caller(&job.pace)?, Task::Report { file }, &job.dir, job.per_call, job.in_flight, json).await?;
        }
        What::Status { dir } => show::job(&Standing::of(&dir)?, json),
    }
    Ok(ExitCode::SUCCESS)
}

/// Does a job, from wherever it stands to its end.
async fn work(
    caller: &Caller,
    task: Task,
    dir: &std::path::Path,
    per_call: u64,
    in_flight: u64,
    json: bool,
) -> anyhow::Result<()> {
    let terms = Terms::new(caller.client.actor(), caller.client.audience(), task);
    let mut job = Job::open(dir, terms)?;
    let plan = match job.plan()? {
        Some(plan) => plan,
        None => plan::make(&job, caller, per_call).await?,
    };
    caller.bar.set_style(style("{elapsed_precise} [{bar:40}] {pos}/{len} {per_sec}, {eta} left {msg}"));
    caller.bar.set_length(plan.requests);
    send(&mut job, &plan, caller, in_flight as usize).await?;
    job.finish(&plan)?;
    caller.bar.finish_and_clear();
    show::job(&Standing::of(dir)?, json);
    Ok(())
}

/// Of a length not known yet.
fn planning() -> ProgressBar {
    ProgressBar::no_length().with_style(style("{elapsed_precise} {pos} planned, {per_sec} {msg}"))
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("a template")
}
