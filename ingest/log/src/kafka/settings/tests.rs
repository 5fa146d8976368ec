use super::*;

#[test]
fn an_address_names_brokers_and_topic() {
    let parts = |address| {
        let options = Options::at(address);
        options.map(|options| (options.brokers, options.topic))
    };
    let is = |brokers: &str, topic: &str| Ok((brokers.to_owned(), topic.to_owned()));
    assert_eq!(parts("kafka://a:9092"), is("a:9092", TOPIC));
    assert_eq!(parts("kafka://a:1,b:2/show"), is("a:1,b:2", "show"));
    assert_eq!(
        parts("kafka://[::1]:9092/s.1-x_"),
        is("[::1]:9092", "s.1-x_")
    );
    for wrong in [
        "embedded:x",
        "kafka:a:1",
        "kafka://",
        "kafka://a",
        "kafka://:1",
        "kafka://a:99999",
        "kafka://a:1,",
        "kafka://a:1/",
        "kafka://a:1/a b",
        "kafka://a:1/..",
    ] {
        assert!(parts(wrong).is_err(), "{wrong}");
    }
}

/// What the log promises rests on these, whatever an operator sets beside them.
#[test]
fn no_setting_undoes_a_promise() {
    let mut options = Options::new("a:1");
    for (name, value) in [
        ("acks", "0"),
        ("enable.idempotence", "false"),
        ("enable.auto.commit", "true"),
        ("auto.offset.reset", "latest"),
        ("security.protocol", "ssl"),
    ] {
        options.settings.insert(name.to_owned(), value.to_owned());
    }
    let written = producer(&options);
    assert_eq!(written.get("acks"), Some("all"));
    assert_eq!(written.get("enable.idempotence"), Some("true"));
    assert_eq!(written.get("security.protocol"), Some("ssl"));
    assert_eq!(letters(&options).get("acks"), Some("all"));
    let read = member(&options, "windows", Some("one"));
    assert_eq!(read.get("enable.auto.commit"), Some("false"));
    assert_eq!(read.get("auto.offset.reset"), Some("error"));
    assert_eq!(read.get("group.instance.id"), Some("one"));
}
