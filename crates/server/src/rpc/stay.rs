//! Stays: admit, end, correct, void, read.

use std::sync::Arc;

use jjj_domain::care::stay::{AdmitElder, AmendStay, EndStay, StayRow, StayState, VoidStay};
use jjj_domain::key;
use jjj_domain::names::Collection;
use jjj_domain::row::{Row, StoredFault};
use jjj_domain::time::Date;
use jjj_store::{Condition, Op};
use jjj_wire::pb;
use jjj_wire::pb::stay_service_server::StayService;
use tonic::{Request, Response, Status};

use super::fields;
use super::filter::{Field, Filter};
use super::page::Paging;
use super::read::{Sees, get, inconsistent, refuse, versions};
use super::search::{date, equals, is, not_ended, search};
use super::support::{batch, caller, command, mutate};
use crate::engine::LeafView;
use crate::gateway::Gateway;

pub struct StayApi(pub Arc<Gateway>);

const FILTER: &[Field] = &[
    ("elder", Some("person")),
    ("institution", Some("institution")),
    ("institution_region", Some("institution_region")),
    ("household_region", Some("household_region")),
    ("contract", Some("contract")),
    ("state", Some("state")),
    ("admitted_on", Some("admitted_on")),
    ("left_on", Some("left_on")),
    ("on", None),
];

#[tonic::async_trait]
impl StayService for StayApi {
    async fn admit_elder(
        &self,
        request: Request<pb::AdmitElderRequest>,
    ) -> Result<Response<pb::AdmitElderResponse>, Status> {
        mutate(&self.0, request, command::<_, AdmitElder>, admitted).await
    }

    async fn batch_admit_elders(
        &self,
        request: Request<pb::BatchMutateRequest>,
    ) -> Result<Response<pb::BatchMutateResponse>, Status> {
        batch(&self.0, request, command::<pb::AdmitElderRequest, AdmitElder>, admitted).await
    }

    async fn end_stay(&self, request: Request<pb::EndStayRequest>) -> Result<Response<pb::EndStayResponse>, Status> {
        mutate(&self.0, request, command::<_, EndStay>, ended).await
    }

    async fn batch_end_stays(
        &self,
        request: Request<pb::BatchMutateRequest>,
    ) -> Result<Response<pb::BatchMutateResponse>, Status> {
        batch(&self.0, request, command::<pb::EndStayRequest, EndStay>, ended).await
    }

    async fn amend_stay(
        &self,
        request: Request<pb::AmendStayRequest>,
    ) -> Result<Response<pb::AmendStayResponse>, Status> {
        mutate(&self.0, request, command::<_, AmendStay>, amended).await
    }

    async fn void_stay(&self, request: Request<pb::VoidStayRequest>) -> Result<Response<pb::VoidStayResponse>, Status> {
        let voided =
            |leaf: &LeafView, receipt| Ok(pb::VoidStayResponse { stay: Some(recorded(leaf)?), receipt: Some(receipt) });
        mutate(&self.0, request, command::<_, VoidStay>, voided).await
    }

    async fn get_stay(&self, request: Request<pb::GetStayRequest>) -> Result<Response<pb::Stay>, Status> {
        let caller = caller(&request)?;
        let name = fields::name("name", &request.get_ref().name, &[Collection::Stay]).map_err(refuse)?;
        let row: StayRow = get(&self.0, &caller, key![name.to_string()], name.as_str(), Sees::Readers).await?;
        Ok(Response::new(pb::Stay::from(&row)))
    }

    async fn list_stays(
        &self,
        request: Request<pb::ListStaysRequest>,
    ) -> Result<Response<pb::ListStaysResponse>, Status> {
        let caller = caller(&request)?;
        let q = request.get_ref();
        let mut filter = Filter::parse(&q.filter, FILTER).map_err(refuse)?;
        let on = filter.take("on");
        let conditions = on.iter().map(|c| equals(c, covering(date(c)?))).collect::<Result<Vec<_>, _>>();
        let predicates = filter.predicates(StayRow::spec()).map_err(refuse)?;
        let paging = Paging::new(caller.method.path, &q.filter, q.page_size, &q.page_token).map_err(refuse)?;
        let (rows, next_page_token): (Vec<StayRow>, _) =
            search(&self.0, &caller, predicates, &conditions.map_err(refuse)?, &paging, Sees::Readers).await?;
        Ok(Response::new(pb::ListStaysResponse { stays: rows.iter().map(pb::Stay::from).collect(), next_page_token }))
    }

    async fn list_stay_versions(
        &self,
        request: Request<pb::ListStayVersionsRequest>,
    ) -> Result<Response<pb::ListStayVersionsResponse>, Status> {
        let caller = caller(&request)?;
        let q = request.get_ref();
        let name = fields::name("name", &q.name, &[Collection::Stay]).map_err(refuse)?;
        let paging = Paging::new(caller.method.path, &q.name, q.page_size, &q.page_token).map_err(refuse)?;
        let newest: StayRow = get(&self.0, &caller, key![name.to_string()], name.as_str(), Sees::Readers).await?;
        let (leaves, next_page_token) = versions(&self.0, name.as_str(), newest.version, &paging).await?;
        let stays = leaves.iter().map(recorded).collect::<Result<_, _>>().map_err(inconsistent)?;
        Ok(Response::new(pb::ListStayVersionsResponse { stays, next_page_token }))
    }
}

/// [`StayRow::covers`] in columns.
pub(super) fn covering(on: Date) -> Condition {
    Condition::All(vec![
        is("state", Op::Ne, StayState::Voided),
        is("admitted_on", Op::Le, on),
        not_ended("left_on", on),
    ])
}

fn admitted(leaf: &LeafView, receipt: pb::Receipt) -> Result<pb::AdmitElderResponse, StoredFault> {
    Ok(pb::AdmitElderResponse { stay: Some(recorded(leaf)?), receipt: Some(receipt) })
}

fn ended(leaf: &LeafView, receipt: pb::Receipt) -> Result<pb::EndStayResponse, StoredFault> {
    Ok(pb::EndStayResponse { stay: Some(recorded(leaf)?), receipt: Some(receipt) })
}

fn amended(leaf: &LeafView, receipt: pb::Receipt) -> Result<pb::AmendStayResponse, StoredFault> {
    Ok(pb::AmendStayResponse { stay: Some(recorded(leaf)?), receipt: Some(receipt) })
}

/// The stay as the leaf left it.
fn recorded(leaf: &LeafView) -> Result<pb::Stay, StoredFault> {
    Ok(pb::Stay::from(&leaf.row::<StayRow>()?))
}
