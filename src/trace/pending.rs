//! Signals that wait: what the kernel has queued that no call and no stop has told of.
//!
//! A blocked signal makes no stop. Children end, timers ring, terminals have keys: when everything
//! stands still, the queues are asked.

use super::tracer::{Result, Tracer};
use crate::model::{Kind, Pending, Pendings, Phase, Queue, Signal, SignalSet, TaskId};
use crate::sys::detour::FAULTS;
use crate::sys::procfs;
use crate::sys::ptrace::SignalInfo;

impl Tracer {
    /// Writes what has changed in the queues of all processes. Only when nobody moves: while calls are
    /// under way, who sent what is still to come.
    pub fn look_at_queues(&mut self) {
        let mut living: Vec<(TaskId, i32)> = self.tids.iter().map(|(task, tid)| (*task, *tid)).collect();
        living.sort_unstable();
        for (task, tid) in living {
            if self.tracees.get(&tid).is_some_and(|tracee| !tracee.ended) {
                self.look_at_queues_of(task, tid);
            }
        }
    }

    /// What waits for a task and then for its process, in the order of delivery: as the log has it, and as the
    /// kernel does (`PTRACE_PEEKSIGINFO`). `None` of one that does not stand still.
    ///
    /// # Errors
    /// `ESRCH` if it has been killed.
    pub fn compare_queues(&self, task: TaskId) -> Result<Option<(Vec<Pending>, Vec<Pending>)>> {
        let rest = self.tids.get(&task).and_then(|tid| self.tracees.get(tid)).and_then(|it| it.rest.as_ref());
        let (Some(rest), Some(own)) = (rest, self.world().task(task)) else { return Ok(None) };
        let Some(leader) = self.world().task(own.process) else { return Ok(None) };
        let mut known = Vec::new();
        let mut queued = Vec::new();
        for (waiting, shared) in [(&own.pending, false), (&leader.shared_pending, true)] {
            let first = known.len();
            known.extend(waiting.from(0).map(|pending| Pending { coalesced: 0, ..*pending }));
            let mut list = Pendings::default();
            let queue = if shared { Queue::Process } else { Queue::Thread };
            let waste = self.hidden_from(task, queue);
            let queued_there = rest.stopped().queued_signals(shared)?;
            for (signal, info) in queued_there.into_iter().filter(|(signal, _)| !waste.contains(*signal)) {
                list.push(self.as_known(task, signal, info, &known[first..]));
            }
            queued.extend(list.from(0).copied());
        }
        Ok(Some((known, queued)))
    }

    /// A signal of the kernel's queue as the log would say it. The kernel knows of the sender only which process
    /// it was; and what the lab has sent in somebody's name is taken for what it was sent for.
    fn as_known(&self, task: TaskId, signal: Signal, info: SignalInfo, known: &[Pending]) -> Pending {
        let info = if info.code == crate::sys::signal::OF_THE_LAB { SignalInfo::unknown(info.queue) } else { info };
        let SignalInfo { code, value, .. } = info;
        let sender = self.sender(task, signal, info);
        let sent_it = |from: TaskId| from == TaskId::LAB || Some(self.process_of(from)) == sender;
        let is_it =
            |it: &&Pending| (it.signal, it.code, it.value) == (signal, code, value) && it.from.is_some_and(sent_it);
        let from = known.iter().find(is_it).map_or(sender, |it| it.from);
        Pending { signal, from, code, value, coalesced: 0 }
    }

    fn look_at_queues_of(&mut self, task: TaskId, tid: i32) {
        let Some(status) = procfs::status(tid) else { return };
        let own = self.note_waste(task, Queue::Thread, status.pending);
        let is_leader = self.process_of(task) == task;
        let shared = if is_leader { self.note_waste(task, Queue::Process, status.shared_pending) } else { own };
        let status = procfs::Status { pending: own, shared_pending: shared, ..status };
        let Some(known) = self.world().task(task) else { return };
        let (own, shared) = (known.pending.set(), known.shared_pending.set());
        self.compare_queue(task, tid, Queue::Thread, own, status.pending);
        if is_leader {
            self.compare_queue(task, tid, Queue::Process, shared, status.shared_pending);
        }
    }

    fn compare_queue(&mut self, task: TaskId, tid: i32, queue: Queue, known: SignalSet, mut queued: SignalSet) {
        // What kills is in no queue for long, and shows as the end.
        queued.remove(Signal::KILL);
        if queued == known {
            return;
        }
        let new = SignalSet(queued.0 & !known.0);
        if !new.is_empty() {
            self.write_new(task, tid, queue, new);
        }
        for signal in SignalSet(known.0 & !queued.0).iter().filter(|signal| *signal != Signal::KILL) {
            self.phase(task, Phase::Discarded, signal, SignalInfo::unknown(queue));
        }
    }

    fn write_new(&mut self, task: TaskId, tid: i32, queue: Queue, new: SignalSet) {
        let rest = self.tracees.get(&tid).and_then(|tracee| tracee.rest.as_ref());
        let peeked = rest.map(|rest| rest.stopped().queued_signals(queue == Queue::Process));
        let entries: Vec<(Signal, SignalInfo)> = match peeked {
            // It may have been killed meanwhile: then nothing is left to be told.
            Some(peeked) => peeked.unwrap_or_default(),
            None => new.iter().map(|signal| (signal, SignalInfo::unknown(queue))).collect(),
        };
        for (signal, info) in entries.into_iter().filter(|(signal, _)| new.contains(*signal)) {
            let from_lab = info.code == crate::sys::signal::OF_THE_LAB;
            let info = if from_lab { SignalInfo::unknown(queue) } else { info };
            self.write_expired(task, signal, info);
            self.phase(task, Phase::Generated, signal, info);
            if self.is_blocked_by_all(task, queue, signal) {
                self.phase(task, Phase::Pending, signal, info);
            }
        }
    }

    /// Whether a signal has to wait: one of a thread if that blocks it, one of a process if all of its
    /// threads do.
    pub(super) fn is_blocked_by_all(&self, task: TaskId, queue: Queue, signal: Signal) -> bool {
        let blocks = |task: &crate::model::Task| task.blocked.contains(signal);
        match queue {
            Queue::Thread => self.world().task(task).is_some_and(blocks),
            Queue::Process => {
                let process = self.process_of(task);
                let leader = self.world().task(process).is_some_and(blocks);
                leader && self.world().living().filter(|other| other.process == process).all(blocks)
            }
        }
    }

    /// The signals that wait in a queue, as the log has it.
    pub(super) fn queue(&self, task: TaskId, queue: Queue) -> Option<&Pendings> {
        let holder = if queue == Queue::Thread { task } else { self.process_of(task) };
        self.world().task(holder).map(|holder| holder.queue(queue))
    }

    /// In which queue the signal was that `task` has taken: its own comes first (`dequeue_signal` in
    /// kernel/signal.c).
    pub(super) fn queue_of(&self, task: TaskId, signal: Signal, info: SignalInfo) -> Queue {
        let first = |queue| self.queue(task, queue).and_then(|waiting| waiting.first(signal));
        match (info.queue, first(Queue::Thread), first(Queue::Process)) {
            (Queue::Thread, ..) => Queue::Thread,
            (Queue::Process, Some(own), None) if own.code == info.code => Queue::Thread,
            (Queue::Process, Some(own), Some(_)) if own.code == info.code && own.value == info.value => Queue::Thread,
            (Queue::Process, ..) => Queue::Process,
        }
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
