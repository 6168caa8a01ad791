//! Signals that wait: what the kernel has queued that no call and no stop has told of.
//!
//! A blocked signal makes no stop. Children end, timers ring, terminals have keys: when everything
//! stands still, the queues are asked.

use super::tracee::Rest;
use super::tracer::Tracer;
use crate::model::{Kind, Phase, Signal, SignalSet, TaskId};
use crate::sys::detour::FAULTS;
use crate::sys::procfs;
use crate::sys::ptrace::SignalInfo;

/// What is said of a signal of which only the number is known: the kernel's own (`SI_KERNEL`).
const UNKNOWN: SignalInfo = SignalInfo { code: libc::SI_KERNEL, pid: 0, value: 0 };

impl Tracer {
    /// Writes what has changed in the queues of all processes. Only when nobody moves: while calls are
    /// under way, who sent what is still to come.
    pub fn look_at_queues(&mut self) {
        let mut living: Vec<(TaskId, i32)> = self.tids.iter().map(|(task, tid)| (*task, *tid)).collect();
        living.sort_unstable();
        for (task, tid) in living {
            if self.tracees.get(&tid).is_some_and(|tracee| !tracee.ended) {
                self.look_at_queue(task, tid);
            }
        }
    }

    fn look_at_queue(&mut self, task: TaskId, tid: i32) {
        let Some(status) = procfs::status(tid) else { return };
        let Some(known) = self.world().task(task) else { return };
        let is_leader = known.process == task;
        // What is sent to a process the log keeps with its leader.
        let queued = if is_leader { status.pending.0 | status.shared_pending.0 } else { status.pending.0 };
        let (queued, known) = (SignalSet(queued), known.pending_set());
        if queued == known {
            return;
        }
        let at_hand = self.at_hand(task);
        let new: Vec<Signal> = queued.iter().filter(|signal| !known.contains(*signal)).collect();
        if !new.is_empty() {
            self.write_new(task, tid, &new, at_hand);
        }
        for signal in known.iter().filter(|signal| !queued.contains(*signal) && Some(*signal) != at_hand) {
            // A signal of the process may be in the hands of another of its threads.
            if signal != Signal::KILL && !self.is_at_hand_elsewhere(task, signal) {
                self.phase(task, Phase::Discarded, signal, UNKNOWN);
            }
        }
    }

    fn write_new(&mut self, task: TaskId, tid: i32, new: &[Signal], at_hand: Option<Signal>) {
        let rest = self.tracees.get(&tid).and_then(|tracee| tracee.rest.as_ref());
        let queues = rest.map(|rest| [rest.stopped().queued_signals(false), rest.stopped().queued_signals(true)]);
        let entries: Vec<(Signal, SignalInfo)> = match queues {
            // It may have been killed meanwhile: then nothing is left to be told.
            Some(queues) => queues.into_iter().filter_map(Result::ok).flatten().collect(),
            None => new.iter().map(|signal| (*signal, UNKNOWN)).collect(),
        };
        for (signal, info) in entries.into_iter().filter(|(signal, _)| new.contains(signal)) {
            if Some(signal) == at_hand {
                continue;
            }
            let alarm = signal == Signal::ALRM && self.tracees.get(&tid).is_some_and(|tracee| tracee.alarm_sent);
            let info = if alarm { UNKNOWN } else { info };
            self.phase(task, Phase::Generated, signal, info);
            if self.world().task(task).is_some_and(|task| task.blocked.contains(signal)) {
                self.phase(task, Phase::Pending, signal, info);
            }
        }
    }

    /// The signal that a task is about to take, which is in no queue any more.
    fn at_hand(&self, task: TaskId) -> Option<Signal> {
        let tracee = self.tids.get(&task).and_then(|tid| self.tracees.get(tid))?;
        match &tracee.rest {
            Some(Rest::Signal(_, signal, _)) => Some(*signal),
            _ => tracee.entering.map(|(signal, _)| signal),
        }
    }

    fn is_at_hand_elsewhere(&self, task: TaskId, signal: Signal) -> bool {
        let mut threads = self.world().living().filter(|other| other.process == task);
        threads.any(|thread| self.at_hand(thread.id) == Some(signal))
    }

    /// A signal that an instruction has caused cannot wait: if it is blocked the kernel unblocks it and
    /// sets it back to its default action (`force_sig_info_to_task` in kernel/signal.c).
    pub(super) fn write_forced(&mut self, task: TaskId, signal: Signal, blocked: SignalSet) {
        let was_blocked = self.world().task(task).is_some_and(|task| task.blocked.contains(signal));
        let is_fault = FAULTS.contains(&signal.number());
        let ignored = crate::model::Disposition::Ignore;
        let was_ignored = is_fault && self.world().action(task, signal).is_some_and(|it| it.disposition == ignored);
        let unblocked = was_blocked && !blocked.contains(signal);
        if !unblocked && !was_ignored {
            return;
        }
        if unblocked {
            let set = SignalSet::EMPTY.with(signal);
            self.recorder.plain(task, Kind::Mask { how: crate::model::MaskHow::Unblock, set, blocked });
        }
        let disposition = crate::model::Disposition::Default;
        if self.world().action(task, signal).is_some_and(|action| action.disposition != disposition) {
            let mask = SignalSet::EMPTY;
            self.recorder.plain(task, Kind::Action { signal, disposition, flags: 0, mask });
        }
    }
}
