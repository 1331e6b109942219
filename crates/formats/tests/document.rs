//! docs/formats.md is written from the tables that the readers use.

use std::fmt::Write;

use jjj_domain::recon::file::FaultReason;
use jjj_domain::recon::refusal::RefusalReason;
use jjj_formats::fixed::{Content, Field, ZM, ZME, width};

fn fields(text: &mut String, title: &str, fields: &[Field]) {
    writeln!(text, "\n### {title}: {} fields, {} bytes\n", fields.len(), width(fields)).unwrap();
    text.push_str("| | First byte | Bytes | Field | 字段 | Content |\n|---|---|---|---|---|---|\n");
    let mut first = 1;
    for (n, field) in fields.iter().enumerate() {
        let content = match field.content {
            Content::Text => "text",
            Content::Digits => "digits",
            Content::Sum => "`C` or `D`, digits",
            Content::Reserved => "not read",
        };
        let Field { name, zh, len, .. } = field;
        writeln!(text, "| {} | {first} | {len} | `{name}` | {zh} | {content} |", n + 1).unwrap();
        first += len + 1;
    }
}

fn reasons(text: &mut String, title: &str, of: impl Iterator<Item = (&'static str, &'static str, &'static str)>) {
    writeln!(text, "\n## {title}\n\n| Reason | | |\n|---|---|---|").unwrap();
    for (code, en, zh) in of {
        writeln!(text, "| `{code}` | {en} | {zh} |").unwrap();
    }
}

#[test]
fn the_document() {
    let mut text = include_str!("../src/head.md").to_owned();
    fields(&mut text, "ZM", &ZM);
    fields(&mut text, "ZME", &ZME);
    write!(text, "\n{}", include_str!("../src/tail.md")).unwrap();
    let of_rows = FaultReason::ALL.iter().map(|r| (r.as_str(), r.message_en(), r.message_zh()));
    reasons(&mut text, "Reasons of rows", of_rows);
    let of_files = RefusalReason::ALL.iter().map(|r| (r.as_str(), r.message_en(), r.message_zh()));
    reasons(&mut text, "Reasons of files", of_files);
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/formats.md");
    if std::env::var_os("UPDATE_SNAPSHOT").is_some() {
        std::fs::write(file, &text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(file).unwrap_or_default(), text, "UPDATE_SNAPSHOT=1 writes it anew");
}
