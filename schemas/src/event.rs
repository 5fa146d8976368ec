//! `RoomEvent`: an immutable fact in a room, as it stands in the log.
//!
//! Owns the kinds and their fields, in the order of `avro/room-event.avsc`. Strings borrow from the
//! bytes that they were decoded from, so that reading the log allocates nothing for a plain comment;
//! `into_owned` where an event must outlive them. What is *allowed* (lengths, characters, who may
//! send) is admission's, in `danmu-ingest`: an event that is already in the log is a fact.

mod blank;
mod owned;

use std::borrow::Cow;

use crate::caller::Role;
use crate::ids::EventId;

/// Text that borrows from where it was decoded, or owns itself.
pub type Text<'a> = Cow<'a, str>;

/// String to string, in key order: at most 16 keys and 1 KiB in all. Never read by settle.
pub type Ext<'a> = Vec<(Text<'a>, Text<'a>)>;

/// An event of a room, of whatever kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomEvent<'a> {
    /// The event's identity; a repeat of it within the room's memory is a duplicate.
    pub id: EventId,
    /// The room's name, of the form that [`crate::RoomId`] checks.
    pub room: Text<'a>,
    /// When ingest took it, milliseconds since 1970 UTC. Told, never decided by.
    pub accepted_at: i64,
    /// Its own time, in a recorded broadcast.
    pub recorded_at: Option<i64>,
    /// The author; absent where a recording does not say.
    pub user: Option<User<'a>>,
    /// The role that the author acted in.
    pub role: Role,
    /// The device that it was sent from. Never in a public answer.
    pub device: Option<Device<'a>>,
    /// What happened.
    pub body: Body<'a>,
}

/// The author of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User<'a> {
    /// 1–64 bytes.
    pub id: Text<'a>,
    /// Up to 64 characters; may be empty.
    pub name: Text<'a>,
    /// Passed through: avatar, badges.
    pub ext: Ext<'a>,
}

/// The device that an event was sent from: each field up to 64 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device<'a> {
    /// The device's own id.
    pub id: Text<'a>,
    /// `ios`, `web`…
    pub kind: Text<'a>,
    /// The client's version.
    pub version: Text<'a>,
}

/// What happened: the event's kind, with its fields.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "each variant is the kind of its name in the contract"
)]
pub enum Body<'a> {
    Comment(Comment<'a>),
    Gift(Gift<'a>),
    GiftReversal(GiftReversal<'a>),
    Likes(Likes<'a>),
    Enter,
    Leave,
    Audience(Audience<'a>),
    BroadcastStart(BroadcastStart<'a>),
    BroadcastEnd(Reason<'a>),
    BroadcastInterrupt(Reason<'a>),
    BroadcastResume(Reason<'a>),
    Delete(Delete<'a>),
    Mute(Mute<'a>),
    Unmute(Unmute<'a>),
    Rules(Rules),
    Pin(Pin),
    Unpin(Pin),
    Custom(Custom<'a>),
    Erase(Erase<'a>),
    Reset,
    AdoptRules(AdoptRules),
}

impl Body<'_> {
    /// Every kind's name on every wire.
    pub const KINDS: [&'static str; 21] = [
        "comment",
        "gift",
        "gift_reversal",
        "likes",
        "enter",
        "leave",
        "audience",
        "broadcast_start",
        "broadcast_end",
        "broadcast_interrupt",
        "broadcast_resume",
        "delete",
        "mute",
        "unmute",
        "rules",
        "pin",
        "unpin",
        "custom",
        "erase",
        "reset",
        "adopt_rules",
    ];

    /// The kind's name on every wire.
    pub fn kind(&self) -> &'static str {
        Self::KINDS[self.kind_index()]
    }

    /// The kind's place in [`Self::KINDS`].
    pub fn kind_index(&self) -> usize {
        match self {
            Self::Comment(_) => 0,
            Self::Gift(_) => 1,
            Self::GiftReversal(_) => 2,
            Self::Likes(_) => 3,
            Self::Enter => 4,
            Self::Leave => 5,
            Self::Audience(_) => 6,
            Self::BroadcastStart(_) => 7,
            Self::BroadcastEnd(_) => 8,
            Self::BroadcastInterrupt(_) => 9,
            Self::BroadcastResume(_) => 10,
            Self::Delete(_) => 11,
            Self::Mute(_) => 12,
            Self::Unmute(_) => 13,
            Self::Rules(_) => 14,
            Self::Pin(_) => 15,
            Self::Unpin(_) => 16,
            Self::Custom(_) => 17,
            Self::Erase(_) => 18,
            Self::Reset => 19,
            Self::AdoptRules(_) => 20,
        }
    }
}

/// Where on the stage a comment flies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the contract's")]
pub enum Mode {
    #[default]
    Scroll,
    Top,
    Bottom,
    Reverse,
}

impl Mode {
    /// Every mode.
    pub const ALL: [Self; 4] = [Self::Scroll, Self::Top, Self::Bottom, Self::Reverse];

    /// The mode's name on every wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scroll => "scroll",
            Self::Top => "top",
            Self::Bottom => "bottom",
            Self::Reverse => "reverse",
        }
    }

    /// The mode of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == name)
    }
}

/// How large a comment is drawn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the contract's")]
pub enum Size {
    Small,
    #[default]
    Normal,
    Big,
}

impl Size {
    /// Every size.
    pub const ALL: [Self; 3] = [Self::Small, Self::Normal, Self::Big];

    /// The size's name on every wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Normal => "normal",
            Self::Big => "big",
        }
    }

    /// The size of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|size| size.as_str() == name)
    }
}

/// How a comment is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Where it flies.
    pub mode: Mode,
    /// 0–0xFFFFFF.
    pub color: u32,
    /// How large it is.
    pub size: Size,
}

impl Default for Style {
    /// White, of normal size, scrolling: what a comment without a style has.
    fn default() -> Self {
        Self {
            mode: Mode::Scroll,
            color: 0xff_ffff,
            size: Size::Normal,
        }
    }
}

/// A bullet comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comment<'a> {
    /// 1–1,024 characters in NFC.
    pub text: Text<'a>,
    /// How it is drawn.
    pub style: Style,
    /// The event that it answers.
    pub reply_to: Option<EventId>,
    /// Passed through.
    pub ext: Ext<'a>,
}

/// A paid gift.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gift<'a> {
    /// The gift's own id in the backend's catalogue.
    pub gift: Text<'a>,
    /// Its name.
    pub name: Text<'a>,
    /// 1–9,999.
    pub count: u32,
    /// 0–10,000,000, of one of them.
    pub unit_value: u32,
    /// What the value is counted in.
    pub currency: Text<'a>,
    /// What the giver says with it.
    pub text: Option<Text<'a>>,
    /// Gifts of one user, kind and combo with at most 10 s between them are one combo.
    pub combo: Option<Text<'a>>,
    /// When it was paid: a late retry cannot pay twice.
    pub issued_at: i64,
    /// Passed through.
    pub ext: Ext<'a>,
}

impl Gift<'_> {
    /// What the gift is worth in its currency.
    pub fn value(&self) -> i64 {
        i64::from(self.count) * i64::from(self.unit_value)
    }
}

/// A gift taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GiftReversal<'a> {
    /// The gift's event id.
    pub target_id: EventId,
    /// Why. Never in a public answer.
    pub reason: Text<'a>,
}

/// Likes of many viewers, summed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Likes<'a> {
    /// How many.
    pub count: u32,
    /// The aggregator's id.
    pub source: Text<'a>,
}

/// How many watch through one gateway or API process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audience<'a> {
    /// Who counts.
    pub source: Text<'a>,
    /// How many it counts.
    pub viewers: u32,
}

/// A show begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BroadcastStart<'a> {
    /// Up to 200 characters.
    pub title: Text<'a>,
    /// Whether an old show is brought in, at its own times.
    pub recorded: bool,
    /// Where the show's time is zero; the start's own time where absent.
    pub zero_at: Option<i64>,
    /// Passed through.
    pub ext: Ext<'a>,
}

/// Why a broadcast ended, was interrupted or goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason<'a> {
    /// Up to 200 characters. Never in a public answer.
    pub reason: Option<Text<'a>>,
}

/// What a moderation act points at: exactly one, as the sender named it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// A seq of the room's generation.
    Seq(u64),
    /// An event's id, while the room remembers it.
    Id(EventId),
}

/// A comment is deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delete<'a> {
    /// Which.
    pub target: Target,
    /// Why. Never in a public answer.
    pub reason: Text<'a>,
}

/// A user may not comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mute<'a> {
    /// Who.
    pub target_user: Text<'a>,
    /// Until when; for ever where absent.
    pub until_at: Option<i64>,
    /// Hides what the user said since.
    pub hide_since_at: Option<i64>,
    /// Why. Never in a public answer.
    pub reason: Text<'a>,
}

/// A user may comment again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmute<'a> {
    /// Who.
    pub target_user: Text<'a>,
    /// Why. Never in a public answer.
    pub reason: Text<'a>,
}

/// The room's rules change; what is absent stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// The least time between two comments of one user, at most 120,000; 0 ends slow mode.
    pub slow_ms: Option<u32>,
    /// Whether viewers may comment.
    pub comments_open: Option<bool>,
}

/// A comment is pinned or unpinned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pin {
    /// Which.
    pub target_seq: u64,
}

/// An event of the host's own kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Custom<'a> {
    /// 1–64 bytes.
    pub name: Text<'a>,
    /// Passed through.
    pub ext: Ext<'a>,
}

/// Content is blanked wherever it is stored: of these seqs, or all of this user's. Exactly one is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erase<'a> {
    /// Which seqs of the room's generation; empty where a user is named.
    pub target_seqs: Vec<u64>,
    /// Whose content.
    pub target_user: Option<Text<'a>>,
}

/// The room settles by another version of the rules from here on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdoptRules {
    /// The version.
    pub version: u32,
}
