//! The fold: what the leaves say that the tables hold, row by row, and the comparison.
//!
//! Rows are held as hashes, about 100 bytes for each living row; a row that differs is looked up in
//! its leaf again, to name the columns.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use jjj_domain::row::{TableKind, TableSpec};
use jjj_domain::value::Value;
use jjj_store::{Session, StoreError};
use jjj_token::Hash;

use super::body::Body;
use super::digest::{Id, key_id, row_hash};
use super::order::{NOWHERE, Order, Place};
use super::report::{Check, Findings, quote};
use super::scan::{Scan, leaf_of, row_key_text};

/// The last that leaves say about a row.
struct Said {
    place: Place,
    row: Hash,
}

#[derive(Default)]
pub struct Fold {
    rows: HashMap<Id, Said>,
}

/// Whether a table's rows are what leaves say, whole.
pub fn is_folded(spec: &TableSpec) -> bool {
    match spec.kind {
        TableKind::Head | TableKind::AppendOnly => {
            let own = jjj_domain::tables::all().iter().any(|t| t.name == spec.name);
            own || matches!(spec.name, "requests" | "deliveries")
        }
        TableKind::Private | TableKind::Derived => false,
    }
}

impl Fold {
    /// Takes in a leaf's row. Leaves may come in any order: the last in the log wins.
    pub fn add(&mut self, key: Id, row: Hash, place: Place) {
        match self.rows.entry(key) {
            Entry::Vacant(free) => drop(free.insert(Said { place, row })),
            Entry::Occupied(mut taken) => {
                if taken.get().place <= place {
                    taken.insert(Said { place, row });
                }
            }
        }
    }

    /// Compares the tables with what the leaves say. The number of rows.
    pub async fn compare(
        mut self,
        session: &mut Session,
        order: &Order,
        findings: &mut Findings,
    ) -> Result<u64, StoreError> {
        let mut count = 0;
        for spec in jjj_store::schema::tables().into_iter().filter(|spec| is_folded(spec)) {
            let mut scan = Scan::of(spec);
            while let Some(page) = scan.page(session).await? {
                count += page.len() as u64;
                for values in page {
                    self.compare_row(session, order, spec, values, findings).await?;
                }
            }
        }
        self.report_missing(session, order, findings).await?;
        Ok(count)
    }

    async fn compare_row(
        &mut self,
        session: &mut Session,
        order: &Order,
        spec: &'static TableSpec,
        values: Vec<Value>,
        findings: &mut Findings,
    ) -> Result<(), StoreError> {
        let Some(said) = self.rows.remove(&key_id(spec, &spec.key_of(&values))) else {
            findings.row(Check::Fold, spec.name, row_key_text(spec, &values), "is in no leaf");
            return Ok(());
        };
        if said.row == row_hash(&values) || findings.is_full() {
            return Ok(());
        }
        let key = spec.key_of(&values);
        let wanted = expected_at(session, order, said.place).await?;
        let wanted = wanted.into_iter().rev().find(|(s, row)| s.name == spec.name && s.key_of(row) == key);
        let Some((_, wanted)) = wanted else {
            findings.row(Check::Fold, spec.name, row_key_text(spec, &values), "differs from its leaf");
            return Ok(());
        };
        for (column, (stored, said)) in spec.columns.iter().zip(values.iter().zip(&wanted)) {
            if stored != said {
                let problem = format!("is {}, the leaf says {}", quote(stored), quote(said));
                findings.column(Check::Fold, spec.name, row_key_text(spec, &values), column.name, problem);
            }
        }
        Ok(())
    }

    /// What leaves say and no table has.
    async fn report_missing(
        self,
        session: &mut Session,
        order: &Order,
        findings: &mut Findings,
    ) -> Result<(), StoreError> {
        let mut by_place: HashMap<Place, usize> = HashMap::new();
        for said in self.rows.values() {
            *by_place.entry(said.place).or_default() += 1;
        }
        let mut places: Vec<Place> = by_place.into_keys().collect();
        places.sort_unstable();
        for place in places {
            if findings.is_full() {
                break;
            }
            if place == NOWHERE {
                findings.row(Check::Fold, "leaves", "", "rows of leaves without a place are missing");
            }
            for (spec, values) in expected_at(session, order, place).await? {
                let is_missing = self.rows.get(&key_id(spec, &spec.key_of(&values))).is_some_and(|s| s.place == place);
                if is_missing {
                    findings.row(Check::Fold, spec.name, row_key_text(spec, &values), "is missing");
                }
            }
        }
        Ok(())
    }
}

/// What the leaf at a place accounts for, read again.
async fn expected_at(
    session: &mut Session,
    order: &Order,
    place: Place,
) -> Result<Vec<(&'static TableSpec, Vec<Value>)>, StoreError> {
    Ok(body_at(session, order, place).await?.map(|body| body.expected(order.index(place))).unwrap_or_default())
}

/// The body of the leaf at a place, read again.
pub async fn body_at(session: &mut Session, order: &Order, place: Place) -> Result<Option<Body>, StoreError> {
    let Some(leaf_id) = order.leaf_id(session, place).await? else { return Ok(None) };
    let leaf = leaf_of(session, &leaf_id).await?.flatten();
    Ok(leaf.and_then(|leaf| Body::parse(&leaf.body).ok()))
}
