//! Dead letters in a topic: the record as it stood in the log, what is wrong with it in headers.
//!
//! The key says which record it is, `LOG:PARTITION:OFFSET`: a letter whose acknowledgement was lost is
//! sent again and then stands in the topic twice. Nothing is ever in flight between two calls, so
//! neither order nor idempotence matters here, and no failure is for good.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use danmu_schemas::{LogIdentity, Partition};
use rdkafka::client::ClientContext;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::OwnedHeaders;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};

use super::headers::{self, EPOCH};
use super::topics::DEAD_LETTERS;
use super::{ConnectError, Options, settings};
use crate::{DeadLetterError, DeadLetters, Undecodable};

/// How long one poll for reports takes at most.
const POLL: Duration = Duration::from_millis(100);

/// The topic's only partition.
const PARTITION: i32 = 0;

/// The letters of one log.
pub struct LetterTopic {
    producer: BaseProducer<Reports>,
    log: LogIdentity,
}

impl LetterTopic {
    /// Connects to the topic, which must be there. Blocks.
    pub(super) fn connect(options: &Options, log: LogIdentity) -> Result<Self, ConnectError> {
        let producer: BaseProducer<_> = settings::letters(options)
            .create_with_context(Reports)
            .map_err(ConnectError::Settings)?;
        let found = producer
            .client()
            .fetch_metadata(Some(DEAD_LETTERS), options.connect_within);
        let found = found.map_err(|source| ConnectError::Unusable {
            brokers: options.brokers.clone(),
            source,
        })?;
        match super::topics::existing(&found, DEAD_LETTERS) {
            Some(_) => Ok(Self { producer, log }),
            None => Err(ConnectError::NoTopic(DEAD_LETTERS.to_owned())),
        }
    }

    fn send(&self, key: &str, letter: &Undecodable<'_>, call: &Arc<Call>) -> KafkaResult<()> {
        let record = BaseRecord::with_opaque_to(DEAD_LETTERS, Arc::clone(call))
            .partition(PARTITION)
            .key(key)
            .payload(&letter.record.value[..])
            .headers(headers_of(letter));
        self.producer.send(record).map_err(|(error, _)| error)
    }
}

impl DeadLetters for LetterTopic {
    fn keep(
        &mut self,
        partition: Partition,
        letters: &[Undecodable<'_>],
    ) -> Result<(), DeadLetterError> {
        let call = Arc::new(Call::default());
        for letter in letters {
            let key = format!("{}:{partition}:{}", self.log.0, letter.record.offset);
            call.state().missing += 1;
            if let Err(error) = self.send(&key, letter, &call) {
                call.report(Err(error));
            }
        }
        // Each letter is reported within the time that the producer has for it.
        while call.state().missing > 0 {
            self.producer.poll(POLL);
        }
        match call.state().failure.take() {
            None => Ok(()),
            Some(error) => Err(told(error)),
        }
    }
}

impl std::fmt::Debug for LetterTopic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LetterTopic")
            .field("log", &self.log)
            .finish_non_exhaustive()
    }
}

fn headers_of(letter: &Undecodable<'_>) -> OwnedHeaders {
    let record = letter.record;
    let headers = OwnedHeaders::new_with_capacity(4);
    let headers = headers::with(headers, "why", letter.why.as_bytes());
    let headers = headers::with(headers, "key", &record.key);
    let headers = headers::with(headers, EPOCH, &record.epoch.to_be_bytes());
    let logged_at = record.logged_at.to_string();
    headers::with(headers, "logged_at", logged_at.as_bytes())
}

/// A letter that the topic has no room for never gets in; all else may be over soon.
fn told(error: KafkaError) -> DeadLetterError {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::InvalidMessageSize) => {
            DeadLetterError::Refused {
                place: DEAD_LETTERS.to_owned(),
                source: error.into(),
            }
        }
        _ => DeadLetterError::Unavailable(error.into()),
    }
}

/// Receives the reports.
struct Reports;

impl ClientContext for Reports {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(%error, reason, "Kafka's producer of dead letters");
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = Arc<Call>;

    fn delivery(&self, report: &DeliveryResult<'_>, call: Arc<Call>) {
        call.report(match report {
            Ok(_) => Ok(()),
            Err((error, _)) => Err(error.clone()),
        });
    }
}

/// The letters of one call.
#[derive(Debug, Default)]
struct Call(Mutex<Reported>);

#[derive(Debug, Default)]
struct Reported {
    missing: usize,
    failure: Option<KafkaError>,
}

impl Call {
    fn report(&self, kept: KafkaResult<()>) {
        let mut state = self.state();
        state.missing -= 1;
        if let Err(error) = kept {
            state.failure.get_or_insert(error);
        }
    }

    fn state(&self) -> MutexGuard<'_, Reported> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
