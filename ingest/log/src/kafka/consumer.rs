//! The consumer's thread: polls Kafka, obeys the reader, keeps polling while nobody takes anything.
//!
//! A partition is read only once it has been given a place (`places`); until then it is paused.
//! Whether a place can be is found by asking for the partition's range before every seek. When the
//! inbox stays full, everything is paused and polling goes on, so that a slow reader keeps its
//! membership (`membership`). A reader that asks for nothing at all stands still: nothing is polled for
//! it, and the group gives its share to others. What a member has taken is committed, for those who
//! watch the group's lag; nothing is ever begun from there.
//!
//! Kafka's client mends its connections by itself: only what it cannot mend is told as a failure. A
//! place that stays silent although the log goes on is sought again.

mod membership;
mod places;

use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use danmu_schemas::Partition;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use super::reader::{Command, Inbox, Reading, Told};
use super::{ANSWER_WITHIN, Options, Topic, number, settings};
use crate::ReadError;
pub use membership::Membership;
use places::Places;

/// The group of readers that share nothing; no offset is ever committed in it.
const NO_GROUP: &str = "danmu-readers";

/// How long one poll waits for news.
const POLL: Duration = Duration::from_millis(50);

/// How long it waits while commands come one after the other.
const POLL_BETWEEN_COMMANDS: Duration = Duration::from_millis(1);

/// How long after a command another is expected.
const COMMANDS_WITHIN: Duration = Duration::from_millis(100);

/// How long a full inbox is waited for before the consumer pauses.
const PAUSE_AFTER: Duration = Duration::from_secs(1);

/// How often a member commits what was taken.
const COMMIT_EVERY: Duration = Duration::from_secs(1);

/// A place that heard nothing for so long is looked at.
const SILENT_AFTER: Duration = Duration::from_secs(30);

/// What no waiting mends.
const FINAL: [RDKafkaErrorCode; 10] = [
    RDKafkaErrorCode::Authentication,
    RDKafkaErrorCode::BadMessage,
    RDKafkaErrorCode::ClusterAuthorizationFailed,
    RDKafkaErrorCode::GroupAuthorizationFailed,
    RDKafkaErrorCode::SaslAuthenticationFailed,
    RDKafkaErrorCode::TopicAuthorizationFailed,
    RDKafkaErrorCode::UnknownPartition,
    RDKafkaErrorCode::UnknownTopic,
    RDKafkaErrorCode::UnknownTopicId,
    RDKafkaErrorCode::UnknownTopicOrPartition,
];

/// What the thread holds.
pub struct Consumer {
    client: BaseConsumer<Membership>,
    topic: Topic,
    inbox: Arc<Inbox>,
    places: Places,
    is_paused: bool,
    full_since: Option<Instant>,
    commanded: Option<Instant>,
    /// Nothing where the reader is alone.
    share: Option<Share>,
}

/// What a member of a group keeps an eye on.
struct Share {
    stalled_after: Duration,
    is_stalled: bool,
    committed: Instant,
}

impl Consumer {
    /// One that has begun to connect; `run` does the rest.
    pub fn new(
        options: &Options,
        topic: Topic,
        reading: Reading,
        inbox: Arc<Inbox>,
        membership: Membership,
    ) -> KafkaResult<Self> {
        let config = match &reading {
            Reading::All => settings::consumer(options, NO_GROUP),
            Reading::Share { group, member } => settings::member(options, group, member.as_deref()),
        };
        let share = matches!(reading, Reading::Share { .. }).then(|| Share {
            stalled_after: options.stalled_after,
            is_stalled: false,
            committed: Instant::now(),
        });
        let client: BaseConsumer<_> = config.create_with_context(membership)?;
        match reading {
            Reading::All => membership::take(&client, &topic.name, &topic.partitions)?,
            Reading::Share { .. } => client.subscribe(&[&topic.name])?,
        }
        Ok(Self {
            client,
            topic,
            places: Places::new(Arc::clone(&inbox)),
            inbox,
            is_paused: false,
            full_since: None,
            commanded: None,
            share,
        })
    }

    /// Goes on until the reader is gone.
    pub fn run(mut self, commands: &mpsc::Receiver<Command>) {
        while !self.inbox.is_left() {
            self.obey(commands);
            if self.is_wanted() && self.may_read() {
                self.read();
                self.look_after_the_silent();
                self.report_lag();
            }
        }
    }

    fn obey(&mut self, commands: &mpsc::Receiver<Command>) {
        while let Ok(command) = commands.try_recv() {
            self.commanded = Some(Instant::now());
            // Whoever asked may have gone.
            match command {
                Command::Range { partition, answer } => {
                    let _ = answer.send(self.range(partition));
                }
                Command::Seek {
                    partition,
                    offset,
                    turn,
                    answer,
                } => {
                    let _ = answer.send(self.seek(partition, offset, turn));
                }
            }
        }
    }

    fn range(&self, partition: Partition) -> Result<(i64, i64), ReadError> {
        if !self.topic.partitions.contains(&partition) {
            return Ok((0, 0));
        }
        self.client
            .fetch_watermarks(&self.topic.name, number(partition), ANSWER_WITHIN)
            .map_err(unavailable)
    }

    fn seek(&mut self, partition: Partition, offset: i64, turn: u64) -> Result<(), ReadError> {
        let (first, end) = self.range(partition)?;
        let is_there = self.topic.partitions.contains(&partition);
        if !is_there || !(first..=end).contains(&offset) {
            return Err(ReadError::OutOfRange {
                partition,
                asked: offset,
                first,
                end,
            });
        }
        // Of one that was taken away meanwhile nothing comes: the reader is about to be told.
        if self.client.context().holds(partition) {
            self.point(partition, offset).map_err(unavailable)?;
            self.places.give(partition, offset, turn);
        }
        Ok(())
    }

    /// Has the client read from `offset` on. An assignment takes effect in the client's own thread:
    /// a seek that comes before that is refused, and tried again.
    fn point(&self, partition: Partition, offset: i64) -> KafkaResult<()> {
        let deadline = Instant::now() + ANSWER_WITHIN;
        let seek = || {
            let (topic, offset) = (&self.topic.name, Offset::Offset(offset));
            self.client
                .seek(topic, number(partition), offset, ANSWER_WITHIN)
        };
        while let Err(error) = seek() {
            if Instant::now() >= deadline {
                return Err(error);
            }
            std::thread::sleep(POLL_BETWEEN_COMMANDS);
        }
        match self.is_paused {
            true => Ok(()),
            false => self
                .client
                .resume(&list(&self.topic.name, &[partition], Offset::Invalid)?),
        }
    }

    /// Whether anybody is there to read for; waits a little where nobody is.
    fn is_wanted(&mut self) -> bool {
        let Some(share) = &mut self.share else {
            return true;
        };
        let is_wanted = self.inbox.is_wanted(share.stalled_after, POLL);
        if is_wanted == share.is_stalled {
            share.is_stalled = !is_wanted;
            match is_wanted {
                true => tracing::info!("the reader goes on"),
                false => tracing::error!("the reader stands still: its share is left to others"),
            }
        }
        is_wanted
    }

    /// Commits what was taken, now and then.
    fn report_lag(&mut self) {
        let Some(share) = &mut self.share else { return };
        if share.committed.elapsed() < COMMIT_EVERY {
            return;
        }
        share.committed = Instant::now();
        let mut taken = self.inbox.taken();
        taken.retain(|partition, _| self.client.context().holds(*partition));
        if taken.is_empty() {
            return;
        }
        let mut offsets = TopicPartitionList::with_capacity(taken.len());
        let committed = taken
            .into_iter()
            .try_for_each(|(partition, next)| {
                let (topic, next) = (&self.topic.name, Offset::Offset(next));
                offsets.add_partition_offset(topic, number(partition), next)
            })
            .and_then(|()| self.client.commit(&offsets, CommitMode::Async));
        if let Err(error) = committed {
            tracing::debug!(%error, "the group's lag is not reported");
        }
    }

    /// Whether to poll: while there is room for more, and while everything is paused.
    fn may_read(&mut self) -> bool {
        if self.inbox.has_room(POLL) {
            self.full_since = None;
            if self.is_paused {
                self.is_paused = false;
                self.turn_tap(BaseConsumer::resume);
            }
            return true;
        }
        let since = *self.full_since.get_or_insert_with(Instant::now);
        if !self.is_paused && since.elapsed() >= PAUSE_AFTER {
            self.is_paused = true;
            self.turn_tap(BaseConsumer::pause);
        }
        self.is_paused
    }

    fn turn_tap(
        &self,
        turn: impl Fn(&BaseConsumer<Membership>, &TopicPartitionList) -> KafkaResult<()>,
    ) {
        let placed: Vec<_> = self.places.all().map(|(partition, _)| partition).collect();
        let turned = list(&self.topic.name, &placed, Offset::Invalid)
            .and_then(|placed| turn(&self.client, &placed));
        if let Err(error) = turned {
            self.inbox.put(Told::Failed(unavailable(error)));
        }
    }

    /// Polls once, and goes on as long as something is there at once.
    fn read(&mut self) {
        let mut wait = match self.commanded {
            Some(at) if at.elapsed() < COMMANDS_WITHIN => POLL_BETWEEN_COMMANDS,
            _ => POLL,
        };
        let failure = loop {
            let polled = self.client.poll(wait);
            for change in self.client.context().changes() {
                self.places.change(change);
            }
            match polled {
                None => break None,
                Some(Ok(message)) => self.places.gather(&message),
                Some(Err(error)) => break Some(error),
            }
            if self.places.has_gathered_enough() {
                break None;
            }
            wait = Duration::ZERO;
        };
        self.places.put();
        if let Some(error) = failure {
            self.failed(error);
        }
    }

    fn failed(&self, error: KafkaError) {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AutoOffsetReset) => self.tell_of_lost_places(),
            Some(code) if FINAL.contains(&code) => {
                self.inbox.put(Told::Failed(unavailable(error)));
            }
            _ if matches!(error, KafkaError::MessageConsumptionFatal(_)) => {
                self.inbox.put(Told::Failed(unavailable(error)));
            }
            _ => tracing::warn!(%error, "Kafka's consumer"),
        }
    }

    /// Retention has overtaken a place, or the log lost its end: Kafka does not say whose.
    fn tell_of_lost_places(&self) {
        for (partition, asked) in self.places.all() {
            let told = match self.range(partition) {
                Ok((first, end)) if (first..=end).contains(&asked) => continue,
                Ok((first, end)) => ReadError::OutOfRange {
                    partition,
                    asked,
                    first,
                    end,
                },
                Err(error) => error,
            };
            self.inbox.put(Told::Failed(told));
        }
    }

    fn look_after_the_silent(&mut self) {
        if self.is_paused {
            return;
        }
        for (partition, next) in self.places.silent_for(SILENT_AFTER) {
            match self.range(partition) {
                Ok((_, end)) if end > next => {}
                Ok(_) => continue,
                // It is tried again when it has been silent for as long again.
                Err(_) => return,
            }
            tracing::warn!(%partition, next, "nothing came, though there is more: reading anew");
            if let Err(error) = self.point(partition, next) {
                self.inbox.put(Told::Failed(unavailable(error)));
            }
        }
    }
}

/// Partitions of the topic, each with the same offset.
fn list(topic: &str, partitions: &[Partition], offset: Offset) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        list.add_partition_offset(topic, number(*partition), offset)?;
    }
    Ok(list)
}

fn unavailable(error: KafkaError) -> ReadError {
    ReadError::Unavailable(Box::new(error))
}
