//! One batch, one transaction:
//!
//! | Step | On SQLite | On PostgreSQL |
//! |---|---|---|
//! | claim the request ids | under the one writer's lock | waits for a concurrent claim of the same id |
//! | take up what earlier batches knew | unless another connection has written | others write: a small batch guesses by it |
//! | decide each command, loading what it misses | set-based rounds | the same, unlocked, a statement a round |
//! | lock | nothing to do | rows by table and key in one statement, then everything is read again in another |
//! | decide in order with the database's time | each sees those before it | the same |
//! | write, release refused claims, commit | a statement per table | a statement for the rows, one for log and balances |
//!
//! A command that goes in parts, as a run does, takes another way from the second to the fifth step ([`super::in_parts`]). Its
//! last part is written as others are.
//!
//! Nothing is answered until the commit has succeeded.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use jjj_domain::rejection::Reason;
use jjj_domain::row::StoredFault;
use jjj_domain::snapshot::{Load, Recent, Snapshot};
use jjj_domain::time::Timestamp;
use jjj_store::dialect::Dialect;
use jjj_store::log_tables::LeafRow;
use jjj_store::{Balances, Claim, Effects, Mark, RequestClaim, Store, StoreError, WriteTx};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::decide::{Verdict, apply, aside, explore, in_order};
use super::effects::{Accepting, EffectsError, PORTIONS, Prepared, make, rows, sign};
use super::job::{Accepted, Job, Moment, Outcome};
use super::leaf::LeafView;
use super::locks::Locks;
use crate::clock::Clock;
use crate::keys::{GatewayKeys, Signer};
use crate::registry::Registry;
use crate::status::Refused;

/// More rounds than any chain of reads is long: a rule that asks without end is a bug.
pub(super) const MAX_ROUNDS: usize = 64;

/// More rows than this are not kept for the next batch: some tens of megabytes.
const KEPT_ROWS: usize = 20_000;

/// So many rows are a generation of [`Recent`], which has two.
const GUESSED_ROWS: usize = 10_000;

/// More commands than this do not guess: to so many a few statements are little, while to remember and to guess takes
/// its time for each.
const GUESS_ITEMS: usize = 64;

/// Leaves of fewer commands are made sooner than a thread begins that makes them while SQLite's rows are written.
const BESIDE_ITEMS: usize = 32;

/// What a worker that alone writes knows of the database: rows as its last batch left them, and the mark
/// that tells whether somebody else has written since ([`WriteTx::begun`]). Loading them again,
/// batch after batch, would be most of what a small batch does.
#[derive(Default)]
pub(super) struct Kept(Option<(Mark, Snapshot)>);

/// What batches are run with.
pub(super) struct Writer {
    pub store: Store,
    pub clock: Clock,
    pub keys: GatewayKeys,
    pub signer: Signer,
    pub origin: String,
    /// What small batches guess by on PostgreSQL, whichever worker ran them.
    pub recent: Mutex<Recent>,
}

/// What a batch came to.
pub(super) struct Done {
    pub outcomes: Vec<Outcome>,
    /// Whether anything was recorded.
    pub wrote: bool,
    pub changed_registry: bool,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum BatchError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Effects(#[from] EffectsError),
    #[error("decisions did not come to an end in {MAX_ROUNDS} rounds of loading")]
    Endless,
    #[error("a commit was not answered, and was not made")]
    NotRecorded,
    #[error("none of the gateway's signing keys is in force")]
    NoSigningKey,
}

impl BatchError {
    /// Whether the same batch, decided anew, may succeed.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Store(error) => error.retryable(),
            Self::NotRecorded => true,
            Self::Effects(_) | Self::Endless | Self::NoSigningKey => false,
        }
    }
}

impl From<StoredFault> for BatchError {
    fn from(fault: StoredFault) -> Self {
        Self::Store(fault.into())
    }
}

/// A batch whose commit was sent and not answered.
pub(super) struct InDoubt {
    pub done: Done,
    /// Id and hash of a leaf that this transaction, and no other, would have written.
    pub leaf: (String, String),
    pub error: StoreError,
}

/// How a batch was decided, for good.
pub(super) struct Decided {
    pub verdicts: Vec<Verdict>,
    pub now: Timestamp,
    /// When that was read.
    pub read_at: Instant,
    pub snapshot: Snapshot,
}

/// What a batch spent its time on, microseconds, for `JJJ_LOG=jjj_server=debug`.
struct Steps {
    at: Instant,
    us: Vec<(&'static str, u128)>,
}

impl Steps {
    fn begin() -> Self {
        Self { at: Instant::now(), us: Vec::new() }
    }

    fn done(&mut self, step: &'static str) {
        self.us.push((step, self.at.elapsed().as_micros()));
        self.at = Instant::now();
    }
}

/// A batch that is written and not yet committed.
pub(super) struct Written {
    tx: WriteTx,
    done: Done,
    /// `None`: nothing is written.
    leaf: Option<(String, String)>,
    seen: Option<Seen>,
    steps: Steps,
}

/// What may be kept of a batch after its commit.
struct Seen {
    snapshot: Snapshot,
    version: Option<Mark>,
    commands: usize,
}

pub(super) enum Attempt {
    Done(Done),
    InDoubt(Box<InDoubt>),
}

impl Writer {
    /// Decides a batch and writes it, waiting for each lock as long as is usual, or so long.
    pub async fn write(
        &self,
        jobs: &[&Job],
        lane: i64,
        kept: &mut Kept,
        lock_within: Option<Duration>,
        by_guess: bool,
    ) -> Result<Written, BatchError> {
        // Put back only after a commit that is known.
        let known = kept.0.take();
        let alone = jobs.iter().any(|job| job.alone);
        let mut steps = Steps::begin();
        let mut tx = if alone { self.store.begin_write_at_once().await? } else { self.store.begin_write().await? };
        if let Some(within) = lock_within {
            tx.wait_for_locks(within).await?;
        }
        let claims: Vec<RequestClaim> = jobs.iter().map(|job| job.claim()).collect();
        let claimed = tx.claim_requests(&claims).await?;
        let is_new = |at: &usize| claimed[*at] == Claim::New;
        let new: Vec<&Job> = (0..jobs.len()).filter(is_new).map(|at| jobs[at]).collect();
        let digests = (0..jobs.len()).filter(is_new).map(|at| claims[at].content_digest.as_str());

        let (begun, version) = tx.begun().await?;
        let at = Moment { now: self.clock.shift(begun), lane };
        steps.done("claim");
        let known = known.filter(|(then, _)| version == Some(*then)).map(|(_, snapshot)| snapshot);
        let in_parts = new.first().filter(|_| alone).and_then(|job| Some((*job, job.command.in_parts()?)));
        let (decided, written) = match in_parts {
            Some((job, parts)) => {
                let (decided, written);
                (tx, decided, written) = self.decide_in_parts(tx, job, parts, at).await?;
                (decided, Some(written))
            }
            None => (self.decide(&mut tx, &new, at, known.unwrap_or_default(), by_guess).await?, None),
        };
        let Decided { verdicts, now, read_at, mut snapshot } = decided;
        steps.done("decide");
        let mut pairs = Vec::new();
        let mut refused = Vec::new();
        for ((job, content_digest), verdict) in new.iter().zip(digests).zip(&verdicts) {
            match verdict {
                Verdict::Accepted(ruling) => pairs.push(Accepting { job, content_digest, ruling }),
                Verdict::Refused(_) => refused.push((job.actor.participant().clone(), job.request_id)),
                Verdict::Missed => return Err(BatchError::Endless),
            }
        }
        let wrote = !pairs.is_empty();
        let effects = aside(alone, || {
            let effects = rows(pairs.iter().map(|accepting| &accepting.ruling.decision), &snapshot);
            if alone {
                // A whole day's rows are not kept, and not needed while they are written.
                snapshot = Snapshot::default();
            }
            effects
        });
        // Also for what needs no receipt: nothing new is recorded that no head would ever cover.
        let signing = self.signer.current();
        if wrote && signing.is_none() {
            return Err(BatchError::NoSigningKey);
        }
        // What the decisions wrote goes to the database while their leaves are being made.
        let signed = async |made| sign(&pairs, made, now, read_at, &self.origin, signing.as_ref()).await;
        let (done, prepared) = match alone {
            false => {
                let making = make(&pairs, now, &self.keys.master, None);
                let writing = tx.write_rows(&effects);
                match self.store.dialect() {
                    Dialect::Sqlite if pairs.len() >= BESIDE_ITEMS => {
                        let (done, made) = both(writing, making).map_err(StoreError::from)?;
                        done?;
                        (Ok(()), signed(made?).await)
                    }
                    // On SQLite one after the other.
                    Dialect::Sqlite | Dialect::Postgres => {
                        tokio::join!(writing, async { signed(making.await?).await })
                    }
                }
            }
            // Its rows may take longer than its receipt promises.
            true => {
                let (portions, taken) = mpsc::channel(PORTIONS);
                let making = make(&pairs, now, &self.keys.master, Some(portions));
                let (done, made) = tokio::join!(write_as_made(&mut tx, &effects, taken), making);
                done?;
                (Ok(()), signed(made?).await)
            }
        };
        done?;
        steps.done("rows and leaves");
        let Prepared { mut logged, answers: accepted } = prepared?;
        logged.fold = match self.store.dialect() {
            Dialect::Sqlite => Some(crate::seal::fold),
            Dialect::Postgres => None,
        };
        if wrote {
            let (earlier, balances) = written.map(|written| (written.leaves, written.balances)).unzip();
            logged.leaves.splice(1..1, earlier.unwrap_or_default());
            let mut balances: Balances = balances.unwrap_or_default();
            balances.add(&effects.transfers);
            match alone {
                false => tx.write_log_and_balances(&logged, balances).await?,
                true => tx.write_log_and_balances_without_leaves(&logged, balances).await?,
            }
            for upload in pairs.iter().filter_map(|accepting| accepting.job.completes_upload.as_ref()) {
                tx.finish_upload(upload).await?;
            }
            tx.release_requests(&refused).await?;
        }
        steps.done("log and balances");
        let earlier = self.earlier_answers(&mut tx, &claims, &claimed).await?;
        let changed_registry = effects.writes.iter().any(|w| Registry::is_made_of(w.spec.name));
        drop((pairs, effects));
        let leaf = logged.leaves.first().map(|l| (l.row.leaf_id.clone(), l.row.leaf_hash.clone()));
        let outcomes = answers(&claims, claimed, verdicts, accepted, earlier);
        let done = Done { outcomes, wrote, changed_registry };
        steps.done("answers");
        let seen = (!alone).then_some(Seen { snapshot, version, commands: jobs.len() });
        Ok(Written { tx, done, leaf, seen, steps })
    }

    /// Makes a batch durable.
    pub async fn commit(&self, written: Written, kept: &mut Kept) -> Result<Attempt, BatchError> {
        let Written { tx, done, leaf, seen, mut steps } = written;
        let Some(leaf) = leaf else {
            tx.rollback().await?;
            kept.0 = seen.and_then(|seen| self.keep(seen));
            return Ok(Attempt::Done(done));
        };
        match tx.commit().await {
            Ok(()) => {
                steps.done("commit");
                tracing::debug!(items = done.outcomes.len(), steps = ?steps.us, "a batch is written");
                // Not before: see `Recent::note`.
                kept.0 = seen.and_then(|seen| self.keep(seen));
                Ok(Attempt::Done(done))
            }
            Err(error @ StoreError::UnknownCommit(_)) => Ok(Attempt::InDoubt(Box::new(InDoubt { done, leaf, error }))),
            Err(error) => Err(error.into()),
        }
    }

    /// What the next batch may begin with, now that this one is committed: on SQLite all that this one knew. On PostgreSQL
    /// nothing, but a small batch is remembered to guess by.
    fn keep(&self, Seen { snapshot, version, commands }: Seen) -> Option<(Mark, Snapshot)> {
        let Some(version) = version else {
            let is_noted = self.is_small(commands);
            let forgotten = if is_noted { self.recent().note(&snapshot, GUESSED_ROWS) } else { None };
            if let Some(rows) = forgotten {
                drop_beside(rows);
            }
            return None;
        };
        match snapshot.kept(KEPT_ROWS) {
            Ok(kept) => Some((version, kept)),
            Err(too_many) => {
                drop_beside(too_many);
                None
            }
        }
    }

    /// Whether a batch of so many commands guesses, where others write too, and is guessed by.
    pub fn is_small(&self, commands: usize) -> bool {
        self.store.dialect() == Dialect::Postgres && commands <= GUESS_ITEMS
    }

    /// Whatever became of who held it last: it decides nothing.
    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decides what is new, for good: locked where the database needs it. Begins with the rows known.
    async fn decide(
        &self,
        tx: &mut WriteTx,
        jobs: &[&Job],
        mut at: Moment,
        mut snapshot: Snapshot,
        by_guess: bool,
    ) -> Result<Decided, BatchError> {
        let mut read_at = Instant::now();
        if jobs.is_empty() {
            return Ok(Decided { verdicts: Vec::new(), now: at.now, read_at, snapshot });
        }
        let is_locking = self.store.dialect() == Dialect::Postgres;
        let mut explored = self.load_all(tx, &mut snapshot, jobs, at, by_guess).await?;
        let mut locks = Locks::default();
        for _ in 0..MAX_ROUNDS {
            if is_locking {
                let needed = Locks::of(snapshot.loads(), &explored);
                if !locks.cover(&needed) {
                    locks.extend(needed);
                    tx.lock(&locks.share(), &locks.update()).await?;
                }
                // What the lock told, where one was needed: rows that are read without a lock may be younger by a statement.
                read_at = Instant::now();
                at.now = self.now(tx).await?;
                // Read in statements that begin after the locks are held.
                let loads = snapshot.loads().to_vec();
                let appeared = self.read_anew(tx, loads, &mut snapshot, &mut locks).await?;
                if appeared {
                    explored = self.load_all(tx, &mut snapshot, jobs, at, false).await?;
                    continue;
                }
            }
            // A command by itself, where nobody else writes, has been decided: as of now and of these rows.
            if let ([_], false) = (jobs, is_locking) {
                apply(&explored, &mut snapshot)?;
                return Ok(Decided { verdicts: explored, now: at.now, read_at, snapshot });
            }
            let loads = snapshot.loads().to_vec();
            match in_order(jobs, &mut snapshot, at)? {
                Ok(verdicts) if !is_locking || locks.cover(&Locks::of(&loads, &verdicts)) => {
                    return Ok(Decided { verdicts, now: at.now, read_at, snapshot });
                }
                // What was decided under the locks writes other rows than what was explored before them.
                Ok(verdicts) => {
                    explored = verdicts;
                    self.read_anew(tx, loads, &mut snapshot, &mut locks).await?;
                }
                // A command reads something else because of what came before it in the batch.
                Err(misses) => {
                    let loads = loads.into_iter().chain(misses).collect();
                    self.read_anew(tx, loads, &mut snapshot, &mut locks).await?;
                    explored = self.load_all(tx, &mut snapshot, jobs, at, false).await?;
                }
            }
        }
        Err(BatchError::Endless)
    }

    async fn now(&self, tx: &mut WriteTx) -> Result<Timestamp, StoreError> {
        Ok(self.clock.shift(tx.now().await?))
    }

    /// Loads everything anew. A row that has appeared since the last time was not there to be locked:
    /// its lock is to be taken again, and `true` says so.
    async fn read_anew(
        &self,
        tx: &mut WriteTx,
        loads: Vec<Load>,
        snapshot: &mut Snapshot,
        locks: &mut Locks,
    ) -> Result<bool, BatchError> {
        let mut fresh = Snapshot::default();
        tx.load(&loads, &mut fresh).await?;
        let appeared = locks.forget_appeared(snapshot.absent(), fresh.absent());
        *snapshot = fresh;
        Ok(appeared)
    }

    /// Loads until every command, decided by itself, comes to an end. `by_guess`: rows that an earlier batch has seen are
    /// taken as it saw them. That says what to lock and decides nothing, for all of them are then read again.
    async fn load_all(
        &self,
        tx: &mut WriteTx,
        snapshot: &mut Snapshot,
        jobs: &[&Job],
        at: Moment,
        by_guess: bool,
    ) -> Result<Vec<Verdict>, BatchError> {
        let mut verdicts: Vec<Verdict> = jobs.iter().map(|_| Verdict::Missed).collect();
        for _ in 0..MAX_ROUNDS {
            explore(jobs, &mut verdicts, snapshot, at);
            let misses = snapshot.take_misses();
            if misses.is_empty() {
                return Ok(verdicts);
            }
            // A command by itself may be decided for good here: by all that it asked for.
            if let [only] = &mut verdicts[..] {
                *only = Verdict::Missed;
            }
            let misses = match by_guess {
                true => self.recent().guess(misses, snapshot),
                false => misses,
            };
            tx.load(&misses, snapshot).await?;
        }
        Err(BatchError::Endless)
    }

    /// The first answers of requests that were accepted in earlier transactions, by leaf.
    async fn earlier_answers(
        &self,
        tx: &mut WriteTx,
        claims: &[RequestClaim],
        claimed: &[Claim],
    ) -> Result<HashMap<String, Accepted>, BatchError> {
        let mut answers = HashMap::new();
        for claim in claimed {
            let Claim::SameContent { leaf_id } = claim else { continue };
            let is_ours = claims.iter().zip(claimed).any(|(c, state)| *state == Claim::New && c.leaf_id == *leaf_id);
            if !is_ours && !answers.contains_key(leaf_id) {
                answers.insert(leaf_id.clone(), stored_answer(tx, leaf_id).await?);
            }
        }
        Ok(answers)
    }
}

/// Both at once: the first waits for nobody, and the second has a thread of its own, if there is one to be had.
fn both<A, B: Send>(first: impl Future<Output = A>, second: impl Future<Output = B> + Send) -> io::Result<(A, B)> {
    let runtime = Handle::current();
    std::thread::scope(|scope| {
        let second = std::thread::Builder::new().spawn_scoped(scope, || runtime.block_on(second))?;
        let first = first.now_or_never().expect("it waits for nobody");
        Ok((first, second.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))))
    })
}

/// Writes rows, then leaves as they are made.
pub(super) async fn write_as_made(
    tx: &mut WriteTx,
    effects: &Effects,
    mut made: mpsc::Receiver<Vec<LeafRow>>,
) -> Result<(), StoreError> {
    tx.write_rows(effects).await?;
    while let Some(leaves) = made.recv().await {
        tx.write_leaves(&leaves.iter().collect::<Vec<_>>()).await?;
    }
    Ok(())
}

/// Thousands of rows take milliseconds to drop, which nobody is to wait for.
fn drop_beside(rows: impl Send + 'static) {
    tokio::task::spawn_blocking(move || drop(rows));
}

/// An answer rebuilt from what was stored with it.
async fn stored_answer(tx: &mut WriteTx, leaf_id: &str) -> Result<Accepted, BatchError> {
    let lost = |table, problem: &str| StoredFault { table, column: "leaf_id", problem: format!("{leaf_id} {problem}") };
    let leaf = tx.session().leaf(leaf_id).await?.ok_or_else(|| lost("leaves", "was answered and is not there"))?;
    let receipt = match tx.session().evidence(leaf_id).await? {
        None => None,
        Some(row) => {
            let receipt = crate::receipt::stored(&row.receipt);
            Some(Arc::new(receipt.ok_or_else(|| lost("evidence", "has a receipt that cannot be read"))?))
        }
    };
    Ok(Accepted { leaf: Arc::new(LeafView::stored(&leaf)?), receipt })
}

/// One outcome per claim, in order.
fn answers(
    claims: &[RequestClaim],
    claimed: Vec<Claim>,
    verdicts: Vec<Verdict>,
    accepted: Vec<Accepted>,
    earlier: HashMap<String, Accepted>,
) -> Vec<Outcome> {
    let (mut verdicts, mut accepted) = (verdicts.into_iter(), accepted.into_iter());
    // Also answers later duplicates within the batch.
    let mut by_leaf: HashMap<&str, Outcome> = HashMap::new();
    let mut outcomes = Vec::with_capacity(claims.len());
    for (claim, state) in claims.iter().zip(claimed) {
        let is_new = state == Claim::New;
        let outcome = match state {
            Claim::New => match verdicts.next() {
                Some(Verdict::Accepted(_)) => accepted.next().ok_or(Refused::Internal),
                Some(Verdict::Refused(refused)) => Err(refused),
                Some(Verdict::Missed) | None => Err(Refused::Internal),
            },
            Claim::SameContent { leaf_id } => match (by_leaf.get(leaf_id.as_str()), earlier.get(&leaf_id)) {
                (Some(outcome), _) => outcome.clone(),
                (None, Some(accepted)) => Ok(accepted.clone()),
                (None, None) => Err(Refused::Internal),
            },
            Claim::OtherContent => Err(Reason::RequestIdReused.field("request_id").into()),
        };
        if is_new {
            by_leaf.entry(&claim.leaf_id).or_insert_with(|| outcome.clone());
        }
        outcomes.push(outcome);
    }
    outcomes
}
