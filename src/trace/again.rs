//! Calls that are made again, because a signal has interrupted them that would not have without the lab.
//!
//! What is hidden interrupts nothing. Three things do all the same: a signal that is thrown away while a call
//! brings a mask along; SIGCONT, which wakes every traced task, blocked or not (`ptrace_trap_notify` in
//! kernel/signal.c); and the lab, when a thread must not hide any longer what another one wants to handle. Most
//! calls the kernel begins anew by itself. Those that fail with EINTR then, or return with a part of what was
//! to be moved, the lab begins anew: the registers are set back to before the call, with what is left to do.
//! Memory is not touched, so that a time that stands in memory begins anew as well.

use std::time::Instant;

use super::calls::Family;
use super::hidden::without;
use super::tracee::Call;
use super::tracer::{Result, Tracer};
use crate::model::{ChannelKind, Queue, Signal, SignalSet};
use crate::sys::ptrace::{SignalInfo, Stopped};

/// Which argument of `epoll_wait` and `epoll_pwait` is the timeout, in milliseconds.
const EPOLL_TIMEOUT: usize = 3;
/// The value by which a call asks to be made again, whatever comes (linux/errno.h).
const ERESTARTNOINTR: i64 = -513;

/// What is known of a call that was made again.
#[derive(Debug, Clone, Copy)]
pub struct Again {
    /// The arguments that the program gave it.
    args: [u64; 6],
    /// How many bytes it had moved before.
    moved: u64,
    /// Whether it is one that does not stop at its beginning.
    unmarked: bool,
}

impl Tracer {
    /// Whether a call goes back to its beginning instead of returning.
    pub(super) fn goes_back(&mut self, tid: i32, stopped: &Stopped, call: &Call, value: i64) -> Result<bool> {
        let Some(task) = self.task_of(tid) else { return Ok(false) };
        // What rt_sigreturn "returns" is what another call has; a descriptor is closed whatever close(2) returns.
        let once = matches!(
            call.family,
            Family::Sigreturn | Family::Close | Family::Dup2 | Family::Exec { .. } | Family::Fork
        );
        let interrupted = value == i64::from(-libc::EINTR) && !once;
        let takes = call.family == Family::SignalWait && value > 0;
        let part = self.is_part(tid, call, value);
        if !(interrupted || takes || part) {
            return Ok(false);
        }
        if takes {
            // It takes what is blocked, and so what is hidden.
            let signal = i32::try_from(value).ok().and_then(Signal::new);
            let hidden = self.hidden_from(task, Queue::Process);
            let Some(signal) = signal.filter(|signal| hidden.contains(*signal)) else { return Ok(false) };
            self.write_waste(task, signal, SignalInfo::unknown(Queue::Process));
            return self.go_back(tid, stopped, call, call.args, 0).map(|()| true);
        }
        // These stop only where they bring a mask along.
        let masked = call.family == Family::Select;
        if !self.is_for_nothing(tid, stopped, masked)? {
            return Ok(false);
        }
        let mut args = call.args;
        if interrupted && self.recorder.names().get(call.name) == "epoll_pwait" {
            args[EPOLL_TIMEOUT] = self.left(tid, args[EPOLL_TIMEOUT]);
        }
        if part {
            args[1] = args[1].wrapping_add(value as u64);
            args[2] = args[2].wrapping_sub(value as u64);
        }
        self.go_back(tid, stopped, call, args, value.max(0) as u64).map(|()| true)
    }

    /// Whether a call that waits until it has moved everything has moved a part.
    fn is_part(&self, tid: i32, call: &Call, value: i64) -> bool {
        /// `MSG_WAITALL` of recv(2).
        const WAITALL: u64 = libc::MSG_WAITALL as u64;
        let waits = match call.family {
            Family::Write | Family::Sendto => true,
            Family::Recvfrom => call.args[3] & WAITALL != 0,
            _ => false,
        };
        if !waits || value <= 0 || value as u64 >= call.args[2] {
            return false;
        }
        let entry = self.task_of(tid).and_then(|task| self.world().fd(task, call.args[0] as i32));
        let kind = entry.and_then(|entry| self.world().channel(entry.channel)).map(|channel| channel.kind);
        kind.is_some_and(|kind| kind.is_socket() || matches!(kind, ChannelKind::Pipe | ChannelKind::Fifo))
    }

    /// Whether a task was woken by nothing that it would have been woken by without the lab.
    fn is_for_nothing(&mut self, tid: i32, stopped: &Stopped, masked: bool) -> Result<bool> {
        let Some(tracee) = self.tracees.get_mut(&tid) else { return Ok(false) };
        let (task, mut for_nothing) = (tracee.task, std::mem::take(&mut tracee.hidden.continued));
        let blocked = self.world().task(task).map_or(SignalSet::EMPTY, |task| task.blocked);
        let queued: SignalSet = Self::queued(stopped)?.iter().map(|(signal, _)| *signal).collect();
        let deliverable = without(queued, blocked);
        for_nothing |= queued.contains(Signal::CONT) || (masked && !deliverable.is_empty());
        Ok(for_nothing && without(deliverable, self.thrown_away(task)).is_empty())
    }

    /// What is left of a timeout in milliseconds.
    fn left(&self, tid: i32, timeout: u64) -> u64 {
        let since = self.tracees.get(&tid).and_then(|tracee| tracee.hidden.since);
        let passed = since.map_or(0, |since| since.elapsed().as_millis());
        let timeout = timeout as i32;
        if timeout <= 0 {
            timeout as u64
        } else {
            timeout.saturating_sub(i32::try_from(passed).unwrap_or(i32::MAX)).max(0) as u64
        }
    }

    fn go_back(&mut self, tid: i32, stopped: &Stopped, call: &Call, args: [u64; 6], moved: u64) -> Result<()> {
        stopped.call_again(call.number, args)?;
        let Some(tracee) = self.tracees.get_mut(&tid) else { return Ok(()) };
        let again = tracee.hidden.again.unwrap_or(Again { args: call.args, moved: 0, unmarked: false });
        tracee.hidden.again = Some(Again { moved: again.moved + moved, ..again });
        tracee.hidden.since = Some(Instant::now());
        let call = Call { args, ..*call };
        tracee.call = Some(call).filter(|_| again.unmarked);
        tracee.suspended = Some((call, ERESTARTNOINTR)).filter(|_| !again.unmarked);
        Ok(())
    }

    /// A call that was made again has ended: as the program has made it, and with all that it has moved.
    pub(super) fn end_of_again(&mut self, tid: i32, stopped: &Stopped, call: Call, value: i64) -> Result<(Call, i64)> {
        let again = self.tracees.get_mut(&tid).and_then(|tracee| tracee.hidden.again.take());
        let Some(Again { args, moved, .. }) = again else { return Ok((call, value)) };
        let total = if moved == 0 { value } else { moved as i64 + value.max(0) };
        stopped.set_arguments(args)?;
        if total != value {
            stopped.set_return(total)?;
        }
        Ok((Call { args, ..call }, total))
    }

    /// SIGCONT has woken a task that was not stopped, or the lab has. The call that it has left may be one that
    /// does not stop.
    pub(super) fn woken_for_nothing(&mut self, tid: i32, stopped: Stopped) -> Result<()> {
        let left = if self.tracees.get(&tid).is_some_and(|tracee| tracee.suspended.is_some()) {
            None
        } else {
            stopped.left_call()?.filter(|(.., value)| *value == i64::from(-libc::EINTR))
        };
        let again = match left {
            Some((number, args, _)) if self.is_for_nothing(tid, &stopped, false)? => {
                let family = self.calls.family(number);
                // What stops has been looked at when it returned.
                (family == Family::Select || family == Family::Plain).then_some((number, args, family))
            }
            _ => None,
        };
        self.look_at_waste(tid, &stopped)?;
        // SIGCONT stays in the queue: taking it out would let a timer that sends it run out again at once.
        let masked = self.tracees.get(&tid).is_some_and(|tracee| !tracee.hidden.lent.is_empty());
        let stopped = if masked { Some(stopped) } else { self.settle_mask(tid, stopped)? };
        let Some(stopped) = stopped else { return Ok(()) };
        let Some((number, own, family)) = again else { return self.pass(tid, stopped) };
        let mut args = own;
        let name = self.call_names.sym(&mut self.recorder, number);
        if self.recorder.names().get(name) == "epoll_wait" {
            args[EPOLL_TIMEOUT] = self.left(tid, own[EPOLL_TIMEOUT]);
        }
        let call = Call { number, name, family, args };
        if let Some(tracee) = self.tracees.get_mut(&tid) {
            tracee.hidden.again = Some(Again { args: own, moved: 0, unmarked: true });
        }
        self.go_back(tid, &stopped, &call, args, 0)?;
        self.pass(tid, stopped)
    }
}
