//! The headings of sessions and process groups in the tree of tasks.

use ratatui::text::{Line, Span};

use crate::model::{Task, World};
use crate::tui::app::{App, Opens, TaskRow, is_orphaned, session_terminal};
use crate::tui::text;
use crate::tui::theme::Role;

/// The lines above a row with which a session or a group begins.
pub fn headings(app: &App, row: &TaskRow, task: &Task, width: usize) -> Vec<Line<'static>> {
    let world = app.world();
    let session = || {
        let terminal = session_terminal(world, task.sid).and_then(|channel| world.channel(channel));
        let terminal = terminal.map(|channel| app.words().channel(channel.id));
        let of = terminal.map_or_else(|| "no terminal".to_owned(), |name| format!("on {name}"));
        line(app, " ", &format!("session {} · {of}", task.sid), Role::Strong, width)
    };
    let group = || {
        let (text, role) = group(world, task);
        line(app, "   ", &text, role, width)
    };
    match row.opens {
        Opens::Nothing => Vec::new(),
        Opens::Group => vec![group()],
        Opens::Session => vec![session(), group()],
    }
}

fn line(app: &App, indent: &str, text: &str, role: Role, width: usize) -> Line<'static> {
    let room = width.saturating_sub(indent.len());
    Line::from_iter([Span::raw(indent.to_owned()), Span::styled(text::fit(text, room), app.style(role))])
}

fn group(world: &World, task: &Task) -> (String, Role) {
    let terminal = session_terminal(world, task.sid).and_then(|channel| world.channel(channel));
    let living = world.living().any(|other| (other.sid, other.pgid) == (task.sid, task.pgid));
    let foreground = terminal.is_some_and(|channel| channel.tty.foreground == task.pgid);
    let mut words = Vec::new();
    match terminal {
        _ if !living => words.push("gone"),
        Some(_) if foreground => words.push("▶ foreground"),
        Some(_) => words.push("background"),
        None => {}
    }
    // The group of a session's leader always is: who could continue it belongs to no session of its own.
    if task.pgid != task.sid && is_orphaned(world, task.sid, task.pgid) {
        words.push("orphaned");
    }
    let role = if !living {
        Role::Faded
    } else if foreground {
        Role::Good
    } else {
        Role::Text
    };
    let first = format!("group {}", task.pgid);
    (std::iter::once(first.as_str()).chain(words).collect::<Vec<_>>().join(" · "), role)
}

/// A mark for what a process leads, a session or a group, where tasks are shown by that.
pub fn role_of(app: &App, task: &Task) -> &'static str {
    match task.pid {
        _ if !task.is_process() || !app.shows_jobs() || task.pgid == 0 => "",
        pid if pid == task.sid => " ◆",
        pid if pid == task.pgid => " ◇",
        _ => "",
    }
}
