//! Everybody who is connected while gateways come and go.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use jjj_cli::session::CallError;
use jjj_token::Hash;
use tokio::task::{JoinHandle, JoinSet};

use crate::clients::{Payer, Registrar, Totals, reconcile};
use crate::events::{Subscriber, all_events};
use crate::gateway::{Gateway, Site};
use crate::load::{Kept, check_receipts, repeat_all};
use crate::world::{BEIJING, HEBEI, Systems, UNIONPAY, World};

const FOLLOWED: [&str; 3] = [BEIJING, HEBEI, UNIONPAY];

/// Clients between two lives of their gateway.
#[derive(Default)]
pub struct Crowd {
    payers: Vec<Payer>,
    registrars: Vec<Registrar>,
    /// One of each of [`FOLLOWED`].
    subscribers: Vec<Subscriber>,
    /// Whether somebody delivers files and reconciles meanwhile: one crowd's of a world.
    reconciles: bool,
}

/// Clients at work with one gateway.
pub struct AtWork {
    payers: JoinSet<Payer>,
    registrars: JoinSet<Registrar>,
    subscribers: JoinSet<(usize, Subscriber)>,
    reconciler: Option<JoinHandle<()>>,
    answers: Arc<AtomicUsize>,
    runs: Arc<AtomicUsize>,
}

impl Crowd {
    /// The `n`th crowd of a world: its orders, institutions and elders are no other's.
    pub fn new(n: usize, payers: usize, world: &World, seed: u64) -> Self {
        let first = |registrar| world.elders.len().max(world.institutions.len()) + (n * 2 + registrar) * 100_000;
        Self {
            payers: (0..payers).map(|i| Payer::new(n * payers + i, seed)).collect(),
            registrars: [0, 1].map(|registrar| Registrar::new(first(registrar))).into(),
            subscribers: FOLLOWED.map(|_| Subscriber::default()).into(),
            reconciles: n == 0,
        }
    }

    /// Sets everybody to work with a gateway, over a connection each, until it is gone.
    pub fn start(self, gateway: &Gateway, world: &Arc<World>) -> AtWork {
        let (mut payers, mut registrars, mut subscribers) = (JoinSet::new(), JoinSet::new(), JoinSet::new());
        let (answers, runs) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        for mut payer in self.payers {
            let (systems, world) = (Systems::of(gateway), world.clone());
            payer.diary.answers = answers.clone();
            payers.spawn(async move {
                payer.work(&systems, &world).await;
                payer
            });
        }
        for mut registrar in self.registrars {
            let systems = Systems::of(gateway);
            registrar.diary.answers = answers.clone();
            registrars.spawn(async move {
                registrar.work(&systems).await;
                registrar
            });
        }
        for (i, mut subscriber) in self.subscribers.into_iter().enumerate() {
            let session = gateway.session(FOLLOWED[i]);
            subscribers.spawn(async move {
                subscriber.follow(&session).await;
                (i, subscriber)
            });
        }
        let reconciler = self.reconciles.then(|| {
            let (systems, world, runs) = (Systems::of(gateway), world.clone(), runs.clone());
            tokio::spawn(async move {
                // Under load a run may lose against payments again and again, and is asked to come back.
                let mut put_off = 0;
                loop {
                    match reconcile(&systems, &world).await {
                        Ok(()) => put_off = 0,
                        Err(cut) if cut.reason == "GATEWAY_UNAVAILABLE" && put_off < 5 => {
                            put_off += 1;
                            continue;
                        }
                        Err(cut) if is_silence(&cut) => {
                            runs.fetch_add(1, Ordering::Relaxed);
                            return;
                        }
                        Err(refused) => panic!("a day is not reconciled: {refused}"),
                    }
                    runs.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            })
        });
        AtWork { payers, registrars, subscribers, reconciler, answers, runs }
    }

    pub fn in_doubt(&self) -> usize {
        self.calls().filter(|call| call.answer.is_none()).count()
    }

    fn calls(&self) -> impl Iterator<Item = &Kept> {
        let diaries = self.payers.iter().map(|p| &p.diary).chain(self.registrars.iter().map(|r| &r.diary));
        diaries.flat_map(|diary| &diary.calls)
    }
}

impl AtWork {
    /// Returns when the crowd has heard as many answers from this gateway.
    pub async fn heard(&self, answers: usize) {
        while self.answers.load(Ordering::Relaxed) < answers {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Returns when the day before was reconciled once more, or could not be.
    pub async fn reconciled(&self) {
        while self.runs.load(Ordering::Relaxed) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Everybody, after the gateway is gone.
    pub async fn stop(self) -> Crowd {
        let mut subscribers = self.subscribers.join_all().await;
        subscribers.sort_by_key(|(i, _)| *i);
        let reconciles = self.reconciler.is_some();
        if let Some(reconciler) = self.reconciler {
            reconciler.await.expect("the reconciler");
        }
        Crowd {
            reconciles,
            payers: self.payers.join_all().await,
            registrars: self.registrars.join_all().await,
            subscribers: subscribers.into_iter().map(|(_, subscriber)| subscriber).collect(),
        }
    }
}

/// Whether the gateway said nothing, or only to ask again.
fn is_silence(error: &CallError) -> bool {
    matches!(error.reason.as_str(), "" | "GATEWAY_UNAVAILABLE" | "GATEWAY_STOPPING" | "GATEWAY_BUSY")
}

/// Waits until what was promised is told. Leaves get their numbers a moment after the commit on PostgreSQL;
/// a minute is far more than that on any machine.
async fn numbered(gateway: &Gateway, promised: &[Hash]) {
    let began = Instant::now();
    loop {
        let mut told = BTreeSet::new();
        for participant in FOLLOWED {
            told.extend(all_events(&gateway.session(participant)).await.into_iter().map(|(_, leaf)| leaf));
        }
        if promised.iter().all(|leaf| told.contains(&leaf[..])) || began.elapsed() > Duration::from_secs(60) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// What was promised to crowds stands: every acknowledged call once and with its first answer, the
/// book agrees with what the clients know, receipts hold, and no subscriber missed an event.
/// Stops the gateway and verifies the database; tells how many payments the reconciled day matched.
pub async fn check(site: &Site, gateway: Gateway, world: &World, crowds: Vec<Crowd>) -> usize {
    let systems = Systems::of(&gateway);
    let mut everybody = Crowd::default();
    for crowd in crowds {
        everybody.payers.extend(crowd.payers);
        everybody.registrars.extend(crowd.registrars);
        everybody.subscribers.extend(crowd.subscribers);
    }
    let payers = everybody.payers.iter_mut().map(|p| &mut p.diary);
    for diary in payers.chain(everybody.registrars.iter_mut().map(|r| &mut r.diary)) {
        assert!(diary.settle(&systems).await, "the gateway answers");
    }
    let calls: Vec<Kept> = everybody.calls().cloned().collect();
    repeat_all(&systems, &calls).await;
    // A last run: what was confirmed on the day before is in its file, each payment by a row of its own.
    reconcile(&systems, world).await.unwrap_or_else(|refused| panic!("a day is not reconciled: {refused}"));
    let matched = Totals::of(&everybody.payers).check(&systems, world).await;
    let promised = check_receipts(&calls, site.gateway_key().verifying_key());
    let distinct: BTreeSet<_> = promised.iter().collect();
    assert_eq!(distinct.len(), promised.len(), "each mutation has its own leaf");

    // No event was missed behind a cursor, none came twice, and every promised leaf was told.
    let mut told = BTreeSet::new();
    numbered(&gateway, &promised).await;
    for (i, subscriber) in everybody.subscribers.iter_mut().enumerate() {
        let participant = FOLLOWED[i % FOLLOWED.len()];
        let session = gateway.session(participant);
        // What is recorded meanwhile, the gateway's own work, may be in the later one only.
        let all = all_events(&session).await;
        subscriber.catch_up(&session).await;
        let received = subscriber.events.len();
        assert!(subscriber.events.starts_with(&all), "{participant} received {received} of {} events", all.len());
        told.extend(all.into_iter().map(|(_, leaf)| leaf));
    }
    let untold = promised.iter().filter(|leaf| !told.contains(&leaf[..])).count();
    assert_eq!(untold, 0, "promised leaves that nobody was told of");

    println!("{} calls acknowledged, {} leaves promised", calls.len(), promised.len());
    assert!(gateway.stop().success());
    site.verify();
    matched
}
