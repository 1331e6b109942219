//! PostgreSQL goes away under load, or in the middle of a commit, and comes back; the gateway says
//! so meanwhile, recovers by itself, and nothing it promised is lost or done twice.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jjj_cli::session::{CallError, Session};
use jjj_store::{RequestClaim, Store, StoreError};
use jjj_tests::campaign::{seed, sized};
use jjj_tests::crowd::{Crowd, check};
use jjj_tests::gateway::{Gateway, Site};
use jjj_tests::postgres::{PrivateCluster, TestDatabase};
use jjj_tests::proxy::{Fault, Proxy};
use jjj_tests::world::{self, Systems, World, done};
use serde_json::{Value, json};

const AUTHORISE: &str = "PaymentService/AuthorizePayment";

async fn any_read(gateway: &Gateway) -> Result<Value, CallError> {
    let session = gateway.session(world::BEIJING);
    session.call("PolicyService/ListPolicies", json!({"page_size": 1})).await
}

async fn recovered(gateway: &Gateway) {
    let began = Instant::now();
    while let Err(error) = any_read(gateway).await {
        assert!(began.elapsed() < Duration::from_secs(60), "the gateway does not recover: {error}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_stops_and_starts_under_load() {
    let seed = seed();
    let mut draw = fastrand::Rng::with_seed(seed);
    let mut cluster = PrivateCluster::start();
    let site = Site::init(&cluster.create("outage"));
    let gateway = site.serve();
    let world = Arc::new(World::build(&Systems::of(&gateway), 4, 50).await);
    let mut crowd = Crowd::new(0, 6, &world, seed);
    let mut in_doubt = 0;
    for round in 0..sized(3, 30) {
        let at_work = crowd.start(&gateway, &world);
        at_work.heard(draw.usize(10..60)).await;
        match round % 3 {
            0 => cluster.stop_at_once(),
            1 => cluster.stop(),
            _ => cluster.kill(),
        }
        crowd = at_work.stop().await;
        in_doubt += crowd.in_doubt();
        let refused = any_read(&gateway).await.expect_err("there is no database");
        assert_eq!((refused.code.as_str(), refused.reason.as_str()), ("UNAVAILABLE", "GATEWAY_UNAVAILABLE"));
        cluster.restart();
        recovered(&gateway).await;
    }
    assert!(in_doubt > 0, "no call was under way when the database went");
    check(&site, gateway, &world, vec![crowd]).await;
}

/// A payment of its own for a fault around its commit: one answer, one payment.
async fn committed_through(unionpay: &Session, proxy: &Proxy, bill: &str, order: &'static str, fault: Fault) {
    proxy.arm(order, fault);
    let mut ask = world::authorise(bill, 100, order, unionpay.client.now_us());
    ask["request_id"] = json!(unionpay.client.request_id());
    let answer = done(unionpay, AUTHORISE, ask.clone()).await;
    assert!(!proxy.is_armed(), "{fault:?} has happened");
    assert_eq!(answer, done(unionpay, AUTHORISE, ask).await, "{fault:?}: the first answer");
    let filter = format!(r#"order_id = "{order}""#);
    let payments = unionpay.list("PaymentService/ListPayments", &filter, "payments").await.expect("payments");
    assert_eq!(payments.len(), 1, "{fault:?}");
    assert_eq!(payments[0]["name"], answer["payment"]["name"], "{fault:?}");
}

/// The commit or its answer is lost, or nothing is heard of it for longer than the gateway waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_in_doubt_is_looked_up() {
    let cluster = PrivateCluster::start();
    let (proxy, url) = Proxy::before(&cluster.create("doubt")).await;
    let site = Site::init(&url);
    let gateway = site.serve();
    let world = World::build(&Systems::of(&gateway), 1, 3).await;
    let unionpay = gateway.session(world::UNIONPAY);
    let looked_up = |times: usize| {
        let seen = site.log().matches("a commit was not answered; looking it up").count();
        assert_eq!(seen, times, "commits in doubt");
    };
    committed_through(&unionpay, &proxy, &world.bills[0], "ANSWERLOST", Fault::AnswerLost).await;
    looked_up(1);
    // Not recorded: decided anew, in another transaction.
    committed_through(&unionpay, &proxy, &world.bills[1], "COMMITLOST", Fault::CommitLost).await;
    looked_up(2);
    let began = Instant::now();
    committed_through(&unionpay, &proxy, &world.bills[2], "SILENCE001", Fault::Silence).await;
    looked_up(3);
    assert!(began.elapsed() >= Duration::from_secs(30), "the commit was waited for");
    assert!(gateway.stop().success());
    site.verify();
}

/// A database that says nothing must not hold up the registry for ever: its reading ends, its last
/// view stays, and later changes are seen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_that_cannot_be_read_keeps_its_last_view() {
    let cluster = PrivateCluster::start();
    let (proxy, url) = Proxy::before(&cluster.create("registry")).await;
    let site = Site::init(&url);
    let gateway = site.serve();
    any_read(&gateway).await.expect("a database");
    proxy.freeze(true);
    let began = Instant::now();
    while !site.log().contains("the registry could not be read; the last view stays for a while") {
        assert!(began.elapsed() < Duration::from_secs(30), "the reading does not end");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(began.elapsed() > Duration::from_secs(4), "it was waited for");
    proxy.freeze(false);
    recovered(&gateway).await;
    let suspend = json!({"participant": world::TIANJIN, "reason": "停用"});
    done(&gateway.session("gateway/admins/li"), "ParticipantService/SuspendParticipant", suspend).await;
    let refused = gateway.session(world::TIANJIN).call("PolicyService/ListPolicies", json!({})).await;
    assert_eq!(refused.expect_err("suspended").reason, "PARTICIPANT_SUSPENDED");
    assert!(gateway.stop().success());
    site.verify();
}

/// A link that falls silent takes neither whoever waits on it nor the pool's places with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_have_fallen_silent_are_given_up() {
    const SOON: Duration = Duration::from_secs(15);
    let cluster = PrivateCluster::start();
    let (proxy, url) = Proxy::before(&cluster.create("silent")).await;
    let store = Store::open(&url).await.expect("a database");
    store.migrate().await.expect("a schema");
    let mut readers = Vec::new();
    while let Ok(Ok(session)) = tokio::time::timeout(Duration::from_secs(1), store.read()).await {
        readers.push(session);
    }
    let mut tx = store.begin_write().await.expect("a transaction");
    tx.now().await.expect("an answer");
    proxy.silence();
    let rolled_back = tokio::time::timeout(SOON, tx.rollback()).await.expect("an end");
    assert!(rolled_back.is_err());
    for mut session in readers.drain(..) {
        // As whoever waits no longer than this would.
        let read = tokio::time::timeout(Duration::from_millis(50), session.tree_size()).await;
        assert!(read.is_err(), "nothing is heard");
    }
    let read = async { store.read().await?.tree_size().await };
    assert_eq!(tokio::time::timeout(SOON, read).await.expect("an end").expect("a connection"), 0);
    // Another that lay idle is asked first, and given up as well: nobody has to ask twice.
    let begun = tokio::time::timeout(SOON, store.begin_write()).await.expect("an end");
    begun.expect("another connection").rollback().await.expect("an answer");
}

/// What a server says that has become a standby, and one whose administrator ends long statements: the moment's
/// fault, not ours, and no connection to it is kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_takes_no_writes_is_left() {
    const ID: &str = "019a8f2e-6d4b-7c31-9c1f-3f5c8a2b7d10";
    let database = TestDatabase::postgres();
    let store = Store::open(database.url()).await.expect("a database");
    store.migrate().await.expect("a schema");
    let claim = async |store: &Store| {
        let mut tx = store.begin_write().await?;
        let (participant, request_id) = ("regions/110000".parse().unwrap(), ID.parse().unwrap());
        let claim = RequestClaim { participant, request_id, content_digest: "a".into(), leaf_id: "a".into() };
        tx.claim_requests(&[claim]).await.map(|_| tx)
    };
    database.alter("SET default_transaction_read_only = on");
    let other = Store::open(database.url()).await.expect("a database");
    let refused = claim(&other).await.map(drop).expect_err("no writes");
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused:?}");
    database.alter("RESET default_transaction_read_only");
    // A second connection may lie idle.
    let tx = match claim(&other).await {
        Err(_) => claim(&other).await.expect("a connection as the server is now"),
        Ok(tx) => tx,
    };
    tx.rollback().await.expect("the end");
    other.close().await;

    database.alter("SET statement_timeout = '300ms'");
    let other = Store::open(database.url()).await.expect("a database");
    let held = claim(&store).await.expect("the first");
    let cancelled = claim(&other).await.map(drop).expect_err("cancelled as it waited");
    assert!(matches!(cancelled, StoreError::Unavailable(_)) && cancelled.retryable(), "{cancelled:?}");
    held.rollback().await.expect("the end");
}
