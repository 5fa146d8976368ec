//! `danmu import`: brings a recorded comment file into a server, or plays it there as a live show.
//!
//! `format` tells the formats apart, one module each reads them into a `recording`, whose entries get
//! their `identity`, and `plan` sorts the events. `transfer` sends what the room does not have as a recorded broadcast; `show`
//! says when a live show sends what, and `live` sends it; both write through `room`, and `outcome` tells
//! what became of each entry. All but `transfer`, `live` and `room` are pure.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, channel};

use anyhow::Context;
use danmu_schemas::RoomId;
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use uuid::Uuid;

use format::Format;
use live::{Run, play};
use plan::Plan;
use show::Pace;
use transfer::transfer;

use crate::client::Server;
use crate::serve::signalled;

mod elements;
mod format;
mod identity;
mod jsonl;
mod live;
mod niconico;
mod outcome;
mod plan;
mod recording;
mod room;
mod show;
#[cfg(test)]
mod tests;
mod transfer;
mod twitch;
mod xml;

/// The exit code of a live show that a second signal cut off: its broadcast stays open.
const EXIT_CUT_OFF: i32 = 130;

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
    /// Where the server is read, if by another address than it is written to
    #[arg(long)]
    from: Option<String>,
    /// A backend's token
    #[arg(long, env = "DANMU_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// The file's format, where it is not to be told from how it begins
    #[arg(long)]
    format: Option<Format>,
    /// When the show began (RFC 3339), before what the file says
    #[arg(long)]
    started_at: Option<Timestamp>,
    /// Play it as a live show of now, instead of a recorded one
    #[arg(long)]
    live: bool,
    /// How many times faster than it was recorded a live show is played
    #[arg(long, default_value = "1x", requires = "live")]
    pace: Pace,
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
        .read(&bytes, args.room)
        .with_context(|| format!("read {file}"))?;
    drop(bytes);
    let entries = recording.len();
    anyhow::ensure!(entries > 0, "{file} has no entries");
    let started_at = args.started_at.map(Timestamp::as_millisecond);
    let now_ms = || Timestamp::now().as_millisecond();
    let mut plan = Plan::new(recording, started_at)?;
    plan.refuse_inadmissible(now_ms());

    let mut server = Server::new(&args.to, args.token);
    if let Some(from) = &args.from {
        server = server.read_at(from);
    }
    let progress = progress_bar(entries)?;
    let outcome = if args.live {
        let run = Run {
            id: Uuid::now_v7(),
            pace: args.pace,
            stop: stopped_by_signal()?,
        };
        play(&server, &plan, &run, now_ms, &progress)?
    } else {
        transfer(&server, plan, now_ms, &progress)?
    };
    let mut out = std::io::stdout().lock();
    out.write_all(outcome.summary(entries).as_bytes())?;
    Ok(if outcome.accounts_for(entries) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Tells of the first SIGTERM or SIGINT from now on; the second one ends the process at once.
fn stopped_by_signal() -> anyhow::Result<Receiver<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let first = runtime.block_on(async { signalled() })?;
    let (stop, stopped) = channel();
    std::thread::spawn(move || {
        runtime.block_on(async {
            first.await;
            // A show that has ended needs no stop.
            let _ = stop.send(());
            if let Ok(second) = signalled() {
                second.await;
                std::process::exit(EXIT_CUT_OFF);
            }
        });
    });
    Ok(stopped)
}

fn progress_bar(entries: usize) -> anyhow::Result<ProgressBar> {
    let style = ProgressStyle::with_template("{bar:40} {human_pos}/{human_len} {per_sec} {eta}")?;
    Ok(ProgressBar::new(entries as u64).with_style(style))
}
