//! One reading of the log, for as many rooms as are held at once.
//!
//! Rooms stand in the order of their slots and names. Where they grow too many, the upper half is let
//! go and a later pass begins with it: nothing is lost but time, whatever the log holds. A pass reads
//! what the log held when it began, and on to where the windows of its rooms were pinned; a room that
//! is younger than the pass is not looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::time::Duration;

use danmu_log::{LogReader, ReadEvent, RecordBatch, Routes};
use danmu_projections::history::HistoryStore;
use danmu_projections::history::layout::{self, Table};
use danmu_projections::projection::StoreError;
use danmu_projections::windows::{WindowRead, WindowStore};
use danmu_schemas::codec::DecodeError;
use danmu_schemas::{Partition, Position, RoomId, Slot};

use super::report::Report;
use super::room::{Settling, VerifiedRoom};
use super::{Options, Progress, Sources, VerifyError};
use crate::projector::sorting::{self, Decoded};
use crate::settle::Input;

/// Settled output is compared at the latest after this many records.
const RECORDS_PENDING_MAX: usize = 16_384;
/// How long to wait for records that the log says it has.
const WAIT: Duration = Duration::from_secs(10);
/// A slot at this position has nothing to settle.
const NOTHING: Position = Position {
    epoch: u32::MAX,
    offset: i64::MAX,
};

/// Where a room stands in the order of passes.
type Place = (Slot, RoomId);

/// What all passes share.
pub(super) struct Verification<'a, R, H, W, P> {
    pub reader: &'a mut R,
    pub routes: &'a Routes,
    pub sources: &'a Sources<H, W>,
    pub options: &'a Options,
    pub progress: P,
}

/// One reading of the log.
struct Pass {
    number: u32,
    /// The first room is here or beyond.
    from: Option<Place>,
    /// The last room is before.
    until: Option<Place>,
    rooms: BTreeMap<Place, VerifiedRoom>,
    /// The log's ends when the pass began.
    ends: BTreeMap<Partition, i64>,
    /// How far each partition must be read, and is.
    reading: BTreeMap<Partition, Reading>,
    /// The history's watermarks when the pass began.
    watermarks: BTreeMap<Slot, Position>,
    pending: usize,
}

/// Offsets of a partition.
struct Reading {
    /// The last record that is needed.
    needed: i64,
    /// The last record that was read.
    read_to: i64,
}

impl<R, H, W, P> Verification<'_, R, H, W, P>
where
    R: LogReader,
    H: HistoryStore,
    W: WindowStore + WindowRead,
    P: FnMut(Progress) -> ControlFlow<()> + Send,
{
    pub async fn run(mut self) -> Result<Report, VerifyError> {
        self.await_assignment().await?;
        let mut report = Report::default();
        let mut from = self.options.room.as_ref().map(place_of);
        loop {
            report.passes += 1;
            let mut pass = self.begin(report.passes, from).await?;
            self.read(&mut pass).await?;
            let until = pass.until.clone();
            self.end(pass, &mut report).await?;
            if until.is_none() {
                return Ok(report);
            }
            from = until;
        }
    }

    async fn await_assignment(&mut self) -> Result<(), VerifyError> {
        match self.reader.next(WAIT).await? {
            ReadEvent::Assigned(_) => Ok(()),
            ReadEvent::Revoked(_) | ReadEvent::Records(_) | ReadEvent::Idle => {
                Err(VerifyError::NotRead)
            }
        }
    }

    /// Places the reader and looks how far everything is.
    async fn begin(&mut self, number: u32, from: Option<Place>) -> Result<Pass, VerifyError> {
        let mut pass = Pass {
            number,
            from,
            until: None,
            rooms: BTreeMap::new(),
            ends: BTreeMap::new(),
            reading: BTreeMap::new(),
            watermarks: BTreeMap::new(),
            pending: 0,
        };
        for slot in Slot::all() {
            if !pass.has_slot(slot, self.options) {
                continue;
            }
            if let Some(watermark) = self.sources.history.watermark(slot).await? {
                pass.watermarks.insert(slot, watermark);
            }
        }
        for partition in self.reader.partitions() {
            let first = self.reader.first_offset(partition).await?;
            let end = self.reader.end_offset(partition).await?;
            let mut slots = self.routes.slots_of(partition);
            let is_needed = end > 0 && slots.any(|slot| pass.has_slot(slot, self.options));
            if is_needed && first > 0 {
                return Err(VerifyError::StartGone { partition, first });
            }
            let start = if is_needed { 0 } else { end };
            self.reader.seek(partition, start).await?;
            pass.ends.insert(partition, end);
            if is_needed {
                let reading = Reading {
                    needed: end - 1,
                    read_to: -1,
                };
                pass.reading.insert(partition, reading);
            }
        }
        for (slot, watermark) in &pass.watermarks {
            let partition = Partition(self.routes.route(*slot).partition);
            let end = pass.ends.get(&partition).copied();
            check_end(partition, *watermark, end.unwrap_or_default())?;
        }
        Ok(pass)
    }

    async fn read(&mut self, pass: &mut Pass) -> Result<(), VerifyError> {
        while !pass.is_read() {
            match self.reader.next(WAIT).await? {
                ReadEvent::Records(batch) => self.take(&batch, pass).await?,
                ReadEvent::Assigned(_) | ReadEvent::Revoked(_) | ReadEvent::Idle => {
                    return Err(VerifyError::NotRead);
                }
            }
            self.tell(pass)?;
        }
        self.compare(pass).await
    }

    async fn take(&mut self, batch: &RecordBatch, pass: &mut Pass) -> Result<(), VerifyError> {
        let partition = batch.partition;
        let Some(reading) = pass.reading.get(&partition) else {
            return Ok(());
        };
        let needed = reading.needed;
        let sorted = sorting::sort(batch, |slot| {
            let is_here = self.routes.route(slot).partition == partition.0;
            let has = pass.has_slot(slot, self.options);
            is_here.then_some(if has { Position::BEGIN } else { NOTHING })
        });
        if let Some(why) = sorted.halt
            && sorted.read_to < needed
        {
            return Err(VerifyError::Halted { partition, why });
        }
        for (_, records) in sorted.slots {
            for record in records {
                self.settle(record, partition, pass).await?;
            }
        }
        if let Some(reading) = pass.reading.get_mut(&partition) {
            reading.read_to = sorted.read_to;
        }
        if pass.pending >= RECORDS_PENDING_MAX {
            self.compare(pass).await?;
        }
        Ok(())
    }

    async fn settle(
        &mut self,
        record: Decoded<'_>,
        partition: Partition,
        pass: &mut Pass,
    ) -> Result<(), VerifyError> {
        let place = place_of(&record.room);
        if !pass.has(&place, self.options) {
            return Ok(());
        }
        if !pass.rooms.contains_key(&place) {
            if record.position.offset >= pass.ends[&partition] {
                return Ok(());
            }
            let room = VerifiedRoom::pin(&record.room, self.sources, None).await?;
            self.need(&room, partition, pass).await?;
            pass.rooms.insert(place.clone(), room);
        }
        let Some(room) = pass.rooms.get_mut(&place) else {
            return Ok(());
        };
        let position = record.position;
        let input = Input {
            position,
            logged_at: record.logged_at,
            event: &record.event,
            datum: record.datum,
        };
        match room.settle(input, &self.sources.history).await? {
            Settling::Settled => pass.pending += 1,
            Settling::Done => {}
            Settling::Halted(why) => {
                let why = format!("record {position}: {why}");
                return Err(VerifyError::Halted { partition, why });
            }
        }
        Ok(())
    }

    /// The partition must be read to where the room was pinned, which the log reaches.
    async fn need(
        &mut self,
        room: &VerifiedRoom,
        partition: Partition,
        pass: &mut Pass,
    ) -> Result<(), VerifyError> {
        let (Some(stop), Some(reading)) = (room.last_stop(), pass.reading.get_mut(&partition))
        else {
            return Ok(());
        };
        if stop.offset > reading.needed {
            check_end(partition, stop, self.reader.end_offset(partition).await?)?;
            reading.needed = stop.offset;
        }
        Ok(())
    }

    /// Compares what is pending, and lets rooms go where they take too much memory.
    async fn compare(&self, pass: &mut Pass) -> Result<(), VerifyError> {
        for room in pass.rooms.values_mut() {
            room.compare(&self.sources.history).await?;
        }
        pass.pending = 0;
        let mut held: usize = pass.rooms.values().map(VerifiedRoom::held_bytes).sum();
        while held > self.options.held_bytes_max && pass.rooms.len() > 1 {
            let middle = pass.rooms.len() / 2;
            let Some(until) = pass.rooms.keys().nth(middle).cloned() else {
                break;
            };
            let let_go = pass.rooms.split_off(&until);
            held -= let_go.values().map(VerifiedRoom::held_bytes).sum::<usize>();
            pass.until = Some(until);
        }
        Ok(())
    }

    async fn end(&mut self, mut pass: Pass, report: &mut Report) -> Result<(), VerifyError> {
        let (surplus, damage) = self.surplus_rooms(&pass).await?;
        for name in surplus {
            self.pin_surplus(&name, &mut pass).await?;
        }
        let damage = damage.or(self.meet_erasures(&mut pass).await?);
        for (_, room) in std::mem::take(&mut pass.rooms) {
            report.take_in(room.end(&self.sources.history).await?);
            self.tell(&pass)?;
        }
        match damage {
            // It is of no room that was compared.
            Some(damage) if report.differences == 0 => Err(damage.into()),
            _ => Ok(()),
        }
    }

    /// A room that the log does not have.
    async fn pin_surplus(&self, name: &RoomId, pass: &mut Pass) -> Result<(), VerifyError> {
        let watermark = pass.watermarks.get(&name.slot()).copied();
        let watermark = watermark.unwrap_or(Position::BEGIN);
        let sources = Sources {
            history: self.sources.history.clone(),
            windows: None::<W>,
        };
        let room = VerifiedRoom::pin(name, &sources, Some(watermark)).await?;
        pass.rooms.insert(place_of(name), room);
        Ok(())
    }

    /// Has each room know of what erasures the history tells the sweep. What is damaged and of no room.
    async fn meet_erasures(&self, pass: &mut Pass) -> Result<Option<StoreError>, VerifyError> {
        for slot in Slot::all() {
            if !pass.has_slot(slot, self.options) {
                continue;
            }
            match self.meet_erasures_of(slot, pass).await {
                Err(VerifyError::Store(damage @ StoreError::Damaged { .. })) => {
                    return Ok(Some(damage));
                }
                met => met?,
            }
        }
        Ok(None)
    }

    async fn meet_erasures_of(&self, slot: Slot, pass: &mut Pass) -> Result<(), VerifyError> {
        let history = &self.sources.history;
        let mut past = None;
        while let Some(row) = history.erasure_past(slot, past.as_deref()).await? {
            let (position, room) = layout::read_erasure(&row).map_err(|source| {
                let what = layout::describe(&row.key);
                StoreError::Damaged { what, source }
            })?;
            let place = place_of(&room);
            if pass.has(&place, self.options) {
                if !pass.rooms.contains_key(&place) {
                    self.pin_surplus(&room, pass).await?;
                }
                if let Some(room) = pass.rooms.get_mut(&place) {
                    room.meet_erasure(position);
                }
            }
            past = Some(row.key);
        }
        // Read after the watermark moved on, it may be further than where the rooms were pinned.
        let swept = history.swept(slot).await?;
        if Some(swept) > history.watermark(slot).await?.max(Some(Position::BEGIN)) {
            let what = layout::describe(&layout::swept_key(slot));
            let source = DecodeError::Malformed("swept past the watermark");
            return Err(StoreError::Damaged { what, source }.into());
        }
        Ok(())
    }

    /// The rooms that the history has rows of and the log no record; and a row that is damaged, past
    /// which none is looked for in its table. The room that it is of tells of it as a difference.
    async fn surplus_rooms(
        &self,
        pass: &Pass,
    ) -> Result<(BTreeSet<RoomId>, Option<StoreError>), VerifyError> {
        let mut surplus = BTreeSet::new();
        let mut damage = None;
        for table in Table::ALL {
            let mut past = None;
            loop {
                let room = match self.sources.history.room_past(table, past.as_ref()).await {
                    Ok(Some(room)) => room,
                    Ok(None) => break,
                    Err(error @ StoreError::Damaged { .. }) => {
                        damage = Some(error);
                        break;
                    }
                    Err(error) => return Err(error.into()),
                };
                let place = place_of(&room);
                if pass.has(&place, self.options) && !pass.rooms.contains_key(&place) {
                    surplus.insert(room.clone());
                }
                past = Some(room);
            }
        }
        Ok((surplus, damage))
    }

    fn tell(&mut self, pass: &Pass) -> Result<(), VerifyError> {
        let read = pass.reading.values().map(|reading| reading.read_to + 1);
        let needed = pass.reading.values().map(|reading| reading.needed + 1);
        let progress = Progress {
            pass: pass.number,
            read: read.sum::<i64>() as u64,
            total: needed.sum::<i64>() as u64,
        };
        match (self.progress)(progress) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(VerifyError::GivenUp),
        }
    }
}

impl Pass {
    fn has_slot(&self, slot: Slot, options: &Options) -> bool {
        let only = options.room.as_ref();
        let from = self.from.as_ref().is_none_or(|(from, _)| slot >= *from);
        let until = self.until.as_ref().is_none_or(|(until, _)| slot <= *until);
        from && until && only.is_none_or(|room| room.slot() == slot)
    }

    fn has(&self, place: &Place, options: &Options) -> bool {
        let only = options.room.as_ref();
        let from = self.from.as_ref().is_none_or(|from| place >= from);
        let until = self.until.as_ref().is_none_or(|until| place < until);
        from && until && only.is_none_or(|room| *room == place.1)
    }

    fn is_read(&self) -> bool {
        self.reading
            .values()
            .all(|reading| reading.read_to >= reading.needed)
    }
}

/// A read model cannot be further than the log.
fn check_end(partition: Partition, position: Position, end: i64) -> Result<(), VerifyError> {
    let last = position.offset;
    if last < end {
        return Ok(());
    }
    Err(VerifyError::PastEnd {
        partition,
        last,
        end,
    })
}

fn place_of(room: &RoomId) -> Place {
    (room.slot(), room.clone())
}
