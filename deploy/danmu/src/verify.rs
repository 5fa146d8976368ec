//! `danmu verify`: proves that what the read models hold is what the log says.
//!
//! On stopped data, or by the URLs of engines that processes share, the log is settled again here and
//! compared with the history and with windows that outlive a process; a running server is asked by its
//! admin listener, and compares its windows too. Nothing is written. The first difference
//! is printed by its room and name, never with content.

use std::io::{BufRead, BufReader, Write};
use std::ops::ControlFlow;
use std::process::ExitCode;

use anyhow::{Context, bail};
use danmu_processors::verify::{Options, Progress, Report, Sources, verify};
use danmu_schemas::RoomId;
use indicatif::{ProgressBar, ProgressStyle};

use crate::config::StoreArgs;
use crate::stopped::Stopped;
use line::Line;

pub mod line;

/// What `danmu verify` is asked to do.
#[derive(Debug, clap::Args)]
pub struct VerifyArgs {
    #[command(flatten)]
    stores: StoreArgs,
    /// A running server's admin listener, like http://127.0.0.1:8081
    #[arg(long, conflicts_with_all = ["data", "log", "windows", "history"])]
    admin: Option<String>,
    /// This room alone
    #[arg(long)]
    room: Option<RoomId>,
}

/// Verifies; the code is 1 if anything differs, and the first difference is printed.
pub fn run(args: VerifyArgs) -> anyhow::Result<ExitCode> {
    let bar = progress_bar()?;
    let room = args.room.clone();
    let report = match &args.admin {
        Some(admin) => ask(admin, args.room.as_ref(), &bar)?,
        None => {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(verify_stopped(args.stores, args.room, &bar))?
        }
    };
    bar.finish_and_clear();
    if let Some(room) = room.filter(|_| report.rooms == 0 && report.differences == 0) {
        bail!("the log has no room {room}");
    }
    print(&report)
}

async fn verify_stopped(
    stores: StoreArgs,
    room: Option<RoomId>,
    bar: &ProgressBar,
) -> anyhow::Result<Report> {
    let stopped = Stopped::find(stores)?;
    let log = stopped.open_log().await?;
    let sources = Sources {
        history: stopped.open_history(&log).await?,
        windows: stopped.open_windows().await?,
    };
    let options = Options {
        room,
        ..Options::default()
    };
    let progress = |progress| {
        show(progress, bar);
        ControlFlow::Continue(())
    };
    let mut reader = log.reader()?;
    let report = verify(&mut reader, log.routes(), &sources, &options, progress).await?;
    log.close().await;
    Ok(report)
}

/// Has a running server verify itself.
fn ask(admin: &str, room: Option<&RoomId>, bar: &ProgressBar) -> anyhow::Result<Report> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .build()
        .into();
    let mut url = format!("{}/verify", admin.trim_end_matches('/'));
    if let Some(room) = room {
        url = format!("{url}?room={room}");
    }
    let mut response = agent.post(&url).send_empty()?;
    if response.status() != 200 {
        let why = response.body_mut().read_to_string()?;
        bail!("the server answered {}: {}", response.status(), why.trim());
    }
    for line in BufReader::new(response.body_mut().as_reader()).lines() {
        match serde_json::from_str(&line?).context("the server's answer")? {
            Line::Progress(progress) => show(progress, bar),
            Line::Report(report) => return Ok(report),
            Line::Error(why) => bail!(why),
        }
    }
    bail!("the server's answer broke off")
}

fn progress_bar() -> anyhow::Result<ProgressBar> {
    let style = ProgressStyle::with_template(
        "{msg} {bar:40} {human_pos}/{human_len} records {per_sec} {eta}",
    )?;
    Ok(ProgressBar::new(0).with_style(style))
}

fn show(progress: Progress, bar: &ProgressBar) {
    bar.set_message(format!("pass {}", progress.pass));
    bar.set_length(progress.total);
    bar.set_position(progress.read);
}

fn print(report: &Report) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{} records, {} rooms, {} events, {} facts, {} states, {} remembered, {} in windows; digest \
         {:016x}",
        report.records,
        report.rooms,
        report.events,
        report.facts,
        report.states,
        report.remembered,
        report.window_events,
        report.digest,
    )?;
    if report.windows_unknown > 0 {
        let unknown = report.windows_unknown;
        writeln!(
            out,
            "{unknown} rooms' windows are being refilled: not compared"
        )?;
    }
    let Some(first) = &report.first_difference else {
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
