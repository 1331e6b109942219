//! Assessments: publish, change, read.

use std::sync::Arc;

use jjj_domain::record::{ChangeRecord, PublishRecord, RecordKind};
use jjj_domain::row::StoredFault;
use jjj_wire::assessment::assessment;
use jjj_wire::pb;
use jjj_wire::pb::assessment_service_server::AssessmentService;
use tonic::{Request, Response, Status};

use super::filter::Field;
use super::read::inconsistent;
use super::records::{Ask, all_versions, get, list};
use super::support::{batch, caller, command, mutate};
use crate::engine::LeafView;
use crate::gateway::Gateway;

pub struct AssessmentApi(pub Arc<Gateway>);

const KIND: RecordKind = RecordKind::Assessment;

const FILTER: &[Field] = &[
    ("issuer", Some("issuer")),
    ("elder", Some("subject")),
    ("standard", Some("scheme")),
    ("final_level", Some("native_level")),
    ("state", Some("state")),
    ("in_force", None),
    ("decided_on", Some("decided_on")),
    ("valid_from", Some("valid_from")),
    ("valid_until", Some("valid_until")),
];

#[tonic::async_trait]
impl AssessmentService for AssessmentApi {
    async fn publish_assessment(
        &self,
        request: Request<pb::PublishAssessmentRequest>,
    ) -> Result<Response<pb::PublishAssessmentResponse>, Status> {
        mutate(&self.0, request, command::<_, PublishRecord>, published).await
    }

    async fn batch_publish_assessments(
        &self,
        request: Request<pb::BatchMutateRequest>,
    ) -> Result<Response<pb::BatchMutateResponse>, Status> {
        batch(&self.0, request, command::<pb::PublishAssessmentRequest, PublishRecord>, published).await
    }

    async fn change_assessment(
        &self,
        request: Request<pb::ChangeAssessmentRequest>,
    ) -> Result<Response<pb::ChangeAssessmentResponse>, Status> {
        mutate(&self.0, request, command::<_, ChangeRecord>, changed).await
    }

    async fn batch_change_assessments(
        &self,
        request: Request<pb::BatchMutateRequest>,
    ) -> Result<Response<pb::BatchMutateResponse>, Status> {
        batch(&self.0, request, command::<pb::ChangeAssessmentRequest, ChangeRecord>, changed).await
    }

    async fn get_assessment(
        &self,
        request: Request<pb::GetAssessmentRequest>,
    ) -> Result<Response<pb::Assessment>, Status> {
        let row = get(&self.0, &caller(&request)?, KIND, &request.get_ref().name).await?;
        let today = self.0.clock.now().date();
        Ok(Response::new(assessment(&row, today).map_err(inconsistent)?))
    }

    async fn list_assessments(
        &self,
        request: Request<pb::ListAssessmentsRequest>,
    ) -> Result<Response<pb::ListAssessmentsResponse>, Status> {
        let q = request.get_ref();
        let ask = Ask { filter: &q.filter, page_size: q.page_size, page_token: &q.page_token };
        let (rows, next_page_token) = list(&self.0, &caller(&request)?, KIND, FILTER, ask, |_, _| Vec::new()).await?;
        let today = self.0.clock.now().date();
        let assessments =
            rows.iter().map(|row| assessment(row, today)).collect::<Result<_, _>>().map_err(inconsistent)?;
        Ok(Response::new(pb::ListAssessmentsResponse { assessments, next_page_token }))
    }

    async fn list_assessment_versions(
        &self,
        request: Request<pb::ListAssessmentVersionsRequest>,
    ) -> Result<Response<pb::ListAssessmentVersionsResponse>, Status> {
        let q = request.get_ref();
        let ask = Ask { filter: "", page_size: q.page_size, page_token: &q.page_token };
        let (rows, next_page_token) = all_versions(&self.0, &caller(&request)?, KIND, &q.name, ask).await?;
        let today = self.0.clock.now().date();
        let assessments =
            rows.iter().map(|row| assessment(row, today)).collect::<Result<_, _>>().map_err(inconsistent)?;
        Ok(Response::new(pb::ListAssessmentVersionsResponse { assessments, next_page_token }))
    }
}

/// In a mutation's answer, in force or not on the day it was recorded.
fn published(leaf: &LeafView, receipt: pb::Receipt) -> Result<pb::PublishAssessmentResponse, StoredFault> {
    let assessment = assessment(&leaf.row()?, leaf.recorded_at.date())?;
    Ok(pb::PublishAssessmentResponse { assessment: Some(assessment), receipt: Some(receipt) })
}

fn changed(leaf: &LeafView, receipt: pb::Receipt) -> Result<pb::ChangeAssessmentResponse, StoredFault> {
    let assessment = assessment(&leaf.row()?, leaf.recorded_at.date())?;
    Ok(pb::ChangeAssessmentResponse { assessment: Some(assessment), receipt: Some(receipt) })
}
