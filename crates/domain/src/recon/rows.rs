//! The tables of reconciliation.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::file::LineFault;
use super::matching::{FeeRule, MatchRule};
use super::refusal::RefusalReason;
use super::stake::Stake;
use crate::decision::Leaf;
use crate::names::{Actor, Participant};
use crate::policy::{Condition, Tolerance};
use crate::time::{Date, Timestamp};
use crate::value::Json;
use crate::{table, text_enum};

text_enum! {
    pub enum FileState {
        /// Announced; bytes are missing.
        Uploading = "UPLOADING",
        /// Complete, digest checked, readable.
        Received = "RECEIVED",
        /// Refused whole; kept with its digest.
        Refused = "REFUSED",
        /// Replaced by a corrected file; both are kept.
        Superseded = "SUPERSEDED",
    }
}

text_enum! {
    pub enum FileFormat {
        /// The header of [`super::file::HEADER`], UTF-8.
        Csv = "CSV",
        UnionpayZip = "UNIONPAY_ZIP",
        UnionpayZm = "UNIONPAY_ZM",
        UnionpayZme = "UNIONPAY_ZME",
        Camt053 = "CAMT_053",
        Camt054 = "CAMT_054",
        /// Any other bytes: evidence, which nothing reads.
        Other = "OTHER",
    }
}

impl FileFormat {
    /// Whether a file in this format may take the place of one in the other. ZM and ZME state
    /// different things and stand side by side, and so do statements and notices.
    pub fn replaces(self, other: Self) -> bool {
        use FileFormat::{Camt053, Camt054, UnionpayZm, UnionpayZme};
        let apart = [(UnionpayZm, UnionpayZme), (Camt053, Camt054)];
        !apart.contains(&(self, other)) && !apart.contains(&(other, self))
    }
}

text_enum! {
    /// What a file states.
    pub enum FileContent {
        Settlement = "SETTLEMENT",
        Balances = "BALANCES",
        Statement = "STATEMENT",
        RegionalBook = "REGIONAL_BOOK",
        /// A document to attach to a break.
        Evidence = "EVIDENCE",
    }
}

table! {
    /// Settlement files as they arrived, encrypted under a key per file.
    pub struct FileRow in "files", Head
    key [file] index [channel, clearing_date] readers [sender, channel]
    {
        /// `files/{uuid}`; the uuid is the request id of its announcement.
        pub file: String,
        pub sender: Participant,
        /// The channel it is about; the sender itself, if that is a channel, and of evidence.
        pub channel: Participant,
        pub clearing_date: Date,
        pub format: FileFormat,
        pub content: FileContent,
        /// The merchant it covers; empty: all.
        pub merchant_id: String,
        pub file_name: String,
        pub size_bytes: i64,
        pub sha256: String,
        /// SHA-256 over the stored ciphertext chunks, in order; empty while uploading.
        pub stored_sha256: String,
        /// Base64; under the master key; empty while uploading.
        pub wrapped_key: String,
        pub state: FileState,
        pub rows: i64,
        pub rejected_rows: i64,
        /// The first 100 rows set aside.
        pub rejections: Json<Vec<LineFault>>,
        /// Why it is `REFUSED`.
        pub refusal: Option<RefusalReason>,
        /// Where or what, for a refused file; may be empty.
        pub refusal_detail: String,
        pub superseded_by: Option<String>,
        pub recorded_at_us: Timestamp,
        pub version: i64,
    }
}

impl FileRow {
    /// Whether it is a region's book of its date, as it stands.
    pub fn is_book(&self) -> bool {
        self.content == FileContent::RegionalBook && self.state == FileState::Received
    }

    /// Whether it is the channel's own statement of its date, as it stands.
    pub fn states_day_of(&self, channel: &Participant) -> bool {
        let states = match self.content {
            FileContent::Settlement | FileContent::Statement => true,
            FileContent::Balances | FileContent::RegionalBook | FileContent::Evidence => false,
        };
        // A bank's notice runs ahead of its statement, which has the same entries again.
        let is_notice = self.format == FileFormat::Camt054;
        states && !is_notice && self.state == FileState::Received && self.sender == *channel
    }
}

text_enum! {
    /// How a run ended.
    pub enum RunState {
        Balanced = "BALANCED",
        WithBreaks = "WITH_BREAKS",
        /// A file is missing, money in it could not be booked, or an identity does not close: never green.
        Incomplete = "INCOMPLETE",
    }
}

/// Rows = matched + broken + rejected, per leg.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LegCounts {
    pub rows: i64,
    pub matched: i64,
    pub broken: i64,
    pub rejected: i64,
    /// Sum of payments.
    pub debit_fen: i64,
    /// Sum of refunds.
    pub credit_fen: i64,
}

/// A region's book in a run; without a file, one that was expected and absent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegionLeg {
    pub region: Participant,
    pub file: Option<String>,
    pub sha256: Option<String>,
    pub counts: LegCounts,
}

/// What the rows of a run are matched under; with the rows and the files, all that its views rest on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunTerms {
    /// Whether a row that only the ledger has may still turn up in the next date's file.
    pub in_grace: bool,
    /// The agreed fee; absent: what the file states is not questioned.
    pub fee: Option<FeeRule>,
    /// What was tried after the end-to-end key, in this order.
    pub fallbacks: Vec<MatchRule>,
    pub tolerances: Vec<Tolerance>,
}

/// A file that the run expected; `None` when it was absent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedFile {
    /// The merchant that it covers or should cover; empty: any.
    pub merchant_id: String,
    pub file: Option<String>,
    pub sha256: Option<String>,
}

/// One of LEDGER.md's identities as a run checked it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdentityResult {
    pub number: i64,
    /// Empty when it is not about one book.
    pub book: String,
    pub holds: bool,
    pub difference_fen: i64,
    /// The accounts and rows at fault, when it does not close.
    pub detail: String,
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
        pub expected_files: Json<Vec<ExpectedFile>>,
        /// Every expected file was there, and none lacked rows or had damaged ones.
        pub files_complete: bool,
        /// The ledger number that froze what the run saw.
        pub cut: i64,
        pub ledger_leg: Json<LegCounts>,
        pub channel_leg: Json<LegCounts>,
        /// Regions' books, by region: those that are there, and those that the policy expects.
        pub region_legs: Json<Vec<RegionLeg>>,
        pub identities: Json<Vec<IdentityResult>>,
        pub breaks_opened: i64,
        /// Breaks of this clearing date still open when it ended.
        pub breaks_open: i64,
        pub reservations_expired: i64,
        /// What its rows were matched under.
        pub terms: Json<RunTerms>,
        /// RFC 6962 root over the views' roots, hex.
        pub root: String,
        pub started_by: Actor,
        pub recorded_at_us: Timestamp,
        pub version: i64,
    }
}

text_enum! {
    pub enum ViewState {
        /// Not signed yet.
        Open = "OPEN",
        /// Signed, in agreement.
        Agreed = "AGREED",
        /// Signed with a list of differences: blocks the month's close, never a payout.
        Disputed = "DISPUTED",
        /// Not signed within two working days; computed, never stored. Blocks nothing.
        Unsigned = "UNSIGNED",
    }
}

/// One difference that a region states against its view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ViewDifference {
    pub record: String,
    pub field: String,
    pub ours: String,
    pub theirs: String,
    pub note: String,
}

table! {
    /// Each region's (and the gateway's) view of a run: its rows' root, and who signed it.
    pub struct ViewRow in "run_views", Head
    key [run, participant] index [run] readers [participant]
    {
        pub run: String,
        pub participant: Participant,
        pub rows: i64,
        pub debit_fen: i64,
        pub credit_fen: i64,
        pub root: String,
        pub state: ViewState,
        /// First date on which it counts as unsigned.
        pub sign_by: Date,
        pub signed_by: Option<Actor>,
        pub signed_at_us: Option<Timestamp>,
        pub differences: Json<Vec<ViewDifference>>,
        pub version: i64,
    }
}

table! {
    /// The rows of a run's views, whole as the roots cover them: one per unit, in canonical order.
    pub struct UnitRow in "run_units", AppendOnly
    key [run, position] readers [region, institution_region]
    {
        pub run: String,
        /// From 0, in [`super::matching::Unit::order`].
        pub position: i64,
        pub region: Option<Participant>,
        pub institution_region: Option<Participant>,
        /// Canonical JSON.
        pub body: String,
        /// `breaks/…` of its difference.
        pub break_name: Option<String>,
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
        Contradiction = "CONTRADICTION",
        FileMissing = "FILE_MISSING",
        ControlTotal = "CONTROL_TOTAL",
        BalanceMismatch = "BALANCE_MISMATCH",
        MissingField = "MISSING_FIELD",
        /// A payout that no statement accounts for, or for another amount, or to another account.
        PayoutMismatch = "PAYOUT_MISMATCH",
        /// A statement past its due day without a payout.
        PayoutMissing = "PAYOUT_MISSING",
    }
}

text_enum! {
    pub enum BreakState {
        New = "NEW",
        Assigned = "ASSIGNED",
        Proposed = "PROPOSED",
        /// A later run may reopen it under the same id.
        Resolved = "RESOLVED",
    }
}

text_enum! {
    /// What made a version of a break.
    pub enum BreakStep {
        Opened = "OPENED",
        /// Another class, amount, field or row, by what a later run or message says.
        Changed = "CHANGED",
        /// Resolved before, and there again.
        Reopened = "REOPENED",
        Assigned = "ASSIGNED",
        Commented = "COMMENTED",
        EvidenceAttached = "EVIDENCE_ATTACHED",
        Proposed = "PROPOSED",
        Withdrawn = "WITHDRAWN",
        Declined = "DECLINED",
        Approved = "APPROVED",
        /// Resolved by the gateway under a rule of the policy.
        Automatic = "AUTOMATIC",
        /// What it was about is no more, by a later run, file or report.
        Cleared = "CLEARED",
    }
}

impl BreakStep {
    /// The leaf's kind, of a step that nobody's call took.
    pub const fn leaf_kind(self) -> &'static str {
        match self {
            Self::Opened => "break.opened",
            Self::Reopened => "break.reopened",
            Self::Cleared => "break.cleared",
            _ => "break.reclassified",
        }
    }
}

/// A document attached to a break.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attachment {
    /// `files/{uuid}`, of content `EVIDENCE`.
    pub file: String,
    /// Of its bytes, hex.
    pub sha256: String,
    pub by: Actor,
}

text_enum! {
    /// What is to be done about a break; [`super::resolve`] has the table.
    pub enum Resolution {
        /// Accept what the channel says: the elder's account bears it.
        Accept = "ACCEPT",
        /// The channel repays, or has repaid.
        Repay = "REPAY",
        /// Nothing was debited: give it back.
        Release = "RELEASE",
        /// The institution bears the difference.
        InstitutionBears = "INSTITUTION_BEARS",
        /// The region bears it.
        WriteOff = "WRITE_OFF",
        /// A record was or will be corrected; books nothing.
        CorrectRecord = "CORRECT_RECORD",
        /// In order for the reason given; books nothing.
        Justified = "JUSTIFIED",
        /// Cleared by a later run or file; the run's own, never proposed.
        Cleared = "CLEARED",
    }
}

/// One field as each side has it; empty where a side has none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldDifference {
    pub field: String,
    pub ledger: String,
    pub channel: String,
    /// The region's, in a break about its book.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub region: String,
}

impl FieldDifference {
    /// Between the ledger and the channel.
    pub fn of(field: &str, ledger: String, channel: String) -> Self {
        Self { field: field.to_owned(), ledger, channel, region: String::new() }
    }
}

impl BreakState {
    /// Those of a break under work.
    pub const OPEN: [Self; 3] = [Self::New, Self::Assigned, Self::Proposed];
}

table! {
    /// Differences, findings and file faults under work; one id for life.
    pub struct BreakRow in "breaks", Head
    key [break_name] index [channel, clearing_date] index [state, channel] index [subject] index [alert] readers [region, institution_region]
    {
        /// `breaks/{32 hex digits}`, from what it is about, not from its class.
        pub break_name: String,
        pub category: BreakCategory,
        pub class: BreakClass,
        /// The gate condition, for `CONDITION_UNMET`.
        pub condition: Option<Condition>,
        /// 1 is most urgent, 4 least.
        pub priority: i64,
        pub state: BreakState,
        pub channel: Option<Participant>,
        pub clearing_date: Date,
        pub region: Option<Participant>,
        pub programme: Option<String>,
        pub institution_region: Option<Participant>,
        /// The region whose book it is about; absent: no region's.
        pub book_region: Option<Participant>,
        /// What it is about: a payment, refund, grant, claim, file or `{file}#{row}`.
        pub subject: String,
        /// The elder whose money it is, when known.
        pub person: Option<String>,
        /// All differing fields.
        pub fields: Json<Vec<FieldDifference>>,
        /// File rows concerned: `{file}#{row}`.
        pub rows: Json<Vec<String>>,
        /// The rule by which it was matched or judged.
        pub rule: String,
        /// What breaks alike share beside channel, date and class: the fields that differ, the record
        /// at fault, else the merchant.
        pub cause: String,
        /// `alerts/{32 hex digits}`, from channel, date, class and cause: the systemic alert of which
        /// it is a member as soon as there are enough.
        pub alert: String,
        /// The amount at stake.
        pub amount_fen: i64,
        /// Money whose place in the ledger waits for the resolution.
        pub stakes: Json<Vec<Stake>>,
        /// The run that opened it, when a run did.
        pub opened_by: Option<String>,
        /// The run that saw it last.
        pub seen_by: Option<String>,
        pub opened_at_us: Timestamp,
        /// First date after its grace.
        pub due_on: Date,
        pub assignee: Option<Actor>,
        pub resolution: Option<Resolution>,
        pub proposed_by: Option<Actor>,
        pub proposal_reason: Option<String>,
        pub decided_by: Option<Actor>,
        pub decision_reason: Option<String>,
        pub resolved_at_us: Option<Timestamp>,
        /// Transfers that resolutions booked: `{leaf}#{line}`.
        pub entries: Json<Vec<String>>,
        /// `policies/breaks/…/{date}/{version}#{rule}` by which the gateway resolved it.
        pub policy: Option<String>,
        /// Documents attached, in their order.
        pub attachments: Json<Vec<Attachment>>,
        /// Administrators who ever proposed or decided: none of them signs the date's views.
        pub hands: Json<Vec<Actor>>,
        /// What made this version; the versions are its history.
        pub step: BreakStep,
        pub step_by: Actor,
        pub step_at_us: Timestamp,
        /// What was said with the step: a comment, a reason.
        pub note: String,
        pub version: i64,
    }
}

text_enum! {
    pub enum AlertState {
        /// Members are open, or have no break yet.
        Open = "OPEN",
        Over = "OVER",
    }
}

table! {
    /// Systemic alerts: floods of alike breaks, of one channel, clearing date, class and cause.
    pub struct AlertRow in "alerts", Head
    key [alert] index [channel, clearing_date] index [state, channel] readers []
    {
        /// `alerts/{32 hex digits}`; its members are the open breaks that name it.
        pub alert: String,
        pub channel: Participant,
        pub clearing_date: Date,
        pub class: BreakClass,
        pub cause: String,
        pub state: AlertState,
        /// Open members when a run last counted them.
        pub members: i64,
        /// Sum of their amounts.
        pub amount_fen: i64,
        /// Alike differences of a region's book beyond the policy's `most_book_breaks`, which have no break.
        pub unopened: i64,
        /// Sum of their amounts.
        pub unopened_fen: i64,
        /// The largest of these amounts by the book that pays (`110000/care_subsidy`), of what the region alone has by
        /// the region (`130000`).
        pub most_unopened_fen: Json<BTreeMap<String, i64>>,
        /// The run that counted them last.
        pub seen_by: String,
        pub opened_at_us: Timestamp,
        pub recorded_at_us: Timestamp,
        pub version: i64,
    }
}

impl BreakRow {
    pub fn is_open(&self) -> bool {
        self.state != BreakState::Resolved
    }

    /// Its next version, made by a step.
    #[must_use]
    pub fn step(&self, step: BreakStep, by: &Actor, now: Timestamp, note: &str) -> Self {
        let (step_by, note) = (by.clone(), note.to_owned());
        Self { step, step_by, step_at_us: now, note, version: self.version + 1, ..self.clone() }
    }

    /// Delivers a leaf to the regions concerned.
    pub fn tell(&self, leaf: &mut Leaf) {
        for region in [&self.region, &self.institution_region].into_iter().flatten() {
            leaf.tell(region);
        }
    }
}
