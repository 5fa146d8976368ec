//! The room just before a segment, as a replay shows it: so that a seek needs no other request.

use danmu_schemas::fact::Snapshot;
use danmu_schemas::state::{Currencies, Giver, OpenCombo};

use crate::feed::write_sums;
use crate::render::Object;

/// Writes the state: what a viewer who was there just then would have known of the room.
pub(super) fn write_state(snapshot: &Snapshot, out: &mut Vec<u8>) {
    let core = &snapshot.core;
    let mut state = Object::begin(out);
    state.string("title", &snapshot.broadcast.title);
    state.ext("ext", &snapshot.broadcast.ext);
    state.number("head", core.last_seq);
    state.value("totals", |out| {
        let mut totals = Object::begin(out);
        write_sums(&core.totals, &snapshot.currencies, &mut totals);
        totals.number("viewers", snapshot.sources.viewers(core.clock));
        totals.end();
    });
    state.value("rules", |out| {
        let mut rules = Object::begin(out);
        rules.number("slow_ms", core.slow_ms);
        let comments = if core.comments_open { "open" } else { "closed" };
        rules.string("comments", comments);
        rules.end();
    });
    state.optional_number("pinned", core.pinned);
    let currencies = &snapshot.currencies;
    state.array("combos", &snapshot.combos.combos, |combo, out| {
        write_combo(combo, currencies, out);
    });
    let lists = currencies.names.iter().zip(&snapshot.givers.by_currency);
    state.array("top_givers", lists, |(currency, givers), out| {
        let mut list = Object::begin(out);
        list.string("currency", currency);
        list.array("givers", givers, write_giver);
        list.end();
    });
    state.end();
}

fn write_combo(combo: &OpenCombo, currencies: &Currencies, out: &mut Vec<u8>) {
    let mut object = Object::begin(out);
    object.string("user", &combo.user);
    object.string("gift", &combo.gift);
    object.string("combo", &combo.combo);
    object.number("count", combo.count);
    object.number("value", combo.value);
    let currency = currencies.names.get(combo.currency as usize);
    object.optional_string("currency", currency.map(String::as_str));
    object.number("first_seq", combo.first_seq);
    object.end();
}

/// `value` may be too high by `error`.
fn write_giver(giver: &Giver, out: &mut Vec<u8>) {
    let mut object = Object::begin(out);
    object.value("user", |out| {
        let mut user = Object::begin(out);
        user.string("id", &giver.user);
        user.string("name", &giver.name);
        user.end();
    });
    object.number("value", giver.value);
    object.number("error", giver.error);
    object.end();
}
