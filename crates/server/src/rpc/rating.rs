//! Ratings: publish, change, read.

use std::sync::Arc;

use jjj_domain::record::{ChangeRecord, PublishRecord, RecordKind};
use jjj_domain::row::StoredFault;
use jjj_wire::pb;
use jjj_wire::pb::rating_service_server::RatingService;
use jjj_wire::rating::rating;
use tonic::{Request, Response, Status};

use super::filter::Field;
use super::records::{Ask, all_versions, get, list};
use super::support::{batch, caller, command, mutate};
use crate::engine::LeafView;
use crate::gateway::Gateway;

pub struct RatingApi(pub Arc<Gateway>);

const KIND: RecordKind = RecordKind::Rating;

const FILTER: &[Field] = &[
    ("issuer", Some("issuer")),
    ("institution", Some("subject")),
    ("scheme", Some("scheme")),
    ("native_grade", Some("native_level")),
    ("state", Some("state")),
    ("in_force", None),
    ("valid_from", Some("valid_from")),
    ("valid_until", Some("valid_until")),
];

#[tonic::async_trait]
impl RatingService for RatingApi {
    async fn publish_rating(
        &self,
        request: Request<pb::PublishRatingRequest>,
    ) -> Result<Response<pb::PublishRatingResponse>, Status> {
        mutate(&self.0, request, command::<_, PublishRecord>, published).await
    }

    async fn batch_publish_ratings(
        &self,
        request: Request<pb::BatchMutateRequest>,
    ) -> Result<Response<pb::BatchMutateResponse>, Status> {
        batch(&self.0, request, command::<pb::PublishRatingRequest, PublishRecord>, published).await
    }

    async fn change_rating(
        &self,
        request: Request<pb::ChangeRatingRequest>,
    ) -> Result<Response<pb::ChangeRatingResponse>, Status> {
        mutate(&self.0, request, command::<_, ChangeRecord>, changed).await
    }

    async fn batch_change_ratings(
        &self,
        request: Request<pb::BatchMutateRequest>,
    ) -> Result<Response<pb::BatchMutateResponse>, Status> {
        batch(&self.0, request, command::<pb::ChangeRatingRequest, ChangeRecord>, changed).await
    }

    async fn get_rating(&self, request: Request<pb::GetRatingRequest>) -> Result<Response<pb::Rating>, Status> {
        let row = get(&self.0, &caller(&request)?, KIND, &request.get_ref().name).await?;
        let today = self.0.clock.now().date();
        Ok(Response::new(rating(&row, today)))
    }

    async fn list_ratings(
        &self,
        request: Request<pb::ListRatingsRequest>,
    ) -> Result<Response<pb::ListRatingsResponse>, Status> {
        let q = request.get_ref();
        let ask = Ask { filter: &q.filter, page_size: q.page_size, page_token: &q.page_token };
        let (rows, next_page_token) = list(&self.0, &caller(&request)?, KIND, FILTER, ask, |_, _| Vec::new()).await?;
        let today = self.0.clock.now().date();
        let ratings = rows.iter().map(|row| rating(row, today)).collect();
        Ok(Response::new(pb::ListRatingsResponse { ratings, next_page_token }))
    }

    async fn list_rating_versions(
        &self,
        request: Request<pb::ListRatingVersionsRequest>,
    ) -> Result<Response<pb::ListRatingVersionsResponse>, Status> {
        let q = request.get_ref();
        let ask = Ask { filter: "", page_size: q.page_size, page_token: &q.page_token };
        let (rows, next_page_token) = all_versions(&self.0, &caller(&request)?, KIND, &q.name, ask).await?;
        let today = self.0.clock.now().date();
        let ratings = rows.iter().map(|row| rating(row, today)).collect();
        Ok(Response::new(pb::ListRatingVersionsResponse { ratings, next_page_token }))
    }
}

/// In a mutation's answer, in force or not on the day it was recorded.
fn published(leaf: &LeafView, receipt: pb::Receipt) -> Result<pb::PublishRatingResponse, StoredFault> {
    let rating = rating(&leaf.row()?, leaf.recorded_at.date());
    Ok(pb::PublishRatingResponse { rating: Some(rating), receipt: Some(receipt) })
}

fn changed(leaf: &LeafView, receipt: pb::Receipt) -> Result<pb::ChangeRatingResponse, StoredFault> {
    let rating = rating(&leaf.row()?, leaf.recorded_at.date());
    Ok(pb::ChangeRatingResponse { rating: Some(rating), receipt: Some(receipt) })
}
