//! The log's name. It stays for life, but for one case: a database restored from a backup lacks leaves that
//! its witnesses have seen, so that under its old name it could only be a fork. It goes on under a new one, whose
//! first leaf says what it follows.

use super::OriginRow;
use crate::decision::{Call, Command, Decision};
use crate::guard;
use crate::key;
use crate::names::{Actor, Participant};
use crate::rejection::Reason;
use crate::snapshot::{Snapshot, Stop};

/// Opens a new origin of the log: by the gateway itself, before anything else is recorded under it.
#[derive(Clone, Debug)]
pub struct OpenOrigin {
    /// A name without spaces and plus signs, as C2SP notes need it.
    pub origin: String,
    /// The origin until now.
    pub follows: String,
    /// Leaves in the log, all of them under the old origin: the number of the leaf that this makes.
    pub tree_size: i64,
    /// The RFC 6962 root over them, hex.
    pub root: String,
    /// The largest size under the old origin that a witness says it knows; `tree_size` where none does.
    pub witnessed_size: i64,
    pub reason: String,
}

impl Command for OpenOrigin {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        if call.actor != Actor::system(Participant::gateway()) {
            return Err(Reason::RoleNotAllowed.field("origin").into());
        }
        guard::text("origin", &self.origin, 200)?;
        guard::text("reason", &self.reason, 1_000)?;
        if self.origin == self.follows || self.origin.contains(|c: char| c.is_whitespace() || c == '+') {
            let expected = "another name, without spaces and plus signs";
            return Err(Reason::FieldMalformed.field("origin").var("expected", expected).into());
        }
        guard::absent(&snapshot.get::<OriginRow>(key![self.origin.clone()])?, &self.origin)?;
        let row = OriginRow {
            origin: self.origin.clone(),
            follows: self.follows.clone(),
            tree_size: self.tree_size,
            root: self.root.clone(),
            witnessed_size: self.witnessed_size,
            reason: self.reason.clone(),
            recorded_at_us: call.now,
            version: 1,
        };
        let mut decision = Decision::new(call);
        decision.leaf(OriginRow::OPENED, row.name(), 1).put(&row);
        Ok(decision)
    }
}

impl OriginRow {
    /// The kind of the leaf that opens one.
    pub const OPENED: &str = "origin.opened";

    /// Its resource name.
    pub fn name(&self) -> String {
        Self::name_of(&self.origin)
    }

    /// The resource name of an origin.
    pub fn name_of(origin: &str) -> String {
        format!("gateway/origins/{origin}")
    }
}
