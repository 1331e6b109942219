//! A small gateway in this process: the real engine, sequencer and sealer on a database, requests
//! signed by two regions, and at least one row in every table that leaves write.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::any::Any;
use std::sync::Arc;

use jjj_domain::decision::{Call, Command, Decision, Write};
use jjj_domain::key;
use jjj_domain::ledger::{Account, Book, EntryKind, Transfer};
use jjj_domain::names::{Actor, Name, Participant, ParticipantKind, RequestId};
use jjj_domain::participant::{
    AddAdministrator, FoundGateway, KeyRow, KeyState, NewAuthority, NewKey, ParticipantRow, Standing,
};
use jjj_domain::person::{
    AddIdentifier, AmendParty, ErasePerson, IdentifierKind, NewIdentifier, NewPerson, RegisterElder, RegisterParty,
};
use jjj_domain::row::{Row, TableKind, TableSpec};
use jjj_domain::snapshot::{Snapshot, Stop};
use jjj_domain::time::Timestamp;
use jjj_domain::value::{ColumnType, Json, Value};
use jjj_server::Clock;
use jjj_server::bootstrap::{found, fresh_id, own_job};
use jjj_server::config::Limits;
use jjj_server::engine::{Engine, Evidence, Job, Origin, SealedFor, Tools, Workers};
use jjj_server::keys::{GatewayKeys, Signer};
use jjj_server::seal::Sealer;
use jjj_server::verify::{VerifyOptions, VerifyReport, verify};
use jjj_store::dialect::Dialect;
use jjj_store::log_tables::{CosignatureRow, FileChunkRow, UploadRow};
use jjj_store::{ListQuery, Store};
use jjj_tests::postgres::TestDatabase;
use jjj_token::merkle::{items_root, leaf_hash};
use jjj_token::request::{Confirmation, RequestClaims, sign_request};
use jjj_token::seal::{DataKey, MasterKey};
use jjj_token::{Algorithm, SigningKey};
use prost::Message;
use tokio::sync::Notify;

pub const ORIGIN: &str = "gateway.test";
const SINGLE: &str = "/jjj.gateway.v1.AssessmentService/PublishAssessment";
const BATCH: &str = "/jjj.gateway.v1.AssessmentService/BatchPublishAssessments";

pub fn beijing() -> Participant {
    "regions/110000".parse().unwrap()
}

pub fn unionpay() -> Participant {
    "channels/unionpay".parse().unwrap()
}

pub struct Fixture {
    pub store: Store,
    pub keys: GatewayKeys,
    pub clock: Clock,
    pub region_key: SigningKey,
    engine: Option<Engine>,
    workers: Option<Workers>,
    committed: Arc<Notify>,
    /// The elder who was erased, and the one who was not.
    pub erased: String,
    pub elder: String,
}

/// Writes given rows, books given transfers, tells both streams: a rule without a rule.
#[derive(Clone, Default)]
pub struct Put {
    pub record: String,
    pub version: i64,
    pub rows: Vec<(&'static TableSpec, Vec<Value>)>,
    pub transfers: Vec<Transfer>,
    /// Further leaves of the gateway's, caused by the first.
    pub cascades: usize,
}

impl Command for Put {
    fn decide(&self, _: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let mut decision = Decision::new(call);
        let leaf = decision.leaf("test.put", &self.record, self.version);
        for (spec, values) in &self.rows {
            leaf.writes.push(Write { spec, values: values.clone().into(), person: None });
        }
        for transfer in &self.transfers {
            leaf.book(transfer.clone());
        }
        leaf.tell(&beijing()).instruct(&unionpay());
        for n in 0..self.cascades {
            decision.leaf("test.follows", format!("{}/{n}", self.record), 1).tell(&beijing());
        }
        Ok(decision)
    }
}

#[derive(Clone, PartialEq, Message)]
struct Head {
    #[prost(string, tag = "1")]
    request_id: String,
    #[prost(string, tag = "2")]
    filler: String,
}

pub fn signing_key() -> SigningKey {
    SigningKey::from_pkcs8_pem(&SigningKey::generate_pkcs8_pem(Algorithm::EdDsa).unwrap()).unwrap()
}

fn new_key(key: &SigningKey) -> NewKey {
    NewKey { kid: key.kid().into(), jwk: key.public_jwk().to_json(), fingerprint: key.kid().into() }
}

pub fn sha256_hex(bytes: &[u8]) -> String {
    jjj_token::thumbprint::certificate_sha256(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

impl Fixture {
    /// A founded gateway with one region, nothing else.
    pub async fn founded(db: &TestDatabase) -> Self {
        let store = Store::open(db.url()).await.unwrap();
        let keys = GatewayKeys {
            signing: Arc::new(signing_key()),
            next: None,
            sm2: None,
            sm2_next: None,
            sm2_statements: false,
            master: Arc::new(MasterKey::new(&[7; 32])),
        };
        let clock = Clock::default();
        let admin = |name: &str, key: &SigningKey| AddAdministrator {
            name: name.parse().unwrap(),
            display_name: "某人".into(),
            first_key: new_key(key),
        };
        let (li, lis_key) = ("gateway/admins/li", signing_key());
        let founding = FoundGateway {
            display_name: "网关".into(),
            authority: NewAuthority {
                fingerprint: "ab".repeat(32),
                certificate_pem: "PEM".into(),
                not_before_us: Timestamp(0),
                not_after_us: Timestamp(i64::MAX / 2),
            },
            first_key: new_key(&keys.signing),
            administrators: vec![admin(li, &lis_key), admin("gateway/admins/chen", &signing_key())],
        };
        found(&store, &clock, &keys, ORIGIN, founding).await.unwrap();
        let mut fixture = Self {
            store,
            keys,
            clock,
            region_key: signing_key(),
            engine: None,
            workers: None,
            committed: Arc::new(Notify::new()),
            erased: String::new(),
            elder: String::new(),
        };
        fixture.start();
        let key = fixture.key_row();
        let participant = ParticipantRow {
            participant: beijing(),
            kind: ParticipantKind::Region,
            display_name: "北京".into(),
            standing: Standing::Active,
            standing_reason: String::new(),
            confirmed_by: Json(Vec::new()),
            recorded_at_us: fixture.clock.now(),
            version: 1,
        };
        let enrolment = Put {
            record: beijing().to_string(),
            version: 1,
            rows: vec![(ParticipantRow::spec(), participant.to_values()), (KeyRow::spec(), key.to_values())],
            ..Put::default()
        };
        let commands = vec![(fixture.id(), Box::new(enrolment) as Box<dyn Command>, None)];
        fixture.submit(fixture.signed_by(&li.parse().unwrap(), &lis_key, commands)).await;
        fixture
    }

    fn key_row(&self) -> KeyRow {
        KeyRow {
            kid: self.region_key.kid().into(),
            holder: Actor::system(beijing()),
            jwk: self.region_key.public_jwk().to_json(),
            state: KeyState::Active,
            added_at_us: self.clock.now(),
            ended_at_us: None,
            suspect_from_us: None,
            reason: String::new(),
            version: 1,
        }
    }

    fn start(&mut self) {
        let (engine, workers) = Engine::start(Tools {
            store: self.store.clone(),
            clock: self.clock.clone(),
            keys: self.keys.clone(),
            origin: ORIGIN.into(),
            limits: Limits::default(),
            registry: None,
            committed: self.committed.clone(),
        });
        (self.engine, self.workers) = (Some(engine), Some(workers));
    }

    /// How many of its leaves wait for their number: the last one, where batches do not number their own.
    pub fn waiting(&self) -> u64 {
        match self.store.dialect() {
            Dialect::Sqlite => 0,
            Dialect::Postgres => 1,
        }
    }

    fn sealer(&self) -> Sealer {
        let (clock, signer) = (self.clock.clone(), Signer::new(self.keys.clone(), None));
        Sealer::new(self.store.clone(), clock, signer, ORIGIN.into(), self.committed.clone())
    }

    pub async fn number(&self) {
        self.sealer().number(None).await.unwrap();
    }

    pub async fn seal(&self) {
        self.number().await;
        self.sealer().seal().await.unwrap();
    }

    async fn submit(&self, jobs: Vec<Job>) {
        for (nth, outcome) in self.engine.as_ref().unwrap().submit_all(jobs).await.into_iter().enumerate() {
            assert!(outcome.is_ok(), "the fixture's request {nth}: {:?}", outcome.err());
        }
    }

    /// The gateway's own doing.
    pub async fn put_own(&self, put: Put) {
        self.submit(vec![own_job(&self.clock, "test", Box::new(put))]).await;
    }

    pub async fn put_all_own(&self, puts: Vec<Put>) {
        self.submit(puts.into_iter().map(|put| own_job(&self.clock, "test", Box::new(put))).collect()).await;
    }

    /// Jobs of the region under one token: a batch call when they are several.
    pub fn signed(&self, commands: Vec<(RequestId, Box<dyn Command>, Option<SealedFor>)>) -> Vec<Job> {
        self.signed_by(&Actor::system(beijing()), &self.region_key, commands)
    }

    fn signed_by(
        &self,
        actor: &Actor,
        key: &SigningKey,
        commands: Vec<(RequestId, Box<dyn Command>, Option<SealedFor>)>,
    ) -> Vec<Job> {
        let count = commands.len();
        let (path, operation) = if count == 1 { (SINGLE, SINGLE) } else { (BATCH, SINGLE) };
        let head = |id: &RequestId| Head { request_id: id.to_string(), filler: "x".repeat(20) }.encode_to_vec();
        let items: Vec<Vec<u8>> = commands.iter().map(|(id, _, _)| head(id)).collect();
        let (root, paths) = items_root(&items.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let iat = self.clock.now_s();
        let claims = RequestClaims {
            iss: actor.to_string(),
            aud: ORIGIN.into(),
            iat,
            exp: iat + 120,
            jti: fresh_id(&self.clock).order_id(),
            path: path.into(),
            cnf: Confirmation { certificate_sha256: [1; 32] },
            root: Some(root),
        };
        let token: Arc<str> = sign_request(key, &claims).unwrap().into();
        let token_digest = sha256_hex(token.as_bytes());
        let items = items.into_iter().zip(paths).enumerate();
        items
            .zip(commands)
            .map(|((index, (item, item_path)), (request_id, command, sealed_for))| Job {
                actor: actor.clone(),
                request_id,
                origin: Origin::Signed(Evidence {
                    path,
                    operation,
                    item_hash: leaf_hash(&item),
                    item: item.into(),
                    index: index as u32,
                    count: count as u32,
                    item_path,
                    kid: key.kid().into(),
                    token: token.clone(),
                    token_digest: token_digest.clone(),
                    iat_s: claims.iat,
                    exp_s: claims.exp,
                }),
                command,
                sealed_for,
                alone: false,
                completes_upload: None,
            })
            .collect()
    }

    pub fn id(&self) -> RequestId {
        fresh_id(&self.clock)
    }

    /// Signed requests in one batch call.
    pub async fn put(&self, puts: Vec<Put>) {
        let commands = puts.into_iter().map(|put| (self.id(), Box::new(put) as Box<dyn Command>, None)).collect();
        self.submit(self.signed(commands)).await;
    }

    async fn command(&self, id: RequestId, command: impl Command + 'static, sealed_for: Option<SealedFor>) {
        self.submit(self.signed(vec![(id, Box::new(command), sealed_for)])).await;
    }

    /// Two elders, of whom one is erased; a party whose identifiers were replaced.
    pub async fn persons(&mut self) {
        for n in 0..2u8 {
            let id = self.id();
            let name = Name::created(jjj_domain::names::Collection::Elder, id).to_string();
            let command =
                RegisterElder { household_division: "110108".parse().unwrap(), person: self.new_person(n, &name) };
            let sealed = SealedFor::New { person: name.clone(), key: DataKey::new(&[n + 1; 32]) };
            self.command(id, command, Some(sealed)).await;
            if n == 0 { self.erased = name } else { self.elder = name }
        }
        let elder: Name = self.elder.parse().unwrap();
        let known = Some(SealedFor::Known { person: self.elder.clone() });
        self.command(self.id(), AddIdentifier { elder, identifier: identifier(9) }, known).await;
        self.command(self.id(), ErasePerson { person: self.erased.parse().unwrap(), reason: "依法".into() }, None)
            .await;

        let id = self.id();
        let name = Name::created(jjj_domain::names::Collection::Party, id);
        let command = RegisterParty { person: self.new_person(20, name.as_str()) };
        let sealed = SealedFor::New { person: name.to_string(), key: DataKey::new(&[20; 32]) };
        self.command(id, command, Some(sealed)).await;
        // Replaced and then taken back: written, erased, written again.
        for n in [21, 20] {
            let identifiers = vec![identifier(n)];
            let command = AmendParty { party: name.clone(), identifiers, ciphertext: format!("data {n}") };
            self.command(self.id(), command, Some(SealedFor::Known { person: name.to_string() })).await;
        }
    }

    fn new_person(&self, n: u8, name: &str) -> NewPerson {
        let aad = jjj_server::engine::effects::person_key_aad(name);
        let key = DataKey::new(&[n + 1; 32]);
        let wrapped = jjj_token::seal::wrap_key(&self.keys.master, &key, &aad, [n; 12]).unwrap();
        NewPerson {
            identifiers: vec![identifier(n)],
            ciphertext: format!("data {n}"),
            wrapped_key: base64(&wrapped),
            salt: format!("{n:02x}").repeat(32),
        }
    }

    /// Rows in every table, both kinds of requests, a file, transfers, waiting leaves.
    pub async fn populated(db: &TestDatabase) -> Self {
        let mut fixture = Self::founded(db).await;
        fixture.persons().await;
        fixture.file().await;
        let book = Book::new(beijing(), "care_subsidy").unwrap();
        let month = "2026-11".parse().unwrap();
        let transfers = vec![
            Transfer::posted(
                EntryKind::BudgetAllotted,
                Account::bank(&book),
                Account::appropriation(&book, "110108", 2026),
                70_000,
                month,
            ),
            Transfer::held(
                EntryKind::MonthGranted,
                Account::expense(&book, "110108", 2026),
                Account::granted(&book, "0198"),
                60_000,
                month,
            ),
        ];
        let money = Put { record: "tests/money".into(), version: 1, transfers, cascades: 1, ..Put::default() };
        fixture.put(vec![money]).await;
        fixture.seal().await;
        fixture.every_table().await;
        // Until the tree has a stored node.
        let filler = |n| Put { record: format!("tests/filler/{n}"), version: 1, ..Put::default() };
        fixture.put_all_own((0..256).map(filler).collect()).await;
        fixture.seal().await;
        fixture.put(vec![Put { record: "tests/waiting".into(), version: 1, ..Put::default() }]).await;
        fixture
    }

    /// A whole file of two chunks, and one under way.
    async fn file(&self) {
        for (name, size) in [("files/whole", 4), ("files/zz-under-way", 9)] {
            let upload = UploadRow {
                upload: name.into(),
                participant: unionpay(),
                declared_bytes: size,
                declared_digest: "ab".repeat(32),
                wrapped_key: String::new(),
                received_bytes: 0,
                next_chunk: 0,
                begun_at_us: self.clock.now(),
            };
            let mut tx = self.store.begin_write().await.unwrap();
            tx.begin_upload(&upload).await.unwrap();
            tx.commit().await.unwrap();
            for chunk_index in 0..2 {
                let chunk = FileChunkRow { file: name.into(), chunk_index, ciphertext: vec![1, 2] };
                assert!(self.store.append_chunk(&chunk, 2).await.unwrap().is_some());
            }
        }
        let mut values = synthetic(spec("files"), 1);
        let mut set = |column: &str, text: &str| values[spec("files").column(column).unwrap()] = text_value(text);
        set("file", "files/whole");
        set("stored_sha256", &sha256_hex(&[1, 2, 1, 2]));
        let rows = vec![(spec("files"), values)];
        self.put(vec![Put { record: "files/whole".into(), version: 1, rows, ..Put::default() }]).await;
        let mut tx = self.store.begin_write().await.unwrap();
        tx.finish_upload("files/whole").await.unwrap();
        tx.acknowledge(&beijing(), jjj_domain::decision::Topic::Event, 0, self.clock.now()).await.unwrap();
        let cosignature = CosignatureRow {
            tree_size: 1,
            witness: "witness.example".into(),
            line: "\u{2014} witness.example AAAA".into(),
            cosigned_at_us: self.clock.now(),
        };
        tx.keep_cosignature(&cosignature).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// Two versions of a row in each table that has none yet.
    async fn every_table(&self) {
        let mut empty = Vec::new();
        for spec in jjj_domain::tables::all() {
            let is_written = matches!(spec.kind, TableKind::Head | TableKind::AppendOnly);
            let count = self.store.read().await.unwrap().count(spec, &ListQuery::default()).await.unwrap();
            if is_written && count == 0 {
                empty.push(spec);
            }
        }
        let put = |spec: &'static TableSpec, version| {
            let rows = vec![(spec, synthetic(spec, version))];
            Put { record: format!("tests/{}", spec.name), version, rows, ..Put::default() }
        };
        self.put(empty.iter().map(|spec| put(spec, 1)).collect()).await;
        let rewritten = empty.iter().filter(|spec| spec.kind == TableKind::Head);
        self.put(rewritten.map(|spec| put(spec, 2)).collect()).await;
    }

    pub async fn stop(&mut self) {
        self.engine = None;
        if let Some(workers) = self.workers.take() {
            workers.finish().await;
        }
    }

    /// Verified as of a moment at which nothing is due yet.
    pub async fn verify(&self) -> VerifyReport {
        self.verify_at(Timestamp(0)).await
    }

    pub async fn verify_at(&self, at: Timestamp) -> VerifyReport {
        let options = VerifyOptions { at: Some(at), ..VerifyOptions::default() };
        verify(&self.store, &options).await.unwrap()
    }
}

fn identifier(n: u8) -> NewIdentifier {
    NewIdentifier {
        kind: IdentifierKind::ResidentId,
        lookup_hash: format!("{n:02x}").repeat(32),
        ciphertext: format!("identifier {n}"),
    }
}

pub fn spec(table: &str) -> &'static TableSpec {
    jjj_store::schema::tables().into_iter().find(|s| s.name == table).unwrap()
}

fn text_value(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// A row that its table reads, of whatever its columns take.
pub fn synthetic(spec: &'static TableSpec, version: i64) -> Vec<Value> {
    const TEXTS: &[&str] = &[
        "text",
        "regions/110000",
        "regions/110000/admins/wang",
        "2026-11-20",
        "2026-11",
        "110000/care_subsidy",
        "[]",
        "{}",
        "01939d0c-5a00-7000-8000-000000000001",
        "elders/01939d0c-5a00-7000-8000-000000000001",
        "110000/care_subsidy:bank::",
        "{\"rows\":0,\"matched\":0,\"broken\":0,\"rejected\":0,\"debit_fen\":0,\"credit_fen\":0}",
        "{\"fallbacks\":[],\"fee\":null,\"in_grace\":true,\"tolerances\":[]}",
    ];
    let mut tries = vec![0usize; spec.columns.len()];
    loop {
        let value = |(column, tried): (&jjj_domain::row::ColumnSpec, &usize)| match column.ty {
            ColumnType::Int if spec.key.contains(&column.name) => Value::Int(1),
            ColumnType::Int if column.name.ends_with("_fen") => Value::Int(0),
            ColumnType::Int if *tried > 0 => Value::Int(1),
            ColumnType::Int => Value::Int(version),
            ColumnType::Bytes => Value::Bytes(vec![1]),
            ColumnType::Text => match column.choices.last() {
                Some(last) => text_value(last),
                None => text_value(TEXTS[*tried]),
            },
        };
        let values: Vec<Value> = spec.columns.iter().zip(&tries).map(value).collect();
        let parsed: Result<Arc<dyn Any + Send + Sync>, _> = (spec.parse)(values.clone());
        match parsed {
            Ok(_) => return values,
            Err(fault) => {
                let at = spec.column(fault.column).unwrap();
                tries[at] += 1;
                assert!(tries[at] < TEXTS.len(), "{} {}: {}", spec.name, fault.column, fault.problem);
            }
        }
    }
}

/// Standard base64; the fixture has no crate for it.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |chunk: &[u8]| {
        let n = chunk.iter().chain([&0, &0]).take(3).fold(0usize, |n, b| n << 8 | usize::from(*b));
        let digit = |i: usize| if i <= chunk.len() { char::from(DIGITS[n >> (18 - 6 * i) & 63]) } else { '=' };
        (0..4).map(digit).collect::<String>()
    };
    bytes.chunks(3).map(group).collect()
}

/// The first row of a table, as stored.
pub async fn first_row(store: &Store, spec: &'static TableSpec) -> Option<Vec<Value>> {
    store.read().await.unwrap().scan(spec, None, 1).await.unwrap().pop()
}

/// A key value list, for tests that look rows up.
pub fn text_key(text: &str) -> Vec<Value> {
    key![text.to_owned()]
}
