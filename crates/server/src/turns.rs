//! What does not go through the engine's queue, or is heavy for the database: each participant has so much of it under
//! way, and the rest of its own waits behind that, so that a flood of one's is nobody else's queue.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jjj_domain::names::Participant;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::status::Refused;

/// Whose turn it is. Holds as many participants as have ever asked.
pub(crate) struct Turns {
    at_once: usize,
    patience: Duration,
    of: Mutex<HashMap<Participant, Arc<Semaphore>>>,
}

impl Turns {
    /// So many at once of each participant; the rest waits so long.
    pub fn new(at_once: usize, patience: Duration) -> Self {
        Self { at_once, patience, of: Mutex::default() }
    }

    /// Waits for the participant's turn, first come, first served; it ends with the permit. [`Refused::Busy`] when that
    /// takes too long.
    pub async fn take(&self, participant: &Participant) -> Result<OwnedSemaphorePermit, Refused> {
        let own = {
            let mut of = self.of.lock().expect("no panic while held");
            of.entry(participant.clone()).or_insert_with(|| Arc::new(Semaphore::new(self.at_once))).clone()
        };
        let turn = tokio::time::timeout(self.patience, own.acquire_owned()).await.map_err(|_| Refused::Busy)?;
        Ok(turn.expect("never closed"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_participants_own_wait_for_each_other_and_not_without_end() {
        let turns = Turns::new(3, Duration::from_millis(50));
        let [beijing, hebei]: [Participant; 2] = ["regions/110000", "regions/130000"].map(|who| who.parse().unwrap());
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(turns.take(&beijing).await.unwrap());
        }
        let refused = turns.take(&beijing).await.unwrap_err();
        assert!(matches!(refused, Refused::Busy), "all of one participant's are taken: {refused:?}");
        assert!(turns.take(&hebei).await.is_ok(), "another's turn");
        held.pop();
        assert!(turns.take(&beijing).await.is_ok(), "there is one again");
    }
}
