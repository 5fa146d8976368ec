//! Version 1 of the rules: a record's way from the log to its verdict.
//!
//! A record first drives the log clock, whatever becomes of it; then its id is looked up, then the
//! rules may refuse it; only then does it change the room, completely. A duplicate therefore changes
//! a count and what the clock drives, a refusal likewise. What each family of kinds does is in the
//! modules below; this version is frozen once released, a changed rule is a new version.

mod audience;
mod broadcasts;
mod gifts;
mod judge;
mod moderation;

use danmu_schemas::settled::Unseated;
use danmu_schemas::state::{CrowdSecond, EventMemory};
use danmu_schemas::{
    Body, Cursor, Position, Refusal, RoomEvent, Seq, Settled, Unsettled, UserHash, Verdict,
};

use super::{Input, Room};

/// Where and when a visible event stands.
#[derive(Debug, Clone, Copy)]
struct Place {
    position: Position,
    cursor: Cursor,
    at: i64,
}

/// What settle adds to an event beside its place.
#[derive(Debug, Clone, Copy, Default)]
struct Additions {
    crowd: u32,
    combo_total: Option<u64>,
    target_seq: Option<Seq>,
}

/// Why a record is refused, and until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Refused {
    reason: Refusal,
    until_at: Option<i64>,
}

impl From<Refusal> for Refused {
    fn from(reason: Refusal) -> Self {
        Self {
            reason,
            until_at: None,
        }
    }
}

pub(super) fn settle(room: &mut Room, input: Input<'_>) -> Verdict {
    drive_clock(room, input.logged_at);
    if let Some(first) = room.first_with(input.event.id) {
        room.core.duplicates += 1;
        unseat(room, &input, Unseated::Duplicate { first });
        return Verdict::Duplicate { first };
    }
    if let Err(Refused { reason, until_at }) = judge::check(room, input.event) {
        room.core.refused[reason as usize] += 1;
        unseat(room, &input, Unseated::Refused { reason, until_at });
        return Verdict::Refused { reason, until_at };
    }
    if audience::absorb(room, input.event) {
        return Verdict::Absorbed;
    }
    let seq = show(room, input);
    Verdict::Visible { seq }
}

/// Moves the log clock, never back, and lets go of what it leaves behind.
fn drive_clock(room: &mut Room, logged_at: i64) {
    let clock = room.core.clock.max(logged_at);
    room.core.clock = clock;
    room.events.forget_before(clock);
    room.gifts.forget_before(clock);
    gifts::close_combos(room);
    if clock >= room.deadlines.mute_ends_at {
        moderation::end_mutes(room);
    }
    if clock >= room.deadlines.source_expires_at {
        audience::expire_sources(room);
    }
}

fn unseat(room: &mut Room, input: &Input<'_>, why: Unseated) {
    let event = Unsettled {
        offset: input.position.offset,
        logged_at: room.core.clock,
        id: input.event.id,
        why,
    };
    let next_seq = room.core.last_seq.next();
    room.pending
        .unsettled(room.core.generation, next_seq, event);
}

/// Gives the event its seq and lets it change the room.
fn show(room: &mut Room, input: Input<'_>) -> Seq {
    let event = input.event;
    let place = seat(room, event, input.position);
    broadcasts::mark_time(room, place);
    let additions = apply(room, event, place);
    room.core.last_seq = place.cursor.seq;
    room.core.at = place.at;
    keep(room, input, place, additions);
    place.cursor.seq
}

/// Settles in which generation and broadcast the event stands, and where.
fn seat(room: &mut Room, event: &RoomEvent<'_>, position: Position) -> Place {
    match &event.body {
        Body::Reset => {
            broadcasts::cut_short(room, position);
            begin_generation(room);
        }
        Body::BroadcastStart(_) => broadcasts::cut_short(room, position),
        _ => {}
    }
    let place = Place {
        position,
        cursor: Cursor {
            generation: room.core.generation,
            seq: room.core.last_seq.next(),
        },
        at: broadcasts::event_time(&room.core, event),
    };
    match &event.body {
        Body::Reset => {}
        Body::BroadcastStart(start) => broadcasts::start(room, start, author(event), place),
        _ if !room.core.opened_once => broadcasts::start_by_itself(room, author(event), place),
        _ => {}
    }
    place
}

/// Gift memory, mutes and rules stay, and the currencies that the gift memory counts in.
fn begin_generation(room: &mut Room) {
    let fresh = Room::new();
    let old = std::mem::replace(&mut room.core, fresh.core);
    room.core.generation = old.generation.next();
    room.core.rules_version = old.rules_version;
    room.core.clock = old.clock;
    room.core.slow_ms = old.slow_ms;
    room.core.comments_open = old.comments_open;
    room.events.clear();
    broadcasts::clear_texts(room);
    gifts::clear(room);
    audience::clear(room);
}

fn apply(room: &mut Room, event: &RoomEvent<'_>, place: Place) -> Additions {
    let mut additions = Additions::default();
    match &event.body {
        Body::Comment(_) => {
            room.core.totals.comments += 1;
            additions.crowd = crowd(&mut room.core.crowd, place.at);
        }
        Body::Gift(gift) => additions.combo_total = gifts::give(room, event, gift, place),
        Body::GiftReversal(reversal) => {
            additions.target_seq = gifts::take_back(room, reversal.target_id, place);
        }
        Body::Likes(likes) => room.core.totals.likes += u64::from(likes.count),
        Body::BroadcastEnd(_) => broadcasts::end(room, place),
        Body::BroadcastInterrupt(_) => broadcasts::interrupt(room, place, false),
        Body::BroadcastResume(_) => broadcasts::interrupt(room, place, true),
        Body::Delete(delete) => additions.target_seq = moderation::delete(room, delete, place),
        Body::Mute(mute) => moderation::mute(room, mute, place),
        Body::Unmute(unmute) => moderation::unmute(room, &unmute.target_user),
        Body::Rules(rules) => moderation::set_rules(room, rules),
        Body::Pin(pin) => room.core.pinned = Some(Seq(pin.target_seq)),
        Body::Unpin(pin) => moderation::unpin(&mut room.core, Seq(pin.target_seq)),
        Body::Erase(erase) => moderation::erase(room, erase, place),
        Body::AdoptRules(adopt) => room.core.rules_version = adopt.version,
        Body::BroadcastStart(_)
        | Body::Custom(_)
        | Body::Reset
        | Body::Enter
        | Body::Leave
        | Body::Audience(_) => {}
    }
    additions
}

/// Counts a comment, and says how many there were in the second before its own.
fn crowd(crowd: &mut CrowdSecond, at: i64) -> u32 {
    let second = at.div_euclid(1_000);
    if second != crowd.second {
        let follows = crowd.second.checked_add(1) == Some(second);
        *crowd = CrowdSecond {
            second,
            count: 0,
            previous: if follows { crowd.count } else { 0 },
        };
    }
    crowd.count = crowd.count.saturating_add(1);
    crowd.previous
}

/// Remembers the event, and keeps it for whoever takes the room's change.
fn keep(room: &mut Room, input: Input<'_>, place: Place, additions: Additions) {
    let entry = EventMemory {
        offset: place.position.offset,
        id: input.event.id,
        clock: room.core.clock,
        user: commenter(input.event),
    };
    room.events.remember(place.cursor.seq, entry);
    let settled = Settled {
        offset: place.position.offset,
        seq: place.cursor.seq,
        at: place.at,
        logged_at: room.core.clock,
        crowd: additions.crowd,
        combo_total: additions.combo_total,
        target_seq: additions.target_seq,
        datum: input.datum,
    };
    room.pending
        .settled(place.cursor.generation, settled, entry);
}

fn commenter(event: &RoomEvent<'_>) -> UserHash {
    match &event.body {
        Body::Comment(_) => author(event),
        _ => UserHash::NOBODY,
    }
}

fn author(event: &RoomEvent<'_>) -> UserHash {
    let user = event.user.as_ref();
    user.map_or(UserHash::NOBODY, |user| UserHash::of(&user.id))
}
