//! Keys while something lies over the panes.

use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::phrase::{self, Choice};
use super::{Effect, hands, say, verb};
use crate::control::Command;
use crate::tui::app::{App, Overlay};
use crate::tui::{keymap, view};

/// How many characters a prompt takes.
const LONGEST: usize = 200;

/// What a key means to the overlay.
enum Press {
    Char(char),
    Erase,
    Clear,
    Up,
    Down,
    PageUp,
    PageDown,
    Enter,
    Escape,
    Other,
}

fn press(key: &KeyEvent) -> Press {
    let ctrl = key.modifiers.contains(KeyModifiers::CONTROL);
    match key.code {
        KeyCode::Char('u' | 'w') if ctrl => Press::Clear,
        KeyCode::Char('n') if ctrl => Press::Down,
        KeyCode::Char('p') if ctrl => Press::Up,
        KeyCode::Char(c) if !ctrl && !key.modifiers.contains(KeyModifiers::ALT) => Press::Char(c),
        KeyCode::Backspace => Press::Erase,
        KeyCode::Up | KeyCode::BackTab => Press::Up,
        KeyCode::Down | KeyCode::Tab => Press::Down,
        KeyCode::PageUp => Press::PageUp,
        KeyCode::PageDown => Press::PageDown,
        KeyCode::Enter => Press::Enter,
        KeyCode::Esc => Press::Escape,
        _ => Press::Other,
    }
}

/// One key.
pub fn on_key(app: &mut App, key: &KeyEvent, now: Duration) -> Vec<Effect> {
    let press = press(key);
    match app.overlay.take() {
        Some(Overlay::Help(top)) => app.overlay = help(app, top, &press),
        Some(Overlay::Find(input)) => find(app, input, &press),
        Some(Overlay::Palette { input, selected }) => return palette(app, input, selected, &press, now),
        Some(Overlay::Breakpoints(selected)) => return breakpoints(app, selected, &press),
        None => {}
    }
    Vec::new()
}

/// Pasted text goes to the prompt that is open, its first line.
pub fn paste(app: &mut App, text: &str) -> Vec<Effect> {
    let line = text.lines().next().unwrap_or("");
    if let Some(Overlay::Find(input) | Overlay::Palette { input, .. }) = &mut app.overlay {
        line.chars().filter(|c| !c.is_control()).take(LONGEST).for_each(|c| push(input, c));
    }
    Vec::new()
}

fn push(input: &mut String, c: char) {
    if input.chars().count() < LONGEST && !c.is_control() {
        input.push(c);
    }
}

fn edit(input: &mut String, press: &Press) -> bool {
    match press {
        Press::Char(c) => push(input, *c),
        Press::Erase => drop(input.pop()),
        Press::Clear => input.clear(),
        _ => return false,
    }
    true
}

fn help(app: &App, top: usize, press: &Press) -> Option<Overlay> {
    let last = view::help_height(app).saturating_sub(view::help_page(app));
    let page = view::help_page(app).saturating_sub(1).max(1);
    let top = match press {
        Press::Char('j') | Press::Down => top + 1,
        Press::Char('k') | Press::Up => top.saturating_sub(1),
        Press::Char(' ') | Press::PageDown => top + page,
        Press::PageUp => top.saturating_sub(page),
        _ => return None,
    };
    Some(Overlay::Help(top.min(last)))
}

fn find(app: &mut App, mut input: String, press: &Press) {
    if edit(&mut input, press) {
        app.overlay = Some(Overlay::Find(input));
        return;
    }
    match press {
        Press::Enter => {
            if !input.is_empty() {
                app.find.needle = input.to_lowercase();
            }
            app.replay = None;
            app.find(true);
        }
        Press::Escape => {}
        _ => app.overlay = Some(Overlay::Find(input)),
    }
}

fn palette(app: &mut App, mut input: String, mut selected: usize, press: &Press, now: Duration) -> Vec<Effect> {
    if edit(&mut input, press) {
        app.overlay = Some(Overlay::Palette { input, selected: 0 });
        return Vec::new();
    }
    let entries = phrase::entries(app, &input);
    match press {
        Press::Up => selected = selected.saturating_sub(1),
        Press::Down => selected = (selected + 1).min(entries.len().saturating_sub(1)),
        Press::Enter => return entries.get(selected).map_or_else(Vec::new, |entry| choose(app, entry, now)),
        Press::Escape => return Vec::new(),
        _ => {}
    }
    app.overlay = Some(Overlay::Palette { input, selected });
    Vec::new()
}

fn choose(app: &mut App, entry: &phrase::Entry, now: Duration) -> Vec<Effect> {
    match &entry.choice {
        Choice::Verb(chosen) => return verb::perform(app, *chosen, now),
        Choice::Complete(start) => {
            app.overlay = Some(Overlay::Palette { input: start.clone(), selected: 0 });
        }
        Choice::Break(breakpoint) => {
            if !app.breakpoints.contains(breakpoint) {
                app.breakpoints.push(breakpoint.clone());
            }
            say(app, phrase::describe(breakpoint), now);
            return tell(app);
        }
        Choice::BreakClear => {
            app.breakpoints.clear();
            say(app, "no breakpoints".to_owned(), now);
            return tell(app);
        }
        Choice::Hand(hand) => return hands::send(app, *hand, now),
        Choice::Write(path) => return vec![Effect::Write(path.into())],
        Choice::Seek(number) => {
            let number = *number;
            return verb::seek(app, |app| app.seek_event(number));
        }
        Choice::Seed(seed) => return verb::restart(app, *seed, now),
        Choice::Nothing => {
            // There is more room below than in the line.
            say(app, entry.about.clone(), now);
            app.overlay = Some(Overlay::Palette { input: entry.text.clone(), selected: 0 });
        }
    }
    Vec::new()
}

/// Tells the session all breakpoints.
fn tell(app: &App) -> Vec<Effect> {
    if app.is_live() { vec![Effect::Send(Command::Breakpoints(app.breakpoints.clone()))] } else { Vec::new() }
}

fn breakpoints(app: &mut App, selected: usize, press: &Press) -> Vec<Effect> {
    let last = app.breakpoints.len().saturating_sub(1);
    let mut changed = false;
    let selected = match press {
        Press::Char('j') | Press::Down => selected + 1,
        Press::Char('k') | Press::Up => selected.saturating_sub(1),
        Press::Char('d') | Press::Erase if selected < app.breakpoints.len() => {
            app.breakpoints.remove(selected);
            changed = true;
            selected
        }
        Press::Char('D') => {
            app.breakpoints.clear();
            changed = true;
            0
        }
        Press::Char('a' | ':') => {
            app.overlay = Some(Overlay::Palette { input: "break ".to_owned(), selected: 0 });
            return Vec::new();
        }
        Press::Escape | Press::Enter | Press::Char('q' | 'B') => return Vec::new(),
        _ => selected,
    };
    app.overlay = Some(Overlay::Breakpoints(selected.min(last)));
    if changed { tell(app) } else { Vec::new() }
}

/// A click or the wheel closes or scrolls what lies over the panes.
pub fn on_wheel(app: &mut App, down: bool) {
    if let Some(Overlay::Help(top)) = app.overlay {
        let press = if down { Press::Down } else { Press::Up };
        app.overlay = help(app, top, &press);
    }
}

/// The command of the footer at a column, if a click hit one.
pub fn footer_verb(app: &App, column: u16) -> Option<keymap::Verb> {
    view::footer_at(app, column)
}
