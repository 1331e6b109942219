//! `jjj verify` names each single value that is altered, deleted or added, in every column of every
//! table but those that it lists as unprotected: with its table and, where columns are told apart,
//! its column. The attacker has the database to himself: no triggers, no checks.

mod verify_fixture;

use std::time::Instant;

use jjj_domain::row::{ColumnSpec, TableKind, TableSpec};
use jjj_domain::value::{ColumnType, Value};
use jjj_server::verify::{Change, Fault, unprotected};
use jjj_tests::both_databases;
use jjj_tests::postgres::TestDatabase;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, SqliteConnection};

use verify_fixture::{Fixture, first_row};

both_databases!(every_altered_deleted_or_added_value_is_named);

async fn every_altered_deleted_or_added_value_is_named(db: TestDatabase) {
    let mut fixture = Fixture::populated(&db).await;
    fixture.stop().await;
    let clean = fixture.verify().await;
    assert_eq!(clean.faults, [], "before anything was touched");
    assert!(clean.numbered > 256 && clean.evidence > 10 && clean.erased_persons == 1);
    assert_eq!(clean.leaves - clean.numbered, fixture.waiting(), "leaves that wait for their number are checked too");

    let mut attacker = Attacker::of(&db).await;
    let (started, mut tried) = (Instant::now(), 0);
    let mut unnoticed = Vec::new();
    for spec in jjj_store::schema::tables() {
        if spec.name == "leaf_pending" && fixture.waiting() == 0 {
            continue;
        }
        let row = first_row(&fixture.store, spec).await.unwrap_or_else(|| panic!("{} has no row", spec.name));
        let mut attacks: Vec<(Change, Option<&ColumnSpec>)> =
            spec.columns.iter().map(|column| (Change::Altered, Some(column))).collect();
        attacks.extend([(Change::Deleted, None), (Change::Added, None)]);
        for (change, column) in attacks {
            if unprotected(spec.name, column.map(|c| c.name), change).is_some() {
                continue;
            }
            let undo = attacker.attack(spec, &row, change, column).await;
            let report = fixture.verify().await;
            if !report.faults.iter().any(|fault| names(fault, spec, column)) {
                let found: Vec<String> = report.faults.iter().take(5).map(Fault::to_string).collect();
                unnoticed.push(format!("{change:?} {} {:?}: {found:#?}", spec.name, column.map(|c| c.name)));
            }
            attacker.run(&undo).await;
            tried += 1;
        }
    }
    assert_eq!(unnoticed, Vec::<String>::new());
    assert_eq!(fixture.verify().await.faults, [], "after everything was put back");
    println!("{tried} attacks in {:.1} s", started.elapsed().as_secs_f64());
    assert!(tried > 400, "{tried}");
}

/// Whether a fault names the table, and where a value was altered the column. A row whose key is
/// altered is another row; a private row's columns are one commitment.
fn names(fault: &Fault, spec: &TableSpec, column: Option<&ColumnSpec>) -> bool {
    let column_named = match (column, &fault.column) {
        (None, _) | (_, None) => column.is_none_or(|c| spec.key.contains(&c.name) || spec.kind == TableKind::Private),
        (Some(column), Some(named)) => column.name == named || spec.key.contains(&column.name),
    };
    fault.table == spec.name && column_named
}

enum Connected {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

struct Attacker(Connected);

impl Attacker {
    async fn of(db: &TestDatabase) -> Self {
        let mut attacker = if db.is_postgres() {
            Self(Connected::Postgres(PgConnection::connect(db.url()).await.unwrap()))
        } else {
            Self(Connected::Sqlite(SqliteConnection::connect(db.url()).await.unwrap()))
        };
        attacker.disarm().await;
        attacker
    }

    /// Drops what the database itself would refuse.
    async fn disarm(&mut self) {
        if let Connected::Sqlite(connection) = &mut self.0 {
            let triggers: Vec<(String,)> = sqlx::query_as("SELECT name FROM sqlite_master WHERE type = 'trigger'")
                .fetch_all(connection)
                .await
                .unwrap();
            let drops: String = triggers.iter().map(|(name,)| format!("DROP TRIGGER {name};")).collect();
            self.run(&(drops + "PRAGMA ignore_check_constraints = ON")).await;
        } else {
            self.run(
                "DROP FUNCTION refuse_change() CASCADE;
                 DO $$ DECLARE c record; BEGIN
                     FOR c IN SELECT conrelid::regclass AS t, conname FROM pg_constraint
                              WHERE contype = 'c' AND connamespace = 'public'::regnamespace
                     LOOP EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', c.t, c.conname); END LOOP;
                 END $$",
            )
            .await;
        }
    }

    async fn run(&mut self, sql: &str) {
        self.try_run(sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    }

    async fn try_run(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        let statement = AssertSqlSafe(sql.to_owned());
        match &mut self.0 {
            Connected::Sqlite(connection) => connection.execute(sqlx::raw_sql(statement)).await.map(drop),
            Connected::Postgres(connection) => connection.execute(sqlx::raw_sql(statement)).await.map(drop),
        }
    }

    /// Changes one thing; the statement that puts it back.
    async fn attack(&mut self, spec: &TableSpec, row: &[Value], change: Change, column: Option<&ColumnSpec>) -> String {
        match (change, column) {
            (Change::Altered, Some(column)) => {
                let at = spec.column(column.name).unwrap();
                let mut altered = row.to_vec();
                altered[at] = alter(column, &row[at], spec.key.contains(&column.name));
                self.run(&self.update(spec, row, &altered)).await;
                self.update(spec, &altered, row)
            }
            (Change::Altered, None) => unreachable!("a column is altered"),
            (Change::Deleted, _) => {
                self.run(&self.delete(spec, row)).await;
                self.insert(spec, row)
            }
            (Change::Added, _) => {
                let mut added = row.to_vec();
                for (at, column) in spec.columns.iter().enumerate() {
                    // What the database keeps unique, it would refuse.
                    let is_unique = spec.key.contains(&column.name)
                        || spec.unique.iter().any(|columns| columns.contains(&column.name))
                        || (spec.name == "leaves" && column.name == "record")
                        || (spec.name == "leaf_order" && column.name == "leaf_id");
                    if is_unique {
                        added[at] = alter(column, &row[at], true);
                    }
                }
                self.run(&self.insert(spec, &added)).await;
                self.delete(spec, &added)
            }
        }
    }

    fn update(&self, spec: &TableSpec, from: &[Value], to: &[Value]) -> String {
        let changed = spec.columns.iter().zip(from.iter().zip(to)).filter(|(_, (old, new))| old != new);
        let set: Vec<_> = changed.map(|(c, (_, new))| format!("\"{}\" = {}", c.name, self.literal(new))).collect();
        format!("UPDATE {} SET {} WHERE {}", spec.name, set.join(", "), self.key_is(spec, from))
    }

    fn delete(&self, spec: &TableSpec, row: &[Value]) -> String {
        format!("DELETE FROM {} WHERE {}", spec.name, self.key_is(spec, row))
    }

    fn insert(&self, spec: &TableSpec, row: &[Value]) -> String {
        let columns: Vec<_> = spec.columns.iter().map(|c| format!("\"{}\"", c.name)).collect();
        let values: Vec<_> = row.iter().map(|v| self.literal(v)).collect();
        let overriding = match self.0 {
            Connected::Postgres(_) if spec.name == "leaf_pending" => "OVERRIDING SYSTEM VALUE ",
            _ => "",
        };
        format!("INSERT INTO {} ({}) {overriding}VALUES ({})", spec.name, columns.join(", "), values.join(", "))
    }

    fn key_is(&self, spec: &TableSpec, row: &[Value]) -> String {
        let key = spec.key.iter().zip(spec.key_of(row));
        key.map(|(name, v)| format!("\"{name}\" = {}", self.literal(&v))).collect::<Vec<_>>().join(" AND ")
    }

    fn literal(&self, value: &Value) -> String {
        match (value, &self.0) {
            (Value::Null, _) => "NULL".to_owned(),
            (Value::Int(n), _) => n.to_string(),
            (Value::Text(text), _) => format!("'{}'", text.replace('\'', "''")),
            (bytes, Connected::Sqlite(_)) => format!("X'{bytes}'"),
            (bytes, Connected::Postgres(_)) => format!("'\\x{bytes}'::bytea"),
        }
    }
}

/// Another value of the same kind: the shape stays where there is one.
fn alter(column: &ColumnSpec, value: &Value, far: bool) -> Value {
    match (value, column.ty) {
        (Value::Int(n), _) => Value::Int(n + if far { 1_000_000 } else { 1 }),
        (Value::Bytes(bytes), _) => Value::Bytes([bytes.as_slice(), &[0]].concat()),
        (Value::Text(text), _) if !column.choices.is_empty() => {
            let other = column.choices.iter().find(|choice| *choice != text);
            Value::Text(other.unwrap_or(&"OTHER").to_string())
        }
        (Value::Text(text), _) => {
            let mut text = text.clone();
            let last = text.pop();
            text.push(if last == Some('7') { '8' } else { '7' });
            Value::Text(text)
        }
        (Value::Null, ColumnType::Int) => Value::Int(1),
        (Value::Null, ColumnType::Text) => Value::Text(column.choices.first().unwrap_or(&"1").to_string()),
        (Value::Null, ColumnType::Bytes) => Value::Bytes(vec![1]),
    }
}
