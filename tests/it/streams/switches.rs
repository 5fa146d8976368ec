//! A reader that changes its way of reading at random, is cut off and comes back, sees each event once, in
//! order; and the last one before a silence is seen by everybody.

use std::sync::atomic::{AtomicU64, Ordering};

use danmu_tests::server::{Server, size};
use serde_json::{Value, json};

use super::way::{Reader, Way, get};
use super::{EVENTS, comment};

/// How many readers there are.
const READERS: usize = 4;
/// How often all of them together change their way; `XTASK_SWITCHES` changes it.
const SWITCHES: usize = 520;
/// The most events that come at once.
const AT_ONCE: usize = 5;
/// What is said last.
const LAST: &str = "the last one";

#[test]
fn readers_who_change_their_way_see_each_event_once() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let switches = size("XTASK_SWITCHES", SWITCHES) / READERS;
    let reading = AtomicU64::new(READERS as u64);
    let seen: Vec<Vec<u64>> = std::thread::scope(|scope| {
        let (url, reading) = (server.url(), &reading);
        let readers: Vec<_> = (0..READERS as u64)
            .map(|seed| {
                let rng = fastrand::Rng::with_seed(seed);
                scope.spawn(move || read(url, rng, switches, reading))
            })
            .collect();
        write(&server, reading);
        readers
            .into_iter()
            .map(|reader| reader.join().unwrap())
            .collect()
    });
    let head = server.get(EVENTS)["head"].as_u64().unwrap();
    for seqs in seen {
        assert!(seqs.iter().copied().eq(1..=head), "each once, in order");
    }
}

/// Lets things happen while anybody changes its way, and then a last one.
fn write(server: &Server, reading: &AtomicU64) {
    let mut rng = fastrand::Rng::with_seed(99);
    while reading.load(Ordering::Relaxed) > 0 {
        let events: Vec<_> = (0..rng.usize(1..=AT_ONCE)).map(|_| comment("x")).collect();
        server.post(EVENTS, &json!(events));
    }
    server.post(EVENTS, &comment(LAST));
}

/// The seqs that a reader saw, in the order in which it did.
fn read(url: &str, mut rng: fastrand::Rng, switches: usize, reading: &AtomicU64) -> Vec<u64> {
    let mut seqs = Vec::new();
    let mut cursor = "0".to_owned();
    for _ in 0..switches {
        let way = Way::ALL[rng.usize(..Way::ALL.len())];
        let mut reader = way.open(url, "show", &cursor);
        for _ in 0..rng.usize(..4) {
            take(url, &reader.page(), &mut seqs, &mut cursor);
        }
    }
    reading.fetch_sub(1, Ordering::Relaxed);
    let way = Way::ALL[rng.usize(..Way::ALL.len())];
    let mut reader: Reader = way.open(url, "show", &cursor);
    loop {
        let page = reader.page();
        take(url, &page, &mut seqs, &mut cursor);
        if super::texts(&page).contains(&LAST) {
            return seqs;
        }
    }
}

/// Takes a page, and reads again what it withholds, as a client can.
fn take(url: &str, page: &Value, seqs: &mut Vec<u64>, cursor: &mut String) {
    let number = |page: &Value, name: &str| page[name].as_u64().expect("a number");
    assert_eq!(
        number(page, "from"),
        seqs.last().copied().unwrap_or(0),
        "{page}"
    );
    let (mut part, to) = (page.clone(), number(page, "to"));
    while !part["withheld"].is_null() || number(&part, "to") < to {
        part = get(&format!(
            "{url}{EVENTS}?density=full&limit=500&after={cursor}"
        ));
        add(&part, to, seqs);
        *cursor = part["cursor"].as_str().expect("a cursor").to_owned();
    }
    if part == *page {
        add(&part, to, seqs);
    }
    *cursor = page["cursor"].as_str().expect("a cursor").to_owned();
}

fn add(page: &Value, to: u64, seqs: &mut Vec<u64>) {
    let events = page["events"].as_array().expect("events").iter();
    let shown = events.map(|event| event["seq"].as_u64().expect("a seq"));
    seqs.extend(shown.filter(|seq| *seq <= to));
}
