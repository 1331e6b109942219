//! The load: a channel that authorises and confirms, one by one or in batch calls, and keeps every
//! answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, ensure};
use bytes::Bytes;
use jjj_cli::client::Client;
use jjj_tests::world::{PROGRAMME, digest};
use jjj_wire::pb;
use prost::Message as _;
use tokio::task::JoinSet;

pub const AUTHORIZE: &str = "/jjj.gateway.v1.PaymentService/AuthorizePayment";
pub const CONFIRM: &str = "/jjj.gateway.v1.PaymentService/ConfirmPayment";
const BATCH_AUTHORIZE: &str = "/jjj.gateway.v1.PaymentService/BatchAuthorizePayments";
const BATCH_CONFIRM: &str = "/jjj.gateway.v1.PaymentService/BatchConfirmPayments";
/// Each payment's amount: the least, so that a bill takes many.
pub const AMOUNT_FEN: i64 = 1;

/// What may be paid; payment `n` goes to bill `n % bills`, so that no row is busier than others.
#[derive(Default)]
pub struct Bills {
    pub names: Vec<String>,
}

impl Bills {
    fn of(&self, n: usize) -> &str {
        &self.names[n % self.names.len()]
    }
}

/// A payment that the gateway said it had recorded, with both answers as they came.
pub struct Acknowledged {
    pub payment: String,
    pub authorised: Bytes,
    pub confirmed: Bytes,
}

/// What a load came to.
#[derive(Default)]
pub struct Load {
    pub paid: Vec<Acknowledged>,
    pub elapsed: Duration,
    /// Of single calls, microseconds.
    pub latencies_us: Vec<u32>,
    /// Mean lengths of the messages sent and received.
    pub request_bytes: usize,
    pub answer_bytes: usize,
}

impl Load {
    pub fn per_second(&self) -> f64 {
        self.paid.len() as f64 / self.elapsed.as_secs_f64()
    }
}

/// How confirmations are dated.
#[derive(Clone, Copy, Default)]
pub enum Dates {
    /// On the day of the authorisation.
    #[default]
    One,
    /// On the three days that the gateway takes, in turn.
    Spread,
    /// On the day before that.
    Yesterday,
}

impl Dates {
    /// The `n`-th confirmation's date; empty: the gateway's own.
    pub fn of(self, n: usize) -> String {
        let days = match self {
            Self::One => return String::new(),
            Self::Spread => n as i64 % 3 - 1,
            Self::Yesterday => -1,
        };
        let day = crate::site::now_us() + days * 86_400_000_000;
        jjj_domain::time::Timestamp(day).clearing_date().to_string()
    }
}

/// Authorises and confirms `payments` payments over these connections, `in_flight` calls at once.
pub async fn singly(
    connections: &[Client],
    bills: &Arc<Bills>,
    payments: usize,
    in_flight: usize,
    dates: Dates,
) -> anyhow::Result<Load> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    let started = Instant::now();
    for i in 0..in_flight {
        let (client, bills, next) = (connections[i % connections.len()].clone(), bills.clone(), next.clone());
        tasks.spawn(async move {
            let mut done = Load::default();
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= payments {
                    return Ok::<_, anyhow::Error>(done);
                }
                pay(&client, bills.of(n), dates.of(n), Instant::now(), &mut done).await?;
            }
        });
    }
    gather(tasks, started).await
}

/// Begins `payments` payments at a steady pace, whatever becomes of those before. Response times
/// count from when a call was due.
pub async fn paced(
    connections: &[Client],
    bills: &Arc<Bills>,
    payments: usize,
    per_second: f64,
) -> anyhow::Result<Load> {
    let mut tasks = JoinSet::new();
    let started = Instant::now();
    for n in 0..payments {
        let due = started + Duration::from_secs_f64(n as f64 / per_second);
        let (client, bills) = (connections[n % connections.len()].clone(), bills.clone());
        // The timer has a grain of a millisecond: calls leave in little groups, as they do in life.
        tokio::time::sleep_until(due.into()).await;
        tasks.spawn(async move {
            let mut done = Load::default();
            pay(&client, bills.of(n), String::new(), due, &mut done).await?;
            Ok::<_, anyhow::Error>(done)
        });
    }
    gather(tasks, started).await
}

async fn gather(mut tasks: JoinSet<anyhow::Result<Load>>, started: Instant) -> anyhow::Result<Load> {
    let mut all = Load::default();
    while let Some(done) = tasks.join_next().await {
        let done = done??;
        all.paid.extend(done.paid);
        all.latencies_us.extend(done.latencies_us);
        all.request_bytes += done.request_bytes;
        all.answer_bytes += done.answer_bytes;
    }
    all.elapsed = started.elapsed();
    let calls = all.latencies_us.len().max(1);
    all.request_bytes /= calls;
    all.answer_bytes /= calls;
    Ok(all)
}

async fn pay(client: &Client, bill: &str, date: String, due: Instant, done: &mut Load) -> anyhow::Result<()> {
    let (payment, ask) = authorise(client, bill);
    let authorised = call(client, AUTHORIZE, ask, due, done).await?;
    let confirmed = call(client, CONFIRM, confirm(client, &payment, date), Instant::now(), done).await?;
    done.paid.push(Acknowledged { payment, authorised, confirmed });
    Ok(())
}

async fn call(
    client: &Client,
    path: &'static str,
    message: Bytes,
    due: Instant,
    done: &mut Load,
) -> anyhow::Result<Bytes> {
    done.request_bytes += message.len();
    let answer = client.call_bytes(path, message).await.map_err(|status| anyhow!("{path}: {status:?}"))?;
    done.latencies_us.push(u32::try_from(due.elapsed().as_micros()).unwrap_or(u32::MAX));
    done.answer_bytes += answer.len();
    Ok(answer)
}

/// The payment's name, which follows from the request's id, and the request.
fn authorise(client: &Client, bill: &str) -> (String, Bytes) {
    let request_id = client.request_id();
    let order_id = request_id.replace('-', "");
    let request = pb::AuthorizePaymentRequest {
        bill: bill.to_owned(),
        fee_type: pb::FeeType::Bed.into(),
        programme: PROGRAMME.to_owned(),
        amount_fen: AMOUNT_FEN,
        merchant_id: "898110000000001".to_owned(),
        transaction_time_us: client.now_us(),
        consent_sha256: digest(&order_id),
        order_id,
        region: String::new(),
        request_id: request_id.clone(),
    };
    (format!("payments/{request_id}"), request.encode_to_vec().into())
}

fn confirm(client: &Client, payment: &str, clearing_date: String) -> Bytes {
    let request = pb::ConfirmPaymentRequest {
        request_id: client.request_id(),
        payment: payment.to_owned(),
        amount_fen: AMOUNT_FEN,
        clearing_date,
        transaction_time_us: 0,
    };
    request.encode_to_vec().into()
}

/// Authorises and confirms in batch calls of `items`, `in_flight` at once.
pub async fn in_batches(
    connections: &[Client],
    bills: &Arc<Bills>,
    payments: usize,
    items: usize,
    in_flight: usize,
    dates: Dates,
) -> anyhow::Result<Load> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    let started = Instant::now();
    for i in 0..in_flight {
        let (client, bills, next) = (connections[i % connections.len()].clone(), bills.clone(), next.clone());
        tasks.spawn(async move {
            let mut done = Load::default();
            loop {
                let first = next.fetch_add(items, Ordering::Relaxed);
                if first >= payments {
                    return Ok::<_, anyhow::Error>(done);
                }
                pay_batch(&client, &bills, first..payments.min(first + items), dates, &mut done).await?;
            }
        });
    }
    gather(tasks, started).await
}

async fn pay_batch(
    client: &Client,
    bills: &Bills,
    numbers: std::ops::Range<usize>,
    dates: Dates,
    done: &mut Load,
) -> anyhow::Result<()> {
    let (names, asks): (Vec<_>, Vec<_>) = numbers.clone().map(|n| authorise(client, bills.of(n))).unzip();
    let authorised = call_batch(client, BATCH_AUTHORIZE, asks, done).await?;
    let confirms = names.iter().zip(numbers).map(|(name, n)| confirm(client, name, dates.of(n))).collect();
    let confirmed = call_batch(client, BATCH_CONFIRM, confirms, done).await?;
    let answers = authorised.into_iter().zip(confirmed);
    done.paid.extend(names.into_iter().zip(answers).map(|(payment, (authorised, confirmed))| Acknowledged {
        payment,
        authorised,
        confirmed,
    }));
    Ok(())
}

async fn call_batch(
    client: &Client,
    path: &'static str,
    items: Vec<Bytes>,
    done: &mut Load,
) -> anyhow::Result<Vec<Bytes>> {
    let count = items.len();
    let started = Instant::now();
    let results = client.batch(path, items).await.map_err(|status| anyhow!("{path}: {status:?}"))?;
    done.latencies_us.push(u32::try_from(started.elapsed().as_micros()).unwrap_or(u32::MAX));
    ensure!(results.len() == count, "{path}: {} results for {count} items", results.len());
    let answers: Result<Vec<Bytes>, _> = results.into_iter().collect();
    answers.map_err(|status| anyhow!("{}: {}", status.code, status.message)).context(path)
}
