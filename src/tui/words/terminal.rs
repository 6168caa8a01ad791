//! Signals that come from terminals, in words.

use crate::model::{Phase, Signal, TaskId};

/// `SI_KERNEL` of sigaction(2).
const KERNEL: i32 = 128;

/// What at a terminal made a signal, if that did: a key, its window, its end, or a job that may not use it
/// (termios(3), "ISIG"; credentials(7)).
pub fn cause(phase: Phase, signal: Signal, from: Option<TaskId>, code: i32) -> Option<String> {
    if phase != Phase::Generated || code != KERNEL {
        return None;
    }
    let name = signal.to_string();
    let why = match (name.as_str(), from) {
        ("SIGINT", Some(TaskId::LAB)) => "Ctrl-C was typed",
        ("SIGQUIT", Some(TaskId::LAB)) => "Ctrl-\\ was typed",
        ("SIGTSTP", Some(TaskId::LAB)) => "Ctrl-Z was typed",
        ("SIGWINCH", Some(TaskId::LAB)) => "the window has changed",
        ("SIGHUP" | "SIGCONT", Some(TaskId::LAB)) => "it has hung up",
        ("SIGTTIN", None) => "a background group reads",
        ("SIGTTOU", None) => "a background group writes or changes it",
        ("SIGHUP" | "SIGCONT", None) => {
            return Some(format!(
                "{signal} from the kernel: the session's leader ended, or a stopped group was orphaned"
            ));
        }
        _ => return None,
    };
    Some(format!("{signal} from the terminal: {why}"))
}
