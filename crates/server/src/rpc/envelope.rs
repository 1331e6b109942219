//! What all record kinds show alike.

use jjj_domain::record::RecordRow;
use jjj_domain::time::Date;
use jjj_wire::enums::enum_value;
use jjj_wire::pb;

/// A record's head, `in_force` as of a day.
pub fn envelope(row: &RecordRow, on: Date) -> pb::Envelope {
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
