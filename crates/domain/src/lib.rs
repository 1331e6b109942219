//! The Jing-Jin-Ji elder-care gateway's rules: identifiers that parse themselves,
//! records and their lifecycles, policy tables, the ledger, payments and
//! reconciliation. Pure: no IO, no async, no clock, no randomness.
//!
//! Every mutation is decided here: `decide(snapshot, call, command)` gives leaves
//! of the log with the rows and transfers they write, or a refusal.

pub mod decision;
pub mod id;
pub mod ledger;
pub mod names;
pub mod rejection;
pub mod row;
pub mod snapshot;
pub mod time;
pub mod value;
