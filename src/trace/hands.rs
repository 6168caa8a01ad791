//! What the user does by hand: signals sent, thrown away and exchanged, tasks held.

use super::tracee::Rest;
use super::tracer::{Result, Tracer, unless_gone};
use crate::model::{Hold, Kind, Phase, Queue, Signal, State, Task, TaskId};
use crate::sys::ptrace::{Resume, SignalInfo};
use crate::sys::signal::{self, Receiver};
use crate::sys::{Error, procfs};

/// The sender's PID, in the tracer's books, of a signal that the user sent. No process has it.
pub(super) const BY_HAND: i32 = -1;

/// A signal that the user did not let through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stopped {
    /// Which.
    pub signal: Signal,
    /// The call that it has interrupted and that the kernel now makes again, if there is one.
    pub again: Option<String>,
}

impl Tracer {
    /// Sends a signal to a process, or to that thread alone; `None` only asks. A task that the tracer
    /// has not reaped keeps its PID, so that nobody else can be hit.
    ///
    /// # Errors
    /// `ESRCH` if the receiver has ended, and what kill(2) and sigqueue(3) say.
    pub fn send_by_hand(
        &mut self,
        task: TaskId,
        alone: bool,
        signal: Option<Signal>,
        value: Option<i32>,
    ) -> Result<()> {
        let process = self.process_of(task);
        let target = if alone { task } else { process };
        let (Some(tid), Some(leader)) = (self.living(target), self.tids.get(&process).copied()) else {
            return Err(Error::new("kill", self.name_of(target), libc::ESRCH));
        };
        let receiver = if alone { Receiver::Thread { process: leader, thread: tid } } else { Receiver::Process(tid) };
        let before = procfs::status(tid).unwrap_or_default();
        let named = |error: Error| Error { target: self.name_of(target), ..error };
        signal::send_to(receiver, signal.map_or(0, Signal::number), value).map_err(named)?;
        let Some(signal) = signal else { return Ok(()) };
        let code = match (alone, value) {
            (_, Some(_)) => libc::SI_QUEUE,
            (true, None) => libc::SI_TKILL,
            (false, None) => libc::SI_USER,
        };
        let queued = if alone { before.pending } else { before.shared_pending };
        let queue = if alone { Queue::Thread } else { Queue::Process };
        let coalesced = !signal.is_realtime() && queued.contains(signal);
        let info = SignalInfo { code, pid: BY_HAND, value: value.map_or(0, i64::from), ..SignalInfo::unknown(queue) };
        self.write_sent(target, alone, signal, info, coalesced);
        if signal == Signal::KILL {
            self.expect_end(process);
        }
        Ok(())
    }

    fn write_sent(&mut self, target: TaskId, alone: bool, signal: Signal, info: SignalInfo, coalesced: bool) {
        self.phase(target, Phase::Generated, signal, info);
        if self.hidden_from(target, info.queue).contains(signal) {
            return self.tell_hidden(target, signal, info);
        }
        let takes = |task: &Task| if alone { task.id == target } else { task.process == target };
        let blocked = self.world().living().filter(|task| takes(task)).all(|task| task.blocked.contains(signal));
        if coalesced {
            self.phase(target, Phase::Coalesced, signal, info);
        } else if blocked && signal.is_catchable() {
            self.phase(target, Phase::Pending, signal, info);
        }
    }

    /// SIGKILL ends every thread where it stands: none has a step left.
    fn expect_end(&mut self, process: TaskId) {
        let threads: Vec<TaskId> = self.world().living().filter(|it| it.process == process).map(|it| it.id).collect();
        for tid in threads.iter().filter_map(|thread| self.tids.get(thread)) {
            if let Some(tracee) = self.tracees.get_mut(tid) {
                tracee.rest = None;
                tracee.listening = false;
            }
        }
    }

    /// Throws the signal away that a task is about to be delivered; `None` if there is none.
    pub fn suppress(&mut self, task: TaskId) -> Result<Option<Stopped>> {
        let Some((tid, Rest::Signal(stopped, signal, info))) = self.take_delivery(task) else { return Ok(None) };
        self.phase(task, Phase::Suppressed, signal, info);
        let again = self.interrupted_call(tid);
        stopped.resume(Resume::Continue, None).or_else(unless_gone)?;
        Ok(Some(Stopped { signal, again }))
    }

    /// Puts another signal in the place of the one that a task is about to be delivered; `None` if there
    /// is none. It is delivered by the task's next step, unless it is blocked or ignored: then the
    /// kernel queues it or throws it away at once (`ptrace_signal` in kernel/signal.c).
    pub fn replace(&mut self, task: TaskId, by: Signal) -> Result<Option<Stopped>> {
        let Some((tid, Rest::Signal(stopped, signal, info))) = self.take_delivery(task) else { return Ok(None) };
        let again = self.interrupted_call(tid);
        if by == signal {
            self.set_rest(tid, Rest::Signal(stopped, signal, info));
            return Ok(Some(Stopped { signal, again: None }));
        }
        let number = i64::from(by.number());
        self.phase(task, Phase::Replaced, signal, SignalInfo { value: number, ..info });
        let info = SignalInfo { code: libc::SI_USER, pid: BY_HAND, ..SignalInfo::unknown(info.queue) };
        let target = if info.queue == Queue::Thread { task } else { self.process_of(task) };
        self.phase(target, Phase::Generated, by, info);
        let blocked = by.is_catchable() && self.mask_of(tid, &stopped).is_ok_and(|mask| mask.contains(by));
        if blocked {
            self.phase(task, Phase::Pending, by, info);
        } else if self.hidden_from(task, Queue::Thread).contains(by) {
            // It is thrown away at once, and must not come to be queued.
            self.write_thrown_away(task, by, info);
            stopped.resume(Resume::Continue, None).or_else(unless_gone)?;
            return Ok(Some(Stopped { signal, again }));
        } else if self.is_ignored(task, by) {
            self.phase(task, Phase::Ignored, by, info);
        } else {
            self.phase(task, Phase::Dequeued, by, info);
            self.set_rest(tid, Rest::Signal(stopped, by, info));
            return Ok(Some(Stopped { signal, again: None }));
        }
        stopped.resume(Resume::Continue, Some(by)).or_else(unless_gone)?;
        Ok(Some(Stopped { signal, again }))
    }

    /// The rest of a task that is about to be delivered a signal.
    fn take_delivery(&mut self, task: TaskId) -> Option<(i32, Rest)> {
        let tid = *self.tids.get(&task)?;
        let tracee = self.tracees.get_mut(&tid)?;
        matches!(tracee.rest, Some(Rest::Signal(..))).then_some(())?;
        Some((tid, tracee.rest.take()?))
    }

    fn interrupted_call(&self, tid: i32) -> Option<String> {
        let (call, _) = self.tracees.get(&tid)?.suspended.as_ref()?;
        Some(self.recorder.names().get(call.name).to_owned())
    }

    /// Keeps a task from something, or lets it go. Returns whether that is anything new.
    pub fn hold(&mut self, task: TaskId, hold: Hold) -> bool {
        let Some(tid) = self.living(task) else { return false };
        let Some(tracee) = self.tracees.get_mut(&tid).filter(|tracee| tracee.hold != hold) else { return false };
        tracee.hold = hold;
        self.recorder.plain(task, Kind::Hold { hold });
        true
    }

    /// The tasks that nothing but the user keeps from their next step, in the order of their birth.
    pub fn held_back(&self) -> Vec<TaskId> {
        let held = self.tracees.values().filter(|tracee| tracee.is_held_back());
        let mut tasks: Vec<TaskId> = held.map(|tracee| tracee.task).collect();
        tasks.sort_unstable();
        tasks
    }

    /// The signal that a task is about to be delivered.
    pub fn about_to_take(&self, task: TaskId) -> Option<Signal> {
        match self.rest(task)? {
            Rest::Signal(_, signal, _) => Some(*signal),
            _ => None,
        }
    }

    /// What is known of a signal at its delivery, with the user as its sender if the user sent it.
    pub(super) fn with_sender(&self, task: TaskId, signal: Signal, info: SignalInfo) -> SignalInfo {
        let from_lab = matches!(info.code, libc::SI_USER | libc::SI_TKILL | libc::SI_QUEUE)
            // From outside of its PID namespace a task sees 0.
            && (info.pid == 0 || info.pid == nix::unistd::getpid().as_raw());
        let process = self.process_of(task);
        let sent = |it: &Task| {
            let waiting = [it.pending.first(signal), it.shared_pending.first(signal)];
            waiting.into_iter().flatten().any(|sent| sent.from == Some(TaskId::LAB))
        };
        if from_lab && self.world().tasks().any(|it| it.process == process && sent(it)) {
            return SignalInfo { pid: BY_HAND, ..info };
        }
        info
    }

    /// The TID of a task that has not ended. A leader can go before the other threads of its process.
    fn living(&self, task: TaskId) -> Option<i32> {
        let tid = *self.tids.get(&task)?;
        let tracee = self.tracees.get(&tid)?;
        let gone = tracee.ended && tracee.left.is_none();
        let known = self.world().task(task).is_some_and(|task| !matches!(task.state, State::Zombie | State::Dead));
        (known && !gone).then_some(tid)
    }

    fn name_of(&self, task: TaskId) -> String {
        self.world().task(task).map_or_else(String::new, |task| self.recorder.names().get(task.name).to_owned())
    }
}
