//! Bringing a database to this program's schema, and refusing one that is newer.

use jjj_domain::key;

use crate::Result;
use crate::dialect::Dialect;
use crate::error::StoreError;
use crate::session::{Args, Session};
use crate::store::Store;

struct Migration {
    version: i64,
    name: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
}

macro_rules! migration {
    ($version:literal, $name:literal, $file:literal) => {
        Migration {
            version: $version,
            name: $name,
            sqlite: include_str!(concat!("../../../migrations/sqlite/", $file)),
            postgres: include_str!(concat!("../../../migrations/postgres/", $file)),
        }
    };
}

/// In order of version, without gaps.
const MIGRATIONS: &[Migration] = &[migration!(1, "initial", "0001_initial.sql")];

const VERSIONS: &str = "CREATE TABLE IF NOT EXISTS schema_versions \
     (version BIGINT PRIMARY KEY, name TEXT NOT NULL, applied_at_us BIGINT NOT NULL)";
const RECORD: &str = "INSERT INTO schema_versions (version, name, applied_at_us) VALUES ($1, $2, $3)";
const CURRENT: &str = "SELECT MAX(version) FROM schema_versions";
/// One migration at a time, whatever the number of gateways that start.
const FENCE: &str = "SELECT 1 FROM (SELECT pg_advisory_xact_lock(30087452421058413)) AS fence";

impl Store {
    /// The newest schema version that this program knows.
    pub const SCHEMA_VERSION: i64 = MIGRATIONS.len() as i64;

    /// Applies what is missing, all or nothing. Refuses a database that is newer than this program.
    pub async fn migrate(&self) -> Result<()> {
        let mut tx = self.begin_write().await?;
        if self.dialect() == Dialect::Postgres {
            tx.session.execute(FENCE.into(), Args::Values(&[])).await?;
        }
        tx.session.script(VERSIONS).await?;
        let found = tx.session.int(CURRENT, &[]).await?.unwrap_or(0);
        refuse_newer(found)?;
        let now = tx.now().await?;
        for migration in MIGRATIONS.iter().filter(|m| m.version > found) {
            tx.session
                .script(match self.dialect() {
                    Dialect::Sqlite => migration.sqlite,
                    Dialect::Postgres => migration.postgres,
                })
                .await?;
            let args = key![migration.version, migration.name.to_owned(), now];
            tx.session.execute(RECORD.into(), Args::Values(&args)).await?;
        }
        tx.commit().await
    }

    /// Fails unless the database has exactly this program's schema.
    pub async fn check_schema(&self) -> Result<()> {
        let mut session = self.read().await?;
        let found = if session.has_versions().await? { session.int(CURRENT, &[]).await?.unwrap_or(0) } else { 0 };
        match found == Self::SCHEMA_VERSION {
            true => Ok(()),
            false => Err(StoreError::Schema { found, known: Self::SCHEMA_VERSION }),
        }
    }
}

fn refuse_newer(found: i64) -> Result<()> {
    match found > Store::SCHEMA_VERSION {
        true => Err(StoreError::Schema { found, known: Store::SCHEMA_VERSION }),
        false => Ok(()),
    }
}

impl Session {
    async fn has_versions(&mut self) -> Result<bool> {
        let sql = match self.dialect() {
            Dialect::Sqlite => "SELECT COUNT(*) FROM sqlite_schema WHERE name = 'schema_versions'",
            Dialect::Postgres => "SELECT COUNT(*) FROM pg_class WHERE oid = to_regclass('schema_versions')",
        };
        Ok(self.int(sql, &[]).await? == Some(1))
    }
}
