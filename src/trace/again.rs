//! Calls that are made again, because a signal has interrupted them that would not have without the lab.
//!
//! What is hidden interrupts nothing. Three things do all the same: a signal that is thrown away while a call
//! brings a mask along; SIGCONT, which wakes every traced task, blocked or not (`ptrace_trap_notify` in
//! kernel/signal.c); and the lab, when a thread must not hide any longer what another one wants to handle. Most
//! calls the kernel begins anew by itself. Those that fail with EINTR then, or return with a part of what was
//! to be moved, the lab begins anew: the registers are set back to before the call, with what is left to do.
//! The program's memory is not touched: the time that is left to a call that reads it there stands in a page of
//! the lab's own.

use std::time::{Duration, Instant};

use super::calls::Family;
use super::hidden::without;
use super::page::PAGE;
use super::tracee::Call;
use super::tracer::{Result, Tracer};
use crate::model::{ChannelKind, Queue, Signal, SignalSet, Sym};
use crate::sys::detour::{self, Detour};
use crate::sys::ptrace::{SignalInfo, Stopped};
use crate::sys::{memory, procfs};

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

/// Which argument of a call says how long it waits at most, if the call begins with all of that when it is made
/// again: others the kernel restarts with what is left, or they wait until a certain time.
#[derive(Debug, Clone, Copy)]
pub(super) enum Length {
    /// In milliseconds.
    Millis(usize),
    /// A `struct timespec` in memory.
    Timespec(usize),
}

impl Tracer {
    /// How long a call waits at most.
    pub(super) fn length_of(&self, name: Sym) -> Option<Length> {
        match self.recorder.names().get(name) {
            "epoll_wait" | "epoll_pwait" => Some(Length::Millis(3)),
            "rt_sigtimedwait" => Some(Length::Timespec(2)),
            "epoll_pwait2" | "semtimedop" => Some(Length::Timespec(3)),
            "io_getevents" => Some(Length::Timespec(4)),
            _ => None,
        }
    }

    /// Has a call go back to its beginning instead of returning, if nothing that has happened concerns it. Gives a
    /// task back that returns from it.
    pub(super) fn goes_back(&mut self, tid: i32, stopped: Stopped, call: &Call, value: i64) -> Result<Option<Stopped>> {
        let Some((args, moved)) = self.has_to_go_back(tid, &stopped, call, value)? else { return Ok(Some(stopped)) };
        let Some(stopped) = self.throw_crowd_away(tid, stopped)? else { return Ok(None) };
        match self.go_back(tid, stopped, call, args, moved)? {
            Some(stopped) => self.pass(tid, stopped).map(|()| None),
            None => Ok(None),
        }
    }

    /// Makes room in the queue of a task that leaves its call to make it again.
    pub(super) fn throw_crowd_away(&mut self, tid: i32, stopped: Stopped) -> Result<Option<Stopped>> {
        // A mask that a call has brought along is not to be lost.
        match self.tracees.get(&tid) {
            Some(tracee) if tracee.hidden.crowded && tracee.hidden.lent.is_empty() => self.settle_mask(tid, stopped),
            _ => Ok(Some(stopped)),
        }
    }

    /// With which arguments a call has to be made again, and how much it has moved, if it has to.
    fn has_to_go_back(
        &mut self,
        tid: i32,
        stopped: &Stopped,
        call: &Call,
        value: i64,
    ) -> Result<Option<([u64; 6], u64)>> {
        let Some(task) = self.task_of(tid) else { return Ok(None) };
        // What rt_sigreturn "returns" is what another call has; a descriptor is closed whatever close(2) returns.
        let once = matches!(
            call.family,
            Family::Sigreturn | Family::Close | Family::Dup2 | Family::Exec { .. } | Family::Fork
        );
        let interrupted = value == i64::from(-libc::EINTR) && !once;
        let takes = call.family == Family::SignalWait && value > 0;
        let part = self.is_part(tid, call, value);
        if !(interrupted || takes || part) {
            return Ok(None);
        }
        if takes {
            // It takes what is blocked, and so what is hidden.
            let signal = i32::try_from(value).ok().and_then(Signal::new);
            let code = memory::read_i32(tid, call.args[1].wrapping_add(8)).filter(|_| call.args[1] != 0);
            let queue = if code == Some(libc::SI_TKILL) { Queue::Thread } else { Queue::Process };
            let hidden = self.hidden_from(task, queue);
            let Some(signal) = signal.filter(|signal| hidden.contains(*signal)) else { return Ok(None) };
            self.write_waste(task, signal, SignalInfo::unknown(queue));
            return Ok(Some((call.args, 0)));
        }
        let masked = call.family == Family::Select && self.brings_mask(tid, call);
        if !self.is_for_nothing(tid, stopped, masked)? {
            return Ok(None);
        }
        let mut args = call.args;
        if part {
            args[1] = args[1].wrapping_add(value as u64);
            args[2] = args[2].wrapping_sub(value as u64);
        }
        Ok(Some((args, value.max(0) as u64)))
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

    /// The arguments of a call that waits as long as is left of what the program has given to it.
    fn with_what_is_left(
        &mut self,
        tid: i32,
        stopped: Stopped,
        call: &Call,
        given: &[u64; 6],
        mut args: [u64; 6],
    ) -> Result<Option<(Stopped, [u64; 6])>> {
        let since = self.tracees.get(&tid).and_then(|tracee| tracee.hidden.since);
        let (Some(length), Some(passed)) = (self.length_of(call.name), since.map(|since| since.elapsed())) else {
            return Ok(Some((stopped, args)));
        };
        match length {
            Length::Millis(index) => {
                let timeout = given[index] as i32;
                if timeout > 0 {
                    let passed = i32::try_from(passed.as_millis()).unwrap_or(i32::MAX);
                    args[index] = timeout.saturating_sub(passed).max(0) as u64;
                }
                Ok(Some((stopped, args)))
            }
            Length::Timespec(index) => {
                let Some(timeout) = timespec(tid, given[index]) else { return Ok(Some((stopped, args))) };
                let left = timeout.saturating_sub(passed);
                let Some((stopped, page)) = self.own_page(tid, stopped)? else { return Ok(None) };
                if let Some(page) = page {
                    let words = [left.as_secs(), u64::from(left.subsec_nanos())];
                    memory::write(tid, page, &words.map(u64::to_ne_bytes).concat())?;
                    args[index] = page;
                }
                Ok(Some((stopped, args)))
            }
        }
    }

    /// A page of the lab's own in a task that is leaving a call. Who filters its calls gets none: the filter need
    /// not know of what the lab does.
    fn own_page(&mut self, tid: i32, stopped: Stopped) -> Result<Option<(Stopped, Option<u64>)>> {
        let page = self.tracees.get(&tid).and_then(|tracee| tracee.hidden.page);
        let filtered = || procfs::seccomp_filters(tid).is_some_and(|filters| filters > 1);
        if page.is_some() || !detour::POSSIBLE || filtered() {
            return Ok(Some((stopped, page)));
        }
        let Some(gate) = stopped.gate()? else { return Ok(Some((stopped, None))) };
        let protection = (libc::PROT_READ | libc::PROT_WRITE) as u64;
        let flags = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as u64;
        let mapping = [0, PAGE as u64, protection, flags, u64::MAX, 0];
        let (mut stopped, page) = match stopped.call_at(gate, libc::SYS_mmap, mapping)? {
            Detour::Back(stopped, ..=-1) => return Ok(Some((stopped, None))),
            Detour::Back(stopped, page) => (stopped, page as u64),
            Detour::Gone(wait) => return self.struck(tid, wait).map(|()| None),
        };
        self.note_missed(tid, &mut stopped)?;
        if let Some(tracee) = self.tracees.get_mut(&tid) {
            tracee.hidden.page = Some(page);
        }
        let advice = [page, PAGE as u64, libc::MADV_DONTFORK as u64, 0, 0, 0];
        match stopped.call_at(gate, libc::SYS_madvise, advice)? {
            Detour::Back(mut stopped, _) => {
                self.note_missed(tid, &mut stopped)?;
                Ok(Some((stopped, Some(page))))
            }
            Detour::Gone(wait) => self.struck(tid, wait).map(|()| None),
        }
    }

    /// Takes the lab's page away from a task that has left the call that needed it.
    pub(super) fn take_page_away(&mut self, tid: i32, stopped: Stopped) -> Result<Option<Stopped>> {
        let Some(tracee) = self.tracees.get_mut(&tid).filter(|it| it.hidden.page.is_some()) else {
            return Ok(Some(stopped));
        };
        let Some(gate) = stopped.gate()? else { return Ok(Some(stopped)) };
        let Some(page) = tracee.hidden.page.take() else { return Ok(Some(stopped)) };
        match stopped.call_at(gate, libc::SYS_munmap, [page, PAGE as u64, 0, 0, 0, 0])? {
            Detour::Back(mut stopped, _) => {
                self.note_missed(tid, &mut stopped)?;
                Ok(Some(stopped))
            }
            Detour::Gone(wait) => self.struck(tid, wait).map(|()| None),
        }
    }

    fn go_back(
        &mut self,
        tid: i32,
        stopped: Stopped,
        call: &Call,
        args: [u64; 6],
        moved: u64,
    ) -> Result<Option<Stopped>> {
        let again = self.tracees.get(&tid).and_then(|tracee| tracee.hidden.again);
        let again = again.unwrap_or(Again { args: call.args, moved: 0, unmarked: false });
        let Some((stopped, args)) = self.with_what_is_left(tid, stopped, call, &again.args, args)? else {
            return Ok(None);
        };
        stopped.call_again(call.number, args)?;
        let Some(tracee) = self.tracees.get_mut(&tid) else { return Ok(Some(stopped)) };
        tracee.hidden.again = Some(Again { moved: again.moved.saturating_add(moved), ..again });
        let call = Call { args, ..*call };
        tracee.call = Some(call).filter(|_| again.unmarked);
        tracee.suspended = Some((call, ERESTARTNOINTR)).filter(|_| !again.unmarked);
        Ok(Some(stopped))
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

    /// A call that was made again is interrupted by a signal that has a handler: if it has moved a part, that is what
    /// it returns. Returns how it has ended then.
    pub(super) fn end_of_part(&mut self, tid: i32, stopped: &Stopped, call: Call) -> Result<Option<(Call, i64)>> {
        let moved = self.tracees.get(&tid).and_then(|tracee| tracee.hidden.again).map_or(0, |again| again.moved);
        let ended = self.end_of_again(tid, stopped, call, 0)?;
        Ok((moved > 0).then_some(ended))
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
        if let Some(tracee) = self.tracees.get_mut(&tid) {
            tracee.hidden.continued = false;
        }
        let Some((number, args, family)) = again else { return self.pass(tid, stopped) };
        let name = self.call_names.sym(&mut self.recorder, number);
        let call = Call { number, name, family, args };
        if let Some(tracee) = self.tracees.get_mut(&tid) {
            // It has left the CPU once more for this stop. If it has been awake in between, it may be another call
            // than the one that was seen: better too late than too early.
            let naps = tracee.hidden.naps.take().map(|naps| naps.saturating_add(1));
            if naps.is_none() || procfs::naps(tid) != naps {
                tracee.hidden.since = Some(Instant::now());
            }
            tracee.hidden.again = Some(Again { args, moved: 0, unmarked: true });
        }
        match self.go_back(tid, stopped, &call, args, 0)? {
            Some(stopped) => self.pass(tid, stopped),
            None => Ok(()),
        }
    }
}

/// A `struct timespec`, if the kernel would take it.
fn timespec(tid: i32, address: u64) -> Option<Duration> {
    let [seconds, nanos] = memory::read_array::<16>(tid, address)
        .filter(|_| address != 0)
        .map(|bytes| [0, 8].map(|at| bytes[at..].first_chunk::<8>().map_or(0, |word| u64::from_ne_bytes(*word))))?;
    let nanos = u32::try_from(nanos).ok().filter(|nanos| *nanos < 1_000_000_000)?;
    i64::try_from(seconds).is_ok().then(|| Duration::new(seconds, nanos))
}
