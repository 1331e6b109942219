//! The envelope that all record kinds share: issuer, subject, version, validity,
//! state, evidence. A further kind costs one file here and one `record_kind`
//! policy row per scheme.

mod assessment;
mod change;
mod disability_certificate;
mod publish;
mod rating;
mod recognize;
mod standing;

pub use change::ChangeRecord;
pub use disability_certificate::DisabilityCertificateContent;
pub use publish::PublishRecord;
pub use recognize::{DecideRecognition, Verdict};
pub use standing::{Standing, standing};

use crate::names::{Collection, Participant};
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
        /// The agreement it stands on: scope and version date.
        pub agreement: String,
        pub recorded_at_us: Timestamp,
        pub version: i64,
    }
}

impl RecordRow {
    /// Whether regions may rely on it on a date: its state and its dates allow it. A record that
    /// a later one replaced holds until that one begins.
    pub fn holds_on(&self, date: Date) -> bool {
        let not_yet_replaced = self.state == RecordState::Superseded && date < self.effective_on;
        let recognizable = self.state.is_recognizable() || not_yet_replaced;
        recognizable && self.valid_from <= date && date <= self.valid_until
    }
}

impl RecognitionRow {
    pub fn holds_on(&self, date: Date) -> bool {
        self.state == RecognitionState::Recognized && self.valid_from <= date && date <= self.valid_until
    }
}
