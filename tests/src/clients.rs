//! The load: clients that work until their gateway is gone, and go on with the next.

use jjj_cli::session::Session;
use serde_json::{Value, json};

use crate::load::{Diary, Heard};
use crate::world::{self, Days, PROGRAMME, Systems, World, int};

/// A channel's client: authorises, then mostly confirms, part-payments of 1 yuan.
pub struct Payer {
    pub diary: Diary,
    id: usize,
    sent: usize,
}

/// What a payment comes to, by its number.
enum End {
    Confirm,
    Reverse,
    Leave,
}

impl Payer {
    pub const AMOUNT_FEN: i64 = 100;

    pub fn new(id: usize) -> Self {
        Self { diary: Diary::default(), id, sent: 0 }
    }

    /// Pays until nothing is heard.
    pub async fn work(&mut self, systems: &Systems, bills: &[String]) {
        while self.diary.settle(systems).await && self.pay(&systems.unionpay, bills).await {}
    }

    /// One payment from question to end; whether everything was answered.
    async fn pay(&mut self, unionpay: &Session, bills: &[String]) -> bool {
        let number = self.sent;
        self.sent += 1;
        let order = format!("ORDER{:03}{number:06}", self.id);
        let bill = &bills[(number * 7 + self.id) % bills.len()];
        let ask = world::authorise(bill, Self::AMOUNT_FEN, &order, unionpay.client.now_us());
        let Some(answer) = self.accepted(unionpay, "PaymentService/AuthorizePayment", ask).await else {
            return false;
        };
        let payment = &answer["payment"]["name"];
        let (method, request) = match end(number) {
            End::Leave => return true,
            End::Confirm => {
                let request = json!({"payment": payment, "amount_fen": Self::AMOUNT_FEN.to_string()});
                ("PaymentService/ConfirmPayment", request)
            }
            End::Reverse => ("PaymentService/ReversePayment", json!({"payment": payment, "reason": "超时冲正"})),
        };
        self.accepted(unionpay, method, request).await.is_some()
    }

    async fn accepted(&mut self, session: &Session, method: &str, request: Value) -> Option<Value> {
        accepted(self.diary.send(session, method, request).await, method)
    }
}

fn end(number: usize) -> End {
    match number % 10 {
        3 => End::Reverse,
        7 => End::Leave,
        _ => End::Confirm,
    }
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
        self.made(beijing, "EntitlementService/GrantEntitlement", grants, "grant").await?;
        Some(())
    }

    async fn made(&mut self, session: &Session, method: &str, requests: Vec<Value>, part: &str) -> Option<Vec<String>> {
        let answers = accepted(self.diary.send_batch(session, method, requests).await, method)?;
        let name = |answer: &Value| answer[part]["name"].as_str().expect("a name").to_owned();
        Some(answers.as_array().expect("a batch's answers").iter().map(name).collect())
    }
}

/// What the book holds after the load, held against what the clients know.
pub struct Totals {
    pub authorised: usize,
    pub confirmed_fen: i64,
    pub reserved_fen: i64,
}

impl Totals {
    /// What the diaries of settled payers come to.
    pub fn of(payers: &[Payer]) -> Self {
        let calls = || payers.iter().flat_map(|payer| &payer.diary.calls);
        let count = |name: &str| calls().filter(|call| call.method.name == name).count();
        let (authorised, confirmed) = (count("AuthorizePayment"), count("ConfirmPayment"));
        let reserved = authorised - confirmed - count("ReversePayment");
        let fen = |payments: usize| payments as i64 * Payer::AMOUNT_FEN;
        Self { authorised, confirmed_fen: fen(confirmed), reserved_fen: fen(reserved) }
    }

    /// Each order has one payment; balances, trial balance and payments agree with the clients.
    pub async fn check(&self, systems: &Systems, world: &World) {
        let payments = systems.unionpay.list("PaymentService/ListPayments", "", "payments").await.expect("payments");
        let orders: std::collections::BTreeSet<_> = payments.iter().map(|p| p["order_id"].to_string()).collect();
        assert_eq!((payments.len(), orders.len()), (self.authorised, self.authorised), "one payment for each order");
        let in_state = |state: &str| -> i64 {
            payments.iter().filter(|payment| payment["state"] == state).map(|payment| int(&payment["amount_fen"])).sum()
        };
        assert_eq!(self.confirmed_fen, in_state("PAYMENT_STATE_CONFIRMED"));
        assert_eq!(self.reserved_fen, in_state("PAYMENT_STATE_RESERVED"));

        let mut balances = (0, 0);
        for elder in &world.elders {
            let request =
                json!({"elder": elder, "region": world::BEIJING, "programme": PROGRAMME, "channel": world::UNIONPAY});
            let balance = world::done(&systems.unionpay, "EntitlementService/GetBalance", request).await;
            balances.0 += int(&balance["posted_fen"]);
            balances.1 += int(&balance["available_fen"]);
        }
        let credited = world::CREDITED_FEN * world.elders.len() as i64;
        assert_eq!(balances.0, credited - self.confirmed_fen, "posted on the elders' accounts");
        assert_eq!(balances.1, credited - self.confirmed_fen - self.reserved_fen, "available to the elders");

        let trial = world::done(&systems.beijing, "LedgerService/GetTrialBalance", json!({"book": world::BOOK})).await;
        assert_eq!(trial["debit_fen"], trial["credit_fen"], "{trial}");
        let lines = trial["lines"].as_array().expect("lines");
        let clearing = lines.iter().find(|line| line["kind"] == "clearing").expect("a clearing account");
        assert_eq!(int(&clearing["balance_fen"]).abs(), self.confirmed_fen, "{clearing}");
    }
}
