//! `danmu verify`: proves that a stopped server's history is what its log says.
//!
//! The log is settled again from its first record and compared with what is stored, event by event,
//! state by state. Nothing is written.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use danmu_processors::verify::verify;
use danmu_projections::{EmbeddedHistory, HistoryReader};

use crate::inspect::open_log;

/// What `danmu verify` is asked to do.
#[derive(Debug, clap::Args)]
pub struct VerifyArgs {
    /// The server's data directory
    #[arg(long, default_value = "./danmu-data")]
    data: PathBuf,
}

/// Verifies; the code is 1 if anything differs, and the first difference is printed.
pub fn run(args: VerifyArgs) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let report = runtime.block_on(async {
        let log = open_log(&args.data)?;
        let directory = args.data.join("history");
        let rows = EmbeddedHistory::open(&directory)
            .with_context(|| format!("history in {}", directory.display()))?;
        let history = HistoryReader::new(rows, log.identity());
        let report = verify(&mut log.reader(), log.routes(), &history).await?;
        log.close().await;
        anyhow::Ok(report)
    })?;
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{} records, {} rooms, {} events, {} facts; digest {:016x}",
        report.records, report.rooms, report.events, report.facts, report.digest,
    )?;
    let Some(first) = report.first_difference else {
        writeln!(out, "equal")?;
        return Ok(ExitCode::SUCCESS);
    };
    let (room, what, why) = (&first.room, &first.what, &first.why);
    writeln!(
        out,
        "{} differences, the first in room {room}: {what}: {why}",
        report.differences
    )?;
    Ok(ExitCode::FAILURE)
}
