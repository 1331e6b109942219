//! What reports share, whoever renders them: ages, languages, amounts, what classes are called.

use super::rows::BreakClass;
use crate::text_enum;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_fall_into_their_buckets() {
        let buckets = [0, 1, 2, 7, 8, 30, 31].map(|days| AgeBucket::of(days).as_str());
        assert_eq!(buckets, ["0-1", "0-1", "2-7", "2-7", "8-30", "8-30", ">30"]);
    }

    #[test]
    fn yuan_from_fen() {
        assert_eq!(
            [0, 5, 100, -12345, i64::MIN].map(yuan),
            ["0.00", "0.05", "1.00", "-123.45", "-92233720368547758.08"]
        );
    }
}
