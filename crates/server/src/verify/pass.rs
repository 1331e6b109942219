//! The pass over all leaves, with their evidence: read here, checked on other threads, gathered here.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use jjj_domain::row::Row;
use jjj_domain::snapshot::Load;
use jjj_domain::value::Value;
use jjj_store::log_tables::{EvidenceRow, LeafRow};
use jjj_store::{ListQuery, Op, Session, StoreError};
use jjj_token::Hash;
use tokio::task::JoinHandle;

use super::VerifyOptions;
use super::agreed::Step;
use super::digest::Id;
use super::fold::{Fold, body_at};
use super::leaves::{Checked, Context, LeafFacts, Page};
use super::ledger::Ledger;
use super::order::{NOWHERE, Order, Place};
use super::private::Private;
use super::report::{Check, Findings};
use super::scan::{Scan, leaf_of, read_leaf};
use crate::stop::joined;

/// Leaves checked at once by one thread.
const PAGE: i64 = 256;
/// Pages under way: enough for every core while the next is read.
const UNDER_WAY: usize = 8;

/// What is kept of all leaves.
pub struct AllLeaves {
    pub count: u64,
    pub evidence: u64,
    pub fold: Fold,
    pub private: Private,
    pub ledger: Ledger,
    /// What leaves say of agreements between regions.
    pub agreed: Vec<Step>,
    /// By when each leaf is to be under a head.
    pub deadlines: Vec<(Place, i64)>,
    hashes: Vec<Option<Hash>>,
    versions: Vec<(Id, i64, Place)>,
    causes: Vec<(Place, Id)>,
    /// Digests of the tokens that leaves name.
    tokens: HashSet<Hash>,
}

impl AllLeaves {
    /// Reads and checks every leaf.
    pub async fn read(
        session: &mut Session,
        context: &Arc<Context>,
        options: &VerifyOptions,
        findings: &mut Findings,
    ) -> Result<Self, StoreError> {
        let places = context.order.places();
        let mut all = Self {
            count: 0,
            evidence: 0,
            fold: Fold::default(),
            private: Private::default(),
            ledger: Ledger::default(),
            agreed: Vec::new(),
            deadlines: Vec::with_capacity(places),
            hashes: vec![None; places],
            versions: Vec::with_capacity(places),
            causes: Vec::new(),
            tokens: HashSet::new(),
        };
        let mut under_way: VecDeque<JoinHandle<Checked>> = VecDeque::new();
        let mut pages = Pages::new();
        while let Some(page) = pages.next(session).await? {
            let context = context.clone();
            under_way.push_back(tokio::task::spawn_blocking(move || page.check(&context)));
            if under_way.len() == UNDER_WAY
                && let Some(oldest) = under_way.pop_front()
            {
                all.take_in(joined(oldest.await), findings);
                if let Some(progress) = &options.progress {
                    progress(all.count, places as u64);
                }
            }
        }
        for checked in under_way {
            all.take_in(joined(checked.await), findings);
        }
        Ok(all)
    }

    fn take_in(&mut self, checked: Checked, findings: &mut Findings) {
        findings.append(checked.findings);
        self.count += checked.leaves_read;
        for leaf in checked.leaves {
            self.take_in_leaf(leaf);
        }
    }

    fn take_in_leaf(&mut self, leaf: LeafFacts) {
        let place = leaf.place;
        if let Some(slot) = self.hashes.get_mut(place as usize) {
            *slot = Some(leaf.hash);
            self.deadlines.push((place, leaf.deadline_us));
        }
        self.versions.extend(leaf.versions.into_iter().map(|(record, version)| (record, version, place)));
        self.causes.extend(leaf.cause.map(|cause| (place, cause)));
        self.agreed.extend(leaf.agreed);
        self.evidence += u64::from(leaf.token.is_some());
        self.tokens.extend(leaf.token);
        for (key, row) in leaf.rows {
            self.fold.add(key, row, place);
        }
        for commitment in leaf.private {
            self.private.write(commitment, place);
        }
        for erased in &leaf.erased {
            self.private.erase(erased, place);
        }
        self.ledger.add(leaf.transfers, leaf.first, leaf.token.is_some(), leaf.ground);
    }

    /// The hashes of the numbered leaves; of one that is missing, what the order has. `None` when
    /// the numbers have holes.
    pub fn hashes(&self, order: &Order) -> Option<Vec<Hash>> {
        let one = |place: usize| self.hashes[place].or_else(|| order.hash(place as Place).copied());
        if order.is_broken { None } else { (0..order.numbered()).map(one).collect() }
    }

    /// Each number has its leaf, causes come first, a record's versions are 1, 2, 3 ….
    pub async fn check_order(
        &mut self,
        session: &mut Session,
        order: &Order,
        findings: &mut Findings,
    ) -> Result<(), StoreError> {
        for place in (0..self.hashes.len()).filter(|place| self.hashes[*place].is_none()) {
            if findings.is_full() {
                break;
            }
            let place = place as Place;
            let leaf_id = order.leaf_id(session, place).await?.unwrap_or_default();
            // A leaf that is there and cannot be read has been named already.
            if leaf_of(session, &leaf_id).await?.is_some() {
                continue;
            }
            findings.row(Check::Order, "leaves", &leaf_id, "is missing");
            match (order.pending(place), order.index(place)) {
                (Some(row), _) => {
                    findings.column(Check::Order, "leaf_pending", row.pending_id, "leaf_id", "names no leaf")
                }
                (None, Some(index)) => findings.column(Check::Order, "leaf_order", index, "leaf_id", "names no leaf"),
                (None, None) => {}
            }
        }
        for (place, cause) in std::mem::take(&mut self.causes) {
            let cause_place = order.place_of(&cause);
            if place == NOWHERE || (cause_place != NOWHERE && cause_place < place) {
                continue;
            }
            let leaf_id = order.leaf_id(session, place).await?.unwrap_or_default();
            findings.column(Check::Order, "leaves", leaf_id, "body", "its cause does not come before it");
        }
        self.check_versions(session, order, findings).await
    }

    async fn check_versions(
        &mut self,
        session: &mut Session,
        order: &Order,
        findings: &mut Findings,
    ) -> Result<(), StoreError> {
        let mut versions = std::mem::take(&mut self.versions);
        versions.sort_unstable();
        let mut last: Option<(Id, i64, Place)> = None;
        for (record, version, place) in versions {
            let before = last.filter(|(same, _, _)| *same == record).map(|(_, version, place)| (version, place));
            last = Some((record, version, place));
            let fits = match before {
                None => version == 1,
                Some((previous, earlier)) => version == previous + 1 && (earlier < place || place == NOWHERE),
            };
            if !fits && !findings.is_full() {
                let body = body_at(session, order, place).await?;
                let (id, record) = body.map(|b| (b.id, b.record)).unwrap_or_default();
                let problem = match before {
                    None => format!("the first version of {record} is {version}"),
                    Some((previous, _)) => {
                        format!("version {version} of {record} follows {previous}, or comes before it")
                    }
                };
                findings.column(Check::Order, "leaves", id, "version", problem);
            }
        }
        Ok(())
    }

    /// How many tokens signed the leaves.
    pub fn tokens(&self) -> u64 {
        self.tokens.len() as u64
    }
}

/// Leaves with their evidence and its tokens, both in the order of leaf ids.
struct Pages {
    leaves: Scan,
    after: Option<Value>,
    done: bool,
}

impl Pages {
    fn new() -> Self {
        Self { leaves: Scan::of(LeafRow::spec()).limited(PAGE), after: None, done: false }
    }

    async fn next(&mut self, session: &mut Session) -> Result<Option<Page>, StoreError> {
        if self.done {
            return Ok(None);
        }
        let rows = self.leaves.page(session).await?.unwrap_or_default();
        self.done = rows.is_empty();
        let leaves = rows.into_iter().map(read_leaf).collect::<Result<Vec<_>, _>>()?;
        let until = leaves.last().map(|leaf| Value::Text(leaf.leaf_id.clone()));
        // After the last leaf: evidence of no leaf.
        let evidence = self.evidence(session, until.clone()).await?;
        if until.is_some() {
            self.after = until;
        }
        let tokens = tokens_of(session, &evidence).await?;
        Ok(Some(Page { leaves, evidence, tokens }))
    }

    /// Evidence up to a leaf, or to the end.
    async fn evidence(&self, session: &mut Session, until: Option<Value>) -> Result<Vec<EvidenceRow>, StoreError> {
        let mut evidence = Vec::new();
        let mut after = self.after.clone();
        loop {
            let bound = |op, value: &Option<Value>| value.clone().map(|value| ("leaf_id", op, value));
            let predicates = bound(Op::Gt, &after).into_iter().chain(bound(Op::Le, &until)).collect();
            let query = ListQuery { predicates, limit: PAGE, ..ListQuery::default() };
            let rows: Vec<EvidenceRow> = session.list(&query).await?;
            after = rows.last().map(|row| Value::Text(row.leaf_id.clone()));
            let is_last = (rows.len() as i64) < PAGE;
            evidence.extend(rows);
            if is_last {
                return Ok(evidence);
            }
        }
    }
}

/// The tokens that evidence names, by the leaf whose evidence holds each; those that are there.
async fn tokens_of(session: &mut Session, evidence: &[EvidenceRow]) -> Result<HashMap<String, Arc<str>>, StoreError> {
    let held = |row: &EvidenceRow| row.token.as_deref().map(|token| (row.leaf_id.clone(), Arc::from(token)));
    let mut tokens: HashMap<String, Arc<str>> = evidence.iter().filter_map(held).collect();
    let elsewhere: HashSet<&str> =
        evidence.iter().map(|row| row.token_leaf.as_str()).filter(|leaf| !tokens.contains_key(*leaf)).collect();
    let spec = EvidenceRow::spec();
    let load = |leaf: &str| Load { spec, columns: spec.key, values: vec![Value::Text(leaf.to_owned())] };
    let loads: Vec<Load> = elsewhere.into_iter().map(load).collect();
    for values in session.load_values(&loads).await?.into_iter().flatten() {
        tokens.extend(held(&EvidenceRow::from_values(values)?));
    }
    Ok(tokens)
}
