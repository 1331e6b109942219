//! Names of participants, administrators and resources, in AIP style.

use std::fmt;
use std::str::FromStr;

use crate::rejection::{Reason, Rejection};
use crate::{text_column, text_enum};

text_enum! {
    /// What a participant is.
    pub enum ParticipantKind {
        /// A region's civil-affairs system.
        Region = "REGION",
        /// A payment channel or a bank.
        Channel = "CHANNEL",
        /// The gateway itself and its operators.
        Gateway = "GATEWAY",
    }
}

/// A participant: `regions/110000`, `channels/unionpay`, `gateway`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Participant(String);

impl Participant {
    pub fn gateway() -> Self {
        Self("gateway".into())
    }

    pub fn kind(&self) -> ParticipantKind {
        match self.0.split_once('/') {
            Some(("regions", _)) => ParticipantKind::Region,
            Some(_) => ParticipantKind::Channel,
            None => ParticipantKind::Gateway,
        }
    }

    /// The part after the collection: `110000`, `unionpay`, `gateway`.
    pub fn code(&self) -> &str {
        self.0.split_once('/').map_or(&self.0, |(_, code)| code)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Participant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Participant {
    type Err = NotAName;
    fn from_str(text: &str) -> Result<Self, NotAName> {
        let ok = match text.split_once('/') {
            None => text == "gateway",
            Some(("regions", code)) => code.len() == 6 && code.bytes().all(|b| b.is_ascii_digit()),
            Some(("channels", code)) => is_slug(code),
            Some(_) => false,
        };
        if ok { Ok(Self(text.to_owned())) } else { Err(NotAName) }
    }
}

/// Who signed a request: a participant's system, or one of its administrators
/// (`regions/110000/admins/wang`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Actor {
    participant: Participant,
    admin: Option<String>,
}

impl Actor {
    pub fn participant(&self) -> &Participant {
        &self.participant
    }

    pub fn is_admin(&self) -> bool {
        self.admin.is_some()
    }

    pub fn system(participant: Participant) -> Self {
        Self { participant, admin: None }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.admin {
            Some(admin) => write!(f, "{}/admins/{admin}", self.participant),
            None => self.participant.fmt(f),
        }
    }
}

impl FromStr for Actor {
    type Err = NotAName;
    fn from_str(text: &str) -> Result<Self, NotAName> {
        match text.split_once("/admins/") {
            None => Ok(Self::system(text.parse()?)),
            Some((participant, admin)) if is_slug(admin) => {
                Ok(Self { participant: participant.parse()?, admin: Some(admin.to_owned()) })
            }
            Some(_) => Err(NotAName),
        }
    }
}

fn is_slug(text: &str) -> bool {
    (1..=32).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
}

/// A request's id: a UUIDv7 in lower-case hyphenated form, whose time is the client's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(uuid::Uuid);

impl RequestId {
    pub fn new(uuid: uuid::Uuid) -> Option<Self> {
        (uuid.get_version_num() == 7).then_some(Self(uuid))
    }

    /// The id's own time, milliseconds since 1970 UTC (RFC 9562 §5.7).
    pub fn unix_ms(self) -> i64 {
        (self.0.as_u128() >> 80) as i64
    }

    /// 32 hex digits: the order id of an instructed payment (8–32 characters, no `-` or `_`).
    pub fn order_id(self) -> String {
        self.0.simple().to_string()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl FromStr for RequestId {
    type Err = NotAName;
    fn from_str(text: &str) -> Result<Self, NotAName> {
        let uuid = uuid::Uuid::parse_str(text).map_err(|_| NotAName)?;
        // One spelling only, or one id could be two.
        Self::new(uuid).filter(|id| id.to_string() == text).ok_or(NotAName)
    }
}

text_column!(Participant, Actor, RequestId);

/// A resource name of a known collection: `ratings/0198…`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name {
    text: String,
    slash: usize,
}

impl Name {
    /// The name that a request gives to what it creates.
    pub fn created(collection: Collection, id: RequestId) -> Self {
        Self::of(collection, &id.to_string())
    }

    pub fn of(collection: Collection, id: &str) -> Self {
        let text = format!("{}/{id}", collection.as_str());
        Self { slash: collection.as_str().len(), text }
    }

    pub fn collection(&self) -> Collection {
        self.text[..self.slash].parse().expect("checked when made")
    }

    /// The part after the collection.
    pub fn id(&self) -> &str {
        &self.text[self.slash + 1..]
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Parses a request field that must name a resource of one of these collections.
    pub fn parse_field(field: &str, text: &str, allowed: &[Collection]) -> Result<Self, Rejection> {
        if text.is_empty() {
            return Err(Reason::FieldMissing.field(field));
        }
        let expected = || allowed.iter().map(|c| format!("{}/{{id}}", c.as_str())).collect::<Vec<_>>().join(" | ");
        match text.parse::<Self>() {
            Ok(name) if allowed.contains(&name.collection()) => Ok(name),
            _ => Err(Reason::FieldMalformed.field(field).var("expected", expected())),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Name {
    type Err = NotAName;
    fn from_str(text: &str) -> Result<Self, NotAName> {
        let (collection, id) = text.split_once('/').ok_or(NotAName)?;
        let collection: Collection = collection.parse().map_err(|_| NotAName)?;
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'/' | b'>' | b':');
        let ok = (1..=96).contains(&id.len()) && id.bytes().all(plain);
        if ok { Ok(Self::of(collection, id)) } else { Err(NotAName) }
    }
}

text_column!(Name);

text_enum! {
    /// The collections of the API.
    pub enum Collection {
        Participant = "participants",
        Key = "keys",
        Authority = "authorities",
        Administrator = "administrators",
        Policy = "policies",
        Agreement = "agreements",
        Institution = "institutions",
        SettlementAccount = "settlementAccounts",
        Elder = "elders",
        Party = "parties",
        Rating = "ratings",
        Assessment = "assessments",
        DisabilityCertificate = "disabilityCertificates",
        Recognition = "recognitions",
        Contract = "contracts",
        Stay = "stays",
        Bill = "bills",
        Mandate = "mandates",
        Grant = "grants",
        MoneyEvent = "moneyEvents",
        Payment = "payments",
        PaymentQuery = "paymentQueries",
        Refund = "refunds",
        OperatingSubsidyClaim = "operatingSubsidyClaims",
        File = "files",
        Run = "runs",
        Break = "breaks",
        Alert = "alerts",
        Account = "accounts",
        Access = "accesses",
        SettlementStatement = "settlementStatements",
        Payout = "payouts",
        MonthClose = "monthCloses",
    }
}

/// A text that is no such name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a name of this kind")]
pub struct NotAName;
