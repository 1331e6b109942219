//! Stays: admitted, left.

use crate::names::Participant;
use crate::{table, text_enum};
use crate::time::{Date, Month, Timestamp};

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
}
