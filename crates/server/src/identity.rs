//! Who calls, and what exactly was signed: one tower layer before all services.
//!
//! Verifies the token in stages (issuer unverified → key → everything else), authorises by
//! role, and only then takes in the call's one message, within bounds of size, time and
//! connection; hands the services a [`Caller`] with the very bytes that the signature covers. Health and reflection need only
//! the certificate.

mod body;
mod heavy;
mod layer;
mod refusal;
mod verify;

use std::sync::Arc;

use bytes::Bytes;
use jjj_domain::names::{Actor, Participant};
use jjj_token::Hash;
use jjj_wire::methods::Method;

use crate::authorise::Role;

pub(crate) use body::UNREAD_LEN;
pub use layer::{Identify, IdentifyLayer};
pub use refusal::Refusal;

/// The largest message taken, in bytes.
pub const MAX_MESSAGE_LEN: usize = 4 * 1024 * 1024;
/// The most items of a batch call.
pub const MAX_ITEMS: usize = 1_000;

/// A verified, authorised call.
#[derive(Clone)]
pub struct Caller {
    pub actor: Actor,
    pub role: Role,
    pub method: &'static Method,
    /// The key that signed.
    pub kid: Arc<str>,
    /// The request token, as received.
    pub token: Arc<str>,
    /// The token's own id.
    pub jti: String,
    /// SHA-256 of the token's text, lower-case hex.
    pub token_digest: String,
    /// From when until when the token is good, seconds since 1970.
    pub iat_s: i64,
    pub exp_s: i64,
    /// What the token's root covers: the message itself, or the items of a batch call, in order.
    /// Of a call that changes nothing, the message.
    pub items: Vec<Item>,
}

/// One signed item: its exact bytes and its way to the root.
#[derive(Clone)]
pub struct Item {
    pub bytes: Bytes,
    pub leaf_hash: Hash,
    pub path: Vec<Hash>,
}

impl Caller {
    pub fn participant(&self) -> &Participant {
        self.actor.participant()
    }

    /// Whether lists show everything.
    pub fn sees_all(&self) -> bool {
        self.role == Role::GatewayAdmin
    }
}
