//! Every refusal as a gRPC status. One exhaustive match per kind of error; causes
//! are logged once where they are met and never sent.

use std::collections::HashMap;
use std::time::Duration;

use jjj_domain::rejection::{Fault, Rejection};
use jjj_store::StoreError;
use jjj_token::SignError;
use tonic::{Code, Status};
use tonic_types::{BadRequest, ErrorDetail, ErrorInfo, LocalizedMessage, RetryInfo, StatusExt};

use crate::identity::Refusal;

/// The `domain` of every `ErrorInfo`.
pub const ERROR_DOMAIN: &str = "gateway.jjj";

/// When a caller may try again after a fault of the moment.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// Why a call has no answer.
#[derive(Clone, Debug)]
pub enum Refused {
    /// The rules refuse it.
    Rejected(Box<Rejection>),
    /// Its signer was in force at the door and is not any more.
    AtTheDoor(Refusal),
    /// The write path is full, or the caller's share of it.
    Busy,
    /// The database is not there, or it is not known whether the call was recorded.
    Unavailable,
    /// None of the gateway's own signing keys is in force.
    NoSigningKey,
    /// The module that keeps the gateway's signing key does not answer.
    KeyUnreachable,
    /// The gateway is stopping.
    Stopping,
    /// Our fault. The cause has been logged.
    Internal,
}

impl From<Rejection> for Refused {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(Box::new(rejection))
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self::AtTheDoor(refusal)
    }
}

impl Refused {
    /// Logs a store's failure, once, and keeps its cause from the caller.
    pub fn store(what: &'static str, error: &StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) | StoreError::UnknownCommit(_) | StoreError::Conflict { .. } => {
                tracing::warn!(what, cause = chain(error), "the database did not answer as asked");
                Self::Unavailable
            }
            StoreError::Driver(_)
            | StoreError::Inconsistent(_)
            | StoreError::Schema { .. }
            | StoreError::OtherSchema { .. }
            | StoreError::Url
            | StoreError::ServerTooOld { .. }
            | StoreError::Aborted => Self::internal(what, error),
        }
    }

    /// Why a key did not sign. Of a module's, the cause has been logged where it was met.
    pub fn key(what: &'static str, error: SignError) -> Self {
        match error {
            SignError::Unreachable => Self::KeyUnreachable,
            SignError::Failed => Self::internal(what, &error),
        }
    }

    /// Logs a fault of ours, once.
    pub fn internal(what: &'static str, error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(what, cause = chain(error), "internal error");
        Self::Internal
    }
}

/// An error with its causes. Driver errors name constraints and statements, whose values are bound and
/// not part of them.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

impl From<Refused> for Status {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Rejected(rejection) => rejected(&rejection),
            Refused::AtTheDoor(refusal) => self::refused(&refusal),
            Refused::Busy => worded(
                Code::ResourceExhausted,
                "GATEWAY_BUSY",
                "the gateway has as much work as it can take, from you or from all",
                "网关繁忙，或贵方排队已满，请稍后重试",
                vec![retry()],
            ),
            Refused::Unavailable => worded(
                Code::Unavailable,
                "GATEWAY_UNAVAILABLE",
                "the gateway cannot record at the moment; send the same request again",
                "网关暂时无法处理，请以同一请求编号重试",
                vec![retry()],
            ),
            Refused::NoSigningKey => worded(
                Code::Unavailable,
                "GATEWAY_KEY_NOT_IN_FORCE",
                "the gateway's signing key was retired or withdrawn and it has no other: it records and signs nothing \
                 until it is given one; send the same request again then",
                "网关签名密钥已停用或撤回，且无后备密钥：更换之前网关不记录、不签名，请于更换后以同一请求编号重试",
                vec![retry()],
            ),
            Refused::KeyUnreachable => worded(
                Code::Unavailable,
                "GATEWAY_KEY_UNREACHABLE",
                "the module that keeps the gateway's signing key does not answer; send the same request again",
                "存放网关签名密钥的密码模块暂时无响应，请以同一请求编号重试",
                vec![retry()],
            ),
            Refused::Stopping => worded(
                Code::Unavailable,
                "GATEWAY_STOPPING",
                "the gateway is stopping; send the same request again",
                "网关正在停止，请以同一请求编号重试",
                vec![retry()],
            ),
            Refused::Internal => worded(Code::Internal, "INTERNAL", "internal error", "内部错误", Vec::new()),
        }
    }
}

/// A refusal by the domain's rules.
pub fn rejected(rejection: &Rejection) -> Status {
    let code = match rejection.reason.fault() {
        Fault::Invalid => Code::InvalidArgument,
        Fault::Precondition => Code::FailedPrecondition,
        Fault::NotFound => Code::NotFound,
        Fault::AlreadyExists => Code::AlreadyExists,
        Fault::Denied => Code::PermissionDenied,
    };
    let (en, zh) = (rejection.message_en(), rejection.message_zh());
    let mut metadata: HashMap<String, String> =
        rejection.vars.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    let mut details = Vec::new();
    if let Some(field) = &rejection.field {
        metadata.insert("field".to_owned(), field.clone());
        details.push(BadRequest::with_violation(field.clone(), en.clone()).into());
    }
    with_details(code, rejection.reason.code(), metadata, &en, &zh, details)
}

/// A refusal before any rule was asked: who calls, and may this role.
pub fn refused(refusal: &Refusal) -> Status {
    let details = refusal.passes().then(retry).into_iter().collect();
    worded(refusal.code(), refusal.reason(), &refusal.message_en(), refusal.message_zh(), details)
}

fn worded(code: Code, reason: &str, en: &str, zh: &str, details: Vec<ErrorDetail>) -> Status {
    with_details(code, reason, HashMap::new(), en, zh, details)
}

fn with_details(
    code: Code,
    reason: &str,
    metadata: HashMap<String, String>,
    en: &str,
    zh: &str,
    more: Vec<ErrorDetail>,
) -> Status {
    let mut details: Vec<ErrorDetail> = vec![ErrorInfo::new(reason, ERROR_DOMAIN, metadata).into()];
    details.extend(more);
    details.push(LocalizedMessage::new("zh-CN", zh).into());
    details.push(LocalizedMessage::new("en", en).into());
    Status::with_error_details_vec(code, en, details)
}

fn retry() -> ErrorDetail {
    RetryInfo::new(Some(RETRY_AFTER)).into()
}
