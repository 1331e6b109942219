//! The configuration file: TOML, strict. Unknown members are refused by name;
//! relative paths are relative to the file.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use jjj_custody::Place;
use serde::Deserialize;

/// Everything the gateway is told from outside the database.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The gateway's name: audience of request tokens, origin of the log and of receipts.
    /// A key name of C2SP notes: no space, no plus.
    pub origin: String,
    /// Allows what only a sandbox may do, such as a clock that can be moved. Default false.
    #[serde(default)]
    pub sandbox: bool,
    /// Seconds by which the gateway's time runs ahead of the real one; sandbox only. Default 0.
    #[serde(default)]
    pub clock_offset_s: i64,
    pub database: Database,
    pub grpc: TlsListener,
    /// Public, read-only HTTPS. Absent: not served.
    pub public: Option<TlsListener>,
    /// Under which URL everybody reaches the public listener: what recognition tokens refer to.
    /// Default `https://{origin}`.
    pub public_url: Option<String>,
    /// Metrics over plain HTTP, loopback addresses only. Absent: not served.
    pub metrics: Option<PlainListener>,
    pub keys: Keys,
    #[serde(default)]
    pub limits: Limits,
    #[serde(default)]
    pub witnesses: Witnesses,
}

/// Who cosigns the log's heads, and how many must.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Witnesses {
    /// So many witnesses make a head public. 0 to the number of peers, default 0: every head is.
    pub quorum: usize,
    pub peers: Vec<Peer>,
    /// Start before enough witnesses have been compared. Said for one start, `jjj serve --uncompared`, and never in
    /// a file, where it would be forgotten.
    #[serde(skip)]
    pub uncompared: bool,
}

impl Witnesses {
    /// How many have to be compared before a gateway starts: any so many have one among them that cosigned the
    /// newest public head. None where every head is public.
    pub fn needed_at_start(&self) -> usize {
        match self.quorum {
            0 => 0,
            quorum => self.peers.len() + 1 - quorum,
        }
    }
}

/// A witness (C2SP tlog-witness).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    /// Its C2SP verifier key; `jjj witness key` prints it.
    pub vkey: String,
    /// `https://…`, under which `add-checkpoint` is.
    pub url: String,
    /// The authority of its server certificate, PEM.
    pub authority: PathBuf,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// `sqlite:PATH` or `postgres://…`.
    pub url: String,
}

/// The URL may hold a password.
impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = self.url.split(':').next().unwrap_or_default();
        f.debug_struct("Database").field("url", &format!("{scheme}:[redacted]")).finish()
    }
}

/// A listener with a server certificate; both files are read again when they change.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsListener {
    /// Address and port; port 0 takes a free one.
    pub listen: SocketAddr,
    /// PEM, leaf first.
    pub certificate: PathBuf,
    /// PEM; mode 0600.
    pub key: PathBuf,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlainListener {
    pub listen: SocketAddr,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keys {
    /// The gateway's Ed25519 signing key: a file, PKCS#8 in PEM, mode 0600; or a `pkcs11:` URI (docs/keys.md).
    pub signing: Place,
    /// The next one, likewise, registered and published before: it takes over when the first is retired or
    /// withdrawn. Default: none.
    #[serde(default)]
    pub next: Option<Place>,
    /// The master key, 64 hexadecimal digits; mode 0600.
    pub master: PathBuf,
    /// Whether keys of SM2 with SM3 may be enrolled. Those enrolled before stay good. Default false.
    #[serde(default)]
    pub sm2: bool,
    /// The gateway's SM2 key, PKCS#8 in PEM; mode 0600. With it, each head of the log has a second signature
    /// line. Absent: it has not.
    pub sm2_signing: Option<Place>,
    /// The next one, as `next` is to `signing`. Default: none.
    #[serde(default)]
    pub sm2_next: Option<Place>,
    /// Whether the SM2 key, instead of `signing`, signs what the gateway states: receipts, recognition tokens and
    /// status lists. Needs `sm2_signing`. Default false.
    #[serde(default)]
    pub sm2_statements: bool,
}

/// Bounds of the write path, and of streams.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Mutations waiting or under way, of all participants; one of them may hold as many as are left for
    /// the others. Beyond, RESOURCE_EXHAUSTED. 1,000 to 1,000,000, default 8,192.
    pub queue_items: usize,
    /// Mutations in one transaction, unless one batch call has more. 1 to 10,000, default 512.
    pub batch_items: usize,
    /// Transactions at once on PostgreSQL, beside one for commands that stand alone; SQLite has one writer. 1 to 8,
    /// default 2.
    pub writers: usize,
    /// Seconds that a delivery stream lives; its client resumes at the cursor. 1 to 86,400, default 900.
    pub stream_s: u64,
    /// Seconds within which whoever keeps to a status list's `exp` sees a revocation. 10 to 86,400,
    /// default 60.
    pub status_s: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { queue_items: 8_192, batch_items: 512, writers: 2, stream_s: 900, status_s: 60 }
    }
}

/// What is wrong with a configuration, naming the member.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{}: cannot be read", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    /// The text names line, column and member.
    #[error("{}: {problem}", path.display())]
    Malformed { path: PathBuf, problem: String },
    #[error("{member}: {problem}")]
    Member { member: &'static str, problem: String },
}

pub(crate) fn fault(member: &'static str, problem: impl ToString) -> ConfigError {
    ConfigError::Member { member, problem: problem.to_string() }
}

impl Config {
    /// Reads and checks a file.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        Self::parse(&text, path)
    }

    fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let mut config: Self = toml::from_str(text).map_err(|e| {
            // Never the value: it may be secret.
            let span = e.span().unwrap_or_default();
            let line = text[..span.start].matches('\n').count();
            let assigned = text.lines().nth(line).and_then(|line| line.split_once('='));
            // What is missing is missing from many lines.
            let member = assigned.filter(|_| !text[span.clone()].contains('\n') && !span.is_empty());
            let member = member.map_or(String::new(), |(member, _)| format!(", {}", member.trim()));
            let problem = format!("line {}{member}: {}", line + 1, e.message());
            ConfigError::Malformed { path: path.to_owned(), problem }
        })?;
        config.root_paths(path.parent().unwrap_or(Path::new("")));
        config.check()?;
        Ok(config)
    }

    fn root_paths(&mut self, dir: &Path) {
        let listeners = [Some(&mut self.grpc), self.public.as_mut()];
        for listener in listeners.into_iter().flatten() {
            listener.certificate = dir.join(&listener.certificate);
            listener.key = dir.join(&listener.key);
        }
        for peer in &mut self.witnesses.peers {
            peer.authority = dir.join(&peer.authority);
        }
        self.keys.signing = self.keys.signing.rooted(dir);
        for place in [&mut self.keys.next, &mut self.keys.sm2_signing, &mut self.keys.sm2_next].into_iter().flatten() {
            *place = place.rooted(dir);
        }
        self.keys.master = dir.join(&self.keys.master);
        if let Some(file) = self.database.url.strip_prefix("sqlite:").filter(|f| !f.starts_with('/')) {
            self.database.url = format!("sqlite:{}", dir.join(file.trim_start_matches("./")).display());
        }
    }

    /// Checks what the types do not. [`crate::run`] does so again, for configurations made in code.
    pub fn check(&self) -> Result<(), ConfigError> {
        let is_key_name = !self.origin.is_empty() && !self.origin.contains(|c: char| c.is_whitespace() || c == '+');
        if !is_key_name {
            return Err(fault("origin", "must be a name without spaces and plus signs"));
        }
        if self.public_url.as_ref().is_some_and(|url| !url.starts_with("https://") || url.ends_with('/')) {
            return Err(fault("public_url", "must begin with https:// and not end with a slash"));
        }
        if self.keys.sm2_signing.is_none() && (self.keys.sm2_statements || self.keys.sm2_next.is_some()) {
            return Err(fault("keys.sm2_signing", "is missing, and sm2_statements or sm2_next needs it"));
        }
        if self.clock_offset_s != 0 && !self.sandbox {
            return Err(fault("clock_offset_s", "only a sandbox has a clock of its own"));
        }
        if self.witnesses.quorum > self.witnesses.peers.len() {
            return Err(fault("witnesses.quorum", "there are fewer peers"));
        }
        if let Some(metrics) = &self.metrics
            && !metrics.listen.ip().is_loopback()
        {
            return Err(fault("metrics.listen", "must be a loopback address"));
        }
        let Limits { queue_items, batch_items, writers, stream_s, status_s } = self.limits;
        for (member, value, range) in [
            ("limits.queue_items", queue_items, 1_000..=1_000_000),
            ("limits.batch_items", batch_items, 1..=10_000),
            ("limits.writers", writers, 1..=8),
            ("limits.stream_s", usize::try_from(stream_s).unwrap_or(usize::MAX), 1..=86_400),
            ("limits.status_s", usize::try_from(status_s).unwrap_or(usize::MAX), 10..=86_400),
        ] {
            if !range.contains(&value) {
                return Err(fault(member, format!("must be {} to {}", range.start(), range.end())));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        origin = "gateway.test"
        [database]
        url = "sqlite:gateway.db"
        [grpc]
        listen = "127.0.0.1:0"
        certificate = "server.pem"
        key = "server.key"
        [keys]
        signing = "gateway.key"
        master = "master.key"
    "#;

    fn problem(text: &str) -> String {
        Config::parse(text, Path::new("/etc/jjj/jjj.toml")).unwrap_err().to_string()
    }

    #[test]
    fn paths_are_relative_to_the_file() {
        let config = Config::parse(GOOD, Path::new("/etc/jjj/jjj.toml")).unwrap();
        assert_eq!(config.grpc.key, Path::new("/etc/jjj/server.key"));
        assert_eq!(config.database.url, "sqlite:/etc/jjj/gateway.db");
        assert!(!format!("{:?}", config.database).contains("gateway.db"));
    }

    #[test]
    fn any_witnesses_compared_have_one_of_the_newest_public_head() {
        let peer = || Peer { vkey: String::new(), url: String::new(), authority: PathBuf::new() };
        for (peers, quorum, needed) in [(0, 0, 0), (3, 0, 0), (1, 1, 1), (2, 1, 2), (3, 1, 3), (3, 2, 2), (3, 3, 1)] {
            let witnesses = Witnesses { quorum, peers: (0..peers).map(|_| peer()).collect(), uncompared: false };
            assert_eq!(witnesses.needed_at_start(), needed, "{quorum} of {peers}");
            assert!(quorum == 0 || needed + quorum > peers, "two such sets meet");
        }
    }

    #[test]
    fn errors_name_the_member() {
        for (change, named) in [
            (GOOD.replace("origin = \"gateway.test\"", ""), "origin"),
            (GOOD.replace("gateway.test", "a b"), "origin"),
            (format!("grace = 1\n{GOOD}"), "grace"),
            (format!("clock_offset_s = 5\n{GOOD}"), "clock_offset_s"),
            (format!("{GOOD}\n[limits]\nqueue_items = 10"), "limits.queue_items"),
            (format!("{GOOD}\n[limits]\nstream_s = 0"), "limits.stream_s"),
            (format!("{GOOD}\n[limits]\nstatus_s = 5"), "limits.status_s"),
            (format!("{GOOD}\n[metrics]\nlisten = \"0.0.0.0:9\""), "metrics.listen"),
            (GOOD.replace("127.0.0.1:0", "here"), "listen"),
            (format!("public_url = \"http://here\"\n{GOOD}"), "public_url"),
            (format!("{GOOD}\n[witnesses]\nquorum = 1"), "witnesses.quorum"),
        ] {
            let problem = problem(&change);
            assert!(problem.contains(named), "{problem}");
        }
    }
}
