//! A value of every schema, with every field set and no two alike, so that swapped fields show.

use super::super::{Datum, DecodeError, from_wire, to_wire};
use crate::caller::Role;
use crate::control::SlotControl;
use crate::event::*;
use crate::fact::*;
use crate::ids::{EventId, Generation, Seq, Slot, UserHash};
use crate::position::Partition;
use crate::settled::{Seat, SettledEvent};
use crate::state::*;

/// A sample in the wire format, with what reads it and writes it again.
pub(super) struct Sample {
    /// The golden file's name.
    pub(super) name: String,
    /// The schema file's name.
    pub(super) schema: &'static str,
    pub(super) wire: Vec<u8>,
    pub(super) reread: fn(&[u8]) -> Result<Vec<u8>, DecodeError>,
}

fn sample<T>(schema: &'static str, name: &str, value: T) -> Sample
where
    T: for<'a> Datum<'a> + PartialEq + std::fmt::Debug,
{
    let wire = to_wire(&value);
    assert_eq!(from_wire::<T>(&wire).as_ref(), Ok(&value));
    Sample {
        name: name.to_owned(),
        schema,
        wire,
        reread: |bytes| from_wire::<T>(bytes).map(|value| to_wire(&value)),
    }
}

fn event_sample(name: &str, event: RoomEvent<'_>) -> Sample {
    let wire = to_wire(&event);
    assert_eq!(from_wire::<RoomEvent<'_>>(&wire).as_ref(), Ok(&event));
    Sample {
        name: format!("event-{name}"),
        schema: "room-event",
        wire,
        reread: |bytes| from_wire::<RoomEvent<'_>>(bytes).map(|event| to_wire(&event)),
    }
}

pub(super) fn all() -> Vec<Sample> {
    let mut samples: Vec<_> = events()
        .into_iter()
        .map(|(name, event)| event_sample(name, event))
        .collect();
    samples.extend(settled());
    samples.extend(state_parts());
    samples.extend(facts());
    samples.extend(controls());
    samples
}

fn settled() -> Vec<Sample> {
    let settled = events().into_iter().map(|(name, event)| {
        let value = seated(event);
        let wire = to_wire(&value);
        assert_eq!(from_wire::<SettledEvent<'_>>(&wire).as_ref(), Ok(&value));
        Sample {
            name: format!("settled-{name}"),
            schema: "settled-event",
            wire,
            reread: |bytes| from_wire::<SettledEvent<'_>>(bytes).map(|value| to_wire(&value)),
        }
    });
    // The events have golden bytes of their own: these need one without and one with every column.
    let told = [
        "settled-comment",
        "settled-gift",
        "settled-delete-id",
        "settled-enter",
    ];
    settled
        .filter(|sample| told.contains(&&*sample.name))
        .collect()
}

/// An event in a place of its own.
pub(super) fn seated(event: RoomEvent<'_>) -> SettledEvent<'_> {
    let is_gift = matches!(event.body, Body::Gift(_));
    let is_delete = matches!(event.body, Body::Delete(_));
    let seat = Seat {
        generation: Generation(3),
        seq: Seq(65_541),
        at: 1_700_000_000_789,
        logged_at: 1_700_000_000_790,
        crowd: if is_gift || is_delete { 0 } else { 412 },
        combo_total: is_gift.then_some(77),
        target_seq: is_delete.then_some(Seq(65_500)),
    };
    SettledEvent { seat, event }
}

pub(super) fn event(name: &str) -> RoomEvent<'static> {
    let mut events = events().into_iter();
    events.find(|(n, _)| *n == name).expect("a sample").1
}

fn id(byte: u8) -> EventId {
    EventId(std::array::from_fn(|i| byte + i as u8))
}

fn ext() -> Ext<'static> {
    vec![
        ("badge".into(), "7".into()),
        ("头像".into(), "a.png".into()),
    ]
}

fn enveloped(body: Body<'static>) -> RoomEvent<'static> {
    RoomEvent {
        id: id(1),
        room: "stage-1".into(),
        accepted_at: 1_700_000_000_123,
        recorded_at: Some(1_600_000_000_456),
        user: Some(User {
            id: "ann".into(),
            name: "Ann 安".into(),
            ext: ext(),
        }),
        role: Role::Viewer,
        device: Some(Device {
            id: "d-1".into(),
            kind: "ios".into(),
            version: "4.2".into(),
        }),
        body,
    }
}

fn bare(role: Role, body: Body<'static>) -> RoomEvent<'static> {
    RoomEvent {
        recorded_at: None,
        user: None,
        role,
        device: None,
        ..enveloped(body)
    }
}

pub(super) fn events() -> Vec<(&'static str, RoomEvent<'static>)> {
    let mut events = viewer_events();
    events.extend(broadcast_events());
    events.extend(moderation_events());
    events.extend(operator_events());
    events
}

fn viewer_events() -> Vec<(&'static str, RoomEvent<'static>)> {
    let comment = Comment {
        text: "前方高能 🎉".into(),
        style: Style {
            mode: Mode::Bottom,
            color: 0xff_8800,
            size: Size::Small,
        },
        reply_to: Some(id(50)),
        ext: ext(),
    };
    let plain = Comment {
        text: "hi".into(),
        style: Style::default(),
        reply_to: None,
        ext: Vec::new(),
    };
    let gift = Gift {
        gift: "rocket".into(),
        name: "Rocket".into(),
        count: 3,
        unit_value: 500,
        currency: "coin".into(),
        text: Some("go".into()),
        combo: Some("c9".into()),
        issued_at: 1_700_000_000_001,
        ext: ext(),
    };
    let reversal = GiftReversal {
        target_id: id(60),
        reason: "charged back".into(),
    };
    let likes = Likes {
        count: 40,
        source: "agg-2".into(),
    };
    let audience = Audience {
        source: "gw-1".into(),
        viewers: 120,
    };
    vec![
        ("comment", enveloped(Body::Comment(comment))),
        ("comment-plain", bare(Role::Viewer, Body::Comment(plain))),
        ("gift", enveloped(Body::Gift(gift))),
        (
            "gift_reversal",
            bare(Role::Backend, Body::GiftReversal(reversal)),
        ),
        ("likes", bare(Role::Backend, Body::Likes(likes))),
        ("enter", enveloped(Body::Enter)),
        ("leave", enveloped(Body::Leave)),
        ("audience", bare(Role::Backend, Body::Audience(audience))),
    ]
}

fn broadcast_events() -> Vec<(&'static str, RoomEvent<'static>)> {
    let reason = |reason: Option<&'static str>| Reason {
        reason: reason.map(Into::into),
    };
    let start = BroadcastStart {
        title: "Opening night".into(),
        recorded: true,
        zero_at: Some(1_600_000_000_000),
        ext: ext(),
    };
    let end = Body::BroadcastEnd(reason(Some("done")));
    let interrupt = Body::BroadcastInterrupt(reason(Some("network")));
    let resume = Body::BroadcastResume(reason(None));
    vec![
        (
            "broadcast_start",
            bare(Role::Host, Body::BroadcastStart(start)),
        ),
        ("broadcast_end", bare(Role::Host, end)),
        ("broadcast_interrupt", bare(Role::Host, interrupt)),
        ("broadcast_resume", bare(Role::Host, resume)),
    ]
}

fn moderation_events() -> Vec<(&'static str, RoomEvent<'static>)> {
    let delete = |target| {
        Body::Delete(Delete {
            target,
            reason: "spam".into(),
        })
    };
    let mute = Mute {
        target_user: "bob".into(),
        until_at: Some(1_700_000_060_000),
        hide_since_at: Some(1_699_999_000_000),
        reason: "rude".into(),
    };
    let unmute = Unmute {
        target_user: "bob".into(),
        reason: "sorry".into(),
    };
    let rules = |slow_ms, comments_open| {
        Body::Rules(Rules {
            slow_ms,
            comments_open,
        })
    };
    vec![
        ("delete", bare(Role::Moderator, delete(Target::Seq(17)))),
        (
            "delete-id",
            bare(Role::Moderator, delete(Target::Id(id(80)))),
        ),
        ("mute", bare(Role::Moderator, Body::Mute(mute))),
        ("unmute", bare(Role::Moderator, Body::Unmute(unmute))),
        (
            "rules",
            bare(Role::Moderator, rules(Some(5_000), Some(false))),
        ),
        ("rules-open", bare(Role::Host, rules(None, Some(true)))),
        ("pin", bare(Role::Host, Body::Pin(Pin { target_seq: 8 }))),
        (
            "unpin",
            bare(Role::Host, Body::Unpin(Pin { target_seq: 9 })),
        ),
    ]
}

fn operator_events() -> Vec<(&'static str, RoomEvent<'static>)> {
    let custom = Custom {
        name: "quiz".into(),
        ext: ext(),
    };
    let seqs = Erase {
        target_seqs: vec![3, 70, 9_000],
        target_user: None,
    };
    let user = Erase {
        target_seqs: Vec::new(),
        target_user: Some("bob".into()),
    };
    let adopt = Body::AdoptRules(AdoptRules { version: 2 });
    vec![
        ("custom", bare(Role::Host, Body::Custom(custom))),
        ("erase", bare(Role::Backend, Body::Erase(seqs))),
        ("erase-user", bare(Role::Backend, Body::Erase(user))),
        ("reset", bare(Role::Backend, Body::Reset)),
        ("adopt_rules", bare(Role::Operator, adopt)),
    ]
}

fn totals(from: u64) -> Totals {
    Totals {
        comments: from,
        gifts: from + 1,
        likes: from + 2,
        gift_value: vec![from as i64 + 3, -5],
    }
}

fn core() -> StateCore {
    StateCore {
        generation: Generation(2),
        rules_version: 1,
        last_seq: Seq(1_234),
        clock: 1_700_000_000_500,
        at: 1_700_000_000_400,
        broadcast: Some(OpenBroadcast {
            first_seq: Seq(1_000),
            starter: UserHash::of("host-1"),
            started_at: 1_700_000_000_000,
            zero_at: 1_699_999_999_000,
            recorded: true,
            interrupted_at: Some(1_700_000_000_300),
            before: totals(10),
            segment: -1,
            heat_bucket: 4,
        }),
        opened_once: true,
        totals: totals(100),
        crowd: CrowdSecond {
            second: 1_700_000_000,
            count: 6,
            previous: 7,
        },
        slow_ms: 3_000,
        comments_open: true,
        pinned: Some(Seq(1_200)),
        duplicates: 11,
        refused: (20..29).collect(),
    }
}

fn info() -> BroadcastInfo {
    BroadcastInfo {
        title: "Opening night".to_owned(),
        ext: vec![("cover".to_owned(), "c.png".to_owned())],
    }
}

fn currencies() -> Currencies {
    Currencies {
        names: vec!["coin".to_owned(), "gem".to_owned()],
    }
}

fn combos() -> OpenCombos {
    let combo = OpenCombo {
        user: "ann".to_owned(),
        gift: "rocket".to_owned(),
        combo: "c9".to_owned(),
        count: 3,
        value: 1_500,
        currency: 1,
        first_seq: Seq(1_100),
        extended_at: 1_700_000_000_200,
    };
    OpenCombos {
        combos: vec![combo],
    }
}

fn givers() -> TopGivers {
    let giver = Giver {
        user: "ann".to_owned(),
        name: "Ann".to_owned(),
        named_by: Seq(1_040),
        value: 1_500,
        error: 20,
    };
    TopGivers {
        by_currency: vec![Vec::new(), vec![giver]],
    }
}

fn roster() -> Roster {
    let entrant = Entrant {
        user: "cy".to_owned(),
        name: "Cy".to_owned(),
        entered_at: 1_700_000_000_100,
    };
    Roster {
        entrants: vec![entrant],
    }
}

fn sources() -> ViewerSources {
    let source = ViewerSource {
        source: "gw-1".to_owned(),
        viewers: 120,
        counted_at: 1_700_000_000_150,
    };
    ViewerSources {
        sources: vec![source],
    }
}

fn state_parts() -> Vec<Sample> {
    let muted = |user: &str, until_at| MutedUser {
        user: user.to_owned(),
        until_at,
    };
    let muted = MutedUsers {
        users: vec![muted("bob", Some(1_700_000_060_000)), muted("eve", None)],
    };
    let event_memory = EventMemoryBlock {
        generation: Generation(2),
        epoch: 1,
        first_seq: Seq(1_233),
        entries: vec![EventMemory {
            offset: 5_000,
            id: id(1),
            clock: 1_700_000_000_500,
            user: UserHash::of("ann"),
        }],
    };
    let gift_memory = GiftMemoryBlock {
        epoch: 1,
        entries: vec![GiftMemory {
            offset: 4_900,
            id: id(30),
            clock: 1_700_000_000_200,
            generation: Generation(2),
            seq: Seq(1_100),
            value: 1_500,
            currency: 3,
            user: UserHash(u64::MAX - 1),
            reversed: true,
        }],
    };
    vec![
        sample("state-core", "state-core", core()),
        sample("broadcast-info", "broadcast-info", info()),
        sample("currencies", "currencies", currencies()),
        sample("muted-users", "muted-users", muted),
        sample("open-combos", "open-combos", combos()),
        sample("top-givers", "top-givers", givers()),
        sample("roster", "roster", roster()),
        sample("viewer-sources", "viewer-sources", sources()),
        sample("event-memory", "event-memory", event_memory),
        sample("gift-memory", "gift-memory", gift_memory),
    ]
}

fn facts() -> Vec<Sample> {
    let started = BroadcastStarted {
        info: info(),
        started_at: 1_700_000_000_000,
        zero_at: 1_699_999_999_000,
        recorded: true,
    };
    let ended = BroadcastEnded {
        ended_at: 1_700_000_090_000,
        last_seq: Seq(2_000),
        totals: totals(100),
        currencies: currencies(),
    };
    let interruption = Interruption {
        show_ms: 31_000,
        resumed: true,
    };
    let segment = SegmentOpened {
        first_seq: Seq(1_235),
        snapshot: Snapshot {
            core: core(),
            broadcast: info(),
            currencies: currencies(),
            combos: combos(),
            givers: givers(),
            roster: roster(),
            sources: sources(),
        },
    };
    let heat = HeatMark {
        first_seq: Seq(1_235),
        comments: 40,
        likes: 50,
        gifts: 60,
    };
    let mut facts = vec![
        sample("broadcast-started", "broadcast-started", started),
        sample("broadcast-ended", "broadcast-ended", ended),
        sample("interruption", "interruption", interruption),
        sample("segment-opened", "segment-opened", segment),
        sample("heat-mark", "heat-mark", heat),
    ];
    facts.extend(moderations());
    facts
}

fn controls() -> [Sample; 2] {
    let slot = Slot::new(700).expect("a slot");
    let open = SlotControl::Open { slot, epoch: 4 };
    let close = SlotControl::Close {
        slot,
        epoch: 3,
        target: Partition(9),
        open_offset: 123_456,
    };
    let control =
        |name: &str, value| sample("slot-control", &format!("slot-control-{name}"), value);
    [control("open", open), control("close", close)]
}

fn moderations() -> [Sample; 4] {
    let bob = || "bob".to_owned();
    let hidden = Moderation::Hidden {
        user: bob(),
        since_at: 1_699_999_000_000,
    };
    let moderation = |name: &str, value| sample("moderation", &format!("moderation-{name}"), value);
    [
        moderation("deleted", Moderation::Deleted { target: Seq(17) }),
        moderation("hidden", hidden),
        moderation("erased", Moderation::Erased { target: Seq(3) }),
        moderation("user-erased", Moderation::UserErased { user: bob() }),
    ]
}
