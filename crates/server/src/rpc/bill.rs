//! Bills: publish, amend, void, read.

use std::sync::Arc;

use jjj_domain::care::bill::{AmendBill, BillLineRow, BillRow, PublishBill, VoidBill};
use jjj_domain::key;
use jjj_domain::names::Collection;
use jjj_domain::row::{Row, StoredFault};
use jjj_domain::snapshot::{Snapshot, Stop};
use jjj_wire::bill::bill;
use jjj_wire::pb;
use jjj_wire::pb::bill_service_server::BillService;
use tonic::{Request, Response, Status};

use super::fields;
use super::filter::{Field, Filter};
use super::page::Paging;
use super::read::{Sees, get, inconsistent, page, refuse, versions};
use super::support::{batch, caller, command, mutate};
use crate::engine::LeafView;
use crate::gateway::Gateway;

pub struct BillApi(pub Arc<Gateway>);

const FILTER: &[Field] = &[
    ("institution", Some("institution")),
    ("institution_region", Some("institution_region")),
    ("household_region", Some("household_region")),
    ("elder", Some("person")),
    ("contract", Some("contract")),
    ("stay", Some("stay")),
    ("month", Some("month")),
    ("state", Some("state")),
    ("bill_number", Some("bill_number")),
];

#[tonic::async_trait]
impl BillService for BillApi {
    async fn publish_bill(
        &self,
        request: Request<pb::PublishBillRequest>,
    ) -> Result<Response<pb::PublishBillResponse>, Status> {
        mutate(&self.0, request, command::<_, PublishBill>, published).await
    }

    async fn batch_publish_bills(
        &self,
        request: Request<pb::BatchMutateRequest>,
    ) -> Result<Response<pb::BatchMutateResponse>, Status> {
        batch(&self.0, request, command::<pb::PublishBillRequest, PublishBill>, published).await
    }

    async fn amend_bill(
        &self,
        request: Request<pb::AmendBillRequest>,
    ) -> Result<Response<pb::AmendBillResponse>, Status> {
        mutate(&self.0, request, command::<_, AmendBill>, amended).await
    }

    async fn batch_amend_bills(
        &self,
        request: Request<pb::BatchMutateRequest>,
    ) -> Result<Response<pb::BatchMutateResponse>, Status> {
        batch(&self.0, request, command::<pb::AmendBillRequest, AmendBill>, amended).await
    }

    async fn void_bill(&self, request: Request<pb::VoidBillRequest>) -> Result<Response<pb::VoidBillResponse>, Status> {
        let voided =
            |leaf: &LeafView, receipt| Ok(pb::VoidBillResponse { bill: Some(recorded(leaf)?), receipt: Some(receipt) });
        mutate(&self.0, request, command::<_, VoidBill>, voided).await
    }

    async fn get_bill(&self, request: Request<pb::GetBillRequest>) -> Result<Response<pb::Bill>, Status> {
        let caller = caller(&request)?;
        let name = fields::name("name", &request.get_ref().name, &[Collection::Bill]).map_err(refuse)?;
        let row: BillRow = get(&self.0, &caller, key![name.to_string()], name.as_str(), Sees::Readers).await?;
        let bill = self.0.engine.read(|snapshot, _| with_lines(snapshot, &row)).await?;
        Ok(Response::new(bill))
    }

    async fn list_bills(
        &self,
        request: Request<pb::ListBillsRequest>,
    ) -> Result<Response<pb::ListBillsResponse>, Status> {
        let caller = caller(&request)?;
        let q = request.get_ref();
        let filter = Filter::parse(&q.filter, FILTER).map_err(refuse)?;
        let predicates = filter.predicates(BillRow::spec()).map_err(refuse)?;
        let paging = Paging::new(caller.method.path, &q.filter, q.page_size, &q.page_token).map_err(refuse)?;
        let (rows, next_page_token): (Vec<BillRow>, _) =
            page(&self.0, &caller, predicates, &paging, Sees::Readers, |_| true).await?;
        let whole = |snapshot: &Snapshot| {
            // All are asked for before the first that is not loaded yet stops it.
            let bills: Vec<_> = rows.iter().map(|row| with_lines(snapshot, row)).collect();
            bills.into_iter().collect()
        };
        let bills = self.0.engine.read(|snapshot, _| whole(snapshot)).await?;
        Ok(Response::new(pb::ListBillsResponse { bills, next_page_token }))
    }

    async fn list_bill_versions(
        &self,
        request: Request<pb::ListBillVersionsRequest>,
    ) -> Result<Response<pb::ListBillVersionsResponse>, Status> {
        let caller = caller(&request)?;
        let q = request.get_ref();
        let name = fields::name("name", &q.name, &[Collection::Bill]).map_err(refuse)?;
        let paging = Paging::new(caller.method.path, &q.name, q.page_size, &q.page_token).map_err(refuse)?;
        let newest: BillRow = get(&self.0, &caller, key![name.to_string()], name.as_str(), Sees::Readers).await?;
        let (leaves, next_page_token) = versions(&self.0, name.as_str(), newest.version, &paging).await?;
        let bills = leaves.iter().map(recorded).collect::<Result<_, _>>().map_err(inconsistent)?;
        Ok(Response::new(pb::ListBillVersionsResponse { bills, next_page_token }))
    }
}

/// A bill with its lines as they are now.
fn with_lines(snapshot: &Snapshot, row: &BillRow) -> Result<pb::Bill, Stop> {
    let lines = snapshot.list::<BillLineRow>(&["bill"], key![row.bill.clone()])?;
    Ok(bill(row, &lines.iter().map(|line| (**line).clone()).collect::<Vec<_>>()))
}

fn published(leaf: &LeafView, receipt: pb::Receipt) -> Result<pb::PublishBillResponse, StoredFault> {
    Ok(pb::PublishBillResponse { bill: Some(recorded(leaf)?), receipt: Some(receipt) })
}

fn amended(leaf: &LeafView, receipt: pb::Receipt) -> Result<pb::AmendBillResponse, StoredFault> {
    Ok(pb::AmendBillResponse { bill: Some(recorded(leaf)?), receipt: Some(receipt) })
}

/// The bill as the leaf left it.
fn recorded(leaf: &LeafView) -> Result<pb::Bill, StoredFault> {
    Ok(bill(&leaf.row()?, &leaf.rows()?))
}
