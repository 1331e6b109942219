//! Participants, their authorities and keys, administrators.

use crate::names::{Actor, Participant, ParticipantKind};
use crate::time::Timestamp;
use crate::{table, text_enum};

text_enum! {
    /// Whether a participant or administrator may act.
    pub enum Standing {
        Active = "ACTIVE",
        Suspended = "SUSPENDED",
        /// Administrators only: removed for good.
        Removed = "REMOVED",
    }
}

text_enum! {
    /// A key's or authority's life. Nothing is deleted: old evidence stays checkable.
    pub enum KeyState {
        /// May sign.
        Active = "ACTIVE",
        /// Replaced; what it signed before stays good.
        Retired = "RETIRED",
        /// Compromised from `ended_at_us` on.
        Withdrawn = "WITHDRAWN",
    }
}

table! {
    /// Regions, channels and the gateway itself.
    pub struct ParticipantRow in "participants", Head
    key [participant] readers []
    {
        pub participant: Participant,
        pub kind: ParticipantKind,
        pub display_name: String,
        pub standing: Standing,
        pub version: i64,
    }
}

table! {
    /// Certificate authorities whose client certificates a participant uses.
    pub struct AuthorityRow in "authorities", Head
    key [participant, fingerprint] index [participant] readers []
    {
        pub participant: Participant,
        /// SHA-256 of the certificate's DER, lower-case hex.
        pub fingerprint: String,
        pub certificate_pem: String,
        pub state: KeyState,
        pub ended_at_us: Option<Timestamp>,
        pub version: i64,
    }
}

table! {
    /// Public keys that sign request tokens; `kid` is the RFC 7638 thumbprint.
    pub struct KeyRow in "keys", Head
    key [kid] index [holder] readers []
    {
        pub kid: String,
        pub holder: Actor,
        /// The public JWK, canonical JSON.
        pub jwk: String,
        pub state: KeyState,
        pub added_at_us: Timestamp,
        pub ended_at_us: Option<Timestamp>,
        pub version: i64,
    }
}

table! {
    /// The people who run reconciliation, policy and registry for a participant.
    pub struct AdministratorRow in "administrators", Head
    key [administrator] index [participant] readers []
    {
        pub administrator: Actor,
        pub participant: Participant,
        pub standing: Standing,
        pub version: i64,
    }
}
