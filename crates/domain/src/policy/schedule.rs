//! When the gateway reconciles a channel by itself.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::time::{Date, Timestamp};

const MINUTE_US: i64 = 60_000_000;

/// A time of the day in Beijing, `hh:mm`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DayTime {
    minute: u16,
}

impl DayTime {
    /// That time of a civil date.
    pub fn on(self, date: Date) -> Timestamp {
        date.starts_at().plus_us(i64::from(self.minute) * MINUTE_US)
    }
}

impl FromStr for DayTime {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let malformed = || format!("{text:?} is no time hh:mm");
        let (hour, minute) = text.split_once(':').ok_or_else(malformed)?;
        let digits = |part: &str| part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
        let number = |part: &str| part.parse::<u16>().ok().filter(|_| digits(part));
        match (number(hour), number(minute)) {
            (Some(hour @ 0..24), Some(minute @ 0..60)) => Ok(Self { minute: hour * 60 + minute }),
            _ => Err(malformed()),
        }
    }
}

impl TryFrom<String> for DayTime {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<DayTime> for String {
    fn from(time: DayTime) -> Self {
        time.to_string()
    }
}

impl fmt::Display for DayTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.minute / 60, self.minute % 60)
    }
}

/// Runs of the clearing dates from the policy's own date on, each on the day after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SchedulePolicy {
    /// Not before, even if all files are there.
    pub not_before: DayTime,
    /// From then on without the files that are missing: such a run is `INCOMPLETE`.
    pub latest: DayTime,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_the_day() {
        for text in ["00:00", "09:30", "23:59"] {
            assert_eq!(text.parse::<DayTime>().unwrap().to_string(), text);
        }
        for text in ["", "9:30", "24:00", "12:60", "12:5", "+1:00", "noon", "12:00:00"] {
            assert!(text.parse::<DayTime>().is_err(), "{text}");
        }
        let date: Date = "2026-11-17".parse().unwrap();
        let at = "09:30".parse::<DayTime>().unwrap().on(date);
        assert_eq!((at.date(), at.0 - date.starts_at().0), (date, 570 * MINUTE_US));
    }
}
