//! One page for a browser and for paper: self-contained, no script, A4, charts as inline SVG.

use std::fmt::Write as _;

use crate::model::{Cell, Chart, Column, ColumnKind, Fact, Report, Shape, Table, Tone};
use crate::words::Words;

use super::text::width;
use super::{grouped, shown};

/// A table with more columns is printed across.
const PORTRAIT_COLUMNS: usize = 8;

pub fn html(report: &Report) -> String {
    let words = Words(report.language);
    let across = report.tables.iter().any(|table| table.columns.len() - folded(table).len() > PORTRAIT_COLUMNS);
    let mut out = String::new();
    let lang = words.say("zh-CN", "en");
    let title = escaped(&format!("{} {}", report.title, report.subject));
    let size = if across { "A4 landscape" } else { "A4" };
    let _ = write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"{lang}\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>{title}</title>\n<style>\n@page {{ size: {size}; margin: 14mm 14mm 16mm; \
         @bottom-right {{ content: counter(page) \" / \" counter(pages); font-size: 8pt; color: #6b7a83 }} \
         @bottom-left {{ content: \"{}\"; font-size: 8pt; color: #6b7a83 }} }}\n{STYLE}</style>\n</head>\n<body>\n",
        css_text(&format!("{} · {}", report.title, report.subject)),
    );
    let _ = write!(
        out,
        "<header>\n<p class=\"house\">{}</p>\n<h1>{}</h1>\n<p class=\"subject\">{}</p>\n</header>\n",
        words.say("京津冀养老服务互通网关", "Jing-Jin-Ji elder-care interoperability gateway"),
        escaped(&report.title),
        escaped(&report.subject),
    );
    facts(&report.facts, &mut out);
    if !report.charts.is_empty() {
        out += "<section class=\"charts\">\n";
        report.charts.iter().for_each(|chart| svg(chart, words, &mut out));
        out += "</section>\n";
    }
    report.tables.iter().for_each(|shown| table(shown, words, &mut out));
    let _ = write!(
        out,
        "<footer>\n<div class=\"sign\"><span>{}</span><span>{}</span><span>{}</span><span>{}</span></div>\n\
         <p>{} {} · {} {}</p>\n</footer>\n</body>\n</html>\n",
        words.say("制表", "Prepared by"),
        words.say("复核", "Checked by"),
        words.say("负责人", "Approved by"),
        words.say("日期", "Date"),
        words.say("制表日", "Made on"),
        report.as_of,
        words.say("账本序号", "ledger number"),
        grouped(&report.ledger_number.to_string()),
    );
    out
}

fn facts(facts: &[Fact], out: &mut String) {
    if facts.is_empty() {
        return;
    }
    let a_row = if facts.len().is_multiple_of(3) { 3 } else { 4 };
    let _ = writeln!(out, "<dl class=\"facts of{a_row}\">");
    for Fact { title, value, .. } in facts {
        let class = match value {
            Cell::State { tone, .. } => tone_class(*tone),
            Cell::Text(text) if text.chars().count() > 16 => "long",
            _ => "",
        };
        let _ = writeln!(
            out,
            "<div><dt>{}</dt><dd class=\"{class}\">{}</dd></div>",
            escaped(title),
            escaped(&shown(value))
        );
    }
    *out += "</dl>\n";
}

fn table(table: &Table, words: Words, out: &mut String) {
    let count = grouped(&(table.rows.len() as u64 + table.omitted).to_string());
    let _ = write!(out, "<section>\n<h2>{} <small>{count}</small></h2>\n", escaped(&table.title));
    if table.rows.is_empty() {
        let _ = write!(out, "<p class=\"none\">{}</p>\n</section>\n", words.say("无", "None"));
        return;
    }
    let folded = folded(table);
    let stands = |at: &usize| !folded.contains(at);
    *out += "<table>\n<thead><tr>";
    for (_, column) in table.columns.iter().enumerate().filter(|(at, _)| stands(at)) {
        let unit = if column.kind == ColumnKind::Fen { words.say("（元）", " (yuan)") } else { "" };
        let _ = write!(out, "<th class=\"{}\">{}<i>{unit}</i></th>", class(column), escaped(&column.title));
    }
    *out += "</tr></thead>\n<tbody>\n";
    for row in &table.rows {
        cells(row, table, &folded, out);
    }
    *out += "</tbody>\n";
    if let Some(mut total) = table.total() {
        if total[0] == Cell::Empty {
            total[0] = Cell::text(words.say("合计", "Total"));
        }
        *out += "<tfoot>\n";
        cells(&total, table, &folded, out);
        *out += "</tfoot>\n";
    }
    *out += "</table>\n";
    if table.omitted > 0 {
        let _ = writeln!(
            out,
            "<p class=\"none\">… {} {}</p>",
            grouped(&table.omitted.to_string()),
            words.say("行从略", "rows left out")
        );
    }
    *out += "</section>\n";
}

/// The columns of a wide table that stand in small print below each row: names that nobody reads aloud.
fn folded(table: &Table) -> Vec<usize> {
    let codes = |(at, column): (usize, &Column)| (column.kind == ColumnKind::Code).then_some(at);
    let codes: Vec<usize> = table.columns.iter().enumerate().filter_map(codes).collect();
    if codes.len() > 1 && table.columns.len() > PORTRAIT_COLUMNS { codes } else { Vec::new() }
}

fn cells(row: &[Cell], table: &Table, folded: &[usize], out: &mut String) {
    let notes = folded.iter().filter(|at| row[**at] != Cell::Empty).map(|at| {
        let (title, text) = (escaped(&table.columns[*at].title), escaped(&shown(&row[*at])));
        format!("<span>{title} <code>{text}</code></span>")
    });
    let notes: Vec<String> = notes.collect();
    let _ = write!(out, "<tr{}>", if notes.is_empty() { "" } else { " class=\"noted\"" });
    for (at, (cell, column)) in row.iter().zip(&table.columns).enumerate() {
        if folded.contains(&at) {
            continue;
        }
        let text = escaped(&shown(cell));
        let _ = match cell {
            Cell::State { tone, .. } => {
                write!(out, "<td class=\"{}\"><b class=\"{}\">{text}</b></td>", class(column), tone_class(*tone))
            }
            Cell::Fen(fen) if *fen < 0 => write!(out, "<td class=\"n minus\">{text}</td>"),
            _ => write!(out, "<td class=\"{}\">{text}</td>", class(column)),
        };
    }
    *out += "</tr>\n";
    if !notes.is_empty() {
        let columns = table.columns.len() - folded.len();
        let _ = writeln!(out, "<tr class=\"note\"><td colspan=\"{columns}\">{}</td></tr>", notes.concat());
    }
}

const fn class(column: &Column) -> &'static str {
    match column.kind {
        ColumnKind::Count | ColumnKind::Fen => "n",
        ColumnKind::Code => "code",
        ColumnKind::Date => "date",
        ColumnKind::State => "state",
        ColumnKind::Text => "text",
    }
}

const fn tone_class(tone: Tone) -> &'static str {
    match tone {
        Tone::Plain => "plain",
        Tone::Good => "good",
        Tone::Warn => "warn",
        Tone::Bad => "bad",
    }
}

/// Widths and heights in the SVG's own units, drawn to the width of its place.
const WIDTH: i64 = 480;
const LABEL: i64 = 132;
const BAR: i64 = 232;
const LINE: i64 = 26;

fn svg(chart: &Chart, words: Words, out: &mut String) {
    let cell = |value| if chart.is_money { Cell::Fen(value) } else { Cell::Count(value) };
    let said = |value| escaped(&shown(&cell(value)));
    let unit = if chart.is_money { words.say("（元）", " (yuan)") } else { "" };
    let title = escaped(&chart.title);
    let _ = write!(out, "<figure>\n<figcaption>{title}{unit}</figcaption>\n");
    let whole: i64 = chart.parts.iter().map(|part| part.value).fold(0, i64::saturating_add);
    if whole == 0 {
        let _ = write!(out, "<p class=\"none\">{}</p>\n</figure>\n", words.say("无", "None"));
        return;
    }
    let scaled = |value: i64, of: i64, to: i64| (i128::from(value) * i128::from(to) / i128::from(of.max(1))) as i64;
    match chart.shape {
        Shape::Bars => {
            let most = chart.parts.iter().map(|part| part.value).max().unwrap_or(1);
            let height = LINE * chart.parts.len() as i64 + 4;
            let _ = writeln!(out, "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{title}\">");
            for (n, part) in (0..).zip(&chart.parts) {
                let middle = n * LINE + LINE / 2 + 2;
                let length = scaled(part.value, most, BAR).max(i64::from(part.value > 0) * 2);
                let _ = writeln!(
                    out,
                    "<text x=\"{}\" y=\"{}\" class=\"label\">{}</text>\
                     <rect x=\"{LABEL}\" y=\"{}\" width=\"{length}\" height=\"14\" rx=\"1.5\" class=\"{}\"/>\
                     <text x=\"{}\" y=\"{}\" class=\"value\">{}</text>",
                    LABEL - 10,
                    middle + 4,
                    escaped(&clipped(&part.title)),
                    middle - 7,
                    tone_class(part.tone),
                    LABEL + length + 7,
                    middle + 4,
                    said(part.value),
                );
            }
        }
        Shape::Shares => {
            let shown: Vec<_> = chart.parts.iter().filter(|part| part.value > 0).collect();
            let height = 36 + LINE * shown.len() as i64;
            let _ = writeln!(out, "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{title}\">");
            let (mut sum, mut from) = (0, 0);
            for (n, part) in (0..).zip(&shown) {
                sum += part.value;
                let to = scaled(sum, whole, WIDTH).max(from + 3).min(WIDTH);
                let (middle, tone) = (36 + n * LINE + LINE / 2, tone_class(part.tone));
                // Hundredths of a per cent, so that what is there is not said to be nothing.
                let share = grouped(&jjj_domain::recon::report::yuan(scaled(part.value, whole, 10_000)));
                let _ = writeln!(
                    out,
                    "<rect x=\"{from}\" y=\"2\" width=\"{}\" height=\"20\" class=\"{tone}\"/>\
                     <rect x=\"0\" y=\"{}\" width=\"10\" height=\"10\" rx=\"1.5\" class=\"{tone}\"/>\
                     <text x=\"18\" y=\"{}\" class=\"key\">{}</text>\
                     <text x=\"{}\" y=\"{}\" class=\"value\">{}</text>\
                     <text x=\"{WIDTH}\" y=\"{}\" class=\"label\">{share} %</text>",
                    to - from,
                    middle - 6,
                    middle + 4,
                    escaped(&part.title),
                    LABEL + 40,
                    middle + 4,
                    said(part.value),
                    middle + 4,
                );
                from = to;
            }
        }
    }
    *out += "</svg>\n</figure>\n";
}

/// A label that fits into its place.
fn clipped(text: &str) -> String {
    const COLUMNS: usize = 17;
    if width(text) <= COLUMNS {
        return text.to_owned();
    }
    let mut kept = String::new();
    for c in text.chars() {
        kept.push(c);
        if width(&kept) >= COLUMNS - 1 {
            break;
        }
    }
    kept + "…"
}

/// Text and attribute values.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\'' => out += "&#39;",
            c => out.push(c),
        }
    }
    out
}

/// The inside of a CSS string.
fn css_text(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() && !"\"\\<>".contains(*c)).collect()
}

const STYLE: &str = r#"
:root { --ink: #1f2a33; --soft: #5c6b75; --rule: #d5dde1; --deep: #1f4e5f; --red: #a62b22; --good: #2f7d5b; --warn: #c58a1a; --bad: #b3392f; --plain: #5b7f95 }
* { box-sizing: border-box }
html { -webkit-print-color-adjust: exact; print-color-adjust: exact }
body { margin: 0 auto; padding: 28px 32px 40px; max-width: 1080px; color: var(--ink); background: #fff;
  font: 10.5pt/1.55 "Source Han Sans SC", "Noto Sans CJK SC", "Noto Sans SC", "Microsoft YaHei", "PingFang SC", "WenQuanYi Micro Hei", sans-serif }
header { text-align: center; border-bottom: 2.5px solid var(--red); padding-bottom: 14px; margin-bottom: 22px; position: relative }
header::after { content: ""; position: absolute; left: 0; right: 0; bottom: -6px; border-bottom: 1px solid var(--red) }
.house { margin: 0; color: var(--red); letter-spacing: .18em; font-size: 10pt }
html[lang=en] .house { letter-spacing: .04em }
h1 { margin: 6px 0 2px; font: 700 21pt/1.3 "Source Han Serif SC", "Noto Serif CJK SC", "Noto Serif SC", "STZhongsong", "SimSun", serif; letter-spacing: .06em }
html[lang=en] h1 { letter-spacing: 0 }
.subject { margin: 0; color: var(--soft) }
.facts { display: flex; flex-wrap: wrap; margin: 0 0 22px; border: 1px solid var(--rule); border-radius: 4px; overflow: hidden }
.facts div { flex: 1 1 21%; min-width: 130px; padding: 10px 16px 11px; border-right: 1px solid var(--rule); border-bottom: 1px solid var(--rule); margin: 0 -1px -1px 0 }
.of3 div { flex-basis: 30% }
dt { color: var(--soft); font-size: 9pt } dd { margin: 1px 0 0; font-size: 14.5pt; font-weight: 600; font-variant-numeric: tabular-nums; line-height: 1.35 }
dd.long { font-size: 10pt; font-weight: 500; overflow-wrap: anywhere }
dd.good, b.good { color: var(--good) } dd.warn, b.warn { color: #9a6a08 } dd.bad, b.bad { color: var(--bad) }
.charts { display: flex; flex-wrap: wrap; gap: 18px 30px; margin-bottom: 12px }
figure { flex: 1 1 44%; min-width: 300px; max-width: 560px; margin: 0; break-inside: avoid }
figcaption { font-weight: 600; color: var(--deep); margin-bottom: 6px }
svg { display: block; width: 100%; height: auto }
svg text { font-size: 12px; fill: var(--ink) } svg .label { text-anchor: end } svg .value { font-variant-numeric: tabular-nums; fill: var(--soft) }
svg .plain { fill: var(--plain) } svg .good { fill: var(--good) } svg .warn { fill: var(--warn) } svg .bad { fill: var(--bad) }
h2 { margin: 22px 0 7px; font-size: 12.5pt; color: var(--deep); break-after: avoid } h2 small { color: var(--soft); font-weight: 400; font-size: 9.5pt; margin-left: .4em }
table { width: 100%; border-collapse: collapse; font-size: 9.5pt; line-height: 1.4 }
thead { display: table-header-group } tfoot { display: table-row-group } tr { break-inside: avoid }
th { text-align: left; font-weight: 600; color: var(--deep); border-top: 1.5px solid var(--deep); border-bottom: 1px solid var(--deep); padding: 6px 8px; vertical-align: bottom; background: #f3f7f8 }
th i { font-style: normal; font-weight: 400; color: var(--soft); font-size: 8.5pt }
td { padding: 5px 8px; border-bottom: 1px solid var(--rule); vertical-align: top }
.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap } th.n { white-space: normal } td.minus { color: var(--bad) }
td.date, td.state { white-space: nowrap } b { font-weight: 600 } b.plain { font-weight: 400 }
td.code { font: 8pt/1.45 "DejaVu Sans Mono", Consolas, Menlo, monospace; color: var(--soft); overflow-wrap: anywhere; min-width: 84px }
td.text { overflow-wrap: anywhere } th.text { min-width: 5em } th.state, th.date { white-space: nowrap }
tr.noted td { border-bottom: 0; padding-bottom: 0 } tr.noted { break-after: avoid }
tr.note td { padding: 1px 8px 6px; color: var(--soft); font-size: 8pt } tr.note span { margin-right: 1.6em; white-space: nowrap }
code { font: 7.5pt/1.4 "DejaVu Sans Mono", Consolas, Menlo, monospace }
tfoot td { font-weight: 700; border-top: 1px solid var(--deep); border-bottom: 3px double var(--deep) }
.none { color: var(--soft); margin: 4px 0 }
footer { margin-top: 34px; color: var(--soft); font-size: 9pt; break-inside: avoid } footer p { text-align: right; margin: 14px 0 0 }
.sign { display: flex; gap: 26px } .sign span { flex: 1; border-bottom: 1px solid var(--soft); padding-bottom: 3px; color: var(--ink) }
@media print { body { padding: 0; max-width: none; font-size: 9.5pt } table { font-size: 8.5pt } h1 { font-size: 18pt } }
@media (max-width: 640px) { body { padding: 16px } section { overflow-x: auto } }
"#;
