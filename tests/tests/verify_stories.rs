//! What `jjj verify` says of a database in order, and of one that somebody meddled with wisely.

mod verify_fixture;

use jjj_domain::names::Actor;
use jjj_domain::participant::{KeyRow, KeyState};
use jjj_domain::row::Row;
use jjj_domain::time::Timestamp;
use jjj_domain::value::{Column, Value};
use jjj_server::verify::{Check, NoticeKind, UNPROTECTED, VerifyOptions, VerifyReport, verify};
use jjj_store::Packed;
use jjj_store::log_tables::CheckpointRow;
use jjj_tests::both_databases;
use jjj_tests::postgres::TestDatabase;
use jjj_tests::raw::Raw;
use jjj_token::SigningKey;
use jjj_token::note::{Checkpoint, SignedNote};

use verify_fixture::{Fixture, Put, beijing, spec};

both_databases!(
    a_database_in_order_is_clean_and_the_erased_are_named,
    what_was_promised_and_is_not_sealed_is_a_fault_from_then_on,
    a_log_that_does_not_extend_a_kept_checkpoint_is_another,
    only_pinned_keys_sign_for_the_gateway,
    a_leaf_with_its_rows_taken_away_leaves_a_trace,
    items_of_a_call_keep_its_token_once_and_lose_it_together,
    a_rewritten_leaf_does_not_open_the_tree,
    what_was_signed_with_a_key_not_in_force_is_named,
    a_key_that_another_region_registered_is_named,
    a_record_whose_versions_have_a_gap_is_named,
);

#[test]
fn what_is_unprotected_names_tables_and_columns_that_exist() {
    for u in UNPROTECTED {
        let spec = spec(u.table);
        assert!(u.column.is_none_or(|column| spec.column(column).is_some()), "{u:?}");
        assert!(!u.reason.is_empty() && !u.changes.is_empty());
    }
}

async fn a_database_in_order_is_clean_and_the_erased_are_named(db: TestDatabase) {
    let fixture = Fixture::populated(&db).await;
    let report = fixture.verify().await;
    assert_eq!(report.faults, []);
    assert_eq!(report.origin.as_deref(), Some(verify_fixture::ORIGIN));
    assert_eq!(report.leaves, report.numbered + fixture.waiting());
    assert!(report.sealed <= report.numbered);
    assert_eq!(report.erased_persons, 1);
    assert_eq!(report.private_rows, 2 * 3 + 1, "an elder with two identifiers, a party with one");
    let erased: Vec<_> = report.notices.iter().filter(|n| n.kind == NoticeKind::Erased).collect();
    assert_eq!(erased.len(), 1);
    assert_eq!((erased[0].subject.as_str(), erased[0].detail.as_str()), (fixture.erased.as_str(), "ERASED"));
}

async fn what_was_promised_and_is_not_sealed_is_a_fault_from_then_on(db: TestDatabase) {
    let fixture = Fixture::founded(&db).await;
    fixture.seal().await;
    fixture.put(vec![put("tests/1", 1)]).await;
    let now = fixture.clock.now();
    assert_eq!(fixture.verify_at(now).await.faults, []);
    let late = fixture.verify_at(now.plus_us(60_000_000)).await;
    assert_eq!(tables(&late), ["checkpoints"]);
    assert_eq!(late.faults[0].check, Check::Receipt);
    fixture.seal().await;
    assert_eq!(fixture.verify_at(now.plus_us(60_000_000)).await.faults, []);
}

async fn a_log_that_does_not_extend_a_kept_checkpoint_is_another(db: TestDatabase) {
    let fixture = Fixture::founded(&db).await;
    fixture.seal().await;
    let row: CheckpointRow = fixture.store.read().await.unwrap().latest_checkpoint().await.unwrap().unwrap();
    let kept = Checkpoint::parse(SignedNote::parse(&row.note).unwrap().text()).unwrap();
    fixture.put(vec![put("tests/1", 1)]).await;
    fixture.seal().await;
    let against = |kept: Checkpoint| {
        let options = VerifyOptions { at: Some(Timestamp(0)), checkpoints: vec![kept], ..VerifyOptions::default() };
        let store = fixture.store.clone();
        async move { verify(&store, &options).await.unwrap() }
    };
    assert_eq!(against(kept.clone()).await.faults, []);
    let other = Checkpoint { root: [9; 32], ..kept.clone() };
    assert_eq!(tables(&against(other).await), ["checkpoints"]);
    let longer = Checkpoint { size: 1_000, ..kept };
    assert_eq!(tables(&against(longer).await), ["checkpoints"]);
}

async fn only_pinned_keys_sign_for_the_gateway(db: TestDatabase) {
    let fixture = Fixture::founded(&db).await;
    fixture.put(vec![put("tests/1", 1)]).await;
    fixture.seal().await;
    let pinned =
        |kid: String| VerifyOptions { at: Some(Timestamp(0)), gateway_keys: vec![kid], ..VerifyOptions::default() };
    let own = verify(&fixture.store, &pinned(fixture.keys.signing.kid().to_owned())).await.unwrap();
    assert_eq!(own.faults, []);
    let other = verify(&fixture.store, &pinned("another".to_owned())).await.unwrap();
    for table in ["checkpoints", "evidence"] {
        assert!(tables(&other).contains(&table.to_owned()), "{table}: {:#?}", other.faults);
    }
}

async fn a_leaf_with_its_rows_taken_away_leaves_a_trace(db: TestDatabase) {
    let fixture = Fixture::founded(&db).await;
    fixture.put(vec![put("tests/1", 1)]).await;
    fixture.put(vec![put("tests/2", 1)]).await;
    fixture.seal().await;
    let mut database = Raw::open(&db).await;
    let last = "(SELECT leaf_id FROM leaf_order ORDER BY leaf_index DESC LIMIT 1)";
    for (table, column) in [("evidence", "leaf_id"), ("requests", "leaf_id"), ("leaves", "leaf_id")] {
        database.run(&format!("DELETE FROM {table} WHERE {column} = {last}")).await;
    }
    database.run("DELETE FROM deliveries WHERE leaf_index = (SELECT MAX(leaf_index) FROM leaf_order)").await;
    database.run("DELETE FROM leaf_order WHERE leaf_index = (SELECT MAX(leaf_index) FROM leaf_order)").await;
    let report = fixture.verify().await;
    for table in ["log_frontier", "checkpoints"] {
        assert!(tables(&report).contains(&table.to_owned()), "{table}: {:#?}", report.faults);
    }
}

async fn items_of_a_call_keep_its_token_once_and_lose_it_together(db: TestDatabase) {
    let fixture = Fixture::founded(&db).await;
    fixture.put(vec![put("tests/1", 1), put("tests/2", 1), put("tests/3", 1)]).await;
    fixture.put(vec![put("tests/4", 1)]).await;
    fixture.seal().await;
    let mut session = fixture.store.read().await.unwrap();
    let mut kept = Vec::new();
    for record in ["tests/1", "tests/2", "tests/3", "tests/4"] {
        let leaf = session.versions(record, 1, 1).await.unwrap().pop().unwrap();
        kept.push(session.evidence(&leaf.leaf_id).await.unwrap().unwrap());
    }
    drop(session);
    let holders: Vec<_> = kept.iter().map(|row| (row.token_leaf == row.leaf_id, row.token.is_some())).collect();
    assert_eq!(holders, [(true, true), (false, false), (false, false), (true, true)]);
    assert!(kept[1].token_leaf == kept[0].leaf_id && kept[2].token_leaf == kept[0].leaf_id);
    assert_eq!(fixture.verify().await.faults, []);

    let mut database = Raw::open(&db).await;
    database.run(&format!("UPDATE evidence SET token = NULL WHERE leaf_id = '{}'", kept[0].leaf_id)).await;
    let report = fixture.verify().await;
    let mut named: Vec<_> = report.faults.iter().map(|fault| (fault.key.as_str(), fault.column.as_deref())).collect();
    named.sort();
    let mut expected = vec![(kept[0].leaf_id.as_str(), Some("token"))];
    expected.extend(kept[1..3].iter().map(|row| (row.leaf_id.as_str(), Some("token_leaf"))));
    expected.sort();
    assert_eq!(named, expected);
}

async fn a_rewritten_leaf_does_not_open_the_tree(db: TestDatabase) {
    let fixture = Fixture::founded(&db).await;
    fixture.put_own(put("tests/1", 1)).await;
    fixture.seal().await;
    let mut session = fixture.store.read().await.unwrap();
    let size = session.tree_size().await.unwrap();
    let leaf = session.leaf_at(size - 1).await.unwrap().unwrap();
    drop(session);
    // The leaf, its hash and the order's: everything that can be altered without a key.
    let body = leaf.body.replace("tests/1", "tests/7");
    let hash: String = jjj_token::merkle::leaf_hash(body.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    let mut database = Raw::open(&db).await;
    let Value::Bytes(packed) = Packed::from(body).to_value() else { panic!("stored as bytes") };
    let packed = database.bytes(&packed);
    database
        .run(&format!(
            "UPDATE leaves SET body = {packed}, record = 'tests/7', leaf_hash = '{hash}' WHERE leaf_id = '{}'",
            leaf.leaf_id
        ))
        .await;
    database.run(&format!("UPDATE leaf_order SET leaf_hash = '{hash}' WHERE leaf_id = '{}'", leaf.leaf_id)).await;
    let report = fixture.verify().await;
    assert!(report.faults.iter().any(|f| f.table == "checkpoints" && f.check == Check::Tree), "{:#?}", report.faults);
}

async fn what_was_signed_with_a_key_not_in_force_is_named(db: TestDatabase) {
    let fixture = Fixture::founded(&db).await;
    let day_ago = fixture.clock.now().plus_us(-86_400_000_000);
    let ended = KeyRow {
        kid: fixture.region_key.kid().into(),
        holder: Actor::system(beijing()),
        jwk: fixture.region_key.public_jwk().to_json(),
        state: KeyState::Withdrawn,
        added_at_us: Timestamp(0),
        ended_at_us: Some(day_ago),
        suspect_from_us: Some(day_ago),
        reason: "lost".into(),
        version: 2,
    };
    let rows = vec![(KeyRow::spec(), ended.to_values())];
    fixture.put(vec![put("tests/1", 1)]).await;
    assert_eq!(fixture.verify().await.faults, []);
    // The engine would not record the request of a thief: say that the key had ended before.
    fixture.put_own(Put { record: "tests/key".into(), version: 1, rows, ..Put::default() }).await;
    let report = fixture.verify().await;
    assert_eq!(report.faults.len(), 1, "{:#?}", report.faults);
    assert_eq!((report.faults[0].table.as_str(), report.faults[0].check), ("evidence", Check::Evidence));
    assert!(report.notices.iter().any(|n| n.kind == NoticeKind::Suspect));
}

async fn a_key_that_another_region_registered_is_named(db: TestDatabase) {
    let fixture = Fixture::founded(&db).await;
    let key = SigningKey::from_ed25519_seed(&[4; 32]).unwrap();
    let registered = |holder: &str| KeyRow {
        kid: key.kid().into(),
        holder: holder.parse().unwrap(),
        jwk: key.public_jwk().to_json(),
        state: KeyState::Active,
        added_at_us: fixture.clock.now(),
        ended_at_us: None,
        suspect_from_us: None,
        reason: String::new(),
        version: 1,
    };
    // What Beijing signed, the gateway made a key of Hebei's of.
    let rows = vec![(KeyRow::spec(), registered("regions/130000").to_values())];
    fixture.put(vec![Put { record: "tests/key".into(), version: 1, rows, ..Put::default() }]).await;
    let report = fixture.verify().await;
    assert_eq!(report.faults.len(), 1, "{:#?}", report.faults);
    assert_eq!((report.faults[0].table.as_str(), report.faults[0].check), ("keys", Check::Evidence));
}

async fn a_record_whose_versions_have_a_gap_is_named(db: TestDatabase) {
    let fixture = Fixture::founded(&db).await;
    fixture.put(vec![put("tests/1", 1)]).await;
    fixture.put(vec![put("tests/1", 2)]).await;
    assert_eq!(fixture.verify().await.faults, []);
    fixture.put(vec![put("tests/1", 4)]).await;
    let report = fixture.verify().await;
    assert_eq!(report.faults.len(), 1, "{:#?}", report.faults);
    assert_eq!(report.faults[0].column.as_deref(), Some("version"));
}

fn put(record: &str, version: i64) -> Put {
    Put { record: record.into(), version, ..Put::default() }
}

fn tables(report: &VerifyReport) -> Vec<String> {
    report.faults.iter().map(|fault| fault.table.clone()).collect()
}
