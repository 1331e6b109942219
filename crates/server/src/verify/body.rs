//! A leaf's body, read strictly: what the format (see [`crate::engine::leaf`]) does not have is refused.

use jjj_domain::decision::Topic;
use jjj_domain::ledger::TransferRow;
use jjj_domain::names::{Actor, Participant, RequestId};
use jjj_domain::row::{Row, TableSpec};
use jjj_domain::value::{Value, canonical_json};
use jjj_store::log_tables::{DeliveryRow, RequestRow};
use jjj_token::Hash;
use serde_json::{Map, Value as Json};

use super::digest::parse_hash;
use crate::engine::leaf::TABLES;

/// The versions of the format that are known.
pub const KNOWN_VERSIONS: &[&str] = &["1"];

pub struct Body {
    pub id: String,
    pub kind: String,
    pub record: String,
    pub version: i64,
    pub author: String,
    pub request_id: RequestId,
    pub recorded_at_us: i64,
    pub cause: Option<String>,
    pub content: Option<String>,
    pub evidence: Option<BodyEvidence>,
    pub audience: Vec<(Topic, Participant)>,
    pub rows: Vec<(&'static TableSpec, Vec<Value>)>,
    pub private: Vec<PrivateCommitment>,
    pub erased: Vec<Erased>,
    pub transfers: Vec<TransferRow>,
    /// From the id: whose request it answers, and which of its leaves this is.
    pub participant: Participant,
    pub nth: u64,
}

pub struct BodyEvidence {
    pub path: String,
    pub item: Hash,
    pub index: i64,
    pub count: i64,
    pub token: String,
    pub stored: String,
    pub sealed_for: Option<String>,
}

pub struct PrivateCommitment {
    pub spec: &'static TableSpec,
    pub person: String,
    pub key: Hash,
    pub row: Hash,
}

/// Its table and person are in the leaf for readers; the commitment alone names the row.
pub struct Erased {
    pub key: Hash,
}

impl Body {
    pub fn parse(text: &str) -> Result<Self, String> {
        let json: Json = serde_json::from_str(text).map_err(|e| format!("is no JSON: {e}"))?;
        if canonical_json(&json) != text {
            return Err("is not canonical JSON".to_owned());
        }
        let mut body = Members::of(json, "the body")?;
        let version = body.text("v")?;
        if !KNOWN_VERSIONS.contains(&version.as_str()) {
            return Err(format!("is of the unknown version {version:?}"));
        }
        let id = body.text("id")?;
        let request_id = body.text("request_id")?;
        let (participant, nth) = parse_id(&id, &request_id).ok_or_else(|| format!("has the id {id:?}"))?;
        let mut rows = Vec::new();
        let mut private = Vec::new();
        for row in body.list("rows")? {
            let mut row = Members::of(row, "a row")?;
            let spec = row.table()?;
            match row.0.remove("r") {
                Some(columns) => rows.push((spec, parse_row(spec, columns)?)),
                None => private.push(PrivateCommitment {
                    spec,
                    person: row.text("person")?,
                    key: row.hash("k")?,
                    row: row.hash("c")?,
                }),
            }
            row.end()?;
        }
        let erased = body.list("erased")?.into_iter().map(Erased::parse).collect::<Result<_, _>>()?;
        let transfers = body.list("transfers")?.into_iter().map(parse_transfer).collect::<Result<_, _>>()?;
        let parsed = Self {
            id,
            kind: body.text("kind")?,
            record: body.text("record")?,
            version: body.int("version")?,
            author: body.text("author")?,
            request_id: request_id.parse().map_err(|_| "has a malformed request_id")?,
            recorded_at_us: body.int("recorded_at_us")?,
            cause: body.optional_text("cause")?,
            content: body.optional_text("content")?,
            evidence: body.optional("evidence")?.map(BodyEvidence::parse).transpose()?,
            audience: body.list("audience")?.into_iter().map(parse_audience).collect::<Result<_, _>>()?,
            rows,
            private,
            erased,
            transfers,
            participant,
            nth,
        };
        body.end()?;
        parsed.consistent().map(|()| parsed)
    }

    /// What the members say of one another.
    fn consistent(&self) -> Result<(), String> {
        let own = |author: &str| author.parse::<Actor>().is_ok_and(|a| *a.participant() == self.participant);
        if self.nth == 0 {
            match (own(&self.author), &self.content) {
                (false, _) => Err("has an author who is not whom its id names".to_owned()),
                (true, None) => Err("lacks the request's digest".to_owned()),
                (true, Some(_)) => Ok(()),
            }
        } else if self.author != "gateway" || self.evidence.is_some() || self.content.is_some() {
            Err("follows from another leaf, and is not the gateway's".to_owned())
        } else if self.cause != Some(self.first_id()) {
            Err("does not name its request's first leaf as its cause".to_owned())
        } else {
            Ok(())
        }
    }

    /// The id of the first leaf of the same request.
    pub fn first_id(&self) -> String {
        format!("{}.{}.0", self.request_id, self.participant.as_str().replace('/', "."))
    }

    /// Every row of every table that this leaf accounts for by itself, private rows apart.
    pub fn expected(&self, leaf_index: Option<i64>) -> Vec<(&'static TableSpec, Vec<Value>)> {
        let mut expected = self.rows.clone();
        expected.extend(self.transfers.iter().map(|t| (TransferRow::spec(), t.to_values())));
        if let Some(content) = &self.content {
            let row = RequestRow {
                participant: self.participant.clone(),
                request_id: self.request_id,
                content_digest: content.clone(),
                leaf_id: self.id.clone(),
            };
            expected.push((RequestRow::spec(), row.to_values()));
        }
        if let Some(leaf_index) = leaf_index {
            expected.extend(self.audience.iter().map(|(topic, participant)| {
                let row = DeliveryRow { participant: participant.clone(), topic: *topic, leaf_index };
                (DeliveryRow::spec(), row.to_values())
            }));
        }
        expected
    }

    /// As a waiting leaf carries it.
    pub fn audience_lines(&self) -> String {
        self.audience.iter().map(|(topic, to)| format!("{topic} {to}")).collect::<Vec<_>>().join("\n")
    }
}

impl BodyEvidence {
    fn parse(json: Json) -> Result<Self, String> {
        let mut evidence = Members::of(json, "the evidence")?;
        let parsed = Self {
            path: evidence.text("path")?,
            item: evidence.hash("item")?,
            index: evidence.int("index")?,
            count: evidence.int("count")?,
            token: evidence.text("token")?,
            stored: evidence.text("stored")?,
            sealed_for: evidence.optional_text("sealed_for")?,
        };
        evidence.end()?;
        Ok(parsed)
    }
}

impl Erased {
    fn parse(json: Json) -> Result<Self, String> {
        let mut erased = Members::of(json, "an erased row")?;
        erased.table()?;
        erased.text("person")?;
        let key = erased.hash("k")?;
        erased.end()?;
        Ok(Self { key })
    }
}

fn parse_transfer(json: Json) -> Result<TransferRow, String> {
    TransferRow::from_values(parse_row(TransferRow::spec(), json)?).map_err(|e| e.to_string())
}

/// All columns of a row and nothing else, each in its one spelling. A column that a later version
/// of the table has is absent in older leaves, and NULL.
fn parse_row(spec: &'static TableSpec, json: Json) -> Result<Vec<Value>, String> {
    let mut columns = Members::of(json, spec.name)?;
    let mut values = Vec::with_capacity(spec.columns.len());
    for column in spec.columns {
        let json = columns.0.remove(column.name).unwrap_or(Json::Null);
        let value = Value::from_json(&json, column.ty).map_err(|e| format!("{}.{}: {e}", spec.name, column.name))?;
        if value.to_json() != json {
            return Err(format!("{}.{} has another spelling than ours", spec.name, column.name));
        }
        values.push(value);
    }
    columns.end()?;
    Ok(values)
}

fn parse_audience(json: Json) -> Result<(Topic, Participant), String> {
    let parse = |text: &str| {
        let (topic, participant) = text.split_once(' ')?;
        Some((topic.parse().ok()?, participant.parse().ok()?))
    };
    json.as_str().and_then(parse).ok_or_else(|| format!("has {json} in its audience"))
}

/// `{request id}.{participant, dots for slashes}.{n}`.
fn parse_id(id: &str, request_id: &str) -> Option<(Participant, u64)> {
    let rest = id.strip_prefix(request_id)?.strip_prefix('.')?;
    let (participant, n) = rest.rsplit_once('.')?;
    let nth: u64 = n.parse().ok()?;
    let participant: Participant = participant.replacen('.', "/", 1).parse().ok()?;
    (nth.to_string() == n).then_some((participant, nth))
}

/// The members of an object, taken out one by one; what is left is not ours.
struct Members(Map<String, Json>, &'static str);

impl Members {
    fn of(json: Json, what: &'static str) -> Result<Self, String> {
        match json {
            Json::Object(members) => Ok(Self(members, what)),
            _ => Err(format!("{what} is no object")),
        }
    }

    fn take(&mut self, name: &str) -> Result<Json, String> {
        self.0.remove(name).ok_or_else(|| format!("{} lacks {name}", self.1))
    }

    fn optional(&mut self, name: &str) -> Result<Option<Json>, String> {
        Ok(Some(self.take(name)?).filter(|json| !json.is_null()))
    }

    fn text(&mut self, name: &str) -> Result<String, String> {
        self.optional_text(name)?.ok_or_else(|| format!("{}: {name} is null", self.1))
    }

    fn optional_text(&mut self, name: &str) -> Result<Option<String>, String> {
        match self.take(name)? {
            Json::Null => Ok(None),
            Json::String(text) => Ok(Some(text)),
            other => Err(format!("{}: {name} is {other}", self.1)),
        }
    }

    fn int(&mut self, name: &str) -> Result<i64, String> {
        let text = self.text(name)?;
        let parsed = text.parse::<i64>().ok().filter(|n| n.to_string() == text);
        parsed.ok_or_else(|| format!("{}: {name} is no integer", self.1))
    }

    fn hash(&mut self, name: &str) -> Result<Hash, String> {
        parse_hash(&self.text(name)?).ok_or_else(|| format!("{}: {name} is no hash", self.1))
    }

    fn list(&mut self, name: &str) -> Result<Vec<Json>, String> {
        match self.take(name)? {
            Json::Array(list) => Ok(list),
            other => Err(format!("{}: {name} is {other}", self.1)),
        }
    }

    fn table(&mut self) -> Result<&'static TableSpec, String> {
        let name = self.text("t")?;
        TABLES.get(name.as_str()).copied().ok_or_else(|| format!("names the table {name:?}"))
    }

    fn end(self) -> Result<(), String> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(unknown) => Err(format!("{} has the unknown member {unknown:?}", self.1)),
        }
    }
}
