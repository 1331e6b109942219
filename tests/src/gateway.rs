//! The real `jjj` binary: sandboxes made by `jjj init`, servers that die with the test.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jjj_cli::client::{Client, Now};
use jjj_cli::identity::Identity;
use jjj_cli::sandbox::{SERVER_NAME, Sandbox};
use jjj_cli::session::Session;
use jjj_token::SigningKey;
use serde_json::Value;

/// The binary: `JJJ_TEST_BINARY`, or the workspace's, brought up to date once per process. The
/// build has the same features and profile as that of the tests, so after a run of the whole
/// workspace there is little or nothing to do.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| match std::env::var_os("JJJ_TEST_BINARY") {
        Some(path) => path.into(),
        None => build(),
    })
}

fn build() -> PathBuf {
    // target/{debug,release,…}/deps/{this test}
    let test = std::env::current_exe().expect("the test's own path");
    let profile_dir = test.ancestors().nth(2).expect("a test is in target/{profile}/deps");
    let profile = match profile_dir.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--locked", "--workspace", "--tests", "--bins", "--profile", profile]);
    cargo.arg("--target-dir").arg(profile_dir.parent().expect("a profile's folder is in a target folder"));
    cargo.current_dir(workspace());
    // What cargo told this test about itself is not for that build.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let is_ours = ["CARGO_HOME", "CARGO_TARGET_DIR", "CARGO_INCREMENTAL", "CARGO_TERM_COLOR"];
        let is_of_builds = text.starts_with("CARGO_BUILD") || text.starts_with("CARGO_PROFILE_");
        if text.starts_with("CARGO_") && !is_ours.contains(&&*text) && !is_of_builds {
            cargo.env_remove(&name);
        }
    }
    let status = cargo.status().expect("cargo runs");
    assert!(status.success(), "the binary does not build");
    profile_dir.join("jjj")
}

/// The workspace's folder.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in the workspace")
}

/// Runs a command of the binary to its end.
pub fn jjj(args: &[&str]) -> Output {
    Command::new(binary()).args(args).stdin(Stdio::null()).output().expect("jjj runs")
}

/// A sandbox of a test's own, made by `jjj init`.
pub struct Site {
    folder: tempfile::TempDir,
    sandbox: Sandbox,
    database_url: String,
}

impl Site {
    /// On an empty database.
    pub fn init(database_url: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dir = folder.path().join("sandbox");
        let output = jjj(&["init", &dir.display().to_string(), "--port", "0", "--db", database_url]);
        assert!(output.status.success(), "jjj init: {}", String::from_utf8_lossy(&output.stderr));
        Self { folder, sandbox: Sandbox::open(&dir), database_url: database_url.to_owned() }
    }

    /// The sandbox's folder.
    pub fn dir(&self) -> &Path {
        self.sandbox.dir()
    }

    pub fn database_url(&self) -> &str {
        &self.database_url
    }

    /// Starts a gateway on the sandbox's database.
    pub fn serve(&self) -> Gateway {
        self.serve_with(&[], &[])
    }

    /// The same, with more arguments, and with these variables in its environment.
    pub fn serve_with(&self, more: &[&str], env: &[(&str, &str)]) -> Gateway {
        let log_path = self.folder.path().join("gateway.log");
        let log = File::options().create(true).append(true).open(&log_path).expect("a log file");
        // The kernel ends it when the test is gone, however the test went.
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(binary())
            .args(["serve", "--config"])
            .arg(self.sandbox.config_path())
            .args(more)
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("setpriv runs jjj");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("the gateway's first line");
        let Ok(ports) = serde_json::from_str::<Value>(&line) else {
            let _ = child.kill();
            panic!("the gateway did not start: {}", std::fs::read_to_string(log_path).unwrap_or_default());
        };
        let port = |name: &str| ports[name].as_str().unwrap_or_default().to_owned();
        Gateway {
            child,
            origin: port("origin"),
            address: port("grpc"),
            public: port("public"),
            metrics: port("metrics"),
            sandbox: self.sandbox.clone(),
            clients_ahead_s: 0,
        }
    }

    /// Sets the clock of gateways started from now on, so many seconds ahead of the real one.
    pub fn set_clock(&self, ahead_s: i64) {
        let path = self.sandbox.config_path();
        let config = std::fs::read_to_string(&path).expect("the configuration");
        let others = config.lines().filter(|line| !line.starts_with("clock_offset_s"));
        let text: String = others.map(|line| format!("{line}\n")).collect();
        std::fs::write(&path, format!("clock_offset_s = {ahead_s}\n{text}")).expect("the configuration");
    }

    /// What gateways of this sandbox have logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("gateway.log")).unwrap_or_default()
    }

    /// The gateway's signing key; tests use its public half, to check receipts offline.
    pub fn gateway_key(&self) -> SigningKey {
        let pem = std::fs::read_to_string(self.dir().join("gateway/signing-key.pem")).expect("the gateway's key");
        SigningKey::from_pkcs8_pem(&pem).expect("a signing key")
    }

    /// Runs `jjj verify` on the database; panics with its report unless everything is as logged.
    pub fn verify(&self) {
        let output = jjj(&["verify", "--db", &self.database_url]);
        let report = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "jjj verify: {}", String::from_utf8_lossy(&report));
    }
}

/// A running gateway. Killed with this value, without a word.
pub struct Gateway {
    child: Child,
    sandbox: Sandbox,
    /// Audience of request tokens.
    pub origin: String,
    /// `host:port` of gRPC.
    pub address: String,
    pub public: String,
    pub metrics: String,
    /// How far ahead of the real clock is that of `session`'s clients, in seconds.
    pub clients_ahead_s: i64,
}

impl Gateway {
    /// A session of one of the sandbox's identities.
    pub fn session(&self, actor: &str) -> Session {
        let identity = Identity::load(&self.sandbox.identity_dir(actor)).expect("an identity of the sandbox");
        let client = Client::new(identity, &self.address, SERVER_NAME, &self.origin, system_now(self.clients_ahead_s));
        Session::new(client.expect("a client"))
    }

    /// Ends it as a power failure would.
    pub fn kill(mut self) {
        self.child.kill().expect("our child");
        self.child.wait().expect("our child");
    }

    /// Asks it to stop and waits until it has.
    pub fn stop(mut self) -> ExitStatus {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs");
        assert!(status.success());
        let deadline = std::time::Instant::now() + jjj_server::gateway::STOPPED_WITHIN;
        loop {
            if let Some(status) = self.child.try_wait().expect("our child") {
                return status;
            }
            assert!(std::time::Instant::now() < deadline, "the gateway does not stop");
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

/// The system's clock, `ahead_s` ahead.
pub fn system_now(ahead_s: i64) -> Now {
    Arc::new(move || {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        i64::try_from(since.as_micros()).expect("before the year 294,000") + ahead_s * 1_000_000
    })
}
