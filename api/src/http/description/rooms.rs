//! A room as it goes on: pages, the overview, verdicts, the list of live rooms.

use danmu_schemas::Refusal;
use danmu_schemas::description::{
    AnySchema, Fields, any_of, boolean, list, map_of_numbers, moment, reference, seq, text, word,
};

use super::events::events;
use super::{counted, passed_through};

/// The schemas of a room as it goes on, by their names.
pub(super) fn schemas() -> Vec<(&'static str, AnySchema)> {
    vec![
        ("Page", page()),
        ("Withheld", withheld()),
        ("Connect", connect()),
        (
            "Sums",
            Fields::of("Sums of events; likes and gifts by their counts.")
                .with(sums)
                .end(),
        ),
        (
            "Totals",
            Fields::of("A room's sums, and who watches it.")
                .with(totals)
                .end(),
        ),
        ("RoomOverview", overview()),
        ("OpenBroadcast", open_broadcast()),
        ("RoomRules", rules()),
        ("Combo", combo()),
        ("TopGivers", top_givers()),
        ("Giver", giver()),
        ("Users", users()),
        ("Entrant", entrant()),
        ("Rooms", rooms()),
        ("Verdicts", verdicts()),
        ("Verdict", verdict()),
    ]
}

fn page() -> AnySchema {
    Fields::of("A page of a room's events. Of the seqs in `(from, to]`, those that are not in `events` are withheld, and counted.")
        .need("room", reference("RoomName"))
        .need("events", events("In the order of their seqs."))
        .need("cursor", reference("Cursor"))
        .may("before", reference("Cursor"))
        .need("from", counted("After this seq the page begins."))
        .need("to", counted("The last seq of the page."))
        .need("head", counted("The last seq of the room."))
        .may("withheld", reference("Withheld"))
        .need("totals", reference("Totals"))
        .may("poll_after_ms", counted("When to ask again, give or take 10 %; 0 where there is more already. Not in streams."))
        .end()
}

fn connect() -> AnySchema {
    let ways = ["socket", "stream", "poll"];
    let urls = ways.iter().fold(
        Fields::of("Where each way is, as absolute paths."),
        |urls, way| urls.need(way, text("")),
    );
    let backoff = Fields::of("How a client comes back.")
        .need("min_ms", counted("The first pause."))
        .need("max_ms", counted("The longest one."))
        .need(
            "attempts",
            counted("How many before the next way is taken."),
        )
        .end();
    Fields::of("How a client should connect.")
        .need("transports", list("The best way first.", word("", &ways)))
        .need("urls", urls.end())
        .need("backoff", backoff)
        .need(
            "rule",
            word(
                "Why: `load` where the server is at its limit.",
                &["default", "load"],
            ),
        )
        .end()
}

fn withheld() -> AnySchema {
    Fields::of("How many events are left out of an answer on purpose.")
        .need("count", counted("How many."))
        .need("by", map_of_numbers("How many for which reason."))
        .end()
}

fn sums(fields: Fields) -> Fields {
    fields
        .need("comments", counted("How many comments."))
        .need("gifts", counted("How many gifts."))
        .need(
            "gift_value",
            map_of_numbers("What they are worth, by currency."),
        )
        .need("likes", counted("How many likes."))
}

fn totals(fields: Fields) -> Fields {
    sums(fields).need("viewers", counted("How many watch."))
}

fn overview() -> AnySchema {
    Fields::of("A room at a glance.")
        .need("room", reference("RoomName"))
        .need("cursor", reference("Cursor"))
        .need("head", counted("The last seq of the room."))
        .may("pinned", reference("Event"))
        .may("broadcast", reference("OpenBroadcast"))
        .need("totals", reference("Totals"))
        .need("viewers", counted("How many watch."))
        .may("rules", reference("RoomRules"))
        .with(gifts)
        .end()
}

/// The open combos, and who gave most.
pub(super) fn gifts(fields: Fields) -> Fields {
    fields
        .may(
            "combos",
            list("The combos that are open.", reference("Combo")),
        )
        .may(
            "top_givers",
            list("Who gave most, by currency.", reference("TopGivers")),
        )
}

fn open_broadcast() -> AnySchema {
    Fields::of("The show that is on.")
        .need("broadcast", reference("Cursor"))
        .need("title", text("The show's title; may be empty."))
        .may("ext", passed_through())
        .need("started_at", moment("When it began."))
        .need("zero_at", moment("When show time is zero."))
        .need("recorded", boolean("Whether it brings an old show in."))
        .may("interrupted_at", moment("Since when the picture stands."))
        .need("totals", reference("Sums"))
        .end()
}

fn rules() -> AnySchema {
    Fields::of("The rules that viewers comment by.")
        .need(
            "slow_ms",
            counted("How long a viewer waits between two comments."),
        )
        .need(
            "comments",
            word("Whether viewers may comment.", &["open", "closed"]),
        )
        .end()
}

fn combo() -> AnySchema {
    Fields::of("Gifts of one user that count together.")
        .need("user", text("Whose."))
        .need("gift", text("Which gift."))
        .need("combo", text("The combo's name."))
        .need("count", counted("How many so far."))
        .need("value", counted("What they are worth."))
        .may("currency", text("What they are paid in."))
        .need("first_seq", seq("The first of them."))
        .end()
}

fn top_givers() -> AnySchema {
    Fields::of("Who gave most in a currency.")
        .need("currency", text("Which."))
        .need(
            "givers",
            list("The most generous first.", reference("Giver")),
        )
        .end()
}

fn giver() -> AnySchema {
    Fields::of("What somebody gave.")
        .need("user", reference("User"))
        .need(
            "value",
            counted("What it is worth; may be too high by `error`."),
        )
        .need("error", counted("By how much it may be too high."))
        .end()
}

fn users() -> AnySchema {
    Fields::of("Who watches a room.")
        .need("room", reference("RoomName"))
        .need("viewers", counted("How many watch."))
        .need(
            "users",
            list("Who came last, the latest first.", reference("Entrant")),
        )
        .end()
}

fn entrant() -> AnySchema {
    Fields::of("Somebody who came.")
        .need("id", text("Who, for ever."))
        .need("name", text("Shown to viewers; may be empty."))
        .need("entered_at", moment("When."))
        .end()
}

fn rooms() -> AnySchema {
    let room = Fields::of("A room in which a show is on.")
        .need("room", reference("RoomName"))
        .need("title", text("The show's title; may be empty."))
        .may("started_at", moment("When the show began."))
        .need("viewers", counted("How many watch."));
    Fields::of("Rooms that are live.")
        .need("rooms", list("By name.", room.end()))
        .end()
}

fn verdicts() -> AnySchema {
    Fields::of("What became of events.")
        .need(
            "verdicts",
            list("In the order asked.", reference("Verdict")),
        )
        .end()
}

fn verdict() -> AnySchema {
    let verdict = |word_of: &str, description: &str| {
        Fields::of(description)
            .need("id", reference("EventId"))
            .need("verdict", word("", &[word_of]))
    };
    let reasons = Refusal::ALL.map(Refusal::as_str);
    any_of(
        "What became of an event.",
        [
            verdict(
                "pending",
                "Nothing is known of it: not settled yet, or longer than 2 min ago.",
            )
            .end(),
            verdict("visible", "It is in the room.")
                .need("seq", seq("Its seq."))
                .end(),
            verdict("duplicate", "It was there before.")
                .may("seq", seq("The first one's seq."))
                .end(),
            verdict("refused", "The room did not take it.")
                .need("reason", word("Why.", &reasons))
                .may("until_at", moment("Until when it would be refused."))
                .end(),
        ],
    )
}
