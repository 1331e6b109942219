//! Numbering committed leaves, and sealing. One fence on the database, so that one
//! sequencer works at a time whatever the number of gateways. The tree's arithmetic
//! is the caller's: the store hands over hashes and keeps what comes back.

use std::collections::BTreeSet;

use jjj_domain::decision::Topic;
use jjj_domain::key;
use jjj_domain::names::Participant;
use jjj_domain::row::{ColumnSet, Row, StoredFault};
use jjj_domain::time::Timestamp;
use jjj_domain::value::{ColumnType, Value};

use crate::Result;
use crate::dialect::{Dialect, Shape, column_names, types_of};
use crate::error::StoreError;
use crate::log_tables::{CheckpointRow, DeliveryRow, FrontierRow, NodeRow, OrderRow, PendingRow};
use crate::session::{Args, Session};
use crate::store::Store;
use crate::write::{OwnedPart, WriteTx};

/// `jjj log` in ASCII: the advisory lock of the one sequencer of a database.
const FENCE: &str = "SELECT CAST(pg_try_advisory_xact_lock(30087452421058407) AS INTEGER)::bigint";
const PENDING: &str = "SELECT pending_id FROM leaf_pending ORDER BY pending_id LIMIT 1";
const TAKE: &str = "SELECT pending_id, leaf_id, leaf_hash, audience FROM leaf_pending ORDER BY pending_id LIMIT $1";
const WAITING: &str = "SELECT MIN(pending_id), MAX(pending_id) FROM leaf_pending";
const STATE: &str = "SELECT (SELECT MIN(pending_id) FROM leaf_pending), (SELECT MAX(leaf_index) FROM leaf_order), \
     COALESCE(MAX(tree_size), 0), COALESCE(MAX(frontier), '') FROM log_frontier WHERE id = 1";
const UNSEALED: &str = "SELECT tree_size FROM log_frontier \
     WHERE tree_size > COALESCE((SELECT MAX(tree_size) FROM checkpoints), 0)";

/// The tree before a step: its size, and what the caller stored of its right edge
/// (empty for an empty log).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogState {
    pub tree_size: i64,
    pub frontier: String,
}

/// The tree after a step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogStep {
    pub frontier: String,
    /// Subtrees completed by this step, at the levels that are kept.
    pub nodes: Vec<NodeRow>,
}

/// Extends the tree by leaves' hashes (hex, in order). Its arithmetic is the caller's.
pub type Fold = fn(&LogState, &[String]) -> Result<LogStep, StoredFault>;

/// A leaf about to be numbered.
pub(crate) struct Entry {
    pub leaf_id: String,
    pub leaf_hash: String,
    /// Whose streams carry it.
    pub audience: Vec<(Participant, Topic)>,
}

/// What sequencing came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sequenced {
    /// Nothing waits.
    Idle,
    /// Another gateway is at it.
    Fenced,
    /// Leaves `first..first + count` are numbered; these streams have something new.
    Numbered { first: i64, count: i64, audience: BTreeSet<(Participant, Topic)> },
}

/// What a checkpoint is made from.
#[derive(Clone, Debug)]
pub struct SealState {
    pub log: LogState,
    /// The database's clock.
    pub now: Timestamp,
}

impl Store {
    /// Numbers up to `limit` waiting leaves in one transaction of its own. `fold` extends
    /// the tree by the leaves' hashes (hex, in order).
    pub async fn sequence(
        &self,
        limit: i64,
        fold: impl FnOnce(&LogState, &[String]) -> Result<LogStep, StoredFault> + Send,
    ) -> Result<Sequenced> {
        if self.glance().await?.int(PENDING, &[]).await?.is_none() {
            return Ok(Sequenced::Idle);
        }
        let mut tx = self.begin_write().await?;
        let done = tx.sequence(limit, fold).await?;
        match done {
            Sequenced::Numbered { .. } => tx.commit().await?,
            Sequenced::Idle | Sequenced::Fenced => tx.rollback().await?,
        }
        Ok(done)
    }

    /// Adds a checkpoint when leaves were numbered since the last one. `sign` makes it, or
    /// declines with `None`; it may take its time, for no transaction waits for it. The checkpoint, when one was
    /// added: not, where another gateway has sealed as much meanwhile.
    pub async fn seal<F>(&self, sign: impl FnOnce(SealState) -> F + Send) -> Result<Option<CheckpointRow>>
    where
        F: Future<Output = std::result::Result<Option<CheckpointRow>, StoredFault>> + Send,
    {
        if self.glance().await?.int(UNSEALED, &[]).await?.is_none() {
            return Ok(None);
        }
        let mut session = self.read().await?;
        let state = SealState { log: session.frontier().await?, now: session.now().await? };
        drop(session);
        let Some(checkpoint) = sign(state).await? else { return Ok(None) };
        let mut tx = self.begin_write().await?;
        let is_newest = tx.fence().await? && {
            // Refuses to seal a frontier that does not match the numbers.
            tx.log_state().await?;
            let newest = tx.session.latest_checkpoint().await?;
            newest.is_none_or(|newest| newest.tree_size < checkpoint.tree_size)
        };
        if !is_newest {
            tx.rollback().await?;
            return Ok(None);
        }
        tx.insert(std::slice::from_ref(&checkpoint), Shape::Insert).await?;
        tx.commit().await?;
        Ok(Some(checkpoint))
    }
}

impl Session {
    /// Where the tree stands.
    pub async fn frontier(&mut self) -> Result<LogState> {
        let frontier: Option<FrontierRow> = self.get(key![1i64]).await?;
        Ok(frontier.map_or_else(LogState::default, |row| LogState { tree_size: row.tree_size, frontier: row.frontier }))
    }

    /// First and last of the committed leaves that wait for their numbers, each by a number of their own
    /// that only grows; `None` when none waits.
    pub async fn waiting(&mut self) -> Result<Option<(i64, i64)>> {
        let rows = self.fetch(WAITING.into(), Args::Values(&[]), &[ColumnType::Int, ColumnType::Int]).await?;
        Ok(match rows.first().map(Vec::as_slice) {
            Some([Value::Int(first), Value::Int(last)]) => Some((*first, *last)),
            _ => None,
        })
    }
}

impl WriteTx {
    /// [`Store::sequence`] inside a running transaction.
    pub async fn sequence(
        &mut self,
        limit: i64,
        fold: impl FnOnce(&LogState, &[String]) -> Result<LogStep, StoredFault> + Send,
    ) -> Result<Sequenced> {
        if !self.fence().await? {
            return Ok(Sequenced::Fenced);
        }
        let types = types_of(PendingRow::spec(), &column_names(PendingRow::spec()));
        let taken = self.session.fetch(TAKE.into(), Args::Values(&[Value::Int(limit)]), &types).await?;
        let taken = taken.into_iter().map(PendingRow::from_values).collect::<Result<Vec<_>, _>>()?;
        if taken.is_empty() {
            return Ok(Sequenced::Idle);
        }
        let done: Vec<_> = taken.iter().map(|row| key![row.pending_id]).collect();
        let entries = taken.into_iter().map(PendingRow::into_entry).collect::<Result<_, _>>()?;
        let (_, state) = self.log_state().await?;
        self.append(state, entries, done, fold).await
    }

    /// Gives leaves the next numbers and puts them into the streams that carry them. Those of these keys wait no longer.
    pub(crate) async fn append(
        &mut self,
        state: LogState,
        entries: Vec<Entry>,
        waited: Vec<Vec<Value>>,
        fold: impl FnOnce(&LogState, &[String]) -> Result<LogStep, StoredFault> + Send,
    ) -> Result<Sequenced> {
        let (first, count) = (state.tree_size, entries.len() as i64);
        let hashes: Vec<String> = entries.iter().map(|entry| entry.leaf_hash.clone()).collect();
        let step = fold(&state, &hashes)?;
        let mut order = Vec::with_capacity(entries.len());
        let mut deliveries = Vec::new();
        for (leaf_index, Entry { leaf_id, leaf_hash, audience }) in (first..).zip(entries) {
            order.push(OrderRow { leaf_index, leaf_id, leaf_hash });
            deliveries.extend(audience.into_iter().map(|(participant, topic)| DeliveryRow {
                participant,
                topic,
                leaf_index,
            }));
        }
        let frontier = FrontierRow { id: 1, tree_size: first + count, frontier: step.frontier };
        let moved = Shape::Upsert { changed: ColumnSet::beside_key(FrontierRow::spec()) };
        let all = [
            OwnedPart::of(&order, Shape::Insert),
            OwnedPart::of(&deliveries, Shape::Insert),
            OwnedPart::of(&step.nodes, Shape::Insert),
            OwnedPart::of([&frontier], moved),
            OwnedPart { spec: PendingRow::spec(), shape: Shape::Delete, rows: waited },
        ];
        self.run_parts(all.iter().map(OwnedPart::part).collect()).await?;
        let audience = deliveries.into_iter().map(|d| (d.participant, d.topic)).collect();
        Ok(Sequenced::Numbered { first, count, audience })
    }

    /// Whether this transaction is the one that may extend the log, until it ends.
    async fn fence(&mut self) -> Result<bool> {
        match self.session.dialect() {
            // The one writer.
            Dialect::Sqlite => Ok(true),
            Dialect::Postgres => Ok(self.session.int(FENCE, &[]).await? == Some(1)),
        }
    }

    /// Whether leaves wait for the sequencer, and where the tree stands.
    pub(crate) async fn log_state(&mut self) -> Result<(bool, LogState)> {
        use ColumnType::{Int, Text};
        let rows = self.session.fetch(STATE.into(), Args::Values(&[]), &[Int, Int, Int, Text]).await?;
        let row = rows.into_iter().next().and_then(|row| <[Value; 4]>::try_from(row).ok());
        let Some([waiting, last, Value::Int(tree_size), Value::Text(frontier)]) = row else {
            return Err(StoreError::Driver(sqlx::Error::RowNotFound));
        };
        let state = LogState { tree_size, frontier };
        let numbered = if let Value::Int(last) = last { last + 1 } else { 0 };
        if numbered != state.tree_size {
            return Err(StoreError::Inconsistent(StoredFault {
                table: "log_frontier",
                column: "tree_size",
                problem: format!("is {}, but {numbered} leaves are numbered", state.tree_size),
            }));
        }
        Ok((waiting != Value::Null, state))
    }
}

impl PendingRow {
    fn into_entry(self) -> Result<Entry, StoredFault> {
        Ok(Entry { audience: self.audience()?, leaf_id: self.leaf_id, leaf_hash: self.leaf_hash })
    }

    fn audience(&self) -> Result<Vec<(Participant, Topic)>, StoredFault> {
        let parse = |line: &str| {
            let (topic, participant) = line.split_once(' ')?;
            Some((participant.parse().ok()?, topic.parse().ok()?))
        };
        let fault = || StoredFault {
            table: "leaf_pending",
            column: "audience",
            problem: "is no list of topics and participants".into(),
        };
        self.audience.lines().map(|line| parse(line).ok_or_else(fault)).collect()
    }
}
