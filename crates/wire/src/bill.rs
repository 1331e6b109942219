//! Bills.

use jjj_domain::care::bill::{AmendBill, BillLineRow, BillRow, FeeType, NewLine, PublishBill, VoidBill};
use jjj_domain::names::Collection;
use jjj_domain::rejection::Rejection;

use crate::enums::enum_value;
use crate::parse::{choice, each, month, name, optional, or_empty, text};
use crate::pb;

impl TryFrom<&pb::PublishBillRequest> for PublishBill {
    type Error = Rejection;
    fn try_from(request: &pb::PublishBillRequest) -> Result<Self, Rejection> {
        Ok(Self {
            institution: name("institution", &request.institution, Collection::Institution)?,
            elder: name("elder", &request.elder, Collection::Elder)?,
            contract: name("contract", &request.contract, Collection::Contract)?,
            stay: optional(&request.stay, |t| name("stay", t, Collection::Stay))?,
            month: month("month", &request.month)?,
            lines: each("lines", &request.lines, new_line)?,
            bill_number: text("bill_number", &request.bill_number)?,
        })
    }
}

impl TryFrom<&pb::AmendBillRequest> for AmendBill {
    type Error = Rejection;
    fn try_from(request: &pb::AmendBillRequest) -> Result<Self, Rejection> {
        Ok(Self {
            bill: name("bill", &request.bill, Collection::Bill)?,
            expected_version: request.expected_version,
            lines: each("lines", &request.lines, new_line)?,
            reason: text("reason", &request.reason)?,
        })
    }
}

impl TryFrom<&pb::VoidBillRequest> for VoidBill {
    type Error = Rejection;
    fn try_from(request: &pb::VoidBillRequest) -> Result<Self, Rejection> {
        Ok(Self { bill: name("bill", &request.bill, Collection::Bill)?, reason: text("reason", &request.reason)? })
    }
}

/// A received line; what the gateway computes is not read.
fn new_line(field: &str, line: &pb::BillLine) -> Result<NewLine, Rejection> {
    Ok(NewLine {
        fee_type: choice::<pb::FeeType, FeeType>(&format!("{field}.fee_type"), line.fee_type)?,
        due_fen: line.due_fen,
        paid_elsewhere_fen: line.paid_elsewhere_fen,
    })
}

/// A bill with its lines; those that an amendment dropped are left out.
pub fn bill(row: &BillRow, lines: &[BillLineRow]) -> pb::Bill {
    pb::Bill {
        name: row.bill.clone(),
        institution: row.institution.clone(),
        elder: row.person.clone(),
        contract: row.contract.clone(),
        institution_region: row.institution_region.to_string(),
        household_region: row.household_region.to_string(),
        stay: or_empty(&row.stay),
        month: row.month.to_string(),
        state: enum_value::<pb::BillState>(row.state.as_str()),
        lines: lines.iter().filter(|line| !line.is_dropped()).map(pb::BillLine::from).collect(),
        bill_number: row.bill_number.clone(),
        reason: row.reason.clone(),
        version: row.version,
        recorded_time_us: row.recorded_at_us.0,
    }
}

impl From<&BillLineRow> for pb::BillLine {
    fn from(row: &BillLineRow) -> Self {
        Self {
            fee_type: enum_value::<pb::FeeType>(row.fee_type.as_str()),
            due_fen: row.due_fen,
            paid_elsewhere_fen: row.paid_elsewhere_fen,
            held_fen: row.held_fen,
            posted_fen: row.posted_fen,
            open_fen: row.open_fen(),
        }
    }
}

#[cfg(test)]
mod tests {
    use jjj_domain::rejection::Reason::{self, EnumUnspecified, FieldMalformed, FieldMissing};

    use super::*;

    fn good() -> pb::PublishBillRequest {
        let line = |fee_type: pb::FeeType| pb::BillLine {
            fee_type: fee_type.into(),
            due_fen: 1,
            open_fen: 9,
            ..Default::default()
        };
        pb::PublishBillRequest {
            request_id: String::new(),
            institution: "institutions/1".into(),
            elder: "elders/1".into(),
            contract: "contracts/1".into(),
            stay: String::new(),
            month: "2026-01".into(),
            lines: vec![line(pb::FeeType::Bed), line(pb::FeeType::Meal)],
            bill_number: "7".into(),
        }
    }

    #[test]
    fn a_well_formed_request_is_read_whole() {
        let command = PublishBill::try_from(&good()).unwrap();
        assert_eq!(command.lines[1], NewLine { fee_type: FeeType::Meal, due_fen: 1, paid_elsewhere_fen: 0 });
        assert_eq!((command.stay, command.month.to_string()), (None, "2026-01".to_owned()));
    }

    #[test]
    fn refusals() {
        type Spoil = fn(&mut pb::PublishBillRequest);
        let table: [(Spoil, Reason, &str); 10] = [
            (|r| r.institution.clear(), FieldMissing, "institution"),
            (|r| r.institution = "elders/1".into(), FieldMalformed, "institution"),
            (|r| r.elder.clear(), FieldMissing, "elder"),
            (|r| r.contract.clear(), FieldMissing, "contract"),
            (|r| r.stay = "contracts/1".into(), FieldMalformed, "stay"),
            (|r| r.month.clear(), FieldMissing, "month"),
            (|r| r.month = "2026-1".into(), FieldMalformed, "month"),
            (|r| r.lines[0].fee_type = 0, EnumUnspecified, "lines[0].fee_type"),
            (|r| r.lines[1].fee_type = -5, EnumUnspecified, "lines[1].fee_type"),
            (|r| r.bill_number = "\u{1b}[2J".into(), FieldMalformed, "bill_number"),
        ];
        for (spoil, reason, field) in table {
            let mut request = good();
            spoil(&mut request);
            let refused = PublishBill::try_from(&request).unwrap_err();
            assert_eq!((refused.reason, refused.field.as_deref()), (reason, Some(field)));
        }
        let amend =
            pb::AmendBillRequest { bill: "bills/1".into(), lines: vec![pb::BillLine::default()], ..Default::default() };
        assert_eq!(AmendBill::try_from(&amend).unwrap_err().field.as_deref(), Some("lines[0].fee_type"));
        let void = pb::VoidBillRequest::default();
        assert_eq!(VoidBill::try_from(&void).unwrap_err().field.as_deref(), Some("bill"));
    }
}
