//! What the rules do not take. Reads the room, changes nothing.
//!
//! A record that passes here is accepted: nothing that comes after may fail.

use danmu_schemas::event::{Gift, Target};
use danmu_schemas::{Body, EventId, Refusal, Role, RoomEvent, Seq, UserHash};

use super::super::Room;
use super::{Refused, gifts, moderation};

/// The oldest issue of a gift that is taken: the memory lasts an hour longer, so that no late retry
/// can pay twice.
const ISSUED_AGE_MAX_MS: i64 = 23 * 60 * 60 * 1_000;
/// How far a backend's clock may be ahead of the log's.
const ISSUED_AHEAD_MAX_MS: i64 = 5 * 60 * 1_000;

/// Whether the room takes the event.
pub(super) fn check(room: &Room, event: &RoomEvent<'_>) -> Result<(), Refused> {
    if event.recorded_at.is_some() && !takes_recorded(room, event) {
        return Err(Refusal::NotRecorded.into());
    }
    match &event.body {
        Body::Comment(_) => comment(room, event),
        Body::Gift(given) => gift(room, given),
        Body::GiftReversal(reversal) => gift_reversal(room, reversal.target_id),
        Body::BroadcastEnd(_) | Body::BroadcastInterrupt(_) | Body::BroadcastResume(_) => {
            refuse_if(room.core.broadcast.is_none(), Refusal::NoBroadcast)
        }
        Body::Delete(delete) => target(room, delete.target),
        Body::Pin(pin) | Body::Unpin(pin) => target(room, Target::Seq(pin.target_seq)),
        Body::Erase(erase) => {
            let unknown = |seq: &u64| !exists(room, *seq);
            refuse_if(
                erase.target_seqs.iter().any(unknown),
                Refusal::TargetUnknown,
            )
        }
        Body::Likes(_)
        | Body::Enter
        | Body::Leave
        | Body::Audience(_)
        | Body::BroadcastStart(_)
        | Body::Mute(_)
        | Body::Unmute(_)
        | Body::Rules(_)
        | Body::Custom(_)
        | Body::Reset
        | Body::AdoptRules(_) => Ok(()),
    }
}

/// The seq that a target stands for, if it exists in the room's generation.
pub(super) fn resolve(room: &Room, target: Target) -> Option<Seq> {
    match target {
        Target::Seq(seq) => exists(room, seq).then_some(Seq(seq)),
        Target::Id(id) => room.first_with(id).flatten(),
    }
}

/// A recorded broadcast's start brings its own time; every other event needs it to be open.
fn takes_recorded(room: &Room, event: &RoomEvent<'_>) -> bool {
    match &event.body {
        Body::BroadcastStart(start) => start.recorded,
        _ => room.core.broadcast.as_ref().is_some_and(|b| b.recorded),
    }
}

fn comment(room: &Room, event: &RoomEvent<'_>) -> Result<(), Refused> {
    if let Some(user) = &event.user
        && let Some(muted) = moderation::muted(&room.fields.muted, &user.id)
    {
        return Err(Refused {
            reason: Refusal::Muted,
            until_at: muted.until_at,
        });
    }
    if event.role >= Role::Moderator {
        return Ok(());
    }
    refuse_if(!room.core.comments_open, Refusal::CommentsClosed)?;
    slow_mode(room, event)
}

fn slow_mode(room: &Room, event: &RoomEvent<'_>) -> Result<(), Refused> {
    if room.core.slow_ms == 0 {
        return Ok(());
    }
    let Some(user) = &event.user else {
        return Ok(());
    };
    let Some(last) = room.events.commented_at(UserHash::of(&user.id)) else {
        return Ok(());
    };
    let free_at = last.saturating_add(i64::from(room.core.slow_ms));
    if room.core.clock >= free_at {
        return Ok(());
    }
    Err(Refused {
        reason: Refusal::SlowMode,
        until_at: Some(free_at),
    })
}

fn gift(room: &Room, gift: &Gift<'_>) -> Result<(), Refused> {
    let age_ms = room.core.clock.saturating_sub(gift.issued_at);
    refuse_if(age_ms > ISSUED_AGE_MAX_MS, Refusal::IssuedTooLongAgo)?;
    refuse_if(age_ms < -ISSUED_AHEAD_MAX_MS, Refusal::IssuedInFuture)?;
    let knows_currency = gifts::has_place(&room.fields.currencies, &gift.currency);
    refuse_if(!knows_currency || room.gifts.is_full(), Refusal::RoomBusy)
}

fn gift_reversal(room: &Room, target: EventId) -> Result<(), Refused> {
    let stands = room.gifts.get(target).is_some_and(|gift| !gift.reversed);
    refuse_if(!stands, Refusal::TargetUnknown)?;
    refuse_if(room.gifts.is_full(), Refusal::RoomBusy)
}

fn target(room: &Room, target: Target) -> Result<(), Refused> {
    refuse_if(resolve(room, target).is_none(), Refusal::TargetUnknown)
}

fn exists(room: &Room, seq: u64) -> bool {
    (1..=room.core.last_seq.0).contains(&seq)
}

fn refuse_if(refused: bool, reason: Refusal) -> Result<(), Refused> {
    if refused { Err(reason.into()) } else { Ok(()) }
}
