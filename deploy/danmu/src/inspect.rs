//! `danmu inspect`: prints what is stored, decoded, of a server that is stopped.
//!
//! It is an operator's tool: nothing is hidden, deleted texts neither. What has a JSON form of its own is
//! printed as that, one object a line; what has none (states, events) as text inside it. Nothing is
//! written but what opening a log after a crash cuts off its end.

mod chunk;
mod log;
mod room;

use std::process::ExitCode;

use danmu_schemas::{Cursor, RoomId};

use crate::config::StoreArgs;
use crate::stopped::Stopped;

/// What `danmu inspect` is asked to print.
#[derive(Debug, clap::Args)]
pub struct InspectArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Every record of the log
    Log {
        #[command(flatten)]
        stores: StoreArgs,
        /// Only this room's records
        #[arg(long)]
        room: Option<RoomId>,
    },
    /// A room's state in the history, and how far the history is behind the log
    Room {
        #[command(flatten)]
        stores: StoreArgs,
        /// The room
        #[arg(long)]
        room: RoomId,
    },
    /// The history's chunk that holds an event: its header, then its events
    Chunk {
        #[command(flatten)]
        stores: StoreArgs,
        /// The room
        #[arg(long)]
        room: RoomId,
        /// The event's cursor, like 1:42
        #[arg(long)]
        cursor: Cursor,
    },
}

/// Prints what was asked for.
pub fn run(args: InspectArgs) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut out = std::io::stdout().lock();
    match args.what {
        What::Log { stores, room } => {
            let log = runtime.block_on(Stopped::find(stores)?.open_log())?;
            runtime.block_on(log::print(&log, room.as_ref(), &mut out))?;
            runtime.block_on(log.close());
        }
        What::Room { stores, room } => {
            let stopped = Stopped::find(stores)?;
            let log = runtime.block_on(stopped.open_log())?;
            let history = runtime.block_on(stopped.open_history(&log))?;
            runtime.block_on(room::print(&log, &history, &room, &mut out))?;
            runtime.block_on(log.close());
        }
        What::Chunk {
            stores,
            room,
            cursor,
        } => {
            let stopped = Stopped::find(stores)?;
            let log = runtime.block_on(stopped.open_log())?;
            let history = runtime.block_on(stopped.open_history(&log))?;
            runtime.block_on(chunk::print(&history, &room, cursor, &mut out))?;
            runtime.block_on(log.close());
        }
    }
    Ok(ExitCode::SUCCESS)
}
