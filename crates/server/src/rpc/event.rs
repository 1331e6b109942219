//! Events: a participant's own stream, and how far it has it.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::{Stream, StreamExt};
use jjj_domain::decision::Topic;
use jjj_domain::guard;
use jjj_store::Delivery;
use jjj_wire::event::Told;
use jjj_wire::pb;
use jjj_wire::pb::event_service_server::EventService;
use tonic::{Request, Response, Status};

use super::read::{failed, refuse};
use super::support::caller;
use crate::gateway::Gateway;
use crate::identity::Caller;
use crate::streams::{Subscription, deliver};

pub struct EventApi(pub Arc<Gateway>);

#[tonic::async_trait]
impl EventService for EventApi {
    type StreamEventsStream = Pin<Box<dyn Stream<Item = Result<pb::Event, Status>> + Send>>;

    async fn stream_events(
        &self,
        request: Request<pb::StreamEventsRequest>,
    ) -> Result<Response<Self::StreamEventsStream>, Status> {
        let caller = caller(&request)?;
        let q = request.get_ref();
        let subscription = subscription(&caller, Topic::Event, q.cursor, q.follow)?;
        let events = deliver(&self.0, subscription).map(|told| told.map(|(cursor, delivery)| event(cursor, delivery)));
        Ok(Response::new(Box::pin(events)))
    }

    async fn acknowledge_events(
        &self,
        request: Request<pb::AcknowledgeEventsRequest>,
    ) -> Result<Response<pb::AcknowledgeEventsResponse>, Status> {
        let caller = caller(&request)?;
        let cursor = acknowledge(&self.0, &caller, Topic::Event, request.get_ref().cursor).await?;
        Ok(Response::new(pb::AcknowledgeEventsResponse { cursor }))
    }
}

/// A leaf in the participant's audience, whole: its hash is over all of its bytes.
fn event(cursor: i64, Delivery { leaf, .. }: Delivery) -> pb::Event {
    let told = Told {
        cursor,
        leaf_hash: jjj_token::merkle::leaf_hash(leaf.body.as_bytes()).to_vec(),
        kind: leaf.kind,
        record: leaf.record,
        version: leaf.version,
        author: leaf.author,
        recorded_at: leaf.recorded_at_us,
        body: leaf.body.into_text(),
    };
    told.into()
}

/// What the caller asks of one of its streams.
pub(super) fn subscription(caller: &Caller, topic: Topic, cursor: i64, follow: bool) -> Result<Subscription, Status> {
    guard::range("cursor", cursor, -1, i64::MAX).map_err(refuse)?;
    Ok(Subscription { participant: caller.participant().clone(), topic, cursor, follow })
}

/// Moves the caller's cursor forward; where it stands now. What was not recorded yet cannot have
/// been persisted, and would be passed over later.
pub(super) async fn acknowledge(gateway: &Gateway, caller: &Caller, topic: Topic, cursor: i64) -> Result<i64, Status> {
    let participant = caller.participant();
    let size = gateway.store.read().await.map_err(failed)?.tree_size().await.map_err(failed)?;
    guard::range("cursor", cursor, 1, size).map_err(refuse)?;
    let _turn = gateway.turns.take(participant).await?;
    let mut tx = gateway.store.begin_small_write().await.map_err(failed)?;
    tx.acknowledge(participant, topic, cursor - 1, gateway.clock.now()).await.map_err(failed)?;
    let now = tx.session().cursor(participant, topic).await.map_err(failed)?;
    tx.commit().await.map_err(failed)?;
    Ok(now + 1)
}
