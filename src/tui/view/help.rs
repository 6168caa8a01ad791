//! Help: how to read the focused pane, what to read about it, and all the keys.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::overlay::{frame, window};
use crate::tui::app::{App, Pane, Tab};
use crate::tui::keymap::{self, Group};
use crate::tui::theme::Role;
use crate::tui::{layout, markdown, text};

/// What is said about a pane.
fn about(app: &App) -> &'static str {
    match (app.focus, app.tab) {
        (Pane::Processes, _) => include_str!("../../../assets/help/processes.md"),
        (Pane::Channels, _) => include_str!("../../../assets/help/channels.md"),
        (Pane::Signals, _) => include_str!("../../../assets/help/signals.md"),
        (Pane::Timeline, _) => include_str!("../../../assets/help/timeline.md"),
        (Pane::Script, _) => include_str!("../../../assets/help/script.md"),
        (Pane::Story, Tab::Story) => include_str!("../../../assets/help/story.md"),
        (Pane::Story, Tab::Output) if app.emulator.is_there() => include_str!("../../../assets/help/terminal.md"),
        (Pane::Story, Tab::Output) => include_str!("../../../assets/help/output.md"),
        (Pane::Story, Tab::Diagnosis) => include_str!("../../../assets/help/diagnosis.md"),
        (Pane::Story, Tab::Log) => include_str!("../../../assets/help/log.md"),
    }
}

fn area_of(screen: Rect) -> Rect {
    window(screen, 88, screen.height.saturating_sub(4))
}

/// Draws the help over the screen.
pub fn render(app: &App, top: usize, screen: Rect, buf: &mut Buffer) {
    let rect = area_of(screen);
    let lines = lines(app, rect.width.saturating_sub(4));
    let seen = usize::from(rect.height.saturating_sub(2));
    let more = if lines.len() > top + seen { " ↓ more · any other key closes " } else { " any other key closes " };
    frame(app, rect, " Help ", more, buf);
    let inner = layout::inner(rect);
    let inner = Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner };
    super::lines(buf, inner, &lines, top);
}

/// How many lines the help has.
pub fn height(app: &App) -> usize {
    lines(app, area_of(app.area).width.saturating_sub(4)).len()
}

/// How many of them are seen at once.
pub fn page(app: &App) -> usize {
    usize::from(area_of(app.area).height.saturating_sub(2))
}

fn lines(app: &App, width: u16) -> Vec<Line<'static>> {
    let mut lines = markdown::render(about(app), usize::from(width), app.look.theme);
    for group in Group::ALL {
        lines.push(Line::default());
        lines.push(Line::styled(group.title(), app.style(Role::Strong)));
        for info in keymap::commands().iter().filter(|info| info.group == group) {
            let keys: Vec<&str> = info.keys.iter().map(|key| keymap::key_label(key)).collect();
            lines.push(Line::from_iter([
                Span::styled(format!("  {}", text::pad(&keys.join(" "), 12)), app.style(Role::Key)),
                Span::raw(info.about),
            ]));
        }
    }
    lines
}
