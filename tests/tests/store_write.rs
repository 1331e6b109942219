//! A batch's transaction: claims, locks, balances, commit; what two at once may do.

use std::time::Duration;

use jjj_domain::key;
use jjj_domain::ledger::{Account, AccountRow, Book, EntryKind, Layer, Transfer, TransferRow};
use jjj_domain::names::Participant;
use jjj_domain::recon::FileRow;
use jjj_domain::row::{ColumnSpec, Row};
use jjj_domain::snapshot::{Load, Snapshot};
use jjj_domain::time::{Month, Timestamp};
use jjj_domain::value::{ColumnType, Value};
use jjj_store::dialect::Dialect;
use jjj_store::log_tables::{FileChunkRow, RequestRow, UploadRow};
use jjj_store::{Begun, Claim, ConflictKind, Effects, ListQuery, RequestClaim, Session, Store, StoreError, WriteTx};
use jjj_tests::both_databases;
use jjj_tests::postgres::{PrivateCluster, TestDatabase};
use jjj_tests::raw::Raw;

both_databases!(
    a_request_is_claimed_once,
    a_claim_waits_for_the_other_transaction,
    a_released_claim_is_free_again,
    however_many_claims_are_released,
    balances_are_the_sums_of_transfers,
    many_batches_add_to_one_account,
    nothing_of_a_failed_transaction_stays,
    another_connections_write_is_noticed_where_there_is_one_writer,
    what_is_read_beside_a_transaction_is_of_its_moment,
    snapshots_load_rows_and_absences,
    uploads_take_chunks_in_order,
    the_clock_is_the_databases,
    pages_continue_after_their_last_key,
    a_small_write_waits_for_few_others_and_not_without_end,
);

async fn opened(db: &TestDatabase) -> Store {
    let store = Store::open(db.url()).await.unwrap();
    store.migrate().await.unwrap();
    store
}

fn region(code: &str) -> Participant {
    format!("regions/{code}").parse().unwrap()
}

fn claim(n: u8, content: &str) -> RequestClaim {
    RequestClaim {
        participant: region("110000"),
        request_id: format!("01890000-0000-7000-8000-0000000000{n:02x}").parse().unwrap(),
        content_digest: content.to_owned(),
        leaf_id: format!("leaf of {n}"),
    }
}

fn same(n: u8) -> Claim {
    Claim::SameContent { leaf_id: format!("leaf of {n}") }
}

async fn claims(store: &Store, wanted: &[RequestClaim]) -> Vec<Claim> {
    let mut tx = store.begin_write().await.unwrap();
    let answers = tx.claim_requests(wanted).await.unwrap();
    tx.commit().await.unwrap();
    answers
}

async fn a_request_is_claimed_once(db: TestDatabase) {
    let store = opened(&db).await;
    for (wanted, expected) in [
        (vec![], vec![]),
        (vec![claim(2, "a"), claim(1, "a")], vec![Claim::New, Claim::New]),
        (vec![claim(1, "a"), claim(1, "b"), claim(3, "c")], vec![same(1), Claim::OtherContent, Claim::New]),
        // Within one call the first is new, its repetitions are measured against it.
        (vec![claim(4, "a"), claim(4, "a"), claim(4, "b")], vec![Claim::New, same(4), Claim::OtherContent]),
        // The same id of another participant is another request.
        (vec![RequestClaim { participant: region("130000"), ..claim(1, "z") }], vec![Claim::New]),
    ] {
        assert_eq!(claims(&store, &wanted).await, expected, "{wanted:?}");
    }
}

async fn a_claim_waits_for_the_other_transaction(db: TestDatabase) {
    let store = opened(&db).await;
    for (n, commits, expected) in [(1, true, Claim::OtherContent), (2, false, Claim::New)] {
        let mut first = store.begin_write().await.unwrap();
        assert_eq!(first.claim_requests(&[claim(n, "a")]).await.unwrap(), [Claim::New]);
        let second = tokio::spawn({
            let store = store.clone();
            async move { claims(&store, &[claim(n, "b")]).await }
        });
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(!second.is_finished(), "the second waits until the first is decided");
        if commits {
            first.commit().await.unwrap()
        } else {
            first.rollback().await.unwrap()
        }
        assert_eq!(second.await.unwrap(), [expected]);
    }
}

async fn a_released_claim_is_free_again(db: TestDatabase) {
    let store = opened(&db).await;
    let mut tx = store.begin_write().await.unwrap();
    tx.claim_requests(&[claim(1, "a"), claim(2, "a")]).await.unwrap();
    tx.release_requests(&[(region("110000"), claim(1, "a").request_id)]).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(claims(&store, &[claim(1, "other"), claim(2, "a")]).await, [Claim::New, same(2)]);
    let stored: Vec<RequestRow> =
        store.read().await.unwrap().list(&ListQuery { limit: 9, ..ListQuery::default() }).await.unwrap();
    assert_eq!(stored.len(), 2);
}

async fn however_many_claims_are_released(db: TestDatabase) {
    let store = opened(&db).await;
    let all: Vec<RequestClaim> = (0..=255).map(|n| claim(n, "a")).collect();
    let mut tx = store.begin_write().await.unwrap();
    tx.claim_requests(&all).await.unwrap();
    let released: Vec<_> = all[..200].iter().rev().map(|c| (c.participant.clone(), c.request_id)).collect();
    tx.release_requests(&released).await.unwrap();
    tx.commit().await.unwrap();
    let again = claims(&store, &all).await;
    assert!(again[..200].iter().all(|claim| *claim == Claim::New));
    assert!((200..=255).all(|n| again[usize::from(n)] == same(n)));
}

fn book() -> Book {
    "110000/care_subsidy".parse().unwrap()
}

fn unionpay() -> Participant {
    "channels/unionpay".parse().unwrap()
}

fn entitlement(elder: &str) -> Account {
    Account::entitlement(&book(), elder, &unionpay())
}

fn clearing() -> Account {
    Account::clearing(&book(), &unionpay(), "2026-11-20".parse().unwrap())
}

fn granted(elder: &str) -> Account {
    Account::granted(&book(), elder)
}

fn november() -> Month {
    "2026-11".parse().unwrap()
}

fn transfer(leaf: &str, line: i64, layer: Layer, debit: Account, credit: Account, fen: i64) -> TransferRow {
    let transfer = match layer {
        Layer::Posted => Transfer::posted(EntryKind::Confirmed, debit, credit, fen, november()),
        Layer::Held => Transfer::held(EntryKind::Authorised, debit, credit, fen, november()),
    };
    transfer.into_row(leaf, line)
}

async fn book_all(store: &Store, transfers: Vec<TransferRow>) -> Result<(), StoreError> {
    let mut tx = store.begin_write().await?;
    tx.write(&Effects { transfers, ..Effects::default() }).await?;
    tx.commit().await
}

async fn balances_are_the_sums_of_transfers(db: TestDatabase) {
    let store = opened(&db).await;
    use Layer::{Held, Posted};
    // One batch per line: layer, debit, credit, fen; then posted and held of wang's entitlement.
    let batches = [
        (vec![(Posted, granted("wang"), entitlement("wang"), 60_000)], (60_000, 0)),
        (vec![(Held, entitlement("wang"), clearing(), 20_000)], (60_000, -20_000)),
        (
            vec![
                (Held, clearing(), entitlement("wang"), 20_000),
                (Posted, entitlement("wang"), clearing(), 20_000),
                (Posted, entitlement("li"), clearing(), 5_000),
            ],
            (40_000, 0),
        ),
        (vec![(Held, entitlement("wang"), clearing(), 100), (Held, clearing(), entitlement("wang"), 100)], (40_000, 0)),
    ];
    for (n, (lines, expected)) in batches.into_iter().enumerate() {
        let rows = lines
            .into_iter()
            .zip(0..)
            .map(|((layer, debit, credit, fen), line)| transfer(&format!("leaf {n}"), line, layer, debit, credit, fen));
        book_all(&store, rows.collect()).await.unwrap();
        let row: AccountRow = store.read().await.unwrap().get(key![entitlement("wang")]).await.unwrap().unwrap();
        assert_eq!((row.posted_fen, row.held_fen), expected, "after batch {n}");
    }
    let mut session = store.read_at_once().await.unwrap();
    let clearing: AccountRow = session.get(key![clearing()]).await.unwrap().unwrap();
    assert_eq!((clearing.posted_fen, clearing.held_fen), (25_000, 0));
    assert_eq!((clearing.book, clearing.kind.as_str()), (book(), "clearing"));

    let lines = |rows: Vec<jjj_store::TrialBalanceRow>| {
        rows.iter().map(|r| format!("{} {} {} {}", r.layer, r.kind, r.debit_fen, r.credit_fen)).collect::<Vec<_>>()
    };
    let all = lines(session.trial_balance(None).await.unwrap());
    let expected = [
        "held clearing 20100 20100",
        "held entitlement 20100 20100",
        "posted clearing 0 25000",
        "posted entitlement 25000 60000",
        "posted granted 60000 0",
    ];
    assert_eq!(all, expected);
    assert_eq!(lines(session.trial_balance(Some(&book())).await.unwrap()), all);
    let other = "120000/care_subsidy".parse().unwrap();
    assert_eq!(session.trial_balance(Some(&other)).await.unwrap(), []);
}

async fn many_batches_add_to_one_account(db: TestDatabase) {
    // Two gateways on one database.
    let stores = [opened(&db).await, Store::open(db.url()).await.unwrap()];
    let batches = (0..40).map(|n| {
        let store = stores[n % 2].clone();
        tokio::spawn(async move {
            let rows = (0..5).map(|line| {
                transfer(&format!("leaf {n}"), line, Layer::Posted, entitlement(&format!("e{line}")), clearing(), 7)
            });
            book_all(&store, rows.collect()).await
        })
    });
    for batch in batches.collect::<Vec<_>>() {
        batch.await.unwrap().unwrap();
    }
    let mut session = stores[0].read().await.unwrap();
    let account: AccountRow = session.get(key![clearing()]).await.unwrap().unwrap();
    assert_eq!(account.posted_fen, 40 * 5 * 7);
    assert_eq!(session.count(TransferRow::spec(), &ListQuery::default()).await.unwrap(), 200);
}

async fn what_is_read_beside_a_transaction_is_of_its_moment(db: TestDatabase) {
    let store = opened(&db).await;
    claims(&store, &[claim(1, "before")]).await;
    let mut tx = store.begin_write_at_once().await.unwrap();
    assert_eq!(tx.claim_requests(&[claim(2, "its own")]).await.unwrap(), [Claim::New]);
    if store.dialect() == Dialect::Postgres {
        // On SQLite nobody else could.
        claims(&store, &[claim(3, "since")]).await;
    }
    let mut beside = store.read_beside(&mut tx).await.unwrap();
    let requests = async |session: &mut Session| {
        let found = session.list::<RequestRow>(&ListQuery { limit: 9, ..ListQuery::default() }).await.unwrap();
        found.into_iter().map(|row| row.content_digest).collect::<Vec<_>>()
    };
    assert_eq!(requests(&mut beside).await, ["before"]);
    assert_eq!(requests(tx.session()).await, ["before", "its own"]);
    tx.commit().await.unwrap();
    assert_eq!(requests(&mut beside).await, ["before"], "one moment throughout");
    let mut now = store.read().await.unwrap();
    assert!(requests(&mut now).await.contains(&"its own".to_owned()));
}

/// Commits keep coming while the log is moved into the database: it begins anew all the same, long before the writer
/// would have to move it.
#[tokio::test(flavor = "multi_thread")]
async fn the_write_ahead_log_begins_anew_under_load() {
    const COMMIT_BYTES: usize = 256 << 10;
    const COMMITS: i64 = 40;
    const ROUNDS: i64 = 8;
    let db = TestDatabase::sqlite();
    let store = opened(&db).await;
    let commits = async move |store: Store, round: i64| {
        for n in 0..COMMITS {
            let mut tx = store.begin_write().await.unwrap();
            let ciphertext = vec![n as u8; COMMIT_BYTES];
            tx.put(&[FileChunkRow { file: "f".into(), chunk_index: round * COMMITS + n, ciphertext }]).await.unwrap();
            tx.commit().await.unwrap();
        }
    };
    for round in 0..ROUNDS {
        // On a thread of theirs: what is joined in one task waits for SQLite's writer.
        let committing = tokio::spawn(commits(store.clone(), round));
        store.checkpoint_wal().await.unwrap();
        committing.await.unwrap();
    }
    let path = db.url().strip_prefix("sqlite:").unwrap();
    let log_bytes = std::fs::metadata(format!("{path}-wal")).unwrap().len();
    assert!(log_bytes < 48 << 20, "the writer moves it from 64 MiB on: {log_bytes}");
}

async fn another_connections_write_is_noticed_where_there_is_one_writer(db: TestDatabase) {
    let (store, other) = (opened(&db).await, Store::open(db.url()).await.unwrap());
    let mark = async || {
        let mut tx = store.begin_write().await.unwrap();
        let (_, mark) = tx.begun().await.unwrap();
        tx.rollback().await.unwrap();
        mark
    };
    let write = async |by: &Store, n| {
        let mut tx = by.begin_write().await.unwrap();
        assert_eq!(tx.claim_requests(&[claim(n, "content")]).await.unwrap(), [Claim::New]);
        tx.commit().await.unwrap();
    };
    let first = mark().await;
    assert_eq!(first.is_some(), store.dialect() == Dialect::Sqlite, "on PostgreSQL others always may");
    write(&store, 1).await;
    assert_eq!(mark().await, first, "its own");
    write(&other, 2).await;
    let second = mark().await;
    assert_eq!(second == first, first.is_none());
    assert_eq!(mark().await, second);
}

async fn nothing_of_a_failed_transaction_stays(db: TestDatabase) {
    let store = opened(&db).await;
    let row = transfer("leaf", 0, Layer::Posted, entitlement("wang"), clearing(), 5);
    book_all(&store, vec![row.clone()]).await.unwrap();
    for (what, bad, kind) in [
        ("the same transfer again", row.clone(), ConflictKind::Unique),
        ("to itself", TransferRow { line: 1, credit: row.debit.clone(), ..row.clone() }, ConflictKind::Rule),
        ("nothing", TransferRow { line: 2, amount_fen: 0, ..row.clone() }, ConflictKind::Rule),
        ("less than nothing", TransferRow { line: 3, amount_fen: -5, ..row.clone() }, ConflictKind::Rule),
    ] {
        let mut tx = store.begin_write().await.unwrap();
        tx.claim_requests(&[claim(1, "a")]).await.unwrap();
        let error = tx.write(&Effects { transfers: vec![bad], ..Effects::default() }).await.unwrap_err();
        assert!(matches!(error, StoreError::Conflict { kind: k, .. } if k == kind), "{what}: {error:?}");
        assert_eq!(error.retryable(), kind == ConflictKind::Unique, "{what}");
        let commit = tx.commit().await;
        assert!(
            matches!(commit, Err(StoreError::Aborted)),
            "{what}: a failed transaction is not committed: {commit:?}"
        );
    }
    // Dropped, as when its task is cancelled.
    let mut tx = store.begin_write().await.unwrap();
    tx.claim_requests(&[claim(1, "a")]).await.unwrap();
    drop(tx);
    assert_eq!(claims(&store, &[claim(1, "b")]).await, [Claim::New]);
    let account: AccountRow = store.read().await.unwrap().get(key![clearing()]).await.unwrap().unwrap();
    assert_eq!(account.posted_fen, 5);
}

async fn snapshots_load_rows_and_absences(db: TestDatabase) {
    let store = opened(&db).await;
    book_all(&store, vec![transfer("leaf", 0, Layer::Posted, entitlement("wang"), clearing(), 5)]).await.unwrap();
    let mut snapshot = Snapshot::default();
    // A decision asks, misses, and is served in one go.
    assert!(snapshot.get::<AccountRow>(key![clearing()]).is_err());
    assert!(snapshot.get::<AccountRow>(key![entitlement("li")]).is_err());
    assert!(snapshot.list::<AccountRow>(&["book"], key![book()]).is_err());
    let misses: Vec<Load> = snapshot.take_misses();
    let mut tx = store.begin_write().await.unwrap();
    tx.load(&misses, &mut snapshot).await.unwrap();
    assert_eq!(snapshot.get::<AccountRow>(key![clearing()]).unwrap().unwrap().posted_fen, 5);
    assert_eq!(snapshot.get::<AccountRow>(key![entitlement("li")]).unwrap(), None);
    assert_eq!(snapshot.list::<AccountRow>(&["book"], key![book()]).unwrap().len(), 2);
    tx.rollback().await.unwrap();
}

async fn uploads_take_chunks_in_order(db: TestDatabase) {
    let store = opened(&db).await;
    let upload = UploadRow {
        upload: "u1".into(),
        participant: unionpay(),
        declared_bytes: 100,
        declared_digest: "00".into(),
        wrapped_key: "wrapped".into(),
        received_bytes: 0,
        next_chunk: 0,
        begun_at_us: Timestamp(1),
    };
    assert_eq!(store.begin_upload(&upload, 2).await.unwrap(), Begun::NotAwaited, "there is no such file");
    let mut raw = Raw::open(&db).await;
    let file = |name: &str| {
        let value = |column: &ColumnSpec| match (column.name, column.ty, column.choices.first()) {
            ("file", ..) => Value::Text(name.into()),
            (_, ColumnType::Int, _) => Value::Int(1),
            (_, ColumnType::Bytes, _) => Value::Bytes(vec![1]),
            (_, ColumnType::Text, choice) => Value::Text(choice.copied().unwrap_or("x").into()),
        };
        FileRow::spec().columns.iter().map(value).collect::<Vec<_>>()
    };
    for name in ["u1", "u2", "u3"] {
        raw.insert(FileRow::spec(), &file(name)).await;
    }
    assert_eq!(store.begin_upload(&upload, 2).await.unwrap(), Begun::UnderWay);
    let chunk = |chunk_index| FileChunkRow { file: "u1".into(), chunk_index, ciphertext: vec![chunk_index as u8; 70] };
    for (what, chunk, plain_bytes, expected) in [
        ("not the first", chunk(1), 10, None),
        ("the first", chunk(0), 60, Some(60)),
        ("the first again", chunk(0), 60, None),
        ("more than declared", chunk(1), 41, None),
        ("the last", chunk(1), 40, Some(100)),
    ] {
        assert_eq!(store.append_chunk(&chunk, plain_bytes).await.unwrap(), expected, "{what}");
    }
    assert_eq!(store.begin_upload(&upload, 2).await.unwrap(), Begun::UnderWay);
    for (name, begun) in [("u2", Begun::UnderWay), ("u3", Begun::TooMany), ("u1", Begun::UnderWay)] {
        let other = UploadRow { upload: name.into(), ..upload.clone() };
        assert_eq!(store.begin_upload(&other, 2).await.unwrap(), begun, "{name}");
    }
    let mut session = store.read().await.unwrap();
    assert_eq!(session.upload("u1").await.unwrap().unwrap().next_chunk, 2, "begun again, nothing is lost");
    assert_eq!(session.file_chunks("u1", 0, 9).await.unwrap(), [chunk(0), chunk(1)]);
    assert_eq!(session.file_chunks("u1", 1, 9).await.unwrap(), [chunk(1)]);

    for (finish, chunks) in [(true, 2), (false, 0)] {
        let mut tx = store.begin_write().await.unwrap();
        if finish {
            tx.finish_upload("u1").await.unwrap()
        } else {
            tx.abandon_upload("u1").await.unwrap()
        }
        tx.commit().await.unwrap();
        let mut session = store.read().await.unwrap();
        assert_eq!(session.upload("u1").await.unwrap(), None);
        assert_eq!(session.file_chunks("u1", 0, 9).await.unwrap().len(), chunks);
    }

    // Swept: with its chunks while the file is awaited, without them when it is complete.
    let later = UploadRow { begun_at_us: Timestamp(2), ..upload.clone() };
    for (complete, chunks) in [(false, 0), (true, 1)] {
        assert_eq!(store.begin_upload(&later, 2).await.unwrap(), Begun::UnderWay);
        store.append_chunk(&chunk(0), 60).await.unwrap();
        store.sweep_upload(&upload).await.unwrap();
        assert!(store.read().await.unwrap().upload("u1").await.unwrap().is_some(), "begun anew: left alone");
        if complete {
            raw.run("UPDATE files SET state = 'RECEIVED' WHERE file = 'u1'").await;
        }
        store.sweep_upload(&later).await.unwrap();
        let mut session = store.read().await.unwrap();
        assert_eq!(session.upload("u1").await.unwrap(), None);
        assert_eq!(session.file_chunks("u1", 0, 9).await.unwrap().len(), chunks);
    }
    assert_eq!(store.begin_upload(&upload, 2).await.unwrap(), Begun::NotAwaited, "it is complete");
}

async fn the_clock_is_the_databases(db: TestDatabase) {
    let store = opened(&db).await;
    let mut tx = store.begin_write().await.unwrap();
    let first = tx.now().await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    let second = tx.now().await.unwrap();
    // Not the transaction's beginning: it moves within one.
    assert!(second.0 - first.0 >= 15_000, "{first:?} {second:?}");
    let here = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_micros() as i64;
    assert!((here - second.0).abs() < 60_000_000, "microseconds since 1970");
}

async fn pages_continue_after_their_last_key(db: TestDatabase) {
    let store = opened(&db).await;
    let rows = (0..23)
        .map(|n| transfer(&format!("leaf {}", n / 3), n % 3, Layer::Posted, entitlement("wang"), clearing(), n + 1));
    book_all(&store, rows.collect()).await.unwrap();
    let mut session = store.read().await.unwrap();
    let (mut after_key, mut amounts, mut pages) = (None, Vec::new(), 0);
    loop {
        let predicates = vec![("debit", jjj_store::Op::Eq, Value::Text(entitlement("wang").to_string()))];
        let query = ListQuery { predicates, reader: Some("regions/110000"), after_key, limit: 5 };
        let page: Vec<TransferRow> = session.list(&query).await.unwrap();
        let Some(last) = page.last() else { break };
        after_key = Some(key![last.leaf_id, last.line]);
        amounts.extend(page.iter().map(|row| row.amount_fen));
        pages += 1;
    }
    assert_eq!((amounts, pages), ((1..=23).collect(), 5));
}

async fn account_locked(tx: &mut WriteTx, account: Account, exclusive: bool) -> Result<(), StoreError> {
    let row = [(AccountRow::spec(), key![account])];
    if exclusive { tx.lock(&[], &row).await } else { tx.lock(&row, &[]).await }
}

/// Locks are PostgreSQL's: SQLite has one writer.
#[tokio::test]
async fn relied_on_rows_are_shared_and_written_ones_are_not() {
    let db = TestDatabase::postgres();
    let store = opened(&db).await;
    book_all(&store, vec![transfer("leaf", 0, Layer::Posted, entitlement("wang"), clearing(), 5)]).await.unwrap();
    for (first, second, waits) in [(false, false, false), (false, true, true), (true, false, true), (true, true, true)]
    {
        let mut one = store.begin_write().await.unwrap();
        account_locked(&mut one, clearing(), first).await.unwrap();
        let mut two = store.begin_write().await.unwrap();
        // A row that is not there locks nothing; another row is another lock.
        account_locked(&mut two, entitlement("nobody"), true).await.unwrap();
        account_locked(&mut two, entitlement("wang"), true).await.unwrap();
        let locked = tokio::time::timeout(Duration::from_millis(200), account_locked(&mut two, clearing(), second));
        assert_eq!(locked.await.is_err(), waits, "exclusive {first} then {second}");
        one.rollback().await.unwrap();
        assert_eq!(two.commit().await.is_err(), waits, "an abandoned statement spoils its transaction");
    }
}

/// Entitlements with five fen each.
async fn six_funded(store: &Store) -> Vec<Account> {
    let accounts: Vec<Account> = (0..6).map(|n| entitlement(&format!("e{n}"))).collect();
    let funding =
        accounts.iter().zip(0..).map(|(a, line)| transfer("leaf", line, Layer::Posted, clearing(), a.clone(), 5));
    book_all(store, funding.collect()).await.unwrap();
    accounts
}

/// Whether locks of several rows go in one statement, as they do when they come again, or, because they alternate along a
/// table's keys, in several.
#[tokio::test]
async fn every_row_of_many_is_locked_as_asked() {
    let db = TestDatabase::postgres();
    let store = opened(&db).await;
    let accounts = six_funded(&store).await;
    assert_eq!(claims(&store, &[claim(1, "a")]).await, [Claim::New]);
    let request = (RequestRow::spec(), key![region("110000"), claim(1, "a").request_id]);
    let in_a_row = |n: usize| n < 3;
    for is_shared in [in_a_row, in_a_row, |n: usize| n.is_multiple_of(2)] {
        let mut asked: Vec<_> =
            accounts.iter().enumerate().map(|(n, a)| ((AccountRow::spec(), key![a.clone()]), is_shared(n))).collect();
        asked.push((request.clone(), false));
        let of =
            |shared: bool| asked.iter().filter(|(_, s)| *s == shared).map(|(row, _)| row.clone()).collect::<Vec<_>>();
        let mut one = store.begin_write().await.unwrap();
        one.lock(&of(true), &of(false)).await.unwrap();
        for (row, shared) in &asked {
            for exclusive in [false, true] {
                let mut two = store.begin_write().await.unwrap();
                two.wait_for_locks(Duration::from_millis(50)).await.unwrap();
                let row = std::slice::from_ref(row);
                let locked = if exclusive { two.lock(&[], row).await } else { two.lock(row, &[]).await };
                assert_eq!(locked.is_ok(), *shared && !exclusive, "{row:?}, exclusive: {exclusive}");
            }
        }
        one.rollback().await.unwrap();
    }
}

/// A batch's time is later than whatever it waited for, by one statement or by several.
#[tokio::test]
async fn the_clock_that_locks_tell_was_read_when_all_were_held() {
    let db = TestDatabase::postgres();
    let store = opened(&db).await;
    let mut watch = Raw::connect(&db).await;
    let accounts = six_funded(&store).await;
    let row = |n: usize| (AccountRow::spec(), key![accounts[n].clone()]);
    // The second goes in one statement when it comes again.
    let together = || vec![row(1), row(2)];
    for share in [vec![], together(), together(), vec![row(1), row(4)], vec![row(0), row(2), row(4)]] {
        let mut one = store.begin_write().await.unwrap();
        one.lock(&[], &[row(3)]).await.unwrap();
        let waiting = tokio::spawn({
            let (store, row) = (store.clone(), row(3));
            async move {
                let mut two = store.begin_write().await?;
                two.lock(&share, &[row]).await?;
                two.now().await
            }
        });
        while watch.waiting().await == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(!waiting.is_finished());
        // The first tells what its lock told.
        let told = one.now().await.unwrap();
        let released = one.now().await.unwrap();
        assert!(released.0 - told.0 >= 100_000, "{told:?} {released:?}");
        one.rollback().await.unwrap();
        assert!(waiting.await.unwrap().unwrap() > released);
    }
}

/// … and what a claim tells, than the transaction it waited for; also where there was nothing left to claim.
#[tokio::test]
async fn the_clock_that_claims_tell_was_read_when_they_were_decided() {
    let db = TestDatabase::postgres();
    let store = opened(&db).await;
    let mut watch = Raw::connect(&db).await;
    for (n, commits, expected) in [(1, false, Claim::New), (2, true, same(2))] {
        let mut one = store.begin_write().await.unwrap();
        one.claim_requests(&[claim(n, "a")]).await.unwrap();
        let waiting = tokio::spawn({
            let store = store.clone();
            async move {
                let mut two = store.begin_write().await.unwrap();
                let claims = two.claim_requests(&[claim(n, "a")]).await.unwrap();
                (claims, two.begun().await.unwrap().0)
            }
        });
        while watch.waiting().await == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(!waiting.is_finished());
        let told = one.begun().await.unwrap().0;
        let released = one.now().await.unwrap();
        assert!(released.0 - told.0 >= 100_000, "{told:?} {released:?}");
        if commits {
            one.commit().await.unwrap()
        } else {
            one.rollback().await.unwrap()
        }
        let (claims, begun) = waiting.await.unwrap();
        assert_eq!(claims, [expected]);
        assert!(begun > released, "{begun:?} {released:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_that_lock_in_any_order_do_not_wait_for_one_another() {
    let db = TestDatabase::postgres();
    let store = opened(&db).await;
    let accounts = six_funded(&store).await;
    let batches = (0..24usize).map(|n| {
        let (store, accounts) = (store.clone(), accounts.clone());
        tokio::spawn(async move {
            let row = |i: usize| (AccountRow::spec(), key![accounts[(n * 5 + i * (1 + n % 5)) % 6]]);
            let mut tx = store.begin_write().await?;
            tx.lock(&[row(0), row(1), row(2)], &[row(3), row(4)]).await?;
            tokio::time::sleep(Duration::from_millis(5)).await;
            tx.commit().await
        })
    });
    for batch in batches.collect::<Vec<_>>() {
        batch.await.unwrap().expect("no deadlock");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadlock_is_a_conflict_to_be_decided_anew() {
    let db = TestDatabase::postgres();
    let store = opened(&db).await;
    let rows = [entitlement("a"), entitlement("b")];
    let funding = rows.iter().zip(0..).map(|(a, line)| transfer("leaf", line, Layer::Posted, clearing(), a.clone(), 5));
    book_all(&store, funding.collect()).await.unwrap();
    let mut one = store.begin_write().await.unwrap();
    let mut two = store.begin_write().await.unwrap();
    account_locked(&mut one, rows[0].clone(), true).await.unwrap();
    account_locked(&mut two, rows[1].clone(), true).await.unwrap();
    let (first, second) = tokio::join!(account_locked(&mut one, rows[1].clone(), true), async {
        let result = account_locked(&mut two, rows[0].clone(), true).await;
        two.rollback().await.unwrap();
        result
    });
    let lost: Vec<_> = [first, second].into_iter().filter_map(Result::err).collect();
    assert_eq!(lost.len(), 1);
    assert!(matches!(lost[0], StoreError::Conflict { kind: ConflictKind::Deadlock, .. }), "{lost:?}");
    assert!(lost[0].retryable());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_server_is_retryable_before_the_commit_and_unknown_at_it() {
    let mut cluster = PrivateCluster::start();
    let store = Store::open(&cluster.create("gateway")).await.unwrap();
    store.migrate().await.unwrap();
    assert_eq!(claims(&store, &[claim(1, "a")]).await, [Claim::New]);

    let mut before = store.begin_write().await.unwrap();
    let mut at = store.begin_write().await.unwrap();
    at.claim_requests(&[claim(3, "a")]).await.unwrap();
    cluster.kill();
    let error = before.claim_requests(&[claim(2, "a")]).await.unwrap_err();
    assert!(error.retryable() && matches!(error, StoreError::Unavailable(_)), "{error:?}");
    let error = at.commit().await.unwrap_err();
    assert!(matches!(error, StoreError::UnknownCommit(_)), "{error:?}");
    drop(before);

    cluster.restart();
    assert_eq!(claims(&store, &[claim(1, "a"), claim(2, "a"), claim(3, "a")]).await, [same(1), Claim::New, Claim::New]);
}

#[tokio::test]
async fn other_urls_are_no_stores() {
    // What a URL adds to its path, one of SQLite's two drivers would not heed.
    for url in ["", "mysql://localhost/x", "/tmp/jjj.db", "sqlite", "sqlite:/nowhere/jjj.db?mode=ro"] {
        assert!(matches!(Store::open(url).await, Err(StoreError::Url)), "{url}");
    }
}

/// Nobody keeps the engine's own connection from it by that.
async fn a_small_write_waits_for_few_others_and_not_without_end(db: TestDatabase) {
    let store = opened(&db).await;
    let at_once = if db.is_postgres() { 2 } else { 1 };
    let mut held = Vec::new();
    for _ in 0..at_once {
        held.push(store.begin_small_write().await.unwrap());
    }
    let refused = store.begin_small_write().await.map(drop).expect_err("no place");
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused:?}");
    held.pop().unwrap().rollback().await.unwrap();
    store.begin_small_write().await.expect("a place").rollback().await.unwrap();
    for tx in held {
        tx.rollback().await.unwrap();
    }
    store.begin_write().await.unwrap().rollback().await.unwrap();
}
