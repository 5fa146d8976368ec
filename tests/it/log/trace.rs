//! A trace goes from the request that posts events into the headers of their records.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use anyhow::ensure;
use danmu_tests::server::Server;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::kafka::Kafka;

const ONE: NonZeroU32 = NonZeroU32::new(1).expect("1 is not 0");
const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// Longer than anything here takes on a loaded machine.
const WITHIN: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(100);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_trace_of_a_request_goes_with_each_of_its_records() -> anyhow::Result<()> {
    let options = Kafka::with_a_new_topic(ONE).options().await?;
    tokio::task::block_in_place(|| {
        let data = tempfile::tempdir()?;
        let server = Server::start_configured(data.path(), |command| {
            command.args(["--log", &options.to_string()]);
        });
        server.wait_until_ready();
        let url = format!("{}/v1/rooms/a/events", server.url());
        let post = |traces: &[&str], body: &str| {
            let request = ureq::post(&url).header("content-type", "application/json");
            let request = traces.iter().fold(request, |request, trace| {
                request.header("traceparent", *trace)
            });
            request.send(body).map(drop)
        };
        let comment = r#"{"kind":"comment","user":{"id":"u"},"text":"hello"}"#;
        post(&[], comment)?;
        post(&[TRACE], &format!("[{comment},{comment}]"))?;
        post(&["00-no-trace-at-all"], comment)?;
        post(&[TRACE, TRACE], comment)?;

        let traces = traces(&options.brokers, &options.topic, 5)?;
        let expected = [None, Some(TRACE), Some(TRACE), None, None];
        assert_eq!(traces, expected.map(|trace| trace.map(str::to_owned)));
        Ok(())
    })
}

/// What the first records of the topic have for a trace.
fn traces(brokers: &str, topic: &str, count: usize) -> anyhow::Result<Vec<Option<String>>> {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", brokers)
        .set("group.id", "traces");
    let consumer: BaseConsumer = config.create()?;
    let mut all = TopicPartitionList::new();
    all.add_partition_offset(topic, 0, Offset::Beginning)?;
    consumer.assign(&all)?;
    let deadline = Instant::now() + WITHIN;
    let mut traces = Vec::new();
    while traces.len() < count {
        ensure!(Instant::now() < deadline, "only {traces:?} came");
        if let Some(message) = consumer.poll(POLL) {
            traces.push(trace(&message?));
        }
    }
    Ok(traces)
}

fn trace(message: &BorrowedMessage<'_>) -> Option<String> {
    let mut headers = message.headers()?.iter();
    let header = headers.find(|header| header.key == "traceparent")?;
    Some(String::from_utf8_lossy(header.value?).into_owned())
}
