//! The mouse: a click focuses and chooses, a double click zooms, the wheel scrolls.

use std::time::Duration;

use crossterm::event::{MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::Position;

use super::verb::{self, perform};
use super::{Effect, prompt, typing};
use crate::tui::app::{App, Overlay, Pane, Tab};
use crate::tui::keymap::Verb;
use crate::tui::{layout, view};

/// Two clicks within this time at the same place are a double click.
const DOUBLE: Duration = Duration::from_millis(400);
/// Rows a notch of the wheel.
const NOTCH: isize = 3;

/// One movement of the mouse.
pub fn on_mouse(app: &mut App, event: MouseEvent, now: Duration) -> Vec<Effect> {
    if !layout::fits(app.area) {
        return Vec::new();
    }
    if app.typing
        && let Some(effects) = typing::on_mouse(app, event)
    {
        return effects;
    }
    let at = Position::new(event.column, event.row);
    match event.kind {
        MouseEventKind::ScrollUp => wheel(app, at, -NOTCH),
        MouseEventKind::ScrollDown => wheel(app, at, NOTCH),
        MouseEventKind::Down(MouseButton::Left) => click(app, at, now),
        _ => Vec::new(),
    }
}

fn pane_at(app: &App, at: Position) -> Option<Pane> {
    // Where two panes share a border, the lower and the right one has it.
    layout::panes(app, app.area).into_iter().rev().find(|(_, rect)| rect.contains(at)).map(|(pane, _)| pane)
}

fn wheel(app: &mut App, at: Position, by: isize) -> Vec<Effect> {
    if app.overlay.is_some() {
        prompt::on_wheel(app, by > 0);
        return Vec::new();
    }
    match pane_at(app, at) {
        Some(pane @ Pane::Timeline) => verb::move_by(app, pane, by),
        Some(pane @ Pane::Story) if app.tab == Tab::Log => verb::move_by(app, pane, by),
        Some(pane) => {
            verb::scroll_by(app, pane, by);
            Vec::new()
        }
        None => Vec::new(),
    }
}

fn click(app: &mut App, at: Position, now: Duration) -> Vec<Effect> {
    let double =
        app.click.take().is_some_and(|(x, y, when)| (x, y) == (at.x, at.y) && now.saturating_sub(when) <= DOUBLE);
    if app.overlay.is_some() {
        if matches!(app.overlay, Some(Overlay::Help(_))) {
            app.overlay = None;
        }
        return Vec::new();
    }
    if layout::footer(app.area).contains(at) {
        return prompt::footer_verb(app, at.x).map_or_else(Vec::new, |verb| perform(app, verb, now));
    }
    let Some(pane) = pane_at(app, at) else { return Vec::new() };
    app.typing &= pane == Pane::Story;
    app.focus = pane;
    if double {
        return perform(app, Verb::Zoom, now);
    }
    app.click = Some((at.x, at.y, now));
    choose(app, pane, at)
}

/// Chooses what was clicked on.
fn choose(app: &mut App, pane: Pane, at: Position) -> Vec<Effect> {
    let Some(rect) = layout::pane(app, app.area, pane) else { return Vec::new() };
    if pane == Pane::Story && at.y == rect.y {
        app.tab = view::tab_at(app, rect, at.x).unwrap_or(app.tab);
        return Vec::new();
    }
    let inner = layout::inner(rect);
    if !inner.contains(at) {
        return Vec::new();
    }
    let line = usize::from(at.y - inner.y);
    match pane {
        Pane::Processes => app.chosen_task = view::task_at(app, inner, line).or(app.chosen_task),
        Pane::Channels if !app.zoomed => {
            app.chosen_channel = view::channel_at(app, inner, line).or(app.chosen_channel);
        }
        Pane::Timeline => {
            if let Some(row) = view::timeline_row_at(app, inner, line) {
                return verb::seek(app, |app| app.seek_row(row + 1));
            }
        }
        Pane::Story if app.tab == Tab::Log => {
            if let Some(number) = view::log_event_at(app, inner, line) {
                return verb::seek(app, |app| app.seek_event(number + 1));
            }
        }
        _ => {}
    }
    Vec::new()
}
