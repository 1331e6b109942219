//! The Jing-Jin-Ji elder-care gateway's rules: identifiers that parse themselves,
//! records and their lifecycles, policy tables, the ledger, payments and
//! reconciliation. Pure: no IO, no async, no clock, no randomness.
//!
//! Every mutation is decided here: `decide(snapshot, call, command)` gives leaves
//! of the log with the rows and transfers they write, or a refusal.

pub mod agreement;
pub mod care;
pub mod close;
pub mod decision;
pub mod entitlement;
pub mod guard;
pub mod id;
pub mod institution;
pub mod ledger;
#[cfg(test)]
mod lives;
pub mod names;
pub mod participant;
pub mod payment;
pub mod person;
pub mod policy;
pub mod recon;
pub mod record;
pub mod rejection;
pub mod row;
pub mod rules;
pub mod settlement;
pub mod sim;
pub mod snapshot;
pub mod subsidy;
pub mod tables;
pub mod time;
pub mod value;
