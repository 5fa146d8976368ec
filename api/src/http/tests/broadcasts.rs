//! Broadcasts afterwards: their list, segments and export.

use axum::body::to_bytes;
use danmu_projections::HistoryStore;
use danmu_projections::history::layout;
use danmu_projections::history::store::Order;
use danmu_schemas::event::{Body, Reason};
use danmu_schemas::{RoomId, Seq};
use tower::ServiceExt;

use super::server::{Server, comment, delete, get};

#[tokio::test]
async fn a_broadcast_is_replayed_and_exported() {
    let end = Body::BroadcastEnd(Reason { reason: None });
    let server = Server::start(vec![comment("a"), comment("b"), delete(1), end]).await;
    let (_, list) = server.json("/v1/rooms/r1/broadcasts").await;
    assert_eq!(list["broadcasts"][0]["broadcast"], "1:1");
    let (status, manifest) = server.json("/v1/rooms/r1/broadcasts/1:1").await;
    assert_eq!(status, 200, "{manifest}");
    let url = manifest["segments"][0]["url"]
        .as_str()
        .expect("a closed segment");
    let (status, segment) = server.json(url).await;
    assert_eq!(
        (status, &segment["events"][0]["deleted"]),
        (200, &true.into())
    );
    assert_eq!(segment["events"][1]["text"], "b");
    let of = |revision: u64| format!("/v1/rooms/r1/broadcasts/1:1/segments/0?revision={revision}");
    assert_eq!(server.get(&of(0)).await.0, 410);
    assert_eq!(server.get(&of(99)).await.0, 404);
    let (_, xml) = server
        .get("/v1/rooms/r1/broadcasts/1:1/export?format=xml")
        .await;
    assert!(xml.contains(">b</d>") && !xml.contains(">a</d>"), "{xml}");
    let (_, jsonl) = server.get("/v1/rooms/r1/broadcasts/1:1/export").await;
    assert_eq!(jsonl.lines().count(), 4, "{jsonl}");
    assert_eq!(server.get("/v1/rooms/r1/broadcasts/1:7").await.0, 404);
}

#[tokio::test]
async fn an_open_broadcast_tells_what_it_amounts_to_so_far() {
    let server = Server::start(vec![comment("a"), comment("b")]).await;
    let (_, list) = server.json("/v1/rooms/r1/broadcasts").await;
    let (_, manifest) = server.json("/v1/rooms/r1/broadcasts/1:1").await;
    for told in [&list["broadcasts"][0], &manifest] {
        assert_eq!(told["live"], true, "{told}");
        assert_eq!(told["events"], 2, "{told}");
        assert_eq!(told["totals"]["comments"], 2, "{told}");
    }
    assert_eq!(manifest["heat"][0]["comments"], 2, "{manifest}");
    let (_, jsonl) = server.get("/v1/rooms/r1/broadcasts/1:1/export").await;
    assert_eq!(jsonl.lines().count(), 2, "{jsonl}");
}

#[tokio::test]
async fn an_export_with_a_hole_breaks_off() {
    let mut bodies: Vec<_> = (0..600).map(|_| comment("hello")).collect();
    bodies.push(Body::BroadcastEnd(Reason { reason: None }));
    let server = Server::start(bodies).await;
    let path = "/v1/rooms/r1/broadcasts/1:1/export";
    assert_eq!(server.get(path).await.1.lines().count(), 601);

    let name = RoomId::parse("r1").expect("a valid name");
    let chunks = layout::chunks_from(&name, danmu_schemas::Generation::FIRST, Seq(2));
    let chunks = server.store.scan(chunks, Order::Ascending, 10).await;
    let keys = chunks.expect("chunks").into_iter().map(|row| row.key);
    server
        .store
        .remove(keys.collect())
        .await
        .expect("a hole is made");
    let response = server.router.clone().oneshot(get(path)).await;
    let response = response.expect("infallible");
    assert_eq!(response.status(), 200, "its beginning is whole");
    assert!(to_bytes(response.into_body(), usize::MAX).await.is_err());
}
