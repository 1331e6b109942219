//! Policy: read and set.

use std::sync::Arc;

use jjj_domain::agreement::parse_scope;
use jjj_domain::policy::{PolicyKind, PolicyRow, SetPolicy, policy_name};
use jjj_domain::rejection::{Reason, Rejection};
use jjj_domain::row::StoredFault;
use jjj_domain::time::Date;
use jjj_domain::value::{Column, ColumnType, Value};
use jjj_store::{ListQuery, Op};
use jjj_wire::pb;
use jjj_wire::pb::policy_service_server::PolicyService;
use tonic::{Request, Response, Status};

use super::fields;
use super::filter::{Field, Filter};
use super::page::Paging;
use super::read::{Sees, failed, page, refuse};
use super::support::{Asked, Mutation, Parsed, caller, mutate};
use crate::engine::LeafView;
use crate::gateway::Gateway;
use crate::identity::Caller;

pub struct PolicyApi(pub Arc<Gateway>);

const FILTER: &[Field] = &[("kind", Some("kind")), ("scope", Some("scope"))];
const MAX_BODY_LEN: usize = 256 * 1024;
/// More versions of one policy than a century of changes makes.
const MAX_VERSIONS: i64 = 10_000;

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
        let predicates = filter.predicates(<PolicyRow as jjj_domain::row::Row>::spec()).map_err(refuse)?;
        let today = self.0.clock.now().date();
        let in_force = self.newest_by_name(today).await?;
        let is_in_force =
            |row: &PolicyRow| in_force.get(&(row.kind, row.scope.clone())) == Some(&(row.effective_from, row.version));
        let keep = |row: &PolicyRow| may_read(&caller, row.kind, &row.scope) && is_in_force(row);
        let (rows, next_page_token) = page(&self.0, &caller, predicates, &paging, Sees::Everyone, keep).await?;
        Ok(Response::new(pb::ListPoliciesResponse { policies: rows.iter().map(policy).collect(), next_page_token }))
    }

    async fn get_policy(&self, request: Request<pb::GetPolicyRequest>) -> Result<Response<pb::Policy>, Status> {
        let caller = caller(&request)?;
        let q = request.get_ref();
        let (kind, scope) = parse_name(&q.name).map_err(refuse)?;
        let on = fields::optional_date("as_of", &q.as_of).map_err(refuse)?;
        let on = on.unwrap_or_else(|| self.0.clock.now().date());
        let rows = self.of(&caller, kind, &scope).await?;
        let newest = rows.iter().filter(|r| r.effective_from <= on).max_by_key(|r| (r.effective_from, r.version));
        let missing = || Reason::PolicyMissing.var("kind", kind).var("scope", &scope).var("date", on);
        Ok(Response::new(policy(newest.ok_or_else(|| refuse(missing()))?)))
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
        let mut rows = self.of(&caller, kind, &scope).await?;
        if rows.is_empty() {
            return Err(refuse(Reason::RecordNotFound.field("name").var("name", &q.name)));
        }
        rows.sort_by_key(|row| std::cmp::Reverse(row.version));
        let before = match paging.token {
            "" => i64::MAX,
            _ => match paging.decode(&[ColumnType::Int]).map_err(refuse)?[..] {
                [Value::Int(version)] => version,
                _ => 0,
            },
        };
        let mut rest = rows.iter().filter(|row| row.version < before);
        let shown: Vec<&PolicyRow> = rest.by_ref().take(paging.size as usize).collect();
        let next_page_token = match (rest.next(), shown.last()) {
            (Some(_), Some(last)) => paging.encode(&[last.version.to_value()]),
            _ => String::new(),
        };
        let policies = shown.into_iter().map(policy).collect();
        Ok(Response::new(pb::ListPolicyVersionsResponse { policies, next_page_token }))
    }
}

impl PolicyApi {
    /// All versions of one policy; none of what the caller may not read.
    async fn of(&self, caller: &Caller, kind: PolicyKind, scope: &str) -> Result<Vec<PolicyRow>, Status> {
        if !may_read(caller, kind, scope) {
            return Ok(Vec::new());
        }
        let mut session = self.0.store.read().await.map_err(failed)?;
        let predicates = vec![("kind", Op::Eq, kind.to_value()), ("scope", Op::Eq, Value::Text(scope.to_owned()))];
        session.list(&ListQuery { predicates, limit: MAX_VERSIONS, ..ListQuery::default() }).await.map_err(failed)
    }

    /// Which version of each policy is in force on a day.
    async fn newest_by_name(
        &self,
        on: Date,
    ) -> Result<std::collections::BTreeMap<(PolicyKind, String), (Date, i64)>, Status> {
        let mut session = self.0.store.read().await.map_err(failed)?;
        let predicates = vec![("effective_from", Op::Le, on.to_value())];
        let query = ListQuery { predicates, limit: 100 * MAX_VERSIONS, ..ListQuery::default() };
        let rows: Vec<PolicyRow> = session.list(&query).await.map_err(failed)?;
        // Key order: the last of a name is the newest version of its newest date.
        Ok(rows.into_iter().map(|r| ((r.kind, r.scope), (r.effective_from, r.version))).collect())
    }
}

/// Agreements are read by their two regions, and by the gateway's administrators; all else by everybody.
fn may_read(caller: &Caller, kind: PolicyKind, scope: &str) -> bool {
    let own = caller.participant();
    let is_party = || parse_scope(scope).is_some_and(|(issuer, recognizer, _)| issuer == *own || recognizer == *own);
    kind != PolicyKind::Agreement || caller.sees_all() || is_party()
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
