use danmu_schemas::{Cursor, Generation, Seq};

use super::*;
use crate::history::layout::{self, BroadcastPart, MemoryKind};
use crate::sample::{at, room};

/// A key of every family, all of one room and its slot.
fn keys() -> Vec<Key> {
    let (room, slot) = (room(), room().slot());
    let cursor = Cursor {
        generation: Generation(2),
        seq: Seq(300),
    };
    let part = |part| layout::part_range(&room, cursor, part, 513..514).start;
    let moderation = layout::moderation_range(&room, cursor.generation, Seq(9), Seq(9));
    let memory =
        |kind| layout::memory_row(&room, kind, at(4), 9, bytes::Bytes::from_static(b"m")).key;
    vec![
        layout::watermark_key(slot),
        layout::state_key(&room, at(5)),
        memory(MemoryKind::Events),
        memory(MemoryKind::Gifts),
        layout::chunk_key(&room, Generation(2), Seq(65_540), at(7)),
        layout::started_key(&room, cursor),
        part(BroadcastPart::Segments),
        part(BroadcastPart::Heat),
        part(BroadcastPart::Interruptions),
        moderation.start,
        layout::erasures_after(slot, at(3)).start,
        layout::swept_key(slot),
    ]
}

#[test]
fn every_key_stands_on_a_shelf_of_its_room() {
    for (family, key) in Family::ALL.into_iter().zip(keys()) {
        assert_eq!(Family::of(&key), Some(family));
        let shelf = shelf_of(&key).unwrap();
        assert!(key.starts_with(shelf), "{family:?}");
        assert_eq!(shelf_of(shelf), Some(shelf), "{family:?}");
        assert_eq!(slot_of(&key), Some(room().slot()), "{family:?}");
        assert_eq!(slot_of(shelf), Some(room().slot()), "{family:?}");
    }
}

#[test]
fn a_shelf_holds_one_run_of_a_busy_room() {
    let chunk =
        |generation, seq| layout::chunk_key(&room(), Generation(generation), Seq(seq), at(7));
    let shelf = |key: &Key| shelf_of(key).map(<[u8]>::to_vec);
    assert_eq!(shelf(&chunk(1, 1)), shelf(&chunk(1, 65_535)));
    assert_ne!(shelf(&chunk(1, 65_535)), shelf(&chunk(1, 65_536)));
    assert_ne!(shelf(&chunk(1, 1)), shelf(&chunk(2, 1)));
    assert_eq!(
        shelf_of(&layout::chunks_from(&room(), Generation(1), Seq(0)).end),
        None
    );
}

#[test]
fn keys_of_states_and_memory_tell_their_write_time() {
    for (family, key) in Family::ALL.into_iter().zip(keys()) {
        let last = match family {
            Family::States => Some(at(5).timestamp() | 1),
            Family::EventMemory | Family::GiftMemory => Some(at(9).timestamp() | 1),
            _ => None,
        };
        assert_eq!(last_written(&key), last, "{family:?}");
    }
}
