//! The Merkle tree over the numbered leaves, built again: stored nodes, frontier, signed heads,
//! and whether everything promised is under a head.

use std::collections::BTreeMap;

use jjj_domain::row::Row;
use jjj_store::log_tables::{CheckpointRow, FrontierRow, NodeRow};
use jjj_store::{Session, StoreError};
use jjj_token::Hash;
use jjj_token::merkle::{EMPTY_ROOT, Frontier, TILE_HEIGHT};
use jjj_token::note::{Checkpoint, NoteVerifier, SignedNote, open_checkpoint};

use super::keys::Keys;
use super::order::Place;
use super::origins::Origins;
use super::report::{Check, Findings, NoticeKind, quote};
use super::scan::Scan;

/// Heads that verified, by size: when each was sealed.
pub type Heads = BTreeMap<u64, i64>;

/// The origin of the oldest head that one of the gateway's keys signed.
pub async fn origin(session: &mut Session, keys: &Keys) -> Result<Option<String>, StoreError> {
    let mut scan = Scan::of(CheckpointRow::spec()).limited(100);
    while let Some(page) = scan.page(session).await? {
        for values in page {
            let row = CheckpointRow::from_values(values)?;
            let note = SignedNote::parse(&row.note).ok();
            let Some(head) = note.and_then(|note| Checkpoint::parse(note.text()).ok()) else { continue };
            if keys.note_verifiers(&head.origin).iter().any(|key| open_checkpoint(&row.note, key).is_ok()) {
                return Ok(Some(head.origin));
            }
        }
    }
    Ok(None)
}

/// The tree's roots at the sizes that are asked for, and what it stores.
pub struct Tree {
    roots: BTreeMap<u64, Hash>,
    nodes: BTreeMap<(i64, i64), Hash>,
    frontier: Frontier,
}

impl Tree {
    /// Builds the tree over leaf hashes in order.
    pub fn build(hashes: &[Hash], sizes: impl IntoIterator<Item = u64>) -> Self {
        let mut roots: BTreeMap<u64, Hash> = sizes.into_iter().map(|size| (size, EMPTY_ROOT)).collect();
        let mut nodes = BTreeMap::new();
        let mut frontier = Frontier::new();
        for hash in hashes {
            let keep = |level: u8, index: u64, hash: Hash| {
                if level > 0 && level.is_multiple_of(TILE_HEIGHT) {
                    nodes.insert((i64::from(level), index as i64), hash);
                }
            };
            frontier.push(*hash, keep).expect("a database has fewer leaves than a tree");
            if let Some(root) = roots.get_mut(&frontier.size()) {
                *root = frontier.root();
            }
        }
        roots.retain(|size, _| *size <= frontier.size());
        Self { roots, nodes, frontier }
    }

    pub fn root(&self, size: u64) -> Option<&Hash> {
        self.roots.get(&size)
    }

    /// Compares stored nodes and frontier.
    pub async fn compare(mut self, session: &mut Session, findings: &mut Findings) -> Result<(), StoreError> {
        let mut scan = Scan::of(NodeRow::spec());
        while let Some(page) = scan.page(session).await? {
            for values in page {
                let row = NodeRow::from_values(values)?;
                let key = format!("{}, {}", row.level, row.node_index);
                match self.nodes.remove(&(row.level, row.node_index)) {
                    None => findings.row(Check::Tree, "log_nodes", key, "is no complete node of the tree"),
                    Some(hash) if hex::encode(hash) != row.hash => {
                        findings.column(Check::Tree, "log_nodes", key, "hash", "is not the node's");
                    }
                    Some(_) => {}
                }
            }
        }
        for (level, index) in self.nodes.keys() {
            findings.row(Check::Tree, "log_nodes", format!("{level}, {index}"), "is missing");
        }
        self.compare_frontier(session, findings).await
    }

    async fn compare_frontier(&self, session: &mut Session, findings: &mut Findings) -> Result<(), StoreError> {
        let mut scan = Scan::of(FrontierRow::spec());
        let mut found = false;
        while let Some(page) = scan.page(session).await? {
            for values in page {
                let row = FrontierRow::from_values(values)?;
                let mut fault = |column, problem: String| {
                    findings.column(Check::Tree, "log_frontier", row.id, column, problem);
                };
                if row.id != 1 {
                    fault("id", "is not 1: there is one log".to_owned());
                    continue;
                }
                found = true;
                let size = self.frontier.size();
                if i64::try_from(size) != Ok(row.tree_size) {
                    fault("tree_size", format!("is {}, {size} leaves are numbered", row.tree_size));
                }
                if self.frontier.edge().iter().map(hex::encode).collect::<String>() != row.frontier {
                    fault("frontier", "is not the tree's right edge".to_owned());
                }
            }
        }
        if !found && self.frontier.size() > 0 {
            findings.row(Check::Tree, "log_frontier", 1, "is missing");
        }
        Ok(())
    }
}

/// Sizes of heads read at once.
const SIZES: i64 = 10_000;

/// The sizes of the stored heads, to which the tree is built. The heads themselves are read again, page by
/// page, when they are checked.
pub struct Checkpoints {
    sizes: Vec<u64>,
}

impl Checkpoints {
    pub async fn load(session: &mut Session) -> Result<Self, StoreError> {
        let (mut sizes, mut last) = (Vec::new(), i64::MIN);
        loop {
            let page = session.checkpoint_sizes(last, SIZES).await?;
            let Some(newest) = page.last() else { return Ok(Self { sizes }) };
            last = *newest;
            sizes.extend(page.into_iter().map(|size| size.max(0).unsigned_abs()));
        }
    }

    pub fn len(&self) -> u64 {
        self.sizes.len() as u64
    }

    pub fn sizes(&self) -> impl Iterator<Item = u64> {
        self.sizes.iter().copied()
    }

    /// Checks each against the tree and the gateway's keys. Those that verified.
    pub async fn check(
        &self,
        session: &mut Session,
        tree: Option<&Tree>,
        origins: &Origins,
        keys: &Keys,
        findings: &mut Findings,
    ) -> Result<Heads, StoreError> {
        let mut verifiers = BTreeMap::new();
        let mut heads = Heads::new();
        let mut scan = Scan::of(CheckpointRow::spec());
        while let Some(page) = scan.page(session).await? {
            for values in page {
                let row = CheckpointRow::from_values(values)?;
                let origin = origins.of_head(row.tree_size);
                let (firsts, seconds) = verifiers.entry(origin).or_insert_with(|| {
                    let of = |origin| (keys.note_verifiers(origin), keys.second_verifiers(origin));
                    origin.map(of).unwrap_or_default()
                });
                match check_one(&row, tree, firsts, seconds) {
                    Ok(()) => drop(heads.insert(row.tree_size.unsigned_abs(), row.sealed_at_us.0)),
                    Err(found) => {
                        for (column, problem) in found {
                            findings.column(Check::Tree, "checkpoints", row.tree_size, column, problem);
                        }
                    }
                }
            }
        }
        Ok(heads)
    }
}

type Problems = Vec<(&'static str, String)>;

fn check_one(
    row: &CheckpointRow,
    tree: Option<&Tree>,
    verifiers: &[NoteVerifier],
    seconds: &[NoteVerifier],
) -> Result<(), Problems> {
    let mut problems = Problems::new();
    let opened = verifiers.iter().find_map(|key| open_checkpoint(&row.note, key).ok());
    match &opened {
        None => problems.push(("note", "is not signed by a key of the gateway's".to_owned())),
        Some((head, note)) => {
            let lines = 1 + seconds.iter().filter(|second| note.verify(second).is_ok()).count();
            if note.to_string() != row.note || note.signatures().len() != lines {
                problems.push(("note", "has more in it than the gateway signs".to_owned()));
            }
            if i64::try_from(head.size) != Ok(row.tree_size) {
                problems.push(("tree_size", format!("is not the signed {}", head.size)));
            }
            if hex::encode(head.root) != row.root {
                problems.push(("root", format!("is {}, signed is {}", quote(&row.root), hex::encode(head.root))));
            }
            if let Some(tree) = tree
                && tree.root(head.size) != Some(&head.root)
                && head.size == row.tree_size.unsigned_abs()
            {
                problems.push(("note", "signs a root that the leaves do not have".to_owned()));
            }
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// A head that somebody kept must be one of this log.
pub fn check_kept(kept: &[Checkpoint], tree: &Tree, findings: &mut Findings) {
    for head in kept {
        let problem = match tree.root(head.size) {
            Some(root) if *root == head.root => continue,
            Some(_) => "the log had another root at the size of a checkpoint that was given",
            None => "the log is shorter than a checkpoint that was given",
        };
        findings.row(Check::Tree, "checkpoints", head.size, problem);
    }
}

/// Whether each leaf is under a head, as soon as it was promised.
pub fn check_deadlines(deadlines: &[(Place, i64)], heads: &Heads, at_us: i64, findings: &mut Findings) {
    for (place, deadline_us) in deadlines {
        let covering = heads.range(u64::from(*place) + 1..).next();
        match covering {
            Some((_, sealed_at_us)) if sealed_at_us <= deadline_us => {}
            Some((size, sealed_at_us)) => {
                let late = format!("leaf {place} under checkpoint {size}, {} µs late", sealed_at_us - deadline_us);
                findings.notice(NoticeKind::SealedLate, place, late);
            }
            None if at_us <= *deadline_us => {}
            None => {
                let problem = format!("no checkpoint covers leaf {place}, which was promised by {deadline_us}");
                findings.row(Check::Receipt, "checkpoints", heads.keys().next_back().unwrap_or(&0), problem);
            }
        }
    }
}
