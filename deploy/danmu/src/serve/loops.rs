//! The projections' loops and what works beside them, each on a thread of its own.
//!
//! The embedded engines work inside the call, so a loop may block its thread; its runtime is a
//! current-thread one, and no other task suffers. A loop that ends before it is stopped takes the
//! process with it: a server whose read model stands still must not look alive.

use std::io;
use std::thread::JoinHandle;

use anyhow::{Context, anyhow};
use danmu_log::LogReader;
use danmu_processors::projector::{Projector, ProjectorError};
use danmu_projections::projection::Projection;
use tokio_util::sync::CancellationToken;

/// The loops of a process.
#[derive(Debug)]
pub struct Loops {
    running: Vec<(&'static str, JoinHandle<Ended>)>,
    stop: CancellationToken,
    /// Cancelled when any loop has ended, for whatever reason.
    ended: CancellationToken,
}

type Ended = Result<(), LoopError>;

/// Why a loop ended that nobody stopped.
#[derive(Debug, thiserror::Error)]
enum LoopError {
    #[error("no runtime for the loop")]
    Runtime(#[source] io::Error),
    #[error(transparent)]
    Projector(#[from] ProjectorError),
}

impl Loops {
    /// None yet.
    pub fn new() -> Self {
        Self {
            running: Vec::new(),
            stop: CancellationToken::new(),
            ended: CancellationToken::new(),
        }
    }

    /// Runs `projector` on a thread named after it.
    pub fn start<P, R>(&mut self, name: &'static str, projector: Projector<P, R>) -> io::Result<()>
    where
        P: Projection + 'static,
        R: LogReader + 'static,
    {
        self.spawn(name, async move |stop| Ok(projector.run(stop).await?))
    }

    /// Runs other work over the same engines, which ends with the stop, on a thread named after it.
    pub fn also<F>(
        &mut self,
        name: &'static str,
        work: impl FnOnce(CancellationToken) -> F + Send + 'static,
    ) -> io::Result<()>
    where
        F: Future<Output = ()>,
    {
        self.spawn(name, async move |stop| {
            work(stop).await;
            Ok(())
        })
    }

    fn spawn(
        &mut self,
        name: &'static str,
        work: impl AsyncFnOnce(CancellationToken) -> Ended + Send + 'static,
    ) -> io::Result<()> {
        let stop = self.stop.clone();
        let ended = self.ended.clone().drop_guard();
        let run = move || {
            let _ended = ended;
            let _in_loop = tracing::info_span!("loop", name).entered();
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(LoopError::Runtime)?;
            runtime.block_on(work(stop))
        };
        let thread = std::thread::Builder::new()
            .name(format!("danmu-{name}"))
            .spawn(run)?;
        self.running.push((name, thread));
        Ok(())
    }

    /// Ends when a loop has ended.
    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Has every loop checkpoint and end; the first thing that went wrong in any.
    pub async fn finish(self) -> anyhow::Result<()> {
        self.stop.cancel();
        let running = self.running;
        let join = move || {
            let mut result = Ok(());
            for (name, thread) in running {
                let ended = match thread.join() {
                    Ok(ended) => ended.with_context(|| format!("the {name} loop")),
                    Err(_) => Err(anyhow!("the {name} loop panicked")),
                };
                result = result.and(ended);
            }
            result
        };
        tokio::task::spawn_blocking(join).await?
    }
}
