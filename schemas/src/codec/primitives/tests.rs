use super::*;

fn bytes_of<'a>(part: &impl Part<'a>) -> Vec<u8> {
    let mut out = Vec::new();
    part.write(&mut out);
    out
}

fn read_all<'a, T: Part<'a>>(mut input: &'a [u8]) -> Result<T, DecodeError> {
    let part = T::read(&mut input)?;
    assert!(input.is_empty(), "left over: {input:?}");
    Ok(part)
}

/// The examples of the Avro specification, and the ends of the range.
#[test]
fn longs_are_zigzag_varints() {
    for (number, bytes) in [
        (0_i64, &[0x00_u8][..]),
        (-1, &[0x01]),
        (1, &[0x02]),
        (-2, &[0x03]),
        (-64, &[0x7f]),
        (64, &[0x80, 0x01]),
        (
            i64::MAX,
            &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
        ),
        (
            i64::MIN,
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
        ),
    ] {
        assert_eq!(bytes_of(&number), bytes, "{number}");
        assert_eq!(read_all(bytes), Ok(number));
    }
}

#[test]
fn a_long_has_one_form() {
    for bytes in [
        &[0x80_u8, 0x00][..],
        &[0x82, 0x80, 0x00],
        &[0xff; 10],
        &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02],
        &[0xff; 9],
        &[],
    ] {
        assert!(read_all::<i64>(bytes).is_err(), "{bytes:x?}");
    }
}

#[test]
fn numbers_keep_their_range() {
    assert_eq!(read_all(&bytes_of(&u32::MAX)), Ok(u32::MAX));
    assert!(read_all::<u32>(&bytes_of(&(i64::from(u32::MAX) + 1))).is_err());
    assert!(read_all::<u32>(&bytes_of(&-1_i64)).is_err());
    assert!(read_all::<u64>(&bytes_of(&-1_i64)).is_err());
    assert_eq!(read_all(&bytes_of(&u64::MAX)), Ok(i64::MAX as u64));
    assert!(read_all::<bool>(&[2]).is_err());
}

#[test]
fn text_borrows_and_is_utf8() {
    let bytes = bytes_of(&"弹幕");
    let text: Cow<'_, str> = read_all(&bytes).expect("it was written so");
    assert!(matches!(text, Cow::Borrowed("弹幕")));
    assert!(read_all::<&str>(&[4, 0xff, 0xff]).is_err());
    assert!(read_all::<&str>(&bytes_of(&i64::MAX)).is_err(), "cut off");
    assert!(read_all::<&str>(&bytes_of(&-4_i64)).is_err(), "negative");
}

#[test]
fn lists_come_in_blocks() {
    let blocks: &[u8] = &[2, 10, 3, 4, 12, 14, 0];
    assert_eq!(read_all(blocks), Ok(vec![5_i64, 6, 7]));
    let wrong_bytes: &[u8] = &[3, 6, 12, 14, 0];
    assert!(read_all::<Vec<i64>>(wrong_bytes).is_err());
    let no_end: &[u8] = &[2, 10];
    assert!(read_all::<Vec<i64>>(no_end).is_err());
}

#[test]
fn a_count_reserves_no_more_than_the_input_has() {
    for count in [i64::MAX, i64::MIN + 1, i64::MIN, 1 << 40] {
        let mut bytes = bytes_of(&count);
        bytes.extend_from_slice(&[8, 0, 0, 0, 0]);
        assert!(read_all::<Vec<[u8; 0]>>(&bytes).is_err(), "{count}");
        assert!(read_all::<Vec<String>>(&bytes).is_err(), "{count}");
    }
}

/// Takes a byte and keeps none: the worst case for a reader that trusts a count.
impl<'a> Part<'a> for [u8; 0] {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(0);
    }

    fn read(input: &mut &'a [u8]) -> Result<Self, DecodeError> {
        read_fixed::<1>(input).map(|_| [])
    }
}

#[test]
fn maps_come_out_in_key_order_without_repeats() {
    type Map<'a> = Vec<(&'a str, &'a str)>;
    let unordered = bytes_of(&vec![("b", "1"), ("a", "2")]);
    assert_eq!(
        read_all::<Map<'_>>(&unordered),
        Ok(vec![("a", "2"), ("b", "1")])
    );
    let twice = bytes_of(&vec![("a", "1"), ("b", "2"), ("a", "1")]);
    assert_eq!(
        read_all::<Map<'_>>(&twice),
        Err(DecodeError::Malformed("a key twice in a map"))
    );
}

#[test]
fn an_unknown_word_is_cut_at_a_character() {
    let DecodeError::UnknownWord { word, .. } = unknown_word("kind", &"弹".repeat(40)) else {
        panic!("not an unknown word");
    };
    assert_eq!(word, "弹".repeat(21));
}
