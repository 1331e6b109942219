//! What stored texts are called.

use jjj_domain::id::DivisionCode;
use jjj_domain::ledger::AccountKind;
use jjj_domain::recon::report::{AgeBucket, Language, class_title};
use jjj_domain::recon::{BreakCategory, BreakClass, BreakState, Resolution, RunState, ViewState};
use jjj_domain::settlement::StatementState;

use crate::model::{Cell, Fact, Tone};

/// Names in one language.
#[derive(Clone, Copy)]
pub struct Words(pub Language);

impl Words {
    pub const fn say<'a>(self, zh: &'a str, en: &'a str) -> &'a str {
        match self.0 {
            Language::Zh => zh,
            Language::En => en,
        }
    }

    pub fn fact(self, id: &'static str, zh: &str, en: &str, value: Cell) -> Fact {
        Fact { id, title: self.say(zh, en).to_owned(), value }
    }

    fn state(self, code: &str, (zh, en): (&str, &str), tone: Tone) -> Cell {
        Cell::State { code: code.to_owned(), title: self.say(zh, en).to_owned(), tone }
    }

    pub fn run_state(self, state: RunState) -> Cell {
        let (said, tone) = match state {
            RunState::Balanced => (("已对平", "Balanced"), Tone::Good),
            RunState::WithBreaks => (("有差错", "With breaks"), Tone::Warn),
            RunState::Incomplete => (("未完成", "Incomplete"), Tone::Bad),
        };
        self.state(state.as_str(), said, tone)
    }

    pub fn view_state(self, state: ViewState) -> Cell {
        let (said, tone) = match state {
            ViewState::Open => (("待签", "Open"), Tone::Plain),
            ViewState::Agreed => (("已签", "Agreed"), Tone::Good),
            ViewState::Disputed => (("有异议", "Disputed"), Tone::Bad),
            ViewState::Unsigned => (("逾期未签", "Unsigned"), Tone::Warn),
        };
        self.state(state.as_str(), said, tone)
    }

    pub fn statement_state(self, state: StatementState) -> Cell {
        let (said, tone) = match state {
            StatementState::Open => (("待付", "Open"), Tone::Warn),
            StatementState::Settled => (("已结", "Settled"), Tone::Good),
            StatementState::Carried => (("结转", "Carried"), Tone::Plain),
            StatementState::Taken => (("已转下期", "Taken"), Tone::Plain),
        };
        self.state(state.as_str(), said, tone)
    }

    pub fn break_state(self, state: BreakState) -> Cell {
        let (said, tone) = match state {
            BreakState::New => (("新发现", "New"), Tone::Bad),
            BreakState::Assigned => (("处理中", "Assigned"), Tone::Warn),
            BreakState::Proposed => (("待复核", "Proposed"), Tone::Warn),
            BreakState::Resolved => (("已处置", "Resolved"), Tone::Good),
        };
        self.state(state.as_str(), said, tone)
    }

    pub fn class(self, class: BreakClass) -> Cell {
        let title = class_title(class, self.0).to_owned();
        Cell::State { code: class.as_str().to_owned(), title, tone: Tone::Plain }
    }

    pub fn category(self, category: BreakCategory) -> Cell {
        let said = match category {
            BreakCategory::Difference => ("差异", "Difference"),
            BreakCategory::Finding => ("提示", "Finding"),
            BreakCategory::FileFault => ("文件问题", "File fault"),
        };
        self.state(category.as_str(), said, Tone::Plain)
    }

    pub fn resolution(self, resolution: Option<Resolution>) -> Cell {
        let Some(resolution) = resolution else { return Cell::Empty };
        let said = match resolution {
            Resolution::Accept => ("认可渠道", "Accept"),
            Resolution::Repay => ("渠道退还", "Repay"),
            Resolution::Release => ("解付", "Release"),
            Resolution::InstitutionBears => ("机构承担", "Institution bears"),
            Resolution::WriteOff => ("核销", "Write off"),
            Resolution::CorrectRecord => ("更正记录", "Correct record"),
            Resolution::Justified => ("情况属实", "Justified"),
            Resolution::Cleared => ("自动消除", "Cleared"),
        };
        self.state(resolution.as_str(), said, Tone::Plain)
    }

    pub fn age(self, bucket: AgeBucket) -> Cell {
        let (said, tone) = match bucket {
            AgeBucket::Days0To1 => (("0–1 天", "0–1 days"), Tone::Good),
            AgeBucket::Days2To7 => (("2–7 天", "2–7 days"), Tone::Plain),
            AgeBucket::Days8To30 => (("8–30 天", "8–30 days"), Tone::Warn),
            AgeBucket::Over30 => (("30 天以上", "Over 30 days"), Tone::Bad),
        };
        self.state(bucket.as_str(), said, tone)
    }

    pub fn account(self, kind: AccountKind) -> Cell {
        let said = match kind {
            AccountKind::Bank => ("银行存款", "Bank"),
            AccountKind::Prefund => ("渠道备付金", "Prefund at channel"),
            AccountKind::Expense => ("补贴支出", "Expense"),
            AccountKind::Receivable => ("应收追回款", "Receivable"),
            AccountKind::Suspense => ("待处理款项", "Suspense"),
            AccountKind::Appropriation => ("财政拨款", "Appropriation"),
            AccountKind::Granted => ("已核定待入账", "Granted"),
            AccountKind::Entitlement => ("专户余额", "Entitlement"),
            AccountKind::Clearing => ("在途清算", "Clearing"),
            AccountKind::Payable => ("应付机构款", "Payable"),
            AccountKind::FeePayable => ("应付手续费", "Fee payable"),
        };
        self.state(kind.as_str(), said, Tone::Plain)
    }

    /// `110108` or `regions/110000` by the division's name, which only Chinese has.
    pub fn division_name(self, code: &str) -> String {
        let digits = code.rsplit('/').next().unwrap_or_default();
        match (self.0, digits.parse::<DivisionCode>().ok().and_then(DivisionCode::name_zh)) {
            (Language::Zh, Some(name)) => name.to_owned(),
            _ => code.to_owned(),
        }
    }

    pub fn division(self, code: &str) -> Cell {
        Cell::State { code: code.to_owned(), title: self.division_name(code), tone: Tone::Plain }
    }

    pub fn yes_no(self, yes: bool) -> Cell {
        let (said, tone) = if yes { (("成立", "Holds"), Tone::Good) } else { (("不成立", "Fails"), Tone::Bad) };
        self.state(if yes { "true" } else { "false" }, said, tone)
    }
}
