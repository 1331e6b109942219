//! A subscriber: follows a participant's events, through the loss of its gateway, from its cursor.

use jjj_cli::session::Session;
use jjj_wire::pb;

const PATH: &str = "/jjj.gateway.v1.EventService/StreamEvents";

/// What was received: cursors in order, each with its leaf's hash.
#[derive(Default)]
pub struct Subscriber {
    pub events: Vec<(i64, Vec<u8>)>,
}

impl Subscriber {
    /// The last cursor persisted.
    fn cursor(&self) -> i64 {
        self.events.last().map_or(0, |(cursor, _)| *cursor)
    }

    /// Follows until the stream breaks.
    pub async fn follow(&mut self, session: &Session) {
        let request = pb::StreamEventsRequest { cursor: self.cursor(), follow: true };
        let Ok(mut stream) = session.client.stream::<_, pb::Event>(PATH, &request).await else { return };
        while let Ok(Some(event)) = stream.message().await {
            self.take(event);
        }
    }

    /// Takes what is recorded and has not been received.
    pub async fn catch_up(&mut self, session: &Session) {
        let request = pb::StreamEventsRequest { cursor: self.cursor(), follow: false };
        let mut stream = session.client.stream::<_, pb::Event>(PATH, &request).await.expect("a stream");
        while let Some(event) = stream.message().await.expect("an event") {
            self.take(event);
        }
    }

    fn take(&mut self, event: pb::Event) {
        let last = self.cursor();
        assert!(event.cursor > last, "an event at {} after {last}", event.cursor);
        self.events.push((event.cursor, event.leaf_hash.to_vec()));
    }
}

/// A participant's whole list, from the beginning.
pub async fn all_events(session: &Session) -> Vec<(i64, Vec<u8>)> {
    let mut fresh = Subscriber::default();
    fresh.catch_up(session).await;
    fresh.events
}
