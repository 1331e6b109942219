//! What all record kinds show alike.

use jjj_domain::guard;
use jjj_domain::record::RecordRow;
use jjj_domain::rejection::Rejection;
use jjj_domain::time::Date;

use crate::enums::enum_value;
use crate::pb;

/// A record's head, `in_force` as of a day.
pub(crate) fn envelope(row: &RecordRow, on: Date) -> pb::Envelope {
    pb::Envelope {
        issuer: row.issuer.to_string(),
        subject: row.subject.clone(),
        version: row.version,
        state: enum_value::<pb::RecordState>(row.state.as_str()),
        in_force: row.holds_on(on),
        valid_from: row.valid_from.to_string(),
        valid_until: row.valid_until.to_string(),
        decided_on: row.decided_on.to_string(),
        effective_on: row.effective_on.to_string(),
        recorded_time_us: row.recorded_at_us.0,
        document_number: row.document_number.clone(),
        decided_by: row.decided_by.clone(),
        reason: row.reason.clone(),
        supersedes: row.supersedes.clone().unwrap_or_default(),
    }
}

/// The version that a caller has seen, 0 for any.
pub(crate) fn expected_version(version: i64) -> Result<i64, Rejection> {
    guard::range("expected_version", version, 0, i64::MAX)?;
    Ok(version)
}

/// A stored level or grade: the policies that bound them know none beyond a digit.
pub(crate) fn level(stored: i64) -> i32 {
    i32::try_from(stored).unwrap_or(i32::MAX)
}
