//! `danmu topics`: makes the topics and the routes of a log on Kafka, and tells how they differ from what
//! they should be.
//!
//! What is there already is never altered: only an operator knows what else lives on it. Nothing else
//! makes topics: who finds none says so and stops.

use std::io::Write;
use std::num::NonZeroU32;
use std::process::ExitCode;
use std::time::Duration;

use danmu_log::kafka::topics::{Layout, Topics};

use crate::config::{self, LogStoreArgs};

const S_PER_HOUR: u64 = 3_600;

/// What `danmu topics` is asked to do.
#[derive(Debug, clap::Args)]
pub struct TopicsArgs {
    task: Task,
    #[command(flatten)]
    log: LogStoreArgs,
    /// Partitions of the log; they can never be changed
    #[arg(long, default_value = "64", value_name = "N")]
    partitions: NonZeroU32,
    /// How long events are kept
    #[arg(long, default_value = "168", value_name = "HOURS")]
    retention_hours: NonZeroU32,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Task {
    /// Make the topics that are missing, and the log's routes
    Create,
    /// Tell what differs from what should be; changes nothing
    Check,
}

/// Does it.
pub fn run(args: TopicsArgs) -> anyhow::Result<ExitCode> {
    let layout = Layout {
        partitions: args.partitions,
        retention: Duration::from_secs(u64::from(args.retention_hours.get()) * S_PER_HOUR),
    };
    let options = config::load_log(args.log, config::variables())?;
    let topic = options.topic.clone();
    let topics = Topics::connect(options)?;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(async {
            match args.task {
                Task::Create => create(&topics, &layout, &topic).await,
                Task::Check => check(&topics, &layout, &topic).await,
            }
        })
}

async fn create(topics: &Topics, layout: &Layout, topic: &str) -> anyhow::Result<ExitCode> {
    let made = topics.create(layout).await?;
    let told = match made.is_empty() {
        true => "nothing to do".to_owned(),
        false => format!("made: {}", made.join(", ")),
    };
    writeln!(std::io::stdout(), "{topic}: {told}")?;
    Ok(ExitCode::SUCCESS)
}

async fn check(topics: &Topics, layout: &Layout, topic: &str) -> anyhow::Result<ExitCode> {
    let wrong = topics.check(layout).await?;
    let mut out = std::io::stdout();
    for line in &wrong {
        writeln!(out, "wrong: {line}")?;
    }
    if !wrong.is_empty() {
        return Ok(ExitCode::FAILURE);
    }
    writeln!(out, "{topic}: all is well")?;
    Ok(ExitCode::SUCCESS)
}
