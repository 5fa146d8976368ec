//! A room's state as it is stored: everything that a verdict depends on.
//!
//! Three parts, by how often they are written. The *core* is small (at most [`CORE_BYTES_MAX`]) and
//! stored with every append; *fields* are stored when they changed; *memory* is stored as blocks that
//! are only ever appended. Settle, in `danmu-processors`, is the only one that changes a state; here
//! are its shape and its limits.

use crate::ids::{EventId, Generation, Seq, UserHash};

/// The newest version of settle's rules that this build knows. Adopting a later one would halt a
/// partition, so none is admitted.
pub const RULES_VERSION_LATEST: u32 = 1;
/// The most bytes of an encoded core.
pub const CORE_BYTES_MAX: usize = 512;
/// How long a visible event's id is remembered by the log clock.
pub const EVENT_MEMORY_MS: i64 = 2 * 60 * 1_000;
/// The most visible events that a room remembers; the oldest leave.
pub const EVENT_MEMORY_LEN_MAX: usize = 1_048_576;
/// How long a gift's id is remembered by the log clock.
pub const GIFT_MEMORY_MS: i64 = 24 * 60 * 60 * 1_000;
/// The most gifts and reversals that a room remembers; beyond, gifts are refused.
pub const GIFT_MEMORY_LEN_MAX: usize = 1_048_576;
/// The most currencies of a room.
pub const CURRENCIES_MAX: usize = 8;
/// The most muted users; the mute that ends first leaves.
pub const MUTED_LEN_MAX: usize = 4_096;
/// The most open combos; the one extended longest ago closes.
pub const COMBOS_LEN_MAX: usize = 256;
/// The most givers kept for one currency.
pub const GIVERS_LEN_MAX: usize = 32;
/// The most recent entrants kept.
pub const ROSTER_LEN_MAX: usize = 100;
/// The most sources of viewer counts; the one heard of longest ago leaves.
pub const SOURCES_LEN_MAX: usize = 256;
/// A source of viewer counts expires this long after its last count, by the log clock.
pub const SOURCE_EXPIRES_MS: i64 = 150 * 1_000;
/// The longest time between two gifts of one combo.
pub const COMBO_WINDOW_MS: i64 = 10 * 1_000;

/// The part of a state that every append stores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateCore {
    /// The room's numbering.
    pub generation: Generation,
    /// The version of settle's rules in force.
    pub rules_version: u32,
    /// The seq of the last visible event; 0 before the first.
    pub last_seq: Seq,
    /// The room's log clock: log time, made non-decreasing. Milliseconds since 1970 UTC.
    pub clock: i64,
    /// Event time of the last visible event.
    pub at: i64,
    /// The broadcast that is open.
    pub broadcast: Option<OpenBroadcast>,
    /// Whether a broadcast ever opened in this generation: the first opens by itself.
    pub opened_once: bool,
    /// Since the generation began.
    pub totals: Totals,
    /// What `crowd` is counted from.
    pub crowd: CrowdSecond,
    /// The least time between two comments of a viewer; 0 where there is no slow mode.
    pub slow_ms: u32,
    /// Whether viewers may comment.
    pub comments_open: bool,
    /// The pinned comment.
    pub pinned: Option<Seq>,
    /// Repeats of visible events.
    pub duplicates: u64,
    /// Refused events, in the order of [`crate::Refusal::ALL`].
    pub refused: Vec<u64>,
}

/// A show that goes on. Its totals are the room's now less `before`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenBroadcast {
    /// Its first event: with the generation, the broadcast's name.
    pub first_seq: Seq,
    /// Who did it: with this user's erasure the texts go.
    pub starter: UserHash,
    /// Event time of its first event.
    pub started_at: i64,
    /// Where its show time is zero.
    pub zero_at: i64,
    /// Whether an old show is being brought in.
    pub recorded: bool,
    /// Since when it is interrupted, as event time.
    pub interrupted_at: Option<i64>,
    /// The room's totals just before its first event.
    pub before: Totals,
    /// The latest segment that opened, if one did: `⌊show_ms / 30,000⌋`.
    pub segment: i64,
    /// The latest heat bucket that opened: `⌊show_ms / 10,000⌋`.
    pub heat_bucket: i64,
}

/// Sums over visible events. Deletions subtract nothing; reversals subtract value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// Comments.
    pub comments: u64,
    /// Gifts, each counted as often as it was given at once.
    pub gifts: u64,
    /// Likes.
    pub likes: u64,
    /// Value by currency, in the order of [`Currencies`]; a missing tail is zero.
    pub gift_value: Vec<i64>,
}

impl Totals {
    /// What was added since they were `before`.
    pub fn since(&self, before: &Self) -> Self {
        let earlier = before.gift_value.iter().chain(std::iter::repeat(&0));
        let values = self.gift_value.iter().zip(earlier);
        Self {
            comments: self.comments - before.comments,
            gifts: self.gifts - before.gifts,
            likes: self.likes - before.likes,
            gift_value: values.map(|(now, before)| now - before).collect(),
        }
    }
}

/// Visible comments by the second of their event time, anew with each broadcast.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CrowdSecond {
    /// The second of the last comment, `⌊at / 1,000⌋`.
    pub second: i64,
    /// Comments in it so far.
    pub count: u32,
    /// Comments in the second before it.
    pub previous: u32,
}

/// The parts of a state that are stored when they changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StateFields {
    /// The open broadcast's texts.
    pub broadcast: BroadcastInfo,
    /// The names of the currencies.
    pub currencies: Currencies,
    /// Who may not comment.
    pub muted: MutedUsers,
    /// Gift combos that may still be extended.
    pub combos: OpenCombos,
    /// Who gave most.
    pub givers: TopGivers,
    /// Who came last.
    pub roster: Roster,
    /// Viewers, by who counts them.
    pub sources: ViewerSources,
}

/// Which field: the order is that of storage and never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(
    missing_docs,
    reason = "each is the field of its name in `StateFields`"
)]
pub enum Field {
    Broadcast,
    Currencies,
    Muted,
    Combos,
    Givers,
    Roster,
    Sources,
}

impl Field {
    /// How many fields there are.
    pub const COUNT: usize = 7;

    /// Every field, in the order of storage.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Broadcast,
        Self::Currencies,
        Self::Muted,
        Self::Combos,
        Self::Givers,
        Self::Roster,
        Self::Sources,
    ];

    /// The field's place in [`Field::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }
}

/// The open broadcast's texts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BroadcastInfo {
    /// Its title; empty where it opened by itself.
    pub title: String,
    /// Passed through.
    pub ext: Vec<(String, String)>,
}

/// The names of a room's currencies, in the order in which they were met; at most
/// [`CURRENCIES_MAX`], none leaves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Currencies {
    /// The names.
    pub names: Vec<String>,
}

/// Users who may not comment, in the order of their ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MutedUsers {
    /// One a user.
    pub users: Vec<MutedUser>,
}

/// A user who may not comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MutedUser {
    /// Who.
    pub user: String,
    /// Until when, by the log clock; for ever where absent.
    pub until_at: Option<i64>,
}

/// Gift combos that may still be extended, the one extended longest ago first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenCombos {
    /// One a (user, gift, combo).
    pub combos: Vec<OpenCombo>,
}

/// A gift combo that may still be extended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenCombo {
    /// Who gives.
    pub user: String,
    /// What.
    pub gift: String,
    /// The combo's name.
    pub combo: String,
    /// Gifts so far, each counted as often as it was given at once.
    pub count: u64,
    /// Value so far.
    pub value: i64,
    /// Index of the currency of the first gift.
    pub currency: u32,
    /// The first gift's seq.
    pub first_seq: Seq,
    /// The log clock at the last gift.
    pub extended_at: i64,
}

/// Who gave most, by currency, in the order of [`Currencies`]: a Space-Saving sketch each
/// (Metwally, Agrawal, El Abbadi: *Efficient computation of frequent and top-k elements*, 2005).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TopGivers {
    /// At most [`GIVERS_LEN_MAX`] a currency, in the order of (value descending, user).
    pub by_currency: Vec<Vec<Giver>>,
}

/// A giver in a top list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Giver {
    /// Who.
    pub user: String,
    /// The name that came with the last gift.
    pub name: String,
    /// That gift's seq: with its erasure the name goes.
    pub named_by: Seq,
    /// What they gave; too high by at most `error`.
    pub value: i64,
    /// How much `value` may be too high.
    pub error: i64,
}

/// The most recent entrants, the latest last; who leaves is removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roster {
    /// At most [`ROSTER_LEN_MAX`], one a user.
    pub entrants: Vec<Entrant>,
}

/// A user who came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entrant {
    /// Who.
    pub user: String,
    /// Their name.
    pub name: String,
    /// When, by the log clock.
    pub entered_at: i64,
}

/// Viewers, by who counts them, in the order of the sources' names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ViewerSources {
    /// One a source.
    pub sources: Vec<ViewerSource>,
}

/// What one gateway or API process counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewerSource {
    /// Who counts.
    pub source: String,
    /// How many.
    pub viewers: u32,
    /// The log clock at the count.
    pub counted_at: i64,
}

impl ViewerSources {
    /// Everybody who watches, by the counts that have not expired at `clock`.
    pub fn viewers(&self, clock: i64) -> u64 {
        let live = |source: &&ViewerSource| clock - source.counted_at < SOURCE_EXPIRES_MS;
        self.sources
            .iter()
            .filter(live)
            .map(|source| u64::from(source.viewers))
            .sum()
    }
}

/// A block of the memory of visible events: those of one append, or of one checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventMemoryBlock {
    /// The numbering of its seqs: blocks of an earlier one are forgotten.
    pub generation: Generation,
    /// The epoch of its offsets.
    pub epoch: u32,
    /// The seq of the first entry; the others follow without a hole.
    pub first_seq: Seq,
    /// At least one.
    pub entries: Vec<EventMemory>,
}

/// A visible event that is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventMemory {
    /// Its record's offset.
    pub offset: i64,
    /// Its id.
    pub id: EventId,
    /// The log clock at the record.
    pub clock: i64,
    /// The author of a comment; [`UserHash::NOBODY`] for every other kind.
    pub user: UserHash,
}

/// A block of the memory of gifts: those of one append, or of one checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GiftMemoryBlock {
    /// The epoch of its offsets.
    pub epoch: u32,
    /// At least one, in the order of their offsets.
    pub entries: Vec<GiftMemory>,
}

/// A gift that is remembered, or that a remembered gift was taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GiftMemory {
    /// Its record's offset.
    pub offset: i64,
    /// The gift's id.
    pub id: EventId,
    /// The log clock at the record.
    pub clock: i64,
    /// The generation in which the gift has its seq.
    pub generation: Generation,
    /// The gift's seq.
    pub seq: Seq,
    /// What it was worth.
    pub value: i64,
    /// In which currency.
    pub currency: u32,
    /// Who gave it.
    pub user: UserHash,
    /// Whether this entry says that the gift was taken back.
    pub reversed: bool,
}
