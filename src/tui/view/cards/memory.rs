//! Shared memory: who has it mapped, its first bytes, and the last change with its writer.

use std::fmt::Write as _;
use std::ops::Range;

use ratatui::text::Line;

use super::{Card, names};
use crate::model::{Change, Channel};
use crate::tui::app::App;
use crate::tui::theme::Role;

/// Columns of a line of hexadecimal numbers, without its bytes.
const FRAME: usize = 3 + 7 + 3;
/// Columns of one byte in it.
const BYTE: usize = 4;

pub(super) fn lines(card: &Card<'_>) -> Vec<Line<'static>> {
    let mut lines = vec![card.head(&[format!("{} B", card.channel.capacity)]), people(card)];
    lines.extend(card.waiting());
    if !card.inside {
        return lines;
    }
    let last = changed(card.channel);
    let row = if card.width >= FRAME + 16 * BYTE { 16 } else { 8 };
    let first = 0..row as u64;
    let mut rows = vec![first];
    // What changed last is seen, wherever it is.
    if let Some(change) = last.as_ref().filter(|change| change.start >= row as u64) {
        let start = change.start / row as u64 * row as u64;
        rows.push(start..start.saturating_add(row as u64));
    }
    for Range { start, end } in rows {
        let end = if card.channel.capacity > 0 { end.min(card.channel.capacity.max(start)) } else { end };
        let bytes = card.channel.memory.read(start, (end - start) as usize);
        let mut line = hex_row(start, &bytes, row, last.as_ref());
        if card.width < FRAME + row * BYTE {
            // Without the text at its right, rather than with a part of it.
            line.truncate(line.find(" │").unwrap_or(line.len()));
        }
        lines.push(card.line(&line, Role::Bytes));
    }
    if let Some(change) = card.channel.memory.changes().next_back() {
        lines.push(card.line(&format!("last: {}", sentence(card.app, change)), Role::Text));
    }
    lines
}

/// Who has it mapped, and who only holds it.
fn people(card: &Card<'_>) -> Line<'static> {
    let users = card.channels.users(card.channel.id);
    let mapped: Vec<String> = {
        let mut seen = Vec::new();
        let mut mapped: Vec<String> = Vec::new();
        for user in users.iter().filter(|user| user.bytes > 0) {
            if !seen.contains(&user.task) {
                seen.push(user.task);
                mapped.push(format!("{} {}", card.task(user.task), user.access.as_str()));
            }
            if mapped.len() > super::NAMED {
                break;
            }
        }
        mapped
    };
    let unmapped = |task| !users.iter().any(|user| user.task == task && user.bytes > 0);
    let attached = names(card.app, users.iter().map(|user| user.task).filter(|task| unmapped(*task)));
    let mut parts = Vec::new();
    if !mapped.is_empty() {
        parts.push(format!("mapped by: {}", mapped.join(", ")));
    }
    if !attached.is_empty() {
        parts.push(format!("got by: {attached}"));
    }
    parts.extend(card.held_by());
    if parts.is_empty() {
        return card.line("mapped by: none", Role::Faded);
    }
    card.line(&parts.join(" · "), Role::Text)
}

/// The bytes that changed last.
pub fn changed(channel: &Channel) -> Option<Range<u64>> {
    let change = channel.memory.changes().next_back()?;
    Some(change.offset..change.offset.saturating_add(change.bytes))
}

/// `000016  00 [05 00]00 …  │....│`: the first number counts bytes, as offsets of events do; what changed
/// last stands between brackets.
pub fn hex_row(at: u64, bytes: &[u8], row: usize, changed: Option<&Range<u64>>) -> String {
    let is_changed = |at: u64| changed.is_some_and(|changed| changed.contains(&at));
    let mut out = format!("{at:06} ");
    for n in 0..row {
        let here = at.saturating_add(n as u64);
        let before = n.checked_sub(1).is_some_and(|n| n < bytes.len() && is_changed(at.saturating_add(n as u64)));
        let now = n < bytes.len() && is_changed(here);
        out.push(match (before, now) {
            (false, true) => '[',
            (true, false) => ']',
            _ => ' ',
        });
        match bytes.get(n) {
            Some(byte) => {
                let _ = write!(out, "{byte:02x}");
            }
            None => out.push_str("  "),
        }
    }
    let last = bytes.len() == row && is_changed(at.saturating_add(row as u64 - 1));
    out.push(if last { ']' } else { ' ' });
    out.push_str(" │");
    out.extend(bytes.iter().map(|byte| if (0x20..0x7f).contains(byte) { char::from(*byte) } else { '.' }));
    out.push('│');
    out
}

/// `child [0] 4 → 5 at 21`: the number is that of the event.
fn sentence(app: &App, change: &Change) -> String {
    let by = app.words().task(change.by);
    let what = app.log.get(change.seq).map_or_else(String::new, |event| app.words().change(event));
    format!("{by} {what} at {}", change.seq + 1)
}

/// The last changes, newest first, as sentences.
pub fn accesses(app: &App, channel: &Channel) -> Vec<String> {
    channel.memory.changes().rev().map(|change| sentence(app, change)).collect()
}

#[cfg(test)]
mod tests {
    use super::hex_row;

    #[test]
    fn what_changed_stands_between_brackets() {
        let bytes = [0, 5, 0, 0x41];
        assert_eq!(hex_row(0, &bytes, 4, Some(&(1..3))), "000000  00[05 00]41  │...A│");
        assert_eq!(hex_row(0, &bytes, 4, Some(&(0..4))), "000000 [00 05 00 41] │...A│");
        assert_eq!(hex_row(4, &bytes[..2], 4, Some(&(5..6))), "000004  00[05]       │..│");
        assert_eq!(hex_row(0, &bytes, 4, None), "000000  00 05 00 41  │...A│");
    }
}
