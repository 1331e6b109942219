//! The floor of batch calls: the very rows that payments left behind, inserted straight through
//! sqlx. The same number of transactions, one statement per table in each: one JSON parameter on
//! SQLite, arrays on PostgreSQL. Each row once, as it is in the end; nothing is read or decided.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use jjj_domain::row::TableSpec;
use jjj_domain::value::{ColumnType, Value};
use jjj_store::Store;
use sqlx::postgres::PgArguments;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments as _, AssertSqlSafe, ColumnIndex, Decode, Type};

use crate::database::{Direct, Kind, Place};

/// A queue, empty in the end; its numbers are the database's.
const QUEUE: &str = "leaf_pending";

/// Every row of a database.
pub struct Dump {
    tables: BTreeMap<&'static str, (&'static TableSpec, Vec<Vec<Value>>)>,
}

impl Dump {
    pub async fn of(url: &str) -> anyhow::Result<Self> {
        let mut direct = Direct::open(url).await?;
        let mut tables = BTreeMap::new();
        for spec in jjj_store::schema::tables().into_iter().filter(|spec| spec.name != QUEUE) {
            tables.insert(spec.name, (spec, read(&mut direct, spec).await.context(spec.name)?));
        }
        direct.close().await?;
        Ok(Self { tables })
    }
}

async fn read(direct: &mut Direct, spec: &'static TableSpec) -> anyhow::Result<Vec<Vec<Value>>> {
    let key = spec.key.iter().map(|c| quoted(c)).collect::<Vec<_>>().join(", ");
    let sql = AssertSqlSafe(format!("SELECT {} FROM {} ORDER BY {key}", columns(spec), quoted(spec.name)));
    Ok(match direct {
        Direct::Sqlite(connection) => sqlx::query(sql)
            .fetch_all(connection)
            .await?
            .iter()
            .map(|row| decode(row, spec))
            .collect::<Result<_, _>>()?,
        Direct::Postgres(connection) => sqlx::query(sql)
            .fetch_all(connection)
            .await?
            .iter()
            .map(|row| decode(row, spec))
            .collect::<Result<_, _>>()?,
    })
}

fn decode<'r, R>(row: &'r R, spec: &TableSpec) -> Result<Vec<Value>, sqlx::Error>
where
    R: sqlx::Row,
    usize: ColumnIndex<R>,
    Option<i64>: Decode<'r, R::Database> + Type<R::Database>,
    Option<String>: Decode<'r, R::Database> + Type<R::Database>,
    Option<Vec<u8>>: Decode<'r, R::Database> + Type<R::Database>,
{
    let cell = |(i, column): (usize, &jjj_domain::row::ColumnSpec)| {
        Ok(match column.ty {
            ColumnType::Int => row.try_get::<Option<i64>, _>(i)?.map(Value::Int),
            ColumnType::Text => row.try_get::<Option<String>, _>(i)?.map(Value::Text),
            ColumnType::Bytes => row.try_get::<Option<Vec<u8>>, _>(i)?.map(Value::Bytes),
        }
        .unwrap_or(Value::Null))
    };
    spec.columns.iter().enumerate().map(cell).collect()
}

/// What a run added.
pub struct Rows {
    /// What was there before and did not change.
    before: Vec<(&'static TableSpec, Vec<Vec<Value>>)>,
    added: Vec<(&'static TableSpec, Vec<Vec<Value>>)>,
}

impl Rows {
    /// A row that a run changed counts as added: it is inserted once, as it is in the end.
    pub fn between(before: Dump, after: Dump) -> Self {
        let mut rows = Self { before: Vec::new(), added: Vec::new() };
        let mut before = before.tables;
        for (name, (spec, all)) in after.tables {
            let known: HashSet<Vec<Value>> =
                before.remove(name).map(|(_, rows)| rows).unwrap_or_default().into_iter().collect();
            let (kept, added): (Vec<_>, Vec<_>) = all.into_iter().partition(|row| known.contains(row));
            rows.before.push((spec, kept));
            rows.added.push((spec, added));
        }
        rows.added.retain(|(_, rows)| !rows.is_empty());
        rows
    }

    pub fn count(&self) -> usize {
        self.added.iter().map(|(_, rows)| rows.len()).sum()
    }
}

/// How rows reach a statement.
#[derive(Clone, Copy)]
enum Form {
    /// All in one parameter: JSON on SQLite, an array per column on PostgreSQL.
    Whole,
    /// Value by value, so many rows a statement (SQLite).
    Values,
}

/// Rows in one statement of lists of values.
const VALUES_ROWS: usize = 128;

/// How long it takes to insert what a run added, in so many transactions, into a database that holds
/// what was there before.
pub async fn measure(place: &Place, kind: Kind, rows: &Rows, transactions: usize) -> anyhow::Result<Duration> {
    // SQLite has one writer; the gateway uses two on PostgreSQL. The best counts.
    let ways: &[(usize, Form)] = match kind {
        Kind::Sqlite => &[(1, Form::Whole), (1, Form::Values)],
        Kind::Postgres => &[(1, Form::Whole), (2, Form::Whole)],
    };
    let mut best = Duration::MAX;
    for (writers, form) in ways {
        let url = place.create("floor");
        let store = Store::open(&url).await?;
        store.migrate().await?;
        store.close().await;
        let mut direct = Direct::open(&url).await?;
        for (spec, rows) in &rows.before {
            for rows in rows.chunks(1_000) {
                insert(&mut direct, spec, rows, Form::Whole).await.context(spec.name)?;
            }
        }
        direct.close().await?;
        best = best.min(timed(&url, rows, transactions, *writers, *form).await?);
        place.drop("floor").await?;
    }
    Ok(best)
}

async fn timed(url: &str, rows: &Rows, transactions: usize, writers: usize, form: Form) -> anyhow::Result<Duration> {
    let mut connections = Vec::new();
    for _ in 0..writers {
        connections.push(Direct::open(url).await?);
    }
    let started = Instant::now();
    // The work of each writer is a future of its own; together they are as parallel as the database is.
    let work = connections.into_iter().enumerate().map(|(writer, mut direct)| async move {
        for n in (writer..transactions).step_by(writers) {
            transaction(&mut direct, rows, n, transactions, form).await?;
        }
        Ok::<_, anyhow::Error>(direct)
    });
    let mut work: Vec<_> = work.collect();
    let (first, second) = (work.remove(0), work.pop());
    let second = async {
        match second {
            Some(work) => work.await.map(Some),
            None => Ok(None),
        }
    };
    let (first, second) = tokio::try_join!(first, second)?;
    let elapsed = started.elapsed();
    for direct in [Some(first), second].into_iter().flatten() {
        direct.close().await?;
    }
    Ok(elapsed)
}

/// The `n`th of equal parts, in one transaction.
async fn transaction(direct: &mut Direct, rows: &Rows, n: usize, of: usize, form: Form) -> anyhow::Result<()> {
    direct.script(if matches!(direct, Direct::Sqlite(_)) { "BEGIN IMMEDIATE" } else { "BEGIN" }).await?;
    for (spec, rows) in &rows.added {
        let part = &rows[rows.len() * n / of..rows.len() * (n + 1) / of];
        if !part.is_empty() {
            insert(direct, spec, part, form).await.context(spec.name)?;
        }
    }
    direct.script("COMMIT").await
}

async fn insert(direct: &mut Direct, spec: &'static TableSpec, rows: &[Vec<Value>], form: Form) -> anyhow::Result<()> {
    let (table, columns) = (quoted(spec.name), columns(spec));
    match (direct, form) {
        (Direct::Sqlite(connection), Form::Values) => {
            for rows in rows.chunks(VALUES_ROWS) {
                let row = format!("({})", vec!["?"; spec.columns.len()].join(", "));
                let sql = format!("INSERT INTO {table} ({columns}) VALUES {}", vec![row; rows.len()].join(", "));
                let mut bound = SqliteArguments::default();
                for value in rows.iter().flatten() {
                    match value {
                        Value::Null => bound.add(None::<&str>),
                        Value::Int(n) => bound.add(*n),
                        Value::Text(s) => bound.add(s.as_str()),
                        Value::Bytes(b) => bound.add(b.as_slice()),
                    }
                    .map_err(sqlx::Error::Encode)?;
                }
                sqlx::query_with(AssertSqlSafe(sql), bound).execute(&mut *connection).await?;
            }
        }
        (Direct::Sqlite(connection), Form::Whole) => {
            let values = spec.columns.iter().enumerate().map(|(i, c)| match c.ty {
                ColumnType::Bytes => format!("unhex(value->>{i})"),
                ColumnType::Int | ColumnType::Text => format!("value->>{i}"),
            });
            let values = values.collect::<Vec<_>>().join(", ");
            let sql = format!("INSERT INTO {table} ({columns}) SELECT {values} FROM json_each($1)");
            let mut bound = SqliteArguments::default();
            bound.add(json(rows)).map_err(sqlx::Error::Encode)?;
            sqlx::query_with(AssertSqlSafe(sql), bound).execute(connection).await?;
        }
        (Direct::Postgres(connection), _) => {
            let arrays = spec.columns.iter().enumerate().map(|(i, c)| match c.ty {
                ColumnType::Int => format!("${}::bigint[]", i + 1),
                ColumnType::Text => format!("${}::text[]", i + 1),
                ColumnType::Bytes => format!("${}::bytea[]", i + 1),
            });
            let arrays = arrays.collect::<Vec<_>>().join(", ");
            let sql = format!("INSERT INTO {table} ({columns}) SELECT * FROM UNNEST({arrays})");
            sqlx::query_with(AssertSqlSafe(sql), arguments(spec, rows)?).execute(connection).await?;
        }
    }
    Ok(())
}

fn arguments(spec: &TableSpec, rows: &[Vec<Value>]) -> Result<PgArguments, sqlx::Error> {
    let mut bound = PgArguments::default();
    for (i, column) in spec.columns.iter().enumerate() {
        let values = rows.iter().map(|row| &row[i]);
        match column.ty {
            ColumnType::Int => {
                bound.add(values.map(|v| if let Value::Int(n) = v { Some(*n) } else { None }).collect::<Vec<_>>())
            }
            ColumnType::Text => bound
                .add(values.map(|v| if let Value::Text(s) = v { Some(s.as_str()) } else { None }).collect::<Vec<_>>()),
            ColumnType::Bytes => bound.add(
                values.map(|v| if let Value::Bytes(b) = v { Some(b.as_slice()) } else { None }).collect::<Vec<_>>(),
            ),
        }
        .map_err(sqlx::Error::Encode)?;
    }
    Ok(bound)
}

/// Written by hand, as a program in a hurry would: no tree of values in between.
fn json(rows: &[Vec<Value>]) -> String {
    let mut text = String::from("[");
    for (i, row) in rows.iter().enumerate() {
        text.push_str(if i == 0 { "[" } else { ",[" });
        for (j, value) in row.iter().enumerate() {
            if j > 0 {
                text.push(',');
            }
            match value {
                Value::Null => text.push_str("null"),
                Value::Int(n) => text.push_str(&n.to_string()),
                Value::Text(s) => text.push_str(&serde_json::to_string(s).expect("a text is JSON")),
                Value::Bytes(b) => {
                    text.push('"');
                    text.push_str(&hex::encode(b));
                    text.push('"');
                }
            }
        }
        text.push(']');
    }
    text.push(']');
    text
}

fn columns(spec: &TableSpec) -> String {
    spec.columns.iter().map(|c| quoted(c.name)).collect::<Vec<_>>().join(", ")
}

/// Some names are words of SQL.
fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}
