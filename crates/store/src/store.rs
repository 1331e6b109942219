//! The pools of each database, picked from the URL in one match.

use std::fs::File;
use std::io;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jjj_domain::value::{ColumnType, Value};
use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteTransactionManager,
};
use sqlx_core::transaction::TransactionManager as _;
use tokio::sync::Semaphore;

use crate::Result;
use crate::dialect::Dialect;
use crate::direct::Writer;
use crate::error::StoreError;
use crate::session::{Args, Session};
use crate::write::WriteTx;

/// Generated statements are few per table, and on SQLite some twenty sizes of each; none should be prepared twice.
const STATEMENTS: usize = 1_024;
/// … on PostgreSQL those of combinations, of which some are large and never come again.
const STATEMENTS_POSTGRES: usize = 512;
const READERS: u32 = 8;
/// Readers of [`Store::read_beside`].
const BESIDE: u32 = 2;
/// Eight workers, four for what stands alone (it writes, reads beside and ahead, looks a second time), the sequencer, and the
/// small writes: nobody waits for a connection behind another kind of work.
const WRITERS: u32 = 13 + SMALL_WRITES as u32;
/// Small writes under way at once on PostgreSQL: acknowledgements, chunks of uploads, cosignatures.
const SMALL_WRITES: usize = 2;
/// The pages that a connection to SQLite keeps for itself; negative: SQLite then counts kibibytes. Readers are many, and find
/// others in the system's memory.
const CACHE: &str = "-16384";
/// Of every connection to SQLite. A commit is on the disk before it is answered.
const SQLITE_SETTINGS: [(&str, &str); 4] =
    [("busy_timeout", "10000"), ("foreign_keys", "ON"), ("synchronous", "FULL"), ("temp_store", "memory")];
/// … and of the writer.
const SQLITE_WRITER_SETTINGS: [(&str, &str); 2] = [("cache_size", WRITERS_CACHE), ("wal_autocheckpoint", WAL_PAGES)];
const WRITERS_CACHE: &str = "-65536";
/// SQLite's writer moves the write-ahead log into the database by itself only from so many pages on, 64 MiB:
/// [`Store::checkpoint_wal`] is to have done it long before.
const WAL_PAGES: &str = "16384";
/// From so many pages on the log is to begin anew: [`Store::checkpoint_wal`].
const LONG_WAL_PAGES: i64 = 4_096;
/// Where more stay, a reader sees an old state.
const FEW_WAL_PAGES: i64 = 1_024;
/// How long it waits for the writer to stand still.
const KEEP_WRITER_WITHIN: Duration = Duration::from_millis(100);
/// How long SQLite's writer is waited for, which a run of a large day keeps for as long as it takes.
const WRITER_WITHIN: Duration = Duration::from_secs(30);
/// How long a connection is waited for.
const ACQUIRE_WITHIN: Duration = Duration::from_secs(10);
/// A connection that lay idle and is not heard of in this time is given up for another, while its caller still waits.
const HEARD_WITHIN: Duration = Duration::from_secs(2);
/// The oldest PostgreSQL we run on.
const OLDEST_POSTGRES: i64 = 150_000;

/// The write path enters every table by an index, whatever the statistics of a young table
/// say, and plans each statement once. A gateway that stops in the middle of a transaction
/// must not keep its locks.
pub const POSTGRES_WRITE_SETTINGS: [(&str, &str); 8] = [
    // No answer leaves before its transaction is durable, whatever the server's default.
    ("synchronous_commit", "on"),
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("plan_cache_mode", "force_generic_plan"),
    ("jit", "off"),
    // What keeps a row for longer must not keep a batch. See [`WriteTx::wait_for_locks`].
    ("lock_timeout", "2s"),
    ("idle_in_transaction_session_timeout", "30s"),
];

/// Who only reads keeps nobody waiting, and may wait for long itself.
const KEEP_READING: &str = "SET LOCAL idle_in_transaction_session_timeout = '10min'";

/// How a reading session plans. A month's pages are to go by region and month, not by the key through every
/// month there was: told that random pages are dear, as they were on spinning disks, PostgreSQL takes the key
/// once a plan knows no values.
pub const POSTGRES_READ_SETTINGS: [(&str, &str); 3] =
    [("default_transaction_read_only", "on"), ("jit", "off"), ("random_page_cost", "1.1")];

/// A database, embedded or served. Cloning shares the connections.
#[derive(Clone, Debug)]
pub struct Store {
    pools: Pools,
    /// One of them may wait for SQLite's one writer beside the engine, which so waits for one at most.
    small_writes: Arc<Semaphore>,
}

#[derive(Clone, Debug)]
enum Pools {
    /// One writer, as SQLite allows no more; readers see the last commit.
    Sqlite {
        writer: Writer,
        readers: SqlitePool,
        apart: SqlitePool,
        /// [`Store::read_beside`]
        beside: SqlitePool,
        /// [`Store::checkpoint_wal`]
        checkpointer: SqlitePool,
        /// How many pages the log had when all of it had been moved: there is nothing to do until a commit changes that.
        all_moved: Arc<AtomicI64>,
        /// The database's, to have the disk take what was written to it.
        file: &'static File,
    },
    Postgres {
        writers: PgPool,
        readers: PgPool,
        apart: PgPool,
    },
}

impl Store {
    /// Opens `sqlite:PATH` (created when missing) or `postgres://…`. Does not touch
    /// the schema: see [`Store::migrate`] and [`Store::check_schema`].
    pub async fn open(url: &str) -> Result<Self> {
        let pools = match url.split_once(':').map(|(scheme, _)| scheme) {
            Some("sqlite") => open_sqlite(url).await?,
            Some("postgres" | "postgresql") => open_postgres(url).await?,
            _ => return Err(StoreError::Url),
        };
        let small_writes = match pools {
            Pools::Sqlite { .. } => 1,
            Pools::Postgres { .. } => SMALL_WRITES,
        };
        Ok(Self { pools, small_writes: Arc::new(Semaphore::new(small_writes)) })
    }

    pub fn dialect(&self) -> Dialect {
        match self.pools {
            Pools::Sqlite { .. } => Dialect::Sqlite,
            Pools::Postgres { .. } => Dialect::Postgres,
        }
    }

    /// Begins a transaction that writes: `BEGIN IMMEDIATE` on SQLite, where it waits for the one writer, whose statements then
    /// run on the thread that asks; READ COMMITTED on PostgreSQL.
    pub async fn begin_write(&self) -> Result<WriteTx> {
        match &self.pools {
            Pools::Sqlite { writer, .. } => {
                let session = Session::direct(writer.acquire(WRITER_WITHIN).await?);
                Ok(WriteTx::new(session.begin("BEGIN IMMEDIATE").await?))
            }
            Pools::Postgres { writers, .. } => {
                let session = Session::postgres(writers.acquire().await?);
                Ok(WriteTx::new(session.begin("BEGIN ISOLATION LEVEL READ COMMITTED").await?))
            }
        }
    }

    /// [`Store::begin_write`] for what does not come through the engine: a flood of such writes must not keep
    /// the engine from its connections.
    pub async fn begin_small_write(&self) -> Result<WriteTx> {
        let place = tokio::time::timeout(ACQUIRE_WITHIN, self.small_writes.clone().acquire_owned());
        let place = place.await.map_err(|_| StoreError::timed_out())?.expect("it is never closed");
        let mut tx = self.begin_write().await?;
        tx._place = Some(place);
        Ok(tx)
    }

    /// Begins a transaction that writes and sees one moment throughout; what changes under it is
    /// a `Serialization` conflict on PostgreSQL, and it is decided anew.
    pub async fn begin_write_at_once(&self) -> Result<WriteTx> {
        match &self.pools {
            Pools::Sqlite { .. } => self.begin_write().await,
            Pools::Postgres { writers, .. } => {
                let session = Session::postgres(writers.acquire().await?);
                Ok(WriteTx::new(session.begin("BEGIN ISOLATION LEVEL REPEATABLE READ").await?))
            }
        }
    }

    /// A connection for reading, each statement seeing the last commit.
    pub async fn read(&self) -> Result<Session> {
        Ok(match &self.pools {
            Pools::Sqlite { readers, .. } => Session::sqlite(readers.acquire().await?),
            Pools::Postgres { readers, .. } => Session::postgres(readers.acquire().await?),
        })
    }

    /// A connection for reading that sees one moment throughout: reports, verification.
    pub async fn read_at_once(&self) -> Result<Session> {
        self.read().await?.begin_reading().await
    }

    /// As [`Store::read_at_once`], on the one connection that is kept apart for what must not wait behind
    /// other readers: who is registered, above all.
    pub async fn read_apart(&self) -> Result<Session> {
        let session = match &self.pools {
            Pools::Sqlite { apart, .. } => Session::sqlite(apart.acquire().await?),
            Pools::Postgres { apart, .. } => Session::postgres(apart.acquire().await?),
        };
        session.begin_reading().await
    }

    /// A connection that sees what a transaction of [`Store::begin_write_at_once`] saw when it began, and nothing of
    /// what it writes. On SQLite that moment is its first read, which must come before the transaction ends: nobody else
    /// writes until then. Two of them are had at once.
    pub async fn read_beside(&self, tx: &mut WriteTx) -> Result<Session> {
        match &self.pools {
            // Not a reader's: whoever holds the one writer must not wait for reports.
            Pools::Sqlite { beside, .. } => Session::sqlite(beside.acquire().await?).begin_reading().await,
            Pools::Postgres { writers, .. } => {
                let shared = tx.session().text("SELECT pg_export_snapshot()").await?;
                let mut session = Session::postgres(writers.acquire().await?).begin_reading().await?;
                let import = format!("SET TRANSACTION SNAPSHOT '{shared}'");
                for sql in [import.as_str(), KEEP_READING] {
                    // Of another server, or of a transaction that has ended: it is begun anew.
                    session.execute(sql.into(), Args::Values(&[])).await.map_err(StoreError::into_conflict)?;
                }
                Ok(session)
            }
        }
    }

    /// A cheap look at what waits to be written on: the writers' plans on PostgreSQL, a
    /// reader on SQLite, where looking must not wait for the one writer.
    pub(crate) async fn glance(&self) -> Result<Session> {
        match &self.pools {
            Pools::Sqlite { .. } => self.read().await,
            Pools::Postgres { writers, .. } => Ok(Session::postgres(writers.acquire().await?)),
        }
    }

    /// On SQLite, moves what commits have left in the write-ahead log into the database, beside the one writer:
    /// done by it, every few commits would wait for that. On PostgreSQL the server does.
    ///
    /// SQLite begins its log anew only when all of it has been moved, and while commits keep coming some of it never has:
    /// the writer would do the rest, and wait for the disk, whenever the log is 64 MiB long. So once it is rather
    /// long, the writer is kept for the moment that the last few pages take.
    pub async fn checkpoint_wal(&self) -> Result<()> {
        let Pools::Sqlite { checkpointer, all_moved, writer, file, .. } = &self.pools else { return Ok(()) };
        let mut session = Session::sqlite(checkpointer.acquire().await?);
        let note = |wal: Wal| all_moved.store(if wal.left == 0 { wal.pages } else { 0 }, Ordering::Relaxed);
        let Wal { pages, left } = move_wal(&mut session).await?;
        // Much is left where a reader sees an old state, and would be however long the writer is kept.
        if pages < LONG_WAL_PAGES || pages == all_moved.load(Ordering::Relaxed) || left > FEW_WAL_PAGES {
            return Ok(());
        }
        // The second moves what has come during the first.
        for _ in 0..2 {
            // SQLite sees to that itself only when it has moved all.
            sync(file).await?;
            note(move_wal(&mut session).await?);
        }
        // Busy for longer with one transaction, or closed, it is left alone.
        if let Ok(_kept) = writer.acquire(KEEP_WRITER_WITHIN).await {
            note(move_wal(&mut session).await?);
        }
        Ok(())
    }

    /// Closes all connections after their current work.
    pub async fn close(&self) {
        match &self.pools {
            Pools::Sqlite { writer, readers, apart, beside, checkpointer, .. } => {
                checkpointer.close().await;
                beside.close().await;
                apart.close().await;
                readers.close().await;
                writer.close().await;
            }
            Pools::Postgres { writers, readers, apart } => {
                apart.close().await;
                readers.close().await;
                writers.close().await;
            }
        }
    }
}

/// What a write-ahead log holds.
struct Wal {
    /// When the move began.
    pages: i64,
    /// Of those, not moved: a reader still needs what they replace.
    left: i64,
}

/// Moves what is there now.
async fn move_wal(checkpointer: &mut Session) -> Result<Wal> {
    const BUSY_PAGES_MOVED: [ColumnType; 3] = [ColumnType::Int; 3];
    let sql = "PRAGMA wal_checkpoint(PASSIVE)".into();
    let rows = checkpointer.fetch(sql, Args::Values(&[]), &BUSY_PAGES_MOVED).await?;
    Ok(match rows.first().map(Vec::as_slice) {
        Some([_, Value::Int(pages), Value::Int(moved)]) => Wal { pages: *pages, left: pages - moved },
        _ => Wal { pages: 0, left: 0 },
    })
}

async fn sync(file: &'static File) -> Result<()> {
    let synced = tokio::task::spawn_blocking(|| file.sync_data()).await.map_err(io::Error::other);
    Ok(synced.and_then(|synced| synced)?)
}

async fn open_sqlite(url: &str) -> Result<Pools> {
    // The writer is not sqlx's, and would not heed what a URL adds to its path.
    if url.contains('?') {
        return Err(StoreError::Url);
    }
    let options = SqliteConnectOptions::from_str(url)?
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .statement_cache_capacity(STATEMENTS);
    let options = SQLITE_SETTINGS.iter().fold(options, |options, (name, value)| options.pragma(*name, *value));
    let options = options.pragma("cache_size", CACHE);
    // A connection to a file does not get lost: asking it before each use is a way to its thread and back for nothing.
    let forever = SqlitePoolOptions::new()
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        // When the disk fails or memory ends, SQLite rolls back by itself, and the driver never learns: its own rollback
        // fails, and every transaction after it would. Such a connection is closed, once what it was told last has been done.
        .after_release(|connection, _| {
            Box::pin(async move {
                let is_open = |c: &SqliteConnection| SqliteTransactionManager::get_transaction_depth(c) > 0;
                if is_open(connection) {
                    connection.ping().await?;
                }
                Ok(!is_open(connection))
            })
        });
    let one = forever.clone().max_connections(1);
    // The first: where there is no database it makes it, and with a write-ahead log, which stays.
    let checkpointer = one.clone().min_connections(1).connect_with(options.clone()).await?;
    let settings = [&SQLITE_SETTINGS[..], &SQLITE_WRITER_SETTINGS].concat();
    let writer = Writer::open(options.get_filename(), &settings, STATEMENTS)?;
    // Never closed: that would give up every lock which the process has on the file (sqlite.org/howtocorrupt.html, 2.2).
    let file = File::open(options.get_filename())?;
    let file: &'static File = Box::leak(file.into());
    let reading = options.pragma("query_only", "on");
    let beside = forever.clone().max_connections(BESIDE).connect_lazy_with(reading.clone());
    let readers = forever.max_connections(READERS).connect_lazy_with(reading.clone());
    let apart = one.connect_lazy_with(reading);
    let all_moved = Arc::default();
    Ok(Pools::Sqlite { writer, readers, apart, beside, checkpointer, all_moved, file })
}

async fn open_postgres(url: &str) -> Result<Pools> {
    let options =
        PgConnectOptions::from_str(url)?.application_name("jjj").statement_cache_capacity(STATEMENTS_POSTGRES);
    let write = options.clone().options(POSTGRES_WRITE_SETTINGS);
    let read = options.options(POSTGRES_READ_SETTINGS);
    // The pool's own test has no limit but the caller's.
    let pool = PgPoolOptions::new().acquire_timeout(ACQUIRE_WITHIN).test_before_acquire(false).before_acquire(
        |connection, _| {
            Box::pin(async {
                let heard = tokio::time::timeout(HEARD_WITHIN, connection.ping()).await;
                heard.unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()))?;
                Ok(true)
            })
        },
    );
    let writers = pool.clone().max_connections(WRITERS).connect_with(write).await?;
    let readers = pool.clone().max_connections(READERS).connect_lazy_with(read.clone());
    let apart = pool.max_connections(1).connect_lazy_with(read);
    let mut session = Session::postgres(writers.acquire().await?);
    match session.int("SELECT CAST(current_setting('server_version_num') AS BIGINT)", &[]).await? {
        Some(found) if found < OLDEST_POSTGRES => Err(StoreError::ServerTooOld { found: found / 10_000 }),
        _ => Ok(Pools::Postgres { writers, readers, apart }),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use jjj_domain::key;

    use super::*;
    use crate::log_tables::{FileChunkRow, RequestRow};

    /// Names the small disk, for a process that has one.
    const SMALL_DISK: &str = "JJJ_TEST_SMALL_DISK";
    /// Ends so where none can be had.
    const NO_SMALL_DISK: i32 = 77;

    /// It is full while rows are written, and while the commit is. SQLite may have rolled back by itself or not: the next
    /// transaction begins either way.
    #[test]
    fn a_disk_that_was_full_stops_nobody_for_good() {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        if let Some(folder) = std::env::var_os(SMALL_DISK) {
            // Pages that the cache has no room for are written before the commit, which fails by the others.
            let full = [("PRAGMA cache_size = 10", false), ("PRAGMA cache_size = -65536", true)];
            return runtime.block_on(writes_until_full(Path::new(&folder), full));
        }
        // Once more, by a process that has a disk of its own, which is gone with it.
        let folder = std::env::temp_dir().join(format!("jjj-store-full-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let script = r#"
            mount='mount -t tmpfs -o size=6m none "$0" && JJJ_TEST_SMALL_DISK="$0" exec "$@"'
            for by in 'unshare --map-root-user --mount' 'sudo -n unshare --mount'; do
                if $by mount -t tmpfs none "$1" 2>/dev/null; then exec $by sh -c "$mount" "$@"; fi
            done
            exit 77
        "#;
        let name = "store::tests::a_disk_that_was_full_stops_nobody_for_good";
        let mut again = Command::new("sh");
        again.args(["-c", script, "sh"]).arg(&folder).arg(std::env::current_exe().unwrap());
        let done = again.args(["--exact", name, "--nocapture"]).output().unwrap();
        if done.status.code() == Some(NO_SMALL_DISK) {
            // Then the database is kept small, which a commit does not notice.
            let full = [("PRAGMA max_page_count = 900", false); 2];
            runtime.block_on(writes_until_full(&folder, full));
        } else {
            assert!(done.status.success(), "{done:?}");
            assert!(String::from_utf8_lossy(&done.stdout).contains("1 passed"), "{done:?}");
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }

    /// Each time after what makes it so, and whether the commit is what notices.
    async fn writes_until_full(folder: &Path, full: [(&'static str, bool); 2]) {
        let store = Store::open(&format!("sqlite:{}", folder.join("full.db").display())).await.unwrap();
        store.migrate().await.unwrap();
        let chunk = |n: i64| FileChunkRow { file: "files/1".into(), chunk_index: n, ciphertext: vec![7; 100_000] };
        let chunks: Vec<_> = (0..60).map(chunk).collect();
        let request = |n: i64| RequestRow {
            participant: "regions/110000".parse().unwrap(),
            request_id: format!("01939d0c-5a00-7000-8000-{n:012}").parse().unwrap(),
            content_digest: "0".repeat(64),
            leaf_id: format!("leaf {n}"),
        };
        for (n, full) in (1..).zip([None, Some(full[0]), None, Some(full[1]), None]) {
            let mut tx = store.begin_write().await.unwrap();
            tx.session().int("PRAGMA max_page_count = 1000000", &[]).await.unwrap();
            tx.insert(&[request(n)], crate::dialect::Shape::Insert).await.unwrap();
            let Some((pragma, commit_notices)) = full else {
                tx.commit().await.unwrap();
                continue;
            };
            tx.session().int(pragma, &[]).await.unwrap();
            match (commit_notices, tx.insert(&chunks, crate::dialect::Shape::Insert).await) {
                (false, Err(StoreError::Unavailable(_))) => drop(tx),
                (true, Ok(())) => {
                    let failed = tx.commit().await;
                    assert!(matches!(failed, Err(StoreError::UnknownCommit(_))), "{failed:?}");
                }
                (_, written) => panic!("6 MB do not fit: {n} {written:?}"),
            }
        }
        let mut session = store.read().await.unwrap();
        for n in 1..=5 {
            let row = request(n);
            let found: Option<RequestRow> = session.get(key![row.participant.clone(), row.request_id]).await.unwrap();
            assert_eq!(found.is_some(), n % 2 == 1, "{n}");
        }
        let chunks = session.int("SELECT COUNT(*) FROM file_chunks", &[]).await.unwrap();
        assert_eq!(chunks, Some(0));
        drop(session);
        store.close().await;
    }
}
