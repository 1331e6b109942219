//! One run: a channel, a clearing date, the files that arrived for it. Books what the files
//! state, opens and clears breaks, ends reservations by the file rule, renders the views.
//!
//! A run may be repeated at any time: what an earlier one booked is seen in `matched_by` and in
//! the breaks' stakes, and nothing is booked twice.
//!
//! **Where unknown rows are booked** [D]: a line that belongs to no ledger row goes to the book of
//! the payment it refunds, else of most rows of the same merchant in the days around the run,
//! else of most rows of the same institution, else to the run's `default_book`. With none of
//! these it is not booked, and the run is `INCOMPLETE`.

mod bank;
mod books;
mod check;
mod corrected;
mod emit;
mod expire;
mod judge;
mod load;
mod parts;
mod regions;
mod so_far;

pub(crate) use self::load::Gather;
pub use self::parts::RunInParts;

#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;

use self::load::Day;
use super::file::ParsedFile;
use super::matching::{FeeRule, Terms};
use super::rows::{FileRow, FileState};
use crate::decision::{Call, Command, Decision, InParts, decide_whole};
use crate::guard;
use crate::key;
use crate::ledger::Book;
use crate::names::Participant;
use crate::rejection::Reason;
use crate::snapshot::{Snapshot, Stop};
use crate::time::Date;

/// A file of the run, as the server has read it.
#[derive(Clone, Debug)]
pub struct RunFile {
    /// `files/{uuid}`.
    pub file: String,
    pub sha256: String,
    /// The merchant that it covers; empty: all.
    pub merchant_id: String,
    /// Files that this one replaces: what they matched stays matched.
    pub supersedes: Vec<String>,
    pub parsed: Arc<ParsedFile>,
}

/// A region's book of the run, as the server has read it.
#[derive(Clone, Debug)]
pub struct RunBook {
    pub region: Participant,
    pub file: RunFile,
}

/// Reconciles a channel's clearing date. The caller is an administrator, or the gateway's timer.
#[derive(Clone, Debug)]
pub struct StartRun {
    pub channel: Participant,
    pub clearing_date: Date,
    /// Run although expected files are absent; the run is `INCOMPLETE`.
    pub allow_missing_files: bool,
    pub files: Vec<RunFile>,
    /// Regions' own books, as they stood when they were read.
    pub books: Vec<RunBook>,
    /// The ledger number just before the decision: all leaves below it are taken into account.
    pub cut: i64,
    /// The fee agreed with the channel; `None`: what the file states is not questioned.
    pub fee: Option<FeeRule>,
    /// Where rows go that nothing else places.
    pub default_book: Option<Book>,
    /// So many lines of the files are gone through at a time; more than none.
    pub lines_per_part: usize,
}

/// The most booked units in one leaf.
const UNITS_PER_LEAF: usize = 500;

/// As [`StartRun::lines_per_part`]: a line takes some ten kilobytes until its part is written, and four parts are under way at
/// once. Few where assertions are checked, so that tests go through many parts.
pub const LINES_PER_PART: usize = if cfg!(debug_assertions) { 16 } else { 1_000 };

impl Command for StartRun {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        decide_whole(Box::new(RunInParts::of(self)), snapshot, call)
    }

    fn in_parts(&self) -> Option<Box<dyn InParts + '_>> {
        Some(Box::new(RunInParts::of(self)))
    }
}

impl StartRun {
    /// The files were read before this transaction: they must still be those in force. A region's book
    /// that came meanwhile waits for the next run: no region holds up a channel's date.
    fn check_files(&self, snapshot: &Snapshot) -> Result<(), Stop> {
        let of_date = key![self.channel.clone(), self.clearing_date];
        let files = snapshot.list::<FileRow>(&["channel", "clearing_date"], of_date)?;
        for file in &self.files {
            let known = files.iter().find(|f| f.file == file.file);
            if let Some(changed) = known.filter(|f| f.state != FileState::Received) {
                return Err(guard::wrong_state(changed.state, FileState::Received, "clearing_date", &file.file).into());
            }
        }
        let arrived =
            files.iter().find(|f| f.states_day_of(&self.channel) && self.files.iter().all(|r| r.file != f.file));
        if let Some(file) = arrived {
            return Err(Reason::FileArrived.field("clearing_date").var("name", &file.file).into());
        }
        Ok(())
    }

    fn run_name(&self, day: &Day) -> String {
        let date = self.clearing_date.to_string().replace('-', "");
        format!("runs/{}-{date}-{}", self.channel.code(), day.number)
    }
}

/// The terms under which this run's rows are matched.
fn terms(run: &StartRun, day: &Day, call: &Call) -> Terms {
    Terms {
        clearing_date: run.clearing_date,
        fallbacks: day.policy.match_fallbacks.clone(),
        tolerances: day.policy.match_tolerances.clone(),
        in_grace: call.now.date() < day.due_on,
        fee: run.fee,
        known_orders: day.originals.keys().cloned().collect(),
    }
}
