//! The schema files: parsed, numbered, and unchanged since they were released.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use apache_avro::Schema;
use apache_avro::rabin::Rabin;
use expect_test::expect;

use super::samples;
use crate::codec::split_header;

const DIR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/avro");

/// The schema of that name.
pub(crate) fn schema(name: &str) -> Schema {
    Schema::parse_str(&text(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn text(name: &str) -> String {
    let path = Path::new(DIR).join(name).with_extension("avsc");
    fs::read_to_string(&path).expect("a schema file")
}

pub(crate) fn ids() -> BTreeMap<String, u32> {
    let text = fs::read_to_string(Path::new(DIR).join("ids.json")).expect("the ids");
    serde_json::from_str(&text).expect("names and ids")
}

fn files() -> BTreeSet<String> {
    fs::read_dir(DIR)
        .expect("the schemas")
        .filter_map(|entry| {
            let name = entry.expect("an entry").file_name();
            let name = name.into_string().expect("a UTF-8 name");
            name.strip_suffix(".avsc").map(str::to_owned)
        })
        .collect()
}

#[test]
fn every_schema_has_its_own_id() {
    let ids = ids();
    assert_eq!(files(), ids.keys().cloned().collect());
    let distinct: BTreeSet<_> = ids.values().collect();
    assert_eq!(distinct.len(), ids.len());
}

#[test]
fn every_type_has_the_id_of_its_schema() {
    let ids = ids();
    for sample in samples::all() {
        let (id, _) = split_header(&sample.wire).expect("a wire header");
        assert_eq!(id, ids[sample.schema], "{}", sample.name);
    }
}

/// The settled topic copies an event's datum from its room on.
#[test]
fn a_settled_event_ends_as_its_event_does() {
    let fields = |name: &str| {
        let schema: serde_json::Value = serde_json::from_str(&text(name)).expect("JSON");
        let fields = schema["fields"].as_array().expect("a record").clone();
        let is_room = |field: &serde_json::Value| field["name"] == "room";
        let room = fields.iter().position(is_room).expect("a room");
        fields[room..].to_vec()
    };
    let mut settled = fields("settled-event");
    let event = fields("room-event");
    // A type is spelled out where it first occurs: in an event that is the id.
    let comment = settled.iter_mut().find(|field| field["name"] == "comment");
    let reply_to = &mut comment.expect("comments")["type"][1]["fields"][2]["type"][1];
    assert_eq!(reply_to["size"], 16);
    *reply_to = "EventId".into();
    assert_eq!(settled, event);
}

/// A released schema never changes: what is stored was written with it. A change is a new file with
/// a new id. Comments are not part of the fingerprint (Rabin, of the canonical form).
#[test]
fn released_schemas_are_unchanged() {
    let mut fingerprints = String::new();
    for name in files() {
        let fingerprint = schema(&name).fingerprint::<Rabin>();
        fingerprints += &format!("{name} {fingerprint}\n");
    }
    expect![[r#"
        broadcast-ended a4169fe0f3cb08a5
        broadcast-info cb1fd6d0e2b66248
        broadcast-started ea7e1e496767eedc
        chunk 3e5f32dbaeecadbb
        chunk-body fbc412ce53a2c8a4
        currencies b5c4b4ba4be20d53
        event-memory cac9d2f3aafd601b
        gift-memory 0bfec0ad71238c95
        heat-mark c018e03b20123e2c
        interruption e8844d6601fef2b2
        moderation 98d03aa197fd83b3
        muted-users c75b782bbaa76016
        open-combos ce2e779b922cc2cb
        room-event 75aa78e135559f04
        roster 293161751c3d8d86
        segment-opened 7c3c7a323203208b
        settled-event 473c656c5bc00b14
        slot-control a8b1be170394b556
        state-core 499daf32d8a138a7
        top-givers 675d425edd42cebc
        viewer-sources 241b86ae7d6b5962
    "#]]
    .assert_eq(&fingerprints);
}
