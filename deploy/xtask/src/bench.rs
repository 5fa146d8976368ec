//! `cargo xtask bench`: builds the server and the benches in one profile, then runs the benches.

use anyhow::Result;

use crate::install;
use crate::run::cargo;

/// Runs the benches with `arguments`, their names among them.
pub fn bench(profile: &str, arguments: &[String]) -> Result<()> {
    install::libraries()?;
    let build = ["build", "--profile", profile, "--package", "danmu"];
    let features = ["--features", "danmu/cluster"];
    cargo(&[&build[..], &features].concat()).check()?;
    let run = ["run", "--profile", profile, "--package", "danmu-bench"];
    let features = ["--features", "danmu-bench/cluster", "--"];
    cargo(&[&run[..], &features].concat())
        .arguments(arguments)
        .check()
}
