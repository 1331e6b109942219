//! Institutions: register, update, signing scope, settlement accounts, the directory.

use std::sync::Arc;

use jjj_domain::institution::{
    DecideSettlementAccount, InstitutionRow, ProposeSettlementAccount, RegisterInstitution, SetSigningScope,
    SettlementAccountRow, SigningScopeRow, UpdateInstitution,
};
use jjj_domain::key;
use jjj_domain::names::Collection;
use jjj_domain::record::{RecognitionRow, RecognitionState, RecordKind, RecordRow};
use jjj_domain::rejection::Rejection;
use jjj_domain::row::{Row, StoredFault};
use jjj_domain::rules::rating::RecordState;
use jjj_domain::snapshot::{Snapshot, Stop};
use jjj_domain::time::Date;
use jjj_store::{Condition, Op};
use jjj_wire::institution::institution_rating;
use jjj_wire::pb;
use jjj_wire::pb::institution_service_server::InstitutionService;
use tonic::{Request, Response, Status};

use super::fields;
use super::filter::{Field, Filter};
use super::page::Paging;
use super::read::{Sees, get, inconsistent, page, refuse, versions};
use super::search::{date, equals, flag, integer, is, not_ended, search};
use super::support::{batch, caller, command, mutate};
use crate::engine::LeafView;
use crate::gateway::Gateway;

pub struct InstitutionApi(pub Arc<Gateway>);

const FILTER: &[Field] = &[
    ("region", Some("region")),
    ("division_code", Some("division")),
    ("kind", Some("kind")),
    ("state", Some("state")),
    ("display_name", Some("display_name")),
    ("rated", None),
    ("native_grade", None),
    ("recognized_by", None),
    ("signing_scope_on", None),
];

const ACCOUNT_FILTER: &[Field] = &[
    ("institution", Some("institution")),
    ("region", Some("region")),
    ("channel", Some("channel")),
    ("merchant_id", Some("merchant_id")),
    ("state", Some("state")),
    ("effective_from", Some("effective_from")),
];

#[tonic::async_trait]
impl InstitutionService for InstitutionApi {
    async fn register_institution(
        &self,
        request: Request<pb::RegisterInstitutionRequest>,
    ) -> Result<Response<pb::RegisterInstitutionResponse>, Status> {
        mutate(&self.0, request, command::<_, RegisterInstitution>, registered).await
    }

    async fn batch_register_institutions(
        &self,
        request: Request<pb::BatchMutateRequest>,
    ) -> Result<Response<pb::BatchMutateResponse>, Status> {
        batch(&self.0, request, command::<pb::RegisterInstitutionRequest, RegisterInstitution>, registered).await
    }

    async fn update_institution(
        &self,
        request: Request<pb::UpdateInstitutionRequest>,
    ) -> Result<Response<pb::UpdateInstitutionResponse>, Status> {
        mutate(&self.0, request, command::<_, UpdateInstitution>, updated).await
    }

    async fn batch_update_institutions(
        &self,
        request: Request<pb::BatchMutateRequest>,
    ) -> Result<Response<pb::BatchMutateResponse>, Status> {
        batch(&self.0, request, command::<pb::UpdateInstitutionRequest, UpdateInstitution>, updated).await
    }

    async fn set_signing_scope(
        &self,
        request: Request<pb::SetSigningScopeRequest>,
    ) -> Result<Response<pb::SetSigningScopeResponse>, Status> {
        mutate(&self.0, request, command::<_, SetSigningScope>, scope_set).await
    }

    async fn batch_set_signing_scopes(
        &self,
        request: Request<pb::BatchMutateRequest>,
    ) -> Result<Response<pb::BatchMutateResponse>, Status> {
        batch(&self.0, request, command::<pb::SetSigningScopeRequest, SetSigningScope>, scope_set).await
    }

    async fn propose_settlement_account(
        &self,
        request: Request<pb::ProposeSettlementAccountRequest>,
    ) -> Result<Response<pb::ProposeSettlementAccountResponse>, Status> {
        let proposed = |leaf: &LeafView, receipt| {
            let settlement_account = Some(account(leaf)?);
            Ok(pb::ProposeSettlementAccountResponse { settlement_account, receipt: Some(receipt) })
        };
        mutate(&self.0, request, command::<_, ProposeSettlementAccount>, proposed).await
    }

    async fn decide_settlement_account(
        &self,
        request: Request<pb::DecideSettlementAccountRequest>,
    ) -> Result<Response<pb::DecideSettlementAccountResponse>, Status> {
        let decided = |leaf: &LeafView, receipt| {
            let settlement_account = Some(account(leaf)?);
            Ok(pb::DecideSettlementAccountResponse { settlement_account, receipt: Some(receipt) })
        };
        mutate(&self.0, request, command::<_, DecideSettlementAccount>, decided).await
    }

    async fn get_institution(
        &self,
        request: Request<pb::GetInstitutionRequest>,
    ) -> Result<Response<pb::Institution>, Status> {
        let caller = caller(&request)?;
        let name = fields::name("name", &request.get_ref().name, &[Collection::Institution]).map_err(refuse)?;
        let row: InstitutionRow = get(&self.0, &caller, key![name.to_string()], name.as_str(), Sees::Everyone).await?;
        let institution = self.0.engine.read(|snapshot, now| entry(snapshot, &row, now.date())).await?;
        Ok(Response::new(institution))
    }

    async fn list_institutions(
        &self,
        request: Request<pb::ListInstitutionsRequest>,
    ) -> Result<Response<pb::ListInstitutionsResponse>, Status> {
        let caller = caller(&request)?;
        let q = request.get_ref();
        let mut filter = Filter::parse(&q.filter, FILTER).map_err(refuse)?;
        let conditions = conditions(&mut filter, self.0.clock.now().date()).map_err(refuse)?;
        let predicates = filter.predicates(InstitutionRow::spec()).map_err(refuse)?;
        let paging = Paging::new(caller.method.path, &q.filter, q.page_size, &q.page_token).map_err(refuse)?;
        let (rows, next_page_token): (Vec<InstitutionRow>, _) =
            search(&self.0, &caller, predicates, &conditions, &paging, Sees::Everyone).await?;
        let directory = |snapshot: &Snapshot, today: Date| {
            // All are asked for before the first that is not loaded yet stops it.
            let entries: Vec<_> = rows.iter().map(|row| entry(snapshot, row, today)).collect();
            entries.into_iter().collect()
        };
        let institutions = self.0.engine.read(|snapshot, now| directory(snapshot, now.date())).await?;
        Ok(Response::new(pb::ListInstitutionsResponse { institutions, next_page_token }))
    }

    async fn list_institution_versions(
        &self,
        request: Request<pb::ListInstitutionVersionsRequest>,
    ) -> Result<Response<pb::ListInstitutionVersionsResponse>, Status> {
        let caller = caller(&request)?;
        let q = request.get_ref();
        let name = fields::name("name", &q.name, &[Collection::Institution]).map_err(refuse)?;
        let paging = Paging::new(caller.method.path, &q.name, q.page_size, &q.page_token).map_err(refuse)?;
        let key = key![name.to_string()];
        let newest: InstitutionRow = get(&self.0, &caller, key, name.as_str(), Sees::Everyone).await?;
        let (leaves, next_page_token) = versions(&self.0, name.as_str(), newest.version, &paging).await?;
        let institutions = leaves.iter().map(recorded).collect::<Result<_, _>>().map_err(inconsistent)?;
        Ok(Response::new(pb::ListInstitutionVersionsResponse { institutions, next_page_token }))
    }

    async fn list_settlement_accounts(
        &self,
        request: Request<pb::ListSettlementAccountsRequest>,
    ) -> Result<Response<pb::ListSettlementAccountsResponse>, Status> {
        let caller = caller(&request)?;
        let q = request.get_ref();
        let filter = Filter::parse(&q.filter, ACCOUNT_FILTER).map_err(refuse)?;
        let predicates = filter.predicates(SettlementAccountRow::spec()).map_err(refuse)?;
        let paging = Paging::new(caller.method.path, &q.filter, q.page_size, &q.page_token).map_err(refuse)?;
        let (rows, next_page_token): (Vec<SettlementAccountRow>, _) =
            page(&self.0, &caller, predicates, &paging, Sees::Readers, |_| true).await?;
        let settlement_accounts = rows.iter().map(pb::SettlementAccount::from).collect();
        Ok(Response::new(pb::ListSettlementAccountsResponse { settlement_accounts, next_page_token }))
    }
}

/// What the directory's filter asks of ratings, recognitions and the signing scope.
fn conditions(filter: &mut Filter, today: Date) -> Result<Vec<Condition>, Rejection> {
    let mut conditions = Vec::new();
    for asked in filter.take("rated") {
        conditions.push(flag(&asked, rated(today, Vec::new()))?);
    }
    for asked in filter.take("native_grade") {
        conditions.push(rated(today, vec![is("native_level", asked.op, integer(&asked)?)]));
    }
    for asked in filter.take("recognized_by") {
        conditions.push(equals(&asked, recognized(today, &asked.value))?);
    }
    for asked in filter.take("signing_scope_on") {
        conditions.push(equals(&asked, in_scope(date(&asked)?))?);
    }
    Ok(conditions)
}

/// There is a rating that holds: [`RecordRow::holds_on`] in columns.
fn rated(on: Date, also: Vec<Condition>) -> Condition {
    let recognizable = RecordState::ALL.iter().filter(|state| state.is_recognizable());
    let not_yet_replaced =
        Condition::All(vec![is("state", Op::Eq, RecordState::Superseded), is("effective_on", Op::Gt, on)]);
    let states = recognizable.map(|state| is("state", Op::Eq, *state)).chain([not_yet_replaced]).collect();
    let mut that = vec![
        is("kind", Op::Eq, RecordKind::Rating),
        Condition::Any(states),
        is("valid_from", Op::Le, on),
        is("valid_until", Op::Ge, on),
    ];
    that.extend(also);
    Condition::Exists { spec: RecordRow::spec(), column: "subject", equals: "institution", that }
}

/// A rating of it is recognized by a region: [`RecognitionRow::holds_on`] in columns.
fn recognized(on: Date, recognizer: &str) -> Condition {
    let not_yet_replaced =
        Condition::All(vec![is("state", Op::Eq, RecognitionState::Superseded), is("effective_on", Op::Gt, on)]);
    let that = vec![
        is("recognizer", Op::Eq, recognizer.to_owned()),
        is("kind", Op::Eq, RecordKind::Rating),
        Condition::Any(vec![is("state", Op::Eq, RecognitionState::Recognized), not_yet_replaced]),
        is("valid_from", Op::Le, on),
        is("valid_until", Op::Ge, on),
    ];
    Condition::Exists { spec: RecognitionRow::spec(), column: "subject", equals: "institution", that }
}

/// It is in the online-signing scope on a day.
fn in_scope(on: Date) -> Condition {
    let that = vec![is("entered_on", Op::Le, on), not_ended("left_on", on)];
    Condition::Exists { spec: SigningScopeRow::spec(), column: "institution", equals: "institution", that }
}

/// A directory entry: the institution, its ratings in force with their recognitions, its times in scope.
fn entry(snapshot: &Snapshot, row: &InstitutionRow, today: Date) -> Result<pb::Institution, Stop> {
    let name = &row.institution;
    let ratings = snapshot.list::<RecordRow>(&["subject", "kind"], key![name.clone(), RecordKind::Rating]);
    let scope = snapshot.list::<SigningScopeRow>(&["institution"], key![name.clone()]);
    let ratings: Vec<_> = ratings?.into_iter().filter(|rating| rating.holds_on(today)).collect();
    let recognitions: Vec<_> =
        ratings.iter().map(|r| snapshot.list::<RecognitionRow>(&["record"], key![r.record.clone()])).collect();
    let mut institution = pb::Institution::from(row);
    for (rating, recognitions) in ratings.iter().zip(recognitions) {
        let recognitions = recognitions?.into_iter().filter(|r| r.holds_on(today));
        let recognitions = recognitions.map(|r| pb::InstitutionRecognition::from(&*r)).collect();
        institution.ratings.push(institution_rating(rating, recognitions));
    }
    institution.signing_scope = scope?.iter().map(|row| pb::SigningScopeMembership::from(&**row)).collect();
    Ok(institution)
}

fn registered(leaf: &LeafView, receipt: pb::Receipt) -> Result<pb::RegisterInstitutionResponse, StoredFault> {
    Ok(pb::RegisterInstitutionResponse { institution: Some(recorded(leaf)?), receipt: Some(receipt) })
}

fn updated(leaf: &LeafView, receipt: pb::Receipt) -> Result<pb::UpdateInstitutionResponse, StoredFault> {
    Ok(pb::UpdateInstitutionResponse { institution: Some(recorded(leaf)?), receipt: Some(receipt) })
}

fn scope_set(leaf: &LeafView, receipt: pb::Receipt) -> Result<pb::SetSigningScopeResponse, StoredFault> {
    let membership = pb::SigningScopeMembership::from(&leaf.row::<SigningScopeRow>()?);
    Ok(pb::SetSigningScopeResponse { membership: Some(membership), receipt: Some(receipt) })
}

/// The institution as the leaf left it, by itself.
fn recorded(leaf: &LeafView) -> Result<pb::Institution, StoredFault> {
    Ok(pb::Institution::from(&leaf.row::<InstitutionRow>()?))
}

fn account(leaf: &LeafView) -> Result<pb::SettlementAccount, StoredFault> {
    Ok(pb::SettlementAccount::from(&leaf.row::<SettlementAccountRow>()?))
}
