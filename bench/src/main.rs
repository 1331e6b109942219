//! `jjj-bench`: what the gateway does on this machine, beside what the machine could do without it.
//!
//! A real client process (this one) and a real server process (`jjj serve`), mutual TLS, every call
//! signed, every receipt verified, a durable database. README.md says what each figure means.
//!
//! Nothing is reported of a run in which a payment was lost, doubled or unbalanced ([`check`]).

mod batch;
mod check;
mod crypto;
mod database;
mod echo;
mod floor;
mod grown;
mod latency;
mod load;
mod machine;
mod month;
mod recognition;
mod recon;
mod replicas;
mod report;
mod revocation;
mod run_day;
mod shared;
mod single;
mod site;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::database::Kind;
use crate::report::Report;

/// Measures the gateway.
#[derive(Parser)]
#[command(name = "jjj-bench", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    options: Options,
}

#[derive(clap::Args, Clone)]
pub struct Options {
    /// Databases to measure on.
    #[arg(long, global = true, value_delimiter = ',', default_values = ["sqlite", "postgres"])]
    db: Vec<Kind>,
    /// Runs of each measurement; the median is reported.
    #[arg(long, global = true, default_value_t = 5)]
    runs: usize,
    /// Payments in each run.
    #[arg(long, global = true, default_value_t = 20_000)]
    payments: usize,
    /// Calls under way at once, for each measurement of single calls.
    #[arg(long, global = true, value_delimiter = ',', default_values = ["512", "64"])]
    in_flight: Vec<usize>,
    /// Connections of the client.
    #[arg(long, global = true, default_value_t = 8)]
    connections: usize,
    /// Payments in a batch call.
    #[arg(long, global = true, default_value_t = 500)]
    items: usize,
    /// Batch calls under way at once.
    #[arg(long, global = true, default_value_t = 4)]
    batches_in_flight: usize,
    /// Elders that pay, each able to make 60,000 payments; for `month`, those of the programme.
    #[arg(long, global = true, default_value_t = 200)]
    elders: usize,
    /// Results as JSON.
    #[arg(long, global = true)]
    json: bool,
    /// The gateway's binary; default: `jjj` beside this one.
    #[arg(long, global = true, value_name = "FILE")]
    jjj: Option<PathBuf>,
    /// `limits.batch_items` of the gateway; default: its own.
    #[arg(long, global = true)]
    batch_items: Option<usize>,
    /// `limits.writers` of the gateway; default: its own.
    #[arg(long, global = true)]
    writers: Option<usize>,
    /// Neither counts statements nor runs `jjj verify` at the end: for a quick look. Payments and books are
    /// checked all the same.
    #[arg(long, global = true)]
    quick: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Authorise and confirm one by one, beside a bare echo over mutual TLS and signatures alone.
    Single,
    /// Authorise and confirm in batch calls, beside the same rows inserted straight through sqlx.
    Batch,
    /// Response times at half of the highest throughput, beside the disk's fsync time.
    Latency,
    /// Payments to one institution on one clearing date, beside payments to many on several.
    Shared,
    /// Two replicas of the gateway on one PostgreSQL, beside one.
    Replicas,
    /// Throughput at a number of payments in the database, beside an empty one.
    Grown {
        /// Payments in the database before measuring.
        #[arg(long, default_value_t = 100_000)]
        to: usize,
    },
    /// A month's end for `--elders`: grants, funding and credits by `jjj month`.
    Month,
    /// A day's reconciliation from exports (`jjj recon compute`), beside DuckDB joining the same files.
    Recon {
        /// Rows of the ledger and lines of the file, some thousandths more or less for the breaks.
        #[arg(long, default_value_t = 1_000_000)]
        rows: u64,
        /// A Python with the module duckdb.
        #[arg(long, default_value = "python3")]
        python: PathBuf,
    },
    /// A day's run on a database that the gateway filled, beside DuckDB joining its export with the same file.
    RunDay {
        /// Payments of the day.
        #[arg(long, default_value_t = 1_000_000)]
        rows: usize,
        /// A Python with the module duckdb.
        #[arg(long, default_value = "python3")]
        python: PathBuf,
    },
    /// Signing and verifying alone.
    Crypto,
    /// A recognition token verified offline, beside jsonwebtoken's own verification of it.
    Recognition,
    /// From recording a revocation to its event at a subscribed region.
    Revocation {
        /// Revocations in each run.
        #[arg(long, default_value_t = 200)]
        count: usize,
    },
    /// Everything but `grown`, `month`, `recon`, `run-day`, `recognition` and `revocation`.
    All,
    /// The echo's server, run by `single`.
    #[command(hide = true)]
    EchoServer {
        #[arg(long)]
        sandbox: PathBuf,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    // On the main thread: the kernel ends the servers when the thread that started them is gone.
    match runtime.block_on(run(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    let Cli { command, options } = cli;
    let mut report = Report::default();
    match command {
        Command::EchoServer { sandbox } => return echo::serve(&sandbox).await,
        Command::Crypto => crypto::measure(&options, &mut report)?,
        Command::Recon { rows, python } => recon::measure(&options, rows, &python, &mut report)?,
        Command::RunDay { rows, python } => {
            for kind in &options.db {
                run_day::measure(&options, *kind, rows, &python, &mut report).await?;
            }
        }
        Command::Recognition => recognition::measure(&options, &mut report)?,
        Command::Revocation { count } => {
            for kind in &options.db {
                revocation::measure(&options, *kind, count, &mut report).await?;
            }
        }
        Command::Single => each(&options, &mut report, single::measure).await?,
        Command::Batch => each(&options, &mut report, batch::measure).await?,
        Command::Latency => each(&options, &mut report, latency::measure).await?,
        Command::Shared => each(&options, &mut report, shared::measure).await?,
        Command::Replicas => replicas::measure(&options, &mut report).await?,
        Command::Month => each(&options, &mut report, month::measure).await?,
        Command::Grown { to } => {
            for kind in &options.db {
                grown::measure(&options, *kind, to, &mut report).await?;
            }
        }
        Command::All => {
            crypto::measure(&options, &mut report)?;
            each(&options, &mut report, single::measure).await?;
            each(&options, &mut report, batch::measure).await?;
            each(&options, &mut report, latency::measure).await?;
            each(&options, &mut report, shared::measure).await?;
            if options.db.contains(&Kind::Postgres) {
                replicas::measure(&options, &mut report).await?;
            }
        }
    }
    report.print(options.json);
    Ok(())
}

async fn each(
    options: &Options,
    report: &mut Report,
    measure: impl AsyncFn(&Options, Kind, &mut Report) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    for kind in &options.db {
        measure(options, *kind, report).await?;
    }
    Ok(())
}

fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("jjj-bench: nothing is reported: {error:#}");
    ExitCode::FAILURE
}
