//! The benches: figures as ratios against a peer that is measured in the same run, and scale runs.
//!
//! `cargo xtask bench` builds this and the server in one profile and runs it. Each bench is a module; how
//! runs are measured is in `measure`, what they give in `report`. Servers and peers are processes of
//! their own, on another core than the load.

mod decode;
#[cfg(feature = "cluster")]
mod engines;
#[cfg(feature = "cluster")]
mod history;
mod ingest;
#[cfg(feature = "cluster")]
mod ingest_kafka;
mod load;
mod measure;
mod peer;
mod poll;
mod process;
#[cfg(feature = "cluster")]
mod projected;
mod report;
mod sample;
mod scale;
mod settle;
#[cfg(feature = "cluster")]
mod steps;
#[cfg(feature = "cluster")]
mod windows;

use std::path::{Path, PathBuf};
use std::{fs, io::Write as _};

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};
use report::{Findings, Report};

/// The server's, so that a peer has it too.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(name = "danmu-bench", about = "The benches of danmu")]
struct Arguments {
    /// Which to run; without a name those over the embedded engines but for `scale`
    benches: Vec<Bench>,
    /// Interleaved pairs of runs
    #[arg(long, default_value_t = 5)]
    pairs: usize,
    /// So little work that only the benches themselves are tried, not what they measure
    #[arg(long)]
    tiny: bool,
    /// The server [default: `danmu` beside this program]
    #[arg(long)]
    server: Option<PathBuf>,
    /// Where the findings are kept [default: `bench.json` in the target directory]
    #[arg(long)]
    report: Option<PathBuf>,
    /// Put the table into this document, between its marks
    #[arg(long)]
    record: Option<PathBuf>,
    /// Answer as this file says; the peer's own process
    #[arg(long, hide = true)]
    peer: Option<PathBuf>,
}

/// A bench by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Bench {
    /// S2: decoding a comment
    Decode,
    /// S1: settling a log on one core
    Settle,
    /// S7: embedded ingest over HTTP
    Ingest,
    /// S5, S6: ingest over HTTP to Kafka
    #[cfg(feature = "cluster")]
    IngestKafka,
    /// S3: a loaded topic on Kafka projected
    #[cfg(feature = "cluster")]
    Projected,
    /// W1, W2: appending to windows in Redis
    #[cfg(feature = "cluster")]
    Windows,
    /// H1: writing the history to Cassandra
    #[cfg(feature = "cluster")]
    History,
    /// R1, R2: polls with and without news
    Poll,
    /// Start-up, polls and memory with many rooms and with one long room
    Scale,
}

/// How much work a bench does.
#[derive(Debug, Clone, Copy)]
struct Size {
    pairs: usize,
    tiny: bool,
}

impl Size {
    /// The full size, or the tiny one.
    fn of(self, full: usize, tiny: usize) -> usize {
        if self.tiny { tiny } else { full }
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if let Some(answer) = &arguments.peer {
        return peer::serve(answer);
    }
    process::pin_load()?;
    let beside = std::env::current_exe()?;
    let server = match &arguments.server {
        Some(server) => server.clone(),
        None => beside.with_file_name("danmu"),
    };
    ensure!(server.exists(), "build {} first", server.display());
    let file = match &arguments.report {
        Some(file) => file.clone(),
        None => beside.with_file_name("../bench.json"),
    };
    let size = Size {
        pairs: arguments.pairs,
        tiny: arguments.tiny,
    };
    let mut report = Report::read(&file)?;
    for bench in chosen(&arguments.benches) {
        let findings = run(bench, size, &server)?;
        let name = bench
            .to_possible_value()
            .context("every bench has a name")?;
        report.put(name.get_name(), findings);
        report.write(&file)?;
    }
    let table = report.table();
    std::io::stdout().write_all(table.as_bytes())?;
    match &arguments.record {
        Some(document) => record(document, &table),
        None => Ok(()),
    }
}

/// What runs when nothing is named.
const USUAL: [Bench; 4] = [Bench::Decode, Bench::Settle, Bench::Ingest, Bench::Poll];

fn chosen(benches: &[Bench]) -> Vec<Bench> {
    match benches {
        [] => USUAL.to_vec(),
        named => named.to_vec(),
    }
}

fn run(bench: Bench, size: Size, server: &Path) -> Result<Findings> {
    let findings = match bench {
        Bench::Decode => decode::run(size),
        Bench::Settle => settle::run(size),
        Bench::Ingest => ingest::run(size, server),
        #[cfg(feature = "cluster")]
        Bench::IngestKafka => ingest_kafka::run(size, server),
        #[cfg(feature = "cluster")]
        Bench::Projected => projected::run(size, server),
        #[cfg(feature = "cluster")]
        Bench::Windows => windows::run(size),
        #[cfg(feature = "cluster")]
        Bench::History => history::run(size),
        Bench::Poll => poll::run(size, server),
        Bench::Scale => scale::run(size, server),
    }?;
    Ok(Findings {
        measured_at: jiff::Timestamp::now().strftime("%F %R").to_string(),
        ..findings
    })
}

const TABLE_BEGINS: &str = "<!-- table -->\n";
const TABLE_ENDS: &str = "<!-- end of table -->";

/// Replaces what stands between the marks of a document.
fn record(document: &Path, table: &str) -> Result<()> {
    let text = fs::read_to_string(document)?;
    let parts = text.split_once(TABLE_BEGINS).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(TABLE_ENDS)?;
        Some((before, after))
    });
    let (before, after) = parts.context("the document has no marks for the table")?;
    let text = format!("{before}{TABLE_BEGINS}{table}{TABLE_ENDS}{after}");
    Ok(fs::write(document, text)?)
}
