//! Many calls at once: batches, duplicates, a rule that panics, two gateways on one database.

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::join_all;
use jjj_domain::decision::{Call, Command, Decision, Topic};
use jjj_domain::snapshot::{Snapshot, Stop};
use jjj_server::bootstrap::own_job;
use jjj_server::engine::Job;
use jjj_server::status::Refused;
use jjj_server::streams::{Subscription, deliver};
use jjj_tests::both_databases;
use jjj_tests::postgres::TestDatabase;
use prost::Message;

use crate::harness::World;
use crate::rating::{PUBLISH, request};

both_databases!(
    concurrent_calls_are_each_recorded_once,
    one_request_sent_many_times_at_once_is_one_mutation,
    a_rule_that_panics_costs_only_its_own_caller,
    commands_that_stand_alone_are_answered_among_others,
    two_gateways_share_a_database,
    what_one_gateway_suspended_no_other_records,
    events_resume_at_the_cursor_and_end_on_suspension,
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
    world.stop().await;
}

async fn commands_that_stand_alone_are_answered_among_others(database: TestDatabase) {
    let mut world = World::start(database).await;
    let engine = world.gateway().engine.clone();
    let job = |n: u8| {
        let job = own_job(&world.clock, &format!("note {n}"), Box::new(Notes(n)));
        Job { alone: n.is_multiple_of(3), ..job }
    };
    let outcomes = join_all((0..60).map(|n| engine.submit(job(n)))).await;
    for (n, outcome) in outcomes.iter().enumerate() {
        assert_eq!(outcome.as_ref().unwrap().leaf.record, format!("notes/{n}"));
    }
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
    tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
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
