//! Operating-subsidy claims.

use jjj_domain::id::DivisionCode;
use jjj_domain::names::{Collection, Name};
use jjj_domain::rejection::Rejection;
use jjj_domain::subsidy::{ApproveClaim, ClaimRow, ConfirmPayout, CreateClaim, DeclineClaim, ReturnPayout};

use crate::enums::enum_value;
use crate::parse::{date, month, name, or_empty, text};
use crate::payment::{channel, order_id, region};
use crate::pb;

impl TryFrom<&pb::CreateClaimRequest> for CreateClaim {
    type Error = Rejection;
    fn try_from(request: &pb::CreateClaimRequest) -> Result<Self, Rejection> {
        Ok(Self {
            institution: name("institution", &request.institution, Collection::Institution)?,
            payer: region("payer", &request.payer)?,
            month: month("month", &request.month)?,
        })
    }
}

fn claim_name(text: &str) -> Result<Name, Rejection> {
    name("claim", text, Collection::OperatingSubsidyClaim)
}

impl TryFrom<&pb::ApproveClaimRequest> for ApproveClaim {
    type Error = Rejection;
    fn try_from(request: &pb::ApproveClaimRequest) -> Result<Self, Rejection> {
        Ok(Self {
            claim: claim_name(&request.claim)?,
            amount_fen: request.amount_fen,
            funder_division: DivisionCode::parse_field("funder_division", &request.funder_division)?,
            channel: channel("channel", &request.channel)?,
        })
    }
}

impl TryFrom<&pb::DeclineClaimRequest> for DeclineClaim {
    type Error = Rejection;
    fn try_from(request: &pb::DeclineClaimRequest) -> Result<Self, Rejection> {
        Ok(Self { claim: claim_name(&request.claim)?, reason: text("reason", &request.reason)? })
    }
}

impl TryFrom<&pb::ConfirmPayoutRequest> for ConfirmPayout {
    type Error = Rejection;
    fn try_from(request: &pb::ConfirmPayoutRequest) -> Result<Self, Rejection> {
        Ok(Self {
            claim: claim_name(&request.claim)?,
            order_id: order_id(&request.order_id)?,
            amount_fen: request.amount_fen,
            clearing_date: date("clearing_date", &request.clearing_date)?,
        })
    }
}

impl TryFrom<&pb::ReturnPayoutRequest> for ReturnPayout {
    type Error = Rejection;
    fn try_from(request: &pb::ReturnPayoutRequest) -> Result<Self, Rejection> {
        Ok(Self { claim: claim_name(&request.claim)?, reason: text("reason", &request.reason)? })
    }
}

impl From<&ClaimRow> for pb::OperatingSubsidyClaim {
    fn from(row: &ClaimRow) -> Self {
        Self {
            name: row.claim.clone(),
            region: row.region.to_string(),
            payer: row.payer.to_string(),
            programme: row.programme.clone(),
            institution: row.institution.clone(),
            month: row.month.to_string(),
            stays: row.stays.0.clone(),
            amount_fen: row.amount_fen,
            state: enum_value::<pb::ClaimState>(row.state.as_str()),
            funder_division: or_empty(&row.funder_division),
            channel: or_empty(&row.channel),
            order_id: or_empty(&row.order_id),
            clearing_date: or_empty(&row.clearing_date),
            reason: row.reason.clone(),
            version: row.version,
            recorded_time_us: row.recorded_at_us.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use jjj_domain::rejection::Reason::{self, FieldMalformed, FieldMissing};

    use super::*;

    fn said<T: std::fmt::Debug>(result: Result<T, Rejection>) -> (Reason, String) {
        let rejection = result.unwrap_err();
        (rejection.reason, rejection.field.unwrap_or_default())
    }

    #[test]
    fn refusals() {
        let create = |institution: &str, payer: &str, month: &str| {
            let (institution, payer, month) = (institution.into(), payer.into(), month.into());
            CreateClaim::try_from(&pb::CreateClaimRequest { institution, payer, month, ..Default::default() })
        };
        assert_eq!(said(create("", "", "")), (FieldMissing, "institution".into()));
        assert_eq!(said(create("institutions/1", "channels/bank", "")), (FieldMalformed, "payer".into()));
        assert_eq!(said(create("institutions/1", "regions/110000", "2026")), (FieldMalformed, "month".into()));
        assert!(create("institutions/1", "regions/110000", "2026-10").is_ok());

        let claim = String::from("operatingSubsidyClaims/1");
        let approve = |funder_division: &str, channel: &str| {
            let (claim, funder_division, channel) = (claim.clone(), funder_division.into(), channel.into());
            ApproveClaim::try_from(&pb::ApproveClaimRequest { claim, funder_division, channel, ..Default::default() })
        };
        assert_eq!(said(approve("", "channels/bank")), (FieldMissing, "funder_division".into()));
        assert_eq!(said(approve("110108", "")), (FieldMissing, "channel".into()));
        assert!(approve("110108", "channels/bank").is_ok());

        let confirm = |order_id: &str, clearing_date: &str| {
            let (claim, order_id, clearing_date) = (claim.clone(), order_id.into(), clearing_date.into());
            ConfirmPayout::try_from(&pb::ConfirmPayoutRequest { claim, order_id, clearing_date, ..Default::default() })
        };
        assert_eq!(said(confirm("", "")), (FieldMissing, "order_id".into()));
        assert_eq!(said(confirm("P_000000001", "")), (FieldMalformed, "order_id".into()));
        assert_eq!(said(confirm("PAYOUT0001", "")), (FieldMissing, "clearing_date".into()));
        assert_eq!(said(DeclineClaim::try_from(&Default::default())), (FieldMissing, "claim".into()));
        assert_eq!(said(ReturnPayout::try_from(&Default::default())), (FieldMissing, "claim".into()));
    }
}
