//! A run's report: a pure model, rendered as text (Chinese or English), JSON or CSV.

use serde::Serialize;

use super::breaks::age_days;
use super::rows::{BreakClass, BreakRow, IdentityResult, LegCounts, Resolution, RunRow, RunState, ViewRow, ViewState};
use crate::names::Participant;
use crate::text_enum;
use crate::time::Date;

text_enum! {
    /// Age in calendar days from the clearing date (DESIGN.md §7).
    pub enum AgeBucket {
        Days0To1 = "0-1",
        Days2To7 = "2-7",
        Days8To30 = "8-30",
        Over30 = ">30",
    }
}

impl AgeBucket {
    pub const fn of(days: i64) -> Self {
        match days {
            ..=1 => Self::Days0To1,
            2..=7 => Self::Days2To7,
            8..=30 => Self::Days8To30,
            _ => Self::Over30,
        }
    }
}

text_enum! {
    pub enum Language {
        Zh = "zh",
        En = "en",
    }
}

/// A break as the report shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BreakLine {
    pub name: String,
    pub class: BreakClass,
    pub state: String,
    pub priority: i64,
    pub subject: String,
    pub region: Option<Participant>,
    pub programme: Option<String>,
    pub amount_fen: i64,
    pub age_days: i64,
    pub age_bucket: AgeBucket,
    pub due_on: Date,
    pub fields: String,
    pub resolution: Option<Resolution>,
    pub proposed_by: Option<String>,
    pub decided_by: Option<String>,
}

/// A view as the report shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ViewSummary {
    pub participant: Participant,
    pub rows: i64,
    pub debit_fen: i64,
    pub credit_fen: i64,
    pub root: String,
    pub state: ViewState,
    pub signed_by: Option<String>,
}

/// Open breaks of an age.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ageing {
    pub bucket: AgeBucket,
    pub breaks: i64,
    pub amount_fen: i64,
}

/// A run's report on a day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    pub run: String,
    pub channel: Participant,
    pub clearing_date: Date,
    pub state: RunState,
    pub today: Date,
    pub started_by: String,
    pub root: String,
    pub files: Vec<Option<String>>,
    pub ledger_leg: LegCounts,
    pub channel_leg: LegCounts,
    pub identities: Vec<IdentityResult>,
    /// Most urgent first, then largest.
    pub breaks: Vec<BreakLine>,
    pub ageing: Vec<Ageing>,
    pub views: Vec<ViewSummary>,
}

impl Report {
    /// Of a run, with the breaks of its channel and date and with its views.
    pub fn new(run: &RunRow, breaks: &[BreakRow], views: &[ViewRow], today: Date) -> Self {
        let mut lines: Vec<BreakLine> = breaks.iter().map(|row| break_line(row, today)).collect();
        lines.sort_by(|a, b| (a.priority, -a.amount_fen, &a.name).cmp(&(b.priority, -b.amount_fen, &b.name)));
        let ageing = AgeBucket::ALL.iter().map(|bucket| {
            let open = lines.iter().filter(|l| l.age_bucket == *bucket && l.state != "RESOLVED");
            let (breaks, amount_fen) = open.fold((0, 0), |(n, sum), l| (n + 1, sum + l.amount_fen));
            Ageing { bucket: *bucket, breaks, amount_fen }
        });
        let view = |v: &ViewRow| ViewSummary {
            participant: v.participant.clone(),
            rows: v.rows,
            debit_fen: v.debit_fen,
            credit_fen: v.credit_fen,
            root: v.root.clone(),
            state: v.state_on(today),
            signed_by: v.signed_by.as_ref().map(ToString::to_string),
        };
        Self {
            run: run.run.clone(),
            channel: run.channel.clone(),
            clearing_date: run.clearing_date,
            state: run.state,
            today,
            started_by: run.started_by.to_string(),
            root: run.root.clone(),
            files: run.expected_files.0.iter().map(|f| f.file.clone()).collect(),
            ledger_leg: run.ledger_leg.0,
            channel_leg: run.channel_leg.0,
            identities: run.identities.0.clone(),
            ageing: ageing.collect(),
            breaks: lines,
            views: views.iter().map(view).collect(),
        }
    }

    pub fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("plain data serializes")
    }

    /// A header and one row per break; cells that a spreadsheet would run as formulas are quoted.
    pub fn to_csv_rows(&self) -> Vec<Vec<String>> {
        let header = [
            "run",
            "clearing_date",
            "break",
            "class",
            "state",
            "priority",
            "subject",
            "region",
            "programme",
            "amount_fen",
            "age_days",
            "age_bucket",
            "due_on",
            "fields",
            "resolution",
            "proposed_by",
            "decided_by",
        ];
        let text = |option: &Option<String>| option.clone().unwrap_or_default();
        let row = |b: &BreakLine| {
            let cells = [
                self.run.clone(),
                self.clearing_date.to_string(),
                b.name.clone(),
                b.class.to_string(),
                b.state.clone(),
                b.priority.to_string(),
                b.subject.clone(),
                b.region.as_ref().map(ToString::to_string).unwrap_or_default(),
                text(&b.programme),
                b.amount_fen.to_string(),
                b.age_days.to_string(),
                b.age_bucket.to_string(),
                b.due_on.to_string(),
                b.fields.clone(),
                b.resolution.as_ref().map(ToString::to_string).unwrap_or_default(),
                text(&b.proposed_by),
                text(&b.decided_by),
            ];
            cells.map(neutralised).to_vec()
        };
        std::iter::once(header.map(str::to_owned).to_vec()).chain(self.breaks.iter().map(row)).collect()
    }

    /// Tables for a terminal.
    pub fn to_text(&self, language: Language) -> String {
        let say = |zh: &'static str, en: &'static str| if language == Language::Zh { zh } else { en };
        let mut out = Text::default();
        let state = match self.state {
            RunState::Balanced => say("已对平", "balanced"),
            RunState::WithBreaks => say("有差错", "with breaks"),
            RunState::Incomplete => say("未完成", "incomplete"),
        };
        out.line(&format!("{} {}  {} {}", say("对账", "Reconciliation"), self.run, self.clearing_date, state));
        for (n, file) in self.files.iter().enumerate() {
            let file = file.as_deref().unwrap_or(say("缺失", "absent"));
            out.line(&format!("{} {}: {file}", say("文件", "File"), n + 1));
        }
        self.legs_text(&mut out, language);
        let closed = self.identities.iter().filter(|i| i.holds).count();
        let of = format!("{closed}/{}", self.identities.len());
        out.line(&format!("{}: {of}", say("恒等式成立", "Identities that close")));
        for broken in self.identities.iter().filter(|i| !i.holds) {
            out.line(&format!(
                "  #{} {} {} {}",
                broken.number,
                broken.book,
                yuan(broken.difference_fen),
                broken.detail
            ));
        }
        self.breaks_text(&mut out, language);
        out.line(say("视图签署", "Views"));
        for view in &self.views {
            let state = view_state(view.state, language);
            let signer = view.signed_by.as_deref().unwrap_or("-");
            out.row(
                &[
                    view.participant.as_str(),
                    &view.rows.to_string(),
                    &view.root[..16.min(view.root.len())],
                    state,
                    signer,
                ],
                &[16, 8, 18, 12, 0],
            );
        }
        out.text
    }

    fn legs_text(&self, out: &mut Text, language: Language) {
        let widths = [10, 9, 9, 9, 9, 16, 0];
        let heads = match language {
            Language::Zh => ["", "行数", "已匹配", "有差错", "已剔除", "付款", "退款"],
            Language::En => ["", "rows", "matched", "broken", "rejected", "payments", "refunds"],
        };
        out.row(&heads, &widths);
        let names = if language == Language::Zh { ["账簿", "渠道"] } else { ["ledger", "channel"] };
        for (name, leg) in names.into_iter().zip([&self.ledger_leg, &self.channel_leg]) {
            let counts = [leg.rows, leg.matched, leg.broken, leg.rejected].map(|n| n.to_string());
            let [rows, matched, broken, rejected] = &counts;
            out.row(&[name, rows, matched, broken, rejected, &yuan(leg.debit_fen), &yuan(leg.credit_fen)], &widths);
        }
    }

    fn breaks_text(&self, out: &mut Text, language: Language) {
        let say = |zh: &'static str, en: &'static str| if language == Language::Zh { zh } else { en };
        out.line(&format!("{}: {}", say("差错与提示", "Breaks"), self.breaks.len()));
        for b in &self.breaks {
            let resolution = b.resolution.map_or("-", Resolution::as_str);
            let age = format!("{}{}", b.age_days, say("天", "d"));
            let title = class_title(b.class, language);
            out.row(
                &[&b.priority.to_string(), title, &yuan(b.amount_fen), &age, &b.state, resolution, &b.subject],
                &[3, 28, 16, 6, 10, 18, 0],
            );
            if !b.fields.is_empty() {
                out.line(&format!("      {}", b.fields));
            }
        }
        let ages: Vec<String> =
            self.ageing.iter().map(|a| format!("{}: {} ({})", a.bucket, a.breaks, yuan(a.amount_fen))).collect();
        out.line(&format!("{}  {}", say("账龄（天）", "Age in days"), ages.join("  ")));
    }
}

fn break_line(row: &BreakRow, today: Date) -> BreakLine {
    let fields: Vec<String> =
        row.fields.0.iter().map(|f| format!("{}: {} / {}", f.field, or_dash(&f.ledger), or_dash(&f.channel))).collect();
    let age_days = age_days(row, today);
    BreakLine {
        name: row.break_name.clone(),
        class: row.class,
        state: row.state.to_string(),
        priority: row.priority,
        subject: row.subject.clone(),
        region: row.region.clone(),
        programme: row.programme.clone(),
        amount_fen: row.amount_fen,
        age_days,
        age_bucket: AgeBucket::of(age_days),
        due_on: row.due_on,
        fields: fields.join("; "),
        resolution: row.resolution,
        proposed_by: row.proposed_by.as_ref().map(ToString::to_string),
        decided_by: row.decided_by.as_ref().map(ToString::to_string),
    }
}

fn or_dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

/// A cell that no spreadsheet takes for a formula.
fn neutralised(cell: String) -> String {
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{cell}") } else { cell }
}

/// Yuan with two decimals, from fen.
pub fn yuan(fen: i64) -> String {
    let (sign, fen) = (if fen < 0 { "-" } else { "" }, fen.unsigned_abs());
    format!("{sign}{}.{:02}", fen / 100, fen % 100)
}

/// What a class is called.
pub const fn class_title(class: BreakClass, language: Language) -> &'static str {
    let (zh, en) = match class {
        BreakClass::Duplicate => ("重复入账", "duplicate"),
        BreakClass::Ambiguous => ("无法唯一匹配", "ambiguous"),
        BreakClass::RefundOrphan => ("退款无原交易", "refund without payment"),
        BreakClass::Cutoff => ("日切在途", "cut-off"),
        BreakClass::ChannelOnly => ("仅渠道有", "channel only"),
        BreakClass::LedgerOnly => ("仅账簿有", "ledger only"),
        BreakClass::RegionOnly => ("仅地区账有", "region only"),
        BreakClass::RegionMissing => ("地区账缺失", "missing in region"),
        BreakClass::PartyMismatch => ("收款方不符", "party mismatch"),
        BreakClass::StatusMismatch => ("状态不符", "status mismatch"),
        BreakClass::AmountMismatch => ("金额不符", "amount mismatch"),
        BreakClass::FeeMismatch => ("手续费不符", "fee mismatch"),
        BreakClass::PaidAfterRevocation => ("撤销后付款", "paid after revocation"),
        BreakClass::PaidWithoutContract => ("无有效合同付款", "paid without contract"),
        BreakClass::ConditionUnmet => ("条件不满足", "condition unmet"),
        BreakClass::LateConfirmation => ("迟到确认", "late confirmation"),
        BreakClass::Overspent => ("余额透支", "overspent"),
        BreakClass::BillExceeded => ("超出账单", "bill exceeded"),
        BreakClass::GrantWithoutBasis => ("发放无依据", "grant without basis"),
        BreakClass::CreditFailed => ("入账失败", "credit failed"),
        BreakClass::Contradiction => ("消息矛盾", "contradiction"),
        BreakClass::FileMissing => ("文件缺失", "file missing"),
        BreakClass::ControlTotal => ("合计不符", "control total"),
        BreakClass::BalanceMismatch => ("余额不符", "balance mismatch"),
        BreakClass::MissingField => ("字段缺失", "missing field"),
        BreakClass::PayoutMismatch => ("拨付不符", "payout mismatch"),
        BreakClass::PayoutMissing => ("逾期未拨付", "payout missing"),
    };
    match language {
        Language::Zh => zh,
        Language::En => en,
    }
}

fn view_state(state: ViewState, language: Language) -> &'static str {
    match (state, language) {
        (ViewState::Open, Language::Zh) => "待签",
        (ViewState::Agreed, Language::Zh) => "已签",
        (ViewState::Disputed, Language::Zh) => "有异议",
        (ViewState::Unsigned, Language::Zh) => "逾期未签",
        (ViewState::Open, Language::En) => "open",
        (ViewState::Agreed, Language::En) => "agreed",
        (ViewState::Disputed, Language::En) => "disputed",
        (ViewState::Unsigned, Language::En) => "unsigned",
    }
}

#[derive(Default)]
struct Text {
    text: String,
}

impl Text {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// Cells padded to widths in terminal columns; Chinese characters take two.
    fn row(&mut self, cells: &[&str], widths: &[usize]) {
        let mut line = String::new();
        for (cell, width) in cells.iter().zip(widths) {
            line.push_str(cell);
            let columns: usize = cell.chars().map(|c| if c >= '\u{1100}' { 2 } else { 1 }).sum();
            let pad = if *width == 0 { 0 } else { width.saturating_sub(columns).max(1) };
            line.extend(std::iter::repeat_n(' ', pad));
        }
        self.line(line.trim_end());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_fall_into_their_buckets() {
        let buckets = [0, 1, 2, 7, 8, 30, 31].map(|days| AgeBucket::of(days).as_str());
        assert_eq!(buckets, ["0-1", "0-1", "2-7", "2-7", "8-30", "8-30", ">30"]);
    }

    #[test]
    fn formulas_are_neutralised() {
        for cell in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1"] {
            assert_eq!(neutralised(cell.to_owned()), format!("'{cell}"));
        }
        assert_eq!(neutralised("1-1".to_owned()), "1-1");
    }

    #[test]
    fn yuan_from_fen() {
        assert_eq!(
            [0, 5, 100, -12345, i64::MIN].map(yuan),
            ["0.00", "0.05", "1.00", "-123.45", "-92233720368547758.08"]
        );
    }
}
