//! The bytes that wait in one channel, as text or as hexadecimal numbers, and who wrote them.

use std::fmt::Write as _;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::channels::card;
use super::{lines, put};
use crate::model::{Channel, Contents, Run};
use crate::tui::app::{App, Channels, Pane};
use crate::tui::theme::Role;
use crate::tui::{layout, text};

/// Bytes a line of the hexadecimal view.
const ROW: usize = 16;
/// Up to how many bytes are shown.
const LIMIT: usize = 64 * 1024;

/// Draws the channel that is chosen, or the first one.
pub fn render(app: &App, area: Rect, buf: &mut Buffer) {
    let channels = Channels::of(app);
    let Some(channel) = app.shown_channel(&channels).and_then(|id| app.world().channel(id)) else {
        put(buf, area, area.x + 1, area.y, "no pipe, FIFO or socket is open", app.style(Role::Faded));
        return;
    };
    let head = card(app, &channels, channel, usize::from(area.width));
    lines(buf, area, &head, 0);
    let used = (head.len() as u16 + 1).min(area.height);
    let below = Rect { y: area.y + used, height: area.height - used, ..area };
    if !channel.kind.is_pipe() {
        put(
            buf,
            below,
            below.x + 1,
            below.y,
            "what waits inside is followed for pipes and FIFOs only",
            app.style(Role::Faded),
        );
        return;
    }
    let shown = body(app, channel, usize::from(area.width), app.scroll.contents, usize::from(below.height));
    lines(buf, below, &shown, 0);
}

/// How many lines there are to scroll through.
pub fn height(app: &App) -> usize {
    let channels = Channels::of(app);
    let Some(channel) = app.shown_channel(&channels).and_then(|id| app.world().channel(id)) else { return 0 };
    let width = layout::columns_of(app, Pane::Channels);
    let head = card(app, &channels, channel, width).len() + 1;
    head + sections(app, &channel.contents, width).iter().map(|section| section.height(app, width)).sum::<usize>()
}

/// What one task wrote in one go.
struct Section {
    from: String,
    run: Run,
    at: u64,
    bytes: Vec<u8>,
}

impl Section {
    fn height(&self, app: &App, width: usize) -> usize {
        1 + if app.hex { self.bytes.len().div_ceil(ROW) } else { self.text(width).len() }
    }

    fn head(&self) -> String {
        let unknown = self.run.len.saturating_sub(self.bytes.len() as u64);
        let rest = if unknown > 0 { format!(", the last {unknown} not captured") } else { String::new() };
        format!(" {} B from {}{rest}", self.run.len, self.from)
    }

    fn text(&self, width: usize) -> Vec<String> {
        let room = width.saturating_sub(4).max(8);
        self.bytes
            .split_inclusive(|byte| *byte == b'\n')
            .flat_map(|line| text::chop(&text::clean_bytes(line, LIMIT), room))
            .collect()
    }

    fn hex(&self, row: usize) -> Option<String> {
        let bytes = self.bytes.chunks(ROW).nth(row)?;
        let mut out = format!(" {:06x} ", self.at + (row * ROW) as u64);
        for n in 0..ROW {
            match bytes.get(n) {
                Some(byte) => {
                    let _ = write!(out, " {byte:02x}");
                }
                None => out.push_str("   "),
            }
        }
        let shown = bytes.iter().map(|byte| if (0x20..0x7f).contains(byte) { char::from(*byte) } else { '.' });
        out.push_str("  │");
        out.extend(shown);
        out.push('│');
        Some(out)
    }
}

fn sections(app: &App, contents: &Contents, _width: usize) -> Vec<Section> {
    let (known, _) = contents.prefix(LIMIT);
    let mut rest = known.as_slice();
    let mut at = 0;
    let mut sections = Vec::new();
    for run in contents.runs() {
        let (bytes, after) = rest.split_at((run.known as usize).min(rest.len()));
        rest = after;
        sections.push(Section { from: app.words().task(run.from), run, at, bytes: bytes.to_vec() });
        at += run.len;
        if sections.len() >= 1000 {
            break;
        }
    }
    sections
}

fn body(app: &App, channel: &Channel, width: usize, top: usize, height: usize) -> Vec<Line<'static>> {
    let mut skip = top;
    let mut out = Vec::new();
    for section in sections(app, &channel.contents, width) {
        if out.len() >= height {
            break;
        }
        let total = section.height(app, width);
        if skip >= total {
            skip -= total;
            continue;
        }
        let head = Line::styled(text::fit(&section.head(), width), app.style(Role::Strong));
        let mut all = vec![head];
        if app.hex {
            // Only what is seen is written out: a full pipe has four thousand lines.
            let first = skip.saturating_sub(1);
            let rows = (first..first + height).map_while(|row| section.hex(row));
            let rows = rows.map(|row| Line::styled(text::fit(&row, width), app.style(Role::Bytes)));
            if skip > 0 {
                all.clear();
            }
            all.extend(rows);
            skip = 0;
        } else {
            let indent =
                |piece: String| Line::from_iter([Span::raw("   "), Span::styled(piece, app.style(Role::Bytes))]);
            all.extend(section.text(width).into_iter().map(indent));
        }
        out.extend(all.into_iter().skip(std::mem::take(&mut skip)));
    }
    out.truncate(height);
    if out.is_empty() && channel.contents.is_empty() {
        out.push(Line::styled(" nothing waits inside", app.style(Role::Faded)));
    }
    out
}
