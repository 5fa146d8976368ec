//! A simulation finds nothing on a healthy server, and finds every kind of falsehood when something between
//! it and the server tells one.

use danmu_tests::proxy::{Falsehood, Fate, Proxy};
use danmu_tests::server::{Server, run};
use serde_json::{Value, json};

/// The POST that is answered and not passed on: after the one that opens the room.
const LOST_POST: usize = 5;

#[test]
fn a_healthy_server_passes_with_slow_readers_and_cut_connections() {
    let output = run(&[
        "simulate",
        "--seed",
        "7",
        "--seconds",
        "8",
        "--rooms",
        "3",
        "--sockets",
        "20",
        "--streams",
        "8",
        "--long-polls",
        "6",
        "--polls",
        "6",
        "--comments",
        "40",
        "--moderations",
        "4",
        "--slow",
        "0.2",
        "--reset-every",
        "4",
        "--json",
    ]);
    let complained = String::from_utf8_lossy(&output.stderr);
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}{complained}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["passed"], true, "{report:#}");
    assert_eq!(report["readers"], 40);
    assert_eq!(report["violations"], json!([]));
    assert!(report["acknowledged"].as_u64().unwrap() > 200, "{report:#}");
    assert!(report["resumed"].as_u64().unwrap() >= 40, "{report:#}");
    for delays in [
        "acknowledged",
        "socket",
        "stream",
        "long poll",
        "poll",
        "slow",
    ] {
        let counted = report["delays"][delays]["count"].as_u64();
        assert!(
            counted.is_some_and(|count| count > 0),
            "{delays}: {report:#}"
        );
    }
    assert!(report["server"]["rss_bytes_max"].as_u64().unwrap() > 0);
}

/// What a page's events are told as, and what must be said of it.
struct Case {
    lie: &'static str,
    fate: fn(usize) -> Fate,
    falsehood: Falsehood,
    found: &'static str,
}

fn case(lie: &'static str, answered: fn(&mut Value), found: &'static str) -> Case {
    Case {
        lie,
        fate: |_| Fate::Pass,
        falsehood: Falsehood {
            asked: str::to_owned,
            answered,
        },
        found,
    }
}

fn resume_case(lie: &'static str, asked: fn(&str) -> String, found: &'static str) -> Case {
    Case {
        lie,
        fate: |_| Fate::Pass,
        falsehood: Falsehood {
            asked,
            answered: |_| {},
        },
        found,
    }
}

/// The events of a page that has at least two.
fn events(page: &mut Value) -> Option<&mut Vec<Value>> {
    page.get("from")?;
    let events = page.get_mut("events")?.as_array_mut()?;
    (events.len() > 1).then_some(events)
}

/// The path with another seq in its cursor.
fn resumed(path: &str, by: i64) -> String {
    let Some((before, cursor)) = path.split_once("after=1:") else {
        return path.to_owned();
    };
    let (seq, rest) = cursor.split_once('&').unwrap_or((cursor, ""));
    let seq: i64 = seq.parse().expect("a seq");
    format!("{before}after=1:{}&{rest}", (seq + by).max(0))
}

#[test]
fn every_falsehood_is_found() {
    let lies = [
        case("none", |_| {}, ""),
        case(
            "two events are swapped",
            |page| {
                events(page)
                    .into_iter()
                    .for_each(|events| events.swap(0, 1));
            },
            "out of order",
        ),
        case(
            "two events have each other's seq",
            |page| {
                if let Some([first, second, ..]) = events(page).map(Vec::as_mut_slice) {
                    std::mem::swap(&mut first["id"], &mut second["id"]);
                }
            },
            " is seq ",
        ),
        case(
            "an event is dropped",
            |page| {
                events(page)
                    .into_iter()
                    .for_each(|events| drop(events.remove(0)));
            },
            "1 events are left out of a page",
        ),
        case(
            "an event is repeated",
            |page| {
                events(page)
                    .into_iter()
                    .for_each(|events| events.insert(0, events[0].clone()));
            },
            "out of order",
        ),
        case(
            "more is withheld than said",
            |page| {
                if events(page).is_some() {
                    page["withheld"] = json!({"count": 1, "by": {"density": 1}});
                }
            },
            "that says 1",
        ),
        resume_case(
            "resumed one too early",
            |path| resumed(path, -1),
            "a repeat",
        ),
        resume_case("resumed one too late", |path| resumed(path, 1), "a hole"),
        Case {
            fate: |post| match post {
                LOST_POST => Fate::Answer(200),
                _ => Fate::Pass,
            },
            ..case("an event is acknowledged and lost", |_| {}, "lost: ")
        },
    ];
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    std::thread::scope(|scope| {
        for case in lies {
            let url = server.url();
            scope.spawn(move || check(url, case));
        }
    });
}

fn check(url: &str, case: Case) {
    let proxy = Proxy::falsifying(url, case.fate, case.falsehood);
    let output = run(&[
        "simulate",
        "--to",
        proxy.url(),
        "--seconds",
        "5",
        "--rooms",
        "1",
        "--sockets",
        "0",
        "--streams",
        "0",
        "--long-polls",
        "0",
        "--polls",
        "3",
        "--comments",
        "8",
        "--gifts",
        "1",
        "--likes",
        "0",
        "--moderations",
        "0",
    ]);
    let told = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    let code = i32::from(!case.found.is_empty());
    let lie = case.lie;
    assert_eq!(
        output.status.code(),
        Some(code),
        "{lie}: {told}{complained}"
    );
    assert!(told.contains(case.found), "{lie}: {told}{complained}");
}
