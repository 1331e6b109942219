//! Mandates.

use jjj_domain::care::bill::FeeType;
use jjj_domain::care::mandate::{CreateMandate, MandateRow, RevokeMandate};
use jjj_domain::id::Digest;
use jjj_domain::names::Collection;
use jjj_domain::rejection::Rejection;
use jjj_domain::time::Date;

use crate::enums::enum_value;
use crate::parse::{choice, date, each, name, text, who};
use crate::pb;

impl TryFrom<&pb::CreateMandateRequest> for CreateMandate {
    type Error = Rejection;
    fn try_from(request: &pb::CreateMandateRequest) -> Result<Self, Rejection> {
        Ok(Self {
            programme: request.programme.clone(),
            elder: name("elder", &request.elder, Collection::Elder)?,
            contract: name("contract", &request.contract, Collection::Contract)?,
            channel: who("channel", &request.channel, "channels/{id}")?,
            fee_types: each("fee_types", &request.fee_types, |field, fee| choice::<pb::FeeType, FeeType>(field, *fee))?,
            monthly_cap_fen: request.monthly_cap_fen,
            valid_from: date("valid_from", &request.valid_from)?,
            valid_until: date("valid_until", &request.valid_until)?,
            consent_sha256: Digest::parse_field("consent_sha256", &request.consent_sha256)?,
        })
    }
}

impl TryFrom<&pb::RevokeMandateRequest> for RevokeMandate {
    type Error = Rejection;
    fn try_from(request: &pb::RevokeMandateRequest) -> Result<Self, Rejection> {
        Ok(Self {
            mandate: name("mandate", &request.mandate, Collection::Mandate)?,
            reason: text("reason", &request.reason)?,
        })
    }
}

/// A mandate as it stands on a day.
pub fn mandate(row: &MandateRow, today: Date) -> pb::Mandate {
    pb::Mandate {
        name: row.mandate.clone(),
        region: row.region.to_string(),
        programme: row.programme.clone(),
        elder: row.person.clone(),
        contract: row.contract.clone(),
        institution_region: row.institution_region.to_string(),
        channel: row.channel.to_string(),
        fee_types: row.fee_types.0.iter().map(|fee| enum_value::<pb::FeeType>(fee.as_str())).collect(),
        monthly_cap_fen: row.monthly_cap_fen,
        valid_from: row.valid_from.to_string(),
        valid_until: row.valid_until.to_string(),
        consent_sha256: row.consent_sha256.clone(),
        state: enum_value::<pb::MandateState>(row.state.as_str()),
        in_force: row.in_force_on(today),
        reason: row.reason.clone(),
        version: row.version,
        recorded_time_us: row.recorded_at_us.0,
    }
}

#[cfg(test)]
mod tests {
    use jjj_domain::rejection::Reason::{self, EnumUnspecified, FieldMalformed, FieldMissing};

    use super::*;

    fn good() -> pb::CreateMandateRequest {
        pb::CreateMandateRequest {
            request_id: String::new(),
            programme: "care_subsidy".into(),
            elder: "elders/1".into(),
            contract: "contracts/1".into(),
            channel: "channels/unionpay".into(),
            fee_types: vec![pb::FeeType::Bed.into(), pb::FeeType::Nursing.into()],
            monthly_cap_fen: 60_000,
            valid_from: "2026-01-01".into(),
            valid_until: "2026-12-31".into(),
            consent_sha256: "0".repeat(64),
        }
    }

    #[test]
    fn a_well_formed_request_is_read_whole() {
        let command = CreateMandate::try_from(&good()).unwrap();
        assert_eq!(command.fee_types, [FeeType::Bed, FeeType::Nursing]);
        assert_eq!((command.monthly_cap_fen, command.valid_until.to_string()), (60_000, "2026-12-31".into()));
    }

    #[test]
    fn refusals() {
        type Spoil = fn(&mut pb::CreateMandateRequest);
        let table: [(Spoil, Reason, &str); 11] = [
            (|r| r.elder.clear(), FieldMissing, "elder"),
            (|r| r.elder = "parties/1".into(), FieldMalformed, "elder"),
            (|r| r.contract.clear(), FieldMissing, "contract"),
            (|r| r.contract = "contracts/".into(), FieldMalformed, "contract"),
            (|r| r.channel = "unionpay".into(), FieldMalformed, "channel"),
            (|r| r.fee_types[1] = 0, EnumUnspecified, "fee_types[1]"),
            (|r| r.fee_types[0] = 77, EnumUnspecified, "fee_types[0]"),
            (|r| r.valid_from.clear(), FieldMissing, "valid_from"),
            (|r| r.valid_until = "2026-02-29".into(), FieldMalformed, "valid_until"),
            (|r| r.consent_sha256.clear(), FieldMissing, "consent_sha256"),
            (|r| r.consent_sha256 = "A".repeat(64), FieldMalformed, "consent_sha256"),
        ];
        for (spoil, reason, field) in table {
            let mut request = good();
            spoil(&mut request);
            let refused = CreateMandate::try_from(&request).unwrap_err();
            assert_eq!((refused.reason, refused.field.as_deref()), (reason, Some(field)));
        }
        let revoke = pb::RevokeMandateRequest { mandate: "mandates".into(), ..Default::default() };
        assert_eq!(RevokeMandate::try_from(&revoke).unwrap_err().field.as_deref(), Some("mandate"));
    }
}
