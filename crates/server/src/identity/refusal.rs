//! Refusals before any rule was asked. Reasons are API.

use jjj_token::request::RequestTokenError;
use tonic::Code;

/// Why a call was refused at the door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    MethodUnknown,
    CertificateNotInDate,
    CertificateOfAnother,
    TokenMissing,
    Token(RequestTokenError),
    TokenUsed,
    KeyUnknown,
    KeyNotInForce,
    ParticipantUnknown,
    ParticipantSuspended,
    AdministratorNotActive,
    RoleNotAllowed,
    Compressed,
    MessageTooLarge,
    MessageMalformed,
    MessageLate,
    ConnectionBusy,
    BatchMalformed,
    BatchSize,
}

impl Refusal {
    pub fn code(&self) -> Code {
        match self {
            Self::MethodUnknown => Code::Unimplemented,
            Self::CertificateNotInDate
            | Self::CertificateOfAnother
            | Self::TokenMissing
            | Self::Token(_)
            | Self::TokenUsed
            | Self::KeyUnknown
            | Self::KeyNotInForce
            | Self::ParticipantUnknown => Code::Unauthenticated,
            Self::ParticipantSuspended | Self::AdministratorNotActive | Self::RoleNotAllowed => Code::PermissionDenied,
            Self::Compressed => Code::Unimplemented,
            Self::MessageTooLarge | Self::ConnectionBusy => Code::ResourceExhausted,
            Self::MessageLate => Code::DeadlineExceeded,
            Self::MessageMalformed | Self::BatchMalformed | Self::BatchSize => Code::InvalidArgument,
        }
    }

    /// Whether it is about the moment: the same call may be sent again.
    pub fn passes(&self) -> bool {
        matches!(self, Self::MessageLate | Self::ConnectionBusy)
    }

    pub fn reason(&self) -> &'static str {
        match self {
            Self::MethodUnknown => "METHOD_UNKNOWN",
            Self::CertificateNotInDate => "CERTIFICATE_NOT_IN_DATE",
            Self::CertificateOfAnother => "CERTIFICATE_OF_ANOTHER_PARTICIPANT",
            Self::TokenMissing => "TOKEN_MISSING",
            Self::Token(error) => error.reason(),
            Self::TokenUsed => "TOKEN_USED",
            Self::KeyUnknown => "KEY_UNKNOWN",
            Self::KeyNotInForce => "KEY_NOT_IN_FORCE",
            Self::ParticipantUnknown => "PARTICIPANT_UNKNOWN",
            Self::ParticipantSuspended => "PARTICIPANT_SUSPENDED",
            Self::AdministratorNotActive => "ADMINISTRATOR_NOT_ACTIVE",
            Self::RoleNotAllowed => "ROLE_NOT_ALLOWED",
            Self::Compressed => "COMPRESSION_NOT_ALLOWED",
            Self::MessageTooLarge => "MESSAGE_TOO_LARGE",
            Self::MessageMalformed => "MESSAGE_MALFORMED",
            Self::MessageLate => "MESSAGE_LATE",
            Self::ConnectionBusy => "CONNECTION_BUSY",
            Self::BatchMalformed => "BATCH_MALFORMED",
            Self::BatchSize => "BATCH_SIZE",
        }
    }

    pub fn message_en(&self) -> String {
        match self {
            Self::MethodUnknown => "there is no such method".into(),
            Self::CertificateNotInDate => "the client certificate is expired or not yet valid".into(),
            Self::CertificateOfAnother => "the client certificate is not of the authority of the token's issuer".into(),
            Self::TokenMissing => "metadata 'authorization: Bearer <request token>' is missing".into(),
            Self::Token(error) => error.to_string(),
            Self::TokenUsed => {
                "personal data was read under this token before: each such read takes a token of its own".into()
            }
            Self::KeyUnknown => "the token names a key that is not registered".into(),
            Self::KeyNotInForce => "the token's key is retired or withdrawn".into(),
            Self::ParticipantUnknown => "the key's holder is not a participant".into(),
            Self::ParticipantSuspended => "the participant is suspended".into(),
            Self::AdministratorNotActive => "the administrator is suspended or removed".into(),
            Self::RoleNotAllowed => "the caller's role may not call this method".into(),
            Self::Compressed => "compressed requests are refused: the signature covers the plain bytes".into(),
            Self::MessageTooLarge => format!("the message is larger than {} bytes", super::MAX_MESSAGE_LEN),
            Self::MessageMalformed => "the request is not exactly one message of the method's type".into(),
            Self::MessageLate => "the message did not arrive in time; send it again".into(),
            Self::ConnectionBusy => "this connection has too many bytes of messages under way; send it again".into(),
            Self::BatchMalformed => "the message is not a BatchMutateRequest".into(),
            Self::BatchSize => format!("a batch holds 1 to {} items", super::MAX_ITEMS),
        }
    }

    pub fn message_zh(&self) -> &'static str {
        match self {
            Self::MethodUnknown => "没有此方法",
            Self::CertificateNotInDate => "客户端证书已过期或尚未生效",
            Self::CertificateOfAnother => "客户端证书不属于令牌签发方的证书颁发机构",
            Self::TokenMissing => "缺少请求令牌（authorization: Bearer）",
            Self::Token(error) => token_zh(error),
            Self::TokenUsed => "此令牌已用于读取个人信息：每次读取须用新令牌",
            Self::KeyUnknown => "令牌所用密钥未登记",
            Self::KeyNotInForce => "令牌所用密钥已停用或撤回",
            Self::ParticipantUnknown => "密钥持有者不是参与方",
            Self::ParticipantSuspended => "参与方已暂停",
            Self::AdministratorNotActive => "管理员已暂停或移除",
            Self::RoleNotAllowed => "调用方角色无权调用此方法",
            Self::Compressed => "不接受压缩请求：签名针对原始字节",
            Self::MessageTooLarge => "消息过大",
            Self::MessageMalformed => "请求应恰为一条该方法的消息",
            Self::MessageLate => "消息未及时送达，请重新发送",
            Self::ConnectionBusy => "本连接上正在传送的消息过多，请稍后重试",
            Self::BatchMalformed => "消息不是批量请求",
            Self::BatchSize => "批量请求应含 1 至 1000 项",
        }
    }
}

fn token_zh(error: &RequestTokenError) -> &'static str {
    match error {
        RequestTokenError::Jws(_) => "令牌格式有误或签名无效",
        RequestTokenError::IssuerMismatch => "令牌签发方不是密钥持有者",
        RequestTokenError::IdMalformed => "令牌 jti 格式有误",
        RequestTokenError::LifetimeInvalid => "令牌有效期有误",
        RequestTokenError::TooLongLived => "令牌有效期超过五分钟",
        RequestTokenError::Expired { .. } => "令牌已过期",
        RequestTokenError::NotYetValid { .. } => "令牌签发时间在未来",
        RequestTokenError::WrongAudience => "令牌受众不是本网关",
        RequestTokenError::WrongPath => "令牌用于其他方法",
        RequestTokenError::CertificateNotBound => "令牌未绑定本连接的客户端证书",
        RequestTokenError::ContentNotBound => "令牌未绑定请求内容",
        RequestTokenError::ContentMismatch => "令牌所绑定的内容与收到的不符",
    }
}

impl From<RequestTokenError> for Refusal {
    fn from(error: RequestTokenError) -> Self {
        Self::Token(error)
    }
}
