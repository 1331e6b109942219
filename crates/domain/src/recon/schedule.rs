//! Scheduled runs: which clearing dates the gateway reconciles by itself, and when.
//!
//! Every replica asks, as often as it likes; what was missed while none was up is found again, in
//! date order. That a date is run once for the same files is decided where the run is.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::rows::{FileRow, RunRow};
use super::run::{RunInParts, StartRun};
use crate::decision::{Call, Command, Decision, InParts, Part};
use crate::guard;
use crate::key;
use crate::names::{Participant, ParticipantKind};
use crate::policy::{self, ChannelPolicy, PolicyBody, PolicyRow};
use crate::rejection::Reason;
use crate::row::{StoredFault, TableSpec};
use crate::snapshot::{Load, Snapshot, Stop};
use crate::time::{Date, Timestamp};
use crate::value::Value;

/// How far back a date is still run by itself.
const MOST_DAYS_BACK: i64 = 31;

/// A clearing date with what there is of it.
pub struct Day {
    pub date: Date,
    pub policy: Arc<ChannelPolicy>,
    /// The channel's own files, as they stand.
    pub files: Vec<Arc<FileRow>>,
    /// Regions' books, as they stand.
    pub books: Vec<Arc<FileRow>>,
    pub last_run: Option<Arc<RunRow>>,
}

impl Day {
    pub fn load(snapshot: &Snapshot, channel: &Participant, date: Date) -> Result<Self, Stop> {
        let of_date = || key![channel.clone(), date];
        let policy = policy::in_force::<ChannelPolicy>(snapshot, channel.code(), date);
        let files = snapshot.list::<FileRow>(&["channel", "clearing_date"], of_date());
        let runs = snapshot.list::<RunRow>(&["channel", "clearing_date"], of_date())?;
        let (files, books) = (files?, |f: &&Arc<FileRow>| f.is_book());
        let books = files.iter().filter(books).cloned().collect();
        let files = files.iter().filter(|f| f.states_day_of(channel)).cloned().collect();
        let last_run = runs.iter().max_by_key(|r| r.number).cloned();
        Ok(Self { date, policy: policy?, files, books, last_run })
    }

    pub fn lacks_files(&self) -> bool {
        self.policy.lacking(self.files.iter().map(|f| f.merchant_id.as_str())).0 > 0
    }

    pub fn lacks_books(&self) -> bool {
        !self.policy.lacking_books(&self.books.iter().map(|f| &f.sender).collect()).is_empty()
    }

    /// When the gateway runs it, with the files there are now; `None` when they have been run, or
    /// nothing is scheduled.
    pub fn due_at(&self) -> Option<Timestamp> {
        let schedule = self.policy.schedule?;
        let all = || self.files.iter().chain(&self.books);
        let here: BTreeSet<&str> = all().map(|f| f.file.as_str()).collect();
        if let Some(run) = &self.last_run {
            let books = run.region_legs.0.iter().filter_map(|leg| leg.file.as_deref());
            let seen = run.expected_files.0.iter().filter_map(|f| f.file.as_deref()).chain(books).collect();
            if here == seen {
                return None;
            }
        }
        let morning = self.date.plus_days(1);
        let from =
            if self.lacks_files() || self.lacks_books() { schedule.latest } else { schedule.not_before }.on(morning);
        let arrived = all().map(|f| f.recorded_at_us).max();
        Some(arrived.map_or(from, |arrived| arrived.max(from)))
    }
}

/// A run that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    pub channel: Participant,
    pub date: Date,
    pub at: Timestamp,
    /// The number that the run gets.
    pub number: i64,
    pub lacks_files: bool,
}

/// Every run that is due, each channel's in date order.
pub fn due(snapshot: &Snapshot, now: Timestamp) -> Result<Vec<Due>, Stop> {
    let policies = snapshot.list::<PolicyRow>(&["kind"], key![ChannelPolicy::KIND])?;
    let channels: BTreeSet<&str> = policies.iter().map(|p| p.scope.as_str()).collect();
    let last = now.clearing_date().plus_days(-1);
    let (mut found, mut missing) = (Vec::new(), None);
    for channel in channels {
        let Ok(participant) = format!("channels/{channel}").parse::<Participant>() else { continue };
        for back in (0..MOST_DAYS_BACK).rev() {
            let date = last.plus_days(-back);
            let scheduled = policy::find::<ChannelPolicy>(snapshot, channel, date);
            if scheduled.as_ref().is_ok_and(|p| p.as_ref().is_none_or(|p| p.schedule.is_none())) {
                continue;
            }
            match scheduled.and_then(|_| Day::load(snapshot, &participant, date)) {
                Ok(day) => {
                    let number = 1 + day.last_run.as_ref().map_or(0, |run| run.number);
                    let lacks_files = day.lacks_files();
                    let due = day.due_at().filter(|at| *at <= now);
                    found.extend(due.map(|at| Due { channel: participant.clone(), date, at, number, lacks_files }));
                }
                // The others are asked for first: one load serves all.
                Err(Stop::Miss) => missing = Some(Stop::Miss),
                Err(stop) => return Err(stop),
            }
        }
    }
    missing.map_or(Ok(found), Err)
}

/// The gateway's own run of a date that is due.
#[derive(Clone, Debug)]
pub struct ScheduledRun(pub StartRun);

impl Command for ScheduledRun {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        self.check(snapshot, call)?;
        self.0.decide(snapshot, call)
    }

    fn in_parts(&self) -> Option<Box<dyn InParts + '_>> {
        Some(Box::new(ScheduledInParts { scheduled: self, run: RunInParts::of(&self.0), is_due: false }))
    }
}

/// A scheduled run under way: whether it is due is looked at before anything else.
struct ScheduledInParts<'a> {
    scheduled: &'a ScheduledRun,
    run: RunInParts<'a>,
    is_due: bool,
}

impl InParts for ScheduledInParts<'_> {
    fn guards(&self) -> Vec<(&'static TableSpec, Vec<Value>)> {
        self.run.guards()
    }

    fn guarded(&self) -> Vec<&'static TableSpec> {
        self.run.guarded()
    }

    fn ahead(&self) -> Vec<Load> {
        self.run.ahead()
    }

    fn see(&mut self, values: Vec<Value>) -> Result<(), StoredFault> {
        self.run.see(values)
    }

    fn next(&mut self, snapshot: &Snapshot, call: &Call) -> Result<Part, Stop> {
        if !self.is_due {
            self.scheduled.check(snapshot, call)?;
            self.is_due = true;
        }
        self.run.next(snapshot, call)
    }
}

impl ScheduledRun {
    fn check(&self, snapshot: &Snapshot, call: &Call) -> Result<(), Stop> {
        if call.actor.is_admin() || call.participant().kind() != ParticipantKind::Gateway {
            return Err(Reason::RoleNotAllowed.into());
        }
        let Self(run) = self;
        let day = Day::load(snapshot, &run.channel, run.clearing_date)?;
        if day.due_at().is_none_or(|at| at > call.now) {
            let name = format!("{} {}", run.channel, run.clearing_date);
            return Err(guard::wrong_state("run", "due", "clearing_date", name).into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::SchedulePolicy;
    use crate::recon::{ExpectedFile, FileContent, FileFormat, FileState, LegCounts, RunState, RunTerms};
    use crate::time::HOUR_US;
    use crate::value::Json;

    const DATE: &str = "2026-11-16";

    fn hour(hour: i64) -> Timestamp {
        "2026-11-17".parse::<Date>().unwrap().starts_at().plus_us(hour * HOUR_US)
    }

    fn file(name: &str, arrived: Timestamp) -> Arc<FileRow> {
        Arc::new(FileRow {
            file: name.into(),
            sender: "channels/unionpay".parse().unwrap(),
            channel: "channels/unionpay".parse().unwrap(),
            clearing_date: DATE.parse().unwrap(),
            format: FileFormat::Csv,
            content: FileContent::Settlement,
            merchant_id: String::new(),
            file_name: String::new(),
            size_bytes: 0,
            sha256: "00".repeat(32),
            stored_sha256: String::new(),
            wrapped_key: String::new(),
            state: FileState::Received,
            rows: 0,
            rejected_rows: 0,
            rejections: Json(vec![]),
            refusal: None,
            refusal_detail: String::new(),
            superseded_by: None,
            recorded_at_us: arrived,
            version: 2,
        })
    }

    fn run_of(files: &[&str]) -> Arc<RunRow> {
        let seen = |f: &&str| ExpectedFile { merchant_id: String::new(), file: Some((*f).to_owned()), sha256: None };
        let absent = ExpectedFile { merchant_id: String::new(), file: None, sha256: None };
        Arc::new(RunRow {
            run: "runs/unionpay-20261116-1".into(),
            channel: "channels/unionpay".parse().unwrap(),
            clearing_date: DATE.parse().unwrap(),
            number: 1,
            state: RunState::Incomplete,
            expected_files: Json(files.iter().map(seen).chain([absent]).collect()),
            files_complete: false,
            cut: 0,
            terms: Json(RunTerms { in_grace: true, fee: None, fallbacks: vec![], tolerances: vec![] }),
            ledger_leg: Json(LegCounts::default()),
            channel_leg: Json(LegCounts::default()),
            region_legs: Json(vec![]),
            identities: Json(vec![]),
            breaks_opened: 0,
            breaks_open: 0,
            reservations_expired: 0,
            root: String::new(),
            started_by: "gateway".parse().unwrap(),
            recorded_at_us: hour(18),
            version: 1,
        })
    }

    #[test]
    fn a_date_is_due_with_its_files_or_at_the_latest() {
        let default = policy::defaults().into_iter().find(|d| d.scope == "unionpay").unwrap();
        let policy: ChannelPolicy = serde_json::from_value(default.body).unwrap();
        let schedule = SchedulePolicy { not_before: "09:00".parse().unwrap(), latest: "18:00".parse().unwrap() };
        let due = |files: &[Arc<FileRow>], last_run: Option<Arc<RunRow>>, is_scheduled: bool| {
            let schedule = is_scheduled.then_some(schedule);
            let policy = Arc::new(ChannelPolicy { schedule, expected_files: 1, ..policy.clone() });
            Day { date: DATE.parse().unwrap(), policy, files: files.to_vec(), books: vec![], last_run }.due_at()
        };
        let (early, late) = (file("files/a", hour(3)), file("files/b", hour(20)));
        let table = [
            ("there early", due(std::slice::from_ref(&early), None, true), Some(hour(9))),
            ("there late", due(std::slice::from_ref(&late), None, true), Some(hour(20))),
            ("never there", due(&[], None, true), Some(hour(18))),
            ("never there, and run without", due(&[], Some(run_of(&[])), true), None),
            ("run without, then there", due(std::slice::from_ref(&late), Some(run_of(&[])), true), Some(hour(20))),
            ("run", due(std::slice::from_ref(&early), Some(run_of(&["files/a"])), true), None),
            ("corrected", due(std::slice::from_ref(&late), Some(run_of(&["files/a"])), true), Some(hour(20))),
            ("no schedule", due(&[early], None, false), None),
        ];
        for (what, found, expected) in table {
            assert_eq!(found, expected, "{what}");
        }
    }
}
