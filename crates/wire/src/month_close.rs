//! Month closes and vouchers.

use jjj_domain::close::{CloseRow, DecideClose, ProposeClose, TrialLine, Voucher, VoucherLine};
use jjj_domain::rejection::Rejection;

use crate::enums::enum_value;
use crate::ledger::account_name;
use crate::parse::{month, or_empty, parsed, text};
use crate::pb;

impl TryFrom<&pb::ProposeCloseRequest> for ProposeClose {
    type Error = Rejection;
    fn try_from(request: &pb::ProposeCloseRequest) -> Result<Self, Rejection> {
        Ok(Self {
            book: parsed("book", &request.book, "{6 digits}/{programme}")?,
            month: month("month", &request.month)?,
            reason: text("reason", &request.reason)?,
        })
    }
}

impl TryFrom<&pb::DecideCloseRequest> for DecideClose {
    type Error = Rejection;
    fn try_from(request: &pb::DecideCloseRequest) -> Result<Self, Rejection> {
        let (book, month) = CloseRow::parse_name("month_close", &request.month_close)?;
        Ok(Self { book, month, approve: request.approve, reason: text("reason", &request.reason)? })
    }
}

pub fn trial_line(line: &TrialLine) -> pb::TrialBalanceAccount {
    pb::TrialBalanceAccount {
        account: account_name(&line.account),
        opening_fen: line.opening_fen,
        debit_fen: line.debit_fen,
        credit_fen: line.credit_fen,
        closing_fen: line.closing_fen(),
    }
}

impl From<&CloseRow> for pb::MonthClose {
    fn from(row: &CloseRow) -> Self {
        Self {
            name: CloseRow::name(&row.book, row.month),
            book: row.book.to_string(),
            month: row.month.to_string(),
            state: enum_value::<pb::CloseState>(row.state.as_str()),
            accounts: row.trial.0.iter().map(trial_line).collect(),
            transfers: row.transfers,
            proposed_by: row.proposed_by.to_string(),
            proposal_reason: row.proposal_reason.clone(),
            decided_by: or_empty(&row.decided_by),
            decision_reason: or_empty(&row.decision_reason),
            version: row.version,
            recorded_time_us: row.recorded_at_us.0,
        }
    }
}

impl From<&Voucher> for pb::Voucher {
    fn from(voucher: &Voucher) -> Self {
        Self {
            number: voucher.number,
            date: voucher.date.to_string(),
            kind: voucher.entry.to_string(),
            summary_zh: voucher.summary_zh.clone(),
            summary_en: voucher.summary_en.clone(),
            lines: voucher.lines.iter().map(line).collect(),
            attachments: voucher.attachments,
        }
    }
}

fn line(line: &VoucherLine) -> pb::VoucherLine {
    pb::VoucherLine {
        account_code: line.account_code.clone(),
        account_zh: line.account_zh.clone(),
        account_en: line.account_en.clone(),
        detail: line.detail.clone(),
        debit_fen: line.debit_fen,
        credit_fen: line.credit_fen,
    }
}

#[cfg(test)]
mod tests {
    use jjj_domain::rejection::Reason::{FieldMalformed, FieldMissing};

    use super::*;

    #[test]
    fn a_close_is_named_by_book_and_month() {
        let decide = |month_close: &str| {
            let month_close = month_close.into();
            DecideClose::try_from(&pb::DecideCloseRequest { month_close, ..Default::default() })
        };
        let read = decide("monthCloses/110000/care_subsidy/2026-11").unwrap();
        assert_eq!(CloseRow::name(&read.book, read.month), "monthCloses/110000/care_subsidy/2026-11");
        for bad in ["monthCloses/110000/2026-11", "monthCloses/110000/care_subsidy/2026", "runs/110000/x/2026-11"] {
            assert_eq!(decide(bad).unwrap_err().reason, FieldMalformed, "{bad}");
        }
        assert_eq!(decide("").unwrap_err().reason, FieldMissing);
        assert_eq!(ProposeClose::try_from(&Default::default()).unwrap_err().field.as_deref(), Some("book"));
    }
}
