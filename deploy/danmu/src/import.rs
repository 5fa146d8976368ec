//! `danmu import`: brings a recorded comment file into a server as a recorded broadcast.
//!
//! `format` tells the formats apart, one module each reads them into a `recording`, `plan` sorts and
//! names the events, and `transfer` sends what the room does not have. All but the last are pure.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use danmu_schemas::RoomId;
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;

use format::Format;
use plan::Plan;
use transfer::{Outcome, transfer};

use crate::client::Server;

mod format;
mod jsonl;
mod niconico;
mod plan;
mod recording;
#[cfg(test)]
mod tests;
mod transfer;
mod twitch;
mod xml;

/// How many entries of each reason the summary names.
const ENTRIES_NAMED_MAX: usize = 20;

/// What `danmu import` is asked to do.
#[derive(Debug, clap::Args)]
pub struct ImportArgs {
    /// The recorded comment file
    file: PathBuf,
    /// The room to bring it into
    #[arg(long)]
    room: RoomId,
    /// The server's address
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    to: String,
    /// A backend's token
    #[arg(long, env = "DANMU_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// The file's format, where it is not to be told from how it begins
    #[arg(long)]
    format: Option<Format>,
    /// When the show began (RFC 3339), before what the file says
    #[arg(long)]
    started_at: Option<Timestamp>,
}

/// Imports a file; the code is 0 if every entry is accounted for.
pub fn run(args: ImportArgs) -> anyhow::Result<ExitCode> {
    let file = args.file.display();
    let bytes = std::fs::read(&args.file).with_context(|| format!("read {file}"))?;
    let format = match args.format {
        Some(format) => format,
        None => Format::detect(&bytes).with_context(|| format!("read {file}"))?,
    };
    let recording = format
        .read(&bytes)
        .with_context(|| format!("read {file}"))?;
    let entries = recording.len();
    let started_at = args.started_at.map(Timestamp::as_millisecond);
    let plan = Plan::new(recording, args.room, format, started_at)?;

    let server = Server::new(&args.to, args.token);
    let now_ms = || Timestamp::now().as_millisecond();
    let outcome = transfer(&server, plan, now_ms, &progress_bar(entries)?)?;
    summarize(&outcome, entries)
}

fn progress_bar(entries: usize) -> anyhow::Result<ProgressBar> {
    let style = ProgressStyle::with_template("{bar:40} {human_pos}/{human_len} {per_sec} {eta}")?;
    Ok(ProgressBar::new(entries as u64).with_style(style))
}

fn summarize(outcome: &Outcome, entries: usize) -> anyhow::Result<ExitCode> {
    let refused = outcome.refused.len();
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{entries} entries: {} sent, {} already there, {refused} refused",
        outcome.sent, outcome.already_there,
    )?;
    for (reason, indexes) in outcome.refused_by_reason() {
        let named: Vec<String> = indexes
            .iter()
            .take(ENTRIES_NAMED_MAX)
            .map(ToString::to_string)
            .collect();
        let more = if indexes.len() > ENTRIES_NAMED_MAX {
            "…"
        } else {
            ""
        };
        let (count, named) = (indexes.len(), named.join(" "));
        writeln!(out, "  refused {count}: {reason} (entries {named}{more})")?;
    }
    let accounted = outcome.sent + outcome.already_there + refused == entries;
    Ok(if accounted {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
