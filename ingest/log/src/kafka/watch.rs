//! Whether the log's topic is still the one that was connected to.
//!
//! Kafka's client goes on with whatever topic has the name: one that was deleted and made again, or
//! that of another cluster at the same address. So the topic's id is asked again and again, on a
//! thread that ends with the connection. Silence tells nothing: only another id does.

use std::convert::Infallible;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use danmu_schemas::LogIdentity;
use rdkafka::error::KafkaResult;
use rdkafka::producer::{BaseProducer, Producer as _};
use tokio::sync::watch;

use super::{ANSWER_WITHIN, Options, settings};

/// How often it is asked.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// Asks until it is dropped.
#[derive(Debug)]
pub struct IdentityWatch {
    replaced: watch::Receiver<bool>,
    /// The thread ends when this is gone.
    _asking: mpsc::Sender<Infallible>,
}

impl IdentityWatch {
    /// Begins to ask for the topic that is `identity`.
    pub fn start(options: &Options, identity: LogIdentity) -> KafkaResult<Self> {
        let client: BaseProducer = settings::client(options).create()?;
        let (telling, replaced) = watch::channel(false);
        let (asking, stop) = mpsc::channel::<Infallible>();
        let name = options.topic.clone();
        std::thread::spawn(move || {
            while stop.recv_timeout(ASK_EVERY) == Err(RecvTimeoutError::Timeout) {
                let found = danmu_topic_id::topic_id(client.client(), &name, ANSWER_WITHIN);
                if let Ok(other) = found.map(LogIdentity)
                    && other != identity
                {
                    tracing::error!(topic = name, log = %identity.0, found = %other.0, "another topic has the log's name: nothing more is appended");
                    telling.send_replace(true);
                    return;
                }
            }
        });
        Ok(Self {
            replaced,
            _asking: asking,
        })
    }

    /// Whether another topic was found in its place.
    pub fn is_replaced(&self) -> bool {
        *self.replaced.borrow()
    }

    /// Ends when another topic was found in its place.
    pub async fn replaced(&self) {
        let mut replaced = self.replaced.clone();
        if replaced.wait_for(|replaced| *replaced).await.is_err() {
            std::future::pending().await
        }
    }
}
