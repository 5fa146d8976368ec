//! Logs: lines on standard error, as text or as JSON.
//!
//! They tell paths, times, counts and rooms; never a comment's text, a token or a user's name. Which are
//! told is `RUST_LOG`'s, by crate and level, or the command's own where it is not set. A filter that
//! cannot be understood is an error, not the default.

use std::io::IsTerminal;

use anyhow::Context;
use tracing_subscriber::EnvFilter;

/// The variable that says what is logged.
const FILTER_VARIABLE: &str = "RUST_LOG";

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, fields beside `timestamp`, `level`, `target` and `message`.
    Json,
}

impl LogFormat {
    /// The format of that name.
    pub fn parse(name: &str) -> Result<Self, String> {
        match name {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(format!("{name:?} is neither text nor json")),
        }
    }

    /// The format's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

/// Has this process log, at `level` where the environment names none.
pub fn start(format: LogFormat, level: &str) -> anyhow::Result<()> {
    let filter = match std::env::var(FILTER_VARIABLE) {
        Ok(filter) => filter.parse().context(FILTER_VARIABLE)?,
        Err(std::env::VarError::NotPresent) => EnvFilter::new(level),
        Err(error) => return Err(error).context(FILTER_VARIABLE),
    };
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => lines.init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
    Ok(())
}
