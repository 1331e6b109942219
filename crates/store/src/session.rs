//! One connection, in or out of a transaction, on either database. The few lines
//! here, and SQLite's writer in `direct.rs`, are all that touches the drivers' types.

use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use jjj_domain::row::ColumnSpec;
use jjj_domain::value::{ColumnType, Value};
use sqlx::pool::PoolConnection;
use sqlx::postgres::PgArguments;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments, AssertSqlSafe, ColumnIndex, Database, Decode, Encode, Postgres, Row, SqlSafeStr, Sqlite, Type};
use sqlx_core::transaction::TransactionManager;

use crate::Result;
use crate::dialect::{Dialect, Part};
use crate::direct;
use crate::error::StoreError;

/// A statement that is not answered in this time never will be: the server, or the way to it, is gone
/// without a word. Longer than the largest statement of a reconciliation run takes.
pub(crate) const STATEMENT_WITHIN: Duration = Duration::from_secs(120);
/// What begins or ends a transaction, or shows that a connection is still good, is answered in this time or never.
const ROUND_TRIP_WITHIN: Duration = Duration::from_secs(5);

/// Waits for the driver, but not for ever. Giving up before the commit is a rollback.
pub(crate) async fn within<T>(
    patience: Option<Duration>,
    asked: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T> {
    match patience {
        None => Ok(asked.await?),
        Some(patience) => match tokio::time::timeout(patience, asked).await {
            Ok(answered) => Ok(answered?),
            Err(_) => Err(StoreError::timed_out()),
        },
    }
}

/// A connection, in or out of a transaction. What it reads is in the modules of what is read ([`crate::read`],
/// [`crate::log`] and others).
pub struct Session {
    pub(crate) inner: Inner,
    /// Set while a statement runs and kept when it fails or its future is dropped.
    failed: bool,
}

pub(crate) enum Inner {
    /// SQLite's one writer.
    Direct(direct::Held),
    /// A reader's, or the checkpointer's.
    Sqlite(Held<Sqlite>),
    Postgres(Held<Postgres>),
}

/// A pool's connection, in or out of a transaction. Given back, a transaction still open is rolled back.
///
/// The pool takes back what answers, and asks without a limit; here there is one, or a server that falls silent
/// would take the pool's places with it one by one. (sqlx's own `Transaction` would keep the connection from us.)
pub(crate) struct Held<DB: Database> {
    connection: PoolConnection<DB>,
    patience: Option<Duration>,
    is_of_no_use: bool,
}

impl<DB: Database> Held<DB> {
    fn new(connection: PoolConnection<DB>, patience: Option<Duration>) -> Self {
        Self { connection, patience, is_of_no_use: false }
    }

    async fn begin(&mut self, sql: &'static str) -> Result<(), sqlx::Error> {
        DB::TransactionManager::begin(&mut self.connection, Some(sql.into_sql_str())).await
    }

    async fn commit(&mut self) -> Result<(), sqlx::Error> {
        DB::TransactionManager::commit(&mut self.connection).await
    }

    async fn rollback(&mut self) -> Result<(), sqlx::Error> {
        DB::TransactionManager::rollback(&mut self.connection).await
    }
}

impl<DB: Database> Drop for Held<DB> {
    fn drop(&mut self) {
        if DB::TransactionManager::get_transaction_depth(&self.connection) > 0 {
            DB::TransactionManager::start_rollback(&mut self.connection);
        }
        if self.is_of_no_use {
            return self.connection.close_on_drop();
        }
        let Some(patience) = self.patience else { return };
        // Given up on, it is closed, and its place is free.
        tokio::spawn(tokio::time::timeout(patience, self.connection.return_to_pool()));
    }
}

/// What is bound to a statement's placeholders.
#[derive(Clone, Copy)]
pub(crate) enum Args<'a> {
    /// One value per placeholder. A NULL is bound as a text: on PostgreSQL not for columns of integers.
    Values(&'a [Value]),
    /// Whole rows for the dialect's row source.
    Rows(&'a [ColumnType], &'a [&'a [Value]]),
    /// Whole rows for the dialect's insert.
    Written(&'a [ColumnType], &'a [&'a [Value]]),
    /// The rows of each of [`Dialect::together`]'s parts.
    Parts(&'a [Part<'a>]),
}

impl Session {
    pub(crate) fn direct(writer: direct::Held) -> Self {
        Self::new(Inner::Direct(writer))
    }

    pub(crate) fn sqlite(connection: PoolConnection<Sqlite>) -> Self {
        Self::new(Inner::Sqlite(Held::new(connection, None)))
    }

    pub(crate) fn postgres(connection: PoolConnection<Postgres>) -> Self {
        Self::new(Inner::Postgres(Held::new(connection, Some(ROUND_TRIP_WITHIN))))
    }

    fn new(inner: Inner) -> Self {
        Self { inner, failed: false }
    }

    /// Begins a transaction with this statement.
    pub(crate) async fn begin(mut self, sql: &'static str) -> Result<Self> {
        match &mut self.inner {
            Inner::Direct(writer) => writer.script(sql)?,
            Inner::Sqlite(held) => held.begin(sql).await?,
            Inner::Postgres(held) => within(Some(ROUND_TRIP_WITHIN), held.begin(sql)).await?,
        }
        Ok(self)
    }

    /// Begins a transaction that reads and sees one moment throughout.
    pub(crate) async fn begin_reading(self) -> Result<Self> {
        let sql = match self.dialect() {
            Dialect::Sqlite => "BEGIN",
            Dialect::Postgres => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        };
        self.begin(sql).await
    }

    pub fn dialect(&self) -> Dialect {
        match self.inner {
            Inner::Direct(_) | Inner::Sqlite(_) => Dialect::Sqlite,
            Inner::Postgres(_) => Dialect::Postgres,
        }
    }

    /// All rows of a statement, its columns being of these types.
    pub(crate) async fn fetch(
        &mut self,
        sql: Arc<str>,
        args: Args<'_>,
        types: &[ColumnType],
    ) -> Result<Vec<Vec<Value>>> {
        let mut rows = Vec::new();
        self.fetch_each(sql, args, types, &mut |row| rows.push(row)).await?;
        Ok(rows)
    }

    /// Hands over each row of a statement as it comes: as the driver keeps them, a large day's take many times the room.
    pub(crate) async fn fetch_each(
        &mut self,
        sql: Arc<str>,
        args: Args<'_>,
        types: &[ColumnType],
        each: &mut (dyn FnMut(Vec<Value>) + Send),
    ) -> Result<()> {
        let started = !std::mem::replace(&mut self.failed, true);
        let away = self.patience();
        let done = within(away, fetch_each(&mut self.inner, sql, args, types, each)).await;
        self.leave_standby(done)?;
        self.failed = !started;
        Ok(())
    }

    /// Each row of loads that go [`Dialect::together`], with the part's number and its own number in what the part asked for.
    pub(crate) async fn fetch_together(
        &mut self,
        sql: Arc<str>,
        parts: &[Part<'_>],
        each: &mut (dyn FnMut(usize, i64, Vec<Value>) + Send),
    ) -> Result<()> {
        let started = !std::mem::replace(&mut self.failed, true);
        let away = self.patience();
        let done = within(away, fetch_together(&mut self.inner, sql, parts, each)).await;
        self.leave_standby(done)?;
        self.failed = !started;
        Ok(())
    }

    /// Runs a statement for its effect; the number of rows it touched.
    pub(crate) async fn execute(&mut self, sql: Arc<str>, args: Args<'_>) -> Result<u64> {
        let started = !std::mem::replace(&mut self.failed, true);
        let away = self.patience();
        let count = within(away, execute(&mut self.inner, sql, args)).await;
        let count = self.leave_standby(count)?;
        self.failed = !started;
        Ok(count)
    }

    /// A server that takes no writes any more must not be met again on this connection.
    fn leave_standby<T>(&mut self, answer: Result<T>) -> Result<T> {
        if let (Err(error), Inner::Postgres(held)) = (&answer, &mut self.inner)
            && error.is_of_standby()
        {
            held.is_of_no_use = true;
        }
        answer
    }

    /// A statement on the embedded database cannot be lost on its way.
    fn patience(&self) -> Option<Duration> {
        (self.dialect() == Dialect::Postgres).then_some(STATEMENT_WITHIN)
    }

    /// Runs several statements without placeholders: migrations.
    pub(crate) async fn script(&mut self, sql: &'static str) -> Result<()> {
        let started = !std::mem::replace(&mut self.failed, true);
        match &mut self.inner {
            Inner::Direct(writer) => writer.script(sql)?,
            Inner::Sqlite(_) => only_reads(),
            Inner::Postgres(held) => {
                sqlx::raw_sql(sql).execute(&mut *held.connection).await?;
            }
        }
        self.failed = !started;
        Ok(())
    }

    /// The single integer of a statement, when it gives one.
    pub(crate) async fn int(&mut self, sql: impl Into<Arc<str>>, args: &[Value]) -> Result<Option<i64>> {
        let rows = self.fetch(sql.into(), Args::Values(args), &[ColumnType::Int]).await?;
        Ok(rows.into_iter().next().and_then(|row| match row[0] {
            Value::Int(n) => Some(n),
            _ => None,
        }))
    }

    /// The single text of a statement.
    pub(crate) async fn text(&mut self, sql: impl Into<Arc<str>>) -> Result<String> {
        let mut rows = self.fetch(sql.into(), Args::Values(&[]), &[ColumnType::Text]).await?;
        match rows.pop().and_then(|mut row| row.pop()) {
            Some(Value::Text(text)) => Ok(text),
            _ => Err(StoreError::Driver(sqlx::Error::RowNotFound)),
        }
    }

    pub(crate) async fn commit(mut self) -> Result<()> {
        if self.failed {
            self.rollback().await?;
            return Err(StoreError::Aborted);
        }
        match &mut self.inner {
            Inner::Direct(writer) => writer.script("COMMIT"),
            Inner::Sqlite(_) => only_reads(),
            Inner::Postgres(held) => held.commit().await,
        }
        .map_err(StoreError::of_commit)
    }

    pub(crate) async fn rollback(mut self) -> Result<()> {
        match &mut self.inner {
            // As it is given back.
            Inner::Direct(_) => Ok(()),
            Inner::Sqlite(_) => only_reads(),
            Inner::Postgres(held) => within(Some(ROUND_TRIP_WITHIN), held.rollback()).await,
        }
    }
}

async fn fetch_each(
    inner: &mut Inner,
    sql: Arc<str>,
    args: Args<'_>,
    types: &[ColumnType],
    each: &mut (dyn FnMut(Vec<Value>) + Send),
) -> Result<(), sqlx::Error> {
    match inner {
        Inner::Direct(writer) => writer.fetch_each(&sql, args, types, each)?,
        Inner::Sqlite(Held { connection, .. }) => {
            let mut rows = sqlx::query_with(AssertSqlSafe(sql), sqlite_args(args)?).fetch(&mut **connection);
            while let Some(row) = rows.try_next().await? {
                each(decode(&row, types)?);
            }
        }
        Inner::Postgres(Held { connection, .. }) => {
            let mut rows = sqlx::query_with(AssertSqlSafe(sql), pg_args(args)?).fetch(&mut **connection);
            while let Some(row) = rows.try_next().await? {
                each(decode(&row, types)?);
            }
        }
    }
    Ok(())
}

async fn fetch_together(
    inner: &mut Inner,
    sql: Arc<str>,
    parts: &[Part<'_>],
    each: &mut (dyn FnMut(usize, i64, Vec<Value>) + Send),
) -> Result<(), sqlx::Error> {
    let Inner::Postgres(Held { connection, .. }) = inner else { unreachable!("SQLite is asked one by one") };
    let mut rows = sqlx::query_with(AssertSqlSafe(sql), pg_args(Args::Parts(parts))?).fetch(&mut **connection);
    while let Some(row) = rows.try_next().await? {
        let number = usize::try_from(row.try_get::<i64, _>(0)?).unwrap_or(usize::MAX);
        let part =
            parts.get(number).ok_or_else(|| sqlx::Error::ColumnIndexOutOfBounds { index: number, len: parts.len() })?;
        let mut ints = row.try_get::<Vec<Option<i64>>, _>(2)?.into_iter();
        let mut texts = row.try_get::<Vec<Option<String>>, _>(3)?.into_iter();
        let mut bytes = row.try_get::<Vec<Option<Vec<u8>>>, _>(4)?.into_iter();
        let cell = |column: &ColumnSpec| {
            let value = match column.ty {
                ColumnType::Int => ints.next().flatten().map(Value::Int),
                ColumnType::Text => texts.next().flatten().map(Value::Text),
                ColumnType::Bytes => bytes.next().flatten().map(Value::Bytes),
            };
            value.unwrap_or(Value::Null)
        };
        each(number, row.try_get(1)?, part.spec.columns.iter().map(cell).collect());
    }
    Ok(())
}

async fn execute(inner: &mut Inner, sql: Arc<str>, args: Args<'_>) -> Result<u64, sqlx::Error> {
    Ok(match inner {
        Inner::Direct(writer) => writer.execute(&sql, args)?,
        Inner::Sqlite(_) => only_reads(),
        Inner::Postgres(Held { connection, .. }) => {
            sqlx::query_with(AssertSqlSafe(sql), pg_args(args)?).execute(&mut **connection).await?.rows_affected()
        }
    })
}

fn only_reads() -> ! {
    unreachable!("SQLite is written by its one writer")
}

fn decode<'r, R>(row: &'r R, types: &[ColumnType]) -> Result<Vec<Value>, sqlx::Error>
where
    R: sqlx::Row,
    usize: ColumnIndex<R>,
    Option<i64>: Decode<'r, R::Database> + Type<R::Database>,
    Option<String>: Decode<'r, R::Database> + Type<R::Database>,
    Option<Vec<u8>>: Decode<'r, R::Database> + Type<R::Database>,
{
    let cell = |(i, ty): (usize, &ColumnType)| {
        Ok(match ty {
            ColumnType::Int => row.try_get::<Option<i64>, _>(i)?.map(Value::Int),
            ColumnType::Text => row.try_get::<Option<String>, _>(i)?.map(Value::Text),
            ColumnType::Bytes => row.try_get::<Option<Vec<u8>>, _>(i)?.map(Value::Bytes),
        }
        .unwrap_or(Value::Null))
    };
    types.iter().enumerate().map(cell).collect()
}

fn bind_values<'v, A>(bound: &mut A, values: &'v [Value]) -> Result<(), sqlx::Error>
where
    A: Arguments,
    i64: Encode<'v, A::Database> + Type<A::Database>,
    Option<&'v str>: Encode<'v, A::Database> + Type<A::Database>,
    &'v str: Encode<'v, A::Database> + Type<A::Database>,
    &'v [u8]: Encode<'v, A::Database> + Type<A::Database>,
{
    for value in values {
        match value {
            Value::Null => bound.add(None::<&str>),
            Value::Int(n) => bound.add(*n),
            Value::Text(s) => bound.add(s.as_str()),
            Value::Bytes(b) => bound.add(b.as_slice()),
        }
        .map_err(sqlx::Error::Encode)?;
    }
    Ok(())
}

fn sqlite_args(args: Args<'_>) -> Result<SqliteArguments, sqlx::Error> {
    let mut bound = SqliteArguments::default();
    match args {
        Args::Values(values) => bind_values(&mut bound, values)?,
        Args::Rows(_, rows) => bound.add(json_rows(rows)).map_err(sqlx::Error::Encode)?,
        Args::Written(..) => only_reads(),
        Args::Parts(_) => unreachable!("SQLite is asked one by one"),
    }
    Ok(bound)
}

/// `[["a",1,null],["b",2,"00ff"]]`
pub(crate) fn json_rows(rows: &[&[Value]]) -> String {
    let mut text = Vec::with_capacity(32 * rows.len() * rows.first().map_or(0, |r| r.len()));
    for (i, row) in rows.iter().enumerate() {
        text.extend_from_slice(if i == 0 { b"[[" } else { b"],[" });
        for (j, value) in row.iter().enumerate() {
            if j > 0 {
                text.push(b',');
            }
            match value {
                Value::Null => text.extend_from_slice(b"null"),
                Value::Int(n) => text.extend_from_slice(n.to_string().as_bytes()),
                Value::Text(s) => serde_json::to_writer(&mut text, s).expect("memory takes any text"),
                Value::Bytes(b) => {
                    text.push(b'"');
                    text.extend_from_slice(hex::encode(b).as_bytes());
                    text.push(b'"');
                }
            }
        }
    }
    text.extend_from_slice(if rows.is_empty() { b"[]" } else { b"]]" });
    String::from_utf8(text).expect("JSON of texts is UTF-8")
}

fn pg_args(args: Args<'_>) -> Result<PgArguments, sqlx::Error> {
    let mut bound = PgArguments::default();
    match args {
        Args::Values(values) => bind_values(&mut bound, values)?,
        Args::Rows(types, rows) | Args::Written(types, rows) => pg_arrays(&mut bound, types, rows)?,
        Args::Parts(parts) => {
            for part in parts {
                pg_arrays(&mut bound, &part.types(), &part.rows)?;
            }
        }
    }
    Ok(bound)
}

/// One array per column.
fn pg_arrays(bound: &mut PgArguments, types: &[ColumnType], rows: &[&[Value]]) -> Result<(), sqlx::Error> {
    for (i, ty) in types.iter().enumerate() {
        let column = rows.iter().map(|row| &row[i]);
        match ty {
            ColumnType::Int => bound.add(column.map(int).collect::<Result<Vec<_>, _>>()?),
            ColumnType::Text => bound.add(column.map(text).collect::<Result<Vec<_>, _>>()?),
            ColumnType::Bytes => bound.add(column.map(bytes).collect::<Result<Vec<_>, _>>()?),
        }
        .map_err(sqlx::Error::Encode)?;
    }
    Ok(())
}

fn int(value: &Value) -> Result<Option<i64>, sqlx::Error> {
    match value {
        Value::Null => Ok(None),
        Value::Int(n) => Ok(Some(*n)),
        other => Err(mistyped(other)),
    }
}

fn text(value: &Value) -> Result<Option<&str>, sqlx::Error> {
    match value {
        Value::Null => Ok(None),
        Value::Text(s) => Ok(Some(s)),
        other => Err(mistyped(other)),
    }
}

fn bytes(value: &Value) -> Result<Option<&[u8]>, sqlx::Error> {
    match value {
        Value::Null => Ok(None),
        Value::Bytes(b) => Ok(Some(b)),
        other => Err(mistyped(other)),
    }
}

fn mistyped(value: &Value) -> sqlx::Error {
    let kind = match value {
        Value::Null => "NULL",
        Value::Int(_) => "an integer",
        Value::Text(_) => "a text",
        Value::Bytes(_) => "bytes",
    };
    sqlx::Error::InvalidArgument(format!("{kind} for a column of another type"))
}
