//! The load: clients that work until their gateway is gone, and go on with the next.

use std::collections::{BTreeMap, BTreeSet};

use jjj_cli::session::{CallError, Session};
use jjj_domain::recon::file::{LineKind, LineStatus, SettlementLine};
use jjj_domain::time::Timestamp;
use serde_json::{Value, json};

use crate::load::{Diary, Heard};
use crate::world::{self, Days, PROGRAMME, Systems, World, int};

/// A channel's client: part-payments of 1 yuan, each with a life of its own, drawn from a seed.
pub struct Payer {
    pub diary: Diary,
    id: usize,
    sent: usize,
    draw: fastrand::Rng,
}

/// What comes of a payment.
#[derive(Clone, Copy)]
enum Life {
    Confirm,
    /// On the clearing date before, whose file and run come while the load goes on.
    ConfirmYesterday,
    Leave,
    Reverse,
    Void,
    Refund,
    RefundWhole,
    /// Reversed, and confirmed all the same.
    Late,
    /// Confirmed, then reversed: refused, and kept.
    Contradict,
    Advise,
    InstructConfirm,
    Reject,
    Cancel,
}

impl Life {
    /// Confirmations are the most frequent.
    const DRAWN: [Self; 20] = [
        Self::Confirm,
        Self::Confirm,
        Self::Confirm,
        Self::Confirm,
        Self::Confirm,
        Self::ConfirmYesterday,
        Self::ConfirmYesterday,
        Self::ConfirmYesterday,
        Self::Leave,
        Self::Reverse,
        Self::Reverse,
        Self::Void,
        Self::Refund,
        Self::RefundWhole,
        Self::Late,
        Self::Contradict,
        Self::Advise,
        Self::InstructConfirm,
        Self::Reject,
        Self::Cancel,
    ];

    const fn is_instructed(self) -> bool {
        matches!(self, Self::InstructConfirm | Self::Reject | Self::Cancel)
    }
}

impl Payer {
    pub const AMOUNT_FEN: i64 = 100;

    pub fn new(id: usize, seed: u64) -> Self {
        let draw = fastrand::Rng::with_seed(seed.wrapping_mul(1_000_003).wrapping_add(id as u64));
        Self { diary: Diary::default(), id, sent: 0, draw }
    }

    /// Pays until nothing is heard.
    pub async fn work(&mut self, systems: &Systems, world: &World) {
        while self.diary.settle(systems).await && self.pay(systems, world).await.is_some() {}
    }

    /// One payment from its beginning to its end; `None` when something was not answered.
    async fn pay(&mut self, systems: &Systems, world: &World) -> Option<()> {
        let number = self.sent;
        self.sent += 1;
        let order = format!("ORDER{:03}{number:06}", self.id);
        let elder = (number * 7 + self.id) % world.bills.len();
        let life = Life::DRAWN[self.draw.usize(..Life::DRAWN.len())];
        let (unionpay, beijing) = (&systems.unionpay, &systems.beijing);
        let amount = Self::AMOUNT_FEN.to_string();
        let ask = world::authorise(&world.bills[elder], Self::AMOUNT_FEN, &order, unionpay.client.now_us());
        let begun = match life {
            Life::Advise => {
                let mut advice = ask;
                advice.as_object_mut().expect("a request").remove("consent_sha256");
                return self.accepted(unionpay, "PaymentService/AdvisePayment", advice).await.map(drop);
            }
            _ if life.is_instructed() => {
                let mandate = &world.mandates[elder];
                let instruct = json!({"mandate": mandate, "bill": world.bills[elder], "fee_type": "FEE_TYPE_BED",
                                      "amount_fen": amount});
                self.accepted(beijing, "PaymentService/InstructPayment", instruct).await?
            }
            _ => self.accepted(unionpay, "PaymentService/AuthorizePayment", ask).await?,
        };
        let payment = begun["payment"]["name"].clone();
        let confirm = json!({"payment": payment, "amount_fen": amount});
        let why = json!({"payment": payment, "reason": "超时冲正"});
        let reverse = ("PaymentService/ReversePayment", why.clone());
        match life {
            Life::Leave | Life::Advise => return Some(()),
            Life::Reverse => return self.accepted(unionpay, reverse.0, reverse.1).await.map(drop),
            Life::Reject => return self.accepted(unionpay, "PaymentService/RejectInstruction", why).await.map(drop),
            Life::Cancel => return self.accepted(beijing, "PaymentService/CancelInstruction", why).await.map(drop),
            Life::Late => drop(self.accepted(unionpay, reverse.0, reverse.1.clone()).await?),
            Life::Confirm
            | Life::ConfirmYesterday
            | Life::Void
            | Life::Refund
            | Life::RefundWhole
            | Life::Contradict
            | Life::InstructConfirm => {}
        }
        let confirm = match life {
            Life::ConfirmYesterday => with(confirm, "clearing_date", json!(world.yesterday)),
            Life::InstructConfirm => with(confirm, "transaction_time_us", json!(unionpay.client.now_us().to_string())),
            _ => confirm,
        };
        self.accepted(unionpay, "PaymentService/ConfirmPayment", confirm).await?;
        match life {
            Life::Void => self.accepted(unionpay, "PaymentService/VoidPayment", why).await.map(drop),
            Life::Refund | Life::RefundWhole => {
                let part = if matches!(life, Life::Refund) { Self::AMOUNT_FEN / 4 } else { Self::AMOUNT_FEN };
                let refund = json!({"payment": payment, "order_id": order.replace("ORDER", "REFUND"),
                                    "amount_fen": part.to_string(),
                                    "transaction_time_us": unionpay.client.now_us().to_string()});
                self.accepted(unionpay, "PaymentService/RefundPayment", refund).await.map(drop)
            }
            Life::Contradict => {
                match self.diary.send_refused(unionpay, reverse.0, reverse.1, "STATE_NOT_ALLOWED").await {
                    Heard::Refused(reason) if reason == "STATE_NOT_ALLOWED" => Some(()),
                    Heard::Nothing => None,
                    Heard::Accepted(_) | Heard::Refused(_) => panic!("{payment} was reversed after its confirmation"),
                }
            }
            _ => Some(()),
        }
    }

    async fn accepted(&mut self, session: &Session, method: &str, request: Value) -> Option<Value> {
        accepted(self.diary.send(session, method, request).await, method)
    }
}

fn with(mut request: Value, field: &str, value: Value) -> Value {
    request[field] = value;
    request
}

fn accepted(heard: Heard, method: &str) -> Option<Value> {
    match heard {
        Heard::Accepted(answer) => Some(answer),
        Heard::Refused(reason) => panic!("{method} is refused: {reason}"),
        Heard::Nothing => None,
    }
}

/// Regions' clients: new institutions with their ratings, new elders with their assessments, and
/// the next grants, in batches.
pub struct Registrar {
    pub diary: Diary,
    /// The number of the next new institution and elder; those below are the world's and others'.
    next: usize,
}

impl Registrar {
    const BATCH: usize = 5;

    pub fn new(first: usize) -> Self {
        Self { diary: Diary::default(), next: first }
    }

    /// Registers until nothing is heard.
    pub async fn work(&mut self, systems: &Systems) {
        while self.diary.settle(systems).await && self.register(systems).await.is_some() {}
    }

    async fn register(&mut self, systems: &Systems) -> Option<()> {
        let days = Days::now(&systems.hebei);
        let range = self.next..self.next + Self::BATCH;
        self.next = range.end;
        let (hebei, beijing) = (&systems.hebei, &systems.beijing);
        let institutions = range.clone().map(world::institution).collect();
        let institutions =
            self.made(hebei, "InstitutionService/RegisterInstitution", institutions, "institution").await?;
        let ratings = institutions.iter().map(|name| world::rating(name, &days)).collect();
        self.made(hebei, "RatingService/PublishRating", ratings, "rating").await?;
        let elders = range.map(world::elder).collect();
        let elders = self.made(beijing, "ElderService/RegisterElder", elders, "elder").await?;
        let assessments = elders.iter().map(|name| world::assessment(name, &days)).collect();
        self.made(beijing, "AssessmentService/PublishAssessment", assessments, "assessment").await?;
        let grants = elders.iter().map(|name| world::grant(name, &days.month)).collect();
        let grants = self.made(beijing, "EntitlementService/GrantEntitlement", grants, "grant").await?;
        // The first one fails.
        let report = |(n, grant): (usize, &String)| match n {
            0 => json!({"grant": grant, "outcome": "CREDIT_OUTCOME_FAILED", "reason": "账户已销户"}),
            _ => json!({"grant": grant, "outcome": "CREDIT_OUTCOME_CREDITED",
                        "amount_fen": world::CREDITED_FEN.to_string()}),
        };
        let reports = grants.iter().enumerate().map(report).collect();
        self.made(&systems.unionpay, "EntitlementService/ReportCredit", reports, "grant").await?;
        Some(())
    }

    async fn made(&mut self, session: &Session, method: &str, requests: Vec<Value>, part: &str) -> Option<Vec<String>> {
        let answers = accepted(self.diary.send_batch(session, method, requests).await, method)?;
        let name = |answer: &Value| answer[part]["name"].as_str().expect("a name").to_owned();
        Some(answers.as_array().expect("a batch's answers").iter().map(name).collect())
    }
}

/// Delivers the file of the day before, with all that is known to be in it, and reconciles. What is
/// cut short by the gateway's death is begun anew: a file on the way states nothing yet.
pub async fn reconcile(systems: &Systems, world: &World) -> Result<(), CallError> {
    let (unionpay, date) = (&systems.unionpay, &world.yesterday);
    let filter = format!(r#"clearing_date = "{date}" AND state = "CONFIRMED""#);
    let payments = unionpay.list("PaymentService/ListPayments", &filter, "payments").await?;
    let line = |payment: &Value| {
        let field = |name: &str| payment[name].as_str().unwrap_or_default().to_owned();
        SettlementLine {
            line: 0,
            byte_offset: 0,
            kind: LineKind::Payment,
            merchant_id: field("merchant_id"),
            order_id: field("order_id"),
            transaction_time: Timestamp(int(&payment["transaction_time_us"])),
            amount_fen: int(&payment["amount_fen"]),
            fee_fen: 0,
            status: LineStatus::Success,
            institution: field("institution").replace("institutions/", ""),
            original_order_id: None,
        }
    };
    let lines: Vec<SettlementLine> = payments.iter().map(line).collect();
    world::try_deliver(unionpay, date, &world::settlement_file(&lines)).await?;
    let start = json!({"channel": world::UNIONPAY, "clearing_date": date});
    systems.chen.call("ReconciliationService/StartRun", start).await.map(drop)
}

/// What the book holds after the load, held against what the clients know: each payment as its last
/// answer has it.
pub struct Totals {
    payments: BTreeMap<String, Known>,
}

#[derive(Clone, PartialEq, Debug)]
struct Known {
    state: String,
    refunded_fen: i64,
}

impl Totals {
    /// What the diaries of settled payers come to.
    pub fn of(payers: &[Payer]) -> Self {
        let mut payments: BTreeMap<String, Known> = BTreeMap::new();
        for call in payers.iter().flat_map(|payer| &payer.diary.calls) {
            let answer = call.shown();
            match answer.get("refund") {
                Some(refund) => {
                    let of = refund["payment"].as_str().expect("a payment");
                    let known = payments.get_mut(of).expect("refunded after it was confirmed");
                    known.refunded_fen += int(&refund["amount_fen"]);
                }
                None => {
                    let payment = &answer["payment"];
                    let state = payment["state"].as_str().expect("a state").to_owned();
                    let name = payment["name"].as_str().expect("a name").to_owned();
                    let refunded_fen = payments.get(&name).map_or(0, |known| known.refunded_fen);
                    payments.insert(name, Known { state, refunded_fen });
                }
            }
        }
        Self { payments }
    }

    /// Each order has one payment, as its client knows it; balances and trial balance agree with them.
    /// Tells how many payments the reconciled day matched.
    pub async fn check(&self, systems: &Systems, world: &World) -> usize {
        let payments = systems.unionpay.list("PaymentService/ListPayments", "", "payments").await.expect("payments");
        let orders: BTreeSet<_> = payments.iter().map(|p| p["order_id"].to_string()).collect();
        assert_eq!(orders.len(), payments.len(), "one payment for each order");
        let known = |p: &Value| {
            let refunded_fen = p["refunded_fen"].as_str().map_or(0, |_| int(&p["refunded_fen"]));
            let state = p["state"].as_str().expect("a state").to_owned();
            (p["name"].as_str().expect("a name").to_owned(), Known { state, refunded_fen })
        };
        let recorded: BTreeMap<String, Known> = payments.iter().map(known).collect();
        for (name, known) in &self.payments {
            assert_eq!(recorded.get(name), Some(known), "{name} as its client knows it");
        }
        assert_eq!(recorded.len(), self.payments.len(), "payments that no client made");

        let of = |state: &'static str| self.payments.values().filter(move |p| p.state.ends_with(state));
        let fen = |count: usize| count as i64 * Payer::AMOUNT_FEN;
        let confirmed_fen: i64 = of("CONFIRMED").map(|p| Payer::AMOUNT_FEN - p.refunded_fen).sum();
        let (reserved_fen, late_fen) = (fen(of("RESERVED").count()), fen(of("LATE").count()));
        let mut balances = (0, 0);
        for elder in &world.elders {
            let request =
                json!({"elder": elder, "region": world::BEIJING, "programme": PROGRAMME, "channel": world::UNIONPAY});
            let balance = world::done(&systems.unionpay, "EntitlementService/GetBalance", request).await;
            balances.0 += int(&balance["posted_fen"]);
            balances.1 += int(&balance["available_fen"]);
        }
        let credited = world::CREDITED_FEN * world.elders.len() as i64;
        assert_eq!(balances.0, credited - confirmed_fen, "posted on the elders' accounts");
        // What was confirmed late is kept for it.
        assert_eq!(balances.1, credited - confirmed_fen - reserved_fen - late_fen, "available to the elders");

        let trial = world::done(&systems.beijing, "LedgerService/GetTrialBalance", json!({"book": world::BOOK})).await;
        assert_eq!(trial["debit_fen"], trial["credit_fen"], "{trial}");
        let lines = trial["lines"].as_array().expect("lines");
        let balance = |kind: &str| -> i64 {
            lines.iter().filter(|line| line["kind"] == kind).map(|line| int(&line["balance_fen"]).abs()).sum()
        };
        assert_eq!(balance("clearing") + balance("payable"), confirmed_fen + late_fen, "{trial}");
        assert_eq!(balance("suspense"), late_fen, "{trial}");
        let states: BTreeMap<&str, usize> = self.payments.values().fold(BTreeMap::new(), |mut counts, p| {
            *counts.entry(&p.state[..]).or_default() += 1;
            counts
        });
        let due: Vec<_> = payments
            .iter()
            .filter(|p| p["clearing_date"] == world.yesterday[..] && p["state"] == "PAYMENT_STATE_CONFIRMED")
            .collect();
        let rows: BTreeSet<_> =
            due.iter().filter_map(|p| p["matched_by"].as_str().filter(|row| !row.is_empty())).collect();
        assert_eq!(rows.len(), due.len(), "each payment of a reconciled day is matched by a row of its own");
        let runs = systems.chen.list("ReconciliationService/ListRuns", "", "runs").await.expect("runs");
        println!("{} payments: {states:?}; {} matched in {} runs", self.payments.len(), due.len(), runs.len());
        due.len()
    }
}
