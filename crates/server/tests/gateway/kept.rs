//! What a gateway keeps from batch to batch is no longer true once another one has written.

use std::time::{Duration, Instant};

use jjj_tests::both_databases;
use jjj_tests::postgres::TestDatabase;
use jjj_tests::raw::Raw;
use jjj_wire::pb;

use crate::harness::{ask, reason};
use crate::money::{authorize, fund, start};
use crate::talk::method;

both_databases!(each_gateway_decides_by_what_the_other_wrote);

const AUTHORIZE: &str = method!("PaymentService/AuthorizePayment");
const CONFIRM: &str = method!("PaymentService/ConfirmPayment");
const REVERSE: &str = method!("PaymentService/ReversePayment");

async fn each_gateway_decides_by_what_the_other_wrote(database: TestDatabase) {
    let mut world = start(database).await;
    fund(&world).await;
    let (other, stop) = world.replica().await;
    let there = world.reconnect(&world.unionpay, &world.unionpay_ca, &other);
    let authorise = async |by, order: &str, fen| {
        ask::<pb::AuthorizePaymentResponse>(&world, by, AUTHORIZE, &authorize(&world, order, fen)).await
    };

    // Of 45,000 fen that the bill leaves to be paid; each gateway has read the bill before.
    authorise(&world.unionpay, "HERE0001", 10_000).await.unwrap();
    let held = authorise(&there, "THERE001", 30_000).await.unwrap();
    let refused = authorise(&world.unionpay, "HERE0002", 10_000).await.unwrap_err();
    assert_eq!(reason(&refused), "BILL_LINE_EXCEEDED");

    // What it knew of the refused order's absence holds, and what it knew of the bill does not.
    let payment = held.payment.unwrap().name;
    let decline = pb::ReversePaymentRequest { request_id: world.id(), payment, reason: "timed out".into() };
    ask::<pb::ReversePaymentResponse>(&world, &there, REVERSE, &decline).await.unwrap();
    let here = authorise(&world.unionpay, "HERE0002", 35_000).await.unwrap();
    let refused = authorise(&there, "THERE002", 1).await.unwrap_err();
    assert_eq!(reason(&refused), "BILL_LINE_EXCEEDED");
    // An order that it saw refused, and the other one took.
    let payment = here.payment.unwrap().name;
    let decline = pb::ReversePaymentRequest { request_id: world.id(), payment, reason: "timed out".into() };
    ask::<pb::ReversePaymentResponse>(&world, &there, REVERSE, &decline).await.unwrap();
    let refused = authorise(&world.unionpay, "EITHER01", 45_001).await.unwrap_err();
    assert_eq!(reason(&refused), "BILL_LINE_EXCEEDED");
    authorise(&there, "EITHER01", 30_000).await.unwrap();
    let refused = authorise(&world.unionpay, "EITHER01", 5_000).await.unwrap_err();
    assert_eq!(reason(&refused), "ORDER_ID_TAKEN");

    drop(stop);
    other.join().await;
    world.stop().await;
    world.verify().await;
}

/// What is guessed to be needed may be a row that somebody keeps: that is waited for, and is not the answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_needed_by_a_wrong_guess_alone_refuses_nobody() {
    let mut world = start(TestDatabase::postgres()).await;
    fund(&world).await;
    let (other, stop) = world.replica().await;
    let there = world.reconnect(&world.unionpay, &world.unionpay_ca, &other);
    let order = authorize(&world, "HERE0001", 10_000);
    let held = ask::<pb::AuthorizePaymentResponse>(&world, &world.unionpay, AUTHORIZE, &order).await.unwrap();
    let payment = held.payment.unwrap().name;
    let confirm = pb::ConfirmPaymentRequest {
        request_id: world.id(),
        payment: payment.clone(),
        amount_fen: 10_000,
        ..pb::ConfirmPaymentRequest::default()
    };
    ask::<pb::ConfirmPaymentResponse>(&world, &there, CONFIRM, &confirm).await.unwrap();

    // Guessed to be reserved, the payment would be taken off its bill line.
    let mut keeper = Raw::connect(&world.database).await;
    keeper.run("BEGIN").await;
    keeper.run("SELECT 1 FROM bill_lines FOR UPDATE").await;
    let reverse = pb::ReversePaymentRequest { request_id: world.id(), payment, reason: "timed out".into() };
    let asked = Instant::now();
    let refused = ask::<pb::ReversePaymentResponse>(&world, &world.unionpay, REVERSE, &reverse).await.unwrap_err();
    assert_eq!(reason(&refused), "STATE_NOT_ALLOWED");
    assert!(asked.elapsed() >= Duration::from_secs(2), "it was guessed, and waited for: {:?}", asked.elapsed());
    keeper.run("ROLLBACK").await;

    drop(stop);
    other.join().await;
    world.stop().await;
    world.verify().await;
}
