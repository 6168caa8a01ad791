//! Signals, on the side of the calls: sent, caught, masked.

use super::super::calls::Family;
use super::super::tracer::{Result, Tracer};
use super::Ended;
use crate::model::{Disposition, Kind, MaskHow, Phase, Signal, SignalSet, State, TaskId};
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
            let kind = Kind::Signal { phase: Phase::Generated, signal, from: Some(ended.task), code, value, blocked };
            self.recorder.of_call(target, ended.outcome(), kind);
            if self.world().task(target).is_some_and(|task| task.is_alive() && task.blocked.contains(signal)) {
                let kind = Kind::Signal { phase: Phase::Pending, signal, from: Some(ended.task), code, value, blocked };
                self.recorder.plain(target, kind);
            }
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
        if signal == Signal::SEGV {
            self.keep_fault_action(ended.tid, ended.task, &bytes);
        }
        let word = |index: usize| bytes[index * 8..].first_chunk::<8>().map_or(0, |eight| u64::from_ne_bytes(*eight));
        let disposition = match word(0) as usize {
            libc::SIG_DFL => Disposition::Default,
            libc::SIG_IGN => Disposition::Ignore,
            _ => Disposition::Handler,
        };
        let kind = Kind::Action { signal, disposition, flags: word(1) as u32, mask: SignalSet(word(3)) };
        self.recorder.of_call(ended.task, ended.outcome(), kind);
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
