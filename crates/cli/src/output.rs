//! Results for people (tables) and machines (`--json`).

use serde_json::Value;

/// Prints a JSON value, indented.
pub fn json(value: &Value) {
    println!("{}", serde_json::to_string_pretty(value).unwrap_or_default());
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
