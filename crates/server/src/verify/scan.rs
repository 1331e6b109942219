//! Whole tables, page by page, in the order of their keys.

use jjj_domain::row::{Row, StoredFault, TableSpec};
use jjj_domain::value::{Column, Value};
use jjj_store::log_tables::LeafRow;
use jjj_store::{Packed, Session, StoreError};

/// Rows read at once; of tables with large rows, fewer.
const PAGE: i64 = 2_000;
const LARGE_PAGE: i64 = 16;

pub struct Scan {
    spec: &'static TableSpec,
    after: Option<Vec<Value>>,
    limit: i64,
    done: bool,
}

impl Scan {
    pub fn of(spec: &'static TableSpec) -> Self {
        let limit = if spec.name == "file_chunks" { LARGE_PAGE } else { PAGE };
        Self { spec, after: None, limit, done: false }
    }

    pub fn limited(self, limit: i64) -> Self {
        Self { limit, ..self }
    }

    /// The next rows; `None` after the last.
    pub async fn page(&mut self, session: &mut Session) -> Result<Option<Vec<Vec<Value>>>, StoreError> {
        if self.done {
            return Ok(None);
        }
        let rows = session.scan(self.spec, self.after.take(), self.limit).await?;
        self.done = (rows.len() as i64) < self.limit;
        self.after = rows.last().map(|row| self.spec.key_of(row));
        Ok(if rows.is_empty() { None } else { Some(rows) })
    }
}

/// A row's key as faults name it. Keys of private rows are look-up hashes: their beginning.
pub fn key_text(spec: &TableSpec, key: &[Value]) -> String {
    let is_private = spec.kind == jjj_domain::row::TableKind::Private;
    let part = |(name, value): (&&str, &Value)| match value {
        Value::Text(text) if is_private && *name != "person" => text.chars().take(8).collect::<String>() + "…",
        other => other.to_string(),
    };
    spec.key.iter().zip(key).map(part).collect::<Vec<_>>().join(", ")
}

pub fn row_key_text(spec: &TableSpec, values: &[Value]) -> String {
    key_text(spec, &spec.key_of(values))
}

/// A leaf as it is stored. A body that cannot be read is read as none, which the leaf's hash gives away.
pub fn read_leaf(values: Vec<Value>) -> Result<LeafRow, StoredFault> {
    LeafRow::from_values(values.clone()).or_else(|fault| {
        let mut values = values;
        match LeafRow::spec().column(fault.column) {
            Some(at) if fault.column == "body" => values[at] = Packed::default().to_value(),
            _ => return Err(fault),
        }
        LeafRow::from_values(values)
    })
}

/// A leaf by its id: whether it is there, and what can be read of it.
pub async fn leaf_of(session: &mut Session, leaf_id: &str) -> Result<Option<Option<LeafRow>>, StoreError> {
    match session.leaf(leaf_id).await {
        Ok(leaf) => Ok(leaf.map(Some)),
        Err(StoreError::Inconsistent(_)) => Ok(Some(None)),
        Err(error) => Err(error),
    }
}
