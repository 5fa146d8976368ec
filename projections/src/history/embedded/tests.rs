use super::*;

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
