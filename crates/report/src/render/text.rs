//! Tables and bars for a terminal of any width; Chinese characters take two columns.

use crate::model::{Cell, Chart, Column, Report, Shape, Table};
use crate::words::Words;

use super::shown;

/// Columns of the longest bar.
const BAR: i64 = 32;

pub fn text(report: &Report) -> String {
    let words = Words(report.language);
    let mut out = format!("{}  {}\n", report.title, report.subject);
    for fact in &report.facts {
        out += &format!("{}: {}\n", fact.title, shown(&fact.value));
    }
    for chart in &report.charts {
        out.push('\n');
        bars(chart, &mut out);
    }
    for table in &report.tables {
        out.push('\n');
        rows(table, words, &mut out);
    }
    let made = words.say("制表日", "made on");
    let number = words.say("账本序号", "ledger number");
    out += &format!("\n{made} {}, {number} {}\n", report.as_of, report.ledger_number);
    out
}

fn bars(chart: &Chart, out: &mut String) {
    let cell = |value| if chart.is_money { Cell::Fen(value) } else { Cell::Count(value) };
    let of = match chart.shape {
        Shape::Bars => chart.parts.iter().map(|part| part.value).max(),
        Shape::Shares => Some(chart.parts.iter().map(|part| part.value).sum()),
    };
    let of = of.unwrap_or_default().max(1);
    let titles = chart.parts.iter().map(|part| width(&part.title)).max().unwrap_or_default();
    let values = chart.parts.iter().map(|part| width(&shown(&cell(part.value)))).max().unwrap_or_default();
    *out += &format!("{}\n", chart.title);
    for part in &chart.parts {
        // What is there is seen, however little it is.
        let length = (i128::from(part.value) * i128::from(BAR) / i128::from(of)).max(i128::from(part.value > 0));
        let bar = "█".repeat(length as usize);
        let line = format!("  {}  {}  {bar}", padded(&part.title, titles), right(&shown(&cell(part.value)), values));
        *out += &format!("{}\n", line.trim_end());
    }
}

fn rows(table: &Table, words: Words, out: &mut String) {
    *out += &format!("{} ({})\n", table.title, table.rows.len() as u64 + table.omitted);
    if table.rows.is_empty() {
        return;
    }
    let mut lines: Vec<Vec<String>> = vec![table.columns.iter().map(|column| column.title.clone()).collect()];
    lines.extend(table.rows.iter().map(|row| row.iter().map(shown).collect()));
    if let Some(total) = table.total() {
        let mut total: Vec<String> = total.iter().map(shown).collect();
        if total[0].is_empty() {
            total[0] = words.say("合计", "total").to_owned();
        }
        lines.push(total);
    }
    let widths: Vec<usize> = (0..table.columns.len())
        .map(|at| lines.iter().map(|line| width(&line[at])).max().unwrap_or_default())
        .collect();
    let place = |((text, width), column): ((&String, &usize), &Column)| {
        if column.is_number() { right(text, *width) } else { padded(text, *width) }
    };
    for line in &lines {
        let cells: Vec<String> = line.iter().zip(&widths).zip(&table.columns).map(place).collect();
        *out += &format!("  {}\n", cells.join("  ").trim_end());
    }
    if table.omitted > 0 {
        *out += &format!("  … {} {}\n", table.omitted, words.say("行从略", "rows left out"));
    }
}

/// Columns that a text takes in a terminal.
pub(super) fn width(text: &str) -> usize {
    let is_wide = |c: char| ('\u{1100}'..='\u{115f}').contains(&c) || ('\u{2e80}'..='\u{ffe6}').contains(&c);
    text.chars().map(|c| 1 + usize::from(is_wide(c))).sum()
}

fn padded(text: &str, columns: usize) -> String {
    format!("{text}{}", " ".repeat(columns.saturating_sub(width(text))))
}

fn right(text: &str, columns: usize) -> String {
    format!("{}{text}", " ".repeat(columns.saturating_sub(width(text))))
}
