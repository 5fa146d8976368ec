//! The OpenAPI document is what the server does: its copy in the tree, and every answer's shape.
//!
//! Answers are held against the document's schemas closed: a field that the document does not have is
//! an error here, though clients ignore it.

use std::collections::BTreeSet;

use danmu_schemas::Body;
use danmu_schemas::problem::ProblemType;
use danmu_tests::server::Server;
use expect_test::expect_file;
use jsonschema::Validator;
use serde_json::{Value, json};

/// Kinds that settle absorbs: no answer shows them.
const WITHOUT_SEQ: [&str; 3] = ["enter", "leave", "audience"];

struct Document(Value);

impl Document {
    fn of(server: &Server) -> Self {
        Self(server.get("/openapi.json"))
    }

    /// Checks values of the schema of that name, with every object closed.
    fn validator(&self, schema: &str) -> Validator {
        let mut components = self.0["components"].clone();
        close(&mut components["schemas"]);
        let root =
            json!({"$ref": format!("#/components/schemas/{schema}"), "components": components});
        jsonschema::draft202012::new(&root).unwrap()
    }

    #[track_caller]
    fn check(&self, schema: &str, value: &Value) {
        let errors: Vec<_> = self
            .validator(schema)
            .iter_errors(value)
            .map(|error| format!("{} at {}", error, error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{schema}: {errors:?}\n{value:#}");
    }

    fn operations(&self) -> Vec<&Value> {
        let paths = self.0["paths"].as_object().unwrap().values();
        paths
            .flat_map(|path| path.as_object().unwrap().values())
            .collect()
    }
}

/// Lets no object have other fields than its own.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if object.contains_key("properties") && !object.contains_key("additionalProperties") {
                object.insert("additionalProperties".to_owned(), json!(false));
            }
            object.values_mut().for_each(close);
        }
        Value::Array(list) => list.iter_mut().for_each(close),
        _ => {}
    }
}

fn start() -> (tempfile::TempDir, Server) {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    (data, server)
}

#[test]
fn the_copy_in_the_tree_is_what_the_server_serves() {
    let (_data, server) = start();
    expect_file!["../../docs/openapi.json"].assert_eq(&server.text("/openapi.json"));
    assert!(server.text("/docs").contains("/openapi.json"));
}

#[test]
fn every_kind_and_every_problem_is_described() {
    let (_data, server) = start();
    let document = Document::of(&server);
    let schemas = document.0["components"]["schemas"].as_object().unwrap();
    let kinds_of = |list: &str| -> BTreeSet<String> {
        let members = schemas[list]["anyOf"].as_array().unwrap().iter();
        let names =
            members.map(|member| member["$ref"].as_str().unwrap().rsplit('/').next().unwrap());
        let shapes = names.map(|name| match &schemas[name]["anyOf"] {
            Value::Array(shapes) => shapes[0].clone(),
            _ => schemas[name].clone(),
        });
        let kinds = shapes.map(|shape| shape["properties"]["kind"]["enum"][0].clone());
        kinds
            .filter_map(|kind| kind.as_str().map(str::to_owned))
            .collect()
    };
    let all = || Body::KINDS.into_iter().map(str::to_owned);
    let seated = all().filter(|kind| !WITHOUT_SEQ.contains(&kind.as_str()));
    assert_eq!(kinds_of("Event"), seated.collect());
    let sent = kinds_of("SentEvent");
    for kind in all() {
        let (_, taken) = server.send("/v1/rooms/r1/events", &json!({"kind": kind}));
        let unknown = taken["errors"].to_string().contains("\"field\":\"kind\"");
        assert_eq!(sent.contains(&kind), !unknown, "{kind}: {taken}");
    }
    let answered: BTreeSet<_> = document
        .operations()
        .into_iter()
        .flat_map(|operation| operation["responses"].as_object().unwrap().values())
        .filter_map(|answer| answer["content"]["application/problem+json"]["examples"].as_object())
        .flat_map(|examples| examples.keys().cloned())
        .collect();
    let problems = ProblemType::ALL.map(|problem| problem.name().to_owned());
    assert_eq!(answered, problems.into_iter().collect());
}

#[test]
fn every_example_is_as_its_schema_says() {
    let (_data, server) = start();
    let document = Document::of(&server);
    for problem in document.0["components"]["examples"]
        .as_object()
        .unwrap()
        .values()
    {
        document.check("Problem", &problem["value"]);
    }
    let mut checked = 0;
    for operation in document.operations() {
        let answer = &operation["responses"]["200"]["content"]["application/json"];
        if let Some(name) = answer["schema"]["$ref"]
            .as_str()
            .filter(|name| !name.ends_with("/Document"))
        {
            document.check(name.rsplit('/').next().unwrap(), &answer["example"]);
            checked += 1;
        }
        let body = &operation["requestBody"]["content"]["application/json"];
        let Some(name) = body["schema"]["$ref"].as_str() else {
            continue;
        };
        let path = if name.ends_with("/SentEvents") {
            "events"
        } else {
            "likes"
        };
        for example in body["examples"].as_object().unwrap().values() {
            document.check(name.rsplit('/').next().unwrap(), &example["value"]);
            server.post(&format!("/v1/rooms/r1/{path}"), &example["value"]);
            checked += 1;
        }
    }
    assert!(checked >= 14, "only {checked} examples");
}

#[test]
fn every_answer_is_as_its_schema_says() {
    let (_data, server) = start();
    let document = Document::of(&server);
    let accepted = server.post("/v1/rooms/r1/events", &show());
    document.check("Accepted", &accepted);
    document.check(
        "LikesCounted",
        &server.post("/v1/rooms/r1/likes", &json!({"count": 3})),
    );
    let ids: Vec<_> = accepted["accepted"].as_array().unwrap().iter().collect();
    let ids: Vec<_> = ids
        .iter()
        .map(|id| format!("id={}", id.as_str().unwrap()))
        .collect();
    let verdicts = server.get(&format!("/v1/rooms/r1/verdicts?{}&wait=1", ids.join("&")));
    document.check("Verdicts", &verdicts);
    let page = server.get("/v1/rooms/r1/events?after=0&limit=500");
    document.check("Page", &page);
    let kinds: BTreeSet<_> = page["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["kind"].as_str().unwrap())
        .collect();
    for kind in [
        "comment",
        "gift",
        "gift_reversal",
        "likes",
        "broadcast_start",
        "broadcast_interrupt",
        "broadcast_resume",
        "delete",
        "mute",
        "unmute",
        "rules",
        "pin",
        "unpin",
        "custom",
    ] {
        assert!(kinds.contains(kind), "no {kind} in {page:#}");
    }
    assert!(page["events"].to_string().contains("\"deleted\":true"));
    document.check("Page", &server.get("/v1/rooms/r1/events?limit=2"));
    document.check(
        "Page",
        &server.get("/v1/rooms/r1/events?after=0&max_behind=2"),
    );
    document.check("RoomOverview", &server.get("/v1/rooms/r1"));
    document.check("RoomOverview", &server.get("/v1/rooms/nobody"));
    document.check("Users", &server.get("/v1/rooms/r1/users"));
    document.check("Rooms", &server.get("/v1/rooms?live=true"));
    server.post("/v1/rooms/r1/events", &json!({"kind": "broadcast_end"}));
    let broadcasts = server.wait_for("/v1/rooms/r1/broadcasts", |broadcasts| {
        broadcasts["broadcasts"][0]["ended_at"].is_i64()
    });
    document.check("Broadcasts", &broadcasts);
    let name = broadcasts["broadcasts"][0]["broadcast"].as_str().unwrap();
    let manifest = server.wait_for(&format!("/v1/rooms/r1/broadcasts/{name}"), |manifest| {
        manifest["segments"][0]["url"].is_string()
    });
    document.check("Manifest", &manifest);
    let segment = server.get(manifest["segments"][0]["url"].as_str().unwrap());
    document.check("Segment", &segment);
    let export = server.text(&format!("/v1/rooms/r1/broadcasts/{name}/export"));
    for line in export.lines() {
        document.check("Event", &serde_json::from_str(line).unwrap());
    }
    let bad = server.refusal("/v1/rooms/r1/events", &json!({"kind": "comment"}));
    document.check("Problem", &bad);
}

#[test]
fn other_methods_and_paths_are_told_what_there_is() {
    let (_data, server) = start();
    let document = Document::of(&server);
    for (path, item) in document.0["paths"].as_object().unwrap() {
        let at = path
            .replace("{room}", "r1")
            .replace("{broadcast}", "1:1")
            .replace("{n}", "0");
        let served: BTreeSet<_> = item.as_object().unwrap().keys().cloned().collect();
        for method in ["get", "post", "put", "patch", "delete"] {
            if served.contains(method) {
                continue;
            }
            let (status, allow, problem) = ask(&server, method, &at);
            assert_eq!(status, 405, "{method} {at}");
            document.check("Problem", &problem);
            let allowed = allow.split(',').map(|method| method.trim().to_lowercase());
            let allowed: BTreeSet<_> = allowed.filter(|method| method != "head").collect();
            assert_eq!(allowed, served, "{method} {at}");
        }
    }
    for nowhere in [
        "/index.html",
        "/v1",
        "/v1/rooms/r1/",
        "/v1/rooms/r1/nothing",
        "/docs/",
    ] {
        let (status, _, problem) = ask(&server, "get", nowhere);
        assert_eq!(status, 404, "{nowhere}");
        document.check("Problem", &problem);
    }
}

/// The status of an answer that refuses, its `Allow` and its problem.
fn ask(server: &Server, method: &str, path: &str) -> (u16, String, Value) {
    let request = ureq::http::Request::builder()
        .method(method.to_uppercase().as_str())
        .uri(format!("{}{path}", server.url()))
        .body(())
        .unwrap();
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .allow_non_standard_methods(true)
        .build()
        .into();
    let mut answer = agent.run(request).unwrap();
    let header = |name: &str| {
        let value = answer.headers().get(name);
        value.map_or("", |value| value.to_str().unwrap()).to_owned()
    };
    let (content_type, allow) = (header("content-type"), header("allow"));
    assert_eq!(content_type, "application/problem+json", "{method} {path}");
    let problem = answer.body_mut().read_json().unwrap();
    (answer.status().as_u16(), allow, problem)
}

/// A show in which every kind that HTTP takes happens.
fn show() -> Value {
    let user = json!({"id": "u1", "name": "Ann", "ext": {"avatar": "a.png"}});
    let gift = "00000000-0000-4000-8000-000000000001";
    json!([
        {"kind": "broadcast_start", "title": "Tonight", "ext": {"a": "b"}},
        {"kind": "enter", "user": user},
        {"kind": "audience", "source": "s", "viewers": 3},
        {"kind": "comment", "user": user, "text": "hello", "ext": {"badge": "1"}, "reply_to": gift},
        {"kind": "comment", "user": user, "text": "bad", "device": {"kind": "web"}},
        {"kind": "gift", "id": gift, "user": user, "gift": "rose", "name": "Rose", "count": 2,
            "unit_value": 5, "combo": "c", "text": "for you", "ext": {"art": "r.png"}},
        {"kind": "gift", "user": user, "gift": "rose", "name": "Rose", "count": 2, "unit_value": 5, "combo": "c"},
        {"kind": "gift_reversal", "target_id": gift, "reason": "refund"},
        {"kind": "likes", "count": 5, "source": "s"},
        {"kind": "delete", "target_seq": 3, "role": "moderator", "reason": "rude"},
        {"kind": "mute", "target_user": "u2", "until_at": 9_000_000_000_000_i64, "hide_since_at": 1},
        {"kind": "comment", "user": {"id": "u2"}, "text": "refused"},
        {"kind": "unmute", "target_user": "u2"},
        {"kind": "rules", "slow_ms": 0, "comments": "open"},
        {"kind": "pin", "target_seq": 2},
        {"kind": "unpin", "target_seq": 2},
        {"kind": "pin", "target_seq": 2},
        {"kind": "custom", "name": "poll", "ext": {"q": "?"}},
        {"kind": "broadcast_interrupt", "reason": "network"},
        {"kind": "broadcast_resume"},
        {"kind": "leave", "user": user},
    ])
}
