//! Reports of rows, pure: who may see which rows has been decided.

mod breaks;
mod month;
mod run;
mod settlement;
mod trial_balance;
mod vouchers;

use jjj_domain::recon::report::Language;
use jjj_domain::time::Date;

pub use breaks::{ageing, breaks};
pub use month::month;
pub use run::run;
pub use settlement::settlement;
pub use trial_balance::{AccountSums, trial_balance};
pub use vouchers::vouchers;

/// What is the same of every report.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    pub language: Language,
    /// Ages count to this day.
    pub today: Date,
    /// The moment of the log that the rows are of.
    pub ledger_number: i64,
}

/// Rows of the longest table. What is left out is counted; lists of the API have everything.
pub const MAX_ROWS: usize = 10_000;
