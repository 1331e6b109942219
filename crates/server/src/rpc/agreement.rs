//! Agreements between two regions: propose, answer, end, read.

use std::sync::Arc;

use jjj_domain::agreement::{
    AcceptAgreement, AgreementRow, DeclineAgreement, EndAgreement, ProposeAgreement, WithdrawAgreement,
};
use jjj_domain::key;
use jjj_domain::names::{Collection, Name};
use jjj_domain::row::{Row, StoredFault};
use jjj_wire::agreement::{agreement, listed};
use jjj_wire::pb;
use jjj_wire::pb::agreement_service_server::AgreementService;
use tonic::{Request, Response, Status};

use super::fields;
use super::filter::{Field, Filter};
use super::page::Paging;
use super::read::{Sees, get, inconsistent, page, refuse, versions};
use super::support::{caller, command, mutate};
use crate::engine::LeafView;
use crate::gateway::Gateway;
use crate::identity::Caller;

pub struct AgreementApi(pub Arc<Gateway>);

/// The digest is made of the terms: of so many at once they are read, 256 KiB each at most.
const MOST_LISTED: i64 = 100;

const FILTER: &[Field] = &[
    ("scope", Some("scope")),
    ("issuer", Some("issuer")),
    ("recognizer", Some("recognizer")),
    ("record_kind", Some("record_kind")),
    ("state", Some("state")),
    ("effective_from", Some("effective_from")),
];

/// The answer to a mutation: the agreement as it left it.
macro_rules! answer {
    ($Answer:ident) => {
        |leaf: &LeafView, receipt| Ok(pb::$Answer { agreement: Some(of_leaf(leaf)?), receipt: Some(receipt) })
    };
}

#[tonic::async_trait]
impl AgreementService for AgreementApi {
    async fn propose_agreement(
        &self,
        request: Request<pb::ProposeAgreementRequest>,
    ) -> Result<Response<pb::ProposeAgreementResponse>, Status> {
        mutate(&self.0, request, command::<_, ProposeAgreement>, answer!(ProposeAgreementResponse)).await
    }

    async fn accept_agreement(
        &self,
        request: Request<pb::AcceptAgreementRequest>,
    ) -> Result<Response<pb::AcceptAgreementResponse>, Status> {
        mutate(&self.0, request, command::<_, AcceptAgreement>, answer!(AcceptAgreementResponse)).await
    }

    async fn decline_agreement(
        &self,
        request: Request<pb::DeclineAgreementRequest>,
    ) -> Result<Response<pb::DeclineAgreementResponse>, Status> {
        mutate(&self.0, request, command::<_, DeclineAgreement>, answer!(DeclineAgreementResponse)).await
    }

    async fn withdraw_agreement(
        &self,
        request: Request<pb::WithdrawAgreementRequest>,
    ) -> Result<Response<pb::WithdrawAgreementResponse>, Status> {
        mutate(&self.0, request, command::<_, WithdrawAgreement>, answer!(WithdrawAgreementResponse)).await
    }

    async fn end_agreement(
        &self,
        request: Request<pb::EndAgreementRequest>,
    ) -> Result<Response<pb::EndAgreementResponse>, Status> {
        mutate(&self.0, request, command::<_, EndAgreement>, answer!(EndAgreementResponse)).await
    }

    async fn get_agreement(
        &self,
        request: Request<pb::GetAgreementRequest>,
    ) -> Result<Response<pb::Agreement>, Status> {
        let row = self.find(&caller(&request)?, &request.get_ref().name).await?;
        Ok(Response::new(agreement(&row)))
    }

    async fn list_agreements(
        &self,
        request: Request<pb::ListAgreementsRequest>,
    ) -> Result<Response<pb::ListAgreementsResponse>, Status> {
        let caller = caller(&request)?;
        let q = request.get_ref();
        let predicates = Filter::parse(&q.filter, FILTER).and_then(|filter| filter.predicates(AgreementRow::spec()));
        let predicates = predicates.map_err(refuse)?;
        let mut paging = Paging::new(caller.method.path, &q.filter, q.page_size, &q.page_token).map_err(refuse)?;
        paging.size = paging.size.min(MOST_LISTED);
        let keep = |_: &AgreementRow| true;
        let (rows, next_page_token) = page(&self.0, &caller, predicates, &paging, Sees::Readers, keep).await?;
        let agreements = rows.iter().map(listed).collect();
        Ok(Response::new(pb::ListAgreementsResponse { agreements, next_page_token }))
    }

    async fn list_agreement_versions(
        &self,
        request: Request<pb::ListAgreementVersionsRequest>,
    ) -> Result<Response<pb::ListAgreementVersionsResponse>, Status> {
        let caller = caller(&request)?;
        let q = request.get_ref();
        let paging = Paging::new(caller.method.path, &q.name, q.page_size, &q.page_token).map_err(refuse)?;
        let newest = self.find(&caller, &q.name).await?;
        let (leaves, next_page_token) = versions(&self.0, &newest.agreement, newest.version, &paging).await?;
        let agreements = leaves.iter().map(of_leaf).collect::<Result<_, _>>().map_err(inconsistent)?;
        Ok(Response::new(pb::ListAgreementVersionsResponse { agreements, next_page_token }))
    }
}

impl AgreementApi {
    async fn find(&self, caller: &Caller, name: &str) -> Result<AgreementRow, Status> {
        let name: Name = fields::name("name", name, &[Collection::Agreement]).map_err(refuse)?;
        get(&self.0, caller, key![name.to_string()], name.as_str(), Sees::Readers).await
    }
}

fn of_leaf(leaf: &LeafView) -> Result<pb::Agreement, StoredFault> {
    Ok(agreement(&leaf.row::<AgreementRow>()?))
}
