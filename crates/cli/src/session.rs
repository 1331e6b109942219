//! Calls in JSON: a message is made from and shown as JSON by its descriptor, so
//! that every RPC is at hand on the command line and in the demo, and what one
//! reads there is what the proto files say.

use std::sync::LazyLock;

use bytes::Bytes;
use jjj_wire::methods::{METHODS, Method};
use prost::Message;
use prost_reflect::{DescriptorPool, DeserializeOptions, DynamicMessage, MessageDescriptor, SerializeOptions};
use serde_json::{Value, json};
use tonic::Status;
use tonic_types::{ErrorDetails, StatusExt};

use crate::client::Client;

static POOL: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(jjj_wire::FILE_DESCRIPTOR_SET).expect("the committed descriptor decodes"));

/// A refused or failed call, as a person or a machine wants to see it.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{code} {reason}: {message} {message_zh}")]
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

    fn of(code: tonic::Code, message: &str, details: &ErrorDetails) -> Self {
        let zh = details.localized_message().filter(|l| l.locale.starts_with("zh"));
        let violations = details.bad_request().map(|b| &b.field_violations[..]).unwrap_or_default();
        Self {
            code: code_name(code),
            reason: details.error_info().map(|i| i.reason.clone()).unwrap_or_default(),
            message: message.to_owned(),
            message_zh: zh.map(|l| l.message.clone()).unwrap_or_default(),
            field: violations.first().map(|v| v.field.clone()),
        }
    }

    pub fn to_json(&self) -> Value {
        json!({"code": self.code, "reason": self.reason, "message": self.message, "message_zh": self.message_zh, "field": self.field})
    }
}

impl From<Status> for CallError {
    fn from(status: Status) -> Self {
        Self::of(status.code(), status.message(), &status.get_error_details())
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
                    Err(status) => Err(item_error(&status)),
                });
            }
        }
        Ok(results)
    }

    /// Every item of a list: pages to the end. `items` is the response's repeated field.
    pub async fn list(&self, name: &str, filter: &str, items: &str) -> Result<Vec<Value>, CallError> {
        let mut all = Vec::new();
        let mut token = String::new();
        loop {
            let request = json!({"filter": filter, "page_size": 1000, "page_token": token});
            let mut page = self.call(name, request).await?;
            if let Some(Value::Array(found)) = page.get_mut(items).map(Value::take) {
                all.extend(found);
            }
            match page.get("next_page_token").and_then(Value::as_str) {
                Some(next) if !next.is_empty() => token = next.to_owned(),
                _ => return Ok(all),
            }
        }
    }

    /// A request's bytes, to be signed and sent as they are.
    pub fn encode(&self, method: &Method, mut request: Value) -> Result<Bytes, CallError> {
        if method.mutating && !method.batch && request.get("request_id").is_none() {
            request["request_id"] = self.client.request_id().into();
        }
        let message = DynamicMessage::deserialize_with_options(
            descriptor(method.request),
            request,
            &DeserializeOptions::new().deny_unknown_fields(true),
        );
        Ok(message.map_err(|e| CallError::local(format!("{}: {e}", method.request)))?.encode_to_vec().into())
    }
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

fn item_error(status: &tonic_types::Status) -> CallError {
    use tonic_types::StatusExt as _;
    let code = tonic::Code::from_i32(status.code);
    let rebuilt = Status::with_details(code, status.message.clone(), status.encode_to_vec().into());
    CallError::of(code, &status.message, &rebuilt.get_error_details())
}
