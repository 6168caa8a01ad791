//! Pipes and FIFOs: who writes, what is inside, who reads.

use ratatui::text::{Line, Span};

use super::{Card, bar, excerpt};
use crate::model::Channel;
use crate::tui::app::Holder;
use crate::tui::text;
use crate::tui::theme::Role;

pub(super) fn lines(card: &Card<'_>) -> Vec<Line<'static>> {
    let mut lines = vec![card.head(&[amount(card.channel)]), flow(card)];
    let holders = card.channels.holders(card.channel.id);
    let writers = holders.iter().filter(|holder| holder.access.writes()).count();
    let readers = holders.iter().filter(|holder| holder.access.reads()).count();
    if writers > 1 || readers > 1 {
        lines.push(ends(card, true));
        lines.push(ends(card, false));
    }
    lines
}

/// `29 / 65536 B ▕█░░░▏`.
pub(super) fn amount(channel: &Channel) -> String {
    let (inside, capacity) = (channel.contents.len(), channel.capacity);
    format!("{inside} / {capacity} B {}", bar(inside, capacity))
}

fn fits(holder: &Holder, writes: bool) -> bool {
    if writes { holder.access.writes() } else { holder.access.reads() }
}

/// `write ends: parent 4, child 4`.
fn ends(card: &Card<'_>, writes: bool) -> Line<'static> {
    let what = if writes { "write ends" } else { "read ends" };
    let named = card.named(|holder| fits(holder, writes));
    card.line(&format!("{what}: {}", if named.is_empty() { "none" } else { &named }), Role::Text)
}

/// `parent ─4▶ "Nature's first…" ─3▶ child`.
fn flow(card: &Card<'_>) -> Line<'static> {
    let side = |writes: bool| -> (String, String, bool) {
        let holders = card.channels.holders(card.channel.id);
        let fitting: Vec<&Holder> = holders.iter().filter(|holder| fits(holder, writes)).collect();
        match fitting.as_slice() {
            [] => (format!("no {}", if writes { "writer" } else { "reader" }), String::new(), true),
            [one] => (card.task(one.task), one.fd.to_string(), false),
            many => {
                (format!("{} {}", many.len(), if writes { "write ends" } else { "read ends" }), String::new(), false)
            }
        }
    };
    let (writer, write_fd, nobody_writes) = side(true);
    let (reader, read_fd, nobody_reads) = side(false);
    let third = card.width / 3;
    let (writer, reader) = (text::fit(&writer, third), text::fit(&reader, third));
    let left = if nobody_writes { "  ".to_owned() } else { format!(" ─{write_fd}▶ ") };
    let right = if nobody_reads { "  ".to_owned() } else { format!(" ─{read_fd}▶ ") };
    let used: usize = [writer.as_str(), &left, &right, &reader].iter().map(|part| text::width(part)).sum();
    let inside = excerpt(&card.channel.contents, card.width.saturating_sub(used + 3));
    let role = |nobody: bool| card.app.style(if nobody { Role::Bad } else { Role::Text });
    Line::from_iter([
        Span::raw("   "),
        Span::styled(writer, role(nobody_writes)),
        Span::raw(left),
        Span::styled(inside, card.app.style(Role::Bytes)),
        Span::raw(right),
        Span::styled(reader, role(nobody_reads)),
    ])
}
