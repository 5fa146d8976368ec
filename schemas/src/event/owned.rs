//! Owned copies of events: what must outlive the bytes that it was decoded from.
//!
//! Every text is copied, everything else is moved as it is.

use std::borrow::Cow;

use super::{
    Audience, Body, BroadcastStart, Comment, Custom, Delete, Device, Erase, Ext, Gift,
    GiftReversal, Likes, Mute, Reason, RoomEvent, Text, Unmute, User,
};

fn text(text: Text<'_>) -> Text<'static> {
    Cow::Owned(text.into_owned())
}

fn ext(ext: Ext<'_>) -> Ext<'static> {
    ext.into_iter()
        .map(|(key, value)| (text(key), text(value)))
        .collect()
}

impl RoomEvent<'_> {
    /// The same event, owning its text.
    pub fn into_owned(self) -> RoomEvent<'static> {
        RoomEvent {
            id: self.id,
            room: text(self.room),
            accepted_at: self.accepted_at,
            recorded_at: self.recorded_at,
            user: self.user.map(User::into_owned),
            role: self.role,
            device: self.device.map(|device| Device {
                id: text(device.id),
                kind: text(device.kind),
                version: text(device.version),
            }),
            body: self.body.into_owned(),
        }
    }
}

impl User<'_> {
    /// The same user, owning its text.
    pub fn into_owned(self) -> User<'static> {
        User {
            id: text(self.id),
            name: text(self.name),
            ext: ext(self.ext),
        }
    }
}

impl Body<'_> {
    /// The same body, owning its text.
    pub fn into_owned(self) -> Body<'static> {
        let reason = |r: Reason<'_>| Reason {
            reason: r.reason.map(text),
        };
        match self {
            Self::Comment(c) => Body::Comment(Comment {
                text: text(c.text),
                style: c.style,
                reply_to: c.reply_to,
                ext: ext(c.ext),
            }),
            Self::Gift(g) => Body::Gift(Gift {
                gift: text(g.gift),
                name: text(g.name),
                count: g.count,
                unit_value: g.unit_value,
                currency: text(g.currency),
                text: g.text.map(text),
                combo: g.combo.map(text),
                issued_at: g.issued_at,
                ext: ext(g.ext),
            }),
            Self::GiftReversal(r) => Body::GiftReversal(GiftReversal {
                target_id: r.target_id,
                reason: text(r.reason),
            }),
            Self::Likes(l) => Body::Likes(Likes {
                count: l.count,
                source: text(l.source),
            }),
            Self::Enter => Body::Enter,
            Self::Leave => Body::Leave,
            Self::Audience(a) => Body::Audience(Audience {
                source: text(a.source),
                viewers: a.viewers,
            }),
            Self::BroadcastStart(b) => Body::BroadcastStart(BroadcastStart {
                title: text(b.title),
                recorded: b.recorded,
                zero_at: b.zero_at,
                ext: ext(b.ext),
            }),
            Self::BroadcastEnd(r) => Body::BroadcastEnd(reason(r)),
            Self::BroadcastInterrupt(r) => Body::BroadcastInterrupt(reason(r)),
            Self::BroadcastResume(r) => Body::BroadcastResume(reason(r)),
            Self::Delete(d) => Body::Delete(Delete {
                target: d.target,
                reason: text(d.reason),
            }),
            Self::Mute(m) => Body::Mute(Mute {
                target_user: text(m.target_user),
                until_at: m.until_at,
                hide_since_at: m.hide_since_at,
                reason: text(m.reason),
            }),
            Self::Unmute(u) => Body::Unmute(Unmute {
                target_user: text(u.target_user),
                reason: text(u.reason),
            }),
            Self::Rules(r) => Body::Rules(r),
            Self::Pin(p) => Body::Pin(p),
            Self::Unpin(p) => Body::Unpin(p),
            Self::Custom(c) => Body::Custom(Custom {
                name: text(c.name),
                ext: ext(c.ext),
            }),
            Self::Erase(e) => Body::Erase(Erase {
                target_seqs: e.target_seqs,
                target_user: e.target_user.map(text),
            }),
            Self::Reset => Body::Reset,
            Self::AdoptRules(a) => Body::AdoptRules(a),
        }
    }
}
