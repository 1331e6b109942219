//! Typed calls: a message in, a message out, or a refusal by reason and field.

use jjj_server::bootstrap::fresh_id;
use jjj_wire::pb;
use jjj_wire::pb::batch_mutate_result::Outcome;
use prost::Message;
use tonic::Status;
use tonic_types::StatusExt;

use crate::harness::{Client, World, reason};

/// A method's full path: `method!("StayService/AdmitElder")`.
macro_rules! method {
    ($method:literal) => {
        concat!("/jjj.gateway.v1.", $method)
    };
}
pub(crate) use method;

impl World {
    /// An id for a request about to be made.
    pub fn id(&self) -> String {
        fresh_id(&self.clock).to_string()
    }

    /// A day from today on.
    pub fn day(&self, days: i64) -> String {
        self.clock.now().date().plus_days(days).to_string()
    }

    /// The answer to a call that is accepted.
    pub async fn ask<A: Message + Default>(&self, client: &Client, path: &'static str, request: &impl Message) -> A {
        let answer = client.call(path, &request.encode_to_vec(), self.now_s()).await;
        A::decode(answer.unwrap_or_else(|status| panic!("{path} as {}: {}", client.actor, said(&status)))).unwrap()
    }

    /// What a refusal says, `REASON field`; nothing may have been recorded.
    pub async fn refusal(&self, client: &Client, path: &'static str, request: &impl Message) -> String {
        let before = self.leaves().await;
        let answer = client.call(path, &request.encode_to_vec(), self.now_s()).await;
        assert_eq!(self.leaves().await, before, "{path} left a trace");
        said(&answer.expect_err(path))
    }

    /// A mutation, and the same request once more: the first answer, and nothing recorded twice.
    pub async fn twice<A: Message + Default + PartialEq + std::fmt::Debug>(
        &self,
        client: &Client,
        path: &'static str,
        request: &impl Message,
    ) -> A {
        let first: A = self.ask(client, path, request).await;
        let leaves = self.leaves().await;
        assert_eq!(first, self.ask(client, path, request).await, "{path}");
        assert_eq!(self.leaves().await, leaves, "{path}");
        first
    }

    /// A bulk mutation: each item's answer, or what its refusal says.
    pub async fn bulk<A: Message + Default>(
        &self,
        client: &Client,
        path: &'static str,
        items: &[impl Message],
    ) -> Vec<Result<A, String>> {
        let items: Vec<Vec<u8>> = items.iter().map(Message::encode_to_vec).collect();
        let answer: pb::BatchMutateResponse = client.call_batch(path, &items, self.now_s()).await.unwrap();
        let each = |result: pb::BatchMutateResult| match result.outcome.unwrap() {
            Outcome::Response(bytes) => Ok(A::decode(bytes).unwrap()),
            Outcome::Status(bytes) => Err(said(&Status::with_details(tonic::Code::Unknown, "", bytes))),
        };
        answer.results.into_iter().map(each).collect()
    }
}

/// `REASON field`, or the reason alone.
pub fn said(status: &Status) -> String {
    let details = status.get_error_details();
    let field = details.bad_request().and_then(|b| b.field_violations.first()).map(|v| v.field.clone());
    [Some(reason(status)), field].into_iter().flatten().collect::<Vec<_>>().join(" ")
}
