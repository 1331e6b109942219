//! A gateway of the test's own on any database, its clock on one day of autumn 2026, and what its
//! database holds.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use jjj_cli::enrol;
use jjj_cli::sandbox::{Options, Sandbox};
use jjj_cli::session::Session;
use jjj_domain::time::DAY_US;
use jjj_server::{Clock, Config, Handle};
use jjj_store::Store;
use jjj_tests::postgres::TestDatabase;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::sync::oneshot;

/// Saturday 5 September 2026, 10:00 in Beijing.
const START_US: i64 = 1_788_573_600_000_000;

pub struct Stage {
    pub database: TestDatabase,
    pub sandbox: Sandbox,
    /// Certificates and keys that the gateway knows nothing of.
    pub foreign: Sandbox,
    pub config: Config,
    pub clock: Clock,
    running: Option<Running>,
    _folder: tempfile::TempDir,
}

struct Running {
    handle: Handle,
    stop: oneshot::Sender<()>,
    sessions: HashMap<String, Session>,
}

/// Each table's rows: how many, and the SHA-256 of all of them.
pub type Digests = BTreeMap<&'static str, (usize, String)>;

impl Stage {
    /// The sandbox's members enrolled on an empty database, and the gateway running.
    pub async fn open(database: TestDatabase) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = Options { database_url: database.url().to_owned(), ..Options::default() };
        let sandbox = Sandbox::create(&folder.path().join("sandbox"), &options).unwrap();
        let foreign = Sandbox::create(&folder.path().join("foreign"), &options).unwrap();
        let clock = Clock::default();
        clock.advance_us(START_US - clock.now().0);
        enrol::found(&sandbox, &clock).await.unwrap();
        enrol::enrol_members(&sandbox, &clock).await.unwrap();
        let mut config = Config::load(&sandbox.config_path()).unwrap();
        config.grpc.listen.set_port(0);
        config.public = None;
        config.metrics = None;
        let mut stage = Self { database, sandbox, foreign, config, clock, running: None, _folder: folder };
        stage.start().await;
        stage
    }

    async fn start(&mut self) {
        self.config.database.url = self.database.url().to_owned();
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async { drop(stopped.await) };
        let handle = jjj_server::run(self.config.clone(), self.clock.clone(), stopped).await.unwrap();
        let mut sessions = HashMap::new();
        for identity in std::fs::read_dir(self.sandbox.dir().join("identities")).unwrap() {
            let actor = std::fs::read_to_string(identity.unwrap().path().join("actor.txt")).unwrap();
            let (address, now) = (handle.grpc.to_string(), enrol::now(&self.clock));
            let session = enrol::session(&self.sandbox, &actor, &address, &self.config.origin, now).unwrap();
            sessions.insert(actor, session);
        }
        self.running = Some(Running { handle, stop, sessions });
    }

    /// Stops the gateway, everything numbered and sealed.
    pub async fn close(&mut self) {
        if let Some(running) = self.running.take() {
            drop((running.stop, running.sessions));
            running.handle.join().await;
        }
    }

    /// Goes on with a copy of a database that no gateway runs on.
    pub async fn go_on_with_a_copy_of(&mut self, kept: &TestDatabase) {
        self.close().await;
        self.database = kept.copy();
        self.start().await;
    }

    /// Lets days pass, once the log is sealed: a jump of the clock would miss the receipts' deadline.
    pub async fn sleep_days(&self, days: i64) {
        self.settle().await;
        self.clock.advance_us(days * DAY_US);
    }

    pub fn address(&self) -> String {
        self.running.as_ref().unwrap().handle.grpc.to_string()
    }

    /// The session of one of the sandbox's systems or people.
    pub fn as_(&self, actor: &str) -> &Session {
        let sessions = &self.running.as_ref().unwrap().sessions;
        sessions.get(actor).unwrap_or_else(|| panic!("nobody is {actor}"))
    }

    /// A call that must be accepted.
    pub async fn call(&self, actor: &str, method: &str, request: Value) -> Value {
        let answer = self.as_(actor).call(method, request.clone()).await;
        answer.unwrap_or_else(|refused| panic!("{method} as {actor}: {refused} {:?}\n{request:#}", refused.field))
    }

    /// Waits until every leaf is in the log and under a checkpoint: the gateway has nothing left to write.
    pub async fn settle(&self) {
        let anybody = self.as_("gateway/admins/li");
        for _ in 0..200 {
            let rows = self.digests().await;
            let whole_log = json!({"min_size": rows["leaf_order"].0.to_string()});
            let is_sealed = anybody.call("LedgerService/GetCheckpoint", whole_log).await.is_ok();
            if is_sealed && rows["leaf_pending"].0 == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the log does not catch up");
    }

    /// Every row of every table: records, balances, leaves, and what is derived from them.
    pub async fn digests(&self) -> Digests {
        const PAGE: i64 = 1_000;
        let store = Store::open(self.database.url()).await.unwrap();
        let mut session = store.read().await.unwrap();
        let mut digests = Digests::new();
        for table in jjj_store::schema::tables() {
            let (mut rows, mut digest, mut after) = (0, Sha256::new(), None);
            loop {
                let page = session.scan(table, after.take(), PAGE).await.unwrap();
                let Some(last) = page.last() else { break };
                after = Some(table.key_of(last));
                rows += page.len();
                page.iter().for_each(|row| digest.update(format!("{row:?}\n")));
            }
            digests.insert(table.name, (rows, digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()));
        }
        drop(session);
        store.close().await;
        digests
    }
}

/// Names of the tables that differ.
pub fn changed(before: &Digests, after: &Digests) -> Vec<&'static str> {
    before.keys().copied().filter(|table| before[table] != after[table]).collect()
}
