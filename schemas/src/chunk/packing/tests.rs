use super::*;
use crate::ids::{EventId, Generation};
use crate::sealed;

fn header_of(count: u32) -> ChunkHeader {
    ChunkHeader {
        generation: Generation(2),
        epoch: 3,
        first_seq: Seq(1_000),
        count,
        first_offset: 500,
        last_offset: 700,
        last_at: 1_700_000_000_400,
        last_logged_at: 1_700_000_000_500,
    }
}

fn body_of(count: u32) -> ChunkBody {
    let settled = (0..count).map(|i| Settled {
        offset: 500 + i64::from(i),
        seq: Seq(1_000 + u64::from(i)),
        at: 1_700_000_000_000 + i64::from(i),
        logged_at: 1_700_000_000_100 + i64::from(i),
        crowd: i,
        combo_total: (i % 3 == 1).then_some(7),
        target_seq: (i % 5 == 2).then_some(Seq(9)),
        datum: Bytes::from(format!("datum {i}")),
    });
    let unsettled = |offset, why| Unsettled {
        offset,
        logged_at: 1_700_000_000_300,
        id: EventId([offset as u8; 16]),
        why,
    };
    let refused = |reason, until_at| Unseated::Refused { reason, until_at };
    ChunkBody {
        settled: settled.collect(),
        unsettled: vec![
            unsettled(
                600,
                Unseated::Duplicate {
                    first: Some(Seq(4)),
                },
            ),
            unsettled(601, Unseated::Duplicate { first: None }),
            unsettled(602, refused(Refusal::SlowMode, Some(1_700_000_003_000))),
            unsettled(603, refused(Refusal::TargetUnknown, None)),
        ],
    }
}

fn packed(count: u32) -> Bytes {
    Packer::new().pack(&header_of(count), &body_of(count))
}

fn is_compressed(chunk: &[u8]) -> bool {
    let outside = codec::from_stored::<Outside<'_>>(chunk).expect("a chunk");
    matches!(outside.codec, Compression::Zstd)
}

#[test]
fn a_chunk_unpacks_to_what_was_packed() {
    let (mut packer, mut unpacker) = (Packer::new(), Unpacker::new());
    for count in [0, 1, 5, 200, 512, 2, 300] {
        let chunk = packer.pack(&header_of(count), &body_of(count));
        assert_eq!(header(&chunk), Ok(header_of(count)));
        let unpacked = unpacker.unpack(&chunk);
        assert_eq!(unpacked, Ok((header_of(count), body_of(count))));
        assert_eq!(is_compressed(&chunk), count >= 200, "{count}");
    }
}

#[test]
fn what_does_not_compress_stays_plain() {
    let mut rng = fastrand::Rng::with_seed(5);
    let mut body = body_of(1);
    body.settled[0].datum = (0..4_096).map(|_| rng.u8(..)).collect();
    let chunk = Packer::new().pack(&header_of(1), &body);
    assert!(!is_compressed(&chunk));
    assert_eq!(Unpacker::new().unpack(&chunk), Ok((header_of(1), body)));
}

#[test]
fn an_altered_or_cut_chunk_is_refused() {
    let chunk = packed(5);
    let broken = DecodeError::from(sealed::BrokenSeal);
    for i in 0..chunk.len() {
        let mut altered = chunk.to_vec();
        altered[i] ^= 1;
        assert_eq!(header(&altered), Err(broken.clone()), "byte {i}");
        assert_eq!(header(&chunk[..i]), Err(broken.clone()), "cut to {i}");
    }
}

/// A chunk whose outside is altered before it is sealed.
fn resealed(count: u32, alter: impl FnOnce(&mut Outside<'_>)) -> Result<(), DecodeError> {
    let chunk = packed(count);
    let mut outside = codec::from_stored::<Outside<'_>>(&chunk)?;
    alter(&mut outside);
    let chunk = codec::to_stored(&outside);
    Unpacker::new().unpack(&chunk).map(|_| ())
}

#[test]
fn a_header_that_lies_is_refused() {
    for count in [5, 200] {
        assert_eq!(resealed(count, |_| ()), Ok(()));
        assert!(resealed(count, |o| o.header.count += 1).is_err());
        assert!(resealed(count, |o| o.raw_len += 1).is_err());
        assert!(resealed(count, |o| o.raw_len -= 1).is_err());
        assert!(resealed(count, |o| o.raw_len = u64::MAX).is_err());
        assert!(resealed(count, |o| o.body = &o.body[..o.body.len() - 1]).is_err());
    }
    let flip = |o: &mut Outside<'_>| o.codec = Compression::Zstd;
    assert_eq!(resealed(5, flip), Err(DecodeError::Malformed("not zstd")));
}

/// Mutations under an intact seal: the reader itself has to stand them.
#[test]
fn mutated_chunks_never_break_the_reader() {
    let chunks = [packed(0), packed(5), packed(200)];
    let mut unpacker = Unpacker::new();
    let mut packer = Packer::new();
    let mut rng = fastrand::Rng::with_seed(0xc4);
    let mut accepted = 0;
    for _ in 0..50_000 {
        let payload = sealed::open(&chunks[rng.usize(..3)]).expect("sealed");
        let donor = &chunks[rng.usize(..3)];
        let mut mutated = codec::tests::oracle::mutate(payload, donor, &mut rng);
        sealed::seal(&mut mutated);
        let Ok((header, body)) = unpacker.unpack(&mutated) else {
            continue;
        };
        accepted += 1;
        let again = packer.pack(&header, &body);
        assert_eq!(unpacker.unpack(&again), Ok((header, body)));
    }
    assert!(accepted > 500, "only {accepted} were accepted");
}

/// The chunk and its body, as the schema files lay them out.
#[test]
fn a_chunk_is_golden() {
    let outer = codec::tests::schema_files::schema("chunk");
    let inner = codec::tests::schema_files::schema("chunk-body");
    let chunk = packed(3);
    let payload = sealed::open(&chunk).expect("sealed");
    let (id, datum) = codec::split_header(payload).expect("a wire header");
    assert_eq!(id, codec::tests::schema_files::ids()["chunk"]);

    let outside = codec::from_stored::<Outside<'_>>(&chunk).expect("a chunk");
    let described = codec::tests::oracle::described;
    let read = codec::tests::oracle::read;
    let text = described(&chunk, read(&outer, datum))
        + &described(outside.body, read(&inner, outside.body));
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/avro/golden/chunk.txt");
    expect_test::expect_file![path].assert_eq(&text);
}
