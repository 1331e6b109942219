//! How a run goes, part by part, so that it holds a portion of the day at a time: what holds for all of the date is read,
//! then the payments of the date and its neighbours come by ([`Survey`]); then portion by portion, in order of order ids, what the
//! end-to-end key joins is judged, booked and rendered, and what it leaves over is kept. The last portion is judged with all
//! that is left over, by all rules. Then come what no row of the files shows, the bank's statements and the identities, from
//! sums kept on the way ([`SoFar`]), and the run's own leaf, which states the views' roots.
//!
//! No part rests on what an earlier one wrote: an order, its lines and its records are of one portion, balances are written
//! at the end, and what several portions move (bill lines) is kept here.

use super::super::alert;
use super::super::booking::LedgerRow;
use super::super::matching::FileLine;
use super::super::rows::{FileRow, RunRow};
use super::StartRun;
use super::bank::{self, Bank};
use super::check;
use super::emit::{self, Found};
use super::expire::{self, Expired};
use super::judge::{self, BreakChange, Outcome, Places, Portion};
use super::load::{self, Day, Glance, Lines, Survey};
use super::regions::{Legs, Regions};
use super::so_far::SoFar;
use crate::decision::{Call, InParts, Part};
use crate::key;
use crate::participant::ParticipantRow;
use crate::rejection::Reason;
use crate::row::{Row, StoredFault, TableSpec};
use crate::snapshot::{Load, Snapshot, Stop};
use crate::value::Value;

/// A run under way.
pub struct RunInParts<'a> {
    run: &'a StartRun,
    lines: Lines<'a>,
    stage: Stage,
    survey: Survey,
    so_far: SoFar,
    /// The first line that no portion has had yet.
    next_line: usize,
    /// What portions have left over.
    rows_left: Vec<LedgerRow>,
    lines_left: Vec<FileLine>,
}

/// How far a run is. A stage that misses something is begun again, none before it is.
enum Stage {
    Begun,
    /// The ledger's rows have been asked for.
    Surveying(Box<Day>),
    /// At the next portion.
    Portion(Box<Day>),
    Judging(Box<Day>),
    /// The portion's units are judged.
    Judged(Box<Day>, Vec<Outcome>),
    /// The last portion has been taken in; what there is beside units is at hand.
    Ending(Box<Ending>),
    Over,
}

/// The end of a run.
pub struct Ending {
    pub day: Day,
    pub outcomes: Vec<Outcome>,
    /// Breaks that no unit carries: found, cleared, reclassified, file faults.
    pub others: Vec<BreakChange>,
    pub regions: Regions,
    pub expired: Vec<Expired>,
    pub bank: Option<Bank>,
}

impl<'a> RunInParts<'a> {
    pub fn of(run: &'a StartRun) -> Self {
        Self {
            run,
            lines: Lines::default(),
            stage: Stage::Begun,
            survey: Survey::default(),
            so_far: SoFar::default(),
            next_line: 0,
            rows_left: Vec::new(),
            lines_left: Vec::new(),
        }
    }

    fn portion(&self) -> std::ops::Range<usize> {
        self.next_line..self.lines.end_of_portion(self.next_line, self.run.lines_per_part)
    }

    fn is_last(&self) -> bool {
        self.portion().end == self.lines.len()
    }

    fn begin(&self, snapshot: &Snapshot, call: &Call) -> Result<Day, Stop> {
        let run = self.run;
        let today = call.now.clearing_date();
        if run.clearing_date >= today {
            let range = format!("..{}", today.plus_days(-1));
            return Err(Reason::FieldOutOfRange.field("clearing_date").var("range", range).into());
        }
        run.check_files(snapshot)?;
        let day = Day::load(run, snapshot, call)?;
        if day.missing_files > 0 && !run.allow_missing_files {
            let fault = Reason::FileMissing.var("channel", &run.channel).var("date", run.clearing_date);
            return Err(fault.var("missing", day.missing_files).into());
        }
        Ok(day)
    }

    fn load(&self, day: &mut Day, snapshot: &Snapshot) -> Result<(), Stop> {
        let channel = &self.run.channel;
        let lines: Vec<FileLine> = self.lines.portion(self.portion()).collect();
        if !self.is_last() {
            return day.load_portion(channel, lines, &[], Vec::new(), snapshot);
        }
        let others: Vec<LedgerRow> = self.survey.unnamed.iter().chain(&self.rows_left).cloned().collect();
        day.load_portion(channel, lines, &self.survey.unnamed_orders, others, snapshot)?;
        day.lines.extend(self.lines_left.iter().cloned());
        day.load_places(channel, &self.survey, snapshot)
    }

    fn again(&mut self, stage: Stage, stop: Stop) -> Result<Part, Stop> {
        self.stage = stage;
        Err(stop)
    }

    fn judge(&mut self, day: &Day, snapshot: &Snapshot, call: &Call) -> Result<Vec<Outcome>, Stop> {
        if self.is_last() {
            let places = Places::of(self.run, &self.survey);
            return Ok(judge::units(self.run, day, &Portion::Last(&places), snapshot, call)?.outcomes);
        }
        let mut judged = judge::units(self.run, day, &Portion::Joined, snapshot, call)?;
        self.rows_left.append(&mut judged.rows);
        self.lines_left.append(&mut judged.lines);
        Ok(judged.outcomes)
    }

    /// Takes in a portion's units: what is found about their payments.
    fn take_in(
        &mut self,
        day: &Day,
        outcomes: &[Outcome],
        snapshot: &Snapshot,
        call: &Call,
    ) -> Result<Vec<BreakChange>, Stop> {
        let mut gather = load::Gather::default();
        let found = gather.all(judge::findings(self.run, day, outcomes, &self.so_far, snapshot, call))?;
        let moves = outcomes.iter().flat_map(|outcome| &outcome.plan.bill_moves);
        gather.ask(load::bill_lines(snapshot, moves, &mut self.so_far.bills))?;
        gather.end()?;
        self.so_far.take_units(self.run, outcomes, &found);
        Ok(found)
    }

    /// What there is beside units, when all of them have come by.
    fn ending(
        &mut self,
        day: Day,
        outcomes: Vec<Outcome>,
        found: Vec<BreakChange>,
        call: &Call,
    ) -> Result<Ending, Stop> {
        let run = self.run;
        let mut others = judge::file_faults(run, &day, call);
        others.extend(judge::carried_forward(run, &day, &self.so_far.shown, call));
        let mut regions = std::mem::take(&mut self.so_far.legs).end(run, &day, call);
        others.append(&mut regions.changes);
        let expired = expire::reservations(run, &day, &outcomes, call)?;
        self.so_far.take_changes(run, &others);
        self.so_far.take_expired(run, &expired);
        others.extend(found);
        Ok(Ending { day, outcomes, others, regions, expired, bank: None })
    }

    /// The bank's statements, the identities and the alerts, which rest on all else.
    fn end(&mut self, ending: &mut Ending, snapshot: &Snapshot, call: &Call) -> Result<Found, Stop> {
        let Self { run, lines, survey, so_far, .. } = self;
        let Ending { day, regions, expired, others, bank, .. } = ending;
        load::bill_lines(snapshot, expired.iter().map(|ended| &ended.bill_move), &mut so_far.bills)?;
        // Once: what follows may miss something, and this must not be counted twice.
        if bank.is_none() {
            let judged = bank::judge(run, day, lines, &so_far.moved, snapshot, call)?;
            so_far.take_changes(run, &judged.changes);
            others.extend(judged.changes.iter().cloned());
            *bank = Some(judged);
        }
        let mut gather = load::Gather::default();
        let identities = gather.all(check::identities(run, day, survey, so_far, snapshot, call))?;
        let count = alert::Count {
            channel: &run.channel,
            date: run.clearing_date,
            unopened: &regions.unopened,
            alert_from: day.terms.alert_from,
            run: &run.run_name(day),
        };
        let alerts = gather.all(alert::after(snapshot, &count, so_far.breaks(day), call))?;
        gather.end()?;
        Ok(Found { identities, alerts })
    }
}

impl InParts for RunInParts<'_> {
    /// The number of the next run rests on there being no other: runs of a channel wait for each other, and who completes
    /// one of its uploads, signs a view or resolves a break waits for a run.
    fn guards(&self) -> Vec<(&'static TableSpec, Vec<Value>)> {
        vec![(ParticipantRow::spec(), key![self.run.channel.clone()])]
    }

    fn guarded(&self) -> Vec<&'static TableSpec> {
        vec![FileRow::spec(), RunRow::spec()]
    }

    fn ahead(&self) -> Vec<Load> {
        let after = self.portion().end;
        let lines = after..self.lines.end_of_portion(after, self.run.lines_per_part);
        load::ahead(&self.run.channel, self.lines.kinds_and_orders(lines))
    }

    fn see(&mut self, values: Vec<Value>) -> Result<(), StoredFault> {
        self.survey.see(&Glance::of(values)?, self.run, &self.lines);
        Ok(())
    }

    fn next(&mut self, snapshot: &Snapshot, call: &Call) -> Result<Part, Stop> {
        loop {
            // Put back where it stays, or misses something.
            match std::mem::replace(&mut self.stage, Stage::Over) {
                Stage::Begun => match self.begin(snapshot, call) {
                    Ok(day) => {
                        self.lines = Lines::of(&self.run.files);
                        self.so_far.legs = Legs::of(self.run);
                        self.stage = Stage::Surveying(day.into());
                        return Ok(Part::Rows(Survey::loads(self.run), Glance::COLUMNS));
                    }
                    Err(stop) => return self.again(Stage::Begun, stop),
                },
                Stage::Surveying(day) => match self.survey.end(self.run, &self.lines, snapshot) {
                    Ok(()) => self.stage = Stage::Portion(day),
                    Err(stop) => return self.again(Stage::Surveying(day), stop),
                },
                Stage::Portion(mut day) => match self.load(&mut day, snapshot) {
                    Ok(()) => self.stage = Stage::Judging(day),
                    Err(stop) => return self.again(Stage::Portion(day), stop),
                },
                Stage::Judging(day) => match self.judge(&day, snapshot, call) {
                    Ok(outcomes) => self.stage = Stage::Judged(day, outcomes),
                    Err(stop) => return self.again(Stage::Judging(day), stop),
                },
                Stage::Judged(day, outcomes) => match self.take_in(&day, &outcomes, snapshot, call) {
                    Ok(found) if self.is_last() => {
                        self.stage = Stage::Ending(self.ending(*day, outcomes, found, call)?.into());
                    }
                    Ok(found) => {
                        self.next_line = self.portion().end;
                        let part = emit::portion(self.run, &day, outcomes, &found, &mut self.so_far, call);
                        self.stage = Stage::Portion(day);
                        return Ok(Part::Leaves(part));
                    }
                    Err(stop) => return self.again(Stage::Judged(day, outcomes), stop),
                },
                Stage::Ending(mut ending) => match self.end(&mut ending, snapshot, call) {
                    Ok(found) => {
                        let so_far = std::mem::take(&mut self.so_far);
                        return Ok(Part::Last(emit::end(self.run, *ending, found, so_far, call)));
                    }
                    Err(stop) => return self.again(Stage::Ending(ending), stop),
                },
                Stage::Over => unreachable!("a run that has ended or was refused is not asked for more"),
            }
        }
    }
}
