//! The ledger, read; the log, proven; evidence, handed out.

use std::sync::Arc;
use std::time::Duration;

use jjj_domain::close::trial;
use jjj_domain::guard;
use jjj_domain::key;
use jjj_domain::ledger::{AccountRow, Book};
use jjj_domain::record::{RecognitionRow, recognition_name};
use jjj_domain::rejection::{Reason, Rejection};
use jjj_domain::row::Row;
use jjj_domain::value::{Column, ColumnType, Value};
use jjj_store::log_tables::{CheckpointRow, LeafRow};
use jjj_store::{EntryField, EntryQuery, LedgerEntry, Op, Predicate, Session};
use jjj_token::merkle::{consistency_proof, inclusion_proof};
use jjj_wire::ledger::{OfLeaf, Sides, account, entry, trial_balance};
use jjj_wire::month_close::trial_line;
use jjj_wire::pb;
use jjj_wire::pb::ledger_service_server::LedgerService;
use tonic::{Request, Response, Status};

use super::fields;
use super::filter::{Field, Filter};
use super::page::Paging;
use super::policy::may_know;
use super::read::{Sees, failed, inconsistent, page, refuse};
use super::support::caller;
use crate::cosign::with_cosignatures;
use crate::evidence::{self, is_concerned};
use crate::gateway::Gateway;
use crate::identity::Caller;
use crate::proof;

pub struct LedgerApi(pub Arc<Gateway>);

const ACCOUNTS: &[Field] =
    &[("book", Some("book")), ("kind", Some("kind")), ("first_dimension", None), ("second_dimension", None)];
const ENTRIES: &[(Field, EntryField, ColumnType)] = &[
    (("book", None), EntryField::Book, ColumnType::Text),
    (("account", None), EntryField::Account, ColumnType::Text),
    (("kind", None), EntryField::Kind, ColumnType::Text),
    (("layer", None), EntryField::Layer, ColumnType::Text),
    (("record", None), EntryField::Record, ColumnType::Text),
    (("clearing_date", None), EntryField::ClearingDate, ColumnType::Text),
    (("booking_month", None), EntryField::BookingMonth, ColumnType::Text),
    (("ledger_number", None), EntryField::LedgerNumber, ColumnType::Int),
];

/// Accounts of one book and kind are neighbours by key: a page of them reads no others. There are as many
/// of a kind as there are elders. A later page begins after the one before; another lower bound beside it
/// could be taken for the range, and every page would be read from the beginning.
fn account_range(predicates: &[Predicate], is_first_page: bool) -> Vec<Predicate> {
    let equal = |column: &str| match predicates.iter().find(|(name, op, _)| (*name, *op) == (column, Op::Eq)) {
        Some((_, _, Value::Text(text))) => Some(text),
        _ => None,
    };
    let (Some(book), Some(kind)) = (equal("book"), equal("kind")) else { return Vec::new() };
    let bound = |op, end: char| ("account", op, Value::Text(format!("{book}:{kind}{end}")));
    // The byte after the colon is the semicolon.
    let upper = bound(Op::Lt, ';');
    if is_first_page { vec![bound(Op::Ge, ':'), upper] } else { vec![upper] }
}

/// How long a checkpoint of a size is waited for. One is signed about once a second.
const PATIENCE: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_millis(100);

/// Records of the directories, which every participant reads.
const PUBLIC: [&str; 9] = [
    "regions/",
    "channels/",
    "gateway",
    "keys/",
    "authorities/",
    "administrators/",
    "policies/",
    "institutions/",
    "ratings/",
];

/// Who enrolled whom with which key: what every signature rests on is everybody's to check.
const REGISTRY: [&str; 3] = ["regions/", "channels/", "gateway"];

#[tonic::async_trait]
impl LedgerService for LedgerApi {
    async fn list_accounts(
        &self,
        request: Request<pb::ListAccountsRequest>,
    ) -> Result<Response<pb::ListAccountsResponse>, Status> {
        let caller = caller(&request)?;
        let q = request.get_ref();
        let mut filter = Filter::parse(&q.filter, ACCOUNTS).map_err(refuse)?;
        let (first, second) = (filter.take("first_dimension"), filter.take("second_dimension"));
        let mut predicates = filter.predicates(AccountRow::spec()).map_err(refuse)?;
        let paging = Paging::new(caller.method.path, &q.filter, q.page_size, &q.page_token).map_err(refuse)?;
        predicates.extend(account_range(&predicates, paging.token.is_empty()));
        let keep = |row: &AccountRow| {
            first.iter().all(|c| c.holds_for(&row.account.a)) && second.iter().all(|c| c.holds_for(&row.account.b))
        };
        let (rows, next_page_token) = page(&self.0, &caller, predicates, &paging, Sees::Readers, keep).await?;
        Ok(Response::new(pb::ListAccountsResponse { accounts: rows.iter().map(account).collect(), next_page_token }))
    }

    async fn list_entries(
        &self,
        request: Request<pb::ListEntriesRequest>,
    ) -> Result<Response<pb::ListEntriesResponse>, Status> {
        let caller = caller(&request)?;
        let q = request.get_ref();
        let conditions = entry_conditions(&q.filter).map_err(refuse)?;
        let paging = Paging::new(caller.method.path, &q.filter, q.page_size, &q.page_token).map_err(refuse)?;
        let after = after_entry(&paging).map_err(refuse)?;
        let region = caller.participant().to_string();
        let query = EntryQuery {
            conditions,
            region: (!caller.sees_all()).then_some(region.as_str()),
            after,
            limit: paging.size + 1,
        };
        let mut session = self.0.store.read().await.map_err(failed)?;
        let mut found = session.entries(&query).await.map_err(failed)?;
        let is_more = found.len() as i64 > paging.size;
        found.truncate(paging.size as usize);
        let next_page_token = match found.last() {
            Some(last) if is_more => paging.encode(&[last.leaf_index.to_value(), last.transfer.line.to_value()]),
            _ => String::new(),
        };
        Ok(Response::new(pb::ListEntriesResponse { entries: found.into_iter().map(render).collect(), next_page_token }))
    }

    async fn get_trial_balance(
        &self,
        request: Request<pb::GetTrialBalanceRequest>,
    ) -> Result<Response<pb::TrialBalance>, Status> {
        let caller = caller(&request)?;
        let q = request.get_ref();
        let book: Book = fields::parse("book", &q.book, "{6 digits}/{programme}").map_err(refuse)?;
        let month = match q.booking_month.as_str() {
            "" => None,
            text => Some(fields::month("booking_month", text).map_err(refuse)?),
        };
        if !caller.sees_all() && caller.participant() != book.region() {
            return Err(refuse(Reason::NotYourRecord.field("book").var("name", &book)));
        }
        let mut session = self.0.store.read_at_once().await.map_err(failed)?;
        let ledger_number = session.tree_size().await.map_err(failed)?;
        let rows = session.trial_balance(Some(&book)).await.map_err(failed)?;
        let wanted = rows.into_iter().filter(|row| month.is_none_or(|month| row.booking_month == month));
        let parts = wanted.map(|row| Sides {
            kind: row.kind,
            layer: row.layer,
            debit_fen: row.debit_fen,
            credit_fen: row.credit_fen,
        });
        let mut balance = trial_balance(book.to_string(), q.booking_month.clone(), parts, ledger_number);
        drop(session);
        if let Some(month) = month {
            let trial = self.0.engine.read(|snapshot, _| trial(snapshot, &book, month)).await?;
            balance.accounts = trial.lines.iter().map(trial_line).collect();
        }
        Ok(Response::new(balance))
    }

    async fn get_checkpoint(
        &self,
        request: Request<pb::GetCheckpointRequest>,
    ) -> Result<Response<pb::Checkpoint>, Status> {
        let min_size = request.get_ref().min_size;
        guard::range("min_size", min_size, 0, i64::MAX).map_err(refuse)?;
        let row = self.checkpoint_from(min_size).await?;
        let mut session = self.0.store.read().await.map_err(failed)?;
        Ok(Response::new(self.checkpoint(&mut session, row).await?))
    }

    async fn get_inclusion_proof(
        &self,
        request: Request<pb::GetInclusionProofRequest>,
    ) -> Result<Response<pb::InclusionProof>, Status> {
        let caller = caller(&request)?;
        let q = request.get_ref();
        guard::range("tree_size", q.tree_size, 0, i64::MAX).map_err(refuse)?;
        let mut session = self.0.store.read().await.map_err(failed)?;
        let (index, hash) = self.leaf_to_prove(&mut session, &caller, q).await?;
        let sealed = self.sealed(&mut session, "tree_size", q.tree_size).await?;
        let row = sealed.filter(|row| row.tree_size > index).ok_or_else(|| not_found("record", &q.record))?;
        let size = row.tree_size.unsigned_abs();
        let path = proof::over(&mut session, |source| inclusion_proof(&source, index.unsigned_abs(), size)).await?;
        Ok(Response::new(pb::InclusionProof {
            leaf_index: index,
            leaf_hash: hash,
            path: path.iter().map(|hash| hash.to_vec()).collect(),
            checkpoint: Some(self.checkpoint(&mut session, row).await?),
        }))
    }

    async fn get_consistency_proof(
        &self,
        request: Request<pb::GetConsistencyProofRequest>,
    ) -> Result<Response<pb::ConsistencyProof>, Status> {
        let q = request.get_ref();
        guard::range("to_size", q.to_size, 0, i64::MAX).map_err(refuse)?;
        let mut session = self.0.store.read().await.map_err(failed)?;
        let row = self.sealed(&mut session, "to_size", q.to_size).await?;
        let row = row.ok_or_else(|| refuse(guard::out_of_range("to_size", "the sizes of checkpoints")))?;
        guard::range("from_size", q.from_size, 1, row.tree_size).map_err(refuse)?;
        let (from, to) = (q.from_size.unsigned_abs(), row.tree_size.unsigned_abs());
        let path = proof::over(&mut session, |source| consistency_proof(&source, from, to)).await?;
        Ok(Response::new(pb::ConsistencyProof {
            from_size: q.from_size,
            path: path.iter().map(|hash| hash.to_vec()).collect(),
            checkpoint: Some(self.checkpoint(&mut session, row).await?),
        }))
    }

    async fn get_evidence(&self, request: Request<pb::GetEvidenceRequest>) -> Result<Response<pb::Evidence>, Status> {
        let caller = caller(&request)?;
        let q = request.get_ref();
        let mut session = self.0.store.read().await.map_err(failed)?;
        let leaf = leaf_of(&mut session, &q.record, q.version).await?;
        let is_registry = REGISTRY.iter().any(|prefix| q.record.starts_with(prefix));
        if !is_registry && !has_part_in(&mut session, &leaf, &caller).await? {
            return Err(refuse(Reason::NotYourRecord.field("record").var("name", &q.record)));
        }
        // What is personal is read under a transaction of its own.
        drop(session);
        Ok(Response::new(evidence::of(&self.0, &caller, leaf).await?))
    }
}

impl LedgerApi {
    /// The first checkpoint of at least this size, waited for a moment; of any size, the newest.
    async fn checkpoint_from(&self, min_size: i64) -> Result<CheckpointRow, Status> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let mut session = self.0.store.read().await.map_err(failed)?;
            let found = match min_size {
                0 => session.latest_public_checkpoint(self.0.quorum).await,
                size => session.checkpoint_covering(size - 1).await,
            };
            if let Some(row) = found.map_err(failed)? {
                return Ok(row);
            }
            if tokio::time::Instant::now() >= deadline {
                let size = session.tree_size().await.map_err(failed)?;
                return Err(refuse(guard::out_of_range("min_size", format!("0..{size}"))));
            }
            drop(session);
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The checkpoint of exactly this size; of size 0, the newest, if there is one.
    async fn sealed(
        &self,
        session: &mut Session,
        field: &str,
        tree_size: i64,
    ) -> Result<Option<CheckpointRow>, Status> {
        if tree_size == 0 {
            return session.latest_public_checkpoint(self.0.quorum).await.map_err(failed);
        }
        let row: Option<CheckpointRow> = session.get(key![tree_size]).await.map_err(failed)?;
        // A size without a signed head proves nothing to anybody.
        row.map(Some).ok_or_else(|| refuse(guard::out_of_range(field, "the sizes of checkpoints")))
    }

    /// A head with the cosignatures that it has so far.
    async fn checkpoint(&self, session: &mut Session, row: CheckpointRow) -> Result<pb::Checkpoint, Status> {
        let cosignatures = session.cosignatures(row.tree_size).await.map_err(failed)?;
        Ok(pb::Checkpoint {
            origin: self.0.origin.clone(),
            tree_size: row.tree_size,
            root_hash: proof::hash("checkpoints", "root", &row.root).map_err(inconsistent)?.to_vec(),
            note: with_cosignatures(row.note, &cosignatures),
            sealed_time_us: row.sealed_at_us.0,
        })
    }

    /// Index and hash of the leaf asked for.
    async fn leaf_to_prove(
        &self,
        session: &mut Session,
        caller: &Caller,
        q: &pb::GetInclusionProofRequest,
    ) -> Result<(i64, Vec<u8>), Status> {
        match (q.record.as_str(), q.leaf_hash.as_slice()) {
            (record, []) => {
                let leaf = leaf_of(session, record, q.version).await?;
                let is_public = PUBLIC.iter().any(|prefix| record.starts_with(prefix)) && may_know(caller, record);
                if !is_public && !has_part_in(session, &leaf, caller).await? {
                    return Err(not_found("record", record));
                }
                let index = session.leaf_index(&leaf.leaf_id).await.map_err(failed)?;
                let hash = proof::hash("leaves", "leaf_hash", &leaf.leaf_hash).map_err(inconsistent)?;
                Ok((index.ok_or_else(|| not_found("record", record))?, hash.to_vec()))
            }
            // Who has the hash has the leaf or its receipt.
            (record, hash) if hash.len() == 32 => {
                fields::required_text("record", record, MAX_RECORD_LEN).map_err(refuse)?;
                guard::range("version", q.version, 1, i64::MAX).map_err(refuse)?;
                let name = hex::encode(hash);
                let index = session.leaf_index_of(record, q.version, &name).await.map_err(failed)?;
                Ok((index.ok_or_else(|| not_found("leaf_hash", &name))?, hash.to_vec()))
            }
            _ => Err(refuse(fields::malformed("leaf_hash", "32 bytes"))),
        }
    }
}

/// Whether a leaf concerns the caller: it was told so, or has a recognition on the record, in
/// whatever state, and so relies on what the issuer signed.
async fn has_part_in(session: &mut Session, leaf: &LeafRow, caller: &Caller) -> Result<bool, Status> {
    if is_concerned(leaf, caller).map_err(inconsistent)? {
        return Ok(true);
    }
    let own = recognition_name(&leaf.record, caller.participant());
    let recognition: Option<RecognitionRow> = session.get(key![own.to_string()]).await.map_err(failed)?;
    Ok(recognition.is_some_and(|recognition| recognition.record == leaf.record))
}

fn not_found(field: &str, name: &str) -> Status {
    refuse(Reason::RecordNotFound.field(field).var("name", name))
}

/// No record's name is longer, in characters.
const MAX_RECORD_LEN: usize = 200;

/// The leaf of a version of a record; 0 is the current one.
async fn leaf_of(session: &mut Session, record: &str, version: i64) -> Result<LeafRow, Status> {
    // Any record's name: no one form, but a length, and no characters that a database cannot hold.
    fields::required_text("record", record, MAX_RECORD_LEN).map_err(refuse)?;
    guard::range("version", version, 0, i64::MAX).map_err(refuse)?;
    let version = match version {
        0 => session.newest_version(record).await.map_err(failed)?.unwrap_or(0),
        version => version,
    };
    let leaf = session.versions(record, version, 1).await.map_err(failed)?.pop();
    leaf.filter(|leaf| leaf.version == version).ok_or_else(|| not_found("record", record))
}

fn entry_conditions(text: &str) -> Result<Vec<(EntryField, Op, Value)>, Rejection> {
    let fields: Vec<Field> = ENTRIES.iter().map(|(field, ..)| *field).collect();
    let mut filter = Filter::parse(text, &fields)?;
    let mut conditions = Vec::new();
    for ((name, _), field, ty) in ENTRIES {
        for comparison in filter.take(name) {
            let malformed = || Reason::FilterMalformed.field("filter").var("at", *name);
            let value = match ty {
                ColumnType::Int => comparison.value.parse().map(Value::Int).map_err(|_| malformed())?,
                ColumnType::Text | ColumnType::Bytes => Value::Text(stored_text(*field, &comparison.value)),
            };
            conditions.push((*field, comparison.op, value));
        }
    }
    Ok(conditions)
}

/// Accounts are stored without the collection that their API names have.
fn stored_text(field: EntryField, text: &str) -> String {
    match field {
        EntryField::Account => text.strip_prefix("accounts/").unwrap_or(text).to_owned(),
        _ => text.to_owned(),
    }
}

/// The entry after which a page begins.
fn after_entry(paging: &Paging<'_>) -> Result<Option<(i64, i64)>, Rejection> {
    if paging.token.is_empty() {
        return Ok(None);
    }
    match paging.decode(&[ColumnType::Int, ColumnType::Int])?[..] {
        [Value::Int(leaf_index), Value::Int(line)] => Ok(Some((leaf_index, line))),
        _ => Err(Paging::malformed()),
    }
}

fn render(found: LedgerEntry) -> pb::Entry {
    let leaf = OfLeaf {
        record: found.record,
        version: found.version,
        leaf_hash: hex::decode(&found.leaf_hash).unwrap_or_default(),
        ledger_number: found.leaf_index + 1,
        recorded_at: found.recorded_at,
    };
    entry(&found.transfer, leaf)
}
