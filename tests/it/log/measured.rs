//! What a server over a log on Kafka measures of it.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use anyhow::ensure;
use danmu_tests::server::Server;
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::json;

use super::kafka::Kafka;

const ONE: NonZeroU32 = NonZeroU32::new(1).expect("1 is not 0");
/// Longer than anything here takes on a loaded machine.
const WITHIN: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(100);
/// A record of a schema that no build knows: both loops halt before it.
const FROM_LATER: &[u8] = &[0, 0x7f, 0, 0, 1, 7];

fn comment(server: &Server) {
    let body = json!({"kind": "comment", "user": {"id": "u"}, "text": "hello"});
    server.post("/v1/rooms/a/events", &body);
}

fn until(server: &Server, series: &str, is_so: impl Fn(f64) -> bool) -> anyhow::Result<()> {
    let deadline = Instant::now() + WITHIN;
    while !is_so(server.metric(series)) {
        let value = server.metric(series);
        ensure!(Instant::now() < deadline, "{series} is {value}");
        std::thread::sleep(POLL);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lag_grows_while_a_partition_is_halted() -> anyhow::Result<()> {
    let options = Kafka::with_a_new_topic(ONE).options().await?;
    let data = tempfile::tempdir()?;
    let server = tokio::task::block_in_place(|| {
        let server = Server::start_configured(data.path(), |command| {
            command.args(["--log", &options.to_string()]);
        });
        server.wait_until_ready();
        comment(&server);
        server
    });
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", &options.brokers)
        .create()?;
    let record = FutureRecord::to(&options.topic)
        .key("a")
        .payload(FROM_LATER);
    let sent = producer.send(record, WITHIN).await;
    sent.map_err(|(error, _)| error)?;
    tokio::task::block_in_place(|| {
        for group in ["windows", "history"] {
            let halted = format!("danmu_projector_halted_partitions{{group=\"{group}\"}}");
            until(&server, &halted, |partitions| partitions == 1.0)?;
        }
        comment(&server);
        comment(&server);
        for group in ["windows", "history"] {
            let of_group = |name: &str| format!("{name}{{group=\"{group}\"}}");
            until(&server, &of_group("danmu_lag_records"), |records| {
                records == 3.0
            })?;
            until(&server, &of_group("danmu_lag_seconds"), |seconds| {
                seconds > 0.0
            })?;
        }
        assert_eq!(server.metric("danmu_log_appended_records_total"), 3.0);
        assert!(server.metric("danmu_log_appended_bytes_total") > 0.0);
        assert_eq!(server.metric("danmu_log_refused_appends_total"), 0.0);
        assert_eq!(server.metric("danmu_log_waiting_records"), 0.0);
        assert_eq!(server.metric("danmu_kafka_producer_failures_total"), 0.0);
        for client in ["producer", "reader"] {
            server.metric(&format!(
                "danmu_kafka_client_errors_total{{client=\"{client}\"}}"
            ));
        }
        Ok(())
    })
}
