//! What all parts of the model share: a room's state and how it settles, random logs, the truth,
//! turns and cases.
//!
//! Positions are plain offsets; -1 is "before the first record". A room's state is everything that
//! a verdict depends on: seq, clock, the ids seen lately, and who commented when. The truth settles
//! the whole log once, without any fault. A processor or reader is a [`Walk`]: an async body that
//! gives the turn back wherever the world may change under it.

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use fastrand::Rng;

/// How many slots the rooms are spread over.
pub const SLOTS: usize = 2;
/// How many users comment.
pub const USERS: usize = 6;
/// How long an id is remembered, by the room's clock.
const ID_MEMORY: i64 = 60;
/// How long a user must wait between two comments.
const SLOW_MODE: i64 = 4;

/// The slot that a room belongs to.
pub fn slot_of(room: usize) -> usize {
    room % SLOTS
}

/// One record of the log.
#[derive(Clone, Copy)]
pub struct Record {
    pub offset: i64,
    pub room: usize,
    pub at: i64,
    pub id: i64,
    pub user: usize,
}

/// A visible event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Event {
    pub seq: usize,
    pub id: i64,
    pub offset: i64,
}

/// A room's state: all that the next verdict depends on.
#[derive(Clone, PartialEq, Eq)]
pub struct State {
    pub position: i64,
    pub seq: usize,
    clock: i64,
    ids: VecDeque<(i64, i64)>,
    commented_at: [i64; USERS],
}

impl Default for State {
    fn default() -> State {
        State {
            position: -1,
            seq: 0,
            clock: 0,
            ids: VecDeque::new(),
            commented_at: [-SLOW_MODE; USERS],
        }
    }
}

impl State {
    /// Decides a record's fate; `None` is a duplicate or a refusal.
    pub fn settle(&mut self, record: &Record) -> Option<Event> {
        self.position = record.offset;
        self.clock = self.clock.max(record.at);
        let now = self.clock;
        while self
            .ids
            .front()
            .is_some_and(|(_, seen)| now - seen > ID_MEMORY)
        {
            self.ids.pop_front();
        }
        let duplicate = self.ids.iter().any(|(id, _)| *id == record.id);
        if duplicate || now - self.commented_at[record.user] < SLOW_MODE {
            return None;
        }
        self.ids.push_back((record.id, now));
        self.commented_at[record.user] = now;
        self.seq += 1;
        Some(Event {
            seq: self.seq,
            id: record.id,
            offset: record.offset,
        })
    }

    /// Shortcut: the memory of ids is not part of what is stored.
    pub fn forget_ids(&mut self) {
        self.ids.clear();
    }

    /// Shortcut: who commented when is not part of what is stored.
    pub fn forget_comments(&mut self) {
        self.commented_at = [-SLOW_MODE; USERS];
    }

    /// Shortcut: an id is remembered from the log again, without knowing what became of its record.
    pub fn remember_unsettled(&mut self, record: &Record) {
        if !self.ids.iter().any(|(id, _)| *id == record.id) {
            self.ids.push_back((record.id, record.at));
        }
    }
}

/// Where a log read from `log` must begin to meet all ids that are remembered at `offset`.
pub fn id_memory_start(log: &[Record], offset: i64) -> i64 {
    let Some(last) = usize::try_from(offset - 1)
        .ok()
        .and_then(|last| log.get(last))
    else {
        return 0;
    };
    let first = log
        .iter()
        .position(|record| record.at >= last.at - ID_MEMORY);
    first.map_or(offset, |first| (first as i64).min(offset))
}

/// Draws a log: uneven rooms, repeated ids, and a clock that sometimes goes back.
pub fn random_log(rng: &mut Rng, records: usize, rooms: usize) -> Vec<Record> {
    let quiet_rooms = rng.bool();
    let mut ids: Vec<Vec<i64>> = vec![Vec::new(); rooms];
    let mut at = 1000;
    (0..records as i64)
        .map(|offset| {
            at += [0, 0, 1, 1, 2][rng.usize(..5)];
            if chance(rng, 0.004) {
                at -= rng.i64(0..30);
            }
            let mut room = rng.usize(..rooms);
            let seldom = if quiet_rooms {
                room + 2 >= rooms && chance(rng, 0.8)
            } else {
                rng.bool()
            };
            if seldom {
                room = 0;
            }
            let known = &mut ids[room];
            let recent = known.len().min(30);
            let repeat = recent > 0 && chance(rng, 0.12);
            let id = if repeat {
                known[known.len() - 1 - rng.usize(..recent)]
            } else {
                offset
            };
            known.push(id);
            Record {
                offset,
                room,
                at,
                id,
                user: rng.usize(..USERS),
            }
        })
        .collect()
}

/// What the log means: each room's events and its state after each of its records.
pub struct Truth {
    pub events: Vec<Vec<Event>>,
    states: Vec<Vec<Rc<State>>>,
}

impl Truth {
    pub fn of(log: &[Record], rooms: usize) -> Truth {
        let mut truth = Truth {
            events: vec![Vec::new(); rooms],
            states: vec![Vec::new(); rooms],
        };
        let mut states = vec![State::default(); rooms];
        for record in log {
            let event = states[record.room].settle(record);
            truth.events[record.room].extend(event);
            truth.states[record.room].push(Rc::new(states[record.room].clone()));
        }
        truth
    }

    /// A room's state as of a position, or `None` before its first record.
    pub fn state(&self, room: usize, at: i64) -> Option<Rc<State>> {
        let states = &self.states[room];
        let known = states.partition_point(|state| state.position <= at);
        known.checked_sub(1).map(|newest| states[newest].clone())
    }

    /// A room's events at or below a position.
    pub fn events_to(&self, room: usize, at: i64) -> &[Event] {
        let events = &self.events[room];
        &events[..events.partition_point(|event| event.offset <= at)]
    }
}

/// True with probability `p`.
pub fn chance(rng: &mut Rng, p: f64) -> bool {
    rng.f64() < p
}

/// One of several values.
pub fn pick<T: Copy>(rng: &mut Rng, values: &[T]) -> T {
    values[rng.usize(..values.len())]
}

/// A body that runs a step at a time; between two steps anything may happen to the world.
pub struct Walk<T> {
    body: Pin<Box<dyn Future<Output = T>>>,
}

impl<T> Walk<T> {
    pub fn new(body: impl Future<Output = T> + 'static) -> Walk<T> {
        Walk {
            body: Box::pin(body),
        }
    }

    /// Runs to the next [`pause`]; `Some` once the body has ended. Waits for what else it waits for.
    pub fn step(&mut self) -> Option<T> {
        PAUSED.set(false);
        poll_until(self.body.as_mut(), || PAUSED.get())
    }
}

/// The output of a future that does not [`pause`]. Waits for what it waits for: an embedded adapter for
/// nothing, others for their servers.
pub fn done<T>(work: impl Future<Output = T>) -> T {
    poll_until(pin!(work), || false).expect("it ends")
}

thread_local! {
    /// Whether a body on this thread has given its turn away.
    static PAUSED: Cell<bool> = const { Cell::new(false) };
}

/// Longer than any call to a server takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Polls until the future has ended, or until it has polled and `is_enough` holds.
fn poll_until<F: Future + ?Sized>(
    mut work: Pin<&mut F>,
    is_enough: impl Fn() -> bool,
) -> Option<F::Output> {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Poll::Ready(output) = work.as_mut().poll(&mut context) {
            return Some(output);
        }
        if is_enough() {
            return None;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        assert!(!left.is_zero(), "nothing comes from what is waited for");
        thread::park_timeout(left);
    }
}

/// Wakes a thread that waits for a future.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Gives the turn back to the world. Among others under way it is at once ready to go on.
pub async fn pause() {
    let mut paused = false;
    poll_fn(|context| {
        let ready = paused;
        paused = true;
        if ready {
            return Poll::Ready(());
        }
        PAUSED.set(true);
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// What went wrong in one world, each finding with the number of times.
pub type Findings = BTreeMap<&'static str, usize>;

/// Notes a finding.
pub fn found(findings: &mut Findings, what: &'static str) {
    *findings.entry(what).or_default() += 1;
}

/// Names the one world that is run, its findings told as they are made.
pub const SEED: &str = "XTASK_SEED";
/// Names how many worlds are run instead of what a test says.
const SEEDS: &str = "XTASK_SEEDS";
/// How many worlds run at once.
const THREADS: usize = 2;

/// Runs a rule over the seeds and asserts that no world goes wrong.
pub fn holds(name: &str, runs: u64, run: impl Fn(u64) -> Findings + Sync) {
    let (wrong, findings) = tally(name, runs, run);
    assert!(
        wrong.is_empty(),
        "{name}: the rule failed in the worlds {wrong:?}: {findings:?}"
    );
}

/// Runs a shortcut over the seeds and asserts that the model catches it.
pub fn fails(name: &str, runs: u64, run: impl Fn(u64) -> Findings + Sync) {
    let (wrong, _) = tally(name, runs, run);
    assert!(!wrong.is_empty(), "the shortcut was not caught: {name}");
}

/// The seeds whose worlds went wrong, ascending, and in how many worlds each finding was made.
fn tally(name: &str, runs: u64, run: impl Fn(u64) -> Findings + Sync) -> (Vec<u64>, Findings) {
    let seeds = match (number(SEED), number(SEEDS)) {
        (Some(seed), _) => seed..seed + 1,
        (None, more) => 0..more.unwrap_or(runs),
    };
    let next = AtomicU64::new(seeds.start);
    let results = Mutex::new((Vec::new(), Findings::new()));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if !seeds.contains(&seed) {
                return;
            }
            let findings = run(seed);
            if findings.is_empty() {
                continue;
            }
            let mut results = results.lock().unwrap();
            results.0.push(seed);
            for what in findings.keys() {
                found(&mut results.1, what);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(work);
        }
    });
    let (mut wrong, worlds) = results.into_inner().unwrap();
    wrong.sort_unstable();
    let runs = seeds.end - seeds.start;
    eprintln!("{name:<76} wrong {:>4}/{runs}", wrong.len());
    for (what, count) in &worlds {
        eprintln!("    {count:>5} worlds: {what}");
    }
    (wrong, worlds)
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap())
}
