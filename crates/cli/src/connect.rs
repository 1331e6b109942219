//! Where an administrator's commands connect and as whom.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use clap::Args;
use jjj_cli::client::{Client, Now};
use jjj_cli::identity::Identity;
use jjj_cli::sandbox::{SERVER_NAME, Sandbox};
use jjj_cli::session::Session;
use jjj_custody::Place;

use crate::key_place::KeyPlace;

/// Connection options shared by all administrators' commands.
#[derive(Args, Debug)]
pub struct Connect {
    /// Sandbox folder made by `jjj init`: gives address, origin and identities.
    #[arg(long, global = true, env = "JJJ_SANDBOX", value_name = "DIR")]
    sandbox: Option<PathBuf>,
    /// Who signs, within the sandbox: `regions/110000/admins/chen`.
    #[arg(long = "as", global = true, env = "JJJ_AS", value_name = "ACTOR")]
    actor: Option<String>,
    /// Identity folder, instead of --sandbox and --as.
    #[arg(long, global = true, env = "JJJ_IDENTITY", value_name = "DIR")]
    identity: Option<PathBuf>,
    /// Your signing key, instead of the identity folder's: a file of mode 0600, or a `pkcs11:` URI.
    #[arg(long = "signing-key", global = true, env = "JJJ_SIGNING_KEY", hide_env_values = true, value_name = "KEY", value_parser = KeyPlace)]
    signing_key: Option<Place>,
    /// Gateway address host:port; default from the sandbox.
    #[arg(long, global = true, env = "JJJ_GATEWAY", value_name = "HOST:PORT")]
    gateway: Option<String>,
    /// The gateway's origin, audience of request tokens; default from the sandbox.
    #[arg(long, global = true, env = "JJJ_ORIGIN")]
    origin: Option<String>,
    /// Name in the gateway's certificate.
    #[arg(long, global = true, default_value = SERVER_NAME)]
    server_name: String,
}

impl Connect {
    pub fn session(&self) -> anyhow::Result<Session> {
        let sandbox = self.sandbox.as_deref().map(Sandbox::open);
        let dir = match (&self.identity, &sandbox, &self.actor) {
            (Some(dir), _, _) => dir.clone(),
            (None, Some(sandbox), Some(actor)) => sandbox.identity_dir(actor),
            _ => anyhow::bail!("say who you are: --sandbox DIR --as ACTOR, or --identity DIR"),
        };
        let config = match &sandbox {
            Some(sandbox) => Some(jjj_server::Config::load(&sandbox.config_path())?),
            None => None,
        };
        let address = self.gateway.clone().or(config.as_ref().map(|c| c.grpc.listen.to_string()));
        let origin = self.origin.clone().or(config.as_ref().map(|c| c.origin.clone()));
        let (Some(address), Some(origin)) = (address, origin) else {
            anyhow::bail!("say where the gateway is: --sandbox DIR, or --gateway HOST:PORT and --origin NAME");
        };
        let offset_us = config.map_or(0, |c| c.clock_offset_s * 1_000_000);
        let signing = self.signing_key.as_ref().map(jjj_custody::load).transpose().context("--signing-key")?;
        let identity = Identity::load_with(&dir, signing)?;
        let client = Client::new(identity, &address, &self.server_name, &origin, system_now(offset_us))?;
        Ok(Session::new(client))
    }
}

/// The system's clock, `offset_us` ahead.
pub fn system_now(offset_us: i64) -> Now {
    Arc::new(move || {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX).saturating_add(offset_us)
    })
}
