//! What the functions in `windows.lua` are given, in the order in which they read it.

use danmu_schemas::state::Field;
use danmu_schemas::{LogIdentity, Position, RoomId};
use redis::Cmd;

use super::layout::{clocked, marked, token};
use crate::projection::StoreError;
use crate::windows::WindowLimits;
use crate::windows::additions::Additions;
use crate::windows::store::{RefillToken, RoomCopy, WindowChange, WindowStep};

/// What leaves a window.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trimming {
    pub(super) limits: WindowLimits,
    pub(super) watermark: Option<Position>,
}

/// A call that may write.
pub(super) fn writing(name: &str, base: &str) -> Cmd {
    call("FCALL", name, base)
}

/// A call that only reads.
pub(super) fn reading(name: &str, base: &str) -> Cmd {
    call("FCALL_RO", name, base)
}

fn call(command: &str, name: &str, base: &str) -> Cmd {
    let mut call = redis::cmd(command);
    let library = super::library::NAME;
    call.arg(format!("{library}_{name}")).arg(1).arg(base);
    call
}

pub(super) fn append(base: &str, step: WindowStep, trimming: Trimming) -> Result<Cmd, StoreError> {
    let mut call = writing("append", base);
    call.arg(step.log.0)
        .arg(step.expected.to_string())
        .arg(step.to.to_string())
        .arg(i32::from(step.to > step.expected));
    add_trimming(&mut call, trimming);
    call.arg(step.changes.len());
    for change in step.changes {
        let WindowChange {
            room,
            state,
            chunks,
            blanked,
        } = change;
        let changed = state.changed;
        let additions = Additions::of_change(state, chunks, blanked)?;
        add_change(&mut call, &room, &additions, changed);
    }
    Ok(call)
}

pub(super) fn begin(base: &str, name: RefillToken) -> Cmd {
    let mut call = writing("begin", base);
    call.arg(token(name));
    call
}

pub(super) fn put(
    base: &str,
    (name, n): (RefillToken, u64),
    copy: RoomCopy,
    trimming: Trimming,
) -> Result<Cmd, StoreError> {
    let mut call = writing("put", base);
    call.arg(token(name)).arg(n);
    add_trimming(&mut call, trimming);
    let additions = Additions::of_copy(copy.state, copy.chunks)?;
    let set = std::array::from_fn(|field| !additions.state.fields[field].is_empty());
    add_change(&mut call, &copy.room, &additions, set);
    Ok(call)
}

pub(super) fn end(
    base: &str,
    (name, n): (RefillToken, u64),
    (position, log): (Position, LogIdentity),
) -> Cmd {
    let mut call = writing("end", base);
    call.arg(token(name))
        .arg(n)
        .arg(position.to_string())
        .arg(log.0);
    call
}

fn add_trimming(call: &mut Cmd, trimming: Trimming) {
    let limits = trimming.limits;
    let (epoch, offset) = match trimming.watermark {
        Some(watermark) => (i64::from(watermark.epoch), watermark.offset),
        None => (-1, -1),
    };
    call.arg(limits.events_max)
        .arg(limits.bytes_max)
        .arg(limits.age_ms_max)
        .arg(limits.hard_bytes_max)
        .arg(epoch)
        .arg(offset);
}

fn add_change(call: &mut Cmd, room: &RoomId, additions: &Additions, changed: [bool; Field::COUNT]) {
    call.arg(room.as_str())
        .arg(i32::from(additions.is_live))
        .arg(additions.event_memory_since)
        .arg(additions.gift_memory_since);
    let changed: Vec<usize> = (0..Field::COUNT).filter(|field| changed[*field]).collect();
    call.arg(2 + 2 * changed.len())
        .arg("core")
        .arg(&additions.state.core[..]);
    for field in changed {
        call.arg(format!("f{}", field + 1))
            .arg(&additions.state.fields[field][..]);
    }
    for blocks in [&additions.event_memory, &additions.gift_memory] {
        call.arg(blocks.len());
        for block in blocks {
            call.arg(clocked(block));
        }
    }
    for chunks in [&additions.blanked, &additions.chunks] {
        call.arg(chunks.len());
        for chunk in chunks {
            call.arg(marked(chunk));
        }
    }
}
