//! More leaves than are numbered in a second.

use std::sync::Arc;

use jjj_domain::time::Timestamp;
use jjj_server::seal::Sealer;
use jjj_store::log_tables::LeafRow;
use jjj_store::{Balances, Logged, NewLeaf};
use jjj_tests::both_databases;
use jjj_tests::postgres::TestDatabase;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::harness::{ORIGIN, World};

both_databases!(a_backlog_is_sealed_while_it_is_numbered);

fn leaf(n: usize) -> NewLeaf {
    let row = LeafRow {
        leaf_id: format!("backlog {n}"),
        record: format!("notes/{n}"),
        version: 1,
        kind: "test.noted".into(),
        author: "gateway".into(),
        recorded_at_us: Timestamp(5),
        body: format!("{{\"note\":\"{n}\"}}").into(),
        leaf_hash: format!("{n:064x}"),
    };
    NewLeaf { row, audience: Default::default() }
}

async fn a_backlog_is_sealed_while_it_is_numbered(database: TestDatabase) {
    /// Leaves numbered in one transaction.
    const PAGE: i64 = 4_096;
    let mut world = World::start(database).await;
    let (signer, clock) = (world.gateway().signer.clone(), world.clock.clone());
    world.stop().await;
    let store = world.store().await;
    let size = async || store.read().await.unwrap().tree_size().await.unwrap();
    let before = size().await;
    let leaves = (0..2 * PAGE as usize + 1).map(leaf).collect();
    let mut tx = store.begin_write().await.unwrap();
    tx.write_log_and_balances(&Logged { leaves, ..Logged::default() }, Balances::default()).await.unwrap();
    tx.commit().await.unwrap();

    let committed = Arc::new(Notify::new());
    let sealer = Sealer::new(store.clone(), clock, signer, ORIGIN.into(), committed.clone());
    sealer.number(Some(Instant::now())).await.unwrap();
    assert_eq!(size().await, before + PAGE, "the moment has come after the first page");
    tokio::time::timeout(std::time::Duration::from_secs(1), committed.notified()).await.expect("a call for the rest");
    sealer.seal().await.unwrap();
    let sealed = store.read().await.unwrap().latest_checkpoint().await.unwrap().unwrap();
    assert_eq!(sealed.tree_size, before + PAGE);
    sealer.number(Some(Instant::now() + std::time::Duration::from_secs(3_600))).await.unwrap();
    assert_eq!(size().await, before + 2 * PAGE + 1);
}
