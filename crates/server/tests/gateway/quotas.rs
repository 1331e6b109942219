//! A channel's limit per clearing date, kept by two gateways on one database.

use futures_util::future::join_all;
use jjj_domain::payment::quota::QuotaRow;
use jjj_domain::policy::{PolicyKind, SetPolicy, defaults};
use jjj_store::ListQuery;
use jjj_tests::both_databases;
use jjj_tests::postgres::TestDatabase;
use jjj_wire::pb;

use crate::harness::{World, ask, reason};
use crate::money::{PROGRAMME, authorize, fund, start};
use crate::talk::method;

both_databases!(two_gateways_keep_one_limit);

const AUTHORIZE: &str = method!("PaymentService/AuthorizePayment");
const REVERSE: &str = method!("PaymentService/ReversePayment");
const CHECK: &str = method!("PaymentService/CheckPayment");
const LIMIT_FEN: i64 = 20_000;
const AMOUNT_FEN: i64 = 500;

async fn limit(world: &World) {
    let of = |d: &SetPolicy| d.kind == PolicyKind::Channel && d.scope == "unionpay";
    let mut policy = defaults().into_iter().find(of).unwrap();
    policy.body["daily_limit_fen"] = LIMIT_FEN.into();
    world.decide("gateway/admins/li", policy).await;
}

/// What may still be reserved, as the channel is told.
async fn open(world: &World) -> (Option<i64>, i64) {
    let check = pb::CheckPaymentRequest {
        bill: "bills/b1".into(),
        fee_type: pb::FeeType::Bed.into(),
        programme: PROGRAMME.into(),
        ..Default::default()
    };
    let answer: pb::CheckPaymentResponse = ask(world, &world.unionpay, CHECK, &check).await.unwrap();
    (answer.channel_open_fen, answer.payable_fen)
}

async fn two_gateways_keep_one_limit(database: TestDatabase) {
    let mut world = start(database).await;
    fund(&world).await;
    assert_eq!(open(&world).await, (None, 45_000));
    limit(&world).await;
    assert_eq!(open(&world).await, (Some(LIMIT_FEN), LIMIT_FEN));
    let (other, stop) = world.replica().await;
    let there = world.reconnect(&world.unionpay, &world.unionpay_ca, &other);

    // Half as many again as the limit holds, at once, by two ways.
    let count = LIMIT_FEN / AMOUNT_FEN * 3 / 2;
    let asks: Vec<_> = (0..count).map(|n| authorize(&world, &format!("ORDER{n:04}"), AMOUNT_FEN)).collect();
    let calls = asks.iter().enumerate().map(|(n, request)| {
        let by = if n % 2 == 0 { &world.unionpay } else { &there };
        ask::<pb::AuthorizePaymentResponse>(&world, by, AUTHORIZE, request)
    });
    let answers = join_all(calls).await;
    let approved: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().ok()).collect();
    assert_eq!(approved.len() as i64, LIMIT_FEN / AMOUNT_FEN);
    for refused in answers.iter().filter_map(|answer| answer.as_ref().err()) {
        assert_eq!(reason(refused), "CHANNEL_LIMIT_EXCEEDED");
    }
    assert_eq!(open(&world).await, (Some(0), 0));

    // One is declined after all: there is room for one.
    let payment = approved[0].payment.as_ref().unwrap().name.clone();
    let decline = pb::ReversePaymentRequest { request_id: world.id(), payment, reason: "timed out".into() };
    ask::<pb::ReversePaymentResponse>(&world, &there, REVERSE, &decline).await.unwrap();
    let once_more = authorize(&world, "ORDER9999", AMOUNT_FEN);
    ask::<pb::AuthorizePaymentResponse>(&world, &world.unionpay, AUTHORIZE, &once_more).await.unwrap();

    drop(stop);
    other.join().await;
    world.stop().await;
    let all = ListQuery { limit: 1_000, ..ListQuery::default() };
    let quotas: Vec<QuotaRow> = world.store().await.read().await.unwrap().list(&all).await.unwrap();
    assert_eq!(quotas.iter().map(|quota| quota.used_fen).sum::<i64>(), LIMIT_FEN);
}
