//! Who comments and who reads, all the while: each event that was acknowledged must come to the reader
//! once, in the order of its seqs, without a hole.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Where comments are sent and where they are read; processes come and go behind it.
#[derive(Default)]
pub struct Addresses {
    pub ingest: Mutex<String>,
    pub api: Mutex<String>,
}

/// How many rooms there are.
const ROOMS: usize = 8;
/// How many comments one request has.
const ARRAY: usize = 5;
/// How long a request may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// How long after another a request is sent, so that the machine has time for the rest.
const SENT_EVERY: Duration = Duration::from_millis(20);
/// How long a sender goes on with one array: as long as the server knows a repeat.
const SENT_WITHIN: Duration = Duration::from_secs(110);
/// How long the reader may need for the last event.
const READ_WITHIN: Duration = Duration::from_secs(120);

/// A sender and a reader for each of some rooms.
pub struct Audience {
    stop: Arc<AtomicBool>,
    seen: Arc<AtomicUsize>,
    sender: JoinHandle<BTreeMap<String, BTreeSet<String>>>,
    reader: JoinHandle<BTreeMap<String, Vec<String>>>,
    /// How many events the reader must have read when the sender has ended.
    wanted: Arc<AtomicUsize>,
}

impl Audience {
    pub fn start(addresses: &Arc<Addresses>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::new(AtomicUsize::new(0));
        let wanted = Arc::new(AtomicUsize::new(usize::MAX));
        let sender = {
            let (addresses, stop) = (addresses.clone(), stop.clone());
            std::thread::spawn(move || send(&addresses, &stop))
        };
        let reader = {
            let (addresses, seen, wanted) = (addresses.clone(), seen.clone(), wanted.clone());
            std::thread::spawn(move || read(&addresses, &seen, &wanted))
        };
        Self {
            stop,
            seen,
            sender,
            reader,
            wanted,
        }
    }

    /// How many events the reader has.
    pub fn seen(&self) -> usize {
        self.seen.load(Ordering::Acquire)
    }

    /// Waits until the reader has so many events more than now.
    pub fn wait_for(&self, more: usize, within: Duration) {
        let (wanted, deadline) = (self.seen() + more, Instant::now() + within);
        while self.seen() < wanted {
            assert!(Instant::now() < deadline, "nothing new came in {within:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Has the sender end and the reader read everything: how many events there were, if each came once,
    /// else what is wrong.
    pub fn end(self) -> Result<usize, String> {
        self.stop.store(true, Ordering::Release);
        let sent = self.sender.join().unwrap();
        let count: usize = sent.values().map(BTreeSet::len).sum();
        self.wanted.store(count, Ordering::Release);
        let read = self.reader.join().unwrap();
        for (room, ids) in sent {
            let once: BTreeSet<String> = read[&room].iter().cloned().collect();
            let (len, sent) = (read[&room].len(), ids.len());
            let told = format!("{room}: {sent} sent and {len} read");
            if once.len() != len {
                return Err(format!("{told}, some twice"));
            }
            if let Some(lost) = ids.difference(&once).next() {
                return Err(format!("{told}: {lost} was acknowledged and is lost"));
            }
            if let Some(strange) = once.difference(&ids).next() {
                return Err(format!("{told}: {strange} was never sent"));
            }
        }
        Ok(count)
    }
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(ANSWER_WITHIN))
        .build()
        .into()
}

fn room(n: usize) -> String {
    format!("room-{}", n % ROOMS)
}

/// Sends until the stop, each array until it is acknowledged; what was, by room.
fn send(addresses: &Addresses, stop: &AtomicBool) -> BTreeMap<String, BTreeSet<String>> {
    let agent = agent();
    let mut sent: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for n in 0.. {
        if stop.load(Ordering::Acquire) {
            break;
        }
        let room = room(n);
        let ids: Vec<String> = (0..ARRAY).map(|_| random_id()).collect();
        let events = ids.iter().map(|id| {
            json!({
                "kind": "comment", "id": id, "user": {"id": "u1", "name": "Ann"}, "text": "hello",
            })
        });
        let body = Value::from(events.collect::<Vec<_>>());
        let deadline = Instant::now() + SENT_WITHIN;
        loop {
            let url = format!(
                "{}/v1/rooms/{room}/events",
                addresses.ingest.lock().unwrap()
            );
            match agent.post(&url).send_json(&body) {
                Ok(answer) if answer.status() == 200 => break,
                Ok(answer) => assert_eq!(answer.status(), 503, "{room}"),
                Err(_) => {}
            }
            assert!(Instant::now() < deadline, "not acknowledged in time");
            std::thread::sleep(SENT_EVERY);
        }
        sent.entry(room).or_default().extend(ids);
        std::thread::sleep(SENT_EVERY);
    }
    sent
}

fn random_id() -> String {
    let id = fastrand::u128(..);
    let hex = format!("{id:032x}");
    // Version 4, variant 10: as a random UUID has it.
    format!(
        "{}-{}-4{}-a{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[13..16],
        &hex[17..20],
        &hex[20..]
    )
}

/// Reads every room by its cursor until it has `wanted` events, or no more come; their ids by room.
fn read(
    addresses: &Addresses,
    seen: &AtomicUsize,
    wanted: &AtomicUsize,
) -> BTreeMap<String, Vec<String>> {
    let agent = agent();
    let mut read: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut cursors: BTreeMap<String, String> = BTreeMap::new();
    let mut deadline = None;
    while seen.load(Ordering::Acquire) < wanted.load(Ordering::Acquire) {
        if wanted.load(Ordering::Acquire) < usize::MAX {
            let deadline = deadline.get_or_insert_with(|| Instant::now() + READ_WITHIN);
            if Instant::now() >= *deadline {
                break;
            }
        }
        for room in (0..ROOMS).map(room) {
            let ids = read.entry(room.clone()).or_default();
            let cursor = cursors.entry(room.clone()).or_insert("0".to_owned());
            let url = format!(
                "{}/v1/rooms/{room}/events?after={cursor}&limit=500&density=full",
                addresses.api.lock().unwrap()
            );
            let Some(page) = page(&agent, &url) else {
                continue;
            };
            let events = page["events"].as_array().unwrap();
            for event in events {
                let seq = event["seq"].as_u64().unwrap();
                assert_eq!(seq, ids.len() as u64 + 1, "{room}: a hole or a repeat");
                ids.push(event["id"].as_str().unwrap().to_owned());
            }
            if !events.is_empty() {
                page["cursor"].as_str().unwrap().clone_into(cursor);
                seen.fetch_add(events.len(), Ordering::AcqRel);
            }
        }
        std::thread::sleep(SENT_EVERY);
    }
    read
}

/// A page; nothing where there is none at the moment.
fn page(agent: &ureq::Agent, url: &str) -> Option<Value> {
    let mut answer = agent.get(url).call().ok()?;
    match answer.status().as_u16() {
        200 => answer.body_mut().read_json().ok(),
        503 => None,
        status => panic!("GET {url}: {status}"),
    }
}
