//! Likes through a real log.

use danmu_log::embedded::{self, EmbeddedLog};
use danmu_log::{LogReader, ReadEvent};
use danmu_schemas::codec;
use tempfile::TempDir;
use uuid::Uuid;

use super::*;

fn likes(dir: &TempDir) -> (Likes<EmbeddedLog>, EmbeddedLog) {
    let options = embedded::Options::new(dir.path(), embedded::wall_clock());
    let log = EmbeddedLog::open(options).expect("a new log opens");
    let options = Options {
        flush_after: Duration::from_millis(100),
        source: "test".to_owned(),
        now_ms: || 7,
        new_id: || Uuid::now_v7().into(),
    };
    let appender = Appender::new(log.clone(), log.routes().clone());
    (Likes::new(appender, options), log)
}

/// The counts of the likes in the log.
async fn counts(log: &EmbeddedLog) -> Vec<u32> {
    let mut reader = log.reader();
    let mut counts = Vec::new();
    loop {
        match reader
            .next(Duration::from_millis(50))
            .await
            .expect("the log is whole")
        {
            ReadEvent::Assigned(partitions) => {
                for partition in partitions {
                    reader
                        .seek(partition, 0)
                        .await
                        .expect("a partition begins at 0");
                }
            }
            ReadEvent::Records(batch) => {
                for record in batch.records {
                    let event: RoomEvent<'_> =
                        codec::from_wire(&record.value).expect("our own event");
                    match event.body {
                        Body::Likes(likes) => counts.push(likes.count),
                        other => panic!("{other:?}"),
                    }
                }
            }
            ReadEvent::Revoked(_) => {}
            ReadEvent::Idle => return counts,
        }
    }
}

#[tokio::test]
async fn likes_of_one_flush_are_one_event() {
    let dir = TempDir::new().expect("a directory");
    let (likes, log) = likes(&dir);
    let room = RoomId::parse("r1").expect("a valid name");
    let (a, b, c) = tokio::join!(
        likes.add(&room, 3),
        likes.add(&room, 100),
        likes.add(&room, 1)
    );
    assert_eq!((a, b, c), (Ok(()), Ok(()), Ok(())));
    assert_eq!(counts(&log).await, [104]);
    likes.add(&room, 2).await.expect("the next flush");
    assert_eq!(counts(&log).await, [104, 2]);
}

#[tokio::test]
async fn a_full_batch_goes_before_the_next() {
    let dir = TempDir::new().expect("a directory");
    let (likes, log) = likes(&dir);
    let room = RoomId::parse("r1").expect("a valid name");
    let answers: Vec<_> = (0..101)
        .map(|_| likes.join(&room, 100).expect("there is room for it"))
        .collect();
    for answer in answers {
        assert_eq!(answer.await.expect("an answer"), Ok(()));
    }
    let mut counts = counts(&log).await;
    counts.sort_unstable();
    assert_eq!(counts, [200, 9_900]);
}

#[tokio::test]
async fn closing_answers_what_waits_and_takes_no_more() {
    let dir = TempDir::new().expect("a directory");
    let (likes, log) = likes(&dir);
    let room = RoomId::parse("r1").expect("a valid name");
    let waiting = likes.join(&room, 5).expect("there is room for it");
    likes.close().await;
    assert_eq!(waiting.await.expect("an answer"), Ok(()));
    assert_eq!(likes.add(&room, 1).await, Err(NotAppended::Overloaded));
    assert_eq!(counts(&log).await, [5]);
    log.close().await;
}
