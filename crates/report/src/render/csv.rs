//! CSV (RFC 4180) of the main table, for machines: UTF-8 with the byte order mark by which spreadsheets
//! know it, stable column names, amounts in integer fen.

use crate::model::{Cell, Report};
use crate::neutral;

/// The main table. Texts that look like formulas are neutralised; numbers are numbers.
pub fn csv(report: &Report) -> Vec<u8> {
    let mut bytes = "\u{feff}".as_bytes().to_vec();
    let Some(table) = report.tables.first() else { return bytes };
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(&mut bytes);
    let takes_all = "memory takes all, and rows are as long as their header";
    writer.write_record(table.columns.iter().map(|column| column.id)).expect(takes_all);
    for row in &table.rows {
        writer.write_record(row.iter().map(cell)).expect(takes_all);
    }
    drop(writer);
    bytes
}

fn cell(cell: &Cell) -> String {
    match cell {
        Cell::Empty => String::new(),
        Cell::Text(text) => neutral(text).into_owned(),
        Cell::Count(n) | Cell::Fen(n) => n.to_string(),
        Cell::Date(date) => date.to_string(),
        Cell::State { code, .. } => neutral(code).into_owned(),
    }
}
