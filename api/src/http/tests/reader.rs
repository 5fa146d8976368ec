//! Law: readers who ask at random, while the room goes on, see each event once, in order, or are
//! told how many were withheld; and what a density shows is the same for all.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use danmu_projections::windows::WindowLimits;
use danmu_schemas::{Position, RoomId};

use super::super::FeedLimits;
use super::server::*;

const EVENTS: &str = "/v1/rooms/r1/events";
/// More than one round may take.
const DEADLINE: Duration = Duration::from_secs(60);
/// How much happens.
const STEPS: u64 = 40;

/// What was shown and what was not, by density and seq.
type Shown = RefCell<BTreeMap<(&'static str, u64), bool>>;

#[tokio::test]
async fn readers_miss_and_repeat_nothing() {
    for seed in 0..8_u64 {
        let limits = WindowLimits {
            events_max: 12,
            ..WindowLimits::default()
        };
        let feeds = FeedLimits {
            room_bytes_max: 2_000,
            ..FeedLimits::default()
        };
        let server = Server::empty(limits, feeds).await;
        server.happen("r1", vec![comment("first")]).await;
        let rng = |n: u64| fastrand::Rng::with_seed(seed * 10 + n);
        let end = Cell::new(None);
        let shown = Shown::default();
        let everybody = async {
            tokio::join!(
                write(&server, rng(0), &end),
                read_forwards(&server, rng(1), (&end, &shown)),
                read_forwards(&server, rng(2), (&end, &shown)),
                read_backwards(&server, rng(3)),
            );
        };
        let all = tokio::time::timeout(DEADLINE, everybody).await;
        all.expect("everybody comes to the end");
    }
}

/// Lets 1 to 4 things happen at a time, and tells the windows that the history has them.
async fn write(server: &Server, mut rng: fastrand::Rng, end: &Cell<Option<u64>>) {
    let slot = RoomId::parse("r1").expect("a name").slot();
    let mut last = 1;
    for _ in 0..STEPS {
        let many = rng.u64(1..5);
        let bodies = (0..many).map(|_| match rng.u8(..8) {
            0 => delete(rng.u64(1..=last)),
            1 | 2 => likes(),
            _ => comment("x"),
        });
        let bodies = bodies.collect();
        server.happen("r1", bodies).await;
        last += many;
        let recorded = Position::new(0, last as i64 - 1);
        server.windows.set_watermark(slot, recorded);
        for _ in 0..rng.u8(..20) {
            tokio::task::yield_now().await;
        }
    }
    end.set(Some(last));
}

async fn read_forwards(
    server: &Server,
    mut rng: fastrand::Rng,
    (end, shown): (&Cell<Option<u64>>, &Shown),
) {
    let mut cursor = "0".to_owned();
    let mut to = 0;
    loop {
        let mut path = format!("{EVENTS}?after={cursor}&limit={}", rng.u16(1..20));
        if rng.bool() {
            path += "&wait=1";
        }
        let density = ["full", "auto", "high", "low"][rng.usize(..4)];
        path += &format!("&density={density}");
        let skips = rng.u8(..4) == 0;
        if skips {
            path += &format!("&max_behind={}", rng.u16(..10));
        }
        let (status, page) = server.json(&path).await;
        assert_eq!(status, 200, "{path}: {page}");
        assert_eq!(page["from"], to, "{path}: {page}");
        to = page["to"].as_u64().expect("a seq");
        let seen = seqs(&page);
        let withheld = page["withheld"]["count"].as_u64().unwrap_or(0);
        let from = page["from"].as_u64().expect("a seq");
        let is_seen = |seq: &u64| seen.contains(seq);
        let expected: Vec<u64> = (from + 1..=to).filter(is_seen).collect();
        assert_eq!(seen, expected, "in order: {path}: {page}");
        assert_eq!(withheld, to - from - seen.len() as u64, "{path}: {page}");
        for seq in from + 1..=to {
            let key = (density, seq);
            if !skips {
                let before = *shown.borrow_mut().entry(key).or_insert(is_seen(&seq));
                assert_eq!(is_seen(&seq), before, "{key:?}: {page}");
            }
        }
        cursor = page["cursor"].as_str().expect("a cursor").to_owned();
        if end.get() == Some(to) {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// From wherever the room is, back to its first event, again and again.
async fn read_backwards(server: &Server, mut rng: fastrand::Rng) {
    for _ in 0..10 {
        let (_, mut page) = server.json(&format!("{EVENTS}?limit=5")).await;
        let head = page["to"].as_u64().expect("a seq");
        let mut seen: BTreeSet<u64> = seqs(&page).into_iter().collect();
        while let Some(before) = page["before"].as_str() {
            let path = format!("{EVENTS}?before={before}&limit={}", rng.u16(1..20));
            page = server.json(&path).await.1;
            for seq in seqs(&page) {
                assert!(seen.insert(seq), "{seq} twice: {path}");
            }
        }
        assert_eq!(seen, (1..=head).collect(), "without a hole");
        tokio::task::yield_now().await;
    }
}
