//! What moderation hides from the public in one generation of a room.
//!
//! Filled from both places where moderation is known: the moderation events in a window's chunks,
//! and the history's facts. Knowing one twice changes nothing. It hides and never reveals: a page
//! that may lack a deletion must not be served at all, which is the caller's to know.

use std::collections::BTreeSet;

use danmu_schemas::event::{Body, Target};
use danmu_schemas::fact::Moderation;
use danmu_schemas::{RoomEvent, Seq, Settled};

/// Which events are hidden.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overlay {
    seqs: BTreeSet<Seq>,
    users: Vec<HiddenUser>,
}

/// What a user did from `since_at` up to the event `by`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct HiddenUser {
    user: String,
    since_at: i64,
    by: Seq,
    /// Everything, not comments alone.
    erased: bool,
}

impl Overlay {
    /// Takes in a moderation event of a window's chunk; any other event changes nothing.
    pub fn add_event(&mut self, settled: &Settled, event: &RoomEvent<'_>) {
        match &event.body {
            Body::Delete(delete) => match delete.target {
                Target::Seq(seq) => self.hide(Seq(seq)),
                Target::Id(_) => settled
                    .target_seq
                    .into_iter()
                    .for_each(|seq| self.hide(seq)),
            },
            Body::Mute(mute) => {
                if let Some(since_at) = mute.hide_since_at {
                    self.hide_user(&mute.target_user, since_at, settled.seq, false);
                }
            }
            Body::Erase(erase) => {
                erase
                    .target_seqs
                    .iter()
                    .for_each(|seq| self.hide(Seq(*seq)));
                if let Some(user) = &erase.target_user {
                    self.hide_user(user, i64::MIN, settled.seq, true);
                }
            }
            _ => {}
        }
    }

    /// Takes in a fact of the history, made true by the event `by`.
    pub fn add_fact(&mut self, by: Seq, moderation: &Moderation) {
        match moderation {
            Moderation::Deleted { target } | Moderation::Erased { target } => self.hide(*target),
            Moderation::Hidden { user, since_at } => self.hide_user(user, *since_at, by, false),
            Moderation::UserErased { user } => self.hide_user(user, i64::MIN, by, true),
        }
    }

    /// Whether the public sees nothing of the event but that it was.
    pub fn hides(&self, settled: &Settled, event: &RoomEvent<'_>) -> bool {
        self.seqs.contains(&settled.seq)
            || event.user.as_ref().is_some_and(|user| {
                let is_comment = matches!(event.body, Body::Comment(_));
                self.users.iter().any(|hidden| {
                    hidden.user == user.id
                        && settled.seq < hidden.by
                        && settled.at >= hidden.since_at
                        && (is_comment || hidden.erased)
                })
            })
    }

    fn hide(&mut self, seq: Seq) {
        self.seqs.insert(seq);
    }

    fn hide_user(&mut self, user: &str, since_at: i64, by: Seq, erased: bool) {
        let hidden = HiddenUser {
            user: user.to_owned(),
            since_at,
            by,
            erased,
        };
        if !self.users.contains(&hidden) {
            self.users.push(hidden);
        }
    }
}
