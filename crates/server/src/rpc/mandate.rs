//! Mandates: create, revoke, read.

use std::sync::Arc;

use jjj_domain::care::mandate::{CreateMandate, MandateRow, MandateState, RevokeMandate};
use jjj_domain::key;
use jjj_domain::names::Collection;
use jjj_domain::row::{Row, StoredFault};
use jjj_domain::time::Date;
use jjj_store::{Condition, Op};
use jjj_wire::mandate::mandate;
use jjj_wire::pb;
use jjj_wire::pb::mandate_service_server::MandateService;
use tonic::{Request, Response, Status};

use super::fields;
use super::filter::{Field, Filter};
use super::page::Paging;
use super::read::{Sees, get, refuse};
use super::search::{flag, is, search};
use super::support::{batch, caller, command, mutate};
use crate::engine::LeafView;
use crate::gateway::Gateway;

pub struct MandateApi(pub Arc<Gateway>);

const FILTER: &[Field] = &[
    ("region", Some("region")),
    ("programme", Some("programme")),
    ("elder", Some("person")),
    ("contract", Some("contract")),
    ("channel", Some("channel")),
    ("state", Some("state")),
    ("in_force", None),
    ("valid_from", Some("valid_from")),
    ("valid_until", Some("valid_until")),
];

#[tonic::async_trait]
impl MandateService for MandateApi {
    async fn create_mandate(
        &self,
        request: Request<pb::CreateMandateRequest>,
    ) -> Result<Response<pb::CreateMandateResponse>, Status> {
        mutate(&self.0, request, command::<_, CreateMandate>, created).await
    }

    async fn batch_create_mandates(
        &self,
        request: Request<pb::BatchMutateRequest>,
    ) -> Result<Response<pb::BatchMutateResponse>, Status> {
        batch(&self.0, request, command::<pb::CreateMandateRequest, CreateMandate>, created).await
    }

    async fn revoke_mandate(
        &self,
        request: Request<pb::RevokeMandateRequest>,
    ) -> Result<Response<pb::RevokeMandateResponse>, Status> {
        let revoked = |leaf: &LeafView, receipt| {
            Ok(pb::RevokeMandateResponse { mandate: Some(recorded(leaf)?), receipt: Some(receipt) })
        };
        mutate(&self.0, request, command::<_, RevokeMandate>, revoked).await
    }

    async fn get_mandate(&self, request: Request<pb::GetMandateRequest>) -> Result<Response<pb::Mandate>, Status> {
        let caller = caller(&request)?;
        let name = fields::name("name", &request.get_ref().name, &[Collection::Mandate]).map_err(refuse)?;
        let row: MandateRow = get(&self.0, &caller, key![name.to_string()], name.as_str(), Sees::Readers).await?;
        Ok(Response::new(mandate(&row, self.0.clock.now().date())))
    }

    async fn list_mandates(
        &self,
        request: Request<pb::ListMandatesRequest>,
    ) -> Result<Response<pb::ListMandatesResponse>, Status> {
        let caller = caller(&request)?;
        let q = request.get_ref();
        let mut filter = Filter::parse(&q.filter, FILTER).map_err(refuse)?;
        let today = self.0.clock.now().date();
        let flags = filter.take("in_force");
        let conditions = flags.iter().map(|c| flag(c, in_force_on(today))).collect::<Result<Vec<_>, _>>();
        let predicates = filter.predicates(MandateRow::spec()).map_err(refuse)?;
        let paging = Paging::new(caller.method.path, &q.filter, q.page_size, &q.page_token).map_err(refuse)?;
        let (rows, next_page_token) =
            search(&self.0, &caller, predicates, &conditions.map_err(refuse)?, &paging, Sees::Readers).await?;
        let mandates = rows.iter().map(|row| mandate(row, today)).collect();
        Ok(Response::new(pb::ListMandatesResponse { mandates, next_page_token }))
    }
}

/// [`MandateRow::in_force_on`] in columns.
fn in_force_on(date: Date) -> Condition {
    Condition::All(vec![
        is("state", Op::Eq, MandateState::Active),
        is("valid_from", Op::Le, date),
        is("valid_until", Op::Ge, date),
    ])
}

fn created(leaf: &LeafView, receipt: pb::Receipt) -> Result<pb::CreateMandateResponse, StoredFault> {
    Ok(pb::CreateMandateResponse { mandate: Some(recorded(leaf)?), receipt: Some(receipt) })
}

/// The mandate as the leaf left it, on the day it was recorded.
fn recorded(leaf: &LeafView) -> Result<pb::Mandate, StoredFault> {
    Ok(mandate(&leaf.row()?, leaf.recorded_at.date()))
}
