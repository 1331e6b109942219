//! Operating subsidies: claim, decide, pay out, read.

use std::sync::Arc;

use jjj_domain::key;
use jjj_domain::names::Collection;
use jjj_domain::row::{Row, StoredFault};
use jjj_domain::subsidy::{ApproveClaim, ClaimRow, ConfirmPayout, CreateClaim, DeclineClaim, ReturnPayout};
use jjj_wire::pb;
use jjj_wire::pb::operating_subsidy_service_server::OperatingSubsidyService;
use tonic::{Request, Response, Status};

use super::fields;
use super::filter::{Field, Filter};
use super::page::Paging;
use super::read::{Sees, get, page, refuse};
use super::support::{Asked, Mutation, Parsed, batch, caller, mutate};
use crate::engine::LeafView;
use crate::gateway::Gateway;

pub struct OperatingSubsidyApi(pub Arc<Gateway>);

const FILTER: &[Field] = &[
    ("region", Some("region")),
    ("payer", Some("payer")),
    ("programme", Some("programme")),
    ("institution", Some("institution")),
    ("month", Some("month")),
    ("state", Some("state")),
    ("channel", Some("channel")),
    ("clearing_date", Some("clearing_date")),
];

type Batch = Result<Response<pb::BatchMutateResponse>, Status>;

#[tonic::async_trait]
impl OperatingSubsidyService for OperatingSubsidyApi {
    async fn create_claim(
        &self,
        request: Request<pb::CreateClaimRequest>,
    ) -> Result<Response<pb::CreateClaimResponse>, Status> {
        mutate(&self.0, request, parse_create, render_create).await
    }

    async fn batch_create_claims(&self, request: Request<pb::BatchMutateRequest>) -> Batch {
        batch(&self.0, request, parse_create, render_create).await
    }

    async fn approve_claim(
        &self,
        request: Request<pb::ApproveClaimRequest>,
    ) -> Result<Response<pb::ApproveClaimResponse>, Status> {
        mutate(&self.0, request, parse_approve, render_approve).await
    }

    async fn batch_approve_claims(&self, request: Request<pb::BatchMutateRequest>) -> Batch {
        batch(&self.0, request, parse_approve, render_approve).await
    }

    async fn decline_claim(
        &self,
        request: Request<pb::DeclineClaimRequest>,
    ) -> Result<Response<pb::DeclineClaimResponse>, Status> {
        let parse = |q: &pb::DeclineClaimRequest, _: &Asked<'_>| Ok(Mutation::new(DeclineClaim::try_from(q)?));
        mutate(&self.0, request, parse, |leaf, receipt| {
            Ok(pb::DeclineClaimResponse { claim: claim(leaf)?, receipt: Some(receipt) })
        })
        .await
    }

    async fn confirm_payout(
        &self,
        request: Request<pb::ConfirmPayoutRequest>,
    ) -> Result<Response<pb::ConfirmPayoutResponse>, Status> {
        mutate(&self.0, request, parse_confirm, render_confirm).await
    }

    async fn batch_confirm_payouts(&self, request: Request<pb::BatchMutateRequest>) -> Batch {
        batch(&self.0, request, parse_confirm, render_confirm).await
    }

    async fn return_payout(
        &self,
        request: Request<pb::ReturnPayoutRequest>,
    ) -> Result<Response<pb::ReturnPayoutResponse>, Status> {
        mutate(&self.0, request, parse_return, render_return).await
    }

    async fn batch_return_payouts(&self, request: Request<pb::BatchMutateRequest>) -> Batch {
        batch(&self.0, request, parse_return, render_return).await
    }

    async fn get_claim(
        &self,
        request: Request<pb::GetClaimRequest>,
    ) -> Result<Response<pb::OperatingSubsidyClaim>, Status> {
        let caller = caller(&request)?;
        let name = &request.get_ref().name;
        let name = fields::name("name", name, &[Collection::OperatingSubsidyClaim]).map_err(refuse)?;
        let row: ClaimRow = get(&self.0, &caller, key![name.to_string()], name.as_str(), Sees::Readers).await?;
        Ok(Response::new(pb::OperatingSubsidyClaim::from(&row)))
    }

    async fn list_claims(
        &self,
        request: Request<pb::ListClaimsRequest>,
    ) -> Result<Response<pb::ListClaimsResponse>, Status> {
        let caller = caller(&request)?;
        let q = request.get_ref();
        let filter = Filter::parse(&q.filter, FILTER).map_err(refuse)?;
        let predicates = filter.predicates(ClaimRow::spec()).map_err(refuse)?;
        let paging = Paging::new(caller.method.path, &q.filter, q.page_size, &q.page_token).map_err(refuse)?;
        let (rows, next_page_token) = page(&self.0, &caller, predicates, &paging, Sees::Readers, |_| true).await?;
        let claims = rows.iter().map(pb::OperatingSubsidyClaim::from).collect();
        Ok(Response::new(pb::ListClaimsResponse { claims, next_page_token }))
    }
}

fn parse_create(q: &pb::CreateClaimRequest, _: &Asked<'_>) -> Parsed {
    Ok(Mutation::new(CreateClaim::try_from(q)?))
}

fn parse_approve(q: &pb::ApproveClaimRequest, _: &Asked<'_>) -> Parsed {
    Ok(Mutation::new(ApproveClaim::try_from(q)?))
}

fn parse_confirm(q: &pb::ConfirmPayoutRequest, _: &Asked<'_>) -> Parsed {
    Ok(Mutation::new(ConfirmPayout::try_from(q)?))
}

fn parse_return(q: &pb::ReturnPayoutRequest, _: &Asked<'_>) -> Parsed {
    Ok(Mutation::new(ReturnPayout::try_from(q)?))
}

fn claim(leaf: &LeafView) -> Result<Option<pb::OperatingSubsidyClaim>, StoredFault> {
    Ok(Some(pb::OperatingSubsidyClaim::from(&leaf.row::<ClaimRow>()?)))
}

fn render_create(leaf: &LeafView, receipt: pb::Receipt) -> Result<pb::CreateClaimResponse, StoredFault> {
    Ok(pb::CreateClaimResponse { claim: claim(leaf)?, receipt: Some(receipt) })
}

fn render_approve(leaf: &LeafView, receipt: pb::Receipt) -> Result<pb::ApproveClaimResponse, StoredFault> {
    Ok(pb::ApproveClaimResponse { claim: claim(leaf)?, receipt: Some(receipt) })
}

fn render_confirm(leaf: &LeafView, receipt: pb::Receipt) -> Result<pb::ConfirmPayoutResponse, StoredFault> {
    Ok(pb::ConfirmPayoutResponse { claim: claim(leaf)?, receipt: Some(receipt) })
}

fn render_return(leaf: &LeafView, receipt: pb::Receipt) -> Result<pb::ReturnPayoutResponse, StoredFault> {
    Ok(pb::ReturnPayoutResponse { claim: claim(leaf)?, receipt: Some(receipt) })
}
