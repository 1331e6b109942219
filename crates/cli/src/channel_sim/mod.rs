//! `jjj channel-sim`: plays a channel against a running gateway, well or badly, so that whoever
//! builds a gateway, a channel or a region's system sees what becomes of it.
//!
//! [`manner`]: what goes wrong, drawn from a seed; [`plan`]: the calls of an order; [`journal`]: the
//! channel's books; [`player`]: the channel at work.

mod journal;
mod manner;
mod plan;
mod player;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::ensure;

use crate::connect::Connect;
use crate::output;
use journal::Journal;
use manner::Manners;
use plan::Planner;
use player::Player;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    connect: Connect,
    /// The channel's own books: its cursor, its orders, each request before it is sent. A run on the
    /// same file goes on where the last one ended, however it ended.
    #[arg(long, value_name = "FILE")]
    state: PathBuf,
    /// Decides which order goes wrong how: the same seed, the same orders, the same misbehaviour.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Ends after so many seconds; else at SIGINT, or as --until-idle-ms says.
    #[arg(long, value_name = "S")]
    for_s: Option<u64>,
    /// Ends when so many milliseconds no instruction came and there was nothing to do but wait for one.
    #[arg(long, value_name = "MS")]
    until_idle_ms: Option<u64>,
    /// Asks by itself: authorises and ends so many payments of people on the eligibility list.
    #[arg(long, value_name = "N", default_value_t = 0)]
    ask: u64,
    /// Payments asked for a second, at most.
    #[arg(long, value_name = "N", default_value_t = 10.0)]
    ask_per_s: f64,
    /// Amount of each, fen.
    #[arg(long, value_name = "FEN", default_value_t = 100)]
    ask_fen: i64,
    /// Whose programme pays.
    #[arg(long, default_value = "regions/110000")]
    region: String,
    /// Which programme pays.
    #[arg(long, default_value = "care_subsidy")]
    programme: String,
    /// Goes away after so many instructions, for --away-ms.
    #[arg(long, value_name = "N")]
    away_after: Option<usize>,
    /// How long it is away, milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 2_000)]
    away_ms: u64,
    /// Comes back at a cursor so many instructions older than its last.
    #[arg(long, value_name = "N", default_value_t = 0)]
    rewind: usize,
    /// Reads slowly: so many milliseconds from one instruction to the next.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    slow_ms: u64,
    /// The summary as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    manners: Manners,
}

pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    args.manners.check()?;
    ensure!(args.ask_per_s > 0.0, "--ask-per-s is more than 0");
    ensure!(args.ask_fen > 0, "--ask-fen is more than 0");
    let session = args.connect.session()?;
    let journal = Journal::open(&args.state)?;
    let planner = Planner { session, seed: args.seed, manners: args.manners.clone() };
    let json = args.json;
    let mut player = Player::new(args, planner, journal);
    player.play().await?;
    let summary = player.summary();
    if json {
        output::json(&summary);
    } else {
        for (what, value) in summary.as_object().into_iter().flatten() {
            println!("{what:<14}{value}");
        }
    }
    Ok(ExitCode::SUCCESS)
}
