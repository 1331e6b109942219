//! Settlement statements and payouts.

use jjj_domain::names::{Collection, Participant};
use jjj_domain::rejection::Rejection;
use jjj_domain::settlement::{CycleRow, FunderShare, MatchPayout, PayoutRow, ReportPayout, StatementRow};
use jjj_domain::time::Date;

use crate::enums::enum_value;
use crate::parse::{date, name, optional, or_empty, text};
use crate::payment::channel;
use crate::pb;

/// The cycle that is asked for.
pub fn cycle_of(request: &pb::PrepareSettlementRequest) -> Result<(Participant, Date), Rejection> {
    Ok((channel("channel", &request.channel)?, date("clearing_date", &request.clearing_date)?))
}

impl TryFrom<&pb::ReportPayoutRequest> for ReportPayout {
    type Error = Rejection;
    fn try_from(request: &pb::ReportPayoutRequest) -> Result<Self, Rejection> {
        Ok(Self {
            reference: text("reference", &request.reference)?,
            end_to_end_id: text("end_to_end_id", &request.end_to_end_id)?,
            institution: optional(&request.institution, |text| name("institution", text, Collection::Institution))?,
            account_last4: text("account_last4", &request.account_last4)?,
            amount_fen: request.amount_fen,
            paid_on: date("paid_on", &request.paid_on)?,
        })
    }
}

impl TryFrom<&pb::MatchPayoutRequest> for MatchPayout {
    type Error = Rejection;
    fn try_from(request: &pb::MatchPayoutRequest) -> Result<Self, Rejection> {
        Ok(Self { payout: name("payout", &request.payout, Collection::Payout)? })
    }
}

impl From<&CycleRow> for pb::SettlementCycle {
    fn from(row: &CycleRow) -> Self {
        Self {
            channel: row.channel.to_string(),
            clearing_date: row.clearing_date.to_string(),
            ledger_number: row.cut,
            version: row.version,
        }
    }
}

impl From<&StatementRow> for pb::SettlementStatement {
    fn from(row: &StatementRow) -> Self {
        Self {
            name: row.statement.clone(),
            channel: row.channel.to_string(),
            region: row.region.to_string(),
            programme: row.programme.clone(),
            institution: or_empty(&row.institution),
            institution_region: or_empty(&row.institution_region),
            from_date: row.from_date.to_string(),
            clearing_date: row.clearing_date.to_string(),
            gross_fen: row.gross_fen,
            refunds_fen: row.refunds_fen,
            fees_fen: row.fees_fen,
            adjustments_fen: row.adjustments_fen,
            brought_forward_fen: row.brought_forward_fen,
            withheld_fen: row.withheld_fen,
            net_fen: row.net_fen,
            funders: row.funders.0.iter().map(share).collect(),
            settlement_account: or_empty(&row.settlement_account),
            account_last4: row.account_last4.clone(),
            end_to_end_id: row.end_to_end_id.clone(),
            due_on: row.due_on.to_string(),
            state: enum_value::<pb::SettlementStatementState>(row.state.as_str()),
            paid_fen: row.paid_fen,
            payout: or_empty(&row.payout),
            version: row.version,
            recorded_time_us: row.recorded_at_us.0,
        }
    }
}

fn share(share: &FunderShare) -> pb::FunderShare {
    pb::FunderShare {
        division: share.division.clone(),
        payments: share.payments,
        gross_fen: share.gross_fen,
        refunds: share.refunds,
        refunds_fen: share.refunds_fen,
    }
}

impl From<&PayoutRow> for pb::Payout {
    fn from(row: &PayoutRow) -> Self {
        Self {
            name: row.payout.clone(),
            channel: row.channel.to_string(),
            reference: row.reference.clone(),
            end_to_end_id: row.end_to_end_id.clone(),
            institution: or_empty(&row.institution),
            account_last4: row.account_last4.clone(),
            amount_fen: row.amount_fen,
            paid_on: row.paid_on.to_string(),
            state: enum_value::<pb::PayoutState>(row.state.as_str()),
            rule: enum_value::<pb::PayoutRule>(row.rule.as_str()),
            statements: row.statements.0.clone(),
            reconciliation_break: or_empty(&row.break_name),
            version: row.version,
            recorded_time_us: row.recorded_at_us.0,
            proof: enum_value::<pb::PayoutProofState>(row.proof.as_str()),
            proof_rule: row.proof_rule.map_or(0, |rule| enum_value::<pb::ProofRule>(rule.as_str())),
            bank_entries: row.bank_entries.0.clone(),
            proven_on: or_empty(&row.proven_on),
        }
    }
}

#[cfg(test)]
mod tests {
    use jjj_domain::rejection::Reason::{FieldMalformed, FieldMissing};

    use super::*;

    #[test]
    fn refusals() {
        let whole = pb::ReportPayoutRequest {
            reference: "P1".into(),
            institution: "institutions/1".into(),
            amount_fen: 1,
            paid_on: "2026-11-20".into(),
            ..Default::default()
        };
        assert!(ReportPayout::try_from(&whole).is_ok());
        let bad = pb::ReportPayoutRequest { institution: "elders/1".into(), ..whole.clone() };
        assert_eq!(ReportPayout::try_from(&bad).unwrap_err().reason, FieldMalformed);
        let undated = pb::ReportPayoutRequest { paid_on: String::new(), ..whole };
        assert_eq!(ReportPayout::try_from(&undated).unwrap_err().field.as_deref(), Some("paid_on"));
        assert_eq!(MatchPayout::try_from(&Default::default()).unwrap_err().reason, FieldMissing);
        assert_eq!(cycle_of(&Default::default()).unwrap_err().field.as_deref(), Some("channel"));
    }
}
