//! The files that a deployment is made of, each held against its format by a tool that knows it.
//!
//! None needs a container engine or a cluster. That they say what the binary understands is a test of
//! its own, `tests/it/deployment.rs`.

use std::fs;

use anyhow::Result;

use crate::install;
use crate::run::{program, root};

/// The oldest Kubernetes that the manifests are for.
const KUBERNETES_VERSION: &str = "1.32.0";

/// Checks all of them.
pub fn lint() -> Result<()> {
    let python = install::linters()?;
    let hadolint = python.with_file_name("hadolint");
    program(&hadolint, &["deploy/Dockerfile"]).check()?;
    let schema = ["--builtin-schema", "vendor.compose-spec"];
    program(&python.with_file_name("check-jsonschema"), &schema)
        .arguments(&["deploy/compose.yaml".to_owned()])
        .check()?;
    let strictly = ["--strict", "--quiet", "-k", KUBERNETES_VERSION];
    program(&python.with_file_name("kubernetes-validate"), &strictly)
        .arguments(&manifests()?)
        .check()?;
    let promtool = danmu_stack::program("promtool", "prometheus")?;
    let rules = "deploy/prometheus/danmu.rules.yml";
    program(&promtool, &["check", "rules", rules]).check()?;
    let tests = "deploy/prometheus/danmu.rules.test.yml";
    program(&promtool, &["test", "rules", tests]).check()
}

/// Every manifest. Of the kinds that are not Kubernetes' own the tool says that it has no schema.
fn manifests() -> Result<Vec<String>> {
    let directory = root().join("deploy/kubernetes");
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        found.push(entry?.path().display().to_string());
    }
    found.sort();
    Ok(found)
}
