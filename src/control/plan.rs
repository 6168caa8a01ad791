//! What a session is told, and what it tells: plain data, no behaviour.

use crate::model::{Batch, Ended, Hold, Phase, Signal, TaskId};
use crate::scenario::{Scenario, Turn};

/// What is put on the bench, and how.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
pub struct Plan {
    /// What runs.
    pub subject: Subject,
    /// Whether one task moves at a time.
    pub serial: bool,
    /// The scheduler's seed.
    pub seed: u64,
    /// The turns before the seeded scheduler takes over.
    pub schedule: Vec<Turn>,
    /// Whether every system call is an event.
    pub all: bool,
    /// Whether every load and store of shared memory is an event. Those of scenario processes always
    /// are.
    pub watch_memory: bool,
    /// How many bytes of each transfer are kept.
    pub capture: usize,
    /// Ends a run after so many seconds of real time.
    pub timeout: Option<u64>,
    /// Whether a run of a command in free mode ends when nobody can move any more; in serial mode it does so in
    /// any case.
    pub stop_when_stuck: bool,
    /// Whether a foreign program gets namespaces of its own, as a scenario does.
    pub isolate: bool,
    /// Whether tracer and tracees may use every CPU instead of sharing one.
    pub all_cpus: bool,
    /// Where the standard streams of the root processes lead.
    pub stdio: Stdio,
    /// The terminal that the root processes are started on, instead of the standard streams.
    pub terminal: Option<Terminal>,
    /// How it begins.
    pub start: Start,
    /// The proclab binary, which scenario processes are.
    pub lab: std::path::PathBuf,
}

/// What runs.
#[derive(Debug, Clone)]
pub enum Subject {
    /// A scenario.
    Scenario(Box<Scenario>),
    /// A program and its arguments.
    Command(Vec<std::ffi::OsString>),
}

impl Subject {
    /// The terminal that a scenario asks for, at which nobody types but the scenario itself.
    pub fn terminal(&self) -> Option<Terminal> {
        let Self::Scenario(scenario) = self else { return None };
        let crate::scenario::Terminal { rows, columns, input } = scenario.terminal.clone()?;
        Some(Terminal { rows, columns, input, attended: false })
    }
}

/// Where the standard streams of the root processes lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stdio {
    /// Standard input is the lab's own if that is no terminal, else empty; output is taken by the
    /// lab, and shown from the log.
    Captured,
    /// The lab's own.
    Inherited,
    /// The lab's own, but standard output leads to the lab's standard error: the log has the other.
    OutputToError,
}

/// A terminal of the lab, on which a run is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terminal {
    /// Lines of its window.
    pub rows: u16,
    /// Columns of its window.
    pub columns: u16,
    /// What is typed at it if nobody else does.
    pub input: String,
    /// Whether somebody can type at it: then a run that waits for a key goes on waiting.
    pub attended: bool,
}

impl Default for Terminal {
    fn default() -> Self {
        Self { rows: 24, columns: 80, input: String::new(), attended: false }
    }
}

/// How fast events follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// As fast as it goes.
    Full,
    /// So many steps a second.
    PerSecond(u32),
}

/// How a session begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Stopped before the first step.
    Paused,
    /// Playing.
    Playing(Pace),
}

/// Where to stop by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Breakpoint {
    /// Before a task makes the call with this name.
    Call(String),
    /// When this signal is delivered.
    Signal(Signal),
    /// When a signal comes to this phase of its life; before it is delivered, after the others.
    Phase {
        /// Of the task with this name; with none, of any.
        task: Option<String>,
        /// Which signal; with none, any.
        signal: Option<Signal>,
        /// Which phase.
        phase: Phase,
    },
    /// When the task with this name is about to move.
    Task(String),
    /// When an event concerns the channel with this name.
    Channel(String),
    /// When this rule finds something; with no name, any rule.
    Diagnosis(Option<String>),
}

/// What a user of the session asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Go on at this pace.
    Play(Pace),
    /// Stop before the next step.
    Pause,
    /// One step: of this task, or of the scheduler's choice.
    Step(Option<TaskId>),
    /// Stop at these from now on, and at no others.
    Breakpoints(Vec<Breakpoint>),
    /// One task at a time from now on, or all at once.
    Serial(bool),
    /// Something done by hand. What came of it is in the next [`Status`].
    Hand(Hand),
    /// Type this at the run's terminal.
    Type(Vec<u8>),
    /// The window of the run's terminal has another size.
    Resize {
        /// Lines.
        rows: u16,
        /// Columns.
        columns: u16,
    },
    /// End the run: kill what is left.
    End,
}

/// What the user does by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hand {
    /// Send a signal; with none, only ask whether one could be sent (kill(2)).
    Send {
        /// Which.
        signal: Option<Signal>,
        /// To whom.
        to: To,
        /// Its value, as sigqueue(3) sends it.
        value: Option<i32>,
    },
    /// Throw the signal away that the task is about to be delivered.
    Suppress(TaskId),
    /// Put another signal in its place.
    Replace(TaskId, Signal),
    /// Keep the task from something, or let it go.
    Hold(TaskId, Hold),
    /// Compare what waits for the task with what the kernel has queued for it.
    Ask(TaskId),
}

/// To whom a signal is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    /// This thread alone (tgkill(2)).
    Thread(TaskId),
    /// The process of this task (kill(2)).
    Process(TaskId),
    /// Every process of the run in the process group of this task.
    Group(TaskId),
    /// Every process of the run.
    All,
}

/// What the session tells its user.
#[derive(Debug, Clone)]
pub enum Update {
    /// The log goes on.
    Batch(Batch),
    /// Who is about to do what has changed.
    Status(Status),
    /// The run is over. Nothing follows, but the session must still be dropped.
    Ended(Ending),
}

/// How things stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// At which pace it plays; `None` while it is paused.
    pub playing: Option<Pace>,
    /// Whether one task moves at a time.
    pub serial: bool,
    /// What each task that stands still would do next.
    pub next: Vec<Next>,
    /// Why it paused by itself, as a sentence: a breakpoint.
    pub paused_by: Option<String>,
    /// The lab's clock in nanoseconds, where it has one of its own.
    pub clock_ns: Option<u64>,
    /// What came of what the user did last by hand.
    pub answer: Option<Answer>,
}

/// What came of something that the user did by hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// How many there have been before: two with the same words are two.
    pub number: u64,
    /// One sentence.
    pub text: String,
}

/// What a task that stands still would do next, be it held by the user or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Next {
    /// The task.
    pub task: TaskId,
    /// As in `write p 29 B`.
    pub text: String,
    /// The signal that it is about to be delivered.
    pub signal: Option<Signal>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// Why.
    pub outcome: Outcome,
    /// How the first root process ended, if it did.
    pub root: Option<crate::model::Status>,
    /// The schedule that was followed, as `--schedule` takes it; empty for a free run.
    pub schedule: String,
    /// What was done by hand and is not in the schedule, so that the schedule alone does not give this run
    /// again; nothing of a free run.
    pub unscheduled: Vec<&'static str>,
    /// What could not be removed, or not be printed, a sentence each.
    pub left: Vec<String>,
}

impl Ending {
    /// What its schedule does not say, as a sentence; `None` if it says all.
    pub fn beyond_schedule(&self) -> Option<String> {
        (!self.unscheduled.is_empty()).then(|| {
            let what = self.unscheduled.join(", ");
            format!("by hand: {what}: not in the schedule, which alone does not give this run again")
        })
    }
}

/// Why a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Every task has ended.
    Done,
    /// Nothing can move any more: all tasks are blocked on each other.
    Stuck,
    /// A limit was reached; which, as a sentence.
    Limit(String),
    /// The user ended it.
    Stopped,
    /// The lab failed; how, as a sentence.
    Failed(String),
}

impl Outcome {
    /// How the run ended, and why in one sentence, as its log says it.
    pub(super) fn in_the_log(&self) -> (Ended, &str) {
        match self {
            Self::Done => (Ended::Done, "every task has ended"),
            Self::Stuck => (Ended::Stuck, "nothing can move any more: all that is left waits for each other"),
            Self::Limit(why) | Self::Failed(why) => (Ended::Cut, why),
            Self::Stopped => (Ended::Cut, "the user ended the run"),
        }
    }
}
