//! A gateway to measure: the sandbox of `jjj init`, the world that payments stand on, and
//! `jjj serve` as a child that does not outlive this process.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail, ensure};
use jjj_cli::client::Client;
use jjj_cli::identity::Identity;
use jjj_cli::sandbox::{SERVER_NAME, Sandbox};
use jjj_cli::session::Session;
use jjj_tests::world::{BEIJING, CHEN, HEBEI, Systems, UNIONPAY, World};
use jjj_token::SigningKey;
use serde_json::Value;

use crate::Options;
use crate::check::Books;
use crate::database::{Kind, Place};
use crate::load::{Acknowledged, Bills};

/// A sandbox with its database and whoever pays and is paid there.
pub struct Site {
    jjj: PathBuf,
    folder: tempfile::TempDir,
    sandbox: Sandbox,
    pub place: Place,
    pub url: String,
    pub bills: Arc<Bills>,
}

/// Institutions of the usual world.
pub const INSTITUTIONS: usize = 20;

impl Site {
    /// An empty database with institutions, elders, bills and money.
    pub async fn new(options: &Options, kind: Kind, institutions: usize) -> anyhow::Result<Self> {
        let mut site = Self::empty(options, kind).await?;
        let gateway = site.serve()?;
        let world = World::build(&gateway.systems()?, institutions, options.elders).await;
        site.bills = Arc::new(Bills { names: world.bills });
        gateway.stop()?;
        Ok(site)
    }

    /// An empty database, with nothing but the sandbox's participants.
    pub async fn empty(options: &Options, kind: Kind) -> anyhow::Result<Self> {
        let jjj = options.jjj.clone().map_or_else(beside, Ok)?;
        let folder = tempfile::Builder::new().prefix("jjj-bench-").tempdir()?;
        let place = Place::new(kind).await?;
        let url = place.create("gateway");
        let dir = folder.path().join("sandbox");
        let output = Command::new(&jjj).args(["init", "--port", "0", "--db", &url]).arg(&dir).output()?;
        ensure!(output.status.success(), "jjj init: {}", String::from_utf8_lossy(&output.stderr));
        let sandbox = Sandbox::open(&dir);
        limit(&sandbox, options)?;
        Ok(Self { jjj, folder, sandbox, place, url, bills: Arc::default() })
    }

    /// A command of `jjj`'s, as one of the sandbox's participants.
    pub fn command(&self, gateway: &Gateway, actor: &str) -> Command {
        let mut command = Command::new(&self.jjj);
        command.envs([("JJJ_AS", actor), ("JJJ_GATEWAY", &gateway.address)]).env("JJJ_SANDBOX", self.sandbox.dir());
        command
    }

    /// The program `jjj`.
    pub fn jjj(&self) -> &Path {
        &self.jjj
    }

    /// For files of a measurement's own.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn serve(&self) -> anyhow::Result<Gateway> {
        self.serve_with(&std::env::var("JJJ_LOG").unwrap_or_else(|_| "warn".to_owned()))
    }

    /// Starts the gateway; `log` as `JJJ_LOG`.
    pub fn serve_with(&self, log: &str) -> anyhow::Result<Gateway> {
        // Replicas write into one.
        let log_file = File::options().create(true).append(true).open(self.log_path())?;
        // The kernel ends it when this process is gone, however it went.
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(&self.jjj)
            .args(["serve", "--config"])
            .arg(self.sandbox.config_path())
            .env("JJJ_LOG", log)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log_file)
            .spawn()
            .context("setpriv runs jjj")?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("a pipe")?).read_line(&mut line)?;
        let mut gateway =
            Gateway { child, sandbox: self.sandbox.clone(), origin: String::new(), address: String::new() };
        let Ok(ports) = serde_json::from_str::<Value>(&line) else {
            bail!("the gateway did not start: {}", std::fs::read_to_string(self.log_path())?);
        };
        gateway.origin = ports["origin"].as_str().unwrap_or_default().to_owned();
        gateway.address = ports["grpc"].as_str().unwrap_or_default().to_owned();
        Ok(gateway)
    }

    /// What the gateways have logged.
    pub fn log_path(&self) -> PathBuf {
        self.folder.path().join("gateway.log")
    }

    pub fn sandbox_dir(&self) -> &Path {
        self.sandbox.dir()
    }

    pub fn gateway_key(&self) -> anyhow::Result<SigningKey> {
        let pem = std::fs::read_to_string(self.sandbox.dir().join("gateway/signing-key.pem"))?;
        Ok(SigningKey::from_pkcs8_pem(&pem)?)
    }

    /// The channel's identity.
    pub fn channel(&self) -> anyhow::Result<Identity> {
        Ok(Identity::load(&self.sandbox.identity_dir(UNIONPAY))?)
    }

    /// Recomputes every identity, leaf and piece of evidence.
    pub fn verify(&self) -> anyhow::Result<()> {
        let output = Command::new(&self.jjj).args(["verify", "--db", &self.url]).output()?;
        let report = [output.stdout, output.stderr].concat();
        ensure!(output.status.success(), "jjj verify: {}", String::from_utf8_lossy(&report));
        Ok(())
    }

    /// Holds what was acknowledged against receipts, payments and books.
    pub async fn check(&self, gateway: &Gateway, before: &Books, paid: &[Acknowledged]) -> anyhow::Result<()> {
        crate::check::receipts(paid, self.gateway_key()?.verifying_key())?;
        let now = Books::read(&gateway.systems()?).await?;
        crate::check::payments(gateway, before, &now, paid).await
    }
}

/// The gateway's binary, built with this one.
fn beside() -> anyhow::Result<PathBuf> {
    let jjj = std::env::current_exe()?.with_file_name("jjj");
    ensure!(jjj.exists(), "there is no {}: build it, or name it with --jjj", jjj.display());
    Ok(jjj)
}

fn limit(sandbox: &Sandbox, options: &Options) -> anyhow::Result<()> {
    let mut config = File::options().append(true).open(sandbox.config_path())?;
    writeln!(config, "\n[limits]")?;
    for (name, value) in [("batch_items", options.batch_items), ("writers", options.writers)] {
        if let Some(value) = value {
            writeln!(config, "{name} = {value}")?;
        }
    }
    Ok(())
}

/// A running gateway. Killed with this value, unless it was stopped.
pub struct Gateway {
    child: Child,
    sandbox: Sandbox,
    origin: String,
    pub address: String,
}

impl Gateway {
    pub fn client(&self, actor: &str) -> anyhow::Result<Client> {
        let identity = Identity::load(&self.sandbox.identity_dir(actor))?;
        Ok(Client::new(identity, &self.address, SERVER_NAME, &self.origin, Arc::new(now_us))?)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A connection for each, of the channel.
    pub fn channels(&self, connections: usize) -> anyhow::Result<Vec<Client>> {
        (0..connections.max(1)).map(|_| self.client(UNIONPAY)).collect()
    }

    pub fn systems(&self) -> anyhow::Result<Systems> {
        let session = |actor| Ok::<_, anyhow::Error>(Session::new(self.client(actor)?));
        Ok(Systems {
            beijing: session(BEIJING)?,
            hebei: session(HEBEI)?,
            unionpay: session(UNIONPAY)?,
            chen: session(CHEN)?,
        })
    }

    /// Asks it to stop and waits until everything accepted is numbered and sealed.
    pub fn stop(mut self) -> anyhow::Result<()> {
        let status = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status()?;
        ensure!(status.success(), "the gateway was gone");
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(status) = self.child.try_wait()? {
                ensure!(status.success(), "the gateway ended with {status}");
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "the gateway does not stop");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Statements in a gateway's log, as they are logged under [`Statements::LOG`]. `BEGIN` and
/// `COMMIT` are not among them.
pub struct Statements {
    pub all: usize,
    /// Claims of request ids: one for each transaction of the write path.
    pub claims: usize,
}

impl Statements {
    /// As `JJJ_LOG`.
    pub const LOG: &str = "warn,sqlx::query=debug,jjj_store::statement=debug";
    /// sqlx's, and those of SQLite's writer.
    const TARGETS: [&str; 2] = [r#""target":"sqlx::query""#, r#""target":"jjj_store::statement""#];

    pub fn of(log: &Path) -> anyhow::Result<Self> {
        let mut counted = Self { all: 0, claims: 0 };
        for line in BufReader::new(File::open(log)?).lines() {
            let line = line?;
            // A slow statement is logged as a warning, whoever counts.
            let is_statement = Self::TARGETS.iter().any(|target| line.contains(target));
            if is_statement && line.contains(r#""level":"DEBUG""#) {
                counted.all += 1;
                counted.claims += usize::from(line.contains("INTO requests"));
            }
        }
        Ok(counted)
    }
}

pub fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
