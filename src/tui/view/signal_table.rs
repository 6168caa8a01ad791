//! All signals of one task in a table: what each is for, what happens when it comes.

use ratatui::text::{Line, Span};

use crate::model::{Disposition, Signal, Task};
use crate::tui::app::App;
use crate::tui::theme::Role;
use crate::tui::{text, words};

/// The table, with a heading.
pub fn lines(app: &App, task: &Task, width: usize) -> Vec<Line<'static>> {
    let here = text::pad("here", columns(width));
    let heading = format!(" {:>2}  {:12} {:6} {here} {}", "nr", "signal", "default", "what it is for");
    let mut lines = vec![Line::default(), Line::styled(text::fit(&heading, width), app.style(Role::Strong))];
    lines.extend(Signal::all().map(|signal| row(app, task, signal, width)));
    lines
}

/// Columns for what a task does about a signal: what the others leave.
fn columns(width: usize) -> usize {
    width.saturating_sub(70).clamp(17, 60)
}

fn row(app: &App, task: &Task, signal: Signal, width: usize) -> Line<'static> {
    let world = app.world();
    let leader = world.task(task.process).unwrap_or(task);
    let action = world.action(task.id, signal).unwrap_or_else(|| task.action(signal));
    let counts = [(task.pending.count(signal), "thread"), (leader.shared_pending.count(signal), "process")];
    let is_pending = counts.iter().any(|(count, _)| *count > 0);
    let counts: Vec<String> = counts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, whose)| format!("{count} for the {whose}"))
        .collect();
    let pending = if counts == ["1 for the process"] { String::new() } else { format!(" {}", counts.join(", ")) };
    let pending = format!("pending{pending}");
    let flags = words::action_flags(action.flags);
    let others = action.mask;
    let blocks = if others.is_empty() { String::new() } else { format!("blocks {}", words::signals(others)) };
    let disposition = match action.disposition {
        Disposition::Handler => "caught",
        Disposition::Ignore => "ignored",
        Disposition::Default if !signal.is_catchable() => "cannot be caught",
        Disposition::Default => "",
    };
    let states = [
        (disposition, !disposition.is_empty()),
        ("blocked", task.blocked.contains(signal)),
        (pending.as_str(), is_pending),
        ("handling", task.handling.contains(&signal)),
        (flags.as_str(), !flags.is_empty()),
        (blocks.as_str(), !blocks.is_empty()),
    ];
    let here: Vec<&str> = states.iter().filter(|(_, is)| *is).map(|(word, _)| *word).collect();
    let here = here.join(", ");
    let role = if is_pending || task.handling.contains(&signal) {
        Role::Signal
    } else if here.is_empty() {
        Role::Faded
    } else {
        Role::Text
    };
    let left = format!(" {:>2}  {:12} {:6}  ", signal.number(), signal.to_string(), signal.default_action().as_str());
    let middle = format!("{} ", text::pad(&here, columns(width)));
    let room = width.saturating_sub(text::width(&left) + text::width(&middle));
    Line::from_iter([
        Span::styled(left, app.style(Role::Text)),
        Span::styled(middle, app.style(role)),
        Span::styled(text::fit(about(signal), room), app.style(Role::Faded)),
    ])
}

/// What a signal is for, after the table in signal(7). Numbers are those of x86-64 and aarch64.
const fn about(signal: Signal) -> &'static str {
    match signal.number() {
        1 => "the terminal is gone; reload",
        2 => "Ctrl-C: interrupt",
        3 => "Ctrl-\\: quit, with a core dump",
        4 => "illegal instruction",
        5 => "breakpoint",
        6 => "abort(3)",
        7 => "bad access to memory",
        8 => "arithmetic: division by zero",
        9 => "kill: nothing helps against it",
        10 | 12 => "free for programs to use",
        11 => "invalid access to memory",
        13 => "a write that nobody can read",
        14 => "alarm(2), a timer",
        15 => "please end: what kill(1) sends",
        16 => "not used",
        17 => "a child ended, stopped or went on",
        18 => "go on after a stop",
        19 => "stop: nothing helps against it",
        20 => "Ctrl-Z: stop",
        21 => "a background job reads the terminal",
        22 => "a background job writes to it",
        23 => "urgent data at a socket",
        24 => "too much CPU time, setrlimit(2)",
        25 => "too large a file, setrlimit(2)",
        26 => "a timer of CPU time, setitimer(2)",
        27 => "the same, calls included",
        28 => "the window has another size",
        29 => "a descriptor is ready, fcntl(2)",
        30 => "the power fails",
        31 => "a bad system call, seccomp(2)",
        32 | 33 => "kept by the C library for threads",
        _ => "real-time: queues, with a value",
    }
}
