//! Reconciliation of a channel's clearing date (DESIGN.md §7): the settlement
//! file's lines, matching, breaks and what is at stake in them, runs,
//! resolutions, signed views, reports, and the ledger's identities.
//!
//! A run goes: read lines ([`file`]) → match ([`matching`]) → plan the entries of
//! each unit ([`booking`]) → judge findings ([`finding`]) and books ([`regional`]) → check identities
//! ([`identities`]) → render views ([`view`]). Nothing here reads a file or a clock.

pub mod alert;
pub mod bank;
pub mod booking;
pub mod breaks;
pub mod file;
pub mod finding;
pub mod identities;
pub mod matching;
pub mod overspent;
pub mod packed;
pub mod proof;
pub mod ranges;
pub mod refusal;
pub mod regional;
pub mod report;
pub mod resolve;
mod rows;
pub mod run;
pub mod schedule;
pub mod stake;
pub mod stream;
pub mod summary;
#[cfg(test)]
mod tests_support;
pub mod tree;
pub mod upload;
pub mod view;
pub mod work;

pub use rows::{
    AlertRow, AlertState, Attachment, BreakCategory, BreakClass, BreakRow, BreakState, BreakStep, ExpectedFile,
    FieldDifference, FileContent, FileFormat, FileRow, FileState, IdentityResult, LegCounts, RegionLeg, Resolution,
    RunRow, RunState, RunTerms, UnitRow, ViewDifference, ViewRow, ViewState,
};
