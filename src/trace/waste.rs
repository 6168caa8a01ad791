//! What is in the queues for nothing: signals that are thrown away when they are sent, and that the kernel has
//! queued only because they are hidden (`super::hidden`). The log has each as thrown away; what it has already
//! is counted, so that nothing is told twice.

use super::hidden::{both, without};
use super::tracer::{Result, Tracer};
use crate::model::{DefaultAction, Disposition, How, Phase, Queue, Signal, SignalSet, Status, Task, TaskId};
use crate::sys::ptrace::{SignalInfo, Stopped};

impl Tracer {
    /// Writes what becomes of a signal that was sent and is thrown away at once.
    pub(super) fn write_thrown_away(&mut self, task: TaskId, signal: Signal, info: SignalInfo) {
        match self.disposition(task, signal) {
            Disposition::Default if signal == Signal::CONT => {
                self.phase(task, Phase::Delivered, signal, info);
                self.phase(task, Phase::Default, signal, info);
            }
            Disposition::Default if signal.default_action() != DefaultAction::Ignore => {
                self.phase(task, Phase::Discarded, signal, info);
            }
            _ => self.phase(task, Phase::Ignored, signal, info),
        }
    }

    /// The receiver has a signal in its queue that is thrown away without the lab: the log has it from now on.
    pub(super) fn tell_hidden(&mut self, task: TaskId, signal: Signal, info: SignalInfo) {
        self.write_thrown_away(task, signal, info);
        let process = self.process_of(task);
        let holder = if info.queue == Queue::Thread { task } else { process };
        let Some(tracee) = self.tids.get(&holder).and_then(|tid| self.tracees.get_mut(tid)) else { return };
        let told = tracee.hidden.queue(info.queue);
        if signal.is_realtime() || !told.contains(&signal) {
            told.push(signal);
        }
        if signal.is_realtime() {
            for tid in self.threads_of(process) {
                if let Some(tracee) = self.tracees.get_mut(&tid) {
                    tracee.hidden.crowded = true;
                }
            }
        }
    }

    /// Whether a signal that was taken out of a queue is in the log as thrown away already.
    pub(super) fn was_told(&mut self, task: TaskId, signal: Signal, queue: Queue) -> bool {
        let holder = if queue == Queue::Thread { task } else { self.process_of(task) };
        let Some(tracee) = self.tids.get(&holder).and_then(|tid| self.tracees.get_mut(tid)) else { return false };
        let told = tracee.hidden.queue(queue);
        let Some(index) = told.iter().position(|known| *known == signal) else { return false };
        told.swap_remove(index);
        true
    }

    pub(super) fn forget_told(&mut self, task: TaskId, set: SignalSet) {
        let process = self.process_of(task);
        for (holder, index) in [(task, 0), (process, 1)] {
            if let Some(tracee) = self.tids.get(&holder).and_then(|tid| self.tracees.get_mut(tid)) {
                tracee.hidden.told[index].retain(|signal| !set.contains(*signal));
            }
        }
    }

    /// Writes a signal that is in a queue for nothing, unless the log has it.
    pub(super) fn write_waste(&mut self, task: TaskId, signal: Signal, info: SignalInfo) {
        if !self.was_told(task, signal, info.queue) {
            let target = if info.queue == Queue::Thread { task } else { self.process_of(task) };
            self.write_generated(target, signal, info);
            self.write_thrown_away(target, signal, info);
        }
    }

    /// Writes what is in the queues of a stopped task for nothing and not in the log yet.
    pub(super) fn look_at_waste(&mut self, tid: i32, stopped: &Stopped) -> Result<()> {
        let Some(tracee) = self.tracees.get(&tid).filter(|it| !it.hidden.applied.is_empty()) else { return Ok(()) };
        let task = tracee.task;
        for queue in [Queue::Thread, Queue::Process] {
            let hidden = self.hidden_from(task, queue);
            let queued = stopped.queued_signals(queue == Queue::Process)?;
            let mut queued: Vec<_> = queued.into_iter().filter(|(signal, _)| hidden.contains(*signal)).collect();
            self.remove_told(task, queue, &mut queued);
            let target = if queue == Queue::Thread { task } else { self.process_of(task) };
            for (signal, info) in queued {
                self.write_generated(target, signal, info);
                self.tell_hidden(target, signal, info);
            }
        }
        Ok(())
    }

    /// Takes out of a list what the log has already, and forgets of the log's what is not in the list.
    fn remove_told(&mut self, task: TaskId, queue: Queue, queued: &mut Vec<(Signal, SignalInfo)>) {
        let holder = if queue == Queue::Thread { task } else { self.process_of(task) };
        let Some(tracee) = self.tids.get(&holder).and_then(|tid| self.tracees.get_mut(tid)) else { return };
        tracee.hidden.queue(queue).retain(|told| {
            let found = queued.iter().position(|(signal, _)| signal == told);
            found.map(|index| queued.remove(index)).is_some()
        });
    }

    /// The same of a task that does not stand still, of which only the numbers are known. Returns what else is
    /// queued.
    pub(super) fn note_waste(&mut self, task: TaskId, queue: Queue, queued: SignalSet) -> SignalSet {
        let waste = both(queued, self.hidden_from(task, queue));
        let holder = if queue == Queue::Thread { task } else { self.process_of(task) };
        let Some(tracee) = self.tids.get(&holder).and_then(|tid| self.tracees.get_mut(tid)) else { return queued };
        tracee.hidden.queue(queue).retain(|told| queued.contains(*told));
        let new: Vec<_> = waste.iter().filter(|signal| !tracee.hidden.queue(queue).contains(signal)).collect();
        for signal in new {
            let info = SignalInfo::unknown(queue);
            self.phase(holder, Phase::Generated, signal, info);
            self.tell_hidden(holder, signal, info);
        }
        without(queued, waste)
    }

    /// A child has ended, and its parent is told by a signal that it does not want.
    pub(super) fn tell_parent(&mut self, child: TaskId) {
        let Some(known) = self.world().task(child).filter(|child| child.is_process()) else { return };
        let (Some(status), parent, pid) = (known.status, known.parent, known.pid) else { return };
        let is_wanted = matches!(known.how, How::Fork | How::Vfork);
        let parent = self.process_of(parent);
        let lives = self.world().task(parent).is_some_and(Task::is_alive);
        let hides = self.hidden_from(parent, Queue::Process).contains(Signal::CHLD);
        // Who ignores it expressly is not told at all (wait(2), NOTES).
        let told = self.disposition(parent, Signal::CHLD) == Disposition::Default;
        if !(is_wanted && lives && hides && told) || parent == TaskId::LAB {
            return;
        }
        let (code, value) = match status {
            Status::Code(code) => (libc::CLD_EXITED, i64::from(code)),
            Status::Signal { signal, core: false } => (libc::CLD_KILLED, i64::from(signal.number())),
            Status::Signal { signal, core: true } => (libc::CLD_DUMPED, i64::from(signal.number())),
        };
        let info = SignalInfo { code, pid, value, timer: 0, queue: Queue::Process };
        self.phase(parent, Phase::Generated, Signal::CHLD, info);
        self.tell_hidden(parent, Signal::CHLD, info);
    }
}
