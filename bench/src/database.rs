//! Databases to measure on, fully durable: SQLite in a file, PostgreSQL in a cluster of its own.

use std::path::PathBuf;
use std::str::FromStr as _;

use anyhow::Context as _;
use jjj_tests::postgres::PrivateCluster;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    Sqlite,
    Postgres,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        }
    }
}

/// Where databases are made. Everything is gone with this value.
pub enum Place {
    Sqlite(tempfile::TempDir),
    Postgres(PrivateCluster),
}

/// What a server of this size would be given; everything else, fsync and synchronous_commit above
/// all, is as PostgreSQL comes.
const SETTINGS: [&str; 3] = [
    "ALTER SYSTEM SET shared_buffers = '1GB'",
    "ALTER SYSTEM SET max_wal_size = '4GB'",
    "ALTER SYSTEM SET checkpoint_timeout = '15min'",
];

impl Place {
    /// Under the system's folder for temporary files, which `TMPDIR` names.
    pub async fn new(kind: Kind) -> anyhow::Result<Self> {
        Ok(match kind {
            Kind::Sqlite => Self::Sqlite(tempfile::Builder::new().prefix("jjj-bench-").tempdir()?),
            Kind::Postgres => {
                let mut cluster = PrivateCluster::start();
                let mut connection = PgConnection::connect(&cluster.url("postgres")).await?;
                for setting in SETTINGS {
                    sqlx::raw_sql(setting).execute(&mut connection).await?;
                }
                connection.close().await?;
                cluster.stop();
                cluster.restart();
                let durable = "SELECT current_setting('fsync') || current_setting('synchronous_commit')";
                let mut connection = PgConnection::connect(&cluster.url("postgres")).await?;
                let (found,): (String,) = sqlx::query_as(durable).fetch_one(&mut connection).await?;
                anyhow::ensure!(found == "onon", "fsync and synchronous_commit are {found}");
                Self::Postgres(cluster)
            }
        })
    }

    /// An empty database.
    pub fn create(&self, name: &str) -> String {
        match self {
            Self::Sqlite(folder) => format!("sqlite:{}", folder.path().join(name).with_extension("db").display()),
            Self::Postgres(cluster) => cluster.create(name),
        }
    }

    /// Deletes a database that nobody is connected to: the next needs the disk.
    pub async fn drop(&self, name: &str) -> anyhow::Result<()> {
        match self {
            Self::Sqlite(folder) => {
                for suffix in ["db", "db-wal", "db-shm"] {
                    let _ = std::fs::remove_file(folder.path().join(name).with_extension(suffix));
                }
            }
            Self::Postgres(cluster) => {
                let mut connection = PgConnection::connect(&cluster.url("postgres")).await?;
                let sql = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
                sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await?;
            }
        }
        Ok(())
    }
}

/// A connection past the gateway, with the gateway's own durability.
pub enum Direct {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Direct {
    pub async fn open(url: &str) -> anyhow::Result<Self> {
        if url.starts_with("sqlite:") {
            let options = SqliteConnectOptions::from_str(url)?
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .busy_timeout(std::time::Duration::from_secs(10))
                .pragma("cache_size", "-65536")
                .pragma("temp_store", "memory");
            Ok(Self::Sqlite(options.connect().await?))
        } else {
            let options = PgConnectOptions::from_str(url)?.options(jjj_store::POSTGRES_WRITE_SETTINGS);
            Ok(Self::Postgres(options.connect().await?))
        }
    }

    pub async fn script(&mut self, sql: &str) -> anyhow::Result<()> {
        let sql = AssertSqlSafe(sql.to_owned());
        match self {
            Self::Sqlite(connection) => sqlx::raw_sql(sql).execute(connection).await.map(drop)?,
            Self::Postgres(connection) => sqlx::raw_sql(sql).execute(connection).await.map(drop)?,
        }
        Ok(())
    }

    pub async fn int(&mut self, sql: &str) -> anyhow::Result<i64> {
        let sql = AssertSqlSafe(sql.to_owned());
        let (value,): (i64,) = match self {
            Self::Sqlite(connection) => sqlx::query_as(sql).fetch_one(connection).await?,
            Self::Postgres(connection) => sqlx::query_as(sql).fetch_one(connection).await?,
        };
        Ok(value)
    }

    pub async fn close(self) -> anyhow::Result<()> {
        match self {
            Self::Sqlite(connection) => connection.close().await?,
            Self::Postgres(connection) => connection.close().await?,
        }
        Ok(())
    }
}

/// How large a database is.
pub async fn bytes(url: &str) -> anyhow::Result<i64> {
    let mut direct = Direct::open(url).await?;
    let size = match &direct {
        Direct::Sqlite(_) => "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size",
        Direct::Postgres(_) => "SELECT pg_database_size(current_database())",
    };
    let size = direct.int(size).await.context("the database's size")?;
    direct.close().await?;
    Ok(size)
}

/// The folder in which files and databases are made.
pub fn disk() -> PathBuf {
    std::env::temp_dir()
}
