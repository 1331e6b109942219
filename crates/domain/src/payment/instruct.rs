//! Instructions: a region has a channel transfer under a mandate.

use super::authorise::{payment_row, reserve};
use super::gate::{Ask, judge};
use super::order::take_order;
use super::{Origin, PaymentRow, PaymentState, StandsOn, quota};
use crate::care::bill::{BillRow, FeeType};
use crate::care::mandate::{MandateRow, MandateState};
use crate::decision::{Call, Command, Decision};
use crate::guard::{self, found, wrong_state};
use crate::id::OrderId;
use crate::institution::account_in_force;
use crate::key;
use crate::names::{Collection, Name};
use crate::rejection::{Reason, Rejection};
use crate::snapshot::{Snapshot, Stop};

/// Instructs a payment under a mandate. The caller is the mandate's region; the
/// channel takes it from its stream and confirms or rejects.
///
/// Whom to pay is not the caller's to say: the merchant number is that of the
/// institution's settlement account in use.
#[derive(Clone, Debug)]
pub struct InstructPayment {
    pub mandate: Name,
    pub bill: Name,
    pub fee_type: FeeType,
    pub amount_fen: i64,
}

impl Command for InstructPayment {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        guard::fen("amount_fen", self.amount_fen, 1)?;
        let mandate = found(snapshot.get::<MandateRow>(key![self.mandate.to_string()])?, "mandate", &self.mandate)?;
        self.check_mandate(&mandate, call)?;
        let ask = Ask {
            bill: self.bill.clone(),
            fee_type: self.fee_type,
            region: Some(mandate.region.clone()),
            programme: mandate.programme.clone(),
            channel: mandate.channel.clone(),
            amount_fen: self.amount_fen,
        };
        let order_id = OrderId::of_instruction(call.request_id);
        let name = Name::created(Collection::Payment, call.request_id);
        let order = take_order(snapshot, &mandate.channel, &order_id, name);
        let judgement = judge(snapshot, &ask, call.now);
        let order = order?;
        let judgement = judgement?;
        if judgement.contract.contract != mandate.contract {
            return Err(guard::out_of_range("bill", format!("bills of {}", mandate.contract)).into());
        }
        judgement.enforce()?;
        self.check_cap(snapshot, &mandate, &judgement.bill)?;
        let account = account_in_force(snapshot, &judgement.bill.institution, &mandate.channel, call.now)?;
        let mut row = PaymentRow {
            origin: Origin::Instructed,
            merchant_id: account.map_or(String::new(), |account| account.merchant_id.clone()),
            order_id: order_id.to_string(),
            mandate: Some(mandate.mandate.clone()),
            consent_sha256: Some(mandate.consent_sha256.clone()),
            ..payment_row(call, &ask, &judgement)
        };
        row.stands_on.0.push(StandsOn { record: mandate.mandate.clone(), version: mandate.version });
        let drawn = quota::draw(snapshot, call, &row.channel, row.amount_fen)?;
        let mut decision = reserve(call, &judgement, row, "payment.instructed")?;
        let leaf = &mut decision.leaves[0];
        // The cap is a sum over the mandate's payments: rivals meet at the mandate.
        drawn.put(leaf.put(&order));
        leaf.instruct(&mandate.channel).guard::<MandateRow>(key![mandate.mandate.clone()]);
        Ok(decision)
    }
}

impl InstructPayment {
    fn check_mandate(&self, mandate: &MandateRow, call: &Call) -> Result<(), Rejection> {
        guard::own(call, &mandate.region, "mandate", &self.mandate)?;
        let today = call.now.date();
        if today < mandate.valid_from || mandate.valid_until < today {
            return Err(wrong_state("OUT_OF_TERM", MandateState::Active, "mandate", &self.mandate));
        }
        guard::state(mandate.state, &[MandateState::Active], "mandate", &self.mandate)?;
        if !mandate.fee_types.0.contains(&self.fee_type) {
            return Err(guard::out_of_range("fee_type", guard::either(&mandate.fee_types.0)));
        }
        Ok(())
    }

    /// What the mandate's payments for bills of this month already use counts against its cap.
    fn check_cap(&self, snapshot: &Snapshot, mandate: &MandateRow, bill: &BillRow) -> Result<(), Stop> {
        let payments = snapshot.list::<PaymentRow>(&["mandate"], key![Some(mandate.mandate.clone())])?;
        let counts = [PaymentState::Reserved, PaymentState::Confirmed, PaymentState::Late];
        let counted: Vec<_> = payments.iter().filter(|p| counts.contains(&p.state)).collect();
        let bills: Vec<_> = counted.iter().map(|p| snapshot.get::<BillRow>(key![p.bill.clone()])).collect();
        let mut used = 0;
        for (payment, of_bill) in counted.iter().zip(bills) {
            if of_bill?.is_some_and(|b| b.month == bill.month) {
                used += payment.amount_fen - payment.refunded_fen;
            }
        }
        let open = mandate.monthly_cap_fen - used;
        if self.amount_fen > open {
            return Err(Reason::MandateCapExceeded.field("amount_fen").var("open", open).into());
        }
        Ok(())
    }
}
