//! One batch's transaction, in the order of DESIGN.md §4: claim the requests, load
//! and lock, decide (elsewhere), write, commit.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jjj_domain::decision::{Erasure, Topic, Write};
use jjj_domain::ledger::{Account, AccountRow, CashDayRow, GeneralLedgerRow, Layer, TransferRow};
use jjj_domain::names::{Participant, RequestId};
use jjj_domain::row::{ColumnSet, Row, TableKind, TableSpec};
use jjj_domain::snapshot::{Absent, Changed, Load, Snapshot};
use jjj_domain::time::{Date, Timestamp};
use jjj_domain::value::{ColumnType, Value};
use tokio::sync::OwnedSemaphorePermit;

use crate::Result;
use crate::dialect::{Dialect, MOST_ROWS_POSTGRES, Part, Shape, bundles, column_names, types_of};
use crate::error::{ConflictKind, StoreError};
use crate::log_tables::{EvidenceRow, LeafRow, PendingRow, RequestRow};
use crate::sequence::{self, Fold};
use crate::session::{Args, Session};

/// A commit that is not answered in this time is in doubt: the server, or the way to it, is gone. SQLite's is answered when it
/// is done.
const COMMIT_WITHIN: Duration = Duration::from_secs(30);

/// [`WriteTx::begun`], in one statement.
const BEGUN: &str = "SELECT CAST(unixepoch('subsec') * 1000000 AS INTEGER), data_version FROM pragma_data_version";

const LOCK_WITHIN: &str = "SELECT set_config('lock_timeout', $1, true)";

/// A transaction that writes. Dropping it rolls back.
pub struct WriteTx {
    pub(crate) session: Session,
    /// The database's clock as the last claim or lock told it, until somebody asks.
    told: Option<Timestamp>,
    /// [`crate::Store::begin_small_write`]
    pub(crate) _place: Option<OwnedSemaphorePermit>,
}

/// A request about to be decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestClaim {
    pub participant: Participant,
    pub request_id: RequestId,
    /// Hex digest of the request's exact bytes.
    pub content_digest: String,
    /// The first leaf it will have: `Call::leaf_id(0)`.
    pub leaf_id: String,
}

/// A state of the embedded database, as its writer sees it: [`WriteTx::begun`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark(/* SQLite's `data_version`. */ i64);

/// What the database knows of a claimed request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Never accepted before; now claimed by this transaction.
    New,
    /// Accepted before with the same content: answer as its leaf says. Or, where an earlier
    /// claim of the same call is the same, as that one is answered.
    SameContent { leaf_id: String },
    /// The id was used for something else.
    OtherContent,
}

/// Everything an accepted batch writes.
#[derive(Clone, Debug, Default)]
pub struct Effects {
    /// Rows of the domain's tables, in order: of several of one head, the last wins.
    pub writes: Vec<Write>,
    /// Journal rows; account balances follow from them.
    pub transfers: Vec<TransferRow>,
    /// Private rows to delete by key, after everything is written.
    pub erasures: Vec<Erasure>,
    /// Keys of heads that the decisions found absent. They are inserted, never replaced: a rival
    /// that wrote one meanwhile is a `Unique` conflict, and the batch is decided anew.
    pub absent: Arc<Absent>,
    /// By table, the columns that differ from what the heads held before. Tables that are not here
    /// change whole rows.
    pub changed: Changed,
    pub logged: Logged,
}

/// Stored bytes of leaves that one statement writes: those of a run are up to a hundred kilobytes each, and PostgreSQL takes
/// at most a gigabyte at a time. Little where assertions are checked, so that tests go through many portions.
pub const LEAF_BYTES: usize = if cfg!(debug_assertions) { 16 << 10 } else { 4 << 20 };

/// What an accepted batch adds to the log.
#[derive(Clone, Debug, Default)]
pub struct Logged {
    /// New leaves in order of cause and effect; for [`WriteTx::write_log_and_balances_without_leaves`] without their bodies.
    pub leaves: Vec<NewLeaf>,
    pub evidence: Vec<EvidenceRow>,
    /// Numbers the leaves in this very transaction, where commits have an order before they happen:
    /// on SQLite, with its one writer. `None`: they wait for the sequencer.
    pub fold: Option<Fold>,
}

/// A leaf and whom to deliver it to once numbered.
#[derive(Clone, Debug)]
pub struct NewLeaf {
    pub row: LeafRow,
    pub audience: BTreeSet<(Participant, Topic)>,
}

impl WriteTx {
    pub(crate) fn new(session: Session) -> Self {
        Self { session, told: None, _place: None }
    }

    /// Reads inside this transaction.
    pub fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// Claims request ids, answering in the order asked. On PostgreSQL this waits for
    /// a concurrent transaction that claimed the same id.
    pub async fn claim_requests(&mut self, claims: &[RequestClaim]) -> Result<Vec<Claim>> {
        let dialect = self.session.dialect();
        let spec = RequestRow::spec();
        let mut first: BTreeMap<Vec<Value>, &RequestClaim> = BTreeMap::new();
        for claim in claims {
            first.entry(claim.key()).or_insert(claim);
        }
        let rows: Vec<Vec<Value>> = first.values().map(|claim| claim.to_row().to_values()).collect();
        let types = types_of(spec, &column_names(spec));
        let keys = [types_of(spec, spec.key), vec![ColumnType::Int]].concat();
        let mut stored = HashMap::new();
        let (mut fresh, old) = match dialect {
            // Nobody else writes: what is not there is ours.
            Dialect::Sqlite => {
                let known: Vec<Vec<Value>> = first.keys().cloned().collect();
                for values in self.session.load_keys(spec, &refs(&known)).await? {
                    stored.insert(spec.key_of(&values), RequestRow::from_values(values)?);
                }
                let is_new = |row: &&Vec<Value>| !stored.contains_key(&spec.key_of(row));
                let new = rows.iter().filter(is_new).map(Vec::as_slice);
                self.run_parts(vec![Part::of(spec, Shape::Insert, new)]).await?;
                let fresh: BTreeSet<_> = known.into_iter().filter(|key| !stored.contains_key(key)).collect();
                (fresh, stored.keys().cloned().collect())
            }
            Dialect::Postgres => {
                let mut fresh = BTreeSet::new();
                for portion in dialect.portions(&refs(&rows)) {
                    let sql = dialect.write_statement(spec, Shape::Claim, portion.len());
                    for mut row in self.session.fetch(sql, Args::Written(&types, portion), &keys).await? {
                        self.told = row.pop().and_then(timestamp);
                        fresh.insert(row);
                    }
                }
                let old: Vec<Vec<Value>> = first.keys().filter(|key| !fresh.contains(*key)).cloned().collect();
                for values in self.session.load_keys(spec, &refs(&old)).await? {
                    stored.insert(spec.key_of(&values), RequestRow::from_values(values)?);
                }
                (fresh, old)
            }
        };
        let answer = |claim: &RequestClaim| {
            let key = claim.key();
            if fresh.remove(&key) {
                return Ok(Claim::New);
            }
            let earlier = match stored.get(&key) {
                Some(row) => row.clone(),
                // Claimed by this very call; or else released by another transaction meanwhile.
                None if !old.contains(&key) => first[&key].to_row(),
                None => return Err(StoreError::conflict(ConflictKind::Unique)),
            };
            Ok(match earlier.content_digest == claim.content_digest {
                true => Claim::SameContent { leaf_id: earlier.leaf_id },
                false => Claim::OtherContent,
            })
        };
        claims.iter().map(answer).collect()
    }

    /// Gives up claims of refused commands, so that they can be decided anew. Only ids
    /// that [`Claim::New`] was answered for may be released.
    pub async fn release_requests(&mut self, requests: &[(Participant, RequestId)]) -> Result<()> {
        let keys: Vec<Vec<Value>> = requests.iter().map(|(p, id)| jjj_domain::key![*p, *id]).collect();
        self.delete(RequestRow::spec(), keys).await
    }

    /// [`Session::load`].
    pub async fn load(&mut self, loads: &[Load], into: &mut Snapshot) -> Result<()> {
        self.session.load(loads, into).await
    }

    /// Locks rows by key until the end of the transaction: first-named against change
    /// (`FOR SHARE`), second-named for change (`FOR UPDATE`); what is in both, for change.
    /// In one order of table and key whatever the mode, so that two batches cannot wait
    /// for one another. Missing rows lock nothing. SQLite has one writer and needs none.
    pub async fn lock(
        &mut self,
        share: &[(&'static TableSpec, Vec<Value>)],
        update: &[(&'static TableSpec, Vec<Value>)],
    ) -> Result<()> {
        if self.session.dialect() == Dialect::Sqlite {
            return Ok(());
        }
        let mut rows: BTreeMap<(&str, &[Value]), (&'static TableSpec, bool)> = BTreeMap::new();
        for (spec, key) in share {
            rows.insert((spec.name, key), (spec, false));
        }
        for (spec, key) in update {
            rows.insert((spec.name, key), (spec, true));
        }
        let rows: Vec<(&'static TableSpec, bool, &[Value])> =
            rows.into_iter().map(|((_, key), (spec, exclusive))| (spec, exclusive, key)).collect();
        let same = rows.chunk_by(|a, b| a.0 == b.0 && a.1 == b.1);
        let parts = same.map(|run| Part {
            spec: run[0].0,
            shape: Shape::Lock { exclusive: run[0].1 },
            rows: run.iter().map(|(_, _, key)| *key).collect(),
        });
        let parts = parts.collect();
        self.run_parts(parts).await
    }

    /// How long this transaction waits for each lock, in place of the usual two seconds. SQLite has no locks
    /// to wait for.
    pub async fn wait_for_locks(&mut self, within: Duration) -> Result<()> {
        if self.session.dialect() == Dialect::Postgres {
            let args = jjj_domain::key![format!("{}ms", within.as_millis())];
            self.session.execute(LOCK_WITHIN.into(), Args::Values(&args)).await?;
        }
        Ok(())
    }

    /// The database's clock: asked for after locking, it is the batch's time. A claim or a lock on PostgreSQL tells it by
    /// the way, and the first to ask after it is told that: of a lock, as it was once all were held.
    pub async fn now(&mut self) -> Result<Timestamp> {
        match self.told.take() {
            Some(told) => Ok(told),
            None => self.session.now().await,
        }
    }

    /// The database's clock, and on SQLite a mark that stays while no other connection changes the database, since
    /// the one writer asked last: what it knows of its own tables then holds. On PostgreSQL others write: `None`.
    pub async fn begun(&mut self) -> Result<(Timestamp, Option<Mark>)> {
        match self.session.dialect() {
            Dialect::Sqlite => {
                let rows = self.session.fetch(BEGUN.into(), Args::Values(&[]), &[ColumnType::Int; 2]).await?;
                match rows.first().map(Vec::as_slice) {
                    Some([Value::Int(now), Value::Int(version)]) => Ok((Timestamp(*now), Some(Mark(*version)))),
                    _ => Err(StoreError::Driver(sqlx::Error::RowNotFound)),
                }
            }
            Dialect::Postgres => Ok((self.now().await?, None)),
        }
    }

    /// Writes a batch's effects: [`Self::write_rows`], [`Self::write_log_and_balances`].
    pub async fn write(&mut self, effects: &Effects) -> Result<()> {
        self.write_rows(effects).await?;
        self.write_log_and_balances(&effects.logged, Balances::of(&effects.transfers)).await
    }

    /// The domain's rows and the journal, tables and keys in one order.
    pub async fn write_rows(&mut self, effects: &Effects) -> Result<()> {
        let mut tables: BTreeMap<&str, (&'static TableSpec, Vec<&[Value]>)> = BTreeMap::new();
        for write in &effects.writes {
            tables.entry(write.spec.name).or_insert_with(|| (write.spec, Vec::new())).1.push(&write.values);
        }
        let mut parts = Vec::new();
        for (spec, rows) in tables.into_values() {
            match spec.kind {
                TableKind::AppendOnly => parts.push(Part::of(spec, Shape::Insert, rows)),
                TableKind::Head | TableKind::Private | TableKind::Derived => {
                    let last: BTreeMap<Vec<Value>, &[Value]> =
                        rows.into_iter().map(|row| (spec.key_of(row), row)).collect();
                    let (mut new, mut known) = (Vec::new(), Vec::new());
                    for (key, row) in last {
                        if effects.absent.contains(&(spec.name, key)) { new.push(row) } else { known.push(row) }
                    }
                    let changed = effects.changed.get(spec.name).copied();
                    let changed = changed.unwrap_or_else(|| ColumnSet::beside_key(spec));
                    parts.push(Part::of(spec, Shape::Insert, new));
                    parts.push(Part::of(spec, Shape::Upsert { changed }, known));
                }
            }
        }
        let journal = OwnedPart::of(&effects.transfers, Shape::Insert);
        parts.push(journal.part());
        self.run_parts(parts).await?;
        // In statements of their own: a statement's parts do not see each other's rows.
        let mut erased: BTreeMap<&str, (&'static TableSpec, Vec<Vec<Value>>)> = BTreeMap::new();
        for Erasure { spec, key, .. } in &effects.erasures {
            erased.entry(spec.name).or_insert_with(|| (*spec, Vec::new())).1.push(key.clone());
        }
        for (spec, keys) in erased.into_values() {
            self.delete(spec, keys).await?;
        }
        Ok(())
    }

    /// Leaves alone: a part of those of a transaction too large to hold them all until [`Self::write_log_and_balances_without_leaves`].
    pub async fn write_leaves(&mut self, leaves: &[&LeafRow]) -> Result<()> {
        let mut rest = leaves;
        while !rest.is_empty() {
            let (fitting, others) = rest.split_at(fitting(rest).max(1));
            self.insert(fitting.iter().copied(), Shape::Insert).await?;
            rest = others;
        }
        Ok(())
    }

    /// Leaves, and [`Self::write_log_and_balances_without_leaves`].
    pub async fn write_log_and_balances(&mut self, logged: &Logged, balances: Balances) -> Result<()> {
        let leaves: Vec<&LeafRow> = logged.leaves.iter().map(|leaf| &leaf.row).collect();
        if fitting(&leaves) == leaves.len() {
            return self.write_last(Some(OwnedPart::of(leaves, Shape::Insert)), logged, balances).await;
        }
        self.write_leaves(&leaves).await?;
        self.write_log_and_balances_without_leaves(logged, balances).await
    }

    /// What comes after leaves that [`Self::write_leaves`] has written: their evidence, their numbers (where the
    /// transaction cannot number them, they wait for the sequencer), and the balances.
    pub async fn write_log_and_balances_without_leaves(&mut self, logged: &Logged, balances: Balances) -> Result<()> {
        self.write_last(None, logged, balances).await
    }

    async fn write_last(&mut self, leaves: Option<OwnedPart>, logged: &Logged, balances: Balances) -> Result<()> {
        let evidence = OwnedPart::of(&logged.evidence, Shape::Insert);
        let waiting = match self.number(logged).await? {
            true => Vec::new(),
            false => logged.leaves.iter().map(NewLeaf::pending).collect(),
        };
        let waiting = OwnedPart::of(&waiting, Shape::Insert);
        let balances = balances.rows();
        // Balances last: no rows are more wanted by others.
        let all = leaves.iter().chain([&evidence, &waiting]).chain(&balances);
        let parts = all.map(OwnedPart::part).collect();
        self.run_parts(parts).await
    }

    /// Whether the leaves have their numbers now.
    async fn number(&mut self, logged: &Logged) -> Result<bool> {
        let Some(fold) = logged.fold else { return Ok(false) };
        let (leaves_wait, state) = self.log_state().await?;
        // What waits already goes first: it may be the cause of what is new.
        if leaves_wait {
            return Ok(false);
        }
        self.append(state, logged.leaves.iter().map(NewLeaf::entry).collect(), Vec::new(), fold).await?;
        Ok(true)
    }

    /// Writes rows of a table that no leaf commits to (uploads, chunks), replacing equal keys.
    pub async fn put<T: Row>(&mut self, rows: &[T]) -> Result<()> {
        let values: BTreeMap<Vec<Value>, Vec<Value>> =
            rows.iter().map(T::to_values).map(|row| (T::spec().key_of(&row), row)).collect();
        let shape = Shape::Upsert { changed: ColumnSet::beside_key(T::spec()) };
        let part = Part::of(T::spec(), shape, values.values().map(Vec::as_slice));
        self.run_parts(vec![part]).await
    }

    pub(crate) async fn insert<T: Row>(&mut self, rows: impl IntoIterator<Item = &T>, shape: Shape) -> Result<()> {
        let rows: Vec<&T> = rows.into_iter().collect();
        for portion in rows.chunks(MOST_ROWS_POSTGRES) {
            let rows = OwnedPart::of(portion.iter().copied(), shape);
            self.run_parts(vec![rows.part()]).await?;
        }
        Ok(())
    }

    pub(crate) async fn delete(&mut self, spec: &'static TableSpec, mut keys: Vec<Vec<Value>>) -> Result<()> {
        keys.sort();
        let keys = OwnedPart { spec, shape: Shape::Delete, rows: keys };
        self.run_parts(vec![keys.part()]).await
    }

    /// Runs parts that lock, or parts that write, in this order; on PostgreSQL as many in one statement as go together.
    pub(crate) async fn run_parts(&mut self, mut parts: Vec<Part<'_>>) -> Result<()> {
        parts.retain(|part| !part.rows.is_empty());
        let dialect = self.session.dialect();
        let bundles = match dialect {
            Dialect::Sqlite => parts.chunks(1).collect(),
            Dialect::Postgres => bundles(&parts),
        };
        for bundle in bundles {
            let together = if is_usual(bundle) { dialect.together(bundle) } else { None };
            if let Some(sql) = together {
                self.run_statement(sql, Args::Parts(bundle), bundle[0].shape).await?;
                continue;
            }
            for part in bundle {
                let types = part.types();
                for portion in dialect.portions(&part.rows) {
                    let sql = dialect.write_statement(part.spec, part.shape, portion.len());
                    let args = match part.shape {
                        Shape::Delete | Shape::Lock { .. } => Args::Rows(&types, portion),
                        _ => Args::Written(&types, portion),
                    };
                    self.run_statement(sql, args, part.shape).await?;
                }
            }
        }
        Ok(())
    }

    async fn run_statement(&mut self, sql: Arc<str>, args: Args<'_>, shape: Shape) -> Result<()> {
        match shape {
            Shape::Lock { .. } => {
                let counted = self.session.fetch(sql, args, &[ColumnType::Int; 2]).await?;
                self.told = counted.into_iter().next().and_then(|mut row| row.pop()).and_then(timestamp);
            }
            _ => drop(self.session.execute(sql, args).await?),
        }
        Ok(())
    }

    /// Makes everything durable. After [`StoreError::UnknownCommit`] it may or may not be.
    pub async fn commit(self) -> Result<()> {
        match tokio::time::timeout(COMMIT_WITHIN, self.session.commit()).await {
            Ok(done) => done,
            Err(_) => Err(StoreError::UnknownCommit(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()))),
        }
    }

    pub async fn rollback(self) -> Result<()> {
        self.session.rollback().await
    }
}

impl RequestClaim {
    fn key(&self) -> Vec<Value> {
        jjj_domain::key![self.participant, self.request_id]
    }

    fn to_row(&self) -> RequestRow {
        RequestRow {
            participant: self.participant.clone(),
            request_id: self.request_id,
            content_digest: self.content_digest.clone(),
            leaf_id: self.leaf_id.clone(),
        }
    }
}

impl NewLeaf {
    fn entry(&self) -> sequence::Entry {
        let (leaf_id, leaf_hash) = (self.row.leaf_id.clone(), self.row.leaf_hash.clone());
        sequence::Entry { leaf_id, leaf_hash, audience: self.audience.iter().cloned().collect() }
    }

    fn pending(&self) -> PendingRow {
        let audience = self.audience.iter().map(|(to, topic)| format!("{topic} {to}")).collect::<Vec<_>>().join("\n");
        PendingRow { pending_id: 0, leaf_id: self.row.leaf_id.clone(), leaf_hash: self.row.leaf_hash.clone(), audience }
    }
}

fn timestamp(clock: Value) -> Option<Timestamp> {
    match clock {
        Value::Int(us) => Some(Timestamp(us)),
        _ => None,
    }
}

/// How many of the leaves one statement takes, from the first on.
fn fitting(leaves: &[&LeafRow]) -> usize {
    let mut bytes = 0;
    let fits = |leaf: &&&LeafRow| {
        bytes += leaf.body.stored_len();
        bytes <= LEAF_BYTES
    };
    leaves.iter().take_while(fits).count()
}

/// A [`Part`] that writes, with the values of its rows, or of the keys it deletes.
pub(crate) struct OwnedPart {
    pub spec: &'static TableSpec,
    pub shape: Shape,
    pub rows: Vec<Vec<Value>>,
}

impl OwnedPart {
    pub fn of<'r, T: Row + 'r>(rows: impl IntoIterator<Item = &'r T>, shape: Shape) -> Self {
        Self { spec: T::spec(), shape, rows: rows.into_iter().map(T::to_values).collect() }
    }

    pub fn part(&self) -> Part<'_> {
        Part::of(self.spec, self.shape, self.rows.iter().map(Vec::as_slice))
    }
}

/// Whether parts come in a combination that will come again: not where locks for change and against it alternate
/// along a table's keys, as chance has it.
fn is_usual(parts: &[Part]) -> bool {
    parts.windows(3).all(|three| three[0].spec != three[2].spec)
}

/// What transfers add to balances, summed as they come: it grows with accounts, not with transfers.
#[derive(Debug, Default)]
pub struct Balances {
    /// Posted, and held.
    accounts: HashMap<Account, (i64, i64)>,
    general: BTreeMap<Vec<Value>, GeneralLedgerRow>,
    cash: BTreeMap<(String, Date), CashDayRow>,
}

impl Balances {
    pub fn of(transfers: &[TransferRow]) -> Self {
        let mut balances = Self::default();
        balances.add(transfers);
        balances
    }

    pub fn add(&mut self, transfers: &[TransferRow]) {
        for transfer in transfers {
            for (account, fen) in transfer.deltas() {
                let (posted_fen, held_fen) = match self.accounts.get_mut(account) {
                    Some(sums) => sums,
                    None => self.accounts.entry(account.clone()).or_default(),
                };
                match transfer.layer {
                    Layer::Posted => *posted_fen += fen,
                    Layer::Held => *held_fen += fen,
                }
            }
        }
        for row in GeneralLedgerRow::sums(transfers) {
            match self.general.entry(GeneralLedgerRow::spec().key_of(&row.to_values())) {
                Entry::Vacant(free) => drop(free.insert(row)),
                Entry::Occupied(mut known) => {
                    known.get_mut().amount_fen += row.amount_fen;
                    known.get_mut().transfers += row.transfers;
                }
            }
        }
        transfers.iter().for_each(|transfer| CashDayRow::add_to(&mut self.cash, transfer));
    }

    /// Accounts, the general ledger and the days of money, each sorted: whoever changes balances takes them in this order.
    fn rows(self) -> [OwnedPart; 3] {
        let change = |(account, (posted_fen, held_fen)): (Account, (i64, i64))| {
            (account.to_string(), AccountRow { posted_fen, held_fen, ..AccountRow::empty(account) })
        };
        let accounts: BTreeMap<String, AccountRow> = self.accounts.into_iter().map(change).collect();
        [
            OwnedPart::of(accounts.values(), Shape::Add { sums: &["posted_fen", "held_fen"] }),
            OwnedPart::of(self.general.values(), Shape::Add { sums: &["amount_fen", "transfers"] }),
            OwnedPart::of(self.cash.values(), Shape::Add { sums: &["posted_fen", "transfers"] }),
        ]
    }
}

pub(crate) fn refs(rows: &[Vec<Value>]) -> Vec<&[Value]> {
    rows.iter().map(Vec::as_slice).collect()
}
