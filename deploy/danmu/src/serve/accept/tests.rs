use std::net::SocketAddr;

use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::*;

/// More than any of these tests may take.
const DEADLINE: Duration = Duration::from_secs(10);

async fn listen(router: Router, bounds: Bounds) -> (SocketAddr, CancellationToken, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let stop = CancellationToken::new();
    let served = tokio::spawn(accept(
        listener,
        router,
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
async fn connections_beyond_the_most_wait_for_a_place() {
    let bounds = Bounds {
        connections_max: 1,
        ..Bounds::default()
    };
    let router = Router::new().route("/", get(async || "served"));
    let (address, _stop, _served) = listen(router, bounds).await;
    let first = connect(address, "").await;
    let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let mut second = connect(address, request).await;
    let early = tokio::time::timeout(Duration::from_millis(50), second.read_u8()).await;
    assert!(early.is_err(), "answered before there was a place");
    drop(first);
    assert!(read_all(second).await.ends_with("served"));
}
