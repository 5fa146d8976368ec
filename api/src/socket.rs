//! WebSockets: a room's pages as they come, and what the client says, over one connection.
//!
//! Frames of pages are rendered once and written as they are: a socket holds a cursor, at most
//! [`frame::MESSAGE_BYTES_MAX`] of a message that is coming in, [`SAYING_MAX`] things that are being said and
//! [`own`]'s ids. While a frame is being written nothing else is done for the client; one that does not
//! take it in time is closed. Every end has a code, which the client is told if it still listens.

pub(crate) mod frame;
mod handshake;
mod message;
mod own;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use axum::response::Response;
use danmu_projections::{HistoryStore, WindowRead};
use danmu_schemas::problem::{Problem, ProblemType};
use danmu_schemas::{Caller, Cursor, EventId};
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesOrdered;
use hyper::upgrade::OnUpgrade;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::answer::Refused;
use crate::connections::{Open, Reason};
use crate::http::Api;
use crate::live::{Begin, News, Reader};
use crate::pace::Wanted;
use crate::page::Form;
use crate::render::Object;
use crate::write_side::{Said, Speaker, WriteSide};
use frame::Opcode;
use message::Message;
use own::Own;
use wire::{Ended, Wire};

/// How often a client is sent a sign of life.
const PING_EVERY: Duration = Duration::from_secs(25);
/// After so many of them without an answer it is gone.
const UNANSWERED_MAX: u32 = 3;
/// Things that a client says at once; it is not listened to while there are as many.
const SAYING_MAX: usize = 8;
/// How long what is being said may take at the stop.
const FINISH_WITHIN: Duration = Duration::from_secs(3);
/// Messages of a client in [`HEARD_WINDOW`], control frames too.
const HEARD_MAX: u32 = 200;
/// What they are counted over.
const HEARD_WINDOW: Duration = Duration::from_secs(10);

/// Who asks for a socket, and for what.
pub(crate) struct Asked {
    pub(crate) speaker: Speaker,
    /// Whether the caller is known.
    pub(crate) is_known: bool,
    /// Whether only those may listen whose token is for the room.
    pub(crate) is_private: bool,
    pub(crate) after: Option<Cursor>,
    pub(crate) density: Wanted,
}

/// The answer that begins a socket, and its task.
pub(crate) fn answer<W: WindowRead, H: HistoryStore>(
    api: Api<W, H>,
    asked: Asked,
    headers: &HeaderMap,
    upgrade: Option<OnUpgrade>,
) -> Result<Response, Refused> {
    let response = handshake::answer(headers)?;
    let upgrade = upgrade.ok_or_else(|| Refused::bad_request("nothing to upgrade"))?;
    let tasks = api.feeds.tasks().clone();
    tasks.spawn(async move {
        match upgrade.await {
            Ok(upgraded) => serve(api, asked, Wire::new(upgraded)).await,
            Err(error) => tracing::debug!(%error, "a handshake was not finished"),
        }
    });
    Ok(response)
}

async fn serve<W: WindowRead, H: HistoryStore>(api: Api<W, H>, asked: Asked, mut wire: Wire) {
    let mut open = api.connections.open_socket();
    let stop = api.feeds.stop().clone();
    let ended = match Socket::open(api, asked, &mut wire, &open).await {
        Ok(mut socket) => socket.talk().await,
        Err(ended) => ended,
    };
    open.closes(ended.reason);
    // Counted before it is told, which may take a while.
    drop(open);
    wire.close(ended, &stop).await;
}

/// A socket that is open.
struct Socket<'c, W, H> {
    wire: &'c mut Wire,
    open: &'c Open,
    reader: Reader<W, H>,
    own: Own<W, H>,
    writes: Arc<dyn WriteSide>,
    speaker: Speaker,
    is_known: bool,
    is_private: bool,
    saying: FuturesOrdered<BoxFuture<'static, Result<Vec<EventId>, Problem>>>,
    heard: Heard,
    ping: Interval,
    unanswered: u32,
    now_ms: fn() -> i64,
    stop: CancellationToken,
}

/// How many messages came since when.
struct Heard {
    since: Instant,
    messages: u32,
}

/// What happens next.
enum Step {
    Heard(frame::Heard),
    Said(Result<Vec<EventId>, Problem>),
    Decided(Result<Vec<u8>, Refused>),
    News(Result<News, Refused>),
    Ping,
}

impl<'c, W: WindowRead, H: HistoryStore> Socket<'c, W, H> {
    async fn open(
        api: Api<W, H>,
        asked: Asked,
        wire: &'c mut Wire,
        open: &'c Open,
    ) -> Result<Self, Ended> {
        let (writes, now_ms) = (Arc::clone(&api.writes), api.now_ms);
        let stop = api.feeds.stop().clone();
        let room = asked.speaker.room.clone();
        let own = Own::of(api.clone(), room.clone());
        let sight = (Form::Frame, asked.density);
        let (reader, begin) = match Reader::open(api, room, sight, asked.after).await {
            Ok(opened) => opened,
            Err(refused) => return Err(refuse(wire, &refused).await),
        };
        let mut ping = interval_at(Instant::now() + PING_EVERY, PING_EVERY);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut socket = Self {
            wire,
            open,
            reader,
            own,
            writes,
            speaker: asked.speaker,
            is_known: asked.is_known,
            is_private: asked.is_private,
            saying: FuturesOrdered::new(),
            heard: Heard {
                since: Instant::now(),
                messages: 0,
            },
            ping,
            unanswered: 0,
            now_ms,
            stop,
        };
        socket.send(&hello(begin, now_ms())).await?;
        Ok(socket)
    }

    /// Goes on until it ends.
    async fn talk(&mut self) -> Ended {
        loop {
            let done = match self.step().await {
                Ok(step) => self.take(step).await,
                Err(ended) if ended.reason == Reason::Stopping => {
                    self.finish().await;
                    return ended;
                }
                Err(ended) => return ended,
            };
            if let Err(ended) = done {
                return ended;
            }
        }
    }

    async fn step(&mut self) -> Result<Step, Ended> {
        let is_listened_to = self.saying.len() < SAYING_MAX;
        let expired = expired(&self.speaker.caller, self.now_ms);
        Ok(tokio::select! {
            () = self.stop.cancelled() => return Err(Reason::Stopping.into()),
            () = expired => return Err(Reason::Token.into()),
            heard = self.wire.heard(), if is_listened_to => Step::Heard(heard?),
            Some(said) = self.saying.next() => Step::Said(said),
            decided = self.own.decided() => Step::Decided(decided),
            news = self.reader.next() => Step::News(news),
            _ = self.ping.tick() => Step::Ping,
        })
    }

    async fn take(&mut self, step: Step) -> Result<(), Ended> {
        match step {
            Step::Heard(heard) => self.hear(heard).await,
            Step::Said(said) => self.said(said).await,
            Step::Decided(Ok(frames)) => self.send(&frames).await,
            Step::News(Ok(News::Page(page))) => self.send(&page.body).await,
            Step::News(Ok(News::Replaced(refused))) => {
                self.send(&problem_frame(&refused.to_message())).await
            }
            Step::News(Err(refused)) | Step::Decided(Err(refused)) => {
                Err(refuse(self.wire, &refused).await)
            }
            Step::Ping => self.ping().await,
        }
    }

    async fn send(&mut self, frames: &[u8]) -> Result<(), Ended> {
        self.open.sent(frames.len());
        self.wire.send(frames).await
    }

    async fn hear(&mut self, heard: frame::Heard) -> Result<(), Ended> {
        self.unanswered = 0;
        self.heard.count()?;
        match heard {
            frame::Heard::Pong => Ok(()),
            frame::Heard::Ping(payload) => self.send(&frame::frame(Opcode::Pong, &payload)).await,
            frame::Heard::Close(code) => Err(Ended::left(code)),
            frame::Heard::Text(text) => match message::parse(&text) {
                Ok(Message::Say(said)) => self.say(said).await,
                Ok(Message::Auth(token)) => self.know(&token).await,
                Err(why) => Err(Ended::protocol(why)),
            },
        }
    }

    async fn say(&mut self, said: Said) -> Result<(), Ended> {
        if !self.is_known {
            return self.tell(&Problem::new(ProblemType::Unauthenticated)).await;
        }
        let (writes, speaker) = (Arc::clone(&self.writes), self.speaker.clone());
        let saying = async move { writes.say(speaker, said).await };
        self.saying.push_back(Box::pin(saying));
        Ok(())
    }

    /// Answers what was said, in the order in which it was.
    async fn said(&mut self, said: Result<Vec<EventId>, Problem>) -> Result<(), Ended> {
        match said {
            Ok(ids) => {
                self.send(&accepted(&ids)).await?;
                self.own.await_all(ids);
                Ok(())
            }
            Err(problem) => self.tell(&problem).await,
        }
    }

    /// Takes another token; who brings a bad one stays who it was.
    async fn know(&mut self, token: &str) -> Result<(), Ended> {
        let caller = match self.writes.caller(token) {
            Ok(caller) => caller,
            Err(problem) => return self.tell(&problem).await,
        };
        if self.is_private && !caller.may_read_privately(&self.speaker.room) {
            return Err(Reason::Token.into());
        }
        self.speaker.caller = caller;
        self.is_known = true;
        Ok(())
    }

    async fn tell(&mut self, problem: &Problem) -> Result<(), Ended> {
        self.send(&problem_frame(&problem.to_message())).await
    }

    async fn ping(&mut self) -> Result<(), Ended> {
        if self.unanswered >= UNANSWERED_MAX {
            return Err(Ended::left(None));
        }
        self.unanswered += 1;
        let now_at = (self.now_ms)();
        let mut frames = frame::text(format!("{{\"ping\":{now_at}}}").as_bytes());
        // A browser answers this one by itself.
        frames.extend(frame::frame(Opcode::Ping, b""));
        self.send(&frames).await
    }

    /// Answers what is being said, so that nobody has to wonder.
    async fn finish(&mut self) {
        let finished = async {
            while let Some(said) = self.saying.next().await {
                if self.said(said).await.is_err() {
                    return;
                }
            }
        };
        // What is not finished then is unknown to its sender, who asks again with the same ids.
        let _ = timeout(FINISH_WITHIN, finished).await;
    }
}

impl Heard {
    fn count(&mut self) -> Result<(), Ended> {
        if self.since.elapsed() >= HEARD_WINDOW {
            *self = Self {
                since: Instant::now(),
                messages: 0,
            };
        }
        self.messages += 1;
        if self.messages > HEARD_MAX {
            return Err(Reason::Flood.into());
        }
        Ok(())
    }
}

/// Waits until the caller's token is no longer good.
async fn expired(caller: &Caller, now_ms: fn() -> i64) {
    match caller.expires_at {
        None => std::future::pending().await,
        Some(expires_at) => {
            let left_ms = u64::try_from(expires_at - now_ms()).unwrap_or_default();
            sleep(Duration::from_millis(left_ms)).await;
        }
    }
}

/// Tells why there is nothing more to read.
async fn refuse(wire: &mut Wire, refused: &Refused) -> Ended {
    let told = wire.send(&problem_frame(&refused.to_message())).await;
    told.err().unwrap_or_else(|| Reason::Refused.into())
}

fn hello(begin: Begin, now_at: i64) -> Vec<u8> {
    object_frame("hello", |out| {
        let mut hello = Object::begin(out);
        hello.string("cursor", &begin.cursor.to_string());
        hello.number("head", begin.head);
        hello.number("now_at", now_at);
        hello.end();
    })
}

fn accepted(ids: &[EventId]) -> Vec<u8> {
    object_frame("accepted", |out| {
        let ids = ids.iter().map(EventId::to_string);
        let ids: Vec<_> = ids.map(|id| format!("\"{id}\"")).collect();
        out.extend_from_slice(format!("[{}]", ids.join(",")).as_bytes());
    })
}

fn problem_frame(problem: &str) -> Vec<u8> {
    object_frame("problem", |out| out.extend_from_slice(problem.as_bytes()))
}

/// A message with one field.
fn object_frame(name: &str, write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut message = Vec::new();
    let mut object = Object::begin(&mut message);
    object.value(name, write);
    object.end();
    frame::text(&message)
}
