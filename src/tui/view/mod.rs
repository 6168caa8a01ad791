//! Drawing. One file a pane; nothing here changes anything, and nothing here asks the system.
//!
//! What a frame costs depends on the size of the screen and on how many tasks and channels there
//! are, never on the length of the log.

mod arrows;
mod cards;
mod channels;
mod contents;
mod diagnosis;
mod footer;
mod frame;
mod help;
mod jobs;
mod lanes;
mod log;
mod output;
mod overlay;
mod processes;
mod script;
mod signal_table;
mod signals;
mod story;
mod terminal;
mod timeline;
mod title;
mod wakers;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Line;

pub use channels::{channel_at, top_showing as channels_top};
pub use contents::height as contents_height;
pub use footer::at as footer_at;
pub use frame::tab_at;
pub use help::{height as help_height, page as help_page};
pub use log::event_at as log_event_at;
pub use processes::{task_at, top_showing as tasks_top};
pub use script::top as script_top;
pub use signals::height as signals_height;
pub use timeline::row_at as timeline_row_at;

use super::app::{App, Channels, Overlay, Pane, Tab};
use super::charset;
use super::layout;
use super::theme::Role;

/// Draws the whole screen.
pub fn render(app: &App, area: Rect, buf: &mut Buffer) {
    let area = area.intersection(buf.area);
    buf.set_style(area, app.style(Role::Text));
    if layout::fits(area) {
        lab(app, area, buf);
    } else {
        too_small(app, area, buf);
    }
    if app.look.ascii {
        charset::to_ascii(buf);
    }
}

fn lab(app: &App, area: Rect, buf: &mut Buffer) {
    title::render(app, layout::title(area), buf);
    let panes = layout::panes(app, area);
    // Who holds what is looked up once for all panes that say so.
    let asked = panes.iter().any(|(pane, _)| matches!(pane, Pane::Processes | Pane::Channels));
    let channels = if asked { Channels::of(app) } else { Channels::default() };
    // The focused pane comes last, so that its border lies over its neighbours'.
    let (focused, others): (Vec<_>, Vec<_>) = panes.into_iter().partition(|(pane, _)| *pane == app.focus);
    for (pane, rect) in others.into_iter().chain(focused) {
        frame::render(app, pane, rect, buf);
        let inner = layout::inner(rect);
        match pane {
            Pane::Processes => processes::render(app, &channels, inner, buf),
            Pane::Channels if app.zoomed => contents::render(app, &channels, inner, buf),
            Pane::Channels => channels::render(app, &channels, inner, buf),
            Pane::Signals => signals::render(app, inner, buf),
            Pane::Timeline => timeline::render(app, inner, buf),
            Pane::Script => script::render(app, inner, buf),
            Pane::Story => tab(app, inner, buf),
        }
    }
    footer::render(app, layout::footer(area), buf);
    match &app.overlay {
        Some(Overlay::Help(top)) => help::render(app, *top, area, buf),
        Some(Overlay::Palette { input, selected }) => overlay::palette(app, input, *selected, area, buf),
        Some(Overlay::Breakpoints(selected)) => overlay::breakpoints(app, *selected, area, buf),
        Some(Overlay::Find(_)) | None => {}
    }
}

fn tab(app: &App, inner: Rect, buf: &mut Buffer) {
    match app.tab {
        Tab::Story => lines(buf, inner, &story::lines(app, inner.width), app.scroll.tabs[0]),
        Tab::Output if app.emulator.is_there() => terminal::render(app, inner, buf),
        Tab::Output => output::render(app, inner, buf),
        Tab::Diagnosis => lines(buf, inner, &diagnosis::lines(app, inner.width), app.scroll.tabs[2]),
        Tab::Log => log::render(app, inner, buf),
    }
}

/// How many lines the tab that is shown has, where it can be scrolled.
pub fn tab_height(app: &App) -> usize {
    let width = layout::columns_of(app, Pane::Story) as u16;
    match app.tab {
        Tab::Story => story::lines(app, width).len(),
        Tab::Output if app.emulator.is_there() => 0,
        Tab::Output => output::height(app, width),
        Tab::Diagnosis => diagnosis::lines(app, width).len(),
        Tab::Log => 0,
    }
}

fn too_small(app: &App, area: Rect, buf: &mut Buffer) {
    let (width, height) = layout::SMALLEST;
    let text = format!("proclab needs {width}×{height}, this terminal is {}×{}", area.width, area.height);
    let wrapped = super::text::wrap(&text, usize::from(area.width));
    let top = (usize::from(area.height).saturating_sub(wrapped.len()) / 2) as u16;
    for (y, line) in (area.y + top..area.bottom()).zip(&wrapped) {
        let left = (usize::from(area.width).saturating_sub(super::text::width(line)) / 2) as u16;
        put(buf, area, area.x + left, y, line, app.style(Role::Strong));
    }
}

/// Draws lines from the `top`th on, each cut at the edge.
fn lines(buf: &mut Buffer, area: Rect, lines: &[Line<'_>], top: usize) {
    let last = lines.len().saturating_sub(usize::from(area.height));
    for (y, line) in (area.y..area.bottom()).zip(lines.iter().skip(top.min(last))) {
        buf.set_line(area.x, y, line, area.width);
    }
}

/// Draws a text that begins at `x` and is cut at the edge of `area`.
fn put(buf: &mut Buffer, area: Rect, x: u16, y: u16, text: &str, style: Style) {
    if x < area.right() && y < area.bottom() && x >= area.x && y >= area.y {
        buf.set_stringn(x, y, text, usize::from(area.right() - x), style);
    }
}

/// Styles one line of an area, as for the row that is chosen.
fn highlight(buf: &mut Buffer, area: Rect, y: u16, style: Style) {
    if y < area.bottom() {
        buf.set_style(Rect { y, height: 1, ..area }, style);
    }
}
