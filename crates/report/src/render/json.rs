//! JSON for machines: stable names, codes beside what people call them, amounts in integer fen.

use serde_json::{Map, Value, json};

use crate::model::{Cell, Column, Report, Table};

/// `{"report", "title", "subject", "language", "as_of", "ledger_number", "facts": {id: value}, "tables":
/// {id: {"title", "columns", "rows", "total", "omitted"}}}`; rows are objects by column.
pub fn json(report: &Report) -> Value {
    let facts: Map<String, Value> = report.facts.iter().map(|fact| (fact.id.to_owned(), cell(&fact.value))).collect();
    let tables: Map<String, Value> = report.tables.iter().map(|t| (t.id.to_owned(), table(t))).collect();
    json!({
        "report": report.id,
        "title": report.title,
        "subject": report.subject,
        "language": report.language.as_str(),
        "as_of": report.as_of.to_string(),
        "ledger_number": report.ledger_number,
        "facts": facts,
        "tables": tables,
    })
}

fn table(table: &Table) -> Value {
    let columns: Vec<Value> = table.columns.iter().map(|c| json!({"id": c.id, "title": c.title})).collect();
    let rows: Vec<Value> = table.rows.iter().map(|cells| row(&table.columns, cells)).collect();
    let total = table.total().map(|cells| row(&table.columns, &cells));
    json!({"title": table.title, "columns": columns, "rows": rows, "total": total, "omitted": table.omitted})
}

fn row(columns: &[Column], cells: &[Cell]) -> Value {
    let members = columns.iter().zip(cells).map(|(column, value)| (column.id.to_owned(), cell(value)));
    Value::Object(members.collect())
}

fn cell(cell: &Cell) -> Value {
    match cell {
        Cell::Empty => Value::Null,
        Cell::Text(text) => text.as_str().into(),
        Cell::Count(n) | Cell::Fen(n) => (*n).into(),
        Cell::Date(date) => date.to_string().into(),
        Cell::State { code, .. } => code.as_str().into(),
    }
}
