//! A workbook (ECMA-376) for Excel and LibreOffice: a sheet with the facts, then one for each table.
//!
//! A workbook's numbers are binary floating point. An amount is divided by 100 once, correctly rounded,
//! and written with the fewest digits that mean it: up to [`MAX_EXACT_FEN`] those are its own two
//! decimals; beyond, it is written as text. Nothing is added up in the workbook.

use rust_xlsxwriter::{
    Color, DocProperties, ExcelDateTime, Format, FormatAlign, FormatBorder, Workbook, Worksheet, XlsxError,
};

use crate::model::{Cell, Column, ColumnKind, Report, Table, Tone};
use crate::words::Words;

use super::shown;

/// What fifteen decimal digits hold, as spreadsheets keep them: 9.99 trillion yuan.
pub(crate) const MAX_EXACT_FEN: i64 = 999_999_999_999_999;
/// What a cell holds.
const MAX_CHARS: usize = 32_767;
const MAX_SHEET_NAME_CHARS: usize = 31;
const A4: u8 = 9;
/// Microsoft YaHei is on every Windows and Mac with Office; LibreOffice puts another Chinese font there.
const FONT: &str = "Microsoft YaHei";
/// 1970-01-01 as spreadsheets count days.
const EPOCH_SERIAL: i64 = 25_569;
const INK: Color = Color::RGB(0x1F_2A33);
const HEAD: Color = Color::RGB(0x1F_4E5F);
const RULE: Color = Color::RGB(0xB8_C4CA);

/// The bytes of the workbook. The same report gives the same bytes.
pub fn xlsx(report: &Report) -> Vec<u8> {
    written(report).expect("names, sizes and texts are within a workbook's limits")
}

fn written(report: &Report) -> Result<Vec<u8>, XlsxError> {
    let words = Words(report.language);
    let mut book = Workbook::new();
    let made = ExcelDateTime::parse_from_str(&report.as_of.to_string())?;
    let properties = DocProperties::new().set_title(&report.title).set_subject(&report.subject);
    book.set_properties(&properties.set_creation_datetime(&made));
    let formats = Formats::new();
    facts(book.add_worksheet(), report, words, &formats)?;
    for table in &report.tables {
        sheet(book.add_worksheet(), report, table, words, &formats)?;
    }
    book.save_to_buffer()
}

struct Formats {
    title: Format,
    plain: Format,
    head: Format,
}

impl Formats {
    fn new() -> Self {
        let plain = Format::new()
            .set_font_name(FONT)
            .set_font_size(10)
            .set_font_color(INK)
            .set_align(FormatAlign::VerticalCenter);
        let head = plain.clone().set_bold().set_font_color(Color::White).set_background_color(HEAD).set_text_wrap();
        Self { title: plain.clone().set_bold().set_font_size(16), plain, head }
    }

    fn of(&self, cell: &Cell, kind: ColumnKind, is_total: bool) -> Format {
        // Names that nobody reads aloud are small.
        let format = self.plain.clone().set_font_size(if kind == ColumnKind::Code { 8 } else { 10 });
        let format = match cell {
            Cell::Fen(_) => aligned(format, ColumnKind::Fen).set_num_format("#,##0.00;[Red]-#,##0.00"),
            Cell::Count(_) => aligned(format, ColumnKind::Count).set_num_format("#,##0"),
            Cell::Date(_) => aligned(format, ColumnKind::Date).set_num_format("yyyy-mm-dd"),
            Cell::Empty | Cell::Text(_) | Cell::State { .. } => aligned(format, ColumnKind::Text),
        };
        let format = match cell {
            Cell::State { tone: Tone::Bad, .. } => format.set_font_color(Color::RGB(0xA6_2B22)),
            Cell::State { tone: Tone::Warn, .. } => format.set_font_color(Color::RGB(0x8A_5A00)),
            Cell::State { tone: Tone::Good, .. } => format.set_font_color(Color::RGB(0x22_6B4A)),
            _ => format,
        };
        if is_total {
            format.set_bold().set_border_top(FormatBorder::Thin).set_border_bottom(FormatBorder::Double)
        } else {
            format.set_border_bottom(FormatBorder::Hair).set_border_bottom_color(RULE)
        }
    }
}

/// Headings stand where their cells do; texts keep off the numbers before them.
fn aligned(format: Format, kind: ColumnKind) -> Format {
    match kind {
        ColumnKind::Count | ColumnKind::Fen => format.set_align(FormatAlign::Right),
        ColumnKind::Date => format.set_align(FormatAlign::Center),
        ColumnKind::Text | ColumnKind::Code | ColumnKind::State => format.set_align(FormatAlign::Left).set_indent(1),
    }
}

fn facts(sheet: &mut Worksheet, report: &Report, words: Words, formats: &Formats) -> Result<(), XlsxError> {
    sheet.set_name(words.say("概要", "Summary"))?;
    page(sheet, report, words);
    sheet.set_portrait();
    sheet.set_column_width(0, 26)?;
    sheet.set_column_width(1, 60)?;
    sheet.set_row_height(0, 28)?;
    sheet.write_string_with_format(0, 0, &report.title, &formats.title)?;
    let mut lines = vec![
        (words.say("对象", "About").to_owned(), Cell::text(&report.subject)),
        (words.say("制表日", "Made on").to_owned(), Cell::Date(report.as_of)),
        (words.say("账本序号", "Ledger number").to_owned(), Cell::Count(report.ledger_number)),
    ];
    lines.extend(report.facts.iter().map(|fact| (fact.title.clone(), fact.value.clone())));
    for (row, (title, value)) in (2..).zip(lines) {
        write(sheet, row, 0, &Cell::Text(title), &formats.of(&Cell::Empty, ColumnKind::Text, false))?;
        let format = aligned(formats.of(&value, ColumnKind::Text, false), ColumnKind::Text);
        write(sheet, row, 1, &value, &format)?;
    }
    Ok(())
}

fn sheet(
    sheet: &mut Worksheet,
    report: &Report,
    table: &Table,
    words: Words,
    formats: &Formats,
) -> Result<(), XlsxError> {
    sheet.set_name(sheet_name(&table.title))?;
    page(sheet, report, words);
    sheet.set_landscape();
    sheet.set_freeze_panes(1, 0)?;
    sheet.set_repeat_rows(0, 0)?;
    sheet.set_row_height(0, 24)?;
    for (at, column) in (0..).zip(&table.columns) {
        // The filter's button covers the right end.
        let indent = if column.is_number() { 2 } else { 1 };
        let head = aligned(formats.head.clone(), column.kind).set_indent(indent);
        sheet.write_string_with_format(0, at, heading(column, words), &head)?;
        sheet.set_column_width(at, column_width(table, at.into(), column, words))?;
    }
    let mut row = 1;
    for cells in &table.rows {
        for (at, (cell, column)) in (0..).zip(cells.iter().zip(&table.columns)) {
            write(sheet, row, at, cell, &formats.of(cell, column.kind, false))?;
        }
        row += 1;
    }
    if let (Some(last), false) = (u16::try_from(table.columns.len().saturating_sub(1)).ok(), table.rows.is_empty()) {
        sheet.autofilter(0, 0, row - 1, last)?;
    }
    if let Some(total) = table.total() {
        for (at, cell) in (0..).zip(&total) {
            let label = Cell::text(words.say("合计", "Total"));
            let cell = if at == 0 && *cell == Cell::Empty { &label } else { cell };
            write(sheet, row, at, cell, &formats.of(cell, ColumnKind::Text, true))?;
        }
        row += 1;
    }
    if table.omitted > 0 {
        let note = format!("… {} {}", table.omitted, words.say("行从略", "rows left out"));
        sheet.write_string_with_format(row, 0, note, &formats.plain)?;
    }
    Ok(())
}

fn page(sheet: &mut Worksheet, report: &Report, words: Words) {
    // `&` begins a code in headers and footers.
    let plain = |text: &str| text.replace('&', "&&");
    sheet.set_paper_size(A4).set_print_fit_to_pages(1, 0);
    // Inches; a wide table wants the width.
    sheet.set_margins(0.4, 0.4, 0.7, 0.7, 0.3, 0.3);
    sheet.set_header(format!("&L{}&R{}", plain(&report.title), plain(&report.subject)));
    sheet.set_footer(format!("&L{} {}&R&P / &N", words.say("制表日", "Made on"), report.as_of));
}

fn write(sheet: &mut Worksheet, row: u32, column: u16, cell: &Cell, format: &Format) -> Result<(), XlsxError> {
    match cell {
        Cell::Empty => sheet.write_blank(row, column, format)?,
        Cell::Count(n) if n.unsigned_abs() <= MAX_EXACT_FEN.unsigned_abs() => {
            sheet.write_number_with_format(row, column, *n as f64, format)?
        }
        Cell::Fen(fen) if fen.unsigned_abs() <= MAX_EXACT_FEN.unsigned_abs() => {
            sheet.write_number_with_format(row, column, *fen as f64 / 100.0, format)?
        }
        Cell::Date(date) => {
            sheet.write_number_with_format(row, column, (date.epoch_days() + EPOCH_SERIAL) as f64, format)?
        }
        // A string is never a formula, whatever it begins with.
        Cell::Text(_) | Cell::State { .. } | Cell::Count(_) | Cell::Fen(_) => {
            let text: String = shown(cell).chars().take(MAX_CHARS).collect();
            sheet.write_string_with_format(row, column, text, format)?
        }
    };
    Ok(())
}

fn heading(column: &Column, words: Words) -> String {
    match column.kind {
        ColumnKind::Fen => format!("{}{}", column.title, words.say("（元）", " (yuan)")),
        _ => column.title.clone(),
    }
}

/// In digits of the font.
fn column_width(table: &Table, at: usize, column: &Column, words: Words) -> f64 {
    let wide = |text: &str| text.chars().map(|c| if c.is_ascii() { 1.0 } else { 2.1 }).sum::<f64>();
    let cells = table.rows.iter().take(1_000).filter_map(|row| row.get(at)).map(|cell| wide(&shown(cell)));
    let total = table.total().and_then(|total| total.get(at).map(|cell| wide(&shown(cell))));
    let widest = cells.chain(total).fold(wide(&heading(column, words)), f64::max);
    (widest + 3.0).clamp(9.0, 48.0)
}

fn sheet_name(title: &str) -> String {
    let kept = title.chars().filter(|c| !"[]:*?/\\'".contains(*c));
    kept.take(MAX_SHEET_NAME_CHARS).collect()
}
