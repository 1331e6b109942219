//! Ratings: publish, change, read.

use std::sync::Arc;

use jjj_domain::key;
use jjj_domain::names::Collection;
use jjj_domain::record::{ChangeRecord, PublishRecord, RecordKind, RecordRow};
use jjj_domain::row::{Row, StoredFault};
use jjj_domain::time::Date;
use jjj_domain::value::Column;
use jjj_store::Op;
use jjj_wire::enums::enum_value;
use jjj_wire::pb;
use jjj_wire::pb::rating_service_server::RatingService;
use tonic::{Request, Response, Status};

use super::filter::{Field, Filter};
use super::page::Paging;
use super::read::{Sees, get, inconsistent, page, refuse, versions};
use super::support::{Asked, Mutation, Parsed, batch, caller, mutate};
use super::{envelope, fields};
use crate::engine::LeafView;
use crate::gateway::Gateway;

pub struct RatingApi(pub Arc<Gateway>);

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
        mutate(&self.0, request, parse_publish, render_publish).await
    }

    async fn batch_publish_ratings(
        &self,
        request: Request<pb::BatchMutateRequest>,
    ) -> Result<Response<pb::BatchMutateResponse>, Status> {
        batch(&self.0, request, parse_publish, render_publish).await
    }

    async fn change_rating(
        &self,
        request: Request<pb::ChangeRatingRequest>,
    ) -> Result<Response<pb::ChangeRatingResponse>, Status> {
        mutate(&self.0, request, parse_change, render_change).await
    }

    async fn batch_change_ratings(
        &self,
        request: Request<pb::BatchMutateRequest>,
    ) -> Result<Response<pb::BatchMutateResponse>, Status> {
        batch(&self.0, request, parse_change, render_change).await
    }

    async fn get_rating(&self, request: Request<pb::GetRatingRequest>) -> Result<Response<pb::Rating>, Status> {
        let caller = caller(&request)?;
        let name = fields::name("name", &request.get_ref().name, &[Collection::Rating]).map_err(refuse)?;
        let row: RecordRow = get(&self.0, &caller, key![name.to_string()], name.as_str(), Sees::Everyone).await?;
        Ok(Response::new(rating(&row, self.0.clock.now().date())))
    }

    async fn list_ratings(
        &self,
        request: Request<pb::ListRatingsRequest>,
    ) -> Result<Response<pb::ListRatingsResponse>, Status> {
        let caller = caller(&request)?;
        let q = request.get_ref();
        let mut filter = Filter::parse(&q.filter, FILTER).map_err(refuse)?;
        let in_force = filter.take("in_force");
        let mut predicates = filter.predicates(RecordRow::spec()).map_err(refuse)?;
        predicates.push(("kind", Op::Eq, RecordKind::Rating.to_value()));
        let paging = Paging::new(caller.method.path, &q.filter, q.page_size, &q.page_token).map_err(refuse)?;
        let today = self.0.clock.now().date();
        let keep = |row: &RecordRow| {
            let holds = if row.holds_on(today) { "true" } else { "false" };
            in_force.iter().all(|c| c.holds_for(holds))
        };
        let (rows, next_page_token) = page(&self.0, &caller, predicates, &paging, Sees::Everyone, keep).await?;
        let ratings = rows.iter().map(|row| rating(row, today)).collect();
        Ok(Response::new(pb::ListRatingsResponse { ratings, next_page_token }))
    }

    async fn list_rating_versions(
        &self,
        request: Request<pb::ListRatingVersionsRequest>,
    ) -> Result<Response<pb::ListRatingVersionsResponse>, Status> {
        let caller = caller(&request)?;
        let q = request.get_ref();
        let name = fields::name("name", &q.name, &[Collection::Rating]).map_err(refuse)?;
        let paging = Paging::new(caller.method.path, &q.name, q.page_size, &q.page_token).map_err(refuse)?;
        let newest: RecordRow = get(&self.0, &caller, key![name.to_string()], name.as_str(), Sees::Everyone).await?;
        let (leaves, next_page_token) = versions(&self.0, name.as_str(), newest.version, &paging).await?;
        let today = self.0.clock.now().date();
        let rows = leaves.iter().map(LeafView::row::<RecordRow>).collect::<Result<Vec<_>, _>>();
        let ratings = rows.map_err(inconsistent)?.iter().map(|row| rating(row, today)).collect();
        Ok(Response::new(pb::ListRatingVersionsResponse { ratings, next_page_token }))
    }
}

fn parse_publish(q: &pb::PublishRatingRequest, _: &Asked<'_>) -> Parsed {
    let command = PublishRecord {
        kind: RecordKind::Rating,
        subject: fields::name("institution", &q.institution, &[Collection::Institution])?,
        scheme: fields::enum_str::<pb::RatingScheme>("scheme", q.scheme)?.to_owned(),
        native_level: i64::from(q.native_grade),
        state: fields::enumerated::<pb::RecordState, _>("state", q.state)?,
        document_number: fields::required_text("document_number", &q.document_number, 100)?,
        decided_by: fields::required_text("decided_by", &q.decided_by, 200)?,
        decided_on: fields::date("decided_on", &q.decided_on)?,
        valid_from: fields::date("valid_from", &q.valid_from)?,
        valid_until: fields::date("valid_until", &q.valid_until)?,
        reason: fields::text("reason", &q.reason, 1_000)?,
        content: String::new(),
    };
    Ok(Mutation::new(PublishRecord::rating(command)))
}

fn parse_change(q: &pb::ChangeRatingRequest, _: &Asked<'_>) -> Parsed {
    Ok(Mutation::new(ChangeRecord {
        record: fields::name("name", &q.name, &[Collection::Rating])?,
        expected_version: fields::in_range("expected_version", q.expected_version, 0, i64::MAX)?,
        change: fields::enumerated::<pb::RecordState, _>("new_state", q.new_state)?,
        new_level: q.new_grade.map(i64::from),
        new_valid_until: fields::optional_date("new_valid_until", &q.new_valid_until)?,
        reason: fields::required_text("reason", &q.reason, 1_000)?,
        decided_by: fields::required_text("decided_by", &q.decided_by, 200)?,
        document_number: fields::required_text("document_number", &q.document_number, 100)?,
        effective_on: fields::date("effective_on", &q.effective_on)?,
    }))
}

fn render_publish(leaf: &LeafView, receipt: pb::Receipt) -> Result<pb::PublishRatingResponse, StoredFault> {
    let rating = rating(&leaf.row()?, leaf.recorded_at.date());
    Ok(pb::PublishRatingResponse { rating: Some(rating), receipt: Some(receipt) })
}

fn render_change(leaf: &LeafView, receipt: pb::Receipt) -> Result<pb::ChangeRatingResponse, StoredFault> {
    let rating = rating(&leaf.row()?, leaf.recorded_at.date());
    Ok(pb::ChangeRatingResponse { rating: Some(rating), receipt: Some(receipt) })
}

/// A rating as of a day; in a mutation's answer the day it was recorded.
fn rating(row: &RecordRow, on: Date) -> pb::Rating {
    pb::Rating {
        name: row.record.clone(),
        envelope: Some(envelope::envelope(row, on)),
        scheme: enum_value::<pb::RatingScheme>(&row.scheme),
        native_grade: row.native_level as i32,
    }
}
