//! Who looked at whom, and why: every disclosure of personal data leaves a record before
//! anything is disclosed (DESIGN.md §5 "Privacy").
//!
//! Absent: what was looked for. A look-up that finds nobody discloses nothing and leaves no
//! record; its look-up hash in one would outlive an erasure.

use super::{
    IdentifierRow, PersonDataRow, PersonKeyRow, PersonKind, PersonRow, PersonState, find_person, resolve_person,
};
use crate::decision::{Call, Command, Decision};
use crate::guard;
use crate::key;
use crate::names::{Actor, Collection, Name, Participant};
use crate::rejection::{Reason, Rejection};
use crate::snapshot::{Snapshot, Stop};
use crate::time::Timestamp;
use crate::{table, text_enum};

text_enum! {
    /// What was disclosed.
    pub enum AccessKind {
        /// Whom an identifier belongs to.
        Find = "FIND",
        /// Identifiers and personal data in clear.
        Read = "READ",
    }
}

table! {
    /// Audit records of reads of personal data, written by the gateway.
    pub struct AccessRow in "accesses", AppendOnly
    key [access] index [person] readers [region, household_region, reader_participant]
    {
        /// `accesses/{uuid}`.
        pub access: String,
        pub kind: AccessKind,
        /// Whose data it was.
        pub person: String,
        pub region: Participant,
        pub household_region: Participant,
        pub reader: Actor,
        pub reader_participant: Participant,
        pub purpose: String,
        /// SHA-256 of the reader's request token, hex.
        pub token_digest: String,
        pub recorded_at_us: Timestamp,
    }
}

/// Who reads, and why.
#[derive(Clone, Debug)]
pub struct Reader {
    pub actor: Actor,
    pub purpose: String,
    /// SHA-256 of the request token, hex.
    pub token_digest: String,
}

/// Finds the elder whom an identifier belongs to, today's survivor where persons were
/// merged, and records that it was asked. The gateway itself is the caller.
#[derive(Clone, Debug)]
pub struct FindElder {
    pub lookup_hash: String,
    pub reader: Reader,
}

impl Command for FindElder {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        self.reader.check()?;
        let found = snapshot.get::<IdentifierRow>(key![PersonKind::Elder, self.lookup_hash.clone()])?;
        let found = guard::found(found, "identifier", "elders/-")?;
        let person = resolve_person(snapshot, &found.person)?;
        person_erased(&person, "identifier")?;
        Ok(self.reader.recorded(call, AccessKind::Find, &person))
    }
}

/// Records that a person's identifiers and personal data are read. By the region that
/// registered the person, or the one that pays. The gateway itself is the caller.
#[derive(Clone, Debug)]
pub struct ReadPersonalData {
    /// `elders/…` or `parties/…`; of a merged person its own data.
    pub person: Name,
    pub reader: Reader,
}

impl Command for ReadPersonalData {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        self.reader.check()?;
        let person = find_person(snapshot, "name", &self.person)?;
        if ![&person.region, &person.household_region].contains(&self.reader.actor.participant()) {
            return Err(Reason::NotYourRecord.field("name").var("name", &self.person).into());
        }
        person_erased(&person, "name")?;
        Ok(self.reader.recorded(call, AccessKind::Read, &person))
    }
}

/// The private rows of a person, to be decrypted: none for one who is erased.
pub struct Sealed {
    pub key: PersonKeyRow,
    pub data: PersonDataRow,
    pub identifiers: Vec<IdentifierRow>,
}

/// A person's private rows, all of one moment.
pub fn sealed(snapshot: &Snapshot, person: &str) -> Result<Option<Sealed>, Stop> {
    let key = snapshot.get::<PersonKeyRow>(key![person.to_owned()]);
    let data = snapshot.get::<PersonDataRow>(key![person.to_owned()]);
    let identifiers = snapshot.list::<IdentifierRow>(&["person"], key![person.to_owned()]);
    let (Some(key), Some(data)) = (key?, data?) else { return Ok(None) };
    let identifiers = identifiers?.iter().map(|row| (**row).clone()).collect();
    Ok(Some(Sealed { key: (*key).clone(), data: (*data).clone(), identifiers }))
}

fn person_erased(person: &PersonRow, field: &str) -> Result<(), Rejection> {
    match person.state {
        PersonState::Erased => Err(Reason::PersonErased.field(field).var("name", &person.person)),
        PersonState::Active | PersonState::Deceased | PersonState::Merged => Ok(()),
    }
}

impl Reader {
    fn check(&self) -> Result<(), Rejection> {
        guard::text("purpose", &self.purpose, 200)
    }

    /// The region that registered the person hears of it when another one reads.
    fn recorded(&self, call: &Call, kind: AccessKind, person: &PersonRow) -> Decision {
        let row = AccessRow {
            access: Name::created(Collection::Access, call.request_id).to_string(),
            kind,
            person: person.person.clone(),
            region: person.region.clone(),
            household_region: person.household_region.clone(),
            reader: self.actor.clone(),
            reader_participant: self.actor.participant().clone(),
            purpose: self.purpose.clone(),
            token_digest: self.token_digest.clone(),
            recorded_at_us: call.now,
        };
        let mut decision = Decision::new(call);
        let leaf = decision.leaf("person.accessed", &row.access, 1);
        leaf.put(&row);
        if person.region != row.reader_participant {
            leaf.tell(&person.region);
        }
        decision
    }
}
