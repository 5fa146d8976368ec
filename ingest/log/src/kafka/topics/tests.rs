use super::*;

fn setting<'a>(topic: &'a Wanted, name: &str) -> &'a str {
    let mut settings = topic.settings.iter();
    let found = settings.find(|(setting, _)| *setting == name);
    found.map_or("unset", |(_, value)| value)
}

#[test]
fn copies_follow_the_nodes() {
    let layout = Layout::default();
    let form = |nodes| {
        let topics = wanted("events", &layout, nodes);
        let all = topics
            .iter()
            .map(|one| (one.replicas, setting(one, "min.insync.replicas")));
        let mut all: Vec<_> = all
            .map(|(replicas, least)| (replicas, least.to_owned()))
            .collect();
        all.dedup();
        all
    };
    assert_eq!(form(1), [(1, "1".to_owned())]);
    assert_eq!(form(2), [(2, "1".to_owned())]);
    assert_eq!(form(3), [(3, "2".to_owned())]);
    assert_eq!(form(9), [(3, "2".to_owned())]);
}

#[test]
fn each_log_has_settled_events_of_its_own() {
    assert_eq!(settled(TOPIC), SETTLED);
    assert_ne!(settled("events"), settled("others"));
}

#[test]
fn events_age_and_routes_are_kept() {
    let layout = Layout {
        partitions: NonZeroU32::new(12).expect("12 is not 0"),
        retention: Duration::from_secs(60),
    };
    let topics = wanted("events", &layout, 3);
    let [events, settled, dead_letters, routes] = &topics[..] else {
        panic!("four topics");
    };
    assert_eq!((events.name.as_str(), events.partitions), ("events", 12));
    assert_eq!(setting(events, "retention.ms"), "60000");
    assert_eq!(setting(events, "cleanup.policy"), "delete");
    assert_eq!(setting(events, "message.timestamp.type"), "LogAppendTime");
    assert_eq!(
        (settled.name.as_str(), settled.partitions, &settled.settings),
        ("events.settled", 12, &events.settings)
    );
    assert_eq!(
        (dead_letters.name.as_str(), dead_letters.partitions),
        (DEAD_LETTERS, 1)
    );
    assert_eq!(setting(dead_letters, "retention.ms"), "60000");
    assert_eq!(setting(dead_letters, "max.message.bytes"), "2097176");
    assert_eq!(setting(events, "max.message.bytes"), "1048588");
    assert_eq!((routes.name.as_str(), routes.partitions), (ROUTES, 1));
    assert_eq!(setting(routes, "cleanup.policy"), "compact");
    assert_eq!(setting(routes, "retention.ms"), "unset");
}
