//! What a decision may see. `decide` asks for what it needs; what is not loaded
//! yet is noted as a miss, the store loads all misses of a batch in a few
//! set-based statements, and the decision runs again. So what a command reads is
//! written down once, in the rule that reads it.

mod recent;

use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use foldhash::{HashMap, HashSet};

use crate::decision::{Erasure, Leaf};
use crate::key;
use crate::ledger::{AccountRow, Layer, TransferRow};
use crate::rejection::Rejection;
use crate::row::{ColumnSet, Row, StoredFault, TableKind, TableSpec};
use crate::value::Value;

pub use self::recent::Recent;

/// Why a decision did not come to an end.
#[derive(Debug)]
pub enum Stop {
    /// The snapshot lacks something; it has been noted in [`Snapshot::take_misses`].
    Miss,
    /// The command is refused. Nothing changes.
    Reject(Box<Rejection>),
}

impl From<Rejection> for Stop {
    fn from(rejection: Rejection) -> Self {
        Self::Reject(Box::new(rejection))
    }
}

/// Something to load: all rows of a table whose `columns` equal `values`.
#[derive(Clone)]
pub struct Load {
    pub spec: &'static TableSpec,
    /// The key, or one of the table's indexes.
    pub columns: &'static [&'static str],
    pub values: Vec<Value>,
}

impl Load {
    fn identity(&self) -> (&'static str, &'static [&'static str], &[Value]) {
        (self.spec.name, self.columns, &self.values)
    }

    /// Whether this asks for one row by its key.
    pub fn is_by_key(&self) -> bool {
        self.columns == self.spec.key
    }
}

impl PartialEq for Load {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}
impl Eq for Load {}
impl PartialOrd for Load {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Load {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.identity().cmp(&other.identity())
    }
}

/// Tables and keys of rows that are not there.
pub type Absent = HashSet<(&'static str, Vec<Value>)>;
/// By table, columns that were changed.
pub type Changed = HashMap<&'static str, ColumnSet>;

/// A row of some table, parsed.
pub type AnyRow = Arc<dyn Any + Send + Sync>;
type Columns = &'static [&'static str];

/// The rows loaded so far, as the batch's earlier commands have left them.
#[derive(Default)]
pub struct Snapshot {
    tables: HashMap<&'static str, Table>,
    loads: Vec<Load>,
    absent: Arc<Absent>,
    /// Keys among `absent` that a write has since filled.
    filled: Vec<(&'static str, Vec<Value>)>,
    changed: Changed,
    misses: RefCell<BTreeSet<Load>>,
    read: RefCell<HashMap<(TypeId, usize), Reading>>,
}

/// A stored row, parsed.
#[derive(Clone)]
pub struct Known {
    key: Vec<Value>,
    row: AnyRow,
}

impl Known {
    /// Takes a whole row in column order.
    pub fn parse(spec: &'static TableSpec, values: Vec<Value>) -> Result<Self, StoredFault> {
        Ok(Self { key: spec.key_of(&values), row: (spec.parse)(values)? })
    }
}

/// Something read out of a row, and the row, which must live as long.
type Reading = (AnyRow, Option<AnyRow>);

/// What is loaded of one table.
struct Table {
    spec: &'static TableSpec,
    /// By key; `None`: the database has no such row.
    rows: HashMap<Vec<Value>, Option<AnyRow>>,
    /// By index, then by its values: the keys of all rows that have them, sorted.
    lists: HashMap<Columns, HashMap<Vec<Value>, Vec<Vec<Value>>>>,
}

impl Table {
    fn new(spec: &'static TableSpec) -> Self {
        Self { spec, rows: HashMap::default(), lists: HashMap::default() }
    }
}

impl Snapshot {
    /// The row with this key, `None` when the database has none.
    pub fn get<T: Row>(&self, key: Vec<Value>) -> Result<Option<Arc<T>>, Stop> {
        let spec = T::spec();
        match self.tables.get(spec.name).and_then(|table| table.rows.get(&key)) {
            Some(found) => Ok(found.clone().map(downcast)),
            None => {
                self.misses.borrow_mut().insert(Load { spec, columns: spec.key, values: key });
                Err(Stop::Miss)
            }
        }
    }

    /// All rows whose index columns have these values, ordered by key. `columns`
    /// must be one of the table's indexes.
    pub fn list<T: Row>(&self, columns: &[&str], values: Vec<Value>) -> Result<Vec<Arc<T>>, Stop> {
        let spec = T::spec();
        let columns = spec
            .indexes
            .iter()
            .find(|ix| **ix == columns)
            .unwrap_or_else(|| panic!("table {} has no index on {columns:?}", spec.name));
        Ok(self.rows(&Load { spec, columns, values })?.into_iter().map(downcast).collect())
    }

    /// The rows of a load by an index, ordered by key.
    pub fn rows(&self, load: &Load) -> Result<Vec<AnyRow>, Stop> {
        let table = self.tables.get(load.spec.name);
        match table.and_then(|table| Some((table, table.lists.get(load.columns)?.get(&load.values)?))) {
            Some((table, keys)) => Ok(keys.iter().filter_map(|key| table.rows.get(key).cloned().flatten()).collect()),
            None => {
                self.misses.borrow_mut().insert(load.clone());
                Err(Stop::Miss)
            }
        }
    }

    /// What is read out of a row, once for a whole batch: the body of a policy is parsed for every
    /// payment otherwise.
    pub fn read_once<R: Row, T: Any + Send + Sync>(
        &self,
        row: &Arc<R>,
        read: impl FnOnce(&R) -> Option<T>,
    ) -> Option<Arc<T>> {
        let at = (TypeId::of::<T>(), Arc::as_ptr(row).addr());
        let mut known = self.read.borrow_mut();
        let (_, found) =
            known.entry(at).or_insert_with(|| (row.clone(), read(row).map(|read| Arc::new(read) as AnyRow)));
        found.clone().map(|found| found.downcast().expect("its type is in its key"))
    }

    /// What decisions asked for in vain since the last call.
    pub fn take_misses(&self) -> Vec<Load> {
        std::mem::take(&mut *self.misses.borrow_mut()).into_iter().collect()
    }

    /// Rows asked for by key that the database did not have: what is then written under such a
    /// key is new, and must not replace what another transaction has meanwhile put there.
    pub fn absent(&self) -> &Arc<Absent> {
        &self.absent
    }

    /// By table, the columns in which any row put here differs from the one that it replaced: the
    /// database need change no others, nor their indexes.
    pub fn changed(&self) -> &Changed {
        &self.changed
    }

    /// What the next batch may begin with, once this one is committed and where nobody else writes: all
    /// rows as the batch has left them. `Err` with the rows, when there are too many to keep.
    pub fn kept(mut self, most_rows: usize) -> Result<Self, Self> {
        if self.rows_known() > most_rows {
            return Err(self);
        }
        let absent = Arc::make_mut(&mut self.absent);
        for key in self.filled.drain(..) {
            absent.remove(&key);
        }
        self.changed.clear();
        self.loads.clear();
        self.misses.get_mut().clear();
        Ok(self)
    }

    /// Everything loaded so far, to load it again after locking.
    pub fn loads(&self) -> &[Load] {
        &self.loads
    }

    /// Rows that are there, and those known to be absent.
    fn rows_known(&self) -> usize {
        self.tables.values().map(|table| table.rows.len()).sum()
    }

    /// Every row that is there, as it is by now.
    fn there(&self) -> impl Iterator<Item = (&'static TableSpec, &Vec<Value>, &AnyRow)> {
        self.tables
            .values()
            .flat_map(|table| table.rows.iter().filter_map(|(key, row)| Some((table.spec, key, row.as_ref()?))))
    }

    /// The rows of something loaded, as they are by now.
    fn known(&self, load: &Load) -> Vec<Known> {
        let Some(table) = self.tables.get(load.spec.name) else { return Vec::new() };
        let known = |key: &Vec<Value>| Some(Known { key: key.clone(), row: table.rows.get(key)?.clone()? });
        if load.is_by_key() {
            return known(&load.values).into_iter().collect();
        }
        let list = table.lists.get(load.columns).and_then(|lists| lists.get(&load.values));
        list.into_iter().flatten().filter_map(known).collect()
    }

    /// Takes in whole rows, in column order, as what the store found for a load.
    pub fn insert(&mut self, load: Load, rows: Vec<Vec<Value>>) -> Result<(), StoredFault> {
        let known = rows.into_iter().map(|values| Known::parse(load.spec, values)).collect::<Result<_, _>>()?;
        self.take_in(load, known);
        Ok(())
    }

    /// Takes in what the store found for a load. A row that is here already stays as it is.
    pub fn take_in(&mut self, load: Load, rows: Vec<Known>) {
        let spec = load.spec;
        let table = self.tables.entry(spec.name).or_insert_with(|| Table::new(spec));
        let mut keys = Vec::with_capacity(rows.len());
        for Known { key, row } in rows {
            if !table.rows.contains_key(&key) {
                table.rows.insert(key.clone(), Some(row));
            }
            keys.push(key);
        }
        if load.is_by_key() {
            if keys.is_empty() {
                Arc::make_mut(&mut self.absent).insert((spec.name, load.values.clone()));
            }
            table.rows.entry(load.values.clone()).or_insert(None);
        } else {
            keys.sort();
            table.lists.entry(load.columns).or_default().insert(load.values.clone(), keys);
        }
        self.loads.push(load);
    }

    /// Makes an accepted command's writes visible to the batch's next commands.
    pub fn apply(&mut self, leaves: &[Leaf]) -> Result<(), StoredFault> {
        for leaf in leaves {
            for write in &leaf.writes {
                // Rows that are only ever added, of a table that nobody has asked for: who does, loads them, and
                // decides again.
                let is_asked_for = || self.tables.contains_key(write.spec.name);
                if write.spec.kind != TableKind::AppendOnly || is_asked_for() {
                    self.put(write.spec, &write.values)?;
                }
            }
            for erasure in &leaf.erasures {
                self.remove(erasure);
            }
        }
        for transfer in leaves.iter().flat_map(|leaf| &leaf.transfers) {
            self.post(transfer);
        }
        Ok(())
    }

    /// Whether it is known what this row is, or that there is none.
    pub fn knows(&self, spec: &'static TableSpec, key: &[Value]) -> bool {
        self.tables.get(spec.name).is_some_and(|table| table.rows.contains_key(key))
    }

    /// What [`Self::apply`] would say of [`Self::changed`], for a part of a command, after which nothing else is decided on
    /// these rows.
    pub fn note_changes(&mut self, leaves: &[Leaf]) {
        for write in leaves.iter().flat_map(|leaf| &leaf.writes) {
            let spec = write.spec;
            let before = self.tables.get(spec.name).and_then(|table| table.rows.get(&spec.key_of(&write.values)));
            let differing = match before {
                None => ColumnSet::beside_key(spec),
                Some(None) => ColumnSet::default(),
                Some(Some(row)) => ColumnSet::differing(&(spec.unparse)(&**row), &write.values),
            };
            let changed = self.changed.entry(spec.name).or_default();
            *changed = changed.with(differing);
        }
    }

    /// Moves the balances that are loaded; the others take their delta in the database.
    fn post(&mut self, transfer: &TransferRow) {
        let Some(accounts) = self.tables.get_mut(AccountRow::spec().name) else { return };
        for (account, delta) in transfer.deltas() {
            let Some(slot) = accounts.rows.get_mut(&key![account.clone()]) else { continue };
            let mut row = match slot.take() {
                Some(row) => AccountRow::clone(&downcast(row)),
                None => {
                    self.filled.push((AccountRow::spec().name, key![account.clone()]));
                    AccountRow::empty(account.clone())
                }
            };
            match transfer.layer {
                Layer::Held => row.held_fen += delta,
                Layer::Posted => row.posted_fen += delta,
            }
            *slot = Some(Arc::new(row));
        }
    }

    /// Forgets an erased row: it is known to be absent, and in no list.
    fn remove(&mut self, erasure: &Erasure) {
        let table = self.tables.entry(erasure.spec.name).or_insert_with(|| Table::new(erasure.spec));
        for keys in table.lists.values_mut().flat_map(HashMap::values_mut) {
            keys.retain(|key| *key != erasure.key);
        }
        table.rows.insert(erasure.key.clone(), None);
    }

    /// Replaces one row and keeps the lists that it belongs to.
    fn put(&mut self, spec: &'static TableSpec, values: &[Value]) -> Result<(), StoredFault> {
        let key = spec.key_of(values);
        let parsed = (spec.parse)(values.to_vec())?;
        let table = self.tables.entry(spec.name).or_insert_with(|| Table::new(spec));
        let before = table.rows.insert(key.clone(), Some(parsed));
        let is_unknown = before.is_none();
        if matches!(before, Some(None)) {
            self.filled.push((spec.name, key.clone()));
        }
        let before = before.flatten().map(|row| (spec.unparse)(&*row));
        let changed = self.changed.entry(spec.name).or_default();
        *changed = changed.with(match &before {
            Some(before) => ColumnSet::differing(before, values),
            // Nobody asked what is there: all of it may differ.
            None if is_unknown => ColumnSet::beside_key(spec),
            None => ColumnSet::default(),
        });
        for (columns, lists) in &mut table.lists {
            let now = spec.pick(columns, values);
            // Whatever a list holds has been loaded: a row that was not here is in no list.
            let was = before.as_ref().map(|before| spec.pick(columns, before)).filter(|was| *was != now);
            if let Some(keys) = was.and_then(|was| lists.get_mut(&was))
                && let Ok(at) = keys.binary_search(&key)
            {
                keys.remove(at);
            }
            if let Some(keys) = lists.get_mut(&now)
                && let Err(at) = keys.binary_search(&key)
            {
                keys.insert(at, key.clone());
            }
        }
        Ok(())
    }
}

fn downcast<T: Row>(row: AnyRow) -> Arc<T> {
    row.downcast().expect("a table has one row type")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table;

    table! {
        /// A table of the test.
        pub struct Ball in "balls", Head
        key [name] index [colour] readers []
        {
            pub name: String,
            pub colour: String,
        }
    }

    fn ball(name: &str, colour: &str) -> Ball {
        Ball { name: name.into(), colour: colour.into() }
    }

    fn of_colour(snapshot: &Snapshot, colour: &str) -> Vec<String> {
        let found = snapshot.list::<Ball>(&["colour"], key![colour.to_owned()]).unwrap();
        found.iter().map(|ball| ball.name.clone()).collect()
    }

    #[test]
    fn a_row_moves_from_list_to_list() {
        let mut snapshot = Snapshot::default();
        for colour in ["red", "blue"] {
            let load = Load { spec: Ball::spec(), columns: Ball::spec().indexes[0], values: key![colour.to_owned()] };
            let rows = if colour == "red" { vec![ball("b", "red").to_values()] } else { vec![] };
            snapshot.insert(load, rows).unwrap();
        }
        for (write, red, blue) in [
            (ball("a", "red"), vec!["a", "b"], vec![]),
            (ball("b", "blue"), vec!["a"], vec!["b"]),
            (ball("b", "blue"), vec!["a"], vec!["b"]),
            (ball("b", "green"), vec!["a"], vec![]),
            (ball("b", "red"), vec!["a", "b"], vec![]),
        ] {
            snapshot.put(Ball::spec(), &write.to_values()).unwrap();
            assert_eq!(
                (of_colour(&snapshot, "red"), of_colour(&snapshot, "blue")),
                (red.into_iter().map(str::to_owned).collect(), blue.into_iter().map(str::to_owned).collect(),)
            );
        }
        assert!(matches!(snapshot.list::<Ball>(&["colour"], key!["green".to_owned()]), Err(Stop::Miss)));
    }

    #[test]
    fn it_knows_which_columns_changed() {
        let mut snapshot = Snapshot::default();
        let load = |name: &str| Load { spec: Ball::spec(), columns: Ball::spec().key, values: key![name.to_owned()] };
        snapshot.insert(load("a"), vec![ball("a", "red").to_values()]).unwrap();
        snapshot.insert(load("b"), vec![]).unwrap();
        let mut changed = |name: &str, colour: &str| {
            snapshot.put(Ball::spec(), &ball(name, colour).to_values()).unwrap();
            let set = snapshot.changed()["balls"];
            (set.has(0), set.has(1))
        };
        assert_eq!(changed("a", "red"), (false, false), "nothing differs");
        assert_eq!(changed("b", "red"), (false, false), "there was nothing to differ from");
        assert_eq!(changed("a", "blue"), (false, true));
        assert_eq!(changed("a", "red"), (false, true), "what came before it in the batch was written, too");

        let mut unread = Snapshot::default();
        unread.put(Ball::spec(), &ball("a", "red").to_values()).unwrap();
        assert_eq!(unread.changed()["balls"], ColumnSet::beside_key(Ball::spec()), "it may be there");
    }

    #[test]
    fn the_next_batch_begins_where_this_one_ended() {
        let mut snapshot = Snapshot::default();
        let by_key = |name: &str| Load { spec: Ball::spec(), columns: Ball::spec().key, values: key![name.to_owned()] };
        let of_red = Load { spec: Ball::spec(), columns: Ball::spec().indexes[0], values: key!["red".to_owned()] };
        snapshot.insert(by_key("a"), vec![]).unwrap();
        snapshot.insert(by_key("b"), vec![]).unwrap();
        snapshot.insert(of_red, vec![]).unwrap();
        snapshot.put(Ball::spec(), &ball("a", "red").to_values()).unwrap();
        assert!(snapshot.get::<Ball>(key!["c".to_owned()]).is_err());

        let mut kept = snapshot.kept(2).ok().unwrap();
        assert_eq!(of_colour(&kept, "red"), ["a"]);
        assert_eq!(
            kept.absent().iter().map(|(_, key)| key[0].to_string()).collect::<Vec<_>>(),
            ["b"],
            "a is there now"
        );
        assert!(kept.changed().is_empty() && kept.loads().is_empty() && kept.take_misses().is_empty());
        kept.put(Ball::spec(), &ball("a", "blue").to_values()).unwrap();
        assert_eq!(kept.changed()["balls"], ColumnSet::beside_key(Ball::spec()), "its colour, of a row that is there");
        assert!(kept.kept(1).is_err(), "two rows");
    }

    #[test]
    fn what_is_read_out_of_a_row_is_read_once_and_anew_from_its_next_version() {
        let mut snapshot = Snapshot::default();
        let mut reads = 0;
        for (colour, reads_by_then) in [("red", 1), ("red", 1), ("blue", 2), ("blue", 2), ("red", 3)] {
            let known = snapshot.get::<Ball>(key!["a".to_owned()]).ok().flatten();
            if known.is_none_or(|known| known.colour != colour) {
                snapshot.put(Ball::spec(), &ball("a", colour).to_values()).unwrap();
            }
            let row = snapshot.get::<Ball>(key!["a".to_owned()]).unwrap().unwrap();
            let read = snapshot.read_once(&row, |row| {
                reads += 1;
                Some(row.colour.clone())
            });
            assert_eq!((read.unwrap().as_str(), reads), (colour, reads_by_then));
        }
    }
}
