//! What the services of all record kinds share: reading one, a page, the versions.
//!
//! An institution's record is everybody's to read. A personal one is for its issuer, for the
//! regions that have a recognition on it, in whatever state, and for the gateway's administrators.

use jjj_domain::key;
use jjj_domain::record::{RecordKind, RecordRow};
use jjj_domain::row::Row;
use jjj_domain::time::Date;
use jjj_domain::value::Column;
use jjj_store::{ListQuery, Op};
use tonic::Status;

use super::fields;
use super::filter::{Comparison, Field, Filter};
use super::page::Paging;
use super::read::{Sees, failed, inconsistent, page, refuse, versions};
use crate::engine::LeafView;
use crate::gateway::Gateway;
use crate::identity::Caller;

/// One of the lists' requests, which differ in their type only.
pub struct Ask<'a> {
    pub filter: &'a str,
    pub page_size: i32,
    pub page_token: &'a str,
}

fn sees(kind: RecordKind) -> Sees {
    if kind.is_personal() { Sees::Readers } else { Sees::Everyone }
}

/// One record, current version.
pub async fn get(gateway: &Gateway, caller: &Caller, kind: RecordKind, name: &str) -> Result<RecordRow, Status> {
    let name = fields::name("name", name, &[kind.collection()]).map_err(refuse)?;
    // As a list of one, so that the same condition says who may read.
    let reader = caller.participant().to_string();
    let narrowed = sees(kind) == Sees::Readers && !caller.sees_all();
    let query = ListQuery {
        predicates: vec![("record", Op::Eq, name.to_string().to_value())],
        reader: narrowed.then_some(reader.as_str()),
        after_key: None,
        limit: 1,
    };
    let mut session = gateway.store.read().await.map_err(failed)?;
    let found: Vec<RecordRow> = session.list(&query).await.map_err(failed)?;
    let missing = || refuse(jjj_domain::rejection::Reason::RecordNotFound.field("name").var("name", &name));
    found.into_iter().next().ok_or_else(missing)
}

/// A page of records. `says` gives the texts of a field that is no column, for `in_force` and what
/// is in the content; of a repeated field all of them.
pub async fn list(
    gateway: &Gateway,
    caller: &Caller,
    kind: RecordKind,
    fields: &[Field],
    ask: Ask<'_>,
    says: impl Fn(&RecordRow, &str) -> Vec<String>,
) -> Result<(Vec<RecordRow>, String), Status> {
    let mut filter = Filter::parse(ask.filter, fields).map_err(refuse)?;
    let computed: Vec<Comparison> =
        fields.iter().filter(|(_, column)| column.is_none()).flat_map(|(field, _)| filter.take(field)).collect();
    let mut predicates = filter.predicates(RecordRow::spec()).map_err(refuse)?;
    predicates.push(("kind", Op::Eq, kind.to_value()));
    let paging = Paging::new(caller.method.path, ask.filter, ask.page_size, ask.page_token).map_err(refuse)?;
    let today = gateway.clock.now().date();
    let keep = |row: &RecordRow| computed.iter().all(|c| holds(c, &texts(row, c.field, today, &says)));
    page(gateway, caller, predicates, &paging, sees(kind), keep).await
}

fn texts(row: &RecordRow, field: &str, today: Date, says: impl Fn(&RecordRow, &str) -> Vec<String>) -> Vec<String> {
    if field == "in_force" { vec![row.holds_on(today).to_string()] } else { says(row, field) }
}

/// `=` on a repeated field means that it contains the value, `!=` that it does not.
fn holds(comparison: &Comparison, texts: &[String]) -> bool {
    match comparison.op {
        Op::Ne => texts.iter().all(|text| comparison.holds_for(text)),
        _ => texts.iter().any(|text| comparison.holds_for(text)),
    }
}

/// Every version of a record, newest first.
pub async fn all_versions(
    gateway: &Gateway,
    caller: &Caller,
    kind: RecordKind,
    name: &str,
    ask: Ask<'_>,
) -> Result<(Vec<RecordRow>, String), Status> {
    let paging = Paging::new(caller.method.path, name, ask.page_size, ask.page_token).map_err(refuse)?;
    let newest = get(gateway, caller, kind, name).await?;
    let (leaves, next) = versions(gateway, &newest.record, newest.version, &paging).await?;
    let key = key![newest.record];
    let version = |leaf: &LeafView| {
        // A leaf that supersedes others holds their rows in leaves of their own.
        let row: RecordRow = leaf.row()?;
        debug_assert_eq!(RecordRow::spec().key_of(&row.to_values()), key);
        Ok(row)
    };
    let rows = leaves.iter().map(version).collect::<Result<Vec<_>, _>>().map_err(inconsistent)?;
    Ok((rows, next))
}
