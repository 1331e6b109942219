//! Which rows a batch locks on PostgreSQL before it decides for good.
//!
//! Written rows and account balances that a decision read are locked for change, other
//! rows read by key against change. A decision that rests on the *absence* of a row
//! (it lists rows and then adds one to that list) locks the list's parent for change:
//! the row, read by key, that the list's values name. Where none is read, a unique
//! index must stand behind the rule.

use std::collections::{BTreeMap, BTreeSet};

use jjj_domain::decision::Write;
use jjj_domain::ledger::AccountRow;
use jjj_domain::participant::ParticipantRow;
use jjj_domain::policy::PolicyRow;
use jjj_domain::row::{Row, TableKind, TableSpec};
use jjj_domain::snapshot::Load;
use jjj_domain::value::Value;

use super::decide::Verdict;

type RowName = (&'static TableSpec, Vec<Value>);

/// Rows to lock.
#[derive(Default)]
pub(super) struct Locks {
    update: BTreeMap<(&'static str, Vec<Value>), &'static TableSpec>,
    share: BTreeMap<(&'static str, Vec<Value>), &'static TableSpec>,
}

impl Locks {
    /// What these loads and verdicts need.
    pub fn of(loads: &[Load], verdicts: &[Verdict]) -> Self {
        let mut locks = Self::default();
        let accepted = verdicts.iter().filter_map(|v| match v {
            Verdict::Accepted(ruling) => Some(&ruling.decision),
            Verdict::Refused(_) | Verdict::Missed => None,
        });
        let leaves = || accepted.clone().flat_map(|decision| &decision.leaves);
        let writes: Vec<&Write> = leaves().flat_map(|leaf| &leaf.writes).collect();
        for write in &writes {
            locks.for_update(write.spec, write.spec.key_of(&write.values));
        }
        for erasure in leaves().flat_map(|leaf| &leaf.erasures) {
            locks.for_update(erasure.spec, erasure.key.clone());
        }
        let parents = parents(loads, &writes);
        for load in loads.iter().filter(|load| load.is_by_key()) {
            let is_changed = load.spec.name == AccountRow::spec().name;
            if is_changed || parents.iter().any(|name| is_root(load.spec) && load.values.contains(name)) {
                locks.for_update(load.spec, load.values.clone());
            } else if is_root(load.spec) {
                locks.share.insert((load.spec.name, load.values.clone()), load.spec);
            }
        }
        locks
    }

    fn for_update(&mut self, spec: &'static TableSpec, key: Vec<Value>) {
        if spec.kind != TableKind::AppendOnly {
            self.update.insert((spec.name, key), spec);
        }
    }

    /// Whether everything that `needed` locks is locked already.
    pub fn cover(&self, needed: &Self) -> bool {
        let covered = |key| self.update.contains_key(key) || self.share.contains_key(key);
        needed.update.keys().all(|key| self.update.contains_key(key)) && needed.share.keys().all(covered)
    }

    /// Also everything that `more` locks.
    pub fn extend(&mut self, more: Self) {
        self.update.extend(more.update);
        self.share.extend(more.share);
    }

    pub fn update(&self) -> Vec<RowName> {
        self.update.iter().map(|((_, key), spec)| (*spec, key.clone())).collect()
    }

    pub fn share(&self) -> Vec<RowName> {
        self.share.iter().map(|((_, key), spec)| (*spec, key.clone())).collect()
    }
}

/// Whether rows of this table are worth locking when only read. Policies are never changed, only
/// followed by newer ones; participants change rarely and are checked at the door.
fn is_root(spec: &TableSpec) -> bool {
    spec.kind != TableKind::AppendOnly
        && spec.name != PolicyRow::spec().name
        && spec.name != ParticipantRow::spec().name
}

/// The values of lists that this batch adds to.
fn parents(loads: &[Load], writes: &[&Write]) -> BTreeSet<Value> {
    let mut by_table: BTreeMap<&str, Vec<&Write>> = BTreeMap::new();
    for write in writes {
        by_table.entry(write.spec.name).or_default().push(write);
    }
    let is_added_to = |load: &&Load| {
        let writes = by_table.get(load.spec.name);
        writes.is_some_and(|writes| writes.iter().any(|w| load.spec.pick(load.columns, &w.values) == load.values))
    };
    let lists = loads.iter().filter(|load| !load.is_by_key());
    let texts = lists.filter(is_added_to).flat_map(|load| &load.values);
    texts.filter(|v| matches!(v, Value::Text(_))).cloned().collect()
}
