//! Whole tables, page by page, in the order of their keys.

use jjj_domain::row::TableSpec;
use jjj_domain::value::Value;
use jjj_store::{Session, StoreError};

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
