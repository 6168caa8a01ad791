//! `proclab replay`: a recording in the same screen.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use super::options::ScreenOptions;
use super::{Exit, Failure, screen};
use crate::record;
use crate::scenario;
use crate::text;
use crate::tui::Source;

/// Open a recording in the lab
///
/// Nothing is run, and no right to trace is needed. A damaged recording is shown up to the damage.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The recording, as `proclab record` writes it
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    screen: ScreenOptions,
}

/// Runs the command.
pub fn replay(args: &Args) -> Result<Exit, Failure> {
    let shown = text::path(&args.file);
    let file = File::open(&args.file).map_err(|error| Failure::file("read", &args.file, &error))?;
    let reading = record::read(BufReader::new(file)).map_err(|damage| {
        Failure::usage(format!("cannot read {shown}: {damage}; `proclab record` makes recordings"))
    })?;
    screen::require_terminal()?;
    let header = reading.log.header();
    let name = header.scenario.clone().unwrap_or_default();
    let scenario = header.source.as_ref().and_then(|source| scenario::parse(&name, &name, source).ok()).map(Box::new);
    let damage = reading.problem.map(|damage| damage.to_string());
    let source = Source::Recording { log: Box::new(reading.log), damage, scenario };
    screen::lab(&args.screen, source, None).map(|_| Exit::DONE)
}
