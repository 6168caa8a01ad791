//! Signals that came while the lab had a task do something of the lab's own.
//!
//! A program must get them as if the lab had done nothing: what was stopped is stopped as soon as it goes on, and
//! what was taken out of a queue is put back there, from where it is delivered as ever.

use super::tracer::{Result, Tracer};
use crate::model::{Phase, Queue, Signal, TaskId};
use crate::sys::detour::{Detour, Sent};
use crate::sys::ptrace::{SignalInfo, Stopped, Why};
use crate::sys::{procfs, ptrace};

impl Tracer {
    /// After detours: writes which stops were made meanwhile, and keeps what has to be put back.
    pub(super) fn note_missed(&mut self, tid: i32, stopped: &mut Stopped) -> Result<()> {
        let missed = stopped.take_missed();
        let Some(task) = self.task_of(tid) else { return Ok(()) };
        for sent in missed.signals {
            if sent.signal == Signal::STOP {
                self.write_stop(tid, task, sent.info);
            } else if let Some(tracee) = self.tracees.get_mut(&tid) {
                tracee.owed.push_back(sent);
            }
        }
        // Whoever asked it to stop still waits for that, and so does job control.
        let asked = self.tracees.get(&tid).is_some_and(|tracee| tracee.asked);
        if missed.stopped || (missed.interrupted && asked) {
            ptrace::interrupt(tid)?;
        }
        Ok(())
    }

    /// A thread has sent to a watched one what the lab's own faults and steps end in.
    pub(super) fn expect_sent(&mut self, sender: i32, target: TaskId, signal: Signal) {
        let Some(other) = self.tids.get(&target).copied().filter(|other| *other != sender) else { return };
        let blocked = self.world().task(target).is_none_or(|task| task.blocked.contains(signal));
        if blocked || !matches!(signal, Signal::SEGV | Signal::TRAP) || !self.is_watched(other) {
            return;
        }
        let process = self.task_of(sender).map(|task| self.process_of(task));
        let pid = process.and_then(|process| self.world().task(process)).map_or(0, |process| process.pid);
        let uid = procfs::user(sender).unwrap_or(0);
        if let Some(tracee) = self.tracees.get_mut(&other) {
            tracee.expected = Some(Sent::by_tgkill(signal, pid, uid));
        }
    }

    /// At the next stop: what was sent is there or in a queue, or the kernel has taken it for one with what was just
    /// pending (`legacy_queue` in kernel/signal.c), which the program knows nothing of.
    pub(super) fn look_for_sent(&mut self, tid: i32, stopped: &Stopped, why: Why) -> Result<()> {
        let Some(expected) = self.tracees.get_mut(&tid).and_then(|tracee| tracee.expected.take()) else {
            return Ok(());
        };
        let here = why == Why::Signal(expected.signal) && stopped.signal_info()?.code <= 0;
        let taken_out = self.tracees.get(&tid).is_some_and(|it| it.owed.iter().any(|it| it.signal == expected.signal));
        if here || taken_out || stopped.queued_signals(false)?.iter().any(|(signal, _)| *signal == expected.signal) {
            return Ok(());
        }
        if let Some(tracee) = self.tracees.get_mut(&tid) {
            tracee.owed.push_back(expected);
        }
        Ok(())
    }

    /// The kernel has delivered a SIGSTOP already.
    fn write_stop(&mut self, tid: i32, task: TaskId, info: SignalInfo) {
        let queue = self.queue_of(task, Signal::STOP, info);
        let info = SignalInfo { queue, ..info };
        self.write_generated(task, Signal::STOP, info);
        let info = self.with_sender(task, Signal::STOP, info);
        self.signal_taken(tid, Signal::STOP);
        for phase in [Phase::Dequeued, Phase::Delivered, Phase::Default] {
            self.phase(task, phase, Signal::STOP, info);
        }
    }

    /// Puts back what was taken out of the queues, of a task that stands at no signal that it still has to get:
    /// before a call, or anywhere else.
    pub(super) fn give_back(&mut self, tid: i32, stopped: Stopped, before_call: bool) -> Result<Option<Stopped>> {
        let mut at = stopped;
        self.note_missed(tid, &mut at)?;
        while let Some((task, sent)) = self.next_owed(tid) {
            let gate = self.watch.room_of(self.process_of(task)).map(|room| room.gate).filter(|_| !before_call);
            let queue = self.queue_of(task, sent.signal, sent.info);
            match at.queue_again(gate, &sent, own_ids(tid), queue == Queue::Process)? {
                Detour::Back(stopped, value) => {
                    at = stopped;
                    // A thread that is not the leader may queue it for itself only.
                    if value < 0
                        && let Some(tracee) = self.tracees.get_mut(&tid)
                        && queue == Queue::Process
                    {
                        tracee.owed.push_front(sent.of_thread());
                    }
                }
                Detour::Gone(wait) => return self.struck(tid, wait).map(|()| None),
            }
            self.note_missed(tid, &mut at)?;
        }
        Ok(Some(at))
    }

    fn next_owed(&mut self, tid: i32) -> Option<(TaskId, Sent)> {
        let tracee = self.tracees.get_mut(&tid)?;
        Some((tracee.task, tracee.owed.pop_front()?))
    }
}

/// A task's process and thread, by the numbers that it knows itself.
fn own_ids(tid: i32) -> (i32, i32) {
    let ids = |tid: i32| procfs::status(tid).map(|status| (status.tgid, status.ns_tids.last().copied().unwrap_or(tid)));
    let Some((process, thread)) = ids(tid) else { return (tid, tid) };
    (ids(process).map_or(process, |(_, own)| own), thread)
}
