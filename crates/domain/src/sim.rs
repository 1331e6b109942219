//! A world in memory: runs commands through the very `decide` that the server
//! runs, without a database. Serves tests and simulations.

use std::collections::BTreeMap;

use crate::close;
use crate::decision::{Call, Command, Decision, InParts, Leaf, Part};
use crate::ledger::{Account, AccountRow, CashDayRow, GeneralLedgerRow, Layer, TransferRow};
use crate::names::{Actor, Participant};
use crate::policy;
use crate::rejection::Rejection;
use crate::row::Row;
use crate::snapshot::{Load, Snapshot, Stop};
use crate::value::Value;

/// All rows, transfers and balances.
#[derive(Default, Clone)]
pub struct Sim {
    rows: BTreeMap<(&'static str, Vec<Value>), Vec<Value>>,
    pub transfers: Vec<TransferRow>,
    pub decisions: Vec<Decision>,
}

impl Sim {
    /// A world with the default policies in force.
    pub fn with_defaults(call: &Call) -> Self {
        let mut sim = Self::default();
        // The gateway's own system sets them, as on a fresh database.
        let call = Call { actor: Actor::system(Participant::gateway()), ..call.clone() };
        for default in policy::defaults() {
            sim.execute(&call, &default).expect("defaults are accepted");
        }
        sim
    }

    /// Decides a command and takes in its effects, or refuses and changes nothing.
    pub fn execute(&mut self, call: &Call, command: &dyn Command) -> Result<Decision, Rejection> {
        if let Some(parts) = command.in_parts() {
            return self.execute_in_parts(call, parts);
        }
        let decision = self.read(|snapshot| {
            let decision = command.decide(snapshot, call)?;
            close::check_open(snapshot, call, &decision)?;
            Ok(decision)
        })?;
        self.take_in(&decision);
        Ok(decision)
    }

    /// Each part sees the rows that those before it wrote, and the balances as they were. The server's sees neither
    /// change; `decide_whole` is like it.
    fn execute_in_parts(&mut self, call: &Call, mut parts: Box<dyn InParts + '_>) -> Result<Decision, Rejection> {
        let mut written = self.clone();
        let mut made = Vec::new();
        loop {
            let part = written.read_mut(|snapshot| parts.next(snapshot, call))?;
            if let Part::Leaves(decision) | Part::Last(decision) = &part {
                written.read(|snapshot| close::check_open(snapshot, call, decision))?;
                decision.leaves.iter().for_each(|leaf| written.put(leaf));
            }
            match part {
                Part::Rows(loads, columns) => {
                    for load in &loads {
                        for row in written.find(load) {
                            parts.see(load.spec.pick(columns, &row)).expect("rows written here parse");
                        }
                    }
                }
                Part::Leaves(decision) => made.extend(decision.leaves),
                Part::Last(mut decision) => {
                    decision.leaves.splice(1..1, made);
                    self.take_in(&decision);
                    return Ok(decision);
                }
            }
        }
    }

    /// Runs a rule that only reads, loading what it misses.
    pub fn read<T>(&self, rule: impl Fn(&Snapshot) -> Result<T, Stop>) -> Result<T, Rejection> {
        self.read_mut(rule)
    }

    fn read_mut<T>(&self, mut rule: impl FnMut(&Snapshot) -> Result<T, Stop>) -> Result<T, Rejection> {
        let mut snapshot = Snapshot::default();
        loop {
            match rule(&snapshot) {
                Ok(found) => return Ok(found),
                Err(Stop::Reject(rejection)) => return Err(*rejection),
                Err(Stop::Miss) => {
                    let misses = snapshot.take_misses();
                    assert!(!misses.is_empty(), "a miss names what it misses");
                    for load in misses {
                        let rows = self.find(&load);
                        snapshot.insert(load, rows).expect("rows written here parse");
                    }
                }
            }
        }
    }

    /// Puts a row directly: the given of a test.
    pub fn given<T: Row>(&mut self, row: &T) {
        let values = row.to_values();
        self.rows.insert((T::spec().name, T::spec().key_of(&values)), values);
    }

    pub fn get<T: Row>(&self, key: Vec<Value>) -> Option<T> {
        let values = self.rows.get(&(T::spec().name, key))?.clone();
        Some(T::from_values(values).expect("rows written here parse"))
    }

    pub fn all<T: Row>(&self) -> Vec<T> {
        let of_table = self.rows.iter().filter(|((table, _), _)| *table == T::spec().name);
        of_table.map(|(_, values)| T::from_values(values.clone()).expect("rows written here parse")).collect()
    }

    /// An account's balance on its normal side.
    pub fn balance(&self, account: &Account, layer: Layer) -> i64 {
        let of_layer = self.transfers.iter().filter(|t| t.layer == layer);
        of_layer
            .flat_map(|t| t.deltas().map(|(a, d)| (a.clone(), d)))
            .filter(|(a, _)| a == account)
            .map(|(_, d)| d)
            .sum()
    }

    fn find(&self, load: &Load) -> Vec<Vec<Value>> {
        let of_table = self.rows.iter().filter(|((table, _), _)| *table == load.spec.name);
        of_table.map(|(_, values)| values.clone()).filter(|v| load.spec.pick(load.columns, v) == load.values).collect()
    }

    /// A leaf's rows.
    fn put(&mut self, leaf: &Leaf) {
        for write in &leaf.writes {
            self.rows.insert((write.spec.name, write.spec.key_of(&write.values)), write.values.to_vec());
        }
        for erasure in &leaf.erasures {
            self.rows.remove(&(erasure.spec.name, erasure.key.clone()));
        }
    }

    fn take_in(&mut self, decision: &Decision) {
        for leaf in &decision.leaves {
            self.put(leaf);
            for transfer in &leaf.transfers {
                for (account, delta) in transfer.deltas() {
                    let key = crate::key![account.clone()];
                    let mut row: AccountRow = self.get(key).unwrap_or_else(|| AccountRow::empty(account.clone()));
                    match transfer.layer {
                        Layer::Held => row.held_fen += delta,
                        Layer::Posted => row.posted_fen += delta,
                    }
                    self.given(&row);
                }
                self.transfers.push(transfer.clone());
            }
            for more in GeneralLedgerRow::sums(&leaf.transfers) {
                let key = GeneralLedgerRow::spec().key_of(&more.to_values());
                let known: Option<GeneralLedgerRow> = self.get(key);
                let (amount_fen, transfers) = known.map_or((0, 0), |row| (row.amount_fen, row.transfers));
                self.given(&GeneralLedgerRow {
                    amount_fen: amount_fen + more.amount_fen,
                    transfers: transfers + more.transfers,
                    ..more
                });
            }
            for more in CashDayRow::sums(&leaf.transfers) {
                let known: Option<CashDayRow> = self.get(crate::key![more.account.clone(), more.moved_on]);
                let (posted_fen, transfers) = known.map_or((0, 0), |row| (row.posted_fen, row.transfers));
                self.given(&CashDayRow {
                    posted_fen: posted_fen + more.posted_fen,
                    transfers: transfers + more.transfers,
                    ..more
                });
            }
        }
        self.decisions.push(decision.clone());
    }
}
