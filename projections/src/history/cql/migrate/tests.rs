use super::super::statements::{SHELVES, table_of};
use super::*;
use crate::history::layout::Family;

#[test]
fn every_table_is_made_and_may_be_made_again() {
    let made: Vec<String> = ALL
        .iter()
        .flat_map(|migration| statements(migration.statements))
        .collect();
    let tables = Family::ALL.map(table_of).into_iter().chain([SHELVES]);
    for table in tables {
        let make = format!("CREATE TABLE IF NOT EXISTS {table} (");
        let times = made.iter().filter(|made| made.starts_with(&make)).count();
        assert_eq!(times, 1, "{table}");
    }
}

#[test]
fn migrations_are_numbered_without_a_gap() {
    let numbers: Vec<i32> = ALL.iter().map(|migration| migration.number).collect();
    assert_eq!(numbers, (1..=ALL.len() as i32).collect::<Vec<_>>());
}
