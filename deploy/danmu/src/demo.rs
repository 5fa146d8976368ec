//! `danmu demo`: a server with a lively simulated show in a few rooms.
//!
//! A server as `danmu serve` runs it, and beside it a crew that knows it by its public address alone:
//! each room first gets a recorded show, so that there is something to replay, and then a live one;
//! a viewer of all rooms tells what it sees. [`show`] makes up what happens, [`stage`] sends it,
//! [`figures`] watches. A stop ends the crew first, so that the broadcasts end, then the server.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::client::Server;
use crate::config::{self, Access, Config, ConfigArgs};
use crate::logging;
use crate::serve::{Bound, finish, signalled};

mod figures;
mod pass;
pub mod phrases;
mod show;
mod stage;

use figures::Viewer;
use pass::Pass;
use show::SCRIPTS;
use stage::Stage;

/// How long the crew waits for the server that it is beside.
const PATIENCE: Duration = Duration::from_secs(20);

/// What `danmu demo` is asked to do.
#[derive(Debug, clap::Args)]
pub struct DemoArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// What the show is made of: the same number makes the same show
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Plays until a signal ends it. Without `--data` nothing is left behind.
pub fn run(args: DemoArgs) -> anyhow::Result<ExitCode> {
    let mut config_args = args.config;
    let temporary = if config_args.has_data() {
        None
    } else {
        let directory = tempfile::Builder::new().prefix("danmu-demo-").tempdir()?;
        config_args.keep_in(directory.path());
        Some(directory)
    };
    let config = config::load_to_sign(&config_args, config::variables())?;
    logging::start(config.log_format, "warn")?;
    let kept_in = temporary.is_none().then(|| config.data.clone());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let played = runtime.block_on(play(config, args.seed, kept_in.as_deref()));
    runtime.shutdown_background();
    played.map(|()| ExitCode::SUCCESS)
}

async fn play(config: Config, seed: u64, kept_in: Option<&Path>) -> anyhow::Result<()> {
    let signalled = signalled()?;
    let access = config.access.clone();
    let bound = Bound::new(config).await?;
    let (public, admin) = bound.addresses()?;
    let introduction = introduction(public, admin, kept_in, &access);
    let server_stop = CancellationToken::new();
    let mut server = tokio::spawn(bound.run(server_stop.clone()));
    let crew_stop = CancellationToken::new();
    let mut crew = {
        let (base, stop) = (format!("http://{public}"), crew_stop.clone());
        let server = Pass::new(&access).server(base);
        tokio::task::spawn_blocking(move || perform(server, seed, &introduction, &stop))
    };
    tokio::select! {
        () = signalled => {}
        served = &mut server => {
            crew_stop.cancel();
            // The server's end explains the crew's.
            let _ = crew.await?;
            return served?;
        }
        performed = &mut crew => {
            finish(server, server_stop).await?;
            return performed?;
        }
    }
    writeln!(std::io::stdout(), "\nstopping")?;
    crew_stop.cancel();
    let performed = crew.await?;
    finish(server, server_stop).await?;
    performed
}

/// Brings the rooms' past in, then plays in all of them at once and watches, until `stop` or until
/// something goes wrong in one.
fn perform(
    server: impl Fn() -> Server,
    seed: u64,
    introduction: &str,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let server = || server().patient_for(PATIENCE);
    let seeded = (seed..).zip(&SCRIPTS);
    let stages: Vec<Stage> = seeded
        .map(|(seed, script)| Stage::new(server(), script, seed))
        .collect();
    for stage in &stages {
        stage.bring_past()?;
    }
    let mut viewer = Viewer::new(server(), SCRIPTS.iter().map(|script| script.room));
    write!(std::io::stdout(), "{introduction}")?;
    std::thread::scope(|scope| {
        let parts = stages
            .iter()
            .map(|stage| scope.spawn(|| ending(stop, || stage.play(stop))));
        let parts: Vec<_> = parts.collect();
        let watched = ending(stop, || viewer.watch(stop));
        let played = parts.into_iter().map(|part| {
            part.join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        played.fold(watched, |first, next| first.and(next))
    })
}

/// One part of the performance; when it ends, all end.
fn ending(
    stop: &CancellationToken,
    part: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let _ending = stop.clone().drop_guard();
    part()
}

/// What to try, as commands that work; where one needs a token, it says so.
fn introduction(
    public: SocketAddr,
    admin: SocketAddr,
    kept_in: Option<&Path>,
    access: &Access,
) -> String {
    let room = SCRIPTS[0].room;
    let rooms: Vec<&str> = SCRIPTS.iter().map(|script| script.room).collect();
    let data = match kept_in {
        Some(directory) => format!("Its data stays in {}.", directory.display()),
        None => "Its data goes with it; --data DIR keeps it.".to_owned(),
    };
    let has_tokens = access.tokens.is_some();
    let token = |is_needed| match is_needed {
        true => " -H 'authorization: Bearer TOKEN'",
        false => "",
    };
    let (to_read, to_write) = (token(access.private_reads), token(has_tokens));
    let tokens = match has_tokens {
        true => "TOKEN is one that is signed with the server's secret.\n",
        false => "",
    };
    format!(
        "Rooms {rooms} are live. Watch them at

  http://{public}/

or in another terminal:

  curl 'http://{public}/v1/rooms/{room}/events?limit=5'{to_read}
  curl 'http://{public}/v1/rooms/{room}/broadcasts'{to_read}
  curl 'http://{public}/v1/rooms/{room}/events'{to_write} -H 'content-type: application/json' \\
       -d '{{\"kind\":\"comment\",\"user\":{{\"id\":\"me\",\"name\":\"Me\"}},\"text\":\"hello\"}}'
  curl 'http://{admin}/metrics'

{tokens}Ctrl-C ends the show. {data}

",
        rooms = rooms.join(", "),
    )
}

#[cfg(test)]
mod tests {
    use danmu_ingest::identity::Secrets;

    use super::*;
    use crate::config::Tokens;

    fn told(access: &Access) -> String {
        let public = "127.0.0.1:8080".parse().expect("an address");
        let admin = "127.0.0.1:8081".parse().expect("an address");
        introduction(public, admin, Some(Path::new("kept")), access)
    }

    #[test]
    fn the_introduction_names_every_room_and_both_addresses() {
        let text = told(&Access::default());
        for script in &SCRIPTS {
            assert!(text.contains(script.room), "{text}");
        }
        assert!(
            text.contains("http://127.0.0.1:8080/v1/rooms/stage/events"),
            "{text}"
        );
        assert!(text.contains("\n  http://127.0.0.1:8080/\n"), "{text}");
        assert!(text.contains("http://127.0.0.1:8081/metrics"), "{text}");
        assert!(text.contains("stays in kept"), "{text}");
        assert!(!text.contains("TOKEN"), "{text}");
    }

    #[test]
    fn the_introduction_says_where_a_token_is_needed() {
        let secrets = Secrets {
            current: "a secret of at least thirty-two bytes".into(),
            previous: None,
        };
        let mut access = Access {
            tokens: Some(Tokens::Secrets(secrets)),
            ..Access::default()
        };
        let commands_with_one = |access: &Access| told(access).matches("Bearer TOKEN").count();
        assert_eq!(commands_with_one(&access), 1);
        access.private_reads = true;
        assert_eq!(commands_with_one(&access), 3);
    }
}
