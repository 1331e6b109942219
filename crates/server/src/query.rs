//! The queries' timer: finds reservations that their channels leave unanswered and has the write
//! path ask about them. When a query is due is a rule ([`QueryPayment`]); every replica walks, and
//! who comes second is refused.

use std::sync::Arc;
use std::time::Duration;

use jjj_domain::names::Name;
use jjj_domain::payment::{QueryPayment, shortest_wait_us};
use jjj_domain::time::Timestamp;
use jjj_store::Reserved;

use crate::bootstrap::own_job;
use crate::gateway::Gateway;
use crate::status::Refused;
use crate::stop::{Stop, step, stopped};

const LOOK: Duration = Duration::from_secs(1);
/// Reservations read in one step of the walk.
const PAGE: i64 = 1_024;
/// Most queries put on the write path in one step: payments do not wait behind a backlog.
const MOST: usize = 128;

/// Walks until told to stop.
pub(crate) async fn run(gateway: Arc<Gateway>, mut stop: Stop) {
    let mut walk = Walk { place: START };
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = stopped(&mut stop) => return,
        }
        if let Some(Err(refused)) = step("queries", walk.step(&gateway)).await {
            tracing::warn!(?refused, "due queries could not be asked; the next step tries again");
        }
    }
}

/// Where the walk through the reservations stands; after the last it begins anew.
struct Walk {
    place: (Timestamp, String),
}

const START: (Timestamp, String) = (Timestamp(0), String::new());

impl Walk {
    async fn step(&mut self, gateway: &Gateway) -> Result<(), Refused> {
        let failed = |e| Refused::store("looking for due queries", &e);
        let wait_us = gateway.engine.read(|snapshot, now| shortest_wait_us(snapshot, now.date())).await?;
        let now = gateway.clock.now();
        let mut session = gateway.store.read().await.map_err(failed)?;
        let page = session.reserved_after(&self.place, now.plus_us(-wait_us), PAGE).await.map_err(failed)?;
        drop(session);

        let is_last = (page.len() as i64) < PAGE;
        let mut candidates = Vec::new();
        let mut rest = page.into_iter();
        while candidates.len() < MOST
            && let Some(Reserved { recorded_at, payment, due_at }) = rest.next()
        {
            if due_at.is_none_or(|due_at| due_at <= now) {
                candidates.extend(payment.parse::<Name>().map(|payment| QueryPayment { payment }));
            }
            self.place = (recorded_at, payment);
        }
        if is_last && rest.len() == 0 {
            self.place = START;
        }
        self.ask(gateway, candidates).await
    }

    async fn ask(&self, gateway: &Gateway, candidates: Vec<QueryPayment>) -> Result<(), Refused> {
        if candidates.is_empty() {
            return Ok(());
        }
        let due = gateway.engine.read(|snapshot, now| {
            // All of them, before any misses something: one load serves all.
            let due: Vec<_> = candidates.iter().map(|query| query.is_due(snapshot, now)).collect();
            due.into_iter().collect::<Result<Vec<bool>, _>>()
        });
        let due = due.await?;
        let queries = candidates.into_iter().zip(due).filter(|(_, due)| *due).map(|(query, _)| query);
        let jobs = queries.map(|query| {
            let content = format!("query {}", query.payment);
            own_job(&gateway.clock, &content, Box::new(query))
        });
        for outcome in gateway.engine.submit_all(jobs.collect()).await {
            match outcome {
                // Answered meanwhile, or asked by another replica.
                Ok(_) | Err(Refused::Rejected(_)) => {}
                Err(refused) => return Err(refused),
            }
        }
        Ok(())
    }
}
