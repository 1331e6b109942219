//! `jjj witness`: cosigns the heads of the log for a region, and remembers them (docs/witnesses.md).

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Subcommand;
use jjj_custody::Place;
use jjj_server::Clock;
use jjj_server::config::TlsListener;
use jjj_server::witness::{Config, serve};
use jjj_token::SigningKey;
use jjj_token::note::{CosignatureVerifier, NoteVerifier};

use crate::key_place::KeyPlace;
use crate::serve::signal;

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Print the witness's public key as C2SP verifier key: the gateway's configuration and verifiers pin it.
    Key {
        #[command(flatten)]
        identity: Identity,
    },
    /// Listen for heads to cosign, `POST /add-checkpoint` (C2SP tlog-witness), until a signal.
    Serve {
        #[command(flatten)]
        identity: Identity,
        /// A log to witness, as C2SP verifier key; `jjj keys gateway` prints it. May be repeated.
        #[arg(long = "log", value_name = "VKEY", required = true)]
        logs: Vec<String>,
        /// Folder of what it remembers. Never to be emptied or shared.
        #[arg(long, value_name = "DIR")]
        state: PathBuf,
        #[arg(long, value_name = "ADDRESS:PORT")]
        listen: SocketAddr,
        /// TLS certificate chain, PEM.
        #[arg(long, value_name = "FILE")]
        certificate: PathBuf,
        /// Its key, PEM; mode 0600.
        #[arg(long, value_name = "FILE")]
        tls_key: PathBuf,
    },
}

#[derive(clap::Args)]
struct Identity {
    /// The witness's name, such as `witness.mzj.beijing.example`.
    #[arg(long)]
    name: String,
    /// An Ed25519 key for nothing else; `jjj keys new` makes one. A file of mode 0600, or a `pkcs11:` URI.
    #[arg(long, value_name = "KEY", value_parser = KeyPlace)]
    key: Place,
}

impl Identity {
    fn load(&self) -> anyhow::Result<SigningKey> {
        jjj_custody::load(&self.key).context("--key")
    }
}

pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.what {
        What::Key { identity } => {
            let key = identity.load()?;
            println!("{}", CosignatureVerifier::new(&identity.name, key.verifying_key())?.vkey());
        }
        What::Serve { identity, logs, state, listen, certificate, tls_key } => {
            let logs = logs.iter().map(|vkey| NoteVerifier::from_vkey(vkey).context("--log"));
            let config = Config {
                key: identity.load()?,
                name: identity.name,
                logs: logs.collect::<anyhow::Result<_>>()?,
                state,
                tls: TlsListener { listen, certificate, key: tls_key },
            };
            // One line for people and scripts that wait for the port.
            let ready = |address: SocketAddr| println!("{}", serde_json::json!({"witness": address.to_string()}));
            serve(config, Clock::with_offset_us(0), ready, signal()).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
