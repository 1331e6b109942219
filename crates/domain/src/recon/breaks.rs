//! A break's identity, urgency and age.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::resolve::unproposed;
use super::rows::{BreakCategory, BreakClass, BreakRow, BreakState, BreakStep, FieldDifference, Resolution};
use crate::decision::Call;
use crate::names::{Actor, Participant};
use crate::policy::{self, BreakPolicy, CalendarPolicy, ChannelPolicy, Condition, WorkingDays};
use crate::snapshot::{Snapshot, Stop};
use crate::time::{Date, Timestamp};
use crate::value::Json;

impl BreakClass {
    pub const fn category(self) -> BreakCategory {
        match self {
            Self::Duplicate
            | Self::Ambiguous
            | Self::RefundOrphan
            | Self::Cutoff
            | Self::ChannelOnly
            | Self::LedgerOnly
            | Self::RegionOnly
            | Self::RegionMissing
            | Self::PartyMismatch
            | Self::StatusMismatch
            | Self::AmountMismatch
            | Self::FeeMismatch => BreakCategory::Difference,
            Self::PaidAfterRevocation
            | Self::PaidWithoutContract
            | Self::ConditionUnmet
            | Self::LateConfirmation
            | Self::Overspent
            | Self::BillExceeded
            | Self::GrantWithoutBasis
            | Self::CreditFailed
            | Self::Contradiction
            | Self::PayoutMismatch
            | Self::PayoutMissing => BreakCategory::Finding,
            Self::FileMissing | Self::ControlTotal | Self::BalanceMismatch | Self::MissingField => {
                BreakCategory::FileFault
            }
        }
    }
}

/// How a channel's breaks of a clearing date are judged: policy and calendar.
#[derive(Clone)]
pub struct Terms {
    policy: Arc<BreakPolicy>,
    /// `policies/breaks/{scope}/{date}/{version}`; empty where none is in force.
    pub policy_name: String,
    calendar: Option<Arc<CalendarPolicy>>,
    /// The channel's own, for classes that the policy does not name.
    grace_working_days: i64,
}

impl std::ops::Deref for Terms {
    type Target = BreakPolicy;
    fn deref(&self) -> &BreakPolicy {
        &self.policy
    }
}

impl Terms {
    /// Those in force. A missing policy refuses nothing: facts are booked, and their breaks opened.
    pub fn load(snapshot: &Snapshot, channel: &Participant, on: Date) -> Result<Self, Stop> {
        let own = policy::find_version::<BreakPolicy>(snapshot, channel.code(), on);
        let default = policy::find_version::<BreakPolicy>(snapshot, "default", on);
        let of_channel = policy::find::<ChannelPolicy>(snapshot, channel.code(), on);
        let calendar = policy::find::<CalendarPolicy>(snapshot, "CN", on);
        let (policy, policy_name) = own?.or(default?).unwrap_or_default();
        let grace_working_days = of_channel?.map_or(0, |channel| channel.grace_working_days);
        Ok(Self { policy, policy_name, calendar: calendar?, grace_working_days })
    }

    /// The first date on which a break of a class is overdue.
    pub fn due_on(&self, class: BreakClass, date: Date) -> Date {
        let of_class = self.policy.grace_working_days.get(&class).filter(|_| class != BreakClass::Cutoff);
        let days = of_class.copied().unwrap_or(self.grace_working_days);
        self.calendar.as_ref().map_or(date, |calendar| due_on(&**calendar, date, days))
    }

    /// Notes what follows from a break's class, date, amount and cause.
    #[must_use]
    pub fn judged(&self, row: BreakRow) -> BreakRow {
        BreakRow {
            category: row.class.category(),
            priority: self.priority(row.class, row.amount_fen),
            due_on: self.due_on(row.class, row.clearing_date),
            alert: alert_name(row.channel.as_ref(), row.clearing_date, row.class, &row.cause),
            ..row
        }
    }
}

/// What alike findings and differences share: the names of the fields at fault.
pub fn cause_of(fields: &[FieldDifference]) -> String {
    fields.iter().map(|f| f.field.as_str()).collect::<Vec<_>>().join(", ")
}

/// The name of the alert of alike breaks.
pub fn alert_name(channel: Option<&Participant>, date: Date, class: BreakClass, cause: &str) -> String {
    name("alerts", &[channel.map_or("", Participant::as_str), &date.to_string(), class.as_str(), cause])
}

/// The name of a difference: from channel, clearing date and unit, not from its class, so that
/// it keeps its name when it is reclassified.
pub fn difference_name(channel: &Participant, date: Date, unit: &str) -> String {
    name("breaks", &["difference", channel.as_str(), &date.to_string(), unit])
}

/// The name of a finding: from its class and what it is about.
pub fn finding_name(class: BreakClass, condition: Option<Condition>, subject: &str) -> String {
    name("breaks", &["finding", class.as_str(), condition.map_or("", Condition::as_str), subject])
}

/// The name of a file fault: `about` is the file, or which of the expected files is absent.
pub fn fault_name(class: BreakClass, channel: &Participant, date: Date, about: &str) -> String {
    name("breaks", &["fault", class.as_str(), channel.as_str(), &date.to_string(), about])
}

fn name(collection: &str, parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    format!("{collection}/{}", &hex::encode(hash.finalize())[..32])
}

/// A new break with nothing but its identity; the caller fills in what it is about, and
/// [`Terms::judged`] what follows from that.
pub fn open(break_name: String, class: BreakClass, subject: &str, date: Date, now: Timestamp) -> BreakRow {
    BreakRow {
        break_name,
        category: class.category(),
        class,
        condition: None,
        priority: 3,
        state: BreakState::New,
        channel: None,
        clearing_date: date,
        region: None,
        programme: None,
        institution_region: None,
        book_region: None,
        subject: subject.to_owned(),
        person: None,
        fields: Json(Vec::new()),
        rows: Json(Vec::new()),
        rule: String::new(),
        cause: String::new(),
        alert: String::new(),
        amount_fen: 0,
        stakes: Json(Vec::new()),
        opened_by: None,
        seen_by: None,
        opened_at_us: now,
        due_on: date,
        assignee: None,
        resolution: None,
        proposed_by: None,
        proposal_reason: None,
        decided_by: None,
        decision_reason: None,
        resolved_at_us: None,
        entries: Json(Vec::new()),
        policy: None,
        attachments: Json(Vec::new()),
        hands: Json(Vec::new()),
        step: BreakStep::Opened,
        step_by: Actor::system(Participant::gateway()),
        step_at_us: now,
        note: String::new(),
        version: 1,
    }
}

/// The first date on which a row of a clearing date is no longer in grace.
pub fn due_on(calendar: &impl WorkingDays, date: Date, grace_working_days: i64) -> Date {
    calendar.after_working_days(date, grace_working_days).plus_days(1)
}

/// Calendar days from the clearing date.
pub fn age_days(row: &BreakRow, today: Date) -> i64 {
    today.days_since(row.clearing_date).max(0)
}

/// Resolved by the gateway itself: `by`, a later run, file or report, cleared it.
pub fn clear(row: &BreakRow, by: &str, now: Timestamp) -> BreakRow {
    let gateway = Actor::system(Participant::gateway());
    BreakRow {
        state: BreakState::Resolved,
        resolution: Some(Resolution::Cleared),
        decided_by: Some(gateway.clone()),
        decision_reason: Some(by.to_owned()),
        seen_by: Some(by.to_owned()),
        resolved_at_us: Some(now),
        ..row.step(BreakStep::Cleared, &gateway, now, by)
    }
}

/// A known break with what is found of it now: what it is about, not since when, nor what was done about it.
pub fn as_found(known: &BreakRow, now: BreakRow) -> BreakRow {
    BreakRow {
        category: now.category,
        class: now.class,
        priority: now.priority,
        region: now.region,
        programme: now.programme,
        institution_region: now.institution_region,
        subject: now.subject,
        fields: now.fields,
        rows: now.rows,
        cause: now.cause,
        alert: now.alert,
        amount_fen: now.amount_fen,
        ..known.clone()
    }
}

/// The next version of a break, known or not, that `by` (a run or a payout) finds to be as `row` says: opened,
/// changed, or opened again. A proposal was made about what it was.
pub fn next(known: Option<&BreakRow>, row: BreakRow, by: &str, call: &Call) -> BreakRow {
    let row = match known {
        None => row,
        Some(known) if known.is_open() => unproposed(row.step(BreakStep::Changed, &call.actor, call.now, by)),
        Some(_) => BreakRow {
            state: BreakState::New,
            resolution: None,
            resolved_at_us: None,
            ..row.step(BreakStep::Reopened, &call.actor, call.now, by)
        },
    };
    let opened_by = row.opened_by.clone().or_else(|| Some(by.to_owned()));
    BreakRow { opened_by, seen_by: Some(by.to_owned()), ..row }
}

/// A break that was resolved and is there again, as `new` says; what was done about it before stays.
pub fn reopen(known: &BreakRow, new: BreakRow) -> BreakRow {
    BreakRow {
        step: BreakStep::Reopened,
        attachments: known.attachments.clone(),
        hands: known.hands.clone(),
        entries: known.entries.clone(),
        version: known.version + 1,
        ..new
    }
}
