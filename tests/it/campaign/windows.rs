//! The windows of one world, under a fate, and with the calls that made them.
//!
//! A roll-back makes them anew from the first of these calls, as a server does that lost the end of its
//! append-only file.

use std::sync::{Arc, Mutex, MutexGuard};

use danmu_projections::projection::{Appended, Loaded, StoreError, StoredState};
use danmu_projections::windows::store::{
    RefillToken, RoomCopy, RoomWindow, WindowRead, WindowStep, WindowStore,
};
use danmu_schemas::{LogIdentity, Position, RoomId, Slot};
use futures_util::future::join_all;

use super::super::model::world::done;
use super::Plan;
use super::engines::{AnyWatch, AnyWindows};
use super::faults::Fate;

/// Clones share them.
#[derive(Clone)]
pub struct FatefulWindows {
    kept: Arc<Mutex<Kept>>,
    fate: Fate,
    plan: Plan,
}

struct Kept {
    now: AnyWindows,
    calls: Vec<Call>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        done(self.now.end());
    }
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
    pub fn new(plan: Plan, fate: Fate) -> FatefulWindows {
        let kept = Kept {
            now: done(AnyWindows::begin(plan)),
            calls: Vec::new(),
        };
        FatefulWindows {
            kept: Arc::new(Mutex::new(kept)),
            fate,
            plan,
        }
    }

    /// The windows themselves.
    pub fn now(&self) -> AnyWindows {
        self.kept().now.clone()
    }

    pub fn position(&self, slot: Slot) -> Option<Position> {
        let position = done(self.now().position(slot));
        position.unwrap().map(|(position, _)| position)
    }

    pub fn wipe(&self, slot: Slot) {
        self.take(Call::Wipe(slot));
        done(self.now().wipe(slot));
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
        done(kept.now.end());
        kept.now = done(AnyWindows::begin(self.plan));
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

fn repeat(windows: &AnyWindows, call: Call) {
    match call {
        Call::Append(step) => drop(done(windows.append_all(vec![step]))),
        Call::Begin(slot, token) => drop(done(WindowStore::begin(windows, slot, token))),
        Call::Put(slot, token, n, copy) => drop(done(windows.put(slot, token, n, *copy))),
        Call::End(slot, token, n, at) => drop(done(WindowStore::end(windows, slot, token, n, at))),
        Call::Wipe(slot) => done(windows.wipe(slot)),
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

    /// Each step has its own fate, whatever the others wait for.
    async fn append_all(&self, steps: Vec<WindowStep>) -> Vec<Result<Appended, StoreError>> {
        let append = |step: WindowStep| async move {
            let work = async {
                self.take(Call::Append(step.clone()));
                self.now().append_all(vec![step]).await.remove(0)
            };
            self.fate.call(work).await
        };
        join_all(steps.into_iter().map(append)).await
    }

    async fn begin(&self, slot: Slot, token: RefillToken) -> Result<bool, StoreError> {
        let work = async {
            self.take(Call::Begin(slot, token));
            WindowStore::begin(&self.now(), slot, token).await
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
            WindowStore::end(&self.now(), slot, token, n, at).await
        };
        self.fate.call(work).await
    }
}

impl WindowRead for FatefulWindows {
    type Watch = AnyWatch;

    async fn watch(&self, room: &RoomId) -> Result<AnyWatch, StoreError> {
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
