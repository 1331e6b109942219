//! Proofs about the log, from the hashes that the database keeps: leaves, and complete subtrees
//! at every eighth level.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use jjj_domain::row::StoredFault;
use jjj_store::{Session, StoreError};
use jjj_token::Hash;
use jjj_token::merkle::{HashSource, NotStored, ProofRequestError, TILE_HEIGHT, root};

use crate::status::Refused;

type Node = (u8, u64);

/// Computes a proof. `proof` asks for the same nodes whatever their hashes are: once to learn
/// which, once with them.
pub async fn over(
    session: &mut Session,
    proof: impl Fn(&Source) -> Result<Vec<Hash>, ProofRequestError<NotStored>>,
) -> Result<Vec<Hash>, Refused> {
    let asked = Asked::default();
    computed(proof(&asked))?;
    let mut nodes = BTreeMap::new();
    for node in asked.nodes.into_inner() {
        nodes.insert(node, load(session, node).await?);
    }
    computed(proof(&Loaded(nodes)))
}

/// The callers have compared sizes and index: what fails here is ours.
fn computed(proof: Result<Vec<Hash>, ProofRequestError<NotStored>>) -> Result<Vec<Hash>, Refused> {
    proof.map_err(|e| Refused::internal("proving", &e))
}

/// Where a proof's nodes come from.
pub type Source = dyn HashSource<Error = NotStored>;

#[derive(Default)]
struct Asked {
    nodes: RefCell<BTreeSet<Node>>,
}

impl HashSource for Asked {
    type Error = NotStored;
    fn node(&self, level: u8, index: u64) -> Result<Hash, NotStored> {
        self.nodes.borrow_mut().insert((level, index));
        Ok(Hash::default())
    }
}

struct Loaded(BTreeMap<Node, Hash>);

impl HashSource for Loaded {
    type Error = NotStored;
    fn node(&self, level: u8, index: u64) -> Result<Hash, NotStored> {
        self.0.get(&(level, index)).copied().ok_or(NotStored { level, index })
    }
}

/// A complete node's hash, from those of the kept level below it: at most 128 of them.
async fn load(session: &mut Session, (level, index): Node) -> Result<Hash, Refused> {
    let failed = |e: StoreError| Refused::store("reading the log", &e);
    let kept = level - level % TILE_HEIGHT;
    let width = 1_i64 << (level - kept);
    let from = index as i64 * width;
    let (table, found) = match kept {
        0 => ("leaf_order", session.leaf_hashes(from, from + width).await),
        kept => ("log_nodes", session.log_nodes(i64::from(kept), from, from + width).await),
    };
    let found = found.map_err(failed)?;
    let broken = |fault: StoredFault| Refused::internal("proving", &fault);
    if found.len() as i64 != width {
        let problem = format!("lacks some of {from}..{} at level {kept}", from + width);
        return Err(broken(StoredFault { table, column: "hash", problem }));
    }
    let hashes: Result<Vec<Hash>, _> = found.iter().map(|text| hash(table, "hash", text)).collect();
    Ok(root(&hashes.map_err(broken)?))
}

/// A stored hash.
pub fn hash(table: &'static str, column: &'static str, text: &str) -> Result<Hash, StoredFault> {
    let mut hash = Hash::default();
    let read = hex::decode_to_slice(text, &mut hash);
    read.map(|()| hash).map_err(|_| StoredFault { table, column, problem: format!("{text:?} is no hash") })
}
