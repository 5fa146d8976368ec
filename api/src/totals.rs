//! A room's sums as JSON.

use danmu_schemas::state::{Currencies, Totals};

use crate::render::Object;

/// Writes sums into an object.
pub(crate) fn write_sums(totals: &Totals, currencies: &Currencies, object: &mut Object<'_>) {
    object.number("comments", totals.comments);
    object.number("gifts", totals.gifts);
    object.value("gift_value", |out| {
        let mut values = Object::begin(out);
        for (name, value) in currencies.names.iter().zip(&totals.gift_value) {
            values.named_number(name, *value);
        }
        values.end();
    });
    object.number("likes", totals.likes);
}

/// Writes a room's sums and who watches it, as an object.
pub(crate) fn write_totals(
    totals: &Totals,
    currencies: &Currencies,
    viewers: u64,
    out: &mut Vec<u8>,
) {
    let mut object = Object::begin(out);
    write_sums(totals, currencies, &mut object);
    object.number("viewers", viewers);
    object.end();
}
