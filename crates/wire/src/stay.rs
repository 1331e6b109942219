//! Stays.

use jjj_domain::care::stay::{AdmitElder, AmendStay, EndStay, StayEndReason, StayRow, VoidStay};
use jjj_domain::names::Collection;
use jjj_domain::rejection::Rejection;

use crate::enums::enum_value;
use crate::parse::{choice, date, name, optional, or_empty, text};
use crate::pb;

impl TryFrom<&pb::AdmitElderRequest> for AdmitElder {
    type Error = Rejection;
    fn try_from(request: &pb::AdmitElderRequest) -> Result<Self, Rejection> {
        Ok(Self {
            elder: name("elder", &request.elder, Collection::Elder)?,
            institution: name("institution", &request.institution, Collection::Institution)?,
            contract: optional(&request.contract, |t| name("contract", t, Collection::Contract))?,
            admitted_on: date("admitted_on", &request.admitted_on)?,
        })
    }
}

impl TryFrom<&pb::EndStayRequest> for EndStay {
    type Error = Rejection;
    fn try_from(request: &pb::EndStayRequest) -> Result<Self, Rejection> {
        Ok(Self {
            stay: name("stay", &request.stay, Collection::Stay)?,
            left_on: date("left_on", &request.left_on)?,
            end_reason: choice::<pb::StayEndReason, StayEndReason>("end_reason", request.end_reason)?,
        })
    }
}

impl TryFrom<&pb::AmendStayRequest> for AmendStay {
    type Error = Rejection;
    fn try_from(request: &pb::AmendStayRequest) -> Result<Self, Rejection> {
        Ok(Self {
            stay: name("stay", &request.stay, Collection::Stay)?,
            expected_version: request.expected_version,
            contract: optional(&request.contract, |t| name("contract", t, Collection::Contract))?,
            admitted_on: date("admitted_on", &request.admitted_on)?,
            left_on: optional(&request.left_on, |t| date("left_on", t))?,
            reason: text("reason", &request.reason)?,
        })
    }
}

impl TryFrom<&pb::VoidStayRequest> for VoidStay {
    type Error = Rejection;
    fn try_from(request: &pb::VoidStayRequest) -> Result<Self, Rejection> {
        Ok(Self { stay: name("stay", &request.stay, Collection::Stay)?, reason: text("reason", &request.reason)? })
    }
}

impl From<&StayRow> for pb::Stay {
    fn from(row: &StayRow) -> Self {
        Self {
            name: row.stay.clone(),
            elder: row.person.clone(),
            institution: row.institution.clone(),
            contract: or_empty(&row.contract),
            institution_region: row.institution_region.to_string(),
            household_region: row.household_region.to_string(),
            admitted_on: row.admitted_on.to_string(),
            left_on: or_empty(&row.left_on),
            state: enum_value::<pb::StayState>(row.state.as_str()),
            end_reason: row.end_reason.map_or(0, |reason| enum_value::<pb::StayEndReason>(reason.as_str())),
            reason: row.reason.clone(),
            version: row.version,
            recorded_time_us: row.recorded_at_us.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use jjj_domain::rejection::Reason::{self, EnumUnspecified, FieldMalformed, FieldMissing};

    use super::*;

    fn check(result: Result<(), Rejection>, reason: Reason, field: &str) {
        let refused = result.unwrap_err();
        assert_eq!((refused.reason, refused.field.as_deref()), (reason, Some(field)));
    }

    #[test]
    fn admissions() {
        let good = || pb::AdmitElderRequest {
            request_id: String::new(),
            elder: "elders/1".into(),
            institution: "institutions/1".into(),
            contract: "contracts/1".into(),
            admitted_on: "2026-01-01".into(),
        };
        assert!(AdmitElder::try_from(&good()).unwrap().contract.is_some());
        assert!(
            AdmitElder::try_from(&pb::AdmitElderRequest { contract: String::new(), ..good() })
                .unwrap()
                .contract
                .is_none()
        );
        type Spoil = fn(&mut pb::AdmitElderRequest);
        let table: [(Spoil, Reason, &str); 6] = [
            (|r| r.elder.clear(), FieldMissing, "elder"),
            (|r| r.elder = "institutions/1".into(), FieldMalformed, "elder"),
            (|r| r.institution.clear(), FieldMissing, "institution"),
            (|r| r.contract = "1".into(), FieldMalformed, "contract"),
            (|r| r.admitted_on.clear(), FieldMissing, "admitted_on"),
            (|r| r.admitted_on = "today".into(), FieldMalformed, "admitted_on"),
        ];
        for (spoil, reason, field) in table {
            let mut request = good();
            spoil(&mut request);
            check(AdmitElder::try_from(&request).map(drop), reason, field);
        }
    }

    #[test]
    fn ends_corrections_and_voids() {
        let end = |left_on: &str, end_reason| {
            let request = pb::EndStayRequest {
                stay: "stays/1".into(),
                left_on: left_on.into(),
                end_reason,
                ..Default::default()
            };
            EndStay::try_from(&request).map(drop)
        };
        assert_eq!(end("2026-01-01", 1), Ok(()));
        check(end("", 1), FieldMissing, "left_on");
        check(end("2026-01-01", 0), EnumUnspecified, "end_reason");
        check(end("2026-01-01", 9), EnumUnspecified, "end_reason");

        let amend = |stay: &str, left_on: &str, reason: &str| {
            let (stay, left_on, reason) = (stay.into(), left_on.into(), reason.into());
            let admitted_on = "2026-01-01".into();
            AmendStay::try_from(&pb::AmendStayRequest { stay, left_on, reason, admitted_on, ..Default::default() })
                .map(drop)
        };
        assert_eq!(amend("stays/1", "", ""), Ok(()));
        check(amend("", "", ""), FieldMissing, "stay");
        check(amend("stays/1", "x", ""), FieldMalformed, "left_on");
        check(amend("stays/1", "", "\u{7}"), FieldMalformed, "reason");

        let void = pb::VoidStayRequest { stay: "bills/1".into(), ..Default::default() };
        check(VoidStay::try_from(&void).map(drop), FieldMalformed, "stay");
    }
}
