//! Whether a run may be reported: no payment lost, doubled or unbalanced.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, anyhow, ensure};
use bytes::Bytes;
use jjj_cli::client::Client;
use jjj_server::receipt::from_wire;
use jjj_tests::world::{BOOK, Systems};
use jjj_token::{Hash, VerifyingKey};
use jjj_wire::pb;
use prost::Message;
use tokio::task::JoinSet;

use crate::load::{AMOUNT_FEN, Acknowledged};
use crate::site::Gateway;

const TRIAL_BALANCE: &str = "/jjj.gateway.v1.LedgerService/GetTrialBalance";
const GET: &str = "/jjj.gateway.v1.PaymentService/GetPayment";
const LIST: &str = "/jjj.gateway.v1.PaymentService/ListPayments";

/// What the book holds, of everything that payments touch.
pub struct Books {
    /// Sums by account kind: posted, held.
    entitlement: (i64, i64),
    clearing: (i64, i64),
}

impl Books {
    /// The trial balance, which must balance.
    pub async fn read(systems: &Systems) -> anyhow::Result<Self> {
        let request = pb::GetTrialBalanceRequest { book: BOOK.to_owned(), ..Default::default() };
        let trial: pb::TrialBalance = systems.beijing.client.call(TRIAL_BALANCE, &request).await.map_err(said)?;
        ensure!(trial.debit_fen == trial.credit_fen, "the book does not balance: {trial:?}");
        let of = |kind: &str| {
            let line = trial.lines.iter().find(|line| line.kind == kind);
            line.map_or((0, 0), |line| (line.balance_fen, line.held_fen))
        };
        Ok(Self { entitlement: of("entitlement"), clearing: of("clearing") })
    }

    /// Fen that left the elders' accounts.
    pub fn spent_since(&self, before: &Self) -> i64 {
        before.entitlement.0 - self.entitlement.0
    }
}

fn said(status: tonic::Status) -> anyhow::Error {
    anyhow!("{status:?}")
}

/// Every answer has a receipt, signed by the gateway, for the payment's first and second version; and
/// no two are for the same leaf.
pub fn receipts(paid: &[Acknowledged], key: &VerifyingKey) -> anyhow::Result<()> {
    let share = paid.len().div_ceil(crate::machine::cores()).max(1);
    let leaves = std::thread::scope(|scope| {
        let threads: Vec<_> = paid
            .chunks(share)
            .map(|paid| scope.spawn(move || paid.iter().map(|one| both(one, key)).collect::<anyhow::Result<Vec<_>>>()))
            .collect();
        let joined = threads.into_iter().map(|thread| thread.join().map_err(|_| anyhow!("a check panicked"))?);
        joined.collect::<anyhow::Result<Vec<_>>>()
    })?;
    let leaves: Vec<Hash> = leaves.into_iter().flatten().flatten().collect();
    let distinct: HashSet<&Hash> = leaves.iter().collect();
    ensure!(distinct.len() == paid.len() * 2, "{} leaves promised for {} payments", distinct.len(), paid.len());
    Ok(())
}

fn both(paid: &Acknowledged, key: &VerifyingKey) -> anyhow::Result<[Hash; 2]> {
    Ok([one(&paid.authorised, &paid.payment, 1, key)?, one(&paid.confirmed, &paid.payment, 2, key)?])
}

/// Answers to both methods have the payment first and the receipt second.
fn one(answer: &Bytes, payment: &str, version: i64, key: &VerifyingKey) -> anyhow::Result<Hash> {
    let answer = pb::AuthorizePaymentResponse::decode(answer.clone())?;
    let receipt = answer.receipt.context("an answer without a receipt")?;
    ensure!(receipt.record == payment && receipt.version == version, "a receipt for another record: {receipt:?}");
    let receipt = from_wire(receipt).context("a receipt in its form")?;
    receipt.verify(key)?;
    Ok(receipt.leaf_hash)
}

/// Every acknowledged payment is there, confirmed, with its amount; the book has grown by exactly
/// these, which leaves no room for one that was booked twice; and nothing is held any more.
pub async fn payments(gateway: &Gateway, before: &Books, now: &Books, paid: &[Acknowledged]) -> anyhow::Result<()> {
    let names: Arc<Vec<String>> = Arc::new(paid.iter().map(|paid| paid.payment.clone()).collect());
    let distinct: HashSet<&String> = names.iter().collect();
    ensure!(distinct.len() == names.len(), "a payment was acknowledged twice");
    let fen = paid.len() as i64 * AMOUNT_FEN;
    let clearing = now.clearing.0 - before.clearing.0;
    let spent = now.spent_since(before);
    ensure!(clearing == fen && spent == fen, "{fen} fen acknowledged, {spent} spent, {clearing} in clearing");
    ensure!(
        now.clearing.1 == 0 && now.entitlement.1 == 0,
        "something is held: {:?} {:?}",
        now.clearing,
        now.entitlement
    );
    let next = Arc::new(AtomicUsize::new(0));
    let mut readers = JoinSet::new();
    let clients = gateway.channels(4)?;
    for i in 0..64 {
        let (client, names, next) = (clients[i % clients.len()].clone(), names.clone(), next.clone());
        readers.spawn(async move { confirmed(&client, &names, &next).await });
    }
    while let Some(read) = readers.join_next().await {
        read??;
    }
    Ok(())
}

async fn confirmed(client: &Client, names: &[String], next: &AtomicUsize) -> anyhow::Result<()> {
    while let Some(name) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
        let request = pb::GetPaymentRequest { name: name.clone() };
        let payment: pb::Payment = client.call(GET, &request).await.map_err(|s| anyhow!("{name} is lost: {s:?}"))?;
        let as_paid =
            payment.state() == pb::PaymentState::Confirmed && (payment.amount_fen, payment.version) == (AMOUNT_FEN, 2);
        ensure!(as_paid, "{name} is not as it was acknowledged: {payment:?}");
    }
    Ok(())
}

/// The gateway lists these payments and no other, each once, with an order of its own.
pub async fn listed(gateway: &Gateway, acknowledged: usize) -> anyhow::Result<()> {
    let client = gateway.client(jjj_tests::world::UNIONPAY)?;
    let (mut names, mut orders, mut count) = (HashSet::new(), HashSet::new(), 0);
    let mut page_token = String::new();
    loop {
        let request = pb::ListPaymentsRequest { page_size: 1_000, page_token, ..Default::default() };
        let page: pb::ListPaymentsResponse = client.call(LIST, &request).await.map_err(said)?;
        count += page.payments.len();
        for payment in page.payments {
            names.insert(payment.name);
            orders.insert(payment.order_id);
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let found = (count, names.len(), orders.len());
    ensure!(found == (acknowledged, acknowledged, acknowledged), "{acknowledged} acknowledged, listed {found:?}");
    Ok(())
}
