use super::*;
use crate::config::{HistoryUrl, LogUrl, Roles, WindowsUrl};
use crate::engines::Urls;

/// What the answer's last line says.
async fn last_line(answer: Response) -> String {
    let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await;
    let body = body.expect("an answer");
    let text = std::str::from_utf8(&body).expect("text");
    text.lines().last().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn one_goes_on_at_a_time_and_none_after_the_stop() {
    let data = tempfile::tempdir().expect("a directory");
    let urls = Urls {
        log: LogUrl::Embedded(data.path().join("log")),
        windows: WindowsUrl::Memory,
        history: HistoryUrl::Embedded(data.path().join("history")),
    };
    let engines = Engines::open(&urls, Roles::ALL).await.expect("engines");
    let verifications = Verifications::new(&engines, CancellationToken::new());
    let ask = || verify(verifications.clone(), Asked { room: None });
    let place = Arc::clone(&verifications.place).try_acquire_owned();
    assert_eq!(ask().await.status(), StatusCode::CONFLICT);
    drop(place);
    assert!(last_line(ask().await).await.starts_with(r#"{"report":"#));
    verifications.ended().await;
    assert_eq!(ask().await.status(), StatusCode::CONFLICT);
    engines.log.expect("a log").close().await;
}
