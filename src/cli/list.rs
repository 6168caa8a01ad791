//! `proclab list`: the scenarios by topic.

use std::fmt::Write as _;

use clap::ValueEnum;
use serde::Serialize;
use unicode_width::UnicodeWidthStr as _;

use super::options::LibraryOptions;
use super::out::{print, print_json, say_lines};
use super::{Exit, Failure};
use crate::scenario::Library;
use crate::scenario::library::{Entry, Source};
use crate::text::clean;

/// List the scenarios by topic, with level and title
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How the list is printed
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    #[command(flatten)]
    library: LibraryOptions,
}

/// How a list is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Human,
    /// An array of objects.
    Json,
}

/// A scenario, as JSON.
#[derive(Debug, Serialize)]
struct Item<'a> {
    name: &'a str,
    topic: &'a str,
    level: u8,
    title: String,
    /// Whose it is.
    source: &'static str,
    origin: String,
    /// What is wrong with its file, if something is.
    problem: Option<String>,
}

/// Runs the command. A file that is no scenario is listed as such, and is invalid.
pub fn list(args: &Args) -> Result<Exit, Failure> {
    let library = args.library.library()?;
    match args.format {
        Format::Human => print(&human(&library))?,
        Format::Json => print_json(&json(&library))?,
    }
    let invalid: Vec<String> =
        library.entries().filter_map(|entry| Some(entry.scenario().err()?.to_string())).collect();
    for problem in &invalid {
        say_lines(problem);
    }
    Ok(if invalid.is_empty() { Exit::DONE } else { Exit::INVALID })
}

fn human(library: &Library) -> String {
    let width = |texts: &mut dyn Iterator<Item = String>| texts.map(|text| text.width()).max().unwrap_or(0);
    let names = width(&mut library.entries().map(short));
    let sources = width(&mut library.entries().map(|entry| entry.source.as_str().to_owned()));
    let mut text = String::new();
    let mut group = None;
    for entry in library.entries() {
        let here = entry.source == Source::Here;
        if group.replace((here, &entry.topic)) != Some((here, &entry.topic)) {
            let gap = if text.is_empty() { "" } else { "\n" };
            let _ = writeln!(text, "{gap}{}", clean(&entry.topic));
        }
        let title = if entry.scenario().is_ok() { clean(&entry.title()) } else { "(not a valid scenario)".to_owned() };
        let name = short(entry);
        let gap = " ".repeat(names - name.width());
        let _ = writeln!(text, "  {name}{gap}  {}  {:sources$}  {title}", entry.level(), entry.source.as_str());
    }
    text
}

/// Its name without the topic: with that it can be asked for where no other topic has one.
fn short(entry: &Entry) -> String {
    let stem = entry.name.rsplit_once('/').map_or(entry.name.as_str(), |(_, stem)| stem);
    clean(&if entry.source == Source::Here { format!("./{stem}") } else { stem.to_owned() })
}

fn json(library: &Library) -> String {
    let items: Vec<Item<'_>> = library.entries().map(item).collect();
    // Plain data of strings and numbers: this cannot fail.
    serde_json::to_string_pretty(&items).unwrap_or_default() + "\n"
}

fn item(entry: &Entry) -> Item<'_> {
    let problem = entry.scenario().err().map(ToString::to_string);
    let (level, title, origin) = (entry.level(), entry.title(), entry.origin.to_string());
    let source = entry.source.as_str();
    Item { name: &entry.name, topic: &entry.topic, level, title, source, origin, problem }
}
