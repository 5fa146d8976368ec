//! What settling brought forth and nobody has taken yet.
//!
//! Grows by a bounded amount a record; the loop bounds the records between two takings.

use danmu_schemas::fact::{Fact, FactBody};
use danmu_schemas::state::{EventMemory, Field, GiftMemory};
use danmu_schemas::{Generation, Position, Seq, Settled, Unsettled};

#[derive(Debug, Clone, Default)]
pub(super) struct Pending {
    pub(super) runs: Vec<Run>,
    pub(super) facts: Vec<Fact>,
    pub(super) gifts: Vec<GiftMemory>,
    pub(super) changed: [bool; Field::COUNT],
}

/// Consecutive records of one generation.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) generation: Generation,
    pub(super) first_seq: Seq,
    pub(super) settled: Vec<Settled>,
    pub(super) unsettled: Vec<Unsettled>,
    /// One for each of `settled`.
    pub(super) remembered: Vec<EventMemory>,
}

impl Pending {
    pub(super) fn mark(&mut self, field: Field) {
        self.changed[field.index()] = true;
    }

    pub(super) fn fact(&mut self, position: Position, body: FactBody) {
        self.facts.push(Fact { position, body });
    }

    pub(super) fn settled(&mut self, generation: Generation, event: Settled, entry: EventMemory) {
        let run = self.run(generation, event.seq);
        run.settled.push(event);
        run.remembered.push(entry);
    }

    /// Keeps what got no seq; `next_seq` is the one that it would have got.
    pub(super) fn unsettled(&mut self, generation: Generation, next_seq: Seq, event: Unsettled) {
        self.run(generation, next_seq).unsettled.push(event);
    }

    /// The run that goes on in `generation`, or a new one that begins at `next_seq`.
    fn run(&mut self, generation: Generation, next_seq: Seq) -> &mut Run {
        let goes_on = self
            .runs
            .last()
            .is_some_and(|run| run.generation == generation);
        if !goes_on {
            self.runs.push(Run {
                generation,
                first_seq: next_seq,
                settled: Vec::new(),
                unsettled: Vec::new(),
                remembered: Vec::new(),
            });
        }
        self.runs.last_mut().expect("one was pushed if none was")
    }
}
