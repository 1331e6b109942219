//! Reads that go through much of the database: each participant may have a few of them under way, so
//! that nobody's reports take all the connections for reading.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jjj_domain::names::Participant;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Caller, Refusal};

const HEAVY: [&str; 9] = [
    "/jjj.gateway.v1.LedgerService/GetTrialBalance",
    "/jjj.gateway.v1.LedgerService/ListEntries",
    "/jjj.gateway.v1.MonthCloseService/ListVouchers",
    "/jjj.gateway.v1.ParticipantService/ListSignatures",
    "/jjj.gateway.v1.PaymentService/ListEligibility",
    "/jjj.gateway.v1.ReconciliationService/GetView",
    "/jjj.gateway.v1.RecordService/CompareRecords",
    "/jjj.gateway.v1.RecordService/FetchRecords",
    "/jjj.gateway.v1.ReportService/GetReport",
];
/// Of a participant at once; the store has eight connections for reading.
const AT_ONCE: usize = 3;
/// How long one waits for its turn.
const TURN_WITHIN: Duration = Duration::from_secs(10);

/// Whose turn it is.
#[derive(Default)]
pub(super) struct Turns(Mutex<HashMap<Participant, Arc<Semaphore>>>);

impl Turns {
    /// The caller's turn, held for as long as the call lasts; `None` for what takes none.
    pub async fn of(&self, caller: &Caller) -> Result<Option<OwnedSemaphorePermit>, Refusal> {
        if !HEAVY.contains(&caller.method.path) {
            return Ok(None);
        }
        let turns = {
            let mut all = self.0.lock().expect("no panic while held");
            all.entry(caller.participant().clone()).or_insert_with(|| Arc::new(Semaphore::new(AT_ONCE))).clone()
        };
        let turn = tokio::time::timeout(TURN_WITHIN, turns.acquire_owned()).await;
        Ok(Some(turn.map_err(|_| Refusal::ReadsBusy)?.expect("never closed")))
    }
}

#[cfg(test)]
mod tests {
    use jjj_domain::names::Actor;

    use super::*;
    use crate::authorise::Role;

    fn caller(of: &str, path: &str) -> Caller {
        Caller {
            actor: of.parse::<Actor>().unwrap(),
            role: Role::Region,
            method: jjj_wire::methods::method(path).unwrap(),
            kid: "".into(),
            token: "".into(),
            jti: String::new(),
            iat_s: 0,
            exp_s: 0,
            token_digest: String::new(),
            items: Vec::new(),
        }
    }

    #[tokio::test]
    async fn a_participants_reports_leave_connections_to_others() {
        let turns = Turns::default();
        let (beijing, hebei) = (caller("regions/110000", HEAVY[0]), caller("regions/130000", HEAVY[1]));
        let chen = caller("regions/110000/admins/chen", HEAVY[2]);
        let mut held = Vec::new();
        for who in [&beijing, &beijing, &chen] {
            held.push(turns.of(who).await.unwrap().unwrap());
        }
        let fourth = turns.of(&beijing);
        tokio::pin!(fourth);
        let at_once = Duration::from_millis(100);
        assert!(tokio::time::timeout(at_once, &mut fourth).await.is_err(), "all of one participant's");
        assert!(turns.of(&hebei).await.unwrap().is_some(), "another's turn");
        let light = caller("regions/110000", "/jjj.gateway.v1.BillService/GetBill");
        assert!(turns.of(&light).await.unwrap().is_none());
        held.pop();
        assert!(fourth.await.unwrap().is_some(), "there is one again");
    }

    #[test]
    fn what_is_heavy_is_a_read_of_one_answer() {
        let known = |path| jjj_wire::methods::method(path).is_some_and(|m| !m.mutating && !m.streaming);
        assert!(HEAVY.iter().all(|path| known(path)));
    }
}
