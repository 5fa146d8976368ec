use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use super::*;

const LONG: Duration = Duration::from_secs(60);

#[test]
fn only_the_process_that_was_meant_is_ended() {
    let mut child = Command::new("sleep")
        .arg("600")
        .spawn()
        .expect("sleep runs");
    let process = Process::of(child.id()).expect("a child that runs");
    let earlier = Process {
        started_ticks: process.started_ticks - 1,
        ..process
    };
    assert!(!earlier.is_running());
    earlier.end(LONG).expect("nothing to end");
    assert!(
        child.try_wait().expect("a child").is_none(),
        "another was ended"
    );

    process.end(LONG).expect("it ends");
    let status = child.wait().expect("a child");
    assert_eq!(status.signal(), Some(Signal::TERM.as_raw()));
    assert_eq!(Process::of(process.pid), None);
    process.end(LONG).expect("it is gone");
}

#[test]
fn one_that_does_not_listen_is_killed() {
    let script = "trap '' TERM; echo ready; while :; do sleep 1; done";
    let mut child = Command::new("sh")
        .args(["-c", script])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("a shell runs");
    let mut line = String::new();
    let mut printed = std::io::BufReader::new(child.stdout.take().expect("its output"));
    std::io::BufRead::read_line(&mut printed, &mut line).expect("it prints");

    let process = Process::of(child.id()).expect("a child that runs");
    process.end(Duration::from_millis(50)).expect("it ends");
    let status = child.wait().expect("a child");
    assert_eq!(status.signal(), Some(Signal::KILL.as_raw()));
}
