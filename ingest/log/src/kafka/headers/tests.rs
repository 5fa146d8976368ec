use bytes::Bytes;
use danmu_schemas::event::{Body, Comment, Style};
use danmu_schemas::{EventId, Role, Traceparent};

use super::*;
use crate::Lane;

fn texts(record: &NewRecord) -> Vec<(String, Vec<u8>)> {
    let headers = of(record);
    let headers = headers.iter();
    let owned = headers.map(|one| (one.key.to_owned(), one.value.unwrap_or_default().to_vec()));
    owned.collect()
}

#[test]
fn an_epoch_comes_back() {
    for sent in [0, 1, 3, u32::MAX] {
        let record = NewRecord {
            epoch: sent,
            lane: Lane::Viewers,
            key: Bytes::new(),
            value: Bytes::from_static(b"not an event"),
            traceparent: None,
        };
        assert_eq!(
            texts(&record).len(),
            1,
            "nothing is said of what is not an event"
        );
        assert_eq!(epoch(Some(&of(&record))), sent);
    }
}

#[test]
fn a_trace_goes_with_its_record() {
    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let record = NewRecord {
        epoch: 1,
        lane: Lane::Viewers,
        key: Bytes::new(),
        value: Bytes::from_static(b"not an event"),
        traceparent: Traceparent::parse(TRACE),
    };
    let expected = ("traceparent".to_owned(), TRACE.as_bytes().to_vec());
    assert_eq!(texts(&record).last(), Some(&expected));
}

#[test]
fn a_foreign_record_is_of_epoch_0() {
    assert_eq!(epoch(None::<&OwnedHeaders>), 0);
    let odd = with(OwnedHeaders::new(), EPOCH, b"12345");
    assert_eq!(epoch(Some(&odd)), 0);
}

#[test]
fn an_event_is_described_as_cloud_events_has_it() {
    let event = RoomEvent {
        id: EventId(0x0190_0000_0000_7000_8000_0000_0000_0001_u128.to_be_bytes()),
        room: "r1".into(),
        accepted_at: 1_763_950_000_123,
        recorded_at: None,
        user: None,
        role: Role::Backend,
        device: None,
        body: Body::Comment(Comment {
            text: "hello".into(),
            style: Style::default(),
            reply_to: None,
            ext: Vec::new(),
        }),
    };
    let record = NewRecord {
        epoch: 7,
        lane: Lane::Viewers,
        key: Bytes::from_static(b"r1"),
        value: codec::to_wire(&event).into(),
        traceparent: None,
    };
    let texts = texts(&record);
    let texts: Vec<_> = texts
        .iter()
        .map(|(key, value)| (key.as_str(), &value[..]))
        .collect();
    assert_eq!(
        texts,
        [
            (EPOCH, &[0, 0, 0, 7][..]),
            ("ce_specversion", b"1.0"),
            ("ce_id", b"01900000-0000-7000-8000-000000000001"),
            ("ce_source", b"/v1/rooms/r1"),
            ("ce_type", b"danmu.v1.comment"),
            ("ce_time", b"2025-11-24T02:06:40.123Z"),
        ]
    );
}
