//! Clients that keep what they sent and what they heard, as the API asks them to: the request's
//! bytes before sending, the answer's bytes when it comes. What the gateway promised can then be
//! held against it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jjj_cli::session::{Session, decode, find};
use jjj_server::receipt::from_wire;
use jjj_token::receipt::Receipt;
use jjj_token::{Hash, VerifyingKey};
use jjj_wire::methods::{METHODS, Method};
use jjj_wire::pb;
use jjj_wire::pb::batch_mutate_result::Outcome;
use prost::Message;
use serde_json::Value;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::world::Systems;

/// One call as its client keeps it.
#[derive(Clone)]
pub struct Kept {
    /// Who called.
    pub actor: String,
    pub method: &'static Method,
    pub request: Bytes,
    /// `None`: in doubt. It was sent, and nothing was heard.
    pub answer: Option<Bytes>,
    /// The reason with which it is refused, if it is to be.
    refused: Option<&'static str>,
}

/// All calls of one client, in the order in which they were sent.
#[derive(Default)]
pub struct Diary {
    pub calls: Vec<Kept>,
    /// Counts answers, for whoever watches the load.
    pub answers: Arc<AtomicUsize>,
}

/// What a client hears.
pub enum Heard {
    /// Accepted; the answer's bytes are in the diary.
    Accepted(Value),
    /// Refused, with this reason. Nothing was changed.
    Refused(String),
    /// Nothing. The call stands in the diary without an answer.
    Nothing,
}

impl Diary {
    /// Sends a mutation, `Service/Method`, and keeps it.
    pub async fn send(&mut self, session: &Session, method: &str, request: Value) -> Heard {
        let method = find(method).expect("a method of the API");
        let request = session.encode(method, request).expect("a request of the method");
        self.deliver(session, method, request, None).await
    }

    /// Sends a mutation that is to be refused, with this reason.
    pub async fn send_refused(
        &mut self,
        session: &Session,
        method: &str,
        request: Value,
        reason: &'static str,
    ) -> Heard {
        let method = find(method).expect("a method of the API");
        let request = session.encode(method, request).expect("a request of the method");
        self.deliver(session, method, request, Some(reason)).await
    }

    /// Sends a batch of a single method's requests and keeps it as one call.
    pub async fn send_batch(&mut self, session: &Session, method: &str, requests: Vec<Value>) -> Heard {
        let single = find(method).expect("a method of the API");
        let batch = METHODS.iter().find(|m| m.item == Some(single.path)).expect("it has a batch method");
        let items = requests.into_iter().map(|r| session.encode(single, r).expect("a request of the method"));
        let request = pb::BatchMutateRequest { items: items.collect() };
        self.deliver(session, batch, request.encode_to_vec().into(), None).await
    }

    async fn deliver(
        &mut self,
        session: &Session,
        method: &'static Method,
        request: Bytes,
        refused: Option<&'static str>,
    ) -> Heard {
        let actor = session.client.actor().to_owned();
        let answered = session.client.call_bytes(method.path, request.clone()).await;
        let (answer, heard) = match answered {
            Ok(bytes) if is_cut_short(method, &bytes) => (None, Heard::Nothing),
            Ok(bytes) => {
                self.answers.fetch_add(1, Ordering::Relaxed);
                (Some(bytes.clone()), Heard::Accepted(show(method, &bytes)))
            }
            Err(status) => match refusal(&status) {
                Some(reason) => return Heard::Refused(reason),
                None => (None, Heard::Nothing),
            },
        };
        self.calls.push(Kept { actor, method, request, answer, refused });
        heard
    }

    /// Sends what is in doubt once more, the same bytes, and keeps the answers. Whether everything
    /// was answered.
    pub async fn settle(&mut self, systems: &Systems) -> bool {
        // What was refused is not kept.
        let mut refused = Vec::new();
        for (at, call) in self.calls.iter_mut().enumerate().filter(|(_, call)| call.answer.is_none()) {
            let client = &systems.session(&call.actor).client;
            match client.call_bytes(call.method.path, call.request.clone()).await {
                Ok(bytes) if is_cut_short(call.method, &bytes) => return false,
                Ok(bytes) => call.answer = Some(bytes),
                Err(status) => match refusal(&status) {
                    Some(reason) if call.refused == Some(&reason) => refused.push(at),
                    Some(reason) => panic!("{} in doubt, sent again: {reason}", call.method.path),
                    None => return false,
                },
            }
        }
        for at in refused.into_iter().rev() {
            self.calls.remove(at);
        }
        true
    }
}

/// A batch's answer as the list of what its items made.
fn show(method: &Method, answer: &Bytes) -> Value {
    let Some(item) = method.item else {
        return decode(method.response, answer).expect("an answer of the method");
    };
    let single = METHODS.iter().find(|m| m.path == item).expect("a batch is of a single method");
    let items = batch_items(answer);
    items.iter().map(|bytes| decode(single.response, bytes).expect("an answer of the method")).collect()
}

fn batch_items(answer: &Bytes) -> Vec<Bytes> {
    let response = pb::BatchMutateResponse::decode(answer.clone()).expect("a batch's answer");
    let accepted = response.results.into_iter().map(|result| match result.outcome {
        Some(Outcome::Response(bytes)) => bytes,
        other => panic!("an item was not accepted: {other:?}"),
    });
    accepted.collect()
}

/// Whether a batch's answer says of some item to send the same again.
fn is_cut_short(method: &Method, answer: &Bytes) -> bool {
    let again = |outcome: &Option<Outcome>| match outcome {
        Some(Outcome::Status(bytes)) => refusal(&Status::with_details(Code::Unknown, "", bytes.clone())).is_none(),
        Some(Outcome::Response(_)) | None => false,
    };
    let response = method.batch.then(|| pb::BatchMutateResponse::decode(answer.clone()).expect("a batch's answer"));
    response.is_some_and(|response| response.results.iter().any(|result| again(&result.outcome)))
}

/// The gateway's reason; `None` when it said nothing, or said to send the same again.
fn refusal(status: &Status) -> Option<String> {
    let reason = status.get_error_details().error_info().map(|info| info.reason.clone())?;
    match reason.as_str() {
        "GATEWAY_UNAVAILABLE" | "GATEWAY_STOPPING" | "GATEWAY_BUSY" => None,
        "INTERNAL" => panic!("the gateway is at fault: {status:?}"),
        _ => Some(reason),
    }
}

/// Every answer to a mutation has its receipt as the second field.
#[derive(Clone, PartialEq, Message)]
struct WithReceipt {
    #[prost(message, optional, tag = "2")]
    receipt: Option<pb::Receipt>,
}

impl Kept {
    /// The answer as JSON.
    pub fn shown(&self) -> Value {
        show(self.method, self.answer.as_ref().expect("an answered call"))
    }

    /// The receipts of the answer.
    pub fn receipts(&self) -> Vec<Receipt> {
        let answer = self.answer.as_ref().expect("an answered call");
        let singles = if self.method.batch { batch_items(answer) } else { vec![answer.clone()] };
        let receipt = |bytes: &Bytes| {
            let answer = WithReceipt::decode(bytes.clone()).expect("an answer to a mutation");
            from_wire(answer.receipt.expect("a receipt")).expect("a receipt in its form")
        };
        singles.iter().map(receipt).collect()
    }
}

/// Every call once more: the answer must be the first one, byte for byte.
pub async fn repeat_all(systems: &Systems, calls: &[Kept]) {
    let repeat = |call: &Kept| {
        let client = systems.session(&call.actor).client.clone();
        let call = call.clone();
        async move {
            let again = client.call_bytes(call.method.path, call.request.clone()).await;
            let again = again.map_err(|status| format!("{} sent again: {status:?}", call.method.path))?;
            let first = call.answer.expect("an answered call");
            if again != first {
                let (first, again) = (show(call.method, &first), show(call.method, &again));
                return Err(format!("{} has two answers:\n{first}\n{again}", call.method.path));
            }
            Ok(())
        }
    };
    let repeated = stream::iter(calls.iter().map(repeat).collect::<Vec<_>>()).buffer_unordered(64);
    if let Err(difference) = repeated.try_collect::<Vec<()>>().await {
        panic!("{difference}");
    }
}

/// Every receipt holds offline, with nothing but the gateway's public key. Their leaves' hashes.
pub fn check_receipts(calls: &[Kept], key: &VerifyingKey) -> Vec<Hash> {
    let receipts: Vec<Receipt> = calls.iter().flat_map(Kept::receipts).collect();
    for receipt in &receipts {
        receipt.verify(key).unwrap_or_else(|fault| panic!("{fault}: {receipt:?}"));
    }
    receipts.into_iter().map(|receipt| receipt.leaf_hash).collect()
}
