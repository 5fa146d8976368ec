//! The room just before a segment, as a replay shows it: so that a seek needs no other request.

use danmu_schemas::fact::Snapshot;
use danmu_schemas::state::{Currencies, Giver, OpenCombo, OpenCombos, StateCore, TopGivers};

use crate::render::Object;
use crate::totals::write_totals;

/// Writes the state: what a viewer who was there just then would have known of the room.
pub(super) fn write_state(snapshot: &Snapshot, out: &mut Vec<u8>) {
    let core = &snapshot.core;
    let mut state = Object::begin(out);
    state.string("title", &snapshot.broadcast.title);
    state.ext("ext", &snapshot.broadcast.ext);
    state.number("head", core.last_seq);
    state.value("totals", |out| {
        let viewers = snapshot.sources.viewers(core.clock);
        write_totals(&core.totals, &snapshot.currencies, viewers, out);
    });
    write_rules(core, &mut state);
    state.optional_number("pinned", core.pinned);
    let (combos, givers) = (&snapshot.combos, &snapshot.givers);
    write_gifts(&snapshot.currencies, combos, givers, &mut state);
    state.end();
}

/// Writes the rules that viewers comment by.
pub(crate) fn write_rules(core: &StateCore, state: &mut Object<'_>) {
    state.value("rules", |out| {
        let mut rules = Object::begin(out);
        rules.number("slow_ms", core.slow_ms);
        let comments = if core.comments_open { "open" } else { "closed" };
        rules.string("comments", comments);
        rules.end();
    });
}

/// Writes the open combos, and who gave most in each currency.
pub(crate) fn write_gifts(
    currencies: &Currencies,
    combos: &OpenCombos,
    givers: &TopGivers,
    state: &mut Object<'_>,
) {
    state.array("combos", &combos.combos, |combo, out| {
        write_combo(combo, currencies, out);
    });
    let lists = currencies.names.iter().zip(&givers.by_currency);
    state.array("top_givers", lists, |(currency, givers), out| {
        let mut list = Object::begin(out);
        list.string("currency", currency);
        list.array("givers", givers, write_giver);
        list.end();
    });
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
