//! Where processes meet: how full each channel is, what is inside, and who holds which end.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::{highlight, put};
use crate::model::{Channel, ChannelId};
use crate::tui::app::{App, Channels, Holder};
use crate::tui::theme::Role;
use crate::tui::{layout, text};

/// Columns of the bar that shows how full it is.
const BAR: usize = 10;

/// Draws the pane.
pub fn render(app: &App, area: Rect, buf: &mut Buffer) {
    let channels = Channels::of(app);
    if channels.shown.is_empty() {
        let text = if app.applied() == 0 { "nothing has been opened yet" } else { "no pipe, FIFO or socket is open" };
        put(buf, area, area.x + 1, area.y, text, app.style(Role::Faded));
    }
    let shown = visible(app, &channels, usize::from(area.width), usize::from(area.height));
    for (y, (id, line)) in (area.y..).zip(&shown) {
        buf.set_line(area.x, y, line, area.width);
        if app.chosen_channel == Some(*id) {
            highlight(buf, Rect { width: 1, ..area }, y, app.style(Role::Selected));
        }
    }
    note(app, &channels, &shown, area, buf);
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
    vec![head(app, channel, width), totals(app, channels, channel, width)]
}

/// The first channel that may stand at the top for another one to be seen.
pub fn top_showing(app: &App, channels: &Channels, at: usize, width: usize, height: usize) -> usize {
    layout::top_showing(at, height, |n| row(app, channels, n, width).len())
}

/// Everything about one meeting point.
pub fn card(app: &App, channels: &Channels, channel: &Channel, width: usize) -> Vec<Line<'static>> {
    let holders = channels.holders(channel.id);
    let mut lines = vec![head(app, channel, width)];
    if !channel.kind.is_pipe() {
        lines.push(totals(app, channels, channel, width));
        return lines;
    }
    lines.push(flow(app, channel, holders, width));
    let writers: Vec<&Holder> = holders.iter().filter(|holder| holder.access.writes()).collect();
    let readers: Vec<&Holder> = holders.iter().filter(|holder| holder.access.reads()).collect();
    if writers.len() > 1 || readers.len() > 1 {
        lines.push(ends(app, "write ends", &writers, width));
        lines.push(ends(app, "read ends", &readers, width));
    }
    let moved = format!("   {} B in, {} B out so far", channel.written, channel.read);
    lines.push(Line::styled(text::fit(&moved, width), app.style(Role::Faded)));
    lines
}

/// Kind, name, and how full it is.
fn head(app: &App, channel: &Channel, width: usize) -> Line<'static> {
    let name = app.words().channel(channel.id);
    let mut right = String::new();
    if channel.kind.is_pipe() {
        right = format!("{} / {} B {}", channel.contents.len(), channel.capacity, bar(channel));
    }
    let kind = format!(" {} ", channel.kind.as_str());
    let room = width.saturating_sub(text::width(&kind) + text::width(&right) + 1);
    Line::from_iter([
        Span::raw(kind),
        Span::styled(text::pad(&name, room), app.style(Role::Strong)),
        Span::raw(" "),
        Span::styled(right, app.style(Role::Bytes)),
    ])
}

/// `▕██░░░▏`. A channel that holds anything shows at least one block, one that is not full lacks one.
fn bar(channel: &Channel) -> String {
    let Some(fullness) = channel.fullness() else { return String::new() };
    let blocks = match (fullness * BAR as f64).round() as usize {
        0 if !channel.contents.is_empty() => 1,
        BAR if channel.contents.len() < channel.capacity => BAR - 1,
        n => n,
    };
    format!("▕{}{}▏", "█".repeat(blocks), "░".repeat(BAR - blocks))
}

/// `parent ─4▶ "Nature's first…" ─3▶ child`.
fn flow(app: &App, channel: &Channel, holders: &[Holder], width: usize) -> Line<'static> {
    let side = |writes: bool| -> (String, String, bool) {
        let fitting: Vec<&Holder> = holders
            .iter()
            .filter(|holder| if writes { holder.access.writes() } else { holder.access.reads() })
            .collect();
        match fitting.as_slice() {
            [] => (format!("no {}", if writes { "writer" } else { "reader" }), String::new(), true),
            [one] => (app.words().task(one.task), one.fd.to_string(), false),
            many => {
                (format!("{} {}", many.len(), if writes { "write ends" } else { "read ends" }), String::new(), false)
            }
        }
    };
    let (writer, write_fd, nobody_writes) = side(true);
    let (reader, read_fd, nobody_reads) = side(false);
    let third = width / 3;
    let (writer, reader) = (text::fit(&writer, third), text::fit(&reader, third));
    let left = if nobody_writes { "  ".to_owned() } else { format!(" ─{write_fd}▶ ") };
    let right = if nobody_reads { "  ".to_owned() } else { format!(" ─{read_fd}▶ ") };
    let used: usize = [writer.as_str(), &left, &right, &reader].iter().map(|part| text::width(part)).sum();
    let inside = excerpt(channel, width.saturating_sub(used + 3));
    let role = |nobody: bool| app.style(if nobody { Role::Bad } else { Role::Text });
    Line::from_iter([
        Span::raw("   "),
        Span::styled(writer, role(nobody_writes)),
        Span::raw(left),
        Span::styled(inside, app.style(Role::Bytes)),
        Span::raw(right),
        Span::styled(reader, role(nobody_reads)),
    ])
}

/// The start of what is inside, between quotation marks.
fn excerpt(channel: &Channel, room: usize) -> String {
    if channel.contents.is_empty() {
        return text::fit("(empty)", room);
    }
    let (bytes, gap) = channel.contents.prefix(room.max(1));
    let shown = text::clean_bytes(&bytes, room);
    let cut = gap || (bytes.len() as u64) < channel.contents.len();
    let room = room.saturating_sub(2);
    let fitted = if cut && text::width(&shown) < room { format!("{shown}…") } else { text::fit(&shown, room) };
    format!("\"{fitted}\"")
}

/// `write ends: parent 4, child 4`.
fn ends(app: &App, what: &str, holders: &[&Holder], width: usize) -> Line<'static> {
    let named = holders.iter().take(8).map(|holder| format!("{} {}", app.words().task(holder.task), holder.fd));
    let mut list = named.collect::<Vec<_>>().join(", ");
    match holders.len() {
        0 => list.push_str("none"),
        n if n > 8 => list.push_str(", …"),
        _ => {}
    }
    Line::raw(text::fit(&format!("   {what}: {list}"), width))
}

/// What went through, and who holds it, for everything that is no pipe.
fn totals(app: &App, channels: &Channels, channel: &Channel, width: usize) -> Line<'static> {
    let holders: Vec<&Holder> = channels.holders(channel.id).iter().collect();
    let list = ends(app, "held by", &holders, width).to_string();
    let text = format!("   {} B in, {} B out ·{}", channel.written, channel.read, list.trim_start_matches("  "));
    Line::styled(text::fit(&text, width), app.style(Role::Faded))
}
