//! Timers that send signals, and timerfds; and the stack that handlers can be given.

use super::Signal;

/// Which kind of timer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TimerKind {
    /// `ITIMER_REAL` of setitimer(2), which alarm(2) sets too: SIGALRM.
    Real,
    /// `ITIMER_VIRTUAL`: CPU time of the process in its own code; SIGVTALRM.
    Virtual,
    /// `ITIMER_PROF`: CPU time of the process; SIGPROF.
    Prof,
    /// timer_create(2).
    Posix,
    /// timerfd_create(2).
    Fd,
}

impl TimerKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Real, Self::Virtual, Self::Prof, Self::Posix, Self::Fd];

    /// Its name in a recording.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Real => "real",
            Self::Virtual => "virtual",
            Self::Prof => "prof",
            Self::Posix => "posix",
            Self::Fd => "fd",
        }
    }

    /// The one with that name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// What became of a timer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TimerChange {
    /// It was set, or made without being set; 0 stops it.
    Set,
    /// It has run out, and begins anew if it has an interval.
    Expire,
    /// It is gone (timer_delete(2)).
    Delete,
}

impl TimerChange {
    /// Every change.
    pub const ALL: [Self; 3] = [Self::Set, Self::Expire, Self::Delete];

    /// Its name in a recording.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Set => "set",
            Self::Expire => "expire",
            Self::Delete => "delete",
        }
    }

    /// The one with that name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|change| change.as_str() == text)
    }
}

/// A timer of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timer {
    /// Which kind.
    pub kind: TimerKind,
    /// Of timer_create(2) the kernel's number, of a timerfd its descriptor; else 0.
    pub id: i32,
    /// What it sends; a timerfd, and a timer that was made with `SIGEV_NONE`, sends nothing.
    pub signal: Option<Signal>,
    /// Its clock (clock_gettime(2)); of ITIMER_VIRTUAL and ITIMER_PROF it means nothing.
    pub clock: i32,
    /// How long it had when it was set or ran out last, in nanoseconds; 0 where it does not run.
    pub left: u64,
    /// After how long it runs out again, in nanoseconds; 0 for never.
    pub interval: u64,
    /// When that was, in nanoseconds since the start of the run.
    pub since: u64,
}

impl Timer {
    /// When it runs out next, in nanoseconds since the start of the run; `None` where it does not run or
    /// counts CPU time, of which the log says nothing.
    pub fn due(&self) -> Option<u64> {
        (self.left > 0 && !self.counts_cpu_time()).then(|| self.since.saturating_add(self.left))
    }

    /// Whether it counts the time that a process or thread had a CPU.
    pub const fn counts_cpu_time(&self) -> bool {
        match self.kind {
            TimerKind::Virtual | TimerKind::Prof => true,
            TimerKind::Real => false,
            // CPU clocks of other processes have negative numbers (`CPUCLOCK_*` of linux/posix-timers.h).
            TimerKind::Posix | TimerKind::Fd => matches!(self.clock, 2 | 3) || self.clock < 0,
        }
    }
}

/// The stack that a task has given its handlers (sigaltstack(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Altstack {
    /// Its lowest address.
    pub base: u64,
    /// How many bytes it has.
    pub bytes: u64,
    /// Whether the kernel forgets it while a handler runs there (`SS_AUTODISARM`).
    pub autodisarm: bool,
}
