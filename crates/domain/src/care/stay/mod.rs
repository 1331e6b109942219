//! Stays: admitted, left. An elder is in one place at a time; on the day of a move the
//! one stay ends (its first day away) as the other begins.

mod commands;
#[cfg(test)]
mod tests;

pub use commands::{AdmitElder, AmendStay, EndStay, VoidStay};

use crate::names::Participant;
use crate::time::{Date, Month, Timestamp};
use crate::{table, text_enum};

text_enum! {
    pub enum StayState {
        /// The elder lives there.
        Admitted = "ADMITTED",
        Ended = "ENDED",
        /// Recorded in error. Final.
        Voided = "VOIDED",
    }
}

text_enum! {
    pub enum StayEndReason {
        Left = "LEFT",
        Transferred = "TRANSFERRED",
        Death = "DEATH",
        Closure = "CLOSURE",
    }
}

table! {
    /// Who stays where, from when, until when.
    pub struct StayRow in "stays", Head
    key [stay] index [person] index [institution] readers [institution_region, household_region]
    {
        pub stay: String,
        pub contract: Option<String>,
        pub institution: String,
        pub person: String,
        pub institution_region: Participant,
        pub household_region: Participant,
        pub admitted_on: Date,
        /// First day no longer there.
        pub left_on: Option<Date>,
        pub state: StayState,
        pub end_reason: Option<StayEndReason>,
        /// Why amended or voided.
        pub reason: String,
        pub recorded_at_us: Timestamp,
        pub version: i64,
    }
}

impl StayRow {
    /// Days of the stay that fall into a month.
    pub fn days_in(&self, month: Month) -> i64 {
        if self.state == StayState::Voided {
            return 0;
        }
        let from = self.admitted_on.max(month.first_day());
        let after = month.plus(1).first_day();
        let to = self.left_on.map_or(after, |left| left.min(after));
        to.days_since(from).max(0)
    }

    /// Whether the elder lives there on a date.
    pub fn covers(&self, date: Date) -> bool {
        self.state != StayState::Voided && self.admitted_on <= date && self.left_on.is_none_or(|left| date < left)
    }

    /// Whether the two have a day in common.
    fn overlaps(&self, other: &Self) -> bool {
        let begins_before_end = |a: &Self, b: &Self| b.left_on.is_none_or(|left| a.admitted_on < left);
        ![self.state, other.state].contains(&StayState::Voided)
            && begins_before_end(self, other)
            && begins_before_end(other, self)
    }
}
