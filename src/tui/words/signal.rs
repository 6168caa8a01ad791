//! Signals in words: where one comes from, what it carries, and the phases of its life.

use super::{Words, ended, signals, terminal};
use crate::model::{
    Carries, DefaultAction, Disposition, Event, Kind, Pending, Phase, Queue, Signal, Status, TaskId, Then, Timer,
    TimerChange, TimerKind,
};

/// `si_code` of SIGCHLD (sigaction(2)).
const CLD: [&str; 6] = ["exited", "killed", "dumped", "trapped", "stopped", "continued"];

impl Words<'_> {
    /// One phase of a signal's life, in as few words as will do.
    pub fn phase(&self, seq: u64, event: &Event) -> String {
        let Kind::Signal { phase, signal, queue, from, code, value, blocked } = event.kind else {
            return String::new();
        };
        if let Some(cause) = terminal::cause(phase, signal, from, code) {
            return cause;
        }
        let met = self.index.reception(seq);
        match phase {
            Phase::Generated => {
                let pending = Pending { signal, from, code, value, coalesced: 0 };
                format!("{signal} {}{}", self.origin(&pending, event.task), self.cause(seq, event))
            }
            Phase::Pending => {
                let whose = if queue == Queue::Thread { "this thread" } else { "the process" };
                let during = met.within.map_or_else(String::new, |within| format!(" while {within} is handled"));
                format!("{signal} pending for {whose}: blocked{during}")
            }
            Phase::Dequeued => match queue {
                Queue::Process => format!("{signal} taken out of the queue"),
                Queue::Thread => format!("{signal} taken out of the thread's queue"),
            },
            Phase::Delivered => match (met.disposition, action_flags(met.flags)) {
                (Disposition::Handler, flags) if flags.is_empty() => format!("{signal} delivered to its handler"),
                (Disposition::Handler, flags) => format!("{signal} delivered to its handler, {flags}"),
                _ => format!("{signal} delivered: no handler"),
            },
            Phase::Handler => {
                let stack = if met.alternate { " on the alternate stack" } else { "" };
                format!("{signal}: handler entered{stack}; blocked: {}", signals(blocked))
            }
            Phase::Returned => format!("{signal}: handler returned; blocked: {}", signals(blocked)),
            Phase::Left => format!("{signal}: handler left without returning"),
            Phase::Ignored if met.disposition == Disposition::Ignore => format!("{signal} ignored by the process"),
            Phase::Ignored => format!("{signal} ignored: that is its default"),
            Phase::Default => format!("{signal} by default: {}", by_default(signal.default_action())),
            Phase::Suppressed => format!("{signal} suppressed by you"),
            Phase::Replaced => replaced(signal, value),
            Phase::Coalesced => format!("{signal} coalesced: one is pending already"),
            Phase::Accepted => format!("{signal} accepted{}", carried(signal, code, value)),
            Phase::NoFrame => format!("{signal}: no room for the handler's frame; the kernel forces SIGSEGV"),
            Phase::Discarded if signal != Signal::CONT && self.is_process_one(event.task) => {
                format!("{signal} discarded: process 1 has no handler for it")
            }
            Phase::Discarded => format!("{signal} discarded: undone by another signal"),
        }
    }

    /// Whether a task belongs to process 1 of a PID namespace (pid_namespaces(7)).
    fn is_process_one(&self, task: TaskId) -> bool {
        let process = self.world.task(task).and_then(|task| self.world.task(task.process));
        process.is_some_and(|process| process.pid == 1)
    }

    /// What becomes of a call, what a timer does, which stack handlers get.
    pub(super) fn around_signals(&self, event: &Event) -> Option<String> {
        Some(match event.kind {
            Kind::Interrupted { signal, then } => {
                let call = self.call(event, "the call");
                match then {
                    Then::Restart => format!("{call} begins again after {signal}"),
                    Then::Continue => format!("{call} goes on after {signal}"),
                    Then::Eintr => format!("{call} fails with EINTR: {signal} has no SA_RESTART"),
                    Then::EintrAlways => format!("{call} fails with EINTR: it is never restarted"),
                }
            }
            Kind::Altstack { bytes: 0, .. } => "no stack of their own for handlers".to_owned(),
            Kind::Altstack { base, bytes, .. } => format!("stack for handlers: {bytes} B at {base:#x}"),
            Kind::Timer { kind, change, id, signal, left, interval, .. } => {
                let name = timer_name(kind, id);
                let sends = signal.map_or_else(String::new, |signal| format!(": {signal}"));
                match (change, left) {
                    (TimerChange::Delete, _) => format!("{name} is gone"),
                    (TimerChange::Expire, _) => format!("{name} has run out{sends}"),
                    (TimerChange::Set, 0) => format!("{name} does not run{sends}"),
                    (TimerChange::Set, _) if interval > 0 => {
                        format!("{name} in {}, then every {}{sends}", duration(left), duration(interval))
                    }
                    (TimerChange::Set, _) => format!("{name} in {}{sends}", duration(left)),
                }
            }
            _ => return None,
        })
    }

    /// A timer as it stands at the cursor: `ITIMER_REAL in 0.5 s, then every 1 s: SIGALRM`.
    pub fn timer(&self, task: TaskId, timer: &Timer) -> String {
        let now = self.world.time_of(task);
        let name = timer_name(timer.kind, timer.id);
        let sends = timer.signal.map_or_else(String::new, |signal| format!(": {signal}"));
        let again =
            if timer.interval > 0 { format!(", then every {}", duration(timer.interval)) } else { String::new() };
        let when = match timer.due() {
            _ if timer.left == 0 => "does not run".to_owned(),
            Some(due) if due > now => format!("in {}", duration(due - now)),
            Some(_) => "is due".to_owned(),
            None => format!("after {} of CPU time", duration(timer.left)),
        };
        format!("{name} {when}{again}{sends}")
    }

    /// Who sent a signal, and what it brings along: `from parent, value 3`, `from child: exited 3`.
    /// `receiver` is whose signal it is.
    pub fn origin(&self, pending: &Pending, receiver: TaskId) -> String {
        let Pending { signal, from, code, value, .. } = *pending;
        let who = match from {
            Some(from) if from == receiver => "itself".to_owned(),
            None if matches!(code, libc::SI_USER | libc::SI_QUEUE | libc::SI_TKILL | libc::SI_MESGQ) => {
                "outside".to_owned()
            }
            from => self.sender(from),
        };
        let carried = carried(signal, code, value);
        match (signal.carries(code), code) {
            (Carries::Address, _) => format!("from an instruction of its own{carried}"),
            (_, libc::SI_TIMER) => format!("from a timer{carried}"),
            (_, libc::SI_KERNEL) => format!("from {}", from_kernel(signal)),
            _ => format!("from {who}{carried}"),
        }
    }

    /// By which call it was sent. The write that nobody could read is what SIGPIPE comes from: the failed
    /// call right before.
    fn cause(&self, seq: u64, event: &Event) -> String {
        if let Some(call) = event.call {
            return format!(": {}", self.sym(call));
        }
        let Kind::Signal { signal: Signal::PIPE, from, .. } = event.kind else { return String::new() };
        if from != Some(event.task) {
            return String::new();
        }
        let before = self.log.range(seq.saturating_sub(8)..seq).rev().map(|(_, event)| event);
        let mut own = before.filter(|before| before.task == event.task);
        match own.next().filter(|before| before.errno() == Some(libc::EPIPE)) {
            Some(Event { kind: Kind::Write { channel, .. }, call, .. }) => {
                let call = call.map_or_else(|| "write".to_owned(), |call| self.sym(call));
                format!(": its {call} to {}", self.channel(*channel))
            }
            _ => String::new(),
        }
    }

    /// Who sent a signal.
    pub fn sender(&self, from: Option<TaskId>) -> String {
        match from {
            None => "the kernel".to_owned(),
            Some(TaskId::LAB) => "you".to_owned(),
            Some(task) => self.task(task),
        }
    }
}

/// A signal in whose place the user put the one with this number.
fn replaced(signal: Signal, by: i64) -> String {
    let by = i32::try_from(by).ok().and_then(Signal::new);
    by.map_or_else(|| format!("{signal} replaced by you"), |by| format!("{signal} replaced by {by}, by you"))
}

fn timer_name(kind: TimerKind, id: i32) -> String {
    match kind {
        TimerKind::Real => "ITIMER_REAL".to_owned(),
        TimerKind::Virtual => "ITIMER_VIRTUAL".to_owned(),
        TimerKind::Prof => "ITIMER_PROF".to_owned(),
        TimerKind::Posix => format!("timer {id}"),
        TimerKind::Fd => format!("timerfd {id}"),
    }
}

/// A time in seconds with as many digits as it needs, down to microseconds.
fn duration(nanos: u64) -> String {
    let micros = nanos / 1000;
    let text = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
    format!("{} s", text.trim_end_matches('0').trim_end_matches('.'))
}

/// The word of signal(7), and what it does.
const fn by_default(action: DefaultAction) -> &'static str {
    match action {
        DefaultAction::Terminate => "Term, it ends",
        DefaultAction::Core => "Core, it ends with a core dump",
        DefaultAction::Ignore => "Ign, nothing happens",
        DefaultAction::Stop => "Stop, it stops",
        DefaultAction::Continue => "Cont, it goes on",
    }
}

/// What a signal brings along besides its sender.
fn carried(signal: Signal, code: i32, value: i64) -> String {
    match signal.carries(code) {
        Carries::Nothing => String::new(),
        // A program gives an int or a pointer; which, only it knows.
        Carries::Value if i32::try_from(value).is_ok() || value >> 32 == 0 => format!(", value {}", value as i32),
        Carries::Value => format!(", value {value:#x}"),
        Carries::Status => {
            let what = usize::try_from(code - 1).ok().and_then(|index| CLD.get(index)).copied().unwrap_or("?");
            let by = i32::try_from(value).ok().and_then(Signal::new);
            match (code, by) {
                (libc::CLD_EXITED, _) => format!(": {}", ended(Status::Code(value as i32))),
                (_, Some(by)) => format!(": {what} by {by}"),
                _ => format!(": {what}"),
            }
        }
        Carries::Address => format!(": {} at {value:#x}", fault(signal, code)),
    }
}

/// The name of the code of a fault (sigaction(2)).
const fn fault(signal: Signal, code: i32) -> &'static str {
    match (signal.number(), code) {
        (_, libc::SI_KERNEL) => "SI_KERNEL",
        (libc::SIGSEGV, 1) => "SEGV_MAPERR",
        (libc::SIGSEGV, 2) => "SEGV_ACCERR",
        (libc::SIGBUS, 1) => "BUS_ADRALN",
        (libc::SIGBUS, 2) => "BUS_ADRERR",
        (libc::SIGBUS, 3) => "BUS_OBJERR",
        (libc::SIGFPE, 1) => "FPE_INTDIV",
        (libc::SIGFPE, 2) => "FPE_INTOVF",
        (libc::SIGFPE, 3) => "FPE_FLTDIV",
        (libc::SIGILL, 1) => "ILL_ILLOPC",
        (libc::SIGILL, 2) => "ILL_ILLOPN",
        (libc::SIGTRAP, 1) => "TRAP_BRKPT",
        (libc::SIGTRAP, 2) => "TRAP_TRACE",
        (libc::SIGSYS, 1) => "SYS_SECCOMP",
        _ => "a fault",
    }
}

/// `sa_flags` that change something, without the `SA_` of their names.
pub fn action_flags(flags: u32) -> String {
    const NAMES: [(i32, &str); 7] = [
        (libc::SA_NOCLDSTOP, "NOCLDSTOP"),
        (libc::SA_NOCLDWAIT, "NOCLDWAIT"),
        (libc::SA_SIGINFO, "SIGINFO"),
        (libc::SA_ONSTACK, "ONSTACK"),
        (libc::SA_RESTART, "RESTART"),
        (libc::SA_NODEFER, "NODEFER"),
        (libc::SA_RESETHAND, "RESETHAND"),
    ];
    let set = NAMES.iter().filter(|(bit, _)| flags & bit.cast_unsigned() != 0).map(|(_, name)| *name);
    set.collect::<Vec<_>>().join(" ")
}

/// What the kernel sends a signal for, where the signal tells (signal(7), termios(3), setitimer(2)).
const fn from_kernel(signal: Signal) -> &'static str {
    match signal.number() {
        libc::SIGINT => "the terminal: Ctrl-C",
        libc::SIGQUIT => "the terminal: Ctrl-\\",
        libc::SIGTSTP => "the terminal: Ctrl-Z",
        libc::SIGTTIN => "the terminal: read in the background",
        libc::SIGTTOU => "the terminal: written to in the background",
        libc::SIGWINCH => "the terminal: the window has changed",
        libc::SIGALRM => "its timer of real time",
        libc::SIGVTALRM => "its timer of CPU time",
        libc::SIGPROF => "its timer of CPU time, calls included",
        _ => "the kernel",
    }
}
