//! Storage on SQLite and PostgreSQL: loads the snapshot that a batch of commands
//! needs, writes its effects, numbers the log after commit, answers readers.
//!
//! Statements are generated from the tables' column lists ([`dialect`]) and run
//! through one [`Session`] on either driver.
//!
//! Architecture invariant: no rule of the domain is in here, and no cryptography;
//! hashes and signatures are made by callers.

mod condition;
pub mod dialect;
mod direct;
mod entries;
mod error;
mod log;
pub mod log_tables;
mod migrate;
mod newest;
mod packed;
mod read;
mod reserved;
pub mod schema;
mod sequence;
mod session;
mod settlement;
mod store;
mod summary;
mod upload;
mod write;

pub use condition::Condition;
pub use direct::aside;
pub use entries::{EntryField, EntryQuery, LedgerEntry};
pub use error::{ConflictKind, StoreError};
pub use log::{Delivery, SignedLeaf};
pub use packed::Packed;
pub use read::{ListQuery, Op, Predicate, TrialBalanceRow};
pub use reserved::{RESERVED_AFTER, Reserved};
pub use sequence::{Fold, LogState, LogStep, SealState, Sequenced};
pub use session::Session;
pub use settlement::Funded;
pub use store::{POSTGRES_READ_SETTINGS, POSTGRES_WRITE_SETTINGS, Store};
pub use upload::Begun;
pub use write::{Balances, Claim, Effects, LEAF_BYTES, Logged, Mark, NewLeaf, RequestClaim, WriteTx};

pub type Result<T, E = StoreError> = std::result::Result<T, E>;
