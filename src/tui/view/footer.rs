//! The last line: the keys, or what has just happened, or the search prompt.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::put;
use crate::tui::app::{App, Overlay};
use crate::tui::keymap::{self, CommandInfo, Verb};
use crate::tui::text;
use crate::tui::theme::Role;
use crate::tui::update::takers;

/// Draws the line.
pub fn render(app: &App, area: Rect, buf: &mut Buffer) {
    if let Some(Overlay::Find(input)) = &app.overlay {
        prompt(app, input, area, buf);
        return;
    }
    if app.typing && app.overlay.is_none() {
        typing(app, area, buf);
        return;
    }
    if app.find.is_busy() {
        put(buf, area, area.x + 1, area.y, "searching…", app.style(Role::Strong));
        return;
    }
    if let Some((message, _)) = &app.message {
        let shown = text::fit(message, usize::from(area.width).saturating_sub(2));
        put(buf, area, area.x + 1, area.y, &shown, app.style(Role::Strong));
        return;
    }
    for (x, info, label) in keys(app, area) {
        let key = keymap::key_label(info.keys.first().unwrap_or(&""));
        put(buf, area, x, area.y, key, app.style(Role::Key));
        put(buf, area, x + text::width(key) as u16 + 1, area.y, label, app.style(Role::Text));
    }
}

/// The way out of typing, and what becomes of the keys.
fn typing(app: &App, area: Rect, buf: &mut Buffer) {
    put(buf, area, area.x + 1, area.y, "Ctrl-]", app.style(Role::Key));
    let about = if app.playing() {
        "stop typing · every other key goes to the terminal"
    } else {
        "stop typing · PAUSED: keys wait in the terminal until the run plays"
    };
    let shown = text::fit(about, usize::from(area.width).saturating_sub(9));
    put(buf, area, area.x + 8, area.y, &shown, app.style(Role::Strong));
}

fn prompt(app: &App, input: &str, area: Rect, buf: &mut Buffer) {
    let shown = text::clean(input);
    put(buf, area, area.x, area.y, " find ", app.style(Role::Key));
    put(buf, area, area.x + 6, area.y, &shown, app.style(Role::Strong));
    let x = area.x + 6 + text::width(&shown) as u16;
    put(buf, area, x, area.y, "█", app.style(Role::Cursor));
    let about = "in the events: part of a name, a call, some bytes · Enter searches";
    put(buf, area, x + 3, area.y, about, app.style(Role::Faded));
}

/// The keys that fit, with the columns where they begin. Help and the way out are always there.
fn keys(app: &App, area: Rect) -> Vec<(u16, &'static CommandInfo, &'static str)> {
    // Where there is a terminal, typing at it comes first; before a delivery, what can be done about it.
    let types = app.is_live() && app.emulator.is_there();
    let delivery = app.following() && !takers(app).is_empty();
    let place = |info: &CommandInfo| match info.verb {
        Verb::Type if types => 1,
        Verb::SuppressSignal | Verb::ReplaceSignal if delivery => 2,
        Verb::Kill | Verb::SuppressSignal | Verb::ReplaceSignal | Verb::Hold if !app.is_live() => 0,
        _ => info.footer,
    };
    let mut rows: Vec<&'static CommandInfo> = keymap::commands().iter().filter(|info| place(info) > 0).collect();
    rows.sort_by_key(|info| place(info));
    let (always, others): (Vec<&'static CommandInfo>, Vec<&'static CommandInfo>) =
        rows.into_iter().partition(|info| matches!(info.verb, Verb::Help | Verb::Quit | Verb::Palette));
    let label = |info: &'static CommandInfo| match info.verb {
        Verb::Play if app.playing() => "pause",
        _ => info.label,
    };
    let width = |info: &'static CommandInfo| {
        let key = keymap::key_label(info.keys.first().unwrap_or(&""));
        text::width(key) + 1 + text::width(label(info)) + 2
    };
    let mut room = usize::from(area.width).saturating_sub(1);
    room = room.saturating_sub(always.iter().map(|info| width(info)).sum());
    let fitting = others.into_iter().filter(|info: &&'static CommandInfo| {
        let fits = width(info) <= room;
        room = if fits { room - width(info) } else { 0 };
        fits
    });
    let mut x = area.x + 1;
    fitting
        .collect::<Vec<_>>()
        .into_iter()
        .chain(always)
        .map(|info| {
            let at = x;
            x += width(info) as u16;
            (at, info, label(info))
        })
        .collect()
}

/// The command under a column of the screen.
pub fn at(app: &App, column: u16) -> Option<Verb> {
    if app.overlay.is_some() || app.message.is_some() || app.typing {
        return None;
    }
    let keys = keys(app, crate::tui::layout::footer(app.area));
    keys.into_iter().rev().find(|(x, _, _)| *x <= column).map(|(_, info, _)| info.verb)
}
