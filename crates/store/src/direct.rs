//! SQLite's one writer, called on the thread of whoever asks. sqlx hands each statement to a thread of the connection's and
//! waits for its answer, some twenty-five times in a small batch: ARCHITECTURE.md, "Where this differs".

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jjj_domain::value::{ColumnType, Value};
use rusqlite::types::{Null, ValueRef};
use rusqlite::{CachedStatement, Connection, OpenFlags, Statement, ffi};
use sqlx::error::{DatabaseError, ErrorKind};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::session::{Args, json_rows};

/// What takes longer is told, as sqlx tells it of other connections.
const SLOW: Duration = Duration::from_secs(1);

/// Does work that may take long, without keeping a thread of the runtime from its other tasks.
pub fn aside<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

/// The one connection that writes. Cloning shares it.
#[derive(Clone, Debug)]
pub(crate) struct Writer(Arc<Mutex<Option<Connection>>>);

impl Writer {
    /// Of a database that is there, and has a write-ahead log already.
    pub fn open(path: &Path, settings: &[(&str, &str)], statements: usize) -> Result<Self, sqlx::Error> {
        // No mutex of SQLite's own: ours lets one in.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(told)?;
        for (name, value) in settings {
            connection.execute_batch(&format!("PRAGMA {name} = {value}")).map_err(told)?;
        }
        connection.set_prepared_statement_cache_capacity(statements);
        Ok(Self(Arc::new(Mutex::new(Some(connection)))))
    }

    /// Waits its turn, but not for longer.
    pub async fn acquire(&self, within: Duration) -> Result<Held, sqlx::Error> {
        let held = tokio::time::timeout(within, self.0.clone().lock_owned()).await;
        let held = held.map_err(|_| sqlx::Error::PoolTimedOut)?;
        if held.is_some() { Ok(Held(held)) } else { Err(sqlx::Error::PoolClosed) }
    }

    /// Once whoever has it gives it back.
    pub async fn close(&self) {
        let Some(last) = self.0.lock().await.take() else { return };
        // It may have all of the log to move. Whoever closes waits for that, but not for ever.
        match tokio::task::spawn_blocking(|| last.close()).await {
            Ok(Ok(())) => {}
            Ok(Err((_, error))) => tracing::warn!(%error, "SQLite's writer could not be closed"),
            Err(error) => tracing::warn!(%error, "SQLite's writer was not closed"),
        }
    }
}

/// The writer, for as long as this is held. Given back, a transaction still open is rolled back.
pub(crate) struct Held(OwnedMutexGuard<Option<Connection>>);

impl Drop for Held {
    fn drop(&mut self) {
        // There is none where SQLite has rolled back by itself, out of disk or memory.
        if !self.connection().is_autocommit()
            && let Err(error) = self.script("ROLLBACK")
        {
            tracing::error!(%error, "a transaction could not be rolled back");
        }
    }
}

impl Held {
    fn connection(&self) -> &Connection {
        self.0.as_ref().expect("it is closed only by whoever holds it")
    }

    pub fn fetch_each(
        &mut self,
        sql: &str,
        args: Args<'_>,
        types: &[ColumnType],
        each: &mut (dyn FnMut(Vec<Value>) + Send),
    ) -> Result<(), sqlx::Error> {
        timed(sql, || {
            let mut statement = self.prepared(sql, args)?;
            let mut rows = statement.raw_query();
            while let Some(row) = rows.next().map_err(told)? {
                let cell = |(at, ty): (usize, &ColumnType)| decode(row.get_ref(at).map_err(told)?, *ty);
                each(types.iter().enumerate().map(cell).collect::<Result<_, _>>()?);
            }
            Ok(())
        })
    }

    /// Of a statement that gives no rows, the number of those it touched.
    pub fn execute(&mut self, sql: &str, args: Args<'_>) -> Result<u64, sqlx::Error> {
        let touched = timed(sql, || self.prepared(sql, args)?.raw_execute().map_err(told))?;
        Ok(u64::try_from(touched).unwrap_or(u64::MAX))
    }

    /// Several statements without placeholders.
    pub fn script(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        timed(sql, || self.connection().execute_batch(sql).map_err(told))
    }

    fn prepared(&self, sql: &str, args: Args<'_>) -> Result<CachedStatement<'_>, sqlx::Error> {
        // Counted by jjj-bench.
        tracing::debug!(target: "jjj_store::statement", sql);
        let mut statement = self.connection().prepare_cached(sql).map_err(told)?;
        bind(&mut statement, args)?;
        Ok(statement)
    }
}

fn timed<T>(sql: &str, work: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let done = aside(work);
    let elapsed = began.elapsed();
    if elapsed >= SLOW {
        // Not the values, which are personal.
        tracing::warn!(sql, ?elapsed, "a slow statement");
    }
    done
}

/// Placeholders are `$1` and so on, or for whole rows a `?` for each value.
fn bind(statement: &mut Statement<'_>, args: Args<'_>) -> Result<(), sqlx::Error> {
    match args {
        Args::Values(values) => {
            for at in 1..=statement.parameter_count() {
                let number = statement.parameter_name(at).and_then(|name| name.strip_prefix('$')?.parse().ok());
                let value = number.and_then(|number: usize| values.get(number.checked_sub(1)?));
                let value =
                    value.ok_or_else(|| sqlx::Error::InvalidArgument("a placeholder without a value".into()))?;
                bind_value(statement, at, value).map_err(told)?;
            }
            Ok(())
        }
        Args::Rows(_, rows) => statement.raw_bind_parameter(1, json_rows(rows)).map_err(told),
        Args::Written(_, rows) => {
            let values = rows.iter().flat_map(|row| row.iter());
            (1..).zip(values).try_for_each(|(at, value)| bind_value(statement, at, value)).map_err(told)
        }
        Args::Parts(_) => unreachable!("SQLite is asked one by one"),
    }
}

fn bind_value(statement: &mut Statement<'_>, at: usize, value: &Value) -> rusqlite::Result<()> {
    match value {
        Value::Null => statement.raw_bind_parameter(at, Null),
        Value::Int(n) => statement.raw_bind_parameter(at, n),
        Value::Text(text) => statement.raw_bind_parameter(at, text),
        Value::Bytes(bytes) => statement.raw_bind_parameter(at, bytes),
    }
}

fn decode(value: ValueRef<'_>, ty: ColumnType) -> Result<Value, sqlx::Error> {
    match (ty, value) {
        (_, ValueRef::Null) => Ok(Value::Null),
        (ColumnType::Int, ValueRef::Integer(n)) => Ok(Value::Int(n)),
        (ColumnType::Text, ValueRef::Text(text)) => match String::from_utf8(text.to_vec()) {
            Ok(text) => Ok(Value::Text(text)),
            Err(error) => Err(sqlx::Error::Decode(error.into())),
        },
        (ColumnType::Bytes, ValueRef::Blob(bytes)) => Ok(Value::Bytes(bytes.to_vec())),
        (_, found) => Err(sqlx::Error::Decode(format!("{} for a column of another type", found.data_type()).into())),
    }
}

/// As sqlx tells of SQLite's errors, so that [`crate::StoreError`] knows them whoever asked.
fn told(error: rusqlite::Error) -> sqlx::Error {
    match error {
        rusqlite::Error::SqliteFailure(ffi::Error { extended_code: code, .. }, message) => {
            let message = message.unwrap_or_else(|| ffi::code_to_str(code).to_owned());
            sqlx::Error::Database(Box::new(Answer { code, message }))
        }
        other => sqlx::Error::Protocol(other.to_string()),
    }
}

/// SQLite's answer, as sqlx's own error has it, which cannot be made outside sqlx.
#[derive(Debug)]
struct Answer {
    /// SQLite's extended result code.
    code: i32,
    message: String,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "(code: {}) {}", self.code, self.message)
    }
}

impl StdError for Answer {}

impl DatabaseError for Answer {
    fn message(&self) -> &str {
        &self.message
    }

    fn code(&self) -> Option<Cow<'_, str>> {
        Some(self.code.to_string().into())
    }

    fn as_error(&self) -> &(dyn StdError + Send + Sync + 'static) {
        self
    }

    fn as_error_mut(&mut self) -> &mut (dyn StdError + Send + Sync + 'static) {
        self
    }

    fn into_error(self: Box<Self>) -> Box<dyn StdError + Send + Sync + 'static> {
        self
    }

    fn kind(&self) -> ErrorKind {
        match self.code {
            ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY => ErrorKind::UniqueViolation,
            ffi::SQLITE_CONSTRAINT_FOREIGNKEY => ErrorKind::ForeignKeyViolation,
            ffi::SQLITE_CONSTRAINT_NOTNULL => ErrorKind::NotNullViolation,
            ffi::SQLITE_CONSTRAINT_CHECK => ErrorKind::CheckViolation,
            _ => ErrorKind::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode};
    use sqlx::{AssertSqlSafe, Connection as _};

    use super::*;

    const WITHIN: Duration = Duration::from_secs(5);

    /// A database with both drivers on it.
    async fn opened(name: &str) -> (Writer, SqliteConnection, std::path::PathBuf) {
        let path = std::env::temp_dir().join(format!("jjj-direct-{name}-{}.db", std::process::id()));
        let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
        let other = options.journal_mode(SqliteJournalMode::Wal).busy_timeout(Duration::ZERO);
        let other = SqliteConnection::connect_with(&other).await.unwrap();
        let writer = Writer::open(&path, &[("busy_timeout", "0"), ("foreign_keys", "ON")], 16).unwrap();
        (writer, other, path)
    }

    fn remove(path: &Path) {
        for suffix in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{suffix}", path.display()));
        }
    }

    #[tokio::test]
    async fn what_sqlite_refuses_is_told_as_by_sqlx() {
        let (writer, mut sqlx, path) = opened("refusals").await;
        let tables = "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, n INTEGER CHECK (n > 0), \
             of INTEGER REFERENCES t (id)) STRICT; \
             CREATE TRIGGER kept BEFORE DELETE ON t BEGIN SELECT RAISE(ABORT, 'kept'); END; \
             INSERT INTO t VALUES (1, 'a', 1, NULL)";
        writer.acquire(WITHIN).await.unwrap().script(tables).unwrap();
        for (sql, kind, code) in [
            ("INSERT INTO t VALUES (1, 'b', 1, NULL)", ErrorKind::UniqueViolation, "1555"),
            ("INSERT INTO t VALUES (2, 'a', 1, NULL)", ErrorKind::UniqueViolation, "2067"),
            ("INSERT INTO t VALUES (2, NULL, 1, NULL)", ErrorKind::NotNullViolation, "1299"),
            ("INSERT INTO t VALUES (2, 'b', 0, NULL)", ErrorKind::CheckViolation, "275"),
            ("INSERT INTO t VALUES (2, 'b', 1, 9)", ErrorKind::ForeignKeyViolation, "787"),
            ("DELETE FROM t", ErrorKind::Other, "1811"),
            ("INSERT INTO t VALUES (2, 'b', 'one', NULL)", ErrorKind::Other, "3091"),
            ("INSERT INTO nowhere VALUES (1)", ErrorKind::Other, "1"),
        ] {
            let ours = writer.acquire(WITHIN).await.unwrap().execute(sql, Args::Values(&[])).unwrap_err();
            let theirs = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut sqlx).await.unwrap_err();
            assert_eq!(ours.to_string(), theirs.to_string());
            for told in [&ours, &theirs] {
                let told = told.as_database_error().unwrap();
                assert_eq!((&told.kind(), told.code().as_deref()), (&kind, Some(code)), "{sql}");
            }
        }
        let mut held = writer.acquire(WITHIN).await.unwrap();
        held.script("BEGIN IMMEDIATE").unwrap();
        let theirs = sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut sqlx).await.unwrap_err();
        // Dropped, it is rolled back, and others may write.
        drop(held);
        sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut sqlx).await.unwrap();
        let ours = writer.acquire(WITHIN).await.unwrap().script("BEGIN IMMEDIATE").unwrap_err();
        assert_eq!(ours.to_string(), theirs.to_string());
        assert_eq!(ours.as_database_error().unwrap().code().as_deref(), Some("5"));
        writer.close().await;
        sqlx.close().await.unwrap();
        remove(&path);
    }

    #[tokio::test]
    async fn values_go_there_and_back() {
        use ColumnType::{Bytes, Int, Text};
        let (writer, _, path) = opened("values").await;
        let mut held = writer.acquire(WITHIN).await.unwrap();
        held.script("CREATE TABLE v (i INTEGER, t TEXT, b BLOB) STRICT").unwrap();
        let all = |held: &mut Held, sql: &str, args: &[Value], types: &[ColumnType]| {
            let mut rows = Vec::new();
            held.fetch_each(sql, Args::Values(args), types, &mut |row| rows.push(row)).map(|()| rows)
        };
        let rows = [
            vec![Value::Int(i64::MIN), Value::Text("a\0b 老".into()), Value::Bytes(vec![0, 255])],
            vec![Value::Int(0), Value::Text(String::new()), Value::Bytes(Vec::new())],
            vec![Value::Null, Value::Null, Value::Null],
        ];
        let written: Vec<&[Value]> = rows.iter().map(Vec::as_slice).collect();
        let types = [Int, Text, Bytes];
        let inserted = held.execute("INSERT INTO v VALUES (?,?,?),(?,?,?),(?,?,?)", Args::Written(&types, &written));
        assert_eq!(inserted.unwrap(), 3);
        assert_eq!(all(&mut held, "SELECT * FROM v ORDER BY rowid", &[], &types).unwrap(), rows);

        let args = [Value::Int(1), Value::Text("two".into())];
        let again = all(&mut held, "SELECT $2, $1, $2", &args, &[Text, Int, Text]).unwrap();
        assert_eq!(again, [[args[1].clone(), args[0].clone(), args[1].clone()]]);
        let lacking = all(&mut held, "SELECT $3", &args, &[Int]).unwrap_err();
        assert!(matches!(lacking, sqlx::Error::InvalidArgument(_)), "{lacking:?}");
        let mistyped = all(&mut held, "SELECT $1", &args, &[Text]).unwrap_err();
        assert!(matches!(mistyped, sqlx::Error::Decode(_)), "{mistyped:?}");
        let two = all(&mut held, "SELECT 1; SELECT 2", &[], &[Int]).unwrap_err();
        assert!(matches!(two, sqlx::Error::Protocol(_)), "{two:?}");
        remove(&path);
    }

    /// On a worker of the runtime, on a runtime of one thread, and where there is none.
    #[test]
    fn it_answers_wherever_it_is_asked() {
        let several = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let one = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (writer, _, path) = several.block_on(opened("anywhere"));
        let ask = |writer: Writer| async move { writer.acquire(WITHIN).await?.script("SELECT 1") };
        several.block_on(several.spawn(ask(writer.clone()))).unwrap().unwrap();
        several.block_on(ask(writer.clone())).unwrap();
        one.block_on(ask(writer.clone())).unwrap();
        let mut held = one.block_on(writer.acquire(WITHIN)).unwrap();
        held.script("BEGIN IMMEDIATE").unwrap();
        let busy = one.block_on(writer.acquire(Duration::from_millis(1)));
        assert!(matches!(busy, Err(sqlx::Error::PoolTimedOut)));
        drop(held);
        several.block_on(writer.close());
        assert!(matches!(one.block_on(ask(writer)), Err(sqlx::Error::PoolClosed)));
        remove(&path);
    }
}
