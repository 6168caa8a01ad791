//! A signal on its last stretch: about to be delivered, at its handler, ignored, or taking its
//! default action.

use std::time::{Duration, Instant};

use super::access::Faulted;
use super::calls::Family;
use super::hands::BY_HAND;
use super::tracee::{Call, Rest};
use super::tracer::{Result, Tracer, dying_is_fine};
use crate::model::{DefaultAction, Disposition, Kind, Phase, Queue, Signal, SignalSet, TaskId, Then};
use crate::sys::procfs;
use crate::sys::ptrace::{self, Resume, SignalInfo, Stopped, Wait, Why};

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
            let before = self.tracees.get(&tid).map_or(0, |tracee| tracee.before_frame);
            if signal == Signal::SEGV && stopped.stack_pointer()? == before {
                self.write_no_frame(tid, entered, info);
            } else {
                // Something else came before the first instruction; it is delivered on top.
                self.write_handler(tid, &stopped, entered, info)?;
            }
        }
        let mut info = Self::signal_at(&stopped)?;
        let Some(task) = self.task_of(tid) else { return Ok(()) };
        // What a process ignores no more was thrown away out of its queue when that changed.
        let told = self.was_told(task, signal, info.queue);
        if told && (info.queue == Queue::Thread || self.thrown_away(task).contains(signal)) {
            self.hide_at_stop(tid, &stopped)?;
            return stopped.resume(Resume::Continue, None);
        }
        self.wake(tid);
        self.look_at_actions(tid);
        if info.code > 0 {
            self.write_forced(task, signal, self.mask_of(tid, &stopped)?);
        }
        info.queue = self.queue_of(task, signal, info);
        self.write_generated(task, signal, info);
        let info = self.with_sender(task, signal, info);
        if self.is_ignored(task, signal) {
            self.phase(task, Phase::Ignored, signal, info);
            self.hide_at_stop(tid, &stopped)?;
            // What is hidden now the kernel would queue again.
            return stopped.resume(Resume::Continue, None);
        }
        self.signal_taken(tid, signal);
        self.phase(task, Phase::Dequeued, signal, info);
        self.set_rest(tid, Rest::Signal(stopped, signal, info));
        Ok(())
    }

    /// The frame of a handler could not be written where it belongs: the handler is not entered, and the kernel
    /// forces SIGSEGV (`signal_setup_done` in kernel/signal.c).
    fn write_no_frame(&mut self, tid: i32, signal: Signal, info: SignalInfo) {
        let Some(tracee) = self.tracees.get_mut(&tid) else { return };
        let (task, then) = (tracee.task, tracee.then.take());
        if let Some((call, then)) = then {
            self.recorder.in_call(task, call.name, Kind::Interrupted { signal, then });
        }
        self.phase(task, Phase::NoFrame, signal, info);
        // A SIGSEGV of its own that could not be handled must not come again and again.
        if signal == Signal::SEGV {
            let (disposition, mask) = (Disposition::Default, SignalSet::EMPTY);
            self.recorder.plain(task, Kind::Action { signal, disposition, flags: 0, mask });
        }
    }

    /// The kernel and processes outside of the run send signals too: then this is the first that is
    /// seen of it.
    pub(super) fn write_generated(&mut self, task: TaskId, signal: Signal, info: SignalInfo) {
        if self.queue(task, info.queue).is_some_and(|waiting| waiting.set().contains(signal)) {
            return;
        }
        let target = if info.queue == Queue::Thread { task } else { self.process_of(task) };
        if let Some(sender) = self.sender(task, signal, info).filter(|_| info.code <= 0) {
            self.seen_early.push((sender, target, signal));
        }
        self.write_expired(target, signal, info);
        self.phase(target, Phase::Generated, signal, info);
    }

    pub(super) fn sender(&self, task: TaskId, signal: Signal, info: SignalInfo) -> Option<TaskId> {
        if info.pid == BY_HAND {
            return Some(TaskId::LAB);
        }
        if info.code == libc::SI_KERNEL {
            return self.terminal_sender(task, signal, info);
        }
        self.world().tasks().skip(1).rev().find(|task| info.pid != 0 && task.pid == info.pid).map(|task| task.id)
    }

    pub(super) fn disposition(&self, task: TaskId, signal: Signal) -> Disposition {
        self.world().action(task, signal).map_or(Disposition::Default, |action| action.disposition)
    }

    pub(super) fn is_ignored(&self, task: TaskId, signal: Signal) -> bool {
        match self.disposition(task, signal) {
            Disposition::Ignore => true,
            Disposition::Default => signal.default_action() == DefaultAction::Ignore,
            Disposition::Handler => false,
        }
    }

    pub(super) fn phase(&mut self, task: TaskId, phase: Phase, signal: Signal, info: SignalInfo) {
        let from = self.sender(task, signal, info);
        let blocked = SignalSet::EMPTY;
        let SignalInfo { code, value, queue, .. } = info;
        let kind = Kind::Signal { phase, signal, queue, from, code, value, blocked };
        self.recorder.plain(task, kind);
    }

    /// Lets a signal through.
    pub(super) fn deliver(&mut self, tid: i32, stopped: Stopped, signal: Signal, info: SignalInfo) -> Result<()> {
        let Some(task) = self.task_of(tid) else { return Ok(()) };
        self.interrupt_call(tid, task, &stopped, signal)?;
        if self.disposition(task, signal) == Disposition::Default && self.is_process_one(task) {
            return self.deliver_to_process_one(tid, task, stopped, signal, info);
        }
        self.phase(task, Phase::Delivered, signal, info);
        if self.disposition(task, signal) == Disposition::Handler {
            let on_altstack =
                self.world().task(task).is_some_and(|task| task.altstack.is_some() && task.on_altstack == 0);
            let stack = stopped.stack_pointer()?;
            if let Some(tracee) = self.tracees.get_mut(&tid) {
                tracee.entering = Some((signal, info));
                tracee.before_frame = stack;
                tracee.stack = Some(stack).filter(|_| on_altstack).or(tracee.stack);
            }
            self.lend_mask(tid, &stopped)?;
            // The frame of the handler may lie in watched memory.
            let Some(stopped) = self.open_for_signal(tid, stopped)? else { return Ok(()) };
            return stopped.resume(Resume::OneInstruction, Some(signal));
        }
        self.phase(task, Phase::Default, signal, info);
        let opens = self.holds_robust_mutexes(tid);
        let Some(stopped) = (if opens { self.open_for_signal(tid, stopped)? } else { Some(stopped) }) else {
            return Ok(());
        };
        stopped.resume(Resume::Continue, Some(signal))
    }

    /// A signal that a thread has sent to its own process is taken by the thread that the kernel has chosen. The
    /// sender would look for it as well when it goes on, as everybody does after a stop (`ptrace_stop` in
    /// kernel/signal.c).
    pub(super) fn leave_to_others(&mut self, tid: i32, call: &Call, value: i64) -> Result<()> {
        const PATIENCE: Duration = Duration::from_millis(20);
        let number = match call.family {
            Family::Kill | Family::Sigqueue | Family::PidfdSendSignal if value == 0 => call.args[1] as i32,
            _ => return Ok(()),
        };
        let (Some(signal), Some(process)) = (Signal::new(number), self.task_of(tid).map(|it| self.process_of(it)))
        else {
            return Ok(());
        };
        let waits = || procfs::status(tid).is_some_and(|status| status.shared_pending.contains(signal));
        let others: Vec<i32> = self.threads_of(process).into_iter().filter(|other| *other != tid).collect();
        let began = Instant::now();
        while !others.is_empty() && waits() && began.elapsed() < PATIENCE {
            let mut any = false;
            for other in &others {
                if self.is_halted(*other) || !self.tracees.get(other).is_some_and(|it| it.rest.is_none() && !it.held) {
                    continue;
                }
                match ptrace::wait_for(*other, false)? {
                    // It has been woken from its call, and is about to look.
                    Wait::Stopped(stopped, Why::Call) => {
                        dying_is_fine(self.known_stopped(*other, stopped, Why::Call))?;
                        any = true;
                    }
                    Wait::Stopped(stopped, why) => self.backlog.push_back((stopped, why)),
                    Wait::Ended(_, status) => self.ended(*other, status),
                    Wait::Nothing | Wait::Interrupted | Wait::Nobody => {
                        let moves = matches!(procfs::state(*other), Some(b'S' | b'R'));
                        any |= moves && procfs::status(*other).is_some_and(|it| !it.blocked.contains(signal));
                    }
                }
            }
            if !any {
                return Ok(());
            }
            std::thread::sleep(Duration::from_micros(20));
        }
        Ok(())
    }

    /// What becomes of a call that `signal` has interrupted (signal(7), "Interruption of system calls").
    /// Before a stop or the end of the process nothing does.
    fn interrupt_call(&mut self, tid: i32, task: TaskId, stopped: &Stopped, signal: Signal) -> Result<()> {
        const ERESTARTSYS: i64 = -512;
        const ERESTARTNOINTR: i64 = -513;
        if self.disposition(task, signal) != Disposition::Handler {
            return Ok(());
        }
        let Some(tracee) = self.tracees.get_mut(&tid) else { return Ok(()) };
        if let Some(call) = tracee.failed.take() {
            tracee.then = Some((call, Then::EintrAlways));
        }
        let Some((call, value)) = tracee.suspended.take() else { return Ok(()) };
        if tracee.hidden.again.is_some()
            && let Some((call, moved)) = self.end_of_part(tid, stopped, call)?
        {
            return self.conclude(tid, stopped, &call, moved);
        }
        let flags = self.world().action(task, signal).map_or(0, |action| action.flags);
        let restarts = value == ERESTARTNOINTR || (value == ERESTARTSYS && flags & libc::SA_RESTART as u32 != 0);
        let seen = if restarts { value } else { i64::from(-libc::EINTR) };
        let then = match value {
            _ if restarts => Then::Restart,
            ERESTARTSYS => Then::Eintr,
            _ => Then::EintrAlways,
        };
        if let Some(tracee) = self.tracees.get_mut(&tid) {
            tracee.then = Some((call, then));
            tracee.masked = false;
        }
        self.conclude(tid, stopped, &call, seen)
    }

    fn at_handler(&mut self, tid: i32, stopped: Stopped, signal: Signal, info: SignalInfo) -> Result<()> {
        self.write_handler(tid, &stopped, signal, info)?;
        let Some(stopped) = self.settle_mask(tid, stopped)? else { return Ok(()) };
        let Some(stopped) = self.shut_after_signal(tid, stopped)? else { return Ok(()) };
        self.set_rest(tid, Rest::Handler(stopped));
        Ok(())
    }

    fn write_handler(&mut self, tid: i32, stopped: &Stopped, signal: Signal, info: SignalInfo) -> Result<()> {
        let blocked = self.mask_of(tid, stopped)?;
        let Some(task) = self.task_of(tid) else { return Ok(()) };
        let from = self.sender(task, signal, info);
        let SignalInfo { code, value, queue, .. } = info;
        let kind = Kind::Signal { phase: Phase::Handler, signal, queue, from, code, value, blocked };
        self.recorder.plain(task, kind);
        self.push_frame(tid, stopped, signal)?;
        let flags = self.world().action(task, signal).map_or(0, |action| action.flags);
        if flags & SA_RESETHAND != 0 {
            let mask = SignalSet::EMPTY;
            let kind = Kind::Action { signal, disposition: Disposition::Default, flags: 0, mask };
            self.recorder.plain(task, kind);
        }
        self.decide_hidden(tid);
        Ok(())
    }
}
