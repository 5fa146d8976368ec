use super::*;
use crate::sample;

fn row(timestamp: u64, body: &'static [u8]) -> Row {
    Row {
        key: b"key".to_vec(),
        timestamp,
        body: Bytes::from_static(body),
    }
}

#[test]
fn a_lower_write_time_never_overwrites_a_higher_one() {
    let directory = sample::directory();
    let history = EmbeddedHistory::open(directory.path()).unwrap();
    for (written, left) in [
        (row(4, b"b"), "b"),
        (row(2, b"a"), "b"),
        (row(5, b"c"), "c"),
    ] {
        history.write_rows(vec![written]).unwrap();
        let stored = history.get_row(b"key".to_vec()).unwrap().unwrap();
        assert_eq!(stored.body, left);
    }
}

#[test]
fn any_altered_byte_is_found() {
    let value = to_value(7, b"a state, a chunk or a snapshot");
    assert!(from_value(b"key".to_vec(), &value).is_ok());
    for i in 0..value.len() {
        let mut altered = value.clone();
        altered[i] ^= 1;
        let read = from_value(b"key".to_vec(), &altered);
        assert!(matches!(read, Err(StoreError::Damaged { .. })), "byte {i}");
    }
}
