//! Readers: two API processes serve pages from windows and history while both are wiped, refilled,
//! and behind.
//!
//! Each process keeps a ring of the newest events of the rooms that somebody watches, fed by
//! messages that may be late or lost. A client may go from one process to the other with every
//! request. It must never see a hole, a repeat, false content, or the content of a comment whose
//! deletion is at or below the answer's head; a 503 is always allowed, but in the end every client
//! has everything.

mod cursor;
mod server;

use std::collections::BTreeMap;

use fastrand::Rng;

use super::refill::windows::Trim;
use super::refill::{AS_DESIGNED, ROOMS, Rule, Watcher, World, run_watched};
use super::world::{Findings, chance, fails, found, holds, pick};
use server::{Answer, Server, Serving, deleted_seq};

const CLIENTS_MAX: usize = 6;

struct Client {
    room: usize,
    cursor: Option<usize>,
}

/// Two API processes and their clients.
struct Readers {
    rng: Rng,
    serving: Serving,
    servers: [Server; 2],
    clients: Vec<Client>,
    /// The highest seq of each room that any client has seen.
    seen: BTreeMap<usize, usize>,
}

impl Readers {
    fn new(seed: u64, serving: Serving) -> Readers {
        let mut rng = Rng::with_seed(seed ^ 0x5EED);
        let promptness = [pick(&mut rng, &[0.9, 0.3]), pick(&mut rng, &[0.9, 0.1])];
        let servers = promptness.map(|promptness| Server::new(serving, promptness));
        Readers {
            rng,
            serving,
            servers,
            clients: Vec::new(),
            seen: BTreeMap::new(),
        }
    }

    fn feed(&mut self, world: &mut World, live: bool) {
        let published = std::mem::take(&mut world.windows.published);
        for server in &mut self.servers {
            for message in &published {
                if chance(&mut self.rng, 0.8) {
                    server.queue.push_back(message.clone());
                }
            }
            server.turn(world, &mut self.rng);
            if live && chance(&mut self.rng, 0.01) {
                *server = Server::new(self.serving, server.promptness);
            }
        }
    }

    fn join(&mut self) {
        if self.clients.len() < CLIENTS_MAX && chance(&mut self.rng, 0.05) {
            let cursor = pick(&mut self.rng, &[None, Some(0), Some(0)]);
            self.clients.push(Client {
                room: self.rng.usize(..ROOMS),
                cursor,
            });
        }
    }

    /// The client asks for what follows its cursor.
    fn follow(&mut self, world: &mut World, client: usize) {
        let Client { room, cursor } = self.clients[client];
        let server = &mut self.servers[self.rng.usize(..2)];
        match server.read(world, room, cursor, pick(&mut self.rng, &[1, 3, 8])) {
            Answer::Unavailable => {}
            Answer::NoEvents { slot_known } => {
                let has_events = self.seen.get(&room).is_some_and(|seen| *seen > 0);
                if has_events && cursor.is_none() && !slot_known {
                    found(
                        &mut world.findings,
                        "a room that has events is said to have none",
                    );
                }
                self.clients[client].cursor = cursor.or(Some(0));
            }
            Answer::Page { events, next, .. } => {
                let first =
                    cursor.map_or(events.first().map_or(0, |event| event.seq), |seq| seq + 1);
                let dense = events
                    .iter()
                    .enumerate()
                    .all(|(index, event)| event.seq == first + index);
                if !dense || next + 1 != first + events.len() {
                    found(&mut world.findings, "a hole or a repeat for a client");
                }
                let truth = &world.truth.events[room];
                if events.iter().any(|event| truth[event.seq - 1] != *event) {
                    found(&mut world.findings, "false content for a client");
                }
                if next < cursor.unwrap_or(0) {
                    found(&mut world.findings, "a client's cursor went back");
                }
                let seen = self.seen.entry(room).or_default();
                *seen = next.max(*seen);
                self.clients[client].cursor = Some(next);
            }
        }
    }

    /// Somebody pages anywhere in the room: no deletion up to the answer's head may be missing.
    fn page_anywhere(&mut self, world: &mut World, room: usize) {
        let total = world.truth.events[room].len();
        if total == 0 {
            return;
        }
        let cursor = if self.rng.bool() {
            0
        } else {
            self.rng.usize(..total)
        };
        let server = &mut self.servers[self.rng.usize(..2)];
        let answer = server.read(world, room, Some(cursor), pick(&mut self.rng, &[3, 8]));
        let Answer::Page {
            events,
            head,
            deleted,
            ..
        } = answer
        else {
            return;
        };
        let mut targets = world.truth.events[room][..head]
            .iter()
            .filter_map(deleted_seq);
        let shown = |seq: usize| events.iter().any(|event| event.seq == seq);
        if targets.any(|target| shown(target) && !deleted.contains(&target)) {
            found(&mut world.findings, "the content of a deleted comment");
        }
    }
}

impl Watcher for Readers {
    fn turn(&mut self, world: &mut World, live: bool) {
        self.feed(world, live);
        self.join();
        for client in 0..self.clients.len() {
            if chance(&mut self.rng, 0.3) {
                self.follow(world, client);
            }
            if chance(&mut self.rng, 0.3) {
                self.page_anywhere(world, self.clients[client].room);
            }
        }
        if !live {
            world.history.down = world.history.down.min(5);
        }
    }

    fn done(&self, world: &World) -> bool {
        let has_all =
            |client: &Client| client.cursor == Some(world.truth.events[client.room].len());
        self.clients.iter().all(has_all)
    }
}

fn run(seed: u64, serving: Serving) -> Findings {
    let rule = Rule {
        trim: Trim { kept: 3, cap: 5 },
        records: 120,
        ..AS_DESIGNED
    };
    run_watched(seed, rule, &mut Readers::new(seed, serving))
}

#[test]
fn clients_see_every_event_once() {
    holds(
        "readers: windows first, dense pages from history",
        2000,
        |seed| run(seed, Serving::AsDesigned),
    );
}

#[test]
fn reader_shortcuts_are_caught() {
    for (name, serving, runs) in [
        (
            "readers: the slot's position is not read with the room",
            Serving::PositionNotRead,
            500,
        ),
        (
            "readers: the density of history's seqs is not checked",
            Serving::DensityNotChecked,
            300,
        ),
        (
            "readers: deletions above the watermark are unknown",
            Serving::DeletionsUnknown,
            500,
        ),
    ] {
        fails(name, runs, |seed| run(seed, serving));
    }
}
