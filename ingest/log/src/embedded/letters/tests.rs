use bytes::Bytes;

use super::*;
use crate::Record;

fn record(offset: i64) -> Record {
    Record {
        offset,
        logged_at: 7,
        epoch: 0,
        key: Bytes::from_static(b"r"),
        value: Bytes::from_static(&[0xff, 0x01]),
    }
}

fn write(letters: &mut LetterFile, offsets: &[i64]) {
    let records: Vec<_> = offsets.iter().map(|offset| record(*offset)).collect();
    let undecodable: Vec<_> = records
        .iter()
        .map(|record| Undecodable {
            record,
            why: "cut off".into(),
        })
        .collect();
    letters.keep(Partition(3), &undecodable).expect("kept");
}

fn open(path: &Path, log: &str) -> LetterFile {
    LetterFile::open(path, LogIdentity(log.into())).expect("opens")
}

#[test]
fn a_letter_is_kept_once_across_restarts() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("letters.jsonl");
    write(&mut open(&path, "a"), &[1, 2]);
    write(&mut open(&path, "a"), &[2, 5]);
    let text = std::fs::read_to_string(&path).expect("readable");
    assert_eq!(text.lines().count(), 3);
    assert!(text.contains(r#""offset":5"#) && text.contains(r#""value":"ff01""#));
    assert_eq!(open(&path, "a").len(), 3);
}

#[test]
fn another_log_has_letters_of_its_own() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("letters.jsonl");
    write(&mut open(&path, "a"), &[1]);
    write(&mut open(&path, "b"), &[1]);
    assert_eq!(open(&path, "a").len(), 1);
    assert_eq!(
        std::fs::read_to_string(&path)
            .expect("readable")
            .lines()
            .count(),
        2
    );
}

#[test]
fn a_line_that_a_crash_cut_off_is_written_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("letters.jsonl");
    write(&mut open(&path, "a"), &[1, 2]);
    let text = std::fs::read_to_string(&path).expect("readable");
    std::fs::write(&path, &text[..text.len() - 5]).expect("writable");
    let mut letters = open(&path, "a");
    assert_eq!(letters.len(), 1);
    write(&mut letters, &[2]);
    assert_eq!(std::fs::read_to_string(&path).expect("readable"), text);
}

#[test]
fn a_file_of_something_else_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("letters.jsonl");
    std::fs::write(&path, "not a letter\n").expect("writable");
    let Err(DeadLetterError::Refused { source, .. }) =
        LetterFile::open(&path, LogIdentity("a".into()))
    else {
        panic!("it was taken for letters");
    };
    assert_eq!(source.to_string(), "line 1 is no dead letter");
}
