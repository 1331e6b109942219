//! Reads that go through much of the database: each participant may have a few of them under way, so
//! that nobody's reports take all the connections for reading.

use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;

use super::Caller;
use crate::status::Refused;
use crate::turns::Turns;

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
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn turns() -> Turns {
    Turns::new(AT_ONCE, PATIENCE)
}

/// The caller's turn, to be held for as long as the call lasts; `None` for what takes none.
pub(super) async fn turn(turns: &Turns, caller: &Caller) -> Result<Option<OwnedSemaphorePermit>, Refused> {
    if !HEAVY.contains(&caller.method.path) {
        return Ok(None);
    }
    turns.take(caller.participant()).await.map(Some)
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
        let turns = Turns::new(AT_ONCE, Duration::from_millis(50));
        let (beijing, hebei) = (caller("regions/110000", HEAVY[0]), caller("regions/130000", HEAVY[1]));
        let chen = caller("regions/110000/admins/chen", HEAVY[2]);
        let mut held = Vec::new();
        for who in [&beijing, &beijing, &chen] {
            held.push(turn(&turns, who).await.unwrap().unwrap());
        }
        let refused = turn(&turns, &beijing).await.unwrap_err();
        assert!(matches!(refused, Refused::Busy), "all of one participant's: {refused:?}");
        assert!(turn(&turns, &hebei).await.unwrap().is_some(), "another's turn");
        let light = caller("regions/110000", "/jjj.gateway.v1.BillService/GetBill");
        assert!(turn(&turns, &light).await.unwrap().is_none());
        held.pop();
        assert!(turn(&turns, &beijing).await.unwrap().is_some(), "there is one again");
    }

    #[test]
    fn what_is_heavy_is_a_read_of_one_answer() {
        let known = |path| jjj_wire::methods::method(path).is_some_and(|m| !m.mutating && !m.streaming);
        assert!(HEAVY.iter().all(|path| known(path)));
    }
}
