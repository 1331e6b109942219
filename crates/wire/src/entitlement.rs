//! Grants, money events, balances.

use jjj_domain::entitlement::{
    AllotBudget, ClawBackGrant, CreditOutcome, FundChannel, GrantEntitlement, GrantRow, MoneyEventRow, RecordRecovery,
    ReportClawbackReturn, ReportCredit, ReportEstatePayout, ReportOutsideSpending, Spending,
};
use jjj_domain::id::DivisionCode;
use jjj_domain::names::{Collection, Name};
use jjj_domain::rejection::{Reason, Rejection};

use crate::enums::enum_value;
use crate::parse::{date, month, name, optional, or_empty, text};
use crate::payment::{channel, region};
use crate::pb;

impl TryFrom<&pb::AllotBudgetRequest> for AllotBudget {
    type Error = Rejection;
    fn try_from(request: &pb::AllotBudgetRequest) -> Result<Self, Rejection> {
        Ok(Self {
            programme: request.programme.clone(),
            funder_division: DivisionCode::parse_field("funder_division", &request.funder_division)?,
            year: request.budget_year.into(),
            amount_fen: request.amount_fen,
            reference: text("reference", &request.reference)?,
        })
    }
}

impl TryFrom<&pb::FundChannelRequest> for FundChannel {
    type Error = Rejection;
    fn try_from(request: &pb::FundChannelRequest) -> Result<Self, Rejection> {
        Ok(Self {
            programme: request.programme.clone(),
            channel: channel("channel", &request.channel)?,
            amount_fen: request.amount_fen,
            reference: text("reference", &request.reference)?,
        })
    }
}

impl TryFrom<&pb::GrantEntitlementRequest> for GrantEntitlement {
    type Error = Rejection;
    fn try_from(request: &pb::GrantEntitlementRequest) -> Result<Self, Rejection> {
        let bases = [Collection::Assessment, Collection::DisabilityCertificate];
        Ok(Self {
            person: name("elder", &request.elder, Collection::Elder)?,
            programme: request.programme.clone(),
            month: month("month", &request.month)?,
            basis: optional(&request.basis, |t| Name::parse_field("basis", t, &bases))?,
            channel: channel("channel", &request.channel)?,
        })
    }
}

fn grant_name(text: &str) -> Result<Name, Rejection> {
    name("grant", text, Collection::Grant)
}

impl TryFrom<&pb::ReportCreditRequest> for ReportCredit {
    type Error = Rejection;
    fn try_from(request: &pb::ReportCreditRequest) -> Result<Self, Rejection> {
        let grant = grant_name(&request.grant)?;
        let not_applicable = |field, outcome| Err(Reason::FieldNotApplicable.field(field).var("scheme", outcome));
        let outcome = match pb::CreditOutcome::try_from(request.outcome) {
            Ok(pb::CreditOutcome::Credited) if !request.reason.is_empty() => {
                return not_applicable("reason", "CREDITED");
            }
            Ok(pb::CreditOutcome::Credited) => CreditOutcome::Credited { amount_fen: request.amount_fen },
            Ok(pb::CreditOutcome::Failed) if request.amount_fen != 0 => return not_applicable("amount_fen", "FAILED"),
            Ok(pb::CreditOutcome::Failed) => CreditOutcome::Failed { reason: text("reason", &request.reason)? },
            Ok(pb::CreditOutcome::Unspecified) | Err(_) => return Err(Reason::EnumUnspecified.field("outcome")),
        };
        Ok(Self { grant, outcome })
    }
}

impl TryFrom<&pb::ReportOutsideSpendingRequest> for ReportOutsideSpending {
    type Error = Rejection;
    fn try_from(request: &pb::ReportOutsideSpendingRequest) -> Result<Self, Rejection> {
        Ok(Self(Spending {
            person: name("elder", &request.elder, Collection::Elder)?,
            region: optional(&request.region, |t| region("region", t))?,
            programme: request.programme.clone(),
            amount_fen: request.amount_fen,
            occurred_on: date("occurred_on", &request.occurred_on)?,
            reference: text("reference", &request.reference)?,
        }))
    }
}

impl TryFrom<&pb::ReportEstatePayoutRequest> for ReportEstatePayout {
    type Error = Rejection;
    fn try_from(request: &pb::ReportEstatePayoutRequest) -> Result<Self, Rejection> {
        Ok(Self(Spending {
            person: name("elder", &request.elder, Collection::Elder)?,
            region: optional(&request.region, |t| region("region", t))?,
            programme: request.programme.clone(),
            amount_fen: request.amount_fen,
            occurred_on: date("occurred_on", &request.occurred_on)?,
            reference: text("reference", &request.reference)?,
        }))
    }
}

impl TryFrom<&pb::ClawBackGrantRequest> for ClawBackGrant {
    type Error = Rejection;
    fn try_from(request: &pb::ClawBackGrantRequest) -> Result<Self, Rejection> {
        Ok(Self { grant: grant_name(&request.grant)?, reason: text("reason", &request.reason)? })
    }
}

impl TryFrom<&pb::ReportClawbackReturnRequest> for ReportClawbackReturn {
    type Error = Rejection;
    fn try_from(request: &pb::ReportClawbackReturnRequest) -> Result<Self, Rejection> {
        Ok(Self { grant: grant_name(&request.grant)?, returned_fen: request.returned_fen })
    }
}

impl TryFrom<&pb::RecordRecoveryRequest> for RecordRecovery {
    type Error = Rejection;
    fn try_from(request: &pb::RecordRecoveryRequest) -> Result<Self, Rejection> {
        Ok(Self {
            programme: request.programme.clone(),
            elder: name("elder", &request.elder, Collection::Elder)?,
            amount_fen: request.amount_fen,
            reference: text("reference", &request.reference)?,
        })
    }
}

impl From<&GrantRow> for pb::Grant {
    fn from(row: &GrantRow) -> Self {
        Self {
            name: row.grant.clone(),
            elder: row.person.clone(),
            region: row.region.to_string(),
            programme: row.programme.clone(),
            month: row.month.to_string(),
            channel: row.channel.to_string(),
            funder_division: row.funder_division.clone(),
            tier: row.tier.clone(),
            amount_fen: row.amount_fen,
            basis: row.basis.clone(),
            basis_version: row.basis_version,
            state: enum_value::<pb::GrantState>(row.state.as_str()),
            credited_fen: row.credited_fen,
            clawed_back_fen: row.clawed_back_fen,
            returned_fen: row.returned_fen,
            reason: row.reason.clone(),
            version: row.version,
            recorded_time_us: row.recorded_at_us.0,
        }
    }
}

impl From<&MoneyEventRow> for pb::MoneyEvent {
    fn from(row: &MoneyEventRow) -> Self {
        Self {
            name: row.event.clone(),
            kind: enum_value::<pb::MoneyEventKind>(row.kind.as_str()),
            region: row.region.to_string(),
            programme: row.programme.clone(),
            channel: or_empty(&row.channel),
            elder: or_empty(&row.person),
            funder_division: row.funder_division.clone(),
            amount_fen: row.amount_fen,
            occurred_on: row.occurred_on.to_string(),
            reference: row.reference.clone(),
            version: row.version,
            recorded_time_us: row.recorded_at_us.0,
            reporter: row.reporter.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use jjj_domain::rejection::Reason::{EnumUnspecified, FieldMalformed, FieldMissing, FieldNotApplicable};

    use super::*;

    fn said<T: std::fmt::Debug>(result: Result<T, Rejection>) -> (Reason, String) {
        let rejection = result.unwrap_err();
        (rejection.reason, rejection.field.unwrap_or_default())
    }

    fn good() -> pb::GrantEntitlementRequest {
        pb::GrantEntitlementRequest {
            request_id: String::new(),
            elder: "elders/1".into(),
            programme: "care_subsidy".into(),
            month: "2026-11".into(),
            basis: "disabilityCertificates/1".into(),
            channel: "channels/unionpay".into(),
        }
    }

    #[test]
    fn refusals_of_a_grant() {
        type Spoil = fn(&mut pb::GrantEntitlementRequest);
        let table: [(Spoil, Reason, &str); 7] = [
            (|r| r.elder.clear(), FieldMissing, "elder"),
            (|r| r.elder = "parties/1".into(), FieldMalformed, "elder"),
            (|r| r.month.clear(), FieldMissing, "month"),
            (|r| r.month = "2026-11-01".into(), FieldMalformed, "month"),
            (|r| r.basis = "ratings/1".into(), FieldMalformed, "basis"),
            (|r| r.channel.clear(), FieldMissing, "channel"),
            (|r| r.channel = "regions/110000".into(), FieldMalformed, "channel"),
        ];
        for (spoil, reason, field) in table {
            let mut request = good();
            spoil(&mut request);
            assert_eq!(said(GrantEntitlement::try_from(&request)), (reason, field.to_owned()));
        }
        let open = pb::GrantEntitlementRequest { basis: String::new(), ..good() };
        assert_eq!(GrantEntitlement::try_from(&open).unwrap().basis, None);
    }

    #[test]
    fn a_credit_is_one_thing_or_the_other() {
        let credit = |outcome: i32, amount_fen, reason: &str| {
            let reason = reason.to_owned();
            let request =
                pb::ReportCreditRequest { grant: "grants/1".into(), outcome, amount_fen, reason, ..Default::default() };
            ReportCredit::try_from(&request)
        };
        let (credited, failed) = (pb::CreditOutcome::Credited.into(), pb::CreditOutcome::Failed.into());
        assert!(matches!(credit(credited, 5, "").unwrap().outcome, CreditOutcome::Credited { amount_fen: 5 }));
        assert!(matches!(credit(failed, 0, "closed").unwrap().outcome, CreditOutcome::Failed { .. }));
        assert_eq!(said(credit(credited, 5, "closed")), (FieldNotApplicable, "reason".into()));
        assert_eq!(said(credit(failed, 5, "closed")), (FieldNotApplicable, "amount_fen".into()));
        assert_eq!(said(credit(0, 5, "")), (EnumUnspecified, "outcome".into()));
        assert_eq!(said(credit(77, 5, "")), (EnumUnspecified, "outcome".into()));
        assert_eq!(said(ReportCredit::try_from(&pb::ReportCreditRequest::default())), (FieldMissing, "grant".into()));
    }

    #[test]
    fn refusals_of_the_others() {
        let budget = |division: &str| {
            AllotBudget::try_from(&pb::AllotBudgetRequest { funder_division: division.into(), ..Default::default() })
        };
        assert_eq!(said(budget("")), (FieldMissing, "funder_division".into()));
        assert_eq!(said(budget("11010")), (FieldMalformed, "funder_division".into()));
        assert!(budget("110108").is_ok());
        let fund = pb::FundChannelRequest { channel: "unionpay".into(), ..Default::default() };
        assert_eq!(said(FundChannel::try_from(&fund)), (FieldMalformed, "channel".into()));
        let spend = |elder: &str, region: &str, occurred_on: &str| {
            let (elder, region, occurred_on) = (elder.into(), region.into(), occurred_on.into());
            ReportOutsideSpending::try_from(&pb::ReportOutsideSpendingRequest {
                elder,
                region,
                occurred_on,
                ..Default::default()
            })
        };
        assert_eq!(said(spend("", "", "")), (FieldMissing, "elder".into()));
        assert_eq!(said(spend("elders/1", "gateway", "")), (FieldMalformed, "region".into()));
        assert_eq!(said(spend("elders/1", "", "")), (FieldMissing, "occurred_on".into()));
        assert_eq!(said(ReportEstatePayout::try_from(&Default::default())), (FieldMissing, "elder".into()));
        assert_eq!(said(ClawBackGrant::try_from(&Default::default())), (FieldMissing, "grant".into()));
        assert_eq!(said(ReportClawbackReturn::try_from(&Default::default())), (FieldMissing, "grant".into()));
        assert_eq!(said(RecordRecovery::try_from(&Default::default())), (FieldMissing, "elder".into()));
    }
}
