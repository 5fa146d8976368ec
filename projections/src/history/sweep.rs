//! The sweep: rewrites rows that hold what was erased, until nothing of it is left at rest.
//!
//! Every read applies erasures at once; the sweep only makes them true on the disk. It goes slot by
//! slot over the erasures between a stored mark and the watermark, and through all rows of their rooms;
//! a pass that changed a row is followed by another, and only one that finds nothing ends the slot's
//! turn. A row is rewritten under its own key with its write time plus one, so a processor that settles
//! it again does not bring it back. Where others write too, one that lost its place may write rows under
//! other keys for a while, so the same erasures are swept once more when that is over. The mark moves when the store has also let go of the old values, so
//! a sweep that was cut off begins again where it was. Where rows are not durable at once, it moves a
//! horizon after the pass that found nothing, if no server has started since before. One step looks at
//! a few rows.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use danmu_schemas::chunk::{Packer, Unpacker};
use danmu_schemas::codec::DecodeError;
use danmu_schemas::fact::FactBody;
use danmu_schemas::{Cursor, LogIdentity, Position, RoomId, Slot};
use tokio::time::Instant;

use super::layout::{self, FactKind, Key, Table};
use super::reader::{HistoryReader, damaged};
use super::store::{Durability, HistoryStore, Order, Purged, Row};
use crate::erasures::{self, Erasures};
use crate::projection::StoreError;

/// How many rows one step looks at.
const STEP_ROWS: usize = 16;
/// How many erasures of a slot one pass is for; the next ones have their own.
const PASS_ERASURES: usize = 256;

/// The tables whose rows may repeat what was erased.
const TABLES: [Table; 4] = [
    Table::Chunks,
    Table::Facts(FactKind::Broadcast),
    Table::Facts(FactKind::Segment),
    Table::States,
];

/// Sweeps the slots of a history, one after the other.
pub struct Sweep<S> {
    store: S,
    reader: HistoryReader<S>,
    packer: Packer,
    unpacker: Unpacker,
    /// How long others may still write rows that they settled before an erasure.
    late_for: Duration,
    slots: Vec<Slot>,
    /// The index of the next slot of this turn.
    next: usize,
    pass: Option<Pass>,
    /// Up to where each slot is swept; its old values may still be on the disk.
    swept: BTreeMap<Slot, Position>,
    /// What is swept once more, for rows that came late.
    again: BTreeMap<Slot, Again>,
    /// Marks that wait until old values are gone.
    unmarked: BTreeMap<Slot, Position>,
    /// Whether a row was rewritten since the last purge.
    is_dirty: bool,
    /// The store's, as it was before the first pass since the last purge.
    durability: Option<Durability>,
    /// When all that the passes saw is durable.
    durable_at: Option<Instant>,
}

/// What a step has left to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Swept {
    /// Another step at once.
    More,
    /// Nothing: every slot had its turn.
    Done,
}

/// A slot's erasures after one position, up to and with another, that are swept once more from a moment on.
struct Again {
    from: Position,
    to: Position,
    at: Instant,
}

/// One way through the rooms of a slot that have erasures.
struct Pass {
    slot: Slot,
    from: Position,
    to: Position,
    /// Whether no late row can come any more.
    is_last: bool,
    rooms: Vec<RoomId>,
    /// The room, the table and the key that come next.
    room: usize,
    table: usize,
    past: Option<Key>,
    /// The room's, up to a position.
    erasures: Option<(Erasures, Position)>,
    starters: BTreeMap<Cursor, Option<String>>,
    rewritten: u64,
}

impl<S: HistoryStore> Sweep<S> {
    /// A sweep of a history that one writer at a time writes to.
    pub fn new(store: S, log: LogIdentity) -> Self {
        Self {
            reader: HistoryReader::new(store.clone(), log),
            store,
            packer: Packer::new(),
            unpacker: Unpacker::new(),
            late_for: Duration::ZERO,
            slots: Slot::all().collect(),
            next: 0,
            pass: None,
            swept: BTreeMap::new(),
            again: BTreeMap::new(),
            unmarked: BTreeMap::new(),
            is_dirty: false,
            durability: None,
            durable_at: None,
        }
    }

    /// The same where writers that lost their place may go on for so long.
    pub fn among_late_writers(self, late_for: Duration) -> Self {
        Self { late_for, ..self }
    }

    /// The same of these slots alone.
    pub fn of_slots(self, slots: Vec<Slot>) -> Self {
        Self { slots, ..self }
    }

    /// Looks at a few rows. After an error the slot's pass begins again.
    pub async fn step(&mut self) -> Result<Swept, StoreError> {
        let Some(mut pass) = self.pass.take() else {
            return self.begin().await;
        };
        if !self.sweep_rows(&mut pass).await? {
            self.pass = Some(pass);
            return Ok(Swept::More);
        }
        if pass.rewritten > 0 {
            tracing::debug!(slot = %pass.slot, rows = pass.rewritten, "rows were swept of what was erased");
            self.pass = Some(pass.restarted());
            return Ok(Swept::More);
        }
        self.end(pass);
        if let Some(Durability::Lazy { horizon, .. }) = self.durability {
            self.durable_at = Some(Instant::now() + horizon);
        }
        Ok(Swept::More)
    }

    /// Whether old values of swept rows may still be on the disk, and the new ones are durable.
    pub fn owes_purge(&self) -> bool {
        let is_durable = self.durable_at.is_none_or(|at| at <= Instant::now());
        is_durable && (self.is_dirty || !self.unmarked.is_empty())
    }

    /// Has the store let go of old values, as far as it can, and keeps how far the slots are swept.
    pub async fn purge(&mut self) -> Result<Purged, StoreError> {
        let purged = self.store.purge().await?;
        if let Some(since) = &self.durability
            && *since != self.store.durability().await?
        {
            return Err(self.begin_anew());
        }
        self.durability = None;
        self.durable_at = None;
        self.is_dirty = false;
        let marks = self.unmarked.iter();
        let marks = marks.map(|(slot, to)| layout::swept_row(*slot, *to));
        self.store.write(marks.collect()).await?;
        self.unmarked.clear();
        Ok(purged)
    }

    /// Forgets what may have been lost: everything since the stored marks is swept again.
    fn begin_anew(&mut self) -> StoreError {
        self.swept.clear();
        self.again.clear();
        self.unmarked.clear();
        self.durability = None;
        self.durable_at = None;
        self.pass = None;
        self.next = 0;
        StoreError::Unavailable {
            what: "keeping how far the history is swept",
            source: "a server has started or gone meanwhile".into(),
        }
    }

    /// Begins the next pass; slots without erasures are passed over.
    async fn begin(&mut self) -> Result<Swept, StoreError> {
        while let Some(slot) = self.slots.get(self.next).copied() {
            if let Some(pass) = self.pass_of(slot).await? {
                if self.durability.is_none() {
                    self.durability = Some(self.store.durability().await?);
                }
                self.pass = Some(pass);
                return Ok(Swept::More);
            }
            self.next += 1;
        }
        self.next = 0;
        Ok(Swept::Done)
    }

    async fn pass_of(&mut self, slot: Slot) -> Result<Option<Pass>, StoreError> {
        let from = match self.swept.get(&slot) {
            Some(swept) => *swept,
            None => self.reader.swept(slot).await?,
        };
        self.swept.insert(slot, from);
        let due = self.again.get(&slot);
        let due = due.filter(|again| again.at <= Instant::now());
        let due = due.map(|again| (again.from, again.to));
        let is_last = due.is_some() || self.late_for.is_zero();
        let from = due.map_or(from, |(from, _)| from);
        let range = layout::erasures_after(slot, from);
        let rows = self
            .store
            .scan(range, Order::Ascending, PASS_ERASURES)
            .await?;
        if rows.is_empty() {
            return Ok(None);
        }
        let until = match due {
            Some((_, to)) => Some(to),
            None => self.reader.watermark(slot).await?,
        };
        let mut rooms = BTreeSet::new();
        let mut to = None;
        for row in rows {
            let (position, room) = layout::read_erasure(&row).map_err(|e| damaged(&row.key, e))?;
            if Some(position) <= until {
                rooms.insert(room);
                to = Some(position);
            }
        }
        Ok(to.map(|to| Pass {
            slot,
            from,
            to,
            is_last,
            rooms: rooms.into_iter().collect(),
            room: 0,
            table: 0,
            past: None,
            erasures: None,
            starters: BTreeMap::new(),
            rewritten: 0,
        }))
    }

    /// After a pass that found nothing: what it was for is swept, for good or until late rows may be there.
    fn end(&mut self, pass: Pass) {
        let Pass { slot, from, to, .. } = pass;
        let swept = self.swept.entry(slot).or_insert(to);
        *swept = to.max(*swept);
        let at = Instant::now() + self.late_for;
        if !pass.is_last {
            self.again.entry(slot).or_insert(Again { from, to, at });
            return;
        }
        self.unmarked.insert(slot, to);
        match self.again.remove(&slot) {
            Some(again) if to < again.to => self.again.insert(slot, Again { from: to, ..again }),
            Some(again) if again.to < *swept => {
                let (from, to) = (again.to, *swept);
                self.again.insert(slot, Again { from, to, at })
            }
            _ => None,
        };
    }

    /// Looks at the pass's next rows; whether there are no more.
    async fn sweep_rows(&mut self, pass: &mut Pass) -> Result<bool, StoreError> {
        let Some(room) = pass.rooms.get(pass.room).cloned() else {
            return Ok(true);
        };
        let (erasures, until) = match pass.erasures.take() {
            Some(known) => known,
            None => {
                let watermark = self.reader.watermark(pass.slot).await?;
                let until = watermark.unwrap_or(Position::BEGIN);
                (self.reader.erasures(&room, until).await?, until)
            }
        };
        let table = TABLES[pass.table];
        let mut range = layout::rows_of(table, &room);
        if let Some(past) = pass.past.take() {
            range.start = past;
            range.start.push(0);
        }
        let rows = self.store.scan(range, Order::Ascending, STEP_ROWS).await?;
        let is_last = rows.len() < STEP_ROWS;
        pass.past = rows.last().map(|row| row.key.clone());
        let mut blanked = Vec::new();
        for row in rows {
            let starter = self.starter(pass, &room, table, &row, &erasures).await?;
            let key = row.key.clone();
            let body = self
                .blank(&room, table, row.clone(), &erasures, starter.as_deref())
                .map_err(|e| damaged(&key, e))?;
            let timestamp = swept_timestamp(row.timestamp);
            blanked.extend(body.map(|body| Row {
                timestamp,
                body,
                key,
            }));
        }
        if !blanked.is_empty() {
            self.is_dirty = true;
            pass.rewritten += blanked.len() as u64;
            self.store.rewrite(blanked, until).await?;
        }
        pass.erasures = Some((erasures, until));
        if is_last {
            pass.go_on();
        }
        Ok(false)
    }

    /// Who did the first event of the broadcast that a row is of, where that matters.
    async fn starter(
        &self,
        pass: &mut Pass,
        room: &RoomId,
        table: Table,
        row: &Row,
        erasures: &Erasures,
    ) -> Result<Option<String>, StoreError> {
        let wrong = |e| damaged(&row.key, e);
        let broadcast = match table {
            _ if !erasures.name_users() => None,
            Table::Facts(kind) => match layout::read_fact(room, kind, row).map_err(wrong)?.body {
                FactBody::BroadcastStarted { broadcast, .. }
                | FactBody::SegmentOpened { broadcast, .. } => Some(broadcast),
                _ => None,
            },
            Table::States => {
                let state = layout::read_state(&row.body).map_err(wrong)?;
                erasures::open_broadcast(&state).map_err(wrong)?
            }
            _ => None,
        };
        let Some(broadcast) = broadcast else {
            return Ok(None);
        };
        if let Some(known) = pass.starters.get(&broadcast) {
            return Ok(known.clone());
        }
        let starter = self.reader.author(room, broadcast).await?;
        // A few broadcasts' rows stand together, so few are remembered.
        pass.starters.clear();
        pass.starters.insert(broadcast, starter.clone());
        Ok(starter)
    }

    /// What is left of a row's body; `None` where nothing of it was erased.
    fn blank(
        &mut self,
        room: &RoomId,
        table: Table,
        row: Row,
        erasures: &Erasures,
        starter: Option<&str>,
    ) -> Result<Option<bytes::Bytes>, DecodeError> {
        match table {
            Table::Chunks => {
                let (header, mut body) = self.unpacker.unpack(&row.body)?;
                let mut is_changed = false;
                for settled in &mut body.settled {
                    is_changed |= erasures.blank_event(header.generation, settled)?;
                }
                Ok(is_changed.then(|| self.packer.pack(&header, &body)))
            }
            Table::Facts(kind) => {
                let mut fact = layout::read_fact(room, kind, &row)?;
                let is_changed = erasures.blank_fact(&mut fact, starter);
                Ok(is_changed.then(|| layout::fact_row(room, &fact).body))
            }
            Table::States => {
                let (_, at) = layout::read_state_key(&row.key)?;
                let mut state = layout::read_state(&row.body)?;
                let is_changed = erasures.blank_state(at, &mut state, starter)?;
                let row = || layout::state_row(room, at, &state.core, &state.fields);
                Ok(is_changed.then(|| row().body))
            }
            Table::Memory(_) => Ok(None),
        }
    }
}

/// Later than what any processor writes of the same records, earlier than what it writes of later ones.
fn swept_timestamp(timestamp: u64) -> u64 {
    timestamp | 1
}

impl Pass {
    /// The same from its beginning.
    fn restarted(self) -> Self {
        Self {
            room: 0,
            table: 0,
            past: None,
            erasures: None,
            starters: BTreeMap::new(),
            rewritten: 0,
            ..self
        }
    }

    /// To the next table, or the next room.
    fn go_on(&mut self) {
        self.past = None;
        self.table += 1;
        if self.table == TABLES.len() {
            self.table = 0;
            self.room += 1;
            self.erasures = None;
            self.starters.clear();
        }
    }
}

#[cfg(test)]
mod tests;
