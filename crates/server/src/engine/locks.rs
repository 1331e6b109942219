//! Which rows a batch locks on PostgreSQL before it decides for good.
//!
//! For change: rows that decisions write, and the guards they name (`Decision::guards`:
//! the parent of an absence, the entitlement booked to). Against change: rows read by
//! key, and those found in a list that a decision stands on (`Decision::relied_on`).

use std::collections::BTreeMap;

use jjj_domain::decision::Decision;
use jjj_domain::ledger::AccountRow;
use jjj_domain::participant::{AdministratorRow, KeyRow, ParticipantRow};
use jjj_domain::policy::PolicyRow;
use jjj_domain::row::{Row, TableKind, TableSpec};
use jjj_domain::snapshot::{Absent, Load};
use jjj_domain::value::Value;

use super::decide::Verdict;

type Key = (&'static str, Vec<Value>);
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
        let accepted = verdicts.iter().filter_map(|verdict| match verdict {
            Verdict::Accepted(ruling) => Some(&ruling.decision),
            Verdict::Refused(_) | Verdict::Missed => None,
        });
        Self::of_decisions(loads, accepted)
    }

    pub fn of_decisions<'d>(loads: &[Load], decisions: impl IntoIterator<Item = &'d Decision>) -> Self {
        let mut locks = Self::default();
        for decision in decisions {
            for write in decision.leaves.iter().flat_map(|leaf| &leaf.writes) {
                locks.for_update(write.spec, write.spec.key_of(&write.values));
            }
            for erasure in decision.leaves.iter().flat_map(|leaf| &leaf.erasures) {
                locks.for_update(erasure.spec, erasure.key.clone());
            }
            for (spec, key) in decision.guards() {
                locks.update.insert((spec.name, key), spec);
            }
            for (spec, key) in decision.relied_on() {
                locks.share.insert((spec.name, key.clone()), spec);
            }
        }
        // Refusals rest on what was read too.
        for load in loads.iter().filter(|load| load.is_by_key() && is_root(load.spec)) {
            locks.share.insert((load.spec.name, load.values.clone()), load.spec);
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

    /// Forgets rows that were absent when locked and are there now: nothing was locked.
    /// Tells whether there were any.
    pub fn forget_appeared(&mut self, before: &Absent, now: &Absent) -> bool {
        let appeared = |key: &Key| before.contains(key) && !now.contains(key);
        let count = self.update.len() + self.share.len();
        self.update.retain(|key, _| !appeared(key));
        self.share.retain(|key, _| !appeared(key));
        count > self.update.len() + self.share.len()
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

/// Whether rows of this table are locked when only read by key. Policies are never changed, only
/// followed by newer ones; who signed is read again but not locked (`decide::still_may`), and whoever
/// changes the registry locks its participant; accounts that are read for their balance are guards.
fn is_root(spec: &TableSpec) -> bool {
    let never = [
        PolicyRow::spec().name,
        ParticipantRow::spec().name,
        KeyRow::spec().name,
        AdministratorRow::spec().name,
        AccountRow::spec().name,
    ];
    spec.kind != TableKind::AppendOnly && !never.contains(&spec.name)
}
