//! The log after commit: one sequencer numbers committed leaves, the tree grows, a
//! checkpoint is signed about once a second.

use std::sync::Arc;
use std::time::Duration;

use jjj_custody::aside;
use jjj_domain::row::StoredFault;
use jjj_domain::time::Timestamp;
use jjj_store::dialect::Dialect;
use jjj_store::log_tables::{CheckpointRow, NodeRow};
use jjj_store::{LogState, LogStep, SealState, Sequenced, Store, StoreError};
use jjj_token::merkle::{Frontier, TILE_HEIGHT};
use jjj_token::note::{Checkpoint, CheckpointError, NoteError, sign_checkpoint};
use jjj_token::{Hash, SignError, SigningKey};
use tokio::sync::{Notify, watch};

use crate::clock::Clock;
use crate::keys::Signer;
use crate::status::chain;
use crate::stop::{Stop, step, stopped};

/// How long committed leaves gather before they are numbered.
const GATHER: Duration = Duration::from_millis(15);
/// How often to look for leaves of a gateway that died between commit and numbering.
const LOOK: Duration = Duration::from_millis(500);
const SEAL: Duration = Duration::from_secs(1);
/// Leaves numbered in one transaction.
const PAGE: i64 = 4_096;

/// Counts numbered leaves, so that streams know when to look.
#[derive(Clone)]
pub struct LogWatch(watch::Receiver<u64>);

impl LogWatch {
    /// Returns when something was numbered since the last call, here.
    pub async fn grown(&mut self) {
        if self.0.changed().await.is_err() {
            // The gateway stops; whoever waits will be told otherwise.
            std::future::pending::<()>().await;
        }
    }
}

/// Numbers and seals for one gateway.
pub struct Sealer {
    store: Store,
    clock: Clock,
    signer: Signer,
    origin: String,
    committed: Arc<Notify>,
    grown: watch::Sender<u64>,
}

impl Sealer {
    pub fn new(store: Store, clock: Clock, signer: Signer, origin: String, committed: Arc<Notify>) -> Self {
        Self { store, clock, signer, origin, committed, grown: watch::channel(0).0 }
    }

    pub fn watch(&self) -> LogWatch {
        LogWatch(self.grown.subscribe())
    }

    /// Works until told to stop; then numbers and seals what is left.
    pub async fn run(self, mut stop: Stop) {
        let mut next_seal = tokio::time::Instant::now() + SEAL;
        let mut stopping = false;
        while !stopping {
            tokio::select! {
                () = self.committed.notified() => match self.store.dialect() {
                    // Numbered by the batch that wrote them.
                    Dialect::Sqlite => self.grown.send_modify(|n| *n += 1),
                    Dialect::Postgres => tokio::time::sleep(GATHER).await,
                },
                () = tokio::time::sleep(LOOK) => {}
                () = tokio::time::sleep_until(next_seal) => {}
                () = stopped(&mut stop) => stopping = true,
            }
            let until = (!stopping).then_some(next_seal);
            self.logged("numbering", step("numbering", self.number(until)).await);
            if stopping || tokio::time::Instant::now() >= next_seal {
                self.logged("sealing", step("sealing", self.seal()).await);
                next_seal = tokio::time::Instant::now() + SEAL;
            }
        }
    }

    fn logged(&self, what: &'static str, done: Option<Result<(), StoreError>>) {
        match done {
            None | Some(Ok(())) => {}
            Some(Err(error)) if error.retryable() => tracing::warn!(what, cause = chain(&error), "the log waits"),
            Some(Err(error)) => tracing::error!(what, cause = chain(&error), "the log cannot go on"),
        }
    }

    /// Numbers everything that waits. Where leaves come faster than they are numbered, until this moment: what is
    /// numbered is to be sealed, and the rest comes right after it.
    pub async fn number(&self, until: Option<tokio::time::Instant>) -> Result<(), StoreError> {
        while self.number_some().await? {
            if until.is_some_and(|until| tokio::time::Instant::now() >= until) {
                self.committed.notify_one();
                return Ok(());
            }
        }
        Ok(())
    }

    /// Numbers one transaction's worth; whether more may wait.
    async fn number_some(&self) -> Result<bool, StoreError> {
        Ok(match self.store.sequence(PAGE, fold).await? {
            Sequenced::Numbered { count, .. } => {
                self.grown.send_modify(|n| *n += count.unsigned_abs());
                count == PAGE
            }
            Sequenced::Idle | Sequenced::Fenced => false,
        })
    }

    /// Signs a checkpoint, when the log has grown.
    pub async fn seal(&self) -> Result<(), StoreError> {
        // Without a key the log grows unsealed, until there is one again.
        let Some(key) = self.signer.head() else { return Ok(()) };
        let sealed = self.store.seal(|state| self.sign(key, state)).await?;
        if let Some(checkpoint) = sealed {
            tracing::debug!(size = checkpoint.tree_size, "sealed");
        }
        Ok(())
    }

    /// The next head; `None` while a module does not sign: the log grows, and is sealed when it does again.
    async fn sign(&self, key: Arc<SigningKey>, state: SealState) -> Result<Option<CheckpointRow>, StoredFault> {
        let frontier = frontier(&state.log)?;
        let root = frontier.root();
        let checkpoint =
            Checkpoint { origin: self.origin.clone(), size: frontier.size(), root, extensions: Vec::new() };
        let signed = aside(&key, move |key| sign_checkpoint(key, &checkpoint)).await.map_err(CheckpointError::from);
        let mut note = match signed.flatten() {
            Ok(note) => note,
            Err(CheckpointError::Note(NoteError::Sign(SignError::Unreachable))) => return Ok(None),
            Err(error) => return Err(unsigned(&error)),
        };
        // PKCS #11 has no SM2: the second key is always in memory.
        if let Some(second) = self.signer.second() {
            note.sign(&self.origin, &second).map_err(|e| unsigned(&e))?;
        }
        let sealed_at_us: Timestamp = self.clock.shift(state.now);
        Ok(Some(CheckpointRow {
            tree_size: state.log.tree_size,
            root: hex::encode(root),
            note: note.to_string(),
            sealed_at_us,
        }))
    }
}

/// Extends the tree by leaves. The stored frontier is the right edge's hashes in hex, concatenated.
pub fn fold(state: &LogState, hashes: &[String]) -> Result<LogStep, StoredFault> {
    let mut frontier = frontier(state)?;
    let mut nodes = Vec::new();
    for hash in hashes {
        let hash = parse_hash("leaf_hash", hash)?;
        let mut keep = |level: u8, index: u64, hash: Hash| {
            if level > 0 && level.is_multiple_of(TILE_HEIGHT) {
                nodes.push(NodeRow { level: i64::from(level), node_index: index as i64, hash: hex::encode(hash) });
            }
        };
        frontier.push(hash, &mut keep).map_err(|e| fault("tree_size", e.to_string()))?;
    }
    Ok(LogStep { frontier: frontier.edge().iter().map(hex::encode).collect(), nodes })
}

/// The tree's right edge out of its stored form.
pub fn frontier(state: &LogState) -> Result<Frontier, StoredFault> {
    let text = state.frontier.as_bytes();
    let edge = text.chunks(64).map(|chunk| parse_hash("frontier", std::str::from_utf8(chunk).unwrap_or_default()));
    let edge = edge.collect::<Result<Vec<_>, _>>()?;
    Frontier::from_edge(state.tree_size.unsigned_abs(), edge).map_err(|e| fault("frontier", e.to_string()))
}

fn parse_hash(column: &'static str, text: &str) -> Result<Hash, StoredFault> {
    let mut hash = Hash::default();
    hex::decode_to_slice(text, &mut hash).map_err(|_| fault(column, format!("{text:?} is no hash")))?;
    Ok(hash)
}

fn unsigned(error: &dyn std::error::Error) -> StoredFault {
    StoredFault { table: "checkpoints", column: "note", problem: error.to_string() }
}

fn fault(column: &'static str, problem: String) -> StoredFault {
    StoredFault { table: "log_frontier", column, problem }
}

#[cfg(test)]
mod tests {
    use jjj_token::merkle::{leaf_hash, root};

    use super::*;

    #[test]
    fn folding_in_steps_gives_the_tree_over_all_leaves() {
        let leaves: Vec<Hash> = (0..600u32).map(|n| leaf_hash(&n.to_be_bytes())).collect();
        let mut state = LogState::default();
        let mut nodes = Vec::new();
        for step in leaves.chunks(97) {
            let hashes: Vec<String> = step.iter().map(hex::encode).collect();
            let folded = fold(&state, &hashes).unwrap();
            nodes.extend(folded.nodes);
            state = LogState { tree_size: state.tree_size + step.len() as i64, frontier: folded.frontier };
        }
        assert_eq!(frontier(&state).unwrap().root(), root(&leaves));
        assert_eq!(nodes.len(), 2, "two complete subtrees of 256");
        assert_eq!(nodes[1].hash, hex::encode(root(&leaves[256..512])));
    }
}
