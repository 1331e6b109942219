//! From when until when a record counts.

use std::fmt;

use crate::rejection::{Reason, Rejection};
use crate::time::Date;

/// The first and the last day on which a record counts, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    from: Date,
    until: Date,
}

impl Validity {
    /// Refuses `valid_until` before `valid_from`.
    pub fn check(from: Date, until: Date) -> Result<Self, Rejection> {
        if until < from {
            return Err(Reason::DateOrder.field("valid_until").var("earlier", "valid_from"));
        }
        Ok(Self { from, until })
    }

    /// Refuses a validity longer than its scheme allows. Certificates print "three years" as
    /// 2024-05-01 to 2027-04-30 and to 2027-05-01; both pass [D].
    pub fn at_most(self, months: i64, scheme: impl fmt::Display) -> Result<Self, Rejection> {
        if self.until > self.from.plus_months(months.clamp(0, MAX_MONTHS) as i32) {
            let refused = Reason::ValidityTooLong.field("valid_until").var("until", self.until);
            return Err(refused.var("scheme", scheme).var("months", months));
        }
        Ok(self)
    }

    pub fn from(self) -> Date {
        self.from
    }

    pub fn until(self) -> Date {
        self.until
    }

    pub fn covers(self, day: Date) -> bool {
        self.from <= day && day <= self.until
    }

    /// Whether the last day has passed.
    pub fn is_over(self, day: Date) -> bool {
        self.until < day
    }
}

/// A thousand years: no policy means more, and dates end at 9998.
const MAX_MONTHS: i64 = 12_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Date {
        text.parse().unwrap()
    }

    #[test]
    fn both_ends_count() {
        let validity = Validity::check(day("2024-05-01"), day("2027-04-30")).unwrap();
        for (on, covers, over) in [
            ("2024-04-30", false, false),
            ("2024-05-01", true, false),
            ("2027-04-30", true, false),
            ("2027-05-01", false, true),
        ] {
            assert_eq!((validity.covers(day(on)), validity.is_over(day(on))), (covers, over), "{on}");
        }
    }

    #[test]
    fn length_is_bounded_by_the_scheme() {
        for (from, until, months, ok) in [
            ("2024-05-01", "2027-04-30", 36, true),
            ("2024-05-01", "2027-05-01", 36, true),
            ("2024-05-01", "2027-05-02", 36, false),
            ("2024-05-01", "2027-04-30", 24, false),
            ("2024-02-29", "2025-02-28", 12, true),
            ("2024-02-29", "2025-03-01", 12, false),
            ("2024-05-01", "2024-05-01", 0, true),
            ("2024-05-01", "2027-05-01", i64::MAX, true),
            ("2024-05-01", "2024-05-02", i64::MIN, false),
        ] {
            let checked = Validity::check(day(from), day(until)).unwrap().at_most(months, "GB_T_37276");
            assert_eq!(checked.is_ok(), ok, "{from} {until} {months}");
        }
        let refused = Validity::check(day("2024-05-01"), day("2027-05-02")).unwrap().at_most(36, "GB_T_37276");
        let refused = refused.unwrap_err();
        assert_eq!((refused.reason, refused.field.as_deref()), (Reason::ValidityTooLong, Some("valid_until")));
        assert_eq!(refused.message_en(), "validity ends 2027-05-02; GB_T_37276 allows at most 36 months");
    }

    #[test]
    fn the_end_is_not_before_the_start() {
        let refused = Validity::check(day("2024-05-02"), day("2024-05-01")).unwrap_err();
        assert_eq!((refused.reason, refused.field.as_deref()), (Reason::DateOrder, Some("valid_until")));
    }
}
