//! Every limit of what is sent, at its edge and one beyond: a table for each kind of thing.

use danmu_schemas::RoomId;

use super::*;

/// A good event of each kind that has a limit of its own.
fn good(kind: &str) -> Value {
    let gift = json!({"kind": "gift", "user": {"id": "u1"}, "gift": "g", "name": "G", "count": 1,
                      "unit_value": 1});
    let fields = match kind {
        "comment" => return comment("hello"),
        "gift" => return gift,
        "gift_reversal" => json!({"target_id": "01900000-0000-7000-8000-000000000001"}),
        "likes" => json!({"count": 1, "source": "s"}),
        "audience" => json!({"source": "s", "viewers": 1}),
        "delete" | "pin" | "unpin" => json!({"target_seq": 1}),
        "mute" | "unmute" => json!({"target_user": "u2"}),
        "rules" => json!({"slow_ms": 1}),
        "custom" => json!({"name": "n"}),
        "erase" => json!({"target_seqs": [1]}),
        "adopt_rules" => json!({"version": 1}),
        _ => json!({}),
    };
    let mut event = fields;
    event["kind"] = kind.into();
    event
}

/// The event with the value at `path`, whose parts are parted by dots.
fn with(mut event: Value, path: &str, value: Value) -> Value {
    let place = path.split('.').fold(&mut event, |at, name| &mut at[name]);
    *place = value;
    event
}

/// A kind, a field of it, a value that is just taken and one that is just not.
type Row<'a> = (&'a str, &'a str, Value, Value);

fn check(table: &[Row<'_>], expected: Expect) {
    let local = Caller::unauthenticated_local();
    let mut lines = Vec::new();
    for (kind, path, edge, beyond) in table {
        let of = |value: &Value| {
            let event = with(good(kind), path, value.clone());
            outcome(admit_as(&local, None, event.to_string().as_bytes()))
        };
        let taken = of(edge);
        assert!(taken.starts_with("ok "), "{kind} {path} {edge}: {taken}");
        lines.push(format!("{kind}: {}", of(beyond)));
    }
    expected.assert_eq(&lines.join("\n"));
}

/// So many bytes of two-byte characters, with one of one byte where the number is odd.
fn bytes(n: usize) -> String {
    "\u{e9}".repeat(n / 2) + &"x".repeat(n % 2)
}

/// So many characters of four bytes.
fn chars(n: usize) -> String {
    "\u{1f389}".repeat(n)
}

#[test]
fn texts_of_comments() {
    let grows_in_nfc = |n| "\u{958}".repeat(n);
    let shrinks_in_nfc = |n| "e\u{301}".repeat(n);
    let pairs = [
        ("x".to_owned(), String::new()),
        (chars(1_024), chars(1_025)),
        (shrinks_in_nfc(1_024), shrinks_in_nfc(1_025)),
        (grows_in_nfc(512), grows_in_nfc(513)),
        ("\u{3000}x".to_owned(), "\u{3000}\n\t ".to_owned()),
        ("a\n\tb".to_owned(), "a\rb".to_owned()),
        ("\u{20}x".to_owned(), "\u{1f}x".to_owned()),
        ("~".to_owned(), "\u{7f}".to_owned()),
        ("\u{a0}x".to_owned(), "\u{9f}x".to_owned()),
        ("a\u{202c}b".to_owned(), "a\u{202d}b".to_owned()),
        ("a\u{2066}b\u{200d}".to_owned(), "a\u{202e}b".to_owned()),
    ];
    let row = |kind, (edge, beyond): &(String, String)| (kind, "text", json!(edge), json!(beyond));
    let rows = |kind| pairs.iter().map(|pair| row(kind, pair)).collect::<Vec<_>>();
    check(
        &rows("comment"),
        expect![[r#"
        comment: invalid 0 text: is blank
        comment: invalid 0 text: is longer than 1024 characters
        comment: invalid 0 text: is longer than 1024 characters
        comment: invalid 0 text: is longer than 1024 characters
        comment: invalid 0 text: is blank
        comment: invalid 0 text: holds a control character other than newline and tab
        comment: invalid 0 text: holds a control character other than newline and tab
        comment: invalid 0 text: holds a control character other than newline and tab
        comment: invalid 0 text: holds a control character other than newline and tab
        comment: invalid 0 text: holds a bidirectional override
        comment: invalid 0 text: holds a bidirectional override"#]],
    );
    check(
        &rows("gift")[..2],
        expect![[r#"
        gift: invalid 0 text: is blank
        gift: invalid 0 text: is longer than 1024 characters"#]],
    );
}

#[test]
fn names() {
    let row = |kind, path| (kind, path, json!(bytes(64)), json!(bytes(65)));
    let one = |kind, path| (kind, path, json!("x"), json!(""));
    let plain = |kind, path| (kind, path, json!("a b"), json!("a\nb"));
    let mut rows = Vec::new();
    for (kind, path) in [
        ("comment", "user.id"),
        ("gift", "gift"),
        ("gift", "name"),
        ("gift", "currency"),
        ("gift", "combo"),
        ("likes", "source"),
        ("audience", "source"),
        ("mute", "target_user"),
        ("unmute", "target_user"),
        ("custom", "name"),
    ] {
        rows.extend([row(kind, path), one(kind, path), plain(kind, path)]);
    }
    check(
        &rows,
        expect![[r#"
        comment: invalid 0 user.id: is longer than 64 bytes
        comment: invalid 0 user.id: is empty
        comment: invalid 0 user.id: holds a control character
        gift: invalid 0 gift: is longer than 64 bytes
        gift: invalid 0 gift: is empty
        gift: invalid 0 gift: holds a control character
        gift: invalid 0 name: is longer than 64 bytes
        gift: invalid 0 name: is empty
        gift: invalid 0 name: holds a control character
        gift: invalid 0 currency: is longer than 64 bytes
        gift: invalid 0 currency: is empty
        gift: invalid 0 currency: holds a control character
        gift: invalid 0 combo: is longer than 64 bytes
        gift: invalid 0 combo: is empty
        gift: invalid 0 combo: holds a control character
        likes: invalid 0 source: is longer than 64 bytes
        likes: invalid 0 source: is empty
        likes: invalid 0 source: holds a control character
        audience: invalid 0 source: is longer than 64 bytes
        audience: invalid 0 source: is empty
        audience: invalid 0 source: holds a control character
        mute: invalid 0 target_user: is longer than 64 bytes
        mute: invalid 0 target_user: is empty
        mute: invalid 0 target_user: holds a control character
        unmute: invalid 0 target_user: is longer than 64 bytes
        unmute: invalid 0 target_user: is empty
        unmute: invalid 0 target_user: holds a control character
        custom: invalid 0 name: is longer than 64 bytes
        custom: invalid 0 name: is empty
        custom: invalid 0 name: holds a control character"#]],
    );
}

#[test]
fn user_names_devices_titles_and_reasons() {
    let name = |path| ("comment", path, json!(chars(64)), json!(chars(65)));
    let device = |path| ("comment", path, json!(bytes(64)), json!(bytes(65)));
    let line = |kind, path| (kind, path, json!(chars(200)), json!(chars(201)));
    let mut rows = vec![
        name("user.name"),
        ("comment", "user.name", json!(""), json!("\u{202e}")),
        device("device.id"),
        device("device.kind"),
        device("device.version"),
        ("comment", "device.id", json!(""), json!("\u{0}")),
        line("broadcast_start", "title"),
        ("broadcast_start", "title", json!(""), json!("a\tb")),
    ];
    rows.extend(
        [
            "broadcast_end",
            "broadcast_interrupt",
            "broadcast_resume",
            "gift_reversal",
            "delete",
            "mute",
            "unmute",
        ]
        .map(|kind| line(kind, "reason")),
    );
    check(
        &rows,
        expect![[r#"
        comment: invalid 0 user.name: is longer than 64 characters
        comment: invalid 0 user.name: holds a bidirectional override
        comment: invalid 0 device.id: is longer than 64 bytes
        comment: invalid 0 device.kind: is longer than 64 bytes
        comment: invalid 0 device.version: is longer than 64 bytes
        comment: invalid 0 device.id: holds a control character
        broadcast_start: invalid 0 title: is longer than 200 characters
        broadcast_start: invalid 0 title: holds a control character
        broadcast_end: invalid 0 reason: is longer than 200 characters
        broadcast_interrupt: invalid 0 reason: is longer than 200 characters
        broadcast_resume: invalid 0 reason: is longer than 200 characters
        gift_reversal: invalid 0 reason: is longer than 200 characters
        delete: invalid 0 reason: is longer than 200 characters
        mute: invalid 0 reason: is longer than 200 characters
        unmute: invalid 0 reason: is longer than 200 characters"#]],
    );
}

#[test]
fn numbers() {
    const AVRO_INT_MAX: i64 = i32::MAX as i64;
    const YEAR_9999_ENDS_AT: i64 = 253_402_300_799_999;
    let most = |kind, path, most: i64| (kind, path, json!(most), json!(most + 1));
    let least = |kind, path, least: i64| (kind, path, json!(least), json!(least - 1));
    check(
        &[
            least("comment", "style.color", 0),
            most("comment", "style.color", 0xff_ffff),
            least("gift", "count", 1),
            most("gift", "count", 9_999),
            ("gift", "count", json!(1.0), json!(1.5)),
            ("gift", "count", json!(1), json!("1")),
            least("gift", "unit_value", 0),
            most("gift", "unit_value", 10_000_000),
            least("gift", "issued_at", NOW - 23 * 3_600_000),
            most("gift", "issued_at", NOW + 5 * 60_000),
            least("likes", "count", 1),
            most("likes", "count", 9_999),
            least("audience", "viewers", 0),
            most("audience", "viewers", AVRO_INT_MAX),
            least("rules", "slow_ms", 0),
            most("rules", "slow_ms", 120_000),
            least("delete", "target_seq", 1),
            ("pin", "target_seq", json!(i64::MAX), json!(1_u64 << 63)),
            least("unpin", "target_seq", 1),
            least("broadcast_start", "zero_at", 0),
            most("broadcast_start", "zero_at", YEAR_9999_ENDS_AT),
            most("mute", "until_at", YEAR_9999_ENDS_AT),
            least("mute", "hide_since_at", 0),
            most("comment", "recorded_at", YEAR_9999_ENDS_AT),
            least("adopt_rules", "version", 1),
            most("adopt_rules", "version", 1),
        ],
        expect![[r#"
            comment: invalid 0 style.color: is not within 0 and 16777215
            comment: invalid 0 style.color: is not within 0 and 16777215
            gift: invalid 0 count: is not within 1 and 9999
            gift: invalid 0 count: is not within 1 and 9999
            gift: invalid 0 count: is not a whole number
            gift: invalid 0 count: is not a whole number
            gift: invalid 0 unit_value: is not within 0 and 10000000
            gift: invalid 0 unit_value: is not within 0 and 10000000
            gift: invalid 0 issued_at: is more than 23 h ago
            gift: invalid 0 issued_at: is more than 5 min ahead
            likes: invalid 0 count: is not within 1 and 9999
            likes: invalid 0 count: is not within 1 and 9999
            audience: invalid 0 viewers: is not within 0 and 2147483647
            audience: invalid 0 viewers: is not within 0 and 2147483647
            rules: invalid 0 slow_ms: is not within 0 and 120000
            rules: invalid 0 slow_ms: is not within 0 and 120000
            delete: invalid 0 target_seq: is not within 1 and 9223372036854775807
            pin: invalid 0 target_seq: is not a whole number
            unpin: invalid 0 target_seq: is not within 1 and 9223372036854775807
            broadcast_start: invalid 0 zero_at: is not within 0 and 253402300799999
            broadcast_start: invalid 0 zero_at: is not within 0 and 253402300799999
            mute: invalid 0 until_at: is not within 0 and 253402300799999
            mute: invalid 0 hide_since_at: is not within 0 and 253402300799999
            comment: invalid 0 recorded_at: is not within 0 and 253402300799999
            adopt_rules: invalid 0 version: is not within 1 and 1
            adopt_rules: invalid 0 version: is not within 1 and 1"#]],
    );
}

#[test]
fn ext_of_everything_that_has_one() {
    let keys = |n: usize| -> Value { (0..n).map(|n| (n.to_string(), json!(""))).collect() };
    let bytes = |n: usize| json!({"key": "v".repeat(n - "key".len())});
    let mut rows = Vec::new();
    for (kind, path) in [
        ("comment", "ext"),
        ("comment", "user.ext"),
        ("gift", "ext"),
        ("broadcast_start", "ext"),
        ("custom", "ext"),
    ] {
        rows.push((kind, path, keys(16), keys(17)));
        rows.push((kind, path, bytes(1_024), bytes(1_025)));
    }
    rows.push(("comment", "ext", json!({"k": ""}), json!({"k": null})));
    check(
        &rows,
        expect![[r#"
        comment: invalid 0 ext: has more than 16 keys
        comment: invalid 0 ext: is larger than 1024 bytes
        comment: invalid 0 user.ext: has more than 16 keys
        comment: invalid 0 user.ext: is larger than 1024 bytes
        gift: invalid 0 ext: has more than 16 keys
        gift: invalid 0 ext: is larger than 1024 bytes
        broadcast_start: invalid 0 ext: has more than 16 keys
        broadcast_start: invalid 0 ext: is larger than 1024 bytes
        custom: invalid 0 ext: has more than 16 keys
        custom: invalid 0 ext: is larger than 1024 bytes
        comment: invalid 0 ext: holds a value that is not a string"#]],
    );
}

#[test]
fn words_lists_and_ids() {
    let seqs = |n: usize| json!((1..=n).collect::<Vec<_>>());
    let id = json!("01900000-0000-7000-8000-00000000000f");
    let short = json!("01900000-0000-7000-8000-00000000000");
    check(
        &[
            ("comment", "style.mode", json!("reverse"), json!("Reverse")),
            ("comment", "style.size", json!("small"), json!("tiny")),
            ("comment", "role", json!("host"), json!("hosts")),
            ("rules", "comments", json!("closed"), json!("shut")),
            ("erase", "target_seqs", seqs(1), seqs(0)),
            ("erase", "target_seqs", seqs(500), seqs(501)),
            ("comment", "id", id.clone(), short.clone()),
            ("comment", "reply_to", id.clone(), short.clone()),
            ("gift_reversal", "target_id", id, short),
        ],
        expect![[r#"
            comment: invalid 0 style.mode: is not a word that is known here
            comment: invalid 0 style.size: is not a word that is known here
            comment: invalid 0 role: is not a word that is known here
            rules: invalid 0 comments: is not a word that is known here
            erase: invalid 0 target_seqs: has not 1 to 500 seqs
            erase: invalid 0 target_seqs: has not 1 to 500 seqs
            comment: invalid 0 id: is not a UUID
            comment: invalid 0 reply_to: is not a UUID
            gift_reversal: invalid 0 target_id: is not a UUID"#]],
    );
}

#[test]
fn rooms_arrays_and_keys() {
    let is_room = |name: &str| RoomId::parse(name).is_ok();
    for (edge, beyond) in [
        ("r".repeat(64), "r".repeat(65)),
        ("r".to_owned(), String::new()),
        ("0.-_Z".to_owned(), "-0".to_owned()),
        ("a.".to_owned(), ".a".to_owned()),
        ("a_".to_owned(), "_a".to_owned()),
        ("ae".to_owned(), "\u{e9}".to_owned()),
        ("a-b".to_owned(), "a/b".to_owned()),
        ("ab".to_owned(), "a b".to_owned()),
    ] {
        assert!(is_room(&edge), "{edge:?}");
        assert!(!is_room(&beyond), "{beyond:?}");
    }
    let local = Caller::unauthenticated_local();
    let admits =
        |key: Option<&str>, body: Value| admit_as(&local, key, body.to_string().as_bytes()).is_ok();
    let array = |n| Value::from(vec![good("broadcast_end"); n]);
    let of_len = |len| admits(None, array(len));
    assert_eq!([0, 1, 500, 501].map(of_len), [false, true, true, false]);
    let with_key = |len| admits(Some(&"k".repeat(len)), comment("hi"));
    assert_eq!([0, 1, 128, 129].map(with_key), [false, true, true, false]);
}
