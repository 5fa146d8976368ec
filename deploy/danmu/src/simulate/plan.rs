//! What a simulation does, drawn from a seed: its rooms, its readers, and what is sent when.
//!
//! Pure: the same scale and run make the same plan. What is sent comes at random moments at the rates
//! that are asked for (a Poisson process), into rooms whose popularity falls as Zipf says; readers are
//! spread alike. Ids are made of the run's name, so that two runs of one seed do not collide.

use std::collections::VecDeque;
use std::time::Duration;

use fastrand::Rng;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::demo::phrases::{GIFTS, Language, Mood, NAMES, phrases};

/// How many viewers of a room speak.
const SPEAKERS: usize = 500;
/// What they speak.
const LANGUAGES: [Language; 4] = [
    Language::English,
    Language::Japanese,
    Language::Korean,
    Language::Portuguese,
];
/// The most likes that are sent at once, the contract's.
const LIKES_MAX: u64 = 100;
/// How many comments of a room a moderator looks back on.
const RECENT_LEN: usize = 40;
/// How long a mute lasts.
const MUTE_MS: i64 = 5_000;
/// How far apart readers come.
const JOIN_EVERY: Duration = Duration::from_millis(1);

/// How large a simulation is. Rates are per second, in all rooms together.
#[derive(Debug, Clone, clap::Args)]
pub struct Scale {
    /// What all chance comes from: the same number makes the same plan
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// How long events are sent, in seconds
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub seconds: u64,
    /// How many rooms there are
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub rooms: u64,
    /// How much is in the first rooms: the exponent of Zipf's law, 0 for the same in all
    #[arg(long, default_value_t = 1.0, value_parser = rate)]
    pub skew: f64,
    /// How many readers have a WebSocket
    #[arg(long, default_value_t = 200)]
    pub sockets: usize,
    /// How many have a stream of server-sent events
    #[arg(long, default_value_t = 20)]
    pub streams: usize,
    /// How many poll and wait for news
    #[arg(long, default_value_t = 20)]
    pub long_polls: usize,
    /// How many poll when they are told to
    #[arg(long, default_value_t = 20)]
    pub polls: usize,
    /// Comments a second
    #[arg(long, default_value_t = 50.0, value_parser = rate)]
    pub comments: f64,
    /// Gifts a second
    #[arg(long, default_value_t = 2.0, value_parser = rate)]
    pub gifts: f64,
    /// Requests with likes a second
    #[arg(long, default_value_t = 10.0, value_parser = rate)]
    pub likes: f64,
    /// Deletions and mutes a second
    #[arg(long, default_value_t = 0.5, value_parser = rate)]
    pub moderations: f64,
    /// Which share of the readers takes one byte a second
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    pub slow: f64,
    /// Cuts the connections of all readers at once, every so many seconds
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub reset_every: Option<u64>,
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok();
    let rate = rate.filter(|rate| (0.0..=1e6).contains(rate));
    rate.ok_or_else(|| "is no number from 0 to 1,000,000".to_owned())
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok();
    let share = share.filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "is no number from 0 to 1".to_owned())
}

/// A way of reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Socket,
    Stream,
    LongPoll,
    Poll,
}

/// How much of a busy room a reader asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Density {
    Full,
    Auto,
    Low,
}

/// One reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReaderPlan {
    /// Its room, by number.
    pub room: usize,
    pub way: Way,
    pub density: Density,
    /// Whether it takes one byte a second.
    pub is_slow: bool,
    /// How long after the first one it comes.
    pub joins_after: Duration,
}

/// Something that is to be sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Send {
    /// When, from the beginning.
    pub due: Duration,
    /// Into which room, by number.
    pub room: usize,
    /// The event's id; likes have none.
    pub id: Uuid,
    pub what: What,
}

/// What is sent.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    Comment {
        user: usize,
        text: &'static str,
    },
    Gift {
        user: usize,
        gift: usize,
        in_combo: bool,
    },
    Likes(u64),
    Delete(Uuid),
    Mute(usize),
}

impl Way {
    /// Every way.
    pub const ALL: [Self; 4] = [Self::Socket, Self::Stream, Self::LongPoll, Self::Poll];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Socket => "socket",
            Self::Stream => "stream",
            Self::LongPoll => "long poll",
            Self::Poll => "poll",
        }
    }
}

impl Density {
    /// Its name in an address.
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Auto => "auto",
            Self::Low => "low",
        }
    }
}

impl Scale {
    /// How many readers there are in this way.
    pub fn readers_by(&self, way: Way) -> usize {
        match way {
            Way::Socket => self.sockets,
            Way::Stream => self.streams,
            Way::LongPoll => self.long_polls,
            Way::Poll => self.polls,
        }
    }

    /// All readers. Half of them want everything, so that what is lost is missed.
    pub fn readers(&self) -> Vec<ReaderPlan> {
        let mut rng = Rng::with_seed(self.seed);
        let popularity = Popularity::new(self);
        let mut readers = Vec::new();
        for way in Way::ALL {
            for _ in 0..self.readers_by(way) {
                let density = match rng.u8(..4) {
                    0 | 1 => Density::Full,
                    2 => Density::Auto,
                    _ => Density::Low,
                };
                readers.push(ReaderPlan {
                    room: popularity.draw(&mut rng),
                    way,
                    density,
                    is_slow: rng.f64() < self.slow,
                    joins_after: Duration::ZERO,
                });
            }
        }
        rng.shuffle(&mut readers);
        for (nth, reader) in (0..).zip(&mut readers) {
            reader.joins_after = JOIN_EVERY * nth;
        }
        readers
    }

    /// All that is sent, in the order of time.
    pub fn sends(&self, run: Uuid) -> Sends {
        Sends {
            rng: Rng::with_seed(!self.seed),
            popularity: Popularity::new(self),
            rates: [self.comments, self.gifts, self.likes, self.moderations],
            run,
            made: 0,
            at_s: 0.0,
            until_s: self.seconds as f64,
            recent: vec![VecDeque::new(); self.rooms as usize],
        }
    }
}

/// How popular rooms are: the share of the first so many.
#[derive(Debug)]
struct Popularity(Vec<f64>);

impl Popularity {
    fn new(scale: &Scale) -> Self {
        let mut sum = 0.0;
        let sums = (1..=scale.rooms).map(|rank| {
            sum += (rank as f64).powf(-scale.skew);
            sum
        });
        let sums: Vec<f64> = sums.collect();
        Self(sums.into_iter().map(|part| part / sum).collect())
    }

    fn draw(&self, rng: &mut Rng) -> usize {
        let share = rng.f64();
        let room = self.0.partition_point(|upto| *upto <= share);
        room.min(self.0.len() - 1)
    }
}

/// What is sent, as it comes.
#[derive(Debug)]
pub struct Sends {
    rng: Rng,
    popularity: Popularity,
    /// Of comments, gifts, likes and moderation.
    rates: [f64; 4],
    run: Uuid,
    made: u64,
    at_s: f64,
    until_s: f64,
    /// The newest comments of each room and their authors.
    recent: Vec<VecDeque<(Uuid, usize)>>,
}

impl Iterator for Sends {
    type Item = Send;

    fn next(&mut self) -> Option<Send> {
        let rate: f64 = self.rates.iter().sum();
        // At a rate of 0 the next one comes never.
        self.at_s -= (1.0 - self.rng.f64()).ln() / rate;
        if self.at_s >= self.until_s || !self.at_s.is_finite() {
            return None;
        }
        let due = Duration::from_secs_f64(self.at_s);
        let room = self.popularity.draw(&mut self.rng);
        let id = self.id();
        let what = self.what(room, id, rate);
        Some(Send {
            due,
            room,
            id,
            what,
        })
    }
}

impl Sends {
    fn what(&mut self, room: usize, id: Uuid, rate: f64) -> What {
        let mut share = self.rng.f64() * rate;
        let mut falls_to = |rate: f64| {
            share -= rate;
            share < 0.0
        };
        let [_, gifts, likes, moderations] = self.rates;
        if falls_to(gifts) {
            let user = self.speaker();
            let (gift, in_combo) = (self.rng.usize(..GIFTS.len()), self.rng.bool());
            return What::Gift {
                user,
                gift,
                in_combo,
            };
        }
        if falls_to(likes) {
            return What::Likes(self.rng.u64(1..=LIKES_MAX));
        }
        if falls_to(moderations)
            && let Some((id, user)) = self.recent[room].pop_front()
        {
            return match self.rng.bool() {
                true => What::Delete(id),
                false => What::Mute(user),
            };
        }
        let user = self.speaker();
        let said = phrases(LANGUAGES[user % LANGUAGES.len()], Mood::Chat);
        let recent = &mut self.recent[room];
        recent.push_back((id, user));
        if recent.len() > RECENT_LEN {
            recent.pop_front();
        }
        let text = said[self.rng.usize(..said.len())];
        What::Comment { user, text }
    }

    fn speaker(&mut self) -> usize {
        self.rng.usize(..SPEAKERS)
    }

    fn id(&mut self) -> Uuid {
        self.made += 1;
        Uuid::new_v5(&self.run, &self.made.to_be_bytes())
    }
}

impl Send {
    /// The JSON to send at `now_ms`, milliseconds since 1970 UTC.
    pub fn body(&self, now_ms: i64) -> Value {
        let mut body = match &self.what {
            What::Likes(count) => return json!({"count": count}),
            What::Comment { user, text } => {
                json!({"kind": "comment", "user": user_object(*user), "text": text})
            }
            What::Gift {
                user,
                gift,
                in_combo,
            } => {
                let (gift, name, unit_value) = GIFTS[*gift];
                let mut body = json!({
                    "kind": "gift", "user": user_object(*user), "gift": gift, "name": name,
                    "count": 1, "unit_value": unit_value, "issued_at": now_ms,
                });
                if *in_combo {
                    body["combo"] = format!("combo-{user}").into();
                }
                body
            }
            What::Delete(target) => json!({
                "kind": "delete", "target_id": target, "reason": "simulated",
                "user": moderator(), "role": "moderator",
            }),
            What::Mute(user) => json!({
                "kind": "mute", "target_user": user_id(*user), "until_at": now_ms + MUTE_MS,
                "reason": "simulated", "user": moderator(), "role": "moderator",
            }),
        };
        body["id"] = self.id.to_string().into();
        body
    }
}

fn user_id(user: usize) -> String {
    format!("viewer-{user}")
}

fn user_object(user: usize) -> Value {
    json!({"id": user_id(user), "name": NAMES[user % NAMES.len()]})
}

fn moderator() -> Value {
    json!({"id": "moderator", "name": "Mod"})
}

#[cfg(test)]
mod tests;
