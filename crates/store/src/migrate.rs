//! Bringing a database to this program's schema, and refusing one that is newer, or made otherwise.

use jjj_domain::key;
use jjj_domain::value::{ColumnType, Value};
use sha2::{Digest, Sha256};

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

impl Migration {
    fn text(&self, dialect: Dialect) -> &'static str {
        match dialect {
            Dialect::Sqlite => self.sqlite,
            Dialect::Postgres => self.postgres,
        }
    }

    /// With the digest of the text's statements: what was applied is known by it.
    fn full_name(&self, dialect: Dialect) -> String {
        let mut digest = Sha256::new();
        for line in self.text(dialect).lines().filter(|line| !line.starts_with("--")) {
            digest.update(line);
            digest.update("\n");
        }
        format!("{} sha256:{}", self.name, hex::encode(digest.finalize()))
    }
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
const APPLIED: &str = "SELECT version, name FROM schema_versions ORDER BY version";
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
        tx.session.check_applied().await?;
        let now = tx.now().await?;
        for migration in MIGRATIONS.iter().filter(|m| m.version > found) {
            tx.session.script(migration.text(self.dialect())).await?;
            let args = key![migration.version, migration.full_name(self.dialect()), now];
            tx.session.execute(RECORD.into(), Args::Values(&args)).await?;
        }
        tx.commit().await
    }

    /// Fails unless the database has exactly this program's schema.
    pub async fn check_schema(&self) -> Result<()> {
        let mut session = self.read().await?;
        let found = if session.has_versions().await? { session.int(CURRENT, &[]).await?.unwrap_or(0) } else { 0 };
        match found == Self::SCHEMA_VERSION {
            true => session.check_applied().await,
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
    /// That what was applied is what this program would apply: until the first release a migration may change.
    async fn check_applied(&mut self) -> Result<()> {
        let dialect = self.dialect();
        for row in self.fetch(APPLIED.into(), Args::Values(&[]), &[ColumnType::Int, ColumnType::Text]).await? {
            let [Value::Int(version), Value::Text(name)] = &row[..] else { continue };
            let known = MIGRATIONS.iter().find(|migration| migration.version == *version);
            if known.is_none_or(|migration| migration.full_name(dialect) != *name) {
                return Err(StoreError::OtherSchema { version: *version, found: name.clone() });
            }
        }
        Ok(())
    }

    async fn has_versions(&mut self) -> Result<bool> {
        let sql = match self.dialect() {
            Dialect::Sqlite => "SELECT COUNT(*) FROM sqlite_schema WHERE name = 'schema_versions'",
            Dialect::Postgres => "SELECT COUNT(*) FROM pg_class WHERE oid = to_regclass('schema_versions')",
        };
        Ok(self.int(sql, &[]).await? == Some(1))
    }
}
