//! `cargo xtask stack`: brings the real servers up, takes them down, says which stand.

use anyhow::Result;
use clap::Subcommand;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use danmu_stack::{Engine, shared};

#[derive(Subcommand)]
pub enum Command {
    /// Starts servers and prints where they are; the environment's are taken instead
    Up {
        /// Which; all where none is named
        #[arg(value_parser = engine())]
        engines: Vec<Engine>,
    },
    /// Ends what was started and removes its data
    Down,
    /// Which servers stand, and where
    Status,
}

/// Carries the command out.
pub fn stack(command: Command) -> Result<()> {
    match command {
        Command::Up { engines } if engines.is_empty() => print(&shared::up(&Engine::ALL)?),
        Command::Up { engines } => print(&shared::up(&engines)?),
        Command::Down => shared::down()?,
        Command::Status => print(&shared::recorded()?),
    }
    Ok(())
}

fn engine() -> impl TypedValueParser<Value = Engine> {
    PossibleValuesParser::new(Engine::ALL.map(Engine::name))
        .map(|name| Engine::named(&name).expect("only names of engines are possible"))
}

/// A line a server, which an environment can take as it is.
#[expect(clippy::print_stdout, reason = "the command's output")]
fn print(stack: &shared::Stack) {
    for (engine, server) in stack {
        let (variable, address) = (engine.variable(), &server.address);
        match &server.own {
            None => println!("{variable}={address} # not ours"),
            Some(_) if server.stands() => println!("{variable}={address}"),
            Some(_) => println!("# {variable}={address} has ended"),
        }
    }
}
