//! Signals, on the side of the calls: sent, caught, masked.

use super::super::calls::Family;
use super::super::tracee::Call;
use super::super::tracer::{Result, Tracer};
use super::Ended;
use crate::model::{Disposition, Kind, MaskHow, Phase, Signal, SignalSet, State, Task, TaskId};
use crate::sys::memory;
use crate::sys::ptrace::Stopped;

impl Tracer {
    pub(super) fn killed(&mut self, ended: &Ended<'_>) {
        let signal = match ended.call.family {
            Family::Tgkill | Family::Tgsigqueue => ended.int(2),
            _ => ended.int(1),
        };
        let Some(signal) = Signal::new(signal).filter(|_| !ended.failed()) else {
            return self.syscall_event(ended);
        };
        let targets = self.targets(ended);
        if targets.is_empty() {
            return self.syscall_event(ended);
        }
        let (code, value) = code_and_value(ended);
        for target in targets {
            let early = (ended.task, target, signal);
            if let Some(index) = self.seen_early.iter().position(|seen| *seen == early) {
                self.seen_early.swap_remove(index);
                continue;
            }
            let blocked = SignalSet::EMPTY;
            let pending = |task: &Task| !signal.is_realtime() && task.pending_set().contains(signal);
            let was_pending = self.world().task(target).is_some_and(pending);
            let kind = Kind::Signal { phase: Phase::Generated, signal, from: Some(ended.task), code, value, blocked };
            self.recorder.of_call(target, ended.outcome(), kind);
            let Some(task) = self.world().task(target).filter(|task| task.is_alive()) else { continue };
            // What was sent to a process that had it pending already is not queued a second time.
            let phase = match task.blocked.contains(signal) {
                _ if was_pending => Phase::Coalesced,
                true => Phase::Pending,
                false => continue,
            };
            let kind = Kind::Signal { phase, signal, from: Some(ended.task), code, value, blocked };
            self.recorder.plain(target, kind);
        }
    }

    /// Whom a kill meant (kill(2)).
    fn targets(&self, ended: &Ended<'_>) -> Vec<TaskId> {
        let world = self.world();
        let one = |pid: i32| world.by_pid(pid).map(|task| task.id).into_iter().collect::<Vec<_>>();
        match ended.call.family {
            Family::Tgkill | Family::Tgsigqueue => return one(ended.int(1)),
            Family::Tkill | Family::Sigqueue => return one(ended.int(0)),
            Family::PidfdSendSignal => return Vec::new(),
            _ => {}
        }
        let mine = world.task(ended.task).map_or(0, |task| task.pgid);
        let processes = || world.tasks().skip(1).filter(|task| task.is_process() && task.state != State::Dead);
        match ended.int(0) {
            pid @ 1.. => one(pid),
            0 => processes().filter(|task| task.pgid == mine).map(|task| task.id).collect(),
            -1 => processes().filter(|task| task.id != ended.task).map(|task| task.id).collect(),
            group => processes().filter(|task| task.pgid == -group).map(|task| task.id).collect(),
        }
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
        let number = |at: u64| memory::read_i32(ended.tid, address + at).filter(|_| address != 0);
        self.write_accepted(ended, signal, number(8).unwrap_or(0), number(16).unwrap_or(0), number(24).unwrap_or(0));
    }

    /// The signals that were read from a signalfd, each in a structure of 128 bytes (signalfd(2)).
    pub(super) fn read_signals(&mut self, ended: &Ended<'_>) {
        for at in (0..ended.ret.max(0) as u64).step_by(128) {
            let number = |offset: u64| memory::read_i32(ended.tid, ended.call.args[1] + at + offset);
            let Some(signal) = number(0).and_then(Signal::new) else { return };
            self.write_accepted(
                ended,
                signal,
                number(8).unwrap_or(0),
                number(12).unwrap_or(0),
                number(44).unwrap_or(0),
            );
        }
    }

    fn write_accepted(&mut self, ended: &Ended<'_>, signal: Signal, code: i32, pid: i32, value: i32) {
        let from = self.world().by_pid(pid).filter(|_| pid != 0).map(|task| task.id);
        let value = if code == libc::SI_QUEUE { i64::from(value) } else { 0 };
        let blocked = SignalSet::EMPTY;
        let kind = Kind::Signal { phase: Phase::Accepted, signal, from, code, value, blocked };
        self.recorder.of_call(ended.task, ended.outcome(), kind);
    }

    /// The mask that a call brings along for as long as it waits (sigsuspend(2)).
    pub(in crate::trace) fn write_mask_of_wait(&mut self, tid: i32, task: TaskId, call: &Call) {
        let address = match self.recorder.names().get(call.name) {
            "rt_sigsuspend" => call.args[0],
            "ppoll" => call.args[3],
            _ => return,
        };
        let Some(set) = memory::read_u64(tid, address).filter(|_| address != 0) else { return };
        let set = SignalSet(set & !(SignalSet::EMPTY.with(Signal::KILL).with(Signal::STOP).0));
        if self.world().task(task).is_some_and(|task| task.blocked != set) {
            self.recorder.in_call(task, call.name, Kind::Mask { how: MaskHow::Set, set, blocked: set });
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
        let blocked = stopped.signal_mask()?;
        self.recorder.of_call(ended.task, ended.outcome(), Kind::Mask { how, set: SignalSet(set), blocked });
        Ok(())
    }

    /// What `rt_sigreturn` leaves in the return register belongs to the interrupted code.
    pub(super) fn sigreturn(&mut self, ended: &Ended<'_>, stopped: &Stopped) -> Result<()> {
        let blocked = stopped.signal_mask()?;
        let signal = self.world().task(ended.task).and_then(|task| task.handling.last().copied());
        if let Some(signal) = signal {
            let kind = Kind::Signal { phase: Phase::Returned, signal, from: None, code: 0, value: 0, blocked };
            let outcome = super::super::recorder::Outcome { call: ended.call.name, ret: 0 };
            self.recorder.of_call(ended.task, outcome, kind);
        }
        self.resume_interrupted_statement(ended.tid);
        Ok(())
    }
}

/// `si_code` and `si_value` that the receiver will see.
fn code_and_value(ended: &Ended<'_>) -> (i32, i64) {
    let info = match ended.call.family {
        Family::Kill | Family::PidfdSendSignal => return (libc::SI_USER, 0),
        Family::Tkill | Family::Tgkill => return (libc::SI_TKILL, 0),
        Family::Sigqueue => ended.call.args[2],
        _ => ended.call.args[3],
    };
    // siginfo_t: si_code at 8, si_value at 24 (after pid and uid).
    let code = memory::read_i32(ended.tid, info + 8).unwrap_or(libc::SI_QUEUE);
    (code, memory::read_u64(ended.tid, info + 24).unwrap_or(0) as i64)
}
