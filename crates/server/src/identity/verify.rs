//! From a connection, a token and a message to a caller.

use std::sync::Arc;

use bytes::Bytes;
use jjj_domain::participant::{KeyState, Standing};
use jjj_token::request::{Expected, decode_unverified_issuer, verify_request};
use jjj_wire::methods::{self, Method};
use sha2::{Digest, Sha256};

use super::{Caller, Refusal, body};
use crate::authorise::{Role, is_allowed};
use crate::clock::Clock;
use crate::registry::{Registry, View};
use crate::tls::Peer;

/// What every verification needs.
pub struct Door {
    pub registry: Arc<Registry>,
    pub clock: Clock,
    /// The gateway's name, `aud` of every token.
    pub audience: String,
}

/// The token in a call's metadata.
pub(super) fn bearer(headers: &http::HeaderMap) -> Result<&str, Refusal> {
    let mut values = headers.get_all(http::header::AUTHORIZATION).iter();
    let value = values.next().and_then(|v| v.to_str().ok()).ok_or(Refusal::TokenMissing)?;
    if values.next().is_some() {
        return Err(Refusal::TokenMissing);
    }
    value.strip_prefix("Bearer ").or_else(|| value.strip_prefix("bearer ")).ok_or(Refusal::TokenMissing)
}

impl Door {
    /// Whether the peer's certificate is in date now; a connection may outlive it.
    pub(super) fn check_certificate(&self, peer: &Peer) -> Result<(), Refusal> {
        let (from, until) = peer.in_date;
        if (from..=until).contains(&self.clock.now_s()) { Ok(()) } else { Err(Refusal::CertificateNotInDate) }
    }

    /// Verifies everything about a call. Takes a signature verification's time, on the caller's
    /// thread, and holds no lock.
    pub(super) fn verify(
        &self,
        peer: &Peer,
        method: &'static Method,
        token: &str,
        message: &Bytes,
    ) -> Result<Caller, Refusal> {
        let view = self.registry.view();
        let unverified = decode_unverified_issuer(token)?;
        let key = view.key(&unverified.kid).ok_or(Refusal::KeyUnknown)?;
        if key.state != KeyState::Active {
            return Err(Refusal::KeyNotInForce);
        }
        let (root, items) = body::items(method, message)?;
        let issuer = key.holder.to_string();
        let expected = Expected {
            issuer: &issuer,
            audience: &self.audience,
            path: method.path,
            certificate_sha256: &peer.certificate_sha256,
            root: method.mutating.then_some(&root),
            now_s: self.clock.now_s(),
        };
        let claims = verify_request(token, &key.key, &expected)?;
        let actor = key.holder.clone();
        if !view.chains_to(peer, actor.participant(), self.clock.unix_time()) {
            return Err(Refusal::CertificateOfAnother);
        }
        let role = self.role(&view, &actor)?;
        if !is_allowed(role, method.path) {
            return Err(Refusal::RoleNotAllowed);
        }
        let token_digest = hex::encode(Sha256::digest(token));
        Ok(Caller {
            actor,
            role,
            method,
            kid: unverified.kid.as_str().into(),
            token: token.into(),
            token_digest,
            iat_s: claims.iat,
            exp_s: claims.exp,
            items,
        })
    }

    fn role(&self, view: &View, actor: &jjj_domain::names::Actor) -> Result<Role, Refusal> {
        match view.participant(actor.participant()) {
            Some(Standing::Active) => {}
            Some(Standing::Suspended | Standing::Removed) => return Err(Refusal::ParticipantSuspended),
            None => return Err(Refusal::ParticipantUnknown),
        }
        if actor.is_admin() && view.administrator(actor) != Some(Standing::Active) {
            return Err(Refusal::AdministratorNotActive);
        }
        Role::of(actor).ok_or(Refusal::RoleNotAllowed)
    }
}

/// The method a path names, where it is one of ours.
pub(super) fn method(path: &str) -> Result<&'static Method, Refusal> {
    methods::method(path).ok_or(Refusal::MethodUnknown)
}
