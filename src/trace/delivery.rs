//! A signal on its last stretch: about to be delivered, at its handler, ignored, or taking its
//! default action.

use super::access::Faulted;
use super::tracee::Rest;
use super::tracer::{Result, Tracer};
use crate::model::{DefaultAction, Disposition, Kind, Phase, Signal, SignalSet, TaskId};
use crate::sys::ptrace::{Resume, SignalInfo, Stopped};

/// `SA_RESETHAND` of sigaction(2).
const SA_RESETHAND: u32 = 0x8000_0000;

impl Tracer {
    pub(super) fn at_signal(&mut self, tid: i32, stopped: Stopped, signal: Signal) -> Result<()> {
        if signal != Signal::SEGV {
            return self.at_own_signal(tid, stopped, signal);
        }
        match self.at_fault(tid, stopped)? {
            Faulted::Passed => Ok(()),
            Faulted::Own(stopped) => self.at_own_signal(tid, stopped, signal),
            Faulted::Watched(stopped, fault) => self.rest_before_access(tid, stopped, fault),
        }
    }

    /// A signal that is not of the lab's making.
    pub(super) fn at_own_signal(&mut self, tid: i32, stopped: Stopped, signal: Signal) -> Result<()> {
        let entering = self.tracees.get_mut(&tid).and_then(|tracee| tracee.entering.take());
        if let Some((entered, info)) = entering {
            if signal == Signal::TRAP {
                return self.at_handler(tid, stopped, entered, info);
            }
            // Something else came before the first instruction; it is delivered on top.
            self.write_handler(tid, &stopped, entered, info)?;
        }
        self.wake(tid);
        let mut info = stopped.signal_info()?;
        let Some(tracee) = self.tracees.get_mut(&tid) else { return Ok(()) };
        if signal == Signal::ALRM && std::mem::take(&mut tracee.alarm_sent) {
            stopped.set_signal_from_kernel()?;
            info = stopped.signal_info()?;
        }
        let task = tracee.task;
        if info.code > 0 {
            self.write_forced(task, signal, stopped.signal_mask()?);
        }
        self.write_generated(task, signal, info);
        if self.is_ignored(task, signal) {
            self.phase(task, Phase::Ignored, signal, info);
            return stopped.resume(Resume::Continue, Some(signal));
        }
        self.set_rest(tid, Rest::Signal(stopped, signal, info));
        Ok(())
    }

    /// The kernel and processes outside of the run send signals too: then this is the first that is
    /// seen of it.
    fn write_generated(&mut self, task: TaskId, signal: Signal, info: SignalInfo) {
        let process = self.world().task(task).map_or(task, |task| task.process);
        let known = self
            .world()
            .tasks()
            .any(|other| other.process == process && other.pending.iter().any(|pending| pending.signal == signal));
        if known {
            return;
        }
        let from = self.sender(info);
        if let Some(sender) = from.filter(|_| info.code <= 0) {
            let target = if info.code == libc::SI_TKILL { task } else { process };
            self.seen_early.push((sender, target, signal));
        }
        let blocked = SignalSet::EMPTY;
        let kind = Kind::Signal { phase: Phase::Generated, signal, from, code: info.code, value: info.value, blocked };
        self.recorder.plain(process, kind);
    }

    fn sender(&self, info: SignalInfo) -> Option<TaskId> {
        self.world().tasks().skip(1).rev().find(|task| info.pid != 0 && task.pid == info.pid).map(|task| task.id)
    }

    fn disposition(&self, task: TaskId, signal: Signal) -> Disposition {
        self.world().action(task, signal).map_or(Disposition::Default, |action| action.disposition)
    }

    fn is_ignored(&self, task: TaskId, signal: Signal) -> bool {
        match self.disposition(task, signal) {
            Disposition::Ignore => true,
            Disposition::Default => signal.default_action() == DefaultAction::Ignore,
            Disposition::Handler => false,
        }
    }

    pub(super) fn phase(&mut self, task: TaskId, phase: Phase, signal: Signal, info: SignalInfo) {
        let from = self.sender(info);
        let blocked = SignalSet::EMPTY;
        let kind = Kind::Signal { phase, signal, from, code: info.code, value: info.value, blocked };
        self.recorder.plain(task, kind);
    }

    /// Lets a signal through.
    pub(super) fn deliver(&mut self, tid: i32, stopped: Stopped, signal: Signal, info: SignalInfo) -> Result<()> {
        let Some(task) = self.task_of(tid) else { return Ok(()) };
        self.interrupt_call(tid, task, &stopped, signal)?;
        self.phase(task, Phase::Delivered, signal, info);
        if self.disposition(task, signal) == Disposition::Handler {
            if let Some(tracee) = self.tracees.get_mut(&tid) {
                tracee.entering = Some((signal, info));
            }
            // The frame of the handler may lie in watched memory.
            let Some(stopped) = self.open_for_signal(tid, stopped)? else { return Ok(()) };
            return stopped.resume(Resume::OneInstruction, Some(signal));
        }
        self.phase(task, Phase::Default, signal, info);
        let opens = stopped.holds_robust_mutexes();
        let Some(stopped) = (if opens { self.open_for_signal(tid, stopped)? } else { Some(stopped) }) else {
            return Ok(());
        };
        stopped.resume(Resume::Continue, Some(signal))
    }

    /// What becomes of a call that `signal` has interrupted (signal(7), "Interruption of system calls").
    /// Before a stop or the end of the process nothing does.
    fn interrupt_call(&mut self, tid: i32, task: TaskId, stopped: &Stopped, signal: Signal) -> Result<()> {
        const ERESTARTSYS: i64 = -512;
        const ERESTARTNOINTR: i64 = -513;
        if self.disposition(task, signal) != Disposition::Handler {
            return Ok(());
        }
        let Some((call, value)) = self.tracees.get_mut(&tid).and_then(|tracee| tracee.suspended.take()) else {
            return Ok(());
        };
        let flags = self.world().action(task, signal).map_or(0, |action| action.flags);
        let restarts = value == ERESTARTNOINTR || (value == ERESTARTSYS && flags & libc::SA_RESTART as u32 != 0);
        let seen = if restarts { value } else { i64::from(-libc::EINTR) };
        self.conclude(tid, stopped, &call, seen)
    }

    fn at_handler(&mut self, tid: i32, stopped: Stopped, signal: Signal, info: SignalInfo) -> Result<()> {
        self.write_handler(tid, &stopped, signal, info)?;
        let Some(stopped) = self.shut_after_signal(tid, stopped)? else { return Ok(()) };
        self.set_rest(tid, Rest::Handler(stopped));
        Ok(())
    }

    fn write_handler(&mut self, tid: i32, stopped: &Stopped, signal: Signal, info: SignalInfo) -> Result<()> {
        let blocked = stopped.signal_mask()?;
        let from = self.sender(info);
        let Some(tracee) = self.tracees.get_mut(&tid) else { return Ok(()) };
        tracee.interrupted.push(tracee.statement);
        let task = tracee.task;
        let kind = Kind::Signal { phase: Phase::Handler, signal, from, code: info.code, value: info.value, blocked };
        self.recorder.plain(task, kind);
        let flags = self.world().action(task, signal).map_or(0, |action| action.flags);
        if flags & SA_RESETHAND != 0 {
            let mask = SignalSet::EMPTY;
            let kind = Kind::Action { signal, disposition: Disposition::Default, flags: 0, mask };
            self.recorder.plain(task, kind);
        }
        Ok(())
    }

    /// After a handler the statement that it interrupted is the current one again.
    pub(super) fn resume_interrupted_statement(&mut self, tid: i32) {
        let Some(tracee) = self.tracees.get_mut(&tid) else { return };
        let Some(statement) = tracee.interrupted.pop() else { return };
        tracee.statement = statement;
        let task = tracee.task;
        if let Some(statement) = statement.filter(|_| tracee.actor) {
            self.write_line(task, statement);
        }
    }
}
