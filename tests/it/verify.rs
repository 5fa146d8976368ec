//! `danmu verify` over data that the binary made: equal as it is, and each altered value is found.
//!
//! Values are altered where they are at rest, in the history's own database: one byte, as a failing
//! disk would, and content that decodes and is sealed but is wrong, as a wrong writer would.

use std::path::Path;
use std::time::{Duration, Instant};

use danmu_projections::history::layout::{self, FactKind, MemoryKind, Table};
use danmu_schemas::chunk::{Packer, Unpacker};
use danmu_schemas::codec::{self, Datum};
use danmu_schemas::fact::{BroadcastEnded, HeatMark, Interruption, Moderation, SegmentOpened};
use danmu_schemas::state::{EventMemoryBlock, GiftMemoryBlock, StateCore};
use danmu_schemas::{RoomId, sealed};
use danmu_tests::server::{Server, run};
use fjall::{Database, KeyspaceCreateOptions, PersistMode};
use serde_json::{Value, json};

const ROOM: &str = "show";
/// How long the history may take to have a broadcast's end.
const RECORDED_WITHIN: Duration = Duration::from_secs(60);
/// A value begins with its write time.
const TIME_BYTES: usize = 8;

#[test]
fn what_is_altered_at_rest_is_found() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    give_a_show(&server);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/twitch.json");
    let imported = run(&[
        "import",
        file.to_str().unwrap(),
        "--room",
        "recorded",
        "--to",
        server.url(),
    ]);
    assert!(imported.status.success());
    let told = verify(&["--admin", server.admin_url()]);
    assert_eq!(told, (0, "equal".to_owned()));
    let told = verify(&["--admin", server.admin_url(), "--room", ROOM]);
    assert_eq!(told, (0, "equal".to_owned()));
    server.kill();

    let stopped = ["--data", data.path().to_str().unwrap()];
    assert_eq!(verify(&stopped), (0, "equal".to_owned()));
    for table in Table::ALL {
        let history = data.path().join("history");
        let original = alter(&history, table, |value| {
            let middle = TIME_BYTES + (value.len() - TIME_BYTES) / 2;
            value[middle] ^= 1;
        });
        let (code, told) = verify(&stopped);
        assert_eq!(code, 1, "{table:?}: {told}");
        assert!(told.contains("first in room show"), "{table:?}: {told}");
        restore(&history, original);
    }
    for (table, what, wrong) in wrong_contents() {
        let history = data.path().join("history");
        let original = alter(&history, table, |value| {
            let body = sealed::open(value).unwrap()[TIME_BYTES..].to_vec();
            value.truncate(TIME_BYTES);
            value.extend_from_slice(&wrong(&body));
            sealed::seal(value);
        });
        let (code, told) = verify(&stopped);
        assert_eq!(code, 1, "{what}: {told}");
        assert!(told.contains(what), "{what}: {told}");
        restore(&history, original);
    }
    assert_eq!(verify(&stopped), (0, "equal".to_owned()));
    assert_eq!(verify(&["--data", stopped[1], "--room", "nobody"]).0, 1);
}

type Wrong = Box<dyn Fn(&[u8]) -> Vec<u8>>;

/// For each table something that decodes and is not what the log says, and how it is named.
fn wrong_contents() -> Vec<(Table, &'static str, Wrong)> {
    let facts = |kind, what, wrong| (Table::Facts(kind), what, wrong);
    vec![
        (
            Table::Chunks,
            "event 1:1: is another",
            Box::new(wrong_chunk),
        ),
        (
            Table::States,
            "has another core",
            Box::new(|body| {
                let mut state = layout::read_state(&body.to_vec().into()).unwrap();
                let mut core: StateCore = codec::from_stored(&state.core).unwrap();
                core.totals.likes += 1;
                state.core = codec::to_stored(&core);
                let room = RoomId::parse(ROOM).unwrap();
                let at = danmu_schemas::Position::BEGIN;
                let row = layout::state_row(&room, at, &state.core, &state.fields);
                row.body.to_vec()
            }),
        ),
        (
            Table::Memory(MemoryKind::Events),
            "the event memory",
            wrong(|block: &mut EventMemoryBlock| block.entries[1].clock += 1),
        ),
        (
            Table::Memory(MemoryKind::Gifts),
            "the gift memory",
            wrong(|block: &mut GiftMemoryBlock| block.entries[0].value += 1),
        ),
        facts(
            FactKind::Segment,
            "segment 0 of broadcast 1:1: is another",
            wrong(|opened: &mut SegmentOpened| opened.snapshot.core.totals.gifts += 1),
        ),
        facts(
            FactKind::Heat,
            "heat bucket 0 of broadcast 1:1: is another",
            wrong(|mark: &mut HeatMark| mark.comments += 1),
        ),
        facts(
            FactKind::Interruption,
            "of broadcast 1:1: is another",
            wrong(|interruption: &mut Interruption| interruption.resumed ^= true),
        ),
        facts(
            FactKind::Moderation,
            "a fact under the key of another",
            wrong(|moderation: &mut Moderation| match moderation {
                Moderation::Deleted { target } => target.0 += 1,
                other => panic!("not a deletion: {other:?}"),
            }),
        ),
        facts(
            FactKind::Broadcast,
            "the end of broadcast 1:1: is another",
            wrong(|ended: &mut BroadcastEnded| ended.totals.comments += 1),
        ),
    ]
}

fn wrong<T: for<'a> Datum<'a>>(alter: impl Fn(&mut T) + 'static) -> Wrong {
    Box::new(move |body| {
        let mut value: T = codec::from_stored(body).unwrap();
        alter(&mut value);
        codec::to_stored(&value).to_vec()
    })
}

fn wrong_chunk(body: &[u8]) -> Vec<u8> {
    let (header, mut content) = Unpacker::new().unpack(body).unwrap();
    content.settled[0].crowd += 1;
    Packer::new().pack(&header, &content).to_vec()
}

/// A show with everything that has a row: comments, a repeat, gifts, moderation, an interruption.
fn give_a_show(server: &Server) {
    let host = json!({"id": "host", "name": "Hana"});
    let of_host = |kind: &str| json!({"kind": kind, "role": "host", "user": host});
    let mut start = of_host("broadcast_start");
    start["title"] = "Show".into();
    let mut events = vec![start];
    for n in 0..20 {
        events.push(json!({
            "kind": "comment",
            "id": format!("00000000-0000-4000-8000-{n:012}"),
            "user": {"id": format!("u{}", n % 4), "name": "Ann"},
            "text": format!("comment {n}"),
        }));
    }
    events.push(events[3].clone());
    for n in 0..3 {
        events.push(json!({
            "kind": "gift", "user": {"id": "u1", "name": "Ann"},
            "gift": "rose", "name": "Rose", "count": n + 1, "unit_value": 5, "combo": "c",
        }));
    }
    let mut delete = of_host("delete");
    (delete["target_seq"], delete["reason"]) = (3.into(), "rude".into());
    let mut mute = of_host("mute");
    (mute["target_user"], mute["reason"]) = ("u2".into(), "rude".into());
    mute["hide_since_at"] = 1.into();
    events.extend([delete, mute]);
    events.extend(["broadcast_interrupt", "broadcast_resume"].map(of_host));
    post(server, &Value::from(events));
    // Its kind of row must be the last of its key, so the end comes alone.
    post(server, &of_host("broadcast_end"));
    let deadline = Instant::now() + RECORDED_WITHIN;
    let is_recorded = || {
        let broadcasts = server.get(&format!("/v1/rooms/{ROOM}/broadcasts"));
        broadcasts["broadcasts"][0]["ended_at"].is_number()
    };
    while !is_recorded() {
        assert!(Instant::now() < deadline, "the end was not recorded");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn post(server: &Server, events: &Value) {
    let answer = ureq::post(format!("{}/v1/rooms/{ROOM}/events", server.url()))
        .header("content-type", "application/json")
        .config()
        .http_status_as_error(false)
        .build()
        .send(events.to_string());
    let mut answer = answer.unwrap();
    let told = answer.body_mut().read_to_string().unwrap();
    assert_eq!(answer.status(), 200, "{told}");
}

/// The exit code and the last line.
fn verify(arguments: &[&str]) -> (i32, String) {
    let output = run(&[&["verify"], arguments].concat());
    let out = String::from_utf8_lossy(&output.stdout);
    let told = match out.lines().last() {
        Some(last) => last.to_owned(),
        None => String::from_utf8_lossy(&output.stderr).into_owned(),
    };
    (output.status.code().unwrap(), told)
}

type KeyValue = (Vec<u8>, Vec<u8>);

/// Alters the value of the room's last row in a table; what it was.
pub fn alter(history: &Path, table: Table, alter: impl FnOnce(&mut Vec<u8>)) -> KeyValue {
    let database = Database::builder(history).open().unwrap();
    let rows = database
        .keyspace("rows", KeyspaceCreateOptions::default)
        .unwrap();
    let range = layout::rows_of(table, &RoomId::parse(ROOM).unwrap());
    let row = match table {
        // The first moderation is the deletion.
        Table::Facts(FactKind::Moderation) => rows.range(range).next(),
        _ => rows.range(range).next_back(),
    };
    let (key, value) = row.expect("a row").into_inner().unwrap();
    let mut altered = value.to_vec();
    alter(&mut altered);
    assert_ne!(altered, value.to_vec());
    rows.insert(key.to_vec(), altered).unwrap();
    database.persist(PersistMode::SyncAll).unwrap();
    (key.to_vec(), value.to_vec())
}

fn restore(history: &Path, (key, value): KeyValue) {
    let database = Database::builder(history).open().unwrap();
    let rows = database
        .keyspace("rows", KeyspaceCreateOptions::default)
        .unwrap();
    rows.insert(key, value).unwrap();
    database.persist(PersistMode::SyncAll).unwrap();
}
