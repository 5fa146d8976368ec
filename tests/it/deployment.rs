//! What the files of a deployment and the operator's guide say of the binary is true of it.
//!
//! Read off their text: each `DANMU_…` variable is a setting, each command with its flags is one that the
//! help tells, each metric is in docs/METRICS.md (which a test of the server holds against what it serves),
//! and every role takes the settings that compose and Kubernetes give it. Their formats are checked by
//! `cargo xtask lint`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use danmu_tests::server::{danmu, run};

/// The operator's guide.
const GUIDE: &str = "docs/OPERATING.md";
/// Which metrics there are.
const METRICS: &str = "docs/METRICS.md";
/// What a histogram's series end with, beside its name.
const SERIES: [&str; 3] = ["_bucket", "_sum", "_count"];

#[test]
fn every_variable_is_a_setting() {
    const UNKNOWN: &str = "DANMU_NO_SETTING";
    let mut named = words(&files(), "DANMU_", |c| c.is_ascii_uppercase() || c == '_');
    assert!(named.contains("DANMU_ROLES"), "{named:?}");
    // So that it is seen that the binary tells of unknown ones.
    named.insert(UNKNOWN.to_owned());
    let mut command = danmu();
    command.args(["serve", "--print-config"]);
    command.envs(named.iter().map(|name| (name, "-")));
    let told = complaint(&command.output().unwrap());
    let unknown: Vec<&String> = named
        .iter()
        .filter(|name| told.contains(&format!("({name}): is no setting")))
        .collect();
    assert_eq!(unknown, [UNKNOWN], "{told}");
}

#[test]
fn every_command_and_flag_is_in_the_help() {
    let mut wrong = Vec::new();
    let commands = commands();
    let serve = ["danmu", "serve"].map(str::to_owned).to_vec();
    assert!(commands.contains(&serve), "{commands:?}");
    for command in commands {
        let path: Vec<&str> = command[1..]
            .iter()
            .map(String::as_str)
            .take_while(|word| word.bytes().all(|byte| byte.is_ascii_lowercase()))
            .collect();
        let output = run(&[&path[..], &["--help"]].concat());
        let help = String::from_utf8(output.stdout.clone()).unwrap();
        let told: BTreeSet<&str> = help.split(|c: char| !is_of_flag(c)).collect();
        let flags = command.iter().filter(|word| word.starts_with("--"));
        let flags = flags.map(|flag| flag.split('=').next().unwrap_or_default());
        let words = path.iter().skip(1).copied().chain(flags);
        let missing: Vec<&str> = words.filter(|word| !told.contains(word)).collect();
        if !output.status.success() || !missing.is_empty() {
            let why = complaint(&output);
            wrong.push(format!("{}: {missing:?} {why}", command.join(" ")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_metric_is_one_that_is_served() {
    let is_of_metric = |c: char| c.is_ascii_lowercase() || c == '_';
    let known = words(&[root().join(METRICS)], "danmu_", is_of_metric);
    let named = words(&in_directory("deploy/prometheus"), "danmu_", is_of_metric);
    let told = words(&[root().join(GUIDE)], "danmu_", is_of_metric);
    assert!(!named.is_empty() && !told.is_empty());
    let name_of = |series: &str| {
        let histogram = SERIES.iter().find_map(|end| series.strip_suffix(end));
        histogram.unwrap_or(series).to_owned()
    };
    let unknown: Vec<&String> = named
        .union(&told)
        .filter(|series| !known.contains(*series) && !known.contains(&name_of(series)))
        .collect();
    assert!(unknown.is_empty(), "{METRICS} does not have {unknown:?}");
}

#[test]
fn every_role_takes_the_settings_of_compose_and_kubernetes() {
    let directory = tempfile::tempdir().unwrap();
    let secret = directory.path().join("secret");
    fs::write(&secret, "0123456789abcdef0123456789abcdef").unwrap();
    for file in ["deploy/compose.yaml", "deploy/kubernetes/settings.yaml"] {
        let mut settings = settings(file);
        let log = settings["DANMU_LOG"].clone();
        assert!(log.starts_with("kafka://"), "{file}: {settings:?}");
        let secret = secret.to_str().unwrap().to_owned();
        settings.insert("DANMU_TOKEN_SECRET_FILE".to_owned(), secret);
        for role in ["ingest", "windows", "history", "api"] {
            settings.insert("DANMU_ROLES".to_owned(), role.to_owned());
            let mut command = danmu();
            command.args(["serve", "--print-config"]).envs(&settings);
            let output = command.output().unwrap();
            assert!(output.status.success(), "{file}: {}", complaint(&output));
            let told = String::from_utf8(output.stdout).unwrap();
            assert!(told.contains(&format!("{role:?}")), "{told}");
            assert!(told.contains(&log), "{told}");
        }
    }
}

/// The lines `DANMU_NAME: value` of a file.
fn settings(file: &str) -> BTreeMap<String, String> {
    let text = fs::read_to_string(root().join(file)).unwrap();
    let lines = text.lines().filter_map(|line| line.trim().split_once(": "));
    let settings = lines.filter(|(name, _)| name.starts_with("DANMU_"));
    settings
        .map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned()))
        .collect()
}

/// Every command of the binary that a file names, as its words.
fn commands() -> BTreeSet<Vec<String>> {
    let mut commands = BTreeSet::new();
    for path in files() {
        let text = fs::read_to_string(&path).unwrap();
        let is_guide = path.extension().is_some_and(|end| end == "md");
        let mut is_fenced = false;
        for line in text.lines() {
            if is_guide && line.starts_with("```") {
                is_fenced = !is_fenced;
                continue;
            }
            let pieces: Vec<&str> = match (is_guide, is_fenced) {
                (true, true) => vec![line],
                (true, false) => line.split('`').skip(1).step_by(2).collect(),
                (false, _) => executed(line).into_iter().collect(),
            };
            for piece in pieces {
                let code = piece.split(" #").next().unwrap_or_default();
                let words = code.split([' ', ',', '"']).filter(|word| !word.is_empty());
                let words = words.map(|word| word.rsplit('/').next().unwrap_or(word).to_owned());
                let words: Vec<String> = words.collect();
                if words.len() > 1 && words[0] == "danmu" {
                    commands.insert(words);
                }
            }
        }
    }
    commands
}

/// What a line of a unit or of YAML has executed: `ExecStart=…`, or a list in brackets.
fn executed(line: &str) -> Option<&str> {
    line.strip_prefix("ExecStart=").or_else(|| {
        let (_, list) = line.split_once('[')?;
        list.split(']').next()
    })
}

/// Every word of the files that begins so and goes on with such characters, at least one.
fn words(files: &[PathBuf], start: &str, goes_on: impl Fn(char) -> bool) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for path in files {
        let text = fs::read_to_string(path).unwrap();
        for (at, _) in text.match_indices(start) {
            let rest = &text[at + start.len()..];
            let end = rest.find(|c| !goes_on(c)).unwrap_or(rest.len());
            if end > 0 {
                found.insert(format!("{start}{}", &rest[..end]));
            }
        }
    }
    found
}

/// The files that name settings or commands.
fn files() -> Vec<PathBuf> {
    let mut files = in_directory("deploy/kubernetes");
    let others = [
        GUIDE,
        "deploy/Dockerfile",
        "deploy/compose.yaml",
        "deploy/systemd/danmu.service",
        "docs/HISTORY_TABLES.md",
        "docs/KAFKA.md",
    ];
    files.extend(others.map(|file| root().join(file)));
    files
}

fn in_directory(directory: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(directory)).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn is_of_flag(c: char) -> bool {
    c.is_ascii_lowercase() || c == '-'
}

fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
