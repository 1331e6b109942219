//! Persons come in: registration, further identifiers, amended data.

use std::sync::Arc;

use super::{
    IdentifierKind, IdentifierRow, PersonDataRow, PersonKeyRow, PersonKind, PersonRow, PersonState, find_person,
    region_of, resolve_person,
};
use crate::decision::{Call, Command, Decision, Leaf};
use crate::guard;
use crate::id::DivisionCode;
use crate::key;
use crate::names::{Collection, Name, Participant};
use crate::rejection::Reason;
use crate::snapshot::{Snapshot, Stop};

/// The most identifiers one request may bring.
const MAX_IDENTIFIERS: i64 = 10;

/// An identifier as the edge hands it in: never in clear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewIdentifier {
    pub kind: IdentifierKind,
    /// HMAC-SHA256 of kind and identifier, hex.
    pub lookup_hash: String,
    /// Base64, under the person's key.
    pub ciphertext: String,
}

/// A person's first key and data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPerson {
    pub identifiers: Vec<NewIdentifier>,
    /// Base64, under the person's key.
    pub ciphertext: String,
    /// The person's key under the master key, base64.
    pub wrapped_key: String,
    /// The salt of the person's commitments, hex.
    pub salt: String,
}

/// Registers an elder (`elders/{request id}`). Any region may register whom it meets;
/// the household register says who pays.
#[derive(Clone, Debug)]
pub struct RegisterElder {
    pub household_division: DivisionCode,
    pub person: NewPerson,
}

impl Command for RegisterElder {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        if self.person.identifiers.is_empty() {
            return Err(Reason::FieldMissing.field("identifiers").into());
        }
        let household = (region_of(self.household_division), self.household_division.to_string());
        register(snapshot, call, PersonKind::Elder, household, &self.person)
    }
}

/// Registers a guardian, payer, guarantor or contact (`parties/{request id}`).
#[derive(Clone, Debug)]
pub struct RegisterParty {
    pub person: NewPerson,
}

impl Command for RegisterParty {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let region = call.participant();
        register(snapshot, call, PersonKind::Party, (region.clone(), region.code().to_owned()), &self.person)
    }
}

fn register(
    snapshot: &Snapshot,
    call: &Call,
    kind: PersonKind,
    (household_region, household_division): (Participant, String),
    new: &NewPerson,
) -> Result<Decision, Stop> {
    let collection = match kind {
        PersonKind::Elder => Collection::Elder,
        PersonKind::Party => Collection::Party,
    };
    let name = Name::created(collection, call.request_id).to_string();
    let known = snapshot.get::<PersonRow>(key![name.clone()]);
    check_identifiers(snapshot, "identifiers", kind, &new.identifiers, None)?;
    guard::absent(&known?, &name)?;
    let row = PersonRow {
        person: name.clone(),
        kind,
        region: call.participant().clone(),
        household_region,
        household_division,
        state: PersonState::Active,
        merged_into: None,
        died_on: None,
        reason: String::new(),
        recorded_at_us: call.now,
        version: 1,
    };
    let mut decision = Decision::new(call);
    let leaf = leaf(&mut decision, "person.registered", &row);
    leaf.put_private(
        &name,
        &PersonKeyRow { person: name.clone(), wrapped_key: new.wrapped_key.clone(), salt: new.salt.clone() },
    );
    put_data(leaf, &row, &new.ciphertext);
    put_identifiers(leaf, &row, &new.identifiers);
    Ok(decision)
}

/// Adds an identifier to an elder: a new card, or one that was not known.
#[derive(Clone, Debug)]
pub struct AddIdentifier {
    pub elder: Name,
    pub identifier: NewIdentifier,
}

impl Command for AddIdentifier {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let person = own_person(snapshot, call, "elder", &self.elder)?;
        let identifiers = std::slice::from_ref(&self.identifier);
        check_identifiers(snapshot, "identifier", person.kind, identifiers, None)?;
        let row = next(&person, call);
        let mut decision = Decision::new(call);
        put_identifiers(leaf(&mut decision, "person.identifier_added", &row), &row, identifiers);
        Ok(decision)
    }
}

/// Replaces an elder's household division and personal data. When the household register
/// moves to another region, that one pays from then on.
#[derive(Clone, Debug)]
pub struct AmendElder {
    pub elder: Name,
    /// 0: any.
    pub expected_version: i64,
    pub household_division: DivisionCode,
    pub ciphertext: String,
}

impl Command for AmendElder {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let person = own_person(snapshot, call, "elder", &self.elder)?;
        guard::seen_version(self.expected_version, person.version, &self.elder)?;
        let row = PersonRow {
            household_region: region_of(self.household_division),
            household_division: self.household_division.to_string(),
            ..next(&person, call)
        };
        let mut decision = Decision::new(call);
        let leaf = leaf(&mut decision, "person.amended", &row);
        leaf.tell(&person.household_region);
        put_data(leaf, &row, &self.ciphertext);
        Ok(decision)
    }
}

/// Replaces a party's identifiers and personal data, all of them.
#[derive(Clone, Debug)]
pub struct AmendParty {
    pub party: Name,
    pub identifiers: Vec<NewIdentifier>,
    pub ciphertext: String,
}

impl Command for AmendParty {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let person = own_person(snapshot, call, "party", &self.party)?;
        let known = snapshot.list::<IdentifierRow>(&["person"], key![person.person.clone()]);
        check_identifiers(snapshot, "identifiers", person.kind, &self.identifiers, Some(&person.person))?;
        let row = next(&person, call);
        let mut decision = Decision::new(call);
        let leaf = leaf(&mut decision, "person.amended", &row);
        put_data(leaf, &row, &self.ciphertext);
        put_identifiers(leaf, &row, &self.identifiers);
        for old in known? {
            if !self.identifiers.iter().any(|new| new.lookup_hash == old.lookup_hash) {
                leaf.erase(&row.person, &*old);
            }
        }
        Ok(decision)
    }
}

/// A person of the caller's that can still be written to.
pub(super) fn own_person(snapshot: &Snapshot, call: &Call, field: &str, name: &Name) -> Result<Arc<PersonRow>, Stop> {
    let person = find_person(snapshot, field, name)?;
    guard::own(call, &person.region, field, name)?;
    person.current(field)?;
    Ok(person)
}

/// The person's next version, unchanged otherwise.
pub(super) fn next(person: &PersonRow, call: &Call) -> PersonRow {
    PersonRow { version: person.version + 1, recorded_at_us: call.now, ..person.clone() }
}

/// A leaf that writes the person and tells the regions concerned.
pub(super) fn leaf<'a>(decision: &'a mut Decision, kind: &'static str, row: &PersonRow) -> &'a mut Leaf {
    let leaf = decision.leaf(kind, &row.person, row.version);
    leaf.put(row).tell(&row.region).tell(&row.household_region)
}

fn put_data(leaf: &mut Leaf, row: &PersonRow, ciphertext: &str) {
    leaf.put_private(&row.person, &PersonDataRow { person: row.person.clone(), ciphertext: ciphertext.to_owned() });
}

fn put_identifiers(leaf: &mut Leaf, row: &PersonRow, identifiers: &[NewIdentifier]) {
    for identifier in identifiers {
        leaf.put_private(
            &row.person,
            &IdentifierRow {
                person: row.person.clone(),
                holder: row.kind,
                lookup_hash: identifier.lookup_hash.clone(),
                kind: identifier.kind,
                ciphertext: identifier.ciphertext.clone(),
            },
        );
    }
}

/// `IDENTIFIER_TAKEN` names whom an identifier belongs to, the survivor if that one was merged.
fn check_identifiers(
    snapshot: &Snapshot,
    field: &str,
    holder: PersonKind,
    identifiers: &[NewIdentifier],
    myself: Option<&str>,
) -> Result<(), Stop> {
    if identifiers.len() as i64 > MAX_IDENTIFIERS {
        return Err(guard::out_of_range("identifiers", format!("0..{MAX_IDENTIFIERS} items")).into());
    }
    guard::distinct("identifiers", &identifiers.iter().map(|i| i.kind).collect::<Vec<_>>())?;
    let known: Vec<_> =
        identifiers.iter().map(|i| snapshot.get::<IdentifierRow>(key![holder, i.lookup_hash.clone()])).collect();
    for (at, row) in known.into_iter().enumerate() {
        if let Some(row) = row?.filter(|row| Some(row.person.as_str()) != myself) {
            let owner = resolve_person(snapshot, &row.person)?;
            return Err(Reason::IdentifierTaken
                .field(format!("{field}[{at}]").replace("identifier[0]", "identifier"))
                .var("name", &owner.person)
                .into());
        }
    }
    Ok(())
}
