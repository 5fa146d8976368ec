//! A history processor: it resumes at its slots' watermarks, settles, and writes facts.
//!
//! Between any two reads or writes the world may change under it. Whatever makes it doubt (a failed
//! session, a watermark that moved during a load, a store of another generation) ends the session,
//! and the next one begins at the watermarks.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use super::super::world::{Event, Record, SLOTS, State, Walk, chance, found, pause, pick, slot_of};
use super::store::{Fact, Store};
use super::{CHUNK_EVENTS, ROOMS, Removal, Shared};

/// A processor's walk, and whether its session has failed since its last step.
pub struct Processor {
    world: Shared,
    walk: Walk<()>,
    pub failed: bool,
}

impl Processor {
    pub fn start(world: &Shared) -> Processor {
        Processor {
            world: world.clone(),
            walk: resume(world),
            failed: false,
        }
    }

    /// Runs one step; a failed session, or a walk that gave up, resumes at the watermarks.
    pub fn step(&mut self) {
        let ended = !self.failed && self.walk.step().is_some();
        if self.failed || ended {
            self.failed = false;
            self.walk = resume(&self.world);
        }
    }
}

fn resume(world: &Shared) -> Walk<()> {
    Walk::new(Session::run(world.clone()))
}

/// A chunk that is being filled.
struct Filling {
    first_seq: usize,
    first_position: i64,
    events: Vec<Event>,
}

/// The states written at one position, on their way under a watermark and beyond.
#[derive(Clone)]
struct Checkpoint {
    position: i64,
    written_at: u64,
    rooms: Vec<usize>,
}

#[derive(Default)]
struct SlotWork {
    position: i64,
    watermark: i64,
    rooms: BTreeMap<usize, State>,
    changed: BTreeSet<usize>,
    filling: BTreeMap<usize, Filling>,
    unmarked: VecDeque<Checkpoint>,
    unremoved: VecDeque<Checkpoint>,
}

/// The session is stale: begin again at the watermarks.
struct Stale;

/// One processor from its start to its next restart.
struct Session {
    world: Shared,
    generation: u64,
    slots: Vec<SlotWork>,
}

impl Session {
    async fn run(world: Shared) {
        let generation = world.borrow().store.generation;
        let mut session = Session {
            world,
            generation,
            slots: Vec::new(),
        };
        let _restart = session.work().await;
    }

    async fn work(&mut self) -> Result<(), Stale> {
        for slot in 0..SLOTS {
            self.open(slot).await;
        }
        let mut at = self
            .slots
            .iter()
            .map(|slot| slot.position)
            .min()
            .unwrap_or(-1)
            + 1;
        let (mut checkpoint_at, every) = {
            let mut world = self.world.borrow_mut();
            (world.store.now, world.rng.u64(4..25))
        };
        loop {
            let batch = self.read(at);
            for record in &batch {
                self.settle(record).await?;
            }
            if let Some(last) = batch.last() {
                at = last.offset + 1;
                for slot in &mut self.slots {
                    slot.position = slot.position.max(last.offset);
                }
            }
            let (now, quiet) = self.clock();
            if now - checkpoint_at >= every || (quiet && batch.is_empty()) {
                checkpoint_at = now;
                for slot in 0..SLOTS {
                    self.write_states(slot).await;
                }
            }
            for slot in 0..SLOTS {
                self.move_watermark(slot).await?;
                self.remove_states(slot).await?;
            }
            pause().await;
        }
    }

    fn clock(&self) -> (u64, bool) {
        let world = self.world.borrow();
        (world.store.now, world.quiet)
    }

    fn read(&self, at: i64) -> Vec<Record> {
        let mut world = self.world.borrow_mut();
        let length = pick(&mut world.rng, &[1, 2, 5]);
        world
            .log
            .iter()
            .skip(at as usize)
            .take(length)
            .copied()
            .collect()
    }

    async fn open(&mut self, slot: usize) {
        let (watermark, older) = {
            let world = self.world.borrow();
            let watermark = world.store.watermark(slot);
            let shortcut = world.rule.removal == Removal::WhateverIsOlder;
            (
                watermark,
                if shortcut {
                    older_states(&world.store, slot, watermark)
                } else {
                    Vec::new()
                },
            )
        };
        pause().await;
        self.slots.push(SlotWork {
            position: watermark,
            watermark,
            ..SlotWork::default()
        });
        for (room, below) in older {
            self.write(Fact::Removal {
                room,
                below,
                as_of: watermark,
            })
            .await;
        }
    }

    async fn settle(&mut self, record: &Record) -> Result<(), Stale> {
        let slot = slot_of(record.room);
        if record.offset <= self.slots[slot].position {
            return Ok(());
        }
        if !self.slots[slot].rooms.contains_key(&record.room) {
            let state = self.load(record).await?;
            self.slots[slot].rooms.insert(record.room, state);
        }
        let work = &mut self.slots[slot];
        let state = work.rooms.entry(record.room).or_default();
        let event = state.settle(record);
        work.changed.insert(record.room);
        let first_seq = state.seq + usize::from(event.is_none());
        let filling = work.filling.entry(record.room).or_insert_with(|| Filling {
            first_seq,
            first_position: record.offset,
            events: Vec::new(),
        });
        filling.events.extend(event);
        let full = filling.events.len() >= CHUNK_EVENTS;
        if full {
            self.flush(slot, record.room).await;
        }
        self.slots[slot].position = record.offset;
        Ok(())
    }

    /// Reads a room's state as of the watermark, and the watermark once more.
    async fn load(&self, record: &Record) -> Result<State, Stale> {
        let watermark = self.slots[slot_of(record.room)].watermark;
        let state = self
            .world
            .borrow()
            .store
            .newest_state(record.room, watermark);
        pause().await;
        if self.world.borrow().rule.load_checked {
            let moved = self.world.borrow().store.watermark(slot_of(record.room)) != watermark;
            pause().await;
            if moved {
                return Err(Stale);
            }
        }
        let mut world = self.world.borrow_mut();
        if state != world.truth.state(record.room, record.offset - 1) {
            found(&mut world.findings, "a room was resumed from a wrong state");
        }
        Ok(state.map(|state| (*state).clone()).unwrap_or_default())
    }

    async fn flush(&mut self, slot: usize, room: usize) {
        let Some(Filling {
            first_seq,
            first_position,
            events,
        }) = self.slots[slot].filling.remove(&room)
        else {
            return;
        };
        {
            let mut world = self.world.borrow_mut();
            let truth = &world.truth.events[room];
            let is_true = events
                .iter()
                .all(|event| truth.get(event.seq - 1) == Some(event));
            if !is_true {
                found(&mut world.findings, "a false chunk was written");
            }
        }
        self.write(Fact::Chunk {
            room,
            first_seq,
            first_position,
            events: events.into(),
        })
        .await;
    }

    async fn write_states(&mut self, slot: usize) {
        let position = self.slots[slot].position;
        if position <= self.slots[slot].watermark {
            return;
        }
        let filling: Vec<usize> = self.slots[slot].filling.keys().copied().collect();
        for room in filling {
            self.flush(slot, room).await;
        }
        let rooms: Vec<usize> = std::mem::take(&mut self.slots[slot].changed)
            .into_iter()
            .collect();
        for room in &rooms {
            let state = Rc::new(self.slots[slot].rooms[room].clone());
            self.write(Fact::State {
                room: *room,
                position,
                state,
            })
            .await;
        }
        let written_at = self.clock().0;
        self.slots[slot].unmarked.push_back(Checkpoint {
            position,
            written_at,
            rooms,
        });
    }

    async fn move_watermark(&mut self, slot: usize) -> Result<(), Stale> {
        while let Some(checkpoint) = self.due(slot, |work| &mut work.unmarked) {
            self.compare_generation()?;
            let position = checkpoint.position;
            if self.slots[slot].watermark < position {
                self.write(Fact::Watermark { slot, position }).await;
                self.slots[slot].watermark = position;
            }
            let removal = self.world.borrow().rule.removal;
            match removal {
                Removal::RightAfterWatermark => self.remove_below(&checkpoint).await,
                Removal::OwnAfterHorizon => {
                    let written_at = self.clock().0;
                    self.slots[slot].unremoved.push_back(Checkpoint {
                        written_at,
                        ..checkpoint
                    });
                }
                Removal::WhateverIsOlder | Removal::Never => {}
            }
        }
        Ok(())
    }

    async fn remove_states(&mut self, slot: usize) -> Result<(), Stale> {
        while let Some(checkpoint) = self.due(slot, |work| &mut work.unremoved) {
            self.compare_generation()?;
            self.remove_below(&checkpoint).await;
        }
        Ok(())
    }

    async fn remove_below(&self, checkpoint: &Checkpoint) {
        for room in &checkpoint.rooms {
            let position = checkpoint.position;
            self.write(Fact::Removal {
                room: *room,
                below: position,
                as_of: position,
            })
            .await;
        }
    }

    /// The next checkpoint of a queue, once it is a horizon old.
    fn due(
        &mut self,
        slot: usize,
        queue: impl Fn(&mut SlotWork) -> &mut VecDeque<Checkpoint>,
    ) -> Option<Checkpoint> {
        let world = self.world.borrow();
        let queue = queue(&mut self.slots[slot]);
        let due = queue.front()?.written_at + world.rule.horizon <= world.store.now;
        if due { queue.pop_front() } else { None }
    }

    fn compare_generation(&self) -> Result<(), Stale> {
        let world = self.world.borrow();
        let restarted = world.store.generation != self.generation;
        if world.rule.generation_compared && restarted {
            Err(Stale)
        } else {
            Ok(())
        }
    }

    /// Writes a fact; the outcome of one attempt may be unknown, and it may arrive much later.
    async fn write(&self, fact: Fact) {
        let lost = {
            let mut world = self.world.borrow_mut();
            let lost = !world.quiet && chance(&mut world.rng, 0.03);
            if lost && world.rng.bool() {
                world.store.late.push(fact.clone());
            }
            lost
        };
        if lost {
            pause().await;
        }
        self.world.borrow_mut().store.write(fact);
        pause().await;
    }
}

fn older_states(store: &Store, slot: usize, watermark: i64) -> Vec<(usize, i64)> {
    let rooms = (0..ROOMS).filter(|room| slot_of(*room) == slot);
    rooms
        .filter_map(|room| Some((room, store.newest_position(room, watermark)?)))
        .collect()
}
