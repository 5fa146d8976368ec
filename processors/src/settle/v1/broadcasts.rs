//! Broadcasts: how they begin and end, event time, and the marks that a replay is cut by.
//!
//! Within a broadcast event time never goes back, so a segment and a heat bucket open once.

use danmu_schemas::event::BroadcastStart;
use danmu_schemas::fact::{
    BroadcastEnded, BroadcastStarted, FactBody, HEAT_BUCKET_MS, HeatMark, Interruption, SEGMENT_MS,
    SegmentOpened, Snapshot,
};
use danmu_schemas::state::{BroadcastInfo, CrowdSecond, Field, OpenBroadcast, StateCore};
use danmu_schemas::{Body, Cursor, Position, RoomEvent, Seq, UserHash};

use super::super::Room;
use super::Place;

/// Before every segment and bucket.
const NONE_OPENED: i64 = i64::MIN;

/// How a broadcast begins, beside its place and its texts.
struct Opening {
    starter: UserHash,
    zero_at: i64,
    recorded: bool,
}

/// Event time: the log clock; in a recorded broadcast the recording's own, never back and never past
/// the log clock. The start of one has no event before it and stands at its zero where it gives no
/// time of its own.
pub(super) fn event_time(core: &StateCore, event: &RoomEvent<'_>) -> i64 {
    let recorded_at = match (&event.body, &core.broadcast) {
        (Body::BroadcastStart(start), _) if start.recorded => {
            event.recorded_at.or(start.zero_at).unwrap_or(core.clock)
        }
        (Body::BroadcastStart(_), _) => core.clock,
        (_, Some(open)) if open.recorded => {
            let own = event.recorded_at.unwrap_or(core.at);
            own.max(core.at)
        }
        _ => core.clock,
    };
    recorded_at.min(core.clock)
}

/// Begins the broadcast that the event at `place`, done by `starter`, starts. None is open.
pub(super) fn start(room: &mut Room, start: &BroadcastStart<'_>, starter: UserHash, place: Place) {
    let ext = start.ext.iter();
    let info = BroadcastInfo {
        title: start.title.to_string(),
        ext: ext.map(|(k, v)| (k.to_string(), v.to_string())).collect(),
    };
    let opening = Opening {
        starter,
        zero_at: start.zero_at.unwrap_or(place.at),
        recorded: start.recorded,
    };
    open(room, info, opening, place);
}

/// Begins the broadcast of a room that never had a start.
pub(super) fn start_by_itself(room: &mut Room, starter: UserHash, place: Place) {
    let opening = Opening {
        starter,
        zero_at: place.at,
        recorded: false,
    };
    open(room, BroadcastInfo::default(), opening, place);
}

/// Ends the open broadcast, if there is one, with the room's last event.
pub(super) fn cut_short(room: &mut Room, position: Position) {
    let (ended_at, last_seq) = (room.core.at, room.core.last_seq);
    close(room, position, ended_at, last_seq);
}

/// Ends the open broadcast with the event at `place`.
pub(super) fn end(room: &mut Room, place: Place) {
    close(room, place.position, place.at, place.cursor.seq);
}

/// Interrupts the open broadcast, or lets it go on.
pub(super) fn interrupt(room: &mut Room, place: Place, resumed: bool) {
    let Some(open) = &mut room.core.broadcast else {
        return;
    };
    open.interrupted_at = match (resumed, open.interrupted_at) {
        (true, _) => None,
        (false, since) => since.or(Some(place.at)),
    };
    let body = FactBody::Interruption {
        broadcast: Cursor {
            seq: open.first_seq,
            ..place.cursor
        },
        by_seq: place.cursor.seq,
        interruption: Interruption {
            show_ms: place.at.saturating_sub(open.zero_at),
            resumed,
        },
    };
    room.pending.fact(place.position, body);
}

/// Opens the segment and the heat bucket that the event at `place` is the first of.
pub(super) fn mark_time(room: &mut Room, place: Place) {
    let Some(open) = &room.core.broadcast else {
        return;
    };
    let show_ms = place.at.saturating_sub(open.zero_at);
    let (segment, bucket) = (
        show_ms.div_euclid(SEGMENT_MS),
        show_ms.div_euclid(HEAT_BUCKET_MS),
    );
    let (opens_segment, opens_bucket) = (segment > open.segment, bucket > open.heat_bucket);
    let broadcast = Cursor {
        seq: open.first_seq,
        ..place.cursor
    };
    if opens_segment {
        open_segment(room, broadcast, segment, place);
    }
    if opens_bucket {
        open_bucket(room, broadcast, bucket, place);
    }
}

/// Forgets the texts of the open broadcast if that user's event began it.
pub(super) fn forget_starter(room: &mut Room, user: &str) {
    let open = room.core.broadcast.as_ref();
    if open.is_some_and(|open| open.starter == UserHash::of(user)) {
        clear_texts(room);
    }
}

/// Forgets the texts of a broadcast that is no longer open, or whose first event is taken away.
pub(super) fn clear_texts(room: &mut Room) {
    room.fields.broadcast = BroadcastInfo::default();
    room.pending.mark(Field::Broadcast);
}

fn open(room: &mut Room, info: BroadcastInfo, opening: Opening, place: Place) {
    let Opening {
        starter,
        zero_at,
        recorded,
    } = opening;
    room.core.broadcast = Some(OpenBroadcast {
        first_seq: place.cursor.seq,
        starter,
        started_at: place.at,
        zero_at,
        recorded,
        interrupted_at: None,
        before: room.core.totals.clone(),
        segment: NONE_OPENED,
        heat_bucket: NONE_OPENED,
    });
    room.core.opened_once = true;
    room.core.crowd = CrowdSecond::default();
    let started = BroadcastStarted {
        info: info.clone(),
        started_at: place.at,
        zero_at,
        recorded,
    };
    room.fields.broadcast = info;
    room.pending.mark(Field::Broadcast);
    let broadcast = place.cursor;
    let body = FactBody::BroadcastStarted { broadcast, started };
    room.pending.fact(place.position, body);
}

fn close(room: &mut Room, position: Position, ended_at: i64, last_seq: Seq) {
    let Some(open) = room.core.broadcast.take() else {
        return;
    };
    let ended = BroadcastEnded {
        ended_at,
        last_seq,
        totals: room.core.totals.since(&open.before),
        currencies: room.fields.currencies.clone(),
    };
    let broadcast = Cursor {
        generation: room.core.generation,
        seq: open.first_seq,
    };
    clear_texts(room);
    room.pending
        .fact(position, FactBody::BroadcastEnded { broadcast, ended });
}

fn open_segment(room: &mut Room, broadcast: Cursor, n: i64, place: Place) {
    let segment = SegmentOpened {
        first_seq: place.cursor.seq,
        snapshot: snapshot(room),
    };
    let body = FactBody::SegmentOpened {
        broadcast,
        n,
        segment,
    };
    room.pending.fact(place.position, body);
    if let Some(open) = &mut room.core.broadcast {
        open.segment = n;
    }
}

fn open_bucket(room: &mut Room, broadcast: Cursor, n: i64, place: Place) {
    let before = HeatMark {
        first_seq: place.cursor.seq,
        comments: room.core.totals.comments,
        likes: room.core.totals.likes,
        gifts: room.core.totals.gifts,
    };
    let body = FactBody::HeatBucketOpened {
        broadcast,
        n,
        before,
    };
    room.pending.fact(place.position, body);
    if let Some(open) = &mut room.core.broadcast {
        open.heat_bucket = n;
    }
}

fn snapshot(room: &Room) -> Snapshot {
    Snapshot {
        core: room.core.clone(),
        broadcast: room.fields.broadcast.clone(),
        currencies: room.fields.currencies.clone(),
        combos: room.fields.combos.clone(),
        givers: room.fields.givers.clone(),
        roster: room.fields.roster.clone(),
        sources: room.fields.sources.clone(),
    }
}
