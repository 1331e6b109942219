//! The log: numbered after commit, in one order, delivered behind no cursor, sealed.

use std::collections::BTreeSet;

use jjj_domain::decision::Topic;
use jjj_domain::names::Participant;
use jjj_domain::row::StoredFault;
use jjj_domain::time::Timestamp;
use jjj_store::log_tables::{CheckpointRow, EvidenceRow, LeafRow, NodeRow};
use jjj_store::{
    Balances, Fold, LEAF_BYTES, LogState, LogStep, Logged, NewLeaf, SealState, Sequenced, Store, StoreError, WriteTx,
};
use jjj_tests::both_databases;
use jjj_tests::postgres::TestDatabase;

both_databases!(
    leaves_are_numbered_in_order_and_delivered,
    a_batch_may_number_its_own_leaves,
    two_gateways_number_without_gap_or_repetition,
    the_log_is_sealed_when_it_has_grown,
    a_frontier_that_does_not_fit_the_log_is_refused,
    cursors_only_move_forward,
    records_keep_their_versions_and_evidence,
    leaves_too_large_to_go_together_are_written_one_after_another,
);

async fn opened(db: &TestDatabase) -> Store {
    let store = Store::open(db.url()).await.unwrap();
    store.migrate().await.unwrap();
    store
}

fn beijing() -> Participant {
    "regions/110000".parse().unwrap()
}

fn unionpay() -> Participant {
    "channels/unionpay".parse().unwrap()
}

fn leaf(id: &str, audience: &[(Participant, Topic)]) -> NewLeaf {
    let row = LeafRow {
        leaf_id: id.to_owned(),
        record: format!("ratings/{id}"),
        version: 1,
        kind: "rating.published".into(),
        author: "regions/130000".into(),
        recorded_at_us: Timestamp(5),
        body: format!("{{\"leaf\":\"{id}\"}}").into(),
        leaf_hash: format!("hash of {id}"),
    };
    NewLeaf { row, audience: audience.iter().cloned().collect() }
}

async fn accept(tx: &mut WriteTx, leaves: Vec<NewLeaf>) {
    tx.write_log_and_balances(&Logged { leaves, ..Logged::default() }, Balances::default()).await.unwrap();
}

async fn accepted(store: &Store, ids: &[&str]) {
    let mut tx = store.begin_write().await.unwrap();
    accept(&mut tx, ids.iter().map(|id| leaf(id, &[(beijing(), Topic::Event)])).collect()).await;
    tx.commit().await.unwrap();
}

/// Stands in for the tree: its frontier lists the hashes.
fn list(state: &LogState, hashes: &[String]) -> Result<LogStep, StoredFault> {
    let mut all: Vec<String> = state.frontier.split(';').filter(|h| !h.is_empty()).map(str::to_owned).collect();
    assert_eq!(all.len() as i64, state.tree_size);
    all.extend_from_slice(hashes);
    let nodes = (state.tree_size..state.tree_size + hashes.len() as i64).map(|node_index| NodeRow {
        level: 8,
        node_index,
        hash: format!("node {node_index}"),
    });
    Ok(LogStep { frontier: all.join(";"), nodes: nodes.collect() })
}

fn numbered(first: i64, count: i64, audience: &[(Participant, Topic)]) -> Sequenced {
    Sequenced::Numbered { first, count, audience: audience.iter().cloned().collect() }
}

/// SQLite, with its one writer: what waits already is numbered first.
#[tokio::test]
async fn a_batch_numbers_its_own_leaves_unless_others_wait() {
    let db = TestDatabase::sqlite();
    let store = opened(&db).await;
    let write = async |id: &str, fold: Option<Fold>| {
        let mut tx = store.begin_write().await.unwrap();
        let leaves = vec![leaf(id, &[(beijing(), Topic::Event)])];
        tx.write_log_and_balances(&Logged { leaves, fold, ..Logged::default() }, Balances::default()).await.unwrap();
        tx.commit().await.unwrap();
    };
    let index = async |id: &str| store.read().await.unwrap().leaf_index(id).await.unwrap();
    write("a", Some(list)).await;
    assert_eq!(index("a").await, Some(0));
    assert_eq!(store.sequence(10, list).await.unwrap(), Sequenced::Idle);
    write("b", None).await;
    write("c", Some(list)).await;
    assert_eq!((index("b").await, index("c").await), (None, None));
    assert_eq!(store.sequence(10, list).await.unwrap(), numbered(1, 2, &[(beijing(), Topic::Event)]));
    assert_eq!((index("b").await, index("c").await), (Some(1), Some(2)));
    write("d", Some(list)).await;
    assert_eq!(index("d").await, Some(3));
    let delivered = store.read().await.unwrap().deliveries_after(&beijing(), Topic::Event, -1, 10).await.unwrap();
    assert_eq!(delivered.iter().map(|d| d.leaf_index).collect::<Vec<_>>(), [0, 1, 2, 3]);
}

async fn leaves_are_numbered_in_order_and_delivered(db: TestDatabase) {
    let store = opened(&db).await;
    assert_eq!(store.sequence(10, list).await.unwrap(), Sequenced::Idle);
    let mut tx = store.begin_write().await.unwrap();
    let event = (beijing(), Topic::Event);
    let instruction = (unionpay(), Topic::Instruction);
    let leaves = vec![
        leaf("z", std::slice::from_ref(&event)),
        leaf("a", &[event.clone(), instruction.clone(), (unionpay(), Topic::Event)]),
        leaf("m", &[]),
        leaf("b", std::slice::from_ref(&event)),
    ];
    accept(&mut tx, leaves.clone()).await;
    // Not committed: on PostgreSQL nobody sees it; on SQLite nobody else may write.
    if db.is_postgres() {
        assert_eq!(store.sequence(10, list).await.unwrap(), Sequenced::Idle);
    }
    tx.commit().await.unwrap();
    assert_eq!(store.read().await.unwrap().leaf_index("z").await.unwrap(), None);
    let told = [event.clone(), instruction.clone(), (unionpay(), Topic::Event)];
    assert_eq!(store.sequence(3, list).await.unwrap(), numbered(0, 3, &told));
    assert_eq!(store.sequence(3, list).await.unwrap(), numbered(3, 1, &[event]));
    assert_eq!(store.sequence(3, list).await.unwrap(), Sequenced::Idle);

    let mut session = store.read().await.unwrap();
    let hashes = ["hash of z", "hash of a", "hash of m", "hash of b"];
    assert_eq!(session.leaf_hashes(0, 9).await.unwrap(), hashes);
    assert_eq!(session.leaf_hashes(1, 3).await.unwrap(), hashes[1..3]);
    assert_eq!(session.log_nodes(8, 1, 3).await.unwrap(), ["node 1", "node 2"]);
    assert_eq!(session.tree_size().await.unwrap(), 4);
    assert_eq!(session.leaf_index("b").await.unwrap(), Some(3));
    assert_eq!(session.leaf_at(1).await.unwrap().unwrap(), leaves[1].row);
    assert_eq!(session.leaf_at(4).await.unwrap(), None);
    let mut stream = async |participant: Participant, topic, cursor, limit| -> Vec<(i64, String)> {
        let found = session.deliveries_after(&participant, topic, cursor, limit).await.unwrap();
        found.into_iter().map(|d| (d.leaf_index, d.leaf.leaf_id)).collect()
    };
    let id = |index: i64, id: &str| (index, id.to_owned());
    assert_eq!(stream(beijing(), Topic::Event, -1, 9).await, [id(0, "z"), id(1, "a"), id(3, "b")]);
    assert_eq!(stream(beijing(), Topic::Event, 0, 1).await, [id(1, "a")]);
    assert_eq!(stream(beijing(), Topic::Event, 3, 9).await, []);
    assert_eq!(stream(unionpay(), Topic::Instruction, -1, 9).await, [id(1, "a")]);
    assert_eq!(stream(beijing(), Topic::Instruction, -1, 9).await, []);
}

async fn a_batch_may_number_its_own_leaves(db: TestDatabase) {
    let store = opened(&db).await;
    let mut tx = store.begin_write().await.unwrap();
    accept(&mut tx, vec![leaf("a", &[])]).await;
    assert_eq!(tx.sequence(10, list).await.unwrap(), numbered(0, 1, &[]));
    tx.rollback().await.unwrap();
    assert_eq!(store.read().await.unwrap().tree_size().await.unwrap(), 0, "numbers of no commit are no numbers");
    accepted(&store, &["b"]).await;
    assert_eq!(store.sequence(10, list).await.unwrap(), numbered(0, 1, &[(beijing(), Topic::Event)]));
}

async fn two_gateways_number_without_gap_or_repetition(db: TestDatabase) {
    let stores = [opened(&db).await, Store::open(db.url()).await.unwrap()];
    const BATCHES: usize = 30;
    let writers = (0..BATCHES).map(|n| {
        let store = stores[n % 2].clone();
        tokio::spawn(async move {
            let mut tx = store.begin_write().await.unwrap();
            let ids = (0..4).map(|i| leaf(&format!("leaf {n} {i}"), &[(beijing(), Topic::Event)]));
            accept(&mut tx, ids.collect()).await;
            // Held open for a while, so that commits happen in another order than drawing.
            tokio::time::sleep(std::time::Duration::from_millis(7 * (n as u64 % 5))).await;
            tx.commit().await.unwrap();
        })
    });
    let writers: Vec<_> = writers.collect();
    let sequencers = stores.clone().map(|store| {
        tokio::spawn(async move {
            while store.read().await.unwrap().tree_size().await.unwrap() < 4 * BATCHES as i64 {
                store.sequence(7, list).await.unwrap();
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
        })
    });
    // A follower that reads while all this happens.
    let mut seen = Vec::new();
    let mut session = stores[0].read().await.unwrap();
    while seen.len() < 4 * BATCHES {
        let cursor = seen.last().map_or(-1, |(index, _)| *index);
        for delivery in session.deliveries_after(&beijing(), Topic::Event, cursor, 9).await.unwrap() {
            seen.push((delivery.leaf_index, delivery.leaf.leaf_id));
        }
    }
    for task in writers.into_iter().chain(sequencers) {
        task.await.unwrap();
    }
    assert!(seen.iter().map(|(index, _)| *index).eq(0..4 * BATCHES as i64), "no event missed behind the cursor");
    assert_eq!(seen.iter().map(|(_, id)| id).collect::<BTreeSet<_>>().len(), seen.len());
    for n in 0..BATCHES {
        let of_batch: Vec<_> = seen.iter().filter(|(_, id)| id.starts_with(&format!("leaf {n} "))).collect();
        assert!(of_batch.is_sorted_by_key(|(_, id)| id), "a batch's leaves keep their order: {of_batch:?}");
    }
}

async fn the_log_is_sealed_when_it_has_grown(db: TestDatabase) {
    let store = opened(&db).await;
    let sign = |state: SealState| {
        let tree_size = state.log.tree_size;
        let note = format!("of {tree_size}");
        std::future::ready(Ok(Some(CheckpointRow {
            tree_size,
            root: state.log.frontier,
            note,
            sealed_at_us: state.now,
        })))
    };
    assert_eq!(store.seal(sign).await.unwrap(), None, "an empty log");
    accepted(&store, &["a", "b"]).await;
    assert_eq!(store.seal(sign).await.unwrap(), None, "nothing is numbered");
    store.sequence(10, list).await.unwrap();
    assert_eq!(store.seal(async |_| Ok(None)).await.unwrap(), None, "the signer declines");
    let first = store.seal(sign).await.unwrap().unwrap();
    assert_eq!((first.tree_size, first.note.as_str(), first.root.as_str()), (2, "of 2", "hash of a;hash of b"));
    assert_eq!(store.seal(sign).await.unwrap(), None, "nothing new");
    accepted(&store, &["c"]).await;
    store.sequence(10, list).await.unwrap();
    let slow = async |state| {
        // Meanwhile the log grows, and another gateway seals more.
        accepted(&store, &["d"]).await;
        store.sequence(10, list).await.unwrap();
        assert_eq!(store.seal(sign).await.unwrap().unwrap().tree_size, 4);
        sign(state).await
    };
    assert_eq!(store.seal(slow).await.unwrap(), None, "a head behind the newest");
    let second = store.read().await.unwrap().latest_checkpoint().await.unwrap().unwrap();
    assert_eq!((second.tree_size, second.note.as_str()), (4, "of 4"));

    let mut session = store.read().await.unwrap();
    assert_eq!(session.latest_checkpoint().await.unwrap(), Some(second.clone()));
    for (leaf_index, expected) in
        [(0, Some(&first)), (1, Some(&first)), (2, Some(&second)), (3, Some(&second)), (4, None)]
    {
        assert_eq!(session.checkpoint_covering(leaf_index).await.unwrap().as_ref(), expected, "leaf {leaf_index}");
    }
}

async fn a_frontier_that_does_not_fit_the_log_is_refused(db: TestDatabase) {
    let store = opened(&db).await;
    accepted(&store, &["a"]).await;
    let mut tx = store.begin_write().await.unwrap();
    let frontier = jjj_store::log_tables::FrontierRow { id: 1, tree_size: 5, frontier: String::new() };
    tx.put(&[frontier]).await.unwrap();
    tx.commit().await.unwrap();
    let refused = store.sequence(10, list).await;
    assert!(matches!(&refused, Err(StoreError::Inconsistent(fault)) if fault.table == "log_frontier"), "{refused:?}");
}

async fn cursors_only_move_forward(db: TestDatabase) {
    let store = opened(&db).await;
    for (acknowledged, expected) in [(4, 4), (2, 4), (9, 9), (9, 9)] {
        let mut tx = store.begin_write().await.unwrap();
        tx.acknowledge(&beijing(), Topic::Event, acknowledged, Timestamp(1)).await.unwrap();
        tx.commit().await.unwrap();
        let mut session = store.read().await.unwrap();
        assert_eq!(session.cursor(&beijing(), Topic::Event).await.unwrap(), expected);
        assert_eq!(session.cursor(&unionpay(), Topic::Event).await.unwrap(), -1);
    }
}

async fn records_keep_their_versions_and_evidence(db: TestDatabase) {
    let store = opened(&db).await;
    let version = |n: i64| {
        let mut leaf = leaf(&format!("v{n}"), &[]);
        leaf.row.record = "ratings/1".into();
        leaf.row.version = n;
        leaf
    };
    let evidence = EvidenceRow {
        leaf_id: "v1".into(),
        method_path: "/jjj.gateway.v1.RatingService/PublishRating".into(),
        item: vec![10, 0, 255],
        sealed_for: None,
        token_leaf: "v1".into(),
        token: Some("a.b.c".into()),
        item_index: 0,
        item_count: 1,
        item_path: String::new(),
        receipt: Vec::new(),
    };
    let mut tx = store.begin_write().await.unwrap();
    let logged = Logged { leaves: vec![version(1), version(2)], evidence: vec![evidence.clone()], ..Logged::default() };
    tx.write_log_and_balances(&logged, Balances::default()).await.unwrap();
    tx.commit().await.unwrap();
    let mut session = store.read().await.unwrap();
    assert_eq!(session.versions("ratings/1", 0, 9).await.unwrap(), [version(1).row, version(2).row]);
    assert_eq!(session.versions("ratings/1", 2, 9).await.unwrap(), [version(2).row]);
    assert_eq!(session.evidence("v1").await.unwrap(), Some(evidence));
    assert_eq!(session.evidence("v2").await.unwrap(), None);
    drop(session);

    // Two decisions from the same version: one is too many.
    let mut tx = store.begin_write().await.unwrap();
    let mut again = version(2);
    again.row.leaf_id = "other".into();
    let again = Logged { leaves: vec![again], ..Logged::default() };
    let clash = tx.write_log_and_balances(&again, Balances::default()).await.unwrap_err();
    assert!(clash.retryable(), "{clash:?}");
}

/// A large transaction hands its leaves over as they are made, and keeps them without their bodies.
async fn leaves_too_large_to_go_together_are_written_one_after_another(db: TestDatabase) {
    let store = opened(&db).await;
    let large = |of: &str| {
        let sizes = [1, LEAF_BYTES / 2, LEAF_BYTES / 2, LEAF_BYTES, LEAF_BYTES * 3];
        let leaf = |(n, bytes): (usize, usize)| {
            let mut leaf = leaf(&format!("{of} {n}"), &[(beijing(), Topic::Event)]);
            leaf.row.body = incompressible(bytes).into();
            leaf
        };
        sizes.into_iter().enumerate().map(leaf).collect::<Vec<NewLeaf>>()
    };
    let as_made = large("as made");
    let mut tx = store.begin_write().await.unwrap();
    let rows: Vec<LeafRow> =
        as_made.iter().map(|leaf| LeafRow { body: leaf.row.body.clone().to_store(), ..leaf.row.clone() }).collect();
    let rows: Vec<&LeafRow> = rows.iter().collect();
    tx.write_leaves(&rows[..2]).await.unwrap();
    tx.write_leaves(&rows[2..]).await.unwrap();
    let mut leaves = as_made.clone();
    leaves.iter_mut().for_each(|leaf| leaf.row.body = String::new().into());
    let logged = Logged { leaves, ..Logged::default() };
    tx.write_log_and_balances_without_leaves(&logged, Balances::default()).await.unwrap();
    tx.commit().await.unwrap();

    let at_once = large("at once");
    let mut tx = store.begin_write().await.unwrap();
    accept(&mut tx, at_once.clone()).await;
    tx.commit().await.unwrap();
    let order = store.sequence(100, list).await.unwrap();
    assert!(matches!(order, Sequenced::Numbered { first: 0, count: 10, .. }), "{order:?}");
    let mut session = store.read().await.unwrap();
    for (at, expected) in (0..).zip([as_made, at_once].concat()) {
        assert_eq!(session.leaf_at(at).await.unwrap(), Some(expected.row));
    }
}

fn incompressible(bytes: usize) -> String {
    let mut draw = fastrand::Rng::with_seed(7);
    (0..bytes).map(|_| draw.alphanumeric()).collect()
}
