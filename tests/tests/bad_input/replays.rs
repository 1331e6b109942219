//! Whole calls sent again.

use bytes::Bytes;
use jjj_tests::postgres::TestDatabase;
use jjj_wire::methods::METHODS;
use jjj_wire::pb;
use jjj_wire::pb::batch_mutate_result::Outcome;

use crate::rows::{Row, rows, said};
use crate::scene::Scene;
use crate::stage::changed;

/// Every method's right request, sent again: with its own token, with a fresh one, as an item of a
/// batch. Each time it gets its first answer byte for byte, and changes no more. Its id is good for
/// nothing else.
pub async fn a_call_sent_again_gets_its_first_answer(database: TestDatabase) {
    let mut scene = Scene::set(database).await;
    let rows: Vec<Row> = rows(&scene).into_iter().filter(|row| row.method.mutating && row.is_right()).collect();
    let singles = METHODS.iter().filter(|method| method.mutating && !method.batch).count();
    assert_eq!(rows.len(), singles, "every mutation is there");
    let mut first = Vec::new();
    for row in &rows {
        let client = &scene.stage.as_(row.actor).client;
        let token = client.token(row.method.path, &row.message).unwrap();
        let answer = client.call_with_token(row.method.path, row.message.clone(), &token).await;
        first.push((row, token, answer.unwrap_or_else(|refused| panic!("{:?}: {}", row.key(), said(refused)))));
    }
    scene.stage.settle().await;
    let before = scene.stage.digests().await;
    for (row, token, answer) in &first {
        let (client, path) = (&scene.stage.as_(row.actor).client, row.method.path);
        let same_call = client.call_with_token(path, row.message.clone(), token).await.map_err(said);
        assert_eq!(same_call.as_ref(), Ok(answer), "{:?}, token and all", row.key());
        let fresh_token = client.call_bytes(path, row.message.clone()).await.map_err(said);
        assert_eq!(fresh_token.as_ref(), Ok(answer), "{:?}, signed anew", row.key());
        let batch = METHODS.iter().find(|method| method.item == Some(path));
        // A batch may be for systems alone where the single method is for people too.
        if let Some(batch) = batch.filter(|_| !row.actor.contains("/admins/")) {
            let items = pb::BatchMutateRequest { items: vec![row.message.clone()] };
            let results: pb::BatchMutateResponse = client.call(batch.path, &items).await.unwrap();
            assert_eq!(
                results.results[0].outcome,
                Some(Outcome::Response(answer.clone())),
                "{:?} in a batch",
                row.key()
            );
        }
        // A field that no message has makes it another request, and nothing else of it.
        let other = Bytes::from([&row.message[..], &[0xf8, 0x3f, 0x01]].concat());
        let reused = client.call_bytes(path, other).await.map_err(said);
        assert_eq!(reused, Err("ALREADY_EXISTS | REQUEST_ID_REUSED | request_id".into()), "{:?}", row.key());
    }
    scene.stage.settle().await;
    assert_eq!(changed(&before, &scene.stage.digests().await), Vec::<&str>::new(), "sent again, and changed more");
    scene.stage.close().await;
}
