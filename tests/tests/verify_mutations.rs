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
use jjj_tests::raw::Raw;

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
            attacker.0.run(&undo).await;
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

struct Attacker(Raw);

impl Attacker {
    /// Who has also dropped the checks that the database makes.
    async fn of(db: &TestDatabase) -> Self {
        let mut raw = Raw::open(db).await;
        let checks = match &raw {
            Raw::Sqlite(_) => "PRAGMA ignore_check_constraints = ON",
            Raw::Postgres(_) => {
                "DO $$ DECLARE c record; BEGIN
                     FOR c IN SELECT conrelid::regclass AS t, conname FROM pg_constraint
                              WHERE contype = 'c' AND connamespace = 'public'::regnamespace
                     LOOP EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', c.t, c.conname); END LOOP;
                 END $$"
            }
        };
        raw.run(checks).await;
        Self(raw)
    }

    /// Changes one thing; the statement that puts it back.
    async fn attack(&mut self, spec: &TableSpec, row: &[Value], change: Change, column: Option<&ColumnSpec>) -> String {
        match (change, column) {
            (Change::Altered, Some(column)) => {
                let at = spec.column(column.name).unwrap();
                let mut altered = row.to_vec();
                altered[at] = alter(column, &row[at], spec.key.contains(&column.name));
                self.0.run(&self.update(spec, row, &altered)).await;
                self.update(spec, &altered, row)
            }
            (Change::Altered, None) => unreachable!("a column is altered"),
            (Change::Deleted, _) => {
                self.0.run(&self.delete(spec, row)).await;
                self.0.insertion(spec, row)
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
                self.0.run(&self.0.insertion(spec, &added)).await;
                self.delete(spec, &added)
            }
        }
    }

    fn update(&self, spec: &TableSpec, from: &[Value], to: &[Value]) -> String {
        let changed = spec.columns.iter().zip(from.iter().zip(to)).filter(|(_, (old, new))| old != new);
        let set: Vec<_> = changed.map(|(c, (_, new))| format!("\"{}\" = {}", c.name, self.0.literal(new))).collect();
        format!("UPDATE {} SET {} WHERE {}", spec.name, set.join(", "), self.key_is(spec, from))
    }

    fn delete(&self, spec: &TableSpec, row: &[Value]) -> String {
        format!("DELETE FROM {} WHERE {}", spec.name, self.key_is(spec, row))
    }

    fn key_is(&self, spec: &TableSpec, row: &[Value]) -> String {
        let key = spec.key.iter().zip(spec.key_of(row));
        key.map(|(name, v)| format!("\"{name}\" = {}", self.0.literal(&v))).collect::<Vec<_>>().join(" AND ")
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
