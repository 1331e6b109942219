//! Small writes that do not go through the engine: acknowledgements and chunks of uploads. Each participant
//! has one under way and the rest of its own waits behind it, so that a flood of one's is nobody else's queue.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jjj_domain::names::Participant;
use tokio::sync::OwnedMutexGuard;

use crate::status::Refused;

const PATIENCE: Duration = Duration::from_secs(10);

/// Whose turn it is, by participant. There are as many as have ever written here.
#[derive(Default)]
pub(crate) struct Turns(Mutex<HashMap<Participant, Arc<tokio::sync::Mutex<()>>>>);

impl Turns {
    /// Waits for the participant's turn, first come, first served; it ends with the guard. After a while
    /// [`Refused::Busy`].
    pub async fn take(&self, participant: &Participant) -> Result<OwnedMutexGuard<()>, Refused> {
        let own = self.0.lock().expect("no panic while held").entry(participant.clone()).or_default().clone();
        tokio::time::timeout(PATIENCE, own.lock_owned()).await.map_err(|_| Refused::Busy)
    }
}
