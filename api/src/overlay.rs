//! What moderation hides in one generation of a room, and from whom.
//!
//! Filled from both places where moderation is known: the moderation events in a window's chunks,
//! and the history's facts. Knowing one twice changes nothing. It hides and never reveals: a page
//! that may lack a deletion must not be served at all, which is the caller's to know.

use std::collections::BTreeMap;

pub use danmu_projections::segments::View;
use danmu_schemas::event::{Body, Target};
use danmu_schemas::fact::Moderation;
use danmu_schemas::{RoomEvent, Seq, Settled};

/// How an event is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Gone {
    /// From the public.
    Hidden,
    /// For everybody.
    Erased,
}

impl Gone {
    /// Whether it is gone for viewers of that kind.
    pub(crate) fn is_for(self, view: View) -> bool {
        view == View::Public || self == Self::Erased
    }
}

/// Which events are gone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overlay {
    /// The seq of the event that did it, by what it did to which.
    seqs: BTreeMap<(Seq, Gone), Seq>,
    users: Vec<GoneUser>,
}

/// What a user did from `since_at` up to the event `by`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct GoneUser {
    user: String,
    since_at: i64,
    by: Seq,
    /// Everything where it is erased, else comments alone.
    gone: Gone,
}

impl Overlay {
    /// Takes in a moderation event of a window's chunk; any other event changes nothing.
    pub fn add_event(&mut self, settled: &Settled, event: &RoomEvent<'_>) {
        for act in acts(settled, event) {
            self.add_fact(settled.seq, &act);
        }
    }

    /// Takes in a fact of the history, made true by the event `by`.
    pub fn add_fact(&mut self, by: Seq, moderation: &Moderation) {
        match moderation {
            Moderation::Deleted { target } => self.add_target(*target, Gone::Hidden, by),
            Moderation::Erased { target } => self.add_target(*target, Gone::Erased, by),
            Moderation::Hidden { user, since_at } => {
                self.add_user(user, *since_at, by, Gone::Hidden);
            }
            Moderation::UserErased { user } => self.add_user(user, i64::MIN, by, Gone::Erased),
        }
    }

    /// Forgets what events before `first` did: whoever asks for their targets has the history's facts.
    pub(crate) fn forget_before(&mut self, first: Seq) {
        self.seqs.retain(|_, by| *by >= first);
        self.users.retain(|gone| gone.by >= first);
    }

    /// Whether such a viewer sees nothing of the event but that it was.
    pub fn hides(&self, settled: &Settled, event: &RoomEvent<'_>, view: View) -> bool {
        let is_target =
            |gone: Gone| gone.is_for(view) && self.seqs.contains_key(&(settled.seq, gone));
        is_target(Gone::Hidden)
            || is_target(Gone::Erased)
            || event.user.as_ref().is_some_and(|user| {
                let is_comment = matches!(event.body, Body::Comment(_));
                self.users.iter().any(|gone| {
                    gone.user == user.id
                        && settled.seq < gone.by
                        && settled.at >= gone.since_at
                        && (is_comment || gone.gone == Gone::Erased)
                        && gone.gone.is_for(view)
                })
            })
    }

    fn add_target(&mut self, target: Seq, gone: Gone, by: Seq) {
        let known = self.seqs.entry((target, gone)).or_insert(by);
        *known = by.max(*known);
    }

    fn add_user(&mut self, user: &str, since_at: i64, by: Seq, gone: Gone) {
        let user = GoneUser {
            user: user.to_owned(),
            since_at,
            by,
            gone,
        };
        if !self.users.contains(&user) {
            self.users.push(user);
        }
    }
}

/// What an event does to events before it, as the history's facts say it.
pub(crate) fn acts(settled: &Settled, event: &RoomEvent<'_>) -> Vec<Moderation> {
    match &event.body {
        Body::Delete(delete) => {
            let target = match delete.target {
                Target::Seq(seq) => Some(Seq(seq)),
                Target::Id(_) => settled.target_seq,
            };
            let deleted = |target| Moderation::Deleted { target };
            target.map(deleted).into_iter().collect()
        }
        Body::Mute(mute) => {
            let user = || mute.target_user.to_string();
            let hidden = |since_at| Moderation::Hidden {
                user: user(),
                since_at,
            };
            mute.hide_since_at.map(hidden).into_iter().collect()
        }
        Body::Erase(erase) => {
            let targets = erase.target_seqs.iter().copied().map(Seq);
            let mut acts: Vec<_> = targets
                .map(|target| Moderation::Erased { target })
                .collect();
            acts.extend(erase.target_user.as_ref().map(|user| {
                let user = user.to_string();
                Moderation::UserErased { user }
            }));
            acts
        }
        _ => Vec::new(),
    }
}
