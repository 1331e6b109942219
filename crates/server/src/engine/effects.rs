//! From accepted decisions to everything their transaction writes.

use std::sync::Arc;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jjj_custody::aside;
use jjj_domain::decision::{Decision, Leaf};
use jjj_domain::snapshot::Snapshot;
use jjj_domain::time::Timestamp;
use jjj_store::log_tables::{EvidenceRow, LeafRow};
use jjj_store::{Effects, LEAF_BYTES, Logged, NewLeaf};
use jjj_token::receipt::{Receipt, ReceiptBody, ReceiptError, sign_receipts};
use jjj_token::seal::{self, DataKey, MasterKey, SealError};
use jjj_token::{Hash, SignError, SigningKey};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::decide::Ruling;
use super::job::{Accepted, Evidence, Job, SealedFor};
use super::leaf::{Context, EvidenceDigests, LeafView, leaf_row};
use crate::keys::random;

/// The gateway logs within this time of accepting; receipts promise it.
pub const LOG_DEADLINE_US: i64 = 10_000_000;

/// Why a batch cannot be written: our fault, never a caller's.
#[derive(Debug, thiserror::Error)]
pub(super) enum EffectsError {
    #[error("a request could not be sealed")]
    Seal(#[from] SealError),
    #[error("the person's key is gone or cannot be read")]
    PersonKey,
    #[error("receipts could not be signed")]
    Receipt(#[from] ReceiptError),
}

impl EffectsError {
    /// Whether the module that keeps the signing key did not answer.
    pub fn is_unreachable_key(&self) -> bool {
        matches!(self, Self::Receipt(ReceiptError::Sign(SignError::Unreachable)))
    }
}

/// What a batch adds to the log, and the answers to give once that is durable.
pub(super) struct Prepared {
    pub logged: Logged,
    /// In the order of the rulings.
    pub answers: Vec<Accepted>,
}

/// Rows, a leaf's own among them, that leaves are made of before others may go on: a run's leaf has a thousand.
const AT_A_TIME: usize = 128;

/// The associated data of a sealed request: it stands for this leaf's request and no other.
pub fn evidence_aad(leaf_id: &str) -> Vec<u8> {
    format!("jjj-evidence-v1\n{leaf_id}").into_bytes()
}

/// The associated data of a person's wrapped key.
pub fn person_key_aad(person: &str) -> Vec<u8> {
    format!("jjj-person-key-v1\n{person}").into_bytes()
}

/// A command and how it was decided.
pub(super) struct Accepting<'a> {
    pub job: &'a Job,
    /// `RequestClaim::content_digest`.
    pub content_digest: &'a str,
    pub ruling: &'a Ruling,
}

/// The rows of the domain's tables that these decisions write.
pub(super) fn rows<'d>(decisions: impl Iterator<Item = &'d Decision> + Clone, decided_on: &Snapshot) -> Effects {
    let leaves = || decisions.clone().flat_map(|decision| &decision.leaves);
    Effects {
        writes: leaves().flat_map(|leaf| &leaf.writes).cloned().collect(),
        erasures: leaves().flat_map(|leaf| &leaf.erasures).cloned().collect(),
        transfers: leaves().flat_map(|leaf| &leaf.transfers).cloned().collect(),
        absent: decided_on.absent().clone(),
        changed: decided_on.changed().clone(),
        ..Effects::default()
    }
}

/// Portions of leaves ([`LEAF_BYTES`] each) made ahead of whoever writes them, who begins with the rows.
pub(super) const PORTIONS: usize = 32;

/// Leaves, and what receipts will be for.
pub(super) struct Made {
    /// Without their bodies, where they have been handed over.
    leaves: Vec<NewLeaf>,
    /// Of signed requests, without their deadline.
    bodies: Vec<ReceiptBody>,
    /// Of each command, its first leaf and its request's bytes as they are stored.
    firsts: Vec<(Arc<LeafView>, Option<Vec<u8>>)>,
}

/// Makes leaves. Steps aside now and then: the rows are being written meanwhile. Where somebody writes the leaves as they
/// come, each portion is handed over: those of a large day are more than should be held.
pub(super) async fn make(
    accepted: &[Accepting<'_>],
    now: Timestamp,
    master: &MasterKey,
    portions: Option<mpsc::Sender<Vec<LeafRow>>>,
) -> Result<Made, EffectsError> {
    let firsts = Vec::with_capacity(accepted.len());
    let mut made = Made { leaves: Vec::new(), bodies: Vec::new(), firsts };
    let mut making = Making { portions, portion: Vec::new(), bytes: 0, rows: 0 };
    for Accepting { job, content_digest, ruling } in accepted {
        let context = Context {
            actor: &job.actor,
            request_id: job.request_id,
            recorded_at: now,
            salts: &ruling.salts,
            content_digest,
        };
        let leaves = &ruling.decision.leaves;
        let mut stored =
            job.evidence().map(|e| stored_bytes(job, e, ruling, &leaves[0].leaf_id, master)).transpose()?;
        for (n, leaf) in leaves.iter().enumerate() {
            let digests = job.evidence().filter(|_| n == 0).zip(stored.as_ref()).map(|(e, s)| digests(job, e, s));
            let mut row = leaf_row(leaf, &context, digests.as_ref());
            if n == 0 {
                if job.evidence().is_some() {
                    made.bodies.push(receipt_body(&row));
                }
                made.firsts.push((Arc::new(LeafView::fresh(leaf, &row)), stored.take()));
            }
            if !making.hand_over(leaf, &mut row).await {
                return Ok(made);
            }
            made.leaves.push(NewLeaf { row, audience: leaf.audience.clone() });
        }
    }
    making.end().await;
    Ok(made)
}

/// Makes the leaves of a part of a command, and hands them over: they come back without their bodies.
pub(super) async fn make_part(
    decision: &Decision,
    context: &Context<'_>,
    portions: mpsc::Sender<Vec<LeafRow>>,
) -> Vec<NewLeaf> {
    let mut making = Making { portions: Some(portions), portion: Vec::new(), bytes: 0, rows: 0 };
    let mut made = Vec::with_capacity(decision.leaves.len());
    for leaf in &decision.leaves {
        let mut row = leaf_row(leaf, context, None);
        if !making.hand_over(leaf, &mut row).await {
            return made;
        }
        made.push(NewLeaf { row, audience: leaf.audience.clone() });
    }
    making.end().await;
    made
}

/// Leaves on their way to whoever writes them.
struct Making {
    /// `None`: they are written when all are made.
    portions: Option<mpsc::Sender<Vec<LeafRow>>>,
    portion: Vec<LeafRow>,
    bytes: usize,
    /// Made since others were last let go on.
    rows: usize,
}

impl Making {
    /// Takes a leaf's body, where somebody writes the leaves as they come. `false`: writing has failed, and says why.
    async fn hand_over(&mut self, leaf: &Leaf, row: &mut LeafRow) -> bool {
        if let Some(portions) = &self.portions {
            let body = std::mem::take(&mut row.body).to_store();
            let len = body.stored_len();
            if self.bytes + len > LEAF_BYTES && !self.portion.is_empty() {
                self.bytes = 0;
                if portions.send(std::mem::take(&mut self.portion)).await.is_err() {
                    return false;
                }
            }
            self.bytes += len;
            self.portion.push(LeafRow { body, ..row.clone() });
        }
        self.rows += 1 + leaf.writes.len();
        if self.rows >= AT_A_TIME {
            self.rows = 0;
            tokio::task::yield_now().await;
        }
        true
    }

    async fn end(self) {
        if let Some(portions) = self.portions {
            let _ = portions.send(self.portion).await;
        }
    }
}

/// Evidence and receipts. The batch's time was read at `read_at`: what has passed since is not taken off the time
/// that receipts promise.
pub(super) async fn sign(
    accepted: &[Accepting<'_>],
    made: Made,
    now: Timestamp,
    read_at: Instant,
    origin: &str,
    signing: Option<&Arc<SigningKey>>,
) -> Result<Prepared, EffectsError> {
    let Made { leaves, mut bodies, firsts } = made;
    let mut logged = Logged { leaves, ..Logged::default() };
    let written = now.plus_us(i64::try_from(read_at.elapsed().as_micros()).unwrap_or(i64::MAX));
    bodies.iter_mut().for_each(|body| body.log_deadline_us = written.plus_us(LOG_DEADLINE_US).0);
    // Nothing accepted, nothing to sign.
    let receipts = match signing {
        Some(key) if !bodies.is_empty() => {
            let origin = origin.to_owned();
            aside(key, move |key| sign_receipts(key, &origin, &bodies)).await.map_err(ReceiptError::from)??
        }
        _ => Vec::new(),
    };
    let mut receipts = receipts.into_iter();
    // The last token kept, and the leaf whose evidence has it: items of one batch call share theirs.
    let mut kept: Option<(&str, String)> = None;
    let mut answers = Vec::with_capacity(accepted.len());
    for (Accepting { job, .. }, (leaf, stored)) in accepted.iter().zip(firsts) {
        let receipt = match (job.evidence(), stored) {
            (Some(evidence), Some(item)) => {
                let receipt = receipts.next().expect("one body was signed for each signed request");
                let (_, token_leaf) = match kept.take() {
                    Some(kept) if kept.0 == evidence.token_digest => kept,
                    _ => (evidence.token_digest.as_str(), leaf.leaf_id.clone()),
                };
                logged.evidence.push(evidence_row(job, evidence, &leaf.leaf_id, &token_leaf, item, &receipt));
                kept = Some((&evidence.token_digest, token_leaf));
                Some(Arc::new(receipt))
            }
            _ => None,
        };
        answers.push(Accepted { leaf, receipt });
    }
    Ok(Prepared { logged, answers })
}

/// The request's bytes as they are stored: sealed, where they hold personal data.
fn stored_bytes(
    job: &Job,
    evidence: &Evidence,
    ruling: &Ruling,
    leaf_id: &str,
    master: &MasterKey,
) -> Result<Vec<u8>, EffectsError> {
    let seal = |key: &DataKey| seal::encrypt(key, &evidence_aad(leaf_id), random(), &evidence.item);
    match (&job.sealed_for, &ruling.sealing_key) {
        (None, _) => Ok(evidence.item.to_vec()),
        (Some(SealedFor::New { key, .. }), _) => Ok(seal(key)?),
        (Some(SealedFor::Known { person }), Some(row)) => {
            let wrapped = STANDARD.decode(&row.wrapped_key).map_err(|_| EffectsError::PersonKey)?;
            Ok(seal(&seal::unwrap_key(master, &person_key_aad(person), &wrapped)?)?)
        }
        (Some(SealedFor::Known { .. }), None) => Err(EffectsError::PersonKey),
    }
}

fn digests(job: &Job, evidence: &Evidence, stored: &[u8]) -> EvidenceDigests {
    EvidenceDigests {
        path: evidence.path,
        item: evidence.item_hash,
        index: evidence.index,
        count: evidence.count,
        token: evidence.token_digest.clone(),
        stored: hex::encode(Sha256::digest(stored)),
        sealed_for: sealed_for(job),
    }
}

fn sealed_for(job: &Job) -> Option<String> {
    job.sealed_for.as_ref().map(|s| s.person().to_owned())
}

/// Without the deadline: it counts from the end of the work.
fn receipt_body(row: &LeafRow) -> ReceiptBody {
    ReceiptBody {
        record: row.record.clone(),
        version: row.version,
        leaf_hash: jjj_token::merkle::leaf_hash(row.body.as_bytes()),
        log_deadline_us: 0,
    }
}

fn evidence_row(
    job: &Job,
    evidence: &Evidence,
    leaf_id: &str,
    token_leaf: &str,
    item: Vec<u8>,
    receipt: &Receipt,
) -> EvidenceRow {
    EvidenceRow {
        leaf_id: leaf_id.to_owned(),
        method_path: evidence.path.to_owned(),
        item,
        sealed_for: sealed_for(job),
        token_leaf: token_leaf.to_owned(),
        token: (token_leaf == leaf_id).then(|| evidence.token.to_string()),
        item_index: i64::from(evidence.index),
        item_count: i64::from(evidence.count),
        item_path: evidence.item_path.iter().map(|hash: &Hash| hex::encode(hash)).collect(),
        receipt: crate::receipt::store(receipt),
    }
}
