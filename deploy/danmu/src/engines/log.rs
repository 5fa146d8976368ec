//! The log behind its ports.

use std::path::Path;
use std::time::Duration;

use danmu_log::embedded::{self, EmbeddedLog, EmbeddedReader, LetterFile};
#[cfg(feature = "cluster")]
use danmu_log::kafka::{KafkaLog, KafkaReader, Reading};
use danmu_log::{
    AppendError, DeadLetters, LogReader, LogWriter, NewRecord, ReadError, ReadEvent, Routes,
};
use danmu_schemas::{LogIdentity, Partition};

use crate::config::LogUrl;

/// A log that is open. Clones are the same one.
#[derive(Clone)]
pub enum Log {
    /// Segment files of this process.
    Embedded(EmbeddedLog),
    /// A topic, of which each member of a group reads its share.
    #[cfg(feature = "cluster")]
    Kafka(Topic),
}

/// How full a log is.
#[derive(Debug, Clone, Copy)]
pub struct Figures {
    /// Bytes on the disk, where it is this process's.
    pub disk_bytes: Option<u64>,
    /// Records that wait for the log to take them.
    pub waiting_records: usize,
    /// Their bytes.
    pub waiting_bytes: usize,
    /// How much of the log's queue they take; 0 where that is not this process's to tell.
    pub queue_percent: u64,
}

/// A topic, and who this process is among its readers.
#[cfg(feature = "cluster")]
#[derive(Clone)]
pub struct Topic {
    log: KafkaLog,
    name: String,
    member: Option<String>,
}

impl Log {
    /// Opens the log, making an embedded one where there is none.
    pub async fn open(url: &LogUrl) -> anyhow::Result<Self> {
        match url {
            LogUrl::Embedded(dir) => {
                let options = embedded::Options::new(dir, embedded::wall_clock());
                Ok(Self::Embedded(EmbeddedLog::open(options)?))
            }
            #[cfg(feature = "cluster")]
            LogUrl::Kafka { options, member } => Ok(Self::Kafka(Topic {
                log: KafkaLog::connect(options.clone()).await?,
                name: options.topic.clone(),
                member: member.clone(),
            })),
        }
    }

    /// Where its settled events are published; an embedded log has nobody who would read them there.
    pub async fn settled(&self) -> anyhow::Result<Option<Self>> {
        match self {
            Self::Embedded(_) => Ok(None),
            #[cfg(feature = "cluster")]
            Self::Kafka(topic) => {
                let log = topic.log.settled().await?;
                Ok(Some(Self::Kafka(Topic {
                    log,
                    ..topic.clone()
                })))
            }
        }
    }

    /// A reader of every partition, which shares nothing with other readers.
    pub fn reader(&self) -> anyhow::Result<Reader> {
        match self {
            Self::Embedded(log) => Ok(Reader::Embedded(log.reader())),
            #[cfg(feature = "cluster")]
            Self::Kafka(topic) => Ok(Reader::Kafka(topic.log.reader(Reading::All)?)),
        }
    }

    /// A reader of this process's share of the partitions among all processes of a `group`; of an
    /// embedded log, which has one process, all of them.
    #[cfg_attr(not(feature = "cluster"), expect(unused_variables))]
    pub fn member_of(&self, group: &str) -> anyhow::Result<Reader> {
        match self {
            Self::Embedded(_) => self.reader(),
            #[cfg(feature = "cluster")]
            Self::Kafka(topic) => {
                let reading = Reading::Share {
                    group: format!("{}.{group}", topic.name),
                    member: topic.member.clone(),
                };
                Ok(Reader::Kafka(topic.log.reader(reading)?))
            }
        }
    }

    /// Where its records go that nobody could decode: of an embedded log into `file`.
    pub async fn dead_letters(&self, file: &Path) -> anyhow::Result<Box<dyn DeadLetters>> {
        match self {
            Self::Embedded(log) => Ok(Box::new(LetterFile::open(file, log.identity())?)),
            #[cfg(feature = "cluster")]
            Self::Kafka(topic) => Ok(Box::new(topic.log.dead_letters().await?)),
        }
    }

    /// Which log this is.
    pub fn identity(&self) -> LogIdentity {
        match self {
            Self::Embedded(log) => log.identity(),
            #[cfg(feature = "cluster")]
            Self::Kafka(topic) => topic.log.identity(),
        }
    }

    /// Where each slot's records go.
    pub fn routes(&self) -> &Routes {
        match self {
            Self::Embedded(log) => log.routes(),
            #[cfg(feature = "cluster")]
            Self::Kafka(topic) => topic.log.routes(),
        }
    }

    /// Why every append is refused until the process is started again; nothing while it works.
    pub fn refusal(&self) -> Option<&'static str> {
        match self {
            Self::Embedded(log) => log.refusal(),
            #[cfg(feature = "cluster")]
            Self::Kafka(topic) => {
                let is_replaced = topic.log.is_replaced();
                is_replaced.then_some("another topic has the log's name")
            }
        }
    }

    /// Ends when another log was found in its place.
    pub async fn replaced(&self) {
        match self {
            Self::Embedded(_) => std::future::pending().await,
            #[cfg(feature = "cluster")]
            Self::Kafka(topic) => topic.log.replaced().await,
        }
    }

    /// How much it keeps and how much waits.
    pub fn figures(&self) -> Figures {
        match self {
            Self::Embedded(log) => {
                let figures = log.figures();
                Figures {
                    disk_bytes: Some(figures.bytes),
                    waiting_records: figures.waiting_records,
                    waiting_bytes: figures.waiting_bytes,
                    queue_percent: figures.queue_percent,
                }
            }
            #[cfg(feature = "cluster")]
            Self::Kafka(topic) => {
                let (waiting_records, waiting_bytes) = topic.log.waiting();
                Figures {
                    disk_bytes: None,
                    waiting_records,
                    waiting_bytes,
                    queue_percent: 0,
                }
            }
        }
    }

    /// The offset of the next record of `partition`, as far as this process was told: on Kafka it may be
    /// a second old.
    pub fn end_offset(&self, partition: Partition) -> Option<i64> {
        match self {
            Self::Embedded(log) => Some(log.end_offset(partition)),
            #[cfg(feature = "cluster")]
            Self::Kafka(topic) => topic.log.end_offset(partition),
        }
    }

    /// When the log took the record at `offset`, if it can tell: milliseconds since 1970 UTC.
    pub fn logged_at(&self, partition: Partition, offset: i64) -> Option<i64> {
        match self {
            Self::Embedded(log) => log.logged_at(partition, offset),
            #[cfg(feature = "cluster")]
            Self::Kafka(_) => None,
        }
    }

    /// Finishes what was accepted. Later appends are refused as overloaded.
    pub async fn close(&self) {
        match self {
            Self::Embedded(log) => log.close().await,
            #[cfg(feature = "cluster")]
            Self::Kafka(topic) => topic.log.close().await,
        }
    }
}

impl LogWriter for Log {
    async fn append(
        &self,
        partition: Partition,
        records: Vec<NewRecord>,
    ) -> Result<i64, AppendError> {
        match self {
            Self::Embedded(log) => log.append(partition, records).await,
            #[cfg(feature = "cluster")]
            Self::Kafka(topic) => topic.log.append(partition, records).await,
        }
    }

    async fn trim(&self, partition: Partition, offset: i64) -> Result<(), AppendError> {
        match self {
            Self::Embedded(log) => log.trim(partition, offset).await,
            #[cfg(feature = "cluster")]
            Self::Kafka(topic) => topic.log.trim(partition, offset).await,
        }
    }
}

/// A reader of a [`Log`].
pub enum Reader {
    /// Of segment files.
    Embedded(EmbeddedReader),
    /// Of a topic.
    #[cfg(feature = "cluster")]
    Kafka(KafkaReader),
}

impl LogReader for Reader {
    fn identity(&self) -> LogIdentity {
        match self {
            Self::Embedded(reader) => reader.identity(),
            #[cfg(feature = "cluster")]
            Self::Kafka(reader) => reader.identity(),
        }
    }

    async fn next(&mut self, wait: Duration) -> Result<ReadEvent, ReadError> {
        match self {
            Self::Embedded(reader) => reader.next(wait).await,
            #[cfg(feature = "cluster")]
            Self::Kafka(reader) => reader.next(wait).await,
        }
    }

    async fn seek(&mut self, partition: Partition, offset: i64) -> Result<(), ReadError> {
        match self {
            Self::Embedded(reader) => reader.seek(partition, offset).await,
            #[cfg(feature = "cluster")]
            Self::Kafka(reader) => reader.seek(partition, offset).await,
        }
    }

    async fn first_offset(&mut self, partition: Partition) -> Result<i64, ReadError> {
        match self {
            Self::Embedded(reader) => reader.first_offset(partition).await,
            #[cfg(feature = "cluster")]
            Self::Kafka(reader) => reader.first_offset(partition).await,
        }
    }

    async fn end_offset(&mut self, partition: Partition) -> Result<i64, ReadError> {
        match self {
            Self::Embedded(reader) => reader.end_offset(partition).await,
            #[cfg(feature = "cluster")]
            Self::Kafka(reader) => reader.end_offset(partition).await,
        }
    }

    fn partitions(&self) -> Vec<Partition> {
        match self {
            Self::Embedded(reader) => reader.partitions(),
            #[cfg(feature = "cluster")]
            Self::Kafka(reader) => reader.partitions(),
        }
    }
}
