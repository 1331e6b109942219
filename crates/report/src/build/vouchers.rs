//! The vouchers (记账凭证) of a book's month.

use jjj_domain::close::{CloseRow, Voucher, VoucherLine};
use jjj_domain::ledger::Book;
use jjj_domain::recon::report::Language;
use jjj_domain::time::Month;

use super::{Frame, MAX_ROWS};
use crate::model::{Cell, Column, Report, Table, Tone};
use crate::words::Words;

/// Of a month, with its close; without one they are not final.
pub fn vouchers(book: &Book, month: Month, vouchers: &[Voucher], close: Option<&CloseRow>, frame: Frame) -> Report {
    let words = Words(frame.language);
    let sum = |of: fn(&VoucherLine) -> i64| vouchers.iter().flat_map(|voucher| &voucher.lines).map(of).sum();
    let state = Cell::State {
        code: if close.is_some() { "CLOSED" } else { "OPEN" }.to_owned(),
        title: if close.is_some() {
            words.say("已月结", "Closed")
        } else {
            words.say("未月结，非最终", "Open: not final")
        }
        .to_owned(),
        tone: if close.is_some() { Tone::Good } else { Tone::Warn },
    };
    Report {
        id: "vouchers",
        language: frame.language,
        title: words.say("记账凭证", "Vouchers").to_owned(),
        subject: format!("{book} · {month}"),
        as_of: frame.today,
        ledger_number: frame.ledger_number,
        facts: vec![
            words.fact("state", "月结", "Month", state),
            words.fact("vouchers", "凭证数", "Vouchers", Cell::Count(vouchers.len() as i64)),
            words.fact("debit_fen", "借方合计（元）", "Debits (yuan)", Cell::Fen(sum(|line| line.debit_fen))),
            words.fact("credit_fen", "贷方合计（元）", "Credits (yuan)", Cell::Fen(sum(|line| line.credit_fen))),
            words.fact(
                "proposed_by",
                "月结提出人",
                "Close proposed by",
                Cell::maybe(close.map(|row| &row.proposed_by)),
            ),
            words.fact(
                "decided_by",
                "月结复核人",
                "Close approved by",
                Cell::maybe(close.and_then(|row| row.decided_by.as_ref())),
            ),
        ],
        charts: Vec::new(),
        tables: vec![lines(vouchers, words)],
    }
}

/// One row for each line, the voucher's own columns on each.
fn lines(vouchers: &[Voucher], words: Words) -> Table {
    let columns = vec![
        Column::text("voucher", words.say("凭证号", "Voucher")),
        Column::date("date", words.say("日期", "Date")),
        Column::text("summary", words.say("摘要", "Summary")),
        Column::text("account_code", words.say("科目编码", "Code")),
        Column::text("account", words.say("科目", "Account")),
        Column::text("detail", words.say("明细", "Detail")),
        Column::fen("debit_fen", words.say("借方", "Debit")).summed(),
        Column::fen("credit_fen", words.say("贷方", "Credit")).summed(),
        Column::count("attachments", words.say("附单据数", "Attachments")),
        Column::code("entry", words.say("分录类型", "Entry")),
    ];
    let mut table = Table::new("vouchers", words.say("记账凭证", "Vouchers"), columns);
    let in_language = |zh: &str, en: &str| match words.0 {
        Language::Zh => Cell::text(zh),
        Language::En => Cell::text(en),
    };
    // A side without an amount stays empty, as on paper.
    let side = |fen: i64| if fen == 0 { Cell::Empty } else { Cell::Fen(fen) };
    for voucher in vouchers {
        for line in &voucher.lines {
            table.rows.push(vec![
                Cell::text(format!("记-{:04}", voucher.number)),
                Cell::Date(voucher.date),
                in_language(&voucher.summary_zh, &voucher.summary_en),
                Cell::text(&line.account_code),
                in_language(&line.account_zh, &line.account_en),
                Cell::text(&line.detail),
                side(line.debit_fen),
                side(line.credit_fen),
                Cell::Count(voucher.attachments),
                Cell::text(voucher.entry.as_str()),
            ]);
        }
    }
    table.at_most(MAX_ROWS)
}
