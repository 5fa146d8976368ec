//! The windows of one world: in memory, under a fate, and with the calls that made them.
//!
//! A roll-back makes them anew from the first of these calls, as a server does that lost the end of its
//! append-only file.

use std::sync::{Arc, Mutex, MutexGuard};

use danmu_projections::projection::{Appended, Loaded, StoreError, StoredState};
use danmu_projections::windows::memory::MemoryWatch;
use danmu_projections::windows::store::{
    RefillToken, RoomCopy, RoomWindow, WindowRead, WindowStep, WindowStore,
};
use danmu_projections::windows::{MemoryWindows, WindowLimits};
use danmu_schemas::{LogIdentity, Position, RoomId, Slot};

use super::faults::{Fate, at_once};

const LIMITS: WindowLimits = WindowLimits {
    events_max: 6,
    bytes_max: usize::MAX,
    age_ms_max: i64::MAX,
    hard_bytes_max: usize::MAX,
};

/// Clones share them.
#[derive(Clone)]
pub struct FatefulWindows {
    kept: Arc<Mutex<Kept>>,
    fate: Fate,
}

struct Kept {
    now: MemoryWindows,
    calls: Vec<Call>,
}

/// What changes windows.
#[derive(Clone)]
enum Call {
    Append(WindowStep),
    Begin(Slot, RefillToken),
    Put(Slot, RefillToken, u64, Box<RoomCopy>),
    End(Slot, RefillToken, u64, (Position, LogIdentity)),
    Wipe(Slot),
    Watermark(Slot, Position),
}

impl FatefulWindows {
    pub fn new(fate: Fate) -> FatefulWindows {
        let kept = Kept {
            now: MemoryWindows::new(LIMITS),
            calls: Vec::new(),
        };
        FatefulWindows {
            kept: Arc::new(Mutex::new(kept)),
            fate,
        }
    }

    /// The windows themselves.
    pub fn now(&self) -> MemoryWindows {
        self.kept().now.clone()
    }

    pub fn position(&self, slot: Slot) -> Option<Position> {
        let position = at_once(self.now().position(slot));
        position.unwrap().map(|(position, _)| position)
    }

    pub fn wipe(&self, slot: Slot) {
        self.take(Call::Wipe(slot));
        self.now().wipe(slot);
    }

    pub fn set_watermark(&self, slot: Slot, watermark: Position) {
        self.take(Call::Watermark(slot, watermark));
        self.now().set_watermark(slot, watermark);
    }

    /// Undoes the last `calls` calls.
    pub fn roll_back(&self, calls: usize) {
        let mut kept = self.kept();
        let left = kept.calls.len().saturating_sub(calls);
        kept.calls.truncate(left);
        kept.now = MemoryWindows::new(LIMITS);
        for call in kept.calls.clone() {
            repeat(&kept.now, call);
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap()
    }

    fn take(&self, call: Call) {
        self.kept().calls.push(call);
    }
}

fn repeat(windows: &MemoryWindows, call: Call) {
    match call {
        Call::Append(step) => drop(at_once(windows.append(step))),
        Call::Begin(slot, token) => drop(at_once(windows.begin(slot, token))),
        Call::Put(slot, token, n, copy) => drop(at_once(windows.put(slot, token, n, *copy))),
        Call::End(slot, token, n, at) => drop(at_once(windows.end(slot, token, n, at))),
        Call::Wipe(slot) => windows.wipe(slot),
        Call::Watermark(slot, watermark) => windows.set_watermark(slot, watermark),
    }
}

impl WindowStore for FatefulWindows {
    async fn position(&self, slot: Slot) -> Result<Option<(Position, LogIdentity)>, StoreError> {
        self.fate
            .call(async { self.now().position(slot).await })
            .await
    }

    async fn load(&self, slot: Slot, rooms: &[RoomId]) -> Result<Loaded, StoreError> {
        self.fate
            .call(async { self.now().load(slot, rooms).await })
            .await
    }

    async fn append(&self, step: WindowStep) -> Result<Appended, StoreError> {
        let work = async {
            self.take(Call::Append(step.clone()));
            self.now().append(step).await
        };
        self.fate.call(work).await
    }

    async fn begin(&self, slot: Slot, token: RefillToken) -> Result<bool, StoreError> {
        let work = async {
            self.take(Call::Begin(slot, token));
            self.now().begin(slot, token).await
        };
        self.fate.call(work).await
    }

    async fn put(
        &self,
        slot: Slot,
        token: RefillToken,
        n: u64,
        copy: RoomCopy,
    ) -> Result<bool, StoreError> {
        let work = async {
            self.take(Call::Put(slot, token, n, Box::new(copy.clone())));
            self.now().put(slot, token, n, copy).await
        };
        self.fate.call(work).await
    }

    async fn end(
        &self,
        slot: Slot,
        token: RefillToken,
        n: u64,
        at: (Position, LogIdentity),
    ) -> Result<bool, StoreError> {
        let work = async {
            self.take(Call::End(slot, token, n, at.clone()));
            self.now().end(slot, token, n, at).await
        };
        self.fate.call(work).await
    }
}

impl WindowRead for FatefulWindows {
    type Watch = MemoryWatch;

    async fn watch(&self, room: &RoomId) -> Result<MemoryWatch, StoreError> {
        self.now().watch(room).await
    }

    async fn since(&self, room: &RoomId, after: Position) -> Result<RoomWindow, StoreError> {
        let work = async { self.now().since(room, after).await };
        self.fate.call(work).await
    }

    async fn live(
        &self,
        after: Option<&RoomId>,
        limit: usize,
    ) -> Result<Vec<(RoomId, Arc<StoredState>)>, StoreError> {
        let work = async { self.now().live(after, limit).await };
        self.fate.call(work).await
    }
}
