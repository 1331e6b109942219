//! A trial balance: both sides of every account kind of a book.

use std::collections::BTreeMap;

use jjj_domain::ledger::{AccountKind, Book, Layer, Side};
use jjj_domain::time::Month;

use super::Frame;
use crate::model::{Cell, Chart, Column, Part, Report, Shape, Table, Tone};
use crate::words::Words;

/// Both sides of an account kind in a layer, of some month.
#[derive(Clone, Copy, Debug)]
pub struct AccountSums {
    pub kind: AccountKind,
    pub layer: Layer,
    pub month: Month,
    pub debit_fen: i64,
    pub credit_fen: i64,
}

#[derive(Default)]
struct Line {
    before_fen: i64,
    debit_fen: i64,
    credit_fen: i64,
    held_fen: i64,
}

/// Of a booking month with what came before it, or of everything so far.
pub fn trial_balance(book: &Book, month: Option<Month>, sums: &[AccountSums], frame: Frame) -> Report {
    let words = Words(frame.language);
    let mut lines: BTreeMap<AccountKind, Line> = BTreeMap::new();
    for sum in sums.iter().filter(|sum| month.is_none_or(|month| sum.month <= month)) {
        let line = lines.entry(sum.kind).or_default();
        let balance = match sum.kind.normal_side() {
            Side::Debit => sum.debit_fen - sum.credit_fen,
            Side::Credit => sum.credit_fen - sum.debit_fen,
        };
        match sum.layer {
            Layer::Held => line.held_fen += balance,
            Layer::Posted if month.is_some_and(|month| sum.month < month) => line.before_fen += balance,
            Layer::Posted => {
                line.debit_fen += sum.debit_fen;
                line.credit_fen += sum.credit_fen;
            }
        }
    }
    let columns = vec![
        Column::state("account", words.say("科目", "Account")),
        Column::text("side", words.say("方向", "Normal side")),
        Column::fen("opening_fen", words.say("期初余额", "Opening")),
        Column::fen("debit_fen", words.say("本期借方", "Debits")).summed(),
        Column::fen("credit_fen", words.say("本期贷方", "Credits")).summed(),
        Column::fen("balance_fen", words.say("期末余额", "Balance")),
        Column::fen("held_fen", words.say("其中预占", "Held")),
    ];
    let mut table = Table::new("accounts", words.say("科目余额", "Accounts"), columns);
    let mut parts = Vec::new();
    for (kind, line) in &lines {
        let (side, moved) = match kind.normal_side() {
            Side::Debit => (words.say("借", "debit"), line.debit_fen - line.credit_fen),
            Side::Credit => (words.say("贷", "credit"), line.credit_fen - line.debit_fen),
        };
        let balance = line.before_fen + moved;
        let account = words.account(*kind);
        if let Cell::State { title, .. } = &account {
            parts.push(Part::new(title.clone(), balance, Tone::Plain));
        }
        let amounts = [line.before_fen, line.debit_fen, line.credit_fen, balance, line.held_fen].map(Cell::Fen);
        table.rows.push([vec![account, Cell::text(side)], amounts.to_vec()].concat());
    }
    let [debit, credit] = [3, 4].map(|at| match table.total().as_ref().and_then(|total| total.get(at)) {
        Some(Cell::Fen(fen)) => *fen,
        _ => 0,
    });
    let balanced = Cell::State {
        code: (debit == credit).to_string(),
        title: if debit == credit { words.say("平衡", "Balances") } else { words.say("不平", "Does not balance") }
            .into(),
        tone: if debit == credit { Tone::Good } else { Tone::Bad },
    };
    Report {
        id: "trial_balance",
        language: frame.language,
        title: words.say("试算平衡表", "Trial balance").to_owned(),
        subject: match month {
            Some(month) => format!("{book} · {month}"),
            None => format!("{book} · {}", words.say("截至目前", "so far")),
        },
        as_of: frame.today,
        ledger_number: frame.ledger_number,
        facts: vec![
            words.fact("balances", "试算", "Result", balanced),
            words.fact("debit_fen", "借方合计（元）", "Debits (yuan)", Cell::Fen(debit)),
            words.fact("credit_fen", "贷方合计（元）", "Credits (yuan)", Cell::Fen(credit)),
        ],
        charts: vec![Chart {
            title: words.say("期末余额", "Balances").to_owned(),
            shape: Shape::Bars,
            is_money: true,
            parts: parts.into_iter().filter(|part| part.value > 0).collect(),
        }],
        tables: vec![table],
    }
}
