//! Every event, a line each, `line` events included.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{highlight, put};
use crate::tui::app::App;
use crate::tui::text;
use crate::tui::theme::Role;

/// The first and the last event that are shown; a third of the room is for what comes.
fn window(app: &App, height: u64) -> std::ops::Range<u64> {
    let here = app.applied();
    let from = here.saturating_sub(height - if app.following() { 0 } else { height / 3 });
    let from = from.min(app.log.len().saturating_sub(height));
    from..(from + height).min(app.log.len())
}

/// Draws the tab.
pub fn render(app: &App, area: Rect, buf: &mut Buffer) {
    if app.log.is_empty() {
        put(buf, area, area.x + 1, area.y, "no events yet", app.style(Role::Faded));
        return;
    }
    let window = window(app, u64::from(area.height));
    let digits = window.end.to_string().len();
    let here = app.last_row().map(|(seq, _)| seq);
    for (y, (seq, event)) in (area.y..area.bottom()).zip(app.log.range(window)) {
        let time = format!("{:.3} ms", event.t_ns as f64 / 1e6);
        let left = format!(" {:>digits$} {time:>11} ", seq + 1);
        let role = match (seq >= app.applied(), event.failed()) {
            (true, _) => Role::Faded,
            (false, true) => Role::Bad,
            (false, false) => Role::Text,
        };
        let room = usize::from(area.width).saturating_sub(text::width(&left));
        put(buf, area, area.x, y, &left, app.style(Role::Faded));
        let text = text::fit(&app.words().full(seq, event), room);
        put(buf, area, area.x + text::width(&left) as u16, y, &text, app.style(role));
        if here == Some(seq) {
            put(buf, area, area.x, y, "▶", app.style(Role::Cursor));
            highlight(buf, area, y, app.style(Role::Cursor));
        }
    }
}

/// The number, from 0, of the event on a line of the tab.
pub fn event_at(app: &App, area: Rect, line: usize) -> Option<u64> {
    let window = window(app, u64::from(area.height));
    let seq = window.start + line as u64;
    window.contains(&seq).then_some(seq)
}
