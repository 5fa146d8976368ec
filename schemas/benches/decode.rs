//! Decoding one comment: our codec, which borrows, against apache-avro's `read_deser` with the schema
//! prepared, which is what one would write without it.

#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::collections::BTreeMap;
use std::hint::black_box;

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use criterion::{Criterion, criterion_group, criterion_main};
use danmu_schemas::codec::{decode_datum, to_wire};
use danmu_schemas::event::{Comment, Style, User};
use danmu_schemas::{Body, EventId, Role, RoomEvent};
use serde::Deserialize;
use serde::de::IgnoredAny;

/// `RoomEvent` as serde sees it; of the kinds, a comment alone is read.
#[derive(Deserialize)]
#[serde(rename = "RoomEvent")]
#[expect(dead_code, reason = "read to be timed")]
struct SerdeEvent {
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

fn comment() -> RoomEvent<'static> {
    RoomEvent {
        id: EventId([7; 16]),
        room: "stage-1".into(),
        accepted_at: 1_700_000_000_123,
        recorded_at: None,
        user: Some(User {
            id: "user-48213".into(),
            name: "Ann 安".into(),
            ext: Vec::new(),
        }),
        role: Role::Viewer,
        device: None,
        body: Body::Comment(Comment {
            text: "前方高能, hold on to your seats".into(),
            style: Style::default(),
            reply_to: None,
            ext: Vec::new(),
        }),
    }
}

fn decode(criterion: &mut Criterion) {
    let wire = to_wire(&comment());
    let datum = &wire[5..];
    let schema = Schema::parse_str(include_str!("../avro/room-event.avsc")).expect("the schema");
    let reader = GenericDatumReader::builder(&schema)
        .build()
        .expect("a reader");

    let mut group = criterion.benchmark_group("decode_comment");
    group.bench_function("borrowed", |b| {
        b.iter(|| decode_datum(black_box(datum)).expect("a comment"));
    });
    group.bench_function("owned", |b| {
        b.iter(|| {
            let event = decode_datum(black_box(datum)).expect("a comment");
            event.into_owned()
        });
    });
    group.bench_function("read_deser", |b| {
        b.iter(|| {
            let mut input = black_box(datum);
            let event: SerdeEvent = reader.read_deser(&mut input).expect("a comment");
            event
        });
    });
    group.finish();
}

criterion_group!(benches, decode);
criterion_main!(benches);
