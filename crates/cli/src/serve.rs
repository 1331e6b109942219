//! `jjj serve`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use jjj_server::{Clock, Config, Ended};
use tokio::sync::oneshot;

#[derive(clap::Args)]
pub struct Args {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Start although too few witnesses can be compared (docs/witnesses.md): only where it is certain that this
    /// database is the newest, for what is accepted on an older one is lost.
    #[arg(long)]
    uncompared: bool,
}

pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut config = Config::load(&args.config)?;
    config.witnesses.uncompared = args.uncompared;
    let origin = config.origin.clone();
    let (hear, hears) = oneshot::channel();
    let told = async move {
        let signal = signal();
        let _ = hear.send(());
        signal.await;
    };
    let handle = jjj_server::run(config, Clock::with_offset_us(0), told).await.context("starting the gateway")?;
    // From the line below on, whoever tells it to stop finds it listening.
    let _ = hears.await;
    // One line for people and scripts that wait for the ports.
    let public = handle.public.map(|a| a.to_string()).unwrap_or_default();
    let metrics = handle.metrics.map(|a| a.to_string()).unwrap_or_default();
    println!(
        "{}",
        serde_json::json!({"origin": origin, "grpc": handle.grpc.to_string(), "public": public, "metrics": metrics})
    );
    Ok(match handle.join().await {
        Ended::Told => ExitCode::SUCCESS,
        Ended::Broken => ExitCode::FAILURE,
    })
}

/// Completes on SIGINT or SIGTERM, which no longer end the process once this is called.
pub fn signal() -> impl Future<Output = ()> {
    use tokio::signal::unix::{SignalKind, signal};
    let handlers = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    async move {
        let (Ok(mut interrupt), Ok(mut terminate)) = handlers else {
            // Without handlers the default action ends the process, which the log survives.
            return std::future::pending().await;
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }
}
