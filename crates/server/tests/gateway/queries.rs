//! Reservations left unanswered: asked about on the channel's stream, by one gateway of several.
//! Time is moved, not waited for.

use std::time::Duration;

use jjj_domain::payment::{PaymentQueryRow, PaymentRow};
use jjj_store::ListQuery;
use jjj_tests::both_databases;
use jjj_tests::postgres::TestDatabase;
use jjj_wire::pb;
use jjj_wire::pb::channel_service_client::ChannelServiceClient;

use crate::harness::World;
use crate::ledger::{events, signed};
use crate::money::{authorize, fund, start};
use crate::talk::method;

both_databases!(
    a_reservation_is_asked_about_until_it_is_answered,
    what_the_channel_had_given_up_before_it_was_approved_is_asked_about,
    two_gateways_ask_once,
);

const AUTHORIZE: &str = method!("PaymentService/AuthorizePayment");
const REVERSE: &str = method!("PaymentService/ReversePayment");
const STREAM: &str = method!("ChannelService/StreamInstructions");

/// Longer than the timer's step.
const STEP: Duration = Duration::from_millis(1_800);

/// Lets time pass, once receipts are kept, and gives the timer its turn.
async fn pass(world: &World, seconds: i64) {
    tokio::time::sleep(STEP).await;
    world.clock.advance_us(seconds * 1_000_000);
    tokio::time::sleep(STEP).await;
}

async fn instructions(world: &World, cursor: i64) -> Vec<pb::Instruction> {
    let request = signed(world, &world.unionpay, STREAM, pb::StreamInstructionsRequest { cursor, follow: false });
    let mut client = ChannelServiceClient::new(world.unionpay.channel.clone());
    let mut stream = client.stream_instructions(request).await.unwrap().into_inner();
    let mut found: Vec<pb::Instruction> = Vec::new();
    while let Some(instruction) = stream.message().await.unwrap() {
        assert!(found.last().is_none_or(|last| last.cursor < instruction.cursor));
        found.push(instruction);
    }
    found
}

async fn queries(world: &World) -> Vec<pb::Instruction> {
    let all = instructions(world, 0).await.into_iter();
    all.filter(|instruction| instruction.kind() == pb::InstructionKind::Query).collect()
}

/// The questions once there are so many: a loaded machine may be late with them.
async fn queries_by_now(world: &World, count: usize) -> Vec<pb::Instruction> {
    let began = std::time::Instant::now();
    loop {
        let found = queries(world).await;
        if found.len() >= count || began.elapsed() > Duration::from_secs(30) {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn reverse(world: &World, payment: &str) -> pb::ReversePaymentRequest {
    pb::ReversePaymentRequest { request_id: world.id(), payment: payment.into(), reason: "查无此交易".into() }
}

async fn a_reservation_is_asked_about_until_it_is_answered(database: TestDatabase) {
    let mut world = start(database).await;
    fund(&world).await;
    let ask = authorize(&world, "ORDER0001", 10_000);
    let answer: pb::AuthorizePaymentResponse = world.ask(&world.unionpay, AUTHORIZE, &ask).await;
    let payment = answer.payment.unwrap();
    pass(&world, 50).await;
    assert_eq!(queries(&world).await, []);
    pass(&world, 10).await;
    let [first] = &queries_by_now(&world, 1).await[..] else { panic!("asked once") };
    let same = (&first.record, first.version, &first.order_id, &first.merchant_id, first.transaction_time_us);
    let own = (&payment.name, 1, &payment.order_id, &payment.merchant_id, payment.transaction_time_us);
    assert_eq!(same, own);
    assert_eq!((first.amount_fen, &first.elder, &first.region), (0, &payment.elder, &payment.region));
    let told = events(&world, &world.beijing, 0).await.unwrap();
    let told: Vec<_> = told.iter().filter(|e| e.kind == "payment.queried").map(|e| (e.version, &*e.author)).collect();
    assert_eq!(told, [(1, "gateway")]);

    // Away for a day: what came meanwhile comes in order, after the cursor, and each delivery is the same.
    for asked_by_then in 2..=4 {
        pass(&world, 6 * 3_600).await;
        assert_eq!(queries_by_now(&world, asked_by_then).await.len(), asked_by_then);
    }
    let asked = queries(&world).await;
    assert_eq!(instructions(&world, first.cursor).await, asked[1..]);
    let state = pb::GetPaymentRequest { name: payment.name.clone() };
    let stands: pb::Payment = world.ask(&world.unionpay, method!("PaymentService/GetPayment"), &state).await;
    assert_eq!(stands, payment, "a question leaves the payment as it is");

    let reversed: pb::ReversePaymentResponse =
        world.ask(&world.unionpay, REVERSE, &reverse(&world, &payment.name)).await;
    assert_eq!(reversed.payment.unwrap().state(), pb::PaymentState::Reversed);
    pass(&world, 24 * 3_600).await;
    assert_eq!(queries(&world).await.len(), 4, "answered, and asked about no more");
    world.stop().await;
    world.verify().await;
}

/// The reversal overtakes the authorisation: nothing is there to be reversed, and then it is
/// approved for nobody. Without a question it would be held until the files of two days lack it.
async fn what_the_channel_had_given_up_before_it_was_approved_is_asked_about(database: TestDatabase) {
    let mut world = start(database).await;
    fund(&world).await;
    let ask = authorize(&world, "ORDER0001", 10_000);
    let payment = format!("payments/{}", ask.request_id);
    let early = reverse(&world, &payment);
    assert_eq!(world.refusal(&world.unionpay, REVERSE, &early).await, "RECORD_NOT_FOUND payment");
    let _: pb::AuthorizePaymentResponse = world.ask(&world.unionpay, AUTHORIZE, &ask).await;
    pass(&world, 60).await;
    let [query] = &queries_by_now(&world, 1).await[..] else { panic!("asked once") };
    assert_eq!(query.record, payment);
    // The very request that was refused before may be repeated.
    let reversed: pb::ReversePaymentResponse = world.ask(&world.unionpay, REVERSE, &early).await;
    assert_eq!(reversed.payment.unwrap().state(), pb::PaymentState::Reversed);
    world.stop().await;
    world.verify().await;
}

async fn two_gateways_ask_once(database: TestDatabase) {
    let mut world = start(database).await;
    fund(&world).await;
    let (other, stop) = world.replica().await;
    for n in 0..40 {
        let ask = authorize(&world, &format!("ORDER{n:04}"), 100);
        let _: pb::AuthorizePaymentResponse = world.ask(&world.unionpay, AUTHORIZE, &ask).await;
    }
    for seconds in [60, 120, 240] {
        pass(&world, seconds).await;
    }
    tokio::time::sleep(STEP).await;
    let asked = queries(&world).await;
    drop(stop);
    other.join().await;
    world.stop().await;
    let store = world.store().await;
    let all = ListQuery { limit: 1_000, ..ListQuery::default() };
    let mut session = store.read().await.unwrap();
    let rows: Vec<PaymentQueryRow> = session.list(&all).await.unwrap();
    let payments: Vec<PaymentRow> = session.list(&all).await.unwrap();
    drop(session);
    assert_eq!((rows.len(), payments.len(), asked.len()), (40, 40, 120));
    assert!(rows.iter().all(|row| row.times_asked == 3), "{rows:?}");
    world.verify().await;
}
