//! The producer: from calls to delivery reports, and back to who waits.
//!
//! What may wait is bounded here, by lanes and before librdkafka is given anything, so a call is taken
//! whole or refused whole. The records of a call are handed over under one lock, which keeps them
//! together in their partition; the reports of a whole call end in one answer. A report that is not a
//! success leaves the outcome open: librdkafka cannot tell what a broker did with what it did not
//! acknowledge.
//!
//! After a fatal error (idempotence that cannot be kept up) a producer takes nothing more: it is given
//! up with all that it holds, and another one goes on.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use danmu_schemas::Partition;
use rdkafka::client::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::Message;
use rdkafka::producer::{
    BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer,
};
use tokio::sync::oneshot;

use super::meter::Meter;
use super::{Options, headers, number, settings};
use crate::{AppendError, Lane, NewRecord};

/// How long a clean stop waits for acknowledgements.
const FLUSH_WITHIN: Duration = Duration::from_secs(2);

/// The largest record: a batch may have 1 MB, and headers go with it.
const RECORD_BYTES_MAX: usize = 900_000;

/// What a record costs beside its key and value: headers, and what librdkafka keeps of it.
const RECORD_OVERHEAD_BYTES: usize = 512;

type Answer = oneshot::Sender<Result<i64, AppendError>>;
type Awaited = oneshot::Receiver<Result<i64, AppendError>>;

/// One producer after another, for one topic.
pub struct Producer {
    config: ClientConfig,
    topic: String,
    /// Nothing once it is closed.
    current: Mutex<Option<ThreadedProducer<Reports>>>,
    waiting: Arc<Waiting>,
    meter: Meter,
}

/// Receives the reports.
struct Reports(Meter);

impl Producer {
    /// A producer that has begun to connect.
    pub fn new(options: &Options, meter: Meter) -> KafkaResult<Self> {
        let config = settings::producer(options);
        let current = config.create_with_context(Reports(meter.clone()))?;
        Ok(Self {
            config,
            topic: options.topic.clone(),
            current: Mutex::new(Some(current)),
            waiting: Arc::new(Waiting {
                bytes: AtomicUsize::new(0),
                records: AtomicUsize::new(0),
                bytes_max: options.queue_bytes_max,
                records_max: options.queue_records_max,
            }),
            meter,
        })
    }

    /// How much waits for its acknowledgement: records, and their bytes with what is kept of each.
    pub fn waiting(&self) -> (usize, usize) {
        let Waiting { records, bytes, .. } = &*self.waiting;
        (
            records.load(Ordering::Relaxed),
            bytes.load(Ordering::Relaxed),
        )
    }

    /// Hands over the records of a call (at least one), or none of them.
    pub fn append(
        &self,
        partition: Partition,
        records: &[NewRecord],
    ) -> Result<Awaited, AppendError> {
        let handed_over = self.hand_over(partition, records);
        handed_over.inspect_err(|_| self.meter.refused.increment(1))
    }

    fn hand_over(
        &self,
        partition: Partition,
        records: &[NewRecord],
    ) -> Result<Awaited, AppendError> {
        let size = |record: &NewRecord| record.key.len() + record.value.len();
        if records.iter().any(|record| size(record) > RECORD_BYTES_MAX) {
            return Err(AppendError::Overloaded(
                "a record is larger than the log takes",
            ));
        }
        let bytes = records
            .iter()
            .map(|record| size(record) + RECORD_OVERHEAD_BYTES)
            .sum();
        let headers: Vec<_> = records.iter().map(headers::of).collect();

        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let producer = self.usable(&mut current)?;
        let share = Waiting::take(&self.waiting, Lane::of(records), records.len(), bytes)?;
        let (call, awaited) = Call::new(records.len(), share);
        for (n, (record, headers)) in records.iter().zip(headers).enumerate() {
            let message = BaseRecord::with_opaque_to(&self.topic, Arc::clone(&call))
                .partition(number(partition))
                .key(&record.key[..])
                .payload(&record.value[..])
                .headers(headers);
            match producer.send(message) {
                Ok(()) => {}
                Err((error, _)) if n == 0 => {
                    tracing::warn!(%error, "Kafka's client takes no record");
                    return Err(AppendError::Overloaded("Kafka's client takes no record"));
                }
                Err((error, _)) => {
                    call.failed(records.len() - n, &error);
                    break;
                }
            }
        }
        Ok(awaited)
    }

    /// Sends what waits, for a while, and takes nothing more. Blocks.
    pub fn close(&self) {
        let producer = self
            .current
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(producer) = producer else { return };
        if let Err(error) = producer.flush(FLUSH_WITHIN) {
            tracing::warn!(%error, "records were not acknowledged before the stop");
        }
    }

    /// The current producer, or the next one where it failed for good.
    fn usable<'a>(
        &self,
        current: &'a mut Option<ThreadedProducer<Reports>>,
    ) -> Result<&'a ThreadedProducer<Reports>, AppendError> {
        let producer = current
            .as_mut()
            .ok_or(AppendError::Overloaded("the log is stopped"))?;
        if let Some((code, reason)) = producer.client().fatal_error() {
            tracing::error!(%code, reason, "Kafka's producer failed for good: another one goes on");
            self.meter.failures.increment(1);
            let reports = Reports(self.meter.clone());
            let next = self.config.create_with_context(reports);
            *producer = next.map_err(|error| {
                tracing::error!(%error, "there is no other producer");
                AppendError::Overloaded("Kafka's producer failed")
            })?;
        }
        Ok(producer)
    }
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer")
            .field("topic", &self.topic)
            .finish_non_exhaustive()
    }
}

impl ClientContext for Reports {
    fn error(&self, error: KafkaError, reason: &str) {
        self.0.producer_errors.increment(1);
        tracing::warn!(%error, reason, "Kafka's producer");
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = Arc<Call>;

    fn delivery(&self, report: &DeliveryResult<'_>, call: Arc<Call>) {
        match report {
            Ok(message) => {
                let len = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
                let bytes = len(message.key()) + len(message.payload());
                self.0.appended.records.increment(1);
                self.0.appended.bytes.increment(bytes as u64);
                call.delivered(message.offset());
            }
            Err((error, _)) => call.failed(1, error),
        }
    }
}

/// What waits for its acknowledgement.
struct Waiting {
    bytes: AtomicUsize,
    records: AtomicUsize,
    bytes_max: usize,
    records_max: usize,
}

/// A call's share of what may wait, given back when it is dropped.
struct Share {
    of: Arc<Waiting>,
    bytes: usize,
    records: usize,
}

impl Waiting {
    /// Only ever called under the lock of the current producer: two calls never take the same share.
    fn take(
        this: &Arc<Self>,
        lane: Lane,
        records: usize,
        bytes: usize,
    ) -> Result<Share, AppendError> {
        let fits = |held: &AtomicUsize, more: usize, max: usize| {
            held.load(Ordering::Relaxed).saturating_add(more) <= lane.share_of(max)
        };
        if !fits(&this.bytes, bytes, this.bytes_max) {
            return Err(AppendError::Overloaded("too many bytes wait"));
        }
        if !fits(&this.records, records, this.records_max) {
            return Err(AppendError::Overloaded("too many records wait"));
        }
        this.bytes.fetch_add(bytes, Ordering::Relaxed);
        this.records.fetch_add(records, Ordering::Relaxed);
        Ok(Share {
            of: Arc::clone(this),
            bytes,
            records,
        })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.of.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.of.records.fetch_sub(self.records, Ordering::Relaxed);
    }
}

/// One append: the reports that are missing, and who waits for them.
struct Call {
    state: Mutex<Reported>,
}

struct Reported {
    missing: usize,
    first: Option<i64>,
    failure: Option<KafkaError>,
    /// Gone once it was answered.
    waiting: Option<(Answer, Share)>,
}

impl Call {
    fn new(records: usize, share: Share) -> (Arc<Self>, Awaited) {
        let (answer, awaited) = oneshot::channel();
        let state = Mutex::new(Reported {
            missing: records,
            first: None,
            failure: None,
            waiting: Some((answer, share)),
        });
        (Arc::new(Self { state }), awaited)
    }

    fn delivered(&self, offset: i64) {
        self.report(1, |state| {
            state.first = Some(state.first.map_or(offset, |first| first.min(offset)));
        });
    }

    fn failed(&self, records: usize, error: &KafkaError) {
        self.report(records, |state| {
            state.failure.get_or_insert_with(|| error.clone());
        });
    }

    fn report(&self, records: usize, note: impl FnOnce(&mut Reported)) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        note(&mut state);
        state.missing -= records;
        if state.missing > 0 {
            return;
        }
        let result = match (state.failure.take(), state.first) {
            (None, Some(first)) => Ok(first),
            (Some(error), _) => Err(AppendError::Unknown(Box::new(error))),
            (None, None) => unreachable!("each record was delivered or failed"),
        };
        if let Some((answer, share)) = state.waiting.take() {
            drop(share);
            // Whoever waited may have gone.
            let _ = answer.send(result);
        }
    }
}

#[cfg(test)]
mod tests;
