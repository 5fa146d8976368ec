//! S2: decoding a comment, our codec against apache-avro's `read_deser` with the schema prepared, which
//! is what one would write without it.

use std::hint::black_box;

use anyhow::Result;
use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use danmu_schemas::codec::decode_datum;

use crate::Size;
use crate::measure::{Pairs, Run};
use crate::report::{Figure, Findings, Target};
use crate::sample::{self, Record, SerdeEvent};

/// The bytes of a wire header, which stand before a datum.
const HEADER_BYTES: usize = 5;
/// Our time over `read_deser`'s.
const TARGET: Target = Target::AtMost(0.35);

/// Borrowed as settle uses it, and owned.
pub fn run(size: Size) -> Result<Findings> {
    let log = sample::log(size.of(1_000_000, 100), 16, 2_000);
    let borrowed = Pairs::interleave(
        size.pairs,
        || Run::of(|| decode(&log, |event| drop(black_box(event)))),
        || Run::of(|| read_deser(&log)),
    )?;
    let owned = Pairs::interleave(
        size.pairs,
        || Run::of(|| decode(&log, |event| drop(black_box(event.into_owned())))),
        || Run::of(|| read_deser(&log)),
    )?;
    Ok(Findings {
        figures: vec![
            Figure::new(
                "S2 decode, borrowed: time over read_deser",
                TARGET,
                &borrowed,
            ),
            Figure::new("S2 decode, owned: time over read_deser", TARGET, &owned),
        ],
        ..Findings::default()
    })
}

fn decode(log: &[Record], mut take: impl FnMut(danmu_schemas::RoomEvent<'_>)) -> Result<u64> {
    for record in log {
        take(decode_datum(black_box(&record.value[HEADER_BYTES..]))?);
    }
    Ok(log.len() as u64)
}

/// Reads every record as one would with apache-avro and serde, and counts them.
pub fn read_deser(log: &[Record]) -> Result<u64> {
    let schema = include_str!("../../../schemas/avro/room-event.avsc");
    let schema = Schema::parse_str(schema)?;
    let reader = GenericDatumReader::builder(&schema).build()?;
    let mut count = 0;
    for record in log {
        let mut datum = black_box(&record.value[HEADER_BYTES..]);
        let event: SerdeEvent = reader.read_deser(&mut datum)?;
        black_box(event);
        count += 1;
    }
    Ok(count)
}
