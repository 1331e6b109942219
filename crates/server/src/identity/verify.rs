//! From a connection, a token and a message to a caller.

use std::sync::Arc;

use bytes::Bytes;
use jjj_domain::names::Actor;
use jjj_domain::participant::{KeyState, Standing};
use jjj_token::request::{
    Expected, RequestClaims, RequestTokenError, check_root, decode_unverified_issuer, verify_request,
};
use jjj_wire::methods::{self, Method};
use sha2::{Digest, Sha256};

use super::{Caller, Refusal, body};
use crate::authorise::{Role, is_allowed};
use crate::clock::Clock;
use crate::registry::{Registry, View};
use crate::status::Refused;
use crate::tls::Peer;
use crate::turns::Turns;

/// What every verification needs.
pub struct Door {
    pub registry: Arc<Registry>,
    pub clock: Clock,
    /// The gateway's name, `aud` of every token.
    pub audience: String,
    pub(super) turns: Turns,
}

/// Who calls, by the headers alone.
pub(super) struct Admitted {
    actor: Actor,
    role: Role,
    method: &'static Method,
    kid: String,
    token: Arc<str>,
    claims: RequestClaims,
}

impl Admitted {
    /// The caller with the content that the token binds.
    pub(super) fn with(self, message: &Bytes) -> Result<Caller, Refusal> {
        let (root, items) = body::items(self.method, message)?;
        if self.method.binds_content() {
            check_root(&self.claims, &root)?;
        }
        Ok(Caller {
            actor: self.actor,
            role: self.role,
            method: self.method,
            kid: self.kid.into(),
            token_digest: hex::encode(Sha256::digest(self.token.as_bytes())),
            token: self.token,
            jti: self.claims.jti,
            iat_s: self.claims.iat,
            exp_s: self.claims.exp,
            items,
        })
    }
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

    /// Verifies everything about a call but its content, which is not read before. Takes a signature
    /// verification's time, on the caller's thread, and holds no lock.
    pub(super) fn verify(&self, peer: &Peer, method: &'static Method, token: &str) -> Result<Admitted, Refused> {
        let view = self.registry.believed().ok_or(Refused::Unavailable)?;
        Ok(self.verify_in(&view, peer, method, token)?)
    }

    fn verify_in(&self, view: &View, peer: &Peer, method: &'static Method, token: &str) -> Result<Admitted, Refusal> {
        let unverified = decode_unverified_issuer(token)?;
        let key = view.key(&unverified.kid).ok_or(Refusal::KeyUnknown)?;
        if key.state != KeyState::Active {
            return Err(Refusal::KeyNotInForce);
        }
        let issuer = key.holder.to_string();
        let expected = Expected {
            issuer: &issuer,
            audience: &self.audience,
            path: method.path,
            certificate_sha256: &peer.certificate_sha256,
            now_s: self.clock.now_s(),
        };
        let claims = verify_request(token, &key.key, &expected)?;
        if method.binds_content() && claims.root.is_none() {
            return Err(RequestTokenError::ContentNotBound.into());
        }
        let actor = key.holder.clone();
        if !view.chains_to(peer, actor.participant(), self.clock.unix_time()) {
            return Err(Refusal::CertificateOfAnother);
        }
        let role = self.role(view, &actor)?;
        if !is_allowed(role, method.path) {
            return Err(Refusal::RoleNotAllowed);
        }
        Ok(Admitted { actor, role, method, kid: unverified.kid, token: token.into(), claims })
    }

    fn role(&self, view: &View, actor: &Actor) -> Result<Role, Refusal> {
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use jjj_store::Store;
    use tokio::sync::Semaphore;
    use tonic::{Code, Status};
    use tonic_types::StatusExt;

    use super::*;
    use crate::identity::heavy;

    #[tokio::test]
    async fn while_nobody_knows_who_is_registered_nobody_is_judged() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&format!("sqlite:{}", dir.path().join("jjj.db").display())).await.unwrap();
        store.migrate().await.unwrap();
        let registry = Registry::load(&store, &Clock::default()).await.unwrap();
        let (clock, audience) = (Clock::default(), "gateway.test".to_owned());
        let door = Door { registry: registry.clone(), clock, audience, turns: heavy::turns() };
        let (chain, unread) = (Vec::new(), Semaphore::new(0));
        let peer = Peer { chain, certificate_sha256: [0; 32], in_date: (0, 0), chained_to: Mutex::default(), unread };
        let method = &methods::METHODS[0];
        let refused = |door: &Door| door.verify(&peer, method, "no token").err().unwrap();
        assert!(matches!(refused(&door), Refused::AtTheDoor(Refusal::Token(_))));
        registry.lose_sight();
        let status = Status::from(refused(&door));
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(status.get_details_error_info().unwrap().reason, "GATEWAY_UNAVAILABLE");
        assert!(status.get_details_retry_info().is_some());
    }
}
