//! Broadcasts afterwards: their list, segments and export.

use axum::body::to_bytes;
use danmu_projections::HistoryStore;
use danmu_projections::history::layout;
use danmu_projections::history::store::Order;
use danmu_schemas::event::{Body, BroadcastStart, Erase, Mute, Reason};
use danmu_schemas::{RoomId, Seq};
use tower::ServiceExt;

use super::server::{BEGIN_AT, Kept, Server, by, by_host, comment, delete, get, moderator, read};

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

/// Every path that shows texts, asked by the public and by a moderator: who sees which.
#[tokio::test]
async fn views_on_every_path() {
    let server = Server::start(vec![]).await;
    let start = Body::BroadcastStart(BroadcastStart {
        title: "text-of-the-title".into(),
        recorded: false,
        zero_at: None,
        ext: vec![],
    });
    let said = [
        by_host(start),
        by("ann", "text-left"),
        by("bob", "text-deleted"),
    ];
    let said = said.into_iter().chain([
        by("cy", "text-hidden"),
        by("ann", "text-erased"),
        by("dan", "text-of-erased"),
    ]);
    server
        .let_happen("r1", said.collect(), Kept::Everywhere)
        .await;
    let hide = Body::Mute(Mute {
        target_user: "cy".into(),
        until_at: None,
        hide_since_at: Some(BEGIN_AT),
        reason: "secret".into(),
    });
    let acts = vec![
        delete(1),
        delete(3),
        hide,
        erase(&[5], None),
        erase(&[], Some("dan")),
    ];
    let acts = acts.into_iter().map(by_host);
    let end = by_host(Body::BroadcastEnd(Reason { reason: None }));
    server
        .let_happen("r1", acts.chain([end]).collect(), Kept::Everywhere)
        .await;

    let show = "/v1/rooms/r1/broadcasts/1:1";
    let with_texts = [
        "/v1/rooms/r1/events?after=0",
        "/v1/rooms/r1/events?before=1:7",
        &format!("{show}/segments/0?revision=11"),
        &format!("{show}/export?format=jsonl"),
        &format!("{show}/export?format=xml"),
        &format!("{show}/export?format=ass"),
    ];
    let with_title = ["/v1/rooms/r1/broadcasts", show];
    for path in with_texts {
        check_view(&server, path, &["left"], &["left", "deleted", "hidden"]).await;
    }
    for path in with_title {
        check_view(&server, path, &[], &["of-the-title"]).await;
    }
    let older = server.get(&format!("{show}/segments/0?revision=10")).await;
    assert_eq!(older.0, 410);
    let newer = server.get(&format!("{show}/segments/0?revision=12")).await;
    assert_eq!(newer.0, 404);
}

/// Whoever has a title sees it in some of these forms.
const TEXTS: [&str; 6] = [
    "left",
    "deleted",
    "hidden",
    "erased",
    "of-erased",
    "of-the-title",
];

async fn check_view(server: &Server, path: &str, public: &[&str], live: &[&str]) {
    let seen = |body: &str| -> Vec<&str> {
        let texts = TEXTS.into_iter();
        texts
            .filter(|text| body.contains(&format!("text-{text}")))
            .collect()
    };
    let (status, body) = server.get(path).await;
    assert_eq!(status, 200, "{path}: {body}");
    assert!(
        seen(&body).iter().all(|text| public.contains(text)),
        "{path}: {body}"
    );
    assert!(
        public.iter().all(|text| seen(&body).contains(text)),
        "{path}: {body}"
    );

    let joined = if path.contains('?') { '&' } else { '?' };
    let path = format!("{path}{joined}view=live");
    assert_eq!(server.get(&path).await.0, 403, "{path}");
    let mut request = get(&path);
    request
        .extensions_mut()
        .insert(moderator().expect("a moderator"));
    let response = server
        .router
        .clone()
        .oneshot(request)
        .await
        .expect("infallible");
    let cached = response.headers().get("cache-control").cloned();
    assert_eq!(cached.expect("it is said"), "private, no-store", "{path}");
    let (_, body) = read(response).await;
    let is_seen = |text: &&str| live.contains(text) || *text == "of-the-title";
    assert!(seen(&body).iter().all(is_seen), "{path}: {body}");
    assert!(
        live.iter().all(|text| seen(&body).contains(text)),
        "{path}: {body}"
    );

    let mut elsewhere = moderator().expect("a moderator");
    elsewhere.rooms = Some(vec![RoomId::parse("r2").expect("a valid name")]);
    assert_eq!(server.get_as(&path, Some(elsewhere)).await.0, 403, "{path}");
}

fn erase(seqs: &[u64], user: Option<&'static str>) -> Body<'static> {
    Body::Erase(Erase {
        target_seqs: seqs.to_vec(),
        target_user: user.map(Into::into),
    })
}

/// A reset begins another numbering; what was before it stays where its cursor says, and a user who is
/// erased later is gone from there too, under another address.
#[tokio::test]
async fn earlier_generations_stay_readable_without_what_is_erased_since() {
    let server = Server::start(vec![]).await;
    let said = vec![by("ann", "text-left"), by("dan", "text-of-erased")];
    server.let_happen("r1", said, Kept::Everywhere).await;
    server
        .happen("r1", vec![Body::Reset, comment("after")])
        .await;
    let (status, problem) = server.json("/v1/rooms/r1/events?after=1:2").await;
    assert_eq!((status, &problem["cursor"]), (409, &"2:0".into()));
    let show = "/v1/rooms/r1/broadcasts/1:1";
    let url = async || {
        let (_, manifest) = server.json(show).await;
        manifest["segments"][0]["url"]
            .as_str()
            .expect("a segment")
            .to_owned()
    };
    let before = url().await;
    assert!(server.get(&before).await.1.contains("text-of-erased"));
    assert!(
        server
            .get(&format!("{show}/export"))
            .await
            .1
            .contains("text-of-erased")
    );

    server.happen("r1", vec![erase(&[], Some("dan"))]).await;
    assert_eq!(server.get(&before).await.0, 410);
    for path in [url().await, format!("{show}/export")] {
        let (status, body) = server.get(&path).await;
        assert_eq!(status, 200);
        assert!(
            body.contains("text-left") && !body.contains("text-of-erased"),
            "{body}"
        );
    }
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
