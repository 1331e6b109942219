//! Persons change or go: merging, death, erasure.

use super::register::{leaf, next, own_person};
use super::{IdentifierRow, PersonDataRow, PersonKeyRow, PersonKind, PersonRow, PersonState, find_person, names_of};
use crate::care::contract::ContractRow;
use crate::decision::{Call, Command, Decision, Leaf};
use crate::guard;
use crate::key;
use crate::names::Name;
use crate::rejection::Reason;
use crate::snapshot::{Snapshot, Stop};
use crate::time::Date;

/// States that two elders are one: the name of `elder`, and with it its identifiers, leads
/// to `into` from now on. Private rows stay where they are, under their own key. The two
/// must be of one household region, since what the one was granted the other then owns.
#[derive(Clone, Debug)]
pub struct MergePersons {
    /// Ends as `MERGED`.
    pub elder: Name,
    /// Stays.
    pub into: Name,
    pub reason: String,
}

impl Command for MergePersons {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let merged = own_person(snapshot, call, "elder", &self.elder)?;
        let into = find_person(snapshot, "into", &self.into)?;
        into.current("into")?;
        guard::text("reason", &self.reason, 1_000)?;
        if merged.person == into.person || into.kind != PersonKind::Elder || merged.kind != PersonKind::Elder {
            return Err(Reason::FieldMalformed.field("into").var("expected", "another elder").into());
        }
        if merged.household_region != into.household_region {
            return Err(Reason::NotYourRecord.field("into").var("name", &self.into).into());
        }
        if merged.state == PersonState::Deceased && into.state == PersonState::Active {
            return Err(guard::wrong_state(into.state, PersonState::Deceased, "into", &self.into).into());
        }
        let row = PersonRow {
            state: PersonState::Merged,
            merged_into: Some(into.person.clone()),
            reason: self.reason.clone(),
            ..next(&merged, call)
        };
        let survivor = next(&into, call);
        let mut decision = Decision::new(call);
        leaf(&mut decision, "person.merged", &row).tell(&into.region);
        leaf(&mut decision, "person.absorbed", &survivor).tell(&merged.region);
        Ok(decision)
    }
}

/// Records a death: grants stop from the next month, credited money is the estate's.
#[derive(Clone, Debug)]
pub struct RecordDeath {
    pub elder: Name,
    pub died_on: Date,
    pub document_number: String,
}

impl Command for RecordDeath {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let person = own_person(snapshot, call, "elder", &self.elder)?;
        guard::state(person.state, &[PersonState::Active], "elder", &self.elder)?;
        guard::not_after_today("died_on", self.died_on, call)?;
        guard::optional_text("document_number", &self.document_number, 100)?;
        let row = PersonRow {
            state: PersonState::Deceased,
            died_on: Some(self.died_on),
            reason: self.document_number.clone(),
            ..next(&person, call)
        };
        let mut decision = Decision::new(call);
        let leaf = leaf(&mut decision, "person.died", &row);
        for name in names_of(snapshot, &person.person)? {
            for contract in snapshot.list::<ContractRow>(&["person"], key![name])? {
                leaf.tell(&contract.institution_region).tell(&contract.registrar);
            }
        }
        Ok(decision)
    }
}

/// Erases a person: key, salt, look-up hashes and encrypted data, and with the person
/// everyone merged into it. The pseudonymous records stay.
#[derive(Clone, Debug)]
pub struct ErasePerson {
    /// `elders/…` or `parties/…`.
    pub person: Name,
    /// The legal ground.
    pub reason: String,
}

impl Command for ErasePerson {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let field = if self.person.collection() == crate::names::Collection::Party { "party" } else { "elder" };
        own_person(snapshot, call, field, &self.person)?;
        guard::text("reason", &self.reason, 1_000)?;
        let mut decision = Decision::new(call);
        for name in names_of(snapshot, self.person.as_str())? {
            let person = find_person(snapshot, field, &name)?;
            if person.state == PersonState::Erased {
                continue;
            }
            let row = PersonRow { state: PersonState::Erased, reason: self.reason.clone(), ..next(&person, call) };
            erase(snapshot, leaf(&mut decision, "person.erased", &row), &name)?;
        }
        Ok(decision)
    }
}

fn erase(snapshot: &Snapshot, leaf: &mut Leaf, person: &str) -> Result<(), Stop> {
    let identifiers = snapshot.list::<IdentifierRow>(&["person"], key![person.to_owned()]);
    let data = snapshot.get::<PersonDataRow>(key![person.to_owned()]);
    let key = snapshot.get::<PersonKeyRow>(key![person.to_owned()]);
    for identifier in identifiers? {
        leaf.erase(person, &*identifier);
    }
    if let Some(data) = data? {
        leaf.erase(person, &*data);
    }
    if let Some(key) = key? {
        leaf.erase(person, &*key);
    }
    Ok(())
}
