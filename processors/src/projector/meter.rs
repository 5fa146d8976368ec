//! What a loop counts and times, under the name of its group.
//!
//! Every handle is made once, by the recorder that is in force then, so that counting is one addition.
//! Settling, appending and checkpoints are timed for all slots of a call together, as they are done.
//! No label is made from what a client sent: kinds and reasons are closed lists.

use std::array;

use danmu_schemas::settled::Refusal;
use danmu_schemas::{Body, Verdict};
use metrics::{
    Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram,
    gauge, histogram,
};

const SETTLE: &str = "danmu_projector_settle_seconds";
const APPEND: &str = "danmu_projector_append_seconds";
const ADVANCE: &str = "danmu_projector_advance_seconds";
const CHECKPOINT: &str = "danmu_projector_checkpoint_seconds";
const STEPS: &str = "danmu_projector_steps_total";
const RECORDS: &str = "danmu_projector_records_total";
const REFUSED: &str = "danmu_projector_refused_total";
const DUPLICATES: &str = "danmu_projector_duplicates_total";
const REOPENED: &str = "danmu_projector_reopened_slots_total";
const DEAD_LETTERS: &str = "danmu_projector_dead_letters_total";
const ROOMS: &str = "danmu_projector_rooms";
const HALTED: &str = "danmu_projector_halted_partitions";

/// A loop's counters.
#[derive(Debug)]
pub(super) struct Meter {
    pub settle_seconds: Histogram,
    pub append_seconds: Histogram,
    pub advance_seconds: Histogram,
    pub checkpoint_seconds: Histogram,
    pub steps: Counter,
    pub reopened_slots: Counter,
    pub dead_letters: Counter,
    pub rooms: Gauge,
    pub halted_partitions: Gauge,
    /// By the kind's place in [`Body::KINDS`].
    records: [Counter; Body::KINDS.len()],
    /// By the reason's place in [`Refusal::ALL`].
    refused: [Counter; Refusal::ALL.len()],
    duplicates: Counter,
}

impl Meter {
    /// Counts nothing.
    pub fn none() -> Self {
        Self {
            settle_seconds: Histogram::noop(),
            append_seconds: Histogram::noop(),
            advance_seconds: Histogram::noop(),
            checkpoint_seconds: Histogram::noop(),
            steps: Counter::noop(),
            reopened_slots: Counter::noop(),
            dead_letters: Counter::noop(),
            rooms: Gauge::noop(),
            halted_partitions: Gauge::noop(),
            records: array::from_fn(|_| Counter::noop()),
            refused: array::from_fn(|_| Counter::noop()),
            duplicates: Counter::noop(),
        }
    }

    /// The counters of a group.
    pub fn of(group: &'static str) -> Self {
        describe();
        let kind = |n: usize| counter!(RECORDS, "group" => group, "kind" => Body::KINDS[n]);
        let reason = |n: usize| Refusal::ALL[n].as_str();
        let refused = |n| counter!(REFUSED, "group" => group, "reason" => reason(n));
        Self {
            settle_seconds: histogram!(SETTLE, "group" => group),
            append_seconds: histogram!(APPEND, "group" => group),
            advance_seconds: histogram!(ADVANCE, "group" => group),
            checkpoint_seconds: histogram!(CHECKPOINT, "group" => group),
            steps: counter!(STEPS, "group" => group),
            reopened_slots: counter!(REOPENED, "group" => group),
            dead_letters: counter!(DEAD_LETTERS, "group" => group),
            rooms: gauge!(ROOMS, "group" => group),
            halted_partitions: gauge!(HALTED, "group" => group),
            records: array::from_fn(kind),
            refused: array::from_fn(refused),
            duplicates: counter!(DUPLICATES, "group" => group),
        }
    }

    /// A record of `body` got `verdict`.
    pub fn settled(&self, body: &Body<'_>, verdict: Verdict) {
        self.records[body.kind_index()].increment(1);
        match verdict {
            Verdict::Visible { .. } | Verdict::Absorbed => {}
            Verdict::Duplicate { .. } => self.duplicates.increment(1),
            Verdict::Refused { reason, .. } => self.refused[reason as usize].increment(1),
        }
    }
}

fn describe() {
    describe_histogram!(SETTLE, Unit::Seconds, "time of settling a batch of records");
    describe_histogram!(
        APPEND,
        Unit::Seconds,
        "time of storing what a batch changed"
    );
    describe_histogram!(
        ADVANCE,
        Unit::Seconds,
        "time of comparing every slot with the store and moving it on"
    );
    describe_histogram!(
        CHECKPOINT,
        Unit::Seconds,
        "time of the checkpoints of the slots that are due"
    );
    describe_counter!(
        STEPS,
        "steps of one slot each that the store was told, with changes or none"
    );
    describe_counter!(RECORDS, "records settled, whatever became of them");
    describe_counter!(REFUSED, "records that their room's rules did not take");
    describe_counter!(DUPLICATES, "records whose id was already visible");
    describe_counter!(
        REOPENED,
        "slots whose store was elsewhere or did not answer"
    );
    describe_counter!(DEAD_LETTERS, "records that nobody could decode");
    describe_gauge!(ROOMS, "rooms held in memory");
    describe_gauge!(
        HALTED,
        "partitions that only a newer build can read further"
    );
}
