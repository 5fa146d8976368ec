use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;

use super::*;

/// What a peer says to a request; nothing closes the connection without a word.
type Saying = Option<&'static str>;

const OK: Saying = Some("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{\"a\":1}");
const BUSY: Saying = Some("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
const BACK_IN_1_S: Saying =
    Some("HTTP/1.1 429 Slow\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n");
const BACK_IN_AN_HOUR: Saying =
    Some("HTTP/1.1 503 Closed\r\nRetry-After: 3600\r\nContent-Length: 0\r\n\r\n");
const LOST: Saying = None;

/// Long enough for whatever a busy machine does.
const PATIENT: Duration = Duration::from_secs(60);

/// A peer that hears one request a connection, and ends when all is said; the bodies that it heard.
fn peer(sayings: Vec<Saying>) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    let heard = std::thread::spawn(move || {
        let answer = |saying: Saying| {
            let (mut stream, _) = listener.accept().expect("a connection");
            let body = body(&stream);
            if let Some(text) = saying {
                stream.write_all(text.as_bytes()).expect("a listener");
            }
            body
        };
        sayings.into_iter().map(answer).collect()
    });
    (format!("http://{address}"), heard)
}

fn body(stream: &TcpStream) -> String {
    let mut reader = BufReader::new(stream);
    let mut body_len = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a line");
        if line.trim_end().is_empty() {
            break;
        }
        let line = line.to_ascii_lowercase();
        if let Some(len) = line.strip_prefix("content-length:") {
            body_len = len.trim().parse().expect("a length");
        }
    }
    let mut body = vec![0; body_len];
    reader.read_exact(&mut body).expect("a body");
    String::from_utf8(body).expect("UTF-8")
}

#[test]
fn lost_and_put_off_requests_are_repeated_as_they_were() {
    let (url, heard) = peer(vec![LOST, BUSY, LOST, BUSY, OK]);
    let server = Server::new(&url, None).patient_for(PATIENT);
    let answer = server.post("/events", b"[1]").expect("an answer at last");
    assert_eq!((answer.status, &answer.body["a"]), (200, &Value::from(1)));
    assert_eq!(heard.join().expect("a peer"), ["[1]"; 5]);
}

#[test]
fn every_other_answer_is_the_last_word() {
    for status in [200, 400, 403, 404, 409, 413, 500] {
        let text = format!("HTTP/1.1 {status} Word\r\nContent-Length: 0\r\n\r\n");
        let (url, heard) = peer(vec![Some(text.leak())]);
        let server = Server::new(&url, None).patient_for(PATIENT);
        let answer = server.post("/events", b"[1]").expect("an answer");
        assert_eq!(answer.status, status);
        assert_eq!(heard.join().expect("a peer").len(), 1);
    }
}

#[test]
fn who_is_told_when_to_come_back_waits() {
    let (url, heard) = peer(vec![BACK_IN_1_S, OK]);
    let server = Server::new(&url, None).patient_for(PATIENT);
    let asked = Instant::now();
    assert_eq!(server.get("/").expect("an answer at last").status, 200);
    assert!(asked.elapsed() >= Duration::from_secs(1));
    heard.join().expect("a peer");
}

#[test]
fn who_is_told_to_come_back_too_late_gives_up() {
    let (url, heard) = peer(vec![BACK_IN_AN_HOUR]);
    let server = Server::new(&url, None).patient_for(PATIENT);
    let error = server.get("/").expect_err("no answer").to_string();
    let expected = "the server gave no final answer within 60 s, at last: 503";
    assert_eq!(error, expected);
    heard.join().expect("a peer");
}

#[test]
fn nobody_there_is_an_error_after_the_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let server = Server::new(&url, None).patient_for(Duration::from_secs(1));
    let error = server.get("/").expect_err("no answer").to_string();
    let expected = "the server gave no final answer within 1 s, at last: io: Connection refused";
    assert!(error.starts_with(expected), "{error}");
}

#[test]
fn a_silent_server_is_an_error_at_the_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let server = Server::new(&url, None).patient_for(Duration::from_secs(1));
    let asked = Instant::now();
    assert!(server.get("/").is_err());
    assert!(
        asked.elapsed() < ATTEMPT_TIMEOUT,
        "an attempt outlived the deadline"
    );
}
