//! What is called for an order, in which order, under which request ids: fixed when the order is
//! taken, by its manner alone.

use std::collections::VecDeque;

use jjj_cli::session::Session;
use jjj_domain::time::Timestamp;
use jjj_wire::pb;
use serde_json::{Value, json};

use super::journal::{Order, Step, When, Work};
use super::manner::{Manner, Manners, chance};

pub const AUTHORISE: &str = "PaymentService/AuthorizePayment";
const CONFIRM: &str = "PaymentService/ConfirmPayment";
const REVERSE: &str = "PaymentService/ReversePayment";
const REJECT: &str = "PaymentService/RejectInstruction";
const CREDIT: &str = "EntitlementService/ReportCredit";
const CLAW_BACK: &str = "EntitlementService/ReportClawbackReturn";
const PAY_OUT: &str = "OperatingSubsidyService/ConfirmPayout";

const MERCHANT: &str = "898110000000001";

/// Plans orders.
pub struct Planner {
    pub session: Session,
    pub seed: u64,
    pub manners: Manners,
}

/// What a payment to be asked for goes to.
pub struct Wanted<'a> {
    /// An entry of the eligibility list.
    pub eligible: &'a Value,
    pub programme: &'a str,
    pub region: &'a str,
    pub amount_fen: i64,
}

impl Planner {
    fn order(&self, key: &str, work: Work, number: u64) -> Order {
        Order {
            key: key.to_owned(),
            work,
            number,
            manner: self.manners.draw(chance(self.seed, &format!("{work:?} manner"), number)),
            order_id: String::new(),
            amount_fen: 0,
            queries: 0,
            steps: VecDeque::new(),
            made: Vec::new(),
            answer: None,
            state: String::new(),
        }
    }

    /// A payment that the channel asks for. It is named by the request's id, whatever becomes of the answer.
    pub fn ask(&self, number: u64, wanted: &Wanted<'_>) -> Order {
        let at_us = self.session.client.now_us();
        let request_id = self.session.client.request_id();
        let payment = format!("payments/{request_id}");
        let order_id = request_id.replace('-', "");
        let authorise = self.step(
            AUTHORISE,
            json!({"bill": wanted.eligible["bill"], "fee_type": wanted.eligible["fee_type"],
                   "programme": wanted.programme, "region": wanted.region, "merchant_id": MERCHANT,
                   "amount_fen": wanted.amount_fen.to_string(), "order_id": order_id,
                   "transaction_time_us": at_us.to_string(),
                   "consent_sha256": format!("{:064x}", chance(self.seed, "consent", number))}),
        );
        let authorise = Step { request: with(authorise.request, "request_id", request_id.into()), ..authorise };
        let order = self.order(&payment, Work::Ask, number);
        let mut steps = match order.manner {
            Manner::Overtaken => vec![self.reverse(&payment), authorise],
            Manner::Duplicates => vec![authorise.clone(), authorise.clone(), self.renewed(&authorise)],
            _ => vec![authorise],
        };
        let confirm = json!({"payment": payment, "amount_fen": wanted.amount_fen.to_string()});
        steps.extend(self.ending(&order, confirm, at_us, REVERSE));
        Order { order_id, amount_fen: wanted.amount_fen, steps: steps.into(), ..order }
    }

    /// A payment that a region instructs.
    pub fn pay(&self, number: u64, told: &pb::Instruction) -> Order {
        let at_us = self.session.client.now_us();
        let order = self.order(&told.record, Work::Pay, number);
        let confirm = json!({"payment": told.record, "amount_fen": told.amount_fen.to_string(),
                             "transaction_time_us": at_us.to_string()});
        let steps = self.ending(&order, confirm, at_us, REJECT);
        Order {
            order_id: told.order_id.clone(),
            amount_fen: told.amount_fen,
            steps: steps.into(),
            state: "RESERVED".into(),
            ..order
        }
    }

    /// How a payment that is reserved ends.
    fn ending(&self, order: &Order, confirm: Value, at_us: i64, refuse: &str) -> Vec<Step> {
        let payment = &order.key;
        let is_even = chance(self.seed, "side", order.number).is_multiple_of(2);
        let no = self.step(refuse, json!({"payment": payment, "reason": "付款未成功"}));
        let yes = self.step(CONFIRM, confirm);
        match order.manner {
            Manner::TimesOut if order.work == Work::Ask => vec![self.reverse(payment)],
            Manner::Overtaken if order.work == Work::Ask => vec![at(When::AtQuery(1), self.reverse(payment))],
            Manner::Silent => vec![at(When::AtQuery(self.manners.answers_at), if is_even { yes } else { no })],
            Manner::Rejects => vec![no],
            Manner::Contradicts if is_even => vec![no, yes],
            Manner::Contradicts => vec![yes, self.reverse(payment)],
            Manner::WrongDate => {
                let date = Timestamp(at_us).clearing_date().plus_days(-10).to_string();
                let wrong = self.renewed(&yes);
                vec![Step { request: with(wrong.request, "clearing_date", date.into()), ..wrong }, yes]
            }
            _ => self.answers(order, yes, "amount_fen", None),
        }
    }

    pub fn credit(&self, number: u64, key: &str, told: &pb::Instruction) -> Order {
        let order = self.order(key, Work::Credit, number);
        let amount_fen = told.amount_fen.to_string();
        let yes = json!({"grant": told.record, "outcome": "CREDIT_OUTCOME_CREDITED", "amount_fen": amount_fen});
        let no = json!({"grant": told.record, "outcome": "CREDIT_OUTCOME_FAILED", "reason": "账户状态异常"});
        let (yes, no) = (self.step(CREDIT, yes), self.step(CREDIT, no));
        let steps = match order.manner {
            Manner::CreditFails => vec![no, at(When::AfterMs(self.manners.late_ms), yes)],
            _ => self.answers(&order, yes, "amount_fen", Some(no)),
        };
        Order { amount_fen: told.amount_fen, steps: steps.into(), state: "GRANTED".into(), ..order }
    }

    pub fn claw_back(&self, number: u64, key: &str, told: &pb::Instruction) -> Order {
        let order = self.order(key, Work::ClawBack, number);
        let report = json!({"grant": told.record, "returned_fen": told.amount_fen.to_string()});
        let steps = self.answers(&order, self.step(CLAW_BACK, report), "returned_fen", None);
        Order { amount_fen: told.amount_fen, steps: steps.into(), state: "CLAWBACK_REQUESTED".into(), ..order }
    }

    pub fn pay_out(&self, number: u64, key: &str, told: &pb::Instruction) -> Order {
        let order = self.order(key, Work::PayOut, number);
        let order_id = self.session.client.request_id().replace('-', "");
        let date = Timestamp(self.session.client.now_us()).clearing_date().to_string();
        let paid = json!({"claim": told.record, "amount_fen": told.amount_fen.to_string(), "order_id": order_id,
                          "clearing_date": date});
        let steps = self.answers(&order, self.step(PAY_OUT, paid), "amount_fen", None);
        Order { order_id, amount_fen: told.amount_fen, steps: steps.into(), state: "APPROVED".into(), ..order }
    }

    /// A payment that the channel does not know: it is not to be held any longer.
    pub fn unknown(&self, number: u64, told: &pb::Instruction) -> Order {
        let order = self.order(&told.record, Work::Unknown, number);
        let steps = [self.reverse(&told.record)].into();
        Order { manner: Manner::Plain, order_id: told.order_id.clone(), steps, state: "RESERVED".into(), ..order }
    }

    /// The manners that all answers know.
    fn answers(&self, order: &Order, yes: Step, amount: &str, no: Option<Step>) -> Vec<Step> {
        match (order.manner, no) {
            (Manner::Late, _) => vec![at(When::AfterMs(self.manners.late_ms), yes)],
            (Manner::Duplicates, _) => vec![yes.clone(), yes.clone(), self.renewed(&yes)],
            (Manner::WrongAmount, _) => {
                let wrong = self.renewed(&yes);
                let fen = wrong.request[amount].as_str().and_then(|fen| fen.parse::<i64>().ok()).unwrap_or(0) + 1;
                vec![Step { request: with(wrong.request, amount, fen.to_string().into()), ..wrong }, yes]
            }
            (Manner::Contradicts, Some(no)) => vec![yes, no],
            _ => vec![yes],
        }
    }

    pub fn reverse(&self, payment: &str) -> Step {
        self.step(REVERSE, json!({"payment": payment, "reason": "超时冲正"}))
    }

    fn step(&self, method: &str, request: Value) -> Step {
        let request_id = self.session.client.request_id().into();
        Step { when: When::Now, method: method.to_owned(), request: with(request, "request_id", request_id) }
    }

    /// The same under a new request id.
    fn renewed(&self, step: &Step) -> Step {
        self.step(&step.method, step.request.clone())
    }
}

fn at(when: When, step: Step) -> Step {
    Step { when, ..step }
}

fn with(mut request: Value, member: &str, value: Value) -> Value {
    request[member] = value;
    request
}
