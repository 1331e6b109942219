//! What goes into the write path and what comes out.

use std::sync::Arc;

use bytes::Bytes;
use jjj_domain::decision::{Call, Command};
use jjj_domain::names::{Actor, RequestId};
use jjj_domain::time::Timestamp;
use jjj_store::RequestClaim;
use jjj_token::seal::DataKey;
use jjj_token::{Hash, receipt::Receipt};
use sha2::{Digest, Sha256};

use super::leaf::LeafView;
use crate::identity::{Caller, Item};
use crate::status::Refused;

/// One mutation.
pub struct Job {
    pub actor: Actor,
    pub request_id: RequestId,
    pub origin: Origin,
    pub command: Box<dyn Command>,
    /// Whose key encrypts the request's bytes, where they hold personal data.
    pub sealed_for: Option<SealedFor>,
    /// Whether it is decided in a transaction of its own that sees one moment: a reconciliation run reads
    /// much and must not see half of a payment. On PostgreSQL payments go on meanwhile; on SQLite, with its
    /// one writer, they take turns with it.
    pub alone: bool,
    /// An upload that this command completes: its working row goes in the same transaction.
    pub completes_upload: Option<String>,
}

/// When a batch is decided, and by which of the writers.
#[derive(Clone, Copy)]
pub(super) struct Moment {
    pub now: Timestamp,
    /// [`Call::lane`]
    pub lane: i64,
}

/// Where a mutation comes from.
pub enum Origin {
    /// A signed call.
    Signed(Evidence),
    /// The gateway itself: a timer, a job, the first rows. Its leaves have no evidence. The text
    /// says what is done, so that the same id for something else is noticed.
    Gateway { content: String },
}

/// A signed request's bytes and its author's signature.
#[derive(Clone)]
pub struct Evidence {
    /// The method called, which the token is bound to.
    pub path: &'static str,
    /// The single method that the item is a request of; differs from `path` in batch calls.
    pub operation: &'static str,
    pub item: Bytes,
    pub item_hash: Hash,
    pub index: u32,
    pub count: u32,
    /// Way from the item to the root that the token binds.
    pub item_path: Vec<Hash>,
    /// The key that signed.
    pub kid: Arc<str>,
    pub token: Arc<str>,
    /// SHA-256 of the token, hex.
    pub token_digest: String,
    /// From when until when the token is good, seconds since 1970.
    pub iat_s: i64,
    pub exp_s: i64,
}

/// The person whose key encrypts a request.
pub enum SealedFor {
    /// Registered by this very request, with this key.
    New { person: String, key: DataKey },
    /// Known: the key is unwrapped when the request is recorded.
    Known { person: String },
}

impl SealedFor {
    pub fn person(&self) -> &str {
        match self {
            Self::New { person, .. } | Self::Known { person } => person,
        }
    }
}

/// An accepted mutation, durable.
#[derive(Clone, Debug)]
pub struct Accepted {
    pub leaf: Arc<LeafView>,
    /// `None` for the gateway's own.
    pub receipt: Option<Arc<Receipt>>,
}

pub type Outcome = Result<Accepted, Refused>;

impl Evidence {
    /// The evidence for one item of a call.
    pub fn of(caller: &Caller, index: usize, item: &Item) -> Self {
        Self {
            path: caller.method.path,
            operation: caller.method.item.unwrap_or(caller.method.path),
            item: item.bytes.clone(),
            item_hash: item.leaf_hash,
            index: index as u32,
            count: caller.items.len() as u32,
            item_path: item.path.clone(),
            kid: caller.kid.clone(),
            token: caller.token.clone(),
            token_digest: caller.token_digest.clone(),
            iat_s: caller.iat_s,
            exp_s: caller.exp_s,
        }
    }
}

impl Job {
    pub(super) fn call(&self, Moment { now, lane }: Moment) -> Call {
        Call { actor: self.actor.clone(), request_id: self.request_id, now, lane }
    }

    pub(super) fn claim(&self) -> RequestClaim {
        RequestClaim {
            participant: self.actor.participant().clone(),
            request_id: self.request_id,
            content_digest: self.content_digest(),
            leaf_id: self.call(Moment { now: Timestamp(0), lane: 0 }).leaf_id(0),
        }
    }

    /// SHA-256 over the single method's path, a zero byte and the request's bytes, hex. The path
    /// belongs to it: the same bytes can be requests of two methods.
    fn content_digest(&self) -> String {
        let (operation, content) = match &self.origin {
            Origin::Signed(evidence) => (evidence.operation, evidence.item.as_ref()),
            Origin::Gateway { content } => ("gateway", content.as_bytes()),
        };
        hex::encode(Sha256::new().chain_update(operation).chain_update([0]).chain_update(content).finalize())
    }

    pub(super) fn evidence(&self) -> Option<&Evidence> {
        match &self.origin {
            Origin::Signed(evidence) => Some(evidence),
            Origin::Gateway { .. } => None,
        }
    }
}
