//! A room's chunks in the history, row by row, against the events of the log.
//!
//! Chunks may overlap with other borders, so each row is compared by itself once all of its events are
//! expected; for that the fingerprints of the last [`CHUNK_LEN_MAX`] events are held. Together the rows
//! must cover every event. Rows above the watermark may be there.

use std::collections::VecDeque;

use danmu_projections::erasures::Erasures;
use danmu_projections::history::layout::{self, Key, Table};
use danmu_projections::history::store::Row;
use danmu_projections::history::{HistoryReader, HistoryStore};
use danmu_projections::projection::StoreError;
use danmu_schemas::chunk::{CHUNK_LEN_MAX, ChunkBody, ChunkHeader, Unpacker};
use danmu_schemas::{Cursor, Position, RoomId, Seq, Settled, codec};

use super::VerifyError;
use super::fingerprint::Fingerprint;
use super::report::Report;

/// How far a room's chunks are compared.
#[derive(Default)]
pub(super) struct ChunkTrail {
    /// The last events that the log has; all that the next row may hold are among them.
    expected: VecDeque<(Cursor, Fingerprint)>,
    /// How many came before these.
    before: u64,
    /// How many events, from the first on, the rows cover.
    covered: u64,
    /// The first that they do not cover.
    uncovered: Option<Cursor>,
    /// The last row that was compared.
    past: Option<Key>,
    /// The last event of the next row, where it was not expected yet.
    waits_for: Option<Cursor>,
    /// A row cannot be read, so neither can those after it.
    is_broken: bool,
}

/// Where a room's chunks are, and up to where they must be complete.
pub(super) struct ChunkSource<'a, H> {
    pub history: &'a HistoryReader<H>,
    pub room: &'a RoomId,
    pub watermark: Position,
    /// What was erased up to there.
    pub erasures: &'a Erasures,
}

impl ChunkTrail {
    /// The log's next visible event.
    pub fn expect(&mut self, cursor: Cursor, event: &Settled) {
        let index = self.before + self.expected.len() as u64;
        if self.covered == index {
            self.uncovered = Some(cursor);
        }
        self.expected.push_back((cursor, Fingerprint::of(event)));
    }

    /// Compares the rows whose events have all been expected, or, at the end, all rows.
    pub async fn compare<H: HistoryStore>(
        &mut self,
        source: &ChunkSource<'_, H>,
        is_end: bool,
        report: &mut Report,
    ) -> Result<(), VerifyError> {
        let mut unpacker = None;
        while !self.is_broken && (is_end || !self.must_wait()) {
            let Some(row) = self.next_row(source, report).await? else {
                break;
            };
            let unpacked = unpacker.get_or_insert_with(Unpacker::new).unpack(&row.body);
            match unpacked {
                Err(error) => {
                    let what = layout::describe(&row.key);
                    report.differ(source.room, what, error.to_string());
                }
                Ok((header, body)) => {
                    let last = last_of(&header);
                    if !is_end && self.last_expected() < Some(last) {
                        self.waits_for = Some(last);
                        break;
                    }
                    check_row(&row, &header, &body, source, report);
                    self.compare_events(&header, &body, source, report);
                }
            }
            self.past = Some(row.key);
        }
        if is_end {
            self.miss_until(
                self.before + self.expected.len() as u64,
                source.room,
                report,
            );
        }
        self.forget();
        Ok(())
    }

    pub fn held_bytes(&self) -> usize {
        self.expected.len() * size_of::<(Cursor, Fingerprint)>()
    }

    async fn next_row<H: HistoryStore>(
        &mut self,
        source: &ChunkSource<'_, H>,
        report: &mut Report,
    ) -> Result<Option<Row>, VerifyError> {
        let past = self.past.as_deref();
        match source
            .history
            .row_past(Table::Chunks, source.room, past)
            .await
        {
            Ok(row) => Ok(row),
            Err(StoreError::Damaged { what, source: why }) => {
                self.is_broken = true;
                report.differ(source.room, what, why.to_string());
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn compare_events<H>(
        &mut self,
        header: &ChunkHeader,
        body: &ChunkBody,
        source: &ChunkSource<'_, H>,
        report: &mut Report,
    ) {
        let generation = header.generation;
        for event in &body.settled {
            let seq = event.seq;
            let cursor = Cursor { generation, seq };
            let what = || format!("event {cursor}");
            let Ok(n) = self
                .expected
                .binary_search_by_key(&cursor, |(cursor, _)| *cursor)
            else {
                if Position::new(header.epoch, event.offset) <= source.watermark {
                    report.differ(source.room, what(), "is not in the log");
                }
                continue;
            };
            self.miss_until(self.before + n as u64, source.room, report);
            report.events += u64::from(self.covered == self.before + n as u64);
            self.cover(n);
            let expected = self.expected[n].1;
            let stored = Fingerprint::of(event);
            if !stored.stands_for(&expected, || is_erased(cursor, event, source.erasures)) {
                report.differ(source.room, what(), "is another");
            }
        }
    }

    fn last_expected(&self) -> Option<Cursor> {
        self.expected.back().map(|(cursor, _)| *cursor)
    }

    fn must_wait(&self) -> bool {
        self.expected.is_empty() || self.waits_for > self.last_expected()
    }

    /// Events before the one of that index that no row covers, by now, are missing.
    fn miss_until(&mut self, index: u64, room: &RoomId, report: &mut Report) {
        if self.is_broken || self.covered >= index {
            return;
        }
        if let Some(first) = self.uncovered {
            let count = index - self.covered;
            report.differ(
                room,
                format!("event {first}"),
                format!("is missing ({count} in a row)"),
            );
        }
        self.covered = index;
    }

    fn cover(&mut self, n: usize) {
        self.covered = self.covered.max(self.before + n as u64 + 1);
        let next = (self.covered - self.before) as usize;
        self.uncovered = self.expected.get(next).map(|(cursor, _)| *cursor);
    }

    /// The next row ends after the last event, so it begins less than a chunk's length before it.
    fn forget(&mut self) {
        let needless = self.expected.len().saturating_sub(CHUNK_LEN_MAX);
        self.expected.drain(..needless);
        self.before += needless as u64;
    }
}

fn last_of(header: &ChunkHeader) -> Cursor {
    Cursor {
        generation: header.generation,
        seq: Seq(header.first_seq.0 + u64::from(header.count).saturating_sub(1)),
    }
}

/// A row stands where its header says, and its header says what its events do.
fn check_row<H>(
    row: &Row,
    header: &ChunkHeader,
    body: &ChunkBody,
    source: &ChunkSource<'_, H>,
    report: &mut Report,
) {
    let room = source.room;
    let ChunkHeader {
        generation,
        first_seq,
        ..
    } = *header;
    let mut differ = |why| {
        let what = format!("the chunk at {generation}:{first_seq}");
        report.differ(room, what, why);
    };
    let (Some(first), Some(last)) = (body.settled.first(), body.settled.last()) else {
        return differ("has no events");
    };
    let first_position = Position::new(header.epoch, header.first_offset);
    let last_position = Position::new(header.epoch, header.last_offset);
    let told = (
        header.first_offset,
        header.last_offset,
        header.last_at,
        header.last_logged_at,
    );
    if layout::chunk_key(room, generation, first_seq, first_position) != row.key {
        differ("stands in another's place");
    } else if told != (first.offset, last.offset, last.at, last.logged_at) {
        differ("has another header than its events");
    } else if row.timestamp & !1 != last_position.timestamp() {
        // The odd time is that of a row that was swept of what was erased.
        differ("has another write time");
    } else if body.settled.len() > CHUNK_LEN_MAX || !body.unsettled.is_empty() {
        differ("holds more than a chunk may");
    }
}

/// Whether an erasure at or below the watermark explains that nothing is left of the event's content.
fn is_erased(cursor: Cursor, event: &Settled, erasures: &Erasures) -> bool {
    let stored = codec::decode_datum(&event.datum);
    stored.is_ok_and(|stored| {
        let user = stored.user.as_ref().map(|user| &*user.id);
        erasures.take(cursor, user)
    })
}
