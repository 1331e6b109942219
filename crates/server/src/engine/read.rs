//! Questions that the rules answer without changing anything: the same demand-driven
//! loading as a decision, in a transaction that reads.

use jjj_domain::snapshot::{Snapshot, Stop};
use jjj_domain::time::Timestamp;

use super::Engine;
use crate::status::Refused;

const MAX_ROUNDS: usize = 64;

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
        let mut snapshot = Snapshot::default();
        for _ in 0..MAX_ROUNDS {
            match rule(&snapshot, now) {
                Ok(answer) => return Ok(answer),
                Err(Stop::Reject(rejection)) => return Err(Refused::Rejected(rejection)),
                Err(Stop::Miss) => {
                    let misses = snapshot.take_misses();
                    session.load(&misses, &mut snapshot).await.map_err(failed)?;
                }
            }
        }
        tracing::error!("a question did not come to an end");
        Err(Refused::Internal)
    }
}
