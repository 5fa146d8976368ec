//! One world: a log that grows, its windows and history, the processors over them, and who reads.
//!
//! A seed draws everything. A step is a turn of each; between two calls of a port anybody else may have
//! had his. At a crash of the process all processors and readers are dropped, the log and the history
//! are really closed and opened again, and the windows are lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use danmu_log::embedded::{self, EmbeddedLog, EmbeddedReader};
use danmu_log::{Lane, LogReader, LogWriter, NewRecord, ReadEvent, Routes};
use danmu_processors::projector::shortcuts as loop_shortcuts;
use danmu_projections::history::HistoryReader;
use danmu_projections::shortcuts;
use danmu_schemas::{LogIdentity, Partition, Position, Slot};
use fastrand::Rng;
use serde_json::json;

use super::super::model::world::{Findings, chance, done, found, pick};
use super::engines::{AnyHistory, Place};
use super::faults::{Fate, FatefulHistory, FatefulReader, next_at_once};
use super::processors::Owners;
use super::script::{ROOMS, SLOTS, Script};
use super::sweeping::{self, Sweeper, SweptRows};
use super::truth::Truth;
use super::windows::FatefulWindows;
use super::{Plan, Readers, checks};

/// The partitions of our slots; all other slots are in a third one, which nobody owns.
pub const PARTITIONS: [Partition; 2] = [Partition(0), Partition(1)];
/// How many turns a world gets to come to rest.
const QUIET_STEPS: usize = 1_500;
/// How many records a world's log has.
const RECORDS: usize = 110;

const PROCESS_CRASH: f64 = 0.004;
const WIPE: f64 = 0.004;
const WIPE_SLOT: f64 = 0.004;
const ROLL_BACK: f64 = 0.012;
/// While a slot has no position, this much more befalls the windows.
const AIMED: f64 = 0.08;

/// What a process holds, and loses at its crash or finds again.
pub struct Stores {
    pub log: EmbeddedLog,
    pub history: AnyHistory,
    pub windows: FatefulWindows,
    /// Reads what was appended, for the truth.
    learner: EmbeddedReader,
}

pub struct World {
    pub plan: Plan,
    pub rng: Rng,
    pub fate: Fate,
    pub now_ms: Arc<AtomicU64>,
    pub routes: Routes,
    pub truth: Truth,
    pub swept: SweptRows,
    stores: Option<Stores>,
    place: Place,
    clock: Arc<AtomicI64>,
    script: Script,
    sent: usize,
    learned: [i64; 2],
    findings: Findings,
}

impl World {
    pub fn new(seed: u64, plan: Plan) -> World {
        shortcuts::take(plan.shortcut);
        loop_shortcuts::forget_committed();
        let mut rng = Rng::with_seed(seed);
        let failing = pick(&mut rng, &[0.0, 0.005, 0.02]);
        let fate = Fate::new(rng.fork(), failing);
        let script = Script::new(rng.fork());
        let clock = Arc::new(AtomicI64::new(script.clock));
        let place = Place::new(plan);
        let stores = Stores::open(plan, &place, &clock, &fate);
        World {
            plan,
            fate,
            now_ms: Arc::default(),
            routes: routes(),
            truth: Truth::new(),
            swept: SweptRows::default(),
            stores: Some(stores),
            place,
            clock,
            script,
            sent: 0,
            learned: [0; 2],
            findings: Findings::new(),
            rng,
        }
    }

    /// Runs to the end and tells what went wrong.
    pub fn run(mut self) -> Findings {
        let mut owners: Vec<Owners> = self
            .plan
            .kinds()
            .map(|kind| Owners::new(kind, &mut self))
            .collect();
        let mut readers = Readers::new(&self.plan);
        let mut sweeper = Sweeper::start(&self);
        let steps = self.rng.usize(250..500);
        for step in 0..steps + QUIET_STEPS {
            if step == steps {
                self.fate.be_quiet();
                owners.iter_mut().for_each(Owners::release_zombies);
            }
            let is_live = step < steps;
            if is_live {
                self.befall(&mut owners, &mut readers, &mut sweeper);
            }
            self.turn(&mut owners, &mut readers, is_live);
            sweeper.turn(&mut self);
            if !self.findings.is_empty() {
                return self.findings;
            }
            if !is_live && self.is_at_rest() && readers.are_done(&self) {
                self.check_history();
                checks::windows(&mut self);
                if self.plan.has_sweep {
                    sweeping::finish(&mut self);
                    self.check_history();
                }
                return self.findings;
            }
        }
        self.found("the world did not come to rest", "");
        self.findings
    }

    pub fn stores(&self) -> &Stores {
        self.stores.as_ref().expect("open between two crashes")
    }

    pub fn windows(&self) -> FatefulWindows {
        self.stores().windows.clone()
    }

    /// The history under the world's fate.
    pub fn history(&self) -> FatefulHistory {
        FatefulHistory {
            store: self.stores().history.clone(),
            fate: self.fate.clone(),
        }
    }

    pub fn history_reader(&self) -> HistoryReader<FatefulHistory> {
        HistoryReader::new(self.history(), self.identity())
    }

    pub fn log_reader(&self) -> FatefulReader {
        FatefulReader {
            reader: self.stores().log.reader(),
            assigned: PARTITIONS.to_vec(),
            fate: self.fate.clone(),
        }
    }

    pub fn identity(&self) -> LogIdentity {
        self.stores().log.identity()
    }

    /// The history's watermark as it is.
    pub fn watermark(&self, slot: Slot) -> Option<Position> {
        let reader = HistoryReader::new(self.stores().history.clone(), self.identity());
        done(reader.watermark(slot)).unwrap()
    }

    pub fn found(&mut self, what: &'static str, detail: impl std::fmt::Display) {
        if std::env::var_os(super::super::model::world::SEED).is_some() {
            eprintln!("    {what}: {detail}");
        }
        found(&mut self.findings, what);
    }

    fn turn(&mut self, owners: &mut [Owners], readers: &mut Readers, is_live: bool) {
        self.now_ms.fetch_add(1, Ordering::Relaxed);
        if self.sent < RECORDS && (!is_live || chance(&mut self.rng, 0.25)) {
            self.send();
        }
        for owners in owners {
            owners.turn(self, is_live);
        }
        readers.turn(self, is_live);
        if self.plan.has_windows && chance(&mut self.rng, 0.15) {
            checks::windows(self);
        }
        if self.plan.has_history && chance(&mut self.rng, 0.01) {
            self.check_history();
        }
        if self.plan.has_history && chance(&mut self.rng, 0.1) {
            for slot in *SLOTS {
                if let Some(watermark) = self.watermark(slot) {
                    self.stores().windows.set_watermark(slot, watermark);
                }
            }
        }
    }

    fn befall(&mut self, owners: &mut [Owners], readers: &mut Readers, sweeper: &mut Sweeper) {
        if chance(&mut self.rng, PROCESS_CRASH) {
            self.crash(owners, readers, sweeper);
            return;
        }
        for owners in owners {
            owners.befall(self);
        }
        if !self.plan.has_windows {
            return;
        }
        let windows = self.windows();
        let fate = self.rng.f64();
        let is_refilled = SLOTS.iter().any(|slot| windows.position(*slot).is_none());
        if fate < WIPE || (is_refilled && fate > 1.0 - AIMED / 3.0) {
            SLOTS.iter().for_each(|slot| windows.wipe(*slot));
        } else if fate < WIPE + WIPE_SLOT {
            windows.wipe(pick(&mut self.rng, &*SLOTS));
        } else if fate < WIPE + WIPE_SLOT + ROLL_BACK {
            let depth = pick(&mut self.rng, &[5, 60]);
            windows.roll_back(self.rng.usize(1..depth));
        } else if is_refilled && fate > 1.0 - AIMED {
            windows.roll_back(self.rng.usize(1..5));
        }
    }

    /// The process dies and starts again.
    fn crash(&mut self, owners: &mut [Owners], readers: &mut Readers, sweeper: &mut Sweeper) {
        readers.drop_requests();
        sweeper.stop();
        owners.iter_mut().for_each(Owners::stop);
        self.stores = None;
        let mut stores = Stores::open(self.plan, &self.place, &self.clock, &self.fate);
        stores.resume(self.learned);
        self.stores = Some(stores);
        for owners in owners {
            owners.start(self);
        }
        *sweeper = Sweeper::start(self);
        self.check_history();
    }

    /// Where players fetch segments, what they get is all that is looked at.
    fn check_history(&mut self) {
        if let Some(row) = self.swept.undone(&self.stores().history) {
            self.found("what was swept came back", row);
        }
        if self.plan.has_history && !self.plan.has_players {
            checks::history(self);
        }
    }

    /// Some events come into the log at one moment, those of one partition in one append.
    fn send(&mut self) {
        self.script.wait();
        self.clock.store(self.script.clock, Ordering::Relaxed);
        let mut records = [Vec::new(), Vec::new()];
        for _ in 0..pick(&mut self.rng, &[1, 1, 2, 4]) {
            let room = self.script.room();
            let (_, last_seq) = self.truth.room(room).last();
            let record = NewRecord {
                epoch: 0,
                lane: Lane::Viewers,
                key: Bytes::copy_from_slice(ROOMS[room].as_str().as_bytes()),
                value: self.script.event(room, last_seq.0).value,
                traceparent: None,
            };
            let partition = self.routes.route(ROOMS[room].slot()).partition;
            records[partition as usize].push(record);
            self.sent += 1;
        }
        for (partition, records) in PARTITIONS.into_iter().zip(records) {
            if !records.is_empty() {
                let appended = self.stores().log.append(partition, records);
                done(appended).unwrap();
            }
        }
        self.learn();
    }

    fn learn(&mut self) {
        let Some(stores) = &mut self.stores else {
            return;
        };
        while let ReadEvent::Records(batch) = done(next_at_once(&mut stores.learner)).unwrap() {
            for record in &batch.records {
                self.truth.learn(record);
                self.learned[batch.partition.0 as usize] = record.offset + 1;
            }
        }
    }

    /// Whether everything is in the log, and everything that is in the log is projected.
    fn is_at_rest(&self) -> bool {
        if self.sent < RECORDS {
            return false;
        }
        SLOTS.iter().all(|slot| {
            let partition = self.routes.route(*slot).partition as usize;
            let last = Some(Position::new(0, self.learned[partition] - 1));
            (!self.plan.has_windows || self.stores().windows.position(*slot) == last)
                && (!self.plan.has_history || self.watermark(*slot) == last)
        })
    }
}

impl Stores {
    fn open(plan: Plan, place: &Place, clock: &Arc<AtomicI64>, fate: &Fate) -> Stores {
        let clock = Arc::clone(clock);
        let now = Arc::new(move || clock.load(Ordering::Relaxed));
        let options = embedded::Options {
            partitions: 3.try_into().unwrap(),
            linger: Duration::ZERO,
            ..embedded::Options::new(place.directory.path().join("log"), now)
        };
        let log = EmbeddedLog::open(options).unwrap();
        let mut stores = Stores {
            learner: log.reader(),
            log,
            history: done(place.history()),
            windows: FatefulWindows::new(plan, fate.clone()),
        };
        stores.resume([0; 2]);
        stores
    }

    /// Lets the learner go on from these offsets.
    fn resume(&mut self, learned: [i64; 2]) {
        done(next_at_once(&mut self.learner)).unwrap();
        for (partition, next) in PARTITIONS.into_iter().zip(learned) {
            done(self.learner.seek(partition, next)).unwrap();
        }
    }
}

/// The first two of our slots are in one partition, the third is alone.
fn routes() -> Routes {
    let partition = |slot: Slot| match SLOTS.iter().position(|ours| *ours == slot) {
        Some(2) => 1,
        Some(_) => 0,
        None => 2,
    };
    let slots = Slot::all().map(|slot| json!({ "epoch": 0, "partition": partition(slot) }));
    let table = json!({ "version": 2, "slots": slots.collect::<Vec<_>>() });
    serde_json::from_value(table).unwrap()
}
