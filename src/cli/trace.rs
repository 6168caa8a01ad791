//! `proclab trace`: any program on the bench.

use std::ffi::OsString;

use super::options::{RunOptions, ScreenOptions};
use super::{Exit, Failure, begin, find_program, run, screen};
use crate::control::Subject;
use crate::tui::Source;

/// Put any program on the bench
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    run: RunOptions,
    #[command(flatten)]
    screen: ScreenOptions,
    /// The program and its arguments
    #[arg(value_name = "CMD", required = true, trailing_var_arg = true)]
    command: Vec<OsString>,
}

/// Runs the command.
pub fn trace(args: &Args) -> Result<Exit, Failure> {
    find_program(&args.command)?;
    screen::require_terminal()?;
    begin();
    let start = run::starter(args.run.clone(), Subject::Command(args.command.clone()));
    screen::lab(&args.screen, Source::Live { start, scenario: None }).map(|_| Exit::DONE)
}
