//! Running a program: prints what is run, fails when it fails.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// A program to run in the workspace's root.
pub struct Run(Command);

/// Cargo, as the one that runs us.
pub fn cargo(arguments: &[&str]) -> Run {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    program(Path::new(&cargo), arguments)
}

/// The workspace's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Any program.
pub fn program(program: &Path, arguments: &[&str]) -> Run {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root());
    Run(command)
}

impl Run {
    /// More arguments.
    pub fn arguments(&mut self, arguments: &[String]) -> &mut Self {
        self.0.args(arguments);
        self
    }

    /// A variable of the program's environment.
    pub fn environment(&mut self, name: &str, value: impl AsRef<OsStr>) -> &mut Self {
        self.0.env(name, value);
        self
    }

    /// Runs it to its end; an error unless it ends well.
    pub fn check(&mut self) -> Result<()> {
        eprintln!("$ {:?}", self.0);
        let status = self
            .0
            .status()
            .with_context(|| format!("{:?}", self.0.get_program()))?;
        if !status.success() {
            bail!("{:?} failed: {status}", self.0.get_program());
        }
        Ok(())
    }

    /// Whether it ends well, without a word.
    pub fn succeeds(&mut self) -> bool {
        self.0.output().is_ok_and(|output| output.status.success())
    }
}
