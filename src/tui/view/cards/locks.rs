//! Locks on a file: which bytes, which mode, whose, who waits.

use ratatui::text::Line;

use super::{Card, names};
use crate::model::{Channel, Lock, LockKind, LockMode, Owner, Why};
use crate::tui::app::{App, Channels, Waiter};
use crate::tui::text;
use crate::tui::theme::Role;

/// How many locks a card shows.
const SHOWN: usize = 4;

pub(super) fn lines(card: &Card<'_>) -> Vec<Line<'static>> {
    let shown = if card.inside { SHOWN } else { 0 };
    let list = list(card.app, card.channels, card.channel, shown);
    let mut lines: Vec<Line<'static>> = list.iter().map(|line| card.line(line, Role::Bytes)).collect();
    let count = card.channel.locks.len();
    if count > shown && card.inside {
        lines.push(card.line(&format!("and {} more", count - shown), Role::Bytes));
    }
    let waiters = card.channels.waiters(card.channel.id).iter().filter(|waiter| waiter.why == Why::Lock);
    let wish = |waiter: &Waiter| match card.wish(waiter.task).as_str() {
        "" => format!("{} wants a lock", card.task(waiter.task)),
        wish => format!("{} wants{wish}", card.task(waiter.task)),
    };
    let wishes: Vec<String> = waiters.take(super::NAMED).map(wish).collect();
    if !wishes.is_empty() {
        lines.push(card.line(&format!("◌ {}", wishes.join(", ")), Role::Blocked));
    }
    lines
}

/// The first locks on a file, a line each.
pub fn list(app: &App, channels: &Channels, channel: &Channel, limit: usize) -> Vec<String> {
    let locks = &channel.locks[..channel.locks.len().min(limit)];
    let spans: Vec<String> = locks.iter().map(span).collect();
    let column = spans.iter().map(|span| text::width(span)).max().unwrap_or(0);
    let line = |(lock, span): (&Lock, &String)| {
        let mode = match (lock.kind, lock.mode) {
            (LockKind::Flock, LockMode::Read) => "shared",
            (LockKind::Flock, LockMode::Write) => "exclusive",
            (_, LockMode::Read) => "read",
            (_, LockMode::Write) => "write",
            (_, LockMode::Unlock) => "",
        };
        format!("{} {mode} {}", text::pad(span, column), owner(app, channels, channel, lock))
    };
    locks.iter().zip(&spans).map(line).collect()
}

/// `whole file`, `bytes 0–99`, `byte 7`, `from byte 100 on`.
fn span(lock: &Lock) -> String {
    match (lock.start, lock.end) {
        (0, u64::MAX) => "whole file".to_owned(),
        (start, u64::MAX) => format!("from byte {start} on"),
        (start, end) if end == start.saturating_add(1) => format!("byte {start}"),
        (start, end) => format!("bytes {start}–{}", end.saturating_sub(1)),
    }
}

/// A process, or everybody who has the open file description.
fn owner(app: &App, channels: &Channels, channel: &Channel, lock: &Lock) -> String {
    let kind = match lock.kind {
        LockKind::Process => "fcntl",
        LockKind::Description => "OFD",
        LockKind::Flock => "flock",
    };
    let who = match lock.owner {
        Owner::Process(process) => app.words().task(process),
        Owner::Description(description) => {
            let holders = channels.holders(channel.id).iter().filter(|it| it.description == description);
            let named = names(app, holders.map(|holder| holder.task));
            if named.is_empty() { app.words().task(lock.by) } else { named }
        }
    };
    format!("{who} ({kind})")
}
