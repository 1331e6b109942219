//! The schema is what the tables' declarations say, on both databases, and every
//! generated statement of every table runs.

use std::collections::BTreeMap;
use std::time::Duration;

use jjj_domain::decision::{Erasure, Write};
use jjj_domain::payment::{PaymentQueryRow, PaymentRow};
use jjj_domain::row::{ColumnSpec, Row as _, TableKind, TableSpec};
use jjj_domain::snapshot::{Absent, Load};
use jjj_domain::time::Timestamp;
use jjj_domain::value::{ColumnType, Value};
use jjj_store::dialect::Dialect;
use jjj_store::schema::{initial_migration, tables};
use jjj_store::{ConflictKind, Effects, ListQuery, Op, POSTGRES_WRITE_SETTINGS, RESERVED_AFTER, Store, StoreError};
use jjj_tests::both_databases;
use jjj_tests::postgres::TestDatabase;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row, SqliteConnection};

#[test]
fn the_committed_migration_is_the_generated_one() {
    for (dialect, committed) in [
        (Dialect::Sqlite, include_str!("../../migrations/sqlite/0001_initial.sql")),
        (Dialect::Postgres, include_str!("../../migrations/postgres/0001_initial.sql")),
    ] {
        let same = committed == initial_migration(dialect);
        assert!(same, "{dialect:?}: run `cargo run -p jjj-store --example migration`");
    }
}

/// A column's position is a bit of a `ColumnSet`.
#[test]
fn no_table_has_more_columns_than_a_set_holds() {
    for spec in tables() {
        assert!(spec.columns.len() <= 64, "{}", spec.name);
    }
}

/// `.cargo/config.toml`: without them a day's run takes half as long again.
#[tokio::test]
async fn sqlite_has_no_mutex_of_the_whole_process() {
    let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
    let rows = sqlx::query("PRAGMA compile_options").fetch_all(&mut connection).await.unwrap();
    let options: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert!(options.iter().any(|option| option == "DEFAULT_MEMSTATUS=0"), "{options:?}");
    assert!(options.iter().all(|option| option != "ENABLE_MEMORY_MANAGEMENT"), "{options:?}");
}

both_databases!(
    the_migrated_schema_is_the_declared_one,
    migrating_twice_changes_nothing,
    a_newer_schema_is_refused,
    a_schema_of_another_build_is_refused,
    every_statement_of_every_table_runs,
    append_only_tables_refuse_change,
    rows_loaded_together_are_those_loaded_apart,
    rows_written_together_are_all_written,
    every_load_goes_by_an_index,
    reservations_are_found_by_their_own_index,
    private_rows_can_be_erased,
);

async fn migrated(db: &TestDatabase) -> Store {
    let store = Store::open(db.url()).await.unwrap();
    store.migrate().await.unwrap();
    store
}

async fn the_migrated_schema_is_the_declared_one(db: TestDatabase) {
    let store = migrated(&db).await;
    let declared: Vec<(String, String, String, bool)> = tables()
        .into_iter()
        .flat_map(|spec| spec.columns.iter().map(move |column| (spec, column)))
        .map(|(spec, column)| {
            let ty = match (column.ty, store.dialect()) {
                (ColumnType::Int, Dialect::Sqlite) => "INTEGER",
                (ColumnType::Int, Dialect::Postgres) => "bigint",
                (ColumnType::Text, Dialect::Sqlite) => "TEXT",
                (ColumnType::Text, Dialect::Postgres) => "text",
                (ColumnType::Bytes, Dialect::Sqlite) => "BLOB",
                (ColumnType::Bytes, Dialect::Postgres) => "bytea",
            };
            (spec.name.to_owned(), column.name.to_owned(), ty.to_owned(), column.nullable)
        })
        .collect();
    let mut found = columns(&db).await;
    // Tables in the order of their declaration.
    let place = |table: &str| tables().iter().position(|spec| spec.name == table);
    found.retain(|(table, ..)| table != "schema_versions" && table != "sqlite_sequence");
    found.sort_by_key(|(table, ..)| place(table));
    assert_eq!(found, declared);
    store.close().await;
}

/// Table, column, type, nullable: columns in their order.
async fn columns(db: &TestDatabase) -> Vec<(String, String, String, bool)> {
    if db.is_postgres() {
        let sql = "SELECT table_name::text, column_name::text, data_type::text, is_nullable::text = 'YES' \
             FROM information_schema.columns WHERE table_schema = 'public' ORDER BY table_name, ordinal_position";
        let mut connection = PgConnection::connect(db.url()).await.unwrap();
        let rows = sqlx::query(sql).fetch_all(&mut connection).await.unwrap();
        rows.iter().map(|r| (r.get(0), r.get(1), r.get(2), r.get(3))).collect()
    } else {
        let sql = "SELECT t.name, c.name, c.type, c.\"notnull\" = 0 FROM sqlite_schema AS t \
             JOIN pragma_table_xinfo(t.name) AS c WHERE t.type = 'table' ORDER BY t.name, c.cid";
        let mut connection = SqliteConnection::connect(db.url()).await.unwrap();
        let rows = sqlx::query(sql).fetch_all(&mut connection).await.unwrap();
        rows.iter().map(|r| (r.get(0), r.get(1), r.get(2), r.get(3))).collect()
    }
}

async fn execute(db: &TestDatabase, sql: &str) -> Result<(), StoreError> {
    let sql = AssertSqlSafe(sql.to_owned());
    if db.is_postgres() {
        let mut connection = PgConnection::connect(db.url()).await?;
        sqlx::raw_sql(sql).execute(&mut connection).await?;
    } else {
        let mut connection = SqliteConnection::connect(db.url()).await?;
        sqlx::raw_sql(sql).execute(&mut connection).await?;
    }
    Ok(())
}

async fn migrating_twice_changes_nothing(db: TestDatabase) {
    let store = Store::open(db.url()).await.unwrap();
    let unmigrated = store.check_schema().await;
    assert!(matches!(unmigrated, Err(StoreError::Schema { found: 0, .. })), "{unmigrated:?}");
    let migrate = |store: Store| tokio::spawn(async move { store.migrate().await });
    for migrating in [migrate(store.clone()), migrate(store.clone())] {
        migrating.await.unwrap().unwrap();
    }
    store.check_schema().await.unwrap();
}

async fn a_newer_schema_is_refused(db: TestDatabase) {
    let store = migrated(&db).await;
    execute(&db, "INSERT INTO schema_versions VALUES (99, 'from the future', 0)").await.unwrap();
    for refusal in [store.migrate().await, store.check_schema().await] {
        assert!(matches!(refusal, Err(StoreError::Schema { found: 99, known: 1 })), "{refusal:?}");
    }
}

/// Until the first release migrations change: a sandbox of an earlier build says so, instead of failing in some statement.
async fn a_schema_of_another_build_is_refused(db: TestDatabase) {
    let store = migrated(&db).await;
    execute(&db, "UPDATE schema_versions SET name = 'initial'").await.unwrap();
    for refusal in [store.migrate().await, store.check_schema().await] {
        assert!(matches!(refusal, Err(StoreError::OtherSchema { version: 1, .. })), "{refusal:?}");
    }
}

/// A row that the schema takes: distinct in every column that may differ.
fn sample(spec: &TableSpec, n: i64, nulls: bool) -> Vec<Value> {
    let cell = |column: &ColumnSpec| match column.ty {
        _ if column.nullable && nulls => Value::Null,
        ColumnType::Int if spec.name == "log_frontier" && column.name == "id" => Value::Int(1),
        ColumnType::Int => Value::Int(n),
        ColumnType::Text if !column.choices.is_empty() => {
            Value::Text(column.choices[n as usize % column.choices.len()].to_owned())
        }
        ColumnType::Text => Value::Text(format!("{} {n} \"乡\\'\n", column.name)),
        ColumnType::Bytes => Value::Bytes(vec![0, 255, n as u8]),
    };
    spec.columns.iter().map(cell).collect()
}

/// The row with other values, of the `n`th sample, in what need not be unique.
fn changed(spec: &TableSpec, row: &[Value], n: i64) -> Vec<Value> {
    let stays = |c: &ColumnSpec| spec.key.iter().chain(spec.unique.concat().iter()).any(|k| *k == c.name);
    let cells = spec.columns.iter().zip(row).zip(sample(spec, n, false));
    cells.map(|((c, old), new)| if stays(c) { old.clone() } else { new }).collect()
}

async fn write(store: &Store, spec: &'static TableSpec, rows: &[Vec<Value>]) -> Result<(), StoreError> {
    let mut tx = store.begin_write().await?;
    let write = |values: &Vec<Value>| Write { spec, values: values.clone().into(), person: None };
    tx.write(&Effects { writes: rows.iter().map(write).collect(), ..Effects::default() }).await?;
    tx.commit().await
}

/// All tables but the queue, whose key the database draws (see `store_log.rs`).
fn written() -> impl Iterator<Item = &'static TableSpec> {
    tables().into_iter().filter(|spec| spec.name != "leaf_pending")
}

async fn every_statement_of_every_table_runs(db: TestDatabase) {
    let store = migrated(&db).await;
    for spec in written() {
        let count = if spec.name == "log_frontier" { 1 } else { 3 };
        let mut rows: Vec<Vec<Value>> = (1..=count).map(|n| sample(spec, n, n == 3)).collect();
        write(&store, spec, &rows).await.unwrap_or_else(|e| panic!("{}: {e:?}", spec.name));
        if spec.kind != TableKind::AppendOnly {
            // Written again, changed; the last write of a batch wins.
            let again: Vec<_> = rows.iter().map(|row| changed(spec, row, 7)).collect();
            write(&store, spec, &[again.clone(), rows.clone()].concat()).await.unwrap();
            let mut session = store.read().await.unwrap();
            assert_eq!(sorted(session.scan(spec, None, 10).await.unwrap()), sorted(rows.clone()), "{}", spec.name);
            drop(session);
            write(&store, spec, &again).await.unwrap();
            rows = again;
        }

        let mut session = store.read_at_once().await.unwrap();
        let scanned = session.scan(spec, None, 10).await.unwrap();
        assert_eq!(sorted(scanned.clone()), sorted(rows.clone()), "{}", spec.name);
        assert!(scanned.is_sorted_by_key(|row| spec.key_of(row)), "{}: one key order on both databases", spec.name);
        let after = session.scan(spec, Some(spec.key_of(&scanned[0])), 10).await.unwrap();
        assert_eq!(after, scanned[1..], "{}", spec.name);

        for columns in std::iter::once(&spec.key).chain(spec.indexes) {
            let mut loads: Vec<Load> =
                rows.iter().map(|row| Load { spec, columns, values: spec.pick(columns, row) }).collect();
            loads.push(Load { spec, columns, values: spec.pick(columns, &sample(spec, 99, false)) });
            for (load, found) in loads.iter().zip(session.load_values(&loads).await.unwrap()) {
                let expected = rows.iter().filter(|row| spec.pick(columns, row) == load.values).cloned().collect();
                assert_eq!(sorted(found), sorted(expected), "{} by {columns:?}", spec.name);
            }
        }
        let some = |value: &Value| if *value == Value::Null { Op::Eq } else { Op::Ge };
        let predicates = spec.columns.iter().zip(&scanned[0]).map(|(c, v)| (c.name, some(v), v.clone())).collect();
        let query = ListQuery { predicates, reader: Some("nobody"), after_key: None, limit: 5 };
        let readable = session.list_values(spec, &query).await.unwrap();
        assert_eq!(session.count(spec, &query).await.unwrap(), readable.len() as i64);
        if !spec.readers.is_empty() {
            assert_eq!(readable, Vec::<Vec<Value>>::new(), "{} is read by its readers only", spec.name);
            for column in spec.readers {
                let Value::Text(reader) = &scanned[0][spec.column(column).unwrap()] else { continue };
                let query = ListQuery { reader: Some(reader), limit: 5, ..ListQuery::default() };
                assert!(session.list_values(spec, &query).await.unwrap().contains(&scanned[0]), "{}", spec.name);
            }
        } else {
            assert!(readable.contains(&scanned[0]), "{}", spec.name);
        }
    }
}

/// On PostgreSQL many tables are asked in one statement when their combination comes again and some thousand rows
/// are wanted at most, else one by one: either way what each load finds is what it finds alone.
async fn rows_loaded_together_are_those_loaded_apart(db: TestDatabase) {
    let store = migrated(&db).await;
    let mut loads = Vec::new();
    for spec in written() {
        let count = if spec.name == "log_frontier" { 1 } else { 3 };
        let rows: Vec<Vec<Value>> = (1..=count).map(|n| sample(spec, n, n == 3)).collect();
        write(&store, spec, &rows).await.unwrap();
        let asked = [rows, vec![sample(spec, 99, false)]].concat();
        for columns in std::iter::once(&spec.key).chain(spec.indexes) {
            loads.extend(asked.iter().map(|row| Load { spec, columns, values: spec.pick(columns, row) }));
        }
    }
    let mut session = store.read().await.unwrap();
    let mut apart = Vec::new();
    for load in &loads {
        apart.push(session.load_values(std::slice::from_ref(load)).await.unwrap().remove(0));
    }
    assert!(apart.iter().filter(|found| !found.is_empty()).count() > 200, "{}", loads.len());
    for times in 1..=2 {
        assert_eq!(session.load_values(&loads).await.unwrap(), apart, "all of them, {times} times");
    }
    let absent =
        |n| Load { values: loads[0].spec.pick(loads[0].columns, &sample(loads[0].spec, n, false)), ..loads[0].clone() };
    let many: Vec<Load> = (100..9_000).map(absent).chain(loads.iter().cloned()).collect();
    let mut found = session.load_values(&many).await.unwrap();
    assert_eq!(found.split_off(many.len() - loads.len()), apart, "and thousands more");
    assert!(found.iter().all(Vec::is_empty), "which are not there");
    let mut asked = 0;
    for from in 0..loads.len() - 12 {
        let some = from..from + 12;
        for _ in 0..2 {
            assert_eq!(session.load_values(&loads[some.clone()]).await.unwrap(), apart[some.clone()], "from {from}");
        }
        asked += 1;
    }
    assert!(asked > 200, "more combinations than are kept: {asked}");
}

/// What a batch writes: of some tables a row that is there, changed, and a new one; what is erased.
fn effects(changed: &[(&'static TableSpec, Vec<Value>)], new: &[(&'static TableSpec, Vec<Value>)]) -> Effects {
    let write =
        |(spec, values): &(&'static TableSpec, Vec<Value>)| Write { spec, values: values.clone().into(), person: None };
    let absent: Absent = new.iter().map(|(spec, values)| (spec.name, spec.key_of(values))).collect();
    Effects { writes: changed.iter().chain(new).map(write).collect(), absent: absent.into(), ..Effects::default() }
}

/// On PostgreSQL rows of many tables go in one statement, new ones and changed ones, when their combination comes again and
/// they are some thousands at most, else table by table.
async fn rows_written_together_are_all_written(db: TestDatabase) {
    let store = migrated(&db).await;
    let commit = async |effects: Effects| {
        let mut tx = store.begin_write().await.unwrap();
        tx.write(&effects).await.unwrap();
        tx.commit().await.unwrap();
    };
    let mut expected: BTreeMap<&str, BTreeMap<Vec<Value>, Vec<Value>>> = BTreeMap::new();
    let mut expect = |rows: &[(&'static TableSpec, Vec<Value>)]| {
        for (spec, row) in rows {
            expected.entry(spec.name).or_default().insert(spec.key_of(row), row.clone());
        }
    };
    // The frontier is one row.
    let several: Vec<_> = written().filter(|spec| spec.name != "log_frontier").collect();
    let rows = |n: i64| several.iter().map(|spec| (*spec, sample(spec, n, false))).collect::<Vec<_>>();

    for first in [[rows(1), rows(2)].concat(), rows(3), rows(4)] {
        commit(effects(&[], &first)).await;
        expect(&first);
    }
    for n in 2..5 {
        let heads = rows(n).into_iter().filter(|(spec, _)| spec.kind != TableKind::AppendOnly);
        let changed: Vec<_> = heads.map(|(spec, row)| (spec, changed(spec, &row, n + 5))).collect();
        let new = rows(n + 10);
        commit(effects(&changed, &new)).await;
        expect(&changed);
        expect(&new);
    }

    // Thousands of one table, and one of each other.
    let thousands: Vec<_> = (100..9_100).map(|n| (several[0], sample(several[0], n, true))).collect();
    let all = [rows(5), thousands].concat();
    commit(effects(&[], &all)).await;
    expect(&all);

    // Every two of twenty tables.
    let mut n = 20_000;
    for (at, one) in several.iter().enumerate().take(20) {
        for other in &several[at + 1..20] {
            for _ in 0..2 {
                n += 1;
                let two = [(*one, sample(one, n, false)), (*other, sample(other, n, false))];
                commit(effects(&[], &two)).await;
                expect(&two);
            }
        }
    }
    assert!(n > 20_256, "more combinations than are kept: {n}");

    let mut session = store.read().await.unwrap();
    for spec in &several {
        let found = session.scan(spec, None, 20_000).await.unwrap();
        let expected: Vec<Vec<Value>> = expected[spec.name].values().cloned().collect();
        assert_eq!(sorted(found), sorted(expected), "{}", spec.name);
    }
}

/// Whatever tables they write, and in whatever order their decisions named the rows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_that_write_the_same_rows_wait_in_one_order() {
    let db = TestDatabase::postgres();
    let store = migrated(&db).await;
    let heads: Vec<_> =
        written().filter(|spec| spec.kind == TableKind::Head && spec.unique.is_empty()).take(5).collect();
    let rows = |spec: &'static TableSpec| (1..=40).map(move |n| (spec, sample(spec, n, false)));
    let all: Vec<_> = heads.iter().flat_map(|spec| rows(spec)).collect();
    let mut tx = store.begin_write().await.unwrap();
    tx.write(&effects(&[], &all)).await.unwrap();
    tx.commit().await.unwrap();
    let batches = (0..120usize).map(|n| {
        let chosen =
            heads.iter().enumerate().filter(|(at, _)| (n % 31 + 1) >> at & 1 == 1).flat_map(|(_, spec)| rows(spec));
        let mut chosen: Vec<_> = chosen.collect();
        chosen.rotate_left(n % 40);
        let store = store.clone();
        tokio::spawn(async move {
            let mut tx = store.begin_write().await?;
            // Long enough for every deadlock to be found.
            tx.wait_for_locks(Duration::from_secs(60)).await?;
            tx.write(&effects(&chosen, &[])).await?;
            tx.commit().await
        })
    });
    for batch in batches.collect::<Vec<_>>() {
        batch.await.unwrap().expect("no deadlock");
    }
}

fn sorted(mut rows: Vec<Vec<Value>>) -> Vec<Vec<Value>> {
    rows.sort();
    rows
}

async fn append_only_tables_refuse_change(db: TestDatabase) {
    let store = migrated(&db).await;
    for spec in written().filter(|spec| spec.kind == TableKind::AppendOnly) {
        let row = sample(spec, 1, false);
        write(&store, spec, std::slice::from_ref(&row)).await.unwrap();
        let (table, column) = (spec.name, spec.key[0]);
        for (what, sql) in
            [("update", format!("UPDATE {table} SET {column} = {column}")), ("delete", format!("DELETE FROM {table}"))]
        {
            let refused = execute(&db, &sql).await;
            let rule = matches!(refused, Err(StoreError::Conflict { kind: ConflictKind::Rule, .. }));
            assert!(rule, "{table}: {what}: {refused:?}");
        }
        let twice = write(&store, spec, std::slice::from_ref(&row)).await.unwrap_err();
        assert!(matches!(twice, StoreError::Conflict { kind: ConflictKind::Unique, .. }), "{table}: {twice:?}");
        assert_eq!(store.read().await.unwrap().scan(spec, None, 5).await.unwrap(), [row]);
    }
}

/// Of empty tables without statistics, where a planner is most tempted to read them whole.
async fn every_load_goes_by_an_index(db: TestDatabase) {
    let store = migrated(&db).await;
    for spec in tables() {
        for columns in std::iter::once(&spec.key).chain(spec.indexes) {
            let sql = store.dialect().load_statement(spec, columns);
            let plan = plan(&db, &sql, columns.len()).await;
            let whole = plan.lines().any(|line| line.contains("SCAN t") || line.contains("Seq Scan"));
            let by_index = plan.contains("SEARCH t USING") || plan.contains("Index");
            assert!(by_index && !whole, "{} by {columns:?}: {plan}", spec.name);
            // By all its columns: a rival index on the first alone would read a channel's whole history.
            let compared = plan.lines().filter(|line| line.contains("SEARCH t")).map(|line| line.matches("=?").count());
            let narrowed = match store.dialect() {
                Dialect::Sqlite => compared.sum::<usize>() == columns.len(),
                Dialect::Postgres => !plan.contains("Filter:"),
            };
            assert!(narrowed, "{} by {columns:?}: {plan}", spec.name);
        }
    }
}

/// However many payments there were, and without statistics.
async fn reservations_are_found_by_their_own_index(db: TestDatabase) {
    let store = migrated(&db).await;
    let plan =
        plan(&db, &RESERVED_AFTER.replace("$1", "0").replace("$2", "''").replace("$3", "9").replace("$4", "9"), 0)
            .await;
    assert!(plan.contains("payments_by_recorded_at_us_payment"), "{plan}");
    assert!(!plan.contains("Seq Scan") && !plan.contains("TEMP B-TREE") && !plan.contains("SCAN payments"), "{plan}");
    let spec = PaymentRow::spec();
    let payment = |n: i64, state: &str, recorded_at_us: i64| {
        let mut row = sample(spec, n, false);
        for (column, value) in [
            ("payment", Value::Text(format!("payments/{n}"))),
            ("state", Value::Text(state.to_owned())),
            ("recorded_at_us", Value::Int(recorded_at_us)),
        ] {
            row[spec.column(column).unwrap()] = value;
        }
        row
    };
    let rows =
        [(1, "RESERVED", 30), (2, "RESERVED", 20), (3, "CONFIRMED", 25), (4, "RESERVED", 20), (5, "RESERVED", 40)];
    write(&store, spec, &rows.map(|(n, state, at)| payment(n, state, at))).await.unwrap();
    let mut asked = sample(PaymentQueryRow::spec(), 77, false);
    asked[0] = Value::Text("payments/4".into());
    write(&store, PaymentQueryRow::spec(), &[asked]).await.unwrap();
    let mut session = store.read().await.unwrap();
    let mut found = Vec::new();
    let mut place = (Timestamp(0), String::new());
    loop {
        let page = session.reserved_after(&place, Timestamp(30), 2).await.unwrap();
        let Some(last) = page.last() else { break };
        place = (last.recorded_at, last.payment.clone());
        found.extend(page.into_iter().map(|r| (r.recorded_at.0, r.payment, r.due_at)));
    }
    let reserved = |at, n: i64, due_at| (at, format!("payments/{n}"), due_at);
    assert_eq!(found, [reserved(20, 2, None), reserved(20, 4, Some(Timestamp(77))), reserved(30, 1, None)]);
}

async fn plan(db: &TestDatabase, sql: &str, columns: usize) -> String {
    if db.is_postgres() {
        let mut connection = PgConnection::connect(db.url()).await.unwrap();
        let settings = POSTGRES_WRITE_SETTINGS.map(|(name, value)| format!("SET {name} = '{value}';")).concat();
        let empty = vec!["'{}'"; columns].join(", ");
        let execute = if columns == 0 { "load".to_owned() } else { format!("load({empty})") };
        let script = format!("{settings} PREPARE load AS {sql}; EXPLAIN EXECUTE {execute}");
        let rows = sqlx::raw_sql(AssertSqlSafe(script)).fetch_all(&mut connection).await.unwrap();
        rows.iter().map(|row| row.get::<String, _>(0)).collect::<Vec<_>>().join("\n")
    } else {
        let mut connection = SqliteConnection::connect(db.url()).await.unwrap();
        let sql = format!("EXPLAIN QUERY PLAN {sql}");
        let query = sqlx::query(AssertSqlSafe(sql));
        let query = if columns == 0 { query } else { query.bind("[]") };
        let rows = query.fetch_all(&mut connection).await.unwrap();
        rows.iter().map(|row| row.get::<String, _>(3)).collect::<Vec<_>>().join("\n")
    }
}

async fn private_rows_can_be_erased(db: TestDatabase) {
    let store = migrated(&db).await;
    let private: Vec<_> = tables().into_iter().filter(|spec| spec.kind == TableKind::Private).collect();
    assert!(!private.is_empty());
    for spec in private {
        let rows = [1, 2, 3].map(|n| sample(spec, n, false));
        write(&store, spec, &rows).await.unwrap();
        let erasure = |row: &Vec<Value>| Erasure { spec, key: spec.key_of(row), person: "elders/1".into() };
        let mut tx = store.begin_write().await.unwrap();
        let erasures = vec![erasure(&rows[2]), erasure(&rows[0]), erasure(&sample(spec, 9, false))];
        tx.write(&Effects { erasures, ..Effects::default() }).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(store.read().await.unwrap().scan(spec, None, 9).await.unwrap(), rows[1..2], "{}", spec.name);
    }
}
