//! A room's window as it was at one moment, against what the log says up to its slot's position.
//!
//! A window holds the newest events without a hole, and what was refused among them; of what was erased
//! up to its slot's position it holds nothing, and of everything else all. A refill copies no refused
//! events, so these are whole only from the first one on that is there.

use std::collections::{BTreeMap, VecDeque};

use danmu_projections::projection::{RoomChange, StateChange};
use danmu_projections::windows::{PackedChunk, RoomWindow};
use danmu_schemas::chunk::Unpacker;
use danmu_schemas::fact::{FactBody, Moderation};
use danmu_schemas::{Cursor, Position, RoomId, Settled, Unsettled, UserHash, codec};

use super::fingerprint::Fingerprint;
use super::report::Report;
use super::states::{self, Gone, PinnedState};

/// What a window held, and how much of it is compared.
pub(super) struct PinnedWindow {
    /// Where its slot was.
    pub at: Position,
    state: Option<PinnedState>,
    events: VecDeque<(Cursor, Fingerprint)>,
    /// Those of them that the log has told so far, and no erasure of.
    told: BTreeMap<Cursor, Told>,
    unsettled: VecDeque<(Position, Unsettled)>,
    events_have_begun: bool,
    unsettled_have_begun: bool,
    /// A chunk cannot be read: only the state is compared.
    is_broken: bool,
    is_without_chunks: bool,
    /// Whether the log has a visible event.
    is_without_events: bool,
}

/// An event that the window has.
struct Told {
    author: UserHash,
    /// Whether it is there as it was sent.
    is_whole: bool,
    /// Whether it is there as an erasure leaves it.
    is_blank: bool,
}

impl PinnedWindow {
    /// What the window holds; `None` where its slot has no position.
    pub fn new(window: &RoomWindow, room: &RoomId, report: &mut Report) -> Option<Self> {
        let at = window.slot_position?;
        let mut pinned = Self {
            at,
            state: window
                .state
                .as_ref()
                .map(|state| PinnedState::new(at, state)),
            events: VecDeque::new(),
            told: BTreeMap::new(),
            unsettled: VecDeque::new(),
            events_have_begun: false,
            unsettled_have_begun: false,
            is_broken: false,
            is_without_chunks: window.chunks.is_empty(),
            is_without_events: true,
        };
        let mut unpacker = Unpacker::new();
        for chunk in &window.chunks {
            if let Err(why) = pinned.add(chunk, &mut unpacker) {
                let header = chunk.header;
                let what = format!(
                    "the window's chunk at {}:{}",
                    header.generation, header.first_seq
                );
                report.differ(room, what, why);
                pinned.is_broken = true;
            }
        }
        Some(pinned)
    }

    fn add(&mut self, chunk: &PackedChunk, unpacker: &mut Unpacker) -> Result<(), String> {
        let (header, body) = unpacker.unpack(&chunk.bytes).map_err(|e| e.to_string())?;
        if header != chunk.header {
            return Err("has another header".to_owned());
        }
        let generation = header.generation;
        self.events.extend(body.settled.iter().map(|event| {
            let seq = event.seq;
            (Cursor { generation, seq }, Fingerprint::of(event))
        }));
        let placed = |entry: Unsettled| (Position::new(header.epoch, entry.offset), entry);
        self.unsettled
            .extend(body.unsettled.into_iter().map(placed));
        Ok(())
    }

    /// What settling again gave next, up to the slot's position.
    pub fn expect(&mut self, change: &RoomChange, report: &mut Report) {
        if self.is_broken {
            return;
        }
        let room = &change.room;
        for run in &change.runs {
            for event in &run.settled {
                let cursor = Cursor {
                    generation: run.generation,
                    seq: event.seq,
                };
                self.expect_event(cursor, event, room, report);
            }
            for entry in &run.unsettled {
                let at = Position::new(change.position.epoch, entry.offset);
                self.expect_unsettled(at, *entry, room, report);
            }
        }
        for fact in &change.facts {
            if let FactBody::Moderated { by, moderation } = &fact.body {
                self.expect_blank(*by, moderation, room, report);
            }
        }
    }

    fn expect_event(
        &mut self,
        cursor: Cursor,
        event: &Settled,
        room: &RoomId,
        report: &mut Report,
    ) {
        self.is_without_events = false;
        while let Some((surplus, _)) = self.events.pop_front_if(|(stored, _)| *stored < cursor) {
            report.differ(
                room,
                format!("the window's event {surplus}"),
                "is not in the log",
            );
        }
        match self.events.pop_front_if(|(stored, _)| *stored == cursor) {
            Some((_, stored)) => {
                self.events_have_begun = true;
                report.window_events += 1;
                let expected = Fingerprint::of(event);
                let is_blank = stored.datum == expected.blanked;
                if stored.stands_for(&expected, || is_blank) {
                    let told = Told {
                        author: author(event),
                        is_whole: stored.datum == expected.datum,
                        is_blank,
                    };
                    self.told.insert(cursor, told);
                } else {
                    report.differ(room, format!("the window's event {cursor}"), "is another");
                }
            }
            None if self.events_have_begun => {
                report.differ(room, format!("the window's event {cursor}"), "is missing");
            }
            None => {}
        }
    }

    /// What the event `by` erased must be blank.
    fn expect_blank(
        &mut self,
        by: Cursor,
        moderation: &Moderation,
        room: &RoomId,
        report: &mut Report,
    ) {
        let erased: Vec<Cursor> = match moderation {
            Moderation::Erased { target } => vec![Cursor { seq: *target, ..by }],
            Moderation::UserErased { user } => {
                let user = UserHash::of(user);
                let before = self.told.range(..by);
                let theirs = before.filter(|(_, told)| told.author == user);
                theirs.map(|(cursor, _)| *cursor).collect()
            }
            Moderation::Deleted { .. } | Moderation::Hidden { .. } => return,
        };
        for cursor in erased {
            let told = self.told.remove(&cursor);
            if told.is_some_and(|told| !told.is_blank) {
                let what = format!("the window's event {cursor}");
                report.differ(room, what, "still has what was erased");
            }
        }
    }

    fn expect_unsettled(
        &mut self,
        at: Position,
        entry: Unsettled,
        room: &RoomId,
        report: &mut Report,
    ) {
        let what = |at| format!("the window's unsettled event of {at}");
        while let Some((surplus, _)) = self.unsettled.pop_front_if(|(stored, _)| *stored < at) {
            report.differ(room, what(surplus), "is not in the log");
        }
        match self.unsettled.pop_front_if(|(stored, _)| *stored == at) {
            Some((_, stored)) => {
                self.unsettled_have_begun = true;
                report.window_events += 1;
                if stored != entry {
                    report.differ(room, what(at), "is another");
                }
            }
            None if self.unsettled_have_begun => report.differ(room, what(at), "is missing"),
            None => {}
        }
    }

    /// Everything up to the slot's position was expected; `state` is the room's then.
    pub fn end(&mut self, state: Option<&StateChange>, room: &RoomId, report: &mut Report) {
        let what = "the window's state";
        states::compare(
            self.state.as_ref(),
            state,
            &Gone::default(),
            what,
            room,
            report,
        );
        if self.is_broken {
            return;
        }
        for (cursor, _) in self.told.iter().filter(|(_, told)| !told.is_whole) {
            report.differ(room, format!("the window's event {cursor}"), "is another");
        }
        if self.is_without_chunks && !self.is_without_events {
            report.differ(room, "the window", "has no events");
        }
        if let Some((surplus, _)) = self.events.pop_front() {
            report.differ(
                room,
                format!("the window's event {surplus}"),
                "is not in the log",
            );
        }
        if let Some((surplus, _)) = self.unsettled.pop_front() {
            let what = format!("the window's unsettled event of {surplus}");
            report.differ(room, what, "is not in the log");
        }
    }

    pub fn held_bytes(&self) -> usize {
        self.events.len() * size_of::<(Cursor, Fingerprint)>()
            + self.told.len() * size_of::<(Cursor, Told)>()
            + self.unsettled.len() * size_of::<(Position, Unsettled)>()
            + self.state.as_ref().map_or(0, PinnedState::held_bytes)
    }
}

fn author(event: &Settled) -> UserHash {
    let event = codec::decode_datum(&event.datum).ok();
    let user = event.as_ref().and_then(|event| event.user.as_ref());
    user.map_or(UserHash::NOBODY, |user| UserHash::of(&user.id))
}
