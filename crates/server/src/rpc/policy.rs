//! Policy: read and set.

use std::sync::Arc;

use jjj_domain::agreement::parse_scope;
use jjj_domain::policy::{PolicyKind, PolicyRow, SetPolicy, policy_name};
use jjj_domain::rejection::{Reason, Rejection};
use jjj_domain::row::{Row, StoredFault};
use jjj_domain::value::{Column, Value};
use jjj_store::{ListQuery, Op, Predicate};
use jjj_wire::pb;
use jjj_wire::pb::policy_service_server::PolicyService;
use tonic::{Request, Response, Status};

use super::fields;
use super::filter::{Field, Filter};
use super::page::Paging;
use super::read::{failed, refuse};
use super::support::{Asked, Mutation, Parsed, caller, mutate};
use crate::engine::LeafView;
use crate::gateway::Gateway;
use crate::identity::Caller;

pub struct PolicyApi(pub Arc<Gateway>);

const FILTER: &[Field] = &[("kind", Some("kind")), ("scope", Some("scope"))];
const MAX_BODY_LEN: usize = 256 * 1024;
/// Rows read at a time.
const CHUNK: i64 = 100;

#[tonic::async_trait]
impl PolicyService for PolicyApi {
    async fn list_policies(
        &self,
        request: Request<pb::ListPoliciesRequest>,
    ) -> Result<Response<pb::ListPoliciesResponse>, Status> {
        let caller = caller(&request)?;
        let q = request.get_ref();
        let filter = Filter::parse(&q.filter, FILTER).map_err(refuse)?;
        let paging = Paging::new(caller.method.path, &q.filter, q.page_size, &q.page_token).map_err(refuse)?;
        let mut predicates = filter.predicates(PolicyRow::spec()).map_err(refuse)?;
        predicates.push(("effective_from", Op::Le, self.0.clock.now().date().to_value()));
        let (rows, next_page_token) = self.in_force(&caller, predicates, &paging).await?;
        Ok(Response::new(pb::ListPoliciesResponse { policies: rows.iter().map(policy).collect(), next_page_token }))
    }

    async fn get_policy(&self, request: Request<pb::GetPolicyRequest>) -> Result<Response<pb::Policy>, Status> {
        let caller = caller(&request)?;
        let q = request.get_ref();
        let (kind, scope) = parse_name(&q.name).map_err(refuse)?;
        let on = fields::optional_date("as_of", &q.as_of).map_err(refuse)?;
        let on = on.unwrap_or_else(|| self.0.clock.now().date());
        let mut predicates = of(kind, &scope);
        predicates.push(("effective_from", Op::Le, on.to_value()));
        let query = ListQuery { predicates, limit: 1, ..ListQuery::default() };
        let mut session = self.0.store.read().await.map_err(failed)?;
        // The key goes on with the date: among equals of it the last version.
        let newest: Option<PolicyRow> = session.newest("effective_from", &query, None).await.map_err(failed)?.pop();
        let newest = newest.filter(|row| may_read(&caller, row.kind, &row.scope));
        let missing = || Reason::PolicyMissing.var("kind", kind).var("scope", &scope).var("date", on);
        Ok(Response::new(policy(&newest.ok_or_else(|| refuse(missing()))?)))
    }

    async fn set_policy(
        &self,
        request: Request<pb::SetPolicyRequest>,
    ) -> Result<Response<pb::SetPolicyResponse>, Status> {
        mutate(&self.0, request, parse_set, render_set).await
    }

    async fn list_policy_versions(
        &self,
        request: Request<pb::ListPolicyVersionsRequest>,
    ) -> Result<Response<pb::ListPolicyVersionsResponse>, Status> {
        let caller = caller(&request)?;
        let q = request.get_ref();
        let (kind, scope) = parse_name(&q.name).map_err(refuse)?;
        let paging = Paging::new(caller.method.path, &q.name, q.page_size, &q.page_token).map_err(refuse)?;
        if !may_read(&caller, kind, &scope) {
            return Err(refuse(Reason::RecordNotFound.field("name").var("name", &q.name)));
        }
        let before = paging.number(2..=i64::MAX).map_err(refuse)?.unwrap_or(i64::MAX);
        let mut predicates = of(kind, &scope);
        predicates.push(("version", Op::Lt, Value::Int(before)));
        let query = ListQuery { predicates, limit: paging.size + 1, ..ListQuery::default() };
        let mut session = self.0.store.read().await.map_err(failed)?;
        let mut rows: Vec<PolicyRow> = session.newest("version", &query, None).await.map_err(failed)?;
        if rows.is_empty() {
            return Err(refuse(Reason::RecordNotFound.field("name").var("name", &q.name)));
        }
        let is_more = rows.len() as i64 > paging.size;
        rows.truncate(paging.size as usize);
        let next_page_token = match rows.last() {
            Some(last) if is_more => paging.encode(&[last.version.to_value()]),
            _ => String::new(),
        };
        let policies = rows.iter().map(policy).collect();
        Ok(Response::new(pb::ListPolicyVersionsResponse { policies, next_page_token }))
    }
}

impl PolicyApi {
    /// One page of the policies for which `predicates` hold and that the caller may read, of each name the last in
    /// the order of keys, and the next page's token.
    async fn in_force(
        &self,
        caller: &Caller,
        predicates: Vec<Predicate>,
        paging: &Paging<'_>,
    ) -> Result<(Vec<PolicyRow>, String), Status> {
        let after_key = paging.after(PolicyRow::spec()).map_err(refuse)?;
        let mut query = ListQuery { predicates, after_key, limit: CHUNK, ..ListQuery::default() };
        let mut session = self.0.store.read().await.map_err(failed)?;
        let mut kept: Vec<PolicyRow> = Vec::new();
        loop {
            let rows: Vec<PolicyRow> = session.list(&query).await.map_err(failed)?;
            let is_last = (rows.len() as i64) < CHUNK;
            query.after_key = rows.last().map(|row| PolicyRow::spec().key_of(&row.to_values()));
            for row in rows.into_iter().filter(|row| may_read(caller, row.kind, &row.scope)) {
                if kept.last().is_some_and(|last| (last.kind, &last.scope) == (row.kind, &row.scope)) {
                    kept.pop();
                } else if kept.len() as i64 == paging.size {
                    // The last of a name is known to be so when another follows.
                    let last = kept.last().map(|last| PolicyRow::spec().key_of(&last.to_values()));
                    return Ok((kept, paging.encode(&last.unwrap_or_default())));
                }
                kept.push(row);
            }
            if is_last {
                return Ok((kept, String::new()));
            }
        }
    }
}

/// What makes a row one of this policy.
fn of(kind: PolicyKind, scope: &str) -> Vec<Predicate> {
    vec![("kind", Op::Eq, kind.to_value()), ("scope", Op::Eq, Value::Text(scope.to_owned()))]
}

/// Agreements are read by their two regions, and by the gateway's administrators; all else by everybody.
fn may_read(caller: &Caller, kind: PolicyKind, scope: &str) -> bool {
    let own = caller.participant();
    let is_party = || parse_scope(scope).is_some_and(|(issuer, recognizer, _)| issuer == *own || recognizer == *own);
    kind != PolicyKind::Agreement || caller.sees_all() || is_party()
}

/// Whether the caller may know of a record: of a policy that is an agreement, its two regions alone.
pub fn may_know(caller: &Caller, record: &str) -> bool {
    parse_name(record).map_or(true, |(kind, scope)| may_read(caller, kind, &scope))
}

fn parse_name(name: &str) -> Result<(PolicyKind, String), Rejection> {
    let expected = || fields::malformed("name", "policies/{kind}/{scope}");
    let rest = fields::required("name", name)?.strip_prefix("policies/").ok_or_else(expected)?;
    let (kind, scope) = rest.split_once('/').ok_or_else(expected)?;
    let unknown = || Reason::PolicyKindUnknown.field("name").var("kind", kind);
    Ok((kind.parse().map_err(|_| unknown())?, scope.to_owned()))
}

fn parse_set(q: &pb::SetPolicyRequest, _: &Asked<'_>) -> Parsed {
    let kind = fields::required("kind", &q.kind)?;
    let kind: PolicyKind = kind.parse().map_err(|_| Reason::PolicyKindUnknown.field("kind").var("kind", kind))?;
    let scope = fields::required_text("scope", &q.scope, 96)?;
    let effective_from = fields::date("effective_from", &q.effective_from)?;
    if q.body.len() > MAX_BODY_LEN {
        return Err(Reason::FieldTooLong.field("body").var("limit", MAX_BODY_LEN));
    }
    let body = serde_json::from_str(fields::required("body", &q.body)?)
        .map_err(|e| Reason::PolicyBodyInvalid.field("body").var("problem", e))?;
    let reason = fields::required_text("reason", &q.reason, 1_000)?;
    Ok(Mutation::new(SetPolicy { kind, scope, effective_from, body, reason }))
}

fn render_set(leaf: &LeafView, receipt: pb::Receipt) -> Result<pb::SetPolicyResponse, StoredFault> {
    Ok(pb::SetPolicyResponse { policy: Some(policy(&leaf.row()?)), receipt: Some(receipt) })
}

fn policy(row: &PolicyRow) -> pb::Policy {
    pb::Policy {
        name: policy_name(row.kind, &row.scope),
        kind: row.kind.to_string(),
        scope: row.scope.clone(),
        effective_from: row.effective_from.to_string(),
        version: row.version,
        body: row.body.clone(),
        author: row.set_by.to_string(),
        reason: row.reason.clone(),
        recorded_time_us: row.recorded_at_us.0,
        agreement: row.agreement.clone().unwrap_or_default(),
    }
}
