//! Drains the queue into batches, and sees each batch to an end: retried, halved
//! until a guilty command stands alone, looked up when its commit is in doubt.

use std::ops::Range;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use jjj_store::{ConflictKind, StoreError};
use tokio::sync::Notify;

use super::batch::{Attempt, BatchError, Done, InDoubt, Kept, Writer};
use super::job::{Job, Outcome};
use super::queue::{Queue, UnderWay};
use crate::registry::Registry;
use crate::status::Refused;

/// How often a batch that lost against another one is decided anew before it is divided.
const TRIES: u32 = 4;
/// … and for how long ([`tries_again`]): an absent database has then been waited for, and callers are told to ask again.
const TRY_WITHIN: Duration = Duration::from_secs(10);
/// How long a batch that met a kept row, and its parts, then wait for each lock.
const PROBE_WITHIN: Duration = Duration::from_millis(200);
/// How long a batch in doubt is looked up before its callers are told to ask again.
const DOUBT_WITHIN: Duration = Duration::from_secs(30);
const DOUBT_PAUSE: Duration = Duration::from_millis(250);

/// How a batch and its parts fare.
struct Course {
    /// Until the first attempt has written what there is to write.
    under_way: Option<UnderWay>,
    /// Some row is kept by somebody.
    is_blocked: bool,
}

pub(super) struct Worker {
    pub writer: Arc<Writer>,
    /// [`jjj_domain::decision::Call::lane`]
    pub lane: i64,
    pub queue: Arc<Queue>,
    pub batch_items: usize,
    pub registry: Option<Arc<Registry>>,
    pub committed: Arc<Notify>,
}

impl Worker {
    /// Works until the queue is closed and empty.
    pub async fn run(self) {
        let mut kept = Kept::default();
        while let Some((groups, under_way)) = self.queue.take(self.batch_items).await {
            let jobs: Vec<&Job> = groups.iter().flat_map(|group| &group.jobs).collect();
            // A bug of ours must cost this batch its answers, never the gateway its writer.
            let Ok(outcomes) = AssertUnwindSafe(self.process(&jobs, &mut kept, under_way)).catch_unwind().await else {
                tracing::error!("the write path panicked");
                continue;
            };
            let mut outcomes = outcomes.into_iter();
            for group in groups {
                let answers = outcomes.by_ref().take(group.jobs.len()).collect();
                // A caller who has gone asks again with the same id.
                let _ = group.answer.send(answers);
            }
        }
    }

    async fn process(&self, jobs: &[&Job], kept: &mut Kept, under_way: UnderWay) -> Vec<Outcome> {
        let mut outcomes: Vec<Option<Outcome>> = jobs.iter().map(|_| None).collect();
        let mut rest = Vec::from([Range { start: 0, end: jobs.len() }]);
        let mut course = Course { under_way: Some(under_way), is_blocked: false };
        while let Some(range) = rest.pop() {
            match self.see_through(&jobs[range.clone()], kept, &mut course).await {
                Ok(done) => {
                    self.announce(&done).await;
                    for (slot, outcome) in outcomes[range].iter_mut().zip(done.outcomes) {
                        *slot = Some(outcome);
                    }
                }
                Err(error) if range.len() > 1 && divides(&error) => {
                    let middle = range.start + range.len() / 2;
                    rest.push(middle..range.end);
                    rest.push(range.start..middle);
                }
                Err(error) => {
                    let refused = refuse(&error);
                    for slot in &mut outcomes[range] {
                        *slot = Some(Err(refused.clone()));
                    }
                }
            }
        }
        outcomes.into_iter().map(|outcome| outcome.unwrap_or(Err(Refused::Internal))).collect()
    }

    /// Tells those who live off the log, before anybody is answered.
    async fn announce(&self, done: &Done) {
        if !done.wrote {
            return;
        }
        self.committed.notify_one();
        if let (true, Some(registry)) = (done.changed_registry, &self.registry)
            && let Err(error) = registry.refresh().await
        {
            // The poll will see it within a second.
            tracing::warn!(cause = crate::status::chain(&error), "the registry could not be read after its change");
        }
    }

    /// One batch, or a part of it, until it is committed, refused, or must be divided.
    async fn see_through(&self, jobs: &[&Job], kept: &mut Kept, course: &mut Course) -> Result<Done, BatchError> {
        let (mut tries, mut began) = (0, Instant::now());
        loop {
            // Whose row it is that somebody keeps is found without waiting for it at every step.
            let lock_within = (course.is_blocked && jobs.len() > 1).then_some(PROBE_WITHIN);
            // Not after a failure, which may be that of a wrong guess.
            let by_guess = tries == 0 && !course.is_blocked && self.writer.is_small(jobs.len());
            let written = self.writer.write(jobs, self.lane, kept, lock_within, by_guess).await;
            // What is left is the disk's.
            course.under_way = None;
            let attempt = match written {
                Ok(written) => self.writer.commit(written, kept).await,
                Err(error) => Err(error),
            };
            let error = match attempt {
                Ok(Attempt::Done(done)) => return Ok(done),
                Ok(Attempt::InDoubt(doubt)) => match self.resolve(*doubt).await {
                    Ok(Some(done)) => return Ok(done),
                    Ok(None) => {
                        // The database is back: what it was waited for does not count.
                        began = Instant::now();
                        BatchError::NotRecorded
                    }
                    Err(error) => return Err(error.into()),
                },
                Err(error) => error,
            };
            tries += 1;
            course.is_blocked |= is_lock_timeout(&error);
            // Perhaps nobody needs the row that somebody keeps: the guess was wrong.
            if by_guess && is_lock_timeout(&error) {
                continue;
            }
            if tries == TRIES || !tries_again(&error, began.elapsed()) {
                return Err(error);
            }
            tracing::debug!(cause = crate::status::chain(&error), tries, "a batch is decided anew");
            tokio::time::sleep(Duration::from_millis(2u64 << tries)).await;
        }
    }

    /// Whether a batch in doubt was committed: `Some` with its answers, `None` to decide it anew.
    async fn resolve(&self, doubt: InDoubt) -> Result<Option<Done>, StoreError> {
        let InDoubt { done, leaf, error } = doubt;
        tracing::warn!(cause = crate::status::chain(&error), "a commit was not answered; looking it up");
        let began = Instant::now();
        while began.elapsed() < DOUBT_WITHIN {
            tokio::time::sleep(DOUBT_PAUSE).await;
            match self.is_recorded(&leaf).await {
                Ok(true) => return Ok(Some(done)),
                Ok(false) => return Ok(None),
                Err(_) => {}
            }
        }
        Err(error)
    }

    /// A transaction is all or nothing, so one of its leaves tells for all: by its hash, because
    /// the same request may have been recorded by another transaction. The look-up goes through a
    /// transaction that writes: a lagging reader may not know yet.
    async fn is_recorded(&self, (leaf_id, leaf_hash): &(String, String)) -> Result<bool, StoreError> {
        let mut tx = self.writer.store.begin_write().await?;
        let found = tx.session().leaf(leaf_id).await?;
        tx.rollback().await?;
        Ok(found.is_some_and(|leaf| leaf.leaf_hash == *leaf_hash))
    }
}

/// Whether the same batch is decided anew, having been tried for so long. Who lost against another transaction
/// is tried again however long its try took (a reconciliation run's takes its time): only what is away is
/// waited for by the clock. For a row that somebody keeps nobody waits twice, unless by a guess at first.
fn tries_again(error: &BatchError, tried_for: Duration) -> bool {
    let lost = matches!(
        error,
        BatchError::Store(StoreError::Conflict { kind: ConflictKind::Serialization | ConflictKind::Deadlock, .. })
    );
    error.retryable() && !is_lock_timeout(error) && (lost || tried_for < TRY_WITHIN)
}

fn is_lock_timeout(error: &BatchError) -> bool {
    matches!(error, BatchError::Store(StoreError::Conflict { kind: ConflictKind::LockTimeout, .. }))
}

/// Whether a smaller batch may fare better: not when the database is away.
fn divides(error: &BatchError) -> bool {
    match error {
        BatchError::Store(StoreError::Unavailable(_) | StoreError::UnknownCommit(_)) | BatchError::NotRecorded => false,
        // A command that repeats an earlier one needs no key, and has its answer.
        BatchError::Store(_) | BatchError::Effects(_) | BatchError::Endless | BatchError::NoSigningKey => true,
    }
}

fn refuse(error: &BatchError) -> Refused {
    match error {
        // Alone, and still against a constraint: no other transaction is to blame.
        BatchError::Store(e @ StoreError::Conflict { kind: ConflictKind::Rule | ConflictKind::Unique, .. }) => {
            Refused::internal("writing", e)
        }
        BatchError::Store(e) => Refused::store("writing", e),
        BatchError::NotRecorded => Refused::Unavailable,
        BatchError::NoSigningKey => Refused::NoSigningKey,
        BatchError::Effects(e) if e.is_unreachable_key() => Refused::KeyUnreachable,
        BatchError::Effects(_) | BatchError::Endless => Refused::internal("writing", error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_lost_has_another_try_however_long_the_first_took() {
        let conflict = |kind| BatchError::Store(StoreError::Conflict { kind, source: None });
        for (error, early, late) in [
            (conflict(ConflictKind::Serialization), true, true),
            (conflict(ConflictKind::Deadlock), true, true),
            (conflict(ConflictKind::Unique), true, false),
            (conflict(ConflictKind::LockTimeout), false, false),
            (conflict(ConflictKind::Rule), false, false),
            (BatchError::Store(StoreError::timed_out()), true, false),
            (BatchError::NotRecorded, true, false),
            (BatchError::Endless, false, false),
        ] {
            let tried = [TRY_WITHIN / 2, TRY_WITHIN].map(|tried_for| tries_again(&error, tried_for));
            assert_eq!(tried, [early, late], "{error:?}");
        }
    }
}
