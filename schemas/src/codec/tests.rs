//! Our codec against the schema files, as another implementation of Avro reads and writes them.

pub(crate) mod oracle;
mod samples;
pub(crate) mod schema_files;

use super::*;
use crate::RoomEvent;
use samples::Sample;

#[test]
fn what_is_cut_off_or_goes_on_is_refused() {
    for Sample {
        name, wire, reread, ..
    } in samples::all()
    {
        for len in 0..wire.len() {
            assert!(reread(&wire[..len]).is_err(), "{name} cut to {len}");
        }
        for extra in [0_u8, 2, 0xff] {
            let longer = [&wire[..], &[extra]].concat();
            assert!(reread(&longer).is_err(), "{name} with {extra} after it");
        }
    }
}

#[test]
fn another_schema_or_magic_is_refused() {
    for Sample {
        name, wire, reread, ..
    } in samples::all()
    {
        let mut newer = wire.clone();
        newer[1..5].copy_from_slice(&77_u32.to_be_bytes());
        assert_eq!(
            reread(&newer),
            Err(DecodeError::UnknownSchema(77)),
            "{name}"
        );
        newer[0] = 1;
        let magic = DecodeError::Malformed("magic byte is not 0");
        assert_eq!(reread(&newer), Err(magic), "{name}");
    }
}

#[test]
fn a_stored_value_is_sealed() {
    let value = crate::state::Currencies {
        names: vec!["coin".to_owned()],
    };
    let stored = to_stored(&value);
    assert_eq!(from_stored(&stored), Ok(value));
    for i in 0..stored.len() {
        let mut altered = stored.to_vec();
        altered[i] ^= 0x20;
        let read = from_stored::<crate::state::Currencies>(&altered);
        assert_eq!(read, Err(sealed::BrokenSeal.into()), "byte {i}");
    }
}

#[test]
fn an_events_datum_is_a_slice_of_its_record() {
    let record = Bytes::from(to_wire(&samples::event("comment")));
    let (event, datum) = decode_event(&record).expect("a sample");
    assert_eq!(event, samples::event("comment"));
    assert_eq!(datum.as_ptr(), record[5..].as_ptr());
    assert_eq!(decode_datum(&datum), Ok(event));
    assert!(decode_datum(&record).is_err());
}

#[test]
fn a_plain_comment_borrows_its_text() {
    let wire = to_wire(&samples::event("comment"));
    let event: RoomEvent<'_> = from_wire(&wire).expect("a sample");
    assert!(matches!(event.room, std::borrow::Cow::Borrowed(_)));
    let crate::Body::Comment(comment) = event.body else {
        panic!("not a comment");
    };
    assert!(matches!(comment.text, std::borrow::Cow::Borrowed(_)));
}

/// A sample with `from` replaced by `to`, which is as long.
fn reworded(kind: &str, from: &str, to: &str) -> Result<(), DecodeError> {
    assert_eq!(from.len(), to.len());
    let mut wire = to_wire(&samples::event(kind));
    let at = wire
        .windows(from.len())
        .position(|window| window == from.as_bytes())
        .expect("the sample has the word");
    wire[at..at + from.len()].copy_from_slice(to.as_bytes());
    from_wire::<RoomEvent<'_>>(&wire).map(|_| ())
}

#[test]
fn a_word_of_a_newer_build_is_told_from_rubbish() {
    for (kind, from, to, vocabulary) in [
        ("enter", "enter", "vault", "kind"),
        ("comment", "comment", "embrace", "kind"),
        ("comment", "viewer", "lurker", "role"),
        ("comment", "bottom", "centre", "mode"),
        ("comment", "small", "giant", "size"),
        ("rules", "closed", "paused", "comments"),
    ] {
        let word = to.to_owned();
        let expected = DecodeError::UnknownWord { vocabulary, word };
        assert_eq!(reworded(kind, from, to), Err(expected), "{from} → {to}");
    }
}

#[test]
fn the_record_must_be_the_kinds() {
    let unfit = Err(DecodeError::Malformed("the records do not fit the kind"));
    assert_eq!(reworded("mute", "mute", "gift"), unfit);
    assert_eq!(reworded("enter", "enter", "likes"), unfit);
    assert_eq!(reworded("likes", "likes", "reset"), unfit);
}

#[test]
fn a_room_has_a_rooms_name() {
    let invalid = Err(DecodeError::Malformed("not a room's name"));
    assert_eq!(reworded("comment", "stage-1", "../etc/"), invalid);
}
