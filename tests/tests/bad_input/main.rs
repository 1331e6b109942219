//! Bad input over the whole API. `outcomes.txt` says what comes of it: for every method who may not
//! call it, and every field of a right request damaged in turn, with the exact status, reason and
//! field. Nothing that is refused changes a row of any table.

mod bases;
mod damage;
mod judge;
mod replays;
mod rows;
mod scene;
mod stage;
mod table;
mod tokens;

use std::collections::BTreeMap;

use futures_util::StreamExt as _;
use jjj_tests::both_databases;
use jjj_tests::postgres::TestDatabase;

use crate::judge::faults;
use crate::replays::a_call_sent_again_gets_its_first_answer;
use crate::rows::{Row, rows};
use crate::scene::Scene;
use crate::stage::changed;
use crate::table::{Key, OK, Table};
use crate::tokens::wrong_and_borrowed_tokens_are_refused_each_with_its_own_reason;

both_databases!(
    every_bad_request_has_its_own_refusal_and_changes_nothing,
    a_call_sent_again_gets_its_first_answer,
    wrong_and_borrowed_tokens_are_refused_each_with_its_own_reason,
);

async fn every_bad_request_has_its_own_refusal_and_changes_nothing(database: TestDatabase) {
    let is_update = std::env::var_os("UPDATE_SNAPSHOT").is_some();
    let mut scene = Scene::set(database).await;
    scene.stage.settle().await;
    scene.stage.close().await;
    let kept = scene.stage.database.copy();
    scene.stage.go_on_with_a_copy_of(&kept).await;
    let rows = rows(&scene);

    let mut said = BTreeMap::new();
    let right = refuse(&mut scene, &kept, &rows, is_update, &mut said).await;
    // One of each method after the other, each time on the untouched scene.
    for round in rounds(right) {
        scene.stage.go_on_with_a_copy_of(&kept).await;
        for row in round {
            said.insert(row.key(), row.send(&scene).await);
        }
    }
    scene.stage.close().await;

    let mut table = Table::default();
    rows.iter().for_each(|row| table.add(row.key(), said[&row.key()].clone()));
    if is_update {
        table.write();
    }
    let differences = table.differences(&Table::committed());
    assert!(differences.is_empty(), "{differences}");
    let faults = faults(&table);
    assert!(faults.is_empty(), "{faults:#?}");
}

/// Sends everything that is refused or only read, all at once, and sees that nothing changes; the
/// others, by the committed table, come back. A table that is being made anew does not know them all:
/// whatever is accepted is left out, and it begins again.
async fn refuse<'a>(
    scene: &mut Scene,
    kept: &TestDatabase,
    rows: &'a [Row],
    is_update: bool,
    said: &mut BTreeMap<Key, String>,
) -> Vec<&'a Row> {
    let committed = Table::committed();
    let is_right = |row: &&Row| row.changes() && committed.outcome(&row.key()) == Some(OK);
    let (mut right, mut bad): (Vec<&Row>, Vec<&Row>) = rows.iter().partition(is_right);
    loop {
        let before = scene.stage.digests().await;
        said.extend(send_at_once(scene, &bad).await);
        let accepted: Vec<&Row> = bad.extract_if(.., |row| row.changes() && said[&row.key()] == OK).collect();
        if accepted.is_empty() {
            scene.stage.settle().await;
            assert_eq!(changed(&before, &scene.stage.digests().await), Vec::<&str>::new(), "refused, and yet changed");
            return right;
        }
        let keys: Vec<_> = accepted.iter().map(|row| row.key()).collect();
        assert!(is_update, "accepted, and the table says otherwise: {keys:#?}");
        right.extend(accepted);
        scene.stage.go_on_with_a_copy_of(kept).await;
    }
}

/// Sends many requests at once: order is nothing to what changes nothing.
async fn send_at_once(scene: &Scene, rows: &[&Row]) -> Vec<(Key, String)> {
    const IN_FLIGHT: usize = 64;
    let sent = rows.iter().map(async |row| (row.key(), row.send(scene).await));
    futures_util::stream::iter(sent).buffer_unordered(IN_FLIGHT).collect().await
}

/// The first of each method, the second of each method, and so on.
fn rounds(rows: Vec<&Row>) -> Vec<Vec<&Row>> {
    let mut rounds: Vec<Vec<&Row>> = Vec::new();
    for row in rows {
        let is_free = |round: &&mut Vec<&Row>| round.iter().all(|other| other.method != row.method);
        match rounds.iter_mut().find(is_free) {
            Some(round) => round.push(row),
            None => rounds.push(vec![row]),
        }
    }
    rounds
}
