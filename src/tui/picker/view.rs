//! Drawing the picker.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::Style;
use ratatui::symbols::merge::MergeStrategy;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType, Widget};

use super::{Picker, PickerEntry};
use crate::scenario::library::Source;
use crate::tui::theme::Role;
use crate::tui::{charset, layout, markdown, text};

/// A line of the list.
enum Row<'a> {
    Topic(Source, &'a str),
    Entry(usize, &'a PickerEntry),
}

/// Draws the whole screen.
pub fn render(picker: &Picker, area: Rect, buf: &mut Buffer) {
    let area = area.intersection(buf.area);
    buf.set_style(area, style(picker, Role::Text));
    if layout::fits(area) {
        title(picker, area, buf);
        list(picker, area, buf);
        preview(picker, area, buf);
        footer(picker, area, buf);
    } else {
        let (width, height) = layout::SMALLEST;
        let text = format!("proclab needs {width}×{height}, this terminal is {}×{}", area.width, area.height);
        for (y, line) in (area.y..area.bottom()).zip(text::wrap(&text, usize::from(area.width))) {
            buf.set_stringn(area.x, y, line, usize::from(area.width), style(picker, Role::Strong));
        }
    }
    if picker.look.ascii {
        charset::to_ascii(buf);
    }
}

const fn style(picker: &Picker, role: Role) -> Style {
    picker.look.theme.style(role)
}

/// The list with its border.
pub fn list_area(area: Rect) -> Rect {
    Rect { width: (area.width * 42 / 100).max(36), ..layout::body(area) }
}

fn preview_area(area: Rect) -> Rect {
    let list = list_area(area);
    let x = list.right() - 1;
    Rect { x, width: area.right().saturating_sub(x), ..list }
}

fn title(picker: &Picker, area: Rect, buf: &mut Buffer) {
    buf.set_stringn(area.x + 1, area.y, "proclab", usize::from(area.width), style(picker, Role::Strong));
    let about = "─ a laboratory for processes";
    buf.set_stringn(area.x + 9, area.y, about, usize::from(area.width - 9), style(picker, Role::Text));
    let count = text::count(picker.entries.len(), "scenario");
    let x = area.right().saturating_sub(text::width(&count) as u16 + 1);
    buf.set_stringn(x, area.y, &count, usize::from(area.right() - x), style(picker, Role::Faded));
}

fn rows<'a>(shown: &[&'a PickerEntry]) -> Vec<Row<'a>> {
    let mut rows = Vec::new();
    let mut topic = None;
    for (n, entry) in shown.iter().enumerate() {
        let here = entry.source == Source::Here;
        if topic.replace((here, &entry.topic)) != Some((here, &entry.topic)) {
            rows.push(Row::Topic(entry.source, &entry.topic));
        }
        rows.push(Row::Entry(n, entry));
    }
    rows
}

/// The first row that is seen, so that the chosen one is, with some rows around it.
fn first_row(picker: &Picker, rows: &[Row<'_>], height: usize) -> usize {
    let at = rows.iter().position(|row| matches!(row, Row::Entry(n, _) if *n == picker.selected)).unwrap_or(0);
    (at + height / 3 + 1).saturating_sub(height).min(rows.len().saturating_sub(height))
}

/// The entry at a place of the screen.
pub fn entry_at(picker: &Picker, at: Position) -> Option<usize> {
    let inner = layout::inner(list_area(picker.area));
    if !inner.contains(at) {
        return None;
    }
    let shown = picker.shown();
    let rows = rows(&shown);
    let first = first_row(picker, &rows, usize::from(inner.height));
    match rows.get(first + usize::from(at.y - inner.y))? {
        Row::Entry(n, _) => Some(*n),
        Row::Topic(..) => None,
    }
}

fn list(picker: &Picker, area: Rect, buf: &mut Buffer) {
    let rect = list_area(area);
    Block::bordered()
        .border_type(BorderType::Plain)
        .border_style(style(picker, Role::Border))
        .merge_borders(MergeStrategy::Exact)
        .title(Span::styled(" Scenarios ", style(picker, Role::Text)))
        .render(rect, buf);
    let inner = layout::inner(rect);
    let width = usize::from(inner.width);
    let shown = picker.shown();
    let rows = rows(&shown);
    if rows.is_empty() {
        let line = if picker.entries.is_empty() { "there are no scenarios" } else { "none fits: Esc shows all" };
        buf.set_stringn(inner.x + 1, inner.y, line, width, style(picker, Role::Faded));
    }
    let first = first_row(picker, &rows, usize::from(inner.height));
    for (y, row) in (inner.y..inner.bottom()).zip(rows.iter().skip(first)) {
        let line = match row {
            Row::Topic(source, topic) => {
                let whose = if *source == Source::Here { ", in this directory" } else { "" };
                Line::styled(text::fit(&format!(" {}{whose}", text::clean(topic)), width), style(picker, Role::Key))
            }
            Row::Entry(n, entry) => entry_line(picker, entry, *n == picker.selected, width),
        };
        buf.set_line(inner.x, y, &line, inner.width);
        if matches!(row, Row::Entry(n, _) if *n == picker.selected) {
            buf.set_style(Rect { y, height: 1, ..inner }, style(picker, Role::Selected));
        }
    }
}

fn entry_line(picker: &Picker, entry: &PickerEntry, selected: bool, width: usize) -> Line<'static> {
    let mark = if selected { "›" } else { " " };
    let (level, role) = match entry.details.as_ref().and_then(|details| details.problem.as_ref()) {
        Some(_) => ("✗".to_owned(), Role::Bad),
        None => (entry.level.to_string(), Role::Text),
    };
    let title = text::pad(&text::clean(&entry.title), width.saturating_sub(6));
    Line::from_iter([Span::raw(format!(" {mark} {title}")), Span::styled(format!(" {level} "), style(picker, role))])
}

fn preview(picker: &Picker, area: Rect, buf: &mut Buffer) {
    let rect = preview_area(area);
    let name = picker.current().map_or_else(String::new, |entry| format!(" {} ", text::clean(&entry.name)));
    Block::bordered()
        .border_style(style(picker, Role::Border))
        .merge_borders(MergeStrategy::Exact)
        .title(Span::styled(text::fit(&name, usize::from(rect.width - 4)), style(picker, Role::Strong)))
        .render(rect, buf);
    let inner = inside(rect);
    let lines = lines(picker, usize::from(inner.width));
    for (y, line) in (inner.y..inner.bottom()).zip(lines.iter().skip(picker.scroll)) {
        buf.set_line(inner.x, y, line, inner.width);
    }
    if lines.len() > picker.scroll + usize::from(inner.height) {
        let note = " PgDn: more ";
        let x = rect.right().saturating_sub(note.len() as u16 + 2);
        buf.set_stringn(x, rect.bottom() - 1, note, note.len(), style(picker, Role::Text));
    }
}

fn inside(rect: Rect) -> Rect {
    let inner = layout::inner(rect);
    Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner }
}

/// How far the preview can be scrolled.
pub fn scroll_limit(picker: &Picker) -> usize {
    let inner = inside(preview_area(picker.area));
    lines(picker, usize::from(inner.width)).len().saturating_sub(usize::from(inner.height))
}

fn lines(picker: &Picker, width: usize) -> Vec<Line<'static>> {
    let Some(entry) = picker.current() else { return Vec::new() };
    let theme = picker.look.theme;
    let mut lines = vec![Line::styled(text::fit(&text::clean(&entry.title), width), style(picker, Role::Strong))];
    let week = match entry.level {
        1 => "level 1: first weeks",
        2 => "level 2: middle of the course",
        3 => "level 3: last weeks",
        _ => "",
    };
    let gap = if week.is_empty() { "" } else { " · " };
    let whose = format!("{week}{gap}{}", whose(entry.source));
    lines.push(Line::styled(text::fit(&whose, width), style(picker, Role::Faded)));
    lines.push(Line::default());
    let Some(details) = &entry.details else { return lines };
    if let Some(problem) = &details.problem {
        let wrapped = text::wrap(&format!("✗ cannot be run: {}", text::clean(problem)), width);
        lines.extend(wrapped.into_iter().map(|line| Line::styled(line, style(picker, Role::Bad))));
        lines.push(Line::default());
    }
    lines.extend(markdown::render(&details.story, width, theme));
    if !details.see.is_empty() {
        let pages: Vec<String> = details.see.iter().map(|page| format!("`{page}`")).collect();
        lines.push(Line::default());
        lines.extend(markdown::render(&format!("Read on: {}", pages.join(", ")), width, theme));
    }
    lines.push(Line::default());
    lines.extend(script(&details.source).map(|line| {
        Line::styled(text::fit(&text::clean(&line.replace('\t', "    ")), width), style(picker, Role::Code))
    }));
    lines
}

/// Where it comes from, for somebody who is about to run it.
const fn whose(source: Source) -> &'static str {
    match source {
        Source::BuiltIn => "built in",
        Source::Yours => "one of yours",
        Source::Asked => "from --dir",
        Source::Here => "from this directory",
    }
}

/// What runs: the `process` and `schedule` blocks, without what the preview has said already and
/// without the answers.
fn script(source: &str) -> impl Iterator<Item = &str> {
    let mut shown = false;
    source.lines().filter(move |line| {
        if line.starts_with(|c: char| c.is_ascii_alphabetic()) {
            shown = line.starts_with("process") || line.starts_with("schedule");
        }
        shown
    })
}

fn footer(picker: &Picker, area: Rect, buf: &mut Buffer) {
    let rect = layout::footer(area);
    if picker.searching || !picker.filter.is_empty() {
        let found = text::count(picker.shown().len(), "scenario");
        let line = Line::from_iter([
            Span::styled(" search ", style(picker, Role::Key)),
            Span::styled(text::clean(&picker.filter), style(picker, Role::Strong)),
            Span::styled("█", style(picker, Role::Cursor)),
            Span::styled(format!("  {found} · Enter opens · Esc shows all"), style(picker, Role::Faded)),
        ]);
        buf.set_line(rect.x, rect.y, &line, rect.width);
        return;
    }
    let keys = [
        ("Enter", "opens"),
        ("↑ ↓", "choose"),
        ("/ or any letter", "searches"),
        ("PgUp PgDn", "preview"),
        ("q", "quits"),
    ];
    let mut spans = vec![Span::raw(" ")];
    for (key, what) in keys {
        spans.push(Span::styled(key, style(picker, Role::Key)));
        spans.push(Span::raw(format!(" {what}  ")));
    }
    buf.set_line(rect.x, rect.y, &Line::from(spans), rect.width);
}
