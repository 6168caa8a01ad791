//! What the scenario tells, what to read on, and the hints; for a foreign program, what it is.

use ratatui::text::Line;

use crate::tui::app::App;
use crate::tui::theme::Role;
use crate::tui::{markdown, text};

/// The lines of the tab.
pub fn lines(app: &App, width: u16) -> Vec<Line<'static>> {
    let width = usize::from(width).saturating_sub(2).max(10);
    let mut lines = damage(app, width);
    match &app.scenario {
        Some(scenario) => {
            lines.push(Line::styled(text::fit(&text::clean(&scenario.title), width), app.style(Role::Strong)));
            lines.push(Line::default());
            lines.extend(markdown::render(&scenario.story, width, app.look.theme));
            if !scenario.see.is_empty() {
                lines.push(Line::default());
                let pages: Vec<String> = scenario.see.iter().map(|page| format!("`{page}`")).collect();
                lines.extend(markdown::render(&format!("Read on: {}", pages.join(", ")), width, app.look.theme));
            }
            lines.extend(hints(app, &scenario.hints, width));
        }
        None => lines.extend(about(app, width)),
    }
    lines
        .into_iter()
        .map(|mut line| {
            line.spans.insert(0, ratatui::text::Span::raw(" "));
            line
        })
        .collect()
}

fn hints(app: &App, hints: &[String], width: usize) -> Vec<Line<'static>> {
    if hints.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![Line::default()];
    for (n, hint) in hints.iter().take(app.hints).enumerate() {
        let hint = format!("**Hint {} of {}.** {hint}", n + 1, hints.len());
        lines.extend(markdown::render(&hint, width, app.look.theme));
    }
    if app.hints < hints.len() {
        let more = format!("h gives a hint, {} left", hints.len() - app.hints);
        lines.push(Line::styled(text::fit(&more, width), app.style(Role::Faded)));
    }
    lines
}

fn damage(app: &App, width: usize) -> Vec<Line<'static>> {
    let Some(damage) = &app.damage else { return Vec::new() };
    let text = format!("⚠ This recording is damaged: {}", text::clean(damage));
    let mut lines: Vec<Line<'static>> =
        text::wrap(&text, width).into_iter().map(|line| Line::styled(line, app.style(Role::Bad))).collect();
    lines.push(Line::default());
    lines
}

/// What is known of a run that has no story.
fn about(app: &App, width: usize) -> Vec<Line<'static>> {
    let header = app.log.header();
    let command = header.command.as_ref().map(|words| words.join(" "));
    let facts = [
        ("command", command),
        ("scenario", header.scenario.clone()),
        ("kernel", Some(format!("{} {}", header.kernel, header.arch))),
        ("recorded by", Some(format!("proclab {}", header.version)).filter(|_| !header.version.is_empty())),
    ];
    let known = facts.into_iter().filter_map(|(name, value)| value.map(|value| (name, text::clean(value.trim()))));
    let known = known.filter(|(_, value)| !value.is_empty());
    known.map(|(name, value)| Line::raw(text::fit(&format!("{name:12} {value}"), width))).collect()
}
