//! What the run printed: the bytes of its writes to `stdout` and `stderr`, in their order.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::put;
use crate::model::{Event, Kind, TaskId};
use crate::tui::app::{App, Stream};
use crate::tui::text;
use crate::tui::theme::Role;

/// Up to how many writes are looked at.
const WRITES: usize = 4096;
/// Up to how many lines can be scrolled back.
const SCROLLBACK: usize = 2000;
/// Up to how many lines of the screen one line of output takes.
const LONGEST: usize = 16;
/// Columns for the name of the writer.
const NAME: usize = 10;

/// A line of output.
struct Printed {
    task: TaskId,
    stream: Stream,
    bytes: Vec<u8>,
    ended: bool,
}

/// Draws the last lines, or those above them.
pub fn render(app: &App, area: Rect, buf: &mut Buffer) {
    let back = app.scroll.tabs[1];
    let lines = lines(app, area.width, usize::from(area.height) + back);
    if lines.is_empty() {
        put(buf, area, area.x + 1, area.y, "nothing has been printed so far", app.style(Role::Faded));
        return;
    }
    let end = lines.len().saturating_sub(back).max(usize::from(area.height).min(lines.len()));
    let shown = &lines[end.saturating_sub(usize::from(area.height))..end];
    super::lines(buf, area, shown, 0);
}

/// How many lines there are to scroll through.
pub fn height(app: &App, width: u16) -> usize {
    lines(app, width, SCROLLBACK).len()
}

fn lines(app: &App, width: u16, wanted: usize) -> Vec<Line<'static>> {
    let printed = printed(app, wanted);
    let mut before = None;
    let mut lines = Vec::new();
    for line in &printed {
        let who = (line.task, line.stream);
        let name = if before == Some(who) { String::new() } else { app.words().task(line.task) };
        before = Some(who);
        let (mark, role) = match line.stream {
            Stream::Out => ("│", Role::Text),
            Stream::Error => ("!", Role::Bad),
        };
        let room = usize::from(width).saturating_sub(NAME + 3).max(8);
        let body = text::chop(&text::clean_bytes(&plain(&line.bytes), room * LONGEST), room);
        let names = std::iter::once(name.as_str()).chain(std::iter::repeat(""));
        lines.extend(body.into_iter().take(LONGEST).zip(names).map(|(body, name)| {
            Line::from_iter([
                Span::styled(format!(" {}", text::pad(name, NAME)), app.style(Role::Faded)),
                Span::styled(mark, app.style(role)),
                Span::styled(body, app.style(role)),
            ])
        }));
    }
    lines
}

/// The last lines of output, oldest first.
fn printed(app: &App, wanted: usize) -> Vec<Printed> {
    let all = app.index.output_before(app.applied());
    let mut breaks = 0;
    let mut first = all.len();
    while first > 0 && breaks <= wanted && all.len() - first < WRITES {
        first -= 1;
        if let Some((_, _, bytes, _)) = app.log.get(u64::from(all[first])).and_then(|event| write(app, event)) {
            breaks += bytes.split(|byte| *byte == b'\n').count() - 1;
        }
    }
    let mut lines: Vec<Printed> = Vec::new();
    for (task, stream, bytes, missing) in
        all[first..].iter().filter_map(|seq| app.log.get(u64::from(*seq))).filter_map(|event| write(app, event))
    {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            push(&mut lines, task, stream, piece);
        }
        if missing > 0 {
            push(&mut lines, task, stream, format!("[{missing} B not captured]\n").as_bytes());
        }
    }
    let surplus = lines.len().saturating_sub(wanted.min(SCROLLBACK));
    lines.drain(..surplus);
    lines
}

fn write<'a>(app: &'a App, event: &Event) -> Option<(TaskId, Stream, &'a [u8], u64)> {
    let Kind::Write { channel, bytes, data, .. } = event.kind else { return None };
    Some((event.task, app.index.stream(channel)?, app.log.bytes(data), bytes.saturating_sub(u64::from(data.len))))
}

fn push(lines: &mut Vec<Printed>, task: TaskId, stream: Stream, piece: &[u8]) {
    let ended = piece.ends_with(b"\n");
    let body = piece.strip_suffix(b"\n").unwrap_or(piece);
    match lines.last_mut() {
        Some(last) if !last.ended && last.task == task && last.stream == stream => {
            last.bytes.extend_from_slice(body);
            last.ended = ended;
        }
        _ => lines.push(Printed { task, stream, bytes: body.to_vec(), ended }),
    }
}

/// The bytes without colour sequences, with tabs as blanks; anything else that could steer the
/// terminal is escaped when it is drawn.
fn plain(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&first, after)) = rest.split_first() {
        if let Some(colour) = rest.strip_prefix(b"\x1b[")
            && let Some(end) = colour.iter().position(|byte| !matches!(byte, b'0'..=b'9' | b';' | b':'))
            && colour[end] == b'm'
        {
            rest = &colour[end + 1..];
            continue;
        }
        match first {
            b'\t' => out.extend(std::iter::repeat_n(b' ', 8 - out.len() % 8)),
            b'\r' if after.is_empty() => {}
            byte => out.push(byte),
        }
        rest = after;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn colours_go_and_everything_else_stays() {
        assert_eq!(plain(b"\x1b[1;31mred\x1b[0m\tx\r"), b"red     x");
        assert_eq!(plain(b"\x1b[2Jx\x1b["), b"\x1b[2Jx\x1b[");
    }
}
