use danmu_schemas::{Generation, Seq};

use super::*;

#[test]
fn a_base_names_its_slot() {
    for slot in Slot::all() {
        assert_eq!(slot_of("danmu", &base("danmu", slot)), Some(slot));
    }
    let slot = Slot::new(17).unwrap();
    assert_eq!(base("a:b", slot), "a:b:windows:{17}");
    for other in [
        "danmu:windows:{1024}",
        "danmu:windows:17",
        "other:windows:{1}",
    ] {
        assert_eq!(slot_of("danmu", other), None, "{other}");
    }
}

#[test]
fn a_position_reads_as_it_is_shown() {
    for shown in [Position::BEGIN, Position::new(7, Position::OFFSET_MAX)] {
        assert_eq!(position(&shown.to_string()), Some(shown));
    }
    for other in ["", "7", "7/", "-1/0", "0/1/2"] {
        assert_eq!(position(other), None, "{other}");
    }
}

#[test]
fn a_mark_says_where_a_chunk_ends() {
    let header = ChunkHeader {
        generation: Generation(2),
        epoch: 3,
        first_seq: Seq(4),
        count: 5,
        first_offset: 6,
        last_offset: 7,
        last_at: 8,
        last_logged_at: 9,
    };
    let bytes = Bytes::from_static(b"chunk");
    let chunk = PackedChunk { header, bytes };
    let stored = marked(&chunk);
    let expected = [
        0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 5,
    ];
    assert_eq!(stored[..24], expected);
    assert_eq!(unmarked(stored.clone().into()), Some(chunk.bytes.clone()));
    assert_eq!(unmarked(Bytes::from_static(&[0; MARK_LEN])), None);
    let other = PackedChunk {
        header: ChunkHeader {
            first_offset: 5,
            ..header
        },
        ..chunk
    };
    assert_ne!(marked(&other)[..MARK_LEN], stored[..MARK_LEN]);
}
