//! The ways of reading a room, each as a client has it: blocking, with a deadline.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;
use tungstenite::client::IntoClientRequest;
use tungstenite::protocol::CloseFrame;
use tungstenite::{Error, Message, WebSocket};

/// How long a server may take for what must come.
const WITHIN: Duration = Duration::from_secs(90);

/// A way of reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Poll,
    LongPoll,
    Stream,
    Socket,
}

/// A reader by some way; what it has open ends with it.
pub enum Reader {
    /// The address, without the cursor, and the cursor.
    Poll(String, String),
    Stream(Stream),
    Socket(Box<Socket>),
}

impl Way {
    pub const ALL: [Self; 4] = [Self::Poll, Self::LongPoll, Self::Stream, Self::Socket];

    /// Begins to read a room in full after a cursor, or from the newest page where that is empty.
    pub fn open(self, url: &str, room: &str, cursor: &str) -> Reader {
        let after = match cursor {
            "" => String::new(),
            cursor => format!("&after={cursor}"),
        };
        let at = |name: &str| format!("/v1/rooms/{room}/{name}?density=full");
        match self {
            Self::Poll => Reader::Poll(format!("{url}{}", at("events")), cursor.to_owned()),
            Self::LongPoll => {
                Reader::Poll(format!("{url}{}&wait=5", at("events")), cursor.to_owned())
            }
            Self::Stream => Reader::Stream(Stream::open(url, &(at("stream") + &after))),
            Self::Socket => {
                let mut socket = Socket::open(url, &(at("socket") + &after));
                assert!(socket.message()["hello"].is_object());
                Reader::Socket(Box::new(socket))
            }
        }
    }
}

impl Reader {
    /// The next page; of a poll one without events too.
    pub fn page(&mut self) -> Value {
        match self {
            Self::Poll(at, cursor) => {
                let after = match cursor.as_str() {
                    "" => String::new(),
                    cursor => format!("&after={cursor}"),
                };
                let page = get(&format!("{at}{after}"));
                *cursor = page["cursor"].as_str().expect("a cursor").to_owned();
                page
            }
            Self::Stream(stream) => stream.message().1,
            Self::Socket(socket) => socket.page(),
        }
    }
}

/// What is at an address.
pub fn get(url: &str) -> Value {
    let mut answer = ureq::get(url).call().expect("an answer");
    answer.body_mut().read_json().expect("JSON")
}

/// Server-sent events.
pub struct Stream {
    lines: BufReader<Box<dyn Read>>,
}

impl Stream {
    pub fn open(url: &str, path: &str) -> Self {
        Self::read(ureq::get(format!("{url}{path}")))
    }

    /// As a browser comes back.
    pub fn resume(url: &str, path: &str, last: &str) -> Self {
        Self::read(ureq::get(format!("{url}{path}")).header("last-event-id", last))
    }

    fn read(request: ureq::RequestBuilder<ureq::typestate::WithoutBody>) -> Self {
        let request = request.config().timeout_global(Some(WITHIN)).build();
        let answer = request.call().expect("a stream");
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        let body: Box<dyn Read> = Box::new(answer.into_body().into_reader());
        Self {
            lines: BufReader::new(body),
        }
    }

    /// The next message with data: its id and the data.
    pub fn message(&mut self) -> (Option<String>, Value) {
        self.next().expect("the stream goes on")
    }

    /// The same; `None` after the last one.
    pub fn next(&mut self) -> Option<(Option<String>, Value)> {
        let (mut id, mut data) = (None, None);
        loop {
            let mut line = String::new();
            let read = self.lines.read_line(&mut line).expect("in time");
            let line = line.trim_end_matches('\n');
            if read == 0 {
                return None;
            }
            if let Some(text) = line.strip_prefix("id: ") {
                id = Some(text.to_owned());
            }
            if let Some(text) = line.strip_prefix("data: ") {
                data = Some(serde_json::from_str(text).expect("JSON"));
            }
            if line.is_empty()
                && let Some(data) = data.take()
            {
                return Some((id, data));
            }
        }
    }
}

/// A WebSocket.
pub struct Socket(WebSocket<TcpStream>);

impl Socket {
    pub fn open(url: &str, path: &str) -> Self {
        Self::try_open(url, path, &[]).expect("a socket")
    }

    /// The status where there is none.
    pub fn try_open(url: &str, path: &str, headers: &[(&'static str, &str)]) -> Result<Self, u16> {
        let authority = url.trim_start_matches("http://");
        let mut request = format!("ws://{authority}{path}")
            .into_client_request()
            .unwrap();
        let given = request.headers_mut();
        given.insert("sec-websocket-protocol", "danmu.v1.json".parse().unwrap());
        for (name, value) in headers {
            given.insert(*name, value.parse().unwrap());
        }
        let stream = TcpStream::connect(authority).unwrap();
        stream.set_read_timeout(Some(WITHIN)).unwrap();
        match tungstenite::client(request, stream) {
            Ok((socket, answer)) => {
                assert_eq!(answer.headers()["sec-websocket-protocol"], "danmu.v1.json");
                Ok(Self(socket))
            }
            Err(tungstenite::HandshakeError::Failure(Error::Http(answer))) => {
                Err(answer.status().as_u16())
            }
            Err(error) => panic!("no answer: {error}"),
        }
    }

    pub fn send(&mut self, message: &Value) {
        self.0.send(Message::text(message.to_string())).unwrap();
    }

    pub fn send_raw(&mut self, message: Message) {
        self.0.send(message).unwrap();
    }

    /// The next message but for pings.
    pub fn message(&mut self) -> Value {
        self.next().unwrap_or_else(|end| panic!("closed: {end:?}"))
    }

    /// The next message but for pings, or how the socket was closed.
    pub fn next(&mut self) -> Result<Value, Option<CloseFrame>> {
        loop {
            match self.0.read().expect("in time") {
                Message::Text(text) => {
                    let message: Value = serde_json::from_str(&text).expect("JSON");
                    if message["ping"].is_null() {
                        return Ok(message);
                    }
                }
                Message::Close(close) => return Err(close),
                _ => {}
            }
        }
    }

    /// The next page.
    pub fn page(&mut self) -> Value {
        let page = self.message();
        assert!(page["events"].is_array(), "no page: {page}");
        page
    }

    /// The next message that has a field of that name, and its value.
    pub fn told(&mut self, name: &str) -> Value {
        loop {
            let mut message = self.message();
            if !message[name].is_null() {
                return message[name].take();
            }
        }
    }

    /// The code with which the server closes, whatever comes before.
    pub fn closed(&mut self) -> u16 {
        loop {
            if let Err(close) = self.next() {
                return close.map_or(1_005, |close| close.code.into());
            }
        }
    }
}
