//! Payments and refunds.

use std::str::FromStr;

use jjj_domain::care::bill::FeeType;
use jjj_domain::id::{Digest, OrderId};
use jjj_domain::names::{Collection, Name, Participant, ParticipantKind};
use jjj_domain::payment::{
    AdvisePayment, Ask, AuthorizePayment, ConfirmPayment, EndReservation, InstructPayment, Judged, Judgement,
    PaymentRow, RefundPayment, RefundRow, ReservationEnd, StandsOn, Unmet, VoidPayment,
};
use jjj_domain::policy::Mode;
use jjj_domain::rejection::{Reason, Rejection};
use jjj_domain::time::{Date, Timestamp};

use crate::enums::enum_value;
use crate::parse::{choice, date, name, optional, or_empty, text};
use crate::pb;

/// A region.
pub(crate) fn region(field: &str, text: &str) -> Result<Participant, Rejection> {
    participant(field, text, ParticipantKind::Region, "regions/{6 digits}")
}

/// A channel.
pub(crate) fn channel(field: &str, text: &str) -> Result<Participant, Rejection> {
    participant(field, text, ParticipantKind::Channel, "channels/{id}")
}

fn participant(field: &str, text: &str, kind: ParticipantKind, expected: &str) -> Result<Participant, Rejection> {
    if text.is_empty() {
        return Err(Reason::FieldMissing.field(field));
    }
    let parsed = Participant::from_str(text).ok().filter(|participant| participant.kind() == kind);
    parsed.ok_or_else(|| Reason::FieldMalformed.field(field).var("expected", expected))
}

/// An instant; 0 is none.
fn instant(field: &str, us: i64) -> Result<Timestamp, Rejection> {
    match us {
        0 => Err(Reason::FieldMissing.field(field)),
        us => Ok(Timestamp(us)),
    }
}

pub(crate) fn order_id(text: &str) -> Result<OrderId, Rejection> {
    OrderId::parse_field("order_id", text)
}

/// What `CheckPayment` asks; a channel asks for itself, whoever else names the channel.
pub fn check(request: &pb::CheckPaymentRequest, caller: &Participant) -> Result<Ask, Rejection> {
    let own = caller.kind() == ParticipantKind::Channel;
    if own && !request.channel.is_empty() && request.channel != caller.as_str() {
        return Err(Reason::NotYourRecord.field("channel").var("name", &request.channel));
    }
    Ok(Ask {
        bill: name("bill", &request.bill, Collection::Bill)?,
        fee_type: choice::<pb::FeeType, FeeType>("fee_type", request.fee_type)?,
        region: optional(&request.region, |t| region("region", t))?,
        programme: request.programme.clone(),
        channel: if own { caller.clone() } else { channel("channel", &request.channel)? },
        amount_fen: jjj_domain::guard::fen("amount_fen", request.amount_fen, 0).map(|()| request.amount_fen)?,
    })
}

/// An authorisation that this channel asks for.
pub fn authorize(request: &pb::AuthorizePaymentRequest, channel: &Participant) -> Result<AuthorizePayment, Rejection> {
    Ok(AuthorizePayment {
        ask: Ask {
            bill: name("bill", &request.bill, Collection::Bill)?,
            fee_type: choice::<pb::FeeType, FeeType>("fee_type", request.fee_type)?,
            region: optional(&request.region, |t| region("region", t))?,
            programme: request.programme.clone(),
            channel: channel.clone(),
            amount_fen: request.amount_fen,
        },
        merchant_id: request.merchant_id.clone(),
        order_id: order_id(&request.order_id)?,
        transaction_time: instant("transaction_time_us", request.transaction_time_us)?,
        consent: Digest::parse_field("consent_sha256", &request.consent_sha256)?,
    })
}

/// An advice of this channel.
pub fn advise(request: &pb::AdvisePaymentRequest, channel: &Participant) -> Result<AdvisePayment, Rejection> {
    Ok(AdvisePayment {
        ask: Ask {
            bill: name("bill", &request.bill, Collection::Bill)?,
            fee_type: choice::<pb::FeeType, FeeType>("fee_type", request.fee_type)?,
            region: optional(&request.region, |t| region("region", t))?,
            programme: request.programme.clone(),
            channel: channel.clone(),
            amount_fen: request.amount_fen,
        },
        merchant_id: request.merchant_id.clone(),
        order_id: order_id(&request.order_id)?,
        transaction_time: instant("transaction_time_us", request.transaction_time_us)?,
        clearing_date: optional(&request.clearing_date, |t| date("clearing_date", t))?,
    })
}

fn payment_name(text: &str) -> Result<Name, Rejection> {
    name("payment", text, Collection::Payment)
}

impl TryFrom<&pb::ConfirmPaymentRequest> for ConfirmPayment {
    type Error = Rejection;
    fn try_from(request: &pb::ConfirmPaymentRequest) -> Result<Self, Rejection> {
        Ok(Self {
            payment: payment_name(&request.payment)?,
            amount_fen: request.amount_fen,
            transaction_time: instant("transaction_time_us", request.transaction_time_us).ok(),
            clearing_date: optional(&request.clearing_date, |t| date("clearing_date", t))?,
        })
    }
}

fn end(payment: &str, end: ReservationEnd, reason: &str) -> Result<EndReservation, Rejection> {
    Ok(EndReservation { payment: payment_name(payment)?, end, reason: text("reason", reason)? })
}

pub fn reverse(request: &pb::ReversePaymentRequest) -> Result<EndReservation, Rejection> {
    end(&request.payment, ReservationEnd::Reversed, &request.reason)
}

pub fn reject(request: &pb::RejectInstructionRequest) -> Result<EndReservation, Rejection> {
    end(&request.payment, ReservationEnd::Rejected, &request.reason)
}

pub fn cancel(request: &pb::CancelInstructionRequest) -> Result<EndReservation, Rejection> {
    end(&request.payment, ReservationEnd::Cancelled, &request.reason)
}

impl TryFrom<&pb::VoidPaymentRequest> for VoidPayment {
    type Error = Rejection;
    fn try_from(request: &pb::VoidPaymentRequest) -> Result<Self, Rejection> {
        Ok(Self { payment: payment_name(&request.payment)?, reason: text("reason", &request.reason)? })
    }
}

impl TryFrom<&pb::InstructPaymentRequest> for InstructPayment {
    type Error = Rejection;
    fn try_from(request: &pb::InstructPaymentRequest) -> Result<Self, Rejection> {
        Ok(Self {
            mandate: name("mandate", &request.mandate, Collection::Mandate)?,
            bill: name("bill", &request.bill, Collection::Bill)?,
            fee_type: choice::<pb::FeeType, FeeType>("fee_type", request.fee_type)?,
            amount_fen: request.amount_fen,
        })
    }
}

impl TryFrom<&pb::RefundPaymentRequest> for RefundPayment {
    type Error = Rejection;
    fn try_from(request: &pb::RefundPaymentRequest) -> Result<Self, Rejection> {
        Ok(Self {
            payment: payment_name(&request.payment)?,
            order_id: order_id(&request.order_id)?,
            amount_fen: request.amount_fen,
            transaction_time: instant("transaction_time_us", request.transaction_time_us)?,
            clearing_date: optional(&request.clearing_date, |t| date("clearing_date", t))?,
            reason: text("reason", &request.reason)?,
        })
    }
}

impl From<&PaymentRow> for pb::Payment {
    fn from(row: &PaymentRow) -> Self {
        Self {
            name: row.payment.clone(),
            origin: enum_value::<pb::PaymentOrigin>(row.origin.as_str()),
            state: enum_value::<pb::PaymentState>(row.state.as_str()),
            channel: row.channel.to_string(),
            merchant_id: row.merchant_id.clone(),
            order_id: row.order_id.clone(),
            transaction_time_us: row.transaction_time_us.0,
            clearing_date: row.clearing_date.to_string(),
            authorised_on: row.authorised_on.to_string(),
            region: row.region.to_string(),
            programme: row.programme.clone(),
            elder: row.person.clone(),
            institution: row.institution.clone(),
            institution_region: row.institution_region.to_string(),
            contract: row.contract.clone(),
            bill: row.bill.clone(),
            fee_type: enum_value::<pb::FeeType>(row.fee_type.as_str()),
            mandate: or_empty(&row.mandate),
            amount_fen: row.amount_fen,
            refunded_fen: row.refunded_fen,
            stands_on: row.stands_on.0.iter().map(pb::RecordVersion::from).collect(),
            unmet: row.unmet.0.iter().map(pb::UnmetCondition::from).collect(),
            consent_sha256: or_empty(&row.consent_sha256),
            matched_by: or_empty(&row.matched_by),
            reason: row.reason.clone(),
            version: row.version,
            recorded_time_us: row.recorded_at_us.0,
        }
    }
}

impl From<&StandsOn> for pb::RecordVersion {
    fn from(stands_on: &StandsOn) -> Self {
        Self { record: stands_on.record.clone(), version: stands_on.version }
    }
}

impl From<&Unmet> for pb::UnmetCondition {
    fn from(unmet: &Unmet) -> Self {
        let condition = enum_value::<pb::GateCondition>(unmet.condition.as_str());
        Self { condition, detail: unmet.detail.clone() }
    }
}

impl From<&RefundRow> for pb::Refund {
    fn from(row: &RefundRow) -> Self {
        Self {
            name: row.refund.clone(),
            payment: row.payment.clone(),
            state: enum_value::<pb::RefundState>(row.state.as_str()),
            channel: row.channel.to_string(),
            merchant_id: row.merchant_id.clone(),
            order_id: row.order_id.clone(),
            transaction_time_us: row.transaction_time_us.0,
            clearing_date: row.clearing_date.to_string(),
            amount_fen: row.amount_fen,
            region: row.region.to_string(),
            institution_region: row.institution_region.to_string(),
            matched_by: or_empty(&row.matched_by),
            reason: row.reason.clone(),
            version: row.version,
            recorded_time_us: row.recorded_at_us.0,
        }
    }
}

/// How a payment was judged; `amount_fen` of the question is 0 for as much as possible.
/// `channel_open_fen` is what the channel's limit of the day leaves.
pub fn judgement(judgement: &Judgement, amount_fen: i64, channel_open_fen: Option<i64>) -> pb::CheckPaymentResponse {
    let payable_fen = judgement.payable_fen().min(channel_open_fen.unwrap_or(i64::MAX));
    pb::CheckPaymentResponse {
        approvable: payable_fen > 0 && amount_fen <= payable_fen,
        payable_fen,
        open_fen: judgement.open_fen,
        available_fen: judgement.available_fen,
        conditions: judgement.conditions.iter().map(pb::ConditionResult::from).collect(),
        channel_open_fen,
    }
}

impl From<&Judged> for pb::ConditionResult {
    fn from(judged: &Judged) -> Self {
        let (explanation_zh, explanation_en) = match (&judged.lack, judged.mode) {
            (Some(lack), _) => (lack.message_zh(), lack.message_en()),
            (None, Mode::Off) => ("不作要求".to_owned(), "not looked at".to_owned()),
            (None, Mode::Enforce | Mode::Warn) => ("满足".to_owned(), "met".to_owned()),
        };
        let stands_on = judged.stands_on.as_ref();
        Self {
            condition: enum_value::<pb::GateCondition>(judged.condition.as_str()),
            mode: enum_value::<pb::GateMode>(judged.mode.as_str()),
            met: judged.is_met(),
            record: stands_on.map(|s| s.record.clone()).unwrap_or_default(),
            record_version: stands_on.map_or(0, |s| s.version),
            explanation_zh,
            explanation_en,
        }
    }
}

/// A line of the eligibility list; `None` where nothing may be paid.
pub fn eligibility(judgement: &Judgement, fee_type: FeeType, on: Date) -> Option<pb::Eligibility> {
    let payable_fen = judgement.payable_fen();
    (payable_fen > 0).then(|| pb::Eligibility {
        elder: judgement.person.person.clone(),
        region: judgement.book.region().to_string(),
        programme: judgement.book.programme().to_owned(),
        institution: judgement.bill.institution.clone(),
        bill: judgement.bill.bill.clone(),
        fee_type: enum_value::<pb::FeeType>(fee_type.as_str()),
        payable_fen,
        available_fen: judgement.available_fen,
        valid_on: on.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use jjj_domain::rejection::Reason::{self, EnumUnspecified, FieldMalformed, FieldMissing, FieldOutOfRange};

    use super::*;
    use crate::enums::EnumText;

    fn unionpay() -> Participant {
        "channels/unionpay".parse().unwrap()
    }

    fn good() -> pb::AuthorizePaymentRequest {
        pb::AuthorizePaymentRequest {
            request_id: String::new(),
            bill: "bills/1".into(),
            fee_type: pb::FeeType::Bed.into(),
            programme: "care_subsidy".into(),
            amount_fen: 1,
            merchant_id: "M1".into(),
            order_id: "ORDER0001".into(),
            transaction_time_us: 7,
            consent_sha256: "0".repeat(64),
            region: String::new(),
        }
    }

    fn said<T: std::fmt::Debug>(result: Result<T, Rejection>) -> (Reason, String) {
        let rejection = result.unwrap_err();
        (rejection.reason, rejection.field.unwrap_or_default())
    }

    #[test]
    fn a_well_formed_authorisation_is_read_whole() {
        let command = authorize(&good(), &unionpay()).unwrap();
        assert_eq!((command.ask.channel, command.ask.region), (unionpay(), None));
        assert_eq!((command.order_id.as_str(), command.transaction_time), ("ORDER0001", Timestamp(7)));
        let moved = pb::AuthorizePaymentRequest { region: "regions/110000".into(), ..good() };
        assert_eq!(authorize(&moved, &unionpay()).unwrap().ask.region.unwrap().as_str(), "regions/110000");
    }

    #[test]
    fn refusals_of_an_authorisation() {
        type Spoil = fn(&mut pb::AuthorizePaymentRequest);
        let table: [(Spoil, Reason, &str); 11] = [
            (|r| r.bill.clear(), FieldMissing, "bill"),
            (|r| r.bill = "payments/1".into(), FieldMalformed, "bill"),
            (|r| r.fee_type = 0, EnumUnspecified, "fee_type"),
            (|r| r.fee_type = 99, EnumUnspecified, "fee_type"),
            (|r| r.order_id.clear(), FieldMissing, "order_id"),
            (|r| r.order_id = "ORDER-0001".into(), FieldMalformed, "order_id"),
            (|r| r.transaction_time_us = 0, FieldMissing, "transaction_time_us"),
            (|r| r.consent_sha256.clear(), FieldMissing, "consent_sha256"),
            (|r| r.consent_sha256 = "Z".repeat(64), FieldMalformed, "consent_sha256"),
            (|r| r.region = "channels/unionpay".into(), FieldMalformed, "region"),
            (|r| r.region = "regions/11".into(), FieldMalformed, "region"),
        ];
        for (spoil, reason, field) in table {
            let mut request = good();
            spoil(&mut request);
            assert_eq!(said(authorize(&request, &unionpay())), (reason, field.to_owned()));
        }
    }

    #[test]
    fn refusals_of_the_others() {
        let confirm = |payment: &str, clearing_date: &str| {
            ConfirmPayment::try_from(&pb::ConfirmPaymentRequest {
                payment: payment.into(),
                clearing_date: clearing_date.into(),
                ..Default::default()
            })
        };
        assert_eq!(said(confirm("", "")), (FieldMissing, "payment".into()));
        assert_eq!(said(confirm("payments/1", "2026-13-01")), (FieldMalformed, "clearing_date".into()));
        let confirmed = confirm("payments/1", "").unwrap();
        assert_eq!((confirmed.clearing_date, confirmed.transaction_time), (None, None));
        assert_eq!(said(reverse(&Default::default())), (FieldMissing, "payment".into()));
        assert_eq!(said(reject(&Default::default())), (FieldMissing, "payment".into()));
        assert_eq!(said(cancel(&Default::default())), (FieldMissing, "payment".into()));
        assert_eq!(said(VoidPayment::try_from(&pb::VoidPaymentRequest::default())), (FieldMissing, "payment".into()));
        let refund = pb::RefundPaymentRequest { payment: "payments/1".into(), ..Default::default() };
        assert_eq!(said(RefundPayment::try_from(&refund)), (FieldMissing, "order_id".into()));
        let instruct = pb::InstructPaymentRequest { mandate: "mandates/1".into(), ..Default::default() };
        assert_eq!(said(InstructPayment::try_from(&instruct)), (FieldMissing, "bill".into()));
        assert_eq!(said(advise(&Default::default(), &unionpay())), (FieldMissing, "bill".into()));
    }

    #[test]
    fn a_channel_checks_for_itself_and_a_region_names_one() {
        let request = pb::CheckPaymentRequest {
            bill: "bills/1".into(),
            fee_type: pb::FeeType::Bed.into(),
            programme: "care_subsidy".into(),
            ..Default::default()
        };
        assert_eq!(check(&request, &unionpay()).unwrap().channel, unionpay());
        let beijing = "regions/110000".parse().unwrap();
        assert_eq!(said(check(&request, &beijing)), (FieldMissing, "channel".into()));
        let named = pb::CheckPaymentRequest { channel: "channels/unionpay".into(), ..request.clone() };
        assert_eq!(check(&named, &beijing).unwrap().channel, unionpay());
        let other = pb::CheckPaymentRequest { channel: "channels/bank".into(), ..request.clone() };
        assert_eq!(said(check(&other, &unionpay())), (Reason::NotYourRecord, "channel".into()));
        let negative = pb::CheckPaymentRequest { amount_fen: -1, ..request };
        assert_eq!(said(check(&negative, &unionpay())), (FieldOutOfRange, "amount_fen".into()));
    }

    #[test]
    fn every_text_of_the_domain_has_a_value() {
        fn same<E: EnumText>(texts: &[&str]) {
            assert_eq!(E::texts().collect::<Vec<_>>(), texts);
        }
        same::<pb::PaymentOrigin>(jjj_domain::payment::Origin::TEXTS);
        same::<pb::PaymentState>(jjj_domain::payment::PaymentState::TEXTS);
        same::<pb::RefundState>(jjj_domain::payment::RefundState::TEXTS);
        same::<pb::GateCondition>(jjj_domain::policy::Condition::TEXTS);
        same::<pb::GateMode>(Mode::TEXTS);
        same::<pb::GrantState>(jjj_domain::entitlement::GrantState::TEXTS);
        same::<pb::MoneyEventKind>(jjj_domain::entitlement::MoneyEventKind::TEXTS);
        same::<pb::ClaimState>(jjj_domain::subsidy::ClaimState::TEXTS);
    }
}
