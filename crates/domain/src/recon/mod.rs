//! Reconciliation of a channel's clearing date: files, matching, breaks,
//! resolutions, signed views.

use serde::{Deserialize, Serialize};

use crate::names::{Actor, Participant};
use crate::time::{Date, Timestamp};
use crate::value::Json;
use crate::{table, text_enum};

text_enum! {
    pub enum FileState {
        /// Complete, digest checked, readable.
        Received = "RECEIVED",
        /// Refused whole; kept with its digest.
        Refused = "REFUSED",
        /// Replaced by a corrected file; both are kept.
        Superseded = "SUPERSEDED",
    }
}

table! {
    /// Settlement files as they arrived, encrypted under a key per file.
    pub struct FileRow in "files", Head
    key [file] index [channel, clearing_date] readers [channel]
    {
        pub file: String,
        pub channel: Participant,
        pub clearing_date: Date,
        pub format: String,
        pub size_bytes: i64,
        pub sha256: String,
        /// SHA-256 over the stored ciphertext chunks, in order.
        pub stored_sha256: String,
        /// Base64; under the master key.
        pub wrapped_key: String,
        pub state: FileState,
        pub rows: i64,
        pub rejected_rows: i64,
        pub refusal: Option<String>,
        pub recorded_at_us: Timestamp,
        pub version: i64,
    }
}

text_enum! {
    /// How a run ended.
    pub enum RunState {
        Balanced = "BALANCED",
        WithBreaks = "WITH_BREAKS",
        /// A file is missing or an identity does not close: never green.
        Incomplete = "INCOMPLETE",
    }
}

/// Rows = matched + broken + rejected, per leg.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegCounts {
    pub rows: i64,
    pub matched: i64,
    pub broken: i64,
    pub rejected: i64,
    pub amount_fen: i64,
}

table! {
    /// Reconciliation runs of a channel and clearing date.
    pub struct RunRow in "runs", Head
    key [run] index [channel, clearing_date] readers []
    {
        /// `runs/{channel}-{YYYYMMDD}-{n}`.
        pub run: String,
        pub channel: Participant,
        pub clearing_date: Date,
        pub number: i64,
        pub state: RunState,
        pub files: Json<Vec<String>>,
        /// The ledger number that froze what the run saw.
        pub cut: i64,
        pub ledger_leg: Json<LegCounts>,
        pub channel_leg: Json<LegCounts>,
        pub breaks_opened: i64,
        /// RFC 6962 root over the views' roots, hex.
        pub root: String,
        pub started_by: Actor,
        pub recorded_at_us: Timestamp,
        pub version: i64,
    }
}

text_enum! {
    pub enum ViewState {
        Unsigned = "UNSIGNED",
        Signed = "SIGNED",
        Disputed = "DISPUTED",
    }
}

table! {
    /// Each region's (and the gateway's) view of a run: its rows' root, and who signed it.
    pub struct ViewRow in "run_views", Head
    key [run, participant] index [run] readers [participant]
    {
        pub run: String,
        pub participant: Participant,
        pub rows: i64,
        pub amount_fen: i64,
        pub root: String,
        pub state: ViewState,
        pub signed_by: Option<Actor>,
        pub signed_at_us: Option<Timestamp>,
        pub differences: Json<Vec<String>>,
        pub version: i64,
    }
}

text_enum! {
    pub enum BreakCategory {
        Difference = "DIFFERENCE",
        Finding = "FINDING",
        FileFault = "FILE_FAULT",
    }
}

text_enum! {
    /// DESIGN.md §7. Differences stand in the order in which they are judged.
    pub enum BreakClass {
        Duplicate = "DUPLICATE",
        Ambiguous = "AMBIGUOUS",
        RefundOrphan = "REFUND_ORPHAN",
        Cutoff = "CUTOFF",
        ChannelOnly = "CHANNEL_ONLY",
        LedgerOnly = "LEDGER_ONLY",
        RegionOnly = "REGION_ONLY",
        RegionMissing = "REGION_MISSING",
        PartyMismatch = "PARTY_MISMATCH",
        StatusMismatch = "STATUS_MISMATCH",
        AmountMismatch = "AMOUNT_MISMATCH",
        FeeMismatch = "FEE_MISMATCH",
        PaidAfterRevocation = "PAID_AFTER_REVOCATION",
        PaidWithoutContract = "PAID_WITHOUT_CONTRACT",
        ConditionUnmet = "CONDITION_UNMET",
        LateConfirmation = "LATE_CONFIRMATION",
        Overspent = "OVERSPENT",
        BillExceeded = "BILL_EXCEEDED",
        GrantWithoutBasis = "GRANT_WITHOUT_BASIS",
        CreditFailed = "CREDIT_FAILED",
        FileMissing = "FILE_MISSING",
        ControlTotal = "CONTROL_TOTAL",
        BalanceMismatch = "BALANCE_MISMATCH",
        MissingField = "MISSING_FIELD",
    }
}

text_enum! {
    pub enum BreakState {
        Open = "OPEN",
        Proposed = "PROPOSED",
        Resolved = "RESOLVED",
    }
}

table! {
    /// Differences, findings and file faults under work; one id for life.
    pub struct BreakRow in "breaks", Head
    key [break_name] index [channel, clearing_date] index [subject] readers [region, institution_region]
    {
        /// `breaks/{uuid-like id}`.
        pub break_name: String,
        pub category: BreakCategory,
        pub class: BreakClass,
        /// 1 is most urgent.
        pub priority: i64,
        pub state: BreakState,
        pub channel: Option<Participant>,
        pub clearing_date: Date,
        pub region: Option<Participant>,
        pub institution_region: Option<Participant>,
        /// What it is about: a payment, refund, grant, claim or `{file}#{row}`.
        pub subject: String,
        /// All differing fields: name → [ledger, channel], canonical JSON.
        pub detail: String,
        /// The amount at stake.
        pub amount_fen: i64,
        /// Run that opened it, when a run did.
        pub opened_by: String,
        pub opened_at_us: Timestamp,
        /// End of grace: first date on which it counts as late.
        pub due_on: Date,
        pub resolution: Option<String>,
        pub proposed_by: Option<Actor>,
        pub proposal_reason: Option<String>,
        pub decided_by: Option<Actor>,
        pub decision_reason: Option<String>,
        pub resolved_at_us: Option<Timestamp>,
        pub version: i64,
    }
}
