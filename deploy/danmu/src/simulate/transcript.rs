//! What one reader is told of a room, from its first page to its last: dense, or accounted for.
//!
//! Pure. A transcript holds a cursor and not the pages: each must go on exactly where the one before
//! ended, whatever connection brought it. What pages say among each other is [`super::record`]'s.

use danmu_schemas::{Cursor, Seq};

use super::page::Page;
use super::violation::Violation;

/// What a reader is promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// Everything in every answer: a poll at full density.
    Whole,
    /// Everything, if what an answer withholds is read again: a stream or a socket at full density.
    WholeAgain,
    /// Only that what is left out is counted.
    Counted,
}

/// What one reader was told.
#[derive(Debug)]
pub struct Transcript {
    promise: Promise,
    cursor: Cursor,
    owed: Vec<Owed>,
}

/// A part of a room that is to be read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owed {
    /// It begins after this…
    pub after: Cursor,
    /// …and ends with this seq.
    pub to: u64,
}

impl Transcript {
    /// Of a reader that has what is up to `cursor`.
    pub fn begin(cursor: Cursor, promise: Promise) -> Self {
        Self {
            promise,
            cursor,
            owed: Vec::new(),
        }
    }

    /// What the reader has.
    pub fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// What was withheld of what it is promised, in order.
    pub fn owed(&self) -> &[Owed] {
        &self.owed
    }

    /// Takes the next page, which is whole by itself.
    pub fn take(&mut self, page: &Page) -> Result<(), Violation> {
        let (cursor, from) = (self.cursor, page.from);
        if from > cursor.seq.0 {
            return Err(Violation::Hole { cursor, from });
        }
        if from < cursor.seq.0 {
            return Err(Violation::Repeat { cursor, from });
        }
        let next = self.after(page).ok_or_else(|| Violation::WrongCursor {
            cursor,
            told: page.cursor.clone(),
            to: page.to,
        })?;
        match (page.withheld.count, self.promise) {
            (0, _) | (_, Promise::Counted) => {}
            (count, Promise::Whole) => return Err(Violation::Thinned { count }),
            (_, Promise::WholeAgain) => self.owe(next.seq),
        }
        self.cursor = next;
        Ok(())
    }

    /// The page's cursor, if it goes on from this one.
    fn after(&self, page: &Page) -> Option<Cursor> {
        let next: Cursor = page.cursor.parse().ok()?;
        let is_same = self.cursor == Cursor::START || next.generation == self.cursor.generation;
        (is_same && next.seq == Seq(page.to)).then_some(next)
    }

    fn owe(&mut self, to: Seq) {
        let after = self.cursor;
        match self.owed.last_mut() {
            Some(last) if last.to == after.seq.0 => last.to = to.0,
            _ => self.owed.push(Owed { after, to: to.0 }),
        }
    }
}

#[cfg(test)]
mod tests;
