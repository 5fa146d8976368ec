//! Gifts: value by currency, combos, who gave most, and gifts taken back.
//!
//! Totals are exact. Top givers are a Space-Saving sketch a currency: of a listed giver the true
//! value lies in `value - error ..= value`, and nobody who is not listed gave more than the last.

use danmu_schemas::event::{Gift, User};
use danmu_schemas::state::{
    COMBO_WINDOW_MS, COMBOS_LEN_MAX, CURRENCIES_MAX, Currencies, Field, GIVERS_LEN_MAX, GiftMemory,
    Giver, OpenCombo, OpenCombos, TopGivers, Totals,
};
use danmu_schemas::{EventId, RoomEvent, Seq, UserHash};

use super::super::Room;
use super::{Place, author};

/// Whether the currency is known, or may become so.
pub(super) fn has_place(currencies: &Currencies, name: &str) -> bool {
    currencies.names.len() < CURRENCIES_MAX || currencies.names.iter().any(|known| known == name)
}

/// Closes the combos that nobody extended within the window.
pub(super) fn close_combos(room: &mut Room) {
    let clock = room.core.clock;
    let combos = &mut room.fields.combos.combos;
    let closed = combos
        .iter()
        .take_while(|combo| clock.saturating_sub(combo.extended_at) > COMBO_WINDOW_MS)
        .count();
    if closed > 0 {
        combos.drain(..closed);
        room.pending.mark(Field::Combos);
    }
}

/// Counts a gift. Returns its combo's count so far, if it belongs to one.
pub(super) fn give(
    room: &mut Room,
    event: &RoomEvent<'_>,
    gift: &Gift<'_>,
    place: Place,
) -> Option<u64> {
    let currency = currency(room, &gift.currency);
    room.core.totals.gifts += u64::from(gift.count);
    add_value(&mut room.core.totals, currency, gift.value());
    remember(
        room,
        GiftMemory {
            offset: place.position.offset,
            id: event.id,
            clock: room.core.clock,
            generation: place.cursor.generation,
            seq: place.cursor.seq,
            value: gift.value(),
            currency: currency as u32,
            user: author(event),
            reversed: false,
        },
    );
    let user = event.user.as_ref()?;
    if gift.value() > 0 {
        let list = givers_of(&mut room.fields.givers, currency);
        add_giver(list, user, place.cursor.seq, gift.value());
        room.pending.mark(Field::Givers);
    }
    let combo = gift.combo.as_ref()?;
    let total = extend_combo(room, user, gift, combo, currency as u32, place.cursor.seq);
    Some(total)
}

/// Takes a gift back, once: its value leaves the totals of the generation that counted it.
pub(super) fn take_back(room: &mut Room, id: EventId, place: Place) -> Option<Seq> {
    let gift = *room.gifts.get(id)?;
    remember(
        room,
        GiftMemory {
            offset: place.position.offset,
            clock: room.core.clock,
            reversed: true,
            ..gift
        },
    );
    if gift.generation != room.core.generation {
        return None;
    }
    let currency = gift.currency as usize;
    add_value(&mut room.core.totals, currency, -gift.value);
    let list = givers_of(&mut room.fields.givers, currency);
    if subtract_giver(list, gift.user, gift.value) {
        room.pending.mark(Field::Givers);
    }
    Some(gift.seq)
}

/// No combo is open and nobody has given. The currencies stay: remembered gifts count in them.
pub(super) fn clear(room: &mut Room) {
    room.fields.combos = OpenCombos::default();
    room.fields.givers = TopGivers::default();
    room.pending.mark(Field::Combos);
    room.pending.mark(Field::Givers);
}

/// Blanks what the givers are called whom an erasure names, by themselves or by the gift that their
/// name came with.
pub(super) fn forget_names(room: &mut Room, is_named: impl Fn(&Giver) -> bool) {
    let lists = room.fields.givers.by_currency.iter_mut();
    for giver in lists.flatten().filter(|giver| is_named(giver)) {
        giver.name.clear();
        room.pending.mark(Field::Givers);
    }
}

fn remember(room: &mut Room, entry: GiftMemory) {
    room.gifts.remember(entry);
    room.pending.gifts.push(entry);
}

fn currency(room: &mut Room, name: &str) -> usize {
    let names = &mut room.fields.currencies.names;
    if let Some(index) = names.iter().position(|known| known == name) {
        return index;
    }
    names.push(name.to_owned());
    room.pending.mark(Field::Currencies);
    room.fields.currencies.names.len() - 1
}

fn add_value(totals: &mut Totals, currency: usize, value: i64) {
    if totals.gift_value.len() <= currency {
        totals.gift_value.resize(currency + 1, 0);
    }
    let sum = &mut totals.gift_value[currency];
    *sum = sum.saturating_add(value);
}

fn extend_combo(
    room: &mut Room,
    user: &User<'_>,
    gift: &Gift<'_>,
    name: &str,
    currency: u32,
    seq: Seq,
) -> u64 {
    let combos = &mut room.fields.combos.combos;
    let is_it =
        |open: &OpenCombo| open.user == user.id && open.gift == gift.gift && open.combo == name;
    let mut combo = match combos.iter().position(is_it) {
        Some(place) => combos.remove(place),
        None => OpenCombo {
            user: user.id.to_string(),
            gift: gift.gift.to_string(),
            combo: name.to_owned(),
            count: 0,
            value: 0,
            currency,
            first_seq: seq,
            extended_at: 0,
        },
    };
    combo.count += u64::from(gift.count);
    if combo.currency == currency {
        combo.value = combo.value.saturating_add(gift.value());
    }
    combo.extended_at = room.core.clock;
    if combos.len() == COMBOS_LEN_MAX {
        combos.remove(0);
    }
    let total = combo.count;
    combos.push(combo);
    room.pending.mark(Field::Combos);
    total
}

fn givers_of(givers: &mut TopGivers, currency: usize) -> &mut Vec<Giver> {
    if givers.by_currency.len() <= currency {
        givers.by_currency.resize(currency + 1, Vec::new());
    }
    &mut givers.by_currency[currency]
}

/// A newcomer to a full list takes the last one's place and inherits its value as error.
fn add_giver(list: &mut Vec<Giver>, user: &User<'_>, seq: Seq, value: i64) {
    let mut giver = match list.iter().position(|giver| giver.user == user.id) {
        Some(place) => list.remove(place),
        None => {
            let replaced = if list.len() == GIVERS_LEN_MAX {
                list.pop()
            } else {
                None
            };
            let inherited = replaced.map_or(0, |giver| giver.value);
            Giver {
                user: user.id.to_string(),
                name: String::new(),
                named_by: seq,
                value: inherited,
                error: inherited,
            }
        }
    };
    giver.name = user.name.to_string();
    giver.named_by = seq;
    giver.value = giver.value.saturating_add(value);
    insert_giver(list, giver);
}

/// In a full list nobody sinks below the last: who is not listed may have given as much as that. What
/// could not be subtracted becomes error.
fn subtract_giver(list: &mut Vec<Giver>, user: UserHash, value: i64) -> bool {
    let floor = match list.last() {
        Some(last) if list.len() == GIVERS_LEN_MAX => last.value,
        _ => 0,
    };
    let place = list
        .iter()
        .position(|giver| UserHash::of(&giver.user) == user);
    let Some(place) = place else {
        return false;
    };
    let mut giver = list.remove(place);
    let rest = giver.value - value;
    giver.value = rest.max(floor);
    giver.error += giver.value - rest;
    if giver.value > 0 {
        insert_giver(list, giver);
    }
    true
}

fn insert_giver(list: &mut Vec<Giver>, giver: Giver) {
    let before = |other: &Giver| (other.value, &giver.user) > (giver.value, &other.user);
    let place = list.partition_point(before);
    list.insert(place, giver);
}
