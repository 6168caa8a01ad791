//! `proclab trace`: any program on the bench.

use std::ffi::OsString;

use super::options::{RunOptions, ScreenOptions};
use super::{Exit, Failure, begin, find_program, run, screen};
use crate::control::{Pace, Start, Subject};
use crate::tui::Source;

/// Put any program on the bench
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    run: RunOptions,
    #[command(flatten)]
    screen: ScreenOptions,
    /// Give the program no terminal of the lab: no input, and output in pipes
    #[arg(long)]
    no_terminal: bool,
    /// The program and its arguments
    #[arg(value_name = "CMD", required = true, trailing_var_arg = true)]
    command: Vec<OsString>,
}

/// Runs the command.
pub fn trace(args: &Args) -> Result<Exit, Failure> {
    find_program(&args.command)?;
    screen::require_terminal()?;
    begin();
    let subject = Subject::Command(args.command.clone());
    let on_terminal = !args.no_terminal;
    // Whoever starts a shell or an editor wants to see it, and can go back to its beginning.
    let begin = if on_terminal { Start::Playing(Pace::Full) } else { Start::Paused };
    let pace = on_terminal.then_some(Pace::Full);
    let start = run::starter(args.run.clone(), subject, on_terminal, begin);
    screen::lab(&args.screen, Source::Live { start, scenario: None }, pace).map(|_| Exit::DONE)
}
