//! `cargo xtask bench`: builds the server and the benches in one profile, then runs the benches.

use anyhow::Result;

use crate::run::cargo;

/// Runs the benches with `arguments`, their names among them.
pub fn bench(profile: &str, arguments: &[String]) -> Result<()> {
    cargo(&["build", "--profile", profile, "--package", "danmu"]).check()?;
    cargo(&[
        "run",
        "--profile",
        profile,
        "--package",
        "danmu-bench",
        "--",
    ])
    .arguments(arguments)
    .check()
}
