//! Delivery streams: resumable at a cursor, at least once, in the log's order.

use std::sync::Arc;
use std::time::Duration;

use jjj_domain::decision::Topic;
use jjj_domain::key;
use jjj_domain::names::Participant;
use jjj_domain::participant::{ParticipantRow, Standing};
use jjj_store::Delivery;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::gateway::Gateway;
use crate::identity::Refusal;
use crate::status::{self, Refused};

/// How long what another replica numbered may go unseen.
const POLL: Duration = Duration::from_millis(200);
const PAGE: i64 = 256;
/// Deliveries read ahead of a slow client.
const AHEAD: usize = 64;

/// What a stream gives: the cursor to persist, and the leaf.
pub type Deliveries = ReceiverStream<Result<(i64, Delivery), Status>>;

/// What a client asks for.
#[derive(Clone, Debug)]
pub struct Subscription {
    pub participant: Participant,
    pub topic: Topic,
    /// The last cursor persisted, 0 for the beginning, -1 for the last acknowledgement. A cursor is
    /// the leaf's index plus one.
    pub cursor: i64,
    /// Whether to wait for new leaves after those recorded so far.
    pub follow: bool,
}

/// Starts a stream. It ends after its life, its client resuming at the cursor, and at once when the
/// participant is suspended or the gateway stops.
pub fn deliver(gateway: &Arc<Gateway>, subscription: Subscription) -> Deliveries {
    // The last place is kept for the status that ends the stream: a client that reads slowly must not take an
    // early end for the end.
    let (sender, receiver) = mpsc::channel(AHEAD + 1);
    let last = sender.clone().try_reserve_owned().expect("the channel is new");
    let gateway = gateway.clone();
    let follow = subscription.follow;
    tokio::spawn(async move {
        let ended = tokio::select! {
            ended = run(&gateway, subscription, &sender) => ended,
            // Of a stream that was to end by itself, an early end must not look like its end.
            () = tokio::time::sleep(gateway.stream_life) => if follow { Ok(()) } else { Err(Refused::Unavailable.into()) },
            () = gateway.stopping() => Err(Refused::Stopping.into()),
            () = sender.closed() => return,
        };
        if let Err(status) = ended {
            last.send(Err(status));
        }
    });
    ReceiverStream::new(receiver)
}

type Sender = mpsc::Sender<Result<(i64, Delivery), Status>>;

async fn run(gateway: &Gateway, subscription: Subscription, sender: &Sender) -> Result<(), Status> {
    let Subscription { participant, topic, cursor, follow } = subscription;
    let failed = |e| Status::from(Refused::store("streaming", &e));
    let mut log = gateway.log();
    let mut registry = gateway.registry.changes();
    let mut last = match cursor {
        -1 => gateway.store.read().await.map_err(failed)?.cursor(&participant, topic).await.map_err(failed)?,
        cursor => cursor - 1,
    };
    loop {
        if gateway.registry.view().participant(&participant) != Some(Standing::Active) {
            return Err(status::refused(&Refusal::ParticipantSuspended));
        }
        let page = {
            let mut session = gateway.store.read().await.map_err(failed)?;
            let page = session.deliveries_after(&participant, topic, last, PAGE).await.map_err(failed)?;
            // The view may be behind the log; what is read after a suspension was recorded is not sent.
            if !page.is_empty() {
                let row: Option<ParticipantRow> = session.get(key![participant.clone()]).await.map_err(failed)?;
                if row.is_none_or(|row| row.standing != Standing::Active) {
                    return Err(status::refused(&Refusal::ParticipantSuspended));
                }
            }
            page
        };
        let mut is_more = page.len() as i64 == PAGE;
        for delivery in page {
            last = delivery.leaf_index;
            tokio::select! {
                sent = sender.send(Ok((last + 1, delivery))) => if sent.is_err() { return Ok(()) },
                // A client too slow to take the next must not outlive its suspension.
                _ = registry.changed() => {
                    if gateway.registry.view().participant(&participant) != Some(Standing::Active) {
                        return Err(status::refused(&Refusal::ParticipantSuspended));
                    }
                    // The delivery was dropped unsent: read it again.
                    last -= 1;
                    is_more = true;
                    break;
                }
            }
        }
        if is_more {
            continue;
        }
        if !follow {
            return Ok(());
        }
        tokio::select! {
            () = log.grown() => {}
            _ = registry.changed() => {}
            () = tokio::time::sleep(POLL) => {}
        }
    }
}
