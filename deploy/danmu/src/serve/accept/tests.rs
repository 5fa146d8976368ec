use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use http_body_util::Full;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::*;

/// More than any of these tests may take.
const DEADLINE: Duration = Duration::from_secs(10);

async fn listen(
    answers: impl Into<Answers>,
    bounds: Bounds,
) -> (SocketAddr, CancellationToken, JoinHandle<()>) {
    let answers = answers.into();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let stop = CancellationToken::new();
    let served = tokio::spawn(accept(
        listener,
        answers,
        bounds,
        stop.clone(),
        Gauge::noop(),
    ));
    (address, stop, served)
}

async fn connect(address: SocketAddr, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream
        .write_all(request.as_bytes())
        .await
        .expect("a sent request");
    stream
}

/// Everything up to the connection's end.
async fn read_all(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    let read = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut answer)).await;
    read.expect("an end before the deadline")
        .expect("a clean end");
    String::from_utf8(answer).expect("text")
}

#[tokio::test]
async fn a_client_that_sends_no_head_is_let_go() {
    let bounds = Bounds {
        header_within: Duration::from_millis(50),
        ..Bounds::default()
    };
    let (address, _stop, _served) = listen(Router::new(), bounds).await;
    let slow = connect(address, "GET / HTTP/1.1\r\nHost: a\r\n").await;
    assert!(!read_all(slow).await.contains("200"));
}

#[tokio::test]
async fn a_stop_lets_the_open_request_finish_and_takes_no_other() {
    let (entered, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let router = Router::new().route("/", {
        let (entered, release) = (Arc::clone(&entered), Arc::clone(&release));
        get(async move || {
            entered.notify_one();
            release.notified().await;
            "done"
        })
    });
    let (address, stop, served) = listen(router, Bounds::default()).await;
    let open = connect(address, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    entered.notified().await;
    stop.cancel();
    release.notify_one();
    assert!(read_all(open).await.ends_with("done"));
    tokio::time::timeout(DEADLINE, served)
        .await
        .expect("an end")
        .expect("no panic");
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_request_beyond_the_grace_period_is_cut_off() {
    let entered = Arc::new(Notify::new());
    let router = Router::new().route("/", {
        let entered = Arc::clone(&entered);
        get(async move || {
            entered.notify_one();
            std::future::pending::<()>().await;
        })
    });
    let bounds = Bounds {
        grace: Duration::from_millis(10),
        ..Bounds::default()
    };
    let (address, stop, served) = listen(router, bounds).await;
    let _open = connect(address, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    entered.notified().await;
    stop.cancel();
    tokio::time::timeout(DEADLINE, served)
        .await
        .expect("an end")
        .expect("no panic");
}

#[tokio::test]
async fn who_finds_no_place_is_told_so() {
    let router = Router::new().route("/", get(async || "served"));
    let told = async |bounds, status| {
        let (address, _stop, _served) = listen(router.clone(), bounds).await;
        let first = connect(address, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        // Once it is answered, it has its place.
        first.readable().await.expect("an answer");
        let second = read_all(connect(address, REQUEST).await).await;
        assert!(second.starts_with(status), "{second}");
        assert!(second.contains("application/problem+json"), "{second}");
        assert!(second.contains("retry-after: 1"), "{second}");
        drop(first);
        let deadline = tokio::time::Instant::now() + DEADLINE;
        while !read_all(connect(address, REQUEST).await)
            .await
            .ends_with("served")
        {
            assert!(tokio::time::Instant::now() < deadline, "no place came free");
        }
    };
    let full = Bounds {
        connections_max: 1,
        ..Bounds::default()
    };
    told(full, "HTTP/1.1 503 ").await;
    let address_full = Bounds {
        connections_per_address_max: 1,
        ..Bounds::default()
    };
    told(address_full, "HTTP/1.1 429 ").await;
}

/// A request after which the connection ends.
const REQUEST: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn two_thousand_quiet_connections_are_in_nobodys_way() {
    let router = Router::new().route("/", get(async || "served"));
    let bounds = Bounds {
        header_within: DEADLINE * 10,
        ..Bounds::default()
    };
    let (address, _stop, _served) = listen(router, bounds).await;
    let mut quiet = Vec::new();
    for n in 0..2_000 {
        let begun = if n % 2 == 0 {
            ""
        } else {
            "GET / HTTP/1.1\r\nX: "
        };
        quiet.push(connect(address, begun).await);
        if n % 100 == 0 {
            let answer = read_all(connect(address, REQUEST).await).await;
            assert!(answer.ends_with("served"), "{answer}");
        }
    }
    let answer = read_all(connect(address, REQUEST).await).await;
    assert!(answer.ends_with("served"), "{answer}");
}

#[tokio::test]
async fn a_head_is_bounded() {
    let router = Router::new().route("/", get(async || "served"));
    let (address, _stop, _served) = listen(router, Bounds::default()).await;
    let headers = |n: usize| (0..n).map(|n| format!("x-{n}: y\r\n")).collect::<String>();
    let with = |headers: &str| format!("GET / HTTP/1.1\r\nConnection: close\r\n{headers}\r\n");
    let status = async |request: String| {
        let answer = read_all(connect(address, &request).await).await;
        answer.split(' ').nth(1).unwrap_or_default().to_owned()
    };
    // With `Connection` one more.
    assert_eq!(status(with(&headers(99))).await, "200");
    assert_eq!(status(with(&headers(100))).await, "431");
    // Where a head comes at once, up to twice the bound may be read at once.
    let long = "y".repeat(3 * HEAD_BYTES_MAX);
    assert_eq!(status(with(&format!("x: {long}\r\n"))).await, "431");
    assert_eq!(status(with("").replacen('/', &long, 1)).await, "431");
}

#[tokio::test]
async fn an_answer_that_does_not_begin_is_given_up() {
    let route = get(std::future::pending::<()>).post(std::future::pending::<()>);
    let bounds = Bounds {
        answer_within: Duration::from_millis(10),
        ..Bounds::default()
    };
    let (address, _stop, _served) = listen(Router::new().route("/", route), bounds).await;
    let read = read_all(connect(address, REQUEST).await).await;
    assert!(read.contains("urn:danmu:problem:overloaded"), "{read}");
    let written = read_all(connect(address, &REQUEST.replace("GET", "POST")).await).await;
    assert!(
        written.contains("urn:danmu:problem:outcome-unknown"),
        "{written}"
    );
}

#[tokio::test]
async fn a_request_says_where_it_came_from() {
    let tell =
        get(async |axum::Extension(Peer(address)): axum::Extension<Peer>| address.to_string());
    let router = Router::new().route("/", tell);
    let seen = async |trust_forwarded, header: &str| {
        let bounds = Bounds {
            trust_forwarded,
            ..Bounds::default()
        };
        let (address, _stop, _served) = listen(router.clone(), bounds).await;
        let request = REQUEST.replace("Host: a\r\n", &format!("Host: a\r\n{header}"));
        let answer = read_all(connect(address, &request).await).await;
        answer.rsplit("\r\n").next().unwrap_or_default().to_owned()
    };
    let header = "X-Forwarded-For: 6.6.6.6\r\nx-forwarded-for: 7.7.7.7, 10.1.2.3\r\n";
    assert_eq!(seen(false, header).await, "127.0.0.1");
    assert_eq!(seen(true, header).await, "10.1.2.3");
    assert_eq!(seen(true, "X-Forwarded-For: nobody\r\n").await, "127.0.0.1");
    assert_eq!(seen(true, "").await, "127.0.0.1");
}

#[tokio::test]
async fn what_lies_ready_is_answered_before_the_router() {
    let router = Router::new().fallback(async || "routed");
    let ready = || hyper::Response::new(Full::new(Bytes::from_static(b"ready")));
    let answers = Answers::new(
        router,
        Arc::new(move |request| (request.uri().path() == "/ready").then(ready)),
    );
    let (address, _stop, _served) = listen(answers, Bounds::default()).await;
    for (path, answer) in [("/ready", "ready"), ("/other", "routed")] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let stream = connect(address, &request).await;
        assert!(read_all(stream).await.ends_with(answer), "{path}");
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_is_let_go() {
    const PART: &[u8] = &[b'x'; 64 * 1_024];
    let left = Arc::new(Notify::new());
    let router = Router::new().route("/", {
        let left = Arc::clone(&left);
        get(async move || {
            let left = NotifyWhenDropped(left);
            let parts = futures_util::stream::repeat_with(move || {
                let _held = &left;
                Ok::<_, Infallible>(PART)
            });
            axum::body::Body::from_stream(parts)
        })
    });
    let bounds = Bounds {
        unread_within: Duration::from_millis(50),
        ..Bounds::default()
    };
    let (address, _stop, _served) = listen(router, bounds).await;
    // More than all buffers between the two hold, so that only the bound ends it.
    let _open = connect(address, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    tokio::time::timeout(DEADLINE, left.notified())
        .await
        .expect("the answer is given up");
}

/// Tells when an answer is dropped.
struct NotifyWhenDropped(Arc<Notify>);

impl Drop for NotifyWhenDropped {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}
