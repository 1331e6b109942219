//! Reading the log: leaves, evidence, deliveries, hashes, checkpoints.

use jjj_domain::decision::Topic;
use jjj_domain::key;
use jjj_domain::names::Participant;
use jjj_domain::record::RecognitionRow;
use jjj_domain::row::{Row, StoredFault};
use jjj_domain::time::Timestamp;
use jjj_domain::value::{Column, ColumnType, Value};

use crate::Result;
use crate::dialect::{column_names, types_of};
use crate::log_tables::{CheckpointRow, CosignatureRow, CursorRow, EvidenceRow, LeafRow, NodeRow, OrderRow};
use crate::read::{ListQuery, Op};
use crate::session::{Args, Session};
use crate::write::WriteTx;

/// A numbered leaf as a stream carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    pub leaf_index: i64,
    pub leaf: LeafRow,
}

/// A numbered leaf with the signatures behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedLeaf {
    pub leaf_index: i64,
    pub record: String,
    pub version: i64,
    pub author: String,
    pub recorded_at_us: i64,
    pub method_path: String,
    /// The request token.
    pub token: String,
    /// A `jjj.gateway.v1.Receipt`.
    pub receipt: Vec<u8>,
}

impl SignedLeaf {
    fn from_values(row: Vec<Value>) -> Result<Self> {
        let [leaf_index, record, version, author, recorded_at_us, method_path, token, receipt] =
            <[Value; 8]>::try_from(row).expect("the statement has eight columns");
        let wrong = |column: &'static str| move |problem: String| StoredFault { table: "leaves", column, problem };
        Ok(Self {
            leaf_index: i64::from_value(leaf_index).map_err(wrong("leaf_index"))?,
            record: String::from_value(record).map_err(wrong("record"))?,
            version: i64::from_value(version).map_err(wrong("version"))?,
            author: String::from_value(author).map_err(wrong("author"))?,
            recorded_at_us: i64::from_value(recorded_at_us).map_err(wrong("recorded_at_us"))?,
            method_path: String::from_value(method_path).map_err(wrong("method_path"))?,
            token: String::from_value(token).map_err(wrong("token"))?,
            receipt: Vec::from_value(receipt).map_err(wrong("receipt"))?,
        })
    }
}

impl Session {
    /// Signed leaves after a number, up to another, and recorded from a moment on, in the log's order; of one
    /// author or of all. Goes through all leaves between the two: the caller bounds them.
    pub async fn signed_leaves(
        &mut self,
        after_index: i64,
        through_index: i64,
        from_us: i64,
        author: Option<&str>,
        limit: i64,
    ) -> Result<Vec<SignedLeaf>> {
        let mut args = key![after_index, through_index, from_us, limit];
        let mut by_author = "";
        if let Some(author) = author {
            by_author = " AND l.author = $5";
            args.push(Value::Text(author.to_owned()));
        }
        let sql = format!(
            "SELECT o.leaf_index, l.record, l.version, l.author, l.recorded_at_us, e.method_path, t.token, e.receipt \
             FROM leaf_order AS o JOIN leaves AS l ON l.leaf_id = o.leaf_id \
             JOIN evidence AS e ON e.leaf_id = o.leaf_id JOIN evidence AS t ON t.leaf_id = e.token_leaf \
             WHERE o.leaf_index > $1 AND o.leaf_index <= $2 AND l.recorded_at_us >= $3{by_author} \
             ORDER BY o.leaf_index LIMIT $4"
        );
        use ColumnType::{Bytes, Int, Text};
        let types = [Int, Text, Int, Text, Int, Text, Text, Bytes];
        let rows = self.fetch(sql.into(), Args::Values(&args), &types).await?;
        rows.into_iter().map(SignedLeaf::from_values).collect()
    }

    pub async fn leaf(&mut self, leaf_id: &str) -> Result<Option<LeafRow>> {
        self.get(vec![Value::Text(leaf_id.to_owned())]).await
    }

    /// A leaf's place in the log, `None` while it waits for its number.
    pub async fn leaf_index(&mut self, leaf_id: &str) -> Result<Option<i64>> {
        self.int("SELECT leaf_index FROM leaf_order WHERE leaf_id = $1", &[Value::Text(leaf_id.to_owned())]).await
    }

    /// The leaf with this number.
    pub async fn leaf_at(&mut self, leaf_index: i64) -> Result<Option<LeafRow>> {
        let Some(order) = self.get::<OrderRow>(key![leaf_index]).await? else { return Ok(None) };
        self.leaf(&order.leaf_id).await
    }

    /// The recognitions whose tokens have their places among the leaves `from..to` (`to` exclusive):
    /// the leaf of the version since which they state the same.
    pub async fn recognitions_stated_at(&mut self, from: i64, to: i64) -> Result<Vec<(i64, RecognitionRow)>> {
        let spec = RecognitionRow::spec();
        let columns = column_names(spec);
        let selected = columns.iter().map(|c| format!(", r.{c}")).collect::<String>();
        let sql = format!(
            "SELECT o.leaf_index{selected} FROM recognitions AS r \
             JOIN leaves AS l ON l.record = r.recognition AND l.version = r.stated_since \
             JOIN leaf_order AS o ON o.leaf_id = l.leaf_id WHERE o.leaf_index >= $1 AND o.leaf_index < $2"
        );
        let mut types = vec![ColumnType::Int];
        types.extend(types_of(spec, &columns));
        let args = key![from, to];
        let rows = self.fetch(sql.into(), Args::Values(&args), &types).await?;
        let placed = |mut row: Vec<Value>| {
            let recognition = RecognitionRow::from_values(row.split_off(1))?;
            Ok((row.pop().and_then(|v| i64::from_value(v).ok()).unwrap_or_default(), recognition))
        };
        rows.into_iter().map(placed).collect()
    }

    /// A record's versions in order, from a version on.
    pub async fn versions(&mut self, record: &str, from_version: i64, limit: i64) -> Result<Vec<LeafRow>> {
        let columns = column_names(LeafRow::spec());
        let sql = format!(
            "SELECT {} FROM leaves WHERE record = $1 AND version >= $2 ORDER BY version LIMIT $3",
            columns.join(", ")
        );
        let args = key![record.to_owned(), from_version, limit];
        let rows = self.fetch(sql.into(), Args::Values(&args), &types_of(LeafRow::spec(), &columns)).await?;
        rows.into_iter().map(|row| Ok(LeafRow::from_values(row)?)).collect()
    }

    pub async fn evidence(&mut self, leaf_id: &str) -> Result<Option<EvidenceRow>> {
        self.get(vec![Value::Text(leaf_id.to_owned())]).await
    }

    /// What a stream delivers after its cursor, in the log's order.
    pub async fn deliveries_after(
        &mut self,
        participant: &Participant,
        topic: Topic,
        cursor: i64,
        limit: i64,
    ) -> Result<Vec<Delivery>> {
        let columns = column_names(LeafRow::spec());
        let selected = columns.iter().map(|c| format!(", l.{c}")).collect::<String>();
        let sql = format!(
            "SELECT d.leaf_index{selected} FROM deliveries AS d \
             JOIN leaf_order AS o ON o.leaf_index = d.leaf_index JOIN leaves AS l ON l.leaf_id = o.leaf_id \
             WHERE d.participant = $1 AND d.topic = $2 AND d.leaf_index > $3 ORDER BY d.leaf_index LIMIT $4"
        );
        let mut types = vec![ColumnType::Int];
        types.extend(types_of(LeafRow::spec(), &columns));
        let args = key![*participant, topic, cursor, limit];
        let rows = self.fetch(sql.into(), Args::Values(&args), &types).await?;
        let delivery = |mut row: Vec<Value>| {
            let leaf = row.split_off(1);
            let leaf_index = row.pop().and_then(|v| i64::from_value(v).ok()).unwrap_or_default();
            Ok(Delivery { leaf_index, leaf: LeafRow::from_values(leaf)? })
        };
        rows.into_iter().map(delivery).collect()
    }

    /// The last leaf that a participant has acknowledged on a stream, -1 before the first.
    pub async fn cursor(&mut self, participant: &Participant, topic: Topic) -> Result<i64> {
        Ok(self.get::<CursorRow>(key![*participant, topic]).await?.map_or(-1, |row| row.leaf_index))
    }

    /// Numbered leaves `from..to` (`to` exclusive), in order.
    pub async fn leaf_order(&mut self, from: i64, to: i64) -> Result<Vec<OrderRow>> {
        let predicates = vec![("leaf_index", Op::Ge, Value::Int(from)), ("leaf_index", Op::Lt, Value::Int(to))];
        self.list(&ListQuery { predicates, limit: (to - from).max(0), ..ListQuery::default() }).await
    }

    /// Leaf hashes `from..to` (`to` exclusive), hex, in order.
    pub async fn leaf_hashes(&mut self, from: i64, to: i64) -> Result<Vec<String>> {
        Ok(self.leaf_order(from, to).await?.into_iter().map(|row| row.leaf_hash).collect())
    }

    /// Stored subtree hashes of a level, nodes `from..to` (`to` exclusive), hex, in order.
    pub async fn log_nodes(&mut self, level: i64, from: i64, to: i64) -> Result<Vec<String>> {
        let predicates = vec![
            ("level", Op::Eq, Value::Int(level)),
            ("node_index", Op::Ge, Value::Int(from)),
            ("node_index", Op::Lt, Value::Int(to)),
        ];
        let rows: Vec<NodeRow> =
            self.list(&ListQuery { predicates, limit: (to - from).max(0), ..ListQuery::default() }).await?;
        Ok(rows.into_iter().map(|row| row.hash).collect())
    }

    /// The records of a collection that have leaves without a number yet, each with the first version of
    /// which that is so. Seen at one moment with [`Session::tree_size`], they are what the tables are ahead
    /// of the log. On SQLite there are none: a batch numbers its own.
    pub async fn ahead_of_log(&mut self, collection: &str) -> Result<Vec<(String, i64)>> {
        // Names of a collection go on after `/`, whose next character is `0`.
        let args = key![format!("{collection}/"), format!("{collection}0")];
        let rows = self.fetch(AHEAD.into(), Args::Values(&args), &[ColumnType::Text, ColumnType::Int]).await?;
        let ahead = |row: Vec<Value>| match <[Value; 2]>::try_from(row) {
            Ok([Value::Text(record), Value::Int(version)]) => Some((record, version)),
            _ => None,
        };
        Ok(rows.into_iter().filter_map(ahead).collect())
    }

    /// Leaves numbered so far.
    pub async fn tree_size(&mut self) -> Result<i64> {
        Ok(self.int("SELECT tree_size FROM log_frontier WHERE id = 1", &[]).await?.unwrap_or(0))
    }

    /// The latest checkpoint.
    pub async fn latest_checkpoint(&mut self) -> Result<Option<CheckpointRow>> {
        match self.int("SELECT MAX(tree_size) FROM checkpoints", &[]).await? {
            Some(size) => self.get(key![size]).await,
            None => Ok(None),
        }
    }

    /// The latest checkpoint that so many witnesses have cosigned.
    pub async fn latest_public_checkpoint(&mut self, quorum: i64) -> Result<Option<CheckpointRow>> {
        if quorum == 0 {
            return self.latest_checkpoint().await;
        }
        match self.int(COSIGNED, &[Value::Int(quorum)]).await? {
            Some(size) => self.get(key![size]).await,
            None => Ok(None),
        }
    }

    /// The sizes of the heads beyond one, in order.
    pub async fn checkpoint_sizes(&mut self, after: i64, limit: i64) -> Result<Vec<i64>> {
        let rows =
            self.fetch(SIZES.into(), Args::Values(&[Value::Int(after), Value::Int(limit)]), &[ColumnType::Int]).await?;
        let size = |row: Vec<Value>| if let [Value::Int(size)] = row[..] { Some(size) } else { None };
        Ok(rows.into_iter().filter_map(size).collect())
    }

    /// The cosignatures of a head, by witness.
    pub async fn cosignatures(&mut self, tree_size: i64) -> Result<Vec<CosignatureRow>> {
        let predicates = vec![("tree_size", Op::Eq, Value::Int(tree_size))];
        self.list(&ListQuery { predicates, limit: MAX_WITNESSES, ..ListQuery::default() }).await
    }

    /// The first checkpoint that covers a leaf.
    pub async fn checkpoint_covering(&mut self, leaf_index: i64) -> Result<Option<CheckpointRow>> {
        let predicates = vec![("tree_size", Op::Gt, Value::Int(leaf_index))];
        Ok(self.list(&ListQuery { predicates, limit: 1, ..ListQuery::default() }).await?.pop())
    }
}

/// More than a note has lines for.
const MAX_WITNESSES: i64 = 64;
const SIZES: &str = "SELECT tree_size FROM checkpoints WHERE tree_size > $1 ORDER BY tree_size LIMIT $2";
const COSIGNED: &str = "SELECT tree_size FROM cosignatures GROUP BY tree_size HAVING COUNT(*) >= $1 \
     ORDER BY tree_size DESC LIMIT 1";
const KEEP_COSIGNATURE: &str = "INSERT INTO cosignatures (tree_size, witness, line, cosigned_at_us) \
     VALUES ($1, $2, $3, $4) ON CONFLICT (tree_size, witness) DO NOTHING";
const AHEAD: &str = "SELECT l.record, MIN(l.version) FROM leaf_pending AS p JOIN leaves AS l ON l.leaf_id = p.leaf_id \
     WHERE l.record >= $1 AND l.record < $2 GROUP BY l.record";

const ACKNOWLEDGE: &str = "INSERT INTO cursors (participant, topic, leaf_index, acknowledged_at_us) \
     VALUES ($1, $2, $3, $4) ON CONFLICT (participant, topic) DO UPDATE \
     SET leaf_index = excluded.leaf_index, acknowledged_at_us = excluded.acknowledged_at_us \
     WHERE excluded.leaf_index > cursors.leaf_index";

impl WriteTx {
    /// Keeps a witness's cosignature; the first of each head stays.
    pub async fn keep_cosignature(&mut self, row: &CosignatureRow) -> Result<()> {
        let args = row.to_values();
        self.session.execute(KEEP_COSIGNATURE.into(), Args::Values(&args)).await?;
        Ok(())
    }

    /// Moves a stream's cursor forward; backward it does not go.
    pub async fn acknowledge(
        &mut self,
        participant: &Participant,
        topic: Topic,
        leaf_index: i64,
        at: Timestamp,
    ) -> Result<()> {
        let args = key![*participant, topic, leaf_index, at];
        self.session.execute(ACKNOWLEDGE.into(), Args::Values(&args)).await?;
        Ok(())
    }
}
