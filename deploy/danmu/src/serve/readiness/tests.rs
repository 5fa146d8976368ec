use danmu_log::embedded::{EmbeddedLog, Options, wall_clock};
use danmu_schemas::Partition;
use expect_test::{Expect, expect};

use super::*;

/// What is told of a loop that stands there, a partition after the other.
fn check(partitions: impl IntoIterator<Item = PartitionStanding>, expected: Expect) {
    let partitions = (0..).map(Partition).zip(partitions).collect();
    let is_assigned = true;
    let (told, windows) = watch::channel(Standing {
        is_assigned,
        partitions,
    });
    let (_directory, log) = log();
    let readiness = Readiness::new(Some(log), Some(windows), CancellationToken::new());
    expected.assert_eq(&readiness.why_not().unwrap_or_default());
    drop(told);
}

fn log() -> (tempfile::TempDir, Log) {
    let directory = tempfile::tempdir().expect("a directory");
    let log = EmbeddedLog::open(Options::new(directory.path(), wall_clock()));
    (directory, Log::Embedded(log.expect("a log")))
}

fn standing(set: impl FnOnce(&mut PartitionStanding)) -> PartitionStanding {
    let mut standing = PartitionStanding {
        read_to: 9,
        read_to_logged_at: None,
        checkpointed_to: Some(9),
        slots: 256,
        slots_open: 256,
        ready: true,
        records_to_go: Some(0),
        halted: None,
    };
    set(&mut standing);
    standing
}

#[test]
fn each_partition_tells_what_it_waits_for() {
    let refilled = standing(|at| (at.slots_open, at.records_to_go) = (244, None));
    let sought = standing(|at| at.records_to_go = None);
    let behind = standing(|at| at.records_to_go = Some(3_400));
    let halted = standing(|at| {
        at.records_to_go = None;
        at.halted = Some("record 7: schema 99 is not known".to_owned());
    });
    check(
        [refilled, standing(|_| {}), sought, behind, halted],
        expect![[r#"
            windows: partition 0: 12 of 256 slots are being refilled
            windows: partition 2: the log is being sought
            windows: partition 3: 3400 records behind
            windows: partition 4: halted: record 7: schema 99 is not known"#]],
    );
}

#[test]
fn nothing_is_told_of_a_loop_that_is_where_it_should_be() {
    check([standing(|_| {}), standing(|_| {})], expect![""]);
}

#[tokio::test]
async fn a_log_that_takes_no_more_is_told() {
    let partitions = [(Partition(0), standing(|_| {}))].into();
    let is_assigned = true;
    let (_told, windows) = watch::channel(Standing {
        is_assigned,
        partitions,
    });
    let (_directory, log) = log();
    let readiness = Readiness::new(Some(log.clone()), Some(windows), CancellationToken::new());
    assert_eq!(readiness.why_not(), None);
    log.close().await;
    expect!["log: the log is closed"].assert_eq(&readiness.why_not().unwrap_or_default());
}

#[test]
fn a_loop_that_nothing_is_left_for_stands_by() {
    check([], expect![""]);
}

#[test]
fn a_loop_that_knows_nothing_of_its_share_is_not_ready() {
    let (_told, windows) = watch::channel(Standing::default());
    let readiness = Readiness::new(None, Some(windows), CancellationToken::new());
    assert!(!readiness.has_started());
    expect!["windows: no partition is assigned yet"]
        .assert_eq(&readiness.why_not().unwrap_or_default());
}
