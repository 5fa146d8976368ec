//! The shortcuts that the projection rule rules out, for the campaigns that prove each of them wrong.
//!
//! Exists only with the feature `shortcuts`, which nothing but `danmu-tests` asks for. Each is one small
//! deviation, at the one place where the rule lives; the code of that place asks [`takes`]. A thread
//! takes at most one, so that worlds on other threads are not disturbed.

use std::cell::Cell;

/// Something that is tempting and wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shortcut {
    /// The windows compare each room's position instead of the slot's.
    ComparedPerRoom,
    /// An append that begins before the slot's position is taken for one that was stored.
    OverlapIsRepeat,
    /// A refill's calls compare nothing.
    RefillUnfenced,
    /// A refill's calls compare the token, but not how far the refill is.
    RefillUncounted,
    /// A refill copies what was erased.
    RefillNotBlanked,
    /// The windows store an erasure and leave what it erased in their chunks.
    WindowsNotBlanked,
    /// A refill lists the rooms before it reads the watermark.
    RoomsListedFirst,
    /// After a watermark, every state of a room but its newest is removed.
    WhateverIsOlderRemoved,
    /// A reader of events starts at the last chunk at or below its cursor.
    SeekToLastChunk,
    /// A segment's revision counts the moderation that is there.
    RevisionsCounted,
    /// The loop starts at the offset that its group committed, not after its slots' positions.
    StartAtCommitted,
    /// The loop reads recent ids from the log again instead of loading them.
    IdsReadAgain,
    /// Who commented when is not in the stored memory.
    CommentersNotStored,
    /// The loop keeps a slot's rooms when the store is elsewhere.
    MemoryKept,
}

thread_local! {
    static TAKEN: Cell<Option<Shortcut>> = const { Cell::new(None) };
}

/// What is called on this thread takes that shortcut from now on, or none.
pub fn take(shortcut: Option<Shortcut>) {
    TAKEN.set(shortcut);
}

/// Whether what is called on this thread takes it.
pub fn takes(shortcut: Shortcut) -> bool {
    TAKEN.get() == Some(shortcut)
}
