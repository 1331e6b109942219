//! Counting working days.

use super::CalendarPolicy;
use crate::time::Date;

/// Counts working days by a calendar policy.
pub trait WorkingDays {
    fn is_working_day(&self, date: Date) -> bool;

    /// The date `days` working days after `from`; `from` itself for zero.
    fn after_working_days(&self, from: Date, days: i64) -> Date {
        let mut date = from;
        let mut left = days.clamp(0, 366);
        while left > 0 {
            date = date.plus_days(1);
            if self.is_working_day(date) {
                left -= 1;
            }
        }
        date
    }
}

impl WorkingDays for CalendarPolicy {
    fn is_working_day(&self, date: Date) -> bool {
        if date.is_weekend() { self.working_weekends.contains(&date) } else { !self.holidays.contains(&date) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weekends_holidays_and_worked_weekends() {
        let day = |d: &str| d.parse::<Date>().unwrap();
        let calendar = CalendarPolicy {
            holidays: ["2026-10-01", "2026-10-02"].map(day).into(),
            working_weekends: [day("2026-10-10")].into(),
            source: String::new(),
        };
        // Wednesday 30 September; Thursday and Friday are holidays, then a weekend.
        assert_eq!(calendar.after_working_days(day("2026-09-30"), 1), day("2026-10-05"));
        assert_eq!(calendar.after_working_days(day("2026-10-09"), 1), day("2026-10-10"));
        assert_eq!(calendar.after_working_days(day("2026-10-09"), 0), day("2026-10-09"));
    }
}
