//! What a leaf of the log commits to, as canonical JSON (RFC 8785), and its way back
//! into rows. The format is API: `"v":"1"`.
//!
//! | Member | Value |
//! |---|---|
//! | `v` | `"1"` |
//! | `id` | the leaf's id |
//! | `kind`, `record`, `version` | what happened to which version of what |
//! | `author` | the actor who signed, or `gateway` |
//! | `request_id` | of the request that this leaf or its cause answers |
//! | `recorded_at_us` | UTC microseconds |
//! | `cause` | the leaf that caused a leaf of the gateway's, else null |
//! | `content` | of a request's first leaf: SHA-256 by which a repeated request is told from another (`requests.content_digest`); else null |
//! | `evidence` | of a leaf with a signed request: `path` (method), `item` (RFC 6962 leaf hash of the request's bytes), `index` and `count` (its place in the signed call), `token` and `stored` (SHA-256 of the token's text and of the bytes as stored), `sealed_for` (the person whose key encrypts them, or null); else null |
//! | `audience` | `TOPIC participant`, sorted |
//! | `rows` | each written row: `t` its table, `r` its columns. Of a private row `person`, `k` and `c` instead: salted commitments over its key and over its columns |
//! | `erased` | `t`, `person` and `k` of each erased private row |
//! | `transfers` | columns of each booked transfer |
//!
//! Integers are decimal strings, hashes lower-case hex, absent values null.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock};

use jjj_domain::decision::{Erasure, Leaf, Write};
use jjj_domain::ledger::TransferRow;
use jjj_domain::names::{Actor, RequestId};
use jjj_domain::row::{Row, StoredFault, TableSpec};
use jjj_domain::time::Timestamp;
use jjj_domain::value::Value;
use jjj_store::log_tables::LeafRow;
use jjj_token::Hash;
use jjj_token::merkle::leaf_hash;
use jjj_token::seal::{SALT_LEN, commitment};
use serde_json::Value as Json;

use super::canonical::{Canonical, Members};

/// Digests of a leaf's evidence.
#[derive(Clone, Debug)]
pub struct EvidenceDigests {
    pub path: &'static str,
    /// RFC 6962 leaf hash of the request's bytes: what the token's root covers.
    pub item: Hash,
    pub index: u32,
    pub count: u32,
    /// SHA-256 of the token, hex.
    pub token: String,
    /// SHA-256 of the bytes as stored, sealed where they are personal, hex.
    pub stored: String,
    /// The person under whose key the bytes are sealed.
    pub sealed_for: Option<String>,
}

/// The salts of the persons whose private rows a decision writes or erases.
pub type Salts = HashMap<String, [u8; SALT_LEN]>;

/// What a leaf commits to beside itself.
pub struct Context<'a> {
    pub actor: &'a Actor,
    pub request_id: RequestId,
    pub recorded_at: Timestamp,
    pub salts: &'a Salts,
    /// Digest of the request, hex; the first leaf commits to it.
    pub content_digest: &'a str,
}

/// The row to store for a leaf.
pub fn leaf_row(leaf: &Leaf, context: &Context<'_>, evidence: Option<&EvidenceDigests>) -> LeafRow {
    let author = if leaf.by_gateway { "gateway".to_owned() } else { context.actor.to_string() };
    let mut body = Canonical::with_room(room(leaf));
    body.object(|body| {
        let audience = leaf.audience.iter().map(|(to, topic)| format!("{topic} {to}"));
        body.member("audience").list(audience, |to, line| to.text(&line));
        body.member("author").text(&author);
        body.member("cause").optional(leaf.cause.as_deref());
        body.member("content").optional((!leaf.by_gateway).then_some(context.content_digest));
        body.member("erased").list(&leaf.erasures, |to, erasure| erased(to, erasure, context.salts));
        match evidence {
            None => body.member("evidence").null(),
            Some(digests) => body.member("evidence").object(|to| digests.write(to)),
        }
        body.member("id").text(&leaf.leaf_id);
        body.member("kind").text(leaf.kind);
        body.member("record").text(&leaf.record);
        body.member("recorded_at_us").integer(context.recorded_at.0);
        body.member("request_id").text(&context.request_id.to_string());
        body.member("rows").list(&leaf.writes, |to, write| row(to, write, context.salts));
        let transfers = leaf.transfers.iter().map(Row::to_values);
        body.member("transfers").list(transfers, |to, values| to.columns(TransferRow::spec(), &values));
        body.member("v").text("1");
        body.member("version").integer(leaf.version);
    });
    let body = body.finish();
    let leaf_hash = hex::encode(leaf_hash(body.as_bytes()));
    LeafRow {
        leaf_id: leaf.leaf_id.clone(),
        record: leaf.record.clone(),
        version: leaf.version,
        kind: leaf.kind.to_owned(),
        author,
        recorded_at_us: context.recorded_at,
        body: body.into(),
        leaf_hash,
    }
}

/// About how many bytes a leaf's text takes, rather more.
fn room(leaf: &Leaf) -> usize {
    const NAME: usize = 24;
    const TRANSFER: usize = 1_024;
    let value = |value: &Value| match value {
        Value::Null | Value::Int(_) => 20,
        Value::Text(text) => text.len() + 8,
        Value::Bytes(bytes) => 2 * bytes.len() + 8,
    };
    let of_row = |write: &Write| write.values.iter().map(|v| NAME + value(v)).sum::<usize>();
    1_024 + leaf.writes.iter().map(of_row).sum::<usize>() + leaf.transfers.len() * TRANSFER
}

impl EvidenceDigests {
    fn write(&self, to: &mut Members<'_>) {
        to.member("count").integer(self.count.into());
        to.member("index").integer(self.index.into());
        to.member("item").text(&hex::encode(self.item));
        to.member("path").text(self.path);
        to.member("sealed_for").optional(self.sealed_for.as_deref());
        to.member("stored").text(&self.stored);
        to.member("token").text(&self.token);
    }
}

fn row(to: &mut Canonical, write: &Write, salts: &Salts) {
    to.object(|to| match &write.person {
        None => {
            to.member("r").columns(write.spec, &write.values);
            to.member("t").text(write.spec.name);
        }
        Some(person) => {
            let (key, columns) = private_commitments(write.spec, &write.values, &salts[person]);
            to.member("c").text(&hex::encode(columns));
            to.member("k").text(&hex::encode(key));
            to.member("person").text(person);
            to.member("t").text(write.spec.name);
        }
    });
}

/// Names the row by the commitment that its own leaf has: it says nothing once the salt is gone.
fn erased(to: &mut Canonical, erasure: &Erasure, salts: &Salts) {
    let key = salts.get(&erasure.person).map(|salt| hex::encode(key_commitment(erasure.spec, &erasure.key, salt)));
    to.object(|to| {
        to.member("k").optional(key.as_deref());
        to.member("person").text(&erasure.person);
        to.member("t").text(erasure.spec.name);
    });
}

/// What a leaf holds of a private row: commitments over its key and over all of it. `jjj verify`
/// recomputes them while the person's salt exists.
pub fn private_commitments(spec: &TableSpec, values: &[Value], salt: &[u8; SALT_LEN]) -> (Hash, Hash) {
    let mut row = Canonical::default();
    row.object(|to| {
        to.member("r").columns(spec, values);
        to.member("t").text(spec.name);
    });
    (key_commitment(spec, &spec.key_of(values), salt), commitment(salt, row.finish().as_bytes()))
}

fn key_commitment(spec: &TableSpec, key: &[Value], salt: &[u8; SALT_LEN]) -> Hash {
    let mut text = Canonical::default();
    text.object(|to| {
        to.member("k").key(spec, key);
        to.member("t").text(spec.name);
    });
    commitment(salt, text.finish().as_bytes())
}

/// An accepted command's first leaf, as answers are rendered from it: fresh and stored read alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafView {
    pub leaf_id: String,
    pub kind: String,
    pub record: String,
    pub version: i64,
    pub author: String,
    pub recorded_at: Timestamp,
    /// Rows by table; private ones are not among them.
    rows: Vec<(&'static TableSpec, Arc<[Value]>)>,
    pub transfers: Vec<TransferRow>,
}

impl LeafView {
    pub fn fresh(leaf: &Leaf, row: &LeafRow) -> Self {
        let public = leaf.writes.iter().filter(|w| w.person.is_none());
        Self {
            leaf_id: leaf.leaf_id.clone(),
            kind: row.kind.clone(),
            record: leaf.record.clone(),
            version: leaf.version,
            author: row.author.clone(),
            recorded_at: row.recorded_at_us,
            rows: public.map(|w| (w.spec, w.values.clone())).collect(),
            transfers: leaf.transfers.clone(),
        }
    }

    pub fn stored(row: &LeafRow) -> Result<Self, StoredFault> {
        let body: Json = serde_json::from_str(&row.body).map_err(|e| fault(e.to_string()))?;
        if body["v"] != "1" {
            return Err(fault("has an unknown version"));
        }
        let list = |name: &str| body[name].as_array().ok_or_else(|| fault(format!("lacks {name}")));
        let mut rows = Vec::new();
        for row in list("rows")? {
            if row.get("r").is_none() {
                continue;
            }
            let table = row["t"].as_str().unwrap_or_default();
            let spec = *TABLES.get(table).ok_or_else(|| fault(format!("names the table {table}")))?;
            rows.push((spec, values(spec, &row["r"])?.into()));
        }
        let transfers = list("transfers")?
            .iter()
            .map(|t| TransferRow::from_values(values(TransferRow::spec(), t)?))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            leaf_id: row.leaf_id.clone(),
            kind: row.kind.clone(),
            record: row.record.clone(),
            version: row.version,
            author: row.author.clone(),
            recorded_at: row.recorded_at_us,
            rows,
            transfers,
        })
    }

    /// The leaf's row of a table. A fault when it has none: the method's rendering does not fit its command.
    pub fn row<T: Row>(&self) -> Result<T, StoredFault> {
        self.rows::<T>()?.pop().ok_or_else(|| fault(format!("{} has no row of {}", self.kind, T::spec().name)))
    }

    /// The leaf's rows of a table, in the order in which they were written.
    pub fn rows<T: Row>(&self) -> Result<Vec<T>, StoredFault> {
        let of_table = self.rows.iter().filter(|(spec, _)| spec.name == T::spec().name);
        of_table.map(|(_, values)| T::from_values(values.to_vec())).collect()
    }

    /// The leaf's row of a table with this key, as stored.
    pub fn values(&self, spec: &TableSpec, key: &[Value]) -> Option<&[Value]> {
        let mut of_table = self.rows.iter().filter(|(own, _)| own.name == spec.name);
        of_table.find(|(spec, values)| spec.key_of(values) == key).map(|(_, values)| &**values)
    }
}

/// Every table that leaves write.
pub(crate) static TABLES: LazyLock<BTreeMap<&'static str, &'static TableSpec>> =
    LazyLock::new(|| jjj_domain::tables::all().into_iter().map(|spec| (spec.name, spec)).collect());

fn values(spec: &'static TableSpec, row: &Json) -> Result<Vec<Value>, StoredFault> {
    let value = |column: &jjj_domain::row::ColumnSpec| {
        let json = row.get(column.name).unwrap_or(&Json::Null);
        Value::from_json(json, column.ty).map_err(|problem| StoredFault {
            table: spec.name,
            column: column.name,
            problem: format!("in a leaf: {problem}"),
        })
    };
    spec.columns.iter().map(value).collect()
}

fn fault(problem: impl Into<String>) -> StoredFault {
    StoredFault { table: "leaves", column: "body", problem: problem.into() }
}

#[cfg(test)]
mod tests {
    use jjj_domain::decision::{Call, Command};
    use jjj_domain::ledger::{Account, EntryKind, Transfer};
    use jjj_domain::names::Participant;
    use jjj_domain::policy::{self, PolicyRow};
    use jjj_domain::sim::Sim;
    use jjj_domain::value::{Column, canonical_json};

    use super::*;

    #[test]
    fn a_leaf_reads_back_as_it_was_written() {
        let request_id = "01939d0c-5a00-7000-8000-000000000001".parse().unwrap();
        let now = Timestamp(1_763_700_000_000_000);
        let actor = Actor::system(Participant::gateway());
        let call = Call { actor: actor.clone(), request_id, now, lane: 0 };
        let command = policy::defaults().remove(0);
        let decision = Sim::default().execute(&call, &command as &dyn Command).unwrap();
        let salts = Salts::new();
        let context = Context { actor: &actor, request_id, recorded_at: now, salts: &salts, content_digest: "ab" };
        let digests = EvidenceDigests {
            path: "/a/b",
            item: [7; 32],
            index: 0,
            count: 2,
            token: "t".into(),
            stored: "s".into(),
            sealed_for: None,
        };
        let mut leaf = decision.leaves[0].clone();
        leaf.tell(&Participant::gateway());
        leaf.erasures.push(Erasure {
            spec: PolicyRow::spec(),
            key: vec!["\u{1}\"".to_owned().to_value()],
            person: "p".into(),
        });
        let (book, channel) = ("110000/care_subsidy".parse().unwrap(), "channels/unionpay".parse().unwrap());
        let (debit, credit) = (Account::suspense(&book, &channel), Account::payable(&book, "91", &channel));
        leaf.book(Transfer::posted(EntryKind::ChannelOnly, debit, credit, 5, "2026-11".parse().unwrap()));
        let row = leaf_row(&leaf, &context, Some(&digests));
        let (fresh, stored) = (LeafView::fresh(&leaf, &row), LeafView::stored(&row).unwrap());
        assert_eq!(fresh, stored);
        let policy: PolicyRow = stored.row().unwrap();
        assert_eq!(policy.recorded_at_us, now);
        let canonical: Json = serde_json::from_str(&row.body).unwrap();
        assert_eq!(canonical_json(&canonical), *row.body, "canonical as another writer has it");
        assert!(leaf_row(&leaf, &context, None).body.contains(r#""evidence":null"#));
    }
}
