//! Each leaf with its evidence and receipt: what can be checked of it by itself.
//!
//! Pages are checked on their own threads while the next is read.

use std::collections::HashMap;
use std::sync::Arc;

use jjj_domain::ledger::TransferRow;
use jjj_domain::names::Actor;
use jjj_domain::participant::{AuthorityRow, KeyRow, may_register};
use jjj_domain::row::{Row, TableSpec};
use jjj_domain::value::Value;
use jjj_store::log_tables::{EvidenceRow, LeafRow};
use jjj_token::Hash;
use jjj_token::merkle::leaf_hash;

use super::agreed::{self, Step};
use super::body::{Body, Erased, PrivateCommitment};
use super::digest::{Id, id, key_id, row_hash};
use super::evidence::{Signed, check_evidence};
use super::ground::Ground;
use super::keys::Keys;
use super::order::{NOWHERE, Order, Place};
use super::origins::Origins;
use super::report::{Check, Findings, quote};
use crate::engine::effects::LOG_DEADLINE_US;

/// What pages are checked against.
pub struct Context {
    pub order: Order,
    pub keys: Keys,
    pub origins: Origins,
}

/// A page of leaves with what belongs to them.
#[derive(Default)]
pub struct Page {
    pub leaves: Vec<LeafRow>,
    /// In the same order; without a leaf, at fault.
    pub evidence: Vec<EvidenceRow>,
    /// By the leaf whose evidence holds each.
    pub tokens: HashMap<String, Arc<str>>,
}

/// What a page's check leaves behind.
#[derive(Default)]
pub struct Checked {
    pub findings: Findings,
    /// All leaves, also those whose body cannot be read.
    pub leaves_read: u64,
    pub leaves: Vec<LeafFacts>,
}

/// What the checks over all leaves need of one.
pub struct LeafFacts {
    pub place: Place,
    pub hash: Hash,
    /// Records of which this leaf is a version: the leaf's own, and keys and authorities that
    /// came or went with their holder.
    pub versions: Vec<(Id, i64)>,
    pub cause: Option<Id>,
    /// Key and row of everything it accounts for.
    pub rows: Vec<(Id, Hash)>,
    pub private: Vec<PrivateCommitment>,
    pub erased: Vec<Erased>,
    pub transfers: Vec<TransferRow>,
    /// By when it is to be under a checkpoint.
    pub deadline_us: i64,
    /// SHA-256 of the token that signed it.
    pub token: Option<Hash>,
    /// The first leaf of its request.
    pub first: Id,
    /// On what the gateway acted by itself, if this is the first leaf of such a request.
    pub ground: Option<Ground>,
    pub agreed: Vec<Step>,
}

impl Page {
    pub fn check(self, context: &Context) -> Checked {
        let mut checked = Checked::default();
        let mut signed = Signed::default();
        let mut evidence = self.evidence.into_iter().peekable();
        checked.leaves_read = self.leaves.len() as u64;
        for leaf in self.leaves {
            while let Some(orphan) = evidence.next_if(|row| row.leaf_id < leaf.leaf_id) {
                checked.findings.row(Check::Evidence, "evidence", orphan.leaf_id, "is of no leaf");
            }
            let own = evidence.next_if(|row| row.leaf_id == leaf.leaf_id);
            let body = check_leaf(&leaf, context, &mut checked.findings);
            let Some(body) = body else { continue };
            check_registrar(&body, &mut checked.findings);
            let deadline =
                check_evidence(&leaf, &body, own.as_ref(), &self.tokens, context, &mut signed, &mut checked.findings);
            checked.leaves.push(facts(&leaf, body, own.as_ref(), deadline, context));
        }
        for orphan in evidence {
            checked.findings.row(Check::Evidence, "evidence", orphan.leaf_id, "is of no leaf");
        }
        checked
    }
}

/// The leaf's columns, its hash and its place. `None` when its body cannot be read.
fn check_leaf(leaf: &LeafRow, context: &Context, findings: &mut Findings) -> Option<Body> {
    let hash = hex::encode(leaf_hash(leaf.body.as_bytes()));
    if hash != leaf.leaf_hash {
        let problem = format!("is {}, the body hashes to {hash}", quote(&leaf.leaf_hash));
        findings.column(Check::Leaf, "leaves", &leaf.leaf_id, "leaf_hash", problem);
    }
    check_place(leaf, &hash, context, findings);
    let body = match Body::parse(&leaf.body) {
        Ok(body) => body,
        Err(problem) => {
            findings.column(Check::Leaf, "leaves", &leaf.leaf_id, "body", problem);
            return None;
        }
    };
    let mut compare = |column, stored: &dyn std::fmt::Display, said: &dyn std::fmt::Display| {
        let (stored, said) = (stored.to_string(), said.to_string());
        if stored != said {
            let problem = format!("is {}, the body says {}", quote(stored), quote(said));
            findings.column(Check::Leaf, "leaves", &leaf.leaf_id, column, problem);
        }
    };
    compare("leaf_id", &leaf.leaf_id, &body.id);
    compare("record", &leaf.record, &body.record);
    compare("version", &leaf.version, &body.version);
    compare("kind", &leaf.kind, &body.kind);
    compare("author", &leaf.author, &body.author);
    compare("recorded_at_us", &leaf.recorded_at_us.0, &body.recorded_at_us);
    if let Some(pending) = context.order.pending(context.order.place(&leaf.leaf_id))
        && pending.audience != body.audience_lines()
    {
        findings.column(Check::Order, "leaf_pending", pending.pending_id, "audience", "is not the leaf's");
    }
    Some(body)
}

/// That the leaf is numbered or waits, under its own hash.
fn check_place(leaf: &LeafRow, hash: &str, context: &Context, findings: &mut Findings) {
    let place = context.order.place(&leaf.leaf_id);
    if place == NOWHERE {
        // Which of the two lost its row nobody can tell, unless the numbers have a hole.
        let queue = if context.order.lacks_numbers() { "leaf_order" } else { "leaf_pending" };
        findings.row(Check::Order, "leaves", &leaf.leaf_id, "is neither numbered nor waits for a number");
        findings.row(Check::Order, queue, &leaf.leaf_id, "lacks this leaf");
    } else if let Some(pending) = context.order.pending(place) {
        if pending.leaf_hash != hash {
            findings.column(Check::Order, "leaf_pending", pending.pending_id, "leaf_hash", "is not the leaf's");
        }
    } else if context.order.hash(place).map(hex::encode).as_deref() != Some(hash) {
        let index = context.order.index(place).unwrap_or_default();
        findings.column(Check::Order, "leaf_order", index, "leaf_hash", "is not the leaf's");
    }
}

fn facts(
    leaf: &LeafRow,
    body: Body,
    evidence: Option<&EvidenceRow>,
    deadline: Option<i64>,
    context: &Context,
) -> LeafFacts {
    let place = context.order.place(&leaf.leaf_id);
    let rows = body.expected(context.order.index(place));
    let rows = rows.iter().map(|(spec, values)| (row_id(spec, values), row_hash(values))).collect();
    LeafFacts {
        place,
        hash: leaf_hash(leaf.body.as_bytes()),
        versions: versions(&body),
        cause: body.cause.as_deref().map(id),
        rows,
        deadline_us: deadline.unwrap_or(body.recorded_at_us.saturating_add(LOG_DEADLINE_US)),
        token: body.evidence.as_ref().and_then(|e| super::digest::parse_hash(&e.token)),
        first: id(&body.first_id()),
        ground: Ground::of(&body),
        agreed: agreed::steps(&body, evidence),
        private: body.private,
        erased: body.erased,
        transfers: body.transfers,
    }
}

/// That who registers a key or an authority may vouch for its organisation.
fn check_registrar(body: &Body, findings: &mut Findings) {
    let author: Option<Actor> = body.author.parse().ok();
    for (spec, values) in &body.rows {
        let new = match spec.name {
            name if name == KeyRow::spec().name => KeyRow::from_values(values.clone())
                .ok()
                .filter(|key| key.version == 1)
                .map(|key| (key.kid, key.holder.participant().clone())),
            name if name == AuthorityRow::spec().name => AuthorityRow::from_values(values.clone())
                .ok()
                .filter(|authority| authority.version == 1)
                .map(|authority| (authority.fingerprint, authority.participant)),
            _ => None,
        };
        if let Some((key, of)) = new
            && !author.as_ref().is_some_and(|author| may_register(author, &of))
        {
            let problem = format!("of {of} was registered by {}, who may not vouch for it", quote(&body.author));
            findings.row(Check::Evidence, spec.name, key, problem);
        }
    }
}

fn versions(body: &Body) -> Vec<(Id, i64)> {
    let with_holder = body.rows.iter().filter_map(|(spec, values)| match spec.name {
        name if name == KeyRow::spec().name => KeyRow::from_values(values.clone()).ok().map(|k| (k.name(), k.version)),
        name if name == AuthorityRow::spec().name => {
            AuthorityRow::from_values(values.clone()).ok().map(|a| (a.name(), a.version))
        }
        _ => None,
    });
    let others = with_holder.filter(|(name, _)| *name != body.record);
    let own = std::iter::once((id(&body.record), body.version));
    own.chain(others.map(|(name, version)| (id(&name), version))).collect()
}

fn row_id(spec: &'static TableSpec, values: &[Value]) -> Id {
    key_id(spec, &spec.key_of(values))
}
