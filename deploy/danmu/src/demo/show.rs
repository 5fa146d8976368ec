//! A simulated show: what happens in a room, by a seed and by the time.
//!
//! The audience arrives in a curve and then wanders. It chats at a rate a viewer; after a *moment* (a
//! goal, a joke, a mishap) comments and likes burst and die away. Gifts come alone or in combos. A
//! moderator deletes and mutes now and then, and the host keeps a timetable. Pure: the time is an
//! argument, chance is the seed's, and ids are made of the run's name. Sending is [`super::stage`]'s.

use std::collections::VecDeque;

use fastrand::Rng;
use serde_json::{Value, json};
use uuid::Uuid;

use super::phrases::{GIFTS, Language, Mood, NAMES, phrases};

/// How a room is.
#[derive(Debug)]
pub struct Script {
    /// Its name.
    pub room: &'static str,
    /// What its show is called.
    pub title: &'static str,
    /// How many viewers it has when it is full.
    pub viewers_max: f64,
    /// What they speak.
    pub languages: &'static [Language],
}

/// The rooms of the demo.
pub const SCRIPTS: [Script; 3] = [
    Script {
        room: "stage",
        title: "Night concert on the roof",
        viewers_max: 1_800.0,
        languages: &[
            Language::Japanese,
            Language::English,
            Language::Chinese,
            Language::Korean,
            Language::Portuguese,
        ],
    },
    Script {
        room: "kitchen",
        title: "Dumplings from scratch",
        viewers_max: 500.0,
        languages: &[
            Language::Chinese,
            Language::English,
            Language::German,
            Language::French,
        ],
    },
    Script {
        room: "radio",
        title: "Quiet hours",
        viewers_max: 120.0,
        languages: &[Language::English, Language::Spanish, Language::German],
    },
];

/// How long until most of the audience is there.
const ARRIVAL_MS: f64 = 40_000.0;
/// How much of it is there at the beginning.
const WAITING: f64 = 0.35;
/// Comments of a viewer a second when nothing happens, and the most after a moment.
const CHAT_PER_S: f64 = 0.006;
const BURST_PER_S: f64 = 0.04;
/// Likes of a viewer a second, likewise.
const LIKES_PER_S: f64 = 0.05;
const LIKES_BURST_PER_S: f64 = 0.8;
/// Gifts of a viewer a second, likewise.
const GIFTS_PER_S: f64 = 0.000_4;
const GIFTS_BURST_PER_S: f64 = 0.002;
/// Entries of a viewer a second.
const ENTRIES_PER_S: f64 = 0.004;
/// How fast a burst dies away.
const BURST_MS: f64 = 6_000.0;
/// How long it is from a moment to the next, at least and at most.
const MOMENT_EVERY_MS: std::ops::Range<i64> = 12_000..40_000;
/// Moderation, on average.
const DELETES_PER_S: f64 = 1.0 / 15.0;
const MUTES_PER_S: f64 = 1.0 / 45.0;
/// How long a mute lasts.
const MUTE_MS: i64 = 30_000;
/// How often viewers are counted.
const AUDIENCE_EVERY_MS: i64 = 10_000;
/// The most comments that a moderator looks back on.
const RECENT_LEN: usize = 40;
/// The most likes in an event, the contract's.
const LIKES_MAX: usize = 9_999;

/// The host's timetable of a live show: within each `period` of show time, at `phase`.
const TIMETABLE: [(i64, i64, Cue); 6] = [
    (60_000, 20_000, Cue::Pin),
    (120_000, 45_000, Cue::SlowMode(2_000)),
    (120_000, 65_000, Cue::SlowMode(0)),
    (240_000, 150_000, Cue::Interrupt),
    (240_000, 156_000, Cue::Resume),
    (300_000, 90_000, Cue::Announce),
];

#[derive(Debug, Clone, Copy)]
enum Cue {
    Pin,
    SlowMode(u32),
    Interrupt,
    Resume,
    Announce,
}

/// What somebody does.
#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    /// Sends this event.
    Send(Value),
    /// The host pins the newest comment, whose seq only a reader of the room knows.
    PinNewest,
}

impl Act {
    /// The event that it sends, where it does not depend on what others see.
    pub fn into_event(self) -> Option<Value> {
        match self {
            Self::Send(event) => Some(event),
            Self::PinNewest => None,
        }
    }
}

/// A show that goes on.
#[derive(Debug)]
pub struct Show {
    script: &'static Script,
    /// Nobody moderates or hosts a recording: it is there already.
    recorded: bool,
    rng: Rng,
    /// The namespace of the ids, and how many were made.
    run: Uuid,
    made: u64,
    started_at: i64,
    viewers: f64,
    mood: Mood,
    moment_at: i64,
    next_moment_at: i64,
    combos: Vec<Combo>,
    recent: VecDeque<(Uuid, usize)>,
}

/// Gifts of one viewer that follow one another.
#[derive(Debug)]
struct Combo {
    user: usize,
    name: String,
    left: u32,
    next_at: i64,
}

impl Show {
    /// A show that begins at `started_at`. The same seed makes the same show; the same script and
    /// beginning make the same ids.
    pub fn new(script: &'static Script, seed: u64, started_at: i64, recorded: bool) -> Self {
        let mut rng = Rng::with_seed(seed);
        let run = format!("{} {started_at} {recorded}", script.room);
        Self {
            run: Uuid::new_v5(&Uuid::NAMESPACE_URL, run.as_bytes()),
            next_moment_at: started_at + rng.i64(MOMENT_EVERY_MS) / 2,
            script,
            recorded,
            rng,
            made: 0,
            started_at,
            viewers: script.viewers_max * WAITING,
            mood: Mood::Hello,
            moment_at: started_at,
            combos: Vec::new(),
            recent: VecDeque::new(),
        }
    }

    /// The event that begins it.
    pub fn begin(&mut self) -> Value {
        let id = self.id();
        json!({
            "kind": "broadcast_start", "id": id, "title": self.script.title,
            "recorded": self.recorded, "user": host(), "role": self.host_role(),
        })
    }

    /// The event that ends it.
    pub fn end(&mut self) -> Value {
        let id = self.id();
        json!({"kind": "broadcast_end", "id": id, "user": host(), "role": self.host_role()})
    }

    /// What happens in the `span_ms` before `now`, in order; steps follow one another.
    pub fn step(&mut self, now: i64, span_ms: i64) -> Vec<Act> {
        self.wander(now, span_ms);
        self.come_to_a_moment(now);
        let seconds = span_ms as f64 / 1_000.0;
        let burst = (-((now - self.moment_at) as f64) / BURST_MS).exp();
        let rate = |quiet: f64, most: f64| self.viewers * (quiet + most * burst) * seconds;
        let comments = rate(CHAT_PER_S, BURST_PER_S);
        let likes = rate(LIKES_PER_S, LIKES_BURST_PER_S);
        let gifts = rate(GIFTS_PER_S, GIFTS_BURST_PER_S);
        let entries = rate(ENTRIES_PER_S, 0.0);

        let mut acts = Vec::new();
        if self.is_due(now, span_ms, AUDIENCE_EVERY_MS, AUDIENCE_EVERY_MS / 10) {
            acts.push(self.audience());
        }
        for _ in 0..self.count(entries) {
            acts.push(self.entry());
        }
        for _ in 0..self.count(comments) {
            acts.push(self.comment(burst));
        }
        let likes = self.count(likes).min(LIKES_MAX);
        if likes > 0 {
            acts.push(self.likes(likes));
        }
        for _ in 0..self.count(gifts) {
            acts.push(self.gift(now));
        }
        self.go_on_with_combos(now, &mut acts);
        if !self.recorded {
            self.moderate(now, seconds, &mut acts);
            self.host(now, span_ms, &mut acts);
        }
        acts
    }

    /// Moves the audience towards what the time of the show has, with a little chance.
    fn wander(&mut self, now: i64, span_ms: i64) {
        let arrived = 1.0 - (-((now - self.started_at) as f64) / ARRIVAL_MS).exp();
        let expected = self.script.viewers_max * (WAITING + (1.0 - WAITING) * arrived);
        let pull = (span_ms as f64 / 5_000.0).min(1.0);
        let chance = 1.0 + (self.rng.f64() - 0.5) * 0.02;
        self.viewers = (self.viewers + (expected - self.viewers) * pull) * chance;
    }

    fn come_to_a_moment(&mut self, now: i64) {
        if now < self.next_moment_at {
            return;
        }
        self.moment_at = now;
        self.next_moment_at = now + self.rng.i64(MOMENT_EVERY_MS);
        let moods = [Mood::Wow, Mood::Wow, Mood::Laugh, Mood::Laugh, Mood::Aww];
        self.mood = moods[self.rng.usize(..moods.len())];
    }

    fn audience(&mut self) -> Act {
        let id = self.id();
        let viewers = self.viewers as u64;
        Act::Send(json!({"kind": "audience", "id": id, "source": "demo", "viewers": viewers}))
    }

    fn entry(&mut self) -> Act {
        let (id, user) = (self.id(), self.viewer());
        Act::Send(json!({"kind": "enter", "id": id, "user": user_object(user)}))
    }

    fn comment(&mut self, burst: f64) -> Act {
        let (id, user) = (self.id(), self.viewer());
        let moved = self.rng.f64() < burst;
        let mood = match moved {
            true => self.mood,
            false if self.rng.u8(..12) == 0 => Mood::Hello,
            false => Mood::Chat,
        };
        let text = self.text(user, mood);
        self.recent.push_back((id, user));
        if self.recent.len() > RECENT_LEN {
            self.recent.pop_front();
        }
        let user = user_object(user);
        let style = self.style();
        Act::Send(json!({"kind": "comment", "id": id, "user": user, "text": text, "style": style}))
    }

    fn text(&mut self, user: usize, mood: Mood) -> String {
        let languages = self.script.languages;
        let phrases = phrases(languages[user % languages.len()], mood);
        let phrase = phrases[self.rng.usize(..phrases.len())];
        match (mood, self.rng.u8(..6)) {
            (Mood::Laugh, 0) => phrase.repeat(self.rng.usize(2..4)),
            (Mood::Wow, 0) => format!("{phrase}{}", "!".repeat(self.rng.usize(1..5))),
            _ => phrase.to_owned(),
        }
    }

    fn style(&mut self) -> Value {
        const COLORS: [u32; 6] = [
            0xff_4d4d, 0xff_b84d, 0xff_f04d, 0x66_e066, 0x4d_b8ff, 0xd9_8cff,
        ];
        let mut style = serde_json::Map::new();
        if self.rng.u8(..5) == 0 {
            let color = COLORS[self.rng.usize(..COLORS.len())];
            style.insert("color".to_owned(), color.into());
        }
        let mode = match self.rng.u8(..40) {
            0 | 1 => "top",
            2 => "bottom",
            3 => "reverse",
            _ => "scroll",
        };
        style.insert("mode".to_owned(), mode.into());
        let size = match self.rng.u8(..25) {
            0 => "big",
            1 => "small",
            _ => "normal",
        };
        style.insert("size".to_owned(), size.into());
        Value::Object(style)
    }

    fn likes(&mut self, count: usize) -> Act {
        let id = self.id();
        Act::Send(json!({"kind": "likes", "id": id, "source": "demo", "count": count}))
    }

    /// A gift alone, or the first of a combo.
    fn gift(&mut self, now: i64) -> Act {
        let (id, user) = (self.id(), self.viewer());
        if self.rng.u8(..3) == 0 {
            let combo = Combo {
                user,
                name: format!("combo-{}", self.made),
                left: self.rng.u32(2..14),
                next_at: now + self.rng.i64(300..900),
            };
            let first = gift_event(id, user, 0, Some(&combo.name));
            self.combos.push(combo);
            return Act::Send(first);
        }
        // The dearer, the rarer.
        let dear = self.rng.f64().powi(3) * GIFTS.len() as f64;
        Act::Send(gift_event(id, user, dear as usize, None))
    }

    fn go_on_with_combos(&mut self, now: i64, acts: &mut Vec<Act>) {
        let mut combos = std::mem::take(&mut self.combos);
        for combo in combos.iter_mut().filter(|combo| combo.next_at <= now) {
            let gift = gift_event(self.id(), combo.user, 0, Some(&combo.name));
            acts.push(Act::Send(gift));
            combo.left -= 1;
            combo.next_at = now + self.rng.i64(300..900);
        }
        combos.retain(|combo| combo.left > 0);
        self.combos = combos;
    }

    fn moderate(&mut self, now: i64, seconds: f64, acts: &mut Vec<Act>) {
        let moderator = json!({"id": "moderator", "name": "Mod"});
        for _ in 0..self.count(DELETES_PER_S * seconds) {
            if let Some((target, _)) = self.any_recent() {
                acts.push(Act::Send(json!({
                    "kind": "delete", "id": self.id(), "target_id": target, "reason": "spam",
                    "user": moderator, "role": "moderator",
                })));
            }
        }
        for _ in 0..self.count(MUTES_PER_S * seconds) {
            if let Some((_, user)) = self.any_recent() {
                acts.push(Act::Send(json!({
                    "kind": "mute", "id": self.id(), "target_user": user_id(user),
                    "until_at": now + MUTE_MS, "reason": "spam",
                    "user": moderator, "role": "moderator",
                })));
            }
        }
    }

    fn any_recent(&mut self) -> Option<(Uuid, usize)> {
        let len = self.recent.len();
        (len > 0).then(|| self.recent.remove(self.rng.usize(..len)))?
    }

    fn host(&mut self, now: i64, span_ms: i64, acts: &mut Vec<Act>) {
        for (period_ms, phase_ms, cue) in TIMETABLE {
            if self.is_due(now, span_ms, period_ms, phase_ms) {
                acts.push(self.cue(cue));
            }
        }
    }

    fn cue(&mut self, cue: Cue) -> Act {
        let mut event = match cue {
            Cue::Pin => return Act::PinNewest,
            Cue::SlowMode(slow_ms) => json!({"kind": "rules", "slow_ms": slow_ms}),
            Cue::Interrupt => json!({"kind": "broadcast_interrupt", "reason": "a short break"}),
            Cue::Resume => json!({"kind": "broadcast_resume"}),
            Cue::Announce => json!({"kind": "custom", "name": "poll", "ext": {"ask": "one more?"}}),
        };
        event["id"] = self.id().to_string().into();
        event["user"] = host();
        event["role"] = "host".into();
        Act::Send(event)
    }

    /// Whether show time passed `phase_ms` of a period within the step.
    fn is_due(&self, now: i64, span_ms: i64, period_ms: i64, phase_ms: i64) -> bool {
        let passed = |at: i64| (at - self.started_at - phase_ms).div_euclid(period_ms);
        passed(now) >= 0 && passed(now) != passed(now - span_ms)
    }

    /// How often something happens that is expected so often (Poisson, by exponential waits).
    fn count(&mut self, expected: f64) -> usize {
        let mut left = expected;
        let mut count = 0;
        loop {
            left += (1.0 - self.rng.f64()).ln();
            if left < 0.0 {
                return count;
            }
            count += 1;
        }
    }

    /// One of the audience; some take part more than others.
    fn viewer(&mut self) -> usize {
        let share = self.rng.f64();
        (share * share * self.viewers) as usize
    }

    fn id(&mut self) -> Uuid {
        self.made += 1;
        Uuid::new_v5(&self.run, &self.made.to_be_bytes())
    }

    fn host_role(&self) -> &'static str {
        if self.recorded { "backend" } else { "host" }
    }
}

fn host() -> Value {
    json!({"id": "host", "name": "Host"})
}

fn user_id(user: usize) -> String {
    format!("viewer-{user}")
}

fn user_object(user: usize) -> Value {
    let name = format!("{}{}", NAMES[user % NAMES.len()], user / NAMES.len());
    json!({"id": user_id(user), "name": name})
}

fn gift_event(id: Uuid, user: usize, which: usize, combo: Option<&str>) -> Value {
    let (gift, name, value) = GIFTS[which.min(GIFTS.len() - 1)];
    let mut event = json!({
        "kind": "gift", "id": id, "user": user_object(user), "gift": gift, "name": name,
        "count": 1, "unit_value": value,
    });
    if let Some(combo) = combo {
        event["combo"] = combo.into();
    }
    event
}

#[cfg(test)]
mod tests;
