//! Signals that come from the run's terminal, in words.

use crate::model::{Phase, Signal, TaskId};

/// `SI_KERNEL` of sigaction(2).
const KERNEL: i32 = 128;

/// What at the terminal made a signal, if that did: a key, its window, or its end (termios(3), "ISIG").
pub fn cause(phase: Phase, signal: Signal, from: Option<TaskId>, code: i32) -> Option<String> {
    if (phase, from, code) != (Phase::Generated, Some(TaskId::LAB), KERNEL) {
        return None;
    }
    let name = signal.to_string();
    let why = match name.as_str() {
        "SIGINT" => "Ctrl-C was typed",
        "SIGQUIT" => "Ctrl-\\ was typed",
        "SIGTSTP" => "Ctrl-Z was typed",
        "SIGWINCH" => "its window has another size",
        "SIGHUP" | "SIGCONT" => "it has hung up",
        _ => return None,
    };
    Some(format!("{signal} from the terminal: {why}"))
}
