//! What goes from lane to lane in the timeline.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::put;
use crate::tui::text;

/// `━━ 29 B ━━▶ p `, as long as the space between two lanes.
pub fn flow(columns: usize, name: &str, labels: &[&str], right: bool, write: bool) -> String {
    let name = text::fit(name, columns.saturating_sub(6).clamp(1, 16));
    let shaft = columns.saturating_sub(text::width(&name) + 3);
    let fitting = labels.iter().find(|label| !label.is_empty() && text::width(label) + 4 <= shaft);
    let shaft = match fitting {
        Some(label) => {
            let bar = shaft - text::width(label) - 2;
            format!("{} {label} {}", "━".repeat(bar / 2), "━".repeat(bar - bar / 2))
        }
        None => "━".repeat(shaft),
    };
    match (right, write) {
        (true, true) => format!("{shaft}▶ {name}"),
        (true, false) => format!("◀{shaft} {name}"),
        (false, true) => format!(" {name} ◀{shaft}"),
        (false, false) => format!(" {name} {shaft}▶"),
    }
}

/// Draws into one line of the lanes.
pub struct Pen<'a> {
    /// The pane.
    pub area: Rect,
    /// The first column of the lanes.
    pub left: u16,
    /// The line.
    pub y: u16,
    /// How it all looks.
    pub style: Style,
    /// The screen.
    pub buf: &'a mut Buffer,
}

impl Pen<'_> {
    /// A text that begins at a column.
    pub fn text(&mut self, x: u16, text: &str) {
        put(self.buf, self.area, x.max(self.left), self.y, text, self.style);
    }

    /// From lane to lane; `fork` begins with a branch and ends in a dot.
    pub fn arrow(&mut self, from: u16, to: u16, shaft: char, label: &str, fork: bool) {
        let right = to > from;
        let (low, high) = (from.min(to) + 1, from.max(to));
        let columns = usize::from(high.saturating_sub(low));
        let label =
            if label.is_empty() || columns < text::width(label) + 4 { String::new() } else { format!(" {label} ") };
        let bar = columns.saturating_sub(text::width(&label) + 1);
        let half = |n: usize| std::iter::repeat_n(shaft, n).collect::<String>();
        let line = format!("{}{label}{}", half(bar / 2), half(bar - bar / 2));
        let line = if right { format!("{line}▶") } else { format!("◀{line}") };
        if columns > 0 {
            self.text(low, &line);
        }
        if fork {
            self.text(from, if right { "├" } else { "┤" });
        }
        self.text(to, "●");
    }

    /// A signal that no task of the run sent.
    pub fn outside(&mut self, x: u16, name: &str) {
        let line = format!("{name} ╌▶");
        let start = x.saturating_sub(text::width(&line) as u16);
        if start >= self.left {
            self.text(start, &line);
        }
        self.text(x, "●");
    }
}

#[cfg(test)]
mod tests {
    use super::flow;

    #[test]
    fn bytes_flow_toward_the_channel_or_from_it() {
        assert_eq!(flow(20, "p", &["29 B"], true, true), "━━━━━ 29 B ━━━━━▶ p");
        assert_eq!(flow(20, "p", &["29 B"], true, false), "◀━━━━━ 29 B ━━━━━ p");
        assert_eq!(flow(20, "p", &["29 B"], false, true), " p ◀━━━━━ 29 B ━━━━━");
        assert_eq!(flow(20, "p", &["EOF"], false, false), " p ━━━━━ EOF ━━━━━━▶");
        assert_eq!(flow(20, "q", &["4 B type 3", "4 B"], true, true), "━━ 4 B type 3 ━━▶ q");
        assert_eq!(flow(16, "q", &["4 B type 3", "4 B"], true, true), "━━━ 4 B ━━━━▶ q");
        assert_eq!(flow(8, "pipe", &["29 B"], true, true), "━━━▶ p…");
    }
}
