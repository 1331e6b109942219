//! Bad input, as one table over the whole API: for every method who may not call it, and every
//! field of a right request damaged in turn, with the exact status, reason and field. The table is
//! `outcomes.txt`; `UPDATE_SNAPSHOT=1` writes it anew. Nothing that is refused changes a row.

mod bases;
mod damage;
#[path = "../../src/enrol.rs"]
mod enrol;
#[path = "../../src/demo/people.rs"]
mod people;
mod tokens;
mod world;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use bytes::Bytes;
use jjj_cli::session::CallError;
use jjj_server::authorise::{Role, is_allowed};
use jjj_wire::methods::{METHODS, Method};
use jjj_wire::pb;
use prost::Message;
use prost_reflect::DescriptorPool;
use tonic::Status;

use crate::world::World;

/// One request that ought to be refused.
struct Row {
    method: &'static Method,
    label: String,
    actor: &'static str,
    message: Bytes,
}

impl Row {
    fn key(&self) -> String {
        format!("{}/{} | {}", self.method.service, self.method.name, self.label)
    }

    /// Whether an accepted one leaves something behind.
    fn changes(&self) -> bool {
        const TOO: [&str; 5] =
            ["UploadChunk", "AcknowledgeEvents", "AcknowledgeInstructions", "FindElder", "ReadPersonalData"];
        self.method.mutating || TOO.contains(&self.method.name)
    }
}

const ROLES: [(Role, &str); 5] = [
    (Role::Region, "regions/110000"),
    (Role::RegionAdmin, "regions/110000/admins/chen"),
    (Role::Channel, "channels/unionpay"),
    (Role::ChannelAdmin, "channels/unionpay/admins/he"),
    (Role::GatewayAdmin, "gateway/admins/li"),
];

fn rows(world: &World) -> Vec<Row> {
    let pool = DescriptorPool::decode(jjj_wire::FILE_DESCRIPTOR_SET).unwrap();
    let bases: BTreeMap<&str, bases::Base> = bases::bases(world).into_iter().map(|b| (b.method.path, b)).collect();
    let mut rows = Vec::new();
    for method in METHODS {
        let mut row = |label: String, actor, message| rows.push(Row { method, label, actor, message });
        let mut allowed = None;
        for (role, actor) in ROLES {
            if is_allowed(role, method.path) {
                allowed = allowed.or(Some(actor));
            } else {
                row(format!("as {role:?}"), actor, Bytes::new());
            }
        }
        let Some(base) = bases.get(method.path) else {
            // Items are requests of the single method, parsed and decided by the same code.
            let batch = |items: Vec<Bytes>| Bytes::from(pb::BatchMutateRequest { items }.encode_to_vec());
            let actor = allowed.unwrap();
            row("no items".into(), actor, batch(vec![]));
            row("1,001 items".into(), actor, batch(vec![Bytes::from_static(b"\x0a\x00"); 1_001]));
            row("no batch".into(), actor, Bytes::from_static(&[0xff]));
            row("an empty item".into(), actor, batch(vec![Bytes::new()]));
            row("an item that is no message".into(), actor, batch(vec![Bytes::from_static(&[0xff])]));
            continue;
        };
        if !method.streaming {
            row("empty request".into(), base.actor, Bytes::new());
        }
        row("no message".into(), base.actor, Bytes::from_static(&[0xff]));
        let session = world.as_(base.actor);
        let descriptor = pool.get_message_by_name(&format!("jjj.gateway.v1.{}", method.request)).unwrap();
        if !method.streaming {
            row("as it is".into(), base.actor, session.encode(method, base.request.clone()).unwrap());
        }
        for (label, request) in damage::damages(&descriptor, &base.request, &session.client) {
            // An empty stream is no answer to a single call.
            if method.streaming && !label.ends_with("-1") {
                continue;
            }
            row(label, base.actor, session.encode(method, request).unwrap_or_else(|e| panic!("{}: {e}", method.path)));
        }
    }
    rows
}

/// `CODE REASON field` of what came, `ACCEPTED` when it was no refusal.
async fn outcome(world: &World, row: &Row) -> String {
    match world.as_(row.actor).client.call_bytes(row.method.path, row.message.clone()).await {
        Err(status) => said(status),
        Ok(answer) if row.method.batch => {
            use pb::batch_mutate_result::Outcome;
            let answer = pb::BatchMutateResponse::decode(answer).unwrap();
            match answer.results.into_iter().next().unwrap().outcome.unwrap() {
                Outcome::Response(_) => "ACCEPTED".into(),
                Outcome::Status(bytes) => {
                    let code = tonic_types::Status::decode(bytes.as_ref()).unwrap().code;
                    format!("item {}", said(Status::with_details(code.into(), "", bytes)))
                }
            }
        }
        Ok(_) => "ACCEPTED".into(),
    }
}

pub fn said(status: Status) -> String {
    let error = CallError::from(status);
    let said = format!("{} {} {}", error.code, error.reason, error.field.unwrap_or_default());
    said.trim_end().to_owned()
}

fn table_path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/bad_input/outcomes.txt")
}

/// The committed table: row to outcome.
fn table() -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(table_path()).unwrap_or_default();
    let row = |line: &str| line.rsplit_once(" | ").map(|(key, outcome)| (key.to_owned(), outcome.to_owned()));
    text.lines().filter_map(row).collect()
}

const ACCEPTED: &str = "ACCEPTED";

fn update() -> bool {
    std::env::var_os("UPDATE_SNAPSHOT").is_some()
}

/// What is refused is refused as the table says, and all of it together changes nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_bad_request_has_its_own_refusal() {
    let mut world = World::start(None).await;
    let kept = world.keep().await;
    let expected = table();
    let rows = rows(&world);
    let mut seen: Vec<(String, String)> = Vec::new();
    let mut later = Vec::new();
    let before = world.fingerprint().await;
    for (at, row) in rows.iter().enumerate() {
        let key = row.key();
        let outcome = if row.changes() && expected.get(&key).is_some_and(|o| o == ACCEPTED) {
            later.push(at);
            String::new()
        } else {
            outcome(&world, row).await
        };
        if outcome == ACCEPTED && row.changes() {
            assert!(update(), "{key} was accepted, the table says {:?}", expected.get(&key));
            world.restore(&kept).await;
        }
        seen.push((key, outcome));
    }
    if !update() {
        world.settle().await;
        let after = world.fingerprint().await;
        let changed: Vec<_> = after.iter().filter(|(table, print)| before[*table] != **print).collect();
        assert!(changed.is_empty(), "refused, and yet changed: {changed:?}");
    }
    // What the table says is accepted, each on the untouched day; and each replayed.
    for at in later {
        seen[at].1 = outcome(&world, &rows[at]).await;
        if seen[at].1 == ACCEPTED {
            world.restore(&kept).await;
        }
    }
    world.close().await;
    compare(&seen, &expected);
}

fn compare(seen: &[(String, String)], expected: &BTreeMap<String, String>) {
    if update() {
        let mut text = String::new();
        for (key, outcome) in seen {
            writeln!(text, "{key} | {outcome}").unwrap();
        }
        std::fs::write(table_path(), text).unwrap();
        return;
    }
    let mut faults = String::new();
    for (key, outcome) in seen {
        if expected.get(key) != Some(outcome) {
            writeln!(faults, "{key} | {outcome}   (the table: {:?})", expected.get(key)).unwrap();
        }
    }
    let keys: std::collections::BTreeSet<&String> = seen.iter().map(|(key, _)| key).collect();
    assert_eq!(keys.len(), seen.len(), "two rows have one name");
    for key in expected.keys().filter(|key| !keys.contains(key)) {
        writeln!(faults, "{key} is in the table, and no row").unwrap();
    }
    assert!(faults.is_empty(), "{faults}");
}

/// The other database refuses alike: one row in fifteen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_refuses_alike() {
    let database = jjj_tests::postgres::TestDatabase::postgres();
    let mut world = World::start(Some(database.url())).await;
    world.settle().await;
    let expected = table();
    let before = world.fingerprint().await;
    for row in rows(&world).iter().filter(|r| expected.get(&r.key()).is_some_and(|o| o != ACCEPTED)).step_by(15) {
        assert_eq!(Some(&outcome(&world, row).await), expected.get(&row.key()), "{}", row.key());
    }
    world.settle().await;
    assert_eq!(world.fingerprint().await, before);
    world.close().await;
}

/// Every mutation that the day accepts, sent again byte for byte: the first answer and no more; and
/// its id is good for nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_replayed_gets_its_first_answer() {
    let mut world = World::start(None).await;
    let kept = world.keep().await;
    let expected = table();
    let mut replayed = std::collections::BTreeSet::new();
    for row in rows(&world).iter().filter(|r| r.method.mutating && r.label == "as it is") {
        if expected.get(&row.key()).is_none_or(|o| o != ACCEPTED) {
            continue;
        }
        let client = &world.as_(row.actor).client;
        let first = client.call_bytes(row.method.path, row.message.clone()).await.unwrap();
        world.settle_quickly().await;
        let before = world.fingerprint().await;
        let again = client.call_bytes(row.method.path, row.message.clone()).await;
        assert_eq!(first, again.unwrap_or_else(|e| panic!("{}: {e}", row.key())), "{}", row.key());
        // A field that nobody knows makes it other content, and nothing else.
        let other = Bytes::from([&row.message[..], &[0xf8, 0x3f, 0x01]].concat());
        let reused = client.call_bytes(row.method.path, other).await;
        assert_eq!(reused.map_err(said), Err("ALREADY_EXISTS REQUEST_ID_REUSED request_id".into()), "{}", row.key());
        assert_eq!(world.fingerprint().await, before, "{}", row.key());
        replayed.insert(row.method.service);
        world.restore(&kept).await;
    }
    let services: std::collections::BTreeSet<_> = METHODS.iter().filter(|m| m.mutating).map(|m| m.service).collect();
    assert_eq!(replayed, services, "a service without a replay");
    world.close().await;
}
