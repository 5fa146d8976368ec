use danmu_projections::windows::{MemoryWindows, RefillToken, WindowLimits, WindowStore};
use danmu_schemas::{LogIdentity, Position};

use super::*;

#[tokio::test]
async fn many_rooms_share_what_unpacks_their_chunks() {
    let windows = MemoryWindows::new(WindowLimits::default());
    let (token, log) = (RefillToken(1), LogIdentity("log".to_owned()));
    for slot in Slot::all() {
        let begun = windows.begin(slot, token).await;
        assert!(begun.expect("memory answers"));
        let at = (Position::BEGIN, log.clone());
        let ended = windows.end(slot, token, 0, at).await;
        assert!(ended.expect("memory answers"));
    }
    let feeds = Feeds::new(windows, FeedLimits::default(), CancellationToken::new());
    for n in 0..100 {
        let room = RoomId::parse(&format!("r{n}")).expect("a room");
        feeds.open(&room).await.expect("a feed");
    }
    assert_eq!(feeds.shared.watched.load(Ordering::Relaxed), 100);
    assert_eq!(feeds.unpackers().len(), 1);
}
