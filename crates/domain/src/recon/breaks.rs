//! A break's identity, urgency and age.

use sha2::{Digest, Sha256};

use super::rows::{BreakCategory, BreakClass, BreakRow, BreakState};
use crate::names::{Actor, Participant};
use crate::policy::{Condition, WorkingDays};
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

    /// Urgency before the amount is looked at: 1 urgent, 2 high, 3 normal, 4 low.
    const fn base_priority(self) -> i64 {
        match self {
            Self::FileMissing | Self::ControlTotal | Self::BalanceMismatch => 1,
            Self::Duplicate
            | Self::Ambiguous
            | Self::ChannelOnly
            | Self::LedgerOnly
            | Self::PartyMismatch
            | Self::PaidAfterRevocation
            | Self::PaidWithoutContract
            | Self::LateConfirmation
            | Self::Contradiction
            | Self::PayoutMismatch
            | Self::PayoutMissing
            | Self::MissingField => 2,
            Self::RefundOrphan
            | Self::RegionOnly
            | Self::RegionMissing
            | Self::StatusMismatch
            | Self::AmountMismatch
            | Self::Overspent
            | Self::BillExceeded
            | Self::GrantWithoutBasis
            | Self::CreditFailed
            | Self::ConditionUnmet => 3,
            Self::Cutoff | Self::FeeMismatch => 4,
        }
    }
}

/// From this amount on a break is one step more urgent: ten thousand yuan [D].
const LARGE_AMOUNT_FEN: i64 = 1_000_000;

pub fn priority(class: BreakClass, amount_fen: i64) -> i64 {
    (class.base_priority() - i64::from(amount_fen >= LARGE_AMOUNT_FEN)).max(1)
}

/// The name of a difference: from channel, clearing date and unit, not from its class, so that
/// it keeps its name when it is reclassified.
pub fn difference_name(channel: &Participant, date: Date, unit: &str) -> String {
    name(&["difference", channel.as_str(), &date.to_string(), unit])
}

/// The name of a finding: from its class and what it is about.
pub fn finding_name(class: BreakClass, condition: Option<Condition>, subject: &str) -> String {
    name(&["finding", class.as_str(), condition.map_or("", Condition::as_str), subject])
}

/// The name of a file fault: `about` is the file, or which of the expected files is absent.
pub fn fault_name(class: BreakClass, channel: &Participant, date: Date, about: &str) -> String {
    name(&["fault", class.as_str(), channel.as_str(), &date.to_string(), about])
}

fn name(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    format!("breaks/{}", &hex::encode(hash.finalize())[..32])
}

/// A new break with nothing but its identity; the caller fills in what it is about.
pub fn open(break_name: String, class: BreakClass, subject: &str, date: Date, now: Timestamp) -> BreakRow {
    BreakRow {
        break_name,
        category: class.category(),
        class,
        condition: None,
        priority: priority(class, 0),
        state: BreakState::New,
        channel: None,
        clearing_date: date,
        region: None,
        programme: None,
        institution_region: None,
        subject: subject.to_owned(),
        person: None,
        fields: Json(Vec::new()),
        rows: Json(Vec::new()),
        rule: String::new(),
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

/// Resolved by the gateway itself: a later run or file cleared it.
pub fn clear(row: &BreakRow, run: &str, now: Timestamp) -> BreakRow {
    BreakRow {
        state: BreakState::Resolved,
        resolution: Some(super::rows::Resolution::Cleared),
        decided_by: Some(Actor::system(Participant::gateway())),
        decision_reason: Some(run.to_owned()),
        seen_by: Some(run.to_owned()),
        resolved_at_us: Some(now),
        version: row.version + 1,
        ..row.clone()
    }
}
