//! What an erasure leaves of an event at rest.
//!
//! What its author wrote or is called goes: texts, titles, reasons, extensions, the device. What the
//! room's order and sums are made of stays, and the author's id, by which the erasure itself is known:
//! without it nobody could tell which segments the erasure changed.

use super::{Body, RoomEvent};

impl RoomEvent<'_> {
    /// Takes out what an erasure takes. Blanking twice changes nothing more.
    pub fn blank(&mut self) {
        self.device = None;
        if let Some(user) = &mut self.user {
            user.name = "".into();
            user.ext.clear();
        }
        match &mut self.body {
            Body::Comment(comment) => {
                comment.text = "".into();
                comment.ext.clear();
            }
            Body::Gift(gift) => {
                gift.name = "".into();
                gift.text = None;
                gift.ext.clear();
            }
            Body::GiftReversal(reversal) => reversal.reason = "".into(),
            Body::BroadcastStart(start) => {
                start.title = "".into();
                start.ext.clear();
            }
            Body::BroadcastEnd(why)
            | Body::BroadcastInterrupt(why)
            | Body::BroadcastResume(why) => why.reason = None,
            Body::Delete(delete) => delete.reason = "".into(),
            Body::Mute(mute) => mute.reason = "".into(),
            Body::Unmute(unmute) => unmute.reason = "".into(),
            Body::Custom(custom) => {
                custom.name = "".into();
                custom.ext.clear();
            }
            Body::Likes(_)
            | Body::Enter
            | Body::Leave
            | Body::Audience(_)
            | Body::Rules(_)
            | Body::Pin(_)
            | Body::Unpin(_)
            | Body::Erase(_)
            | Body::Reset
            | Body::AdoptRules(_) => {}
        }
    }
}
