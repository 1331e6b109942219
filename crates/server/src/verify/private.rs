//! Private rows: opened with the salt of their person and compared with the commitments in leaves.
//! An erased person's rows are gone, their commitments say nothing, and that is in order.

use std::collections::{HashMap, HashSet};

use jjj_domain::key;
use jjj_domain::person::{PersonKeyRow, PersonRow, PersonState};
use jjj_domain::row::{Row, TableKind, TableSpec};
use jjj_domain::snapshot::Load;
use jjj_domain::value::Value;
use jjj_store::{Session, StoreError};
use jjj_token::Hash;
use jjj_token::seal::SALT_LEN;

use super::body::{Erased, PrivateCommitment};
use super::digest::{Id, id};
use super::fold::body_at;
use super::order::{Order, Place};
use super::report::{Check, Findings, NoticeKind};
use super::scan::{Scan, row_key_text};
use crate::engine::leaf::private_commitments;

/// The last that leaves say about a private row.
struct Said {
    place: Place,
    row: Hash,
    person: Id,
    seen: bool,
}

/// Costs about 120 bytes for each private row ever written.
#[derive(Default)]
pub struct Private {
    written: HashMap<Hash, Said>,
    erased: HashMap<Hash, Place>,
    /// Persons whose salt is gone or wrong: their rows cannot be opened, which is said once.
    unopened: HashSet<Id>,
}

type Salt = [u8; SALT_LEN];

impl Private {
    pub fn write(&mut self, commitment: PrivateCommitment, place: Place) {
        let said = Said { place, row: commitment.row, person: id(&commitment.person), seen: false };
        let known = self.written.get(&commitment.key).map(|s| s.place);
        if known.is_none_or(|known| known <= place) {
            self.written.insert(commitment.key, said);
        }
    }

    pub fn erase(&mut self, erased: &Erased, place: Place) {
        let last = self.erased.entry(erased.key).or_insert(place);
        *last = place.max(*last);
    }

    /// Compares all private tables. The rows that opened, and the persons erased.
    pub async fn compare(
        mut self,
        session: &mut Session,
        order: &Order,
        findings: &mut Findings,
    ) -> Result<(u64, u64), StoreError> {
        for (key, place) in &self.erased {
            // Within a leaf, rows are erased after all else is written.
            if self.written.get(key).is_some_and(|said| said.place <= *place) {
                self.written.remove(key);
            }
        }
        let mut opened = 0;
        let specs = || jjj_store::schema::tables().into_iter().filter(|spec| spec.kind == TableKind::Private);
        // The keys first: a wrong salt is one fault, not one for each row.
        let keys_first = specs().filter(|s| s.name == PersonKeyRow::spec().name);
        for spec in keys_first.chain(specs().filter(|s| s.name != PersonKeyRow::spec().name)) {
            let mut scan = Scan::of(spec);
            while let Some(page) = scan.page(session).await? {
                let salts = salts(session, spec, &page).await?;
                for values in page {
                    opened += u64::from(self.compare_row(spec, &values, &salts, findings));
                }
            }
        }
        self.report_missing(session, order, findings).await?;
        let erased = self.report_erased(session, findings).await?;
        Ok((opened, erased))
    }

    fn compare_row(
        &mut self,
        spec: &'static TableSpec,
        values: &[Value],
        salts: &HashMap<String, Option<Salt>>,
        findings: &mut Findings,
    ) -> bool {
        let key = row_key_text(spec, values);
        let person = person_of(spec, values);
        let Some(salt) = salts.get(&person) else {
            findings.row(Check::Private, spec.name, &key, format!("cannot be opened: {person} has no salt"));
            self.unopened.insert(id(&person));
            return false;
        };
        let Some(salt) = salt else {
            if self.unopened.insert(id(&person)) {
                findings.column(Check::Private, "person_keys", &person, "salt", "is not 32 bytes in hexadecimal");
            }
            return false;
        };
        let (key_commitment, row) = private_commitments(spec, values, salt);
        match self.written.get_mut(&key_commitment) {
            Some(said) if said.row == row => {
                said.seen = true;
                return true;
            }
            Some(said) => {
                said.seen = true;
                let columns: Vec<_> = spec.columns.iter().map(|c| c.name).filter(|c| !spec.key.contains(c)).collect();
                let problem = format!("does not open its leaf's commitment: one of {} differs", columns.join(", "));
                findings.row(Check::Private, spec.name, key, problem);
            }
            None if spec.name == PersonKeyRow::spec().name => {
                // The key is the person's own name, so it is the salt that differs.
                self.unopened.insert(id(&person));
                findings.column(Check::Private, spec.name, key, "salt", "opens no commitment");
            }
            None if self.unopened.contains(&id(&person)) => {}
            None => findings.row(Check::Private, spec.name, key, "is in no leaf"),
        }
        false
    }

    async fn report_missing(
        &self,
        session: &mut Session,
        order: &Order,
        findings: &mut Findings,
    ) -> Result<(), StoreError> {
        let missing = |said: &&Said| !said.seen;
        let mut places: Vec<Place> = self.written.values().filter(missing).map(|said| said.place).collect();
        places.sort_unstable();
        places.dedup();
        for place in places {
            if findings.is_full() {
                break;
            }
            let Some(body) = body_at(session, order, place).await? else { continue };
            for commitment in &body.private {
                let said = self.written.get(&commitment.key).filter(|s| !s.seen && s.place == place);
                let cannot_tell = self.unopened.contains(&id(&commitment.person));
                let is_key = commitment.spec.name == PersonKeyRow::spec().name;
                if said.is_some() && (!cannot_tell || is_key) {
                    let problem = format!("a row of {} is missing or differs", commitment.person);
                    findings.row(Check::Private, commitment.spec.name, &commitment.person, problem);
                }
            }
        }
        Ok(())
    }

    /// Persons whose leaf says that they are erased; none of their rows may be alive.
    async fn report_erased(&self, session: &mut Session, findings: &mut Findings) -> Result<u64, StoreError> {
        let alive: HashSet<Id> = self.written.values().map(|said| said.person).collect();
        let spec = PersonRow::spec();
        let (person, state) = (spec.column("person"), spec.column("state"));
        let (Some(person), Some(state)) = (person, state) else { return Ok(0) };
        let mut count = 0;
        let mut scan = Scan::of(spec);
        while let Some(page) = scan.page(session).await? {
            for values in page {
                if values[state].to_string() != PersonState::Erased.as_str() {
                    continue;
                }
                count += 1;
                findings.notice(NoticeKind::Erased, &values[person], "ERASED");
                if alive.contains(&id(&values[person].to_string())) {
                    findings.row(Check::Private, spec.name, &values[person], "is erased, and private rows are not");
                }
            }
        }
        Ok(count)
    }
}

/// The salts of the page's persons; inner `None` where it cannot be read.
async fn salts(
    session: &mut Session,
    spec: &'static TableSpec,
    page: &[Vec<Value>],
) -> Result<HashMap<String, Option<Salt>>, StoreError> {
    let keys = PersonKeyRow::spec();
    let mut persons: Vec<String> = page.iter().map(|row| person_of(spec, row)).collect();
    persons.sort_unstable();
    persons.dedup();
    let load = |person: String| Load { spec: keys, columns: keys.key, values: key![person] };
    let loads: Vec<Load> = persons.into_iter().map(load).collect();
    let mut salts = HashMap::new();
    for values in session.load_values(&loads).await?.into_iter().flatten() {
        let row = PersonKeyRow::from_values(values)?;
        let mut salt = [0; SALT_LEN];
        let read = hex::decode_to_slice(&row.salt, &mut salt).is_ok() && hex::encode(salt) == row.salt;
        salts.insert(row.person, read.then_some(salt));
    }
    Ok(salts)
}

fn person_of(spec: &TableSpec, values: &[Value]) -> String {
    spec.column("person").map(|at| values[at].to_string()).unwrap_or_default()
}
