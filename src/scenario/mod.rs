//! Scenario files: from KDL to something that runs. Pure.
//!
//! `docs/scenario-language.md` describes the language.

pub mod errno;
pub mod library;
pub mod words;

mod lint;
mod op;
mod operand;
mod parse;
mod problem;
mod program;
mod schedule;
mod template;

pub use library::Library;
pub use lint::lint;
pub use op::Op;
pub use operand::{Address, Compare, Domain, LockKind, Nanos, SocketKind, Target, Value};
pub use parse::{MAX_FILE, parse, parse_again};
pub use problem::{Problem, Severity, render_all};
pub use program::{
    Barrier, BarrierId, DescriptorId, Info, MAX_DESCRIPTORS, MAX_OBJECTS, MAX_PROCESSES, MAX_TEXT, MAX_VARIABLES,
    Object, ObjectId, ObjectKind, ProcessId, Program, Root, Statement, StatementId, VarId,
};

pub use schedule::{parse_schedule, schedule_text};
pub use template::template;

use crate::model::Signal;

/// The diagnoses that a scenario may expect.
pub const RULES: &[&str] = &[
    "address-in-use",
    "broken-pipe",
    "buffer-copied-by-fork",
    "coalesced-signals",
    "connection-refused",
    "datagram-dropped",
    "deadlock",
    "eintr-not-handled",
    "errno-changed-by-handler",
    "goes-on-after-failed-exec",
    "ignore-inherited-over-exec",
    "leaked-ipc-object",
    "lock-dropped-by-close",
    "lock-outlives-owner",
    "lost-update",
    "lost-wake-up",
    "mask-inherited-over-exec",
    "message-of-another-type",
    "only-shell-killed",
    "orphan",
    "past-a-limit",
    "pipe-kept-open",
    "private-memory",
    "process-one",
    "self-held-write-end",
    "signal-before-handler",
    "status-lost",
    "stopped-by-terminal",
    "torn-read",
    "unreceived-message",
    "unsafe-call-in-handler",
    "zombie",
];

/// A scenario file, understood.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scenario {
    /// `topic/file-stem`, as in `pipes/one-pipe`.
    pub name: String,
    /// One line.
    pub title: String,
    /// The group in the picker.
    pub topic: String,
    /// 1 first week to 3 last week.
    pub level: u8,
    /// Markdown, shown beside the run.
    pub story: String,
    /// Manual pages to read on, as `pipe(7)`.
    pub see: Vec<String>,
    /// Given one at a time, on request.
    pub hints: Vec<String>,
    /// The scheduler's seed, where the file gives one.
    pub seed: Option<u64>,
    /// Whether the processes run freely by default instead of one at a time.
    pub free: bool,
    /// Whether its processes live in real time instead of by the lab's clock.
    pub real_time: bool,
    /// An exact interleaving.
    pub schedule: Vec<Turn>,
    /// Questions asked before the reveal.
    pub predictions: Vec<Prediction>,
    /// The terminal that the root processes are started on, if they are.
    pub terminal: Option<Terminal>,
    /// Bounds of a run.
    pub limit: Limit,
    /// What must hold at the end.
    pub expect: Vec<Expectation>,
    /// What runs.
    pub program: Program,
    /// The text of the file.
    pub source: String,
}

/// A terminal of the lab: the root processes are in its session, as its foreground group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terminal {
    /// Lines of its window, as long as nobody shows it in one of another size.
    pub rows: u16,
    /// Columns of its window, likewise.
    pub columns: u16,
    /// What is typed where there is no user: a line or a key at a time, each when nobody can move.
    pub input: String,
}

/// Bounds of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Seconds, of the lab's clock and of the real one.
    pub seconds: u64,
    /// Processes alive at the same time.
    pub processes: u32,
    /// Events.
    pub events: u64,
}

impl Default for Limit {
    fn default() -> Self {
        Self { seconds: 10, processes: 32, events: 100_000 }
    }
}

/// One item of a `schedule` block, and of a `--schedule` string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// `step NAME 2`: so many steps of that task.
    Step {
        /// Its name, with or without the path.
        name: String,
        /// How many.
        count: u32,
    },
    /// `run NAME until=blocked`: steps of that task until something holds.
    Run {
        /// Its name, with or without the path.
        name: String,
        /// Until what.
        until: Until,
    },
    /// `clock`: the lab's clock moves on to what is due next, although tasks could move.
    Clock,
    /// `run all`: the seeded scheduler from here on.
    All,
}

/// Where a `run` of a schedule ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Until {
    /// The task is blocked.
    Blocked,
    /// The task is gone.
    Exit,
    /// It has passed this label, is about to make this call, is about to take this signal (by its full
    /// name), to enter a handler (`handler`), or has come back from one (`returned`): whichever bears the
    /// name.
    Reaches(String),
}

/// In a schedule: before the first instruction of a handler.
pub const HANDLER: &str = "handler";
/// In a schedule: a handler has returned.
pub const RETURNED: &str = "returned";

impl Until {
    /// Until a place; a signal's goes by the name that the lab calls it by.
    pub fn reaches(place: &str) -> Self {
        let signal = place.starts_with("SIG").then(|| Signal::parse(place)).flatten();
        Self::Reaches(signal.map_or_else(|| place.to_owned(), |signal| signal.to_string()))
    }
}

/// A question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prediction {
    /// The question.
    pub question: String,
    /// The answers, and whether each is right.
    pub choices: Vec<(String, bool)>,
    /// Why.
    pub because: String,
    /// The label at which the run stops for it.
    pub at: Option<String>,
}

/// What must hold at the end of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expectation {
    /// The line in the file, from 1.
    pub line: u32,
    /// As written.
    pub text: String,
    /// What.
    pub what: Claim,
}

/// A claim about a finished run. Processes and channels are named as the file names them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields bear the names of the language's own reference")]
pub enum Claim {
    Exited {
        name: String,
        code: i32,
    },
    Killed {
        name: String,
        signal: Signal,
    },
    Moved {
        channel: String,
        bytes: u64,
    },
    Output {
        name: String,
        text: String,
    },
    Printed {
        name: String,
        text: String,
    },
    Received {
        channel: String,
        messages: Vec<String>,
    },
    Delivered {
        name: String,
        signal: Signal,
        times: Option<u64>,
    },
    Handled {
        name: String,
        signal: Signal,
        times: Option<u64>,
    },
    Errno {
        name: String,
        call: String,
        errno: String,
    },
    /// `on` is a channel or, for `wait`, a process.
    Blocked {
        name: String,
        call: String,
        on: Option<String>,
    },
    Value {
        segment: String,
        offset: u64,
        value: i64,
    },
    Before {
        first: String,
        second: String,
    },
    Diagnosed {
        rule: String,
    },
    NotDiagnosed {
        rule: String,
    },
    Noted {
        rule: String,
    },
    Clean,
}
