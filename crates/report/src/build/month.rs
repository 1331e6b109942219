//! A month's summary by region and programme, funder and institution.

use std::collections::BTreeMap;

use jjj_domain::recon::summary::{BreakSums, FunderSums, GrantSums, InstitutionSums, MonthSums, PaymentSums};
use jjj_domain::time::Month;

use super::{Frame, MAX_ROWS};
use crate::model::{Cell, Chart, Column, Report, Table};
use crate::words::Words;

/// A region's programme.
type Programme = (String, String);

#[derive(Default)]
struct Line {
    grants: GrantSums,
    payments: PaymentSums,
    breaks: BreakSums,
}

pub fn month(month: Month, subject: &str, sums: &MonthSums, frame: Frame) -> Report {
    let words = Words(frame.language);
    let mut lines: BTreeMap<Programme, Line> = BTreeMap::new();
    for grants in &sums.grants {
        lines.entry((grants.region.clone(), grants.programme.clone())).or_default().grants = grants.clone();
    }
    for payments in &sums.payments {
        lines.entry((payments.region.clone(), payments.programme.clone())).or_default().payments = payments.clone();
    }
    for breaks in &sums.breaks {
        lines.entry((breaks.region.clone(), breaks.programme.clone())).or_default().breaks = breaks.clone();
    }
    let programmes = programmes(&lines, words);
    let total = programmes.total().unwrap_or_default();
    let fact = |id, zh, en, at: usize| words.fact(id, zh, en, total.get(at).cloned().unwrap_or(Cell::Count(0)));
    Report {
        id: "month",
        language: frame.language,
        title: words.say("月度汇总表", "Monthly summary").to_owned(),
        subject: format!("{month} · {}", words.division_name(subject)),
        as_of: frame.today,
        ledger_number: frame.ledger_number,
        facts: vec![
            fact("elders", "享受补贴人数", "Elders granted", 2),
            fact("granted_fen", "核定金额（元）", "Granted (yuan)", 3),
            fact("credited_fen", "入账金额（元）", "Credited (yuan)", 4),
            fact("payments", "付款笔数", "Payments", 7),
            fact("paid_fen", "付款金额（元）", "Paid (yuan)", 8),
            fact("open_breaks", "未处置差错", "Open breaks", 11),
        ],
        charts: vec![
            Chart::largest(
                words.say("核定金额，按承担单位", "Granted by funder"),
                by(&sums.funders, |funder| (words.division_name(&funder.funder_division), funder.granted_fen)),
            ),
            Chart::largest(
                words.say("付款金额，按机构", "Paid by institution"),
                by(&sums.institutions, |institution| (institution.display_name.clone(), institution.paid_fen)),
            ),
        ],
        tables: vec![programmes, funders(&sums.funders, words), institutions(&sums.institutions, words)],
    }
}

fn by<T>(rows: &[T], of: impl Fn(&T) -> (String, i64)) -> BTreeMap<String, i64> {
    let mut sums: BTreeMap<String, i64> = BTreeMap::new();
    for (title, value) in rows.iter().map(of) {
        let sum = sums.entry(title).or_default();
        *sum = sum.saturating_add(value);
    }
    sums
}

fn programmes(lines: &BTreeMap<Programme, Line>, words: Words) -> Table {
    let columns = vec![
        Column::text("region", words.say("付款地区", "Region")),
        Column::text("programme", words.say("项目", "Programme")),
        Column::count("elders", words.say("补贴人数", "Elders")).summed(),
        Column::fen("granted_fen", words.say("核定", "Granted")).summed(),
        Column::fen("credited_fen", words.say("入账", "Credited")).summed(),
        Column::fen("clawed_back_fen", words.say("追回", "Clawed back")).summed(),
        Column::count("payers", words.say("付款人数", "Payers")).summed(),
        Column::count("payments", words.say("付款笔数", "Payments")).summed(),
        Column::fen("paid_fen", words.say("付款", "Paid")).summed(),
        Column::fen("refunded_fen", words.say("退款", "Refunded")).summed(),
        Column::fen("matched_fen", words.say("已对账", "Reconciled")).summed(),
        Column::count("open_breaks", words.say("未处置差错", "Open breaks")).summed(),
        Column::fen("open_fen", words.say("涉及金额", "At stake")).summed(),
        Column::count("resolved_breaks", words.say("已处置", "Resolved")).summed(),
    ];
    let mut table = Table::new("programmes", words.say("按地区与项目", "By region and programme"), columns);
    let row = |((region, programme), line): (&Programme, &Line)| {
        let Line { grants, payments, breaks } = line;
        vec![
            words.division(region),
            Cell::text(programme),
            Cell::Count(grants.elders),
            Cell::Fen(grants.granted_fen),
            Cell::Fen(grants.credited_fen),
            Cell::Fen(grants.clawed_back_fen),
            Cell::Count(payments.payers),
            Cell::Count(payments.payments),
            Cell::Fen(payments.paid_fen),
            Cell::Fen(payments.refunded_fen),
            Cell::Fen(payments.matched_fen),
            Cell::Count(breaks.open),
            Cell::Fen(breaks.open_fen),
            Cell::Count(breaks.resolved),
        ]
    };
    table.rows = lines.iter().map(row).collect();
    table
}

fn funders(sums: &[FunderSums], words: Words) -> Table {
    let columns = vec![
        Column::text("region", words.say("付款地区", "Region")),
        Column::text("programme", words.say("项目", "Programme")),
        Column::text("funder", words.say("承担单位", "Funder")),
        Column::code("funder_division", words.say("区划代码", "Division")),
        Column::count("elders", words.say("补贴人数", "Elders")).summed(),
        Column::fen("granted_fen", words.say("核定", "Granted")).summed(),
        Column::fen("credited_fen", words.say("入账", "Credited")).summed(),
        Column::fen("clawed_back_fen", words.say("追回", "Clawed back")).summed(),
    ];
    let mut table = Table::new("funders", words.say("按承担单位", "By funder"), columns);
    let row = |sum: &FunderSums| {
        vec![
            words.division(&sum.region),
            Cell::text(&sum.programme),
            words.division(&sum.funder_division),
            Cell::text(&sum.funder_division),
            Cell::Count(sum.elders),
            Cell::Fen(sum.granted_fen),
            Cell::Fen(sum.credited_fen),
            Cell::Fen(sum.clawed_back_fen),
        ]
    };
    table.rows = sums.iter().map(row).collect();
    table.at_most(MAX_ROWS)
}

fn institutions(sums: &[InstitutionSums], words: Words) -> Table {
    let columns = vec![
        Column::text("display_name", words.say("机构", "Institution")),
        Column::text("region", words.say("所在地区", "Region")),
        Column::count("payers", words.say("付款人数", "Payers")),
        Column::count("payments", words.say("付款笔数", "Payments")).summed(),
        Column::fen("paid_fen", words.say("付款", "Paid")).summed(),
        Column::fen("refunded_fen", words.say("退款", "Refunded")).summed(),
        Column::fen("matched_fen", words.say("已对账", "Reconciled")).summed(),
        Column::fen("settled_fen", words.say("已结算", "Settled")).summed(),
        Column::code("institution", words.say("名称", "Name")),
    ];
    let mut table = Table::new("institutions", words.say("按机构", "By institution"), columns);
    let row = |sum: &InstitutionSums| {
        vec![
            Cell::text(&sum.display_name),
            words.division(&sum.region),
            Cell::Count(sum.payers),
            Cell::Count(sum.payments),
            Cell::Fen(sum.paid_fen),
            Cell::Fen(sum.refunded_fen),
            Cell::Fen(sum.matched_fen),
            Cell::Fen(sum.settled_fen),
            Cell::text(&sum.institution),
        ]
    };
    table.rows = sums.iter().map(row).collect();
    table.at_most(MAX_ROWS)
}
