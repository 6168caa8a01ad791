//! The first line: what runs, how, and where the cursor stands.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use crate::control::Outcome;
use crate::model::Hold;
use crate::tui::app::{App, Origin, pace_name};
use crate::tui::text;
use crate::tui::theme::Role;

/// Draws the line.
pub fn render(app: &App, area: Rect, buf: &mut Buffer) {
    let (state, role) = state(app);
    let pace = if area.width >= 100 { format!(" · {}", pace_name(app.pace)) } else { String::new() };
    let clock = app.world().clock_ns().map_or_else(String::new, |now| format!("clock {} · ", text::seconds(now)));
    let right = format!("{clock}event {} of {}{pace} ", app.event_number(), app.event_count());
    let right = Line::from_iter([Span::styled(state, app.style(role)), Span::raw(" · "), Span::raw(right)]);
    let room = usize::from(area.width).saturating_sub(right.width() + 2);
    let real_time = app.scenario.as_ref().is_some_and(|scenario| scenario.real_time);
    let mode = match (app.serial(), real_time) {
        (true, false) => "serial",
        (false, false) => "free",
        (true, true) => "serial · real time",
        (false, true) => "free · real time",
    };
    let mode = match app.origin {
        Origin::Recording if area.width >= 100 => format!(" ─ recording · {mode} · seed {}", app.log.header().seed),
        _ => format!(" ─ {mode} · seed {}", app.log.header().seed),
    };
    let name = text::fit(&subject(app), room.saturating_sub(text::width(&mode) + 1));
    let left = Line::from_iter([
        Span::raw(" "),
        Span::styled(name, app.style(Role::Strong)),
        Span::styled(text::fit(&mode, room), app.style(Role::Text)),
    ]);
    buf.set_line(area.x, area.y, &left, area.width);
    let width = (right.width() as u16).min(area.width);
    buf.set_line(area.right() - width, area.y, &right, width);
}

/// The name of what runs.
fn subject(app: &App) -> String {
    let header = app.log.header();
    let name = header.scenario.clone().or_else(|| header.command.as_ref().map(|words| words.join(" ")));
    text::clean(&name.unwrap_or_else(|| "proclab".to_owned()))
}

/// Whether nobody could move but those that the user holds.
fn waits_for_user(app: &App) -> bool {
    let held = |task| app.world().task(task).is_some_and(|task| task.hold != Hold::Nothing);
    app.status.as_ref().is_some_and(|it| !it.next.is_empty() && it.next.iter().all(|next| held(next.task)))
}

fn state(app: &App) -> (&'static str, Role) {
    if !app.started {
        return ("starting", Role::Text);
    }
    if app.replay.is_some() {
        return ("▶ playing the log", Role::Good);
    }
    if !app.following() {
        return match app.origin {
            Origin::Live => ("◀ back in the log", Role::Signal),
            Origin::Recording => ("▮▮ paused", Role::Strong),
        };
    }
    match app.ending.as_ref().map(|ending| &ending.outcome) {
        Some(Outcome::Done) => ("■ ended", Role::Strong),
        Some(Outcome::Stuck) => ("■ stuck", Role::Bad),
        Some(Outcome::Limit(_)) => ("■ limit reached", Role::Bad),
        Some(Outcome::Stopped) => ("■ stopped", Role::Strong),
        Some(Outcome::Failed(_)) => ("■ the lab failed", Role::Bad),
        None if app.origin == Origin::Recording => ("■ end", Role::Strong),
        None if app.playing() && app.waits_for_keys() => ("▶ waits for you to type", Role::Blocked),
        None if app.playing() => ("▶ playing", Role::Good),
        None if waits_for_user(app) => ("▮▮ held by you", Role::Strong),
        None => ("▮▮ paused", Role::Strong),
    }
}
