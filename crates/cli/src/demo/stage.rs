//! The stage: a sandbox, a gateway on it, a clock to move, and who tells the story.

use std::path::PathBuf;

use anyhow::{Context, anyhow};
use jjj_cli::enrol;
use jjj_cli::sandbox::{Options, Sandbox};
use jjj_cli::session::{CallError, Session};
use jjj_domain::time::{DAY_US, Timestamp};
use jjj_server::{Clock, Config, Handle};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::connect::system_now;
use crate::output::Lang;
use crate::verify;

/// Tells each step in plain language, or keeps silent.
pub struct Narrator {
    language: Lang,
    aloud: bool,
}

impl Narrator {
    pub fn new(language: Lang, aloud: bool) -> Self {
        Self { language, aloud }
    }

    pub fn say(&self, zh: impl AsRef<str>, en: impl AsRef<str>) {
        if self.aloud {
            println!("{}", self.choose(zh.as_ref(), en.as_ref()));
        }
    }

    pub fn heading(&self, zh: &str, en: &str) {
        if self.aloud {
            println!("\n== {}", self.choose(zh, en));
        }
    }

    pub fn choose<'a>(&self, zh: &'a str, en: &'a str) -> &'a str {
        self.language.say(zh, en)
    }

    pub fn language(&self) -> Lang {
        self.language
    }

    pub fn aloud(&self) -> bool {
        self.aloud
    }
}

/// A running sandbox.
pub struct Stage {
    pub narrator: Narrator,
    pub clock: Clock,
    sandbox: Sandbox,
    config: Config,
    handle: Handle,
    stop: oneshot::Sender<()>,
    // Removed when the demo ends; the database is in it unless --db named another.
    _dir: tempfile::TempDir,
}

impl Stage {
    /// Makes the sandbox and starts the gateway; its time begins at `start_us`.
    pub async fn open(db: Option<String>, start_us: i64, narrator: Narrator) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let mut options = Options::default();
        if let Some(url) = db {
            options.database_url = absolute(url)?;
        }
        for listener in [&mut options.grpc, &mut options.public, &mut options.metrics] {
            listener.set_port(0);
        }
        narrator.heading("建立沙箱", "Making a sandbox");
        let sandbox = Sandbox::create(&dir.path().join("sandbox"), &options)?;
        let clock = Clock::with_offset_us(start_us - system_now(0)());
        enrol::found(&sandbox, &clock).await?;
        enrol::enrol_members(&sandbox, &clock).await?;
        narrator.say(
            "三地民政部门、银联与拨付银行已登记；每把密钥由两名网关管理员带外确认。",
            "Three regions, UnionPay and a bank are enrolled, each key confirmed out of band by two administrators.",
        );
        let config = Config::load(&sandbox.config_path())?;
        let (stop, stopped) = oneshot::channel::<()>();
        let handle = jjj_server::run(config.clone(), clock.clone(), async { drop(stopped.await) }).await?;
        Ok(Self { narrator, clock, sandbox, config, handle, stop, _dir: dir })
    }

    /// A session as one of the sandbox's people or systems.
    pub fn as_(&self, actor: &str) -> anyhow::Result<Session> {
        let address = self.handle.grpc.to_string();
        enrol::session(&self.sandbox, actor, &address, &self.config.origin, enrol::now(&self.clock))
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Lets days pass, once the log is sealed: a jump of the clock would miss the receipts' deadline.
    pub async fn sleep_days(&self, days: i64) {
        tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
        self.clock.advance_us(days * DAY_US);
    }

    /// Stops the gateway, verifies the database, and completes the summary.
    pub async fn close(self, mut summary: Value) -> anyhow::Result<Value> {
        drop(self.stop);
        self.handle.join().await;
        let report = verify::check(&self.config.database.url, self.clock.now()).await?;
        let faults = report["faults"].as_array().map_or(0, Vec::len);
        self.narrator.heading("核验", "Verification");
        self.narrator.say(
            format!("逐叶、逐行、逐证据核验数据库：{} 片叶子，{faults} 处不符。", report["leaves"]),
            format!("Every leaf, row and piece of evidence was checked: {} leaves, {faults} faults.", report["leaves"]),
        );
        summary["verify"] = json!({"leaves": report["leaves"], "faults": report["faults"]});
        summary["ok"] = (summary["ok"] != false && faults == 0).into();
        let ok = summary["ok"] == true;
        self.narrator.say(
            if ok { "全部一致。" } else { "存在不一致，见上。" },
            if ok { "Everything agrees." } else { "Something does not agree, see above." },
        );
        Ok(summary)
    }
}

/// A relative SQLite path is the caller's, not the sandbox's.
fn absolute(url: String) -> anyhow::Result<String> {
    match url.strip_prefix("sqlite:") {
        Some(file) if !file.starts_with('/') => {
            let path: PathBuf = std::env::current_dir()?.join(file);
            Ok(format!("sqlite:{}", path.display()))
        }
        _ => Ok(url),
    }
}

/// The JSON of a call's named part, with the call named in the failure.
pub async fn call(session: &Session, method: &str, request: Value, part: &str) -> anyhow::Result<Value> {
    let mut answer = session.call(method, request).await.map_err(|e| anyhow!(e)).with_context(|| method.to_owned())?;
    Ok(if part.is_empty() { answer } else { answer[part].take() })
}

/// A batch in which every item must be accepted; the named part of each.
pub async fn batch(session: &Session, method: &str, requests: Vec<Value>, part: &str) -> anyhow::Result<Vec<Value>> {
    let results = session.batch(method, requests).await.map_err(|e| anyhow!(e)).with_context(|| method.to_owned())?;
    results
        .into_iter()
        .map(|r| r.map(|mut answer| answer[part].take()).map_err(|e: CallError| anyhow!(e).context(method.to_owned())))
        .collect()
}

/// The resource name in a JSON resource.
pub fn name(resource: &Value) -> String {
    resource["name"].as_str().unwrap_or_default().to_owned()
}

/// A 64-bit integer of proto JSON.
pub fn int(value: &Value) -> i64 {
    value.as_str().and_then(|s| s.parse().ok()).or(value.as_i64()).unwrap_or_default()
}
