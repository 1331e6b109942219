//! The write path. Concurrent mutations are drained into one batch, decided in order
//! in memory, written in a handful of statements, and answered when they are durable.

mod batch;
pub(crate) mod canonical;
mod decide;
pub mod effects;
mod in_parts;
pub mod job;
pub mod leaf;
mod locks;
mod queue;
mod read;
mod worker;

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jjj_domain::names::Participant;
use jjj_domain::rejection::{Reason, Rejection};
use jjj_store::Store;
use jjj_store::dialect::Dialect;
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;

use crate::clock::Clock;
use crate::config::Limits;
use crate::keys::{GatewayKeys, Signer};
use crate::registry::Registry;
use crate::status::Refused;
use crate::stop::joined;

pub use job::{Accepted, Evidence, Job, Origin, Outcome, SealedFor};
pub use leaf::LeafView;
pub(crate) use read::ask;

use batch::Writer;
use queue::Queue;
use worker::Worker;

/// Request ids older than this are refused: clients need keep them no longer, and old ones may be dropped one day.
const MAX_AGE_US: i64 = 35 * jjj_domain::time::DAY_US;
/// Lanes of all gateways on one database. Two writers in one lane wait for each other; nothing else.
const LANES: i64 = 64;
/// Commands that stand alone, waiting or under way on PostgreSQL. Each may hold whole files.
const ALONE_ITEMS: usize = 64;
/// [`Workers::finish`]
pub(crate) const FINISH_WITHIN: Duration = Duration::from_secs(20);
/// How far a client's clock may run ahead.
const MAX_AHEAD_US: i64 = 5 * 60 * 1_000_000;

/// Takes mutations in. Clones share the queue.
#[derive(Clone)]
pub struct Engine {
    queue: Arc<Queue>,
    /// Where commands that stand alone wait: on SQLite, with its one writer, where all do.
    alone: Arc<Queue>,
    clock: Clock,
    store: Store,
}

/// The tasks behind an [`Engine`].
pub struct Workers {
    tasks: JoinSet<()>,
    queues: [Arc<Queue>; 2],
}

impl Workers {
    /// Takes nothing more in, and returns when everything taken in is answered: what has not been begun after
    /// a while, as where the database is away, with [`Refused::Stopping`]. What is under way then has as long again.
    pub async fn finish(self) {
        self.finish_within(FINISH_WITHIN).await;
    }

    pub(crate) async fn finish_within(mut self, within: Duration) {
        self.queues.iter().for_each(|queue| queue.close());
        if tokio::time::timeout(within, self.all_ended()).await.is_err() {
            tracing::warn!("what waits for the write path is told that the gateway stops");
            self.queues.iter().for_each(|queue| queue.refuse());
            let _ = tokio::time::timeout(within, self.all_ended()).await;
        }
    }

    async fn all_ended(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }

    /// One that answers nobody, and ends when nothing more is taken in, or at once.
    #[cfg(test)]
    pub(crate) fn idle(at_once: bool) -> Self {
        let queue = Arc::new(Queue::new(8));
        let (mut tasks, of_task) = (JoinSet::new(), queue.clone());
        tasks.spawn(async move { while !at_once && of_task.take(1).await.is_some() {} });
        Self { tasks, queues: [queue.clone(), queue] }
    }

    /// Returns when a worker has ended, which none does before [`Self::finish`].
    pub(crate) async fn any_ended(&mut self) {
        self.tasks.join_next().await;
    }
}

/// What the engine works with.
pub struct Tools {
    pub store: Store,
    pub clock: Clock,
    pub keys: GatewayKeys,
    pub origin: String,
    pub limits: Limits,
    /// Refreshed before the answer to a mutation that changes it.
    pub registry: Option<Arc<Registry>>,
    /// Told when leaves wait for their number.
    pub committed: Arc<Notify>,
}

impl Engine {
    pub fn start(tools: Tools) -> (Self, Workers) {
        let Tools { store, clock, keys, origin, limits, registry, committed } = tools;
        let queue = Arc::new(Queue::new(limits.queue_items));
        let signer = Signer::new(keys.clone(), registry.clone());
        let writer = Arc::new(Writer {
            store: store.clone(),
            clock: clock.clone(),
            keys,
            signer,
            origin,
            recent: Mutex::default(),
        });
        // A command that stands alone takes as long as it takes. On PostgreSQL it has a worker of its own, so
        // that however many wait, none of the others' is taken from them.
        let (alone, served) = match store.dialect() {
            Dialect::Sqlite => (queue.clone(), vec![&queue]),
            Dialect::Postgres => (Arc::new(Queue::new(ALONE_ITEMS)), vec![&queue; limits.writers]),
        };
        let of_its_own = Some(&alone).filter(|alone| !Arc::ptr_eq(alone, &queue));
        let mut tasks = JoinSet::new();
        let [first_lane] = crate::keys::random::<1>().map(i64::from);
        for (n, queue) in (0..).zip(served.into_iter().chain(of_its_own)) {
            let worker = Worker {
                writer: writer.clone(),
                lane: (first_lane + n) % LANES,
                queue: queue.clone(),
                batch_items: limits.batch_items,
                registry: registry.clone(),
                committed: committed.clone(),
            };
            match store.dialect() {
                Dialect::Sqlite => tasks.spawn(on_a_thread(worker.run())),
                Dialect::Postgres => tasks.spawn(worker.run()),
            };
        }
        let queues = [queue.clone(), alone.clone()];
        (Self { queue, alone, clock, store }, Workers { tasks, queues })
    }

    /// Records one mutation, or says why not.
    pub async fn submit(&self, job: Job) -> Outcome {
        self.submit_all(vec![job]).await.pop().unwrap_or(Err(Refused::Internal))
    }

    /// Records a mutation of the gateway's own that a participant gave rise to: it waits in that
    /// participant's lane.
    pub async fn submit_for(&self, participant: &Participant, job: Job) -> Outcome {
        self.check_age(&job)?;
        self.enqueue(participant, vec![job]).await.pop().unwrap_or(Err(Refused::Internal))
    }

    /// Records mutations in their order, each with its own outcome: in one transaction, unless that fails and is divided.
    pub async fn submit_all(&self, jobs: Vec<Job>) -> Vec<Outcome> {
        let ages: Vec<Result<(), Rejection>> = jobs.iter().map(|job| self.check_age(job)).collect();
        let fit: Vec<Job> = jobs.into_iter().zip(&ages).filter(|(_, age)| age.is_ok()).map(|(job, _)| job).collect();
        let of = fit.first().map(|job| job.actor.participant().clone());
        let outcomes = match of {
            Some(of) => self.enqueue(&of, fit).await,
            None => Vec::new(),
        };
        let mut outcomes = outcomes.into_iter();
        ages.into_iter()
            .map(|age| match age {
                Ok(()) => outcomes.next().unwrap_or(Err(Refused::Internal)),
                Err(rejection) => Err(rejection.into()),
            })
            .collect()
    }

    /// How many mutations can still be taken.
    pub fn room(&self) -> usize {
        self.queue.room()
    }

    fn check_age(&self, job: &Job) -> Result<(), Rejection> {
        let age_us = self.clock.now().0 - job.request_id.unix_ms().saturating_mul(1_000);
        if (-MAX_AHEAD_US..=MAX_AGE_US).contains(&age_us) {
            Ok(())
        } else {
            Err(Reason::RequestIdAge.field("request_id"))
        }
    }

    async fn enqueue(&self, lane: &Participant, jobs: Vec<Job>) -> Vec<Outcome> {
        let count = jobs.len();
        let refuse = |refused: Refused| vec![Err(refused); count];
        let queue = if jobs.iter().any(|job| job.alone) { &self.alone } else { &self.queue };
        match queue.push(lane, jobs) {
            Ok(answered) => answered.await.unwrap_or_else(|_| refuse(Refused::Internal)),
            Err(refused) => refuse(refused),
        }
    }
}

/// Runs a task on a thread of its own. SQLite's statements run on the thread that asks: one of the runtime's would each time
/// hand its other tasks over first ([`jjj_store::aside`]), here there are none. Dropped, it ends the task.
async fn on_a_thread<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> T {
    let (is_wanted, unwanted) = oneshot::channel::<Infallible>();
    let runtime = Handle::current();
    let run = move || {
        runtime.block_on(async {
            tokio::select! {
                done = task => Some(done),
                _ = unwanted => None,
            }
        })
    };
    let done = joined(tokio::task::spawn_blocking(run).await);
    drop(is_wanted);
    done.expect("it is wanted while this waits")
}

#[cfg(test)]
mod tests {
    use jjj_domain::decision::{Call, Command, Decision};
    use jjj_domain::snapshot::{Snapshot, Stop};

    use super::*;
    use crate::bootstrap::own_job;

    struct Nothing;

    impl Command for Nothing {
        fn decide(&self, _: &Snapshot, call: &Call) -> Result<Decision, Stop> {
            Ok(Decision::new(call))
        }
    }

    #[tokio::test]
    async fn a_task_on_a_thread_ends_with_whoever_waits_for_it() {
        let (held, is_gone) = oneshot::channel::<Infallible>();
        let task = tokio::spawn(on_a_thread(async move {
            let _held = held;
            std::future::pending::<()>().await;
        }));
        tokio::task::yield_now().await;
        task.abort();
        assert!(is_gone.await.is_err(), "it is dropped");
        assert_eq!(on_a_thread(async { 1 }).await, 1);
    }

    #[tokio::test]
    async fn a_worker_that_hangs_is_not_waited_for_without_end() {
        const WITHIN: Duration = Duration::from_millis(100);
        let mut workers = Workers::idle(true);
        workers.tasks.spawn(std::future::pending());
        let job = own_job(&Clock::default(), "", Box::new(Nothing));
        let answered = workers.queues[0].push(&Participant::gateway(), vec![job]).unwrap();
        let began = std::time::Instant::now();
        tokio::time::timeout(FINISH_WITHIN, workers.finish_within(WITHIN)).await.expect("an end");
        assert!(began.elapsed() >= 2 * WITHIN, "what is under way has as long again");
        assert!(matches!(answered.await.unwrap()[..], [Err(Refused::Stopping)]));
    }
}
