//! `proclab`: the picker.

use super::options::{LibraryOptions, RunOptions, ScreenOptions};
use super::{Exit, Failure, begin, run, screen};
use crate::scenario::library::Entry;
use crate::tui::{self, LabExit, PickerEntry, PickerOptions};

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
    let entries: Vec<PickerEntry> = library.entries().map(entry).collect();
    let mut options = PickerOptions { look: screen::look(&args.screen), selected: None };
    while let Some(name) = tui::pick(&options, entries.clone()).map_err(|report| screen::failure(&report))? {
        let scenario = library.find(&name)?;
        if run::open(scenario, &RunOptions::default(), &args.screen)? == LabExit::Quit {
            break;
        }
        options.selected = Some(name);
    }
    Ok(Exit::DONE)
}

fn entry(entry: &Entry) -> PickerEntry {
    let Entry { name, topic, title, level, result, .. } = entry;
    let (name, topic, title, level) = (name.clone(), topic.clone(), title.clone(), *level);
    let empty = PickerEntry { name, topic, title, level, ..PickerEntry::default() };
    match result {
        Ok(scenario) => PickerEntry {
            story: scenario.story.clone(),
            see: scenario.see.clone(),
            source: scenario.source.clone(),
            ..empty
        },
        Err(error) => PickerEntry { problem: Some(error.to_string()), ..empty },
    }
}
