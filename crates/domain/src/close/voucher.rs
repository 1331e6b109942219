//! Vouchers (记账凭证) of a month: one for each kind of entry, in control accounts, balanced.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::ledger::{Account, AccountKind, EntryKind, GeneralLedgerRow};
use crate::policy::AccountingPolicy;
use crate::time::{Date, Month};

/// One side of a voucher.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VoucherLine {
    /// 科目编码, from the region's chart.
    pub account_code: String,
    /// 科目名称.
    pub account_zh: String,
    pub account_en: String,
    /// Subsidiary item (明细): channel, funder division and budget year; may be empty.
    pub detail: String,
    /// One of the two is zero.
    pub debit_fen: i64,
    pub credit_fen: i64,
}

/// A voucher. Debits equal credits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Voucher {
    /// From 1 within book and month.
    pub number: i64,
    /// The month's last day.
    pub date: Date,
    pub entry: EntryKind,
    /// 摘要.
    pub summary_zh: String,
    pub summary_en: String,
    pub lines: Vec<VoucherLine>,
    /// 附单据数: how many transfers it sums, each with its evidence in the log.
    pub attachments: i64,
}

/// The vouchers of a book's month, from its general ledger.
pub fn vouchers<'a>(
    rows: impl IntoIterator<Item = &'a GeneralLedgerRow>,
    month: Month,
    policy: &AccountingPolicy,
) -> Vec<Voucher> {
    let mut by_entry: BTreeMap<EntryKind, Vec<&GeneralLedgerRow>> = BTreeMap::new();
    for row in rows.into_iter().filter(|row| row.booking_month == month && row.amount_fen != 0) {
        by_entry.entry(row.entry).or_default().push(row);
    }
    let voucher = |(at, (entry, rows)): (usize, (EntryKind, Vec<&GeneralLedgerRow>))| {
        let mut sides: BTreeMap<(bool, &Account), i64> = BTreeMap::new();
        for row in &rows {
            *sides.entry((false, &row.debit)).or_default() += row.amount_fen;
            *sides.entry((true, &row.credit)).or_default() += row.amount_fen;
        }
        let line = |((is_credit, account), fen): ((bool, &Account), i64)| {
            let title = policy.title(account.kind);
            VoucherLine {
                account_code: title.code,
                account_zh: title.title_zh,
                account_en: title.title_en,
                detail: detail(account),
                debit_fen: if is_credit { 0 } else { fen },
                credit_fen: if is_credit { fen } else { 0 },
            }
        };
        let (summary_zh, summary_en) = summary(entry);
        Voucher {
            number: at as i64 + 1,
            date: month.last_day(),
            entry,
            summary_zh: summary_zh.to_owned(),
            summary_en: summary_en.to_owned(),
            lines: sides.into_iter().map(line).collect(),
            attachments: rows.iter().map(|row| row.transfers).sum(),
        }
    };
    by_entry.into_iter().enumerate().map(voucher).collect()
}

/// `110108 2026`, `unionpay`.
fn detail(account: &Account) -> String {
    let dimensions = match account.kind {
        AccountKind::Payable | AccountKind::Entitlement => [account.b.as_str(), ""],
        _ => [account.a.as_str(), account.b.as_str()],
    };
    dimensions.join(" ").trim().to_owned()
}

/// What an entry is called in a voucher.
const fn summary(entry: EntryKind) -> (&'static str, &'static str) {
    use EntryKind::*;
    match entry {
        BudgetAllotted => ("收到补贴拨款", "budget allotted"),
        MonthGranted => ("核发当月补贴", "month granted"),
        ChannelFunded => ("拨付渠道备付金", "channel funded"),
        Credited => ("补贴入老人专户", "credited to elders"),
        Authorised => ("付款预占", "authorised"),
        HoldReversed => ("预占冲销", "hold reversed"),
        Confirmed => ("专户付款", "payments confirmed"),
        Advised => ("事后通知付款", "payments advised"),
        Matched => ("对账相符，转应付机构款", "matched in the file"),
        HeldButInFile => ("文件列示的预占付款", "held, but in the file"),
        FeeInstitution => ("机构承担手续费", "fee borne by the institution"),
        FeeRegion => ("地区承担手续费", "fee borne by the region"),
        Settled => ("结算拨付机构款", "settled to institutions"),
        SettledFee => ("结算渠道手续费", "channel fee settled"),
        Voided => ("消费撤销", "payments voided"),
        RefundConfirmed => ("退款退回专户", "refunds confirmed"),
        RefundInFile => ("对账相符退款", "refunds in the file"),
        LateConfirmation => ("迟到确认挂账", "late confirmations into suspense"),
        LateKept => ("迟到确认预留", "kept for late confirmations"),
        LateAccepted => ("挂账转由专户承担", "suspense borne by elders' accounts"),
        LateShortfall => ("挂账差额转待追回", "shortfall charged to receivable"),
        LateRefunded => ("渠道退回挂账款", "suspense refunded by the channel"),
        ChannelOnly => ("渠道长款挂账", "channel's surplus into suspense"),
        Duplicate => ("重复入账挂账", "duplicates into suspense"),
        LedgerOnlyCleared => ("短款调账退回专户", "ledger-only amounts given back"),
        AmountFileLess => ("金额差额退回专户", "difference given back, file less"),
        AmountFileMore => ("金额差额挂账", "difference into suspense, file more"),
        SuspenseRepaid => ("挂账款收回", "suspense repaid"),
        FeeFileMore => ("手续费差额挂账", "fee difference into suspense"),
        FeeMoreAccepted => ("机构认可手续费差额", "fee difference accepted by the institution"),
        FeeMoreRepaid => ("渠道退还手续费差额", "fee difference repaid by the channel"),
        FeeFileLess => ("手续费少收调整", "fee less than agreed"),
        RefundOrphan => ("无原交易退款挂账", "refund without payment into suspense"),
        RefundOrphanAccepted => ("挂账退款转入专户", "refund in suspense credited to the elder"),
        ClawbackUncredited => ("收回未入账补贴", "uncredited grants taken back"),
        ClawbackReturned => ("渠道退回多发补贴", "grants returned by the channel"),
        ClawbackSpent => ("已用多发补贴转待追回", "spent grants to be recovered"),
        Recovered => ("收回待追回款", "receivables recovered"),
        SpentElsewhere => ("专户其他支出", "spent elsewhere"),
        PaidToEstate => ("余额付遗产", "paid to the estate"),
        WrittenOff => ("核销", "written off"),
        OperatingSubsidyApproved => ("核定运营补贴", "operating subsidies approved"),
        OperatingSubsidyConfirmed => ("银行确认拨付运营补贴", "operating subsidies paid by the bank"),
        OperatingSubsidyOnStatement => ("运营补贴对账单列示", "operating subsidies on the statement"),
        OperatingSubsidyReturned => ("运营补贴退汇", "operating subsidies returned"),
    }
}
