//! Semaphores: their values, who took them, who waits.

use ratatui::text::Line;

use super::Card;
use crate::model::{Channel, Held};
use crate::tui::app::App;
use crate::tui::text;
use crate::tui::theme::Role;

/// How many semaphores of a set a card shows.
const SHOWN: usize = 4;

pub(super) fn lines(card: &Card<'_>) -> Vec<Line<'static>> {
    let count = count(card.channel);
    if count == 1 {
        let mut lines = vec![card.head(&[format!("value {}", card.channel.value(0))])];
        let state = state(card.app, card.channel, 0);
        if !state.is_empty() {
            lines.push(card.line(&state, Role::Bytes));
        }
        lines.extend(card.waiting());
        lines.push(card.people());
        return lines;
    }
    let mut lines = vec![card.head(&[text::count(count, "semaphore")])];
    let shown = if card.inside { SHOWN } else { 0 };
    let list = list(card.app, card.channel, shown);
    lines.extend(list.iter().map(|line| card.line(line, Role::Bytes)));
    if count > shown && card.inside {
        lines.push(card.line(&format!("and {} more", count - shown), Role::Bytes));
    }
    lines.extend(card.waiting());
    lines.push(card.people());
    lines
}

/// How many semaphores a set has: as many as it was made with, as far as that is known.
fn count(channel: &Channel) -> usize {
    let known = channel.semaphores.keys().next_back().map_or(1, |last| *last as usize + 1);
    known.max(usize::try_from(channel.capacity).unwrap_or(usize::MAX)).min(1 << 16)
}

/// The first semaphores of a set, a line each.
pub fn list(app: &App, channel: &Channel, limit: usize) -> Vec<String> {
    (0..count(channel).min(limit))
        .map(|index| {
            let state = state(app, channel, index as u32);
            let gap = if state.is_empty() { "" } else { "  " };
            format!("[{index}] value {}{gap}{state}", channel.value(index as u32))
        })
        .collect()
}

/// Who took it, who changed it last, what is undone when somebody ends.
fn state(app: &App, channel: &Channel, index: u32) -> String {
    let Some(semaphore) = channel.semaphores.get(&index) else { return String::new() };
    let mut parts = Vec::new();
    if let Some(by) = channel.holder(index) {
        parts.push(format!("held by: {}", app.words().task(by)));
    } else if !semaphore.taken.is_empty() {
        parts.push(format!("taken: {}", taken(app, &semaphore.taken)));
    } else if let Some(last) = semaphore.last {
        parts.push(format!("last changed by {}", app.words().task(last)));
    }
    if !semaphore.undo.is_empty() {
        parts.push(format!("undone at exit: {}", undo(app, &semaphore.undo)));
    }
    parts.join(" · ")
}

/// `parent 2, child 1`: how much each has taken and not given back.
fn taken(app: &App, taken: &[Held]) -> String {
    let named = taken.iter().take(super::NAMED).map(|held| format!("{} {}", app.words().task(held.by), held.count));
    named.collect::<Vec<_>>().join(", ")
}

/// `parent +1`.
fn undo(app: &App, undo: &[Held]) -> String {
    let named = undo.iter().take(super::NAMED).map(|held| format!("{} {:+}", app.words().task(held.by), held.count));
    named.collect::<Vec<_>>().join(", ")
}
