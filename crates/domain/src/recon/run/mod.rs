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
mod regions;

pub(crate) use self::load::Gather;

#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use self::judge::{BreakChange, Outcome};
use self::load::Day;
use super::alert;
use super::file::ParsedFile;
use super::matching::{FeeRule, Terms};
use super::rows::{AlertRow, BreakRow, FileRow, FileState, LegCounts};
use crate::decision::{Call, Command, Decision};
use crate::guard;
use crate::key;
use crate::ledger::{Book, Transfer};
use crate::names::Participant;
use crate::rejection::Reason;
use crate::settlement::PayoutRow;
use crate::snapshot::{Snapshot, Stop};
use crate::time::{Date, Timestamp};

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
}

/// The most booked units in one leaf.
const UNITS_PER_LEAF: usize = 500;

impl Command for StartRun {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let today = call.now.clearing_date();
        if self.clearing_date >= today {
            let range = format!("..{}", today.plus_days(-1));
            return Err(Reason::FieldOutOfRange.field("clearing_date").var("range", range).into());
        }
        self.check_files(snapshot)?;
        let judged = snapshot.take_aside::<Judged>().filter(|judged| judged.is_for == (call.leaf_id(0), call.now));
        let judged = match judged {
            Some(judged) => judged,
            None => Box::new(self.judge(snapshot, call)?),
        };
        match self.assemble(&judged.day, &judged.outcomes, snapshot, call) {
            Ok(found) => emit::decision(self, *judged, found, call),
            Err(Stop::Miss) => {
                snapshot.set_aside(*judged);
                Err(Stop::Miss)
            }
            Err(stop) => Err(stop),
        }
    }
}

/// A day and its units, judged.
struct Judged {
    /// The call that they were judged for, and its time.
    is_for: (String, Timestamp),
    day: Day,
    outcomes: Vec<Outcome>,
}

/// Bill lines by bill and fee type.
type BillLines = BTreeMap<(String, crate::care::bill::FeeType), crate::care::bill::BillLineRow>;

/// Everything a run has found beside its units, before it becomes leaves.
struct Assembled {
    /// Breaks that no unit of this run carries: cleared, reclassified, findings, file faults.
    others: Vec<BreakChange>,
    /// Payouts that bank statements prove now, or no more.
    payouts: Vec<PayoutRow>,
    expired: Vec<expire::Expired>,
    identities: Vec<super::rows::IdentityResult>,
    bill_lines: BillLines,
    ledger_leg: LegCounts,
    channel_leg: LegCounts,
    regions: regions::Regions,
    breaks_opened: i64,
    breaks_open: i64,
    alerts: Vec<AlertRow>,
    /// Money in the file that no book was found for.
    unbooked: bool,
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

    fn judge(&self, snapshot: &Snapshot, call: &Call) -> Result<Judged, Stop> {
        let mut day = Day::load(self, snapshot, call)?;
        if day.missing_files > 0 && !self.allow_missing_files {
            let fault = Reason::FileMissing.var("channel", &self.channel).var("date", self.clearing_date);
            return Err(fault.var("missing", day.missing_files).into());
        }
        day.foresee(self, snapshot, call)?;
        let outcomes = judge::units(self, &day, snapshot, call)?;
        Ok(Judged { is_for: (call.leaf_id(0), call.now), day, outcomes })
    }

    fn assemble(&self, day: &Day, outcomes: &[Outcome], snapshot: &Snapshot, call: &Call) -> Result<Assembled, Stop> {
        let mut gather = Gather::default();
        let mut others = judge::file_faults(self, day, call);
        others.extend(gather.all(judge::findings(self, day, outcomes, snapshot, call))?);
        others.extend(judge::carried_forward(self, day, outcomes, call));
        let mut regions = regions::Regions::of(self, day, outcomes, call);
        others.append(&mut regions.changes);
        let expired = expire::reservations(self, day, outcomes, call)?;
        let bill_lines = gather.ask(load::bill_lines(snapshot, outcomes, &expired))?.unwrap_or_default();
        let books: Vec<&Transfer> = check::transfers(outcomes, &others, &expired).collect();
        let bank = gather.ask(bank::judge(self, day, &books, snapshot, call))?;
        let bank::Bank { changes, payouts } = bank.unwrap_or_default();
        others.extend(changes);
        let after = breaks_after(day, outcomes, &others);
        let found =
            check::Found { outcomes, others: &others, expired: &expired, after: &after, bill_lines: &bill_lines };
        let identities = gather.all(check::identities(self, day, &found, snapshot, call))?;
        let opened = |b: &&BreakRow| b.version == 1;
        let (ledger_leg, channel_leg) = judge::leg_counts(day, outcomes);
        let count = alert::Count {
            channel: &self.channel,
            date: self.clearing_date,
            unopened: &regions.unopened,
            alert_from: day.terms.alert_from,
            run: &self.run_name(day),
        };
        let alerts = gather.all(alert::after(snapshot, &count, after.values(), call))?;
        gather.end()?;
        Ok(Assembled {
            alerts,
            breaks_opened: changed(outcomes, &others).filter(opened).count() as i64,
            breaks_open: after.values().filter(|b| b.clearing_date == self.clearing_date && b.is_open()).count() as i64,
            unbooked: outcomes.iter().any(|o| o.unbooked),
            identities,
            bill_lines,
            ledger_leg,
            channel_leg,
            regions,
            expired,
            others,
            payouts,
        })
    }
}

/// Every break that this run writes.
fn changed<'a>(outcomes: &'a [Outcome], others: &'a [BreakChange]) -> impl Iterator<Item = &'a BreakRow> {
    let of_units = outcomes.iter().filter_map(|o| o.change.as_deref());
    of_units.chain(others).map(|change| &change.row)
}

/// The channel's breaks as this run leaves them.
fn breaks_after(day: &Day, outcomes: &[Outcome], others: &[BreakChange]) -> BTreeMap<String, BreakRow> {
    let mut after: BTreeMap<String, BreakRow> = day.breaks.iter().map(|(n, b)| (n.clone(), (**b).clone())).collect();
    for row in changed(outcomes, others) {
        after.insert(row.break_name.clone(), row.clone());
    }
    for outcome in outcomes.iter().filter(|o| o.change.is_some()) {
        let row = outcome.break_name.as_ref().and_then(|name| after.get_mut(name));
        if let Some(row) = row {
            row.stakes.0.extend(outcome.plan.stakes.clone());
        }
    }
    after
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
