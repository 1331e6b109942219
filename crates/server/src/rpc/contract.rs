//! Contracts: create, sign, file, attest, activate, amend, end, read.

use std::sync::Arc;

use jjj_domain::care::contract::{
    ActivateContract, AmendContract, AttestContract, ContractRow, ContractState, CreateContract, FileContract,
    SignContract, TerminateContract, VoidContract,
};
use jjj_domain::key;
use jjj_domain::names::Collection;
use jjj_domain::row::{Row, StoredFault};
use jjj_domain::time::Date;
use jjj_store::{Condition, Op};
use jjj_wire::contract::contract;
use jjj_wire::pb;
use jjj_wire::pb::contract_service_server::ContractService;
use tonic::{Request, Response, Status};

use super::fields;
use super::filter::{Field, Filter};
use super::page::Paging;
use super::read::{Sees, get, inconsistent, refuse, versions};
use super::search::{flag, is, not_ended, search};
use super::support::{batch, caller, command, mutate};
use crate::engine::LeafView;
use crate::gateway::Gateway;

pub struct ContractApi(pub Arc<Gateway>);

const FILTER: &[Field] = &[
    ("registrar", Some("registrar")),
    ("institution", Some("institution")),
    ("institution_region", Some("institution_region")),
    ("household_region", Some("household_region")),
    ("elder", Some("person")),
    ("state", Some("state")),
    ("in_force", None),
    ("evidence", Some("evidence")),
    ("filing_number", Some("filing_number")),
    ("starts_on", Some("starts_on")),
    ("ends_on", Some("ends_on")),
];

/// The answers, which all hold the contract.
macro_rules! answer {
    ($($name:ident $Response:ident;)+) => {$(
        fn $name(leaf: &LeafView, receipt: pb::Receipt) -> Result<pb::$Response, StoredFault> {
            Ok(pb::$Response { contract: Some(recorded(leaf)?), receipt: Some(receipt) })
        }
    )+};
}

answer! {
    created CreateContractResponse;
    signed SignContractResponse;
    filed FileContractResponse;
    attested AttestContractResponse;
    activated ActivateContractResponse;
    amended AmendContractResponse;
    terminated TerminateContractResponse;
    voided VoidContractResponse;
}

#[tonic::async_trait]
impl ContractService for ContractApi {
    async fn create_contract(
        &self,
        request: Request<pb::CreateContractRequest>,
    ) -> Result<Response<pb::CreateContractResponse>, Status> {
        mutate(&self.0, request, command::<_, CreateContract>, created).await
    }

    async fn batch_create_contracts(
        &self,
        request: Request<pb::BatchMutateRequest>,
    ) -> Result<Response<pb::BatchMutateResponse>, Status> {
        batch(&self.0, request, command::<pb::CreateContractRequest, CreateContract>, created).await
    }

    async fn sign_contract(
        &self,
        request: Request<pb::SignContractRequest>,
    ) -> Result<Response<pb::SignContractResponse>, Status> {
        mutate(&self.0, request, command::<_, SignContract>, signed).await
    }

    async fn batch_sign_contracts(
        &self,
        request: Request<pb::BatchMutateRequest>,
    ) -> Result<Response<pb::BatchMutateResponse>, Status> {
        batch(&self.0, request, command::<pb::SignContractRequest, SignContract>, signed).await
    }

    async fn file_contract(
        &self,
        request: Request<pb::FileContractRequest>,
    ) -> Result<Response<pb::FileContractResponse>, Status> {
        mutate(&self.0, request, command::<_, FileContract>, filed).await
    }

    async fn batch_file_contracts(
        &self,
        request: Request<pb::BatchMutateRequest>,
    ) -> Result<Response<pb::BatchMutateResponse>, Status> {
        batch(&self.0, request, command::<pb::FileContractRequest, FileContract>, filed).await
    }

    async fn attest_contract(
        &self,
        request: Request<pb::AttestContractRequest>,
    ) -> Result<Response<pb::AttestContractResponse>, Status> {
        mutate(&self.0, request, command::<_, AttestContract>, attested).await
    }

    async fn batch_attest_contracts(
        &self,
        request: Request<pb::BatchMutateRequest>,
    ) -> Result<Response<pb::BatchMutateResponse>, Status> {
        batch(&self.0, request, command::<pb::AttestContractRequest, AttestContract>, attested).await
    }

    async fn activate_contract(
        &self,
        request: Request<pb::ActivateContractRequest>,
    ) -> Result<Response<pb::ActivateContractResponse>, Status> {
        mutate(&self.0, request, command::<_, ActivateContract>, activated).await
    }

    async fn batch_activate_contracts(
        &self,
        request: Request<pb::BatchMutateRequest>,
    ) -> Result<Response<pb::BatchMutateResponse>, Status> {
        batch(&self.0, request, command::<pb::ActivateContractRequest, ActivateContract>, activated).await
    }

    async fn amend_contract(
        &self,
        request: Request<pb::AmendContractRequest>,
    ) -> Result<Response<pb::AmendContractResponse>, Status> {
        mutate(&self.0, request, command::<_, AmendContract>, amended).await
    }

    async fn terminate_contract(
        &self,
        request: Request<pb::TerminateContractRequest>,
    ) -> Result<Response<pb::TerminateContractResponse>, Status> {
        mutate(&self.0, request, command::<_, TerminateContract>, terminated).await
    }

    async fn void_contract(
        &self,
        request: Request<pb::VoidContractRequest>,
    ) -> Result<Response<pb::VoidContractResponse>, Status> {
        mutate(&self.0, request, command::<_, VoidContract>, voided).await
    }

    async fn get_contract(&self, request: Request<pb::GetContractRequest>) -> Result<Response<pb::Contract>, Status> {
        let caller = caller(&request)?;
        let name = fields::name("name", &request.get_ref().name, &[Collection::Contract]).map_err(refuse)?;
        let row: ContractRow = get(&self.0, &caller, key![name.to_string()], name.as_str(), Sees::Readers).await?;
        Ok(Response::new(contract(&row, self.0.clock.now().date())))
    }

    async fn list_contracts(
        &self,
        request: Request<pb::ListContractsRequest>,
    ) -> Result<Response<pb::ListContractsResponse>, Status> {
        let caller = caller(&request)?;
        let q = request.get_ref();
        let mut filter = Filter::parse(&q.filter, FILTER).map_err(refuse)?;
        let today = self.0.clock.now().date();
        let flags = filter.take("in_force");
        let conditions = flags.iter().map(|c| flag(c, in_force_on(today))).collect::<Result<Vec<_>, _>>();
        let predicates = filter.predicates(ContractRow::spec()).map_err(refuse)?;
        let paging = Paging::new(caller.method.path, &q.filter, q.page_size, &q.page_token).map_err(refuse)?;
        let (rows, next_page_token) =
            search(&self.0, &caller, predicates, &conditions.map_err(refuse)?, &paging, Sees::Readers).await?;
        let contracts = rows.iter().map(|row| contract(row, today)).collect();
        Ok(Response::new(pb::ListContractsResponse { contracts, next_page_token }))
    }

    async fn list_contract_versions(
        &self,
        request: Request<pb::ListContractVersionsRequest>,
    ) -> Result<Response<pb::ListContractVersionsResponse>, Status> {
        let caller = caller(&request)?;
        let q = request.get_ref();
        let name = fields::name("name", &q.name, &[Collection::Contract]).map_err(refuse)?;
        let paging = Paging::new(caller.method.path, &q.name, q.page_size, &q.page_token).map_err(refuse)?;
        let newest: ContractRow = get(&self.0, &caller, key![name.to_string()], name.as_str(), Sees::Readers).await?;
        let (leaves, next_page_token) = versions(&self.0, name.as_str(), newest.version, &paging).await?;
        let today = self.0.clock.now().date();
        let rows = leaves.iter().map(LeafView::row::<ContractRow>).collect::<Result<Vec<_>, _>>();
        let contracts = rows.map_err(inconsistent)?.iter().map(|row| contract(row, today)).collect();
        Ok(Response::new(pb::ListContractVersionsResponse { contracts, next_page_token }))
    }
}

/// [`ContractRow::in_force_on`] in columns.
fn in_force_on(date: Date) -> Condition {
    let states = [ContractState::Active, ContractState::Terminated];
    Condition::All(vec![
        Condition::Any(states.map(|state| is("state", Op::Eq, state)).to_vec()),
        is("activated_on", Op::Le, date),
        is("starts_on", Op::Le, date),
        is("ends_on", Op::Ge, date),
        not_ended("ended_on", date),
    ])
}

/// The contract as the leaf left it, on the day it was recorded.
fn recorded(leaf: &LeafView) -> Result<pb::Contract, StoredFault> {
    Ok(contract(&leaf.row()?, leaf.recorded_at.date()))
}
