//! `proclab`: the picker.

use super::options::{LibraryOptions, RunOptions, ScreenOptions};
use super::{Exit, Failure, begin, run, screen};
use crate::scenario::library::Entry;
use crate::tui::{self, LabExit, PickerDetails, PickerEntry, PickerOptions};

/// What can be asked of the picker.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    screen: ScreenOptions,
    #[command(flatten)]
    library: LibraryOptions,
}

/// Shows the picker, and opens what is chosen, until the user leaves.
pub fn pick(args: &Args) -> Result<Exit, Failure> {
    let library = args.library.library()?;
    screen::require_terminal()?;
    begin();
    let entries: Vec<PickerEntry> = library.entries().map(heading).collect();
    let details = |name: &str| library.entries().find(|entry| entry.name == name).map(details);
    let mut options = PickerOptions { look: screen::look(&args.screen), selected: None };
    while let Some(name) = tui::pick(&options, entries.clone(), details).map_err(|report| screen::failure(&report))? {
        // The very one that was shown.
        let Some(entry) = library.entries().find(|entry| entry.name == name) else { continue };
        let scenario = entry.scenario().cloned().map_err(Clone::clone)?;
        if run::open(scenario, &RunOptions::default(), &args.screen)? == LabExit::Quit {
            break;
        }
        options.selected = Some(name);
    }
    Ok(Exit::DONE)
}

/// What can be said of a scenario without understanding its file.
fn heading(entry: &Entry) -> PickerEntry {
    let (name, topic) = (entry.name.clone(), entry.topic.clone());
    PickerEntry { name, topic, title: entry.title(), level: entry.level(), source: entry.source, details: None }
}

fn details(entry: &Entry) -> PickerDetails {
    match entry.scenario() {
        Ok(scenario) => PickerDetails {
            story: scenario.story.clone(),
            see: scenario.see.clone(),
            source: scenario.source.clone(),
            problem: None,
        },
        Err(error) => PickerDetails { problem: Some(error.to_string()), ..PickerDetails::default() },
    }
}
