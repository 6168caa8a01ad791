//! How tasks come and go, as clone(2) and wait(2) put it.

use super::Signal;

/// By which kind of call a task was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// `fork`, or a `clone` that amounts to it.
    Fork,
    /// `vfork`: the parent waits until the child execs or exits.
    Vfork,
    /// A `clone` that shares something but makes a process.
    Clone,
    /// A `clone` that makes a thread.
    Thread,
}

impl How {
    /// Its name in a recording.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fork => "fork",
            Self::Vfork => "vfork",
            Self::Clone => "clone",
            Self::Thread => "thread",
        }
    }

    /// The one with that name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Fork, Self::Vfork, Self::Clone, Self::Thread].into_iter().find(|how| how.as_str() == text)
    }
}

/// What a new task shares with its parent (clone(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Shares {
    /// The descriptor table (`CLONE_FILES`).
    pub files: bool,
    /// The signal dispositions (`CLONE_SIGHAND`).
    pub actions: bool,
    /// The parent (`CLONE_PARENT`): the new task is a sibling of its maker.
    pub parent: bool,
}

/// How a task ended (wait(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// By `exit`, with this code, 0 to 255.
    Code(i32),
    /// By a signal.
    Signal {
        /// Which.
        signal: Signal,
        /// Whether a core dump was made.
        core: bool,
    },
}
