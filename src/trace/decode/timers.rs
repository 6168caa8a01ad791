//! Timers, and stacks for handlers: set by calls, and run out when their signal comes.

use super::super::calls::Family;
use super::super::tracer::Tracer;
use super::Ended;
use crate::model::{Kind, Signal, TaskId, TimerChange, TimerKind};
use crate::sys::ptrace::SignalInfo;
use crate::sys::{clock, memory, procfs};

/// `SS_DISABLE` and `SS_AUTODISARM` of sigaltstack(2).
const SS_DISABLE: i32 = 2;
const SS_AUTODISARM: i32 = 1 << 31;
/// `TIMER_ABSTIME` of timer_settime(2).
const ABSOLUTE: u64 = 1;
const SECOND: u64 = 1_000_000_000;

impl Tracer {
    pub(super) fn sigaltstack(&mut self, ended: &Ended<'_>) {
        let address = ended.call.args[0];
        if ended.failed() || address == 0 {
            return self.plain_call(ended);
        }
        // `stack_t`: address, flags, size.
        let (base, bytes) = (memory::read_u64(ended.tid, address), memory::read_u64(ended.tid, address + 16));
        let flags = memory::read_i32(ended.tid, address + 8).unwrap_or(0);
        let bytes = bytes.filter(|_| flags & SS_DISABLE == 0).unwrap_or(0);
        let base = base.filter(|_| bytes > 0).unwrap_or(0);
        let kind = Kind::Altstack { base, bytes, autodisarm: bytes > 0 && flags & SS_AUTODISARM != 0 };
        self.recorder.of_call(ended.task, ended.outcome(), kind);
    }

    pub(super) fn timer(&mut self, ended: &Ended<'_>) {
        if ended.failed() {
            return self.syscall_event(ended);
        }
        let kind = match ended.call.family {
            Family::Alarm => {
                Some(timer(TimerKind::Real, Some(Signal::ALRM), ended.call.args[0].saturating_mul(SECOND)))
            }
            Family::Setitimer => itimer(ended),
            Family::TimerCreate => created(ended),
            Family::TimerSettime => self.posix_timer_set(ended),
            Family::TimerDelete => self.posix_timer(ended.task, ended.int(0), TimerChange::Delete, 0, 0),
            _ => timerfd(ended),
        };
        match kind {
            Some(kind) => self.recorder.of_call(ended.task, ended.outcome(), kind),
            None => self.plain_call(ended),
        }
    }

    fn posix_timer_set(&self, ended: &Ended<'_>) -> Option<Kind> {
        // `struct itimerspec`: interval, value.
        let (interval, value) =
            (timespec(ended.tid, ended.call.args[2])?, timespec(ended.tid, ended.call.args[2] + 16)?);
        let id = ended.int(0);
        let known = self.world().timers(ended.task).iter().find(|it| it.kind == TimerKind::Posix && it.id == id)?;
        let left = match clock::now(known.clock).filter(|_| ended.call.args[1] & ABSOLUTE != 0 && value > 0) {
            Some(now) if !known.counts_cpu_time() => value.saturating_sub(now).max(1),
            _ => value,
        };
        self.posix_timer(ended.task, id, TimerChange::Set, left, interval)
    }

    fn posix_timer(&self, task: TaskId, id: i32, change: TimerChange, left: u64, interval: u64) -> Option<Kind> {
        let timers = self.world().timers(task);
        let known = timers.iter().find(|timer| timer.kind == TimerKind::Posix && timer.id == id)?;
        let (signal, clock) = (known.signal, known.clock);
        Some(Kind::Timer { kind: TimerKind::Posix, change, id, signal, clock, left, interval })
    }

    /// Writes that the timer has run out which has sent a signal, if one has.
    pub(in crate::trace) fn write_expired(&mut self, task: TaskId, signal: Signal, info: SignalInfo) {
        let which = match (info.code, signal.number()) {
            (libc::SI_TIMER, _) => (TimerKind::Posix, info.timer),
            (libc::SI_KERNEL, libc::SIGALRM) => (TimerKind::Real, 0),
            (libc::SI_KERNEL, libc::SIGVTALRM) => (TimerKind::Virtual, 0),
            (libc::SI_KERNEL, libc::SIGPROF) => (TimerKind::Prof, 0),
            _ => return,
        };
        let known = self.world().timers(task).iter().find(|timer| (timer.kind, timer.id) == which);
        let Some(known) = known.copied() else { return };
        let kind = Kind::Timer {
            kind: known.kind,
            change: TimerChange::Expire,
            id: known.id,
            signal: known.signal,
            clock: known.clock,
            left: known.interval,
            interval: known.interval,
        };
        self.recorder.plain(task, kind);
    }
}

const fn timer(kind: TimerKind, signal: Option<Signal>, left: u64) -> Kind {
    Kind::Timer { kind, change: TimerChange::Set, id: 0, signal, clock: libc::CLOCK_MONOTONIC, left, interval: 0 }
}

fn itimer(ended: &Ended<'_>) -> Option<Kind> {
    let (kind, number) = match ended.int(0) {
        libc::ITIMER_REAL => (TimerKind::Real, libc::SIGALRM),
        libc::ITIMER_VIRTUAL => (TimerKind::Virtual, libc::SIGVTALRM),
        libc::ITIMER_PROF => (TimerKind::Prof, libc::SIGPROF),
        _ => return None,
    };
    // `struct itimerval`: interval, value; without one the timer is stopped.
    let time = |at: u64| match ended.call.args[1] {
        0 => Some(0),
        start => timeval(ended.tid, start + at),
    };
    let (interval, left) = (time(0)?, time(16)?);
    let (signal, clock) = (Signal::new(number), libc::CLOCK_MONOTONIC);
    Some(Kind::Timer { kind, change: TimerChange::Set, id: 0, signal, clock, left, interval })
}

/// `struct sigevent`: a value of 8 bytes, the signal, how to notify.
fn created(ended: &Ended<'_>) -> Option<Kind> {
    let id = memory::read_i32(ended.tid, ended.call.args[2])?;
    let event = ended.call.args[1];
    let signal = if event == 0 {
        Some(Signal::ALRM)
    } else {
        let sends = memory::read_i32(ended.tid, event + 12)? != libc::SIGEV_NONE;
        Signal::new(memory::read_i32(ended.tid, event + 8)?).filter(|_| sends)
    };
    let clock = ended.int(0);
    Some(Kind::Timer { kind: TimerKind::Posix, change: TimerChange::Set, id, signal, clock, left: 0, interval: 0 })
}

/// Of a timerfd the kernel tells how long it still has.
fn timerfd(ended: &Ended<'_>) -> Option<Kind> {
    let id = ended.int(0);
    let facts = procfs::timerfd(ended.tid, id)?;
    let (clock, left, interval) = (facts.clock, facts.left, facts.interval);
    Some(Kind::Timer { kind: TimerKind::Fd, change: TimerChange::Set, id, signal: None, clock, left, interval })
}

fn pair(tid: i32, address: u64, unit: u64) -> Option<u64> {
    let (seconds, rest) = (memory::read_u64(tid, address)?, memory::read_u64(tid, address + 8)?);
    Some(seconds.saturating_mul(SECOND).saturating_add(rest.saturating_mul(unit)).min(i64::MAX as u64))
}

fn timespec(tid: i32, address: u64) -> Option<u64> {
    pair(tid, address, 1)
}

fn timeval(tid: i32, address: u64) -> Option<u64> {
    pair(tid, address, 1000)
}
