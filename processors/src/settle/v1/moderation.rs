//! Moderation: mutes, deletions, pins, the room's rules, and erasure.
//!
//! What an act does to events before it is a fact for whoever shows them: events never change.

use danmu_schemas::Seq;
use danmu_schemas::event::{Delete, Erase, Mute, Rules, Target};
use danmu_schemas::fact::{FactBody, Moderation};
use danmu_schemas::state::{Field, MUTED_LEN_MAX, MutedUser, MutedUsers, StateCore};

use super::super::Room;
use super::super::room::Deadlines;
use super::{Place, audience, broadcasts, gifts, judge};

/// The longest slow mode: no further back is it remembered who commented when.
const SLOW_MS_MAX: u32 = 120_000;

/// The user's mute, if there is one.
pub(super) fn muted<'a>(muted: &'a MutedUsers, user: &str) -> Option<&'a MutedUser> {
    let place = find(&muted.users, user).ok()?;
    muted.users.get(place)
}

/// Lifts the mutes that the log clock has ended.
pub(super) fn end_mutes(room: &mut Room) {
    let clock = room.core.clock;
    let lasts = |user: &MutedUser| user.until_at.is_none_or(|until_at| clock < until_at);
    room.fields.muted.users.retain(lasts);
    changed_mutes(room);
}

/// Mutes a user, in place of an earlier mute, and hides what they said since, if that is asked for.
pub(super) fn mute(room: &mut Room, mute: &Mute<'_>, place: Place) {
    let users = &mut room.fields.muted.users;
    let muted = MutedUser {
        user: mute.target_user.to_string(),
        until_at: mute.until_at,
    };
    match find(users, &mute.target_user) {
        Ok(place) => users[place] = muted,
        Err(place) => users.insert(place, muted),
    }
    if users.len() > MUTED_LEN_MAX {
        drop_first_to_end(users);
    }
    end_mutes(room);
    if let Some(since_at) = mute.hide_since_at {
        let user = mute.target_user.to_string();
        moderated(room, place, Moderation::Hidden { user, since_at });
    }
}

/// Lifts a user's mute; what was hidden stays hidden.
pub(super) fn unmute(room: &mut Room, user: &str) {
    if let Ok(place) = find(&room.fields.muted.users, user) {
        room.fields.muted.users.remove(place);
        changed_mutes(room);
    }
}

/// Deletes an event. Returns its seq where it was named by its id.
pub(super) fn delete(room: &mut Room, delete: &Delete<'_>, place: Place) -> Option<Seq> {
    let target = judge::resolve(room, delete.target)?;
    take_out(room, target);
    moderated(room, place, Moderation::Deleted { target });
    matches!(delete.target, Target::Id(_)).then_some(target)
}

/// Changes the room's rules; what is absent stays.
pub(super) fn set_rules(room: &mut Room, rules: &Rules) {
    if let Some(slow_ms) = rules.slow_ms {
        room.core.slow_ms = slow_ms.min(SLOW_MS_MAX);
        room.events.index_authors(room.core.slow_ms > 0);
    }
    if let Some(open) = rules.comments_open {
        room.core.comments_open = open;
    }
}

/// Unpins the comment, if it is the pinned one.
pub(super) fn unpin(core: &mut StateCore, target: Seq) {
    if core.pinned == Some(target) {
        core.pinned = None;
    }
}

/// Erases content: as facts for what is stored elsewhere, and here where the state repeats it.
pub(super) fn erase(room: &mut Room, erase: &Erase<'_>, place: Place) {
    for target in erase.target_seqs.iter().copied().map(Seq) {
        take_out(room, target);
        gifts::forget_names(room, |giver| giver.named_by == target);
        moderated(room, place, Moderation::Erased { target });
    }
    if let Some(user) = &erase.target_user {
        audience::leave(room, user);
        gifts::forget_names(room, |giver| giver.user == *user);
        broadcasts::forget_starter(room, user);
        let user = user.to_string();
        moderated(room, place, Moderation::UserErased { user });
    }
}

/// Takes out of the state what it repeats of an event.
fn take_out(room: &mut Room, target: Seq) {
    unpin(&mut room.core, target);
    let open = room.core.broadcast.as_ref();
    if open.is_some_and(|open| open.first_seq == target) {
        broadcasts::clear_texts(room);
    }
}

fn moderated(room: &mut Room, place: Place, moderation: Moderation) {
    let by = place.cursor;
    room.pending
        .fact(place.position, FactBody::Moderated { by, moderation });
}

fn find(users: &[MutedUser], user: &str) -> Result<usize, usize> {
    users.binary_search_by(|muted| muted.user.as_str().cmp(user))
}

/// The mute that ends first leaves, the first by user of several.
fn drop_first_to_end(users: &mut Vec<MutedUser>) {
    let ends = |place: &usize| users[*place].until_at.unwrap_or(i64::MAX);
    if let Some(place) = (0..users.len()).min_by_key(ends) {
        users.remove(place);
    }
}

fn changed_mutes(room: &mut Room) {
    room.deadlines = Deadlines::of(&room.fields);
    room.pending.mark(Field::Muted);
}
