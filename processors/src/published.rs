//! Settled events, published for whoever analyses them.
//!
//! [`Published`] is a projection around another, the history's: it forwards every call, hands the visible
//! events of each append to a log of settled events, and lets a checkpoint move the watermark only once
//! every event up to it is acknowledged there. So nothing at or below a watermark is missing from that
//! log, and what lies above is settled and handed over again after a crash or a failure: at least once,
//! the same bytes each time, unique by room, generation and seq.
//!
//! Where they go is a [`LogWriter`]: what it promises of a call (whole, in order, durable when answered,
//! bounded while it waits) is all that is needed. Only whoever moves a watermark may have published up to
//! it: where one process publishes, every process that writes the history does.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::task::Poll;

use bytes::Bytes;
use danmu_log::{AppendError, Lane, LogWriter, NewRecord, Routes};
use danmu_projections::projection::{Appended, Loaded, Projection, SlotStep, StoreError, outcomes};
use danmu_schemas::{Partition, Position, RoomId, Slot, codec};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt, poll};

/// The most bytes of one call, and of one record beyond: a fraction of what may wait.
const CALL_BYTES_MAX: usize = 256 * 1_024;

/// The most records of one call.
const CALL_RECORDS_MAX: usize = 512;

/// A projection whose visible events are published too.
pub struct Published<P, W> {
    projection: P,
    topic: W,
    routes: Routes,
    slots: BTreeMap<Slot, OpenSlot>,
    /// Every call without an answer, also those of slots that are closed.
    sending: FuturesUnordered<Sending>,
    opened: u64,
}

/// What is known of an open slot's calls.
struct OpenSlot {
    /// Tells it from earlier times that the slot was open.
    number: u64,
    unanswered: usize,
    failed: Option<AppendError>,
}

type Sending = Pin<Box<dyn Future<Output = Answered> + Send>>;

struct Answered {
    slot: Slot,
    opening: u64,
    result: Result<i64, AppendError>,
}

impl<P, W> Published<P, W>
where
    P: Projection,
    W: LogWriter + Clone + 'static,
{
    /// Publishes to `topic`, each slot in the partition that `routes` names.
    pub fn new(projection: P, topic: W, routes: Routes) -> Self {
        Self {
            projection,
            topic,
            routes,
            slots: BTreeMap::new(),
            sending: FuturesUnordered::new(),
            opened: 0,
        }
    }

    /// Hands a call over. Waits for others to be answered while too much waits.
    async fn hand_over(&mut self, slot: Slot, records: Vec<NewRecord>) -> Result<(), StoreError> {
        let partition = Partition(self.routes.route(slot).partition);
        loop {
            let Some(open) = self.slots.get_mut(&slot) else {
                return Err(unavailable("the slot is not open"));
            };
            let mut sending = send(
                self.topic.clone(),
                partition,
                records.clone(),
                (slot, open.number),
            );
            // Asked at once, so that calls are handed over in their order.
            match poll!(&mut sending) {
                Poll::Pending => {
                    open.unanswered += 1;
                    self.sending.push(sending);
                    return Ok(());
                }
                Poll::Ready(answered) => match answered.result {
                    Ok(_) => return Ok(()),
                    Err(AppendError::Overloaded(_)) if !self.sending.is_empty() => {}
                    Err(error) => return Err(self.give_up(slot, error)),
                },
            }
            self.take_answer().await;
        }
    }

    async fn publish(&mut self, slot: Slot, calls: Vec<Vec<NewRecord>>) -> Result<(), StoreError> {
        for records in calls {
            self.hand_over(slot, records).await?;
        }
        Ok(())
    }

    /// Waits until all that was handed over of a slot is answered.
    async fn is_published(&mut self, slot: Slot) -> Result<(), StoreError> {
        let is_waiting = |slots: &BTreeMap<Slot, OpenSlot>| {
            let open = slots.get(&slot);
            open.is_some_and(|open| open.unanswered > 0)
        };
        while is_waiting(&self.slots) {
            self.take_answer().await;
        }
        self.check(slot)?;
        match self.slots.contains_key(&slot) {
            true => Ok(()),
            false => Err(unavailable("the slot is not open")),
        }
    }

    /// Takes the answers that are there.
    fn take_answers(&mut self) {
        while let Some(Some(answered)) = self.sending.next().now_or_never() {
            self.note(answered);
        }
    }

    /// Waits for one answer, if one is to come.
    async fn take_answer(&mut self) {
        if let Some(answered) = self.sending.next().await {
            self.note(answered);
        }
    }

    fn note(&mut self, answered: Answered) {
        let open = self.slots.get_mut(&answered.slot);
        if let Some(open) = open.filter(|open| open.number == answered.opening) {
            open.unanswered -= 1;
            if let Err(error) = answered.result {
                open.failed.get_or_insert(error);
            }
        }
    }

    /// Whether a call of the slot failed: then the slot is closed, and opened again it repeats all that
    /// its watermark does not cover.
    fn check(&mut self, slot: Slot) -> Result<(), StoreError> {
        let open = self.slots.get_mut(&slot);
        match open.and_then(|open| open.failed.take()) {
            None => Ok(()),
            Some(error) => Err(self.give_up(slot, error)),
        }
    }

    fn give_up(&mut self, slot: Slot, error: AppendError) -> StoreError {
        self.slots.remove(&slot);
        unavailable(error)
    }
}

impl<P, W> Projection for Published<P, W>
where
    P: Projection,
    W: LogWriter + Clone + 'static,
{
    async fn open_all(&mut self, slots: &[Slot]) -> Vec<Result<Position, StoreError>> {
        for slot in slots {
            self.slots.remove(slot);
        }
        let opened = self.projection.open_all(slots).await;
        for (slot, _) in slots
            .iter()
            .zip(&opened)
            .filter(|(_, opened)| opened.is_ok())
        {
            self.opened += 1;
            let open = OpenSlot {
                number: self.opened,
                unanswered: 0,
                failed: None,
            };
            self.slots.insert(*slot, open);
        }
        opened
    }

    async fn load_all(
        &mut self,
        wanted: &[(Slot, Vec<RoomId>)],
    ) -> Vec<Result<Loaded, StoreError>> {
        self.projection.load_all(wanted).await
    }

    async fn append_all(&mut self, steps: Vec<SlotStep>) -> Vec<Result<Appended, StoreError>> {
        self.take_answers();
        let mut known = Vec::with_capacity(steps.len());
        let mut passed_on = Vec::with_capacity(steps.len());
        let mut publishing = Vec::with_capacity(steps.len());
        for step in steps {
            let known_of_it = match self.check(step.slot) {
                Err(error) => Some(Err(error)),
                Ok(()) if !self.slots.contains_key(&step.slot) => Some(Ok(Appended::Other(None))),
                Ok(()) => None,
            };
            if known_of_it.is_none() {
                publishing.push((step.slot, calls(&step)));
                passed_on.push(step);
            }
            known.push(known_of_it);
        }
        let mut appended = self.projection.append_all(passed_on).await;
        for ((slot, calls), appended) in publishing.into_iter().zip(&mut appended) {
            // Of a step that was taken before it is not known here whether it was published. Where
            // nothing was taken, whoever opens the slot again settles these records again.
            if let Ok(Appended::Stored | Appended::Already) = appended
                && let Err(error) = self.publish(slot, calls).await
            {
                *appended = Err(error);
            }
        }
        outcomes(known, appended)
    }

    async fn checkpoint_all(
        &mut self,
        reached: &[(Slot, Position)],
    ) -> Vec<Result<(), StoreError>> {
        let mut known = Vec::with_capacity(reached.len());
        let mut published = Vec::with_capacity(reached.len());
        for (slot, to) in reached {
            let is_published = self.is_published(*slot).await;
            if is_published.is_ok() {
                published.push((*slot, *to));
            }
            known.push(is_published.err().map(Err));
        }
        outcomes(known, self.projection.checkpoint_all(&published).await)
    }
}

impl<P: std::fmt::Debug, W> std::fmt::Debug for Published<P, W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Published")
            .field("projection", &self.projection)
            .field("unanswered", &self.sending.len())
            .finish_non_exhaustive()
    }
}

fn send<W: LogWriter + 'static>(
    topic: W,
    partition: Partition,
    records: Vec<NewRecord>,
    (slot, opening): (Slot, u64),
) -> Sending {
    Box::pin(async move {
        let result = topic.append(partition, records).await;
        Answered {
            slot,
            opening,
            result,
        }
    })
}

/// The visible events of a step as records, in the order of each room.
fn calls(step: &SlotStep) -> Vec<Vec<NewRecord>> {
    let mut calls = Vec::new();
    let mut call = Call::default();
    for change in &step.changes {
        let key = Bytes::copy_from_slice(change.room.as_str().as_bytes());
        for run in &change.runs {
            for settled in &run.settled {
                codec::settled_to_wire(run.generation, settled, &mut call.bytes);
                call.ends.push((key.clone(), call.bytes.len()));
                if call.is_full() {
                    calls.push(std::mem::take(&mut call).records(step.to.epoch));
                }
            }
        }
    }
    if !call.ends.is_empty() {
        calls.push(call.records(step.to.epoch));
    }
    calls
}

/// Records that share a buffer.
#[derive(Default)]
struct Call {
    bytes: Vec<u8>,
    /// Each record's key, and where its value ends.
    ends: Vec<(Bytes, usize)>,
}

impl Call {
    fn is_full(&self) -> bool {
        self.bytes.len() >= CALL_BYTES_MAX || self.ends.len() >= CALL_RECORDS_MAX
    }

    fn records(self, epoch: u32) -> Vec<NewRecord> {
        let bytes = Bytes::from(self.bytes);
        let mut start = 0;
        let record = |(key, end): (Bytes, usize)| {
            let value = bytes.slice(start..end);
            start = end;
            NewRecord {
                epoch,
                key,
                value,
                lane: Lane::Priority,
                traceparent: None,
            }
        };
        self.ends.into_iter().map(record).collect()
    }
}

fn unavailable(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    StoreError::Unavailable {
        what: "publishing settled events",
        source: source.into(),
    }
}

#[cfg(test)]
mod tests;
