//! The channel at work: one thing after another, in the order of the instruction stream. What it
//! has not done it does not read past, so that a slow channel holds up the gateway's stream.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::ensure;
use jjj_cli::session::CallError;
use jjj_domain::time::Timestamp;
use jjj_wire::pb;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};
use tonic::{Status, Streaming};

use super::Args;
use super::journal::{Journal, Made, Order, Step, When, Work};
use super::manner::chance;
use super::plan::{AUTHORISE, Planner, Wanted};
use crate::serve::signal;

const STREAM: &str = "/jjj.gateway.v1.ChannelService/StreamInstructions";
/// How long to wait before a call or a stream is tried again.
const RETRY: Duration = Duration::from_millis(200);
/// Instructions between two acknowledgements.
const ACKNOWLEDGE: usize = 64;

/// A channel.
pub struct Player {
    args: Args,
    planner: Planner,
    journal: Journal,
    /// When the first step of an order is due, and the order's key.
    due: BTreeSet<(Instant, String)>,
    eligible: Vec<Value>,
    next_ask: Instant,
    next_read: Instant,
    reconnect: Instant,
    /// Instructions read by this process.
    read: usize,
    /// When something last happened.
    busy: Instant,
    is_away: bool,
    retries: u64,
}

impl Player {
    pub fn new(args: Args, planner: Planner, journal: Journal) -> Self {
        let now = Instant::now();
        let mut player = Self {
            args,
            planner,
            journal,
            due: BTreeSet::new(),
            eligible: Vec::new(),
            next_ask: now,
            next_read: now,
            reconnect: now,
            read: 0,
            busy: now,
            is_away: false,
            retries: 0,
        };
        let keys: Vec<String> = player.journal.orders.keys().cloned().collect();
        for key in keys {
            player.schedule(&key);
        }
        player
    }

    /// Plays until a signal, the end of its time, or idleness.
    pub async fn play(&mut self) -> anyhow::Result<()> {
        let started = Instant::now();
        let end = self.args.for_s.map(|seconds| started + Duration::from_secs(seconds));
        let mut stream = None;
        let signal = signal();
        tokio::pin!(signal);
        loop {
            let idle = self.idle_at();
            if idle.is_some_and(|idle| idle <= Instant::now()) {
                break;
            }
            let wake = self.next_step().into_iter().chain(idle).min();
            tokio::select! {
                biased;
                () = &mut signal => break,
                () = at(end) => break,
                () = at(wake) => self.step().await?,
                told = next(&mut stream, self), if !self.is_away => match told {
                    Ok(Some(told)) => {
                        self.take(&told)?;
                        if self.read.is_multiple_of(ACKNOWLEDGE) {
                            self.acknowledge().await;
                        }
                        if self.goes_away() {
                            stream = None;
                        }
                    }
                    // It ends after a while, and with the gateway.
                    Ok(None) | Err(_) => {
                        stream = None;
                        self.reconnect = Instant::now() + RETRY;
                    }
                },
            }
        }
        drop(stream);
        self.acknowledge().await;
        Ok(())
    }

    /// When there will have been nothing to do for long enough; `None` while there is something, or
    /// when that ends nothing.
    fn idle_at(&self) -> Option<Instant> {
        let wait = Duration::from_millis(self.args.until_idle_ms?);
        let is_busy = !self.due.is_empty() || self.is_asking() || self.is_away;
        (!is_busy).then(|| self.busy.max(self.next_read) + wait)
    }

    fn is_asking(&self) -> bool {
        self.journal.next_number(Work::Ask) < self.args.ask
    }

    /// When the next step is due; while it is away, when it comes back.
    fn next_step(&self) -> Option<Instant> {
        if self.is_away {
            return Some(self.reconnect);
        }
        let ask = self.is_asking().then_some(self.next_ask);
        self.due.first().map(|(due, _)| *due).into_iter().chain(ask).min()
    }

    /// Does one thing that is due.
    async fn step(&mut self) -> anyhow::Result<()> {
        let now = Instant::now();
        if self.is_away {
            self.is_away = false;
            return Ok(());
        }
        if self.due.first().is_some_and(|(due, _)| *due <= now) {
            let (_, key) = self.due.pop_first().expect("just seen");
            return self.perform(&key).await;
        }
        if self.is_asking() && self.next_ask <= now {
            return self.ask().await;
        }
        Ok(())
    }

    /// Makes the first call of an order and keeps what came of it.
    async fn perform(&mut self, key: &str) -> anyhow::Result<()> {
        self.busy = Instant::now();
        let mut order = self.journal.orders[key].clone();
        let Some(step) = order.steps.front().cloned() else { return Ok(()) };
        match self.planner.session.call(&step.method, step.request.clone()).await {
            Ok(answer) => accepted(&mut order, &step, &answer),
            Err(error) if is_unheard(&error)? => {
                self.retries += 1;
                self.due.insert((Instant::now() + RETRY, key.to_owned()));
                return Ok(());
            }
            Err(error) => refused(&mut order, &step, error.reason),
        }
        self.journal.keep(order)?;
        self.schedule(key);
        Ok(())
    }

    fn schedule(&mut self, key: &str) {
        let order = &self.journal.orders[key];
        let Some(step) = order.steps.front() else { return };
        let due = match step.when {
            When::Now => Some(Instant::now()),
            When::AfterMs(ms) => Some(Instant::now() + Duration::from_millis(ms)),
            When::AtQuery(n) => (order.queries >= n).then(Instant::now),
        };
        if let Some(due) = due
            && !self.due.iter().any(|(_, waiting)| waiting == key)
        {
            self.due.insert((due, key.to_owned()));
        }
    }

    /// Begins a payment of the channel's own.
    async fn ask(&mut self) -> anyhow::Result<()> {
        self.busy = Instant::now();
        self.next_ask = Instant::now() + Duration::from_secs_f64(1.0 / self.args.ask_per_s);
        if self.eligible.is_empty() {
            let today = Timestamp(self.planner.session.client.now_us()).date().to_string();
            // One page is plenty to choose from.
            let request =
                json!({"region": self.args.region, "programme": self.args.programme, "date": today, "page_size": 1000});
            match self.planner.session.call("PaymentService/ListEligibility", request).await {
                Ok(mut page) => {
                    if let Value::Array(found) = page["eligibilities"].take() {
                        self.eligible = found;
                    }
                }
                Err(error) if is_unheard(&error)? => return Ok(()),
                Err(error) => return Err(anyhow::Error::new(error).context("asking who may pay")),
            }
            ensure!(!self.eligible.is_empty(), "nobody may pay in {} {} today", self.args.region, self.args.programme);
        }
        let number = self.journal.next_number(Work::Ask);
        let chosen = chance(self.planner.seed, "eligible", number) % self.eligible.len() as u64;
        let wanted = Wanted {
            eligible: &self.eligible[chosen as usize],
            programme: &self.args.programme,
            region: &self.args.region,
            amount_fen: self.args.ask_fen,
        };
        let order = self.planner.ask(number, &wanted);
        self.take_order(order)
    }

    fn take_order(&mut self, order: Order) -> anyhow::Result<()> {
        let key = order.key.clone();
        self.journal.keep(order)?;
        self.schedule(&key);
        Ok(())
    }

    /// Takes an instruction: what it asks for is in the journal before its cursor is.
    fn take(&mut self, told: &pb::Instruction) -> anyhow::Result<()> {
        self.busy = Instant::now();
        self.next_read = self.busy + Duration::from_millis(self.args.slow_ms);
        self.read += 1;
        let kind = told.kind().as_str_name().trim_start_matches("INSTRUCTION_KIND_");
        if told.cursor > self.journal.cursor() {
            self.obey(told)?;
        } else if let Some(known) = self.journal.orders.get(&told.record) {
            ensure!(known.order_id == told.order_id, "{} came again with another order id", told.record);
        }
        self.journal.told(told.cursor, kind.to_owned())
    }

    fn obey(&mut self, told: &pb::Instruction) -> anyhow::Result<()> {
        let number = |work| self.journal.next_number(work);
        let version = format!("{}@{}", told.record, told.version);
        let is_known = |key: &str| self.journal.orders.contains_key(key);
        let order = match told.kind() {
            pb::InstructionKind::Pay if !is_known(&told.record) => self.planner.pay(number(Work::Pay), told),
            pb::InstructionKind::Credit if !is_known(&version) => {
                self.planner.credit(number(Work::Credit), &version, told)
            }
            pb::InstructionKind::ClawBack if !is_known(&version) => {
                self.planner.claw_back(number(Work::ClawBack), &version, told)
            }
            pb::InstructionKind::PayOut if !is_known(&version) => {
                self.planner.pay_out(number(Work::PayOut), &version, told)
            }
            pb::InstructionKind::Query => match self.journal.orders.get(&told.record) {
                Some(known) => self.asked_about(known.clone()),
                None => self.planner.unknown(number(Work::Unknown), told),
            },
            pb::InstructionKind::Cancel => match self.journal.orders.get(&told.record) {
                Some(known) if known.made.is_empty() => cancelled(known.clone()),
                _ => return Ok(()),
            },
            // Taken before a crash, its cursor not kept.
            _ => return Ok(()),
        };
        self.take_order(order)
    }

    /// Says again what it said, and of what it has nothing to say that there was no payment.
    fn asked_about(&self, mut order: Order) -> Order {
        order.queries += 1;
        if order.steps.is_empty() {
            let answer = order.answer.clone().unwrap_or_else(|| self.planner.reverse(&order.key));
            order.steps.push_back(Step { when: When::Now, ..answer });
        }
        order
    }

    /// Whether it goes away now, once in its life, and where it will then resume.
    fn goes_away(&mut self) -> bool {
        if self.args.away_after != Some(self.read) {
            return false;
        }
        self.is_away = true;
        self.reconnect = Instant::now() + Duration::from_millis(self.args.away_ms);
        true
    }

    /// Where the stream is resumed: after the last instruction taken, or some before it when it
    /// comes back from having been away. Without books, after what was acknowledged before.
    fn resume_at(&self) -> i64 {
        let back = if self.args.away_after == Some(self.read) { self.args.rewind } else { 0 };
        let cursors = &self.journal.cursors;
        match cursors.len().checked_sub(back + 1) {
            Some(at) => cursors[at],
            None if cursors.is_empty() => -1,
            None => 0,
        }
    }

    async fn open(&self) -> Result<Streaming<pb::Instruction>, Status> {
        sleep_until(self.reconnect).await;
        let request = pb::StreamInstructionsRequest { cursor: self.resume_at(), follow: true };
        self.planner.session.client.stream(STREAM, &request).await
    }

    /// Tells the gateway how far it is. What it resumes at is its own cursor, so a failure costs nothing.
    async fn acknowledge(&self) {
        let cursor = self.journal.cursor();
        if cursor > 0 {
            let request = json!({"cursor": cursor.to_string()});
            let _ = self.planner.session.call("ChannelService/AcknowledgeInstructions", request).await;
        }
    }

    /// What the channel did, from its books: also what earlier runs on the same state file did.
    pub fn summary(&self) -> Value {
        let orders = || self.journal.orders.values();
        let mut calls: BTreeMap<&str, Calls> = BTreeMap::new();
        let mut refusals: BTreeMap<&str, u64> = BTreeMap::new();
        for made in orders().flat_map(|order| &order.made) {
            let method = made.method.rsplit('/').next().unwrap_or_default();
            let count = calls.entry(method).or_default();
            match &made.refused {
                None => count.accepted += 1,
                Some(reason) => {
                    *count.refused.entry(reason).or_default() += 1;
                    *refusals.entry(reason).or_default() += 1;
                }
            }
        }
        let mut manners: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
        for order in orders() {
            *manners.entry(in_capitals(&order.work)).or_default().entry(in_capitals(&order.manner)).or_default() += 1;
        }
        json!({
            "cursor": self.journal.cursor(),
            "instructions": self.journal.told,
            "redelivered": self.journal.redelivered,
            "orders": manners,
            "calls": calls,
            "refusals": refusals,
            "payments": self.states(&[Work::Ask, Work::Pay, Work::Unknown]),
            "grants": self.states(&[Work::Credit, Work::ClawBack]),
            "claims": self.states(&[Work::PayOut]),
            "unanswered": orders().filter(|order| !order.steps.is_empty()).count(),
            "retries": self.retries,
        })
    }

    /// Records by the state that the gateway last said they are in, with their amounts.
    fn states(&self, works: &[Work]) -> BTreeMap<String, Sum> {
        let mut newest: BTreeMap<&str, (i64, &Order)> = BTreeMap::new();
        for order in self.journal.orders.values().filter(|order| works.contains(&order.work)) {
            let (record, version) = order.key.split_once('@').unwrap_or((&order.key, "0"));
            let version = version.parse().unwrap_or(0);
            if newest.get(record).is_none_or(|(known, _)| *known < version) {
                newest.insert(record, (version, order));
            }
        }
        let mut states: BTreeMap<String, Sum> = BTreeMap::new();
        for (_, order) in newest.values() {
            let sum = states.entry(order.state.clone()).or_default();
            sum.count += 1;
            sum.amount_fen += order.amount_fen;
        }
        states
    }
}

#[derive(Default, serde::Serialize)]
struct Calls<'a> {
    accepted: u64,
    refused: BTreeMap<&'a str, u64>,
}

#[derive(Default, serde::Serialize)]
struct Sum {
    count: u64,
    amount_fen: i64,
}

/// The name under which a value stands in the state file.
fn in_capitals(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

/// The next instruction of the stream, which is opened when there is none.
async fn next(
    stream: &mut Option<Streaming<pb::Instruction>>,
    player: &Player,
) -> Result<Option<pb::Instruction>, Status> {
    let open = match stream {
        Some(open) => open,
        None => stream.insert(player.open().await?),
    };
    sleep_until(player.next_read).await;
    open.message().await
}

async fn at(when: Option<Instant>) {
    match when {
        Some(when) => sleep_until(when).await,
        None => std::future::pending().await,
    }
}

/// Whether a call was not heard, or is to be sent again as it is. `Err` when it cannot be sent at all.
fn is_unheard(error: &CallError) -> anyhow::Result<bool> {
    let again = ["GATEWAY_UNAVAILABLE", "GATEWAY_STOPPING", "GATEWAY_BUSY"];
    match &*error.reason {
        "" if error.code == "INVALID_ARGUMENT" => Err(anyhow::Error::new(error.clone())),
        "" => Ok(true),
        reason => Ok(again.contains(&reason)),
    }
}

fn accepted(order: &mut Order, step: &Step, answer: &Value) {
    let record = ["payment", "grant", "claim"].iter().find_map(|part| answer.get(part));
    let state = record.and_then(|record| record["state"].as_str()).unwrap_or_default();
    order.state = state.split_once("_STATE_").map_or(state, |(_, state)| state).to_owned();
    // What the gateway knows of an order that the channel did not.
    if let Some(fen) = record.and_then(|record| record["amount_fen"].as_str()).and_then(|fen| fen.parse().ok()) {
        order.amount_fen = fen;
    }
    if step.method != AUTHORISE {
        order.answer = Some(step.clone());
    }
    done(order, step, None);
}

fn refused(order: &mut Order, step: &Step, reason: String) {
    done(order, step, Some(reason));
    if step.method == AUTHORISE && order.state.is_empty() {
        // Not approved: there is nothing to end.
        order.steps.clear();
        "REFUSED".clone_into(&mut order.state);
    }
}

fn done(order: &mut Order, step: &Step, refused: Option<String>) {
    order.steps.pop_front();
    order.made.push(Made { method: step.method.clone(), refused });
}

/// Nothing was done yet, and nothing will be.
fn cancelled(mut order: Order) -> Order {
    order.steps.clear();
    "CANCELLED".clone_into(&mut order.state);
    order
}
