//! Many calls at once: batches, duplicates, a rule that panics, two gateways on one database.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::join_all;
use jjj_domain::decision::{Call, Command, Decision, Topic, Write};
use jjj_domain::participant::RemoveAdministrator;
use jjj_domain::record::RecordRow;
use jjj_domain::row::Row;
use jjj_domain::snapshot::{Snapshot, Stop};
use jjj_server::bootstrap::own_job;
use jjj_server::engine::{Evidence, Job, Origin};
use jjj_server::status::Refused;
use jjj_server::streams::{Subscription, deliver};
use jjj_store::RequestClaim;
use jjj_tests::both_databases;
use jjj_tests::postgres::TestDatabase;
use jjj_token::merkle::leaf_hash;
use prost::Message;

use crate::harness::{Client, World};
use crate::rating::{PUBLISH, request};
use crate::scene;

both_databases!(
    concurrent_calls_are_each_recorded_once,
    one_request_sent_many_times_at_once_is_one_mutation,
    a_rule_that_panics_costs_only_its_own_caller,
    commands_that_stand_alone_are_answered_among_others,
    payments_do_not_wait_for_all_that_stands_alone,
    payments_do_not_wait_behind_acknowledgements,
    a_bug_in_the_write_path_costs_its_batch_and_not_the_writer,
    who_is_not_in_force_any_more_is_refused_inside_the_transaction,
    a_long_command_promises_no_less_time,
    two_gateways_share_a_database,
    what_one_gateway_suspended_no_other_records,
    events_resume_at_the_cursor_and_end_on_suspension,
    who_does_not_read_is_not_read_ahead_for,
    who_reads_slowly_hears_of_an_early_end,
);

const MANY: usize = 120;

async fn concurrent_calls_are_each_recorded_once(database: TestDatabase) {
    let mut world = World::start(database).await;
    let messages: Vec<Vec<u8>> = (0..MANY).map(|_| request(&world).encode_to_vec()).collect();
    let now = world.now_s();
    let answers = join_all(messages.iter().map(|m| world.hebei.call(PUBLISH, m, now))).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    let again = join_all(messages.iter().map(|m| world.hebei.call(PUBLISH, m, now))).await;
    for (first, again) in answers.iter().zip(&again) {
        assert_eq!(first.as_ref().unwrap(), again.as_ref().unwrap());
    }
    world.stop().await;
    let mut session = world.store().await.read().await.unwrap();
    let spec = <jjj_domain::record::RecordRow as jjj_domain::row::Row>::spec();
    assert_eq!(session.count(spec, &jjj_store::ListQuery::default()).await.unwrap(), MANY as i64);
}

async fn one_request_sent_many_times_at_once_is_one_mutation(database: TestDatabase) {
    let mut world = World::start(database).await;
    let message = request(&world).encode_to_vec();
    let before = world.leaves().await;
    let now = world.now_s();
    let answers = join_all((0..16).map(|_| world.hebei.call(PUBLISH, &message, now))).await;
    let first = answers[0].as_ref().unwrap();
    assert!(answers.iter().all(|a| a.as_ref().unwrap() == first));
    let after = world.leaves().await;
    // The rating, and what follows from agreements in the same transaction.
    assert!(after > before);
    world.hebei.call(PUBLISH, &message, now).await.unwrap();
    assert_eq!(world.leaves().await, after);
    world.stop().await;
}

/// A rule with a bug.
struct Panics;

impl Command for Panics {
    fn decide(&self, _: &Snapshot, _: &Call) -> Result<Decision, Stop> {
        panic!("a bug in a rule");
    }
}

/// A rule that accepts.
struct Notes(u8);

impl Command for Notes {
    fn decide(&self, _: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let mut decision = Decision::new(call);
        decision.leaf("test.noted", format!("notes/{}", self.0), 1);
        Ok(decision)
    }
}

async fn a_rule_that_panics_costs_only_its_own_caller(database: TestDatabase) {
    let mut world = World::start(database).await;
    let clock = world.clock.clone();
    let jobs = vec![
        own_job(&clock, "one", Box::new(Notes(1))),
        own_job(&clock, "bug", Box::new(Panics)),
        own_job(&clock, "two", Box::new(Notes(2))),
    ];
    let outcomes = world.gateway().engine.submit_all(jobs).await;
    assert!(outcomes[0].is_ok() && outcomes[2].is_ok());
    assert!(matches!(outcomes[1], Err(Refused::Internal)));
    let asked = world.gateway().engine.read(|_, _| -> Result<(), Stop> { panic!("a bug in a question") }).await;
    assert!(matches!(asked, Err(Refused::Internal)));
    world.stop().await;
}

async fn commands_that_stand_alone_are_answered_among_others(database: TestDatabase) {
    let mut world = World::start(database).await;
    let engine = world.gateway().engine.clone();
    // SQLite's clock counts milliseconds, of which a batch may need less than one.
    let job = |n: u8| {
        let job = own_job(&world.clock, &format!("note {n}"), Box::new(Slow(n, Duration::from_millis(2))));
        Job { alone: n.is_multiple_of(3), ..job }
    };
    let outcomes = join_all((0..60).map(|n| engine.submit(job(n)))).await;
    let mut times = Vec::new();
    for (n, outcome) in outcomes.iter().enumerate() {
        let leaf = &outcome.as_ref().unwrap().leaf;
        assert_eq!(leaf.record, format!("notes/{n}"));
        times.push(leaf.recorded_at);
    }
    // One time, one transaction.
    for n in (0..times.len()).filter(|n| n.is_multiple_of(3)) {
        assert_eq!(times.iter().filter(|at| **at == times[n]).count(), 1, "{n} stood alone");
    }
    world.stop().await;
}

/// A rule that takes its time, as a reconciliation run does.
struct Slow(u8, Duration);

impl Command for Slow {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        std::thread::sleep(self.1);
        Notes(self.0).decide(snapshot, call)
    }
}

/// Runs of several channels at once, and a payment meanwhile.
async fn payments_do_not_wait_for_all_that_stands_alone(database: TestDatabase) {
    const EACH: Duration = Duration::from_millis(700);
    let is_sqlite = !database.is_postgres();
    let mut world = World::start(database).await;
    let engine = world.gateway().engine.clone();
    let slow = (0..4).map(|n| {
        let job = own_job(&world.clock, &format!("slow {n}"), Box::new(Slow(n, EACH)));
        let engine = engine.clone();
        tokio::spawn(async move { engine.submit(Job { alone: true, ..job }).await })
    });
    let slow: Vec<_> = slow.collect();
    tokio::time::sleep(EACH / 4).await;
    let job = own_job(&world.clock, "payment", Box::new(Notes(9)));
    engine.submit(Job { actor: "regions/130000".parse().unwrap(), ..job }).await.unwrap();
    let ended = slow.iter().filter(|task| task.is_finished()).count();
    assert!(ended <= usize::from(is_sqlite), "the payment waited for {ended} of them");
    for (n, task) in slow.into_iter().enumerate() {
        assert_eq!(task.await.unwrap().unwrap().leaf.record, format!("notes/{n}"));
    }
    world.stop().await;
}

/// A participant's own take half of the room there is for them. PostgreSQL only: on SQLite they wait with the rest.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_many_that_stand_alone_wait() {
    const SHARE: usize = 32;
    let mut world = World::start(TestDatabase::postgres()).await;
    let engine = world.gateway().engine.clone();
    let alone = |n: u8| {
        let job = own_job(&world.clock, &format!("slow {n}"), Box::new(Slow(n, Duration::from_millis(50))));
        engine.submit(Job { alone: true, ..job })
    };
    let outcomes = join_all((0..40).map(alone)).await;
    for (n, outcome) in outcomes.iter().enumerate() {
        match outcome {
            Err(Refused::Busy) => assert!(n >= SHARE, "{n}"),
            outcome => assert!(outcome.is_ok() && n < SHARE, "{n}: {outcome:?}"),
        }
    }
    drop(engine);
    world.stop().await;
}

/// Those of a participant, and they wait for something: on PostgreSQL its cursor's row is locked, on SQLite the
/// one writer is busy when they come.
async fn payments_do_not_wait_behind_acknowledgements(database: TestDatabase) {
    const FLOOD: usize = 40;
    const ACKNOWLEDGE: &str = "/jjj.gateway.v1.EventService/AcknowledgeEvents";
    let is_sqlite = !database.is_postgres();
    let mut world = World::start(database).await;
    let gateway = world.gateway();
    let request = jjj_wire::pb::AcknowledgeEventsRequest { cursor: 1 }.encode_to_vec();
    world.hebei.call(ACKNOWLEDGE, &request, world.now_s()).await.unwrap();
    let mut held = gateway.store.begin_write().await.unwrap();
    let hebei = "regions/130000".parse().unwrap();
    held.acknowledge(&hebei, Topic::Event, 1, world.clock.now()).await.unwrap();
    let answered = AtomicUsize::new(0);
    let flood = join_all((0..FLOOD).map(async |_| {
        let acknowledged = world.hebei.call(ACKNOWLEDGE, &request, world.now_s()).await;
        answered.fetch_add(1, Ordering::Relaxed);
        acknowledged
    }));
    let payment = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let job = own_job(&world.clock, "payment", Box::new(Notes(1)));
        let recorded = gateway.engine.submit(job);
        if is_sqlite {
            let (recorded, ()) = tokio::join!(recorded, async { held.rollback().await.unwrap() });
            recorded.unwrap();
        } else {
            recorded.await.unwrap();
            assert_eq!(answered.load(Ordering::Relaxed), 0, "they wait for the row");
            held.rollback().await.unwrap();
        }
        assert!(answered.load(Ordering::Relaxed) < FLOOD / 2, "the payment waited for its like, not for them");
    };
    let (flood, ()) = tokio::join!(flood, payment);
    assert!(flood.iter().all(Result::is_ok), "{flood:?}");
    drop(gateway);
    world.stop().await;
}

/// Somebody else's transaction has claimed the same id and does not end. PostgreSQL only: SQLite has one writer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_is_kept_costs_only_who_needs_it() {
    const MANY: u8 = 100;
    let mut world = World::start(TestDatabase::postgres()).await;
    let gateway = world.gateway();
    let jobs: Vec<Job> = (0..MANY).map(|n| own_job(&world.clock, &format!("note {n}"), Box::new(Notes(n)))).collect();
    let blocked = usize::from(MANY) / 3;
    let claim = RequestClaim {
        participant: "gateway".parse().unwrap(),
        request_id: jobs[blocked].request_id,
        content_digest: "other".into(),
        leaf_id: "other".into(),
    };
    let mut keeps = gateway.store.begin_write().await.unwrap();
    keeps.claim_requests(&[claim]).await.unwrap();
    let began = Instant::now();
    let outcomes = gateway.engine.submit_all(jobs).await;
    assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
    for (n, outcome) in outcomes.iter().enumerate() {
        match outcome {
            Err(Refused::Unavailable) => assert_eq!(n, blocked),
            outcome => assert!(outcome.is_ok() && n != blocked, "{n}: {outcome:?}"),
        }
    }
    keeps.rollback().await.unwrap();
    drop(gateway);
    world.stop().await;
}

/// The other gateway's door may not know yet; its transaction does.
async fn what_one_gateway_suspended_no_other_records(database: TestDatabase) {
    let mut world = World::start(database).await;
    let (other, stop) = world.replica().await;
    let there = world.reconnect(&world.hebei, &world.hebei_ca, &other);
    there.call(PUBLISH, &request(&world).encode_to_vec(), world.now_s()).await.unwrap();
    world.suspend("regions/130000").await;
    let before = world.leaves().await;
    let refused = there.call(PUBLISH, &request(&world).encode_to_vec(), world.now_s()).await.unwrap_err();
    assert_eq!(crate::harness::reason(&refused), "PARTICIPANT_SUSPENDED");
    assert_eq!(world.leaves().await, before);
    drop(stop);
    other.join().await;
    world.stop().await;
}

/// A rule whose row does not fit its table: the engine itself panics over it, outside of any rule.
struct Misfit;

impl Command for Misfit {
    fn decide(&self, _: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let mut decision = Decision::new(call);
        let row = Write { spec: RecordRow::spec(), values: Vec::new().into(), person: None };
        decision.leaf("test.misfit", "notes/misfit", 1).writes.push(row);
        Ok(decision)
    }
}

async fn a_bug_in_the_write_path_costs_its_batch_and_not_the_writer(database: TestDatabase) {
    let mut world = World::start(database).await;
    let engine = world.gateway().engine.clone();
    let before = world.leaves().await;
    // More often than there are writers: each must survive.
    for _ in 0..12 {
        let outcome = engine.submit(own_job(&world.clock, "misfit", Box::new(Misfit))).await;
        assert!(matches!(outcome, Err(Refused::Internal)), "{outcome:?}");
    }
    assert_eq!(world.leaves().await, before);
    engine.submit(own_job(&world.clock, "note", Box::new(Notes(1)))).await.unwrap();
    world.stop().await;
}

/// What the door would have made of a call under a token of this time.
fn evidence(kid: &str, iat_s: i64) -> Evidence {
    let item = Bytes::from_static(b"item");
    Evidence {
        path: PUBLISH,
        operation: PUBLISH,
        item_hash: leaf_hash(&item),
        item,
        index: 0,
        count: 1,
        item_path: Vec::new(),
        kid: kid.into(),
        token: "token".into(),
        token_digest: "digest".into(),
        iat_s,
        exp_s: iat_s + 120,
    }
}

/// What it took to decide is not taken off the time in which the leaf is promised.
async fn a_long_command_promises_no_less_time(database: TestDatabase) {
    const TAKES: Duration = Duration::from_millis(600);
    const PROMISED_US: i64 = 10_000_000;
    let mut world = World::start(database).await;
    let job = own_job(&world.clock, "", Box::new(Slow(1, TAKES)));
    let origin = Origin::Signed(evidence(world.hebei.key.kid(), world.now_s()));
    let job = Job { actor: world.hebei.actor.parse().unwrap(), origin, alone: true, ..job };
    let accepted = world.gateway().engine.submit(job).await.unwrap();
    let promised_us = accepted.receipt.unwrap().log_deadline_us - accepted.leaf.recorded_at.0;
    assert!(promised_us >= PROMISED_US + TAKES.as_micros() as i64, "{promised_us}");
    world.stop().await;
}

/// The door has let them in before; the engine is asked as the door would ask it.
async fn who_is_not_in_force_any_more_is_refused_inside_the_transaction(database: TestDatabase) {
    let mut world = World::start(database).await;
    let asked = std::cell::Cell::new(0);
    let signed_at = |client: &Client, kid: &str, iat_s: i64| {
        asked.set(asked.get() + 1);
        let job = own_job(&world.clock, "", Box::new(Notes(asked.get())));
        Job { actor: client.actor.parse().unwrap(), origin: Origin::Signed(evidence(kid, iat_s)), ..job }
    };
    let signed = |client: &Client, kid: &str| signed_at(client, kid, world.now_s());
    let (wang, hebei) = (&world.hebei_admin, &world.hebei);
    let engine = world.gateway().engine.clone();
    let ask = async |client: &Client, kid: &str| {
        engine.submit(signed(client, kid)).await.map(drop).map_err(|refused| crate::harness::reason(&refused.into()))
    };
    let refused = |reason: &str| Err(reason.to_owned());
    assert_eq!(ask(wang, wang.key.kid()).await, Ok(()));
    assert_eq!(ask(hebei, "unknown").await, refused("KEY_NOT_IN_FORCE"));
    // It has waited too long, or this machine's clock is wrong: `jjj verify` would not believe the leaf.
    for (after_s, reason) in [(-400, "TOKEN_EXPIRED"), (400, "TOKEN_NOT_YET_VALID")] {
        let job = signed_at(hebei, hebei.key.kid(), world.now_s() + after_s);
        let outcome = engine.submit(job).await.map_err(|refused| crate::harness::reason(&refused.into()));
        assert_eq!(outcome.map(drop), refused(reason));
    }

    let administrator = "regions/130000/admins/wang".parse().unwrap();
    world.decide("gateway/admins/li", RemoveAdministrator { administrator, reason: "left".into() }).await;
    // Her keys end with her.
    assert_eq!(ask(wang, wang.key.kid()).await, refused("KEY_NOT_IN_FORCE"));
    assert_eq!(ask(wang, hebei.key.kid()).await, refused("ADMINISTRATOR_NOT_ACTIVE"));

    assert_eq!(ask(hebei, hebei.key.kid()).await, Ok(()));
    world.suspend("regions/130000").await;
    assert_eq!(ask(hebei, hebei.key.kid()).await, refused("PARTICIPANT_SUSPENDED"));
    world.stop().await;
}

async fn two_gateways_share_a_database(database: TestDatabase) {
    let mut world = World::start(database).await;
    let (other, stop) = world.replica().await;
    let there = world.reconnect(&world.hebei, &world.hebei_ca, &other);
    let now = world.now_s();
    let messages: Vec<Vec<u8>> = (0..MANY).map(|_| request(&world).encode_to_vec()).collect();
    // Every request goes to both at once; each must answer, and alike.
    let here = join_all(messages.iter().map(|m| world.hebei.call(PUBLISH, m, now)));
    let (here, there) = tokio::join!(here, join_all(messages.iter().map(|m| there.call(PUBLISH, m, now))));
    let bytes = |answers: Vec<Result<Bytes, tonic::Status>>| -> Vec<Bytes> {
        answers.into_iter().map(Result::unwrap).collect()
    };
    assert_eq!(bytes(here), bytes(there));

    // What one learns, the other knows within a second.
    world.suspend("regions/130000").await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let view = other.gateway.registry.view();
    let hebei = "regions/130000".parse().unwrap();
    assert_eq!(view.participant(&hebei), Some(jjj_domain::participant::Standing::Suspended));
    drop((stop, view));
    other.join().await;
    world.stop().await;

    let store = world.store().await;
    let mut session = store.read().await.unwrap();
    let spec = <jjj_store::log_tables::LeafRow as jjj_domain::row::Row>::spec();
    let leaves = session.count(spec, &jjj_store::ListQuery::default()).await.unwrap();
    assert_eq!(session.tree_size().await.unwrap(), leaves, "every leaf is numbered once");
}

async fn events_resume_at_the_cursor_and_end_on_suspension(database: TestDatabase) {
    let mut world = World::start(database).await;
    let gateway = world.gateway();
    let subscription = |cursor, follow| Subscription {
        participant: "regions/130000".parse().unwrap(),
        topic: Topic::Event,
        cursor,
        follow,
    };
    let mut stream = deliver(&gateway, subscription(0, true));
    let message = request(&world).encode_to_vec();
    world.hebei.call(PUBLISH, &message, world.now_s()).await.unwrap();
    let mut last = 0;
    loop {
        let (cursor, delivery) = stream.next().await.unwrap().unwrap();
        assert!(cursor > last);
        last = cursor;
        if delivery.leaf.kind == "rating.published" {
            break;
        }
    }
    let rest: Vec<_> = deliver(&gateway, subscription(last - 1, false)).collect().await;
    assert_eq!(rest[0].as_ref().unwrap().0, last, "resumed after the cursor, not behind it");
    world.suspend("regions/130000").await;
    let ended = loop {
        match stream.next().await.unwrap() {
            Ok(_) => {}
            Err(status) => break status,
        }
    };
    assert_eq!(crate::harness::reason(&ended), "PARTICIPANT_SUSPENDED");
    world.stop().await;
}

/// A slow client holds up its stream, not the gateway's memory; nothing is lost to it.
async fn who_does_not_read_is_not_read_ahead_for(database: TestDatabase) {
    const TOLD: usize = 700;
    let mut world = World::start(database).await;
    let orders = (0..TOLD).map(|n| (format!("ORDER{n:05}"), 100)).collect();
    scene::decide(&world, "gateway", scene::Payments { date: scene::past_date(&world), orders }).await;
    let gateway = world.gateway();
    let subscription = Subscription { participant: scene::unionpay(), topic: Topic::Event, cursor: 0, follow: true };
    let mut stream = deliver(&gateway, subscription);
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(stream.as_ref().len(), 64, "read ahead, and no further");
    let mut last = 0;
    // Its enrolment comes first.
    for _ in 0..=TOLD {
        let (cursor, _) = stream.next().await.unwrap().unwrap();
        assert!(cursor > last);
        last = cursor;
    }
    drop(stream);
    drop(gateway);
    world.stop().await;
}

/// The stream was to end by itself; its buffer is full when it ends before that.
async fn who_reads_slowly_hears_of_an_early_end(database: TestDatabase) {
    const TOLD: usize = 200;
    let mut world = World::start(database).await;
    let orders = (0..TOLD).map(|n| (format!("ORDER{n:05}"), 100)).collect();
    scene::decide(&world, "gateway", scene::Payments { date: scene::past_date(&world), orders }).await;
    let gateway = world.gateway();
    let log = async || gateway.store.read().await.unwrap().tree_size().await.unwrap();
    while log().await < world.leaves().await {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let subscription = Subscription { participant: scene::unionpay(), topic: Topic::Event, cursor: 0, follow: false };
    let mut stream = deliver(&gateway, subscription);
    while stream.as_ref().len() < 64 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    world.suspend("channels/unionpay").await;
    // The last word beside what was read ahead.
    while stream.as_ref().len() < 65 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let told: Vec<_> = stream.by_ref().collect().await;
    let (last, before) = told.split_last().unwrap();
    assert!(before.iter().all(Result::is_ok) && before.len() < TOLD);
    assert_eq!(crate::harness::reason(last.as_ref().unwrap_err()), "PARTICIPANT_SUSPENDED");
    drop((stream, gateway));
    world.stop().await;
}
