//! Reading the log: leaves, evidence, deliveries, hashes, checkpoints.

use jjj_domain::decision::Topic;
use jjj_domain::key;
use jjj_domain::names::Participant;
use jjj_domain::row::Row;
use jjj_domain::time::Timestamp;
use jjj_domain::value::{Column, ColumnType, Value};

use crate::Result;
use crate::dialect::{column_names, types_of};
use crate::log_tables::{CheckpointRow, CursorRow, EvidenceRow, LeafRow, NodeRow, OrderRow};
use crate::read::{ListQuery, Op};
use crate::session::{Args, Session};
use crate::write::WriteTx;

/// A numbered leaf as a stream carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    pub leaf_index: i64,
    pub leaf: LeafRow,
}

impl Session {
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

    /// The first checkpoint that covers a leaf.
    pub async fn checkpoint_covering(&mut self, leaf_index: i64) -> Result<Option<CheckpointRow>> {
        let predicates = vec![("tree_size", Op::Gt, Value::Int(leaf_index))];
        Ok(self.list(&ListQuery { predicates, limit: 1, ..ListQuery::default() }).await?.pop())
    }
}

const AHEAD: &str = "SELECT l.record, MIN(l.version) FROM leaf_pending AS p JOIN leaves AS l ON l.leaf_id = p.leaf_id \
     WHERE l.record >= $1 AND l.record < $2 GROUP BY l.record";

const ACKNOWLEDGE: &str = "INSERT INTO cursors (participant, topic, leaf_index, acknowledged_at_us) \
     VALUES ($1, $2, $3, $4) ON CONFLICT (participant, topic) DO UPDATE \
     SET leaf_index = excluded.leaf_index, acknowledged_at_us = excluded.acknowledged_at_us \
     WHERE excluded.leaf_index > cursors.leaf_index";

impl WriteTx {
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
