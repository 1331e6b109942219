//! The envelope that all record kinds share: issuer, subject, version, validity,
//! state, evidence. A further kind costs one file here and one `record_kind`
//! policy row per scheme.
//!
//! # Mutual recognition
//!
//! The issuer stays the sole authority: recipients cite, never edit. What an
//! issuer does reaches every recognition in the same transaction; what a
//! recognizing region decided for itself stays.
//!
//! | At the issuer | PENDING | RECOGNIZED | DECLINED, SUSPENDED | REVOKED |
//! |---|---|---|---|---|
//! | publishes, or makes VALID | where the agreement asks for review, or the region has set the one before aside | where it is automatic | | |
//! | RECTIFYING, UPGRADED, DOWNGRADED, AMENDED | new level and dates | new level and dates | new level and dates | |
//! | the same, and the agreement does not cover it | REVOKED | REVOKED | stays | stays |
//! | SUSPENDED, REVOKED, CANCELLED | REVOKED | REVOKED | stays | stays; from the earlier day |
//! | VALID again | | | stays | PENDING or RECOGNIZED, by the agreement |
//! | superseded by another record | REVOKED | SUPERSEDED | stays | |
//! | validity ends | by date, no message | by date, no message | | |
//!
//! | The recognizing region | from | to |
//! |---|---|---|
//! | ACCEPT | none, PENDING, DECLINED, REVOKED; the record must be VALID or RECTIFYING and not expired, and an agreement cover it | RECOGNIZED |
//! | DECLINE | PENDING, RECOGNIZED | DECLINED |
//! | SUSPEND | RECOGNIZED | SUSPENDED |
//! | REINSTATE | SUSPENDED; as for ACCEPT | RECOGNIZED |
//!
//! **Which agreement.** A recognition stands on the version that was in force when it was made, or last followed a
//! change of its record; it names it. Another version in force later, or an end, changes nothing about it until the
//! issuer changes the record, or the region decides. What is then lost by the agreement alone is lost from the day after:
//! what was paid on it was paid rightly.
//!
//! **Set aside** (动态退出) is the region's word about the subject, not only about one record: while it has DECLINED or
//! SUSPENDED what the issuer last had it recognize, or has not reviewed it, a further record of the same line waits
//! for review even under an automatic agreement. An issuer does not come past it by publishing anew.
//!
//! An institution's record goes to every region that has an agreement with the
//! issuer. A personal record goes to the region that pays for the person, and to
//! another only when it asks with ACCEPT.
//!
//! # Dated back
//!
//! What an issuer takes away with effect from an earlier day undoes no payment: each
//! one confirmed since, that stands on the record or on a recognition of it, gets a
//! `PAID_AFTER_REVOCATION` finding in the same transaction (`voided`).
//!
//! # Locks
//!
//! A payment reads the records and recognitions it stands on, a revocation writes
//! them: one waits for the other. Whatever may make a record valid guards its
//! subject's row, so that two such cannot both find nothing to supersede.

mod assessment;
mod change;
mod disability_certificate;
mod publish;
mod rating;
mod recognize;
mod standing;
#[cfg(test)]
mod tests;
mod validity;
mod voided;

pub use change::ChangeRecord;
pub use disability_certificate::DisabilityCertificateContent;
pub use publish::PublishRecord;
pub use recognize::{DecideRecognition, Verdict, recognition_name};
pub use standing::{Standing, standing};

use crate::names::{Collection, Participant};
use crate::row::{Row, StoredFault};
use crate::rules::mapping::MappingQuality;
use crate::rules::rating::RecordState;
use crate::time::{Date, Timestamp};
use crate::{table, text_enum};

text_enum! {
    /// The kinds of records regions recognize from one another.
    pub enum RecordKind {
        Rating = "RATING",
        Assessment = "ASSESSMENT",
        DisabilityCertificate = "DISABILITY_CERTIFICATE",
    }
}

impl RecordKind {
    pub fn collection(self) -> Collection {
        match self {
            Self::Rating => Collection::Rating,
            Self::Assessment => Collection::Assessment,
            Self::DisabilityCertificate => Collection::DisabilityCertificate,
        }
    }

    /// Whether the subject is a person: then only the regions concerned learn of it.
    pub fn is_personal(self) -> bool {
        self != Self::Rating
    }

    /// The request field that names the subject.
    pub(crate) fn subject_field(self) -> &'static str {
        if self.is_personal() { "elder" } else { "institution" }
    }

    /// The request field of the level in a publication.
    pub(crate) fn level_field(self) -> &'static str {
        match self {
            Self::Rating => "native_grade",
            Self::Assessment => "final_level",
            Self::DisabilityCertificate => "grade",
        }
    }

    /// Whether the lifecycle's step is one an issuer may take by itself. The result of an
    /// assessment never changes: another assessment supersedes it. Nobody states SUPERSEDED:
    /// publishing does it.
    pub(crate) fn allows(self, change: RecordState) -> bool {
        use RecordState::{Downgraded, Rectifying, Superseded, Upgraded};
        match self {
            Self::Rating => change != Superseded,
            Self::Assessment => !matches!(change, Superseded | Rectifying | Upgraded | Downgraded),
            Self::DisabilityCertificate => !matches!(change, Superseded | Rectifying),
        }
    }

    /// Whether a new record replaces the issuer's earlier ones of this scheme only. Institutions
    /// hold grades of several schemes at a time; an elder has one level of ability, by whatever
    /// standard it was last assessed [D].
    pub(crate) fn keeps_schemes_apart(self) -> bool {
        self != Self::Assessment
    }

    /// The first part of a leaf's kind: `rating.published`.
    pub(crate) fn leaf_kind(self, what: RecordEvent) -> &'static str {
        use RecordEvent::{Changed, Published, Superseded};
        match (self, what) {
            (Self::Rating, Published) => "rating.published",
            (Self::Rating, Changed) => "rating.changed",
            (Self::Rating, Superseded) => "rating.superseded",
            (Self::Assessment, Published) => "assessment.published",
            (Self::Assessment, Changed) => "assessment.changed",
            (Self::Assessment, Superseded) => "assessment.superseded",
            (Self::DisabilityCertificate, Published) => "disability_certificate.published",
            (Self::DisabilityCertificate, Changed) => "disability_certificate.changed",
            (Self::DisabilityCertificate, Superseded) => "disability_certificate.superseded",
        }
    }
}

#[derive(Clone, Copy)]
pub(crate) enum RecordEvent {
    Published,
    Changed,
    Superseded,
}

table! {
    /// Ratings, assessments, certificates: the current version of each; earlier versions are in the log.
    pub struct RecordRow in "records", Head
    key [record] index [subject, kind] index [issuer, kind] readers [issuer]
    through "recognitions" [record, recognizer]
    {
        /// `ratings/{uuid}`, `assessments/{uuid}`, `disabilityCertificates/{uuid}`.
        pub record: String,
        pub kind: RecordKind,
        pub issuer: Participant,
        /// `institutions/{uscc}` or `elders/{uuid}`.
        pub subject: String,
        /// `GB_T_37276`, `GB_T_42195_2022`, …: never mixed.
        pub scheme: String,
        /// The native grade or level in the scheme.
        pub native_level: i64,
        pub state: RecordState,
        pub document_number: String,
        /// The committee or organisation that decided.
        pub decided_by: String,
        pub decided_on: Date,
        pub valid_from: Date,
        /// Last day of validity. Expiry is computed from it, never stored.
        pub valid_until: Date,
        /// From when the current state counts; may lie before it was recorded.
        pub effective_on: Date,
        pub recorded_at_us: Timestamp,
        pub reason: String,
        pub supersedes: Option<String>,
        /// The kind's own content, canonical JSON.
        pub content: String,
        pub version: i64,
    }
}

text_enum! {
    /// Where a recognition stands. Expiry and the issuer's state are looked up, not copied.
    pub enum RecognitionState {
        /// Waits for the recognizing region's review.
        Pending = "PENDING",
        Recognized = "RECOGNIZED",
        Declined = "DECLINED",
        /// Set aside by the recognizing region (动态退出); can be reinstated.
        Suspended = "SUSPENDED",
        /// The issuer's record is no longer recognizable.
        Revoked = "REVOKED",
        /// The issuer replaced the record by another, which is recognized by itself. What stood
        /// on this one stands.
        Superseded = "SUPERSEDED",
    }
}

table! {
    /// One region's recognition of another region's record.
    pub struct RecognitionRow in "recognitions", Head
    key [recognition] index [record] index [subject, recognizer] readers [issuer, recognizer]
    {
        /// `recognitions/{record uuid}-{region code}`.
        pub recognition: String,
        pub record: String,
        pub kind: RecordKind,
        pub record_version: i64,
        pub issuer: Participant,
        pub recognizer: Participant,
        pub subject: String,
        pub scheme: String,
        pub native_level: i64,
        /// Lowest recognized grade or level.
        pub recognized_min: i64,
        /// Highest; differs from the lowest only where the mapping is ambiguous.
        pub recognized_max: i64,
        pub quality: MappingQuality,
        pub valid_from: Date,
        pub valid_until: Date,
        pub state: RecognitionState,
        pub effective_on: Date,
        pub reason: String,
        /// The agreement it stands on: `policies/agreement/{scope}/{date}/{version}`.
        pub agreement: String,
        pub recorded_at_us: Timestamp,
        /// The version since which a token of this recognition states the same: that version's place
        /// in the log is the token's place in the status list.
        pub stated_since: i64,
        pub version: i64,
    }
}

/// What a status list says of a recognition token (IETF Token Status List).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenStatus {
    Valid,
    /// For good.
    Invalid,
    /// Set aside by the recognizing region; may hold again.
    Suspended,
}

/// A record's own content, read back.
fn content<T: serde::de::DeserializeOwned>(row: &RecordRow) -> Result<T, StoredFault> {
    serde_json::from_str(&row.content).map_err(|e| {
        let problem = format!("{}: {e}", row.record);
        StoredFault { table: RecordRow::spec().name, column: "content", problem }
    })
}

impl RecordRow {
    /// Whether regions may rely on it on a date: its state and its dates allow it. A record that
    /// a later one replaced held until that one began.
    pub fn holds_on(&self, date: Date) -> bool {
        let not_yet_replaced = self.state == RecordState::Superseded && date < self.effective_on;
        let recognizable = self.state.is_recognizable() || not_yet_replaced;
        recognizable && self.valid_from <= date && date <= self.valid_until
    }

    /// From when on the issuer's latest word takes away what relied on it. A record that was
    /// merely replaced, or has run out, takes nothing away.
    pub fn void_from(&self) -> Option<Date> {
        let ended = matches!(self.state, RecordState::Suspended | RecordState::Revoked | RecordState::Cancelled);
        ended.then_some(self.effective_on)
    }
}

impl RecognitionRow {
    pub fn holds_on(&self, date: Date) -> bool {
        let not_yet_replaced = self.state == RecognitionState::Superseded && date < self.effective_on;
        let recognized = self.state == RecognitionState::Recognized || not_yet_replaced;
        recognized && self.valid_from <= date && date <= self.valid_until
    }

    /// What holds of the tokens that state it as it stands. The days of validity are in the tokens.
    pub fn token_status(&self, today: Date) -> TokenStatus {
        match self.state {
            RecognitionState::Recognized => TokenStatus::Valid,
            RecognitionState::Superseded if today < self.effective_on => TokenStatus::Valid,
            RecognitionState::Suspended => TokenStatus::Suspended,
            RecognitionState::Pending
            | RecognitionState::Declined
            | RecognitionState::Revoked
            | RecognitionState::Superseded => TokenStatus::Invalid,
        }
    }

    /// As the version after `old`. Tokens stay good as long as they would state the same.
    fn following(self, old: &Self) -> Self {
        let stated = |row: &Self| {
            let levels = (row.native_level, row.recognized_min, row.recognized_max, row.quality);
            (row.record_version, levels, row.valid_from, row.valid_until)
        };
        let version = old.version + 1;
        let stated_since = if stated(&self) == stated(old) { old.stated_since } else { version };
        Self { version, stated_since, ..self }
    }

    /// As [`RecordRow::void_from`]. What the recognizing region declines or sets aside counts for
    /// what comes after, and takes nothing away.
    pub fn void_from(&self) -> Option<Date> {
        (self.state == RecognitionState::Revoked).then_some(self.effective_on)
    }
}
