//! Results for people (tables) and machines (`--json`).

use jjj_report::neutral;
use serde_json::Value;

/// Prints a JSON value, indented.
pub fn json(value: &Value) {
    println!("{}", serde_json::to_string_pretty(value).unwrap_or_default());
}

/// Prints a record: as JSON, or chosen fields of it.
pub fn show(json: bool, record: &Value, fields: &[&str]) {
    if json { self::json(record) } else { table(std::slice::from_ref(record), fields) }
}

/// Prints records: as JSON, or chosen fields of them.
pub fn show_all(json: bool, records: Vec<Value>, fields: &[&str]) {
    if json { self::json(&records.into()) } else { table(&records, fields) }
}

/// Prints chosen fields of records as an aligned table. Wide characters count two columns.
pub fn table(records: &[Value], fields: &[&str]) {
    let cell = |record: &Value, field: &str| text(field.split('.').fold(record, |value, part| &value[part]));
    let rows: Vec<Vec<String>> = records.iter().map(|r| fields.iter().map(|f| cell(r, f)).collect()).collect();
    let widths: Vec<usize> = fields
        .iter()
        .enumerate()
        .map(|(i, f)| rows.iter().map(|r| width(&r[i])).chain([width(f)]).max().unwrap_or(0))
        .collect();
    let line = |cells: &[String]| {
        let padded = cells.iter().zip(&widths).map(|(c, w)| format!("{c}{}", " ".repeat(w - width(c))));
        println!("{}", padded.collect::<Vec<_>>().join("  ").trim_end());
    };
    line(&fields.iter().map(ToString::to_string).collect::<Vec<_>>());
    rows.iter().for_each(|row| line(row));
}

/// Prints chosen fields of records as CSV (RFC 4180) in UTF-8 with a byte order mark, by which spreadsheets
/// know it; cells that one would run as formulas are neutralised.
pub fn csv(records: &[Value], fields: &[&str]) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    std::io::Write::write_all(&mut out, "\u{feff}".as_bytes())?;
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(out);
    writer.write_record(fields)?;
    for record in records {
        writer.write_record(fields.iter().map(|field| neutral(&text(&record[*field])).into_owned()))?;
    }
    Ok(writer.flush()?)
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(s) => s.clone(),
        other => other.to_string(),
    }
}

/// Columns a text takes in a terminal: CJK characters take two.
pub fn width(text: &str) -> usize {
    text.chars()
        .map(|c| if ('\u{1100}'..='\u{115f}').contains(&c) || ('\u{2e80}'..='\u{ffe6}').contains(&c) { 2 } else { 1 })
        .sum()
}

/// Fen as yuan with two decimals: `-1234` is `-12.34`.
pub fn yuan(fen: i64) -> String {
    let (sign, fen) = if fen < 0 { ("-", fen.unsigned_abs()) } else { ("", fen.unsigned_abs()) };
    format!("{sign}{}.{:02}", fen / 100, fen % 100)
}

/// How lists are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    Text,
    Json,
    Csv,
}

/// The language of what is printed for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Lang {
    Zh,
    En,
}

impl Lang {
    pub const fn say<'a>(self, zh: &'a str, en: &'a str) -> &'a str {
        match self {
            Self::Zh => zh,
            Self::En => en,
        }
    }
}
