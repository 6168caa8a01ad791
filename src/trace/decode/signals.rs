//! Signals, on the side of the calls: sent, caught, masked.

use super::super::calls::Family;
use super::super::tracee::Call;
use super::super::tracer::{Result, Tracer};
use super::Ended;
use crate::model::{
    Carries, Disposition, Kind, MaskHow, Pendings, Phase, Queue, Signal, SignalSet, State, Task, TaskId,
};
use crate::sys::ptrace::{SignalInfo, Stopped};
use crate::sys::{memory, procfs};

impl Tracer {
    pub(super) fn killed(&mut self, ended: &Ended<'_>) -> Result<()> {
        let signal = match ended.call.family {
            Family::Tgkill | Family::Tgsigqueue => ended.int(2),
            _ => ended.int(1),
        };
        let Some(signal) = Signal::new(signal).filter(|_| !ended.failed()) else {
            self.syscall_event(ended);
            return Ok(());
        };
        let targets = self.targets(ended);
        if targets.is_empty() {
            self.syscall_event(ended);
            return Ok(());
        }
        let (code, value) = code_and_value(ended);
        for (target, queue) in targets {
            // The receiver knows only which process it was.
            let sender = self.process_of(ended.task);
            let is_it =
                |seen: &(TaskId, TaskId, Signal)| (self.process_of(seen.0), seen.1, seen.2) == (sender, target, signal);
            if let Some(index) = self.seen_early.iter().position(is_it) {
                self.seen_early.swap_remove(index);
                continue;
            }
            let (from, blocked) = (Some(ended.task), SignalSet::EMPTY);
            let pending = |waiting: &Pendings| !signal.is_realtime() && waiting.set().contains(signal);
            let was_pending = self.queue(target, queue).is_some_and(pending);
            let kind = Kind::Signal { phase: Phase::Generated, signal, queue, from, code, value, blocked };
            self.recorder.of_call(target, ended.outcome(), kind);
            if !self.world().task(target).is_some_and(Task::is_alive) {
                continue;
            }
            if matches!(ended.call.family, Family::Tkill | Family::Tgkill) {
                self.expect_sent(ended.tid, target, signal);
            }
            if self.hidden_from(target, queue).contains(signal) {
                let pid = self.world().task(self.process_of(ended.task)).map_or(0, |sender| sender.pid);
                self.tell_hidden(target, signal, SignalInfo { code, pid, value, timer: 0, queue });
                if signal.is_realtime() {
                    self.relieve(ended.tid, target, queue)?;
                }
                continue;
            }
            if signal == Signal::KILL && self.is_process_one(target) && self.is_inside(ended.tid, target) {
                let kind = Kind::Signal { phase: Phase::Discarded, signal, queue, from, code, value, blocked };
                self.recorder.plain(target, kind);
                continue;
            }
            // What was sent to somebody who had it pending already is not queued a second time.
            let phase = match self.is_blocked_by_all(target, queue, signal) {
                _ if was_pending => Phase::Coalesced,
                true => Phase::Pending,
                false => continue,
            };
            let kind = Kind::Signal { phase, signal, queue, from, code, value, blocked };
            self.recorder.plain(target, kind);
        }
        Ok(())
    }

    /// The task that goes by `pid` where `sender` lives, if it goes by another one where it lives itself.
    fn in_another_namespace(&self, sender: i32, pid: i32) -> Option<&Task> {
        let depth = procfs::status(sender)?.ns_tids.len();
        let goes_by = |tid: &i32| procfs::status(*tid)?.ns_tids.get(depth.checked_sub(1)?).copied();
        let (_, tracee) = self.tracees.iter().find(|(tid, _)| goes_by(tid) == Some(pid))?;
        self.world().task(tracee.task)
    }

    /// Whether a sender lives in the PID namespace of which `target` is process 1.
    fn is_inside(&self, sender: i32, target: TaskId) -> bool {
        let depth = |tid: i32| procfs::status(tid).map(|status| status.ns_tids.len());
        let target = self.tids.get(&target).and_then(|tid| depth(*tid));
        depth(sender).zip(target).is_some_and(|(sender, target)| sender >= target)
    }

    /// Whom a kill meant, and whether one thread or a process (kill(2)).
    fn targets(&self, ended: &Ended<'_>) -> Vec<(TaskId, Queue)> {
        let world = self.world();
        let thread = |pid: i32| world.by_pid(pid).map(|task| (task.id, Queue::Thread)).into_iter().collect();
        // A process may be named by any of its threads.
        let process = |pid: i32| {
            let named = world.by_pid(pid).or_else(|| self.in_another_namespace(ended.tid, pid));
            named.map(|task| (task.process, Queue::Process)).into_iter().collect::<Vec<_>>()
        };
        match ended.call.family {
            Family::Tgkill | Family::Tgsigqueue => return thread(ended.int(1)),
            Family::Tkill => return thread(ended.int(0)),
            Family::Sigqueue => return process(ended.int(0)),
            Family::PidfdSendSignal => return self.targets_of_pidfd(ended),
            _ => {}
        }
        let own = world.task(ended.task);
        let (mine, myself) = own.map_or((0, ended.task), |task| (task.pgid, task.process));
        let those = |meant: &dyn Fn(&Task) -> bool| -> Vec<(TaskId, Queue)> {
            let processes = world.tasks().skip(1).filter(|task| task.is_process() && task.state != State::Dead);
            processes.filter(|task| meant(task)).map(|task| (task.id, Queue::Process)).collect()
        };
        match ended.int(0) {
            pid @ 1.. => process(pid),
            0 => those(&|task| task.pgid == mine),
            -1 => those(&|task| task.id != myself),
            group => those(&|task| task.pgid == -group),
        }
    }

    /// The task that a pidfd refers to; with `PIDFD_SIGNAL_PROCESS_GROUP` its whole group, and for a
    /// descriptor that was opened with `PIDFD_THREAD` one thread (pidfd_send_signal(2)).
    fn targets_of_pidfd(&self, ended: &Ended<'_>) -> Vec<(TaskId, Queue)> {
        const THREAD: u64 = 1;
        const GROUP: u64 = 4;
        let Some(pidfd) = procfs::pidfd(ended.tid, ended.int(0)) else { return Vec::new() };
        let Some(task) = self.task_of(pidfd.pid).and_then(|task| self.world().task(task)) else { return Vec::new() };
        let flags = ended.call.args[3];
        if flags & GROUP != 0 {
            let group = self.world().tasks().skip(1).filter(|it| it.is_process() && it.state != State::Dead);
            return group.filter(|it| it.pgid == task.pgid).map(|it| (it.id, Queue::Process)).collect();
        }
        if flags & THREAD != 0 || (flags == 0 && pidfd.thread) {
            return vec![(task.id, Queue::Thread)];
        }
        vec![(task.process, Queue::Process)]
    }

    pub(super) fn sigaction(&mut self, ended: &Ended<'_>) {
        let address = ended.call.args[1];
        let Some(signal) = Signal::new(ended.int(0)).filter(|_| address != 0) else { return };
        if ended.failed() {
            return self.syscall_event(ended);
        }
        // The kernel's struct: handler, flags, restorer, mask, each of 64 bits.
        let Some(bytes) = memory::read_array::<32>(ended.tid, address) else { return };
        self.keep_fault_action(ended.tid, ended.task, signal, &bytes);
        let word = |index: usize| bytes[index * 8..].first_chunk::<8>().map_or(0, |eight| u64::from_ne_bytes(*eight));
        let disposition = match word(0) as usize {
            libc::SIG_DFL => Disposition::Default,
            libc::SIG_IGN => Disposition::Ignore,
            _ => Disposition::Handler,
        };
        let kind = Kind::Action { signal, disposition, flags: word(1) as u32, mask: SignalSet(word(3)) };
        self.recorder.of_call(ended.task, ended.outcome(), kind);
    }

    /// A call that has waited for signals. One that takes a signal itself returns its number.
    pub(super) fn waited_for_signal(&mut self, ended: &Ended<'_>) {
        let taken = i32::try_from(ended.ret).ok().and_then(Signal::new);
        let Some(signal) = taken.filter(|_| self.recorder.names().get(ended.call.name) == "rt_sigtimedwait") else {
            return self.plain_call(ended);
        };
        let address = ended.call.args[1];
        Self::hide_the_lab(ended.tid, address + 8);
        let number = |at: u64| memory::read_i32(ended.tid, address + at).filter(|_| address != 0).unwrap_or(0);
        // siginfo_t: code at 8, then by its kind pid (16), status (24), value (24) or address (16).
        let code = number(8);
        let long = |at: u64| memory::read_u64(ended.tid, address + at).unwrap_or(0).cast_signed();
        let value = match signal.carries(code) {
            Carries::Nothing => 0,
            Carries::Value => long(24),
            Carries::Status => i64::from(number(24)),
            Carries::Address => long(16),
        };
        self.write_accepted(ended, signal, code, number(16), value);
    }

    /// The signals that were read from a signalfd, each in a structure of 128 bytes (signalfd(2)).
    pub(super) fn read_signals(&mut self, ended: &Ended<'_>) {
        for at in (0..ended.ret.max(0) as u64).step_by(128) {
            let start = ended.call.args[1] + at;
            let number = |offset: u64| memory::read_i32(ended.tid, start + offset).unwrap_or(0);
            let long = |offset: u64| memory::read_u64(ended.tid, start + offset).unwrap_or(0).cast_signed();
            let Some(signal) = Signal::new(number(0)) else { return };
            // ssi_code, ssi_pid; ssi_ptr, ssi_status, ssi_addr.
            let code = number(8);
            let value = match signal.carries(code) {
                Carries::Nothing => 0,
                Carries::Value => long(48),
                Carries::Status => i64::from(number(40)),
                Carries::Address => long(72),
            };
            self.write_accepted(ended, signal, code, number(12), value);
        }
    }

    fn write_accepted(&mut self, ended: &Ended<'_>, signal: Signal, code: i32, pid: i32, value: i64) {
        self.signal_taken(ended.tid, signal);
        let has_pid = code <= 0 && code != libc::SI_TIMER || signal == Signal::CHLD;
        let from = self.world().by_pid(pid).filter(|_| pid != 0 && has_pid).map(|task| task.id);
        let blocked = SignalSet::EMPTY;
        let queue = if code == libc::SI_TKILL { Queue::Thread } else { Queue::Process };
        let queue = self.queue_of(ended.task, signal, SignalInfo { code, pid, value, timer: 0, queue });
        let kind = Kind::Signal { phase: Phase::Accepted, signal, queue, from, code, value, blocked };
        self.recorder.of_call(ended.task, ended.outcome(), kind);
    }

    /// The mask that a call brings along for as long as it waits (sigsuspend(2)).
    pub(in crate::trace) fn write_mask_of_wait(&mut self, tid: i32, task: TaskId, call: &Call) {
        let address = match self.recorder.names().get(call.name) {
            "rt_sigsuspend" => call.args[0],
            "ppoll" => call.args[3],
            "epoll_pwait" | "epoll_pwait2" => call.args[4],
            // A structure of two words: where the set is, and how large.
            "pselect6" => match memory::read_u64(tid, call.args[5]) {
                Some(address) => address,
                None => return,
            },
            _ => return,
        };
        let Some(set) = memory::read_u64(tid, address).filter(|_| address != 0) else { return };
        let set = SignalSet(set & !(SignalSet::EMPTY.with(Signal::KILL).with(Signal::STOP).0));
        if self.world().task(task).is_some_and(|task| task.blocked != set) {
            self.recorder.in_call(task, call.name, Kind::Mask { how: MaskHow::Set, set, blocked: set });
            if let Some(tracee) = self.tracees.get_mut(&tid) {
                tracee.masked = true;
            }
        }
    }

    /// rt_sigtimedwait(2) unblocks what it waits for as long as it sleeps.
    pub(in crate::trace) fn write_mask_of_sleep(&mut self, tid: i32, task: TaskId, call: &Call) {
        if self.recorder.names().get(call.name) != "rt_sigtimedwait" {
            return;
        }
        let Some(awaited) = memory::read_u64(tid, call.args[0]) else { return };
        let Some(before) = self.world().task(task).map(|task| task.blocked) else { return };
        let (set, blocked) = (SignalSet(before.0 & awaited), SignalSet(before.0 & !awaited));
        if !set.is_empty() {
            self.recorder.in_call(task, call.name, Kind::Mask { how: MaskHow::Unblock, set, blocked });
            if let Some(tracee) = self.tracees.get_mut(&tid) {
                tracee.masked = true;
            }
        }
    }

    /// The mask that a call has brought along is over with the call.
    pub(in crate::trace) fn write_mask_if_changed(&mut self, task: TaskId, blocked: SignalSet) {
        if self.world().task(task).is_some_and(|task| task.blocked != blocked) {
            self.recorder.plain(task, Kind::Mask { how: MaskHow::Set, set: blocked, blocked });
        }
    }

    /// A child that was made with `CLONE_CLEAR_SIGHAND` catches nothing (clone(2)).
    pub(in crate::trace) fn write_handlers_cleared(&mut self, task: TaskId) {
        let Some(caught) = self.world().actions(task).map(|it| it.with_disposition(Disposition::Handler)) else {
            return;
        };
        for signal in caught.iter() {
            let (disposition, mask) = (Disposition::Default, SignalSet::EMPTY);
            self.recorder.plain(task, Kind::Action { signal, disposition, flags: 0, mask });
        }
    }

    pub(super) fn sigprocmask(&mut self, ended: &Ended<'_>, stopped: &Stopped) -> Result<()> {
        if ended.failed() {
            self.syscall_event(ended);
            return Ok(());
        }
        let how = match ended.int(0) {
            libc::SIG_BLOCK => MaskHow::Block,
            libc::SIG_UNBLOCK => MaskHow::Unblock,
            _ => MaskHow::Set,
        };
        let Some(set) = memory::read_u64(ended.tid, ended.call.args[1]).filter(|_| ended.call.args[1] != 0) else {
            return Ok(());
        };
        let blocked = self.mask_of(ended.tid, stopped)?;
        self.recorder.of_call(ended.task, ended.outcome(), Kind::Mask { how, set: SignalSet(set), blocked });
        Ok(())
    }

    /// What `rt_sigreturn` leaves in the return register belongs to the interrupted code.
    pub(super) fn sigreturn(&mut self, ended: &Ended<'_>, stopped: &Stopped) -> Result<()> {
        let blocked = self.mask_of(ended.tid, stopped)?;
        let signal = self.world().task(ended.task).and_then(|task| task.handling.last().copied());
        if let Some(signal) = signal {
            let kind = Kind::Signal {
                phase: Phase::Returned,
                signal,
                queue: Queue::Process,
                from: None,
                code: 0,
                value: 0,
                blocked,
            };
            let outcome = super::super::recorder::Outcome { call: ended.call.name, ret: 0 };
            self.recorder.of_call(ended.task, outcome, kind);
        }
        self.pop_frame(ended.tid);
        Ok(())
    }
}

/// `si_code` and `si_value` that the receiver will see.
fn code_and_value(ended: &Ended<'_>) -> (i32, i64) {
    let info = match ended.call.family {
        Family::Kill => return (libc::SI_USER, 0),
        Family::Tkill | Family::Tgkill => return (libc::SI_TKILL, 0),
        Family::PidfdSendSignal if ended.call.args[2] == 0 => {
            let thread = ended.call.args[3] & 1 != 0;
            return (if thread { libc::SI_TKILL } else { libc::SI_USER }, 0);
        }
        Family::Sigqueue | Family::PidfdSendSignal => ended.call.args[2],
        _ => ended.call.args[3],
    };
    // siginfo_t: si_code at 8, si_value at 24 (after pid and uid).
    let code = memory::read_i32(ended.tid, info + 8).unwrap_or(libc::SI_QUEUE);
    let value = memory::read_u64(ended.tid, info + 24).unwrap_or(0).cast_signed();
    (code, if matches!(code, libc::SI_QUEUE | libc::SI_TIMER | libc::SI_MESGQ) { value } else { 0 })
}
