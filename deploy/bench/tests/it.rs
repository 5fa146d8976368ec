//! Each bench does its work at a tiny size and has its rows in the table. No time is asserted.

use std::process::Command;

/// Benches over real servers, and a row of each.
#[cfg(feature = "cluster")]
const OVER_SERVERS: [(&str, &str); 4] = [
    ("ingest-kafka", "S5 ingest"),
    ("projected", "S3 windows and history"),
    ("windows", "W2 slow rooms"),
    ("history", "H1 history"),
];
#[cfg(not(feature = "cluster"))]
const OVER_SERVERS: [(&str, &str); 0] = [];

#[test]
fn every_bench_runs() {
    let server = danmu_tests::server::danmu();
    let directory = tempfile::tempdir().expect("a directory");
    let document = directory.path().join("BENCHMARKS.md");
    std::fs::write(
        &document,
        "before\n<!-- table -->\n<!-- end of table -->\nafter\n",
    )
    .expect("a document");
    let output = Command::new(env!("CARGO_BIN_EXE_danmu-bench"))
        .args(["decode", "settle", "ingest", "poll", "scale"])
        .args(OVER_SERVERS.map(|(name, _)| name))
        .args(["--tiny", "--pairs", "1", "--server"])
        .arg(server.get_program())
        .arg("--report")
        .arg(directory.path().join("bench.json"))
        .arg("--record")
        .arg(&document)
        .output()
        .expect("the benches start");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let table = String::from_utf8(output.stdout).expect("a table is text");
    let rows = [
        "S1 settle",
        "S2 decode",
        "S7 embedded",
        "R1 poll",
        "R2 poll",
        "newest page, p99",
    ];
    for row in rows.into_iter().chain(OVER_SERVERS.map(|(_, row)| row)) {
        assert!(table.contains(row), "no {row} in\n{table}");
    }
    let recorded = std::fs::read_to_string(&document).expect("a document");
    assert_eq!(
        recorded,
        format!("before\n<!-- table -->\n{table}<!-- end of table -->\nafter\n")
    );
}
