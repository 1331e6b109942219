//! What a payment's unmet condition lacks: stable for machines, bilingual for people.

use std::fmt;

macro_rules! lacks {
    ($($(#[$m:meta])* $V:ident $code:literal $en:literal $zh:literal)+) => {
        /// Why a condition is not met.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum LackKind { $( $(#[$m])* $V ),+ }

        impl LackKind {
            pub const ALL: &'static [Self] = &[$(Self::$V),+];
            /// UPPER_SNAKE_CASE; API, never renamed.
            pub const fn code(self) -> &'static str { match self { $(Self::$V => $code),+ } }
            const fn template_en(self) -> &'static str { match self { $(Self::$V => $en),+ } }
            const fn template_zh(self) -> &'static str { match self { $(Self::$V => $zh),+ } }
        }
    };
}

lacks! {
    ContractNotInForce "CONTRACT_NOT_IN_FORCE" "no day of the bill's month is covered by the contract ({about})" "合同在账单月份内未生效（{about}）"
    EvidenceNotAccepted "EVIDENCE_NOT_ACCEPTED" "contract evidence of this kind is not accepted ({about})" "不接受此类合同凭证（{about}）"
    NoStayInMonth "NO_STAY_IN_MONTH" "the elder has no stay in the institution in {about}" "老年人 {about} 未入住该机构"
    RatingNotRecognized "RATING_NOT_RECOGNIZED" "the paying region relies on no rating of {about}" "付款地区未互认 {about} 的等级"
    GradeTooLow "GRADE_TOO_LOW" "the recognized grade {about} is below what the programme asks for" "互认等级 {about} 低于项目要求"
    BasisNotHeld "BASIS_NOT_HELD" "the paying region relies on no eligibility basis of {about}" "付款地区没有 {about} 的有效资格依据"
    FeeTypeNotPaid "FEE_TYPE_NOT_PAID" "the programme does not pay fees of type {about}" "项目不支付 {about} 类费用"
    BillVoided "BILL_VOIDED" "the bill is void ({about})" "账单已作废（{about}）"
    LineExceeded "LINE_EXCEEDED" "{about} fen of the bill line are open" "账单行剩余应付 {about} 分"
    FundsShort "FUNDS_SHORT" "{about} fen are available" "可用余额 {about} 分"
}

/// Why a condition is not met, and the record, value or amount concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lack {
    pub kind: LackKind,
    pub about: String,
}

impl Lack {
    pub(super) fn new(kind: LackKind, about: impl ToString) -> Self {
        Self { kind, about: about.to_string() }
    }

    pub fn message_en(&self) -> String {
        self.kind.template_en().replace("{about}", &self.about)
    }

    pub fn message_zh(&self) -> String {
        self.kind.template_zh().replace("{about}", &self.about)
    }
}

/// As a payment's record and a refusal carry it.
impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.kind.code(), self.about)
    }
}
