//! A real gateway that was attacked, and what then tells of it: `jjj verify`, a kept receipt, a receipt
//! file checked with pinned keys, and a witness that had cosigned the head before.

use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jjj_cli::client::Client;
use jjj_cli::identity::Identity;
use jjj_cli::sandbox::{Options, SERVER_NAME, Sandbox};
use jjj_cli::session::{CallError, Session};
use jjj_domain::decision::{Call, Command, Decision, Write};
use jjj_domain::names::{Actor, Participant};
use jjj_domain::participant::{AuthorityRow, KeyRow, KeyState};
use jjj_domain::row::{Row as _, TableSpec};
use jjj_domain::snapshot::{Snapshot, Stop};
use jjj_domain::time::Timestamp;
use jjj_domain::value::{Column as _, Value};
use jjj_server::config::{Limits, TlsListener};
use jjj_server::engine::{Engine, Job, Tools};
use jjj_server::keys::{GatewayKeys, Signer};
use jjj_server::seal::{Sealer, fold};
use jjj_server::verify::{NoticeKind, VerifyOptions, verify};
use jjj_server::witness::{Answer, Config as WitnessConfig, Witness};
use jjj_server::{Clock, Config};
use jjj_store::log_tables::{CheckpointRow, EvidenceRow, LeafRow};
use jjj_store::{LogState, Packed, Store};
use jjj_tests::gateway::{Gateway, Site, jjj};
use jjj_tests::postgres::TestDatabase;
use jjj_tests::raw::Raw;
use jjj_tests::world::{self, BEIJING, Days, HEBEI, done};
use jjj_token::SigningKey;
use jjj_token::merkle::{MemoryTree, consistency_proof, leaf_hash};
use jjj_token::note::{Checkpoint, NoteVerifier, SignedNote};
use jjj_token::offline::{Pins, ReceiptFile};
use jjj_token::receipt::{Receipt, ReceiptBody, sign_receipts};
use jjj_token::thumbprint::certificate_sha256;
use jjj_token::witness::AddCheckpoint;
use prost::Message as _;
use serde_json::{Value as Json, json};
use tokio::sync::Notify;

/// What was observed after an attack; each word stands in the document's table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// What the running gateway answered, where it was asked.
    pub gateway: String,
    /// `jjj verify`: clean, or the tables that it names.
    pub verify: String,
    /// `jjj verify --receipts` with the receipt that Hebei kept.
    pub receipts: String,
    /// `jjj verify receipt` of what the attack made, with the gateway's and Hebei's first key pinned.
    pub file: String,
    /// The witness that cosigned the head before.
    pub witness: String,
}

pub const NOT_ASKED: &str = "—";

/// A sandbox on which Hebei has published a rating and kept what proves it.
pub struct Scene {
    pub site: Site,
    pub db: TestDatabase,
    /// The database before Hebei published.
    pub early: TestDatabase,
    pub rating: String,
    pub institution: String,
    /// What Hebei kept: the file of its rating.
    pub kept: ReceiptFile,
    /// Keys that Beijing pinned when they were new: the gateway's, Hebei's and its own.
    pins: Pins,
    witness: Witness,
    seen: u64,
    folder: tempfile::TempDir,
}

impl Scene {
    /// Hebei registers an institution; the database is copied; Hebei publishes a rating and keeps its
    /// receipt; a witness cosigns the head. Nothing runs afterwards.
    pub async fn set(db: TestDatabase) -> Self {
        let site = Site::init(db.url());
        let gateway = site.serve();
        let hebei = gateway.session(HEBEI);
        let register = done(&hebei, "InstitutionService/RegisterInstitution", world::institution(1)).await;
        let institution = register["institution"]["name"].as_str().expect("a name").to_owned();
        drop(hebei);
        assert!(gateway.stop().success());
        let early = db.copy();

        let gateway = site.serve();
        let hebei = gateway.session(HEBEI);
        let answer = done(&hebei, "RatingService/PublishRating", world::rating(&institution, &Days::now(&hebei))).await;
        let rating = answer["rating"]["name"].as_str().expect("a name").to_owned();
        let kept = collected(&site, &gateway, HEBEI, &rating);
        let pins = Pins {
            gateway: vec![NoteVerifier::new(&gateway.origin, site.gateway_key().verifying_key()).unwrap()],
            first_keys: [HEBEI, BEIJING]
                .map(|of| gateway.session(of).client.identity().signing.kid().to_owned())
                .into(),
            ..Pins::default()
        };
        drop(hebei);
        assert!(gateway.stop().success());

        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("receipts")).unwrap();
        let path = folder.path().join("receipts/rating.json");
        std::fs::write(path, serde_json::to_string(&kept).unwrap()).unwrap();
        let witness = witness(folder.path().join("witness"), &pins);
        let mut scene = Self { site, db, early, rating, institution, kept, pins, witness, seen: 0, folder };
        let url = scene.db.url().to_owned();
        assert_eq!(scene.offer(&url).await, "cosigns");
        let honest = scene.observed().await;
        assert_eq!((honest.verify.as_str(), honest.receipts.as_str()), ("clean", "kept"), "before the attack");
        scene
    }

    /// Offers the newest head of a database to the witness, proven from what it has seen.
    async fn offer(&mut self, url: &str) -> String {
        let store = Store::open(url).await.unwrap();
        let mut session = store.read().await.unwrap();
        let head: CheckpointRow = session.latest_checkpoint().await.unwrap().expect("a head");
        let size = head.tree_size.unsigned_abs();
        let hashes = session.leaf_hashes(0, head.tree_size).await.unwrap();
        drop(session);
        store.close().await;
        let hashes = hashes.iter().map(|hash| jjj_hash(hash));
        let tree = MemoryTree::new(hashes);
        let proof = if self.seen <= size { consistency_proof(&tree, self.seen, size).unwrap() } else { Vec::new() };
        let note = SignedNote::parse(&head.note).expect("a note");
        // Who went back says so by an honest size, or is refused for the form already.
        let asked = AddCheckpoint { old_size: self.seen.min(size), proof, note };
        match self.witness.add_checkpoint(&asked.to_string()) {
            Answer::Cosigned(_) => {
                self.seen = size;
                "cosigns".to_owned()
            }
            Answer::Refused(refused) => refused.reason().to_owned(),
            answer => panic!("the witness cannot remember, or sign: {answer:?}"),
        }
    }

    /// What the instruments say of the scene's database now.
    pub async fn observed(&mut self) -> Seen {
        let url = self.db.url().to_owned();
        self.observed_of(&url).await
    }

    pub async fn observed_of(&mut self, url: &str) -> Seen {
        let kept = ("kept".to_owned(), self.kept.record.receipt.clone().expect("a receipt"));
        let store = Store::open(url).await.unwrap();
        // After every deadline: a promise is due.
        let options = VerifyOptions { receipts: vec![kept], at: Some(far()), ..VerifyOptions::default() };
        let report = verify(&store, &options).await.unwrap();
        store.close().await;
        let (receipts, faults): (Vec<_>, Vec<_>) = report.faults.iter().partition(|fault| fault.table == "receipts");
        let mut tables: Vec<_> = faults.iter().map(|fault| fault.table.as_str()).collect();
        tables.dedup();
        tables.sort_unstable();
        tables.dedup();
        let suspect = report.notices.iter().any(|notice| notice.kind == NoticeKind::Suspect);
        let verify = match (tables.is_empty(), suspect) {
            (true, false) => "clean".to_owned(),
            (true, true) => "clean; marks it suspect".to_owned(),
            (false, _) => tables.join(", "),
        };
        let broken = receipts.iter().any(|fault| fault.problem.contains("its leaf is not in the log"));
        assert_eq!(broken, !receipts.is_empty(), "{receipts:?}");
        let receipts = if broken { "a promise not kept" } else { "kept" }.to_owned();
        let witness = self.offer(url).await;
        Seen { gateway: NOT_ASKED.to_owned(), verify, receipts, file: NOT_ASKED.to_owned(), witness }
    }

    /// `jjj verify receipt` of a record, as Beijing would check it.
    pub fn proven(&self, file: &ReceiptFile) -> String {
        match file.verify(&self.pins) {
            Ok(proven) if proven.keys.iter().any(|key| key.suspect) => "proven; marks it suspect".to_owned(),
            Ok(proven) => format!("proven, by {}", proven.author),
            Err(error) => error.reason().to_owned(),
        }
    }

    pub fn collected(&self, gateway: &Gateway, record: &str) -> ReceiptFile {
        collected(&self.site, gateway, HEBEI, record)
    }

    /// As another participant gets it.
    pub fn collected_as(&self, gateway: &Gateway, actor: &str, record: &str) -> ReceiptFile {
        collected(&self.site, gateway, actor, record)
    }

    /// The gateway goes on with another database: a copy from before.
    pub fn restore(&mut self, from: &TestDatabase) {
        let copy = from.copy();
        self.point(copy.url());
        self.db = copy;
    }

    pub fn point(&self, url: &str) {
        let path = self.site.dir().join("jjj.toml");
        let config = std::fs::read_to_string(&path).unwrap();
        let line =
            |line: &str| if line.starts_with("url = ") { format!("url = \"{url}\"\n") } else { format!("{line}\n") };
        std::fs::write(path, config.lines().map(line).collect::<String>()).unwrap();
    }

    pub async fn raw(&self) -> Raw {
        Raw::open(&self.db).await
    }

    /// Identities that nobody enrolled: a sandbox of the attacker's own.
    pub fn strangers(&self) -> Sandbox {
        Sandbox::create(&self.folder.path().join("strangers"), &Options::default()).unwrap()
    }

    /// Somebody else's key and certificate, used against the scene's gateway.
    pub fn session_of(&self, gateway: &Gateway, identity: Identity) -> Session {
        let hebei = gateway.session(HEBEI);
        let identity = Identity { gateway_ca_pem: hebei.client.identity().gateway_ca_pem.clone(), ..identity };
        let now = Arc::new(|| Clock::default().now().0);
        Session::new(Client::new(identity, &gateway.address, SERVER_NAME, &gateway.origin, now).unwrap())
    }

    /// The last leaf of a record, and the whole log's hashes.
    async fn log(&self, record: &str) -> (LeafRow, EvidenceRow, Vec<String>) {
        let store = Store::open(self.db.url()).await.unwrap();
        let mut session = store.read().await.unwrap();
        let leaf = session.versions(record, 1, 100).await.unwrap().pop().expect("a version");
        let evidence = session.evidence(&leaf.leaf_id).await.unwrap().expect("evidence");
        let size = session.tree_size().await.unwrap();
        let hashes = session.leaf_hashes(0, size).await.unwrap();
        drop(session);
        store.close().await;
        (leaf, evidence, hashes)
    }

    /// Rewrites a record's leaf and everything that follows from it without a key: hashes, tree, tables.
    /// With the gateway's key also its receipt, and the heads are taken away so that it signs new ones.
    pub async fn rewrite(&self, change: impl Fn(&str) -> String, columns: &str, key: Option<&SigningKey>) {
        let (leaf, evidence, mut hashes) = self.log(&self.rating).await;
        let body = change(&leaf.body);
        assert_ne!(body, *leaf.body, "the attack changes the leaf");
        let hash = leaf_hash(body.as_bytes());
        let at = hashes.iter().position(|stored| *stored == leaf.leaf_hash).expect("it is numbered");
        hashes[at] = hex(&hash);
        let step = fold(&LogState::default(), &hashes).unwrap();
        let mut raw = self.raw().await;
        let Value::Bytes(packed) = Packed::from(body.clone()).to_value() else { panic!("stored as bytes") };
        let (id, packed, hash_text) = (&leaf.leaf_id, raw.bytes(&packed), hex(&hash));
        let recorded: Json = serde_json::from_str(&body).unwrap();
        let recorded = recorded["recorded_at_us"].as_str().expect("a time");
        raw.run(&format!(
            "UPDATE leaves SET body = {packed}, leaf_hash = '{hash_text}', recorded_at_us = {recorded} WHERE leaf_id = '{id}'"
        ))
        .await;
        raw.run(&format!("UPDATE leaf_order SET leaf_hash = '{hash_text}' WHERE leaf_id = '{id}'")).await;
        raw.run(&format!("UPDATE log_frontier SET frontier = '{}'", step.frontier)).await;
        for node in step.nodes {
            raw.run(&format!(
                "UPDATE log_nodes SET hash = '{}' WHERE level = {} AND node_index = {}",
                node.hash, node.level, node.node_index
            ))
            .await;
        }
        raw.run(&format!("UPDATE records SET {columns} WHERE record = '{}'", self.rating)).await;
        let Some(key) = key else { return };
        let given = jjj_wire::pb::Receipt::decode(&evidence.receipt[..]).expect("a receipt");
        let promised = ReceiptBody {
            record: given.record,
            version: given.version,
            leaf_hash: hash,
            log_deadline_us: given.log_deadline_time_us,
        };
        let receipt: Receipt = sign_receipts(key, &given.origin, &[promised]).unwrap().remove(0);
        let receipt = raw.bytes(&jjj_server::receipt::to_wire(&receipt).encode_to_vec());
        raw.run(&format!("UPDATE evidence SET receipt = {receipt} WHERE leaf_id = '{id}'")).await;
        raw.run("DELETE FROM checkpoints").await;
    }

    /// What whoever has the gateway's keys can make it record: through its own engine.
    pub async fn forge(&self, job: impl FnOnce(&Clock) -> Job) {
        let config = Config::load(&self.site.dir().join("jjj.toml")).unwrap();
        let keys = GatewayKeys::load(&config.keys).unwrap();
        let store = Store::open(self.db.url()).await.unwrap();
        let (clock, committed) = (Clock::default(), Arc::new(Notify::new()));
        let (engine, workers) = Engine::start(Tools {
            store: store.clone(),
            clock: clock.clone(),
            keys: keys.clone(),
            origin: config.origin.clone(),
            limits: Limits::default(),
            registry: None,
            committed: committed.clone(),
        });
        for outcome in engine.submit_all(vec![job(&clock)]).await {
            assert!(outcome.is_ok(), "{:?}", outcome.err());
        }
        drop(engine);
        workers.finish().await;
        let sealer = Sealer::new(store.clone(), clock, Signer::new(keys, None), config.origin, committed);
        sealer.number(None).await.unwrap();
        sealer.seal().await.unwrap();
        store.close().await;
    }
}

fn witness(state: PathBuf, pins: &Pins) -> Witness {
    let tls = TlsListener { listen: "127.0.0.1:0".parse().unwrap(), certificate: "".into(), key: "".into() };
    let key = SigningKey::from_ed25519_seed(&[5; 32]).unwrap();
    let config = WitnessConfig { name: "witness.test".into(), key, logs: pins.gateway.clone(), state, tls };
    Witness::open(config, Clock::default()).unwrap()
}

/// A moment after every promise is due.
fn far() -> Timestamp {
    Clock::default().now().plus_us(3_600_000_000)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn jjj_hash(text: &str) -> jjj_token::Hash {
    let byte = |at: usize| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).expect("hex");
    std::array::from_fn(byte)
}

fn collected(site: &Site, gateway: &Gateway, actor: &str, record: &str) -> ReceiptFile {
    let sandbox = site.dir().display().to_string();
    let output = jjj(&["receipt", record, "--sandbox", &sandbox, "--as", actor, "--gateway", &gateway.address]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    ReceiptFile::from_json(&output.stdout).expect("a receipt file")
}

/// What the gateway said.
pub fn answered(result: Result<Json, CallError>) -> String {
    match result {
        Ok(_) => "takes it".to_owned(),
        // A handshake that failed has no reason of ours.
        Err(refused) if refused.reason.is_empty() => refused.code,
        Err(refused) => refused.reason,
    }
}

/// Hebei revokes a rating, from today.
pub fn revocation(rating: &str, days: &Days) -> Json {
    json!({"name": rating, "new_state": "RECORD_STATE_REVOKED", "reason": "撤销", "decided_by": "主管部门",
           "document_number": "撤-1", "effective_on": days.today})
}

/// A key and an authority for Hebei that are the attacker's.
pub fn enrolment(strangers: &Sandbox) -> (Identity, [(&'static TableSpec, Vec<Value>); 2]) {
    let identity = Identity::load(&strangers.identity_dir(HEBEI)).unwrap();
    let now = Clock::default().now();
    let pem = std::fs::read_to_string(strangers.authority_path(HEBEI)).unwrap();
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = BASE64_STANDARD.decode(body).unwrap();
    let hebei: Participant = HEBEI.parse().unwrap();
    let key = KeyRow {
        kid: identity.signing.kid().into(),
        holder: Actor::system(hebei.clone()),
        jwk: identity.signing.public_jwk().to_json(),
        state: KeyState::Active,
        added_at_us: now,
        ended_at_us: None,
        suspect_from_us: None,
        reason: String::new(),
        version: 1,
    };
    let authority = AuthorityRow {
        participant: hebei,
        fingerprint: hex(&certificate_sha256(&der)),
        certificate_pem: pem,
        not_before_us: Timestamp(0),
        not_after_us: now.plus_us(31_536_000_000_000),
        state: KeyState::Active,
        ended_at_us: None,
        reason: String::new(),
        recorded_at_us: now,
        version: 1,
    };
    (identity, [(KeyRow::spec(), key.to_values()), (AuthorityRow::spec(), authority.to_values())])
}

/// Rows that no rule decided.
#[derive(Clone)]
pub struct Put {
    pub kind: &'static str,
    pub record: String,
    pub version: i64,
    pub rows: Vec<(&'static TableSpec, Vec<Value>)>,
}

impl Command for Put {
    fn decide(&self, _: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let mut decision = Decision::new(call);
        let leaf = decision.leaf(self.kind, &self.record, self.version);
        for (spec, values) in &self.rows {
            leaf.writes.push(Write { spec, values: values.clone().into(), person: None });
        }
        Ok(decision)
    }
}

/// The newest head of a database, as a file that somebody kept.
pub async fn head_of(url: &str) -> Checkpoint {
    let store = Store::open(url).await.unwrap();
    let head: CheckpointRow = store.read().await.unwrap().latest_checkpoint().await.unwrap().expect("a head");
    store.close().await;
    Checkpoint::parse(SignedNote::parse(&head.note).unwrap().text()).unwrap()
}
