//! The commands of the keymap.

use std::time::Duration;

use super::{Effect, can_move, hands, next_gone, say};
use crate::control::{Command, Pace};
use crate::model::TaskId;
use crate::tui::app::{App, Channels, Origin, Overlay, Pane, Tab, Tree, pace_name};
use crate::tui::keymap::Verb;
use crate::tui::options::LabExit;
use crate::tui::{layout, view};

/// The paces that the keys go through.
const PACES: [Pace; 5] =
    [Pace::PerSecond(2), Pace::PerSecond(5), Pace::PerSecond(20), Pace::PerSecond(100), Pace::Full];

/// Does what a command asks for.
pub fn perform(app: &mut App, verb: Verb, now: Duration) -> Vec<Effect> {
    match verb {
        Verb::Play => return play(app, now),
        Verb::Step => return step(app, now),
        Verb::StepTask => return step_task(app, now),
        Verb::Back => return seek(app, |app| app.seek_by(-1)),
        Verb::Forward => return seek(app, |app| app.seek_by(1)),
        Verb::First => return seek(app, |app| app.seek_row(0)),
        Verb::Last => {
            app.replay = None;
            app.seek_row(usize::MAX);
        }
        Verb::Slower => return change_pace(app, false, now),
        Verb::Faster => return change_pace(app, true, now),
        Verb::Serial => return serial(app, now),
        Verb::Restart => return restart(app, app.log.header().seed, now),
        Verb::Reseed => return restart(app, app.log.header().seed.wrapping_add(1), now),
        Verb::Kill | Verb::SuppressSignal | Verb::ReplaceSignal | Verb::Hold => return hands::perform(app, verb, now),
        Verb::NextTask => choose(app, 1),
        Verb::PreviousTask => choose(app, -1),
        Verb::Up => return move_by(app, app.focus, -1),
        Verb::Down => return move_by(app, app.focus, 1),
        Verb::PageUp => return page(app, -1),
        Verb::PageDown => return page(app, 1),
        Verb::Suspend => return vec![Effect::Suspend],
        Verb::Quit => return vec![Effect::Quit(LabExit::Back)],
        Verb::QuitAll => return vec![Effect::Quit(LabExit::Quit)],
        Verb::Type => super::typing::begin(app, now),
        verb => change_view(app, verb, now),
    }
    Vec::new()
}

/// Commands that only change how things are shown.
fn change_view(app: &mut App, verb: Verb, now: Duration) {
    match verb {
        Verb::Escape => app.chosen_task = None,
        Verb::Find => app.overlay = Some(Overlay::Find(String::new())),
        Verb::FindNext => find_again(app, true, now),
        Verb::FindPrevious => find_again(app, false, now),
        Verb::Palette => app.overlay = Some(Overlay::Palette { input: String::new(), selected: 0 }),
        Verb::Breakpoints => app.overlay = Some(Overlay::Breakpoints(0)),
        Verb::Help => app.overlay = Some(Overlay::Help(0)),
        Verb::NextPane => app.focus = app.focus.step(1),
        Verb::PreviousPane => app.focus = app.focus.step(Pane::ALL.len() - 1),
        Verb::Focus(Pane::Story) if app.focus == Pane::Story => app.tab = app.tab.next(),
        Verb::Focus(pane) => app.focus = pane,
        Verb::Zoom => app.zoomed = !app.zoomed,
        Verb::Hex => {
            app.hex = !app.hex;
            app.scroll.contents = 0;
        }
        Verb::Gone => app.gone = next_gone(app.gone),
        Verb::Jobs => {
            app.jobs = Some(!app.shows_jobs());
            app.scroll.processes = 0;
        }
        Verb::Files => app.show_files = !app.show_files,
        Verb::Hint => hint(app, now),
        Verb::Theme => {
            app.look.theme = app.look.theme.next();
            say(app, format!("theme: {}", app.look.theme.name()), now);
        }
        _ => {}
    }
}

fn play(app: &mut App, now: Duration) -> Vec<Effect> {
    if app.replay.take().is_some() {
        return Vec::new();
    }
    if !app.following() {
        app.replay = Some(now);
        return Vec::new();
    }
    if app.origin == Origin::Recording && !app.index.rows().is_empty() {
        app.seek_row(0);
        app.replay = Some(now);
        return Vec::new();
    }
    if !can_move(app, now) {
        return Vec::new();
    }
    vec![Effect::Send(if app.playing() { Command::Pause } else { Command::Play(app.pace) })]
}

fn step(app: &mut App, now: Duration) -> Vec<Effect> {
    if !app.following() {
        return seek(app, |app| app.seek_by(1));
    }
    if can_move(app, now) { vec![Effect::Send(Command::Step(None))] } else { Vec::new() }
}

fn step_task(app: &mut App, now: Duration) -> Vec<Effect> {
    let Some(task) = app.subject() else { return step(app, now) };
    if app.following() {
        return if can_move(app, now) { vec![Effect::Send(Command::Step(Some(task)))] } else { Vec::new() };
    }
    app.replay = None;
    if !app.seek_next_of(task) {
        let name = app.words().task(task);
        say(app, format!("{name} does nothing more in this log"), now);
    }
    Vec::new()
}

/// Moves the cursor by hand. The processes stay where they are meanwhile.
pub fn seek(app: &mut App, go: impl FnOnce(&mut App)) -> Vec<Effect> {
    app.replay = None;
    let was_playing = app.playing();
    go(app);
    if was_playing && !app.following() { vec![Effect::Send(Command::Pause)] } else { Vec::new() }
}

fn change_pace(app: &mut App, faster: bool, now: Duration) -> Vec<Effect> {
    let rate = |pace: Pace| match pace {
        Pace::PerSecond(n) => n,
        Pace::Full => u32::MAX,
    };
    let here = rate(app.pace);
    let next = if faster {
        PACES.into_iter().find(|pace| rate(*pace) > here)
    } else {
        PACES.into_iter().rev().find(|pace| rate(*pace) < here)
    };
    app.pace = next.unwrap_or(app.pace);
    say(app, format!("pace: {}", pace_name(app.pace)), now);
    let plays = app.replay.is_none() && app.playing();
    if plays { vec![Effect::Send(Command::Play(app.pace))] } else { Vec::new() }
}

fn serial(app: &mut App, now: Duration) -> Vec<Effect> {
    if !can_move(app, now) {
        return Vec::new();
    }
    let serial = !app.serial();
    say(app, if serial { "one task at a time" } else { "all tasks at once" }.to_owned(), now);
    vec![Effect::Send(Command::Serial(serial))]
}

/// Starts the run again.
pub fn restart(app: &mut App, seed: u64, now: Duration) -> Vec<Effect> {
    match app.origin {
        Origin::Live => vec![Effect::Restart(seed)],
        Origin::Recording => {
            say(app, "a recording cannot be run again, only played".to_owned(), now);
            Vec::new()
        }
    }
}

fn find_again(app: &mut App, forward: bool, now: Duration) {
    if app.find.needle.is_empty() {
        say(app, "nothing to find yet: / searches".to_owned(), now);
    } else {
        app.replay = None;
        app.find(forward);
    }
}

fn hint(app: &mut App, now: Duration) {
    let all = app.scenario.as_ref().map_or(0, |scenario| scenario.hints.len());
    if all == 0 {
        say(app, "there are no hints here".to_owned(), now);
        return;
    }
    app.hints = (app.hints + 1).min(all);
    app.tab = Tab::Story;
    if app.zoomed {
        app.focus = Pane::Story;
    }
    app.scroll.tabs[Tab::Story as usize] = usize::MAX;
    clamp(app);
}

/// Chooses the task so many rows further on in the tree.
fn choose(app: &mut App, by: isize) {
    let tree = Tree::of(app);
    let tasks: Vec<TaskId> = tree.rows.iter().map(|row| row.task).filter(|task| *task != TaskId::LAB).collect();
    if tasks.is_empty() {
        return;
    }
    let here = app.chosen_task.or_else(|| app.subject()).and_then(|task| tasks.iter().position(|it| *it == task));
    let next = match here {
        // The first press makes the choice, if there was none.
        Some(at) if app.chosen_task.is_none() && by.abs() == 1 => at,
        Some(at) => at.saturating_add_signed(by).min(tasks.len() - 1),
        None => 0,
    };
    app.chosen_task = Some(tasks[next]);
    reveal_task(app, &tree);
}

/// Scrolls the tree until the chosen task is seen.
fn reveal_task(app: &mut App, tree: &Tree) {
    let Some(at) = app.chosen_task.and_then(|task| tree.position(task)) else { return };
    let top = tasks_top(app, &Channels::of(app), tree, at);
    app.scroll.processes = app.scroll.processes.clamp(top, at);
}

fn tasks_top(app: &App, channels: &Channels, tree: &Tree, at: usize) -> usize {
    view::tasks_top(
        app,
        channels,
        tree,
        at,
        layout::columns_of(app, Pane::Processes),
        layout::page(app, Pane::Processes),
    )
}

fn channels_top(app: &App, channels: &Channels, at: usize) -> usize {
    view::channels_top(app, channels, at, layout::columns_of(app, Pane::Channels), layout::page(app, Pane::Channels))
}

fn page(app: &mut App, pages: isize) -> Vec<Effect> {
    let rows = layout::page(app, app.focus).saturating_sub(2).max(1) as isize;
    move_by(app, app.focus, pages * rows)
}

/// Moves what a pane shows: the choice in lists, the cursor in the timeline, the text elsewhere.
pub fn move_by(app: &mut App, pane: Pane, by: isize) -> Vec<Effect> {
    match pane {
        Pane::Timeline => return seek(app, |app| app.seek_by(by)),
        Pane::Story if app.tab == Tab::Log => return seek(app, |app| app.seek_by(by)),
        Pane::Processes => choose(app, by),
        Pane::Channels if !app.zoomed => choose_channel(app, by),
        pane => scroll_by(app, pane, by),
    }
    Vec::new()
}

fn choose_channel(app: &mut App, by: isize) {
    let channels = Channels::of(app);
    let here = app.chosen_channel.and_then(|id| channels.shown.iter().position(|it| *it == id));
    let next = here.map_or(0, |at| at.saturating_add_signed(by)).min(channels.shown.len().saturating_sub(1));
    app.chosen_channel = channels.shown.get(next).copied();
    app.scroll.contents = 0;
    app.scroll.channels = app.scroll.channels.clamp(channels_top(app, &channels, next), next);
}

/// Scrolls a pane without changing what is chosen.
pub fn scroll_by(app: &mut App, pane: Pane, by: isize) {
    let shift = |at: usize| at.saturating_add_signed(by);
    match pane {
        Pane::Processes => app.scroll.processes = shift(app.scroll.processes),
        Pane::Channels if app.zoomed => app.scroll.contents = shift(app.scroll.contents),
        Pane::Channels => app.scroll.channels = shift(app.scroll.channels),
        Pane::Signals => app.scroll.signals = shift(app.scroll.signals),
        Pane::Script => app.scroll.script = Some(shift(view::script_top(app, layout::page(app, pane)))),
        Pane::Story if app.tab == Tab::Output => {
            let up = app.scroll.tabs[Tab::Output as usize].saturating_add_signed(-by);
            app.scroll.tabs[Tab::Output as usize] = up;
        }
        Pane::Story => app.scroll.tabs[app.tab as usize] = shift(app.scroll.tabs[app.tab as usize]),
        Pane::Timeline => {}
    }
    clamp(app);
}

/// Keeps every pane from being scrolled past its end.
pub fn clamp(app: &mut App) {
    let room = |pane| layout::page(app, pane);
    let mut scroll = app.scroll;
    let (tree, channels) = (Tree::of(app), Channels::of(app));
    scroll.processes = scroll.processes.min(tasks_top(app, &channels, &tree, tree.rows.len() - 1));
    scroll.channels = scroll.channels.min(channels_top(app, &channels, channels.shown.len().saturating_sub(1)));
    scroll.contents = scroll.contents.min(view::contents_height(app).saturating_sub(room(Pane::Channels)));
    scroll.signals = scroll.signals.min(view::signals_height(app).saturating_sub(room(Pane::Signals)));
    let last = app.script.len().saturating_sub(room(Pane::Script));
    scroll.script = scroll.script.map(|top| top.min(last));
    let tab = app.tab as usize;
    scroll.tabs[tab] = scroll.tabs[tab].min(view::tab_height(app).saturating_sub(room(Pane::Story)));
    app.scroll = scroll;
}
