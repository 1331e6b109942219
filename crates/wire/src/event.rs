//! Events.

use jjj_domain::time::Timestamp;

use crate::pb;

/// A leaf as a participant's stream tells it.
#[derive(Clone, Debug)]
pub struct Told {
    /// The leaf's index plus one.
    pub cursor: i64,
    pub leaf_hash: Vec<u8>,
    pub kind: String,
    pub record: String,
    pub version: i64,
    pub author: String,
    pub recorded_at: Timestamp,
    /// Canonical JSON.
    pub body: String,
}

impl From<Told> for pb::Event {
    fn from(told: Told) -> Self {
        Self {
            cursor: told.cursor,
            leaf_hash: told.leaf_hash,
            kind: told.kind,
            record: told.record,
            version: told.version,
            author: told.author,
            recorded_time_us: told.recorded_at.0,
            body: told.body.into_bytes(),
        }
    }
}
