//! S1: settling a log on one core, decoding included, against `read_deser` of the same bytes and a count.
//!
//! Settles as the loop does: batches of records, each room's change taken (and so encoded) after a batch.

use std::collections::HashMap;
use std::hint::black_box;

use anyhow::{Result, ensure};
use danmu_processors::settle::{self, Input, Room};
use danmu_schemas::{Position, RoomId, Verdict, codec};

use crate::Size;
use crate::decode::read_deser;
use crate::measure::{Pairs, Run};
use crate::report::{Figure, Findings, Target};
use crate::sample::{self, Record};

const TARGET: Target = Target::AtLeast(1.5);
/// Records that a loop gets from its reader at once when it has work to catch up with.
const BATCH: usize = 1_024;
const ROOMS: usize = 16;
/// Comments in a second of log time: twice what the memory of 2 min holds are settled.
const PER_SECOND: i64 = 2_000;

/// A busy server's log.
pub fn run(size: Size) -> Result<Findings> {
    let log = sample::log(size.of(480_000, 1_000), ROOMS, PER_SECOND);
    let pairs = Pairs::interleave(
        size.pairs,
        || Run::of(|| settle_all(&log)),
        || Run::of(|| read_deser(&log)),
    )?;
    let what = "S1 settle, decode included: events over read_deser and a count";
    Ok(Findings {
        figures: vec![Figure::new(what, TARGET, &pairs)],
        ..Findings::default()
    })
}

fn settle_all(log: &[Record]) -> Result<u64> {
    let mut rooms: HashMap<RoomId, Held> = HashMap::new();
    let mut visible = 0;
    let mut position = Position::new(0, 0);
    for batch in log.chunks(BATCH) {
        for record in batch {
            let (event, datum) = codec::decode_event(&record.value)?;
            let held = match rooms.get_mut(&*event.room) {
                Some(held) => held,
                None => rooms.entry(RoomId::parse(&event.room)?).or_default(),
            };
            position.offset += 1;
            let input = Input {
                position,
                logged_at: record.logged_at,
                event: &event,
                datum,
            };
            let verdict = settle::settle(&mut held.room, input)?;
            visible += u64::from(matches!(verdict, Verdict::Visible { .. }));
            held.touched = true;
        }
        for (name, held) in rooms.iter_mut().filter(|(_, held)| held.touched) {
            held.touched = false;
            black_box(held.room.take_change(name, position));
        }
    }
    ensure!(visible == log.len() as u64, "a comment was not visible");
    Ok(visible)
}

/// A room, and whether the batch touched it.
#[derive(Default)]
struct Held {
    room: Room,
    touched: bool,
}
