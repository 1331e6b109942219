//! Disability certificates: publish, change, read.

use std::sync::Arc;

use jjj_domain::record::{ChangeRecord, PublishRecord, RecordKind, RecordRow};
use jjj_domain::row::StoredFault;
use jjj_wire::disability_certificate::disability_certificate;
use jjj_wire::pb;
use jjj_wire::pb::disability_certificate_service_server::DisabilityCertificateService;
use tonic::{Request, Response, Status};

use super::filter::Field;
use super::read::inconsistent;
use super::records::{Ask, all_versions, get, list};
use super::support::{batch, caller, command, mutate};
use crate::engine::LeafView;
use crate::gateway::Gateway;

pub struct DisabilityCertificateApi(pub Arc<Gateway>);

const KIND: RecordKind = RecordKind::DisabilityCertificate;

const FILTER: &[Field] = &[
    ("issuer", Some("issuer")),
    ("elder", Some("subject")),
    ("categories", None),
    ("grade", Some("native_level")),
    ("state", Some("state")),
    ("in_force", None),
    ("valid_from", Some("valid_from")),
    ("valid_until", Some("valid_until")),
];

#[tonic::async_trait]
impl DisabilityCertificateService for DisabilityCertificateApi {
    async fn publish_disability_certificate(
        &self,
        request: Request<pb::PublishDisabilityCertificateRequest>,
    ) -> Result<Response<pb::PublishDisabilityCertificateResponse>, Status> {
        mutate(&self.0, request, command::<_, PublishRecord>, published).await
    }

    async fn batch_publish_disability_certificates(
        &self,
        request: Request<pb::BatchMutateRequest>,
    ) -> Result<Response<pb::BatchMutateResponse>, Status> {
        batch(&self.0, request, command::<pb::PublishDisabilityCertificateRequest, PublishRecord>, published).await
    }

    async fn change_disability_certificate(
        &self,
        request: Request<pb::ChangeDisabilityCertificateRequest>,
    ) -> Result<Response<pb::ChangeDisabilityCertificateResponse>, Status> {
        mutate(&self.0, request, command::<_, ChangeRecord>, changed).await
    }

    async fn get_disability_certificate(
        &self,
        request: Request<pb::GetDisabilityCertificateRequest>,
    ) -> Result<Response<pb::DisabilityCertificate>, Status> {
        let row = get(&self.0, &caller(&request)?, KIND, &request.get_ref().name).await?;
        let today = self.0.clock.now().date();
        Ok(Response::new(disability_certificate(&row, today).map_err(inconsistent)?))
    }

    async fn list_disability_certificates(
        &self,
        request: Request<pb::ListDisabilityCertificatesRequest>,
    ) -> Result<Response<pb::ListDisabilityCertificatesResponse>, Status> {
        let q = request.get_ref();
        let ask = Ask { filter: &q.filter, page_size: q.page_size, page_token: &q.page_token };
        let (rows, next_page_token) = list(&self.0, &caller(&request)?, KIND, FILTER, ask, categories).await?;
        let today = self.0.clock.now().date();
        let disability_certificates = rows
            .iter()
            .map(|row| disability_certificate(row, today))
            .collect::<Result<_, _>>()
            .map_err(inconsistent)?;
        Ok(Response::new(pb::ListDisabilityCertificatesResponse { disability_certificates, next_page_token }))
    }

    async fn list_disability_certificate_versions(
        &self,
        request: Request<pb::ListDisabilityCertificateVersionsRequest>,
    ) -> Result<Response<pb::ListDisabilityCertificateVersionsResponse>, Status> {
        let q = request.get_ref();
        let ask = Ask { filter: "", page_size: q.page_size, page_token: &q.page_token };
        let (rows, next_page_token) = all_versions(&self.0, &caller(&request)?, KIND, &q.name, ask).await?;
        let today = self.0.clock.now().date();
        let disability_certificates = rows
            .iter()
            .map(|row| disability_certificate(row, today))
            .collect::<Result<_, _>>()
            .map_err(inconsistent)?;
        Ok(Response::new(pb::ListDisabilityCertificateVersionsResponse { disability_certificates, next_page_token }))
    }
}

/// In a mutation's answer, in force or not on the day it was recorded.
fn published(leaf: &LeafView, receipt: pb::Receipt) -> Result<pb::PublishDisabilityCertificateResponse, StoredFault> {
    let disability_certificate = disability_certificate(&leaf.row()?, leaf.recorded_at.date())?;
    Ok(pb::PublishDisabilityCertificateResponse {
        disability_certificate: Some(disability_certificate),
        receipt: Some(receipt),
    })
}

fn changed(leaf: &LeafView, receipt: pb::Receipt) -> Result<pb::ChangeDisabilityCertificateResponse, StoredFault> {
    let disability_certificate = disability_certificate(&leaf.row()?, leaf.recorded_at.date())?;
    Ok(pb::ChangeDisabilityCertificateResponse {
        disability_certificate: Some(disability_certificate),
        receipt: Some(receipt),
    })
}

/// The one field beside `in_force` that is no column. Content that does not parse shows when it is rendered.
fn categories(row: &RecordRow, _: &str) -> Vec<String> {
    row.disability().map_or_else(|_| Vec::new(), |content| content.categories.iter().map(ToString::to_string).collect())
}
