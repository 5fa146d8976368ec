//! The OpenAPI document against the server, by a tool that knows nothing but the document.
//!
//! schemathesis makes requests that the document allows and some that it does not, and checks that the
//! server takes the first, refuses the others and answers as it says. All its phases run: examples, the
//! edges of every schema, generated requests, sequences. What the document has no words for is in
//! `tests/schemathesis/hooks.py`. `XTASK_PYTHON` names a Python that has the tool; `python3` where it is
//! not set, and then the test says aloud that it was skipped where that has none.

use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use danmu_tests::server::{Server, ended, import, size};
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};

/// How many requests are generated for each operation; `XTASK_SCHEMATHESIS_EXAMPLES` changes it.
const EXAMPLES: usize = 12;
/// What they are generated from; `XTASK_SCHEMATHESIS_SEED` changes it.
const SEED: usize = 1;
const SECRET: &str = "0123456789abcdef0123456789abcdef";
/// How long a token is good for, in seconds.
const TOKEN_FOR_S: u64 = 3_600;

#[test]
fn the_server_does_what_the_document_says() {
    let named = std::env::var("XTASK_PYTHON").ok();
    let python = named.as_deref().unwrap_or("python3");
    if !has_tool(python) {
        assert!(named.is_none(), "{python} has no schemathesis");
        let skipped = "SKIPPED the_server_does_what_the_document_says: python3 has no schemathesis";
        // Written past the test harness, which hides what a passing test prints.
        writeln!(std::io::stderr(), "{skipped}").expect("a standard error");
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let server = Server::start_configured(data.path(), |command| {
        command.env("DANMU_TOKEN_SECRET", SECRET);
    });
    server.wait_until_ready();
    let token = backend_token();
    let segment = seed(&server, &token);
    let mut tool = Command::new(python);
    tool.args(["-m", "schemathesis.cli", "run"])
        .arg(format!("{}/openapi.json", server.url()))
        .args(["--phases", "examples,coverage,fuzzing,stateful"])
        .args(["--checks", "all"])
        // Their answers have no end.
        .args(["--exclude-path-regex", "/(stream|socket)$"])
        .args(["--seed", &size("XTASK_SCHEMATHESIS_SEED", SEED).to_string()])
        .args([
            "--max-examples",
            &size("XTASK_SCHEMATHESIS_EXAMPLES", EXAMPLES).to_string(),
        ])
        .args(["--generation-database", "none", "--no-color"])
        .env("SCHEMATHESIS_HOOKS", "hooks")
        .env("SEEDED_SEGMENT", segment.to_string())
        .env("DANMU_TOKEN", token)
        .env(
            "PYTHONPATH",
            Path::new(env!("CARGO_MANIFEST_DIR")).join("schemathesis"),
        )
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(data.path());
    let output = tool.output().expect("python ran before");
    let told = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}\n{complained}");
    eprintln!("{told}");
    assert!(server.is_ready());
}

fn has_tool(python: &str) -> bool {
    let import = Command::new(python)
        .args(["-c", "import schemathesis"])
        .output();
    import.is_ok_and(|output| output.status.success())
}

/// A token that may do everything but what an operator does.
fn backend_token() -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let claims = json!({"sub": "backend", "role": "backend", "exp": now + TOKEN_FOR_S});
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    encode(&Header::default(), &claims, &key).unwrap()
}

/// Brings a broadcast in, so that there is something to replay; names one of its segments.
fn seed(server: &Server, token: &str) -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/niconico.json");
    let mut import = import(&file, "seeded", server.url());
    import.env("DANMU_TOKEN", token);
    let (code, told, complained) = ended(import.spawn().expect("the binary runs"));
    assert_eq!(code, Some(0), "{told}{complained}");
    let manifest = server.get("/v1/rooms/seeded/broadcasts/1:1");
    let segment = &manifest["segments"][0];
    json!({
        "room": "seeded",
        "broadcast": "1:1",
        "n": segment["n"],
        "revision": segment["revision"],
    })
}
