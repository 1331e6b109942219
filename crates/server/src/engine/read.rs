//! Questions that the rules answer without changing anything: the same demand-driven
//! loading as a decision, in a transaction that reads.

use std::panic::{AssertUnwindSafe, catch_unwind};

use jjj_domain::snapshot::{Snapshot, Stop};
use jjj_domain::time::Timestamp;
use jjj_store::Session;

use super::Engine;
use super::batch::MAX_ROUNDS;
use crate::status::Refused;

impl Engine {
    /// Asks a rule, as of the database's time. `rule` runs until everything it reads is loaded, all
    /// of one moment.
    pub async fn read<T: Send>(
        &self,
        rule: impl Fn(&Snapshot, Timestamp) -> Result<T, Stop> + Send + Sync,
    ) -> Result<T, Refused> {
        let failed = |e| Refused::store("reading", &e);
        let mut session = self.store.read_at_once().await.map_err(failed)?;
        let now = self.clock.shift(session.now().await.map_err(failed)?);
        ask(&mut session, |snapshot| rule(snapshot, now)).await
    }
}

/// Asks a rule what the session sees. Who has a session asks with that one: whoever holds one and waits for
/// another holds up whoever does the same.
pub async fn ask<T: Send>(
    session: &mut Session,
    rule: impl Fn(&Snapshot) -> Result<T, Stop> + Send + Sync,
) -> Result<T, Refused> {
    let mut snapshot = Snapshot::default();
    for _ in 0..MAX_ROUNDS {
        // As of decisions: a rule that panics costs its own caller an answer, and no task its life.
        let Ok(answered) = catch_unwind(AssertUnwindSafe(|| rule(&snapshot))) else {
            tracing::error!("a question panicked");
            return Err(Refused::Internal);
        };
        match answered {
            Ok(answer) => return Ok(answer),
            Err(Stop::Reject(rejection)) => return Err(Refused::Rejected(rejection)),
            Err(Stop::Miss) => {
                let misses = snapshot.take_misses();
                let loaded = session.load(&misses, &mut snapshot).await;
                loaded.map_err(|e| Refused::store("reading", &e))?;
            }
        }
    }
    tracing::error!("a question did not come to an end");
    Err(Refused::Internal)
}
