//! Pseudo-terminals: who plays the user, who runs on it, and what waits on either side.

use ratatui::text::Line;

use super::Card;
use crate::model::{Asked, Channel, End, Monitor};
use crate::tui::text;
use crate::tui::theme::Role;

pub(super) fn lines(card: &Card<'_>) -> Vec<Line<'static>> {
    let asked = match card.channel.monitor.as_deref() {
        Some(Monitor::Terminal { asked, known: true }) => Some(asked),
        _ => None,
    };
    let modes = asked.map(|asked| if asked.canonical { "line by line" } else { "byte by byte" });
    let mut lines = vec![card.head(&[modes.unwrap_or_default().to_owned()]), sides(card)];
    let text = asked.map_or_else(|| "what waits inside is not known yet".to_owned(), waiting);
    lines.push(card.line(&text, if asked.is_some() { Role::Bytes } else { Role::Faded }));
    lines.extend(card.waiting());
    lines
}

/// `shell 3 (master) ⇄ job 4 (slave)`.
fn sides(card: &Card<'_>) -> Line<'static> {
    let half = (card.width / 2).saturating_sub(5);
    let side = |end: End, name: &str| {
        let named = card.named(|holder| holder.end == end);
        let named = if named.is_empty() { "nobody" } else { &named };
        format!("{} ({name})", text::fit(named, half.saturating_sub(name.len() + 3)))
    };
    card.line(&format!("{} ⇄ {}", side(End::First, "master"), side(End::Second, "slave")), Role::Text)
}

/// What can be read: `▶ slave: 6 B · ◀ master: nothing`.
fn waiting(asked: &Asked) -> String {
    let side = |arrow: &str, count: Option<u32>, end: End| {
        let side = if end == End::First { "master" } else { "slave" };
        let count = match count {
            None => return None,
            // What has hung up, and end-of-file, can be read too.
            Some(0) if asked.ready[end.index()] => "the end".to_owned(),
            Some(0) if end == End::Second && asked.canonical => "no whole line".to_owned(),
            Some(0) => "nothing".to_owned(),
            Some(count) => format!("{count} B"),
        };
        Some(format!("{arrow} {side}: {count}"))
    };
    let sides = [side("▶", asked.input, End::Second), side("◀", asked.output, End::First)];
    sides.into_iter().flatten().collect::<Vec<_>>().join(" · ")
}

/// How much went through each side. What is read at one is not what was written at the other: a terminal
/// echoes, translates and edits.
pub(super) fn moved(channel: &Channel) -> String {
    let side = |end: End| {
        let (written, read) = (channel.tty.written[end.index()], channel.tty.read[end.index()]);
        format!("{written} B in, {read} B out")
    };
    format!("master: {} · slave: {}", side(End::First), side(End::Second))
}
