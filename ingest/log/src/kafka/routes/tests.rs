use danmu_schemas::LogIdentity;

use super::*;

fn topic(partitions: u32) -> Topic {
    Topic {
        name: "events".to_owned(),
        identity: LogIdentity("an id".to_owned()),
        partitions: (0..partitions).map(Partition).collect(),
    }
}

#[test]
fn a_table_comes_back() {
    let value = Table::initial(&topic(12)).to_json();
    assert!(value.len() < 8_192, "{} bytes", value.len());
    let routes = Table::understand(&value, &topic(12)).expect("it fits");
    assert_eq!(routes, Routes::initial(12));
}

#[test]
fn the_newest_epoch_of_a_slot_holds() {
    let mut table = Table::initial(&topic(4));
    table.version = 9;
    let (moved, stayed) = (Slot::of("a"), Slot::of("b"));
    table.slots[usize::from(moved.number())].extend([3, 2]);
    let routes = Table::understand(&table.to_json(), &topic(4)).expect("it fits");
    assert_eq!(routes.version, 9);
    let of_moved = Route {
        epoch: 2,
        partition: 2,
    };
    assert_eq!(routes.route(moved), of_moved);
    assert_eq!(routes.route(stayed), Routes::initial(4).route(stayed));
}

#[test]
fn added_partitions_are_refused() {
    let value = Table::initial(&topic(4)).to_json();
    let refused = Table::understand(&value, &topic(5)).expect_err("it does not fit");
    assert_eq!(
        refused.to_string(),
        "events has 5 partitions, its routes are for 4"
    );
}

#[test]
fn a_table_without_a_slots_partition_is_unreadable() {
    let damage: [fn(&mut Table); 4] = [
        |table| {
            table.slots.pop();
        },
        |table| table.slots[7].clear(),
        |table| table.slots[7] = vec![4],
        |table| table.slots[7] = vec![4, 1],
    ];
    for damage in damage {
        let mut table = Table::initial(&topic(4));
        damage(&mut table);
        let refused = Table::understand(&table.to_json(), &topic(4));
        assert!(
            matches!(refused, Err(ConnectError::UnreadableRoutes { .. })),
            "{refused:?}"
        );
    }
    let refused = Table::understand(b"[]", &topic(4));
    assert!(
        matches!(refused, Err(ConnectError::UnreadableRoutes { .. })),
        "{refused:?}"
    );
}
