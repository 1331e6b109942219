//! A database without its gateway: what somebody does who has only that.

use jjj_domain::row::TableSpec;
use jjj_domain::value::Value;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, SqliteConnection};

use crate::postgres::TestDatabase;

/// PostgreSQL's code of it.
const DEADLOCK: &str = "40P01";

/// A connection.
pub enum Raw {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Raw {
    pub async fn connect(db: &TestDatabase) -> Self {
        match db.is_postgres() {
            true => Self::Postgres(PgConnection::connect(db.url()).await.unwrap()),
            false => Self::Sqlite(SqliteConnection::connect(db.url()).await.unwrap()),
        }
    }

    /// Drops the triggers that refuse change.
    pub async fn open(db: &TestDatabase) -> Self {
        let mut raw = Self::connect(db).await;
        let triggers: Vec<(String,)> = match &mut raw {
            Self::Postgres(_) => {
                // Beside a gateway at work it may lose against one that locks the same tables in another order.
                let drop = "DROP FUNCTION IF EXISTS refuse_change() CASCADE";
                while let Err(error) = raw.attempt(drop).await {
                    let code = error.as_database_error().and_then(|error| error.code().map(String::from));
                    assert_eq!(code.as_deref(), Some(DEADLOCK), "{error}");
                }
                return raw;
            }
            Self::Sqlite(connection) => sqlx::query_as("SELECT name FROM sqlite_master WHERE type = 'trigger'")
                .fetch_all(connection)
                .await
                .unwrap(),
        };
        for (name,) in triggers {
            raw.run(&format!("DROP TRIGGER {name}")).await;
        }
        raw
    }

    pub async fn run(&mut self, sql: &str) {
        self.attempt(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    async fn attempt(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        let statement = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        match self {
            Self::Sqlite(connection) => connection.execute(statement).await.map(drop),
            Self::Postgres(connection) => connection.execute(statement).await.map(drop),
        }
    }

    /// How many of the database's transactions wait for a lock.
    pub async fn waiting(&mut self) -> i64 {
        let Self::Postgres(connection) = self else { panic!("SQLite has no locks of rows") };
        let waiting =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        sqlx::query_scalar(waiting).fetch_one(connection).await.expect("a count")
    }

    pub async fn insert(&mut self, spec: &TableSpec, row: &[Value]) {
        self.run(&self.insertion(spec, row)).await;
    }

    /// The statement that adds a row as it is.
    pub fn insertion(&self, spec: &TableSpec, row: &[Value]) -> String {
        let columns: Vec<_> = spec.columns.iter().map(|column| format!("\"{}\"", column.name)).collect();
        let values: Vec<_> = row.iter().map(|value| self.literal(value)).collect();
        // Its key is numbered by the database.
        let overriding = match self {
            Self::Postgres(_) if spec.name == "leaf_pending" => "OVERRIDING SYSTEM VALUE ",
            _ => "",
        };
        format!("INSERT INTO {} ({}) {overriding}VALUES ({})", spec.name, columns.join(", "), values.join(", "))
    }

    /// A value as this database spells it.
    pub fn literal(&self, value: &Value) -> String {
        match value {
            Value::Null => "NULL".to_owned(),
            Value::Int(n) => n.to_string(),
            Value::Text(text) => format!("'{}'", text.replace('\'', "''")),
            Value::Bytes(bytes) => self.bytes(bytes),
        }
    }

    /// Bytes as this database spells them.
    pub fn bytes(&self, bytes: &[u8]) -> String {
        let hex = hex::encode(bytes);
        match self {
            Self::Sqlite(_) => format!("X'{hex}'"),
            Self::Postgres(_) => format!("'\\x{hex}'::bytea"),
        }
    }
}
