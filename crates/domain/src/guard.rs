//! Small checks that many commands share, each with its one refusal.

use std::fmt::Display;
use std::sync::Arc;

use crate::decision::Call;
use crate::names::Participant;
use crate::rejection::{Reason, Rejection};
use crate::time::{Date, Timestamp};

/// The most fen one field may hold: a hundred million yuan. Sums and multiples of a
/// few such fields stay far inside `i64` and inside JSON's exact integers.
pub const MAX_FEN: i64 = 10_000_000_000;

/// The most fen a programme's budget or funding may move at once: ten billion yuan. Beijing's care subsidy
/// is two billion a year (DOMAIN.md §1), its month more than [`MAX_FEN`]; such events are few.
pub const MAX_PROGRAMME_FEN: i64 = 1_000_000_000_000;

/// `RECORD_NOT_FOUND` unless the row is there.
pub fn found<T>(row: Option<Arc<T>>, field: &str, name: impl Display) -> Result<Arc<T>, Rejection> {
    row.ok_or_else(|| Reason::RecordNotFound.field(field).var("name", name))
}

/// `RECORD_EXISTS` if the row is there.
pub fn absent<T>(row: &Option<Arc<T>>, name: impl Display) -> Result<(), Rejection> {
    if row.is_some() { Err(Reason::RecordExists.var("name", name)) } else { Ok(()) }
}

/// `NOT_YOUR_RECORD` unless the caller is the record's region: a region speaks only for itself.
pub fn own(call: &Call, owner: &Participant, field: &str, name: impl Display) -> Result<(), Rejection> {
    if call.participant() == owner { Ok(()) } else { Err(Reason::NotYourRecord.field(field).var("name", name)) }
}

/// `STATE_NOT_ALLOWED` unless the state is one of those needed.
pub fn state<S: PartialEq + Display>(state: S, needed: &[S], field: &str, name: impl Display) -> Result<(), Rejection> {
    if needed.contains(&state) { Ok(()) } else { Err(wrong_state(state, either(needed), field, name)) }
}

/// `STATE_NOT_ALLOWED`, said of anything.
pub fn wrong_state(state: impl Display, needed: impl Display, field: &str, name: impl Display) -> Rejection {
    Reason::StateNotAllowed.field(field).var("name", name).var("state", state).var("needed", needed)
}

/// `STATE_NOT_ALLOWED` when the caller has seen another version; 0 means any.
pub fn seen_version(expected: i64, version: i64, name: impl Display) -> Result<(), Rejection> {
    if expected == 0 || expected == version {
        return Ok(());
    }
    let at = |n| format!("version {n}");
    Err(wrong_state(at(version), at(expected), "expected_version", name))
}

/// `FIELD_OUT_OF_RANGE` outside both bounds.
pub fn range(field: &str, value: i64, low: i64, high: i64) -> Result<(), Rejection> {
    if (low..=high).contains(&value) { Ok(()) } else { Err(out_of_range(field, format!("{low}..{high}"))) }
}

/// `FIELD_OUT_OF_RANGE`, said of anything.
pub fn out_of_range(field: &str, range: impl Display) -> Rejection {
    Reason::FieldOutOfRange.field(field).var("range", range)
}

/// An amount of money from `low` fen to [`MAX_FEN`].
pub fn fen(field: &str, value: i64, low: i64) -> Result<(), Rejection> {
    range(field, value, low, MAX_FEN)
}

/// `FIELD_MISSING` when empty, `FIELD_TOO_LONG` beyond so many characters.
pub fn text(field: &str, value: &str, limit: usize) -> Result<(), Rejection> {
    if value.trim().is_empty() { Err(Reason::FieldMissing.field(field)) } else { optional_text(field, value, limit) }
}

/// `FIELD_TOO_LONG` beyond so many characters; may be empty.
pub fn optional_text(field: &str, value: &str, limit: usize) -> Result<(), Rejection> {
    if value.chars().count() <= limit { Ok(()) } else { Err(Reason::FieldTooLong.field(field).var("limit", limit)) }
}

/// `FIELD_OUT_OF_RANGE` for a date after today in Beijing.
pub fn not_after_today(field: &str, date: Date, call: &Call) -> Result<(), Rejection> {
    let today = call.now.date();
    if date <= today { Ok(()) } else { Err(out_of_range(field, format!("..{today}"))) }
}

/// `FIELD_OUT_OF_RANGE` for an instant that is still to come, or before 1970.
pub fn not_in_future(field: &str, at: Timestamp, call: &Call) -> Result<(), Rejection> {
    range(field, at.0, 1, call.now.0)
}

/// `DATE_ORDER` when `date` lies before `earlier`.
pub fn not_before(field: &str, date: Date, earlier: Date) -> Result<(), Rejection> {
    if date >= earlier { Ok(()) } else { Err(Reason::DateOrder.field(field).var("earlier", earlier)) }
}

/// `FIELD_REPEATED` when an item is given twice.
pub fn distinct<T: PartialEq + Display>(field: &str, items: &[T]) -> Result<(), Rejection> {
    match items.iter().enumerate().find(|(i, item)| items[..*i].contains(item)) {
        Some((_, item)) => Err(Reason::FieldRepeated.field(field).var("item", item)),
        None => Ok(()),
    }
}

/// `A or B`.
pub fn either<T: Display>(items: &[T]) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join(" or ")
}
