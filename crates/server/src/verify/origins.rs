//! Under which name each leaf was recorded: a restored log goes on under a new origin (docs/witnesses.md).

use std::collections::BTreeMap;

use jjj_domain::participant::OriginRow;
use jjj_domain::row::Row;
use jjj_store::{Session, StoreError};

use super::order::Place;
use super::report::{Check, Findings, NoticeKind};
use super::scan::Scan;
use super::tree::Tree;

/// The origins of a log in order, each with its first leaf. The rows are what leaves say: the fold proves it.
pub struct Origins {
    first: Option<String>,
    later: Vec<OriginRow>,
}

impl Origins {
    /// From the oldest on, each named by the one that follows it.
    pub async fn load(session: &mut Session, first: Option<String>) -> Result<Self, StoreError> {
        let mut by_former = BTreeMap::new();
        let mut scan = Scan::of(OriginRow::spec());
        while let Some(page) = scan.page(session).await? {
            for values in page {
                let row = OriginRow::from_values(values)?;
                by_former.insert(row.follows.clone(), row);
            }
        }
        let mut origins = Self { first, later: Vec::new() };
        // Each row is taken once, so this ends.
        while let Some(row) = origins.newest().and_then(|newest| by_former.remove(newest)) {
            origins.later.push(row);
        }
        Ok(origins)
    }

    /// The origin that the log goes on under.
    pub fn newest(&self) -> Option<&str> {
        self.later.last().map(|row| row.origin.as_str()).or(self.first.as_deref())
    }

    /// The origin that a leaf was recorded under; `None` where none is known.
    pub fn at(&self, place: Place) -> Option<&str> {
        let reached = |row: &&OriginRow| row.tree_size <= i64::from(place);
        self.later.iter().rfind(reached).map(|row| row.origin.as_str()).or(self.first.as_deref())
    }

    /// The origin under which a head of so many leaves was signed: that of its last leaf.
    pub fn of_head(&self, tree_size: i64) -> Option<&str> {
        self.at(Place::try_from(tree_size.saturating_sub(1).max(0)).unwrap_or(Place::MAX))
    }

    /// Whether the log had this name, now or before; any will do where none is known.
    pub fn has(&self, origin: &str) -> bool {
        self.first.as_deref().is_none_or(|first| first == origin) || self.later.iter().any(|row| row.origin == origin)
    }

    /// The sizes whose roots the first leaves name.
    pub fn sizes(&self) -> impl Iterator<Item = u64> {
        self.later.iter().map(|row| row.tree_size.max(0).unsigned_abs())
    }

    /// Each is opened by the leaf after those it names, over their very root; and said in plain words.
    pub async fn check(
        &self,
        session: &mut Session,
        tree: Option<&Tree>,
        findings: &mut Findings,
    ) -> Result<(), StoreError> {
        for row in &self.later {
            let OriginRow { origin, follows, tree_size, root, witnessed_size, .. } = row;
            let leaf = session.leaf_at(*tree_size).await?;
            if leaf.is_none_or(|leaf| leaf.kind != OriginRow::OPENED || leaf.record != row.name()) {
                let problem = "is not opened by the leaf after those that it names";
                findings.column(Check::Order, "origins", origin, "tree_size", problem);
            }
            let real = tree.and_then(|tree| tree.root((*tree_size).max(0).unsigned_abs())).map(hex::encode);
            if tree.is_some() && real.as_ref() != Some(root) {
                findings.column(Check::Tree, "origins", origin, "root", "is not the root of the leaves before it");
            }
            let detail = format!(
                "goes on from {follows} after a restore: its first {tree_size} leaves are those of {follows}, root {root}; \
                 witnesses had seen {witnessed_size} leaves of {follows}: what was promised beyond {tree_size} was lost"
            );
            findings.notice(NoticeKind::Succeeded, origin, detail);
        }
        Ok(())
    }
}
