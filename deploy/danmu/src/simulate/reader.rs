//! A reader: reads its room in its way from the first event to the last, over as many connections as
//! that takes, and has each page checked as it comes.
//!
//! It behaves as a client should: it comes back with its cursor, not before it is asked to, and reads
//! again what was withheld if it wants everything. The first violation ends it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use danmu_schemas::{Cursor, Seq};
use fastrand::Rng;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper::{Response, header};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde::de::IgnoredAny;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep, sleep_until};

use super::audience::{Audience, Room};
use super::frames::{Heard, NoMessage, PONG, take_event, take_frame};
use super::link::{Link, Target};
use super::plan::{Density, ReaderPlan, Way};
use super::record::no_page;
use super::transcript::{Owed, Promise, Transcript};
use super::violation::Violation;

/// How long a long poll waits for news.
const WAIT_S: u64 = 20;
/// The most events of a page, the contract's.
const LIMIT: u64 = 500;
/// The first pause before a reader comes back; it doubles to the longest.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// How long a reader that is never let in goes on trying.
const PATIENCE: Duration = Duration::from_secs(60);
/// The largest answer: far more than a page of 500 events.
const ANSWER_BYTES_MAX: usize = 16 * 1_024 * 1_024;
/// How much of a socket is read at once.
const READ_BYTES: usize = 4 * 1_024;

/// Reads until the room's end or the reader's.
pub async fn read(audience: Arc<Audience>, plan: ReaderPlan, nth: usize) {
    sleep(plan.joins_after).await;
    let by = format!("{} {nth}", plan.way.name());
    let mut reader = Reader::new(Arc::clone(&audience), plan, nth as u64);
    if let Err(violation) = reader.read().await {
        reader.join();
        let room = &reader.room().name;
        audience
            .tally()
            .violated(format!("{by} of {room}"), violation);
    }
}

struct Reader {
    audience: Arc<Audience>,
    plan: ReaderPlan,
    transcript: Transcript,
    channel: Option<Channel>,
    has_joined: bool,
    is_ending: bool,
    /// Whether it takes a second for each byte at the moment.
    is_slow: Arc<AtomicBool>,
    /// Until then a poll does not ask again.
    poll_at: Instant,
    pause: Duration,
    failing_since: Option<Instant>,
    rng: Rng,
}

/// An open way to read.
enum Channel {
    Poll(Link),
    Stream {
        body: Incoming,
        unread: BytesMut,
        searched: usize,
        _link: Link,
    },
    Socket {
        upgraded: TokioIo<Upgraded>,
        unread: BytesMut,
    },
}

/// Why a connection is no more.
enum Lost {
    /// All connections were cut.
    Reset,
    /// It broke off, or was not to be had.
    Cut(String),
    /// The reader was asked to come back after a while.
    Asked(Duration, String),
    /// What must not be.
    Violated(Violation),
}

impl From<io::Error> for Lost {
    fn from(error: io::Error) -> Self {
        Self::Cut(error.to_string())
    }
}

impl From<hyper::Error> for Lost {
    fn from(error: hyper::Error) -> Self {
        Self::Cut(error.to_string())
    }
}

impl From<NoMessage> for Lost {
    fn from(error: NoMessage) -> Self {
        Self::Violated(Violation::NoPage(error.to_string()))
    }
}

impl From<Violation> for Lost {
    fn from(violation: Violation) -> Self {
        Self::Violated(violation)
    }
}

impl Reader {
    fn new(audience: Arc<Audience>, plan: ReaderPlan, seed: u64) -> Self {
        let promise = match (plan.density, plan.way) {
            (Density::Full, Way::Poll | Way::LongPoll) => Promise::Whole,
            (Density::Full, Way::Stream | Way::Socket) => Promise::WholeAgain,
            (Density::Auto | Density::Low, _) => Promise::Counted,
        };
        Self {
            audience,
            plan,
            transcript: Transcript::begin(Cursor::START, promise),
            channel: None,
            has_joined: false,
            is_ending: false,
            is_slow: Arc::default(),
            poll_at: Instant::now(),
            pause: PAUSE_MIN,
            failing_since: None,
            rng: Rng::with_seed(seed),
        }
    }

    fn room(&self) -> &Room {
        &self.audience.rooms[self.plan.room]
    }

    async fn read(&mut self) -> Result<(), Violation> {
        let audience = Arc::clone(&self.audience);
        let mut resets = audience.resets.subscribe();
        while !self.is_done() {
            let is_ending = self.is_ending;
            let heard = tokio::select! {
                heard = self.hear() => heard,
                _ = resets.changed() => Err(Lost::Reset),
                () = audience.ending.cancelled(), if !is_ending => {
                    self.hurry();
                    continue;
                }
                () = audience.over.cancelled() => return Err(self.behind()),
            };
            if let Err(lost) = heard.and_then(|heard| self.take(heard)) {
                tokio::select! {
                    came = self.come_back(lost) => came?,
                    () = audience.over.cancelled() => return Err(self.behind()),
                }
            }
        }
        self.channel = None;
        for owed in self.transcript.owed().to_vec() {
            tokio::select! {
                read = self.read_again(owed) => read?,
                () = audience.over.cancelled() => return Err(self.behind()),
            }
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.is_ending && self.transcript.cursor().seq.0 >= self.room().head()
    }

    fn behind(&self) -> Violation {
        Violation::Behind {
            cursor: self.transcript.cursor(),
            head: self.room().head(),
        }
    }

    /// Nothing more is sent: what is left is read at once.
    fn hurry(&mut self) {
        self.is_ending = true;
        self.is_slow.store(false, Ordering::Relaxed);
        self.poll_at = Instant::now();
        // A poll that waits for news would wait in vain.
        if let Some(Channel::Poll(_)) = self.channel {
            self.channel = None;
        }
    }

    /// What comes next; what was read of it stays where the wait for the rest is dropped.
    async fn hear(&mut self) -> Result<Heard, Lost> {
        sleep_until(self.poll_at).await;
        if self.channel.is_none() {
            self.channel = Some(self.open().await?);
            self.failing_since = None;
            self.join();
        }
        match self.channel.as_mut() {
            None => Ok(Heard::Nothing),
            Some(Channel::Poll(_)) => self.poll().await,
            Some(Channel::Stream {
                body,
                unread,
                searched,
                ..
            }) => loop {
                if let Some(heard) = take_event(unread, searched)? {
                    return Ok(heard);
                }
                let ended = || Lost::Cut("the stream ended".to_owned());
                let frame = body.frame().await.ok_or_else(ended)??;
                if let Ok(data) = frame.into_data() {
                    unread.extend_from_slice(&data);
                }
            },
            Some(Channel::Socket { upgraded, unread }) => loop {
                match take_frame(unread)? {
                    Some(Heard::Ping) => upgraded.write_all(&PONG).await?,
                    Some(heard) => return Ok(heard),
                    None => {
                        unread.reserve(READ_BYTES);
                        if upgraded.read_buf(unread).await? == 0 {
                            return Err(Lost::Cut("the socket ended".to_owned()));
                        }
                    }
                }
            },
        }
    }

    /// Is there for the first time, or will never be.
    fn join(&mut self) {
        if !self.has_joined {
            self.has_joined = true;
            self.audience.joined.add_permits(1);
        }
    }

    async fn open(&mut self) -> Result<Channel, Lost> {
        let audience = Arc::clone(&self.audience);
        let target = &audience.target;
        self.is_slow.store(false, Ordering::Relaxed);
        let is_slow = self.plan.is_slow.then_some(&self.is_slow);
        let mut link = Link::open(target, is_slow).await?;
        let channel = match self.plan.way {
            Way::Poll | Way::LongPoll => return Ok(Channel::Poll(link)),
            Way::Stream => {
                let response = link.get(target, &self.path("stream"), false).await?;
                Channel::Stream {
                    body: admitted(response, 200).await?.into_body(),
                    unread: BytesMut::new(),
                    searched: 0,
                    _link: link,
                }
            }
            Way::Socket => {
                let response = link.get(target, &self.path("socket"), true).await?;
                let upgraded = hyper::upgrade::on(admitted(response, 101).await?).await?;
                Channel::Socket {
                    upgraded: TokioIo::new(upgraded),
                    unread: BytesMut::new(),
                }
            }
        };
        self.slow_down();
        Ok(channel)
    }

    /// From here on a slow reader reads slowly, until the end.
    fn slow_down(&self) {
        let is_slow = self.plan.is_slow && !self.is_ending;
        self.is_slow.store(is_slow, Ordering::Relaxed);
    }

    async fn poll(&mut self) -> Result<Heard, Lost> {
        let wait = match self.plan.way {
            Way::LongPoll if !self.is_ending => format!("&wait={WAIT_S}"),
            _ => String::new(),
        };
        let path = self.path("events") + &wait;
        let Some(Channel::Poll(link)) = self.channel.as_mut() else {
            return Ok(Heard::Nothing);
        };
        let response = link.get(&self.audience.target, &path, false).await?;
        let response = admitted(response, 200).await?;
        let is_last = response.headers().get(header::CONNECTION);
        let is_last = is_last.is_some_and(|value| value == "close");
        self.slow_down();
        let answer = whole(response).await?;
        self.is_slow.store(false, Ordering::Relaxed);
        if is_last {
            self.channel = None;
        }
        Ok(Heard::Text(answer))
    }

    fn path(&self, name: &str) -> String {
        let (room, cursor) = (&self.room().name, self.transcript.cursor());
        let density = self.plan.density.name();
        let limit = match name {
            "events" => format!("&limit={LIMIT}"),
            _ => String::new(),
        };
        format!("/v1/rooms/{room}/{name}?after={cursor}&density={density}{limit}")
    }

    fn take(&mut self, heard: Heard) -> Result<(), Lost> {
        match heard {
            Heard::Text(told) => Ok(self.take_text(&told)?),
            Heard::Named(name, told) if name == "end" => Err(ended(code(&told))),
            Heard::Named(_, told) => Ok(told_problem(&told)?),
            Heard::Close(code) => Err(ended(code)),
            Heard::Ping | Heard::Nothing => Ok(()),
        }
    }

    fn take_text(&mut self, told: &Bytes) -> Result<(), Violation> {
        let Some(known) = self.room().record().page(told)? else {
            return match self.plan.way {
                Way::Socket => told_aside(told),
                _ => Err(no_page(told)),
            };
        };
        self.transcript.take(&known.page)?;
        self.pause = PAUSE_MIN;
        let after_ms = known.page.poll_after_ms.unwrap_or(0);
        if self.plan.way == Way::Poll && !self.is_ending {
            let jittered = Duration::from_millis(after_ms).mul_f64(0.9 + 0.2 * self.rng.f64());
            self.poll_at = Instant::now() + jittered;
        }
        let now = self.audience.elapsed();
        let mut tally = self.audience.tally();
        tally.withheld += known.page.withheld.count;
        let delays = match self.plan.is_slow {
            true => &mut tally.delivered_slowly,
            false => &mut tally.delivered[self.plan.way as usize],
        };
        for due in &known.dues {
            delays.add(now.saturating_sub(*due));
        }
        Ok(())
    }

    /// Waits as long as a client should before it connects again.
    async fn come_back(&mut self, lost: Lost) -> Result<(), Violation> {
        self.channel = None;
        let (pause, last) = match lost {
            Lost::Violated(violation) => return Err(violation),
            Lost::Reset => (Duration::ZERO, None),
            Lost::Cut(last) => (self.pause, Some(last)),
            Lost::Asked(after, last) => (after.max(self.pause), Some(last)),
        };
        self.audience.tally().resumed += 1;
        if let Some(last) = last {
            let since = *self.failing_since.get_or_insert_with(Instant::now);
            if since.elapsed() > PATIENCE {
                let within_s = PATIENCE.as_secs();
                return Err(Violation::Unreachable { within_s, last });
            }
            self.pause = (self.pause * 2).min(PAUSE_MAX);
        }
        sleep(pause.mul_f64(0.5 + self.rng.f64())).await;
        Ok(())
    }

    /// Reads what was withheld, as everything.
    async fn read_again(&mut self, owed: Owed) -> Result<(), Violation> {
        let mut transcript = Transcript::begin(owed.after, Promise::Whole);
        while transcript.cursor().seq < Seq(owed.to) {
            let (room, cursor) = (&self.room().name, transcript.cursor());
            let path = format!("/v1/rooms/{room}/events?after={cursor}&density=full&limit={LIMIT}");
            match ask(&self.audience.target, &path).await {
                Ok(told) => {
                    let known = self.room().record().page(&told)?;
                    transcript.take(&known.ok_or_else(|| no_page(&told))?.page)?;
                }
                Err(lost) => self.come_back(lost).await?,
            }
        }
        Ok(())
    }
}

/// Asks once over a connection of its own.
async fn ask(target: &Target, path: &str) -> Result<Bytes, Lost> {
    let mut link = Link::open(target, None).await?;
    let response = link.get(target, path, false).await?;
    whole(admitted(response, 200).await?).await
}

/// The response, if it has the status that it should.
async fn admitted(response: Response<Incoming>, status: u16) -> Result<Response<Incoming>, Lost> {
    let answered = response.status().as_u16();
    if answered == status {
        return Ok(response);
    }
    let after = response.headers().get(header::RETRY_AFTER);
    let after = after.and_then(|after| after.to_str().ok()?.parse().ok());
    let body = whole(response).await?;
    let answer = format!("{answered} {}", String::from_utf8_lossy(&body));
    match answered {
        429 | 503 => Err(Lost::Asked(Duration::from_secs(after.unwrap_or(0)), answer)),
        _ => Err(Violation::Answered(answer).into()),
    }
}

async fn whole(response: Response<Incoming>) -> Result<Bytes, Lost> {
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX);
    let body = body.collect().await;
    let body = body.map_err(|error| Lost::Cut(error.to_string()))?;
    Ok(body.to_bytes())
}

/// Takes what a socket tells beside pages.
fn told_aside(told: &[u8]) -> Result<(), Violation> {
    #[derive(Deserialize)]
    struct Aside<'a> {
        hello: Option<IgnoredAny>,
        ping: Option<IgnoredAny>,
        #[serde(borrow)]
        problem: Option<&'a serde_json::value::RawValue>,
    }
    match serde_json::from_slice(told) {
        Ok(Aside {
            problem: Some(problem),
            ..
        }) => told_problem(problem.get().as_bytes()),
        Ok(Aside { hello, ping, .. }) if hello.is_some() || ping.is_some() => Ok(()),
        _ => Err(no_page(told)),
    }
}

/// Takes a problem that may pass; the end follows.
fn told_problem(told: &[u8]) -> Result<(), Violation> {
    #[derive(Deserialize)]
    struct Problem {
        status: u16,
    }
    match serde_json::from_slice(told) {
        Ok(Problem { status: 429 | 503 }) => Ok(()),
        _ => Err(Violation::Answered(
            String::from_utf8_lossy(told).into_owned(),
        )),
    }
}

/// The code with which a stream says that it ends.
fn code(told: &[u8]) -> Option<u16> {
    #[derive(Deserialize)]
    struct End {
        code: u16,
    }
    let end: Option<End> = serde_json::from_slice(told).ok();
    end.map(|end| end.code)
}

/// What an end means by its code: a reader comes back, unless it is told that it did wrong.
fn ended(code: Option<u16>) -> Lost {
    let told = format!("closed with {code:?}");
    match code {
        Some(4_400 | 4_401) => Violation::Answered(told).into(),
        _ => Lost::Cut(told),
    }
}
