//! What happens in the rooms: events that a seed draws, with all that makes verdicts depend on the past.
//!
//! Retries with the same id soon and late, slow mode, mutes, gifts with combos and reversals, deletions
//! and erasures, broadcasts with interruptions, resets. Rooms are uneven, and some are quiet for long.

use std::sync::LazyLock;

use danmu_schemas::event::{
    Audience, BroadcastStart, Comment, Delete, Erase, Gift, GiftReversal, Likes, Mute, Pin, Reason,
    Rules, Style, Target, Unmute, User,
};
use danmu_schemas::{Body, EventId, Role, RoomEvent, RoomId, Slot, codec};
use fastrand::Rng;

use super::super::model::world::{chance, pick};

const USERS: [&str; 3] = ["ann", "bob", "cy"];
/// How far back a retry reaches.
const RETRIED: usize = 25;

/// Three slots: two with two rooms each, one with one. The first two share a partition.
pub static SLOTS: LazyLock<[Slot; 3]> = LazyLock::new(|| [0, 2, 4].map(|n| ROOMS[n].slot()));

/// Five rooms, by slot.
pub static ROOMS: LazyLock<Vec<RoomId>> = LazyLock::new(|| {
    let first = |taken: &[RoomId]| {
        let fresh = names().find(|name| taken.iter().all(|room| room.slot() != name.slot()));
        fresh.unwrap()
    };
    let beside = |room: &RoomId| names().find(|name| name != room && name.slot() == room.slot());
    let mut rooms = Vec::new();
    for _ in 0..2 {
        let room = first(&rooms);
        rooms.extend([room.clone(), beside(&room).unwrap()]);
    }
    rooms.push(first(&rooms));
    rooms
});

fn names() -> impl Iterator<Item = RoomId> {
    (0..).map(|n| RoomId::parse(&format!("r{n}")).unwrap())
}

/// An event on its way to the log.
#[derive(Clone)]
pub struct Sent {
    pub id: EventId,
    pub value: bytes::Bytes,
    is_gift: bool,
}

/// Draws events.
pub struct Script {
    rng: Rng,
    sent: Vec<Vec<Sent>>,
    ids: u128,
    has_quiet_rooms: bool,
    /// Milliseconds since 1970, as the log will have them.
    pub clock: i64,
}

impl Script {
    pub fn new(mut rng: Rng) -> Script {
        Script {
            has_quiet_rooms: rng.bool(),
            rng,
            sent: vec![Vec::new(); ROOMS.len()],
            ids: 0,
            clock: 1_700_000_000_000,
        }
    }

    /// Time goes on; the log takes the next events at one moment.
    pub fn wait(&mut self) {
        let ms = [0, 200, 900, 900, 2_500, 2_500, 6_000, 11_000];
        self.clock += pick(&mut self.rng, &ms);
        if chance(&mut self.rng, 0.02) {
            self.clock += pick(&mut self.rng, &[40_000, 119_000, 121_000]);
        }
    }

    /// The index of a room in which something happens next.
    pub fn room(&mut self) -> usize {
        let room = self.rng.usize(..ROOMS.len());
        let is_quiet = self.has_quiet_rooms && room % 2 == 1;
        if is_quiet && chance(&mut self.rng, 0.8) {
            0
        } else {
            room
        }
    }

    /// An event, or one that was sent before. The room has settled up to `last_seq`.
    pub fn event(&mut self, room: usize, last_seq: u64) -> Sent {
        let known = self.sent[room].len();
        if known > 0 && chance(&mut self.rng, 0.15) {
            let back = self.rng.usize(..known.min(RETRIED));
            return self.sent[room][known - 1 - back].clone();
        }
        let body = self.body(room, last_seq);
        let role = match body {
            Body::Comment(_) | Body::Enter | Body::Leave => Role::Viewer,
            _ => Role::Backend,
        };
        self.ids += 1;
        let user = self.user();
        let event = RoomEvent {
            id: EventId(self.ids.to_be_bytes()),
            room: ROOMS[room].as_str().into(),
            accepted_at: self.clock,
            recorded_at: None,
            user: Some(User {
                id: user.into(),
                name: user.into(),
                ext: Vec::new(),
            }),
            role,
            device: None,
            body,
        };
        let sent = Sent {
            id: event.id,
            value: codec::to_wire(&event).into(),
            is_gift: matches!(event.body, Body::Gift(_)),
        };
        self.sent[room].push(sent.clone());
        sent
    }

    fn user(&mut self) -> &'static str {
        pick(&mut self.rng, &USERS)
    }

    fn body(&mut self, room: usize, last_seq: u64) -> Body<'static> {
        let seq = |rng: &mut Rng| rng.u64(last_seq.saturating_sub(12)..=last_seq).max(1);
        match self.rng.u32(..100) {
            0..44 => Body::Comment(Comment {
                text: format!("comment {}", self.ids).into(),
                style: Style::default(),
                reply_to: None,
                ext: Vec::new(),
            }),
            44..51 => self.gift(),
            51..54 => self.gift_reversal(room),
            54..59 => Body::Likes(Likes {
                count: self.rng.u32(1..50),
                source: "api".into(),
            }),
            59..63 => pick_body(&mut self.rng, [Body::Enter, Body::Leave]),
            63..66 => Body::Audience(Audience {
                source: pick(&mut self.rng, &["a", "b"]).into(),
                viewers: self.rng.u32(..1_000),
            }),
            66..74 => Body::Delete(Delete {
                target: self.target(room, last_seq),
                reason: "".into(),
            }),
            74..78 => Body::Mute(Mute {
                target_user: self.user().into(),
                until_at: self.rng.bool().then_some(self.clock + 9_000),
                hide_since_at: self.rng.bool().then_some(self.clock - 20_000),
                reason: "".into(),
            }),
            78..81 => Body::Unmute(Unmute {
                target_user: self.user().into(),
                reason: "".into(),
            }),
            81..86 => Body::Rules(Rules {
                slow_ms: Some(pick(&mut self.rng, &[0, 8_000, 30_000])),
                comments_open: chance(&mut self.rng, 0.2).then(|| self.rng.bool()),
            }),
            86..88 => Body::Pin(Pin {
                target_seq: seq(&mut self.rng),
            }),
            88..90 => self.erase(last_seq),
            90..93 => Body::BroadcastStart(BroadcastStart {
                title: format!("show {}", self.ids).into(),
                recorded: false,
                zero_at: None,
                ext: Vec::new(),
            }),
            93..95 => Body::BroadcastEnd(Reason { reason: None }),
            95..98 => {
                let (stop, go_on) = (Reason { reason: None }, Reason { reason: None });
                let bodies = [Body::BroadcastInterrupt(stop), Body::BroadcastResume(go_on)];
                pick_body(&mut self.rng, bodies)
            }
            _ => Body::Reset,
        }
    }

    fn gift(&mut self) -> Body<'static> {
        Body::Gift(Gift {
            gift: "rose".into(),
            name: "Rose".into(),
            count: self.rng.u32(1..10),
            unit_value: 5,
            currency: pick(&mut self.rng, &["coin", "gem"]).into(),
            text: None,
            combo: self.rng.bool().then(|| "c".into()),
            issued_at: self.clock,
            ext: Vec::new(),
        })
    }

    fn gift_reversal(&mut self, room: usize) -> Body<'static> {
        let gift = self.sent[room].iter().rev().find(|sent| sent.is_gift);
        Body::GiftReversal(GiftReversal {
            target_id: gift.map_or(EventId([7; 16]), |gift| gift.id),
            reason: "".into(),
        })
    }

    fn target(&mut self, room: usize, last_seq: u64) -> Target {
        let known = self.sent[room].len();
        if known > 0 && self.rng.bool() {
            let back = self.rng.usize(..known.min(RETRIED));
            return Target::Id(self.sent[room][known - 1 - back].id);
        }
        Target::Seq(self.rng.u64(last_seq.saturating_sub(12)..=last_seq).max(1))
    }

    fn erase(&mut self, last_seq: u64) -> Body<'static> {
        let target_user = self.rng.bool().then(|| self.user().into());
        let target_seqs = match target_user {
            Some(_) => Vec::new(),
            None => vec![self.rng.u64(..=last_seq).max(1)],
        };
        Body::Erase(Erase {
            target_seqs,
            target_user,
        })
    }
}

fn pick_body(rng: &mut Rng, bodies: [Body<'static>; 2]) -> Body<'static> {
    let [first, second] = bodies;
    if rng.bool() { first } else { second }
}
