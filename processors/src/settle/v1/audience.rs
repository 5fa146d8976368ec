//! Who is there: entries, departures and viewer counts. They change the room and get no seq.

use danmu_schemas::event::{Audience, User};
use danmu_schemas::state::{
    Entrant, Field, ROSTER_LEN_MAX, Roster, SOURCE_EXPIRES_MS, SOURCES_LEN_MAX, ViewerSource,
    ViewerSources,
};
use danmu_schemas::{Body, RoomEvent};

use super::super::Room;
use super::super::room::Deadlines;

/// Takes the event into the state, if it is of a kind that has no place in the room's order.
pub(super) fn absorb(room: &mut Room, event: &RoomEvent<'_>) -> bool {
    match (&event.body, &event.user) {
        (Body::Enter, Some(user)) => enter(room, user),
        (Body::Leave, Some(user)) => leave(room, &user.id),
        (Body::Enter | Body::Leave, None) => {}
        (Body::Audience(audience), _) => count(room, audience),
        _ => return false,
    }
    true
}

/// Forgets the sources that were not heard of for too long.
pub(super) fn expire_sources(room: &mut Room) {
    let clock = room.core.clock;
    let live = |source: &ViewerSource| clock.saturating_sub(source.counted_at) < SOURCE_EXPIRES_MS;
    room.fields.sources.sources.retain(live);
    changed_sources(room);
}

/// Nobody is there.
pub(super) fn clear(room: &mut Room) {
    room.fields.roster = Roster::default();
    room.fields.sources = ViewerSources::default();
    room.pending.mark(Field::Roster);
    changed_sources(room);
}

/// Takes the user off the roster.
pub(super) fn leave(room: &mut Room, user: &str) {
    let entrants = &mut room.fields.roster.entrants;
    if let Some(place) = entrants.iter().position(|entrant| entrant.user == user) {
        entrants.remove(place);
        room.pending.mark(Field::Roster);
    }
}

fn enter(room: &mut Room, user: &User<'_>) {
    leave(room, &user.id);
    let entrants = &mut room.fields.roster.entrants;
    if entrants.len() == ROSTER_LEN_MAX {
        entrants.remove(0);
    }
    entrants.push(Entrant {
        user: user.id.to_string(),
        name: user.name.to_string(),
        entered_at: room.core.clock,
    });
    room.pending.mark(Field::Roster);
}

fn count(room: &mut Room, audience: &Audience<'_>) {
    let sources = &mut room.fields.sources.sources;
    let counted_at = room.core.clock;
    match sources.binary_search_by(|source| source.source.as_str().cmp(&audience.source)) {
        Ok(place) => {
            sources[place].viewers = audience.viewers;
            sources[place].counted_at = counted_at;
        }
        Err(_) => {
            make_place(sources);
            let place = sources.partition_point(|source| *source.source < *audience.source);
            sources.insert(
                place,
                ViewerSource {
                    source: audience.source.to_string(),
                    viewers: audience.viewers,
                    counted_at,
                },
            );
        }
    }
    changed_sources(room);
}

/// The source heard of longest ago leaves, the first by name of several.
fn make_place(sources: &mut Vec<ViewerSource>) {
    if sources.len() < SOURCES_LEN_MAX {
        return;
    }
    let oldest = (0..sources.len()).min_by_key(|place| sources[*place].counted_at);
    if let Some(place) = oldest {
        sources.remove(place);
    }
}

fn changed_sources(room: &mut Room) {
    room.deadlines = Deadlines::of(&room.fields);
    room.pending.mark(Field::Sources);
}
