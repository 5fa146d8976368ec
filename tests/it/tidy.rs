//! The tree's rules that no compiler knows: who may import whom, and what stays pure.
//!
//! The table is that of ARCHITECTURE.md. Only normal dependencies count: a test may use what it
//! needs. Purity is read off the text: a pure file holds none of the words that would make its
//! answer depend on anything but its arguments.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// What a crate of ours may use of ours, and what it must never use of others.
struct Rule {
    package: &'static str,
    ours: &'static [&'static str],
    never: &'static [&'static str],
}

const RULES: [Rule; 8] = [
    Rule {
        package: "danmu-schemas",
        ours: &[],
        never: &[
            "tokio", "axum", "fjall", "rdkafka", "redis", "scylla", "ureq", "metrics",
        ],
    },
    Rule {
        package: "danmu-log",
        ours: &["danmu-schemas", "danmu-topic-id"],
        never: &["axum", "redis", "scylla", "fjall"],
    },
    Rule {
        package: "danmu-ingest",
        ours: &["danmu-schemas", "danmu-log"],
        never: &["rdkafka", "redis", "scylla", "fjall"],
    },
    Rule {
        package: "danmu-processors",
        ours: &["danmu-schemas", "danmu-log", "danmu-projections"],
        never: &["axum", "rdkafka", "redis", "scylla", "fjall"],
    },
    Rule {
        package: "danmu-projections",
        ours: &["danmu-schemas"],
        never: &["axum", "rdkafka"],
    },
    Rule {
        package: "danmu-api",
        ours: &["danmu-schemas", "danmu-projections"],
        never: &["rdkafka", "redis", "scylla", "fjall"],
    },
    Rule {
        package: "danmu-topic-id",
        ours: &[],
        never: &["tokio", "axum", "redis", "scylla", "fjall"],
    },
    Rule {
        package: "danmu-stack",
        ours: &[],
        never: &["tokio", "axum", "rdkafka", "redis", "scylla", "fjall"],
    },
];

/// How figures and logs leave the process is the wiring's alone: whoever does IO may count, by the
/// `metrics` facade.
const EXPORTERS: [&str; 2] = ["metrics-exporter-prometheus", "tracing-subscriber"];

#[test]
fn crates_import_what_the_table_allows() {
    let dependencies = dependencies();
    let mut wrong = Vec::new();
    for rule in &RULES {
        for name in &dependencies[rule.package] {
            let ours = name.starts_with("danmu");
            let never = rule.never.contains(&name.as_str()) || EXPORTERS.contains(&name.as_str());
            if (ours && !rule.ours.contains(&name.as_str())) || never {
                wrong.push(format!("{} may not use {name}", rule.package));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_crate_of_ours_has_a_rule() {
    let ruled = |name: &str| RULES.iter().any(|rule| rule.package == name);
    let wiring = ["danmu", "danmu-bench", "danmu-tests", "xtask"];
    for package in dependencies().keys() {
        assert!(
            ruled(package) || wiring.contains(&package.as_str()),
            "{package} has no rule"
        );
    }
}

#[test]
fn nothing_that_ships_takes_shortcuts() {
    let asks = |feature: &Value| text(feature) == "shortcuts";
    for package in packages()
        .iter()
        .filter(|package| text(&package["name"]) != "danmu-tests")
    {
        let name = text(&package["name"]);
        let defaults = &package["features"]["default"];
        assert!(
            !defaults.as_array().is_some_and(|on| on.iter().any(asks)),
            "{name} by itself"
        );
        for dependency in list(&package["dependencies"]) {
            let asked = list(&dependency["features"]).iter().any(asks);
            assert!(!asked, "{name} asks {} for shortcuts", dependency["name"]);
        }
    }
}

/// Where a decision lives, and the words that would make it depend on more than its arguments.
const PURE: [&str; 4] = [
    "processors/src/settle",
    "ingest/src/admission",
    "ingest/src/identity",
    "api/src/pace",
];
const IMPURE_WORDS: [&str; 11] = [
    "async ",
    ".await",
    "SystemTime",
    "Instant::",
    "std::env",
    "tokio",
    "fastrand",
    "now_v7",
    "new_v4",
    "std::fs",
    "metrics",
];

#[test]
fn decisions_are_pure() {
    let mut wrong = Vec::new();
    for path in rust_files().into_iter().filter(|path| is_pure(path)) {
        let text = fs::read_to_string(root().join(&path)).expect("a tracked file is readable");
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if let Some(word) = IMPURE_WORDS.iter().find(|word| code.contains(**word)) {
                wrong.push(format!("{}:{}: {word}", path.display(), number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "not pure:\n{}", wrong.join("\n"));
}

#[test]
fn no_file_is_named_for_nothing() {
    const NAMES: [&str; 7] = [
        "mod", "utils", "common", "helpers", "types", "models", "manager",
    ];
    for path in rust_files() {
        let stem = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .unwrap_or_default();
        assert!(
            !NAMES.contains(&stem),
            "{} says nothing of what it owns",
            path.display()
        );
    }
}

#[test]
fn every_module_says_what_it_owns() {
    let silent: Vec<_> = rust_files()
        .into_iter()
        .filter(|path| path.file_stem().is_some_and(|stem| stem != "tests"))
        .filter(|path| {
            let text = fs::read_to_string(root().join(path)).expect("a tracked file is readable");
            !text.starts_with("//!")
        })
        .collect();
    assert!(silent.is_empty(), "without a header: {silent:?}");
}

fn is_pure(path: &Path) -> bool {
    let text = path.to_str().unwrap_or_default();
    let is_test = text.contains("/tests/") || text.ends_with("tests.rs");
    !is_test && PURE.iter().any(|pure| text.starts_with(pure))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every Rust file of the tree, by its path from the root.
fn rust_files() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).expect("a folder of the tree is readable") {
            let entry = entry.expect("a folder of the tree is readable");
            let path = folder.join(entry.file_name());
            let hidden = entry.file_name().to_string_lossy().starts_with('.');
            if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            } else if !hidden && entry.file_name() != "target" && entry.path().is_dir() {
                folders.push(path);
            }
        }
    }
    assert!(!found.is_empty());
    found
}

/// The normal dependencies of every crate of the workspace.
fn dependencies() -> BTreeMap<String, Vec<String>> {
    packages()
        .iter()
        .map(|package| {
            let normal = list(&package["dependencies"])
                .iter()
                .filter(|dependency| dependency["kind"].is_null())
                .map(|dependency| text(&dependency["name"]))
                .collect();
            (text(&package["name"]), normal)
        })
        .collect()
}

/// The crates of the workspace, as cargo describes them.
fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version",
            "1",
        ])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    list(&metadata["packages"])
}

fn text(value: &Value) -> String {
    value.as_str().expect("a name is a string").to_owned()
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().expect("a list").clone()
}
