//! Elders and contract parties: pseudonymous persons behind several identifiers.
//!
//! Personal data arrives here as opaque text: hashed, encrypted, wrapped at the edge.
//! A merged person's record and identifiers stay, and every rule that is handed the old
//! name follows it to the survivor ([`resolve_person`]).

mod access;
mod clear;
mod life;
mod register;
#[cfg(test)]
mod tests;

pub use access::{AccessKind, AccessRow, FindElder, ReadPersonalData, Reader, Sealed, sealed};
pub use clear::{ClearIdentifier, PersonalData};
pub use life::{ErasePerson, MergePersons, RecordDeath};
pub use register::{AddIdentifier, AmendElder, AmendParty, NewIdentifier, NewPerson, RegisterElder, RegisterParty};

use std::fmt::Display;
use std::sync::Arc;

use crate::guard;
use crate::key;
use crate::names::Participant;
use crate::rejection::{Reason, Rejection};
use crate::snapshot::{Snapshot, Stop};
use crate::time::{Date, Timestamp};
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
    key [person] index [region] index [merged_into] readers []
    {
        /// `elders/{uuid}` or `parties/{uuid}`.
        pub person: String,
        pub kind: PersonKind,
        /// Who registered the person.
        pub region: Participant,
        /// The region of the household registration (户籍), which pays. A party's is the registering region.
        pub household_region: Participant,
        /// Its district, which funds; six digits.
        pub household_division: String,
        pub state: PersonState,
        pub merged_into: Option<String>,
        pub died_on: Option<Date>,
        /// Why merged or erased; the number of the death certificate's file.
        pub reason: String,
        pub recorded_at_us: Timestamp,
        pub version: i64,
    }
}

table! {
    /// Keyed hashes by which a person is found; erased with the person.
    pub struct IdentifierRow in "person_identifiers", Private
    key [holder, lookup_hash] index [person] readers []
    {
        pub person: String,
        /// An elder and a party are looked up apart: a guardian may become an elder.
        pub holder: PersonKind,
        /// HMAC-SHA256 of kind and identifier, hex.
        pub lookup_hash: String,
        pub kind: IdentifierKind,
        /// The identifier, encrypted under the person's key: base64 of nonce and AES-256-GCM ciphertext.
        pub ciphertext: String,
    }
}

table! {
    /// Personal data without the identifiers, encrypted under the person's key.
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

impl PersonRow {
    /// Refuses what can no longer be written to: `PERSON_MERGED`, `PERSON_ERASED`.
    pub fn current(&self, field: &str) -> Result<(), Rejection> {
        match (self.state, &self.merged_into) {
            (PersonState::Merged, Some(into)) => {
                Err(Reason::PersonMerged.field(field).var("name", &self.person).var("into", into))
            }
            (PersonState::Erased, _) => Err(Reason::PersonErased.field(field).var("name", &self.person)),
            _ => Ok(()),
        }
    }

    /// Refuses also the dead: `PERSON_DECEASED`.
    pub fn living(&self, field: &str) -> Result<(), Rejection> {
        self.current(field)?;
        match self.state {
            PersonState::Deceased => Err(Reason::PersonDeceased.field(field).var("name", &self.person)),
            _ => Ok(()),
        }
    }
}

/// A person as named, merged or not. `RECORD_NOT_FOUND` names the field.
pub fn find_person(snapshot: &Snapshot, field: &str, name: impl Display) -> Result<Arc<PersonRow>, Stop> {
    let row = snapshot.get::<PersonRow>(key![name.to_string()])?;
    Ok(guard::found(row, field, name)?)
}

/// The person that a name stands for today: a merged one leads to the survivor.
/// `RECORD_NOT_FOUND` for a name nobody bears.
pub fn resolve_person(snapshot: &Snapshot, name: impl Display) -> Result<Arc<PersonRow>, Stop> {
    let mut person = find_person(snapshot, "elder", name)?;
    // A survivor never merges into one that leads back to it, so this ends.
    while let Some(into) = &person.merged_into {
        person = find_person(snapshot, "elder", into)?;
    }
    Ok(person)
}

/// All names under which records of this person may stand: the survivor's own, first,
/// and those of everyone merged into it.
pub fn names_of(snapshot: &Snapshot, survivor: &str) -> Result<Vec<String>, Stop> {
    let mut names = vec![survivor.to_owned()];
    let mut next = 0;
    while let Some(name) = names.get(next).cloned() {
        let merged = snapshot.list::<PersonRow>(&["merged_into"], key![Some(name)])?;
        names.extend(merged.iter().map(|row| row.person.clone()));
        next += 1;
    }
    Ok(names)
}

/// The region of a six-digit division: `131082` → `regions/130000`.
pub fn region_of(division: crate::id::DivisionCode) -> Participant {
    format!("regions/{}", division.province()).parse().expect("a province code is six digits")
}
