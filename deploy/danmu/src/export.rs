//! `danmu export`: writes a broadcast of a server to a file, in a format that players read.
//!
//! The server renders; this copies the bytes. Without `--broadcast` it is the room's newest one. A
//! file appears under its name only when it is whole.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use danmu_schemas::{Cursor, RoomId};
use serde_json::Value;

use crate::client::{Server, describe};

/// What `danmu export` is asked to do.
#[derive(Debug, clap::Args)]
pub struct ExportArgs {
    /// The room
    #[arg(long)]
    room: RoomId,
    /// The server's address
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    from: String,
    /// A token that may read the room
    #[arg(long, env = "DANMU_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// The broadcast's cursor; the newest where left out
    #[arg(long)]
    broadcast: Option<Cursor>,
    /// What to write
    #[arg(long, default_value = "jsonl")]
    format: Format,
    /// Where to write it; the standard output where left out
    #[arg(long)]
    output: Option<PathBuf>,
}

/// A format that a server exports.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Format {
    /// An event a line, which `danmu import` reads.
    Jsonl,
    /// Danmaku XML.
    Xml,
    /// Subtitles.
    Ass,
}

impl Format {
    fn as_str(self) -> &'static str {
        match self {
            Self::Jsonl => "jsonl",
            Self::Xml => "xml",
            Self::Ass => "ass",
        }
    }
}

/// Exports a broadcast.
pub fn run(args: ExportArgs) -> anyhow::Result<ExitCode> {
    let server = Server::new(&args.from, args.token);
    let broadcast = match args.broadcast {
        Some(broadcast) => broadcast.to_string(),
        None => newest(&server, &args.room)?,
    };
    let (room, format) = (&args.room, args.format.as_str());
    let path = format!("/v1/rooms/{room}/broadcasts/{broadcast}/export?format={format}");
    match &args.output {
        Some(output) => write_whole(output, |out| Ok(server.copy(&path, out)?))?,
        None => {
            let mut out = std::io::stdout().lock();
            server.copy(&path, &mut out)?;
            out.flush()?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn newest(server: &Server, room: &RoomId) -> anyhow::Result<String> {
    let answer = server.get(&format!("/v1/rooms/{room}/broadcasts?limit=1"))?;
    if answer.status != 200 {
        bail!("the server answered {}", describe(&answer));
    }
    let newest = answer.body.pointer("/broadcasts/0/broadcast");
    let newest = newest.and_then(Value::as_str).map(str::to_owned);
    newest.with_context(|| format!("{room} has no broadcast"))
}

/// Writes beside the file, then renames.
fn write_whole(
    output: &Path,
    write: impl FnOnce(&mut std::fs::File) -> anyhow::Result<u64>,
) -> anyhow::Result<()> {
    let mut beside = output.as_os_str().to_owned();
    beside.push(".part");
    let beside = PathBuf::from(beside);
    let named = || format!("write {}", output.display());
    let mut file = std::fs::File::create(&beside).with_context(named)?;
    let written = write(&mut file).and_then(|_| Ok(file.sync_all()?));
    if let Err(error) = written {
        let removed = std::fs::remove_file(&beside);
        return Err(removed.map_or_else(anyhow::Error::from, |()| error));
    }
    std::fs::rename(&beside, output).with_context(named)
}
