//! The log's order: which leaf has which number, and which waits for one.

use std::collections::HashMap;

use jjj_domain::row::Row;
use jjj_domain::value::Value;
use jjj_store::log_tables::{OrderRow, PendingRow};
use jjj_store::{Session, StoreError};
use jjj_token::Hash;

use super::digest::{Id, id, parse_hash};
use super::report::{Check, Findings};
use super::scan::Scan;

/// A leaf's place: numbered leaves by their number, then the waiting ones in the order of the queue.
pub type Place = u32;

/// The place of a leaf that is neither.
pub const NOWHERE: Place = u32::MAX;

/// Costs about 90 bytes for each leaf.
#[derive(Default)]
pub struct Order {
    places: HashMap<Id, Place>,
    /// By number: the hash that the order has for it, zero where it is malformed.
    hashes: Vec<Hash>,
    numbers: Vec<i64>,
    pending: Vec<PendingRow>,
    /// The numbers are not 0, 1, 2 …: the tree cannot be built again.
    pub is_broken: bool,
    /// How many leaves the frontier says are numbered.
    tree_size: i64,
}

impl Order {
    pub async fn load(session: &mut Session, findings: &mut Findings) -> Result<Self, StoreError> {
        let mut order = Self::default();
        let mut scan = Scan::of(OrderRow::spec());
        while let Some(page) = scan.page(session).await? {
            for values in page {
                order.number(OrderRow::from_values(values)?, findings);
            }
        }
        let mut scan = Scan::of(PendingRow::spec());
        while let Some(page) = scan.page(session).await? {
            for values in page {
                order.wait(PendingRow::from_values(values)?, findings);
            }
        }
        order.tree_size = session.tree_size().await?;
        Ok(order)
    }

    fn number(&mut self, row: OrderRow, findings: &mut Findings) {
        let place = self.hashes.len() as Place;
        if row.leaf_index != i64::from(place) && !self.is_broken {
            self.is_broken = true;
            let problem = format!("the number after {} is {}", i64::from(place) - 1, row.leaf_index);
            findings.column(Check::Order, "leaf_order", row.leaf_index, "leaf_index", problem);
        }
        let hash = parse_hash(&row.leaf_hash).unwrap_or_else(|| {
            findings.column(Check::Order, "leaf_order", row.leaf_index, "leaf_hash", "is no hash");
            Hash::default()
        });
        self.hashes.push(hash);
        self.numbers.push(row.leaf_index);
        if self.places.insert(id(&row.leaf_id), place).is_some() {
            findings.column(Check::Order, "leaf_order", row.leaf_index, "leaf_id", "has two numbers");
        }
    }

    fn wait(&mut self, row: PendingRow, findings: &mut Findings) {
        let place = (self.hashes.len() + self.pending.len()) as Place;
        let known = *self.places.entry(id(&row.leaf_id)).or_insert(place);
        if known != place {
            let problem = "waits, and is numbered or waits twice";
            findings.column(Check::Order, "leaf_pending", row.pending_id, "leaf_id", problem);
        }
        self.pending.push(row);
    }

    pub fn place(&self, leaf_id: &str) -> Place {
        self.place_of(&id(leaf_id))
    }

    pub fn place_of(&self, leaf: &Id) -> Place {
        self.places.get(leaf).copied().unwrap_or(NOWHERE)
    }

    /// Whether a leaf without a place has lost its number, rather than its turn in the queue.
    pub fn lacks_numbers(&self) -> bool {
        self.is_broken || self.tree_size > self.numbers.len() as i64
    }

    pub fn numbered(&self) -> usize {
        self.hashes.len()
    }

    pub fn places(&self) -> usize {
        self.hashes.len() + self.pending.len()
    }

    /// A place's number in the log, when it has one.
    pub fn index(&self, place: Place) -> Option<i64> {
        self.numbers.get(place as usize).copied()
    }

    pub fn hash(&self, place: Place) -> Option<&Hash> {
        self.hashes.get(place as usize)
    }

    pub fn pending(&self, place: Place) -> Option<&PendingRow> {
        self.pending.get((place as usize).checked_sub(self.hashes.len())?)
    }

    /// Reads the leaf at a place again.
    pub async fn leaf_id(&self, session: &mut Session, place: Place) -> Result<Option<String>, StoreError> {
        if let Some(row) = self.pending(place) {
            return Ok(Some(row.leaf_id.clone()));
        }
        let Some(index) = self.index(place) else { return Ok(None) };
        let row: Option<OrderRow> = session.get(vec![Value::Int(index)]).await?;
        Ok(row.map(|row| row.leaf_id))
    }
}
