//! Where processes meet: how full each channel is, what is inside, and who holds which end.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::cards::{brief, card};
use super::{highlight, put};
use crate::model::ChannelId;
use crate::tui::app::{App, Channels};
use crate::tui::theme::Role;
use crate::tui::{layout, text};

/// What the pane says when it has nothing to show.
pub const NOTHING: &str = "no channel between processes is open";

/// Draws the pane.
pub fn render(app: &App, channels: &Channels, area: Rect, buf: &mut Buffer) {
    if channels.shown.is_empty() {
        let text = if app.applied() == 0 { "nothing has been opened yet" } else { NOTHING };
        put(buf, area, area.x + 1, area.y, text, app.style(Role::Faded));
    }
    let shown = visible(app, channels, usize::from(area.width), usize::from(area.height));
    for (y, (id, line)) in (area.y..).zip(&shown) {
        buf.set_line(area.x, y, line, area.width);
        if app.chosen_channel == Some(*id) {
            highlight(buf, Rect { width: 1, ..area }, y, app.style(Role::Selected));
        }
    }
    note(app, channels, &shown, area, buf);
}

/// Says on the border what is not seen.
fn note(app: &App, channels: &Channels, shown: &[(ChannelId, Line<'_>)], area: Rect, buf: &mut Buffer) {
    let last = shown.last().and_then(|(id, _)| channels.shown.iter().position(|it| it == id));
    let below = channels.shown.len() - last.map_or(0, |at| at + 1);
    let mut notes = Vec::new();
    if below > 0 {
        notes.push(format!("+{below} below"));
    }
    if !app.show_files && channels.others > 0 {
        notes.push(format!("F: files and streams ({})", channels.others));
    }
    if notes.is_empty() {
        return;
    }
    let note = format!(" {} ", notes.join(" · "));
    let width = (text::width(&note) as u16).min(area.width);
    buf.set_stringn(area.right() - width, area.bottom(), &note, usize::from(width), app.style(Role::Text));
}

/// The channel on a line of the pane.
pub fn channel_at(app: &App, area: Rect, line: usize) -> Option<ChannelId> {
    let channels = Channels::of(app);
    let shown = visible(app, &channels, usize::from(area.width), usize::from(area.height));
    shown.get(line).map(|(id, _)| *id)
}

fn visible(app: &App, channels: &Channels, width: usize, height: usize) -> Vec<(ChannelId, Line<'static>)> {
    let mut lines = Vec::new();
    let top = match app.scroll.channels {
        0 => 0,
        top => top.min(top_showing(app, channels, channels.shown.len().saturating_sub(1), width, height)),
    };
    for (n, id) in channels.shown.iter().enumerate().skip(top) {
        if lines.len() >= height {
            break;
        }
        lines.extend(row(app, channels, n, width).into_iter().map(|line| (*id, line)));
    }
    lines.truncate(height);
    lines
}

/// The lines of the `n`th channel.
fn row(app: &App, channels: &Channels, n: usize, width: usize) -> Vec<Line<'static>> {
    let Some(channel) = channels.shown.get(n).and_then(|id| app.world().channel(*id)) else { return Vec::new() };
    if n < channels.meeting_points {
        return card(app, channels, channel, width);
    }
    brief(app, channels, channel, width)
}

/// The first channel that may stand at the top for another one to be seen.
pub fn top_showing(app: &App, channels: &Channels, at: usize, width: usize, height: usize) -> usize {
    layout::top_showing(at, height, |n| row(app, channels, n, width).len())
}
