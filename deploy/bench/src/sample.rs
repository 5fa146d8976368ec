//! Comments as a lively room's log holds them, and the same as serde reads them.

use std::collections::BTreeMap;

use bytes::Bytes;
use danmu_schemas::codec::to_wire;
use danmu_schemas::event::{Comment, Style, User};
use danmu_schemas::{Body, EventId, Role, RoomEvent};
use serde::Deserialize;
use serde::de::IgnoredAny;

const TEXTS: [&str; 6] = [
    "前方高能, hold on to your seats",
    "hahahahahaha",
    "greetings from Lisbon, first time here",
    "233333333",
    "that solo!!! again please",
    "主播好可爱啊",
];

/// How many people comment.
const USERS: u32 = 20_000;

/// One comment from a generator's next numbers.
pub fn comment(random: &mut fastrand::Rng, room: &str, accepted_at: i64) -> RoomEvent<'static> {
    let user = random.u32(..USERS);
    RoomEvent {
        id: EventId(random.u128(..).to_be_bytes()),
        room: room.to_owned().into(),
        accepted_at,
        recorded_at: None,
        user: Some(User {
            id: format!("user-{user}").into(),
            name: format!("Ann 安 {}", user % 100).into(),
            ext: Vec::new(),
        }),
        role: Role::Viewer,
        device: None,
        body: Body::Comment(Comment {
            text: TEXTS[random.usize(..TEXTS.len())].into(),
            style: Style::default(),
            reply_to: None,
            ext: Vec::new(),
        }),
    }
}

/// A log record.
pub struct Record {
    /// The room.
    #[cfg_attr(
        not(feature = "cluster"),
        expect(dead_code, reason = "Kafka wants keys")
    )]
    pub room: String,
    /// When the log took it, milliseconds since 1970 UTC.
    pub logged_at: i64,
    /// The event in the wire format, a slice of a buffer that its neighbours share.
    pub value: Bytes,
}

/// `count` comments by turns in `rooms` rooms, `per_second` of them in a second of log time.
pub fn log(count: usize, rooms: usize, per_second: i64) -> Vec<Record> {
    let mut random = fastrand::Rng::with_seed(7);
    let mut buffer = Vec::new();
    let mut ends = Vec::with_capacity(count);
    for n in 0..count {
        let logged_at = 1_700_000_000_000 + n as i64 * 1_000 / per_second;
        let room = format!("stage-{}", random.usize(..rooms));
        buffer.extend(to_wire(&comment(&mut random, &room, logged_at)));
        ends.push((room, logged_at, buffer.len()));
    }
    let buffer = Bytes::from(buffer);
    let mut start = 0;
    let record = |(room, logged_at, end)| {
        let value = buffer.slice(start..end);
        start = end;
        Record {
            room,
            logged_at,
            value,
        }
    };
    ends.into_iter().map(record).collect()
}

/// `RoomEvent` as serde sees it; of the kinds, a comment alone is read.
#[derive(Deserialize)]
#[serde(rename = "RoomEvent")]
#[expect(dead_code, reason = "read to be timed")]
pub struct SerdeEvent {
    #[serde(with = "apache_avro::serde::fixed")]
    id: [u8; 16],
    room: String,
    kind: String,
    accepted_at: i64,
    recorded_at: Option<i64>,
    user: Option<SerdeUser>,
    role: String,
    device: Option<IgnoredAny>,
    comment: Option<SerdeComment>,
}

#[derive(Deserialize)]
#[serde(rename = "User")]
#[expect(dead_code, reason = "read to be timed")]
struct SerdeUser {
    id: String,
    name: String,
    ext: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename = "Comment")]
#[expect(dead_code, reason = "read to be timed")]
struct SerdeComment {
    text: String,
    style: SerdeStyle,
    reply_to: Option<IgnoredAny>,
    ext: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename = "Style")]
#[expect(dead_code, reason = "read to be timed")]
struct SerdeStyle {
    mode: String,
    color: i64,
    size: String,
}
