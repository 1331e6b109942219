//! Time as data: instants, civil dates and months in Asia/Shanghai (fixed +08:00
//! since 1992), clearing dates. Nothing here reads a clock.

use std::fmt;
use std::str::FromStr;

use jiff::civil;

use crate::text_column;
use crate::value::{Column, ColumnType, Value};

/// An instant: UTC microseconds since 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

const SHANGHAI_OFFSET_US: i64 = 8 * HOUR_US;
/// One hour in microseconds.
pub const HOUR_US: i64 = 3_600_000_000;
/// One day in microseconds.
pub const DAY_US: i64 = 24 * HOUR_US;
/// Clearing days turn at 23:00 Beijing time (DOMAIN.md §7), one hour before the civil day.
const CLEARING_LEAD_US: i64 = HOUR_US;

impl Timestamp {
    /// The civil date in Beijing.
    pub fn date(self) -> Date {
        let days = (self.0 + SHANGHAI_OFFSET_US).div_euclid(DAY_US);
        Date::from_epoch_days(days)
    }

    /// The clearing date: 23:00 to 23:00 Beijing time, named by its end.
    pub fn clearing_date(self) -> Date {
        Self(self.0 + CLEARING_LEAD_US).date()
    }

    pub fn month(self) -> Month {
        self.date().month()
    }

    pub fn plus_us(self, us: i64) -> Self {
        Self(self.0.saturating_add(us))
    }
}

impl Column for Timestamp {
    const TYPE: ColumnType = ColumnType::Int;
    fn to_value(&self) -> Value {
        Value::Int(self.0)
    }
    fn from_value(value: Value) -> Result<Self, String> {
        i64::from_value(value).map(Self)
    }
}

/// A civil date, `YYYY-MM-DD`, years 1800 to 9998.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Date(civil::Date);

impl Date {
    /// `None` when there is no such day.
    pub fn new(year: i16, month: i8, day: i8) -> Option<Self> {
        civil::Date::new(year, month, day).ok().filter(|d| (1800..=9998).contains(&d.year())).map(Self)
    }

    fn from_epoch_days(days: i64) -> Self {
        let epoch = civil::date(1970, 1, 1);
        let span = jiff::Span::new().days(days.clamp(-62_000, 2_900_000));
        Self(epoch.checked_add(span).expect("clamped into the calendar"))
    }

    /// Days since 1970-01-01.
    pub fn epoch_days(self) -> i64 {
        let span = self.0.since(civil::date(1970, 1, 1)).expect("dates subtract");
        i64::from(span.get_days())
    }

    pub fn plus_days(self, days: i64) -> Self {
        Self::from_epoch_days(self.epoch_days() + days)
    }

    /// The same day some months on; the last day of the month where there is none such.
    pub fn plus_months(self, months: i32) -> Self {
        let moved = self.0.saturating_add(jiff::Span::new().months(months));
        Self(moved)
    }

    /// Whole days from `earlier` to this date; negative when this is earlier.
    pub fn days_since(self, earlier: Self) -> i64 {
        self.epoch_days() - earlier.epoch_days()
    }

    pub fn month(self) -> Month {
        Month { year: self.0.year(), month: self.0.month() }
    }

    pub fn year(self) -> i16 {
        self.0.year()
    }

    /// Saturday or Sunday.
    pub fn is_weekend(self) -> bool {
        matches!(self.0.weekday(), civil::Weekday::Saturday | civil::Weekday::Sunday)
    }

    /// The instant at which this date begins in Beijing.
    pub fn starts_at(self) -> Timestamp {
        Timestamp(self.epoch_days() * DAY_US - SHANGHAI_OFFSET_US)
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.0.year(), self.0.month(), self.0.day())
    }
}

impl FromStr for Date {
    type Err = NotADate;
    fn from_str(text: &str) -> Result<Self, NotADate> {
        let bytes = text.as_bytes();
        if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
            return Err(NotADate);
        }
        let year = digits(&bytes[..4]).ok_or(NotADate)?;
        let month = digits(&bytes[5..7]).ok_or(NotADate)?;
        let day = digits(&bytes[8..]).ok_or(NotADate)?;
        Self::new(year, month as i8, day as i8).ok_or(NotADate)
    }
}

/// A calendar month, `YYYY-MM`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Month {
    year: i16,
    month: i8,
}

impl Month {
    pub fn first_day(self) -> Date {
        Date::new(self.year, self.month, 1).expect("a month has a first day")
    }

    pub fn last_day(self) -> Date {
        self.plus(1).first_day().plus_days(-1)
    }

    pub fn plus(self, months: i32) -> Self {
        self.first_day().plus_months(months).month()
    }

    pub fn year(self) -> i16 {
        self.year
    }

    /// Whole months from `earlier` to this month; negative when this is earlier.
    pub fn months_since(self, earlier: Self) -> i32 {
        (i32::from(self.year) - i32::from(earlier.year)) * 12 + i32::from(self.month) - i32::from(earlier.month)
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)
    }
}

impl FromStr for Month {
    type Err = NotADate;
    fn from_str(text: &str) -> Result<Self, NotADate> {
        format!("{text}-01").parse::<Date>().map(Date::month)
    }
}

text_column!(Date, Month);

/// A text that names no day or month.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a calendar date")]
pub struct NotADate;

fn digits(bytes: &[u8]) -> Option<i16> {
    bytes.iter().try_fold(0i16, |n, b| b.is_ascii_digit().then(|| n * 10 + i16::from(b - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, hour: i64, minute: i64) -> Timestamp {
        text.parse::<Date>().unwrap().starts_at().plus_us(hour * HOUR_US + minute * 60_000_000)
    }

    #[test]
    fn the_clearing_day_turns_at_23_beijing_time() {
        for (day, hour, minute, expected) in [
            ("2026-11-20", 0, 0, "2026-11-20"),
            ("2026-11-20", 22, 59, "2026-11-20"),
            ("2026-11-20", 23, 0, "2026-11-21"),
            ("2026-12-31", 23, 30, "2027-01-01"),
        ] {
            assert_eq!(at(day, hour, minute).clearing_date().to_string(), expected);
        }
    }

    #[test]
    fn dates_parse_strictly() {
        for bad in ["2026-02-29", "2026-1-01", "2026/01/01", "26-01-01", "2026-13-01", "+026-01-01", ""] {
            assert!(bad.parse::<Date>().is_err(), "{bad}");
        }
        assert_eq!("2024-02-29".parse::<Date>().unwrap().plus_months(12).to_string(), "2025-02-28");
    }

    #[test]
    fn months_count() {
        let m: Month = "2026-11".parse().unwrap();
        assert_eq!(m.plus(2).to_string(), "2027-01");
        assert_eq!(m.last_day().to_string(), "2026-11-30");
        assert_eq!(m.months_since("2025-12".parse().unwrap()), 11);
    }
}
