//! Calls in JSON: a message is made from and shown as JSON by its descriptor, so
//! that every RPC is at hand on the command line and in the demo, and what one
//! reads there is what the proto files say.

use std::fmt;
use std::sync::LazyLock;

use bytes::Bytes;
use jjj_wire::methods::{METHODS, Method};
use prost::Message;
use prost_reflect::{DescriptorPool, DeserializeOptions, DynamicMessage, MessageDescriptor, SerializeOptions};
use serde_json::{Value, json};
use tonic::Status;
use tonic_types::{ErrorDetail, StatusExt};

use crate::client::Client;

static POOL: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(jjj_wire::FILE_DESCRIPTOR_SET).expect("the committed descriptor decodes"));

/// A refused or failed call, as a person or a machine wants to see it.
#[derive(Clone, Debug, thiserror::Error)]
pub struct CallError {
    /// gRPC code in capitals, `FAILED_PRECONDITION`.
    pub code: String,
    /// The stable reason, empty when the failure has none.
    pub reason: String,
    pub message: String,
    pub message_zh: String,
    /// The field at fault, when there is one.
    pub field: Option<String>,
}

/// On one line; what there is not leaves no gap.
impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = [&self.code, &self.reason].map(|part| &part[..]).into_iter().filter(|part| !part.is_empty());
        write!(f, "{}: {}", said.collect::<Vec<_>>().join(" "), self.message)?;
        if self.message_zh.is_empty() { Ok(()) } else { write!(f, " {}", self.message_zh) }
    }
}

impl CallError {
    fn local(message: impl ToString) -> Self {
        Self {
            code: "INVALID_ARGUMENT".into(),
            reason: String::new(),
            message: message.to_string(),
            message_zh: String::new(),
            field: None,
        }
    }

    /// A status carries its message in two languages: details come as a list, for by kind one would
    /// hide the other.
    fn of(status: &Status) -> Self {
        let mut error = Self { code: code_name(status.code()), ..Self::local(status.message()) };
        for detail in status.get_error_details_vec() {
            match detail {
                ErrorDetail::ErrorInfo(info) => error.reason = info.reason,
                ErrorDetail::LocalizedMessage(text) if text.locale.starts_with("zh") => error.message_zh = text.message,
                ErrorDetail::BadRequest(bad) => {
                    error.field = bad.field_violations.into_iter().next().map(|violation| violation.field);
                }
                _ => {}
            }
        }
        error
    }

    pub fn to_json(&self) -> Value {
        json!({"code": self.code, "reason": self.reason, "message": self.message, "message_zh": self.message_zh, "field": self.field})
    }
}

impl From<Status> for CallError {
    fn from(status: Status) -> Self {
        Self::of(&status)
    }
}

fn code_name(code: tonic::Code) -> String {
    let mut name = String::new();
    for (i, c) in format!("{code:?}").chars().enumerate() {
        if c.is_uppercase() && i > 0 {
            name.push('_');
        }
        name.push(c.to_ascii_uppercase());
    }
    name
}

/// Calls in JSON as one identity.
#[derive(Clone)]
pub struct Session {
    pub client: Client,
}

impl Session {
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Calls `Service/Method`. A mutation without a `request_id` gets a fresh one.
    pub async fn call(&self, name: &str, request: Value) -> Result<Value, CallError> {
        let method = find(name)?;
        let message = self.encode(method, request)?;
        let answer = self.client.call_bytes(method.path, message).await?;
        decode(method.response, &answer)
    }

    /// The items of a batch call of `Service/Method` (the single method), at most
    /// 1,000 per call, in order.
    pub async fn batch(&self, name: &str, requests: Vec<Value>) -> Result<Vec<Result<Value, CallError>>, CallError> {
        const LIMIT: usize = 1_000;
        let method = find(name)?;
        let batch = METHODS
            .iter()
            .find(|m| m.item == Some(method.path))
            .ok_or_else(|| CallError::local(format!("{name} has no batch method")))?;
        let mut results = Vec::with_capacity(requests.len());
        let mut requests = requests.into_iter().peekable();
        while requests.peek().is_some() {
            let items = requests.by_ref().take(LIMIT).map(|r| self.encode(method, r)).collect::<Result<Vec<_>, _>>()?;
            for result in self.client.batch(batch.path, items).await? {
                results.push(match result {
                    Ok(bytes) => Ok(decode(method.response, &bytes)?),
                    Err(status) => Err(CallError::of(&item_status(&status))),
                });
            }
        }
        Ok(results)
    }

    /// Every item of a list: pages to the end. `items` is the response's repeated field.
    pub async fn list(&self, name: &str, filter: &str, items: &str) -> Result<Vec<Value>, CallError> {
        self.pages(name, json!({"filter": filter})).all(items).await
    }

    /// The pages of a method that pages, one after the other; `request` is the first, without page size and token.
    pub fn pages<'a>(&'a self, name: &'a str, request: Value) -> Pages<'a> {
        Pages { session: self, name, next: Some(request) }
    }

    /// A request's bytes, to be signed and sent as they are.
    pub fn encode(&self, method: &Method, mut request: Value) -> Result<Bytes, CallError> {
        if method.mutating && !method.batch && request.get("request_id").is_none() {
            request["request_id"] = self.client.request_id().into();
        }
        encode(method.request, request)
    }
}

/// Pages, until the last.
pub struct Pages<'a> {
    session: &'a Session,
    name: &'a str,
    /// What asks for the next page; `None` after the last.
    next: Option<Value>,
}

impl Pages<'_> {
    /// The next page, whole; `None` after the last.
    pub async fn next(&mut self) -> Result<Option<Value>, CallError> {
        const PAGE_SIZE: i32 = 1_000;
        let Some(mut request) = self.next.take() else { return Ok(None) };
        request["page_size"] = PAGE_SIZE.into();
        let page = self.session.call(self.name, request.clone()).await?;
        if let Some(token) = page["next_page_token"].as_str().filter(|token| !token.is_empty()) {
            request["page_token"] = token.into();
            self.next = Some(request);
        }
        Ok(Some(page))
    }

    /// Every item of the repeated field `items`, of this page and all that follow.
    pub async fn all(mut self, items: &str) -> Result<Vec<Value>, CallError> {
        let mut all = Vec::new();
        while let Some(mut page) = self.next().await? {
            all.extend(page[items].as_array_mut().map(std::mem::take).unwrap_or_default());
        }
        Ok(all)
    }
}

/// A message's bytes from its JSON with the proto files' field names.
pub fn encode(message: &str, json: Value) -> Result<Bytes, CallError> {
    let options = DeserializeOptions::new().deny_unknown_fields(true);
    let encoded = DynamicMessage::deserialize_with_options(descriptor(message), json, &options);
    Ok(encoded.map_err(|e| CallError::local(format!("{message}: {e}")))?.encode_to_vec().into())
}

/// The method named `Service/Method`.
pub fn find(name: &str) -> Result<&'static Method, CallError> {
    let (service, method) = name.split_once('/').unwrap_or(("", name));
    METHODS
        .iter()
        .find(|m| m.name == method && m.service == service)
        .ok_or_else(|| CallError::local(format!("there is no method {name}; write Service/Method")))
}

/// A message as JSON with the proto files' field names; 64-bit integers are strings.
pub fn decode(message: &str, bytes: &[u8]) -> Result<Value, CallError> {
    let message = DynamicMessage::decode(descriptor(message), bytes).map_err(CallError::local)?;
    let options = SerializeOptions::new().use_proto_field_name(true).skip_default_fields(false);
    message.serialize_with_options(serde_json::value::Serializer, &options).map_err(CallError::local)
}

fn descriptor(message: &str) -> MessageDescriptor {
    POOL.get_message_by_name(&format!("jjj.gateway.v1.{message}")).expect("the table of methods names known messages")
}

/// What a batch says of one item, as the status that a single call would have had.
pub fn item_status(status: &tonic_types::Status) -> Status {
    let code = tonic::Code::from_i32(status.code);
    Status::with_details(code, status.message.clone(), status.encode_to_vec().into())
}
