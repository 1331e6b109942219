//! A command that goes in parts, as a reconciliation run does, on its way into one transaction that sees one moment. While a
//! part is being written, the leaves of the next are made, the one after is decided, and rows are loaded for the one after that:
//!
//! ```text
//! load_ahead → decide_parts → make_part → write_parts
//! ```
//!
//! What is read comes by connections beside the transaction, of the same moment.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jjj_domain::decision::{Decision, InParts, Part};
use jjj_domain::row::TableKind;
use jjj_domain::snapshot::{Load, Snapshot};
use jjj_domain::value::Value;
use jjj_store::dialect::Dialect;
use jjj_store::log_tables::LeafRow;
use jjj_store::{Balances, ConflictKind, Effects, NewLeaf, Session, StoreError, WriteTx};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::batch::{BatchError, Decided, MAX_ROUNDS, Writer, write_as_made};
use super::decide::{Ruling, Verdict, aside, next_part};
use super::effects::{PORTIONS, make_part, rows};
use super::job::{Job, Moment};
use super::leaf::{Context, Salts};
use super::locks::Locks;
use super::on_a_thread;
use crate::status::Refused;
use crate::stop::joined;

/// PostgreSQL ends a transaction that has been idle for thirty seconds, taking its gateway for gone (`POSTGRES_WRITE_SETTINGS`).
const SIGN_OF_LIFE_EVERY: Duration = Duration::from_secs(10);

/// What the earlier parts of a command have written.
#[derive(Default)]
pub(super) struct Written {
    /// Without their bodies, to be numbered.
    pub leaves: Vec<NewLeaf>,
    /// What they add to balances, which are written last.
    pub balances: Balances,
}

impl Writer {
    /// Decides a command part by part, and writes each but the last. Nothing is decided again under its locks: a row
    /// that others have changed since the transaction's moment is found by locking it, as a conflict. Who adds to the lists that the
    /// first part is decided by waits for the guards.
    pub async fn decide_in_parts(
        &self,
        mut tx: WriteTx,
        job: &Job,
        parts: Box<dyn InParts + '_>,
        at: Moment,
    ) -> Result<(WriteTx, Decided, Written), BatchError> {
        let read_at = Instant::now();
        // Better known now than when all is written.
        if self.signer.current().is_none() {
            return Err(BatchError::NoSigningKey);
        }
        tx.lock(&[], &parts.guards()).await?;
        let beside = [self.store.read_beside(&mut tx).await?, self.store.read_beside(&mut tx).await?];
        let (to_writer, from_decider) = mpsc::channel(1);
        let writing = match self.store.dialect() {
            Dialect::Sqlite => tokio::spawn(on_a_thread(write_parts(tx, from_decider))),
            Dialect::Postgres => tokio::spawn(write_parts(tx, from_decider)),
        };
        let decided = self.decide_parts(beside, job, parts, at, to_writer).await;
        // What failed to be written says more than that it could not be handed over.
        let mut tx = joined(writing.await)?;
        let (verdict, snapshot, written) = decided?;
        if let Verdict::Accepted(ruling) = &verdict {
            let locks = Locks::of_decisions(snapshot.loads(), [&ruling.decision]);
            tx.lock(&locks.share(), &locks.update()).await?;
        }
        Ok((tx, Decided { verdicts: vec![verdict], now: at.now, read_at, snapshot }, written))
    }

    /// Hands parts over as they are decided, and returns with the last.
    async fn decide_parts(
        &self,
        [mut beside, ahead]: [Session; 2],
        job: &Job,
        mut parts: Box<dyn InParts + '_>,
        at: Moment,
        to_writer: mpsc::Sender<PartToWrite>,
    ) -> Result<(Verdict, Snapshot, Written), BatchError> {
        let is_locking = self.store.dialect() == Dialect::Postgres;
        let content_digest: Arc<str> = job.claim().content_digest.into();
        let mut written = Written::default();
        let (mut is_begun, mut making) = (false, Vec::new());
        let mut heads = HashSet::new();
        // A set, because it ends its task when it is dropped.
        let mut loading = JoinSet::new();
        loading.spawn(load_ahead(ahead, Vec::new()));
        loop {
            let (ahead, mut snapshot) = joined(loading.join_next().await.expect("one is under way"))?;
            loading.spawn(load_ahead(ahead, parts.ahead()));
            let found = self.next_part(&mut beside, job, &mut *parts, &mut snapshot, at).await?;
            if !std::mem::replace(&mut is_begun, true) && is_locking {
                let guarded = parts.guarded();
                let loads = snapshot.loads().iter().filter(|load| guarded.contains(&load.spec));
                self.check_unchanged(&mut beside, &loads.cloned().collect::<Vec<_>>()).await?;
            }
            let (part, salts) = match found {
                Ok(found) => found,
                Err(refused) => return Ok((Verdict::Refused(refused), snapshot, written)),
            };
            let decision = match part {
                Part::Rows(loads, columns) => {
                    beside.see(&loads, columns, &mut |values| parts.see(values)).await?;
                    continue;
                }
                Part::Leaves(decision) => decision,
                Part::Last(decision) => {
                    if cfg!(debug_assertions) {
                        check_heads(&mut heads, &decision, &snapshot);
                    }
                    aside(true, || snapshot.note_changes(&decision.leaves));
                    for leaves in making {
                        written.leaves.extend(joined(leaves.await));
                    }
                    let ruling = Ruling { decision, salts, sealing_key: None };
                    return Ok((Verdict::Accepted(ruling.into()), snapshot, written));
                }
            };
            if cfg!(debug_assertions) {
                check_heads(&mut heads, &decision, &snapshot);
            }
            let (portions, leaves) = mpsc::channel(PORTIONS);
            let to_write = aside(true, || {
                snapshot.note_changes(&decision.leaves);
                let effects = rows(std::iter::once(&decision), &snapshot);
                written.balances.add(&effects.transfers);
                let locks = is_locking.then(|| Locks::of_decisions(snapshot.loads(), [&decision]));
                PartToWrite { locks: locks.unwrap_or_default(), effects, leaves }
            });
            drop(snapshot);
            if to_writer.send(to_write).await.is_err() {
                // Nobody hears of it: the writer has failed, and says why.
                return Err(BatchError::NotRecorded);
            }
            let (actor, request_id, recorded_at) = (job.actor.clone(), job.request_id, at.now);
            let content_digest = content_digest.clone();
            making.push(tokio::spawn(async move {
                let (actor, salts, content_digest) = (&actor, &salts, &*content_digest);
                let context = Context { actor, request_id, recorded_at, salts, content_digest };
                make_part(&decision, &context, portions).await
            }));
        }
    }

    /// What a transaction sees must be what there is, now that it holds its guards: its moment is a little before, and
    /// whoever held them until then may have changed it. Else a conflict: begin anew.
    async fn check_unchanged(&self, beside: &mut Session, loads: &[Load]) -> Result<(), StoreError> {
        let then = beside.load_values(loads).await?;
        // Not a reader's: its server may lag.
        let mut fresh = self.store.begin_write().await?;
        let now = fresh.session().load_values(loads).await?;
        fresh.rollback().await?;
        let is_same = std::iter::zip(then, now)
            .all(|(then, now)| then.len() == now.len() && then.iter().collect::<HashSet<_>>() == now.iter().collect());
        if is_same { Ok(()) } else { Err(StoreError::conflict(ConflictKind::Serialization)) }
    }

    /// The next part, its rows loaded.
    async fn next_part(
        &self,
        beside: &mut Session,
        job: &Job,
        parts: &mut (dyn InParts + '_),
        snapshot: &mut Snapshot,
        at: Moment,
    ) -> Result<Result<(Part, Salts), Refused>, BatchError> {
        let mut decided = None;
        for _ in 0..MAX_ROUNDS {
            match next_part(job, parts, &mut decided, snapshot, at) {
                Ok(Some(part)) => return Ok(Ok(part)),
                Err(refused) => return Ok(Err(refused)),
                Ok(None) => beside.load(&snapshot.take_misses(), snapshot).await?,
            }
        }
        Err(BatchError::Endless)
    }
}

/// Part of a command, on its way into the transaction.
struct PartToWrite {
    locks: Locks,
    effects: Effects,
    /// As they are made.
    leaves: mpsc::Receiver<Vec<LeafRow>>,
}

/// A row that an earlier part has written must not be compared with what it was before: whether it is new, and which of
/// its columns differ, would be wrong.
fn check_heads(written: &mut HashSet<(&'static str, Vec<Value>)>, part: &Decision, snapshot: &Snapshot) {
    let writes = part.leaves.iter().flat_map(|leaf| &leaf.writes).filter(|w| w.spec.kind != TableKind::AppendOnly);
    let of_part: HashMap<_, _> = writes.map(|w| ((w.spec.name, w.spec.key_of(&w.values)), w.spec)).collect();
    for (row, spec) in of_part {
        let is_known = snapshot.knows(spec, &row.1);
        assert!(!is_known || !written.contains(&row), "two parts write {row:?}");
        written.insert(row);
    }
}

/// Loads what a part will ask for, and gives the connection back.
async fn load_ahead(mut beside: Session, loads: Vec<Load>) -> Result<(Session, Snapshot), StoreError> {
    let mut snapshot = Snapshot::default();
    beside.load(&loads, &mut snapshot).await?;
    Ok((beside, snapshot))
}

/// Writes parts as they come, until there are no more.
async fn write_parts(mut tx: WriteTx, mut from_decider: mpsc::Receiver<PartToWrite>) -> Result<WriteTx, StoreError> {
    loop {
        match tokio::time::timeout(SIGN_OF_LIFE_EVERY, from_decider.recv()).await {
            Ok(Some(PartToWrite { locks, effects, leaves })) => {
                tx.lock(&locks.share(), &locks.update()).await?;
                write_as_made(&mut tx, &effects, leaves).await?;
            }
            Ok(None) => return Ok(tx),
            Err(_) => {
                tx.session().now().await?;
            }
        }
    }
}
