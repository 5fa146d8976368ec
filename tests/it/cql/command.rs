//! `danmu history`: makes the tables, and tells what an operator has to put right.

use std::process::{Command, Stdio};

use danmu_projections::history::CqlHistory;
use danmu_projections::projection::StoreError;
use danmu_tests::server::{danmu, ended, run};

use super::keyspace::{options, server, session};
use super::servers::Own;

/// How a task of the command ended: its code, what it told and of what it complained.
fn history(task: &str, server: &str, keyspace: &str) -> (Option<i32>, String, String) {
    told(danmu().args(["history", task, "--history", &address(server, keyspace)]))
}

fn told(command: &mut Command) -> (Option<i32>, String, String) {
    let started = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    ended(started.expect("the binary runs"))
}

fn address(server: &str, keyspace: &str) -> String {
    format!("cql://{server}/{keyspace}")
}

/// Asserts that a check finds wrong exactly what has these words, in their order.
fn assert_wrong(server: &str, keyspace: &str, words: &[&str]) {
    let (code, told, complained) = history("check", server, keyspace);
    assert_eq!((code, complained.as_str()), (Some(1), ""), "{told}");
    let wrong: Vec<_> = told
        .lines()
        .filter(|line| line.starts_with("wrong: "))
        .collect();
    assert_eq!(wrong.len(), words.len(), "{told}");
    for (line, words) in wrong.iter().zip(words) {
        assert!(line.contains(words), "{line}");
    }
    assert!(!told.contains("all is well"), "{told}");
}

async fn change(server: &str, statement: &str) -> anyhow::Result<()> {
    session(server).await?.query_unpaged(statement, ()).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_are_made_once_and_then_all_is_well() -> anyhow::Result<()> {
    let server = server();
    let keyspace = format!("command_{}", std::process::id());
    let at = address(&server, &keyspace);
    assert_wrong(&server, &keyspace, &["`danmu history migrate` makes them"]);

    let made = (Some(0), format!("{at}: applied: tables\n"), String::new());
    assert_eq!(history("migrate", &server, &keyspace), made);
    let again = (Some(0), format!("{at}: nothing to do\n"), String::new());
    assert_eq!(history("migrate", &server, &keyspace), again);

    let right = format!(
        "{server}: commitlog_sync is group\n\
         {keyspace}: 14 tables, migrations applied: 1\n\
         {at}: all is well\n"
    );
    let checked = (Some(0), right, String::new());
    assert_eq!(history("check", &server, &keyspace), checked);
    CqlHistory::connect(&options(&server, &keyspace)).await?;
    change(&server, &format!("DROP KEYSPACE {keyspace}")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_tells_what_an_operator_must_put_right() -> anyhow::Result<()> {
    const LAZY: &str = "commitlog_sync is periodic: it must be group or batch";
    let settings = [
        ("commitlog_sync", "periodic"),
        ("commitlog_sync_period", "10s"),
    ];
    let own = Own::start(&settings)?;
    let server = own.server.address();
    assert_wrong(
        &server,
        "danmu",
        &[LAZY, "`danmu history migrate` makes them"],
    );
    let refused = CqlHistory::connect(&options(&server, "danmu")).await.err();
    assert!(
        matches!(refused, Some(StoreError::Refused { .. })),
        "{refused:?}"
    );

    assert_eq!(history("migrate", &server, "danmu").0, Some(0));
    assert_wrong(&server, "danmu", &[LAZY]);
    let at = address(&server, "danmu");
    let accepting = ["history", "check", "--history", &at];
    let (code, told, _) = told(danmu().args(accepting).arg("--history-commit-log=periodic"));
    assert_eq!(code, Some(0), "{told}");
    let accepted = "periodic, every 10s, which is accepted: watermarks wait 30s";
    assert!(told.contains(accepted), "{told}");
    change(&server, "DROP TABLE danmu.heat").await?;
    change(&server, "ALTER TABLE danmu.chunks ADD note text").await?;
    change(&server, "DELETE FROM danmu.migrations WHERE number = 1").await?;
    let wrong = [
        LAZY,
        "danmu.chunks has other columns",
        "danmu.heat is missing",
        "migration 1 was not applied: `danmu history migrate` does it",
    ];
    assert_wrong(&server, "danmu", &wrong);

    change(
        &server,
        "INSERT INTO danmu.migrations (number, name) VALUES (99, 'later')",
    )
    .await?;
    const NEWER: &str = "migration 99 is of a newer danmu than this";
    assert_wrong(&server, "danmu", &[&wrong[..], &[NEWER]].concat());
    let (code, told, complained) = history("migrate", &server, "danmu");
    assert_eq!((code, told.as_str()), (Some(1), ""), "{complained}");
    assert!(complained.contains(NEWER), "{complained}");
    // It was refused before anything was changed.
    assert_wrong(&server, "danmu", &[&wrong[..], &[NEWER]].concat());
    Ok(())
}

#[test]
fn a_server_that_is_not_there_is_named_in_one_line() {
    for task in ["migrate", "check"] {
        let (code, told, complained) = history(task, "127.0.0.1:1", "danmu");
        assert_eq!((code, told.as_str()), (Some(1), ""), "{complained}");
        assert!(
            complained.contains("no connection to 127.0.0.1:1"),
            "{complained}"
        );
        assert_eq!(complained.lines().count(), 1, "{complained}");
    }
}

#[test]
fn what_cannot_be_understood_is_a_wrong_command_line() {
    for wrong in [
        "redis://127.0.0.1/0",
        "cql://127.0.0.1",
        "cql://ann:secret@127.0.0.1/danmu",
    ] {
        let output = run(&["history", "check", "--history", wrong]);
        assert_eq!(output.status.code(), Some(64), "{wrong}");
    }
}

#[test]
fn a_user_without_a_password_is_refused() {
    let mut command = danmu();
    command.args(["history", "check", "--history", "cql://127.0.0.1:1/danmu"]);
    let (code, _, complained) = told(command.env("DANMU_HISTORY_USER", "ann"));
    assert_eq!(code, Some(78), "{complained}");
    assert!(complained.contains("without a password"), "{complained}");
}
