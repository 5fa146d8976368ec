//! The windows: the last part of every room, and their projection.
//!
//! Owns the port of what keeps them ([`store`]) with its adapters, and [`Windows`], which
//! packs what settle decided, takes out what it erased ([`blanking`]) and fills a lost slot from the
//! history ([`refill`]). Every write names the position that it expects, so a late writer changes
//! nothing and nothing that was erased comes back.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use danmu_schemas::chunk::{CHUNK_LEN_MAX, ChunkBody, ChunkHeader, Packer, Unpacker};
use danmu_schemas::{Generation, LogIdentity, Position, RoomId, Settled, Slot, Unsettled};

use crate::history::{HistoryReader, HistoryStore};
use crate::projection::{
    Appended, Loaded, Projection, SettledRun, SlotStep, StoreError, outcomes, together,
};

mod additions;
mod blanking;
pub mod memory;
#[cfg(feature = "cluster")]
pub mod redis;
mod refill;
pub mod store;
mod watches;

use blanking::Blanked;
pub use memory::{MemoryWindows, WindowLimits};
pub use store::{
    PackedChunk, RefillToken, RoomCopy, RoomWatch, RoomWindow, WindowChange, WindowRead,
    WindowStep, WindowStore,
};

/// How many slots are opened at once, filled where they are lost: each then holds one room's copy.
const OPENED_AT_ONCE: usize = 16;
/// Of how many slots rooms are loaded at once.
const LOADED_AT_ONCE: usize = 32;

/// How a refill begins.
#[derive(Debug, Clone, Copy)]
pub struct RefillOptions {
    /// Names this process among all that ever refill: drawn at random at its start.
    pub owner: u64,
    /// Whether the log still has its first record: without a watermark a refill begins there.
    pub log_is_whole: bool,
    /// The most events of a room that a refill copies.
    pub events_max: usize,
}

/// The windows as a projection; a lost slot is filled from the history.
pub struct Windows<S, H> {
    store: S,
    history: HistoryReader<H>,
    log: LogIdentity,
    options: RefillOptions,
    refills: AtomicU64,
    /// Shared by the refills that are under way.
    packer: Mutex<Packer>,
    unpacker: Unpacker,
}

impl<S: WindowStore, H: HistoryStore> Windows<S, H> {
    /// The windows of a log.
    pub fn new(
        store: S,
        history: HistoryReader<H>,
        log: LogIdentity,
        options: RefillOptions,
    ) -> Self {
        Self {
            store,
            history,
            log,
            options,
            refills: AtomicU64::new(0),
            packer: Mutex::new(Packer::new()),
            unpacker: Unpacker::new(),
        }
    }

    /// The slot's position, if it has one and belongs to our log.
    async fn position(&self, slot: Slot) -> Result<Option<Position>, StoreError> {
        match self.store.position(slot).await? {
            None => Ok(None),
            Some((position, log)) if log == self.log => Ok(Some(position)),
            Some((_, log)) => Err(StoreError::OtherLog {
                slot,
                stored: log.0,
                ours: self.log.0.clone(),
            }),
        }
    }

    async fn open(&self, slot: Slot) -> Result<Position, StoreError> {
        match self.position(slot).await? {
            Some(position) => Ok(position),
            None => self.refill(slot).await,
        }
    }

    fn next_refill(&self) -> RefillToken {
        let refill = self.refills.fetch_add(1, Ordering::Relaxed) + 1;
        RefillToken(u128::from(self.options.owner) << 64 | u128::from(refill))
    }
}

impl<S, H> Windows<S, H> {
    fn packer(&self) -> MutexGuard<'_, Packer> {
        self.packer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: WindowStore + WindowRead, H: HistoryStore> Windows<S, H> {
    /// A step as it is stored; where it needs not be passed on, its outcome.
    async fn pack(&mut self, step: SlotStep) -> Result<WindowStep, Result<Appended, StoreError>> {
        let mut changes = Vec::with_capacity(step.changes.len());
        for mut change in step.changes {
            let blanked = match self.blank(&mut change, step.expected).await {
                Ok(Blanked::Chunks(chunks)) => chunks,
                Ok(Blanked::Elsewhere(position)) => return Err(Ok(Appended::Other(position))),
                Err(error) => return Err(Err(error)),
            };
            let epoch = change.position.epoch;
            let packer = &mut self.packer();
            let runs = change.runs.into_iter();
            changes.push(WindowChange {
                chunks: runs.flat_map(|run| pack_run(packer, epoch, run)).collect(),
                blanked,
                room: change.room,
                state: change.state,
            });
        }
        Ok(WindowStep {
            slot: step.slot,
            log: self.log.clone(),
            expected: step.expected,
            to: step.to,
            changes,
        })
    }
}

impl<S: WindowStore + WindowRead, H: HistoryStore> Projection for Windows<S, H> {
    async fn open_all(&mut self, slots: &[Slot]) -> Vec<Result<Position, StoreError>> {
        let windows = &*self;
        let opened = slots.iter().map(|slot| windows.open(*slot));
        together(OPENED_AT_ONCE, opened.collect()).await
    }

    async fn load_all(
        &mut self,
        wanted: &[(Slot, Vec<RoomId>)],
    ) -> Vec<Result<Loaded, StoreError>> {
        let loads = wanted
            .iter()
            .map(|(slot, rooms)| self.store.load(*slot, rooms));
        together(LOADED_AT_ONCE, loads.collect()).await
    }

    async fn append_all(&mut self, steps: Vec<SlotStep>) -> Vec<Result<Appended, StoreError>> {
        let mut known = Vec::with_capacity(steps.len());
        let mut packed = Vec::with_capacity(steps.len());
        for step in steps {
            known.push(match self.pack(step).await {
                Ok(step) => {
                    packed.push(step);
                    None
                }
                Err(outcome) => Some(outcome),
            });
        }
        outcomes(known, self.store.append_all(packed).await)
    }

    /// Every append is one.
    async fn checkpoint_all(
        &mut self,
        reached: &[(Slot, Position)],
    ) -> Vec<Result<(), StoreError>> {
        reached.iter().map(|_| Ok(())).collect()
    }
}

/// A run as chunks of at most [`CHUNK_LEN_MAX`] events; none where it has no entries.
fn pack_run(packer: &mut Packer, epoch: u32, run: SettledRun) -> Vec<PackedChunk> {
    let mut settled = run.settled.into_iter().peekable();
    let mut unsettled = run.unsettled.into_iter().peekable();
    let mut next_seq = run.first_seq;
    let mut chunks = Vec::new();
    while settled.peek().is_some() || unsettled.peek().is_some() {
        let events: Vec<Settled> = settled.by_ref().take(CHUNK_LEN_MAX).collect();
        let last_offset = events.last().map(|event| event.offset);
        let is_last = settled.peek().is_none();
        let belongs = |entry: &Unsettled| is_last || Some(entry.offset) < last_offset;
        let mut refused = Vec::new();
        while let Some(entry) = unsettled.next_if(belongs) {
            refused.push(entry);
        }
        let first_seq = next_seq;
        next_seq.0 += events.len() as u64;
        let body = ChunkBody {
            settled: events,
            unsettled: refused,
        };
        chunks.extend(pack(packer, run.generation, epoch, first_seq, body));
    }
    chunks
}

/// A chunk of what the body holds; `None` where it holds nothing.
fn pack(
    packer: &mut Packer,
    generation: Generation,
    epoch: u32,
    first_seq: danmu_schemas::Seq,
    body: ChunkBody,
) -> Option<PackedChunk> {
    let settled = body.settled.iter().map(|e| (e.offset, e.logged_at));
    let unsettled = body.unsettled.iter().map(|e| (e.offset, e.logged_at));
    let entries = || settled.clone().chain(unsettled.clone());
    let (last_offset, last_logged_at) = entries().max()?;
    let (first_offset, _) = entries().min()?;
    let header = ChunkHeader {
        generation,
        epoch,
        first_seq,
        count: body.settled.len() as u32,
        first_offset,
        last_offset,
        last_at: body.settled.last().map_or(0, |event| event.at),
        last_logged_at,
    };
    let bytes = packer.pack(&header, &body);
    Some(PackedChunk { header, bytes })
}
