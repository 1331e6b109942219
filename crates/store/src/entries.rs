//! The journal in the one order of the ledger, and the newest version of a record.

use jjj_domain::ledger::TransferRow;
use jjj_domain::row::{Row, StoredFault};
use jjj_domain::time::Timestamp;
use jjj_domain::value::{ColumnType, Value};

use crate::Result;
use crate::dialect::{column_names, name, types_of};
use crate::read::{Op, parse};
use crate::session::{Args, Session};

/// A transfer with its leaf. What waits for its number is not among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerEntry {
    pub transfer: TransferRow,
    /// The record that its leaf is a version of.
    pub record: String,
    pub version: i64,
    /// Hex.
    pub leaf_hash: String,
    pub recorded_at: Timestamp,
    pub leaf_index: i64,
}

/// What an entry can be filtered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryField {
    Book,
    /// Either side.
    Account,
    Kind,
    Layer,
    Record,
    ClearingDate,
    BookingMonth,
    /// From 1: the leaf's index plus one.
    LedgerNumber,
}

/// A page of the journal.
#[derive(Clone, Debug, Default)]
pub struct EntryQuery<'a> {
    pub conditions: Vec<(EntryField, Op, Value)>,
    /// Only entries of this region's books.
    pub region: Option<&'a str>,
    /// Leaf index and line of the last entry of the page before.
    pub after: Option<(i64, i64)>,
    pub limit: i64,
}

const NEWEST: &str = "SELECT MAX(version) FROM leaves WHERE record = $1";
const PLACE: &str = "SELECT o.leaf_index FROM leaves AS l JOIN leaf_order AS o ON o.leaf_id = l.leaf_id \
     WHERE l.record = $1 AND l.version = $2 AND o.leaf_hash = $3";

impl Session {
    /// Entries by leaf index and line.
    pub async fn entries(&mut self, query: &EntryQuery<'_>) -> Result<Vec<LedgerEntry>> {
        let columns = column_names(TransferRow::spec());
        let (sql, args) = statement(&columns, query);
        let mut types = types_of(TransferRow::spec(), &columns);
        let width = types.len();
        types.extend([ColumnType::Text, ColumnType::Int, ColumnType::Text, ColumnType::Int, ColumnType::Int]);
        let rows = self.fetch(sql.into(), Args::Values(&args), &types).await?;
        rows.into_iter().map(|row| Ok(entry(row, width)?)).collect()
    }

    /// The newest version of a record that has a leaf.
    pub async fn newest_version(&mut self, record: &str) -> Result<Option<i64>> {
        self.int(NEWEST, &[Value::Text(record.to_owned())]).await
    }

    /// The index of the leaf of a record's version, if it is numbered and has this hash (hex). No index goes by
    /// hash: in one, every leaf would have a page of its own to write.
    pub async fn leaf_index_of(&mut self, record: &str, version: i64, leaf_hash: &str) -> Result<Option<i64>> {
        let args = jjj_domain::key![record.to_owned(), version, leaf_hash.to_owned()];
        self.int(PLACE, &args).await
    }
}

fn statement(columns: &[&str], query: &EntryQuery<'_>) -> (String, Vec<Value>) {
    let mut args = Vec::new();
    let mut bind = |value: Value| {
        args.push(value);
        format!("${}", args.len())
    };
    let mut conditions = Vec::new();
    for (field, op, value) in &query.conditions {
        // The index is compared as it is stored, so that it bounds what is read.
        let value = match (field, value) {
            (EntryField::LedgerNumber, Value::Int(number)) => Value::Int(number.saturating_sub(1)),
            (_, value) => value.clone(),
        };
        let (op_sql, value) = (op.sql(), bind(value));
        let column = match field {
            EntryField::Account => {
                // Not on one side is on neither.
                let both = if *op == Op::Ne { "AND" } else { "OR" };
                conditions.push(format!("(t.debit {op_sql} {value} {both} t.credit {op_sql} {value})"));
                continue;
            }
            EntryField::Book => "t.book",
            EntryField::Kind => "t.entry",
            EntryField::Layer => "t.layer",
            EntryField::Record => "l.record",
            EntryField::ClearingDate => "t.clearing_date",
            EntryField::BookingMonth => "t.booking_month",
            EntryField::LedgerNumber => "o.leaf_index",
        };
        conditions.push(format!("{column} {op_sql} {value}"));
    }
    if let Some(region) = query.region {
        conditions.push(format!("t.region = {}", bind(Value::Text(region.to_owned()))));
    }
    if let Some((leaf_index, line)) = query.after {
        let (leaf_index, line) = (bind(Value::Int(leaf_index)), bind(Value::Int(line)));
        conditions.push(format!("(o.leaf_index, t.line) > ({leaf_index}, {line})"));
    }
    let limit = bind(Value::Int(query.limit));
    let conditions = if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) };
    let selected = columns.iter().map(|c| format!("t.{}", name(c))).collect::<Vec<_>>().join(", ");
    let sql = format!(
        "SELECT {selected}, l.record, l.version, l.leaf_hash, l.recorded_at_us, o.leaf_index FROM transfers AS t \
         JOIN leaf_order AS o ON o.leaf_id = t.leaf_id JOIN leaves AS l ON l.leaf_id = t.leaf_id{conditions} \
         ORDER BY o.leaf_index, t.line LIMIT {limit}"
    );
    (sql, args)
}

fn entry(mut row: Vec<Value>, width: usize) -> Result<LedgerEntry, StoredFault> {
    let mut rest = row.split_off(width).into_iter();
    let mut cell = || rest.next().unwrap_or(Value::Null);
    Ok(LedgerEntry {
        transfer: TransferRow::from_values(row)?,
        record: parse("leaves", "record", cell())?,
        version: parse("leaves", "version", cell())?,
        leaf_hash: parse("leaves", "leaf_hash", cell())?,
        recorded_at: parse("leaves", "recorded_at_us", cell())?,
        leaf_index: parse("leaf_order", "leaf_index", cell())?,
    })
}
