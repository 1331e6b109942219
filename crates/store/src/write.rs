//! One batch's transaction, in the order of DESIGN.md §4: claim the requests, load
//! and lock, decide (elsewhere), write, commit.

use std::borrow::Borrow;
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
use crate::dialect::{Dialect, MOST_ROWS_POSTGRES, Part, Shape, bundles, column_names, inserted, types_of};
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
    /// New leaves in order of cause and effect; for [`WriteTx::number_leaves`] without their bodies.
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
        Self { session, _place: None }
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
        let keys = types_of(spec, spec.key);
        let mut stored = HashMap::new();
        let (mut fresh, old) = match dialect {
            // Nobody else writes: what is not there is ours.
            Dialect::Sqlite => {
                let known: Vec<Vec<Value>> = first.keys().cloned().collect();
                for values in self.session.load_keys(spec, &refs(&known)).await? {
                    stored.insert(spec.key_of(&values), RequestRow::from_values(values)?);
                }
                let is_new = |row: &&Vec<Value>| !stored.contains_key(&spec.key_of(row));
                let new: Vec<&[Value]> = rows.iter().filter(is_new).map(Vec::as_slice).collect();
                self.run(spec, Shape::Insert, &new).await?;
                let fresh: BTreeSet<_> = known.into_iter().filter(|key| !stored.contains_key(key)).collect();
                (fresh, stored.keys().cloned().collect())
            }
            Dialect::Postgres => {
                let mut fresh = BTreeSet::new();
                for portion in dialect.portions(&refs(&rows)) {
                    let sql = dialect.write_statement(spec, Shape::Claim, portion.len());
                    fresh.extend(self.session.fetch(sql, Args::Written(&types, portion), &keys).await?);
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
        let mut parts = Vec::new();
        for run in rows.chunk_by(|a, b| a.0 == b.0 && a.1 == b.1) {
            let wanted = run.iter().map(|(_, _, key)| *key).collect();
            parts.push(Part { spec: run[0].0, shape: Shape::Lock { exclusive: run[0].1 }, wanted });
        }
        for bundle in bundles(&parts) {
            // Before it is made: one that chance made is not to take the place of one that comes again.
            let together = if is_usual(bundle) { Dialect::Postgres.together(bundle) } else { None };
            if let Some(sql) = together {
                self.session.execute(sql, Args::Parts(bundle)).await?;
                continue;
            }
            for part in bundle {
                let sql = Dialect::Postgres.statement(part.spec, part.shape);
                self.session.execute(sql, Args::Rows(&part.types(), &part.wanted)).await?;
            }
        }
        Ok(())
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

    /// The database's clock: read after locking, it is the batch's time.
    pub async fn now(&mut self) -> Result<Timestamp> {
        let now = self.session.int(self.session.dialect().now_us(), &[]).await?;
        Ok(Timestamp(now.unwrap_or_default()))
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

    /// Writes a batch's effects: [`Self::write_rows`], [`Self::write_log`], [`Self::write_balances`].
    pub async fn write(&mut self, effects: &Effects) -> Result<()> {
        self.write_rows(effects).await?;
        self.write_log(&effects.logged).await?;
        self.write_balances(&effects.transfers).await
    }

    /// The domain's rows and the journal, each table in one statement, tables and keys in one order.
    pub async fn write_rows(&mut self, effects: &Effects) -> Result<()> {
        let mut tables: BTreeMap<&str, (&'static TableSpec, Vec<&[Value]>)> = BTreeMap::new();
        for write in &effects.writes {
            tables.entry(write.spec.name).or_insert_with(|| (write.spec, Vec::new())).1.push(&write.values);
        }
        for (spec, rows) in tables.into_values() {
            match spec.kind {
                TableKind::AppendOnly => self.run(spec, Shape::Insert, &rows).await?,
                TableKind::Head | TableKind::Private | TableKind::Derived => {
                    let last: BTreeMap<Vec<Value>, &[Value]> =
                        rows.into_iter().map(|row| (spec.key_of(row), row)).collect();
                    let (mut new, mut known) = (Vec::new(), Vec::new());
                    for (key, row) in last {
                        if effects.absent.contains(&(spec.name, key)) { new.push(row) } else { known.push(row) }
                    }
                    self.run(spec, Shape::Insert, &new).await?;
                    let changed = effects.changed.get(spec.name).copied();
                    let changed = changed.unwrap_or_else(|| ColumnSet::beside_key(spec));
                    self.run(spec, Shape::Upsert { changed }, &known).await?;
                }
            }
        }
        let mut erased: BTreeMap<&str, (&'static TableSpec, Vec<Vec<Value>>)> = BTreeMap::new();
        for Erasure { spec, key, .. } in &effects.erasures {
            erased.entry(spec.name).or_insert_with(|| (*spec, Vec::new())).1.push(key.clone());
        }
        for (spec, keys) in erased.into_values() {
            self.delete(spec, keys).await?;
        }
        self.insert(&effects.transfers, Shape::Insert).await
    }

    /// Leaves alone: a part of those of a transaction too large to hold them all until [`Self::number_leaves`].
    pub async fn write_leaves(&mut self, leaves: &[&LeafRow]) -> Result<()> {
        let mut rest = leaves;
        while !rest.is_empty() {
            let mut bytes = 0;
            let fitting = rest.iter().take_while(|leaf| {
                bytes += leaf.body.stored_len();
                bytes <= LEAF_BYTES
            });
            let (fitting, others) = rest.split_at(fitting.count().max(1));
            self.insert(fitting.iter().copied(), Shape::Insert).await?;
            rest = others;
        }
        Ok(())
    }

    /// Leaves and their evidence. Numbered here where the transaction can, else left to the sequencer.
    pub async fn write_log(&mut self, logged: &Logged) -> Result<()> {
        self.write_leaves(&logged.leaves.iter().map(|leaf| &leaf.row).collect::<Vec<_>>()).await?;
        self.number_leaves(logged).await
    }

    /// Evidence, and the numbers or the wait for them, of leaves that [`Self::write_leaves`] has written.
    pub async fn number_leaves(&mut self, logged: &Logged) -> Result<()> {
        self.insert(&logged.evidence, Shape::Insert).await?;
        if let Some(fold) = logged.fold {
            let (leaves_wait, state) = self.log_state().await?;
            // What waits already goes first: it may be the cause of what is new.
            if !leaves_wait {
                self.append(state, logged.leaves.iter().map(NewLeaf::entry).collect(), fold).await?;
                return Ok(());
            }
        }
        let waiting: Vec<_> = logged.leaves.iter().map(NewLeaf::pending).collect();
        self.insert(&waiting, Shape::Insert).await
    }

    /// Adds the transfers to the accounts' balances, the general ledger and the days of money: the last rows that a transaction takes, in one order.
    pub async fn write_balances(&mut self, transfers: &[TransferRow]) -> Result<()> {
        let mut accounts = HashMap::new();
        add_to_accounts(&mut accounts, transfers);
        self.write_sums(&accounts, &GeneralLedgerRow::sums(transfers), &CashDayRow::sums(transfers)).await
    }

    /// … of transfers that were written part by part.
    pub async fn write_summed(&mut self, balances: Balances) -> Result<()> {
        let Balances { accounts, general, cash } = balances;
        let general: Vec<GeneralLedgerRow> = general.into_values().collect();
        self.write_sums(&accounts, &general, &cash.into_values().collect::<Vec<_>>()).await
    }

    async fn write_sums<A: Borrow<Account>>(
        &mut self,
        accounts: &HashMap<A, (i64, i64)>,
        general: &[GeneralLedgerRow],
        cash: &[CashDayRow],
    ) -> Result<()> {
        self.insert(&balance_changes(accounts), Shape::Add { sums: &["posted_fen", "held_fen"] }).await?;
        self.insert(general, Shape::Add { sums: &["amount_fen", "transfers"] }).await?;
        self.insert(cash, Shape::Add { sums: &["posted_fen", "transfers"] }).await
    }

    /// Writes rows of a table that no leaf commits to (uploads, chunks), replacing equal keys.
    pub async fn put<T: Row>(&mut self, rows: &[T]) -> Result<()> {
        let values: BTreeMap<Vec<Value>, Vec<Value>> =
            rows.iter().map(T::to_values).map(|row| (T::spec().key_of(&row), row)).collect();
        let shape = Shape::Upsert { changed: ColumnSet::beside_key(T::spec()) };
        self.run(T::spec(), shape, &values.values().map(Vec::as_slice).collect::<Vec<_>>()).await
    }

    pub(crate) async fn insert<T: Row>(&mut self, rows: impl IntoIterator<Item = &T>, shape: Shape) -> Result<()> {
        let rows: Vec<&T> = rows.into_iter().collect();
        for portion in rows.chunks(MOST_ROWS_POSTGRES) {
            let values: Vec<Vec<Value>> = portion.iter().map(|row| row.to_values()).collect();
            self.run(T::spec(), shape, &refs(&values)).await?;
        }
        Ok(())
    }

    pub(crate) async fn delete(&mut self, spec: &'static TableSpec, mut keys: Vec<Vec<Value>>) -> Result<()> {
        if keys.is_empty() {
            return Ok(());
        }
        keys.sort();
        let sql = self.session.dialect().statement(spec, Shape::Delete);
        self.session.execute(sql, Args::Rows(&types_of(spec, spec.key), &refs(&keys))).await?;
        Ok(())
    }

    async fn run(&mut self, spec: &'static TableSpec, shape: Shape, rows: &[&[Value]]) -> Result<()> {
        let columns = inserted(spec);
        let drawn = spec.columns.len() - columns.len();
        let rows: Vec<&[Value]> = rows.iter().map(|row| &row[drawn..]).collect();
        let types: Vec<_> = columns.iter().map(|c| c.ty).collect();
        let dialect = self.session.dialect();
        for portion in dialect.portions(&rows) {
            let sql = dialect.write_statement(spec, shape, portion.len());
            self.session.execute(sql, Args::Written(&types, portion)).await?;
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

/// Whether locks come in a combination that will come again: not where those for change and those against it alternate
/// along a table's keys, as chance has it.
fn is_usual(locks: &[Part]) -> bool {
    locks.windows(3).all(|three| three[0].spec != three[2].spec)
}

/// What a transaction adds to balances, summed as its parts come: it grows with accounts, not with transfers.
#[derive(Debug, Default)]
pub struct Balances {
    /// Posted, and held.
    accounts: HashMap<Account, (i64, i64)>,
    general: BTreeMap<Vec<Value>, GeneralLedgerRow>,
    cash: BTreeMap<(String, Date), CashDayRow>,
}

impl Balances {
    pub fn take(&mut self, transfers: &[TransferRow]) {
        let mut accounts = HashMap::new();
        add_to_accounts(&mut accounts, transfers);
        for (account, (posted_fen, held_fen)) in accounts {
            let sum = self.accounts.entry(account.clone()).or_default();
            *sum = (sum.0 + posted_fen, sum.1 + held_fen);
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
}

fn add_to_accounts<'t>(sums: &mut HashMap<&'t Account, (i64, i64)>, transfers: &'t [TransferRow]) {
    for transfer in transfers {
        for (account, fen) in transfer.deltas() {
            let (posted, held) = sums.entry(account).or_default();
            match transfer.layer {
                Layer::Posted => *posted += fen,
                Layer::Held => *held += fen,
            }
        }
    }
}

/// One row per account, holding the sum of its changes, sorted by account.
fn balance_changes<A: Borrow<Account>>(sums: &HashMap<A, (i64, i64)>) -> Vec<AccountRow> {
    let change = |(account, (posted_fen, held_fen)): (&A, &(i64, i64))| {
        let empty = AccountRow::empty(account.borrow().clone());
        (account.borrow().to_string(), AccountRow { posted_fen: *posted_fen, held_fen: *held_fen, ..empty })
    };
    sums.iter().map(change).collect::<BTreeMap<_, _>>().into_values().collect()
}

pub(crate) fn refs(rows: &[Vec<Value>]) -> Vec<&[Value]> {
    rows.iter().map(Vec::as_slice).collect()
}
