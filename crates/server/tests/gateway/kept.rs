//! What a gateway keeps from batch to batch is no longer true once another one has written.

use jjj_tests::both_databases;
use jjj_tests::postgres::TestDatabase;
use jjj_wire::pb;

use crate::harness::{ask, reason};
use crate::money::{authorize, fund, start};
use crate::talk::method;

both_databases!(each_gateway_decides_by_what_the_other_wrote);

const AUTHORIZE: &str = method!("PaymentService/AuthorizePayment");
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
    authorise(&world.unionpay, "HERE0002", 35_000).await.unwrap();
    let refused = authorise(&there, "THERE002", 1).await.unwrap_err();
    assert_eq!(reason(&refused), "BILL_LINE_EXCEEDED");

    drop(stop);
    other.join().await;
    world.stop().await;
    world.verify().await;
}
