//! Two gateways on one PostgreSQL: one dies under load and comes back; what must not happen twice
//! is asked of both at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jjj_cli::session::{CallError, Session, find};
use jjj_domain::recon::file::{LineKind, LineStatus, SettlementLine};
use jjj_domain::time::Date;
use jjj_tests::campaign::seed;
use jjj_tests::crowd::{Crowd, check};
use jjj_tests::events::all_events;
use jjj_tests::gateway::Site;
use jjj_tests::postgres::TestDatabase;
use jjj_tests::raw::Raw;
use jjj_tests::world::{self, CREDITED_FEN, Systems, UNIONPAY, World, done};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_dies_under_load() {
    let db = TestDatabase::postgres();
    let site = Site::init(db.url());
    let (lasting, mut mortal) = (site.serve(), site.serve());
    let (world, seed) = (Arc::new(World::build(&Systems::of(&lasting), 4, 100).await), seed());
    let first = Crowd::new(0, 3, &world, seed).start(&lasting, &world);
    let mut second = Crowd::new(1, 3, &world, seed);
    for answers in [80, 25, 60] {
        let at_work = second.start(&mortal, &world);
        at_work.heard(answers).await;
        mortal.kill();
        second = at_work.stop().await;
        mortal = site.serve();
    }
    lasting.kill();
    let crowds = vec![first.stop().await, second];
    check(&site, mortal, &world, crowds).await;
}

/// A run's transaction has begun, and waits for whoever works on its channel; a file that is completed meanwhile is one
/// that its run has not read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_completed_while_a_run_waits_is_not_overlooked() {
    let db = TestDatabase::postgres();
    let site = Site::init(db.url());
    let gateway = site.serve();
    let systems = Systems::of(&gateway);
    let world = World::build(&systems, 1, 1).await;
    world::deliver(&systems.unionpay, &world.yesterday, &world::settlement_file(&[])).await;
    let unknown = SettlementLine {
        line: 2,
        byte_offset: 0,
        kind: LineKind::Payment,
        merchant_id: "777290058110097".to_owned(),
        order_id: "UNKNOWN00001".to_owned(),
        transaction_time: world.yesterday.parse::<Date>().expect("a date").starts_at(),
        amount_fen: 10_000,
        fee_fen: 20,
        status: LineStatus::Success,
        institution: "52131082XXXX00043X".to_owned(),
        original_order_id: None,
    };
    let corrected = world::settlement_file(&[unknown]);
    let file = world::upload(&systems.unionpay, &world.yesterday, &corrected).await.expect("a file");

    let (mut holder, mut watch) = (Raw::connect(&db).await, Raw::connect(&db).await);
    holder.run("BEGIN").await;
    holder.run("SELECT 1 FROM participants WHERE participant = 'channels/unionpay' FOR UPDATE").await;
    let waits = |session: &Session, method: &'static str, request: Value| {
        let session = session.clone();
        tokio::spawn(async move { session.call(method, request).await })
    };
    let completed = waits(&systems.unionpay, "ChannelService/CompleteUpload", json!({"file": file}));
    until_waiting(&mut watch, 1).await;
    let start = json!({"channel": UNIONPAY, "clearing_date": world.yesterday});
    let run = waits(&systems.chen, "ReconciliationService/StartRun", start.clone());
    until_waiting(&mut watch, 2).await;
    holder.run("COMMIT").await;

    completed.await.expect("a call").expect("completed");
    let refused = run.await.expect("a call").expect_err("its file is no more the one in force");
    assert_eq!(refused.reason, "STATE_NOT_ALLOWED", "{refused}");
    let run = done(&systems.chen, "ReconciliationService/StartRun", start).await["run"].take();
    assert_eq!((&run["number"], &run["breaks_open"]), (&json!(1), &json!("1")), "{run:#}");
    assert!(gateway.stop().success());
    site.verify();
}

async fn until_waiting(watch: &mut Raw, transactions: i64) {
    for _ in 0..1_000 {
        if watch.waiting().await == transactions {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{transactions} transactions should wait for a lock, {} do", watch.waiting().await);
}

const ROUNDS: usize = 60;

/// Every race is run by the same number of institutions, elders and bills, each its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn races() {
    let db = TestDatabase::postgres();
    let site = Site::init(db.url());
    let (a, b) = (site.serve(), site.serve());
    let systems = [Systems::of(&a), Systems::of(&b)];
    let world = World::build(&systems[0], ROUNDS, ROUNDS).await;
    // The second connects before it counts.
    for session in [&systems[1].beijing, &systems[1].hebei, &systems[1].unionpay] {
        done(session, "PolicyService/ListPolicies", json!({"page_size": 1})).await;
    }
    same_request(&systems, &world).await;
    same_order(&systems, &world).await;
    same_month(&systems, &world).await;
    same_money(&systems, &world).await;
    same_payment(&systems, &world).await;
    payment_against_revocation(&systems, &world, Revoked::Assessment).await;
    payment_against_revocation(&systems, &world, Revoked::Rating).await;
    assert!(a.stop().success());
    assert!(b.stop().success());
    site.verify();
}

type Answer = Result<Value, CallError>;

/// Two calls, the second later (or earlier, when negative).
async fn race(first: (&Session, &str, Value), second: (&Session, &str, Value), lead_us: i64) -> (Answer, Answer) {
    let delayed = async |(session, method, request): (&Session, &str, Value), by_us: i64| {
        tokio::time::sleep(Duration::from_micros(by_us.max(0).unsigned_abs())).await;
        session.call(method, request).await
    };
    tokio::join!(delayed(first, -lead_us), delayed(second, lead_us))
}

/// The one that was accepted; the other was refused for this reason.
fn only_one((first, second): (Answer, Answer), reason: &str) -> Value {
    match (first, second) {
        (Ok(won), Err(lost)) | (Err(lost), Ok(won)) => {
            assert_eq!(lost.reason, reason, "{lost}");
            won
        }
        (first, second) => panic!("one ought to be accepted: {first:?}, {second:?}"),
    }
}

fn order(prefix: &str, round: usize) -> String {
    format!("{prefix}{round:08}")
}

fn authorise(session: &Session, bill: &str, fen: i64, order: &str) -> Value {
    world::authorise(bill, fen, order, session.client.now_us())
}

const AUTHORISE: &str = "PaymentService/AuthorizePayment";

/// The same bytes to both at once: one effect, one answer.
async fn same_request(systems: &[Systems; 2], world: &World) {
    let method = find(AUTHORISE).expect("a method");
    for round in 0..ROUNDS {
        let [a, b] = [&systems[0].unionpay, &systems[1].unionpay];
        let ask = authorise(a, &world.bills[round], 100, &order("SAMEREQ", round));
        let request = a.encode(method, ask).expect("a request");
        let call = |session: &Session| {
            let (client, request) = (session.client.clone(), request.clone());
            async move { client.call_bytes(method.path, request).await }
        };
        let (first, second) = tokio::join!(call(a), call(b));
        assert_eq!(first.expect("an answer"), second.expect("an answer"), "round {round}");
        assert_eq!(call(b).await.expect("an answer"), call(a).await.expect("an answer"));
    }
    let payments = systems[0].unionpay.list("PaymentService/ListPayments", "", "payments").await.expect("payments");
    assert_eq!(payments.len(), ROUNDS);
}

/// One order id in two requests: one payment.
async fn same_order(systems: &[Systems; 2], world: &World) {
    for round in 0..ROUNDS {
        let ask = |session| authorise(session, &world.bills[round], 100, &order("SAMEORD", round));
        let [a, b] = [&systems[0].unionpay, &systems[1].unionpay];
        let won = only_one(race((a, AUTHORISE, ask(a)), (b, AUTHORISE, ask(b)), 0).await, "ORDER_ID_TAKEN");
        let known = done(b, "PaymentService/QueryPayment", json!({"order_id": order("SAMEORD", round)})).await;
        assert_eq!(known["name"], won["payment"]["name"]);
    }
}

/// Two grants of one month: one grant.
async fn same_month(systems: &[Systems; 2], world: &World) {
    let year: i32 = world.month[..4].parse().expect("a year");
    let before = match &world.month[5..] {
        "01" => format!("{}-12", year - 1),
        month => format!("{year}-{:02}", month.parse::<u32>().expect("a month") - 1),
    };
    for elder in &world.elders {
        let ask = || ("EntitlementService/GrantEntitlement", world::grant(elder, &before));
        let [(method, first), (_, second)] = [ask(), ask()];
        let answers = race((&systems[0].beijing, method, first), (&systems[1].beijing, method, second), 0).await;
        only_one(answers, "ALREADY_GRANTED");
    }
}

/// Two payments that the balance covers only one of: nobody is overdrawn.
async fn same_money(systems: &[Systems; 2], world: &World) {
    for round in 0..ROUNDS {
        // 200 fen are held by the races before.
        let ask = |session, prefix| authorise(session, &world.bills[round], CREDITED_FEN - 300, &order(prefix, round));
        let [a, b] = [&systems[0].unionpay, &systems[1].unionpay];
        let answers = race((a, AUTHORISE, ask(a, "MONEYA")), (b, AUTHORISE, ask(b, "MONEYB")), 0).await;
        let won = only_one(answers, "INSUFFICIENT_FUNDS");
        let reverse = json!({"payment": won["payment"]["name"], "reason": "冲正"});
        done(a, "PaymentService/ReversePayment", reverse).await;
    }
}

/// A payment confirmed here and reversed there: one of the two.
async fn same_payment(systems: &[Systems; 2], world: &World) {
    for round in 0..ROUNDS {
        let [a, b] = [&systems[0].unionpay, &systems[1].unionpay];
        let ask = authorise(a, &world.bills[round], 100, &order("SAMEPAY", round));
        let payment = &done(a, AUTHORISE, ask).await["payment"]["name"];
        let confirm = ("PaymentService/ConfirmPayment", json!({"payment": payment, "amount_fen": "100"}));
        let reverse = ("PaymentService/ReversePayment", json!({"payment": payment, "reason": "冲正"}));
        let (confirmed, reversed) = race((a, confirm.0, confirm.1), (b, reverse.0, reverse.1), 0).await;
        match (confirmed, reversed) {
            (Ok(_), Err(lost)) => assert_eq!(lost.reason, "STATE_NOT_ALLOWED"),
            // Debited after all: a late confirmation, booked as a fact.
            (Ok(late), Ok(_)) => assert_eq!(late["payment"]["state"], "PAYMENT_STATE_LATE"),
            other => panic!("{other:?}"),
        }
    }
}

/// Which record a payment stands on is revoked.
#[derive(Clone, Copy)]
enum Revoked {
    /// Beijing's own.
    Assessment,
    /// Hebei's, through Beijing's recognition of it.
    Rating,
}

/// A payment here, a revocation there. Either the payment was decided first, and its leaf comes
/// before the revocation's; or it is refused. After the revocation was acknowledged, always.
async fn payment_against_revocation(systems: &[Systems; 2], world: &World, revoked: Revoked) {
    let mut paid: Vec<(String, String)> = Vec::new();
    for round in 0..ROUNDS {
        let (revoker, method, record, prefix) = match revoked {
            Revoked::Assessment => {
                (&systems[1].beijing, "AssessmentService/ChangeAssessment", &world.assessments, "ASSESSM")
            }
            Revoked::Rating => (&systems[1].hebei, "RatingService/ChangeRating", &world.ratings, "RATING"),
        };
        // Those whose assessments are revoked cannot pay any more: each race has its half.
        let at = match revoked {
            Revoked::Assessment if round % 2 == 0 => round,
            Revoked::Rating if round % 2 == 1 => round,
            _ => continue,
        };
        let payer = &systems[0].unionpay;
        let revoke = json!({"name": record[at], "expected_version": "1", "new_state": "RECORD_STATE_REVOKED", "reason": "复核撤销",
                            "decided_by": "主管部门", "document_number": "撤-1", "effective_on": today(payer)});
        let ask = authorise(payer, &world.bills[at], 100, &order(prefix, round));
        // From far ahead to far behind, most of them close.
        let lead_us = (round as i64 - ROUNDS as i64 / 2).pow(3) * 4;
        let (payment, revocation) = race((payer, AUTHORISE, ask), (revoker, method, revoke), lead_us).await;
        let revocation = revocation.expect("a revocation");
        match payment {
            Ok(payment) => paid.push((leaf(&payment), leaf(&revocation))),
            Err(refused) => assert_eq!(refused.reason, "CONDITION_UNMET", "{refused}"),
        }
        for (i, systems) in systems.iter().enumerate() {
            let ask = authorise(&systems.unionpay, &world.bills[at], 100, &order(prefix, round * 10 + 1_000 + i));
            let after = systems.unionpay.call(AUTHORISE, ask).await.expect_err("revoked and acknowledged");
            assert_eq!(after.reason, "CONDITION_UNMET", "{after}");
        }
    }
    let mut positions = BTreeMap::new();
    for session in [&systems[0].beijing, &systems[0].hebei] {
        positions.extend(all_events(session).await.into_iter().map(|(cursor, leaf)| (base64(&leaf), cursor)));
    }
    for (payment, revocation) in &paid {
        assert!(positions[payment] < positions[revocation], "paid on a record after its revocation");
    }
    println!("{} of {} payments came first", paid.len(), ROUNDS / 2);
    assert!((1..ROUNDS / 2).contains(&paid.len()), "that was no race: {} came first", paid.len());
}

fn today(session: &Session) -> String {
    jjj_domain::time::Timestamp(session.client.now_us()).date().to_string()
}

fn leaf(answer: &Value) -> String {
    answer["receipt"]["leaf_hash"].as_str().expect("a hash").to_owned()
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::prelude::BASE64_STANDARD.encode(bytes)
}
