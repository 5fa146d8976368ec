//! What is due by the clock rather than by a record: comparing and moving every slot, checkpoints,
//! and rooms that leave memory.

use std::collections::BTreeSet;
use std::time::Instant;

use danmu_log::LogReader;
use danmu_projections::projection::{Projection, SlotStep, StoreError};
use danmu_schemas::{Partition, Position, Slot};

use super::held::{Followed, HeldSlot, millis};
use super::placing::Lost;
use super::{Projector, ProjectorError};

impl<P: Projection, R: LogReader> Projector<P, R> {
    /// Compares every slot with the store, so that a store that went back is found although the room
    /// is quiet, and moves it to where its partition has been read.
    pub(super) async fn advance_due(&mut self, now_ms: u64) -> Result<(), ProjectorError> {
        if now_ms < self.advance_due_ms {
            return Ok(());
        }
        self.advance_due_ms = now_ms + millis(self.options.advance_every);
        let mut steps = Vec::with_capacity(self.slots.len());
        for (slot, held) in &self.slots {
            let owned = self.partitions.get(&self.partition_of(*slot));
            let Some(owned) = owned.filter(|owned| owned.followed == Followed::Following) else {
                continue;
            };
            steps.push(SlotStep {
                slot: *slot,
                expected: held.at,
                to: held.at.max(Position::new(held.at.epoch, owned.read_to)),
                changes: Vec::new(),
            });
        }
        if steps.is_empty() {
            return Ok(());
        }
        let began = Instant::now();
        let lost = self.append(steps, now_ms).await?;
        self.meter.advance_seconds.record(began.elapsed());
        let failing: BTreeSet<Partition> = lost
            .iter()
            .map(|(slot, _)| self.partition_of(*slot))
            .collect();
        for (partition, owned) in &mut self.partitions {
            if owned.followed == Followed::Following && !failing.contains(partition) {
                owned.failures = 0;
            }
        }
        self.lose(lost, now_ms).await
    }

    /// Checkpoints the slots whose time has come.
    pub(super) async fn checkpoint_due(&mut self, now_ms: u64) -> Result<(), ProjectorError> {
        let failed = self
            .checkpoint_where(|held| held.checkpoint_due_ms <= now_ms, now_ms)
            .await;
        self.lose_failed(failed, now_ms).await
    }

    /// Checkpoints the slots of which a room has changed.
    pub(super) async fn checkpoint_changed(&mut self, now_ms: u64) -> Result<(), ProjectorError> {
        let has_changed = |held: &HeldSlot| held.rooms.values().any(|room| !held.is_clean(room));
        let failed = self.checkpoint_where(has_changed, now_ms).await;
        self.lose_failed(failed, now_ms).await
    }

    /// Checkpoints the slots that moved since their last one and are due; those that failed.
    pub(super) async fn checkpoint_where(
        &mut self,
        is_due: impl Fn(&HeldSlot) -> bool,
        now_ms: u64,
    ) -> Vec<(Slot, StoreError)> {
        let moved = self.slots.iter();
        let moved = moved.filter(|(_, held)| held.at != held.checkpointed && is_due(held));
        let reached: Vec<(Slot, Position)> = moved.map(|(slot, held)| (*slot, held.at)).collect();
        if reached.is_empty() {
            return Vec::new();
        }
        let began = Instant::now();
        let checkpointed = self.projection.checkpoint_all(&reached).await;
        self.meter.checkpoint_seconds.record(began.elapsed());
        let mut failed = Vec::new();
        for ((slot, _), checkpointed) in reached.into_iter().zip(checkpointed) {
            match (checkpointed, self.slots.get_mut(&slot)) {
                (Ok(()), Some(held)) => held.was_checkpointed(now_ms, &self.options),
                (Ok(()), None) => {}
                (Err(error), _) => failed.push((slot, error)),
            }
        }
        failed
    }

    async fn lose_failed(
        &mut self,
        failed: Vec<(Slot, StoreError)>,
        now_ms: u64,
    ) -> Result<(), ProjectorError> {
        let failed = failed.into_iter();
        let lost = failed.map(|(slot, error)| Ok((slot, Lost::from_error(error)?)));
        let lost = lost.collect::<Result<_, ProjectorError>>()?;
        self.lose(lost, now_ms).await
    }

    /// Lets clean idle rooms leave, and where too many are held, those idle longest.
    ///
    /// A room is clean when its last change is checkpointed: then the store gives it again, as of any
    /// later position of its slot.
    pub(super) async fn let_rooms_leave(&mut self, now_ms: u64) -> Result<(), ProjectorError> {
        let len: usize = self.slots.values().map(|held| held.rooms.len()).sum();
        self.meter.rooms.set(len as f64);
        if len > self.options.rooms_held_max {
            self.checkpoint_changed(now_ms).await?;
            if let Some(used_before_ms) = self.used_by_half() {
                self.let_leave_before(used_before_ms);
            }
        } else if now_ms + millis(self.options.advance_every) == self.advance_due_ms {
            let idle_max = millis(self.options.room_idle_max);
            self.let_leave_before(now_ms.saturating_sub(idle_max));
        }
        Ok(())
    }

    /// When the room at the middle of all held rooms was last used, plus one: dropping everything
    /// before leaves at most half of them, so that dropping is rare. `None` where none is held any
    /// more, because their slots were lost.
    fn used_by_half(&self) -> Option<u64> {
        let rooms = self.slots.values().flat_map(|held| held.rooms.values());
        let mut used: Vec<u64> = rooms.map(|room| room.used_at_ms).collect();
        if used.is_empty() {
            return None;
        }
        let middle = used.len() / 2;
        Some(*used.select_nth_unstable(middle).1 + 1)
    }

    fn let_leave_before(&mut self, used_before_ms: u64) {
        for held in self.slots.values_mut() {
            let checkpointed = held.checkpointed;
            held.rooms.retain(|_, room| {
                room.changed_at > checkpointed || room.used_at_ms >= used_before_ms
            });
        }
    }
}
