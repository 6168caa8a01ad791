//! The scenario file with a mark on the line where each process stands; for a foreign program, the
//! last calls of the chosen task.

use std::collections::HashMap;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::{highlight, put};
use crate::tui::app::App;
use crate::tui::text;
use crate::tui::theme::Role;

/// Columns for the initials of other processes.
const INITIALS: usize = 3;

/// Draws the pane.
pub fn render(app: &App, area: Rect, buf: &mut Buffer) {
    if app.script.is_empty() {
        calls(app, area, buf);
        return;
    }
    let current = current(app);
    let others = others(app);
    let digits = app.script.len().to_string().len();
    let top = top(app, usize::from(area.height));
    let room = usize::from(area.width).saturating_sub(INITIALS + 2 + digits);
    for (y, (n, source)) in (area.y..area.bottom()).zip(app.script.iter().enumerate().skip(top)) {
        let number = n as u32 + 1;
        let here = current == Some(number);
        let initials = others.get(&number).map_or("", String::as_str);
        let role = if source.trim_start().starts_with("//") { Role::Faded } else { Role::Text };
        let line = Line::from_iter([
            Span::styled(format!("{:>INITIALS$}", text::fit(initials, INITIALS)), app.style(Role::Bytes)),
            Span::styled(if here { "▶" } else { " " }, app.style(Role::Cursor)),
            Span::styled(format!("{number:>digits$} "), app.style(Role::Faded)),
            Span::styled(text::fit(source, room), app.style(if here { Role::Cursor } else { role })),
        ]);
        buf.set_line(area.x, y, &line, area.width);
    }
}

/// The line on which the subject stands.
fn current(app: &App) -> Option<u32> {
    app.subject().and_then(|id| app.world().task(id)).filter(|task| task.is_alive())?.line.map(|(line, _)| line)
}

/// The initials of the other living tasks, by their lines.
fn others(app: &App) -> HashMap<u32, String> {
    let subject = app.subject();
    let mut lines: HashMap<u32, String> = HashMap::new();
    for task in app.world().living().filter(|task| Some(task.id) != subject) {
        if let Some((line, _)) = task.line {
            let initials = lines.entry(line).or_default();
            if initials.len() <= INITIALS * 4 {
                initials.extend(app.words().task(task.id).chars().next());
            }
        }
    }
    lines
}

/// The first line that is shown, counted from 0.
pub fn top(app: &App, height: usize) -> usize {
    let last = app.script.len().saturating_sub(height);
    if let Some(top) = app.scroll.script {
        return top.min(last);
    }
    let first_process = || app.script.iter().position(|line| line.starts_with("process"));
    match current(app) {
        Some(line) => (line as usize).saturating_sub(height / 2 + 1).min(last),
        None => first_process().unwrap_or(0).min(last),
    }
}

/// The last calls of the subject, newest at the bottom, like strace writes them.
fn calls(app: &App, area: Rect, buf: &mut Buffer) {
    let Some(task) = app.subject() else {
        put(buf, area, area.x + 1, area.y, "no task yet", app.style(Role::Faded));
        return;
    };
    let events = app.index.of_task_before(task, app.applied());
    let height = usize::from(area.height);
    let back = app.scroll.script.map_or(0, |top| events.len().saturating_sub(height).saturating_sub(top));
    let end = events.len().saturating_sub(back);
    let shown = &events[end.saturating_sub(height)..end];
    for (y, seq) in (area.y..).zip(shown) {
        let seq = u64::from(*seq);
        let Some(event) = app.log.get(seq) else { continue };
        let several = app.index.burst(seq).is_some();
        let full = if several { app.words().brief(seq, event) } else { app.words().full(seq, event) };
        let prefix = format!("{}: ", app.words().task(task));
        let what = full.strip_prefix(&prefix).unwrap_or(&full);
        let role = if event.failed() { Role::Bad } else { Role::Text };
        put(buf, area, area.x, y, &format!("{:>6} ", seq + 1), app.style(Role::Faded));
        let room = usize::from(area.width).saturating_sub(7);
        put(buf, area, area.x + 7, y, &text::fit(what, room), app.style(role));
        if app.last_row().is_some_and(|(last, _)| last == seq) {
            highlight(buf, area, y, app.style(Role::Cursor));
        }
    }
}
