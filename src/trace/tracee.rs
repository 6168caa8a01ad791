//! A task as the tracer holds it: what it is in the middle of, and what would be its next step.

use std::collections::VecDeque;

use crate::model::{ChannelId, Hold, Signal, Status, Sym, TaskId, Then};
use crate::scenario::StatementId;
use crate::sys::detour::{Fault, Sent};
use crate::sys::ptrace::{SignalInfo, Stopped};

use super::calls::Family;
use super::frames::Frame;
use super::hidden::Hidden;

/// A call between its entry and its exit.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    /// Its number.
    pub number: u64,
    /// Its name.
    pub name: Sym,
    /// Its decoder.
    pub family: Family,
    /// Its arguments as passed.
    pub args: [u64; 6],
}

/// Where a stopped task stands.
#[derive(Debug)]
pub enum Rest {
    /// Before a call.
    Call(Stopped, Call),
    /// Before a statement of the scenario.
    Statement(Stopped, StatementId),
    /// A signal is about to be delivered.
    Signal(Stopped, Signal, SignalInfo),
    /// Before the first instruction of a handler.
    Handler(Stopped),
    /// Before an access to watched memory.
    Access(Stopped, Fault),
    /// Somewhere in its own code, where the lab stopped it.
    Anywhere(Stopped),
}

impl Rest {
    /// The proof that it is stopped.
    pub const fn stopped(&self) -> &Stopped {
        match self {
            Self::Call(stopped, _)
            | Self::Statement(stopped, _)
            | Self::Signal(stopped, ..)
            | Self::Handler(stopped)
            | Self::Access(stopped, _)
            | Self::Anywhere(stopped) => stopped,
        }
    }

    /// The same, to resume it.
    pub fn into_stopped(self) -> Stopped {
        match self {
            Self::Call(stopped, _)
            | Self::Statement(stopped, _)
            | Self::Signal(stopped, ..)
            | Self::Handler(stopped)
            | Self::Access(stopped, _)
            | Self::Anywhere(stopped) => stopped,
        }
    }
}

/// What a call is about to make or remove.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ahead {
    /// Nothing worth remembering.
    #[default]
    Nothing,
    /// What it may make is there already.
    Found,
    /// It removes the last name of this channel.
    LastName(ChannelId),
}

/// What a call about a timer brings back that the lab's clock has taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimerAnswer {
    /// alarm(2) returns how many seconds were left.
    Seconds(u64),
    /// setitimer(2) finds what it gave where it gave it.
    Given([u8; 32]),
}

/// What the program had given to a call whose first argument the lab has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Borrowed {
    /// The argument.
    pub argument: u64,
    /// Where the lab has mapped a page for the call, if it has.
    pub page: Option<u64>,
}

/// What the tracer knows of a task besides what stands in the log.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, and they combine freely")]
pub struct Tracee {
    /// Which task it is in the log.
    pub task: TaskId,
    /// Whether it interprets a scenario.
    pub actor: bool,
    /// Whether it is a thread beside the first one of its process.
    pub thread: bool,
    /// Whether its name is settled: a foreign program's is, once it was loaded.
    pub named: bool,
    /// Whether its first stop is still to come.
    pub newborn: bool,
    /// What it is loading: path and arguments, while it is in an `execve`.
    pub exec: Option<(String, Vec<u8>)>,
    /// Where it stands, if it is stopped and waits for its turn.
    pub rest: Option<Rest>,
    /// The call that it is in.
    pub call: Option<Call>,
    /// A call that a signal has interrupted and that may go on as if nothing had been: what it is, and
    /// what the kernel says of it (`-ERESTART…`).
    pub suspended: Option<(Call, i64)>,
    /// What was seen on the way into the call that it is in and can no longer be seen at its end.
    pub ahead: Ahead,
    /// How many bytes of the call that it is in are in the log already.
    pub progress: u64,
    /// Whether the log says that it sleeps in that call.
    pub blocked: bool,
    /// The call that the log says it sleeps in: its number and its arguments.
    pub sleeps_in: Option<(u64, [u64; 6])>,
    /// The statement that it executes.
    pub statement: Option<StatementId>,
    /// The handlers that run, innermost last.
    pub frames: Vec<Frame>,
    /// A call that a signal has interrupted whose handler is about to be entered, and what becomes of it.
    pub then: Option<(Call, Then)>,
    /// The call that has just failed with EINTR by itself.
    pub failed: Option<Call>,
    /// The stack pointer of what a handler on the alternate stack has interrupted.
    pub stack: Option<u64>,
    /// The signal that has stopped it in the middle of a call.
    pub stopped_by: Option<Signal>,
    /// Whether the call that it is in has brought a mask along.
    pub masked: bool,
    /// Whether a statement has begun and its first call belongs to the same step.
    pub fresh: bool,
    /// The signal whose handler is about to be entered.
    pub entering: Option<(Signal, SignalInfo)>,
    /// A SIGSEGV that was pending, blocked, when an access to watched memory made another.
    pub overtaken: Option<Fault>,
    /// What was sent to it while the lab had it do something, and has to be put back into a queue.
    pub owed: VecDeque<Sent>,
    /// What a thread has sent to it and is still to be found: the kernel does not queue it where a fault of the lab's
    /// making is just pending.
    pub expected: Option<Sent>,
    /// Whether the log has its end already.
    pub ended: bool,
    /// How a leader ended whose other threads still live: the process ends with the last of them.
    pub left: Option<Status>,
    /// Whether the lab has asked it to stop.
    pub asked: bool,
    /// Whether it is in a group-stop.
    pub listening: bool,
    /// Whether the lab's clock has ended its sleep.
    pub expired: bool,
    /// When the lab's clock ends what the present statement waits for, however often it does.
    pub deadline: Option<u64>,
    /// Where the lab has made a wait endless, and the seconds that the program had put there.
    pub lengthened: Option<(u64, u64)>,
    /// What the call about a timer that it is in brings back from the lab's clock.
    pub timer_answer: Option<TimerAnswer>,
    /// Whether it has left a call too early for the log, and waits until that has caught up.
    pub held: bool,
    /// Whether it waits at a scenario's barrier.
    pub at_barrier: bool,
    /// What the user keeps it from.
    pub hold: Hold,
    /// What is given back to it at the end of a call that the lab has made with another first argument.
    pub borrowed: Option<Borrowed>,
    /// Whether it has made a call that is forbidden in strict mode (seccomp(2)).
    pub forbidden: bool,
    /// What it ignores and the kernel has blocked for that.
    pub hidden: Hidden,
    /// The stack pointer at the delivery of the signal whose handler is about to be entered.
    pub before_frame: u64,
    /// Whether the lab traces it no more, and waits for its end.
    pub released: bool,
    /// Of what such a one dies.
    pub dies_of: Option<Signal>,
}

impl Tracee {
    /// A task that has just been found.
    pub const fn new(task: TaskId, actor: bool) -> Self {
        Self {
            task,
            actor,
            thread: false,
            named: actor,
            newborn: true,
            exec: None,
            rest: None,
            call: None,
            suspended: None,
            ahead: Ahead::Nothing,
            progress: 0,
            blocked: false,
            sleeps_in: None,
            statement: None,
            frames: Vec::new(),
            then: None,
            failed: None,
            stack: None,
            stopped_by: None,
            masked: false,
            fresh: false,
            entering: None,
            overtaken: None,
            owed: VecDeque::new(),
            expected: None,
            ended: false,
            left: None,
            asked: false,
            listening: false,
            expired: false,
            deadline: None,
            lengthened: None,
            timer_answer: None,
            held: false,
            at_barrier: false,
            hold: Hold::Nothing,
            borrowed: None,
            forbidden: false,
            hidden: Hidden::nothing(),
            before_frame: 0,
            released: false,
            dies_of: None,
        }
    }

    /// Whether it stands still and could take a step, if it may.
    pub const fn rests(&self) -> bool {
        self.rest.is_some() && !self.at_barrier
    }

    /// Whether the user keeps it from its next step.
    pub const fn is_held_back(&self) -> bool {
        match self.hold {
            Hold::Nothing => false,
            Hold::Steps => self.rests(),
            Hold::Deliveries => matches!(self.rest, Some(Rest::Signal(..))),
        }
    }

    /// Whether it may stop at any moment: it neither rests nor is known to sleep.
    pub const fn is_moving(&self) -> bool {
        self.rest.is_none() && !self.blocked && !self.listening && !self.held && !self.released
    }
}
