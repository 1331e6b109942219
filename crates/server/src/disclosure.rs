//! Reads of personal data: each is on record before anything is disclosed, in the name of whoever
//! read, and under a token that is good for this one read.

use jjj_domain::decision::Command;
use jjj_domain::names::RequestId;
use jjj_domain::person::AccessRow;
use jjj_domain::rejection::Reason;
use sha2::{Digest, Sha256};

use crate::bootstrap::own_job;
use crate::engine::Job;
use crate::gateway::Gateway;
use crate::identity::{Caller, Refusal};
use crate::status::Refused;

/// Records a reading, as the gateway, in the reader's own lane. `TOKEN_USED` for a token under which
/// something was read before, at whichever replica.
pub async fn record(gateway: &Gateway, caller: &Caller, command: impl Command + 'static) -> Result<AccessRow, Refused> {
    // Never the same twice: what the id was used for before is not answered again.
    let content = format!("access {}", hex::encode(crate::keys::random::<16>()));
    let job = Job { request_id: id(caller), ..own_job(&gateway.clock, &content, Box::new(command)) };
    let accepted = gateway.engine.submit_for(caller.participant(), job).await.map_err(|refused| match refused {
        Refused::Rejected(rejection) if rejection.reason == Reason::RequestIdReused => {
            Refused::AtTheDoor(Refusal::TokenUsed)
        }
        other => other,
    })?;
    accepted.leaf.row().map_err(|fault| Refused::internal("rendering", &fault))
}

/// The reading's id: one for each `jti` of an actor and `iat`, so that the database sees to it that no
/// token is taken twice.
fn id(caller: &Caller) -> RequestId {
    let digest = Sha256::new().chain_update(caller.actor.to_string()).chain_update([0]).chain_update(&caller.jti);
    let digest = digest.finalize();
    let mut bits = [0; 10];
    bits.copy_from_slice(&digest[..10]);
    let ms = caller.iat_s.max(0).unsigned_abs().saturating_mul(1_000);
    RequestId::new(uuid::Builder::from_unix_timestamp_millis(ms, &bits).into_uuid())
        .expect("the builder makes version 7")
}
