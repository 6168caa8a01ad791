//! Timers that run in real time, as far as the lab has to know of them: a run in which nobody can move
//! is not stuck as long as one of them is going to ring.
//!
//! The kernel does not tell what is left of another process's ITIMER_REAL, so the calls that set it are
//! remembered. The timer of a scenario process goes on when it loads a program, which lives in real time:
//! from then on the lab rings it when that much real time has passed.

use std::time::{Duration, Instant};

use super::calls::Family;
use super::clock::Left;
use super::tracee::Call;
use super::tracer::{Result, Tracer, unless_gone};
use crate::model::{ChannelKind, TaskId};
use crate::sys::{memory, signal, sockets, terminal};

/// A timer that runs in real time.
#[derive(Debug, Clone, Copy)]
pub(super) struct RealTimer {
    tid: i32,
    at: Instant,
    every: Duration,
    /// Whether it is the lab that rings it, and not the kernel.
    by_lab: bool,
}

impl Tracer {
    /// When the lab has to ring a timer, if it has to.
    pub fn rings_at(&self) -> Option<Instant> {
        self.real_timers.iter().filter(|timer| timer.by_lab).map(|timer| timer.at).min()
    }

    /// Rings the timers of the lab whose time has come.
    pub fn ring(&mut self) -> Result<()> {
        if self.real_timers.is_empty() {
            return Ok(());
        }
        let now = Instant::now();
        for timer in self.real_timers.iter_mut().filter(|timer| timer.by_lab && timer.at <= now) {
            signal::queue(timer.tid, libc::SIGALRM, signal::OF_THE_LAB).or_else(unless_gone)?;
            timer.at += timer.every;
        }
        self.real_timers.retain(|timer| timer.at > now || (!timer.by_lab && !timer.every.is_zero()));
        Ok(())
    }

    /// The process has loaded a program: what the lab's clock had for it goes on in real time.
    pub(super) fn clock_ends_for(&mut self, tid: i32) {
        let Left { first, every } = self.clock.set_alarm(tid, 0, 0);
        if first > 0 {
            let (at, every) = (Instant::now() + Duration::from_nanos(first), Duration::from_nanos(every));
            self.real_timers.push(RealTimer { tid, at, every, by_lab: true });
        }
    }

    /// A process that lives in real time has set its timer. Returns what was left of the one that the lab
    /// had for it, of which the kernel does not know.
    pub(super) fn note_timer(&mut self, tid: i32, call: &Call) -> Option<Left> {
        let [first, every] = match call.family {
            Family::Alarm => [call.args[0].saturating_mul(1_000_000_000), 0],
            _ => super::time::times(&memory::read_array::<32>(tid, call.args[1])?)?,
        };
        let now = Instant::now();
        let own = self.real_timers.iter().find(|timer| timer.tid == tid && timer.by_lab);
        let left = own.map(|timer| Left {
            first: timer.at.saturating_duration_since(now).as_nanos() as u64,
            every: timer.every.as_nanos() as u64,
        });
        self.real_timers.retain(|timer| timer.tid != tid);
        if first > 0 {
            let (at, every) = (now + Duration::from_nanos(first), Duration::from_nanos(every));
            self.real_timers.push(RealTimer { tid, at, every, by_lab: false });
        }
        left
    }

    pub(super) fn forget_timers(&mut self, tid: i32) {
        self.real_timers.retain(|timer| timer.tid != tid);
    }

    /// Whether somebody's sleep ends when real time has passed: a timer runs, or a call has a timeout.
    pub fn waits_for_real_time(&self) -> bool {
        let now = Instant::now();
        if self.real_timers.iter().any(|timer| timer.at > now || !timer.every.is_zero()) {
            return true;
        }
        let by_clock = |actor: bool| actor && self.options.virtual_time;
        self.tracees.values().any(|tracee| {
            let in_call = tracee.call.filter(|_| tracee.blocked && !by_clock(tracee.actor));
            in_call.is_some_and(|call| self.has_timeout(&call))
        })
    }

    /// Whether the sleep in a call ends after some time, whatever the others do.
    pub(super) fn ends_by_itself(&self, task: TaskId, call: &Call) -> bool {
        self.has_timeout(call) || self.descriptor_has_timeout(task, call)
    }

    /// Whether what a call waits at has a timeout of its own: a socket (`SO_RCVTIMEO` and `SO_SNDTIMEO` of
    /// socket(7)), or a terminal that is read byte by byte (`VTIME` of termios(3)).
    fn descriptor_has_timeout(&self, task: TaskId, call: &Call) -> bool {
        let option = match call.family {
            Family::Read | Family::Readv | Family::Recvfrom | Family::Recvmsg { .. } | Family::Accept => {
                libc::SO_RCVTIMEO
            }
            Family::Write
            | Family::Writev
            | Family::Sendto
            | Family::Sendmsg { .. }
            | Family::Sendfile
            | Family::Connect => libc::SO_SNDTIMEO,
            _ => return false,
        };
        let fd = call.args[0] as i32;
        let channel = self.world().fd(task, fd).and_then(|entry| self.world().channel(entry.channel));
        match channel.map(|channel| channel.kind) {
            Some(kind) if kind.is_socket() => {
                self.borrow(task, fd).is_some_and(|socket| sockets::has_timeout(&socket, option).unwrap_or(true))
            }
            Some(ChannelKind::Terminal) if option == libc::SO_RCVTIMEO => {
                self.borrow(task, fd).is_some_and(|terminal| terminal::has_timeout(&terminal))
            }
            _ => false,
        }
    }

    /// Whether a call that waits was told how long at most.
    fn has_timeout(&self, call: &Call) -> bool {
        let args = &call.args;
        match call.family {
            Family::Sleep { .. } => true,
            Family::Poll => !(args[2] as i32).is_negative(),
            Family::Ppoll => args[2] != 0,
            Family::Select if self.recorder.names().get(call.name).starts_with("epoll") => false,
            Family::Futex | Family::Semop => args[3] != 0 && self.recorder.names().get(call.name) != "semop",
            Family::MqSend | Family::MqReceive | Family::Select | Family::Recvmsg { many: true } => args[4] != 0,
            Family::SignalWait => args[2] != 0 && self.recorder.names().get(call.name) == "rt_sigtimedwait",
            _ => false,
        }
    }
}
