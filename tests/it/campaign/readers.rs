//! Who reads while the world goes on: clients that poll, and players that fetch segments.
//!
//! A client takes pages from the windows, or from the history where the window no longer has them. It must
//! get every event of the generations that it sees once, in order and true, or blank where it was erased; an answer that is not yet
//! possible is no answer. A segment's address must have one content for ever.

use std::collections::BTreeMap;

use danmu_projections::history::HistoryReader;
use danmu_projections::projection::StoreError;
use danmu_projections::segments::{Segment, SegmentContent, View};
use danmu_projections::windows::store::WindowRead;
use danmu_schemas::chunk::Unpacker;
use danmu_schemas::state::StateCore;
use danmu_schemas::{Cursor, Generation, Position, RoomId, Seq, Settled, codec};

use super::super::model::world::{Walk, chance, pick};
use super::Plan;
use super::broadcasts::left_of_segment;
use super::faults::FatefulHistory;
use super::script::ROOMS;
use super::windows::FatefulWindows;
use super::world::World;

const CLIENTS: usize = 3;
const PLAYERS: usize = 2;

/// Everybody who reads.
pub struct Readers {
    clients: Vec<Client>,
    players: Vec<Option<Walk<Fetched>>>,
    addresses: BTreeMap<Address, SegmentContent>,
    listed: BTreeMap<Address, Segment>,
}

struct Client {
    room: usize,
    cursor: Option<Cursor>,
    request: Option<Walk<Result<Answer, StoreError>>>,
}

enum Answer {
    /// Neither windows nor history have it now.
    Unavailable,
    /// The room had no event up to the slot's position.
    Nothing(Position),
    /// The numbering began anew.
    Replaced(Generation),
    Page(Generation, Vec<Settled>),
}

/// Room, broadcast, number, revision.
type Address = (usize, (u32, u64), i64, u64);

/// What a player got: of a room and a broadcast, the manifest and one segment.
type Fetched = Result<Option<(usize, Cursor, Vec<Segment>, Option<SegmentContent>)>, StoreError>;

impl Readers {
    pub fn new(plan: &Plan) -> Readers {
        let client = |n: usize| Client {
            room: n * 2,
            cursor: None,
            request: None,
        };
        Readers {
            clients: (0..CLIENTS)
                .filter(|_| plan.has_clients)
                .map(client)
                .collect(),
            players: (0..PLAYERS)
                .filter(|_| plan.has_players)
                .map(|_| None)
                .collect(),
            addresses: BTreeMap::new(),
            listed: BTreeMap::new(),
        }
    }

    /// What is under way is lost with the process.
    pub fn drop_requests(&mut self) {
        for client in &mut self.clients {
            client.request = None;
        }
        for player in &mut self.players {
            *player = None;
        }
    }

    pub fn turn(&mut self, world: &mut World, is_live: bool) {
        for client in &mut self.clients {
            if !is_live || chance(&mut world.rng, 0.6) {
                client.turn(world);
            }
        }
        for player in 0..self.players.len() {
            self.play(world, player);
        }
    }

    /// Whether every client has everything.
    pub fn are_done(&self, world: &World) -> bool {
        self.clients.iter().all(|client| {
            let (generation, seq) = world.truth.room(client.room).last();
            seq == Seq::ZERO || client.cursor == Some(Cursor { generation, seq })
        })
    }

    fn play(&mut self, world: &mut World, player: usize) {
        let (reader, room) = (world.history_reader(), world.rng.usize(..ROOMS.len()));
        let fates = [world.rng.usize(..3), world.rng.usize(..16)];
        let walk =
            self.players[player].get_or_insert_with(|| Walk::new(fetch(reader, room, fates)));
        let Some(fetched) = walk.step() else {
            return;
        };
        self.players[player] = None;
        let Ok(Some((room, cursor, segments, content))) = fetched else {
            return;
        };
        let broadcast = (cursor.generation.0, cursor.seq.0);
        let address = |segment: &Segment| (room, broadcast, segment.n, segment.revision.0);
        for segment in segments {
            let first = self.listed.entry(address(&segment)).or_insert(segment);
            if *first != segment {
                world.found(
                    "one address, two entries",
                    format!("{:?}", address(&segment)),
                );
            }
        }
        if let Some(content) = content {
            let address = address(&content.segment);
            let first = self
                .addresses
                .entry(address)
                .or_insert_with(|| content.clone());
            let truth = world.truth.room(room);
            let left = |content: &SegmentContent| left_of_segment(truth, cursor, content.clone());
            if *first != content && left(first) != left(&content) {
                world.found("one address, two contents", format!("{address:?}"));
            }
        }
    }
}

impl Client {
    fn turn(&mut self, world: &mut World) {
        let (windows, history) = (world.windows(), world.history_reader());
        let limit = pick(&mut world.rng, &[1, 3, 8]);
        let (room, cursor) = (&ROOMS[self.room], self.cursor);
        let request = self
            .request
            .get_or_insert_with(|| Walk::new(poll(windows, history, room, cursor, limit)));
        let Some(answer) = request.step() else {
            return;
        };
        self.request = None;
        match answer {
            Ok(Answer::Unavailable) | Err(_) => {}
            Ok(Answer::Nothing(position)) => {
                if world.truth.room(self.room).state(position).is_some() {
                    world.found("a room that has events is said to have none", position);
                }
            }
            Ok(Answer::Replaced(generation)) => {
                let seq = Seq::ZERO;
                self.cursor = Some(Cursor { generation, seq });
            }
            Ok(Answer::Page(generation, events)) => self.take(world, generation, events),
        }
    }

    fn take(&mut self, world: &mut World, generation: Generation, events: Vec<Settled>) {
        let after = self.cursor.map_or(Seq::ZERO, |cursor| cursor.seq);
        let truth = world.truth.room(self.room);
        let expected = truth.events_after(generation, after);
        let mut pairs = events.iter().zip(expected);
        if events.len() > expected.len() || !pairs.all(|(event, own)| truth.is_of(event, own)) {
            world.found(
                "a hole, a repeat or false content",
                format!("after {after}"),
            );
        }
        let seq = events.last().map_or(after, |event| event.seq);
        self.cursor = Some(Cursor { generation, seq });
    }
}

async fn poll(
    windows: FatefulWindows,
    history: HistoryReader<FatefulHistory>,
    room: &RoomId,
    cursor: Option<Cursor>,
    limit: usize,
) -> Result<Answer, StoreError> {
    let window = windows.room(room).await?;
    let Some(position) = window.slot_position else {
        return Ok(Answer::Unavailable);
    };
    let Some(state) = window.state else {
        return Ok(Answer::Nothing(position));
    };
    let core: StateCore = codec::from_stored(&state.core).unwrap();
    let generation = core.generation;
    let after = match cursor {
        Some(cursor) if cursor.generation < generation => return Ok(Answer::Replaced(generation)),
        Some(cursor) if cursor.generation > generation => return Ok(Answer::Unavailable),
        cursor => cursor.map_or(Seq::ZERO, |cursor| cursor.seq),
    };
    if after >= core.last_seq {
        return Ok(Answer::Page(generation, Vec::new()));
    }
    let mut unpacker = Unpacker::new();
    let chunks = window.chunks.iter();
    let chunks = chunks.filter(|chunk| chunk.header.generation == generation);
    let events = chunks.flat_map(|chunk| unpacker.unpack(&chunk.bytes).unwrap().1.settled);
    let mut events: Vec<Settled> = events.filter(|event| event.seq > after).collect();
    if events.first().is_none_or(|first| first.seq != after.next()) {
        events = history.events(room, generation, after, limit).await?;
    }
    events.truncate(limit);
    match events.is_empty() {
        true => Ok(Answer::Unavailable),
        false => Ok(Answer::Page(generation, events)),
    }
}

async fn fetch(
    reader: HistoryReader<FatefulHistory>,
    room: usize,
    [broadcast, segment]: [usize; 2],
) -> Fetched {
    let name = &ROOMS[room];
    let broadcasts = reader.broadcasts(name, None, 3).await?;
    if broadcasts.is_empty() {
        return Ok(None);
    }
    let cursor = broadcasts[broadcast % broadcasts.len()].cursor;
    let segments = reader.segments(name, cursor, i64::MIN..i64::MAX).await?;
    let content = match segments.len() {
        0 => None,
        len => {
            reader
                .segment(name, cursor, segments[segment % len].n, View::Public)
                .await?
        }
    };
    Ok(Some((room, cursor, segments, content)))
}
