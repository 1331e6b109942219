//! What a command does when it is accepted: leaves of the log, each with the rows
//! it writes, the ledger transfers it books and the participants it concerns.

use std::collections::BTreeSet;

use crate::ledger::{Transfer, TransferRow};
use crate::names::{Actor, Participant, RequestId};
use crate::row::{Row, TableSpec};
use crate::snapshot::{Snapshot, Stop};
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
}

/// Who asks, when, under which id. Time is the database's clock, read after locking.
#[derive(Clone, Debug)]
pub struct Call {
    pub actor: Actor,
    pub request_id: RequestId,
    pub now: Timestamp,
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
    pub values: Vec<Value>,
    /// For a private row: the person whose salt its commitment is made with.
    pub person: Option<String>,
}

/// One leaf of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    pub transfers: Vec<TransferRow>,
    pub audience: BTreeSet<(Participant, Topic)>,
}

impl Leaf {
    /// Writes a row. The last write of a key within a leaf wins.
    pub fn put<T: Row>(&mut self, row: &T) -> &mut Self {
        self.push(Write { spec: T::spec(), values: row.to_values(), person: None })
    }

    /// Writes a private row, committed to under the person's salt.
    pub fn put_private<T: Row>(&mut self, person: &str, row: &T) -> &mut Self {
        self.push(Write { spec: T::spec(), values: row.to_values(), person: Some(person.to_owned()) })
    }

    fn push(&mut self, write: Write) -> &mut Self {
        let key = write.spec.key_of(&write.values);
        self.writes.retain(|w| !(w.spec.name == write.spec.name && w.spec.key_of(&w.values) == key));
        self.writes.push(write);
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

/// All leaves of one accepted command; the first is the caller's.
#[derive(Clone, Debug)]
pub struct Decision {
    call: Call,
    pub leaves: Vec<Leaf>,
}

impl Decision {
    pub fn new(call: &Call) -> Self {
        Self { call: call.clone(), leaves: Vec::new() }
    }

    /// Adds a leaf. All but the first are the gateway's own, caused by the first.
    pub fn leaf(&mut self, kind: &'static str, record: impl ToString, version: i64) -> &mut Leaf {
        let n = self.leaves.len();
        self.leaves.push(Leaf {
            leaf_id: self.call.leaf_id(n),
            kind,
            record: record.to_string(),
            version,
            by_gateway: n > 0,
            cause: (n > 0).then(|| self.call.leaf_id(0)),
            writes: Vec::new(),
            transfers: Vec::new(),
            audience: BTreeSet::new(),
        });
        self.leaves.last_mut().expect("just pushed")
    }
}
