//! Message queues: how many messages, and the first of them with type or priority.

use ratatui::text::Line;

use super::{Card, bar, fill, quoted};
use crate::tui::text;
use crate::tui::theme::Role;

/// How many messages a card shows.
const SHOWN: usize = 3;

pub(super) fn lines(card: &Card<'_>) -> Vec<Line<'static>> {
    let inside = &card.channel.contents;
    let (count, len, capacity) = (inside.count(), inside.len(), card.channel.capacity);
    let unseen = usize::try_from(card.channel.unseen()).unwrap_or(usize::MAX);
    let amount = if card.channel.counts_messages() && capacity > 0 {
        format!(
            "{} / {}, {len} B",
            card.channel.filled(),
            text::count(usize::try_from(capacity).unwrap_or(usize::MAX), "message")
        )
    } else {
        format!("{}, {}", text::count(count, "message"), fill(len, capacity))
    };
    let mut lines = vec![card.head(&[format!("{amount} {}", bar(card.channel.filled(), capacity)), amount])];
    lines.extend(card.waiting());
    let shown = if card.inside { SHOWN } else { 0 };
    let marks: Vec<String> = inside.runs().take(shown).map(|run| card.app.words().mark(run.mark)).collect();
    let column = marks.iter().map(|mark| text::width(mark)).max().unwrap_or(0);
    for ((run, bytes), mark) in inside.messages().take(shown).zip(&marks) {
        let from = format!("from {}", card.task(run.from));
        let room = card.width.saturating_sub(3 + column + 2 + text::width(&from)).max(8);
        let shown = quoted(&bytes, (bytes.len() as u64) < run.len, room);
        lines.push(card.line(&format!("{} {shown} {from}", text::pad(mark, column)), Role::Bytes));
    }
    if count > shown && card.inside {
        lines.push(card.line(&format!("and {} more", count - shown), Role::Bytes));
    }
    if unseen > 0 {
        let text = format!("{} from before the run: only a receiver gets to see them", text::count(unseen, "message"));
        lines.push(card.line(&text, Role::Bytes));
    }
    lines.push(card.people());
    lines
}
