//! Whole sets of records, compared by range digests and fetched by name
//! ([`jjj_domain::recon::ranges`]).
//!
//! An answer is of one moment of the log. On PostgreSQL a transaction's rows are there some 20 ms before
//! its leaves have numbers: of a record so far ahead, the version before is told.

use std::collections::BTreeMap;
use std::sync::Arc;

use jjj_domain::care::contract::ContractRow;
use jjj_domain::care::stay::StayRow;
use jjj_domain::names::Collection;
use jjj_domain::recon::ranges::{self, Item, Range, Told};
use jjj_domain::record::{RecognitionRow, RecordKind, RecordRow};
use jjj_domain::rejection::{Reason, Rejection};
use jjj_domain::row::{Row, StoredFault, TableSpec};
use jjj_domain::value::{Column, Value};
use jjj_store::{Condition, ListQuery, Op, Predicate, Session};
use jjj_wire::pb;
use jjj_wire::pb::record_service_server::RecordService;
use tonic::{Request, Response, Status};

use super::fields;
use super::read::{failed, inconsistent, refuse};
use super::support::caller;
use crate::engine::LeafView;
use crate::engine::canonical::Canonical;
use crate::gateway::Gateway;
use crate::identity::Caller;

pub struct RecordApi(pub Arc<Gateway>);

const MAX_RANGES: usize = 256;
const MAX_FAN_OUT: i64 = 256;
const MAX_NAMES: usize = 500;
/// Longer than any name.
const MAX_NAME_CHARS: usize = 128;
/// Records that one answer covers: some seconds' reading, and a few megabytes of digests.
const MAX_RECORDS: usize = 100_000;
/// Rows read at a time.
const PAGE: usize = 1_000;
/// Names looked up in one statement.
const NAMES_A_STATEMENT: usize = 100;

#[tonic::async_trait]
impl RecordService for RecordApi {
    async fn compare_records(
        &self,
        request: Request<pb::CompareRecordsRequest>,
    ) -> Result<Response<pb::CompareRecordsResponse>, Status> {
        let caller = caller(&request)?;
        let q = request.get_ref();
        let set = set("collection", q.collection).map_err(refuse)?;
        let asked = asked(&q.ranges).map_err(refuse)?;
        let fan_out = match q.fan_out {
            0 => ranges::FAN_OUT,
            n => fields::in_range("fan_out", n.into(), 2, MAX_FAN_OUT).map_err(refuse)? as usize,
        };
        let mut moment = Moment::new(&self.0, &caller, set).await?;
        let mut told = Vec::with_capacity(asked.len());
        let mut left = MAX_RECORDS;
        for mut range in asked {
            if left == 0 {
                break;
            }
            let items = moment.items(&mut range, left).await?;
            left -= items.len();
            let answer = ranges::tell(items, &range, fan_out);
            told.push(digests(range, answer));
        }
        Ok(Response::new(pb::CompareRecordsResponse { ledger_number: moment.ledger_number, ranges: told }))
    }

    async fn fetch_records(
        &self,
        request: Request<pb::FetchRecordsRequest>,
    ) -> Result<Response<pb::FetchRecordsResponse>, Status> {
        let caller = caller(&request)?;
        let q = request.get_ref();
        let set = set("collection", q.collection).map_err(refuse)?;
        let names = names(&set, &q.names).map_err(refuse)?;
        let mut moment = Moment::new(&self.0, &caller, set).await?;
        let mut records = BTreeMap::new();
        for some in names.chunks(NAMES_A_STATEMENT) {
            records.extend(moment.named(some).await?);
        }
        let records = records.into_values().collect();
        Ok(Response::new(pb::FetchRecordsResponse { ledger_number: moment.ledger_number, records }))
    }
}

/// A table's rows of one collection.
struct Set {
    collection: Collection,
    spec: &'static TableSpec,
    kind: Option<RecordKind>,
}

fn set(field: &str, value: i32) -> Result<Set, Rejection> {
    let of_records = |kind: RecordKind| (kind.collection(), RecordRow::spec(), Some(kind));
    let (collection, spec, kind) = match pb::RecordCollection::try_from(value) {
        Ok(pb::RecordCollection::Ratings) => of_records(RecordKind::Rating),
        Ok(pb::RecordCollection::Assessments) => of_records(RecordKind::Assessment),
        Ok(pb::RecordCollection::DisabilityCertificates) => of_records(RecordKind::DisabilityCertificate),
        Ok(pb::RecordCollection::Recognitions) => (Collection::Recognition, RecognitionRow::spec(), None),
        Ok(pb::RecordCollection::Contracts) => (Collection::Contract, ContractRow::spec(), None),
        Ok(pb::RecordCollection::Stays) => (Collection::Stay, StayRow::spec(), None),
        Ok(pb::RecordCollection::Unspecified) | Err(_) => return Err(Reason::EnumUnspecified.field(field)),
    };
    Ok(Set { collection, spec, kind })
}

fn asked(stated: &[pb::NameRange]) -> Result<Vec<Range>, Rejection> {
    if stated.is_empty() {
        return Err(Reason::FieldMissing.field("ranges"));
    }
    fields::at_most("ranges", stated, MAX_RANGES)?;
    let mut ranges: Vec<Range> = Vec::with_capacity(stated.len());
    for (n, range) in stated.iter().enumerate() {
        let bound = |which, name: &str| fields::text(&format!("ranges[{n}].{which}"), name, MAX_NAME_CHARS);
        let range = Range { after: bound("after", &range.after)?, upto: bound("upto", &range.upto)? };
        let is_empty = !range.upto.is_empty() && range.upto <= range.after;
        let overlaps = ranges.last().is_some_and(|last| last.upto.is_empty() || range.after < last.upto);
        if is_empty || overlaps {
            let field = if is_empty { format!("ranges[{n}]") } else { "ranges".to_owned() };
            return Err(Reason::FieldOutOfRange.field(field).var("range", "each after the one before"));
        }
        ranges.push(range);
    }
    Ok(ranges)
}

fn names(set: &Set, stated: &[String]) -> Result<Vec<String>, Rejection> {
    if stated.is_empty() {
        return Err(Reason::FieldMissing.field("names"));
    }
    fields::at_most("names", stated, MAX_NAMES)?;
    let name = |(n, name): (usize, &String)| fields::name(&format!("names[{n}]"), name, &[set.collection]);
    stated.iter().enumerate().map(|named| Ok(name(named)?.to_string())).collect()
}

/// What the caller may read of a set, at one moment of the log.
struct Moment {
    session: Session,
    set: Set,
    /// Whom the rows must name, unless everybody may read them.
    reader: Option<String>,
    ledger_number: i64,
    /// Records of which the tables are ahead of the log, by the first version that has no number yet.
    ahead: BTreeMap<String, i64>,
}

impl Moment {
    async fn new(gateway: &Gateway, caller: &Caller, set: Set) -> Result<Self, Status> {
        let is_everybodys = caller.sees_all() || set.kind.is_some_and(|kind| !kind.is_personal());
        let mut session = gateway.store.read_at_once().await.map_err(failed)?;
        let ledger_number = session.tree_size().await.map_err(failed)?;
        let ahead = session.ahead_of_log(set.collection.as_str()).await.map_err(failed)?.into_iter().collect();
        let reader = (!is_everybodys).then(|| caller.participant().to_string());
        Ok(Self { session, set, reader, ledger_number, ahead })
    }

    /// The set's rows that the caller may read and for which all these hold, in the order of their names.
    async fn rows(
        &mut self,
        mut predicates: Vec<Predicate>,
        conditions: &[Condition],
        limit: usize,
    ) -> Result<Vec<Vec<Value>>, Status> {
        predicates.extend(self.set.kind.map(|kind| ("kind", Op::Eq, kind.to_value())));
        let query = ListQuery { predicates, reader: self.reader.as_deref(), after_key: None, limit: limit as i64 };
        self.session.list_values_where(self.set.spec, &query, conditions).await.map_err(failed)
    }

    /// The records of a range in the order of their names, at most so many. The range then ends where
    /// they do.
    async fn items(&mut self, range: &mut Range, limit: usize) -> Result<Vec<Item>, Status> {
        let key = self.set.spec.key[0];
        let mut items = Vec::new();
        let mut after = range.after.clone();
        loop {
            let page = PAGE.min(limit - items.len());
            let mut predicates: Vec<Predicate> = vec![(key, Op::Gt, after.to_value())];
            if !range.upto.is_empty() {
                predicates.push((key, Op::Le, range.upto.to_value()));
            }
            let rows = self.rows(predicates, &[], page).await?;
            let is_last = rows.len() < page;
            for row in rows {
                after = self.name_of(&row)?;
                if let Some((version, record)) = self.as_logged(&after, row).await? {
                    items.push(Item::new(after.clone(), version, &record));
                }
            }
            if is_last {
                return Ok(items);
            }
            if items.len() >= limit {
                range.upto = after;
                return Ok(items);
            }
        }
    }

    /// The records with these names, by name.
    async fn named(&mut self, names: &[String]) -> Result<BTreeMap<String, String>, Status> {
        let key = self.set.spec.key[0];
        let any = names.iter().map(|name| Condition::Is((key, Op::Eq, name.to_value()))).collect();
        let rows = self.rows(vec![], &[Condition::Any(any)], names.len()).await?;
        let mut records = BTreeMap::new();
        for row in rows {
            let name = self.name_of(&row)?;
            if let Some((_, record)) = self.as_logged(&name, row).await? {
                records.insert(name, record);
            }
        }
        Ok(records)
    }

    fn name_of(&self, row: &[Value]) -> Result<String, Status> {
        let at = self.set.spec.column(self.set.spec.key[0]).expect("a spec names its own columns");
        String::from_value(row[at].clone()).map_err(|problem| self.fault(self.set.spec.key[0], problem))
    }

    /// A record's version and canonical JSON as the log has it; `None` if all of it is ahead.
    async fn as_logged(&mut self, name: &str, row: Vec<Value>) -> Result<Option<(i64, String)>, Status> {
        let spec = self.set.spec;
        let row = match self.ahead.get(name) {
            None => row,
            Some(&first) => {
                let before = self.session.versions(name, first - 1, 1).await.map_err(failed)?;
                let Some(leaf) = before.into_iter().find(|leaf| leaf.version < first) else { return Ok(None) };
                let leaf = LeafView::stored(&leaf).map_err(inconsistent)?;
                let found = leaf.values(spec, &[name.to_owned().to_value()]);
                found.ok_or_else(|| self.fault("version", format!("{name} has a leaf without its row")))?.to_vec()
            }
        };
        let at = spec.column("version").expect("every set has versions");
        let version = i64::from_value(row[at].clone()).map_err(|problem| self.fault("version", problem))?;
        let mut record = Canonical::default();
        record.columns(spec, &row);
        Ok(Some((version, record.finish())))
    }

    fn fault(&self, column: &'static str, problem: String) -> Status {
        inconsistent(StoredFault { table: self.set.spec.name, column, problem })
    }
}

fn digests(range: Range, told: Told) -> pb::RangeDigests {
    let (mut pieces, mut items) = (Vec::new(), Vec::new());
    match told {
        Told::Pieces(told) => pieces.extend(told.into_iter().map(|piece| pb::RangePiece {
            upto: piece.upto,
            count: piece.count as i64,
            digest: piece.digest.as_bytes().to_vec(),
        })),
        Told::Items(told) => items.extend(told.into_iter().map(|item| pb::RecordDigest {
            name: item.name,
            version: item.version,
            digest: item.digest.as_bytes().to_vec(),
        })),
    }
    pb::RangeDigests { range: Some(pb::NameRange { after: range.after, upto: range.upto }), pieces, items }
}
