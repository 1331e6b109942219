//! What verification does not protect, each with its reason. Every other column of every table is
//! covered: `tests/tests/verify_mutations.rs` alters, deletes and adds each and looks for its name.

/// A change that goes unnoticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Altered,
    Deleted,
    Added,
}

/// A table or column that is not protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unprotected {
    pub table: &'static str,
    /// `None`: every column.
    pub column: Option<&'static str>,
    /// Against these changes; whole rows for `Deleted` and `Added`.
    pub changes: &'static [Change],
    pub reason: &'static str,
}

const ANY: &[Change] = &[Change::Altered, Change::Deleted, Change::Added];

/// The whole list.
pub const UNPROTECTED: &[Unprotected] = &[
    Unprotected {
        table: "cursors",
        column: None,
        changes: ANY,
        reason: "how far a participant has acknowledged; altering it delivers again or, until the participant \
                 asks from an earlier cursor, too late; it changes no record",
    },
    Unprotected {
        table: "cosignatures",
        column: None,
        changes: ANY,
        reason: "each is the witness's own signature over the head: who relies on one verifies it with the \
                 witness's key, which no database holds, and the witness itself remembers the head",
    },
    Unprotected {
        table: "uploads",
        column: None,
        changes: ANY,
        reason: "work in progress, and with it the chunks in `file_chunks` of a file that is not whole yet; the \
                 completing request signs size and digest",
    },
    Unprotected {
        table: "leaf_pending",
        column: Some("pending_id"),
        changes: &[Change::Altered],
        reason: "a number drawn for the queue; altering it can reorder leaves that are not numbered yet, and a \
                 cause after its effect is noticed once they are",
    },
    Unprotected {
        table: "checkpoints",
        column: Some("sealed_at_us"),
        changes: &[Change::Altered],
        reason: "the gateway's own word, not in the signed note; who was promised a deadline holds the receipt, \
                 and witnesses have times of their own",
    },
    Unprotected {
        table: "checkpoints",
        column: None,
        changes: &[Change::Deleted],
        reason: "an earlier head says nothing that a later one does not prove; the newest is missed when a \
                 deadline needs it, and any is when given with `--checkpoint`",
    },
];

/// Why a change goes unnoticed, when it does. `column` is ignored for whole rows.
pub fn unprotected(table: &str, column: Option<&str>, change: Change) -> Option<&'static str> {
    let covers = |u: &&Unprotected| {
        let of_column = u.column.is_none() || (change == Change::Altered && u.column == column);
        u.table == table && of_column && u.changes.contains(&change)
    };
    UNPROTECTED.iter().find(covers).map(|u| u.reason)
}
