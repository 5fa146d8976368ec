//! A third implementation of Avro, in another language, on the golden bytes.
//!
//! `XTASK_PYTHON` names a Python interpreter with fastavro; `python3` where it is not set. Without
//! fastavro the test says aloud that it was skipped; where `XTASK_PYTHON` is set it fails instead.

use std::env;
use std::io::Write;
use std::process::Command;

#[test]
fn fastavro_agrees_with_the_golden_bytes() {
    let named = env::var("XTASK_PYTHON").ok();
    let python = named.as_deref().unwrap_or("python3");
    let import = Command::new(python)
        .args(["-c", "import fastavro"])
        .output();
    if !import.is_ok_and(|output| output.status.success()) {
        assert!(named.is_none(), "{python} has no fastavro");
        let skipped = "SKIPPED fastavro_agrees_with_the_golden_bytes: python3 has no fastavro";
        // Written past the test harness, which hides what a passing test prints.
        writeln!(std::io::stderr(), "{skipped}").expect("a standard error");
        return;
    }
    let directory = env!("CARGO_MANIFEST_DIR");
    let output = Command::new(python)
        .arg(format!("{directory}/tests/fastavro.py"))
        .arg(format!("{directory}/avro"))
        .output()
        .expect("python ran before");
    let said = String::from_utf8_lossy(&output.stdout);
    let failed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{failed}");
    assert!(said.contains("golden files agree"), "{said}");
}
