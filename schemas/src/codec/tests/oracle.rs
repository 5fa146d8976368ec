//! Golden files, and the apache-avro crate as a second opinion on every byte.

use std::collections::BTreeMap;

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use expect_test::expect_file;

use super::samples::{self, Sample};
use super::schema_files::schema;
use crate::Settled;
use crate::codec::{Datum, settled_to_wire, split_header, to_wire};

const MUTATIONS: usize = 50_000;

/// What apache-avro reads, all of it.
pub(crate) fn read(schema: &Schema, mut datum: &[u8]) -> Value {
    let reader = GenericDatumReader::builder(schema)
        .build()
        .expect("a schema");
    let value = reader.read_value(&mut datum).expect("a datum");
    assert!(datum.is_empty(), "apache-avro left {datum:?}");
    value
}

fn write(schema: &Schema, value: Value) -> Vec<u8> {
    let writer = GenericDatumWriter::builder(schema)
        .build()
        .expect("a schema");
    writer
        .write_value_to_vec(value)
        .expect("a value of the schema")
}

/// Bytes and what they mean, for the eye.
pub(crate) fn described(bytes: &[u8], value: Value) -> String {
    let mut text = String::new();
    for line in bytes.chunks(32) {
        line.iter().for_each(|byte| text += &format!("{byte:02x}"));
        text.push('\n');
    }
    let json = serde_json::Value::try_from(value).expect("no Avro value is not JSON");
    text + &serde_json::to_string_pretty(&json).expect("JSON") + "\n"
}

#[test]
fn the_bytes_are_golden_and_mean_what_they_should() {
    for Sample {
        name,
        schema: file,
        wire,
        ..
    } in samples::all()
    {
        let (_, datum) = split_header(&wire).expect("a wire header");
        let path = format!("{}/avro/golden/{name}.txt", env!("CARGO_MANIFEST_DIR"));
        expect_file![path].assert_eq(&described(&wire, read(&schema(file), datum)));
    }
}

#[test]
fn what_another_writer_wrote_reads_the_same() {
    for Sample {
        name,
        schema: file,
        wire,
        reread,
        ..
    } in samples::all()
    {
        let (header, datum) = wire.split_at(5);
        let schema = schema(file);
        let theirs = write(&schema, read(&schema, datum));
        assert_eq!(
            reread(&[header, &theirs].concat()),
            Ok(wire.clone()),
            "{name}"
        );
    }
}

/// The copy of a datum is what writing the event gives, and means what the event means.
#[test]
fn a_settled_event_is_its_event_with_a_place() {
    let (of_events, of_settled) = (schema("room-event"), schema("settled-event"));
    for (name, event) in samples::events() {
        let mut datum = Vec::new();
        event.encode(&mut datum);
        let meant = read(&of_events, &datum);
        let whole = samples::seated(event);
        let seat = whole.seat;
        let settled = Settled {
            offset: 9,
            seq: seat.seq,
            at: seat.at,
            logged_at: seat.logged_at,
            crowd: seat.crowd,
            combo_total: seat.combo_total,
            target_seq: seat.target_seq,
            datum: datum.into(),
        };
        let mut wire = Vec::new();
        settled_to_wire(seat.generation, &settled, &mut wire);
        assert_eq!(wire, to_wire(&whole), "{name}");

        let told = columns(read(&of_settled, &wire[5..]));
        let mut expected = columns(meant);
        let id = Value::Uuid(whole.event.id.uuid());
        expected.insert("id".to_owned(), id);
        assert_eq!(told.len(), expected.len() + 7, "{name}");
        for (column, value) in expected {
            assert_eq!(told[&column], value, "{name}: {column}");
        }
    }
}

fn columns(value: Value) -> BTreeMap<String, Value> {
    match value {
        Value::Record(fields) => fields.into_iter().collect(),
        other => panic!("not a record: {other:?}"),
    }
}

/// Whatever is accepted is read as apache-avro reads it, and has one form from then on.
#[test]
fn mutated_bytes_are_refused_or_mean_the_same_to_both() {
    let samples = samples::all();
    let schemas: BTreeMap<_, _> = samples
        .iter()
        .map(|sample| (sample.schema, schema(sample.schema)))
        .collect();
    let mut rng = fastrand::Rng::with_seed(0xda_0a0);
    let mut accepted = 0;
    for _ in 0..MUTATIONS {
        let sample = &samples[rng.usize(..samples.len())];
        let donor = &samples[rng.usize(..samples.len())].wire;
        let mutated = mutate(&sample.wire, donor, &mut rng);
        let Ok(canonical) = (sample.reread)(&mutated) else {
            continue;
        };
        accepted += 1;
        assert_eq!((sample.reread)(&canonical).as_ref(), Ok(&canonical));
        let schema = &schemas[sample.schema];
        assert_eq!(read(schema, &mutated[5..]), read(schema, &canonical[5..]));
    }
    assert!(accepted > MUTATIONS / 50, "only {accepted} were accepted");
}

/// One to three changes of the kinds that break readers.
pub(crate) fn mutate(bytes: &[u8], donor: &[u8], rng: &mut fastrand::Rng) -> Vec<u8> {
    let mut mutated = bytes.to_vec();
    for _ in 0..rng.usize(1..=3) {
        let at = rng.usize(..mutated.len().max(1));
        match rng.u8(..6) {
            _ if mutated.is_empty() => mutated.push(rng.u8(..)),
            0 => mutated[at] ^= 1 << rng.u8(..8),
            1 => mutated[at] = [0, 1, 2, 0x7f, 0x80, 0xfe, 0xff][rng.usize(..7)],
            2 => mutated.insert(at, rng.u8(..)),
            3 => drop(mutated.remove(at)),
            4 => mutated.truncate(at),
            _ => {
                let from = rng.usize(..donor.len());
                let len = rng.usize(..16).min(donor.len() - from);
                let end = (at + len).min(mutated.len());
                mutated.splice(at..end, donor[from..from + len].iter().copied());
            }
        }
    }
    mutated
}
