//! Elders and contract parties: pseudonymous persons behind several identifiers.

use crate::names::Participant;
use crate::time::Date;
use crate::{table, text_enum};

text_enum! {
    pub enum PersonKind {
        Elder = "ELDER",
        /// A guardian, payer, guarantor or contact who is no elder here.
        Party = "PARTY",
    }
}

text_enum! {
    pub enum PersonState {
        Active = "ACTIVE",
        Deceased = "DECEASED",
        /// One person with another record; identifiers lead to that one.
        Merged = "MERGED",
        /// Key, salt and look-up hashes are gone.
        Erased = "ERASED",
    }
}

text_enum! {
    /// How a person is found.
    pub enum IdentifierKind {
        ResidentId = "RESIDENT_ID",
        SocialSecurityCard = "SOCIAL_SECURITY_CARD",
        SeniorDisabilityCard = "SENIOR_DISABILITY_CARD",
    }
}

table! {
    /// Persons by pseudonym. Nothing here names anybody.
    pub struct PersonRow in "persons", Head
    key [person] index [region] readers []
    {
        /// `elders/{uuid}` or `parties/{uuid}`.
        pub person: String,
        pub kind: PersonKind,
        /// Who registered the person.
        pub region: Participant,
        /// The region of the household registration (户籍), which pays.
        pub household_region: Participant,
        /// Its district, which funds; six digits.
        pub household_division: String,
        pub state: PersonState,
        pub merged_into: Option<String>,
        pub died_on: Option<Date>,
        pub version: i64,
    }
}

table! {
    /// Keyed hashes by which a person is found; erased with the person.
    pub struct IdentifierRow in "person_identifiers", Private
    key [lookup_hash] index [person] readers []
    {
        pub person: String,
        /// HMAC-SHA256 of kind and identifier, hex.
        pub lookup_hash: String,
        pub kind: IdentifierKind,
    }
}

table! {
    /// Personal data, encrypted under the person's key.
    pub struct PersonDataRow in "person_data", Private
    key [person] readers []
    {
        pub person: String,
        /// Base64 of nonce and AES-256-GCM ciphertext.
        pub ciphertext: String,
    }
}

table! {
    /// Each person's data key, wrapped under the master key, and the salt of the person's commitments.
    pub struct PersonKeyRow in "person_keys", Private
    key [person] readers []
    {
        pub person: String,
        /// Base64.
        pub wrapped_key: String,
        /// Hex, 32 bytes.
        pub salt: String,
    }
}
