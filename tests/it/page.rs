//! The viewers' page: built as it is in the tree, its client's logic, and all of it in a real browser.
//!
//! The tests of the page itself are in TypeScript and JavaScript beside it (`api/web`); here they get what
//! they need: a server that asks for tokens, a file imported into it, Chromium. `XTASK_CHROMIUM` names
//! the browser; `cargo xtask test` sets it and brings the npm packages. Where either is missing and nobody
//! named a browser, the tests say aloud that they were skipped.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use danmu_tests::server::{Server, ended, import};
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};

const SECRET: &str = "0123456789abcdef0123456789abcdef";
/// How long a token is good for, in seconds.
const TOKEN_FOR_S: u64 = 3_600;
/// The most that the page may weigh before compression, in bytes.
const PAGE_BYTES_MAX: usize = 200 * 1_024;

#[test]
fn the_page_in_the_tree_is_what_its_sources_make() {
    let Some(_) = chromium("the_page_in_the_tree_is_what_its_sources_make") else {
        return;
    };
    let built = tempfile::tempdir().unwrap();
    let mut vite = npm("vite");
    vite.args(["build", "--logLevel", "warn", "--emptyOutDir", "--outDir"])
        .arg(built.path());
    run(&mut vite);
    let (built, committed) = (files(built.path()), files(&web().join("dist")));
    let names = |files: &BTreeMap<PathBuf, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    let build = "`npm run build` in api/web makes it anew";
    assert_eq!(names(&built), names(&committed), "{build}");
    for (name, content) in &built {
        let is_same = committed[name] == *content;
        assert!(is_same, "{} is another: {build}", name.display());
    }
    let bytes: usize = built.values().map(Vec::len).sum();
    assert!(bytes <= PAGE_BYTES_MAX, "{bytes} bytes");
}

#[test]
fn the_client_is_right_and_its_types_are_the_documents() {
    let Some(_) = chromium("the_client_is_right_and_its_types_are_the_documents") else {
        return;
    };
    let mut generate = npm("openapi-typescript");
    generate.args([
        "../../docs/openapi.json",
        "--output",
        "client/src/schema.ts",
    ]);
    run(&mut generate);
    run(npm("tsc").args(["--noEmit", "--project", "."]));
    run(npm("vitest").arg("run"));
}

#[test]
fn people_can_use_the_page() {
    let Some(chromium) = chromium("people_can_use_the_page") else {
        return;
    };
    let data = tempfile::tempdir().unwrap();
    let server = Server::start_configured(data.path(), |command| {
        command.env("DANMU_TOKEN_SECRET", SECRET);
    });
    server.wait_until_ready();
    seed(&server);
    let viewers = ["Ann", "Bob"].map(|name| token(name, "viewer"));
    let mut browser = Command::new("node");
    browser
        .args(["--test", "--test-reporter", "spec", "browser/page.test.js"])
        .current_dir(web())
        .env("PAGE_URL", server.url())
        .env("PAGE_CHROMIUM", chromium)
        .env("PAGE_MODERATOR", token("Mod", "moderator"))
        .env("PAGE_VIEWERS", json!(viewers).to_string());
    run(&mut browser);
    assert!(server.is_ready());
}

/// The browser, and thereby that the npm packages are here; says aloud what is skipped where one is not.
fn chromium(test: &str) -> Option<PathBuf> {
    let named = std::env::var_os("XTASK_CHROMIUM").map(PathBuf::from);
    let has_packages = web().join("node_modules/vite").is_dir();
    if let Some(named) = named {
        assert!(
            has_packages,
            "the npm packages are missing: `npm ci` in api/web"
        );
        return Some(named);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join("chromium"));
    let found = found
        .filter(|_| has_packages)
        .find(|chromium| chromium.exists());
    if found.is_none() {
        // Written past the test harness, which hides what a passing test prints.
        let skipped = format!("SKIPPED {test}: chromium or the npm packages are missing");
        writeln!(std::io::stderr(), "{skipped}").expect("a standard error");
    }
    found
}

fn web() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../api/web")
}

/// A program of an npm package.
fn npm(program: &str) -> Command {
    let mut command = Command::new(web().join("node_modules/.bin").join(program));
    command.current_dir(web()).env("NO_COLOR", "1");
    command
}

fn run(command: &mut Command) {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let told = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}\n{told}\n{complained}");
    eprintln!("{told}");
}

/// Every file of a folder, by its path in it.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(inner) = folders.pop() {
        for entry in fs::read_dir(folder.join(&inner)).unwrap() {
            let entry = entry.unwrap();
            let path = inner.join(entry.file_name());
            if entry.path().is_dir() {
                folders.push(path);
            } else {
                found.insert(path, fs::read(entry.path()).unwrap());
            }
        }
    }
    found
}

fn token(name: &str, role: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let exp = now.as_secs() + TOKEN_FOR_S;
    let claims = json!({"sub": name.to_lowercase(), "name": name, "role": role, "exp": exp});
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    encode(&Header::default(), &claims, &key).unwrap()
}

/// Brings a file in, and a show of which moderation took something.
fn seed(server: &Server) {
    let backend = token("backend", "backend");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/niconico.json");
    let mut import = import(&file, "recorded", server.url());
    import.env("DANMU_TOKEN", &backend);
    let (code, told, complained) = ended(import.spawn().expect("the binary runs"));
    assert_eq!(code, Some(0), "{told}{complained}");
    let user = json!({"id": "eve", "name": "Eve"});
    let taken = json!([
        {"kind": "broadcast_start", "title": "Taken"},
        {"kind": "comment", "user": user, "text": "taken away"},
        {"kind": "delete", "target_seq": 2, "role": "moderator"},
        {"kind": "broadcast_end"},
    ]);
    let request = ureq::post(format!("{}/v1/rooms/taken/events", server.url()));
    let request = request.header("authorization", format!("Bearer {backend}"));
    request.send_json(&taken).expect("a backend may");
    server.wait_for("/v1/rooms/taken/broadcasts", |shows: &Value| {
        shows["broadcasts"][0]["ended_at"].is_i64()
    });
    server.wait_for("/v1/rooms/taken/broadcasts/1:1", |manifest: &Value| {
        manifest["segments"][0]["url"].is_string()
    });
}
