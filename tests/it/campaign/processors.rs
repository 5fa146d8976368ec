//! Processors: real loops over real projections, run a turn at a time.
//!
//! Each kind has one owner and now and then zombies: processors that lost their place to the owner and do
//! not know. Dropping a processor wherever it stands is its crash.

use std::sync::atomic::Ordering;
use std::time::Duration;

use danmu_log::LogReader;
use danmu_processors::projector::{Options, Remedy, shortcuts};
use danmu_processors::{Projector, Standing};
use danmu_projections::projection::Projection;
use danmu_projections::windows::RefillOptions;
use danmu_projections::{HistoryWriter, Windows};
use tokio::sync::watch;

use super::super::model::world::{Walk, chance, pause, pick};
use super::world::World;

const CRASH: f64 = 0.012;
/// How often a crashed owner is none, but goes on as a zombie.
const DOUBLED: f64 = 0.6;
const ZOMBIES_MAX: usize = 2;

/// What a processor feeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Windows,
    History,
}

/// A loop; it ends only with an error that no retry heals.
struct Processor {
    walk: Walk<String>,
    standing: watch::Receiver<Standing>,
}

impl Processor {
    fn start(kind: Kind, world: &mut World) -> Processor {
        let log = world.identity();
        match kind {
            Kind::Windows => {
                let options = RefillOptions {
                    owner: world.rng.u64(..),
                    log_is_whole: true,
                    events_max: pick(&mut world.rng, &[3, 8, 1_000]),
                };
                let (windows, history) = (world.windows(), world.history_reader());
                Processor::over(Windows::new(windows, history, log, options), world)
            }
            Kind::History => Processor::over(HistoryWriter::new(world.history(), log), world),
        }
    }

    fn over(projection: impl Projection + 'static, world: &mut World) -> Processor {
        let options = options(world);
        let routes = world.routes.clone();
        let projector = Projector::new(projection, world.log_reader(), routes, options);
        let standing = projector.standing();
        let now_ms = world.now_ms.clone();
        let walk = run(projector, move || now_ms.load(Ordering::Relaxed));
        Processor {
            walk: Walk::new(walk),
            standing,
        }
    }

    /// As its group would: what it has read is committed.
    fn commit(&self) {
        for (partition, standing) in &self.standing.borrow().partitions {
            shortcuts::commit(*partition, standing.read_to + 1);
        }
    }
}

async fn run<P: Projection, R: LogReader>(
    mut projector: Projector<P, R>,
    now_ms: impl Fn() -> u64,
) -> String {
    loop {
        match projector.turn(now_ms()).await {
            Err(error) if error.remedy() == Remedy::Stop => return error.to_string(),
            Ok(()) | Err(_) => pause().await,
        }
    }
}

/// A millisecond is a step of the world.
fn options(world: &mut World) -> Options {
    let ms = Duration::from_millis;
    let rng = &mut world.rng;
    Options {
        wait: Duration::ZERO,
        advance_every: ms(pick(rng, &[4, 25])),
        checkpoint_every: ms(rng.u64(3..40)),
        quiet_checkpoint_every: ms(pick(rng, &[10, 60])),
        retry_after: ms(1),
        retry_after_max: ms(6),
        room_idle_max: ms(pick(rng, &[8, 1_000_000])),
        rooms_held_max: pick(rng, &[1, 2, 100]),
    }
}

/// The processors of one kind.
pub struct Owners {
    kind: Kind,
    owner: Option<Processor>,
    zombies: Vec<Processor>,
}

impl Owners {
    pub fn new(kind: Kind, world: &mut World) -> Owners {
        let owner = Some(Processor::start(kind, world));
        Owners {
            kind,
            owner,
            zombies: Vec::new(),
        }
    }

    pub fn start(&mut self, world: &mut World) {
        self.owner = Some(Processor::start(self.kind, world));
    }

    /// All of them die.
    pub fn stop(&mut self) {
        self.owner = None;
        self.zombies.clear();
    }

    pub fn release_zombies(&mut self) {
        self.zombies.clear();
    }

    pub fn befall(&mut self, world: &mut World) {
        if chance(&mut world.rng, CRASH) {
            let old = self.owner.take();
            if chance(&mut world.rng, DOUBLED) {
                self.zombies.extend(old);
            }
            self.start(world);
        }
        let is_crowded = self.zombies.len() > ZOMBIES_MAX;
        if is_crowded || (!self.zombies.is_empty() && chance(&mut world.rng, 0.01)) {
            self.zombies.remove(0);
        }
    }

    pub fn turn(&mut self, world: &mut World, is_live: bool) {
        for zombie in 0..self.zombies.len() {
            if chance(&mut world.rng, 0.4)
                && let Some(why) = self.zombies[zombie].walk.step()
            {
                world.found("a zombie stopped by itself", why);
                return;
            }
        }
        let Some(owner) = &mut self.owner else {
            return;
        };
        if is_live && !chance(&mut world.rng, 0.85) {
            return;
        }
        let ended = owner.walk.step();
        owner.commit();
        if let Some(why) = ended {
            world.found("a processor stopped by itself", why);
        }
    }
}
