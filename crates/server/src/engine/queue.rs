//! What waits for the write path: bounded, and fair between participants.
//!
//! Each participant waits in a lane of its own. A lane may hold as many mutations as there is room
//! left for everybody, so that a flood of calls takes half of the queue at most (a first call may be
//! larger: it finds room as long as there is any); beyond, it is refused with RESOURCE_EXHAUSTED and told when to come back. Lanes are served in
//! turn, by mutations rather than by calls: a batch call of a thousand waits for its share like a
//! thousand single calls (deficit round robin, Shreedhar and Varghese 1995). A command that stands alone
//! counts as a whole batch.
//!
//! A few waiting mutations do not begin while another small batch is being written: the next one takes them all in about
//! the same time.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use jjj_domain::names::Participant;
use tokio::sync::{Notify, oneshot};

use super::job::{Job, Outcome};
use crate::status::Refused;

/// How many mutations a lane may send ahead when its turn comes.
const QUANTUM: usize = 32;

/// Fewer waiting mutations than this let a batch that is being written end first …
const FEW_ITEMS: usize = 24;
/// … if it is of no more than so many, which are soon written …
const SMALL_ITEMS: usize = 64;
/// … and for so long: it may itself be waiting for a row that somebody keeps.
const END_WITHIN: Duration = Duration::from_millis(50);

/// The jobs of one call. They are decided in one transaction, unless it fails and is divided.
pub(super) struct Group {
    pub jobs: Vec<Job>,
    pub answer: oneshot::Sender<Vec<Outcome>>,
    /// Its place, free again when it is answered or given up.
    pub _place: Place,
}

/// Mutations waiting or under way.
pub(super) struct Queue {
    lanes: Mutex<Lanes<Group>>,
    /// Somebody may find something to take, or that nothing will come any more.
    changed: Notify,
    /// [`END_WITHIN`]
    end_within: Duration,
}

/// Room taken in a lane; dropping it gives it back.
pub(super) struct Place {
    queue: Arc<Queue>,
    of: Participant,
    items: usize,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.queue.lanes().free(&self.of, self.items);
    }
}

/// A batch that is being written, until its commit: dropping it lets the next one begin.
pub(super) struct UnderWay {
    queue: Arc<Queue>,
    began: Instant,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut lanes = self.queue.lanes();
        if let Some(at) = lanes.under_way.iter().position(|began| *began == self.began) {
            lanes.under_way.swap_remove(at);
        }
        drop(lanes);
        self.queue.changed.notify_one();
    }
}

impl Queue {
    pub fn new(room: usize) -> Self {
        Self { lanes: Mutex::new(Lanes::new(room)), changed: Notify::new(), end_within: END_WITHIN }
    }

    /// Takes jobs into a participant's lane; the answer comes by the receiver.
    pub fn push(
        self: &Arc<Self>,
        of: &Participant,
        jobs: Vec<Job>,
    ) -> Result<oneshot::Receiver<Vec<Outcome>>, Refused> {
        let (answer, answered) = oneshot::channel();
        let (items, alone) = (jobs.len(), jobs.iter().any(|job| job.alone));
        let mut lanes = self.lanes();
        lanes.reserve(of, items)?;
        let place = Place { queue: self.clone(), of: of.clone(), items };
        lanes.push(of, Waiting { what: Group { jobs, answer, _place: place }, items, alone });
        drop(lanes);
        self.changed.notify_one();
        Ok(answered)
    }

    /// Waits for work, and a little for small batches under way, and takes as much as a batch holds, at least one group.
    /// `None` when the queue is closed and empty.
    pub async fn take(self: &Arc<Self>, most_items: usize) -> Option<(Vec<Group>, UnderWay)> {
        loop {
            let changed = self.changed.notified();
            let began = Instant::now();
            let (taken, begins_at, is_closed, was_empty) = {
                let mut lanes = self.lanes();
                let (was_empty, before) = (lanes.is_empty(), lanes.waiting);
                let begins_at = lanes.begins_at(began, most_items, self.end_within);
                let taken = if begins_at.is_none() { lanes.take(most_items) } else { Vec::new() };
                if !taken.is_empty() {
                    if before - lanes.waiting <= SMALL_ITEMS {
                        lanes.under_way.push(began);
                    }
                    if !lanes.is_empty() {
                        // For another writer.
                        self.changed.notify_one();
                    }
                }
                (taken, begins_at, lanes.is_closed, was_empty)
            };
            if let Some(at) = begins_at {
                // Sooner, when the other batch is written or more waits.
                let _ = tokio::time::timeout_at(at.into(), changed).await;
                continue;
            }
            let under_way = (!taken.is_empty()).then(|| UnderWay { queue: self.clone(), began });
            // Callers who have gone are left out: nothing was begun for them.
            let taken: Vec<Group> = taken.into_iter().filter(|group| !group.answer.is_closed()).collect();
            if let Some(under_way) = under_way.filter(|_| !taken.is_empty()) {
                return Some((taken, under_way));
            }
            match (is_closed, was_empty) {
                (true, true) => return None,
                // Nobody wakes a writer of a closed queue.
                (true, false) => {}
                (false, _) => changed.await,
            }
        }
    }

    /// How many mutations still find room, of all participants.
    pub fn room(&self) -> usize {
        self.lanes().room
    }

    /// Takes nothing more in.
    pub fn close(&self) {
        self.lanes().is_closed = true;
        self.changed.notify_waiters();
        // Also for one that is about to wait.
        self.changed.notify_one();
    }

    /// Answers everything that waits that the gateway stops.
    pub fn refuse(&self) {
        let waiting = self.lanes().drain();
        for Group { jobs, answer, _place } in waiting {
            // A caller who has gone asks again with the same id.
            let _ = answer.send(vec![Err(Refused::Stopping); jobs.len()]);
        }
        self.close();
    }

    fn lanes(&self) -> MutexGuard<'_, Lanes<Group>> {
        self.lanes.lock().expect("no panic while held")
    }
}

/// The lanes by themselves, of anything that waits.
struct Lanes<T> {
    by: HashMap<Participant, Lane<T>>,
    /// Those in whose lanes something waits, the next to be served first.
    turn: VecDeque<Participant>,
    /// Items that wait.
    waiting: usize,
    /// When the small batches began that are being written.
    under_way: Vec<Instant>,
    room: usize,
    is_closed: bool,
}

struct Lane<T> {
    waiting: VecDeque<Waiting<T>>,
    /// Items waiting or under way.
    items: usize,
    /// Items that it may send ahead in this turn.
    credit: usize,
}

struct Waiting<T> {
    what: T,
    items: usize,
    /// Wants a transaction of its own.
    alone: bool,
}

impl<T> Lanes<T> {
    fn new(room: usize) -> Self {
        Self { by: HashMap::new(), turn: VecDeque::new(), waiting: 0, under_way: Vec::new(), room, is_closed: false }
    }

    fn is_empty(&self) -> bool {
        self.turn.is_empty()
    }

    fn reserve(&mut self, of: &Participant, items: usize) -> Result<(), Refused> {
        if self.is_closed {
            return Err(Refused::Stopping);
        }
        let held = self.by.get(of).map_or(0, |lane| lane.items);
        // A first call finds room as long as there is any: a batch call may be larger than a share.
        let has_share = held == 0 || held + items <= self.room;
        if items > self.room || !has_share {
            return Err(Refused::Busy);
        }
        let lane = Lane { waiting: VecDeque::new(), items: 0, credit: 0 };
        self.by.entry(of.clone()).or_insert(lane).items += items;
        self.room -= items;
        Ok(())
    }

    fn free(&mut self, of: &Participant, items: usize) {
        self.room += items;
        if let Some(lane) = self.by.get_mut(of) {
            lane.items -= items;
            if lane.items == 0 {
                self.by.remove(of);
            }
        }
    }

    fn push(&mut self, of: &Participant, waiting: Waiting<T>) {
        let lane = self.by.get_mut(of).expect("its room was reserved");
        if lane.waiting.is_empty() {
            self.turn.push_back(of.clone());
        }
        self.waiting += waiting.items;
        lane.waiting.push_back(waiting);
    }

    /// When the next batch may begin at the latest; `None`: now, or nothing waits for it.
    fn begins_at(&self, now: Instant, most_items: usize, end_within: Duration) -> Option<Instant> {
        let are_few = !self.is_empty() && self.waiting < FEW_ITEMS.min(most_items);
        self.under_way.iter().filter(|_| are_few).map(|began| *began + end_within).filter(|end| *end > now).max()
    }

    /// Everything that waits.
    fn drain(&mut self) -> Vec<T> {
        self.turn.clear();
        self.waiting = 0;
        self.by.values_mut().flat_map(|lane| lane.waiting.drain(..)).map(|waiting| waiting.what).collect()
    }

    /// What makes the next batch: until it has enough items, or what comes next must stand alone.
    fn take(&mut self, most_items: usize) -> Vec<T> {
        let mut taken = Vec::new();
        let mut count = 0;
        while count < most_items
            && let Some(of) = self.turn.front().cloned()
        {
            let others = self.turn.len() > 1;
            let lane = self.by.get_mut(&of).expect("who waits has a lane");
            let next = lane.waiting.front().expect("who has a turn waits");
            if next.alone && !taken.is_empty() {
                break;
            }
            let share = if next.alone { most_items.max(QUANTUM) } else { next.items };
            // The only one who waits need not save up.
            if others && share > lane.credit {
                lane.credit += QUANTUM;
                self.turn.rotate_left(1);
                continue;
            }
            let next = lane.waiting.pop_front().expect("it was looked at");
            lane.credit = lane.credit.saturating_sub(share);
            if lane.waiting.is_empty() {
                lane.credit = 0;
                self.turn.pop_front();
            }
            count += next.items;
            self.waiting -= next.items;
            taken.push(next.what);
            if next.alone {
                break;
            }
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use jjj_domain::decision::{Call, Command, Decision};
    use jjj_domain::names::Actor;
    use jjj_domain::person::{FindElder, Reader};
    use jjj_domain::snapshot::{Snapshot, Stop};

    use super::*;
    use crate::bootstrap::own_job;

    fn who(name: &str) -> Participant {
        format!("channels/{name}").parse().unwrap()
    }

    /// Waits with calls of these sizes, each named after its participant.
    fn wait(lanes: &mut Lanes<String>, name: &str, sizes: &[usize]) -> Result<(), Refused> {
        for items in sizes {
            lanes.reserve(&who(name), *items)?;
            lanes.push(&who(name), Waiting { what: name.to_owned(), items: *items, alone: *items == 0 });
        }
        Ok(())
    }

    #[test]
    fn one_who_waits_alone_is_served_as_it_came() {
        let mut lanes = Lanes::new(10_000);
        wait(&mut lanes, "a", &[1, 1, 600, 1]).unwrap();
        assert_eq!(lanes.take(512), ["a", "a", "a"], "the batch ends with what fills it");
        assert_eq!(lanes.take(512), ["a"]);
        assert!(lanes.take(512).is_empty() && lanes.is_empty());
    }

    #[test]
    fn a_batch_call_waits_for_its_share() {
        let mut lanes = Lanes::new(10_000);
        wait(&mut lanes, "bulk", &[1_000, 1_000]).unwrap();
        wait(&mut lanes, "app", &[1; 900]).unwrap();
        let first = lanes.take(512);
        assert_eq!(first.iter().filter(|name| *name == "app").count(), 512, "as long as the thousand saves up");
        let second = lanes.take(512);
        assert!(second.iter().filter(|name| *name == "app").count() <= 388 && second.contains(&"bulk".to_owned()));
        let rest: Vec<_> = std::iter::from_fn(|| Some(lanes.take(512)).filter(|taken| !taken.is_empty())).collect();
        let app = |taken: &[String]| taken.iter().filter(|name| *name == "app").count();
        assert_eq!(app(&first) + app(&second) + rest.iter().map(|taken| app(taken)).sum::<usize>(), 900);
    }

    #[test]
    fn equals_are_served_alike() {
        let mut lanes = Lanes::new(10_000);
        for name in ["a", "b", "c"] {
            wait(&mut lanes, name, &[1; 500]).unwrap();
        }
        let taken = lanes.take(300);
        for name in ["a", "b", "c"] {
            let served = taken.iter().filter(|t| *t == name).count();
            assert!((300 / 3 - QUANTUM..=300 / 3 + QUANTUM).contains(&served), "{name}: {served}");
        }
    }

    #[test]
    fn a_flood_leaves_room_for_others() {
        let mut lanes = Lanes::new(1_000);
        let flood = (0..).take_while(|_| wait(&mut lanes, "flood", &[1]).is_ok()).count();
        assert_eq!(flood, 500, "half of it");
        assert!(wait(&mut lanes, "b", &[1; 250]).is_ok());
        assert!(matches!(wait(&mut lanes, "b", &[1]), Err(Refused::Busy)));
        assert!(wait(&mut lanes, "c", &[100]).is_ok(), "and so on");
        assert!(matches!(wait(&mut lanes, "d", &[151]), Err(Refused::Busy)), "there is no such room");
        // What is answered makes room.
        lanes.free(&who("flood"), 300);
        assert!(wait(&mut lanes, "d", &[151]).is_ok());
    }

    #[test]
    fn what_must_stand_alone_does() {
        let mut lanes = Lanes::new(1_000);
        wait(&mut lanes, "a", &[1, 1, 0, 1]).unwrap();
        assert_eq!([lanes.take(512).len(), lanes.take(512).len(), lanes.take(512).len()], [2, 1, 1]);
    }

    #[test]
    fn what_stands_alone_waits_for_its_turn_each_time() {
        let mut lanes = Lanes::new(10_000);
        wait(&mut lanes, "runs", &[0, 0, 0]).unwrap();
        wait(&mut lanes, "app", &[1; 600]).unwrap();
        let served: Vec<_> = std::iter::from_fn(|| Some(lanes.take(64)).filter(|taken| !taken.is_empty())).collect();
        let runs: Vec<_> = (0..served.len()).filter(|n| served[*n] == ["runs"]).collect();
        assert_eq!(runs.len(), 3);
        assert!(runs.windows(2).all(|pair| pair[1] > pair[0] + 1), "others between them: {served:?}");
    }

    #[test]
    fn what_a_reader_gave_rise_to_waits_in_the_readers_lane() {
        let reader = Reader { actor: Actor::system(who("a")), purpose: "test".into(), token_digest: String::new() };
        let find = FindElder { lookup_hash: String::new(), reader };
        let reading = || vec![own_job(&crate::Clock::default(), "access", Box::new(find.clone()))];
        let queue = Arc::new(Queue::new(4));
        let held: Vec<_> = (0..2).map(|_| queue.push(&who("a"), reading()).unwrap()).collect();
        assert!(matches!(queue.push(&who("a"), reading()), Err(Refused::Busy)), "its share is full");
        assert!(queue.push(&Participant::gateway(), reading()).is_ok(), "the gateway's is not");
        drop(held);
    }

    #[test]
    fn a_closed_queue_takes_nothing_in_and_gives_out_what_it_has() {
        let mut lanes = Lanes::new(1_000);
        wait(&mut lanes, "a", &[1]).unwrap();
        lanes.is_closed = true;
        assert!(matches!(wait(&mut lanes, "a", &[1]), Err(Refused::Stopping)));
        assert_eq!(lanes.take(512), ["a"]);
    }

    #[test]
    fn a_few_wait_for_a_small_batch_under_way() {
        let mut lanes = Lanes::new(1_000);
        let began = Instant::now();
        let begins_at = |lanes: &Lanes<String>, ms| lanes.begins_at(began + Duration::from_millis(ms), 512, END_WITHIN);
        assert_eq!(begins_at(&lanes, 0), None);
        wait(&mut lanes, "a", &[1; 10]).unwrap();
        assert_eq!(begins_at(&lanes, 0), None, "none is under way");
        lanes.under_way.push(began);
        assert_eq!(begins_at(&lanes, 0), Some(began + END_WITHIN));
        assert_eq!(lanes.begins_at(began, 10, END_WITHIN), None, "a batch takes no more than wait");
        assert_eq!(begins_at(&lanes, 50), None, "it takes long");
        lanes.under_way.push(began + END_WITHIN);
        assert_eq!(begins_at(&lanes, 60), Some(began + 2 * END_WITHIN), "the third after the second");
        wait(&mut lanes, "b", &[1; FEW_ITEMS - 10]).unwrap();
        assert_eq!(begins_at(&lanes, 60), None, "these are many");
        assert_eq!(lanes.take(1).len(), 1);
        assert_eq!(begins_at(&lanes, 60), Some(began + 2 * END_WITHIN));
        lanes.take(100);
        assert_eq!((begins_at(&lanes, 60), lanes.waiting), (None, 0), "nothing waits");
        wait(&mut lanes, "a", &[7, 8]).unwrap();
        lanes.drain();
        assert_eq!((begins_at(&lanes, 60), lanes.waiting), (None, 0));
    }

    fn jobs(count: usize) -> Vec<Job> {
        (0..count).map(|_| own_job(&crate::clock::Clock::default(), "", Box::new(Nothing))).collect()
    }

    #[tokio::test]
    async fn the_next_batch_begins_when_a_small_one_is_written() {
        let hour = Duration::from_secs(3_600);
        for (first, end_within, waits) in [
            (1, hour, true),
            (SMALL_ITEMS, hour, true),
            // Large, or long at it.
            (SMALL_ITEMS + 1, hour, false),
            (1, Duration::ZERO, false),
        ] {
            let queue = Arc::new(Queue { end_within, ..Queue::new(1_000) });
            let _first = queue.push(&who("a"), jobs(first)).unwrap();
            let (_, under_way) = queue.take(512).await.unwrap();
            let _second = queue.push(&who("a"), jobs(1)).unwrap();
            let mut next = std::pin::pin!(queue.take(512));
            let begun = tokio::time::timeout(Duration::from_millis(20), &mut next).await;
            assert_eq!(begun.is_err(), waits, "{first} within {end_within:?}");
            if begun.is_err() {
                drop(under_way);
                assert_eq!(next.await.unwrap().0.len(), 1);
            }
        }
    }

    #[tokio::test]
    async fn a_closed_queue_gives_out_what_it_has_though_a_batch_is_under_way() {
        let queue = Arc::new(Queue::new(1_000));
        let _first = queue.push(&who("a"), jobs(1)).unwrap();
        let _under_way = queue.take(512).await.unwrap();
        let _second = queue.push(&who("a"), jobs(1)).unwrap();
        queue.close();
        assert_eq!(queue.take(512).await.unwrap().0.len(), 1);
        assert!(queue.take(512).await.is_none());
    }

    struct Nothing;

    impl Command for Nothing {
        fn decide(&self, _: &Snapshot, call: &Call) -> Result<Decision, Stop> {
            Ok(Decision::new(call))
        }
    }

    #[tokio::test]
    async fn what_waits_when_the_gateway_stops_is_told_so() {
        let queue = Arc::new(Queue::new(1_000));
        let answered = queue.push(&who("a"), jobs(2)).unwrap();
        queue.close();
        queue.refuse();
        let answers = answered.await.unwrap();
        assert!(answers.len() == 2 && answers.iter().all(|answer| matches!(answer, Err(Refused::Stopping))));
        assert!(queue.take(512).await.is_none() && queue.room() == 1_000);
    }
}
