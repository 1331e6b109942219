//! `jjj`: the gateway, and its operator's and administrator's command line.

mod agreement;
mod call;
mod channel_sim;
mod close;
mod connect;
mod demo;
mod init;
mod key_place;
mod keys;
mod ledger;
mod month;
mod origin;
mod output;
mod policy;
mod receipt;
mod recognition;
mod recon;
mod recon_offline;
mod records;
mod report;
mod serve;
mod settle;
mod verify;
mod verify_receipt;
mod witness;
mod write_file;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The Jing-Jin-Ji elder-care interoperability gateway (京津冀养老互通网关).
#[derive(Parser)]
#[command(name = "jjj", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a sandbox: authorities, certificates, keys, participants, config, database, policy defaults.
    Init(init::Args),
    /// Run the gateway until a signal; finishes what it accepted, which takes 85 seconds at most.
    Serve(serve::Args),
    /// Play one day through the gateway in a temporary sandbox, over real connections.
    Demo(demo::Args),
    /// Reconciliation: upload a settlement file, run, work through breaks, sign.
    Recon(recon::Args),
    /// Settlement: statements of a cycle, payouts.
    Settle(settle::Args),
    /// Close a book's month, by two people; export its vouchers.
    Close(close::Args),
    /// The ledger and the log: accounts, entries, trial balance, checkpoint, proofs.
    Ledger(ledger::Args),
    /// Month end for a whole programme: grants, funding, credit files, as jobs that survive a crash.
    Month(month::Args),
    /// Policy tables: list, show, set.
    Policy(policy::Args),
    /// Agreements between two regions: propose, accept, decline, withdraw, end, list, show.
    Agreement(agreement::Args),
    /// Keys: make, show where kept, list, add, confirm, retire, withdraw; what a key has signed.
    Keys(keys::Args),
    /// Everything that proves a version of a record, in one file: `jjj verify receipt` checks it offline.
    Receipt(receipt::Args),
    /// Your copy of recognitions, contracts and other records: compare it with the gateway's, repair it from there.
    Records(records::Args),
    /// Reports as text, JSON, CSV, workbook or printable page: a run, ageing, breaks, trial balance, a month.
    Report(report::Args),
    /// A recognition as an SD-JWT: fetch it, show what its holder chooses of it, verify what is shown.
    Recognition(recognition::Args),
    /// Check every identity, leaf and piece of evidence of a database.
    Verify(verify::Args),
    /// Witness the log for a region: cosign its heads, remember them, refuse what does not extend them.
    Witness(witness::Args),
    /// A log restored behind its witnesses: go on under a new name.
    Origin(origin::Args),
    /// Call any method with a JSON request: `jjj call RatingService/ListRatings '{}'`.
    Call(call::Args),
    /// Play a channel against a running gateway: takes instructions, pays, and misbehaves on demand.
    ChannelSim(channel_sim::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    // The gateway's own log lines go to standard error; results to standard output.
    let filter =
        tracing_subscriber::EnvFilter::try_from_env("JJJ_LOG").unwrap_or_else(|_| "warn,jjj_server=info".into());
    let quiet = !matches!(cli.command, Command::Serve(_));
    let filter = if quiet && std::env::var_os("JJJ_LOG").is_none() { "warn".into() } else { filter };
    tracing_subscriber::fmt().json().with_env_filter(filter).with_writer(std::io::stderr).init();

    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return fail(&anyhow::Error::new(e).context("starting the runtime")),
    };
    let result = runtime.block_on(async {
        match cli.command {
            Command::Init(args) => init::run(args).await,
            Command::Serve(args) => serve::run(args).await,
            Command::Demo(args) => demo::run(args).await,
            Command::Recon(args) => recon::run(args).await,
            Command::Settle(args) => settle::run(args).await,
            Command::Close(args) => close::run(args).await,
            Command::Ledger(args) => ledger::run(args).await,
            Command::Month(args) => month::run(args).await,
            Command::Policy(args) => policy::run(args).await,
            Command::Agreement(args) => agreement::run(args).await,
            Command::Keys(args) => keys::run(args).await,
            Command::Receipt(args) => receipt::run(args).await,
            Command::Report(args) => report::run(args).await,
            Command::Records(args) => records::run(args).await,
            Command::Recognition(args) => recognition::run(args).await,
            Command::Verify(args) => verify::run(args).await,
            Command::Witness(args) => witness::run(args).await,
            Command::Origin(args) => origin::run(args).await,
            Command::Call(args) => call::run(args).await,
            Command::ChannelSim(args) => channel_sim::run(args).await,
        }
    });
    // A thread that hangs in a PKCS #11 module is not waited for.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    match result {
        Ok(code) => code,
        Err(error) => fail(&error),
    }
}

fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("jjj: {error:#}");
    ExitCode::FAILURE
}
