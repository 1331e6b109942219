//! `jjj origin`: a log restored from a backup goes on under a new name (docs/witnesses.md).

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use jjj_server::{Clock, Config};

use crate::output;

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Open a new origin, after a restore that left the log behind its witnesses. No gateway may run on the database.
    /// The first leaf under it names the old origin, its size and its root.
    Open {
        /// The new name: no spaces, no plus signs.
        origin: String,
        /// The gateway's configuration, with the old origin.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Why; nothing personal.
        #[arg(long)]
        reason: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let What::Open { origin, config, reason, json } = args.what;
    let config = Config::load(&config)?;
    let clock = Clock::with_offset_us(config.clock_offset_s.saturating_mul(1_000_000));
    let opened = jjj_server::origin::open(&config, &clock, &origin, &reason).await?;
    let (old, size, seen) = (&config.origin, opened.tree_size, opened.witnessed_size);
    if json {
        output::json(&serde_json::json!({
            "origin": origin, "follows": old, "tree_size": size, "root": opened.root,
            "witnessed_size": seen, "vkey": opened.vkey,
        }));
        return Ok(ExitCode::SUCCESS);
    }
    println!("{origin} is open. It begins with the {size} leaves that {old} has here, root {}.", opened.root);
    if seen > size {
        println!("Witnesses have seen {seen} leaves of {old}: what was promised beyond {size} is lost.");
    }
    println!("Now:");
    println!("  jjj.toml:       origin = \"{origin}\"");
    println!("  each witness:   --log {} beside the old one", opened.vkey);
    println!("  participants:   sign requests for {origin}; look for lost receipts with jjj verify --receipts DIR");
    Ok(ExitCode::SUCCESS)
}
