//! What can go wrong, by who is at fault: the moment (retry), another transaction
//! (decide anew), stored data (nobody's code wrote it), the schema, or a bug.

use std::io;

use jjj_domain::row::StoredFault;
use sqlx::error::ErrorKind;

/// Why a transaction lost against another one, or against the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConflictKind {
    Serialization,
    Deadlock,
    /// A row with this key appeared meanwhile.
    Unique,
    /// A lock was not granted in time.
    LockTimeout,
    /// A `CHECK`, `NOT NULL` or append-only rule refused a row. Deciding anew helps only when
    /// the decision rested on something that has changed; otherwise one command is guilty.
    Rule,
}

/// A failed store operation. Nothing of its transaction is durable, except after
/// [`StoreError::UnknownCommit`].
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the database driver failed")]
    Driver(#[source] sqlx::Error),
    #[error("the database is not available")]
    Unavailable(#[source] sqlx::Error),
    #[error("conflict in the database: {kind:?}")]
    Conflict { kind: ConflictKind, source: Option<sqlx::Error> },
    #[error("stored data is inconsistent")]
    Inconsistent(#[from] StoredFault),
    /// The commit was sent and not answered. Look the request ids up before answering.
    #[error("it is not known whether the transaction was committed")]
    UnknownCommit(#[source] sqlx::Error),
    #[error("the database has schema version {found}, this program knows {known}")]
    Schema { found: i64, known: i64 },
    #[error(
        "the database was made by another build of this program: its schema {version} is {found}; run that build, or make the database anew"
    )]
    OtherSchema { version: i64, found: String },
    #[error("not a database URL of the form sqlite:PATH or postgres://…")]
    Url,
    #[error("PostgreSQL 15 or later is needed, this server is {found}")]
    ServerTooOld { found: i64 },
    /// A commit was asked for after a statement of the transaction had failed or was abandoned.
    #[error("the transaction had failed before its commit")]
    Aborted,
}

impl StoreError {
    /// Whether the same work, decided anew, may succeed.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Unavailable(_) => true,
            Self::Conflict { kind, .. } => *kind != ConflictKind::Rule,
            Self::Driver(_)
            | Self::Inconsistent(_)
            | Self::UnknownCommit(_)
            | Self::Schema { .. }
            | Self::OtherSchema { .. }
            | Self::Url
            | Self::ServerTooOld { .. }
            | Self::Aborted => false,
        }
    }

    /// The database has not answered in time.
    pub fn timed_out() -> Self {
        io::Error::from(io::ErrorKind::TimedOut).into()
    }

    /// Whether the connection leads to a server that takes no writes: after a failover another one does.
    pub(crate) fn is_of_standby(&self) -> bool {
        let Self::Unavailable(sqlx::Error::Database(error)) = self else { return false };
        error.code().is_some_and(|code| code == READ_ONLY)
    }

    /// A conflict that was noticed without a statement that failed.
    pub fn conflict(kind: ConflictKind) -> Self {
        Self::Conflict { kind, source: None }
    }

    /// What the driver refused because of what has changed meanwhile.
    pub(crate) fn into_conflict(self) -> Self {
        match self {
            Self::Driver(error) => Self::Conflict { kind: ConflictKind::Serialization, source: Some(error) },
            other => other,
        }
    }

    /// An error of the commit itself: refused by the database, or its answer is lost.
    pub(crate) fn of_commit(error: sqlx::Error) -> Self {
        match Self::from(error) {
            Self::Driver(e) | Self::Unavailable(e) => Self::UnknownCommit(e),
            // The database answered: nothing is durable.
            known => known,
        }
    }
}

/// The machine has something no longer, or not now.
impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        Self::Unavailable(sqlx::Error::Io(error))
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::BeginFailed => Self::Unavailable(error),
            sqlx::Error::Database(database) => match fault(database.as_ref()) {
                Fault::Conflict(kind) => Self::Conflict { kind, source: Some(error) },
                Fault::Unavailable => Self::Unavailable(error),
                Fault::Other => Self::Driver(error),
            },
            _ => Self::Driver(error),
        }
    }
}

/// SQLSTATE of a write on a server that has become a standby.
const READ_ONLY: &str = "25006";

enum Fault {
    Conflict(ConflictKind),
    Unavailable,
    Other,
}

/// Sorts a database's answer by its code: SQLSTATE on PostgreSQL, extended result code on SQLite.
fn fault(error: &dyn sqlx::error::DatabaseError) -> Fault {
    match error.kind() {
        ErrorKind::UniqueViolation => return Fault::Conflict(ConflictKind::Unique),
        ErrorKind::ForeignKeyViolation | ErrorKind::NotNullViolation | ErrorKind::CheckViolation => {
            return Fault::Conflict(ConflictKind::Rule);
        }
        _ => {}
    }
    let code = error.code().unwrap_or_default().into_owned();
    match code.as_str() {
        "40001" => Fault::Conflict(ConflictKind::Serialization),
        "40P01" => Fault::Conflict(ConflictKind::Deadlock),
        "55P03" => Fault::Conflict(ConflictKind::LockTimeout),
        // The append-only triggers: our SQLSTATE, and SQLITE_CONSTRAINT_TRIGGER.
        "JJJ01" | "1811" => Fault::Conflict(ConflictKind::Rule),
        // A standby, too many clients, a full disk, an idle transaction ended, a statement cancelled by the server.
        READ_ONLY | "53300" | "53100" | "25P03" | "57014" => Fault::Unavailable,
        c if c.len() == 5 && (c.starts_with("08") || c.starts_with("57P")) => Fault::Unavailable,
        // SQLite: the low byte is the primary code; 5 busy, 6 locked, 13 full.
        c if c.len() != 5 && c.parse::<i32>().is_ok_and(|c| matches!(c & 0xff, 5 | 6 | 13)) => Fault::Unavailable,
        _ => Fault::Other,
    }
}
