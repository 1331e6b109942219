//! A reconciliation run: whether it closed, what differs, who signed.

use jjj_domain::recon::{BreakRow, IdentityResult, LegCounts, RunRow, ViewRow};

use super::Frame;
use super::breaks::{by_age, by_class, detail};
use crate::model::{Cell, Chart, Column, Fact, Part, Report, Shape, Table, Tone};
use crate::words::Words;

/// Of a run, with the breaks of its channel and date and with its views.
pub fn run(run: &RunRow, breaks: &[BreakRow], views: &[ViewRow], frame: Frame) -> Report {
    let words = Words(frame.language);
    let mut charts = vec![shares(&run.channel_leg.0, words)];
    if breaks.iter().any(BreakRow::is_open) {
        charts.push(by_class(breaks, words));
        charts.push(by_age(breaks, words, frame));
    }
    Report {
        id: "run",
        language: frame.language,
        title: words.say("对账日报", "Daily reconciliation").to_owned(),
        subject: format!("{} · {} · {}", run.channel, run.clearing_date, run.run),
        as_of: frame.today,
        ledger_number: frame.ledger_number,
        facts: facts(run, breaks, words),
        charts,
        tables: vec![
            detail(breaks, words, frame),
            legs(run, words),
            identities(&run.identities.0, words),
            files(run, words),
            signatures(views, words, frame),
        ],
    }
}

fn facts(run: &RunRow, breaks: &[BreakRow], words: Words) -> Vec<Fact> {
    let open = breaks.iter().filter(|row| row.is_open());
    let (count, fen) = open.fold((0, 0i64), |(n, sum), row| (n + 1, sum.saturating_add(row.amount_fen)));
    let closed = run.identities.0.iter().filter(|identity| identity.holds).count();
    vec![
        words.fact("state", "结果", "Result", words.run_state(run.state)),
        words.fact("matched_rows", "已匹配笔数", "Rows matched", Cell::Count(run.channel_leg.0.matched)),
        words.fact("payments_fen", "渠道付款（元）", "Payments (yuan)", Cell::Fen(run.channel_leg.0.debit_fen)),
        words.fact("refunds_fen", "渠道退款（元）", "Refunds (yuan)", Cell::Fen(run.channel_leg.0.credit_fen)),
        words.fact("open_breaks", "未处置差错", "Open breaks", Cell::Count(count)),
        words.fact("open_fen", "未处置金额（元）", "Open amount (yuan)", Cell::Fen(fen)),
        words.fact(
            "identities",
            "恒等式成立",
            "Identities that close",
            Cell::text(format!("{closed} / {}", run.identities.0.len())),
        ),
        words.fact("started_by", "发起人", "Started by", Cell::text(run.started_by.to_string())),
        words.fact("root", "结果根", "Root", Cell::text(&run.root)),
    ]
}

fn shares(leg: &LegCounts, words: Words) -> Chart {
    let part = |zh, en, value, tone| Part::new(words.say(zh, en), value, tone);
    Chart {
        title: words.say("渠道文件各行", "Rows of the channel's files").to_owned(),
        shape: Shape::Shares,
        is_money: false,
        parts: vec![
            part("已匹配", "Matched", leg.matched, Tone::Good),
            part("有差错", "Broken", leg.broken, Tone::Warn),
            part("已剔除", "Set aside", leg.rejected, Tone::Bad),
        ],
    }
}

fn legs(run: &RunRow, words: Words) -> Table {
    let columns = vec![
        Column::text("leg", words.say("账", "Leg")),
        Column::count("rows", words.say("行数", "Rows")),
        Column::count("matched", words.say("已匹配", "Matched")),
        Column::count("broken", words.say("有差错", "Broken")),
        Column::count("rejected", words.say("已剔除", "Set aside")),
        Column::fen("debit_fen", words.say("付款", "Payments")),
        Column::fen("credit_fen", words.say("退款", "Refunds")),
    ];
    let row = |name: &str, leg: &LegCounts| {
        let counts = [leg.rows, leg.matched, leg.broken, leg.rejected].map(Cell::Count);
        [vec![Cell::text(name)], counts.to_vec(), vec![Cell::Fen(leg.debit_fen), Cell::Fen(leg.credit_fen)]].concat()
    };
    let mut table = Table::new("legs", words.say("各账笔数与金额", "Legs"), columns);
    table.rows = vec![
        row(words.say("账簿", "Ledger"), &run.ledger_leg.0),
        row(words.say("渠道", "Channel"), &run.channel_leg.0),
    ];
    let here = run.region_legs.0.iter().filter(|leg| leg.file.is_some());
    table.rows.extend(here.map(|leg| row(&words.division_name(leg.region.as_str()), &leg.counts)));
    table
}

fn identities(identities: &[IdentityResult], words: Words) -> Table {
    let columns = vec![
        Column::count("number", words.say("恒等式", "Identity")),
        Column::text("book", words.say("账簿", "Book")),
        Column::state("holds", words.say("结果", "Result")),
        Column::fen("difference_fen", words.say("差额", "Difference")),
        Column::text("detail", words.say("说明", "Detail")),
    ];
    let mut table = Table::new("identities", words.say("恒等式检查", "Identities"), columns);
    let row = |identity: &IdentityResult| {
        vec![
            Cell::Count(identity.number),
            Cell::text(&identity.book),
            words.yes_no(identity.holds),
            Cell::Fen(identity.difference_fen),
            Cell::text(&identity.detail),
        ]
    };
    let mut sorted: Vec<&IdentityResult> = identities.iter().collect();
    sorted.sort_by_key(|identity| (identity.number, &identity.book));
    table.rows = sorted.into_iter().map(row).collect();
    table
}

fn files(run: &RunRow, words: Words) -> Table {
    let columns = vec![
        Column::text("of", words.say("商户或地区", "Merchant or region")),
        Column::text("file", words.say("文件", "File")),
        Column::code("sha256", "SHA-256"),
    ];
    let mut table = Table::new("files", words.say("应到文件", "Files expected"), columns);
    let absent = |file: &Option<String>| match file {
        Some(file) => Cell::text(file),
        None => {
            let title = words.say("缺失", "Absent").to_owned();
            Cell::State { code: "ABSENT".into(), title, tone: Tone::Bad }
        }
    };
    let merchant = |id: &str| match id {
        "" => Cell::text(words.say("全部", "any")),
        id => Cell::text(id),
    };
    let files = run.expected_files.0.iter().map(|f| (merchant(&f.merchant_id), &f.file, &f.sha256));
    let books = run.region_legs.0.iter();
    let books = books.map(|leg| (Cell::text(words.division_name(leg.region.as_str())), &leg.file, &leg.sha256));
    table.rows =
        files.chain(books).map(|(of, file, sha256)| vec![of, absent(file), Cell::maybe(sha256.as_ref())]).collect();
    table
}

fn signatures(views: &[ViewRow], words: Words, frame: Frame) -> Table {
    let columns = vec![
        Column::text("participant", words.say("视图", "View")),
        Column::count("rows", words.say("行数", "Rows")),
        Column::fen("debit_fen", words.say("付款", "Payments")),
        Column::fen("credit_fen", words.say("退款", "Refunds")),
        Column::state("state", words.say("签署", "Signature")),
        Column::text("signed_by", words.say("签署人", "Signed by")),
        Column::code("root", words.say("根", "Root")),
    ];
    let mut table = Table::new("views", words.say("视图签署", "Views and signatures"), columns);
    let row = |view: &ViewRow| {
        vec![
            Cell::text(view.participant.to_string()),
            Cell::Count(view.rows),
            Cell::Fen(view.debit_fen),
            Cell::Fen(view.credit_fen),
            words.view_state(view.state_on(frame.today)),
            Cell::maybe(view.signed_by.as_ref()),
            Cell::text(&view.root),
        ]
    };
    table.rows = views.iter().map(row).collect();
    table
}
