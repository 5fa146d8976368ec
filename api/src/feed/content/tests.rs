use std::sync::Arc;

use danmu_schemas::chunk::Packer;
use danmu_schemas::codec::Datum as _;
use danmu_schemas::event::{Comment, Style};
use danmu_schemas::{Body, EventId, Role, RoomEvent};

use super::super::rendered::tests::{has, hold};
use super::*;

/// Whether a block, a page that is kept, the overview or the state has this in it.
pub(crate) fn holds(content: &Content, text: &str) -> bool {
    let pages = content.pages.values().map(|page| &page.body);
    let fields = content.state.iter().flat_map(|state| &state.fields);
    let mut bytes = pages.chain(&content.overview).chain(fields);
    hold(&content.events, text) || bytes.any(|bytes| has(bytes, text))
}

/// Events of a chunk.
const COUNT: u32 = 10;

fn settled(seq: u64) -> Settled {
    let event = RoomEvent {
        id: EventId(u128::from(seq).to_be_bytes()),
        room: "a".into(),
        accepted_at: 0,
        recorded_at: None,
        user: None,
        role: Role::Viewer,
        device: None,
        body: Body::Comment(Comment {
            text: format!("comment {seq}").into(),
            style: Style::default(),
            reply_to: None,
            ext: vec![],
        }),
    };
    let mut datum = Vec::new();
    event.encode(&mut datum);
    Settled {
        offset: seq as i64,
        seq: Seq(seq),
        at: 0,
        logged_at: 0,
        crowd: 0,
        combo_total: None,
        target_seq: None,
        datum: datum.into(),
    }
}

/// The chunk with the events before and with `last`.
fn chunk(last: u64, packer: &mut Packer) -> PackedChunk {
    let first = last + 1 - u64::from(COUNT);
    let header = ChunkHeader {
        generation: Generation::FIRST,
        epoch: 0,
        first_seq: Seq(first),
        count: COUNT,
        first_offset: first as i64,
        last_offset: last as i64,
        last_at: 0,
        last_logged_at: 0,
    };
    let body = ChunkBody {
        settled: (first..=last).map(settled).collect(),
        unsettled: vec![],
    };
    let bytes = packer.pack(&header, &body);
    PackedChunk { header, bytes }
}

/// A window of so many chunks, of which those at the places in `damaged` cannot be unpacked.
fn window(chunks: u64, damaged: std::ops::Range<usize>) -> RoomWindow {
    let mut packer = Packer::new();
    let last = chunks * u64::from(COUNT);
    let mut chunks: Vec<_> = (1..=chunks)
        .map(|n| chunk(n * u64::from(COUNT), &mut packer))
        .collect();
    for chunk in &mut chunks[damaged] {
        chunk.bytes = Bytes::from_static(b"damaged");
    }
    let core = StateCore {
        last_seq: Seq(last),
        ..danmu_processors::settle::Room::new().core().clone()
    };
    RoomWindow {
        state: Some(Arc::new(StoredState {
            core: codec::to_stored(&core),
            ..StoredState::default()
        })),
        chunks: chunks.into_iter().map(Arc::new).collect(),
        ..RoomWindow::default()
    }
}

#[test]
fn only_the_newest_events_of_a_window_are_unpacked() {
    let news = News::of(window(40, 0..30), 95).unwrap().unwrap();
    let mut content = Content::empty(1 << 20);
    content.take(news, &mut Unpacker::new()).unwrap();
    assert_eq!(
        (content.events.first(), content.head()),
        (Seq(301), Seq(400))
    );
}

#[test]
fn older_events_leave_while_newer_ones_are_unpacked() {
    let news = News::of(window(40, 39..40), usize::MAX).unwrap().unwrap();
    let mut content = Content::empty(2_000);
    // The last chunk ends it, so that what is held then was held before it.
    assert!(content.take(news, &mut Unpacker::new()).is_err());
    assert_eq!(content.head(), Seq(390));
    assert!(content.events.first() > Seq(350));
}
