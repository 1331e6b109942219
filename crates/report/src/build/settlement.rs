//! Settlement statements (结算单): what each payee is paid, with sums by channel and day, institution and funder.

use std::collections::BTreeMap;

use jjj_domain::settlement::{StatementRow, StatementState};

use super::{Frame, MAX_ROWS};
use crate::model::{Cell, Chart, Column, Report, Table};
use crate::words::Words;

/// Of statements, in their order; `names` are institutions' display names, by `institutions/{uscc}`.
pub fn settlement(
    statements: &[StatementRow],
    names: &BTreeMap<String, String>,
    subject: &str,
    frame: Frame,
) -> Report {
    let words = Words(frame.language);
    let sum = |of: fn(&StatementRow) -> i64| statements.iter().map(of).fold(0i64, i64::saturating_add);
    let open = statements.iter().filter(|row| row.state == StatementState::Open);
    let (open, open_fen) = open.fold((0, 0i64), |(n, fen), row| (n + 1, fen.saturating_add(row.net_fen)));
    let payee = |row: &StatementRow| payee(row, names, words);
    let mut by_payee: BTreeMap<String, i64> = BTreeMap::new();
    for row in statements {
        let sum = by_payee.entry(payee(row)).or_default();
        *sum = sum.saturating_add(row.net_fen);
    }
    Report {
        id: "settlement",
        language: frame.language,
        title: words.say("结算单", "Settlement statements").to_owned(),
        subject: subject.to_owned(),
        as_of: frame.today,
        ledger_number: frame.ledger_number,
        facts: vec![
            words.fact("statements", "结算单数", "Statements", Cell::Count(statements.len() as i64)),
            words.fact("gross_fen", "付款（元）", "Payments (yuan)", Cell::Fen(sum(|row| row.gross_fen))),
            words.fact("net_fen", "应结（元）", "Net (yuan)", Cell::Fen(sum(|row| row.net_fen))),
            words.fact("paid_fen", "已付（元）", "Paid (yuan)", Cell::Fen(sum(|row| row.paid_fen))),
            words.fact("open_statements", "待付结算单", "Awaiting payout", Cell::Count(open)),
            words.fact("open_fen", "待付（元）", "Awaiting payout (yuan)", Cell::Fen(open_fen)),
        ],
        charts: vec![Chart::largest(words.say("应结金额，按收款方", "Net by payee"), by_payee)],
        tables: vec![
            detail(statements, names, words),
            cycles(statements, words),
            institutions(statements, names, words),
            funders(statements, words),
        ],
    }
}

fn payee(row: &StatementRow, names: &BTreeMap<String, String>, words: Words) -> String {
    match &row.institution {
        Some(institution) => names.get(institution).unwrap_or(institution).clone(),
        None => format!("{} · {}", row.channel, words.say("手续费", "fees")),
    }
}

fn detail(statements: &[StatementRow], names: &BTreeMap<String, String>, words: Words) -> Table {
    let columns = vec![
        Column::text("channel", words.say("渠道", "Channel")),
        Column::date("from_date", words.say("自清算日", "From")),
        Column::date("clearing_date", words.say("至清算日", "To")),
        Column::text("region", words.say("付款地区", "Paying region")),
        Column::text("programme", words.say("项目", "Programme")),
        Column::text("payee", words.say("收款方", "Payee")),
        Column::fen("gross_fen", words.say("付款", "Payments")).summed(),
        Column::fen("refunds_fen", words.say("退款", "Refunds")).summed(),
        Column::fen("fees_fen", words.say("手续费", "Fees")).summed(),
        Column::fen("adjustments_fen", words.say("调整", "Adjustments")).summed(),
        Column::fen("brought_forward_fen", words.say("上期结转", "Brought forward")).summed(),
        Column::fen("withheld_fen", words.say("暂扣", "Withheld")).summed(),
        Column::fen("net_fen", words.say("应结", "Net")).summed(),
        Column::fen("paid_fen", words.say("已付", "Paid")).summed(),
        Column::date("due_on", words.say("最迟付款日", "Due")),
        Column::state("state", words.say("状态", "State")),
        Column::text("account_last4", words.say("账户尾号", "Account")),
        Column::code("end_to_end_id", words.say("端到端标识", "End-to-end id")),
        Column::code("payout", words.say("付款记录", "Payout")),
        Column::code("institution", words.say("机构", "Institution")),
        Column::code("statement", words.say("名称", "Name")),
    ];
    let mut table = Table::new("statements", words.say("结算单", "Statements"), columns);
    let row = |row: &StatementRow| {
        let amounts = [
            row.gross_fen,
            row.refunds_fen,
            row.fees_fen,
            row.adjustments_fen,
            row.brought_forward_fen,
            row.withheld_fen,
            row.net_fen,
            row.paid_fen,
        ];
        let before = vec![
            Cell::text(row.channel.to_string()),
            Cell::Date(row.from_date),
            Cell::Date(row.clearing_date),
            words.division(row.region.as_str()),
            Cell::text(&row.programme),
            Cell::text(payee(row, names, words)),
        ];
        let after = vec![
            Cell::Date(row.due_on),
            words.statement_state(row.state),
            Cell::text(&row.account_last4),
            Cell::text(&row.end_to_end_id),
            Cell::maybe(row.payout.as_ref()),
            Cell::maybe(row.institution.as_ref()),
            Cell::text(&row.statement),
        ];
        [before, amounts.map(Cell::Fen).to_vec(), after].concat()
    };
    table.rows = statements.iter().map(row).collect();
    table.at_most(MAX_ROWS)
}

/// What statements come to: how many, payments, refunds, fees, net, paid.
#[derive(Clone, Copy, Default)]
struct Sums([i64; 6]);

impl Sums {
    fn add(&mut self, row: &StatementRow) {
        let more = [1, row.gross_fen, row.refunds_fen, row.fees_fen, row.net_fen, row.paid_fen];
        self.0.iter_mut().zip(more).for_each(|(sum, more)| *sum = sum.saturating_add(more));
    }

    fn cells(self) -> Vec<Cell> {
        let [count, rest @ ..] = self.0;
        [vec![Cell::Count(count)], rest.map(Cell::Fen).to_vec()].concat()
    }

    fn columns(words: Words) -> Vec<Column> {
        vec![
            Column::count("statements", words.say("结算单数", "Statements")).summed(),
            Column::fen("gross_fen", words.say("付款", "Payments")).summed(),
            Column::fen("refunds_fen", words.say("退款", "Refunds")).summed(),
            Column::fen("fees_fen", words.say("手续费", "Fees")).summed(),
            Column::fen("net_fen", words.say("应结", "Net")).summed(),
            Column::fen("paid_fen", words.say("已付", "Paid")).summed(),
        ]
    }
}

fn summed<K: Ord>(statements: &[StatementRow], key: impl Fn(&StatementRow) -> Option<K>) -> BTreeMap<K, Sums> {
    let mut sums: BTreeMap<K, Sums> = BTreeMap::new();
    for row in statements {
        if let Some(key) = key(row) {
            sums.entry(key).or_default().add(row);
        }
    }
    sums
}

fn cycles(statements: &[StatementRow], words: Words) -> Table {
    let columns = vec![
        Column::text("channel", words.say("渠道", "Channel")),
        Column::date("clearing_date", words.say("清算日", "Clearing date")),
    ];
    let columns = [columns, Sums::columns(words)].concat();
    let mut table = Table::new("cycles", words.say("按渠道与清算日", "By channel and day"), columns);
    let sums = summed(statements, |row| Some((row.channel.to_string(), row.clearing_date)));
    let row = |((channel, date), sums): ((String, _), Sums)| {
        [vec![Cell::text(channel), Cell::Date(date)], sums.cells()].concat()
    };
    table.rows = sums.into_iter().map(row).collect();
    table.at_most(MAX_ROWS)
}

fn institutions(statements: &[StatementRow], names: &BTreeMap<String, String>, words: Words) -> Table {
    let columns = vec![Column::text("display_name", words.say("机构", "Institution"))];
    let columns =
        [columns, Sums::columns(words), vec![Column::code("institution", words.say("名称", "Name"))]].concat();
    let mut table = Table::new("institutions", words.say("按机构", "By institution"), columns);
    let sums = summed(statements, |row| row.institution.clone());
    let row = |(institution, sums): (String, Sums)| {
        let name = names.get(&institution).unwrap_or(&institution).clone();
        [vec![Cell::text(name)], sums.cells(), vec![Cell::text(institution)]].concat()
    };
    table.rows = sums.into_iter().map(row).collect();
    table.at_most(MAX_ROWS)
}

fn funders(statements: &[StatementRow], words: Words) -> Table {
    let columns = vec![
        Column::text("region", words.say("付款地区", "Paying region")),
        Column::text("programme", words.say("项目", "Programme")),
        Column::text("funder", words.say("承担单位", "Funder")),
        Column::code("funder_division", words.say("区划代码", "Division")),
        Column::count("payments", words.say("付款笔数", "Payments")).summed(),
        Column::fen("gross_fen", words.say("付款", "Paid")).summed(),
        Column::count("refunds", words.say("退款笔数", "Refunds")).summed(),
        Column::fen("refunds_fen", words.say("退款", "Refunded")).summed(),
    ];
    let mut table = Table::new("funders", words.say("按承担单位", "By funder"), columns);
    let mut sums: BTreeMap<(&str, &str, &str), [i64; 4]> = BTreeMap::new();
    for statement in statements {
        for share in &statement.funders.0 {
            let key = (statement.region.as_str(), statement.programme.as_str(), share.division.as_str());
            let more = [share.payments, share.gross_fen, share.refunds, share.refunds_fen];
            let sum = sums.entry(key).or_default();
            sum.iter_mut().zip(more).for_each(|(sum, more)| *sum = sum.saturating_add(more));
        }
    }
    let row = |((region, programme, division), [payments, gross_fen, refunds, refunds_fen]): (_, [i64; 4])| {
        vec![
            words.division(region),
            Cell::text(programme),
            words.division(division),
            Cell::text(division),
            Cell::Count(payments),
            Cell::Fen(gross_fen),
            Cell::Count(refunds),
            Cell::Fen(refunds_fen),
        ]
    };
    table.rows = sums.into_iter().map(row).collect();
    table.at_most(MAX_ROWS)
}
