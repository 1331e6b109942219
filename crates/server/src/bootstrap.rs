//! A fresh database: the schema, and the first rows as leaves of the gateway itself.
//! Nobody has signed these: whoever sets the gateway up vouches for them, out of band.

use std::sync::Arc;

use jjj_domain::decision::Command;
use jjj_domain::names::{Actor, Participant, RequestId};
use jjj_domain::participant::FoundGateway;
use jjj_domain::policy;
use jjj_store::{Store, StoreError};
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::config::Limits;
use crate::engine::{Engine, Job, Origin, Tools};
use crate::keys::{GatewayKeys, Signer};
use crate::seal::Sealer;
use crate::status::Refused;

/// Why a database was not set up.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    #[error("the database")]
    Store(#[from] StoreError),
    /// The rule's own words, or what kept it from being asked.
    #[error("{what} was refused: {refused:?}")]
    Refused { what: String, refused: Refused },
}

/// Brings the schema up to date, founds the gateway and sets the default policies, numbered and
/// sealed. Refused by the rules where a gateway was founded before.
pub async fn found(
    store: &Store,
    clock: &Clock,
    keys: &GatewayKeys,
    origin: &str,
    founding: FoundGateway,
) -> Result<(), BootstrapError> {
    store.migrate().await?;
    let committed = Arc::new(Notify::new());
    let (engine, workers) = Engine::start(Tools {
        store: store.clone(),
        clock: clock.clone(),
        keys: keys.clone(),
        origin: origin.to_owned(),
        limits: Limits::default(),
        registry: None,
        committed: committed.clone(),
    });
    // Alone and first: on a gateway founded before, nothing else may be touched.
    let founded = engine.submit_all(vec![own_job(clock, "found", Box::new(founding))]).await;
    for outcome in founded {
        let what = "founding the gateway".to_owned();
        outcome.map_err(|refused| BootstrapError::Refused { what, refused })?;
    }
    let mut whats = Vec::new();
    let mut jobs = Vec::new();
    for default in policy::defaults() {
        let name = policy::policy_name(default.kind, &default.scope);
        jobs.push(own_job(clock, &name, Box::new(default)));
        whats.push(format!("the default of {name}"));
    }
    let outcomes = engine.submit_all(jobs).await;
    drop(engine);
    workers.finish().await;
    for (what, outcome) in whats.into_iter().zip(outcomes) {
        outcome.map_err(|refused| BootstrapError::Refused { what, refused })?;
    }
    let sealer =
        Sealer::new(store.clone(), clock.clone(), Signer::new(keys.clone(), None), origin.to_owned(), committed);
    sealer.number(None).await?;
    sealer.seal().await?;
    Ok(())
}

/// A mutation of the gateway's own, under an id of the moment.
pub fn own_job(clock: &Clock, content: &str, command: Box<dyn Command>) -> Job {
    Job {
        actor: Actor::system(Participant::gateway()),
        request_id: fresh_id(clock),
        origin: Origin::Gateway { content: content.to_owned() },
        command,
        sealed_for: None,
        alone: false,
        completes_upload: None,
    }
}

/// A request id of the moment, on this clock.
pub fn fresh_id(clock: &Clock) -> RequestId {
    let us = clock.now().0.max(0).unsigned_abs();
    let random: [u8; 10] = crate::keys::random();
    let uuid = uuid::Builder::from_unix_timestamp_millis(us / 1_000, &random).into_uuid();
    RequestId::new(uuid).expect("the builder makes version 7")
}
