use bytes::Bytes;

use super::*;

fn texts(record: &NewRecord) -> Vec<(String, Vec<u8>)> {
    let headers = of(record);
    let headers = headers.iter();
    let owned = headers.map(|one| (one.key.to_owned(), one.value.unwrap_or_default().to_vec()));
    owned.collect()
}

#[test]
fn an_epoch_comes_back() {
    for sent in [0, 1, 3, u32::MAX] {
        let record = NewRecord {
            epoch: sent,
            key: Bytes::new(),
            value: Bytes::from_static(b"not an event"),
        };
        assert_eq!(
            texts(&record).len(),
            1,
            "nothing is said of what is not an event"
        );
        assert_eq!(epoch(Some(&of(&record))), sent);
    }
}

#[test]
fn a_foreign_record_is_of_epoch_0() {
    assert_eq!(epoch(None::<&OwnedHeaders>), 0);
    let odd = with(OwnedHeaders::new(), EPOCH, b"12345");
    assert_eq!(epoch(Some(&odd)), 0);
}
