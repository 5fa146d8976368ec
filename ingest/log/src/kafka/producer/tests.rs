use std::thread;
use std::time::Instant;

use bytes::Bytes;
use rdkafka::mocking::MockCluster;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use super::*;

/// A producer whose cluster never answers: what it takes waits until it is given up.
fn unanswered(queue_bytes_max: usize, queue_records_max: usize) -> Producer {
    let options = Options {
        queue_bytes_max,
        queue_records_max,
        ..Options::new("127.0.0.1:1")
    };
    Producer::new(&options, Meter::new()).expect("the settings are right")
}

fn records(count: usize, bytes: usize) -> Vec<NewRecord> {
    let record = NewRecord {
        epoch: 0,
        lane: Lane::Priority,
        key: Bytes::from_static(b"room"),
        value: vec![7; bytes].into(),
        traceparent: None,
    };
    vec![record; count]
}

fn refused(result: Result<Awaited, AppendError>) -> bool {
    matches!(result, Err(AppendError::Overloaded(_)))
}

#[test]
fn a_call_is_taken_whole_or_refused_whole() {
    let producer = unanswered(1 << 20, 10);
    let _four = producer
        .append(Partition(0), &records(4, 1))
        .expect("4 of 10");
    let _six = producer
        .append(Partition(0), &records(6, 1))
        .expect("10 of 10");
    assert!(refused(producer.append(Partition(0), &records(1, 1))));

    let producer = unanswered(10_000, 1_000);
    let _one = producer
        .append(Partition(0), &records(1, 8_000))
        .expect("it fits");
    assert!(refused(producer.append(Partition(0), &records(2, 1_000))));
    let _small = producer
        .append(Partition(0), &records(1, 100))
        .expect("it fits beside");
}

/// Of 16 records and 40,000 bytes that may wait, 2 and 5,000 are out of viewers' reach.
#[test]
fn viewers_fill_what_may_wait_only_so_far() {
    let viewers = |count, bytes| {
        let mut records = records(count, bytes);
        records[0].lane = Lane::Viewers;
        records
    };
    let producer = unanswered(1 << 20, 16);
    let append = |records: &[NewRecord]| producer.append(Partition(0), records);
    let _fourteen = append(&viewers(14, 1)).expect("14 of 14");
    assert!(refused(append(&viewers(1, 1))));
    let _gifts = append(&records(2, 1)).expect("16 of 16");
    assert!(refused(append(&records(1, 1))));

    let producer = unanswered(40_000, 1_000);
    let append = |records: &[NewRecord]| producer.append(Partition(0), records);
    let _large = append(&viewers(1, 34_000)).expect("it fits");
    assert!(refused(append(&viewers(1, 1_000))));
    let _gift = append(&records(1, 1_000)).expect("it fits");
}

#[test]
fn a_record_that_no_batch_can_hold_is_refused() {
    let producer = unanswered(64 << 20, 1_000);
    assert!(refused(
        producer.append(Partition(0), &records(1, RECORD_BYTES_MAX + 1))
    ));
    assert_eq!(producer.waiting.records.load(Ordering::Relaxed), 0);
}

#[test]
fn what_is_given_up_has_an_unknown_outcome_and_leaves_its_share() {
    let producer = unanswered(1 << 20, 100);
    let awaited = producer
        .append(Partition(0), &records(3, 10))
        .expect("it fits");
    let waiting = Arc::clone(&producer.waiting);
    assert_eq!(waiting.records.load(Ordering::Relaxed), 3);
    drop(producer);
    let outcome = awaited.blocking_recv().expect("an answer");
    assert!(
        matches!(outcome, Err(AppendError::Unknown(_))),
        "{outcome:?}"
    );
    assert_eq!(waiting.records.load(Ordering::Relaxed), 0);
    assert_eq!(waiting.bytes.load(Ordering::Relaxed), 0);
}

#[test]
fn a_closed_producer_takes_nothing() {
    let producer = unanswered(1 << 20, 100);
    let from = Instant::now();
    producer.close();
    assert!(from.elapsed() < FLUSH_WITHIN, "nothing waited");
    assert!(refused(producer.append(Partition(0), &records(1, 1))));
}

/// A cluster that refuses idempotence once: no server of ours can be brought to it.
#[test]
fn a_producer_that_failed_for_good_is_followed_by_another() {
    const WITHIN: Duration = Duration::from_secs(60);
    const REFUSED: RDKafkaRespErr = RDKafkaRespErr::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED;
    let cluster = MockCluster::new(1).expect("a cluster");
    cluster.create_topic("events", 1, 1).expect("a topic");
    cluster.request_errors(RDKafkaApiKey::InitProducerId, &[REFUSED]);
    let options = Options {
        topic: "events".to_owned(),
        ..Options::new(cluster.bootstrap_servers())
    };
    let producer = Producer::new(&options, Meter::new()).expect("the settings are right");
    let has_failed = || {
        let current = producer.current.lock().expect("nobody panicked");
        let current = current.as_ref().expect("it is not closed");
        current.client().fatal_error().is_some()
    };
    let deadline = Instant::now() + WITHIN;
    while !has_failed() {
        assert!(Instant::now() < deadline, "it never failed");
        thread::sleep(Duration::from_millis(10));
    }
    let awaited = producer
        .append(Partition(0), &records(3, 10))
        .expect("another goes on");
    let outcome = awaited.blocking_recv().expect("an answer");
    assert_eq!(outcome.expect("all are acknowledged"), 0);
    assert!(!has_failed(), "it is another");
}

/// Reports come in any order; the answer is the first offset, once, when the last has come.
#[test]
fn a_call_ends_with_its_last_report() {
    let waiting = Arc::clone(&unanswered(100, 100).waiting);
    let share = || Waiting::take(&waiting, Lane::Priority, 1, 1).expect("it fits");
    let (call, mut awaited) = Call::new(3, share());
    call.delivered(12);
    call.delivered(10);
    assert!(awaited.try_recv().is_err(), "a report is missing");
    call.delivered(11);
    assert_eq!(
        awaited
            .try_recv()
            .expect("an answer")
            .expect("all are there"),
        10
    );

    let (call, mut awaited) = Call::new(3, share());
    call.delivered(12);
    call.failed(2, &KafkaError::Canceled);
    let outcome = awaited.try_recv().expect("an answer");
    assert!(
        matches!(outcome, Err(AppendError::Unknown(_))),
        "{outcome:?}"
    );
}
