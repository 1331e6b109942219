//! What a command does when it is accepted: leaves of the log, each with the rows
//! it writes, the ledger transfers it books and the participants it concerns.

use std::collections::BTreeSet;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use foldhash::HashMap;

use crate::key;
use crate::ledger::{AccountKind, AccountRow, Transfer, TransferRow};
use crate::names::{Actor, Participant, RequestId};
use crate::row::{Row, StoredFault, TableKind, TableSpec};
use crate::snapshot::{Load, Snapshot, Stop};
use crate::text_enum;
use crate::time::Timestamp;
use crate::value::Value;

text_enum! {
    /// Which stream a leaf is delivered on.
    pub enum Topic {
        /// A region's or channel's events.
        Event = "EVENT",
        /// A channel's payment instructions.
        Instruction = "INSTRUCTION",
    }
}

/// A mutation: what the caller wants, already parsed.
///
/// `decide` is pure and may run several times, until everything it asks the snapshot for is loaded.
pub trait Command: Send + Sync {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop>;

    /// How a command that may be too large to be decided as one is decided part by part; `None` of nearly all.
    fn in_parts(&self) -> Option<Box<dyn InParts + '_>> {
        None
    }
}

/// A command that is decided part by part, and written so, in one transaction that sees one moment: later parts are decided
/// while earlier ones are written. No part may rest on what an earlier one writes, other than by what it keeps itself: a snapshot may show either.
pub trait InParts: Send {
    /// Rows to lock against every rival, first of all: see [`Decision::guards`]. It is a little after the moment that the
    /// transaction sees.
    fn guards(&self) -> Vec<(&'static TableSpec, Vec<Value>)>;

    /// Tables that rivals write under these guards. What the first part reads of them is read again once the guards are
    /// held: if it has changed since the transaction's moment, all begins anew.
    fn guarded(&self) -> Vec<&'static TableSpec>;

    /// Rows that the part after the next will ask for, as far as is known: they can be loaded while the next is decided.
    fn ahead(&self) -> Vec<Load>;

    /// The next part. After a [`Stop::Miss`] it is asked for again, with more rows.
    fn next(&mut self, snapshot: &Snapshot, call: &Call) -> Result<Part, Stop>;

    /// The columns of a row that a [`Part::Rows`] asked to see, in the order asked for.
    fn see(&mut self, values: Vec<Value>) -> Result<(), StoredFault>;
}

/// What a command in parts wants next.
pub enum Part {
    /// To see these columns of these rows, one by one, in any order: they are more than should be held. All are of one table, by
    /// one of its indexes.
    Rows(Vec<Load>, &'static [&'static str]),
    /// That these leaves be written. They stand behind the caller's, which comes with the last part.
    Leaves(Decision),
    /// The end: the caller's leaf, and the last of those behind it.
    Last(Decision),
}

/// A command in parts, decided as one, for tests: the engine decides it part by part.
pub fn decide_whole(mut parts: Box<dyn InParts + '_>, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
    let mut made = Vec::new();
    loop {
        match parts.next(snapshot, call)? {
            Part::Rows(loads, columns) => {
                // All of them, before any misses something: one load serves all.
                let rows: Vec<_> = loads.iter().map(|load| snapshot.rows(load)).collect();
                for (load, rows) in loads.iter().zip(rows.into_iter().collect::<Result<Vec<_>, _>>()?) {
                    for row in rows {
                        let values = load.spec.pick(columns, &(load.spec.unparse)(&*row));
                        parts.see(values).expect("a row that was read reads again");
                    }
                }
            }
            Part::Leaves(part) => made.extend(part.leaves),
            Part::Last(mut decision) => {
                decision.leaves[0].guards.extend(parts.guards());
                decision.leaves.splice(1..1, made);
                return Ok(decision);
            }
        }
    }
}

/// Who asks, when, under which id. Time is the database's clock, read after locking; of a command in parts, that of its
/// transaction's moment.
#[derive(Clone, Debug)]
pub struct Call {
    pub actor: Actor,
    pub request_id: RequestId,
    pub now: Timestamp,
    /// Which of the gateway's writers decides, from 0: rows that all of them would write are kept
    /// once a lane, so that none waits for another. Says nothing about the caller.
    pub lane: i64,
}

impl Call {
    pub fn participant(&self) -> &Participant {
        self.actor.participant()
    }

    /// The id of the call's `n`th leaf: unique because request ids are unique per participant.
    pub fn leaf_id(&self, n: usize) -> String {
        format!("{}.{}.{n}", self.request_id, self.participant().as_str().replace('/', "."))
    }
}

/// A row to write, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    pub spec: &'static TableSpec,
    /// Shared with whatever becomes of it: what is stored, and what is answered.
    pub values: Arc<[Value]>,
    /// For a private row: the person whose salt its commitment is made with.
    pub person: Option<String>,
}

/// A private row to delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erasure {
    pub spec: &'static TableSpec,
    pub key: Vec<Value>,
    pub person: String,
}

/// One leaf of the log.
#[derive(Clone, Debug)]
pub struct Leaf {
    pub leaf_id: String,
    /// What happened, dotted: `rating.published`.
    pub kind: &'static str,
    /// The record it is a version of.
    pub record: String,
    pub version: i64,
    /// Whether the gateway is its author: a cascade or a timer, named by `cause`.
    pub by_gateway: bool,
    /// The leaf that caused it.
    pub cause: Option<String>,
    pub writes: Vec<Write>,
    /// Where each written row stands among them: a run's leaf has a thousand.
    positions: HashMap<(&'static str, Vec<Value>), usize>,
    /// Private rows to delete, after the leaf's writes.
    pub erasures: Vec<Erasure>,
    pub transfers: Vec<TransferRow>,
    /// Rows to lock against every rival: see [`Decision::guards`].
    pub guards: Vec<(&'static TableSpec, Vec<Value>)>,
    /// Rows to lock against change: see [`Decision::relied_on`].
    pub relied_on: Vec<(&'static TableSpec, Vec<Value>)>,
    pub audience: BTreeSet<(Participant, Topic)>,
}

impl Leaf {
    /// Writes a row. The last write of a key within a leaf wins.
    pub fn put<T: Row>(&mut self, row: &T) -> &mut Self {
        self.push(Write { spec: T::spec(), values: row.to_values().into(), person: None })
    }

    /// Writes a private row, committed to under the person's salt.
    pub fn put_private<T: Row>(&mut self, person: &str, row: &T) -> &mut Self {
        self.push(Write { spec: T::spec(), values: row.to_values().into(), person: Some(person.to_owned()) })
    }

    /// Deletes a private row of a person: the only way in which anything is deleted.
    ///
    /// The leaf may name person and table, never the key: a look-up hash in a leaf would
    /// outlive its erasure.
    pub fn erase<T: Row>(&mut self, person: &str, row: &T) -> &mut Self {
        let spec = T::spec();
        assert_eq!(spec.kind, TableKind::Private, "only private rows can be erased");
        let key = spec.key_of(&row.to_values());
        self.writes.retain(|w| !(w.spec.name == spec.name && spec.key_of(&w.values) == key));
        self.erasures.push(Erasure { spec, key, person: person.to_owned() });
        self
    }

    fn push(&mut self, write: Write) -> &mut Self {
        let name = |w: &Write| (w.spec.name, w.spec.key_of(&w.values));
        if self.positions.len() != self.writes.len() {
            self.positions = self.writes.iter().enumerate().map(|(at, known)| (name(known), at)).collect();
        }
        match self.positions.entry(name(&write)) {
            Entry::Occupied(at) => self.writes[*at.get()] = write,
            Entry::Vacant(free) => {
                free.insert(self.writes.len());
                self.writes.push(write);
            }
        }
        self
    }

    /// Books a transfer; zero amounts book nothing.
    pub fn book(&mut self, transfer: Transfer) -> &mut Self {
        if transfer.amount_fen != 0 {
            let line = self.transfers.len() as i64;
            self.transfers.push(transfer.into_row(&self.leaf_id, line));
        }
        self
    }

    /// Locks a row that stands for an absence or a sum: see [`Decision::guards`].
    pub fn guard<T: Row>(&mut self, key: Vec<Value>) -> &mut Self {
        self.guards.push((T::spec(), key));
        self
    }

    /// Locks a row that the decision stands on: see [`Decision::relied_on`].
    pub fn rely_on<T: Row>(&mut self, key: Vec<Value>) -> &mut Self {
        self.relied_on.push((T::spec(), key));
        self
    }

    /// Delivers this leaf to a participant's event stream.
    pub fn tell(&mut self, participant: &Participant) -> &mut Self {
        self.audience.insert((participant.clone(), Topic::Event));
        self
    }

    /// Delivers this leaf to a channel as an instruction.
    pub fn instruct(&mut self, channel: &Participant) -> &mut Self {
        self.audience.insert((channel.clone(), Topic::Instruction));
        self
    }
}

/// All leaves of one accepted command, the first being the caller's; or those of a part of it.
#[derive(Clone, Debug)]
pub struct Decision {
    call: Call,
    pub leaves: Vec<Leaf>,
    /// Leaves that earlier parts have made.
    made_before: usize,
    /// Whether the caller's leaf comes with a later part.
    is_part: bool,
}

impl Decision {
    pub fn new(call: &Call) -> Self {
        Self::last(call, 0)
    }

    /// Of a part of a command, so many leaves having been made by earlier ones. The caller's leaf is not among them.
    pub fn part(call: &Call, made_before: usize) -> Self {
        Self { is_part: true, ..Self::last(call, made_before) }
    }

    /// Of a command's last part.
    pub fn last(call: &Call, made_before: usize) -> Self {
        Self { call: call.clone(), leaves: Vec::new(), made_before, is_part: false }
    }

    /// Adds a leaf. All but the first are the gateway's own, caused by the first.
    pub fn leaf(&mut self, kind: &'static str, record: impl ToString, version: i64) -> &mut Leaf {
        let n = match (self.is_part, self.leaves.len()) {
            (false, 0) => 0,
            (is_part, n) => self.made_before + n + usize::from(is_part),
        };
        if let Some(made) = self.leaves.last_mut() {
            made.positions = HashMap::default();
        }
        self.leaves.push(Leaf {
            leaf_id: self.call.leaf_id(n),
            kind,
            record: record.to_string(),
            version,
            by_gateway: n > 0,
            cause: (n > 0).then(|| self.call.leaf_id(0)),
            writes: Vec::new(),
            positions: HashMap::default(),
            erasures: Vec::new(),
            transfers: Vec::new(),
            guards: Vec::new(),
            relied_on: Vec::new(),
            audience: BTreeSet::new(),
        });
        self.leaves.last_mut().expect("just pushed")
    }

    /// Rows that the engine locks `FOR UPDATE` before it decides for good, beside those written.
    ///
    /// 1. Named by [`Leaf::guard`]. A decision that rests on an absence (no grant of this month
    ///    yet) or on a sum (a mandate's month) has no row of its own to lock; it names a parent
    ///    that every rival decision names too (the elder, the mandate). Where there is none
    ///    (an order id), the table is `unique` instead.
    /// 2. The entitlement accounts booked to: they alone are read for their balance, so whoever
    ///    books to one takes it first, in the order of the other locks, not last.
    ///
    /// The engine gathers them from a first decision, locks them with all else in one order of
    /// table and key, loads everything anew and decides again.
    pub fn guards(&self) -> Vec<(&'static TableSpec, Vec<Value>)> {
        let named = self.leaves.iter().flat_map(|leaf| leaf.guards.iter().cloned());
        let accounts = self.leaves.iter().flat_map(|leaf| &leaf.transfers).flat_map(|t| [&t.debit, &t.credit]);
        let read = accounts.filter(|a| a.kind == AccountKind::Entitlement);
        named.chain(read.map(|a| (AccountRow::spec(), key![a.clone()]))).collect()
    }

    /// Rows that the engine locks `FOR SHARE`, beside those read by key: what the decision stands
    /// on but found in a list (the rating among an institution's, the recognition among a
    /// subject's). Whoever changes such a row then waits, or is waited for and read anew.
    pub fn relied_on(&self) -> impl Iterator<Item = &(&'static TableSpec, Vec<Value>)> {
        self.leaves.iter().flat_map(|leaf| &leaf.relied_on)
    }
}
