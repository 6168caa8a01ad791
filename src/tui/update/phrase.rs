//! What the palette offers: every command, and phrases with an argument.

use super::hands;
use crate::control::{Breakpoint, Hand};
use crate::model::{Phase, Signal};
use crate::tui::app::App;
use crate::tui::keymap::{self, PHRASES, Verb};

/// A line of the palette.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What would be run, as one could type it.
    pub text: String,
    /// The key that does the same.
    pub key: Option<&'static str>,
    /// What it does.
    pub about: String,
    /// What Enter does.
    pub choice: Choice,
}

/// What Enter does on a line of the palette.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// Runs a command.
    Verb(Verb),
    /// Completes what was typed up to the argument.
    Complete(String),
    /// Adds a breakpoint.
    Break(Breakpoint),
    /// Does something by hand.
    Hand(Hand),
    /// Forgets all breakpoints.
    BreakClear,
    /// Moves the cursor to the event with this number.
    Seek(u64),
    /// Writes the log into a file with this name.
    Write(String),
    /// Starts again with this seed.
    Seed(u64),
    /// Nothing: the argument makes no sense; the line says why.
    Nothing,
}

/// The lines for what was typed, the best first.
pub fn entries(app: &App, input: &str) -> Vec<Entry> {
    let typed = input.trim_start();
    let mut entries: Vec<Entry> = phrase(typed).into_iter().collect();
    entries.extend(hands::entries(app, typed));
    let commands = keymap::commands().iter().map(|info| Entry {
        text: info.id.to_owned(),
        key: info.keys.first().copied(),
        about: info.about.to_owned(),
        choice: Choice::Verb(info.verb),
    });
    let phrases =
        PHRASES.iter().filter(|(start, _, _)| !typed.starts_with(start)).map(|(start, argument, about)| Entry {
            text: format!("{start}{argument}"),
            key: None,
            about: (*about).to_owned(),
            choice: if argument.is_empty() { Choice::BreakClear } else { Choice::Complete((*start).to_owned()) },
        });
    let mut found: Vec<(usize, Entry)> =
        commands.chain(phrases).filter_map(|entry| rank(&entry, typed).map(|rank| (rank, entry))).collect();
    found.sort_by_key(|(rank, _)| *rank);
    entries.extend(found.into_iter().map(|(_, entry)| entry));
    entries
}

/// How badly an entry fits: its name begins with, holds or scatters what was typed, or what it
/// does holds it.
fn rank(entry: &Entry, typed: &str) -> Option<usize> {
    let typed = typed.trim_end().to_lowercase();
    let name = entry.text.to_lowercase();
    if name.starts_with(&typed) {
        return Some(0);
    }
    if name.contains(&typed) {
        return Some(1);
    }
    if entry.about.to_lowercase().contains(&typed) {
        return Some(2);
    }
    scattered(&name, &typed).then_some(3)
}

fn scattered(name: &str, typed: &str) -> bool {
    let mut name = name.chars();
    typed.chars().filter(|c| *c != ' ').all(|c| name.any(|known| known == c))
}

/// What was typed, if it is a phrase with its argument.
fn phrase(typed: &str) -> Option<Entry> {
    let words: Vec<&str> = typed.split_whitespace().collect();
    let entry = |choice, about: String| {
        Some(Entry { text: super::super::text::clean(&words.join(" ")), key: None, about, choice })
    };
    match words.as_slice() {
        ["seek", number] => match number.parse() {
            Ok(number) => entry(Choice::Seek(number), format!("to event {number}")),
            Err(_) => entry(Choice::Nothing, "the number of an event, as in seek 17".to_owned()),
        },
        ["seed", number] => match number.parse() {
            Ok(seed) => entry(Choice::Seed(seed), format!("start again with seed {seed}")),
            Err(_) => entry(Choice::Nothing, "a number, as in seed 7".to_owned()),
        },
        ["write", ..] if words.len() > 1 => {
            let path = typed["write".len()..].trim().to_owned();
            entry(Choice::Write(path), "write the log so far there, for proclab replay".to_owned())
        }
        ["break", "clear"] => entry(Choice::BreakClear, "forget all breakpoints".to_owned()),
        ["break", "signal", name] => match Signal::parse(name) {
            Some(signal) => {
                entry(Choice::Break(Breakpoint::Signal(signal)), format!("stop when {signal} is delivered"))
            }
            None if hands::is_phase(name) => None,
            None => entry(Choice::Nothing, "no signal and no phase has that name; as in break signal TERM".to_owned()),
        },
        ["break", "diagnosis"] => entry(Choice::Break(Breakpoint::Diagnosis(None)), "stop at any diagnosis".to_owned()),
        ["break", kind, name] => {
            let breakpoint = match *kind {
                "call" => Breakpoint::Call((*name).to_owned()),
                "task" => Breakpoint::Task((*name).to_owned()),
                "channel" => Breakpoint::Channel((*name).to_owned()),
                "diagnosis" => Breakpoint::Diagnosis(Some((*name).to_owned())),
                _ => return None,
            };
            let about = describe(&breakpoint);
            entry(Choice::Break(breakpoint), about)
        }
        _ => None,
    }
}

/// A breakpoint as a sentence, safe to show.
pub fn describe(breakpoint: &Breakpoint) -> String {
    let text = match breakpoint {
        Breakpoint::Call(name) => format!("stop before a task calls {name}"),
        Breakpoint::Signal(signal) => format!("stop when {signal} is delivered"),
        Breakpoint::Phase { task, signal, phase } => {
            let signal = signal.map_or_else(|| "a signal".to_owned(), |signal| signal.to_string());
            let task = task.as_deref().unwrap_or("any task");
            match phase {
                Phase::Generated => format!("stop when {signal} is sent to {task}"),
                Phase::Pending => format!("stop when {signal} becomes pending for {task}"),
                Phase::Dequeued => format!("stop when {signal} is taken out of the queue of {task}"),
                Phase::Delivered => format!("stop before {signal} is delivered to {task}"),
                Phase::Handler => format!("stop when {task} enters its handler of {signal}"),
                Phase::Returned => format!("stop when {task} returns from its handler of {signal}"),
                Phase::Left => format!("stop when {task} leaves its handler of {signal} without returning"),
                Phase::Ignored => format!("stop when {task} ignores {signal}"),
                Phase::Default => format!("stop when {task} takes the default action of {signal}"),
                Phase::Suppressed => format!("stop when you suppress {signal} for {task}"),
                Phase::Replaced => format!("stop when you replace {signal} for {task}"),
                Phase::Coalesced => format!("stop when {signal} is sent to {task} while one is pending"),
                Phase::Accepted => format!("stop when {task} accepts {signal} in a call"),
                Phase::Discarded => format!("stop when {signal} to {task} is thrown away"),
                Phase::NoFrame => format!("stop when {task} has no room for the frame of its handler of {signal}"),
            }
        }
        Breakpoint::Task(name) => format!("stop when {name} is about to move"),
        Breakpoint::Channel(name) => format!("stop when an event concerns {name}"),
        Breakpoint::Diagnosis(None) => "stop at any diagnosis".to_owned(),
        Breakpoint::Diagnosis(Some(rule)) => format!("stop at the diagnosis {rule}"),
    };
    super::super::text::clean(&text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Pace;
    use crate::tui::app::Look;

    fn first(input: &str) -> Choice {
        entries(&App::live(Look::default(), Pace::Full, None), input)
            .into_iter()
            .next()
            .map_or(Choice::Nothing, |entry| entry.choice)
    }

    #[test]
    fn phrases_are_understood() {
        assert_eq!(first("break call write"), Choice::Break(Breakpoint::Call("write".into())));
        assert_eq!(first("break signal TERM"), Choice::Break(Breakpoint::Signal(Signal::TERM)));
        assert_eq!(first("break diagnosis"), Choice::Break(Breakpoint::Diagnosis(None)));
        assert_eq!(first("  seek 17 "), Choice::Seek(17));
        assert_eq!(first("seed 7"), Choice::Seed(7));
        assert_eq!(first("break signal NOPE"), Choice::Nothing);
    }

    #[test]
    fn commands_are_found_by_name_and_loosely() {
        assert_eq!(first("zoom"), Choice::Verb(Verb::Zoom));
        assert_eq!(first("rsd"), Choice::Verb(Verb::Reseed));
        assert_eq!(first("seek"), Choice::Complete("seek ".into()));
        assert!(entries(&App::live(Look::default(), Pace::Full, None), "qqqqq").is_empty());
    }
}
