//! `proclab run`: a scenario in the lab.

use super::options::{LibraryOptions, RunOptions, ScreenOptions};
use super::screen;
use super::{Exit, Failure, begin};
use crate::control::{Session, Start, Stdio, Subject, Terminal};
use crate::scenario::Scenario;
use crate::tui::{Beginning, LabExit, Source, Starter};

/// Open a scenario in the lab
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name (pipes/one-pipe, or one-pipe) or file of a scenario
    #[arg(value_name = "FILE|NAME")]
    name: String,
    #[command(flatten)]
    run: RunOptions,
    #[command(flatten)]
    screen: ScreenOptions,
    #[command(flatten)]
    library: LibraryOptions,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let scenario = args.library.find(&args.name)?.scenario;
    screen::require_terminal()?;
    begin();
    open(scenario, &args.run, &args.screen).map(|_| Exit::DONE)
}

/// Opens a scenario in the lab.
pub fn open(scenario: Scenario, run: &RunOptions, screen: &ScreenOptions) -> Result<LabExit, Failure> {
    let subject = Subject::Scenario(Box::new(scenario.clone()));
    let start = starter(run.clone(), subject, false, Start::Paused);
    screen::lab(screen, Source::Live { start, scenario: Some(Box::new(scenario)) }, None)
}

/// What starts a run, and starts it again with another seed.
/// On a terminal of the lab, which the user of the screen can type at, if that is wanted or if the scenario
/// asks for one.
pub fn starter(run: RunOptions, subject: Subject, on_terminal: bool, begin: Start) -> Starter {
    Box::new(move |Beginning { seed, window: (rows, columns) }| {
        let run = RunOptions { seed: seed.or(run.seed), ..run.clone() };
        let mut plan = run.plan(subject.clone(), Stdio::Captured, begin);
        let terminal = on_terminal.then(|| Terminal { rows, columns, ..Terminal::default() });
        plan.terminal = terminal.or(plan.terminal).map(|terminal| Terminal { attended: true, ..terminal });
        Session::start(plan).map_err(|error| Failure::from(error).message)
    })
}
