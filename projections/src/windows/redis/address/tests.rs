use super::*;

fn check(text: &str, expected: &str) {
    let parsed = text.parse::<RedisAddress>();
    let shown = match &parsed {
        Ok(address) => address.to_string(),
        Err(error) => format!("{error:?}"),
    };
    assert_eq!(shown, expected, "{text}");
}

#[test]
fn what_is_left_out_has_a_default() {
    check("redis://cache", "redis://cache:6379/0");
    check("redis://cache/", "redis://cache:6379/0");
    check("rediss://10.0.0.1:7000/3", "rediss://10.0.0.1:7000/3");
    check("redis://[::1]:7000", "redis://[::1]:7000/0");
    check("redis://[::1]", "redis://[::1]:6379/0");
    check(
        "redis+sentinel://a,b:1/main",
        "redis+sentinel://a:26379,b:1/main/0",
    );
    check(
        "rediss+sentinel://a/main/2",
        "rediss+sentinel://a:26379/main/2",
    );
    check("redis+cluster://a:1,b", "redis+cluster://a:1,b:6379");
}

#[test]
fn an_address_reads_as_it_is_shown() {
    for text in [
        "redis://[::1]:7000/4",
        "redis://danmu@cache:1/2",
        "rediss+sentinel://a:1,b:2/main/2",
        "redis+cluster://a:1,b:2",
    ] {
        check(text, text);
    }
}

#[test]
fn what_is_wrong_is_told_without_the_url() {
    check("redis://danmu:secret@cache", "HasPassword");
    check("redis+cluster://:secret@cache", "HasPassword");
    check("redis://danmu:sec?ret@cache", "HasPassword");
    check("redis://cache/main", "Database(\"main\")");
    check("redis://cache/70000", "Database(\"70000\")");
    check("redis+sentinel://a/main/x", "Database(\"x\")");
    check("redis+sentinel://a", "NoName");
    check("redis+cluster://a/1", "ClusterDatabase");
    check("redis://a,b", "SeveralNodes");
    check("redis://cache?timeout=1", "HasOptions");
    for other in [
        "cache:6379",
        "http://cache",
        "redis+ring://cache",
        "redis://",
        "redis:",
        "",
        "redis://cache:",
        "redis://cache:70000",
        "redis://[::1",
        "redis+cluster://a,,b",
        "redis://a b",
    ] {
        check(other, "Malformed");
    }
}
