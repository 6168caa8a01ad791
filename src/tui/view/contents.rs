//! What is inside one channel: bytes as text or as hexadecimal numbers and who wrote them, messages
//! one by one, both directions of a connection, memory with its last changes, semaphores, locks.

use std::ops::Range;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::cards::{self, Ends, heading};
use super::{lines, put};
use crate::model::{Channel, ChannelKind, Contents, End, Memory, Run};
use crate::tui::app::{App, Channels, Pane};
use crate::tui::theme::Role;
use crate::tui::{layout, text};

/// Bytes a line of the hexadecimal view.
const ROW: usize = 16;
/// Up to how many bytes of one message are shown as text.
const LIMIT: usize = 64 * 1024;
/// Up to how many messages, semaphores or locks are listed.
const LISTED: usize = 1000;

/// How many bytes a memory keeps together.
const PAGE: u64 = 256;

/// Draws the channel that is chosen, or the first one.
pub fn render(app: &App, channels: &Channels, area: Rect, buf: &mut Buffer) {
    let Some(channel) = app.shown_channel(channels).and_then(|id| app.world().channel(id)) else {
        put(buf, area, area.x + 1, area.y, super::channels::NOTHING, app.style(Role::Faded));
        return;
    };
    let width = usize::from(area.width);
    let head = heading(app, channels, channel, width);
    lines(buf, area, &head, 0);
    let used = (head.len() as u16 + 1).min(area.height);
    let below = Rect { y: area.y + used, height: area.height - used, ..area };
    let shown = body(app, channels, channel, width, app.scroll.contents, usize::from(below.height));
    lines(buf, below, &shown, 0);
}

/// How many lines there are to scroll through.
pub fn height(app: &App) -> usize {
    let channels = Channels::of(app);
    let Some(channel) = app.shown_channel(&channels).and_then(|id| app.world().channel(id)) else { return 0 };
    let width = layout::columns_of(app, Pane::Channels);
    let head = heading(app, &channels, channel, width).len() + 1;
    head + pieces(app, &channels, channel, width).iter().map(Piece::height).sum::<usize>()
}

fn body(
    app: &App,
    channels: &Channels,
    channel: &Channel,
    width: usize,
    top: usize,
    height: usize,
) -> Vec<Line<'static>> {
    let mut skip = top;
    let mut out = Vec::new();
    for piece in pieces(app, channels, channel, width) {
        let total = piece.height();
        // Only what is seen is written out: a full pipe has four thousand lines.
        let seen = skip.min(total)..total.min(skip + height.saturating_sub(out.len()));
        skip = skip.saturating_sub(total);
        out.extend(seen.map(|n| piece.line(app, channel, n, width)));
        if out.len() >= height {
            break;
        }
    }
    out
}

/// Some lines that belong together.
enum Piece {
    /// A line as it stands.
    Line(String, Role),
    /// Bytes as text, in lines that fit.
    Text(Vec<String>),
    /// Bytes as hexadecimal numbers, from this one on.
    Hex(u64, Vec<u8>),
    /// A stretch of memory, and in it what changed last.
    Memory(Range<u64>, Option<Range<u64>>),
}

impl Piece {
    fn height(&self) -> usize {
        match self {
            Self::Line(..) => 1,
            Self::Text(lines) => lines.len(),
            Self::Hex(_, bytes) => bytes.len().div_ceil(ROW),
            Self::Memory(range, _) => (range.end - range.start).div_ceil(ROW as u64) as usize,
        }
    }

    fn line(&self, app: &App, channel: &Channel, n: usize, width: usize) -> Line<'static> {
        let bytes = |row: String| Line::styled(text::fit(&format!(" {row}"), width), app.style(Role::Bytes));
        match self {
            Self::Line(text, role) => Line::styled(text::fit(text, width), app.style(*role)),
            Self::Text(lines) => {
                let text = lines.get(n).cloned().unwrap_or_default();
                Line::from_iter([Span::raw("   "), Span::styled(text, app.style(Role::Bytes))])
            }
            Self::Hex(at, all) => {
                let row = all.chunks(ROW).nth(n).unwrap_or_default();
                bytes(cards::hex_row(at.saturating_add((n * ROW) as u64), row, ROW, None))
            }
            Self::Memory(range, changed) => {
                let at = range.start.saturating_add((n * ROW) as u64);
                let row = channel.memory.read(at, range.end.saturating_sub(at).min(ROW as u64) as usize);
                bytes(cards::hex_row(at, &row, ROW, changed.as_ref()))
            }
        }
    }
}

/// What is inside, in the order in which it is shown.
fn pieces(app: &App, channels: &Channels, channel: &Channel, width: usize) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let title = |text: String| Piece::Line(format!(" {text}"), Role::Strong);
    if let Some(ends) = Ends::of(app, channels, channel) {
        for (arrow, end, name) in [("▶", End::Second, &ends.second), ("◀", End::First, &ends.first)] {
            pieces.push(title(format!("{arrow} to {name}")));
            if channel.is_outside(end) {
                pieces.push(Piece::Line("   what leaves the run is not followed".to_owned(), Role::Faded));
            } else {
                pieces.extend(inside(app, channel, channel.inbox(end), width));
            }
        }
    } else if let Some(socket) = channel.socket.as_deref().filter(|socket| socket.backlog.is_some()) {
        pieces.push(title("connections that wait to be accepted, oldest first".to_owned()));
        let waiting = socket.waiting.iter().take(LISTED).enumerate();
        pieces.extend(
            waiting.map(|(n, id)| Piece::Line(format!(" {:>3}  {}", n + 1, client(app, channels, *id)), Role::Bytes)),
        );
        if socket.waiting.is_empty() {
            pieces.push(Piece::Line("   none".to_owned(), Role::Faded));
        }
    } else if channel.kind.is_queue() {
        pieces.extend(inside(app, channel, &channel.contents, width));
    }
    if channel.kind.is_memory() {
        pieces.extend(memory(&channel.memory, cards::changed(channel).as_ref()));
        pieces.push(title("what changed, last first".to_owned()));
        pieces.extend(cards::accesses(app, channel).into_iter().map(|it| Piece::Line(format!("   {it}"), Role::Text)));
    }
    let list = |list: Vec<String>| list.into_iter().map(|it| Piece::Line(format!("   {it}"), Role::Bytes));
    if channel.kind == ChannelKind::Sem {
        pieces.push(title("semaphores of the set".to_owned()));
        pieces.extend(list(cards::semaphore_list(app, channel, LISTED)));
    }
    if !channel.locks.is_empty() {
        pieces.push(title("locks".to_owned()));
        pieces.extend(list(cards::lock_list(app, channels, channel, LISTED)));
    }
    if channel.tty.master {
        let why = " what waits is counted, not kept: a terminal echoes, translates and edits what is written";
        pieces.push(Piece::Line(why.to_owned(), Role::Faded));
    }
    // Of what tells of something else the card has said it all.
    if pieces.is_empty() && !channel.kind.tells() {
        pieces.push(Piece::Line(" what waits inside is not followed for this kind".to_owned(), Role::Faded));
    }
    pieces
}

/// Who is at the first end of a connection.
fn client(app: &App, channels: &Channels, id: crate::model::ChannelId) -> String {
    let from =
        channels.holders(id).first().map(|holder| format!(" from {} {}", app.words().task(holder.task), holder.fd));
    format!("{}{}", app.words().channel(id), from.unwrap_or_default())
}

/// Messages, or stretches of bytes that came from one task.
fn inside(app: &App, channel: &Channel, contents: &Contents, width: usize) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut at = 0;
    for (n, (run, bytes)) in contents.messages().take(LISTED).enumerate() {
        let number = channel.messages.then_some(n + 1);
        pieces.push(Piece::Line(head(app, number, &run, bytes.len() as u64), Role::Strong));
        if app.hex {
            pieces.push(Piece::Hex(if channel.messages { 0 } else { at }, bytes));
        } else {
            pieces.push(Piece::Text(as_text(&bytes, width)));
        }
        at = at.saturating_add(run.len);
    }
    if contents.count() > LISTED {
        pieces.push(Piece::Line(format!(" and {} more", contents.count() - LISTED), Role::Faded));
    }
    if pieces.is_empty() {
        pieces.push(Piece::Line("   nothing waits inside".to_owned(), Role::Faded));
    }
    pieces
}

/// `29 B from parent`, `2: type 3, 4 B from parent`.
fn head(app: &App, number: Option<usize>, run: &Run, known: u64) -> String {
    let unknown = run.len.saturating_sub(known);
    let rest = if unknown > 0 { format!(", the last {unknown} not captured") } else { String::new() };
    let number = number.map(|n| format!("{n}: ")).unwrap_or_default();
    let mark = match app.words().mark(run.mark) {
        mark if mark.is_empty() => mark,
        mark => format!("{mark}, "),
    };
    format!(" {number}{mark}{} B from {}{rest}", run.len, app.words().task(run.from))
}

fn as_text(bytes: &[u8], width: usize) -> Vec<String> {
    let room = width.saturating_sub(4).max(8);
    bytes
        .split_inclusive(|byte| *byte == b'\n')
        .flat_map(|line| text::chop(&text::clean_bytes(line, LIMIT), room))
        .collect()
}

/// The stretches of memory of which anything was ever seen; where all is zero, a line says so.
fn memory(memory: &Memory, last: Option<&Range<u64>>) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut seen = 0;
    for stretch in stretches(memory) {
        if stretch.start > seen {
            let gap = format!("   … nothing was seen of bytes {seen}–{}", stretch.start - 1);
            pieces.push(Piece::Line(gap, Role::Faded));
        }
        seen = stretch.end;
        let bytes = memory.read(stretch.start, (stretch.end - stretch.start) as usize);
        let changes = |at: u64| last.is_some_and(|it| it.start < at.saturating_add(ROW as u64) && at < it.end);
        let at = |row: usize| stretch.start.saturating_add((row * ROW) as u64);
        let is_dull = |(row, bytes): (usize, &[u8])| bytes.iter().all(|byte| *byte == 0) && !changes(at(row));
        let dull: Vec<bool> = bytes.chunks(ROW).enumerate().map(is_dull).collect();
        let mut row = 0;
        for run in dull.chunk_by(|a, b| a == b) {
            let range = at(row)..at(row + run.len());
            row += run.len();
            pieces.push(match run {
                [true, true, ..] => {
                    Piece::Line(format!(" {:06} to {:06}: zero", range.start, range.end - 1), Role::Faded)
                }
                _ => Piece::Memory(range, last.cloned()),
            });
        }
    }
    if pieces.is_empty() {
        pieces.push(Piece::Line("   no byte of it was seen to change".to_owned(), Role::Faded));
    }
    pieces
}

/// What a memory knows, without gaps.
fn stretches(memory: &Memory) -> Vec<Range<u64>> {
    let mut stretches: Vec<Range<u64>> = Vec::new();
    for page in memory.known() {
        let end = page.saturating_add(PAGE);
        match stretches.last_mut() {
            Some(last) if last.end == page => last.end = end,
            _ => stretches.push(page..end),
        }
    }
    stretches
}
