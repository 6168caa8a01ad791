//! What lies over the panes: the palette and the breakpoints.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType, Clear, Widget};

use super::{highlight, put};
use crate::tui::app::App;
use crate::tui::theme::Role;
use crate::tui::update::{Choice, describe, entries};
use crate::tui::{keymap, layout, text};

/// A window in the middle of the screen.
pub fn window(screen: Rect, width: u16, height: u16) -> Rect {
    let width = width.min(screen.width.saturating_sub(4));
    let height = height.min(screen.height.saturating_sub(2));
    Rect { x: screen.x + (screen.width - width) / 2, y: screen.y + (screen.height - height) / 2, width, height }
}

/// Clears a window and draws its border.
pub fn frame(app: &App, rect: Rect, title: &str, below: &str, buf: &mut Buffer) {
    Clear.render(rect, buf);
    buf.set_style(rect, app.style(Role::Text));
    Block::bordered()
        .border_type(BorderType::Thick)
        .border_style(app.style(Role::Focus))
        .title(Span::styled(title.to_owned(), app.style(Role::Focus)))
        .title_bottom(Line::from(Span::styled(below.to_owned(), app.style(Role::Text))).right_aligned())
        .render(rect, buf);
}

/// Draws the palette.
pub fn palette(app: &App, input: &str, selected: usize, screen: Rect, buf: &mut Buffer) {
    let rect = window(screen, 84, screen.height.saturating_sub(6).min(24));
    let entries = entries(app, input);
    let below = match entries.get(selected).map(|entry| &entry.choice) {
        Some(Choice::Complete(_)) => " Enter completes · Esc closes ",
        _ => " Enter runs · Esc closes ",
    };
    frame(app, rect, " Command ", below, buf);
    let inner = layout::inner(rect);
    put(buf, inner, inner.x, inner.y, ": ", app.style(Role::Key));
    let typed = text::clean(input);
    put(buf, inner, inner.x + 2, inner.y, &typed, app.style(Role::Strong));
    put(buf, inner, inner.x + 2 + text::width(&typed) as u16, inner.y, "█", app.style(Role::Cursor));
    let list = Rect { y: inner.y + 2, height: inner.height.saturating_sub(2), ..inner };
    if entries.is_empty() {
        put(buf, list, list.x + 1, list.y, "no command fits", app.style(Role::Faded));
    }
    let first = (selected + 1).saturating_sub(usize::from(list.height));
    for (y, (n, entry)) in (list.y..list.bottom()).zip(entries.iter().enumerate().skip(first)) {
        let key = entry.key.map_or("", keymap::key_label);
        let line = Line::from_iter([
            Span::styled(format!(" {} ", text::pad(&entry.text, 24)), app.style(Role::Strong)),
            Span::styled(format!("{key:9} "), app.style(Role::Key)),
            Span::raw(text::fit(&entry.about, usize::from(list.width).saturating_sub(37))),
        ]);
        buf.set_line(list.x, y, &line, list.width);
        if n == selected {
            put(buf, list, list.x, y, "›", app.style(Role::Strong));
            highlight(buf, list, y, app.style(Role::Selected));
        }
    }
}

/// Draws the list of breakpoints.
pub fn breakpoints(app: &App, selected: usize, screen: Rect, buf: &mut Buffer) {
    let rect = window(screen, 64, (app.breakpoints.len() as u16).saturating_add(4).clamp(6, 20));
    frame(app, rect, " Breakpoints ", " a adds · d deletes · D deletes all · Esc closes ", buf);
    let inner = layout::inner(rect);
    if app.breakpoints.is_empty() {
        let lines = ["There are none. Type : and then, for example,", "break call write", "break signal TERM"];
        for (y, line) in (inner.y..inner.bottom()).zip(lines) {
            put(buf, inner, inner.x + 1, y, line, app.style(Role::Text));
        }
    }
    let first = (selected + 1).saturating_sub(usize::from(inner.height));
    for (y, (n, breakpoint)) in (inner.y..inner.bottom()).zip(app.breakpoints.iter().enumerate().skip(first)) {
        let mark = if n == selected { "›" } else { " " };
        let line = text::fit(&format!("{mark} {}", describe(breakpoint)), usize::from(inner.width));
        put(buf, inner, inner.x, y, &line, app.style(Role::Text));
        if n == selected {
            highlight(buf, inner, y, app.style(Role::Selected));
        }
    }
}
