//! A restored log opens a new origin (docs/witnesses.md): what is asked before, and the leaf that says so.

use std::sync::Arc;

use jjj_domain::participant::{OpenOrigin, OriginRow};
use jjj_domain::row::Row;
use jjj_store::log_tables::LeafRow;
use jjj_store::{Store, StoreError};
use jjj_token::note::NoteVerifier;
use tokio::sync::Notify;

use crate::bootstrap::own_job;
use crate::clock::Clock;
use crate::config::{Config, ConfigError};
use crate::cosign::{self, Standing};
use crate::engine::{Engine, Tools};
use crate::gateway::StartError;
use crate::keys::{GatewayKeys, Signer};
use crate::registry::Registry;
use crate::seal::{Sealer, frontier};
use crate::status::Refused;

/// That a witness cannot be asked is said at first, and again after so many looks.
const SAY_EVERY: u32 = 60;
/// A log is not restored more often.
const MOST: i64 = 10_000;

/// A new origin, opened.
#[derive(Debug)]
pub struct Opened {
    /// Leaves that it begins with, and their root in hex.
    pub tree_size: i64,
    pub root: String,
    /// The largest size under the old origin that a witness knows.
    pub witnessed_size: i64,
    /// The log's verifier key under its new name, for witnesses and verifiers.
    pub vkey: String,
}

/// Why none was opened.
#[derive(Debug, thiserror::Error)]
pub enum OriginError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("the database")]
    Store(#[from] StoreError),
    #[error("comparing with the witnesses")]
    Compare(#[from] cosign::CompareError),
    #[error("no signing key of the gateway's is in force")]
    SigningKey,
    #[error("the new origin was refused: {0:?}")]
    Refused(Refused),
    #[error("the log goes on as {by} already")]
    Succeeded { by: String },
    /// Somebody wrote meanwhile: the leaf is not where it says.
    #[error("its first head was not signed, the key's module does not answer: the same command again signs it")]
    Unsealed,
    #[error("another gateway runs on this database: stop it, and restore again")]
    Meanwhile,
}

/// Seals the new origin's first head. A gateway that starts without one would take the old origin's for its newest.
async fn seal(store: &Store, sealer: &Sealer, tree_size: i64) -> Result<(), OriginError> {
    sealer.seal().await?;
    if head_size(store).await? > tree_size { Ok(()) } else { Err(OriginError::Unsealed) }
}

/// Leaves under the newest head; 0 before the first.
async fn head_size(store: &Store) -> Result<i64, StoreError> {
    Ok(store.read().await?.latest_checkpoint().await?.map_or(0, |head| head.tree_size))
}

/// By which origin a log of this name was followed.
async fn successor(store: &Store, origin: &str) -> Result<Option<OriginRow>, StoreError> {
    for values in store.read().await?.scan(OriginRow::spec(), None, MOST).await? {
        let row = OriginRow::from_values(values)?;
        if row.follows == origin {
            return Ok(Some(row));
        }
    }
    Ok(None)
}

/// Refuses to go on under a name that the log has no more, or behind what a witness knows. Waits until enough
/// witnesses have been compared ([`crate::config::Witnesses::needed_at_start`]): before that nothing is accepted, for
/// what is would perhaps be a fork. The others are asked every second while the gateway runs.
pub(crate) async fn check(store: &Store, config: &Config) -> Result<(), StartError> {
    let origin = || config.origin.clone();
    if let Some(by) = successor(store, &config.origin).await? {
        return Err(StartError::Succeeded { origin: origin(), by: by.origin });
    }
    let needed = config.witnesses.needed_at_start();
    if needed > 0 && !config.witnesses.uncompared && head_size(store).await? == 0 {
        return Err(StartError::NoHead { origin: origin() });
    }
    let mut peers: Vec<_> = config.witnesses.peers.iter().collect();
    let mut compared = 0;
    for look in 0u32.. {
        let mut unknown = Vec::new();
        for (peer, (witness, standing)) in peers.iter().zip(cosign::compare(store, &peers).await?) {
            match standing {
                Standing::Behind { known, ours } => {
                    return Err(StartError::Behind { origin: origin(), witness, known, ours });
                }
                Standing::Forked { .. } => return Err(StartError::Forked { origin: origin(), witness }),
                Standing::Level => compared += 1,
                Standing::Unknown { cause } => {
                    if look.is_multiple_of(SAY_EVERY) {
                        tracing::warn!(witness, cause, "the log was not compared with what it knows");
                    }
                    unknown.push(*peer);
                }
            }
        }
        if compared >= needed {
            break;
        }
        if config.witnesses.uncompared {
            tracing::error!(compared, needed, "started before enough witnesses were compared, as it was told to");
            break;
        }
        if look.is_multiple_of(SAY_EVERY) {
            tracing::warn!(compared, needed, "waits: nothing is accepted before so many witnesses have been compared");
        }
        peers = unknown;
        tokio::time::sleep(cosign::EVERY).await;
    }
    Ok(())
}

/// Opens `origin` on a database that no gateway runs on, after the one that the configuration names. The first leaf
/// under it names the old origin, the leaves that there are and their root.
///
/// # Errors
/// See [`OriginError`]. But for [`OriginError::Meanwhile`] and [`OriginError::Unsealed`], nothing was recorded.
pub async fn open(config: &Config, clock: &Clock, origin: &str, reason: &str) -> Result<Opened, OriginError> {
    config.check()?;
    let keys = GatewayKeys::load(&config.keys)?;
    let store = Store::open(&config.database.url).await?;
    store.check_schema().await?;
    let registry = Registry::load(&store, clock).await?;
    let signer = Signer::new(keys.clone(), Some(registry.clone()));
    let key = signer.head().ok_or(OriginError::SigningKey)?;
    let verifier = NoteVerifier::new(origin, key.verifying_key()).map_err(|e| crate::config::fault("origin", e))?;
    let committed = Arc::new(Notify::new());
    let sealer = Sealer::new(store.clone(), clock.clone(), signer, origin.to_owned(), committed.clone());
    if let Some(row) = successor(&store, &config.origin).await? {
        let is_sealed = head_size(&store).await? > row.tree_size;
        if row.origin != origin || is_sealed {
            return Err(OriginError::Succeeded { by: row.origin });
        }
        // Recorded before, and not signed for then.
        sealer.number(None).await?;
        seal(&store, &sealer, row.tree_size).await?;
        let OriginRow { tree_size, root, witnessed_size, .. } = row;
        return Ok(Opened { tree_size, root, witnessed_size, vkey: verifier.vkey() });
    }
    let known = cosign::compare(&store, &config.witnesses.peers.iter().collect::<Vec<_>>()).await?.into_iter().map(
        |(witness, standing)| match standing {
            Standing::Behind { known, .. } | Standing::Forked { known } => i64::try_from(known).unwrap_or(i64::MAX),
            Standing::Level => 0,
            Standing::Unknown { cause } => {
                tracing::warn!(witness, cause, "the log was not compared with what it knows");
                0
            }
        },
    );
    let known = known.max().unwrap_or(0);
    // What was committed and not numbered belongs to the old origin.
    sealer.number(None).await?;
    let state = store.read().await?.frontier().await?;
    let root = hex::encode(frontier(&state).map_err(StoreError::from)?.root());
    let tree_size = state.tree_size;
    let witnessed_size = known.max(tree_size);
    let opening = OpenOrigin {
        origin: origin.to_owned(),
        follows: config.origin.clone(),
        tree_size,
        root: root.clone(),
        witnessed_size,
        reason: reason.to_owned(),
    };
    // Comparing may have taken longer than a view is believed.
    registry.refresh().await?;
    let (engine, workers) = Engine::start(Tools {
        store: store.clone(),
        clock: clock.clone(),
        keys,
        origin: origin.to_owned(),
        limits: config.limits,
        registry: Some(registry),
        committed,
    });
    let outcome = engine.submit(own_job(clock, "open an origin", Box::new(opening))).await;
    drop(engine);
    workers.finish().await;
    outcome.map_err(OriginError::Refused)?;
    sealer.number(None).await?;
    let leaf: Option<LeafRow> = store.read().await?.leaf_at(tree_size).await?;
    if leaf.is_none_or(|leaf| leaf.record != OriginRow::name_of(origin)) {
        return Err(OriginError::Meanwhile);
    }
    seal(&store, &sealer, tree_size).await?;
    store.close().await;
    Ok(Opened { tree_size, root, witnessed_size, vkey: verifier.vkey() })
}
