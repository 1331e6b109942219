//! What every reading method does: one row, one page, the versions of a record, each
//! narrowed to what the caller may see.

use std::time::{Duration, Instant};

use jjj_domain::rejection::{Reason, Rejection};
use jjj_domain::row::{Row, StoredFault, TableSpec};
use jjj_domain::value::Value;
use jjj_store::{Condition, ListQuery, Predicate, StoreError};
use tonic::Status;

use super::page::Paging;
use crate::engine::LeafView;
use crate::gateway::Gateway;
use crate::identity::Caller;
use crate::status::Refused;

/// A page that a filter thins out is filled from at most so many further ones.
const MAX_PAGES: usize = 8;

/// How long, and how often, a reader that goes by the log's order looks for numbers.
const NUMBERED_WITHIN: Duration = Duration::from_secs(5);
const NUMBERED_LOOK: Duration = Duration::from_millis(20);

/// Who sees a table's rows through a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sees {
    /// Whom the table's reader columns name, and the gateway's administrators.
    Readers,
    /// Every participant.
    Everyone,
}

/// Returns once what was committed before the call has its place in the log (on PostgreSQL a moment after); `false`
/// when that takes too long.
pub async fn is_numbered(gateway: &Gateway) -> Result<bool, Status> {
    let until = Instant::now() + NUMBERED_WITHIN;
    // The last that waited when the call came.
    let mut awaited = None;
    loop {
        let waiting = gateway.store.read().await.map_err(failed)?.waiting().await.map_err(failed)?;
        let Some((first, last)) = waiting else { return Ok(true) };
        if first > *awaited.get_or_insert(last) {
            return Ok(true);
        }
        if Instant::now() >= until {
            return Ok(false);
        }
        // No connection is held while the sequencer is waited for.
        tokio::time::sleep(NUMBERED_LOOK).await;
    }
}

/// A failed read, logged once.
pub fn failed(error: StoreError) -> Status {
    Refused::store("reading", &error).into()
}

/// Stored data that does not render, logged once.
pub fn inconsistent(fault: StoredFault) -> Status {
    Refused::internal("rendering", &fault).into()
}

/// A refusal as a status.
pub fn refuse(rejection: impl Into<Rejection>) -> Status {
    Refused::from(rejection.into()).into()
}

fn not_found(name: &str) -> Status {
    refuse(Reason::RecordNotFound.field("name").var("name", name))
}

fn may_read(spec: &TableSpec, values: &[Value], caller: &Caller, sees: Sees) -> bool {
    let own = Value::Text(caller.participant().to_string());
    sees == Sees::Everyone
        || caller.sees_all()
        || spec.readers.is_empty()
        || spec.pick(spec.readers, values).contains(&own)
}

/// One row, by key. What the caller may not see is not there; `name` is what the refusal calls it.
pub async fn get<T: Row>(
    gateway: &Gateway,
    caller: &Caller,
    key: Vec<Value>,
    name: &str,
    sees: Sees,
) -> Result<T, Status> {
    let mut session = gateway.store.read().await.map_err(failed)?;
    let row: Option<T> = session.get(key).await.map_err(failed)?;
    row.filter(|row| may_read(T::spec(), &row.to_values(), caller, sees)).ok_or_else(|| not_found(name))
}

/// One page of a table in key order, and the next page's token. `keep` thins out what no column
/// can say; a page may then hold fewer rows than asked for.
pub async fn page<T: Row>(
    gateway: &Gateway,
    caller: &Caller,
    predicates: Vec<Predicate>,
    paging: &Paging<'_>,
    sees: Sees,
    keep: impl Fn(&T) -> bool,
) -> Result<(Vec<T>, String), Status> {
    page_where(gateway, caller, predicates, &[], paging, sees, keep).await
}

/// As [`page`], of rows for which all conditions hold, which may look beyond the table.
pub async fn page_where<T: Row>(
    gateway: &Gateway,
    caller: &Caller,
    predicates: Vec<Predicate>,
    conditions: &[Condition],
    paging: &Paging<'_>,
    sees: Sees,
    keep: impl Fn(&T) -> bool,
) -> Result<(Vec<T>, String), Status> {
    let reader = caller.participant().to_string();
    let is_narrowed = sees == Sees::Readers && !caller.sees_all();
    let mut query = ListQuery {
        predicates,
        reader: is_narrowed.then_some(reader.as_str()),
        after_key: paging.after(T::spec()).map_err(refuse)?,
        limit: paging.size,
    };
    let mut session = gateway.store.read().await.map_err(failed)?;
    let mut kept: Vec<T> = Vec::new();
    for _ in 0..MAX_PAGES {
        query.limit = paging.size - kept.len() as i64;
        let rows: Vec<T> = session.list_where(&query, conditions).await.map_err(failed)?;
        let is_last = (rows.len() as i64) < query.limit;
        query.after_key = rows.last().map(|row| T::spec().key_of(&row.to_values())).or(query.after_key);
        kept.extend(rows.into_iter().filter(&keep));
        if is_last {
            return Ok((kept, String::new()));
        }
        if kept.len() as i64 >= paging.size {
            break;
        }
    }
    let next = query.after_key.as_deref().map(|key| paging.encode(key)).unwrap_or_default();
    Ok((kept, next))
}

/// The versions of a record, newest first, as their leaves tell, and the next page's token.
/// `newest` is the current version. Whether the caller may see the record is the caller's to check.
pub async fn versions(
    gateway: &Gateway,
    record: &str,
    newest: i64,
    paging: &Paging<'_>,
) -> Result<(Vec<LeafView>, String), Status> {
    let upto = paging.number(1..=newest).map_err(refuse)?.unwrap_or(newest);
    let from = (upto - paging.size + 1).max(1);
    let mut session = gateway.store.read().await.map_err(failed)?;
    let leaves = session.versions(record, from, upto - from + 1).await.map_err(failed)?;
    let views = leaves.iter().rev().map(LeafView::stored).collect::<Result<Vec<_>, _>>().map_err(inconsistent)?;
    let next = if from > 1 { paging.encode(&[Value::Int(from - 1)]) } else { String::new() };
    Ok((views, next))
}
