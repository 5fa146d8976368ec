//! What the commands need and may be missing, kept in `$XTASK_CACHE` (`~/.cache/danmu`).

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use danmu_stack::cache;

use crate::run::{cargo, program};

const CARGO_DENY_VERSION: &str = "0.20.2";
/// What the tests use of Python, each with its version.
const PYTHON_PACKAGES: [(&str, &str); 2] = [("fastavro", "1.13.1"), ("schemathesis", "4.32.5")];

/// cargo-deny, built once.
pub fn cargo_deny() -> Result<PathBuf> {
    let tools = cache()?.join("tools");
    let deny = tools.join("bin/cargo-deny");
    let found = program(&deny, &["--version"]).succeeds();
    if !found {
        let root = tools.to_str().context("the cache's path is not UTF-8")?;
        let version = CARGO_DENY_VERSION;
        cargo(&[
            "install",
            "cargo-deny",
            "--locked",
            "--version",
            version,
            "--root",
            root,
        ])
        .check()?;
    }
    Ok(deny)
}

/// What Kafka's client is built with, beside a C compiler.
pub fn libraries() -> Result<()> {
    danmu_stack::program("make", "make")?;
    danmu_stack::program("pkg-config", "pkg-config")?;
    danmu_stack::library("openssl/ssl.h", "libssl-dev")?;
    danmu_stack::library("zlib.h", "zlib1g-dev")
}

/// A Python that has what the tests use: Avro as others implement it, and a tool that reads OpenAPI.
pub fn python() -> Result<PathBuf> {
    let environment = cache()?.join("python");
    let python = environment.join("bin/python3");
    if !program(&python, &["--version"]).succeeds() {
        let directory = environment
            .to_str()
            .context("the cache's path is not UTF-8")?;
        program(Path::new("python3"), &["-m", "venv", directory])
            .check()
            .context("python3 with its venv module is needed: apt-get install python3-venv")?;
    }
    for (name, version) in PYTHON_PACKAGES {
        let is_there = format!(
            "from importlib.metadata import version; assert version('{name}') == '{version}'"
        );
        if !program(&python, &["-c", &is_there]).succeeds() {
            let package = format!("{name}=={version}");
            program(&python, &["-m", "pip", "install", "--quiet", &package]).check()?;
        }
    }
    Ok(python)
}
