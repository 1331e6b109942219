//! The requests of the table, and what is said to each.

use bytes::Bytes;
use jjj_cli::session::{CallError, Session};
use jjj_server::authorise::{Role, is_allowed};
use jjj_wire::methods::{METHODS, Method};
use jjj_wire::pb;
use prost::Message as _;
use prost_reflect::DescriptorPool;
use tonic::Status;

use crate::bases::base;
use crate::damage::damages;
use crate::scene::Scene;
use crate::table::{Key, OK};

/// One request, right or wrong.
pub struct Row {
    pub method: &'static Method,
    field: String,
    what: String,
    pub actor: &'static str,
    pub message: Bytes,
}

/// One caller of each role, with another of the same role whom their records do not concern. All
/// records concern the administrators of the gateway.
const CALLERS: [(Role, &str, &str, &str); 5] = [
    (Role::Region, "as a region", "regions/110000", "regions/120000"),
    (Role::RegionAdmin, "as a region's administrator", "regions/110000/admins/chen", "regions/120000/admins/zhou"),
    (Role::Channel, "as a channel", "channels/unionpay", "channels/bank"),
    (Role::ChannelAdmin, "as a channel's administrator", "channels/unionpay/admins/he", "channels/bank/admins/gao"),
    (Role::GatewayAdmin, "as the gateway's administrator", "gateway/admins/li", "gateway/admins/wang"),
];

/// `PaymentService/ConfirmPayment`.
pub fn short(method: &Method) -> String {
    format!("{}/{}", method.service, method.name)
}

/// Every row, in the order of the API.
pub fn rows(scene: &Scene) -> Vec<Row> {
    METHODS.iter().flat_map(|method| of_method(scene, method)).collect()
}

fn of_method(scene: &Scene, method: &'static Method) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut row = |field: &str, what: &str, actor, message| {
        rows.push(Row { method, field: field.to_owned(), what: what.to_owned(), actor, message });
    };
    let batch = |items: Vec<Bytes>| Bytes::from(pb::BatchMutateRequest { items }.encode_to_vec());
    for (role, who, actor, _) in CALLERS {
        if !is_allowed(role, method.path) {
            row("", who, actor, if method.batch { batch(vec![Bytes::new()]) } else { Bytes::new() });
        }
    }
    if method.batch {
        // Items are requests of the single method, parsed and decided by the same code.
        let (_, _, actor, _) = CALLERS.into_iter().find(|caller| is_allowed(caller.0, method.path)).unwrap();
        row("", "no batch", actor, NO_MESSAGE);
        row("", "no items", actor, batch(vec![]));
        row("", "1001 items", actor, batch(vec![Bytes::from_static(b"\x0a\x00"); 1_001]));
        row("", "an empty item", actor, batch(vec![Bytes::new()]));
        row("", "an item that is no message", actor, batch(vec![NO_MESSAGE]));
        return rows;
    }
    let (actor, request) = base(scene, method);
    let session = scene.stage.as_(actor);
    let encode = |request| session.encode(method, request).unwrap_or_else(|e| panic!("{}: {e}", method.path));
    row("", AS_IT_IS, actor, encode(request.clone()));
    row("", "no message", actor, NO_MESSAGE);
    row("", "empty", actor, Bytes::new());
    for other in CALLERS.map(|(_, _, _, other)| other) {
        let is_alike = |a: &str, b: &str| a.split('/').step_by(2).eq(b.split('/').step_by(2));
        if is_alike(actor, other) && actor != other {
            row("", AS_ANOTHER, other, encode(request.clone()));
        }
    }
    let pool = DescriptorPool::decode(jjj_wire::FILE_DESCRIPTOR_SET).unwrap();
    let descriptor = pool.get_message_by_name(&format!("jjj.gateway.v1.{}", method.request)).unwrap();
    for damaged in damages(&descriptor, &request, &session.client) {
        row(&damaged.field, damaged.what, actor, encode(damaged.request));
    }
    rows
}

/// What is done to a right request that is not damaged.
pub const AS_IT_IS: &str = "as it is";

/// Sent by another participant of the same role.
pub const AS_ANOTHER: &str = "as another";

/// Bytes that no message begins with.
const NO_MESSAGE: Bytes = Bytes::from_static(&[0xff]);

impl Row {
    pub fn key(&self) -> Key {
        (short(self.method), self.field.clone(), self.what.clone())
    }

    /// Whether it is a right request, undamaged.
    pub fn is_right(&self) -> bool {
        self.what == AS_IT_IS
    }

    /// Whether it leaves something behind when it is accepted.
    pub fn changes(&self) -> bool {
        // Working rows and cursors, and the audit of who read what.
        const TOO: [&str; 6] = [
            "UploadChunk",
            "AcknowledgeEvents",
            "AcknowledgeInstructions",
            "FindElder",
            "ReadPersonalData",
            "GetEvidence",
        ];
        self.method.mutating || TOO.contains(&self.method.name)
    }

    /// `STATUS | REASON | field` of the answer, or [`OK`].
    pub async fn send(&self, scene: &Scene) -> String {
        let session = scene.stage.as_(self.actor);
        let answer = match (self.method.streaming, self.method.batch) {
            (true, _) => self.first_of_stream(session).await,
            (false, false) => session.client.call_bytes(self.method.path, self.message.clone()).await.map(drop),
            (false, true) => self.only_item(session).await,
        };
        answer.map_or_else(said, |()| OK.to_owned())
    }

    async fn first_of_stream(&self, session: &Session) -> Result<(), Status> {
        // Both streams are asked for alike.
        match pb::StreamEventsRequest::decode(self.message.clone()) {
            Ok(request) => session.client.stream::<_, ()>(self.method.path, &request).await?.message().await.map(drop),
            Err(_) => session.client.call_bytes(self.method.path, self.message.clone()).await.map(drop),
        }
    }

    async fn only_item(&self, session: &Session) -> Result<(), Status> {
        use pb::batch_mutate_result::Outcome;
        let token = session.client.token(self.method.path, &self.message);
        // What is no batch has no root to sign; it is refused before anybody looks at the root.
        let other = || pb::BatchMutateRequest { items: vec![NO_MESSAGE] }.encode_to_vec();
        let token = token.or_else(|_| session.client.token(self.method.path, &other())).unwrap();
        let answer = session.client.call_with_token(self.method.path, self.message.clone(), &token).await?;
        let answer = pb::BatchMutateResponse::decode(answer).unwrap();
        match answer.results.into_iter().next().unwrap().outcome.unwrap() {
            Outcome::Response(_) => Ok(()),
            Outcome::Status(bytes) => {
                let code = tonic_types::Status::decode(bytes.as_ref()).unwrap().code;
                Err(Status::with_details(code.into(), "", bytes))
            }
        }
    }
}

/// `STATUS | REASON | field` of a refusal; of a failure, its message.
pub fn said(status: Status) -> String {
    let error = CallError::from(status);
    let reason = if error.reason.is_empty() { error.message } else { error.reason };
    let mut cells = vec![error.code, reason];
    cells.extend(error.field);
    cells.join(" | ")
}
