//! Breaks: each by itself, and by age.

use std::collections::BTreeMap;

use jjj_domain::recon::breaks::age_days;
use jjj_domain::recon::report::{AgeBucket, class_title};
use jjj_domain::recon::{BreakClass, BreakRow};

use super::{Frame, MAX_ROWS};
use crate::model::{Cell, Chart, Column, Fact, Part, Report, Shape, Table, Tone};
use crate::words::Words;

/// Breaks one by one: most urgent first, then largest.
pub fn breaks(rows: &[BreakRow], subject: &str, frame: Frame) -> Report {
    let words = Words(frame.language);
    let mut facts = sums(rows, words);
    let oldest = rows.iter().filter(|row| row.is_open()).map(|row| age_days(row, frame.today)).max();
    facts.push(words.fact("oldest_days", "最长账龄（天）", "Oldest (days)", oldest.map_or(Cell::Empty, Cell::Count)));
    Report {
        id: "breaks",
        language: frame.language,
        title: words.say("差错明细", "Breaks in detail").to_owned(),
        subject: words.division_name(subject),
        as_of: frame.today,
        ledger_number: frame.ledger_number,
        facts,
        charts: vec![by_class(rows, words), by_age(rows, words, frame)],
        tables: vec![detail(rows, words, frame)],
    }
}

/// Open breaks by age, class, channel.
pub fn ageing(rows: &[BreakRow], subject: &str, frame: Frame) -> Report {
    let words = Words(frame.language);
    let open: Vec<&BreakRow> = rows.iter().filter(|row| row.is_open()).collect();
    let mut classes: BTreeMap<BreakClass, [(i64, i64); 4]> = BTreeMap::new();
    let mut channels: BTreeMap<String, [(i64, i64); 4]> = BTreeMap::new();
    for row in &open {
        let at = AgeBucket::of(age_days(row, frame.today)) as usize;
        let channel = row.channel.as_ref().map(ToString::to_string).unwrap_or_default();
        for sums in [classes.entry(row.class).or_default(), channels.entry(channel).or_default()] {
            sums[at].0 += 1;
            sums[at].1 = sums[at].1.saturating_add(row.amount_fen);
        }
    }
    let columns = |first: Column| {
        let counts = [("days_0_1", 0), ("days_2_7", 1), ("days_8_30", 2), ("over_30_days", 3)];
        let bucket = |(id, at): (&'static str, usize)| {
            let Cell::State { title, .. } = words.age(AgeBucket::ALL[at]) else { unreachable!("an age is a state") };
            Column::count(id, &title).summed()
        };
        let mut columns = vec![first];
        columns.extend(counts.map(bucket));
        columns.push(Column::count("breaks", words.say("笔数", "Breaks")).summed());
        columns.push(Column::fen("amount_fen", words.say("涉及金额", "At stake")).summed());
        columns
    };
    let row = |first: Cell, sums: &[(i64, i64); 4]| {
        let mut cells = vec![first];
        cells.extend(sums.iter().map(|(count, _)| Cell::Count(*count)));
        cells.push(Cell::Count(sums.iter().map(|(count, _)| count).sum()));
        cells.push(Cell::Fen(sums.iter().fold(0, |sum, (_, fen)| sum.saturating_add(*fen))));
        cells
    };
    let class = Column::state("class", words.say("类别", "Class"));
    let mut by_class = Table::new("classes", words.say("按类别", "By class"), columns(class));
    by_class.rows = classes.iter().map(|(class, sums)| row(words.class(*class), sums)).collect();
    let channel = Column::text("channel", words.say("渠道", "Channel"));
    let mut by_channel = Table::new("channels", words.say("按渠道", "By channel"), columns(channel));
    by_channel.rows = channels.iter().map(|(channel, sums)| row(Cell::text(channel), sums)).collect();
    Report {
        id: "ageing",
        language: frame.language,
        title: words.say("差错账龄表", "Ageing of open breaks").to_owned(),
        subject: words.division_name(subject),
        as_of: frame.today,
        ledger_number: frame.ledger_number,
        facts: sums(rows, words),
        charts: vec![by_age(rows, words, frame), amount_by_age(rows, words, frame)],
        tables: vec![by_class, by_channel, detail_of(&open, words, frame)],
    }
}

fn sums(rows: &[BreakRow], words: Words) -> Vec<Fact> {
    let open = rows.iter().filter(|row| row.is_open());
    let (count, fen) = open.fold((0, 0i64), |(n, sum), row| (n + 1, sum.saturating_add(row.amount_fen)));
    let urgent = rows.iter().filter(|row| row.is_open() && row.priority == 1).count() as i64;
    vec![
        words.fact("open_breaks", "未处置笔数", "Open breaks", Cell::Count(count)),
        words.fact("open_fen", "未处置金额（元）", "Open amount (yuan)", Cell::Fen(fen)),
        words.fact("urgent_breaks", "其中紧急", "Of them urgent", Cell::Count(urgent)),
    ]
}

/// Open ones, most frequent first.
pub(super) fn by_class(rows: &[BreakRow], words: Words) -> Chart {
    let mut classes: BTreeMap<BreakClass, i64> = BTreeMap::new();
    rows.iter().filter(|row| row.is_open()).for_each(|row| *classes.entry(row.class).or_default() += 1);
    let mut parts: Vec<Part> =
        classes.iter().map(|(class, count)| Part::new(class_title(*class, words.0), *count, Tone::Plain)).collect();
    parts.sort_by_key(|part| std::cmp::Reverse(part.value));
    let title = words.say("未处置差错，按类别", "Open breaks by class").to_owned();
    Chart { title, shape: Shape::Bars, is_money: false, parts }
}

pub(super) fn by_age(rows: &[BreakRow], words: Words, frame: Frame) -> Chart {
    let title = words.say("未处置差错，按账龄", "Open breaks by age").to_owned();
    aged(rows, words, frame, title, |_| 1, false)
}

fn amount_by_age(rows: &[BreakRow], words: Words, frame: Frame) -> Chart {
    let title = words.say("未处置金额，按账龄", "Open amount by age").to_owned();
    aged(rows, words, frame, title, |row| row.amount_fen, true)
}

fn aged(
    rows: &[BreakRow],
    words: Words,
    frame: Frame,
    title: String,
    of: fn(&BreakRow) -> i64,
    is_money: bool,
) -> Chart {
    let part = |bucket: &AgeBucket| {
        let aged = rows.iter().filter(|row| row.is_open() && AgeBucket::of(age_days(row, frame.today)) == *bucket);
        let sum = aged.map(of).fold(0, i64::saturating_add);
        let Cell::State { title, tone, .. } = words.age(*bucket) else { unreachable!("an age is a state") };
        Part::new(title, sum, tone)
    };
    Chart { title, shape: Shape::Bars, is_money, parts: AgeBucket::ALL.iter().map(part).collect() }
}

pub(super) fn detail(rows: &[BreakRow], words: Words, frame: Frame) -> Table {
    detail_of(&rows.iter().collect::<Vec<_>>(), words, frame)
}

fn detail_of(rows: &[&BreakRow], words: Words, frame: Frame) -> Table {
    let columns = vec![
        Column::count("priority", words.say("优先级", "Priority")),
        Column::state("class", words.say("类别", "Class")),
        Column::state("state", words.say("状态", "State")),
        Column::fen("amount_fen", words.say("涉及金额", "At stake")).summed(),
        Column::date("clearing_date", words.say("清算日", "Clearing date")),
        Column::count("age_days", words.say("账龄（天）", "Age (days)")),
        Column::date("due_on", words.say("到期日", "Due")),
        Column::text("region", words.say("付款地区", "Region")),
        Column::text("programme", words.say("项目", "Programme")),
        Column::code("subject", words.say("对象", "Subject")),
        Column::text("fields", words.say("差异（账簿 / 渠道 / 账册）", "Fields (ledger / channel / book)")),
        Column::state("resolution", words.say("处置", "Resolution")),
        Column::code("proposed_by", words.say("提出人", "Proposed by")),
        Column::code("decided_by", words.say("复核人", "Decided by")),
        Column::code("break", words.say("编号", "Break")),
    ];
    let mut sorted = rows.to_vec();
    sorted.sort_by(|a, b| (a.priority, -a.amount_fen, &a.break_name).cmp(&(b.priority, -b.amount_fen, &b.break_name)));
    let mut table = Table::new("breaks", words.say("差错与提示", "Breaks and findings"), columns);
    table.rows = sorted.iter().map(|row| line(row, words, frame)).collect();
    table.at_most(MAX_ROWS)
}

fn line(row: &BreakRow, words: Words, frame: Frame) -> Vec<Cell> {
    let dash = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
    let of_book = row
        .book_region
        .as_ref()
        .map(|region| format!("{}{}", words.division_name(region.as_str()), words.say("账册", ": its book")));
    let fields = row.fields.0.iter().map(|f| {
        let sides = [&f.ledger, &f.channel, &f.region].map(|text| dash(text));
        let shown = if row.book_region.is_some() { 3 } else { 2 };
        format!("{}: {}", f.field, sides[..shown].join(" / "))
    });
    let fields = of_book.into_iter().chain(fields);
    vec![
        Cell::Count(row.priority),
        words.class(row.class),
        words.break_state(row.state),
        Cell::Fen(row.amount_fen),
        Cell::Date(row.clearing_date),
        Cell::Count(age_days(row, frame.today)),
        Cell::Date(row.due_on),
        row.region.as_ref().map_or(Cell::Empty, |region| words.division(region.as_str())),
        Cell::maybe(row.programme.as_ref()),
        Cell::text(&row.subject),
        Cell::text(fields.collect::<Vec<_>>().join("; ")),
        words.resolution(row.resolution),
        Cell::maybe(row.proposed_by.as_ref()),
        Cell::maybe(row.decided_by.as_ref()),
        Cell::text(&row.break_name),
    ]
}
