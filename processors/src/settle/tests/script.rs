//! A log as text: one record a line, `MS KIND key=value…`, and what became of it as text.
//!
//! `id` is a number (one of its own where left out), `role` is viewer, `user` is nobody and every
//! other field something harmless where left out. A line `? PART` prints a part of the state.

use std::fmt::Write as _;

use bytes::Bytes;
use danmu_schemas::codec::Datum;
use danmu_schemas::event::*;
use danmu_schemas::fact::{Fact, FactBody};
use danmu_schemas::{EventId, Position, Role, RoomId, Settled, Verdict};
use expect_test::Expect;

use crate::settle::{Halt, Input, Room, settle};

/// A record of a scripted log.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) logged_at: i64,
    pub(super) event: RoomEvent<'static>,
}

/// Settles the log in one room, a record a batch, and compares what came out.
#[track_caller]
pub(super) fn check(log: &str, expected: Expect) {
    let mut room = Room::new();
    let mut out = String::new();
    for (offset, line) in lines(log).enumerate() {
        if let Some(part) = line.strip_prefix("? ") {
            print_part(&room, part, &mut out);
            continue;
        }
        let record = parse(line, offset);
        let verdict = feed(&mut room, &record, offset as i64);
        let change = room.take_change(&room_id(), Position::new(0, offset as i64));
        let settled = change.runs.iter().flat_map(|run| &run.settled).next();
        print_verdict(&record, verdict, settled, &mut out);
        change
            .facts
            .iter()
            .for_each(|fact| print_fact(fact, &mut out));
    }
    expected.assert_eq(&out);
}

pub(super) fn room_id() -> RoomId {
    RoomId::parse("r").expect("a room's name")
}

pub(super) fn lines(log: &str) -> impl Iterator<Item = &str> {
    log.lines().map(str::trim).filter(|line| !line.is_empty())
}

/// Settles one record at that offset.
pub(super) fn feed(room: &mut Room, record: &Record, offset: i64) -> Result<Verdict, Halt> {
    let mut datum = Vec::new();
    record.event.encode(&mut datum);
    let input = Input {
        position: Position::new(0, offset),
        logged_at: record.logged_at,
        event: &record.event,
        datum: Bytes::from(datum),
    };
    settle(room, input)
}

struct Words<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Words<'a> {
    fn get(&self, key: &str) -> Option<&'a str> {
        self.0.iter().find(|(k, _)| *k == key).map(|(_, v)| *v)
    }

    fn text(&self, key: &str) -> Text<'static> {
        self.get(key).unwrap_or("x").to_owned().into()
    }

    fn opt_text(&self, key: &str) -> Option<Text<'static>> {
        self.get(key).map(|text| text.to_owned().into())
    }

    fn number<T: TryFrom<i64>>(&self, key: &str) -> Option<T> {
        let number: i64 = self.get(key)?.parse().expect("a number");
        T::try_from(number).ok()
    }

    fn id(&self, key: &str) -> Option<EventId> {
        self.number::<u128>(key).map(|n| EventId(n.to_be_bytes()))
    }
}

/// The record that a line describes.
pub(super) fn parse(line: &str, offset: usize) -> Record {
    let mut tokens = line.split_whitespace();
    let logged_at = tokens
        .next()
        .and_then(|ms| ms.parse().ok())
        .expect("a time");
    let kind = tokens.next().expect("a kind");
    let pairs = tokens.map(|token| token.split_once('=').expect("key=value"));
    let words = Words(pairs.collect());
    let own_id = EventId((1_000_000 + offset as u128).to_be_bytes());
    let user = words.opt_text("user").map(|id| User {
        name: id.to_uppercase().into(),
        id,
        ext: Vec::new(),
    });
    let event = RoomEvent {
        id: words.id("id").unwrap_or(own_id),
        room: "r".into(),
        accepted_at: 0,
        recorded_at: words.number("recorded"),
        user,
        role: words
            .get("role")
            .map_or(Role::Viewer, |role| Role::parse(role).expect("a role")),
        device: None,
        body: body(kind, &words, logged_at),
    };
    Record { logged_at, event }
}

fn body(kind: &str, words: &Words<'_>, logged_at: i64) -> Body<'static> {
    let reason = || Reason { reason: None };
    let pin = || Pin {
        target_seq: words.number("seq").unwrap_or(0),
    };
    match kind {
        "comment" => Body::Comment(Comment {
            text: words.text("text"),
            style: Style::default(),
            reply_to: None,
            ext: Vec::new(),
        }),
        "gift" => Body::Gift(Gift {
            gift: words.text("gift"),
            name: words.text("name"),
            count: words.number("count").unwrap_or(1),
            unit_value: words.number("value").unwrap_or(10),
            currency: words.opt_text("currency").unwrap_or("coin".into()),
            text: None,
            combo: words.opt_text("combo"),
            issued_at: words.number("issued").unwrap_or(logged_at),
            ext: Vec::new(),
        }),
        "gift_reversal" => Body::GiftReversal(GiftReversal {
            target_id: words.id("target").expect("a target"),
            reason: words.text("reason"),
        }),
        "likes" => Body::Likes(Likes {
            count: words.number("count").unwrap_or(1),
            source: words.text("source"),
        }),
        "enter" => Body::Enter,
        "leave" => Body::Leave,
        "audience" => Body::Audience(Audience {
            source: words.text("source"),
            viewers: words.number("viewers").unwrap_or(1),
        }),
        "broadcast_start" => Body::BroadcastStart(BroadcastStart {
            title: words.text("title"),
            recorded: words.get("old") == Some("yes"),
            zero_at: words.number("zero"),
            ext: Vec::new(),
        }),
        "broadcast_end" => Body::BroadcastEnd(reason()),
        "broadcast_interrupt" => Body::BroadcastInterrupt(reason()),
        "broadcast_resume" => Body::BroadcastResume(reason()),
        "delete" => Body::Delete(Delete {
            target: match words.id("target") {
                Some(id) => Target::Id(id),
                None => Target::Seq(words.number("seq").unwrap_or(0)),
            },
            reason: words.text("reason"),
        }),
        "mute" => Body::Mute(Mute {
            target_user: words.text("who"),
            until_at: words.number("until"),
            hide_since_at: words.number("hide"),
            reason: words.text("reason"),
        }),
        "unmute" => Body::Unmute(Unmute {
            target_user: words.text("who"),
            reason: words.text("reason"),
        }),
        "rules" => Body::Rules(Rules {
            slow_ms: words.number("slow"),
            comments_open: words.get("comments").map(|word| word == "open"),
        }),
        "pin" => Body::Pin(pin()),
        "unpin" => Body::Unpin(pin()),
        "custom" => Body::Custom(Custom {
            name: words.text("name"),
            ext: Vec::new(),
        }),
        "erase" => Body::Erase(Erase {
            target_seqs: words.number("seq").into_iter().collect(),
            target_user: words.opt_text("who"),
        }),
        "reset" => Body::Reset,
        "adopt_rules" => Body::AdoptRules(AdoptRules {
            version: words.number("version").unwrap_or(1),
        }),
        other => panic!("no kind {other}"),
    }
}

fn print_verdict(
    record: &Record,
    verdict: Result<Verdict, Halt>,
    settled: Option<&Settled>,
    out: &mut String,
) {
    let verdict = match verdict {
        Ok(Verdict::Visible { seq }) => format!("seq {seq}"),
        Ok(Verdict::Absorbed) => "absorbed".to_owned(),
        Ok(Verdict::Duplicate { first: Some(seq) }) => format!("duplicate of seq {seq}"),
        Ok(Verdict::Duplicate { first: None }) => "duplicate from before the reset".to_owned(),
        Ok(Verdict::Refused { reason, until_at }) => {
            let until = until_at
                .map(|at| format!(" until {at}"))
                .unwrap_or_default();
            format!("refused: {}{until}", reason.as_str())
        }
        Err(halt) => format!("halt: {halt}"),
    };
    let mut line = format!("{} {verdict}", record.logged_at);
    if let Some(settled) = settled {
        if settled.at != record.logged_at {
            write!(line, " at {}", settled.at).unwrap();
        }
        if settled.crowd > 0 {
            write!(line, " crowd {}", settled.crowd).unwrap();
        }
        if let Some(total) = settled.combo_total {
            write!(line, " combo {total}").unwrap();
        }
        if let Some(target) = settled.target_seq {
            write!(line, " target {target}").unwrap();
        }
    }
    writeln!(out, "{line}").unwrap();
}

fn print_fact(fact: &Fact, out: &mut String) {
    let line = match &fact.body {
        FactBody::BroadcastStarted { broadcast, started } => format!(
            "broadcast {broadcast} started {:?} at {} zero {}{}",
            started.info.title,
            started.started_at,
            started.zero_at,
            if started.recorded { " recorded" } else { "" },
        ),
        FactBody::BroadcastEnded { broadcast, ended } => format!(
            "broadcast {broadcast} ended at {} with seq {}: {} comments, {} likes, {} gifts {:?}",
            ended.ended_at,
            ended.last_seq,
            ended.totals.comments,
            ended.totals.likes,
            ended.totals.gifts,
            ended.totals.gift_value,
        ),
        FactBody::Interruption {
            broadcast,
            by_seq,
            interruption,
        } => format!(
            "broadcast {broadcast} {} by seq {by_seq} at show time {}",
            if interruption.resumed {
                "resumed"
            } else {
                "interrupted"
            },
            interruption.show_ms,
        ),
        FactBody::SegmentOpened {
            broadcast,
            n,
            segment,
        } => format!(
            "broadcast {broadcast} segment {n} from seq {}, before it seq {}",
            segment.first_seq, segment.snapshot.core.last_seq,
        ),
        FactBody::HeatBucketOpened {
            broadcast,
            n,
            before,
        } => format!(
            "broadcast {broadcast} heat {n} from seq {}, before it {} {} {}",
            before.first_seq, before.comments, before.likes, before.gifts,
        ),
        FactBody::Moderated { by, moderation } => format!("{by} {moderation:?}"),
    };
    writeln!(out, "  {line}").unwrap();
}

fn print_part(room: &Room, part: &str, out: &mut String) {
    let (core, fields) = (room.core(), room.fields());
    let line = match part {
        "totals" => {
            let totals = &core.totals;
            let names = fields.currencies.names.iter();
            let values: Vec<_> = names.zip(&totals.gift_value).collect();
            format!(
                "{} comments, {} likes, {} gifts {values:?}",
                totals.comments, totals.likes, totals.gifts
            )
        }
        "counts" => {
            let refused: u64 = core.refused.iter().sum();
            format!("{} duplicates, {refused} refused", core.duplicates)
        }
        "clock" => core.clock.to_string(),
        "title" => format!("{:?}", fields.broadcast.title),
        "pinned" => format!("{:?}", core.pinned.map(|seq| seq.0)),
        "muted" => {
            let muted = fields.muted.users.iter();
            format!(
                "{:?}",
                muted.map(|m| (&m.user, m.until_at)).collect::<Vec<_>>()
            )
        }
        "roster" => {
            let entrants = fields.roster.entrants.iter();
            format!("{:?}", entrants.map(|e| &e.user).collect::<Vec<_>>())
        }
        "viewers" => fields.sources.viewers(core.clock).to_string(),
        "combos" => {
            let combos = fields.combos.combos.iter();
            format!(
                "{:?}",
                combos
                    .map(|c| (&c.user, c.count, c.value))
                    .collect::<Vec<_>>()
            )
        }
        "givers" => {
            let givers = fields.givers.by_currency.iter().flatten();
            format!(
                "{:?}",
                givers
                    .map(|g| (&g.user, &g.name, g.value, g.error))
                    .collect::<Vec<_>>()
            )
        }
        other => panic!("no part {other}"),
    };
    writeln!(out, "  {part}: {line}").unwrap();
}
