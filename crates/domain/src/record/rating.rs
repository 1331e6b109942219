//! Institution ratings: GB/T 37276-2018 grades, Beijing stars, community-station stars.

use super::{PublishRecord, RecordKind};

impl PublishRecord {
    /// The content of a rating is its envelope: scheme and grade.
    pub fn rating(envelope: PublishRecord) -> Self {
        Self { kind: RecordKind::Rating, content: "{}".into(), ..envelope }
    }
}
