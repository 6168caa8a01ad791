//! The tree of tasks: who is whose child, what each is doing, and what it waits for.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::{highlight, jobs, put, wakers};
use crate::model::{Hold, State, Status, Task, TaskId};
use crate::tui::app::{App, Channels, TaskRow, Tree};
use crate::tui::theme::Role;
use crate::tui::{layout, text, words};

/// Columns of the state at the right edge.
const STATE: usize = 11;
/// Up to how many lines say what a task is about to do or waits for.
const DETAILS: usize = 2;

/// Draws the pane.
pub fn render(app: &App, channels: &Channels, area: Rect, buf: &mut Buffer) {
    if !app.started {
        put(buf, area, area.x + 1, area.y, "starting…", app.style(Role::Faded));
        return;
    }
    let tree = Tree::of(app);
    let rows = visible(app, channels, &tree, usize::from(area.width), usize::from(area.height));
    for (y, (task, line)) in (area.y..).zip(&rows) {
        buf.set_line(area.x, y, line, area.width);
        if app.chosen_task == Some(*task) {
            highlight(buf, area, y, app.style(Role::Selected));
        }
    }
    rest(app, &tree, &rows, area, buf);
}

/// Says how many tasks there is no room for.
fn rest(app: &App, tree: &Tree, rows: &[(TaskId, Line<'_>)], area: Rect, buf: &mut Buffer) {
    let last = rows.last().and_then(|(task, _)| tree.position(*task)).unwrap_or(0);
    let below = tree.rows.len() - 1 - last;
    let mut notes = Vec::new();
    if below > 0 {
        notes.push(format!("+{below} below"));
    }
    if tree.hidden > 0 {
        notes.push(format!("{} gone, not shown", tree.hidden));
    }
    if !notes.is_empty() {
        let note = format!(" {} ", notes.join(" · "));
        let width = (text::width(&note) as u16).min(area.width);
        // On the border, where it hides nothing.
        buf.set_stringn(area.right() - width, area.bottom(), &note, usize::from(width), app.style(Role::Text));
    }
}

/// The task on a line of the pane.
pub fn task_at(app: &App, area: Rect, line: usize) -> Option<TaskId> {
    let (channels, tree) = (Channels::of(app), Tree::of(app));
    let rows = visible(app, &channels, &tree, usize::from(area.width), usize::from(area.height));
    rows.get(line).map(|(task, _)| *task).filter(|task| *task != TaskId::LAB)
}

fn visible(app: &App, channels: &Channels, tree: &Tree, width: usize, height: usize) -> Vec<(TaskId, Line<'static>)> {
    let mut lines = Vec::new();
    let top = match app.scroll.processes {
        0 => 0,
        // The tree may have become shorter since it was scrolled.
        top => top.min(top_showing(app, channels, tree, tree.rows.len() - 1, width, height)),
    };
    for (n, row) in tree.rows.iter().enumerate().skip(top) {
        if lines.len() >= height {
            break;
        }
        let Some(task) = app.world().task(row.task) else { continue };
        lines.extend(jobs::headings(app, row, task, width).into_iter().map(|line| (row.task, line)));
        let has_children = tree.rows.get(n + 1).is_some_and(|next| next.depth > row.depth);
        lines.push((row.task, head(app, row, task, width)));
        for detail in details(app, channels, row, task, has_children, width) {
            lines.push((row.task, detail));
        }
    }
    lines.truncate(height);
    lines
}

/// The first row that may stand at the top for a row of the tree to be seen.
pub fn top_showing(app: &App, channels: &Channels, tree: &Tree, at: usize, width: usize, height: usize) -> usize {
    layout::top_showing(at, height, |n| {
        let Some(row) = tree.rows.get(n) else { return 1 };
        app.world().task(row.task).map_or(1, |task| {
            1 + jobs::headings(app, row, task, width).len() + details(app, channels, row, task, false, width).len()
        })
    })
}

/// The lines of the tree to the left of a task.
fn guides(row: &TaskRow, width: usize) -> String {
    let deepest = (width / 6).max(2);
    let from = row.depth.saturating_sub(deepest);
    let mut out = String::new();
    if from > 0 {
        out.push('…');
    }
    for depth in (1..row.depth).skip(from) {
        let goes_on = 1_u64.checked_shl(depth as u32).is_some_and(|bit| row.guides & bit != 0);
        out.push_str(if goes_on { "│ " } else { "  " });
    }
    out
}

fn head(app: &App, row: &TaskRow, task: &Task, width: usize) -> Line<'static> {
    let mark = if app.subject() == Some(task.id) { "›" } else { " " };
    let branch = match (row.depth, row.last) {
        (0, _) => "",
        (_, true) => "└ ",
        (_, false) => "├ ",
    };
    let thread = if task.is_process() { "" } else { "thread " };
    let pid = if task.pid > 0 { format!("{} ", task.pid) } else { String::new() };
    let name = match app.words().task(task.id) {
        name if name.is_empty() && task.id == TaskId::LAB => "proclab".to_owned(),
        name => name,
    };
    let tree = format!("{mark}{}{branch}", guides(row, width));
    let room = width.saturating_sub(STATE + text::width(&tree));
    let role = jobs::role_of(app, task);
    let label = text::pad(&format!("{thread}{pid}{name}{role}"), room);
    let gone = task.state == State::Dead;
    let name_role = if gone { Role::Faded } else { Role::Strong };
    let (state, role) = if task.id == TaskId::LAB { (String::new(), Role::Faded) } else { state(app, task) };
    Line::from_iter([
        Span::styled(tree, app.style(Role::Border)),
        Span::styled(label, app.style(name_role)),
        Span::styled(text::fit(&state, STATE), app.style(role)),
    ])
}

/// A task's state in a symbol and a word; of one that is gone, how it ended.
fn state(app: &App, task: &Task) -> (String, Role) {
    let (symbol, word) = words::state(task.state, app.is_ready(task.id));
    let role = match task.state {
        State::Running => Role::Ready,
        State::Blocked(_) => Role::Blocked,
        State::Stopped(_) | State::Zombie => Role::Stopped,
        State::Dead => Role::Faded,
    };
    if task.is_alive() && task.hold != Hold::Nothing && app.is_ready(task.id) && task.state == State::Running {
        return ("⏸ held".to_owned(), Role::Stopped);
    }
    let word = match (task.state, task.status) {
        (State::Dead, Some(Status::Signal { signal, .. })) => signal.to_string(),
        (State::Dead, Some(Status::Code(code))) => format!("exit {code}"),
        _ => word.to_owned(),
    };
    (format!("{symbol} {word}"), role)
}

fn details(
    app: &App,
    channels: &Channels,
    row: &TaskRow,
    task: &Task,
    has_children: bool,
    width: usize,
) -> Vec<Line<'static>> {
    let (detail, role) = match task.state {
        State::Running => match (app.next_step(task.id), task.hold) {
            (Some(next), Hold::Nothing) => (format!("▸ {next}"), Role::Ready),
            (Some(next), hold) => (format!("{}; ▸ {next}", held(hold)), Role::Stopped),
            (None, Hold::Nothing) => return Vec::new(),
            (None, hold) => (held(hold).to_owned(), Role::Stopped),
        },
        State::Blocked(blocked) => {
            let held = if task.hold == Hold::Nothing { String::new() } else { format!("{}; ", held(task.hold)) };
            let waiting = app.words().waiting_now(task, &blocked);
            (format!("{held}in {waiting}{}", wakers::who(app, channels, task)), Role::Blocked)
        }
        State::Stopped(signal) => (format!("by {signal}, until SIGCONT"), Role::Stopped),
        State::Zombie => (zombie(app, task), Role::Stopped),
        State::Dead => return Vec::new(),
    };
    let own = match (row.depth, row.last) {
        (0, _) => "",
        (_, true) => "  ",
        (_, false) => "│ ",
    };
    let below = if has_children { "│ " } else { "  " };
    let prefix = format!(" {}{own}{below}", guides(row, width));
    let room = width.saturating_sub(text::width(&prefix)).max(8);
    let mut wrapped = text::wrap(&detail, room);
    if wrapped.len() > DETAILS {
        let rest = wrapped.split_off(DETAILS - 1).join(" ");
        wrapped.push(text::fit(&rest, room));
    }
    let line = |text: String| {
        Line::from_iter([Span::styled(prefix.clone(), app.style(Role::Border)), Span::styled(text, app.style(role))])
    };
    wrapped.into_iter().map(line).collect()
}

/// What the user keeps a task from.
const fn held(hold: Hold) -> &'static str {
    match hold {
        Hold::Nothing => "",
        Hold::Steps => "held by you",
        Hold::Deliveries => "held by you before deliveries",
    }
}

fn zombie(app: &App, task: &Task) -> String {
    let how = task.status.map(words::ended).unwrap_or_default();
    format!("{how}; {} has not waited for it", app.words().task(task.parent))
}
